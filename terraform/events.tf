# Segment's calls on their way to Matomo (docs/events.md): collect publishes them to the connector's topic, and each minute a
# request to the topic of requests lets sync_event pull and deliver them. All of it only for connectors that have `events`.

resource "google_pubsub_topic" "events" {
  for_each        = local.events
  project         = var.project
  name            = each.value.topic
  labels          = merge(local.labels, { connector = each.key })
  kms_key_name    = each.value.kms_key
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
  # The way back from a message that was acknowledged by mistake (gcloud pubsub subscriptions seek). Less than the days that
  # message ids are remembered, 14 by default, so that what was delivered is not delivered again.
  message_retention_duration = "604800s" # 7 days

  # Calls have addresses and names of people. They stay in the region where the functions are.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_kms_crypto_key_iam_member.events, time_sleep.services]
}

resource "google_pubsub_topic" "events_dead_letters" {
  for_each        = local.events
  project         = var.project
  name            = each.value.dead_letters
  labels          = merge(local.labels, { connector = each.key })
  kms_key_name    = each.value.kms_key
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }

  depends_on = [google_kms_crypto_key_iam_member.events, time_sleep.services]
}

# Pulled, not pushed: a batch of thousands costs one query and one load, where each push would cost one of each.
resource "google_pubsub_subscription" "events" {
  for_each        = local.events
  project         = var.project
  name            = each.value.topic
  topic           = google_pubsub_topic.events[each.key].id
  labels          = merge(local.labels, { connector = each.key })
  deletion_policy = var.deletion_protection ? "PREVENT" : "DELETE"
  # Longer than a run of sync_event can last (its timeout is 30 s less): nobody gets a message while somebody has it.
  ack_deadline_seconds = local.ack_deadline
  # By the publisher's ordering key, the visitor.
  enable_message_ordering = true
  # An acknowledged message never comes again. Google says so of subscribers in one region, and there is one.
  enable_exactly_once_delivery = true
  message_retention_duration   = "2678400s" # 31 days, Pub/Sub's most: Matomo may be down for so long

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.events_dead_letters[each.key].id
    max_delivery_attempts = 100 # Pub/Sub's most: with ten minutes between them about 16 hours
  }

  # A Matomo that is down gives every message back, and each time counts as a delivery: the longer it lasts, the fewer.
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = "" # never, also where nothing comes for a month
  }
}

# What was never delivered waits here for a person, for as long as Pub/Sub keeps it.
resource "google_pubsub_subscription" "events_dead_letters" {
  for_each                   = local.events
  project                    = var.project
  name                       = each.value.dead_letters
  topic                      = google_pubsub_topic.events_dead_letters[each.key].id
  labels                     = merge(local.labels, { connector = each.key })
  deletion_policy            = var.deletion_protection ? "PREVENT" : "DELETE"
  ack_deadline_seconds       = 60
  enable_message_ordering    = true
  message_retention_duration = "2678400s" # 31 days

  expiration_policy {
    ttl = ""
  }
}

resource "google_cloud_scheduler_job" "deliver" {
  for_each    = local.events
  project     = var.project
  region      = var.region
  name        = each.value.job
  description = "Requests the delivery of the events of connector ${each.key} to Matomo."
  schedule    = each.value.schedule
  time_zone   = each.value.time_zone
  paused      = each.value.paused

  # None: the next minute's request delivers what this one would have.
  retry_config {
    retry_count = 0
  }

  pubsub_target {
    topic_name = google_pubsub_topic.requests.id
    data       = base64encode(jsonencode({ connector = each.key, mode = "deliver" }))
  }

  # A message before its subscription is there would be lost; one before its right to pull would be refused.
  depends_on = [google_pubsub_subscription.requests, google_pubsub_subscription_iam_member.deliver]
}
