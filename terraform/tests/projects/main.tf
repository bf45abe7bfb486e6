# A project for each connector, as docs/deploy.md shows it: the module once for each.

terraform {
  required_providers {
    google = {
      source = "hashicorp/google"
    }
    time = {
      source = "hashicorp/time"
    }
  }
}

variable "alert_emails" {
  type = set(string)
}

variable "clients" {
  type = map(string)
}

module "matomo_fn" {
  source       = "../.."
  for_each     = var.clients
  alert_emails = var.alert_emails
  connectors   = { (each.key) = {} }
  project      = each.value
}

output "datasets" {
  value = merge([for client in module.matomo_fn : client.datasets]...)
}
