# Memory, instances and concurrency are explained at their variables.

# An HTTP function behind a push subscription, and no Eventarc trigger: Eventarc makes a subscription of its own, to which
# neither dead letters nor waits can be given. The Functions Framework reads the push's body as the event that it is.
resource "google_cloudfunctions2_function" "sync_event" {
  project     = var.project
  name        = "${var.name}-sync-event"
  location    = var.region
  description = "Syncs what a message of the topic ${google_pubsub_topic.requests.name} asks for."
  labels      = local.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "sync_event"
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    all_traffic_on_latest_revision   = true
    available_cpu                    = "1"
    available_memory                 = var.memory
    environment_variables            = merge(local.environment, { MATOMO_FN_TIME_BUDGET = tostring(local.sync_event_budget) })
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.concurrency
    min_instance_count               = 0
    service_account_email            = google_service_account.run.email
    timeout_seconds                  = local.sync_event_timeout
    direct_vpc_egress                = var.egress_range == null ? null : "VPC_EGRESS_ALL_TRAFFIC"

    dynamic "direct_vpc_network_interface" {
      for_each = google_compute_subnetwork.egress

      content {
        network    = google_compute_network.egress[0].id
        subnetwork = direct_vpc_network_interface.value.id
      }
    }
  }

  # The build and the first run need their rights.
  depends_on = [time_sleep.iam]
}

# For those who want an answer: only where somebody may call it.
resource "google_cloudfunctions2_function" "sync" {
  count       = length(var.http_callers) == 0 ? 0 : 1
  project     = var.project
  name        = "${var.name}-sync"
  location    = var.region
  description = "Syncs Matomo's reports into BigQuery; called over HTTP."
  labels      = local.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "sync"
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    all_traffic_on_latest_revision   = true
    available_cpu                    = "1" # less is refused with concurrency above 1, and makes cold starts slow
    available_memory                 = var.memory
    environment_variables            = merge(local.environment, { MATOMO_FN_TIME_BUDGET = tostring(local.sync_budget) })
    ingress_settings                 = var.ingress
    max_instance_count               = var.max_instances
    max_instance_request_concurrency = var.concurrency
    min_instance_count               = 0 # an idle instance all day costs more than everything else here
    service_account_email            = google_service_account.run.email
    timeout_seconds                  = local.sync_timeout
    direct_vpc_egress                = var.egress_range == null ? null : "VPC_EGRESS_ALL_TRAFFIC"

    dynamic "direct_vpc_network_interface" {
      for_each = google_compute_subnetwork.egress

      content {
        network    = google_compute_network.egress[0].id
        subnetwork = direct_vpc_network_interface.value.id
      }
    }
  }

  # The build and the first run need their rights.
  depends_on = [time_sleep.iam]
}

# Segment's calls, from the internet: Segment cannot sign in with Google, so everybody may call it, and each call is held to its
# signature. It is a function of its own so that nothing else is open. Its account publishes and reads two secrets of each
# connector; it cannot read the token or a table. What it has at hand belongs to one call: many are served at once.
resource "google_cloudfunctions2_function" "collect" {
  # checkov:skip=CKV_GCP_124: Segment calls it from the internet
  count       = local.collect
  project     = var.project
  name        = "${var.name}-collect"
  location    = var.region
  description = "Takes Segment's calls and publishes them to the topics of the connectors' events."
  labels      = local.labels

  build_config {
    runtime           = var.runtime
    entry_point       = "collect"
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.source.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    all_traffic_on_latest_revision   = true
    available_cpu                    = "1"
    available_memory                 = "512Mi" # the program's 100 MB, and 20 calls of 500 kB, parsed
    environment_variables            = local.collect_environment
    ingress_settings                 = "ALLOW_ALL"
    max_instance_count               = var.collect_max_instances
    max_instance_request_concurrency = local.collect_concurrency
    min_instance_count               = 0
    service_account_email            = google_service_account.collect[0].email
    timeout_seconds                  = 60 # Segment waits for five seconds; a cold start and Pub/Sub's retries fit
  }

  # The build and the first call need their rights.
  depends_on = [time_sleep.iam]
}
