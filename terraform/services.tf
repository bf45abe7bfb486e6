locals {
  services = concat([
    "artifactregistry.googleapis.com",
    "bigquery.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudscheduler.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    ],
    var.egress_range == null ? [] : ["compute.googleapis.com"],
    length(local.kms_keys) == 0 ? [] : ["cloudkms.googleapis.com"],
  )
}

resource "google_project_service" "required" {
  for_each = toset(local.services)
  project  = var.project
  service  = each.value
  # Others of the project may use them too.
  disable_on_destroy = false
}

# An API that was just enabled refuses calls for a while ("has not been used in project … before or it is disabled"), and
# makes its own service account meanwhile.
resource "time_sleep" "services" {
  create_duration = "60s"
  triggers        = { services = join(" ", local.services) }

  depends_on = [google_project_service.required]
}

# For its number, which stands in the names of Google's own service accounts and buckets.
data "google_project" "this" {
  project_id = var.project
}
