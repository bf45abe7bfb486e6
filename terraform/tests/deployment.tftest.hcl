# What one apply makes, on a Google that is played by Terraform's mocks; the archive is really made.
# Cron strings, roles, runtimes, memory and places are checked by no provider, so each is asserted here.

mock_provider "time" {}

mock_provider "google" {
  mock_resource "google_cloudfunctions2_function" {
    defaults = { service_config = { uri = "https://function.example.run.app" }, url = "https://function.example.run.app" }
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
  target = google_service_account.collect
  values = {
    email  = "matomo-fn-collect@test-project.iam.gserviceaccount.com"
    id     = "projects/test-project/serviceAccounts/matomo-fn-collect@test-project.iam.gserviceaccount.com"
    member = "serviceAccount:matomo-fn-collect@test-project.iam.gserviceaccount.com"
    name   = "projects/test-project/serviceAccounts/matomo-fn-collect@test-project.iam.gserviceaccount.com"
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
  target = google_cloudfunctions2_function.sync_event
  values = { service_config = { uri = "https://matomo-fn-sync-event.example.run.app" } }
}

override_resource {
  target = google_cloudfunctions2_function.collect
  values = { service_config = { uri = "https://matomo-fn-collect.example.run.app" } }
}

override_data {
  target = data.google_project.this
  values = { number = "123456789012" }
}

variables {
  alert_emails = ["data@example.com"]
  connectors   = { shop = {} }
  http_callers = ["user:me@example.com"]
  project      = "test-project"
}

run "functions" {
  assert {
    condition     = google_cloudfunctions2_function.sync[0].name == "matomo-fn-sync" && google_cloudfunctions2_function.sync_event.name == "matomo-fn-sync-event"
    error_message = "The functions are named after var.name."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync[0].build_config[0].entry_point == "sync" && google_cloudfunctions2_function.sync_event.build_config[0].entry_point == "sync_event"
    error_message = "The entry points are those of main.py."
  }
  assert {
    condition = alltrue([for function in [google_cloudfunctions2_function.sync[0], google_cloudfunctions2_function.sync_event] :
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
    condition     = google_cloudfunctions2_function.sync[0].build_config[0].source[0].storage_source[0].object == google_cloudfunctions2_function.sync_event.build_config[0].source[0].storage_source[0].object
    error_message = "Both functions are of one source."
  }
  assert {
    condition = google_cloudfunctions2_function.sync[0].service_config[0].environment_variables == tomap({
      GOOGLE_CLOUD_PROJECT       = "test-project"
      MATOMO_FN_LOG_FORMAT       = "json"
      MATOMO_FN_SECRETS          = "secret-manager"
      MATOMO_FN_BUFFER_MEGABYTES = "128"
      MATOMO_FN_TIME_BUDGET      = "1710"
      MATOMO_FN_CONNECTORS       = "shop"
      MATOMO_FN_REQUESTS_TOPIC   = "matomo-fn-requests"
      MATOMO_FN_SECONDS_PER_CALL = "1"
      MATOMO_FN_WAREHOUSE        = "bigquery"
    })
    error_message = "The environment of sync; no secret versions where none are pinned."
  }
}

run "times_are_in_harmony" {
  assert {
    condition     = google_pubsub_subscription.requests.ack_deadline_seconds == 600 && google_cloudfunctions2_function.sync_event.service_config[0].timeout_seconds == 570 && google_cloudfunctions2_function.sync_event.service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "510"
    error_message = "Pub/Sub's acknowledgement, the timeout of sync_event and its budget are 600, 570 and 510 s."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync[0].service_config[0].timeout_seconds == 1770 && google_cloudfunctions2_function.sync[0].service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "1710"
    error_message = "A caller's deadline of 1800 s gives sync 1770 and its budget 1710 s."
  }
}

run "a_shorter_deadline_shortens_what_follows" {
  variables {
    http_deadline = 600
  }
  assert {
    condition     = google_cloudfunctions2_function.sync[0].service_config[0].timeout_seconds == 570 && google_cloudfunctions2_function.sync[0].service_config[0].environment_variables["MATOMO_FN_TIME_BUDGET"] == "510"
    error_message = "Timeout and budget follow from the deadline."
  }
}

run "without_callers_there_is_no_http_function" {
  variables {
    http_callers = []
  }
  assert {
    condition     = length(google_cloudfunctions2_function.sync) == 0 && length(google_cloud_run_v2_service_iam_binding.sync) == 0 && output.url == null
    error_message = "Schedules and backfills go through the topic; the HTTP function exists only where callers are named."
  }
}

run "the_first_apply_waits" {
  assert {
    condition     = time_sleep.services.create_duration == "60s" && time_sleep.iam.create_duration == "120s"
    error_message = "APIs and rights are not known everywhere at once."
  }
  assert {
    condition     = strcontains(time_sleep.services.triggers["services"], "pubsub.googleapis.com") && time_sleep.iam.triggers["build"] == google_service_account.build.email
    error_message = "Another API, or another account, is waited for again."
  }
}

run "the_archive_is_named_by_its_content" {
  assert {
    condition     = google_storage_bucket_object.source.name == "matomo-fn-${substr(data.archive_file.source.output_sha256, 0, 16)}.zip"
    error_message = "The object's name carries the archive's hash."
  }
  assert {
    condition     = contains(local.files, "main.py") && contains(local.files, "requirements.txt") && contains(local.files, "matomo_fn/sync/run.py")
    error_message = "The entry points, the requirements and the program are shipped."
  }
  assert {
    condition     = !anytrue([for file in local.files : startswith(file, "fake_matomo/") || startswith(file, "tests/") || startswith(file, "matomo_fn/app/cli/") || endswith(file, "/duckdb.py")])
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
    condition     = google_pubsub_subscription.requests.dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.requests.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_letters.id && google_pubsub_subscription.dead_letters.topic == google_pubsub_topic.dead_letters.id
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
        sweeps = {}
      }
    }
  }
  assert {
    condition     = toset([for job in google_cloud_scheduler_job.sync : job.name]) == toset(["matomo-fn_shop_daily", "matomo-fn_shop_sweep_monthly", "matomo-fn_shop_sweep_weekly", "matomo-fn_two-sites_evening", "matomo-fn_two-sites_sweep"])
    error_message = "One job for each connector and schedule."
  }
  assert {
    condition     = { for job in google_cloud_scheduler_job.sync : job.name => [job.schedule, job.time_zone, job.paused ? "paused" : "on"] } == { matomo-fn_shop_daily = ["${parseint(substr(sha256("shop"), 0, 8), 16) % 60} 4 * * *", "Europe/Berlin", "on"], matomo-fn_shop_sweep_monthly = ["${parseint(substr(sha256("shop"), 0, 8), 16) % 60} 2 1 * *", "Europe/Berlin", "on"], matomo-fn_shop_sweep_weekly = ["${parseint(substr(sha256("shop"), 0, 8), 16) % 60} 2 * * 0", "Europe/Berlin", "on"], matomo-fn_two-sites_evening = ["15 18 * * MON-FRI", "America/New_York", "paused"], matomo-fn_two-sites_sweep = ["0 1 * * 0", "Europe/Berlin", "on"] }
    error_message = "Cron, time zone and pause of each job; by default the connector's own minute past four."
  }
  assert {
    condition     = { for job in google_cloud_scheduler_job.sync : job.name => base64decode(job.pubsub_target[0].data) } == { matomo-fn_shop_daily = "{\"connector\":\"shop\"}", matomo-fn_shop_sweep_monthly = "{\"connector\":\"shop\",\"days\":365,\"mode\":\"sweep\"}", matomo-fn_shop_sweep_weekly = "{\"connector\":\"shop\",\"days\":30,\"mode\":\"sweep\"}", matomo-fn_two-sites_evening = "{\"connector\":\"two-sites\",\"sites\":[\"4\",\"7\"]}", matomo-fn_two-sites_sweep = "{\"connector\":\"two-sites\",\"mode\":\"backfill\",\"tables\":[\"visits_summary\"]}" }
    error_message = "The request of each job has what was given and nothing else."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.sync : job.region == "europe-west1" && job.pubsub_target[0].topic_name == google_pubsub_topic.requests.id && length(job.http_target) == 0])
    error_message = "Each job publishes: Scheduler repeats a 400 of a function, Pub/Sub does not."
  }
  assert {
    condition     = output.schedules["matomo-fn_two-sites_sweep"] == "0 1 * * 0 Europe/Berlin"
    error_message = "The schedules as a table."
  }
}

run "present_day_and_sweeps" {
  variables {
    time_zone = "Europe/Berlin"
    connectors = {
      hourly = { intraday_schedule = {}, schedules = {}, sweeps = {} }
      shop = {
        intraday_schedule = { cron = "10 6-22 * * MON-FRI", paused = true, time_zone = "America/New_York" }
        schedules = {
          intraday  = {}
          reconcile = { cron = "0 6 * * 1", days = 14, mode = "reconcile" }
          sweep     = { cron = "0 1 * * 0", days = 60, mode = "sweep", tables = ["visits_summary"] }
        }
        sweeps = { quarter = { cron = "0 3 1 */3 *", days = 730, paused = true, time_zone = "Etc/UTC" } }
      }
    }
  }
  assert {
    condition = { for job in google_cloud_scheduler_job.sync : job.name => [job.schedule, job.time_zone, job.paused ? "paused" : "on", base64decode(job.pubsub_target[0].data)] } == {
      matomo-fn_hourly_intraday_hourly = ["${parseint(substr(sha256("hourly"), 0, 8), 16) % 60} * * * *", "Europe/Berlin", "on", "{\"connector\":\"hourly\",\"mode\":\"intraday\"}"]
      matomo-fn_shop_intraday          = ["${parseint(substr(sha256("shop"), 0, 8), 16) % 60} 4 * * *", "Europe/Berlin", "on", "{\"connector\":\"shop\"}"]
      matomo-fn_shop_intraday_hourly   = ["10 6-22 * * MON-FRI", "America/New_York", "paused", "{\"connector\":\"shop\",\"mode\":\"intraday\"}"]
      matomo-fn_shop_reconcile         = ["0 6 * * 1", "Europe/Berlin", "on", "{\"connector\":\"shop\",\"days\":14,\"mode\":\"reconcile\"}"]
      matomo-fn_shop_sweep             = ["0 1 * * 0", "Europe/Berlin", "on", "{\"connector\":\"shop\",\"days\":60,\"mode\":\"sweep\",\"tables\":[\"visits_summary\"]}"]
      matomo-fn_shop_sweep_quarter     = ["0 3 1 */3 *", "Etc/UTC", "paused", "{\"connector\":\"shop\",\"days\":730,\"mode\":\"sweep\"}"]
    }
    error_message = "Cron, time zone, pause and request of the jobs for the present day and of sweeps; no name is taken twice."
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.late) == ["shop"]
    error_message = "The present day does not say how late the data is."
  }
  assert {
    condition     = strcontains(output.set_config, "{\"dataset\":\"matomo_hourly\",\"intraday\":true,")
    error_message = "The configuration has the present day where a schedule asks for it."
  }
}

run "names_of_jobs_do_not_collide" {
  variables {
    connectors = {
      shop    = { schedules = { eu-daily = {} }, sweeps = {} }
      shop-eu = { schedules = { daily = {} }, sweeps = {} }
    }
  }
  assert {
    condition     = toset([for job in google_cloud_scheduler_job.sync : job.name]) == toset(["matomo-fn_shop_eu-daily", "matomo-fn_shop-eu_daily"])
    error_message = "Connector and schedule are told apart."
  }
}

run "many_connectors_are_spread_over_the_hour" {
  command = plan
  variables {
    connectors = { for number in range(60) : "client-${number}" => { sweeps = {} } }
  }
  assert {
    condition     = length(distinct([for job in google_cloud_scheduler_job.sync : job.schedule])) >= 30
    error_message = "60 connectors start at 30 different minutes at least."
  }
  assert {
    condition     = alltrue([for job in google_cloud_scheduler_job.sync : can(regex("^([1-5]?[0-9]) 4 \\* \\* \\*$", job.schedule))])
    error_message = "Each at a minute of the hour past four."
  }
}

run "roles" {
  assert {
    condition     = google_project_iam_member.run.role == "roles/bigquery.jobUser" && google_project_iam_member.run.member == google_service_account.run.member
    error_message = "The run account starts jobs in the project."
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
    condition     = google_cloud_run_v2_service_iam_binding.sync[0].name == "matomo-fn-sync" && google_cloud_run_v2_service_iam_binding.sync[0].role == "roles/run.invoker" && google_cloud_run_v2_service_iam_binding.sync[0].members == toset(["user:me@example.com"])
    error_message = "Nobody but http_callers calls sync."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.sync_event.name == "matomo-fn-sync-event" && google_cloud_run_v2_service_iam_binding.sync_event.role == "roles/run.invoker" && google_cloud_run_v2_service_iam_binding.sync_event.members == toset([google_service_account.push.member])
    error_message = "Nobody but the push account calls sync_event."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.build.role == "roles/artifactregistry.writer" && google_artifact_registry_repository_iam_member.build.member == google_service_account.build.member
    error_message = "The build account writes the image."
  }
  assert {
    condition     = google_project_iam_member.build_logs.role == "roles/logging.logWriter" && google_project_iam_member.build_logs.member == google_service_account.build.member
    error_message = "The build account writes its log."
  }
  assert {
    condition     = google_project_iam_member.build_source.role == "roles/storage.objectViewer" && google_project_iam_member.build_source.member == google_service_account.build.member && google_project_iam_member.build_source.condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-123456789012-europe-west1/\") || resource.name == \"projects/_/buckets/gcf-v2-sources-123456789012-europe-west1\""
    error_message = "The build account reads the bucket that Cloud Functions builds from, which need not be there yet."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.run.topic == "matomo-fn-requests" && google_pubsub_topic_iam_member.run.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.run.member == "serviceAccount:matomo-fn-run@test-project.iam.gserviceaccount.com"
    error_message = "What is too much for a run is handed on by the topic of requests, and by no other."
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
    condition     = alltrue([for dataset in google_bigquery_dataset.connector : !dataset.delete_contents_on_destroy && dataset.deletion_policy == "PREVENT" && dataset.labels["app"] == "matomo-fn"])
    error_message = "A destroy never takes tables along; datasets are labelled."
  }
  assert {
    condition     = { for name, dataset in google_bigquery_dataset.connector : name => lookup(dataset.labels, "connector", "of several") } == { clients = "of several", matomo_far = "far" }
    error_message = "A dataset of several connectors is nobody's alone."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret.connector)) == toset(["matomo-far-config", "matomo-far-token", "matomo-shop-config", "matomo-shop-token", "matomo-two-sites-config", "matomo-two-sites-token"])
    error_message = "Two secrets for each connector, under the program's names."
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.connector : length(secret.replication[0].auto) == 0 && secret.replication[0].user_managed[0].replicas[0].location == "europe-west3" && secret.deletion_protection])
    error_message = "Secrets are kept where they were told to be."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync[0].service_config[0].environment_variables["MATOMO_FN_SECRET_VERSIONS"] == "matomo-two-sites-token=3"
    error_message = "Pinned versions reach the program in the form that it reads."
  }
  assert {
    condition     = google_cloudfunctions2_function.sync[0].service_config[0].environment_variables["MATOMO_FN_CONNECTORS"] == join(",", sort(keys(var.connectors)))
    error_message = "A request to all connectors is one to those that Terraform knows."
  }
}

run "secrets_and_datasets_say_whose_they_are" {
  assert {
    condition     = { for name, secret in google_secret_manager_secret.connector : name => secret.labels["connector"] } == { matomo-shop-config = "shop", matomo-shop-token = "shop" }
    error_message = "Secrets are labelled by connector."
  }
  assert {
    condition     = google_bigquery_dataset.connector["matomo_shop"].labels == tomap({ app = "matomo-fn", connector = "shop" })
    error_message = "A dataset is labelled by its connector, where it is one's alone."
  }
}

run "without_protection_datasets_and_secrets_can_go" {
  variables {
    deletion_protection = false
  }
  assert {
    condition     = alltrue([for dataset in google_bigquery_dataset.connector : dataset.deletion_policy == "DELETE" && !dataset.delete_contents_on_destroy]) && alltrue([for secret in google_secret_manager_secret.connector : !secret.deletion_protection])
    error_message = "Then only a dataset's tables stop a destroy."
  }
}

run "a_dataset_that_exists" {
  variables {
    connectors = { shop = {}, theirs = { dataset = "warehouse", dataset_exists = true, location = "US" } }
  }
  assert {
    condition     = keys(google_bigquery_dataset.connector) == ["matomo_shop"] && keys(google_bigquery_dataset_iam_member.run) == ["matomo_shop", "warehouse"]
    error_message = "It is written and neither made nor changed."
  }
}

run "keys_of_ones_own" {
  variables {
    connectors       = { shop = { kms_key = "projects/keys/locations/europe/keyRings/r/cryptoKeys/data" }, other = {} }
    secret_locations = ["europe-west1"]
    secret_kms_keys  = { europe-west1 = "projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/secrets" }
  }
  assert {
    condition     = google_bigquery_dataset.connector["matomo_shop"].default_encryption_configuration[0].kms_key_name == "projects/keys/locations/europe/keyRings/r/cryptoKeys/data" && length(google_bigquery_dataset.connector["matomo_other"].default_encryption_configuration) == 0
    error_message = "A dataset has its connector's key, or none."
  }
  assert {
    condition     = strcontains(output.set_config, "{\"dataset\":\"matomo_shop\",\"kms_key\":\"projects/keys/locations/europe/keyRings/r/cryptoKeys/data\",") && strcontains(output.set_config, "{\"dataset\":\"matomo_other\",\"location\":")
    error_message = "The configuration has the key of the dataset, for what the program creates and for the results of its queries."
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.connector : secret.replication[0].user_managed[0].replicas[0].customer_managed_encryption[0].kms_key_name == "projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/secrets"])
    error_message = "Secrets have the key of their place."
  }
  assert {
    condition     = toset(keys(google_kms_crypto_key_iam_member.bigquery)) == toset(["projects/keys/locations/europe/keyRings/r/cryptoKeys/data"]) && google_kms_crypto_key_iam_member.secrets["projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/secrets"].member == "serviceAccount:service-123456789012@gcp-sa-secretmanager.iam.gserviceaccount.com"
    error_message = "Google's own accounts may use the keys."
  }
  assert {
    condition     = contains(local.services, "cloudkms.googleapis.com") && !contains(local.services, "compute.googleapis.com")
    error_message = "APIs are enabled where they are used."
  }
}

run "a_key_of_secrets_that_are_everywhere" {
  variables {
    secret_kms_keys = { global = "projects/keys/locations/global/keyRings/r/cryptoKeys/secrets" }
  }
  assert {
    condition     = alltrue([for secret in google_secret_manager_secret.connector : secret.replication[0].auto[0].customer_managed_encryption[0].kms_key_name == "projects/keys/locations/global/keyRings/r/cryptoKeys/secrets"])
    error_message = "Google's automatic choice of places takes a global key."
  }
}

run "calls_from_one_address" {
  variables {
    egress_range = "10.8.0.0/26"
  }
  assert {
    condition = alltrue([for function in [google_cloudfunctions2_function.sync[0], google_cloudfunctions2_function.sync_event] :
      function.service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC" &&
      function.service_config[0].direct_vpc_network_interface[0].subnetwork == google_compute_subnetwork.egress[0].id
    ])
    error_message = "All that the functions send goes into the network."
  }
  assert {
    condition     = google_compute_router_nat.egress[0].nat_ip_allocate_option == "MANUAL_ONLY" && google_compute_router_nat.egress[0].nat_ips == toset([google_compute_address.egress[0].self_link]) && output.egress_address == google_compute_address.egress[0].address
    error_message = "It leaves the network from the one address."
  }
  assert {
    condition     = google_compute_subnetwork.egress[0].private_ip_google_access && google_compute_subnetwork.egress[0].ip_cidr_range == "10.8.0.0/26" && contains(local.services, "compute.googleapis.com")
    error_message = "Google's own APIs are reached from inside."
  }
}

run "calls_from_googles_addresses" {
  assert {
    condition     = length(google_compute_network.egress) == 0 && length(google_cloudfunctions2_function.sync_event.service_config[0].direct_vpc_network_interface) == 0 && output.egress_address == null
    error_message = "No network unless one is asked for."
  }
}

run "late_is_what_the_schedule_promises" {
  variables {
    connectors = {
      daily    = {}
      hourly   = { schedules = { hourly = { cron = "5 * * * *" } } }
      none     = { schedules = {} }
      paused   = { schedules = { daily = { paused = true } } }
      weekly   = { schedules = { sunday = { cron = "0 1 * * SUN" } } }
      workdays = { schedules = { early = { cron = "0 5 * * MON-FRI" } } }
      monthly  = { schedules = { first = { cron = "0 1 1 * *" } } }
    }
  }
  assert {
    condition     = { for name, connector in local.connectors : name => connector.late_after_hours } == { daily = 30, hourly = 30, monthly = 750, none = 0, paused = 0, weekly = 174, workdays = 174 }
    error_message = "A day, a week or a month and six hours; what is never due is never late."
  }
}

run "alerts" {
  variables {
    alert_emails          = ["data@example.com"]
    notification_channels = ["projects/test-project/notificationChannels/7"]
    connectors            = { shop = {}, slow = { late_after_hours = 50 }, unwatched = { late_after_hours = 0 } }
  }
  assert {
    condition     = toset([for metric in google_logging_metric.event : metric.name]) == toset(["matomo_fn_fresh_runs", "matomo_fn_old_pending_runs", "matomo_fn_quality_differences", "matomo_fn_refusals", "matomo_fn_runs", "matomo_fn_token_refusals"])
    error_message = "The metrics counted from the log."
  }
  assert {
    condition     = alltrue([for metric in google_logging_metric.event : startswith(metric.filter, "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"matomo-fn-sync\" OR \"matomo-fn-sync-event\") AND jsonPayload.")])
    error_message = "Only lines of these functions are counted."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.late)) == toset(["shop", "slow"]) && strcontains(google_monitoring_alert_policy.late["slow"].conditions[0].condition_prometheus_query_language[0].query, "user_matomo_fn_fresh_runs{monitored_resource=\"cloud_run_revision\",connector=\"slow\"}[50h]")
    error_message = "A connector is late after its own number of hours, or never."
  }
  assert {
    condition = alltrue([for policy in concat(
      [google_monitoring_alert_policy.run_failed, google_monitoring_alert_policy.dead_letters, google_monitoring_alert_policy.pending, google_monitoring_alert_policy.quality, google_monitoring_alert_policy.token_refused],
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

run "outputs_to_copy" {
  assert {
    condition     = output.url == "https://function.example.run.app" && output.pause == join("", [for job in ["daily", "sweep_monthly", "sweep_weekly"] : "gcloud scheduler jobs pause matomo-fn_shop_${job} --project=test-project --location=europe-west1\n"])
    error_message = "The address, and how to pause the job."
  }
  assert {
    condition     = output.sync_now == "gcloud pubsub topics publish matomo-fn-requests --project=test-project --message='{\"connector\":\"shop\"}'\n"
    error_message = "How to start a run."
  }
  assert {
    condition     = alltrue([for text in [output.backfill, output.dead_letters, output.logs, output.pause, output.resume, output.set_config, output.set_token, output.sync_now] : endswith(text, "\n")])
    error_message = "Texts end with a line break, so that Terraform shows them as they are."
  }
}

run "without_events_nothing_of_them_is_made" {
  assert {
    condition = alltrue([for count in [
      length(google_cloudfunctions2_function.collect), length(google_service_account.collect), length(google_cloud_run_v2_service_iam_binding.collect),
      length(google_pubsub_topic.events), length(google_pubsub_topic.events_dead_letters),
      length(google_pubsub_subscription.events), length(google_pubsub_subscription.events_dead_letters),
      length(google_pubsub_topic_iam_member.collect), length(google_pubsub_subscription_iam_member.deliver),
      length(google_pubsub_topic_iam_member.events_dead_letters), length(google_pubsub_subscription_iam_member.events_dead_letters),
      length(google_secret_manager_secret_iam_member.collect), length(google_kms_crypto_key_iam_member.events),
      length(google_cloud_scheduler_job.deliver),
      length(google_monitoring_alert_policy.collect_failed), length(google_monitoring_alert_policy.events_dead_letters),
      length(google_monitoring_alert_policy.events_late), length(google_monitoring_alert_policy.events_rejected),
    ] : count == 0])
    error_message = "Events are off unless a connector has them."
  }
  assert {
    condition     = toset(keys(google_secret_manager_secret.connector)) == toset(["matomo-shop-config", "matomo-shop-token"]) && output.set_signature == null && output.webhook_urls == {} && keys(output.service_accounts) == ["build", "push", "run"]
    error_message = "No secret to set, no address to paste."
  }
  assert {
    condition     = !strcontains(output.logs, "collect") && !strcontains(output.set_config, "events")
    error_message = "The commands do not speak of them."
  }
}

run "events_of_one_of_two_connectors" {
  variables {
    connectors = { blog = {}, shop = { events = { site = "3" } } }
  }
  assert {
    condition     = [for topic in [google_pubsub_topic.events["shop"], google_pubsub_topic.events_dead_letters["shop"]] : topic.name] == ["matomo-shop-events", "matomo-shop-events-dead-letters"] && keys(google_pubsub_topic.events) == ["shop"] && keys(google_pubsub_topic.events_dead_letters) == ["shop"]
    error_message = "Topics under the program's names, of that connector alone."
  }
  assert {
    condition     = alltrue([for topic in [google_pubsub_topic.events["shop"], google_pubsub_topic.events_dead_letters["shop"]] : topic.labels == tomap({ app = "matomo-fn", connector = "shop" }) && topic.kms_key_name == null && topic.deletion_policy == "PREVENT" && topic.message_storage_policy[0].allowed_persistence_regions == toset(["europe-west1"])])
    error_message = "Labels, protection, and the one region that keeps the messages."
  }
  assert {
    condition     = google_pubsub_topic.events["shop"].message_retention_duration == "604800s" && google_pubsub_subscription.events["shop"].message_retention_duration == "2678400s" && google_pubsub_subscription.events_dead_letters["shop"].message_retention_duration == "2678400s"
    error_message = "Acknowledged events can be had again for a week, others wait for 31 days."
  }
  assert {
    condition     = google_pubsub_subscription.events["shop"].name == "matomo-shop-events" && google_pubsub_subscription.events["shop"].topic == google_pubsub_topic.events["shop"].id && google_pubsub_subscription.events["shop"].enable_message_ordering && google_pubsub_subscription.events["shop"].enable_exactly_once_delivery && length(google_pubsub_subscription.events["shop"].push_config) == 0
    error_message = "Pulled, in order, once each."
  }
  assert {
    condition     = google_pubsub_subscription.events["shop"].ack_deadline_seconds > google_cloudfunctions2_function.sync_event.service_config[0].timeout_seconds
    error_message = "Nobody gets a message while a run may have it."
  }
  assert {
    condition     = google_pubsub_subscription.events["shop"].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.events_dead_letters["shop"].id && google_pubsub_subscription.events["shop"].dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.events_dead_letters["shop"].topic == google_pubsub_topic.events_dead_letters["shop"].id && google_pubsub_subscription.events["shop"].retry_policy[0].maximum_backoff == "600s"
    error_message = "A Matomo that is down for hours makes no dead letters, and dead letters are kept."
  }
  assert {
    condition     = alltrue([for subscription in [google_pubsub_subscription.events["shop"], google_pubsub_subscription.events_dead_letters["shop"]] : subscription.expiration_policy[0].ttl == "" && subscription.deletion_policy == "PREVENT" && subscription.labels["connector"] == "shop"])
    error_message = "Subscriptions never expire, and cannot be deleted by mistake."
  }
  assert {
    condition = (
      google_cloudfunctions2_function.collect[0].name == "matomo-fn-collect" &&
      google_cloudfunctions2_function.collect[0].build_config[0].entry_point == "collect" &&
      google_cloudfunctions2_function.collect[0].build_config[0].source[0].storage_source[0].object == google_cloudfunctions2_function.sync_event.build_config[0].source[0].storage_source[0].object &&
      google_cloudfunctions2_function.collect[0].build_config[0].service_account == google_service_account.build.id &&
      google_cloudfunctions2_function.collect[0].service_config[0].available_memory == "512Mi" &&
      google_cloudfunctions2_function.collect[0].service_config[0].available_cpu == "1" &&
      google_cloudfunctions2_function.collect[0].service_config[0].ingress_settings == "ALLOW_ALL" &&
      google_cloudfunctions2_function.collect[0].service_config[0].min_instance_count == 0 &&
      google_cloudfunctions2_function.collect[0].service_config[0].max_instance_count == 5 &&
      google_cloudfunctions2_function.collect[0].service_config[0].service_account_email == "matomo-fn-collect@test-project.iam.gserviceaccount.com"
    )
    error_message = "A function of its own from the same source, open to the internet, by an account of its own."
  }
  assert {
    condition     = google_cloudfunctions2_function.collect[0].service_config[0].max_instance_request_concurrency == 20 && google_cloudfunctions2_function.collect[0].service_config[0].environment_variables["THREADS"] == "20"
    error_message = "A thread for each call."
  }
  assert {
    condition = google_cloudfunctions2_function.collect[0].service_config[0].environment_variables == tomap({
      GOOGLE_CLOUD_PROJECT = "test-project"
      MATOMO_FN_CONNECTORS = "shop"
      MATOMO_FN_LOG_FORMAT = "json"
      MATOMO_FN_SECRETS    = "secret-manager"
      THREADS              = "20"
    })
    error_message = "The environment of collect: what it reads, and the connectors that have events."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_binding.collect[0].name == "matomo-fn-collect" && google_cloud_run_v2_service_iam_binding.collect[0].members == toset(["allUsers"]) && google_cloud_run_v2_service_iam_binding.sync[0].members == toset(["user:me@example.com"]) && google_cloud_run_v2_service_iam_binding.sync_event.members == toset([google_service_account.push.member])
    error_message = "Everybody may call collect, and nothing else."
  }
  assert {
    condition     = { for secret in google_secret_manager_secret.connector : secret.secret_id => secret.deletion_protection ? secret.labels["connector"] : "unprotected" } == { matomo-blog-config = "blog", matomo-blog-token = "blog", matomo-shop-config = "shop", matomo-shop-signature = "shop", matomo-shop-token = "shop" }
    error_message = "A secret for the signature."
  }
  assert {
    condition = toset([for binding in google_secret_manager_secret_iam_member.collect : "${binding.secret_id} ${binding.role} ${binding.member}"]) == toset([
      "matomo-shop-config roles/secretmanager.secretAccessor ${google_service_account.collect[0].member}",
      "matomo-shop-signature roles/secretmanager.secretAccessor ${google_service_account.collect[0].member}",
    ])
    error_message = "collect reads configuration and signature, and no token."
  }
  assert {
    condition     = toset([for binding in google_secret_manager_secret_iam_member.run : binding.secret_id]) == toset(["matomo-blog-config", "matomo-blog-token", "matomo-shop-config", "matomo-shop-token"])
    error_message = "A run reads configuration and token, and no signature."
  }
  assert {
    condition     = [for binding in google_pubsub_topic_iam_member.collect : "${binding.topic} ${binding.role} ${binding.member}"] == ["matomo-shop-events roles/pubsub.publisher ${google_service_account.collect[0].member}"] && [for binding in google_pubsub_subscription_iam_member.deliver : "${binding.subscription} ${binding.role} ${binding.member}"] == ["matomo-shop-events roles/pubsub.subscriber ${google_service_account.run.member}"]
    error_message = "collect publishes, sync_event pulls and acknowledges."
  }
  assert {
    condition     = alltrue([for binding in [google_pubsub_topic_iam_member.events_dead_letters["shop"], google_pubsub_subscription_iam_member.events_dead_letters["shop"]] : binding.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"]) && google_pubsub_topic_iam_member.events_dead_letters["shop"].topic == "matomo-shop-events-dead-letters" && google_pubsub_topic_iam_member.events_dead_letters["shop"].role == "roles/pubsub.publisher" && google_pubsub_subscription_iam_member.events_dead_letters["shop"].subscription == "matomo-shop-events" && google_pubsub_subscription_iam_member.events_dead_letters["shop"].role == "roles/pubsub.subscriber"
    error_message = "Pub/Sub's own account moves dead letters."
  }
  assert {
    condition     = time_sleep.iam.triggers["collect"] == "matomo-fn-collect@test-project.iam.gserviceaccount.com"
    error_message = "The rights of another account are waited for."
  }
}

run "deliveries" {
  variables {
    time_zone = "Europe/Berlin"
    connectors = {
      blog = { events = { site = "1", paused = true, schedule = "*/5 6-22 * * *", time_zone = "America/New_York" }, sweeps = {} }
      shop = { events = { site = "3" }, schedules = { deliver = {}, events = {} }, sweeps = {} }
    }
  }
  assert {
    condition     = { for job in google_cloud_scheduler_job.deliver : job.name => [job.schedule, job.time_zone, job.paused ? "paused" : "on"] } == { matomo-fn_blog_events_deliver = ["*/5 6-22 * * *", "America/New_York", "paused"], matomo-fn_shop_events_deliver = ["* * * * *", "Europe/Berlin", "on"] }
    error_message = "Each minute unless said otherwise."
  }
  assert {
    condition     = length(distinct([for job in concat(values(google_cloud_scheduler_job.sync), values(google_cloud_scheduler_job.deliver)) : job.name])) == 5
    error_message = "No schedule's job has the name of a delivery's."
  }
  assert {
    condition     = base64decode(google_cloud_scheduler_job.deliver["shop"].pubsub_target[0].data) == "{\"connector\":\"shop\",\"mode\":\"deliver\"}" && google_cloud_scheduler_job.deliver["shop"].pubsub_target[0].topic_name == google_pubsub_topic.requests.id
    error_message = "A delivery is a request like others."
  }
  assert {
    condition     = strcontains(output.pause, "pause matomo-fn_shop_events_deliver ") && strcontains(output.resume, "resume matomo-fn_blog_events_deliver ") && output.schedules["matomo-fn_shop_events_deliver"] == "* * * * * Europe/Berlin"
    error_message = "Deliveries are paused with the rest, and stand in the table."
  }
  assert {
    condition     = output.webhook_urls == { blog = "https://matomo-fn-collect.example.run.app/collect/blog", shop = "https://matomo-fn-collect.example.run.app/collect/shop" }
    error_message = "The addresses to paste into Segment."
  }
  assert {
    condition     = strcontains(output.set_config, "{\"dataset\":\"matomo_shop\",\"events\":{\"site\":\"3\"},") && strcontains(output.set_signature, "for connector in blog shop; do") && strcontains(output.dead_letters, "pull matomo-shop-events-dead-letters ")
    error_message = "Configuration, signature and dead letters of the events."
  }
  assert {
    condition     = strcontains(output.logs, "(\"matomo-fn-sync\" OR \"matomo-fn-sync-event\" OR \"matomo-fn-collect\")")
    error_message = "The log has collect's lines."
  }
}

run "alerts_of_events" {
  variables {
    connectors = { blog = {}, quiet = { events = { site = "1", late_after_minutes = 0 } }, shop = { events = { site = "3" } }, slow = { events = { site = "4", late_after_minutes = 90 } } }
  }
  assert {
    condition     = { for name, policy in google_monitoring_alert_policy.events_late : name => one(regexall("subscription_oldest_unacked_message_age\\{monitored_resource=\"pubsub_subscription\",subscription_id=\"([^\"]+)\"\\}\\) > ([0-9]+)$", policy.conditions[0].condition_prometheus_query_language[0].query)) } == { shop = ["matomo-shop-events", "900"], slow = ["matomo-slow-events", "5400"] }
    error_message = "Events are late after a quarter of an hour, or as said, or never."
  }
  assert {
    condition     = google_logging_metric.event["rejected_events"].filter == "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=(\"matomo-fn-sync\" OR \"matomo-fn-sync-event\") AND jsonPayload.message=\"deliver_finished\" AND jsonPayload.rejected>0"
    error_message = "Rejected events are counted."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.events_dead_letters[0].conditions[0].condition_prometheus_query_language[0].query, "subscription_id=~\"matomo-quiet-events-dead-letters|matomo-shop-events-dead-letters|matomo-slow-events-dead-letters\"}) > 0")
    error_message = "Dead events of every connector."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.collect_failed[0].conditions[0].condition_prometheus_query_language[0].query, "service_name=\"${google_cloudfunctions2_function.collect[0].name}\",response_code=~\"429|5..\"")
    error_message = "Calls that are not taken."
  }
  assert {
    condition = alltrue([for policy in concat(
      google_monitoring_alert_policy.collect_failed, google_monitoring_alert_policy.events_dead_letters, google_monitoring_alert_policy.events_rejected,
      values(google_monitoring_alert_policy.events_late),
    ) : length(policy.notification_channels) == 1])
    error_message = "Every alert reaches somebody."
  }
}

run "keys_and_versions_of_events" {
  variables {
    connectors      = { shop = { events = { site = "3", kms_key = "projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/events" } } }
    secret_versions = { matomo-shop-signature = "2", matomo-shop-token = "3" }
  }
  assert {
    condition     = alltrue([for topic in [google_pubsub_topic.events["shop"], google_pubsub_topic.events_dead_letters["shop"]] : topic.kms_key_name == "projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/events"])
    error_message = "Waiting events and dead ones have the key."
  }
  assert {
    condition     = [for binding in google_kms_crypto_key_iam_member.events : "${binding.crypto_key_id} ${binding.member}"] == ["projects/keys/locations/europe-west1/keyRings/r/cryptoKeys/events serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com"] && contains(local.services, "cloudkms.googleapis.com")
    error_message = "Pub/Sub may use it."
  }
  assert {
    condition     = google_cloudfunctions2_function.collect[0].service_config[0].environment_variables["MATOMO_FN_SECRET_VERSIONS"] == "matomo-shop-signature=2"
    error_message = "collect is told the versions of what it reads."
  }
}

run "events_without_protection_and_where_nobody_may_be_everybody" {
  variables {
    collect_callers       = []
    collect_max_instances = 2
    connectors            = { shop = { events = { site = "3" } } }
    deletion_protection   = false
  }
  assert {
    condition     = length(google_cloud_run_v2_service_iam_binding.collect) == 0 && length(google_cloudfunctions2_function.collect) == 1 && google_cloudfunctions2_function.collect[0].service_config[0].max_instance_count == 2
    error_message = "Who may call is left to the owner of the organization."
  }
  assert {
    condition     = alltrue([for resource in [google_pubsub_topic.events["shop"], google_pubsub_topic.events_dead_letters["shop"], google_pubsub_subscription.events["shop"], google_pubsub_subscription.events_dead_letters["shop"]] : resource.deletion_policy == "DELETE"])
    error_message = "Without protection they can go."
  }
}
