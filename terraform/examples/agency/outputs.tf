# What Terraform prints after an apply. `terraform output -raw NAME` prints a text to paste and nothing else.
#
# The same file stands in each example, and a test compares them: Terraform passes on a module's outputs one by one, or as one
# object, whose texts it would print with their quotes escaped. A link to one file would break where a folder is copied.

output "backfill" {
  description = "Commands that request a year of each connector; change the dates."
  value       = module.matomo_fn.backfill
}

output "datasets" {
  description = "Datasets of the connectors, as BigQuery writes them."
  value       = module.matomo_fn.datasets
}

output "dead_letters" {
  description = "Commands that show messages that came to nothing; they stay there."
  value       = module.matomo_fn.dead_letters
}

output "egress_address" {
  description = "Address that Matomo is called from, for its firewall; null without egress_range."
  value       = module.matomo_fn.egress_address
}

output "logs" {
  description = "Command that reads the program's log lines of the last day."
  value       = module.matomo_fn.logs
}

output "pause" {
  description = "Commands that pause the schedules, for instance while Matomo refuses the token."
  value       = module.matomo_fn.pause
}

output "resume" {
  description = "Commands that resume the schedules."
  value       = module.matomo_fn.resume
}

output "schedules" {
  description = "When each Scheduler job runs, by the job's name: cron and time zone."
  value       = module.matomo_fn.schedules
}

output "set_config" {
  description = "Commands that set each connector's configuration."
  value       = module.matomo_fn.set_config
}

output "set_signature" {
  description = "Command that asks for the shared secret of each connector's webhook in Segment and sets it: it is in no file, no shell history and no state. Null where no connector has events."
  value       = module.matomo_fn.set_signature
}

output "set_token" {
  description = "Command that asks for each connector's token and sets it: it is in no file, no shell history and no state."
  value       = module.matomo_fn.set_token
}

output "sync_now" {
  description = "Commands that sync each connector through the topic: what is due, over as many deliveries as it takes."
  value       = module.matomo_fn.sync_now
}

output "url" {
  description = "Address of the function sync; null without http_callers. It takes a POST with an identity token of one of them, from where ingress allows."
  value       = module.matomo_fn.url
}

output "webhook_urls" {
  description = "Address of each connector's webhook, to paste into Segment; none where no connector has events."
  value       = module.matomo_fn.webhook_urls
}
