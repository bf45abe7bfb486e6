# Keys of one's own (CMEK) for what may not be everybody's: datasets, secrets, and events that wait. The source archive and the
# images are this public program, and a request names a connector and days.

locals {
  dataset_kms_keys = distinct([for dataset in values(local.datasets) : dataset.kms_key if dataset.kms_key != null && !dataset.exists])
  events_kms_keys  = distinct([for events in values(local.events) : events.kms_key if events.kms_key != null])
  kms_keys         = distinct(concat(local.dataset_kms_keys, local.events_kms_keys, values(var.secret_kms_keys)))
}

# Asking for it makes BigQuery's service account, if the project has none yet.
data "google_bigquery_default_service_account" "this" {
  count   = length(local.dataset_kms_keys) == 0 ? 0 : 1
  project = var.project

  depends_on = [time_sleep.services]
}

resource "google_kms_crypto_key_iam_member" "bigquery" {
  for_each      = toset(local.dataset_kms_keys)
  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${data.google_bigquery_default_service_account.this[0].email}"
}

resource "google_kms_crypto_key_iam_member" "events" {
  for_each      = toset(local.events_kms_keys)
  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.pubsub_agent

  depends_on = [google_pubsub_topic.requests] # Pub/Sub's account is there once it has been asked for something
}

resource "google_kms_crypto_key_iam_member" "secrets" {
  for_each      = toset(values(var.secret_kms_keys))
  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.secrets_agent

  depends_on = [time_sleep.services]
}
