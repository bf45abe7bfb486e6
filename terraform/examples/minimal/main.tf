# The smallest: one Matomo, one dataset, every morning. It is applied where it stands, see docs/deploy.md.

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

# Variables without a default are asked for. Put them into terraform.tfvars, and Cloud Build has them too.

variable "alert_emails" {
  description = "Addresses that are mailed when data is late or a run fails, such as [\"data@example.com\"]."
  type        = set(string)
}

variable "matomo_url" {
  description = "Address of Matomo, such as https://matomo.example.com."
  type        = string
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

variable "region" {
  description = "Region of the function and the schedule."
  type        = string
  default     = "europe-west1"
}

variable "time_zone" {
  description = "Time zone of the schedule: that of your sites."
  type        = string
  default     = "Etc/UTC"
}

provider "google" {
  project = var.project
}

module "matomo_fn" {
  source       = "../.."
  alert_emails = var.alert_emails
  project      = var.project
  region       = var.region
  time_zone    = var.time_zone
  connectors   = { shop = { matomo_url = var.matomo_url } }
}
