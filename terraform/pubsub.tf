resource "google_pubsub_topic" "requests" {
  # checkov:skip=CKV_GCP_83: a message names a connector and days; Google's own keys are enough
  project = var.project
  name    = local.requests_topic
  labels  = local.labels

  depends_on = [time_sleep.services]
}

resource "google_pubsub_topic" "dead_letters" {
  # checkov:skip=CKV_GCP_83: a message names a connector and days; Google's own keys are enough
  project = var.project
  name    = "${var.name}-dead-letters"
  labels  = local.labels

  depends_on = [time_sleep.services]
}

resource "google_pubsub_subscription" "requests" {
  project              = var.project
  name                 = "${var.name}-requests"
  topic                = google_pubsub_topic.requests.id
  labels               = local.labels
  ack_deadline_seconds = local.ack_deadline

  push_config {
    push_endpoint = google_cloudfunctions2_function.sync_event.service_config[0].uri

    oidc_token {
      audience              = google_cloudfunctions2_function.sync_event.service_config[0].uri
      service_account_email = google_service_account.push.email
    }
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_letters.id
    max_delivery_attempts = var.delivery_attempts
  }

  # A run that had no time left is delivered again soon and goes on; a Matomo that is down is left in peace for longer
  # each time.
  retry_policy {
    minimum_backoff = "30s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = "" # never, also where nobody backfills for a month
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.sync_event]
}

# What came to nothing waits here for a person, for as long as Pub/Sub keeps it.
resource "google_pubsub_subscription" "dead_letters" {
  project                    = var.project
  name                       = "${var.name}-dead-letters"
  topic                      = google_pubsub_topic.dead_letters.id
  labels                     = local.labels
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s" # 31 days

  expiration_policy {
    ttl = ""
  }
}
