locals {
  root = "${path.module}/.."
  # One list for Terraform and for `make bundle`: bundle.json.
  bundle = jsondecode(file("${path.module}/bundle.json"))
  files = sort(setsubtract(
    toset(flatten([for pattern in local.bundle.include : tolist(fileset(local.root, pattern))])),
    toset(flatten([for pattern in local.bundle.exclude : tolist(fileset(local.root, pattern))])),
  ))
}

data "archive_file" "source" {
  type             = "zip"
  output_path      = "${path.module}/.build/matomo-fn.zip"
  output_file_mode = "0644"

  dynamic "source" {
    for_each = local.files

    content {
      content  = file("${local.root}/${source.value}")
      filename = source.value
    }
  }
}

resource "google_storage_bucket" "source" {
  # checkov:skip=CKV_GCP_62: access to it is in the audit logs; what lies in it is this public program
  project                     = var.project
  name                        = "${var.project}-${var.name}-source"
  location                    = var.region
  force_destroy               = true # nothing but archives that the next apply uploads again
  labels                      = local.labels
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
    }
  }

  depends_on = [time_sleep.services]
}

resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.source.name
  # Another content is another object, and that is what redeploys a function.
  name   = "matomo-fn-${substr(data.archive_file.source.output_sha256, 0, 16)}.zip"
  source = data.archive_file.source.output_path
}

resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84: Google's own keys are enough for images of this public program
  project       = var.project
  location      = var.region
  repository_id = var.name
  description   = "Images of the functions, built by Cloud Functions from the source archive."
  format        = "DOCKER"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-newest"
    action = "KEEP"
    most_recent_versions {
      keep_count = 3
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s"
      tag_state  = "ANY"
    }
  }

  depends_on = [time_sleep.services]
}
