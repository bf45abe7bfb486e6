# The examples are plans that hold.

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

variables {
  project = "test-project"
}

run "minimal" {
  module {
    source = "./examples/minimal"
  }
  assert {
    condition     = output.matomo_fn.datasets == { shop = "test-project.matomo_shop" } && keys(output.matomo_fn.run_now) == ["shop-daily"]
    error_message = "One connector, one dataset, one schedule."
  }
}

run "agency" {
  module {
    source = "./examples/agency"
  }
  assert {
    condition     = output.matomo_fn.datasets == { bakery = "test-project.matomo_bakery", florist = "test-project.clients_florist", hotels = "test-project.matomo_hotels" }
    error_message = "A dataset for each client."
  }
  assert {
    condition     = keys(output.matomo_fn.run_now) == ["bakery-daily", "florist-daily", "florist-sweep", "hotels-evening", "hotels-morning"]
    error_message = "A job for each connector and schedule."
  }
}
