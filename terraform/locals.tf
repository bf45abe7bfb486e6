locals {
  labels = merge(var.labels, { app = var.name })

  # Times in harmony. Callers time out later than what they call, so that nothing is cut off:
  #
  #   caller's deadline   Pub/Sub: 600 s is the most that a subscription knows; over HTTP: var.http_deadline
  #   − 30 s              the function's timeout: a cold start (its imports take 1.5 s) and the answer's way back
  #   − 60 s              the program's time budget: it stops asking Matomo 60 s before that, writes what it has, and cuts
  #                       each call to Matomo and BigQuery to what is left of the budget
  #
  # A run that ended by its budget has logged what it did; one killed by the timeout would lose its buffer.
  ack_deadline       = 600
  sync_timeout       = var.http_deadline - 30
  sync_event_timeout = local.ack_deadline - 30
  sync_budget        = local.sync_timeout - 60
  sync_event_budget  = local.sync_event_timeout - 60

  connectors = {
    for name, connector in var.connectors : name => {
      # The program's own default is the same one (matomo_fn/config/connector.py).
      dataset    = coalesce(connector.dataset, "matomo_${replace(name, "-", "_")}")
      events     = connector.events
      exists     = connector.dataset_exists
      intraday   = connector.intraday_schedule != null
      kms_key    = connector.kms_key
      location   = coalesce(connector.location, var.dataset_location)
      matomo_url = connector.matomo_url
      # By the schedule that runs most often: every day, some days of the week, or some of the month; and six hours to spare.
      # Only of those that are about everything: a run about some tables, sites or the present day, a sweep and an audit do not
      # say how late the data is.
      late_after_hours = coalesce(connector.late_after_hours, min(concat([local.no_schedule], [
        for schedule in values(connector.schedules) :
        can(regex(" \\* \\* \\*$", coalesce(schedule.cron, local.daily))) ? 30 :
        can(regex(" \\* \\* [^ ]+$", coalesce(schedule.cron, local.daily))) ? 174 : 750
        if !schedule.paused && schedule.sites == null && schedule.tables == null && contains(["incremental", "backfill", "full_refresh"], coalesce(schedule.mode, "incremental"))
      ])...) % local.no_schedule)
    }
  }
  datasets = {
    for dataset in distinct([for connector in values(local.connectors) : connector.dataset]) :
    dataset => [for name, connector in local.connectors : {
      exists  = connector.exists
      kms_key = connector.kms_key
      # Whose costs they are, where it is one connector's.
      labels   = length([for other in values(local.connectors) : other if other.dataset == dataset]) == 1 ? { connector = name } : {}
      location = connector.location
    } if connector.dataset == dataset][0]
  }
  # A name has no underscore, so the parts of a job's name say whose it is: shop and eu-daily is another job than shop-eu and
  # daily.
  schedules = merge([
    for name, connector in var.connectors : {
      for key, schedule in connector.schedules : "${name}/${key}" => {
        connector = name
        cron      = coalesce(schedule.cron, replace(local.daily, "MINUTE", local.minutes[name]))
        job       = "${var.name}_${name}_${key}"
        paused    = schedule.paused
        request = { for field, value in {
          connector = name
          days      = schedule.days
          mode      = schedule.mode
          sites     = schedule.sites
          tables    = schedule.tables
        } : field => value if value != null }
        time_zone = coalesce(schedule.time_zone, var.time_zone)
      }
    }
  ]...)
  # Their jobs' names have one part more, so that no schedule's name can be the same.
  sweeps = merge([
    for name, connector in var.connectors : {
      for key, sweep in connector.sweeps : "${name}/sweep/${key}" => {
        connector = name
        cron      = coalesce(sweep.cron, replace(sweep.days <= 31 ? local.weekly : local.monthly, "MINUTE", local.minutes[name]))
        job       = "${var.name}_${name}_sweep_${key}"
        paused    = sweep.paused
        request   = { connector = name, days = sweep.days, mode = "sweep" }
        time_zone = coalesce(sweep.time_zone, var.time_zone)
      }
    }
  ]...)
  intraday = { for name, connector in var.connectors : "${name}/intraday/hourly" => {
    connector = name
    cron      = coalesce(connector.intraday_schedule.cron, replace(local.hourly, "MINUTE", local.minutes[name]))
    job       = "${var.name}_${name}_intraday_hourly"
    paused    = connector.intraday_schedule.paused
    request   = { connector = name, mode = "intraday" }
    time_zone = coalesce(connector.intraday_schedule.time_zone, var.time_zone)
  } if connector.intraday_schedule != null }
  # The minute is the connector's own, by the hash of its name: many connectors are spread over the hour, and none moves when
  # another one is added.
  minutes     = { for name in keys(var.connectors) : name => parseint(substr(sha256(name), 0, 8), 16) % 60 }
  daily       = "MINUTE 4 * * *"
  hourly      = "MINUTE * * * *"
  monthly     = "MINUTE 2 1 * *"
  weekly      = "MINUTE 2 * * 0"
  no_schedule = 100000 # hours; what is never due is never late

  requests_topic = "${var.name}-requests"

  # Connectors that take Segment's calls. Without any, nothing of events.tf is made.
  events = { for name, connector in local.connectors : name => {
    job                = "${var.name}_${name}_events_deliver" # one part more than the name of a schedule's job
    kms_key            = connector.events.kms_key
    late_after_minutes = connector.events.late_after_minutes
    paused             = connector.events.paused
    schedule           = connector.events.schedule
    time_zone          = coalesce(connector.events.time_zone, var.time_zone)
    # The program's names (docs/events.md).
    signature    = "matomo-${name}-signature"
    topic        = "matomo-${name}-events"
    dead_letters = "matomo-${name}-events-dead-letters"
  } if connector.events != null }
  collect = length(local.events) == 0 ? 0 : 1
  # Calls that an instance of collect serves at once, each by a thread of its own.
  collect_concurrency = 20

  # Each with its connector: what a sync reads, and what is read by collect alone.
  run_secrets     = merge([for name in keys(var.connectors) : { "matomo-${name}-config" = name, "matomo-${name}-token" = name }]...)
  collect_secrets = merge([for name in keys(local.events) : { "matomo-${name}-config" = name, (local.events[name].signature) = name }]...)
  secrets         = merge(local.run_secrets, local.collect_secrets)

  # Every setting of the program (matomo_fn/config/settings.py), and MATOMO_FN_TIME_BUDGET beside each function.
  # BIGQUERY_EMULATOR_HOST and PUBSUB_EMULATOR_HOST never stand here: they would send rows and events elsewhere.
  environment = { for name, value in {
    GOOGLE_CLOUD_PROJECT              = var.project
    MATOMO_FN_LOG_FORMAT              = "json"
    MATOMO_FN_SECRETS                 = "secret-manager"
    MATOMO_FN_SECRET_VERSIONS         = join(",", [for secret, version in var.secret_versions : "${secret}=${version}"])
    MATOMO_FN_ALLOW_PRIVATE_ADDRESSES = var.allow_private_addresses ? "" : "false"
    MATOMO_FN_BUFFER_MEGABYTES        = tostring(var.buffer_megabytes)
    MATOMO_FN_CONNECTORS              = join(",", sort(keys(var.connectors)))
    MATOMO_FN_REQUESTS_TOPIC          = local.requests_topic
    MATOMO_FN_SECONDS_PER_CALL        = tostring(var.seconds_per_call)
    MATOMO_FN_WAREHOUSE               = "bigquery"
  } : name => value if value != "" }
  # Of these what collect reads, and its own: it neither calls Matomo nor writes a table.
  collect_environment = merge(
    { for name, value in local.environment : name => value if contains(["GOOGLE_CLOUD_PROJECT", "MATOMO_FN_LOG_FORMAT", "MATOMO_FN_SECRETS"], name) },
    {
      MATOMO_FN_CONNECTORS = join(",", sort(keys(local.events)))
      THREADS              = tostring(local.collect_concurrency) # of gunicorn; by itself it starts four for a CPU
    },
    { for name, value in { MATOMO_FN_SECRET_VERSIONS = join(",", [for secret, version in var.secret_versions : "${secret}=${version}" if contains(keys(local.collect_secrets), secret)]) } : name => value if value != "" },
  )
}
