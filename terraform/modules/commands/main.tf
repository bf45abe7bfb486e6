# The commands that a person pastes after an apply. A module without a provider, so that a test prints them by Terraform alone
# and runs what it printed in a shell.
#
# Each output is one text that ends with a line break: `terraform output` shows it as it is, where it would escape the quotes
# of a single line or of a list, and `terraform output -raw NAME` prints nothing else. No comments: an interactive zsh takes
# them for commands.

terraform {
  required_version = ">= 1.9"
}

variable "connectors" {
  description = "Dataset, its key and location, Matomo, whether the present day is synced, and the site of events of each connector, by its name."
  type = map(object({
    dataset     = string
    events_site = optional(string)
    intraday    = optional(bool, false)
    kms_key     = optional(string)
    location    = string
    matomo_url  = string
  }))
  nullable = false
}

variable "dead_letters" {
  description = "Names of the subscriptions that keep dead letters."
  type        = list(string)
  nullable    = false
}

variable "jobs" {
  description = "Names of the Scheduler jobs."
  type        = list(string)
  nullable    = false
}

variable "log_filter" {
  description = "Filter of the program's log lines."
  type        = string
  nullable    = false
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false
}

variable "region" {
  description = "Region of the Scheduler jobs."
  type        = string
  nullable    = false
}

variable "topic" {
  description = "Name of the topic that takes requests."
  type        = string
  nullable    = false
}

output "backfill" {
  description = "Commands that request a year of each connector; change the dates."
  value = join("", [
    for name in keys(var.connectors) :
    "gcloud pubsub topics publish ${var.topic} --project=${var.project} --message='${jsonencode({ connector = name, end_date = "2025-12-31", mode = "backfill", start_date = "2025-01-01" })}'\n"
  ])
}

output "dead_letters" {
  description = "Commands that show messages that came to nothing; they stay there."
  value       = join("", [for subscription in var.dead_letters : "gcloud pubsub subscriptions pull ${subscription} --project=${var.project} --limit=10\n"])
}

output "logs" {
  description = "Command that reads the program's log lines of the last day."
  value       = "gcloud logging read '${var.log_filter}' --project=${var.project} --freshness=1d --format='value(timestamp,severity,jsonPayload.message,jsonPayload.connector,jsonPayload.status,jsonPayload.newest_day,jsonPayload.errors)'\n"
}

output "pause" {
  description = "Commands that pause the schedules, for instance while Matomo refuses the token."
  value       = join("", [for job in var.jobs : "gcloud scheduler jobs pause ${job} --project=${var.project} --location=${var.region}\n"])
}

output "resume" {
  description = "Commands that resume the schedules."
  value       = join("", [for job in var.jobs : "gcloud scheduler jobs resume ${job} --project=${var.project} --location=${var.region}\n"])
}

output "set_config" {
  description = "Commands that set each connector's configuration."
  value = join("", [
    for name, connector in var.connectors :
    "gcloud secrets versions add matomo-${name}-config --project=${var.project} --data-file=- <<'JSON'\n${jsonencode({ for key, value in {
      dataset    = connector.dataset
      events     = one([for site in connector.events_site[*] : { site = site }])
      intraday   = connector.intraday ? true : null
      kms_key    = connector.kms_key
      location   = connector.location
      matomo_url = connector.matomo_url
      sites      = "all"
    } : key => value if value != null })}\nJSON\n"
  ])
}

# One command in parentheses: the shell reads all of it before it runs any of it, so no line of it is taken for a secret, and
# the variable ends with it. Nothing is shown from before the prompt on: `read -s`, which not every shell has, begins after it.
locals {
  events = [for name, connector in var.connectors : name if connector.events_site != null]

  ask = <<-EOT
    (
      trap 'stty echo' EXIT
      trap 'exit 1' INT
      stty -echo
      for connector in %s; do
        printf '%s of connector %%s: ' "$connector" >&2
        IFS= read -r value
        echo >&2
        if [ -z "$value" ]; then echo "left out $connector: no %s given" >&2; continue; fi
        printf %%s "$value" | gcloud secrets versions add "matomo-$connector-%s" --project=%s --data-file=-
      done
    )
  EOT
}

output "set_signature" {
  description = "Command that asks for the shared secret of each connector's webhook in Segment and sets it: it is in no file, no shell history and no state. Null where no connector has events."
  value       = length(local.events) == 0 ? null : format(local.ask, join(" ", local.events), "Shared secret in Segment", "secret", "signature", var.project)
}

output "set_token" {
  description = "Command that asks for each connector's token and sets it: it is in no file, no shell history and no state."
  value       = format(local.ask, join(" ", keys(var.connectors)), "Matomo token", "token", "token", var.project)
}

output "sync_now" {
  description = "Commands that sync each connector through the topic: what is due, over as many deliveries as it takes."
  value = join("", [
    for name in keys(var.connectors) :
    "gcloud pubsub topics publish ${var.topic} --project=${var.project} --message='${jsonencode({ connector = name })}'\n"
  ])
}
