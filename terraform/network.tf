# Calls from one address that does not change, for a Matomo behind a firewall: all that the function sends goes into a network
# of its own (Direct VPC egress) and leaves it through Cloud NAT. Google's own APIs are reached from inside.

locals {
  egress = var.egress_range == null ? 0 : 1
}

resource "google_compute_network" "egress" {
  # checkov:skip=CKV2_GCP_18: no rule lets anything in, and the network's implied one refuses it; nothing else is in the network
  count                   = local.egress
  project                 = var.project
  name                    = "${var.name}-egress"
  description             = "matomo-fn calls Matomo through it."
  auto_create_subnetworks = false

  depends_on = [time_sleep.services]
}

resource "google_compute_subnetwork" "egress" {
  # checkov:skip=CKV_GCP_26: Cloud NAT logs what fails; flow logs of calls to Google's APIs and one Matomo cost more than the rest
  count                    = local.egress
  project                  = var.project
  region                   = var.region
  name                     = "${var.name}-egress"
  network                  = google_compute_network.egress[0].id
  ip_cidr_range            = var.egress_range
  private_ip_google_access = true
}

resource "google_compute_address" "egress" {
  count       = local.egress
  project     = var.project
  region      = var.region
  name        = "${var.name}-egress"
  description = "matomo-fn calls Matomo from it."
  labels      = local.labels

  depends_on = [time_sleep.services]
}

resource "google_compute_router" "egress" {
  count   = local.egress
  project = var.project
  region  = var.region
  name    = "${var.name}-egress"
  network = google_compute_network.egress[0].id
}

resource "google_compute_router_nat" "egress" {
  count                              = local.egress
  project                            = var.project
  region                             = var.region
  name                               = "${var.name}-egress"
  router                             = google_compute_router.egress[0].name
  nat_ip_allocate_option             = "MANUAL_ONLY"
  nat_ips                            = [google_compute_address.egress[0].self_link]
  source_subnetwork_ip_ranges_to_nat = "LIST_OF_SUBNETWORKS"

  subnetwork {
    name                    = google_compute_subnetwork.egress[0].id
    source_ip_ranges_to_nat = ["ALL_IP_RANGES"]
  }

  log_config {
    enable = true
    filter = "ERRORS_ONLY"
  }
}
