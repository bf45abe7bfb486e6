# No default expiration: it would be that of the reports too. Staging tables live in the same datasets, and the program gives
# each its own, one day (warehouse/tables.py), beside dropping it at once.
resource "google_bigquery_dataset" "connector" {
  for_each                   = { for name, dataset in local.datasets : name => dataset if !dataset.exists }
  project                    = var.project
  dataset_id                 = each.key
  location                   = each.value.location
  description                = "Matomo's reports, synced by matomo-fn."
  labels                     = merge(local.labels, each.value.labels)
  delete_contents_on_destroy = false # a destroy stops here rather than lose the tables (docs/deploy.md)
  deletion_policy            = var.deletion_protection ? "PREVENT" : "DELETE"

  # Of every table that is made in it, staging tables too.
  dynamic "default_encryption_configuration" {
    for_each = each.value.kms_key == null ? [] : [each.value.kms_key]

    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  depends_on = [google_kms_crypto_key_iam_member.bigquery, time_sleep.services]
}
