# A schedule publishes a message and does not call the function: a message that can never succeed is done after one delivery
# (Scheduler repeats every answer that is no 2xx, a 400 and a refused token too, and Matomo blocks an address after 21 refused
# tokens), and one that had no time left goes on with the next delivery instead of the next day.
resource "google_cloud_scheduler_job" "sync" {
  for_each    = merge(local.schedules, local.sweeps, local.intraday)
  project     = var.project
  region      = var.region
  name        = each.value.job
  description = "Requests a sync of Matomo's connector ${each.value.connector}."
  schedule    = each.value.cron
  time_zone   = each.value.time_zone
  paused      = each.value.paused

  # Of the publishing; what becomes of the message is Pub/Sub's (pubsub.tf).
  retry_config {
    retry_count          = 3
    min_backoff_duration = "30s"
  }

  pubsub_target {
    topic_name = google_pubsub_topic.requests.id
    data       = base64encode(jsonencode(each.value.request))
  }

  # A message before its subscription is there would be lost.
  depends_on = [google_pubsub_subscription.requests]
}
