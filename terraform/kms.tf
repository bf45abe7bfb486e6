# Keys of one's own (CMEK) for what may not be everybody's: datasets and secrets. The source archive and the images are this
# public program, and a message names a connector and days.

locals {
  dataset_kms_keys = distinct([for dataset in values(local.datasets) : dataset.kms_key if dataset.kms_key != null && !dataset.exists])
  kms_keys         = distinct(concat(local.dataset_kms_keys, values(var.secret_kms_keys)))
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

resource "google_kms_crypto_key_iam_member" "secrets" {
  for_each      = toset(values(var.secret_kms_keys))
  crypto_key_id = each.value
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = local.secrets_agent

  depends_on = [time_sleep.services]
}
