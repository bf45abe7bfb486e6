# The smallest: one Matomo, one dataset, every morning.

terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.12"
    }
  }
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
}

provider "google" {
  project = var.project
}

module "matomo_fn" {
  source     = "../.."
  project    = var.project
  connectors = { shop = {} }
}

output "matomo_fn" {
  description = "What to copy and paste."
  value       = module.matomo_fn
}
