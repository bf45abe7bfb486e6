# Variables that cannot work are refused before anything is asked of Google.

mock_provider "google" {}

mock_provider "time" {}

variables {
  alert_emails = ["data@example.com"]
  connectors   = { shop = {} }
  project      = "test-project"
}

run "no_project" {
  command = plan
  variables {
    project = "Not A Project"
  }
  expect_failures = [var.project]
}

run "no_connector" {
  command = plan
  variables {
    connectors = {}
  }
  expect_failures = [var.connectors]
}

run "connector_with_capitals" {
  command = plan
  variables {
    connectors = { Shop = {} }
  }
  expect_failures = [var.connectors]
}

run "connector_with_underscore" {
  command = plan
  variables {
    connectors = { my_shop = {} }
  }
  expect_failures = [var.connectors]
}

run "dataset_with_hyphen" {
  command = plan
  variables {
    connectors = { shop = { dataset = "my-data" } }
  }
  expect_failures = [var.connectors]
}

run "location_that_is_none" {
  command = plan
  variables {
    connectors = { shop = { location = "Europe" } }
  }
  expect_failures = [var.connectors]
}

run "one_dataset_in_two_places" {
  command = plan
  variables {
    connectors = { a = { dataset = "d", location = "EU" }, b = { dataset = "d", location = "US" } }
  }
  expect_failures = [var.connectors]
}

run "one_dataset_in_two_places_by_default" {
  command = plan
  variables {
    connectors = { a = { dataset = "matomo_b", location = "US" }, b = {} }
  }
  expect_failures = [var.connectors]
}

run "late_at_once" {
  command = plan
  variables {
    connectors = { shop = { late_after_hours = 1 } }
  }
  expect_failures = [var.connectors]
}

run "sweep_with_capitals" {
  command = plan
  variables {
    connectors = { shop = { sweeps = { Weekly = { days = 30 } } } }
  }
  expect_failures = [var.connectors]
}

run "sweep_of_half_a_day" {
  command = plan
  variables {
    connectors = { shop = { sweeps = { weekly = { days = 0.5 } } } }
  }
  expect_failures = [var.connectors]
}

run "sweep_with_four_fields" {
  command = plan
  variables {
    connectors = { shop = { sweeps = { weekly = { days = 30, cron = "30 4 * *" } } } }
  }
  expect_failures = [var.connectors]
}

run "present_day_every_minute_of_nothing" {
  command = plan
  variables {
    connectors = { shop = { intraday_schedule = { cron = "every hour" } } }
  }
  expect_failures = [var.connectors]
}

run "present_day_in_no_time_zone" {
  command = plan
  variables {
    connectors = { shop = { intraday_schedule = { time_zone = "+02:00" } } }
  }
  expect_failures = [var.connectors]
}

run "days_of_no_sweep" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { days = 30 } } } }
  }
  expect_failures = [var.connectors]
}

run "schedule_with_capitals" {
  command = plan
  variables {
    connectors = { shop = { schedules = { Daily = {} } } }
  }
  expect_failures = [var.connectors]
}

run "cron_of_four_fields" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { cron = "30 4 * *" } } } }
  }
  expect_failures = [var.connectors]
}

run "cron_of_six_fields" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { cron = "0 30 4 * * *" } } } }
  }
  expect_failures = [var.connectors]
}

run "cron_at_25_o_clock" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { cron = "0 25 * * *" } } } }
  }
  expect_failures = [var.connectors]
}

run "cron_at_minute_60" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { cron = "60 4 * * *" } } } }
  }
  expect_failures = [var.connectors]
}

run "cron_in_words" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { cron = "every day" } } } }
  }
  expect_failures = [var.connectors]
}

run "mode_that_is_none" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { mode = "everything" } } } }
  }
  expect_failures = [var.connectors]
}

run "time_zone_as_offset" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { time_zone = "+02:00" } } } }
  }
  expect_failures = [var.connectors]
}

run "site_by_name" {
  command = plan
  variables {
    connectors = { shop = { schedules = { daily = { sites = ["shop"] } } } }
  }
  expect_failures = [var.connectors]
}

run "deadline_past_an_hour" {
  command = plan
  variables {
    http_deadline = 3601
  }
  expect_failures = [var.http_deadline]
}

run "deadline_too_short" {
  command = plan
  variables {
    http_deadline = 60
  }
  expect_failures = [var.http_deadline]
}

run "no_concurrency" {
  command = plan
  variables {
    concurrency = 0
  }
  expect_failures = [var.concurrency]
}

run "default_location_that_is_none" {
  command = plan
  variables {
    dataset_location = "Germany"
  }
  expect_failures = [var.dataset_location]
}

run "four_deliveries" {
  command = plan
  variables {
    delivery_attempts = 4
  }
  expect_failures = [var.delivery_attempts]
}

run "seconds_per_call_of_nothing" {
  command = plan
  variables {
    seconds_per_call = 0
  }
  expect_failures = [var.seconds_per_call]
}

run "ingress_that_is_none" {
  command = plan
  variables {
    ingress = "ALL"
  }
  expect_failures = [var.ingress]
}

run "label_with_capitals" {
  command = plan
  variables {
    labels = { Team = "data" }
  }
  expect_failures = [var.labels]
}

run "sink_to_nowhere" {
  command = plan
  variables {
    log_sink_destination = "gs://logs"
  }
  expect_failures = [var.log_sink_destination]
}

run "no_instances" {
  command = plan
  variables {
    max_instances = 0
  }
  expect_failures = [var.max_instances]
}

run "memory_in_megabytes" {
  command = plan
  variables {
    memory = "1024M"
  }
  expect_failures = [var.memory]
}

run "memory_too_small_for_the_buffer" {
  command = plan
  variables {
    buffer_megabytes = 512
  }
  expect_failures = [var.memory]
}

run "memory_too_small_for_the_concurrency" {
  command = plan
  variables {
    concurrency = 4
  }
  expect_failures = [var.memory]
}

run "name_too_long" {
  command = plan
  variables {
    name = "matomo-fn-of-the-agency"
  }
  expect_failures = [var.name]
}

run "channel_by_name" {
  command = plan
  variables {
    notification_channels = ["mail"]
  }
  expect_failures = [var.notification_channels]
}

run "mail_without_at" {
  command = plan
  variables {
    alert_emails = ["data"]
  }
  expect_failures = [var.alert_emails]
}

run "region_of_many" {
  command = plan
  variables {
    region = "EU"
  }
  expect_failures = [var.region]
}

run "old_runtime" {
  command = plan
  variables {
    runtime = "python310"
  }
  expect_failures = [var.runtime]
}

run "secret_in_a_multi_region" {
  command = plan
  variables {
    secret_locations = ["EU"]
  }
  expect_failures = [var.secret_locations]
}

run "version_of_a_secret_that_is_none" {
  command = plan
  variables {
    secret_versions = { matomo-shop-password = "1" }
  }
  expect_failures = [var.secret_versions]
}

run "version_that_is_none" {
  command = plan
  variables {
    secret_versions = { matomo-shop-token = "latest" }
  }
  expect_failures = [var.secret_versions]
}

run "buffer_of_nothing" {
  command = plan
  variables {
    buffer_megabytes = 0
  }
  expect_failures = [var.buffer_megabytes]
}

run "default_time_zone_in_words" {
  command = plan
  variables {
    time_zone = "berlin time"
  }
  expect_failures = [var.time_zone]
}

run "alerts_that_reach_nobody" {
  command = plan
  variables {
    alert_emails = []
  }
  expect_failures = [var.alert_emails]
}

run "range_of_eight_addresses" {
  command = plan
  variables {
    egress_range = "10.8.0.0/29"
  }
  expect_failures = [var.egress_range]
}

run "range_of_public_addresses" {
  command = plan
  variables {
    egress_range = "8.8.0.0/24"
  }
  expect_failures = [var.egress_range]
}

run "range_in_words" {
  command = plan
  variables {
    egress_range = "default"
  }
  expect_failures = [var.egress_range]
}

run "everybody_may_call" {
  command = plan
  variables {
    http_callers = ["allUsers"]
  }
  expect_failures = [var.http_callers]
}

run "caller_without_kind" {
  command = plan
  variables {
    http_callers = ["me@example.com"]
  }
  expect_failures = [var.http_callers]
}

run "key_by_name" {
  command = plan
  variables {
    connectors = { shop = { kms_key = "my-key" } }
  }
  expect_failures = [var.connectors]
}

run "key_of_a_dataset_that_exists" {
  command = plan
  variables {
    connectors = { shop = { dataset_exists = true, kms_key = "projects/p/locations/eu/keyRings/r/cryptoKeys/k" } }
  }
  expect_failures = [var.connectors]
}

run "one_dataset_that_exists_and_does_not" {
  command = plan
  variables {
    connectors = { a = { dataset = "d", dataset_exists = true }, b = { dataset = "d" } }
  }
  expect_failures = [var.connectors]
}

run "matomo_with_a_token_in_its_address" {
  command = plan
  variables {
    connectors = { shop = { matomo_url = "https://matomo.example.com/?token_auth=x" } }
  }
  expect_failures = [var.connectors]
}

run "matomo_without_scheme" {
  command = plan
  variables {
    connectors = { shop = { matomo_url = "matomo.example.com" } }
  }
  expect_failures = [var.connectors]
}

run "secret_key_by_name" {
  command = plan
  variables {
    secret_kms_keys = { global = "my-key" }
  }
  expect_failures = [var.secret_kms_keys]
}

run "secret_key_of_another_place" {
  command = plan
  variables {
    secret_kms_keys = { europe-west1 = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k" }
  }
  expect_failures = [var.secret_kms_keys]
}

run "events_of_no_site" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "shop" } } }
  }
  expect_failures = [var.connectors]
}

run "events_every_morning_in_words" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "1", schedule = "every minute" } } }
  }
  expect_failures = [var.connectors]
}

run "events_in_a_time_zone_as_offset" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "1", time_zone = "+02:00" } } }
  }
  expect_failures = [var.connectors]
}

run "events_late_at_once" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "1", late_after_minutes = 1 } } }
  }
  expect_failures = [var.connectors]
}

run "events_with_a_key_by_name" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "1", kms_key = "my-key" } } }
  }
  expect_failures = [var.connectors]
}

run "name_of_a_topic_of_events" {
  command = plan
  variables {
    connectors = { shop = { events = { site = "1" } } }
    name       = "matomo-shop-events"
  }
  expect_failures = [var.name]
}

run "everybody_signed_in_may_call_collect" {
  command = plan
  variables {
    collect_callers = ["allAuthenticatedUsers"]
  }
  expect_failures = [var.collect_callers]
}

run "no_instances_of_collect" {
  command = plan
  variables {
    collect_max_instances = 0
  }
  expect_failures = [var.collect_max_instances]
}

run "version_of_a_signature_without_events" {
  command = plan
  variables {
    secret_versions = { matomo-shop-signature = "1" }
  }
  expect_failures = [var.secret_versions]
}
