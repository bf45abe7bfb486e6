# The program writes one line for each thing that matters, an event's name and fields (matomo_fn/app/logs.py); what is counted
# and alerted on are those lines. The alerts ask by PromQL: it takes a metric that has no value yet, so that one apply does,
# looks back further than a day, and can count what did not happen. Their windows are 30 minutes, since a count from the log
# may be known 10 minutes late: a window of 10 would miss it.

locals {
  metric_prefix = replace(var.name, "-", "_")
  # Both functions' lines and nobody else's.
  log_source = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(\"${var.name}-sync\" OR \"${var.name}-sync-event\")",
  ])
  # Those of collect too, where it is there. No metric counts them: everybody may call it, and would raise the alert.
  log_filter = join(" AND ", [
    "resource.type=\"cloud_run_revision\"",
    "resource.labels.service_name=(${join(" OR ", formatlist("\"${var.name}-%s\"", concat(["sync", "sync-event"], local.collect == 0 ? [] : ["collect"])))})",
    "jsonPayload.message:*",
  ])
  metrics = {
    fresh_runs = {
      description = "Runs after which every table of every site has the last day that has ended there."
      filter      = "jsonPayload.message=(\"run_finished\" OR \"request_finished\") AND jsonPayload.days_late=0"
      labels      = { connector = "EXTRACT(jsonPayload.connector)" }
    }
    old_pending_runs = {
      description = "Runs that found days pending which ended more than a day before: Matomo does not process them."
      filter      = "jsonPayload.message=(\"run_finished\" OR \"request_finished\") AND jsonPayload.days_pending>0"
      labels      = { connector = "EXTRACT(jsonPayload.connector)" }
    }
    quality_differences = {
      description = "Checks after which a table does not have Matomo's numbers, without a known reason."
      filter      = "jsonPayload.message=\"quality_checked\" AND jsonPayload.differs>0"
      labels      = { connector = "EXTRACT(jsonPayload.connector)" }
    }
    refusals = {
      description = "Requests and messages that can never succeed, such as a misspelt configuration."
      filter      = "jsonPayload.message=(\"request_refused\" OR \"message_refused\")"
      labels      = { message = "EXTRACT(jsonPayload.message)" }
    }
    runs = {
      description = "Runs that ended, by connector and status."
      filter      = "jsonPayload.message=\"run_finished\""
      labels = {
        connector = "EXTRACT(jsonPayload.connector)"
        status    = "EXTRACT(jsonPayload.status)"
      }
    }
    token_refusals = {
      description = "Runs and deliveries that Matomo ended by refusing the token, or by blocking the address for refused tokens."
      filter      = "jsonPayload.message=(\"run_finished\" OR \"deliver_finished\") AND jsonPayload.errors=~\"refused the token|too many refused tokens\""
      labels      = { connector = "EXTRACT(jsonPayload.connector)" }
    }
  }
  events_metrics = {
    rejected_events = {
      description = "Deliveries of which Matomo refused events for good; they stand in _events_rejected."
      filter      = "jsonPayload.message=\"deliver_finished\" AND jsonPayload.rejected>0"
      labels      = { connector = "EXTRACT(jsonPayload.connector)" }
    }
  }
  logs_command = trimspace(module.commands.logs)
  channels     = concat(var.notification_channels, [for channel in google_monitoring_notification_channel.email : channel.id])
}

resource "google_logging_metric" "event" {
  for_each    = merge(local.metrics, { for key, metric in local.events_metrics : key => metric if local.collect == 1 })
  project     = var.project
  name        = "${local.metric_prefix}_${each.key}"
  description = each.value.description
  filter      = "${local.log_source} AND ${each.value.filter}"

  label_extractors = each.value.labels

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    dynamic "labels" {
      for_each = each.value.labels

      content {
        key        = labels.key
        value_type = "STRING"
      }
    }
  }

  depends_on = [time_sleep.services]
}

resource "google_monitoring_notification_channel" "email" {
  for_each     = var.alert_emails
  project      = var.project
  display_name = "matomo-fn: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }

  depends_on = [time_sleep.services]
}

resource "google_monitoring_alert_policy" "run_failed" {
  project               = var.project
  display_name          = "${var.name}: a run failed"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "run_finished with status failed"

    condition_prometheus_query_language {
      query                     = "sum by (connector) (increase(logging_googleapis_com:user_${google_logging_metric.event["runs"].name}{monitored_resource=\"cloud_run_revision\",status=\"failed\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  conditions {
    display_name = "request_refused or message_refused"

    condition_prometheus_query_language {
      query                     = "sum by (message) (increase(logging_googleapis_com:user_${google_logging_metric.event["refusals"].name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A run ended with errors, or a request could not be understood. Its line in the log says what happened and what to do; what failed is requested again by the next run.\n\n`${local.logs_command}`"
  }
}

# Late is the data and not the run: a run may be complete and write no day, a backfill of old years is complete too.
resource "google_monitoring_alert_policy" "late" {
  for_each              = { for name, connector in local.connectors : name => connector if connector.late_after_hours > 0 }
  project               = var.project
  display_name          = "${var.name}: the tables of ${each.key} are late"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { connector = each.key })

  conditions {
    display_name = "the newest day is missing for ${each.value.late_after_hours} hours"

    # "or vector(0)": no line at all is a zero too, also where there has never been one.
    condition_prometheus_query_language {
      query                     = "(sum(increase(logging_googleapis_com:user_${google_logging_metric.event["fresh_runs"].name}{monitored_resource=\"cloud_run_revision\",connector=\"${each.key}\"}[${each.value.late_after_hours}h])) or vector(0)) < 1"
      duration                  = "3600s" # time for the first run after the first apply
      evaluation_interval       = "300s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "For ${each.value.late_after_hours} hours no run of connector ${each.key} ended with the last ended day of every site in every table. The fields newest_day and days_late of run_finished say how far the tables reach. Runs are not started (Cloud Scheduler), killed (memory, timeout), fail, have more to do than their time allows, or run before Matomo has processed the day (then schedule them later).\n\n`${local.logs_command}`"
  }
}

resource "google_monitoring_alert_policy" "pending" {
  project               = var.project
  display_name          = "${var.name}: Matomo does not process days"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "a day is pending that ended more than a day ago"

    condition_prometheus_query_language {
      query                     = "sum by (connector) (increase(logging_googleapis_com:user_${google_logging_metric.event["old_pending_runs"].name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A run asked Matomo for a day that ended more than a day ago, and Matomo has not processed it. Its field oldest_pending_day says which. Look at Matomo's archiving (core:archive) and its errors; the day is requested again by each run.\n\n`${local.logs_command}`"
  }
}

resource "google_monitoring_alert_policy" "quality" {
  project               = var.project
  display_name          = "${var.name}: a table does not have Matomo's numbers"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "quality_checked with differences"

    condition_prometheus_query_language {
      query                     = "sum by (connector) (increase(logging_googleapis_com:user_${google_logging_metric.event["quality_differences"].name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A sync or a reconciliation compared the tables with Matomo's totals, and something differs without a known reason. The findings of quality_checked, and the table _sync_quality, say which table, site and day; `matomo-fn reconcile` fetches the day again and says why. docs/quality.md has what each reason means.\n\n`${local.logs_command}`"
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project
  display_name          = "${var.name}: a message is dead"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "messages wait in ${google_pubsub_subscription.dead_letters.name}"

    condition_prometheus_query_language {
      query                     = "max(pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.dead_letters.name}\"}) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "A message was delivered ${var.delivery_attempts} times and never done. Read it, fix the cause, publish it again and take it off:\n\n`gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead_letters.name} --project=${var.project} --auto-ack`"
  }
}

resource "google_monitoring_alert_policy" "token_refused" {
  project               = var.project
  display_name          = "${var.name}: Matomo refuses the token"
  combiner              = "OR"
  severity              = "CRITICAL"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "run_finished with a refused token"

    condition_prometheus_query_language {
      query                     = "sum by (connector) (increase(logging_googleapis_com:user_${google_logging_metric.event["token_refusals"].name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Matomo refused the token: it is wrong, expired or revoked. Every further attempt brings the address nearer to being blocked, so pause its schedules (output pause) or set a valid token at once (output set_token)."
  }
}

resource "google_monitoring_alert_policy" "events_rejected" {
  count                 = local.collect
  project               = var.project
  display_name          = "${var.name}: Matomo rejects events"
  combiner              = "OR"
  severity              = "WARNING"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "deliver_finished with rejected events"

    condition_prometheus_query_language {
      query                     = "sum by (connector) (increase(logging_googleapis_com:user_${google_logging_metric.event["rejected_events"].name}{monitored_resource=\"cloud_run_revision\"}[30m])) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "Matomo refused events, and would refuse them again. The table _events_rejected of the connector's dataset has each with its reason; the others were delivered.\n\n`${local.logs_command}`"
  }
}

resource "google_monitoring_alert_policy" "events_late" {
  for_each              = { for name, events in local.events : name => events if events.late_after_minutes > 0 }
  project               = var.project
  display_name          = "${var.name}: the events of ${each.key} are late"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = merge(local.labels, { connector = each.key })

  conditions {
    display_name = "an event waits for ${each.value.late_after_minutes} minutes"

    condition_prometheus_query_language {
      query                     = "max(pubsub_googleapis_com:subscription_oldest_unacked_message_age{monitored_resource=\"pubsub_subscription\",subscription_id=\"${google_pubsub_subscription.events[each.key].name}\"}) > ${each.value.late_after_minutes * 60}"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "An event of connector ${each.key} has waited for ${each.value.late_after_minutes} minutes. Deliveries are not started (Cloud Scheduler), fail (Matomo is down, the token is refused), or more comes in than they take. Nothing is lost: an event waits for 31 days, and is a dead letter after 100 attempts.\n\n`${local.logs_command}`"
  }
}

resource "google_monitoring_alert_policy" "events_dead_letters" {
  count                 = local.collect
  project               = var.project
  display_name          = "${var.name}: an event is dead"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "events wait in a subscription of dead letters"

    condition_prometheus_query_language {
      query                     = "max by (subscription_id) (pubsub_googleapis_com:subscription_num_undelivered_messages{monitored_resource=\"pubsub_subscription\",subscription_id=~\"${join("|", [for subscription in google_pubsub_subscription.events_dead_letters : subscription.name])}\"}) > 0"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "An event was given to deliveries 100 times and never done. It waits for 31 days. docs/deploy.md says how to deliver it after all."
  }
}

# What it counts is Cloud Run's own: a function that does not start writes no line. A share, since Segment repeats a single one.
resource "google_monitoring_alert_policy" "collect_failed" {
  count                 = local.collect
  project               = var.project
  display_name          = "${var.name}: events are not taken"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels
  user_labels           = local.labels

  conditions {
    display_name = "more than 5 % of the calls fail or are put off"

    condition_prometheus_query_language {
      query                     = "sum(increase(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${google_cloudfunctions2_function.collect[0].name}\",response_code=~\"429|5..\"}[30m])) > 0.05 * sum(increase(run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\",service_name=\"${google_cloudfunctions2_function.collect[0].name}\"}[30m]))"
      duration                  = "0s"
      evaluation_interval       = "60s"
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "The function collect answers 429 (all of its instances are busy: raise collect_max_instances) or 5xx (Pub/Sub does not take the call, or the function fails). Segment repeats a call for four hours and drops it then.\n\n`${local.logs_command}`"
  }
}

# The program's own lines, for who keeps logs longer or elsewhere.
resource "google_logging_project_sink" "events" {
  count                  = var.log_sink_destination == null ? 0 : 1
  project                = var.project
  name                   = "${var.name}-events"
  description            = "matomo-fn's own log lines."
  destination            = var.log_sink_destination
  filter                 = local.log_filter
  unique_writer_identity = true

  depends_on = [time_sleep.services]
}
