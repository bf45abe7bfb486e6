# What one apply makes, on a Google that is played by Terraform's mocks; the archive is really made.
# Cron strings, roles, runtimes, memory and places are checked by no provider, so each is asserted here.

mock_provider "google" {
  mock_resource "google_cloudfunctions2_function" {
    defaults = { service_config = { uri = "https://function.example.run.app" } }
  }
}

# The provider's own validators judge mocked values too, and random text is no service account.
override_resource {
  target = google_service_account.build
  values = {
    email  = "matomo-fn-build@test-project.iam.gserviceaccount.com"
    id     = "projects/test-project/serviceAccounts/matomo-fn-build@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:matomo-fn-build@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/matomo-fn-build@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.push
  values = {
    email  = "matomo-fn-push@test-project.iam.gserviceaccount.com"
    id     = "projects/test-project/serviceAccounts/matomo-fn-push@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:matomo-fn-push@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/matomo-fn-push@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.run
  values = {
    email  = "matomo-fn-run@test-project.iam.gserviceaccount.com"
    id     = "projects/test-project/serviceAccounts/matomo-fn-run@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:matomo-fn-run@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/matomo-fn-run@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_service_account.schedule
  values = {
    email  = "matomo-fn-schedule@test-project.iam.gserviceaccount.com"
    id     = "projects/test-project/serviceAccounts/matomo-fn-schedule@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:matomo-fn-schedule@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/matomo-fn-schedule@test-project.iam.gserviceaccount.com"
  }
}

override_resource {
  target = google_cloudfunctions2_function.sync
  values = { service_config = { uri = "https://matomo-fn-sync.example.run.app" } }
}

override_resource {
  target = google_cloudfunctions2_function.sync_event
  values = { service_config = { uri = "https://matomo-fn-sync-event.example.run.app" } }
}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  project    = "test-project"
  connectors = { shop = {} }
}

run "functions" {
  assert {
    condition     = google_cloudfunctions2_function.sync.name == "matomo-fn-sync" && google_cloudfunctions2_function.sync_event.name == "matomo-fn-sync-event"
    error_message = "The functions are named after var.name."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.build_config[0].entry_point == "sync" && google_cloudfunctions2_function.sync_event.build_config[0].entry_point == "sync_event"
    error_message = "The entry points are those of main.py."
  }
  assert {
    condition = alltrue([for function in [google_cloudfunctions2_function.sync, google_cloudfunctions2_function.sync_event] :
      function.build_config[0].runtime == "python313" &&
      function.location == "europe-west1" &&
      function.service_config[0].available_memory == "1Gi" &&
      function.service_config[0].available_cpu == "1" &&
      function.service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" &&
      function.service_config[0].max_instance_count == 5 &&
      function.service_config[0].max_instance_request_concurrency == 1 &&
      function.service_config[0].min_instance_count == 0 &&
      function.service_config[0].service_account_email == "matomo-fn-run@test-project.iam.gserviceaccount.com" &&
      function.build_config[0].service_account == "projects/test-project/serviceAccounts/matomo-fn-build@test-project.iam.gserviceaccount.com"
    ])
    error_message = "Runtime, region, memory, CPU, ingress, instances, concurrency and service accounts of both functions."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.build_config[0].source[0].storage_source[0].object == google_cloudfunctions2_function.sync_event.build_config[0].source[0].storage_source[0].object
    error_message = "Both functions are of one source."
  }
  assert {
    condition = google_cloudfunctions2_function.sync.service_config[0].environment_variables == tomap({
      GOOGLE_CLOUD_PROJECT       = "test-project"
      MATOMO_FN_LOG_FORMAT       = "json"
      MATOMO_FN_SECRETS          = "secret-manager"
      MATOMO_FN_BUFFER_MEGABYTES = "128"
      MATOMO_FN_TIME_BUDGET      = "1710"
      MATOMO_FN_WAREHOUSE        = "bigquery"
    })
    error_message = "The environment of sync; no secret versions where none are pinned."
  }
}

run "times_are_in_harmony" {
  assert {
    condition     = google_cloud_scheduler_job.sync["shop-daily"].attempt_deadline == "1800s" && google_cloudfunctions2_function.sync.service_config[0].timeout_seconds == 1770 && google_cloudfunctions2_function.sync.service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "1710"
    error_message = "Scheduler's deadline, the timeout of sync and its budget are 1800, 1770 and 1710 s."
  }
  assert {
    condition     = google_pubsub_subscription.requests.ack_deadline_seconds == 600 && google_cloudfunctions2_function.sync_event.service_config[0].timeout_seconds == 570 && google_cloudfunctions2_function.sync_event.service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "510"
    error_message = "Pub/Sub's acknowledgement, the timeout of sync_event and its budget are 600, 570 and 510 s."
  }
}

run "a_shorter_deadline_shortens_what_follows" {
  variables {
    attempt_deadline = 600
  }
  assert {
    condition     = google_cloud_scheduler_job.sync["shop-daily"].attempt_deadline == "600s" && google_cloudfunctions2_function.sync.service_config[0].timeout_seconds == 570 && google_cloudfunctions2_function.sync.service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "510"
    error_message = "Timeout and budget follow from the deadline."
  }
}

run "the_archive_is_named_by_its_content" {
  assert {
    condition     = google_storage_bucket_object.source.name == "matomo-fn-${substr(data.archive_file.source.output_sha256, 0, 16)}.zip"
    error_message = "The object's name carries the archive's hash."
  }
  assert {
    condition     = contains(local.files, "main.py") && contains(local.files, "requirements.txt") && contains(local.files, "matomo_fn/sync.py")
    error_message = "The entry points, the requirements and the program are shipped."
  }
  assert {
    condition     = !anytrue([for file in local.files : startswith(file, "fake_matomo/") || startswith(file, "tests/") || endswith(file, "/cli.py") || endswith(file, "/duckdb.py")])
    error_message = "Sample, tests and what is for local runs are not shipped."
  }
  assert {
    condition     = google_storage_bucket.source.name == "test-project-matomo-fn-source" && lower(google_storage_bucket.source.location) == "europe-west1" && google_storage_bucket.source.public_access_prevention == "enforced" && google_storage_bucket.source.uniform_bucket_level_access
    error_message = "The bucket's name, place and locks."
  }
}

run "pubsub" {
  assert {
    condition     = google_pubsub_topic.requests.name == "matomo-fn-requests" && google_pubsub_topic.dead_letters.name == "matomo-fn-dead-letters"
    error_message = "Names of the topics."
  }
  assert {
    condition     = google_pubsub_subscription.requests.push_config[0].push_endpoint == "https://matomo-fn-sync-event.example.run.app" && google_pubsub_subscription.requests.push_config[0].oidc_token[0].audience == "https://matomo-fn-sync-event.example.run.app" && google_pubsub_subscription.requests.push_config[0].oidc_token[0].service_account_email == "matomo-fn-push@test-project.iam.gserviceaccount.com"
    error_message = "Messages are pushed to sync_event with a token of the push account."
  }
  assert {
    condition     = google_pubsub_subscription.requests.dead_letter_policy[0].max_delivery_attempts == 30 && google_pubsub_subscription.requests.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id && google_pubsub_subscription.dead_letters.topic == google_pubsub_topic.dead_letters.id
    error_message = "Dead letters go to a topic that somebody subscribes to."
  }
  assert {
    condition     = google_pubsub_subscription.requests.retry_policy[0].minimum_backoff == "30s" && google_pubsub_subscription.requests.retry_policy[0].maximum_backoff == "600s" && google_pubsub_subscription.dead_letters.message_retention_duration == "2678400s"
    error_message = "Waits between deliveries, and how long dead letters are kept."
  }
  assert {
    condition     = alltrue([for subscription in [google_pubsub_subscription.requests, google_pubsub_subscription.dead_letters] : subscription.expiration_policy[0].ttl == ""])
    error_message = "Subscriptions never expire."
  }
}

run "schedules" {
  variables {
    time_zone = "Europe/Berlin"
    connectors = {
      shop = {}
      two-sites = {
        schedules = {
          evening = { cron = "15 18 * * MON-FRI", time_zone = "America/New_York", sites = ["4", "7"], paused = true }
          sweep   = { cron = "0 1 * * 0", mode = "backfill", tables = ["visits_summary"] }
        }
      }
    }
  }
  assert {
    condition     = toset([for job in google_cloud_scheduler_job.sync : job.name]) == toset(["matomo-fn-shop-daily", "matomo-fn-two-sites-evening", "matomo-fn-two-sites-sweep"])
    error_message = "One job for each connector and schedule."
  }
  assert {
    condition     = { for key, job in google_cloud_scheduler_job.sync : key => [job.schedule, job.time_zone, job.paused ? "paused" : "on"] } == { shop-daily = ["30 4 * * *", "Europe/Berlin", "on"], two-sites-evening = ["15 18 * * MON-FRI", "America/New_York", "paused"], two-sites-sweep = ["0 1 * * 0", "Europe/Berlin", "on"] }
    error_message = "Cron, time zone and pause of each job."
  }
  assert {
    condition     = { for key, job in google_cloud_scheduler_job.sync : key => base64decode(job.http_target[0].body) } == { shop-daily = "{\"connector\":\"shop\"}", two-sites-evening = "{\"connector\":\"two-sites\",\"sites\":[\"4\",\"7\"]}", two-sites-sweep = "{\"connector\":\"two-sites\",\"mode\":\"backfill\",\"tables\":[\"visits_summary\"]}" }
    error_message = "The request of each job has what was given and nothing else."
  }
  assert {
    condition = alltrue([for job in google_cloud_scheduler_job.sync :
      job.region == "europe-west1" &&
      job.http_target[0].http_method == "POST" &&
      job.http_target[0].uri == "https://matomo-fn-sync.example.run.app" &&
      job.http_target[0].headers["Content-Type"] == "application/json" &&
      job.http_target[0].oidc_token[0].audience == "https://matomo-fn-sync.example.run.app" &&
      job.http_target[0].oidc_token[0].service_account_email == "matomo-fn-schedule@test-project.iam.gserviceaccount.com"
    ])
    error_message = "Each job POSTs JSON to sync with a token of the schedule's account."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.sync : job.retry_config[0].retry_count == 3 && job.retry_config[0].min_backoff_duration == "300s" && job.retry_config[0].max_backoff_duration == "3600s"])
    error_message = "Retries, few and far between."
  }
}

run "roles" {
  assert {
    condition     = google_project_iam_member.run.role == "roles/bigquery.jobUser" && google_project_iam_member.run.member == google_service_account.run.member
    error_message = "The one role on the project is bigquery.jobUser."
  }
  assert {
    condition     = [for binding in google_bigquery_dataset_iam_member.run : "${binding.dataset_id} ${binding.role} ${binding.member}"] == ["matomo_shop roles/bigquery.dataEditor ${google_service_account.run.member}"]
    error_message = "The run account edits the connector's dataset."
  }
  assert {
    condition = toset([for binding in google_secret_manager_secret_iam_member.run : "${binding.secret_id} ${binding.role} ${binding.member}"]) == toset([
      "matomo-shop-config roles/secretmanager.secretAccessor ${google_service_account.run.member}",
      "matomo-shop-token roles/secretmanager.secretAccessor ${google_service_account.run.member}",
    ])
    error_message = "The run account reads the connector's two secrets."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.sync.name == "matomo-fn-sync" && google_cloud_run_v2_service_iam_binding.sync.role == "roles/run.invoker" && google_cloud_run_v2_service_iam_binding.sync.members == toset([google_service_account.schedule.member])
    error_message = "Nobody but the schedule's account calls sync."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.sync_event.name == "matomo-fn-sync-event" && google_cloud_run_v2_service_iam_binding.sync_event.role == "roles/run.invoker" && google_cloud_run_v2_service_iam_binding.sync_event.members == toset([google_service_account.push.member])
    error_message = "Nobody but the push account calls sync_event."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer" && google_artifact_registry_repository_iam_member.build.member == google_service_account.build.member && google_storage_bucket_iam_member.build.role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.build.bucket == "gcf-v2-sources-123456789012-europe-west1" && google_storage_bucket_iam_member.build.member == google_service_account.build.member
    error_message = "The build account reads the source and writes the image."
  }
  assert {
    condition     = google_service_account_iam_member.push.role == "roles/iam.serviceAccountOpenIdTokenCreator" && google_pubsub_topic_iam_member.dead_letters.role == "roles/pubsub.publisher" && google_pubsub_subscription_iam_member.dead_letters.role == "roles/pubsub.subscriber"
    error_message = "Pub/Sub's own account signs the push and moves dead letters."
  }
  assert {
    condition     = alltrue([for member in [google_service_account_iam_member.push.member, google_pubsub_topic_iam_member.dead_letters.member, google_pubsub_subscription_iam_member.dead_letters.member] : member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"])
    error_message = "Pub/Sub's own account is that of this project."
  }
}

run "datasets_and_secrets" {
  variables {
    dataset_location = "europe-west3"
    secret_locations = ["europe-west3"]
    secret_versions  = { matomo-two-sites-token = "3" }
    connectors = {
      far       = { location = "US" }
      shop      = { dataset = "clients" }
      two-sites = { dataset = "clients" }
    }
  }
  assert {
    condition     = { for dataset in google_bigquery_dataset.connector : dataset.dataset_id => dataset.location } == { clients = "europe-west3", matomo_far = "US" }
    error_message = "Datasets by their own or the default name, each once, where they belong."
  }
  assert {
    condition     = alltrue([for dataset in google_bigquery_dataset.connector : !dataset.delete_contents_on_destroy && dataset.labels["app"] == "matomo-fn"])
    error_message = "A destroy never takes tables along; datasets are labelled."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret.connector)) == toset(["matomo-far-config", "matomo-far-token", "matomo-shop-config", "matomo-shop-token", "matomo-two-sites-config", "matomo-two-sites-token"])
    error_message = "Two secrets for each connector, under the program's names."
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.connector : length(secret.replication[0].auto) == 0 && secret.replication[0].user_managed[0].replicas[0].location == "europe-west3"])
    error_message = "Secrets are kept where they were told to be."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync.service_config[0].environment_variables["MATOMO_FN_SECRET_VERSIONS"] == "matomo-two-sites-token=3"
    error_message = "Pinned versions reach the program in the form that it reads."
  }
}

run "alerts" {
  variables {
    alert_emails          = ["data@example.com"]
    notification_channels = ["projects/test-project/notificationChannels/7"]
    connectors            = { shop = {}, slow = { late_after_hours = 50 }, unwatched = { late_after_hours = 0 } }
  }
  assert {
    condition     = toset([for metric in google_logging_metric.event : metric.name]) == toset(["matomo_fn_refusals", "matomo_fn_runs", "matomo_fn_token_refusals"])
    error_message = "The metrics counted from the log."
  }
  assert {
    condition     = alltrue([for metric in google_logging_metric.event : startswith(metric.filter, "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"matomo-fn-sync\" OR \"matomo-fn-sync-event\") AND jsonPayload.")])
    error_message = "Only lines of these functions are counted."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.late)) == toset(["shop", "slow"]) && strcontains(google_monitoring_alert_policy.late["slow"].conditions[0].condition_prometheus_query_language[0].query, "connector=\"slow\",status=\"complete\"}[50h]")
    error_message = "A connector is late after its own number of hours, or never."
  }
  assert {
    condition = alltrue([for policy in concat(
      [google_monitoring_alert_policy.run_failed, google_monitoring_alert_policy.dead_letters, google_monitoring_alert_policy.token_refused],
      values(google_monitoring_alert_policy.late),
    ) : length(policy.notification_channels) == 2 && policy.notification_channels[0] == "projects/test-project/notificationChannels/7"])
    error_message = "Every alert goes to all channels."
  }
  assert {
    condition     = length(google_logging_project_sink.events) == 0 && output.log_sink_writer == null
    error_message = "No sink unless one is asked for."
  }
}

run "a_log_sink" {
  variables {
    log_sink_destination = "bigquery.googleapis.com/projects/test-project/datasets/logs"
  }
  assert {
    condition     = google_logging_project_sink.events[0].unique_writer_identity && google_logging_project_sink.events[0].destination == "bigquery.googleapis.com/projects/test-project/datasets/logs"
    error_message = "A sink with a writer of its own."
  }
}

run "a_project_that_has_functions" {
  variables {
    create_function_sources_bucket = false
  }
  assert {
    condition     = length(google_storage_bucket.function_sources) == 0 && google_storage_bucket_iam_member.build.bucket == "gcf-v2-sources-123456789012-europe-west1"
    error_message = "The bucket of Cloud Functions is used and not made."
  }
}

run "outputs_to_copy" {
  assert {
    condition     = output.url == "https://matomo-fn-sync.example.run.app" && output.run_now["shop-daily"] == "gcloud scheduler jobs run matomo-fn-shop-daily --project=test-project --location=europe-west1"
    error_message = "The address, and how to start the job."
  }
  assert {
    condition     = strcontains(output.set_token["shop"], "gcloud secrets versions add matomo-shop-token --project=test-project --data-file=-") && strcontains(output.set_config["shop"], "\"dataset\":\"matomo_shop\",\"location\":\"EU\"")
    error_message = "How to set token and configuration."
  }
  assert {
    condition     = output.backfill["shop"] == "gcloud pubsub topics publish matomo-fn-requests --project=test-project --message='{\"connector\":\"shop\",\"end_date\":\"2025-12-31\",\"mode\":\"backfill\",\"start_date\":\"2025-01-01\"}'"
    error_message = "How to start a backfill."
  }
}
