# Every role that is given, each on the one thing that needs it; docs/deploy.md has the same as a table (tested).

locals {
  # Cloud Functions copies the archive into a bucket of its own and builds from the copy. It makes that bucket with the first
  # function of a region, so the right to read it cannot be given on it before.
  function_sources_bucket = "gcf-v2-sources-${data.google_project.this.number}-${var.region}"

  pubsub_agent  = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  secrets_agent = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
}

resource "google_service_account" "build" {
  project      = var.project
  account_id   = "${var.name}-build"
  display_name = "matomo-fn: builds the functions' image"

  depends_on = [time_sleep.services]
}

resource "google_service_account" "collect" {
  count        = local.collect
  project      = var.project
  account_id   = "${var.name}-collect"
  display_name = "matomo-fn: collect runs by it"

  depends_on = [time_sleep.services]
}

resource "google_service_account" "push" {
  project      = var.project
  account_id   = "${var.name}-push"
  display_name = "matomo-fn: Pub/Sub calls sync_event by it"

  depends_on = [time_sleep.services]
}

resource "google_service_account" "run" {
  project      = var.project
  account_id   = "${var.name}-run"
  display_name = "matomo-fn: the functions run by it"

  depends_on = [time_sleep.services]
}

# Jobs belong to a project and to nothing smaller; what they may read and write is said by dataset.
resource "google_project_iam_member" "run" {
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = google_service_account.run.member
}

resource "google_bigquery_dataset_iam_member" "run" {
  for_each   = local.datasets
  project    = var.project
  dataset_id = each.key
  role       = "roles/bigquery.dataEditor"
  member     = google_service_account.run.member

  depends_on = [google_bigquery_dataset.connector]
}

# What is too much for one run goes back to the topic that it came from, in parts.
resource "google_pubsub_topic_iam_member" "run" {
  project = var.project
  topic   = google_pubsub_topic.requests.name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.run.member
}

resource "google_secret_manager_secret_iam_member" "run" {
  for_each  = local.run_secrets
  project   = var.project
  secret_id = google_secret_manager_secret.connector[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.run.member
}

# Configuration and signature, and no token: what everybody may call cannot give it away.
resource "google_secret_manager_secret_iam_member" "collect" {
  for_each  = local.collect_secrets
  project   = var.project
  secret_id = google_secret_manager_secret.connector[each.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.collect[0].member
}

resource "google_pubsub_topic_iam_member" "collect" {
  for_each = local.events
  project  = var.project
  topic    = google_pubsub_topic.events[each.key].name
  role     = "roles/pubsub.publisher"
  member   = google_service_account.collect[0].member
}

resource "google_pubsub_subscription_iam_member" "deliver" {
  for_each     = local.events
  project      = var.project
  subscription = google_pubsub_subscription.events[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.run.member
}

# Bindings and not members: whatever else was given the right to call, by hand or by a console's checkbox, loses it
# with the next apply.
resource "google_cloud_run_v2_service_iam_binding" "collect" {
  # checkov:skip=CKV_GCP_102: Segment cannot sign in with Google; each call is held to its signature
  count    = local.collect == 1 && length(var.collect_callers) > 0 ? 1 : 0
  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.collect[0].name
  role     = "roles/run.invoker"
  members  = var.collect_callers
}

resource "google_cloud_run_v2_service_iam_binding" "sync" {
  count    = length(var.http_callers) == 0 ? 0 : 1
  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.sync[0].name
  role     = "roles/run.invoker"
  members  = var.http_callers
}

resource "google_cloud_run_v2_service_iam_binding" "sync_event" {
  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.sync_event.name
  role     = "roles/run.invoker"
  members  = [google_service_account.push.member]
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}

# A role to write logs exists on projects only. Without it a build that fails says nothing.
resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# On the project, but the condition makes it one bucket's: of all objects only those in it.
resource "google_project_iam_member" "build_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title       = "matomo-fn source"
    description = "Only the bucket that Cloud Functions builds from."
    expression  = "resource.name.startsWith(\"projects/_/buckets/${local.function_sources_bucket}/\") || resource.name == \"projects/_/buckets/${local.function_sources_bucket}\""
  }
}

# A right that was just given is not known everywhere yet: two minutes as a rule, says Google.
resource "time_sleep" "iam" {
  create_duration = "120s"
  triggers = merge(
    { build = google_service_account.build.email, run = google_service_account.run.email },
    { for account in google_service_account.collect : "collect" => account.email },
  )

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_bigquery_dataset_iam_member.run,
    google_project_iam_member.build_logs,
    google_project_iam_member.build_source,
    google_project_iam_member.run,
    google_pubsub_subscription_iam_member.deliver,
    google_pubsub_topic_iam_member.collect,
    google_pubsub_topic_iam_member.run,
    google_secret_manager_secret_iam_member.collect,
    google_secret_manager_secret_iam_member.run,
  ]
}

# Pub/Sub signs the push's token as the service account, and moves dead letters itself.
resource "google_service_account_iam_member" "push" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub_agent

  depends_on = [google_pubsub_topic.requests]
}

resource "google_pubsub_topic_iam_member" "dead_letters" {
  project = var.project
  topic   = google_pubsub_topic.dead_letters.name
  role    = "roles/pubsub.publisher"
  member  = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "dead_letters" {
  project      = var.project
  subscription = google_pubsub_subscription.requests.name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}

resource "google_pubsub_topic_iam_member" "events_dead_letters" {
  for_each = local.events
  project  = var.project
  topic    = google_pubsub_topic.events_dead_letters[each.key].name
  role     = "roles/pubsub.publisher"
  member   = local.pubsub_agent
}

resource "google_pubsub_subscription_iam_member" "events_dead_letters" {
  for_each     = local.events
  project      = var.project
  subscription = google_pubsub_subscription.events[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub_agent
}
