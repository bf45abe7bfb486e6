# The examples are plans that hold.

mock_provider "time" {}

mock_provider "google" {
  mock_resource "google_cloudfunctions2_function" {
    defaults = { service_config = { uri = "https://function.example.run.app" } }
  }
  mock_resource "google_service_account" {
    defaults = {
      email  = "someone@test-project.iam.gserviceaccount.com"
      id     = "projects/test-project/serviceAccounts/someone@test-project.iam.gserviceaccount.com"
      member = "serviceAccount:someone@test-project.iam.gserviceaccount.com"
      name   = "projects/test-project/serviceAccounts/someone@test-project.iam.gserviceaccount.com"
    }
  }
}

# An example names no provider time, so that its waits would be real ones, three minutes for each run.
override_resource {
  target = module.matomo_fn.time_sleep.iam
}

override_resource {
  target = module.matomo_fn.time_sleep.services
}

variables {
  alert_emails = ["data@example.com"]
  project      = "test-project"
}

run "minimal" {
  module {
    source = "./examples/minimal"
  }
  variables {
    matomo_url = "https://data.example.com"
    time_zone  = "Europe/Berlin"
  }
  assert {
    condition     = output.datasets == { shop = "test-project.matomo_shop" } && keys(output.schedules) == ["matomo-fn_shop_daily", "matomo-fn_shop_sweep_monthly", "matomo-fn_shop_sweep_weekly"] && endswith(output.schedules["matomo-fn_shop_daily"], " 4 * * * Europe/Berlin")
    error_message = "One connector, one dataset, a daily schedule and two sweeps."
  }
  assert {
    condition     = output.set_config == "gcloud secrets versions add matomo-shop-config --project=test-project --data-file=- <<'JSON'\n{\"dataset\":\"matomo_shop\",\"location\":\"EU\",\"matomo_url\":\"https://data.example.com\",\"sites\":\"all\"}\nJSON\n"
    error_message = "The configuration needs no editing."
  }
}

run "agency" {
  module {
    source = "./examples/agency"
  }
  assert {
    condition     = output.datasets == { bakery = "test-project.matomo_bakery", florist = "test-project.clients_florist", hotels = "test-project.matomo_hotels" }
    error_message = "A dataset for each client."
  }
  assert {
    condition     = keys(output.schedules) == ["matomo-fn_bakery_daily", "matomo-fn_bakery_events_deliver", "matomo-fn_bakery_sweep_monthly", "matomo-fn_bakery_sweep_weekly", "matomo-fn_florist_daily", "matomo-fn_florist_sweep_weekly", "matomo-fn_hotels_evening", "matomo-fn_hotels_intraday_hourly", "matomo-fn_hotels_morning", "matomo-fn_hotels_sweep_monthly", "matomo-fn_hotels_sweep_weekly"]
    error_message = "A job for each connector, schedule and sweep, one for the present day, and one for the events."
  }
  assert {
    condition     = keys(output.webhook_urls) == ["bakery"] && strcontains(output.set_signature, "for connector in bakery; do")
    error_message = "One client's Segment."
  }
  assert {
    condition     = output.egress_address != null
    error_message = "An address for the clients' firewalls."
  }
}

run "a_project_for_each_connector" {
  module {
    source = "./tests/projects"
  }
  variables {
    clients = { bakery = "bakery-data-1", florist = "florist-data-1" }
  }
  assert {
    condition     = output.datasets == { bakery = "bakery-data-1.matomo_bakery", florist = "florist-data-1.matomo_florist" }
    error_message = "The module once for each project, one state for all."
  }
}
