# Texts to paste come from modules/commands; print one by `terraform output -raw NAME`.

module "commands" {
  source = "./modules/commands"

  connectors = { for name, connector in local.connectors : name => {
    dataset     = connector.dataset
    events_site = one(connector.events[*].site)
    intraday    = connector.intraday
    kms_key     = connector.kms_key
    location    = connector.location
    matomo_url  = connector.matomo_url
  } }
  dead_letters = [for subscription in concat([google_pubsub_subscription.dead_letters], values(google_pubsub_subscription.events_dead_letters)) : subscription.name]
  jobs         = [for job in concat(values(google_cloud_scheduler_job.sync), values(google_cloud_scheduler_job.deliver)) : job.name]
  log_filter   = local.log_filter
  project      = var.project
  region       = var.region
  topic        = google_pubsub_topic.requests.name
}

output "backfill" {
  description = "Commands that request a year of each connector; change the dates."
  value       = module.commands.backfill
}

output "datasets" {
  description = "Datasets of the connectors, as BigQuery writes them."
  value       = { for name, connector in local.connectors : name => "${var.project}.${connector.dataset}" }
}

output "dead_letters" {
  description = "Commands that show messages that came to nothing; they stay there."
  value       = module.commands.dead_letters
}

output "egress_address" {
  description = "Address that Matomo is called from, for its firewall; null without egress_range."
  value       = one(google_compute_address.egress[*].address)
}

output "log_sink_writer" {
  description = "Who has to be given the right to write to log_sink_destination; null without one."
  value       = one(google_logging_project_sink.events[*].writer_identity)
}

output "logs" {
  description = "Command that reads the program's log lines of the last day."
  value       = module.commands.logs
}

output "pause" {
  description = "Commands that pause the schedules, for instance while Matomo refuses the token."
  value       = module.commands.pause
}

output "resume" {
  description = "Commands that resume the schedules."
  value       = module.commands.resume
}

output "schedules" {
  description = "When each Scheduler job runs, by the job's name: cron and time zone."
  value       = { for job in concat(values(google_cloud_scheduler_job.sync), values(google_cloud_scheduler_job.deliver)) : job.name => "${job.schedule} ${job.time_zone}" }
}

output "service_accounts" {
  description = "Service accounts, by what they do."
  value = merge(
    { for account in google_service_account.collect : "collect" => account.email },
    {
      build = google_service_account.build.email
      push  = google_service_account.push.email
      run   = google_service_account.run.email
    },
  )
}

output "set_config" {
  description = "Commands that set each connector's configuration."
  value       = module.commands.set_config
}

output "set_signature" {
  description = "Command that asks for the shared secret of each connector's webhook in Segment and sets it: it is in no file, no shell history and no state. Null where no connector has events."
  value       = module.commands.set_signature
}

output "set_token" {
  description = "Command that asks for each connector's token and sets it: it is in no file, no shell history and no state."
  value       = module.commands.set_token
}

output "source_archive" {
  description = "Archive that is deployed; its name carries the hash of its content."
  value       = "gs://${google_storage_bucket.source.name}/${google_storage_bucket_object.source.name}"
}

output "sync_now" {
  description = "Commands that sync each connector through the topic: what is due, over as many deliveries as it takes."
  value       = module.commands.sync_now
}

output "topic" {
  description = "Topic that takes requests."
  value       = google_pubsub_topic.requests.id
}

output "url" {
  description = "Address of the function sync; null without http_callers. It takes a POST with an identity token of one of them, from where ingress allows."
  value       = one(google_cloudfunctions2_function.sync[*].url)
}

output "webhook_urls" {
  description = "Address of each connector's webhook, to paste into Segment; none where no connector has events."
  value       = { for name in keys(local.events) : name => "${google_cloudfunctions2_function.collect[0].service_config[0].uri}/collect/${name}" }
}
