# No default expiration: it would be that of the reports too. Staging tables live in the same datasets, and the program gives
# each its own, one day (warehouse/bigquery.py), beside dropping it at once.
resource "google_bigquery_dataset" "connector" {
  # checkov:skip=CKV_GCP_81: Google's own keys are enough for counts of visits; whoever needs others sets the project's default key
  for_each                   = local.datasets
  project                    = var.project
  dataset_id                 = each.key
  location                   = each.value
  description                = "Matomo's reports, synced by matomo-fn."
  labels                     = local.labels
  delete_contents_on_destroy = false # a destroy stops here rather than lose the tables (docs/deploy.md)

  depends_on = [google_project_service.required]
}
