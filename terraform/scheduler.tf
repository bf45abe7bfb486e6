resource "google_cloud_scheduler_job" "sync" {
  for_each         = local.schedules
  project          = var.project
  region           = var.region
  name             = "${var.name}-${each.key}"
  description      = "Syncs Matomo's connector ${each.value.connector}."
  schedule         = each.value.cron
  time_zone        = each.value.time_zone
  paused           = each.value.paused
  attempt_deadline = "${local.scheduler_deadline}s"

  # The attempts of one schedule have the same request id, so each goes on where the one before stopped.
  retry_config {
    retry_count          = var.retry_count
    min_backoff_duration = "300s"
    max_backoff_duration = "3600s"
    max_doublings        = 3
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.sync.service_config[0].uri
    body        = base64encode(jsonencode(each.value.request))
    headers     = { "Content-Type" = "application/json" }

    oidc_token {
      audience              = google_cloudfunctions2_function.sync.service_config[0].uri
      service_account_email = google_service_account.schedule.email
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_binding.sync]
}
