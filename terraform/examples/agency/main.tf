# An agency: a Matomo for each client, datasets side by side in one place, alerts, and a weekly look at what changed late.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.12"
    }
  }
}

variable "alert_emails" {
  description = "Who is told when data is late."
  type        = set(string)
  default     = ["data@example.com"]
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

  alert_emails  = var.alert_emails
  labels        = { team = "data" }
  max_instances = 3

  connectors = {
    bakery = {} # every night at half past four

    florist = {
      dataset = "clients_florist"
      schedules = {
        daily = { cron = "0 5 * * *" }
        # Once a week the last 365 days again: what was corrected late in Matomo gets corrected here.
        sweep = { cron = "0 1 * * SUN", mode = "backfill" }
      }
    }

    # Two sites of the same Matomo by themselves, twice a day and in their own time.
    hotels = {
      late_after_hours = 14
      schedules = {
        evening = { cron = "15 18 * * *", time_zone = "America/New_York", sites = ["4", "7"] }
        morning = { cron = "15 6 * * *", time_zone = "America/New_York", sites = ["4", "7"] }
      }
    }
  }
}

output "matomo_fn" {
  description = "What to copy and paste."
  value       = module.matomo_fn
}
