locals {
  logs_command = "gcloud logging read '${local.log_source} AND jsonPayload.message:*' --project=${var.project} --freshness=1d --format='value(timestamp,severity,jsonPayload.message,jsonPayload.connector,jsonPayload.status,jsonPayload.errors)'"
}

output "backfill" {
  description = "Commands that fetch a year by a message; a message goes on over as many deliveries as it needs."
  value = {
    for name in keys(var.connectors) : name => "gcloud pubsub topics publish ${google_pubsub_topic.requests.name} --project=${var.project} --message='${jsonencode({ connector = name, end_date = "2025-12-31", mode = "backfill", start_date = "2025-01-01" })}'"
  }
}

output "datasets" {
  description = "Datasets of the connectors, as BigQuery writes them."
  value       = { for name, connector in local.connectors : name => "${var.project}.${connector.dataset}" }
}

output "dead_letters" {
  description = "Command that reads the messages that came to nothing; they stay there."
  value       = "gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letters.name} --project=${var.project} --limit=10"
}

output "log_sink_writer" {
  description = "Who has to be given the right to write to log_sink_destination; null without one."
  value       = one(google_logging_project_sink.events[*].writer_identity)
}

output "logs" {
  description = "Command that reads the program's log lines of the last day."
  value       = local.logs_command
}

output "run_now" {
  description = "Commands that start a schedule's job at once."
  value = {
    for key, job in google_cloud_scheduler_job.sync : key => "gcloud scheduler jobs run ${job.name} --project=${var.project} --location=${var.region}"
  }
}

output "service_accounts" {
  description = "Service accounts, by what they do."
  value = {
    build    = google_service_account.build.email
    push     = google_service_account.push.email
    run      = google_service_account.run.email
    schedule = google_service_account.schedule.email
  }
}

output "set_config" {
  description = "Commands that set a connector's configuration; put in your Matomo's address."
  value = {
    for name, connector in local.connectors : name => "gcloud secrets versions add ${google_secret_manager_secret.connector["matomo-${name}-config"].secret_id} --project=${var.project} --data-file=- <<'JSON'\n${jsonencode({ dataset = connector.dataset, location = connector.location, matomo_url = "https://matomo.example.com", sites = "all" })}\nJSON"
  }
}

output "set_token" {
  description = "Commands that ask for a connector's token and set it: it stands in no file, no history, no state."
  value = {
    for name in keys(var.connectors) : name => "read -rs -p 'Token: ' TOKEN && printf %s \"$TOKEN\" | gcloud secrets versions add ${google_secret_manager_secret.connector["matomo-${name}-token"].secret_id} --project=${var.project} --data-file=-; unset TOKEN"
  }
}

output "source_archive" {
  description = "Archive that is deployed; its name carries the hash of its content."
  value       = "gs://${google_storage_bucket.source.name}/${google_storage_bucket_object.source.name}"
}

output "topic" {
  description = "Topic that takes requests."
  value       = google_pubsub_topic.requests.id
}

output "url" {
  description = "Address of the function sync. It takes a POST with an identity token of a caller with the role run.invoker, from where var.ingress allows."
  value       = google_cloudfunctions2_function.sync.service_config[0].uri
}
