# An agency: a Matomo for each client, datasets side by side in one place, alerts, the present day by the hour for one
# client, and the calls of another one's Segment. What changed late in Matomo is looked for each week and month.

terraform {
  required_version = ">= 1.9"

  # In the bucket that bootstrap.sh makes: terraform init -backend-config=bucket=PROJECT-matomo-fn-terraform
  backend "gcs" {
    prefix = "matomo-fn"
  }

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.33"
    }
  }
}

variable "alert_emails" {
  description = "Addresses that are mailed when data is late or a run fails, such as [\"data@example.com\"]."
  type        = set(string)
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

provider "google" {
  project = var.project
}

module "matomo_fn" {
  source = "../.."

  project          = var.project
  region           = "europe-west3"
  dataset_location = "europe-west3" # of every connector that names no other
  secret_locations = ["europe-west3"]
  time_zone        = "Europe/Berlin"

  # Calls from one address, which the clients' firewalls let in.
  egress_range = "10.8.0.0/26"

  alert_emails  = var.alert_emails
  labels        = { team = "data" }
  max_instances = 3

  connectors = {
    # Every night past four, at a minute of its own. Segment's calls go to site 3 of its Matomo each minute.
    bakery = {
      events     = { site = "3" }
      matomo_url = "https://matomo.bakery.example.com"
    }

    # A dataset that is there already: it gets the right to be written, and nothing else.
    florist = {
      dataset        = "clients_florist"
      dataset_exists = true
      matomo_url     = "https://matomo.florist.example.com"
      schedules      = { daily = { cron = "0 5 * * *" } }
      # Once a week the last 365 days again: what was corrected late in Matomo gets corrected here. By default it is 30 days each
      # week and 365 days each month.
      sweeps = { weekly = { cron = "0 1 * * SUN", days = 365 } }
    }

    # In its own time, twice a day, and the present day at each hour of work.
    hotels = {
      intraday_schedule = { cron = "40 8-20 * * *", time_zone = "America/New_York" }
      late_after_hours  = 14
      matomo_url        = "https://matomo.hotels.example.com"
      schedules = {
        evening = { cron = "15 18 * * *", time_zone = "America/New_York" }
        morning = { cron = "15 6 * * *", time_zone = "America/New_York" }
      }
    }
  }
}
