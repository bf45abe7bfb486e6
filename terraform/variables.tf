variable "alert_emails" {
  description = "Addresses that alerts are mailed to; each becomes a notification channel. Give one, or channels of your own (notification_channels): alerts that reach nobody are none."
  type        = set(string)
  nullable    = false

  validation {
    condition     = alltrue([for address in var.alert_emails : can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", address))])
    error_message = "Each of alert_emails has to be an address such as data@example.com."
  }
  validation {
    condition     = length(var.alert_emails) + length(var.notification_channels) > 0
    error_message = "Alerts reach nobody: give an address in alert_emails or a channel in notification_channels."
  }
}

variable "allow_private_addresses" {
  description = "Whether a Matomo may be at an address that is not public. Set it to false where people who are not trusted with the functions' network write configurations (MATOMO_FN_ALLOW_PRIVATE_ADDRESSES). Metadata servers are refused in any case."
  type        = bool
  default     = true
  nullable    = false
}

variable "buffer_megabytes" {
  description = "Megabytes of rows that a run gathers before it writes them (MATOMO_FN_BUFFER_MEGABYTES)."
  type        = number
  default     = 128
  nullable    = false

  validation {
    condition     = var.buffer_megabytes == floor(var.buffer_megabytes) && var.buffer_megabytes >= 1 && var.buffer_megabytes <= 1024
    error_message = "buffer_megabytes has to be a whole number from 1 to 1024."
  }
}

variable "collect_callers" {
  description = "Who may call the function collect, which takes Segment's calls: everybody by default, since Segment cannot sign in with Google; each call is held to its signature. An empty set gives nobody the right, for an organization that refuses allUsers (docs/deploy.md); a gateway's account may stand here."
  type        = set(string)
  default     = ["allUsers"]
  nullable    = false

  validation {
    condition     = alltrue([for caller in var.collect_callers : caller == "allUsers" || can(regex("^(domain|group|serviceAccount|user):[^ ]+$", caller))])
    error_message = "Each of collect_callers has to be allUsers or a member such as serviceAccount:gateway@my-project.iam.gserviceaccount.com."
  }
}

variable "collect_max_instances" {
  description = "Instances of the function collect at most, each for 20 calls at once: a bound for the bill, since everybody may call it. Calls beyond are refused by 429, and Segment sends them again."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.collect_max_instances == floor(var.collect_max_instances) && var.collect_max_instances >= 1 && var.collect_max_instances <= 100
    error_message = "collect_max_instances has to be a whole number from 1 to 100."
  }
}

variable "concurrency" {
  description = "Requests that one instance serves at once. 1 keeps a run's memory its own; more saves instances where many small connectors share a schedule, and needs the memory (see memory)."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.concurrency == floor(var.concurrency) && var.concurrency >= 1 && var.concurrency <= 8
    error_message = "concurrency has to be a whole number from 1 to 8."
  }
}

variable "connectors" {
  description = <<-EOT
    What to sync, by the connector's name: one Matomo instance into one dataset.

    dataset: the dataset's name, by default matomo_<name>; several connectors may share one.
    dataset_exists: the dataset is there already and stays its owner's: it gets the right to be written, and nothing else.
    events: takes Segment's calls and delivers them to Matomo (docs/events.md); left out, nothing of it is made. site: Matomo's
    site that they are for, for the command that sets the configuration. schedule: when they are delivered, cron in five fields
    and in time_zone; every minute by default. late_after_minutes: alert where an event has waited for so long; 0 for no such
    alert. kms_key: key that encrypts waiting events (CMEK). paused for a job that waits for your hand.
    intraday_schedule: asks for the present day of each site, and for nothing else, by default every hour at the connector's own
    minute; left out, nobody does. {} is enough. The configuration needs "intraday" (docs/configuration.md).
    kms_key: key that encrypts the dataset's tables (CMEK), in the dataset's location; Google's own by default.
    late_after_hours: alert where the newest day was missing for so long; 0 for no such alert. By default what the schedule
    promises: 30 where one runs every day, 174 where some days of the week, 750 otherwise. Only schedules count that name neither
    sites nor tables; give sites that have a schedule of their own a connector of their own.
    location: of the dataset, by default dataset_location.
    matomo_url: address of Matomo, for the command that sets the configuration (output set_config).
    schedules: by name, when to ask for what. cron in five fields and in time_zone, by default at the connector's own minute
    past four; tables, sites and mode as in a request (README), left out for everything that is due; paused for a job that
    waits for your hand. days is how far a schedule of mode sweep or reconcile looks back.
    sweeps: by name, when to fetch again what the tables have of the last days, since Matomo may have changed them, and to audit
    the tables. By default 30 days each week and 365 days each month, at night; {} for none. cron by default past two, on Sunday
    for 31 days or fewer, and on the first of the month for more.
  EOT
  type = map(object({
    dataset        = optional(string)
    dataset_exists = optional(bool, false)
    events = optional(object({
      kms_key            = optional(string)
      late_after_minutes = optional(number, 15)
      paused             = optional(bool, false)
      schedule           = optional(string, "* * * * *")
      site               = string
      time_zone          = optional(string)
    }))
    intraday_schedule = optional(object({
      cron      = optional(string)
      paused    = optional(bool, false)
      time_zone = optional(string)
    }))
    kms_key          = optional(string)
    late_after_hours = optional(number)
    location         = optional(string)
    matomo_url       = optional(string, "https://matomo.example.com")
    schedules = optional(map(object({
      cron      = optional(string)
      days      = optional(number)
      mode      = optional(string)
      paused    = optional(bool, false)
      sites     = optional(list(string))
      tables    = optional(list(string))
      time_zone = optional(string)
    })), { daily = {} })
    sweeps = optional(map(object({
      cron      = optional(string)
      days      = number
      paused    = optional(bool, false)
      time_zone = optional(string)
    })), { monthly = { days = 365 }, weekly = { days = 30 } })
  }))
  nullable = false

  validation {
    condition     = length(var.connectors) > 0
    error_message = "connectors names none: give at least one, such as { shop = {} }."
  }
  validation {
    condition     = alltrue([for name in keys(var.connectors) : can(regex("^[a-z][a-z0-9-]{0,62}$", name)) && name != "all"])
    error_message = "A connector's name is lower-case letters, digits and hyphens, begins with a letter and has at most 63 of them; \"all\" stands for every connector."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : connector.dataset == null || can(regex("^[A-Za-z0-9_]+$", connector.dataset))])
    error_message = "A connector's dataset is letters, digits and underscores."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : connector.location == null || can(regex("^(EU|US|[a-z]+(-[a-z]+)+[0-9]+)$", connector.location))])
    error_message = "A connector's location is a place of BigQuery such as EU, US or europe-west1."
  }
  validation {
    condition = alltrue([
      for dataset in distinct([for name, connector in var.connectors : coalesce(connector.dataset, "matomo_${replace(name, "-", "_")}")]) :
      length(distinct([
        for name, connector in var.connectors : coalesce(connector.location, var.dataset_location)
        if coalesce(connector.dataset, "matomo_${replace(name, "-", "_")}") == dataset
      ])) == 1
    ])
    error_message = "Connectors that share a dataset have to name the same location: a dataset is in one place."
  }
  validation {
    condition = alltrue([
      for dataset in distinct([for name, connector in var.connectors : coalesce(connector.dataset, "matomo_${replace(name, "-", "_")}")]) :
      length(distinct([
        for name, connector in var.connectors : "${connector.dataset_exists} ${connector.kms_key == null ? "" : connector.kms_key}"
        if coalesce(connector.dataset, "matomo_${replace(name, "-", "_")}") == dataset
      ])) == 1
    ])
    error_message = "Connectors that share a dataset have to agree on dataset_exists and kms_key."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : connector.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", connector.kms_key))])
    error_message = "A connector's kms_key has to read like projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : !(connector.dataset_exists && connector.kms_key != null)])
    error_message = "A dataset that exists keeps its own key: leave kms_key out, or give the dataset a default key by hand."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : can(regex("^https?://[^ ?#@'\"]+$", connector.matomo_url))])
    error_message = "A connector's matomo_url has to be an address such as https://matomo.example.com, without user name, ? or #."
  }
  validation {
    condition     = alltrue([for connector in values(var.connectors) : connector.late_after_hours == null || try(connector.late_after_hours == 0 || (connector.late_after_hours >= 2 && connector.late_after_hours <= 750), false)])
    error_message = "late_after_hours is from 2 to 750, or 0 for no such alert."
  }
  validation {
    condition     = alltrue(flatten([for connector in values(var.connectors) : [for name in concat(keys(connector.schedules), keys(connector.sweeps)) : can(regex("^[a-z][a-z0-9-]{0,62}$", name))]]))
    error_message = "The name of a schedule or a sweep is lower-case letters, digits and hyphens, and begins with a letter."
  }
  validation {
    # Its five fields, their characters and their ranges: Terraform's provider takes any text, and Scheduler refuses it at the apply.
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for cron in concat([for schedule in concat(values(connector.schedules), values(connector.sweeps), connector.intraday_schedule[*]) : schedule.cron], connector.events[*].schedule) : cron == null || can(regex(join(" ", [
        "^(\\*|[0-5]?[0-9])([-/,][0-5]?[0-9])*",
        "(\\*|[01]?[0-9]|2[0-3])([-/,]([01]?[0-9]|2[0-3]))*",
        "(\\*|[1-9]|[12][0-9]|3[01])([-/,]([1-9]|[12][0-9]|3[01]))*",
        "(\\*|[1-9]|1[0-2]|[A-Za-z]{3})([-/,]([1-9]|1[0-2]|[A-Za-z]{3}))*",
        "(\\*|[0-7]|[A-Za-z]{3})([-/,]([0-7]|[A-Za-z]{3}))*$",
      ]), cron))
    ]]))
    error_message = "A cron of a schedule, a sweep or intraday_schedule, and the schedule of events, is five fields (minute, hour, day, month, weekday), such as \"30 4 * * *\"."
  }
  validation {
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for schedule in values(connector.schedules) : schedule.mode == null || contains(["incremental", "intraday", "sweep", "backfill", "full_refresh", "audit", "reconcile"], coalesce(schedule.mode, "-"))
    ]]))
    error_message = "A schedule's mode is incremental, intraday, sweep, backfill, full_refresh, audit or reconcile."
  }
  validation {
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for schedule in values(connector.schedules) : schedule.days == null || contains(["sweep", "reconcile"], coalesce(schedule.mode, "-"))
    ]]))
    error_message = "Only a schedule of mode sweep or reconcile has days."
  }
  validation {
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for days in concat([for schedule in values(connector.schedules) : schedule.days], [for sweep in values(connector.sweeps) : sweep.days]) :
      days == null || try(days == floor(days) && days >= 1 && days <= 36600, false)
    ]]))
    error_message = "The days of a sweep or reconciliation are a whole number from 1 to 36600."
  }
  validation {
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for time_zone in concat([for schedule in concat(values(connector.schedules), values(connector.sweeps), connector.intraday_schedule[*]) : schedule.time_zone], connector.events[*].time_zone) :
      time_zone == null || can(regex("^(UTC|Etc/UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$", time_zone))
    ]]))
    error_message = "A time_zone is a name such as Europe/Berlin or Etc/UTC."
  }
  validation {
    condition = alltrue(flatten([for connector in values(var.connectors) : [
      for schedule in values(connector.schedules) : alltrue([for site in coalesce(schedule.sites, []) : can(regex("^[1-9][0-9]{0,9}$", site))])
    ]]))
    error_message = "A schedule's sites are the ids of Matomo's sites, such as [\"1\", \"2\"]."
  }
  validation {
    condition     = alltrue([for events in flatten([for connector in values(var.connectors) : connector.events[*]]) : can(regex("^[1-9][0-9]{0,9}$", events.site))])
    error_message = "The site of events is the id of one of Matomo's sites, such as \"1\"."
  }
  validation {
    condition     = alltrue([for events in flatten([for connector in values(var.connectors) : connector.events[*]]) : events.late_after_minutes == 0 || (events.late_after_minutes >= 5 && events.late_after_minutes <= 10080)])
    error_message = "late_after_minutes of events is from 5 to 10080, a week, or 0 for no such alert."
  }
  validation {
    condition     = alltrue([for events in flatten([for connector in values(var.connectors) : connector.events[*]]) : events.kms_key == null || can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", events.kms_key))])
    error_message = "The kms_key of events has to read like projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
}

variable "dataset_location" {
  description = "Where BigQuery keeps the datasets, unless a connector says otherwise: EU, US or a region. It cannot be changed later."
  type        = string
  default     = "EU"
  nullable    = false

  validation {
    condition     = can(regex("^(EU|US|[a-z]+(-[a-z]+)+[0-9]+)$", var.dataset_location))
    error_message = "dataset_location has to be a place of BigQuery such as EU, US or europe-west1."
  }
}

variable "deletion_protection" {
  description = "Refuse to delete datasets, secrets, and topics and subscriptions of events, by destroy or by taking a connector or its events out. Set it to false and apply, before you do either."
  type        = bool
  default     = true
  nullable    = false
}

variable "delivery_attempts" {
  description = "Deliveries of a Pub/Sub message before it goes to the dead letters. One that finds all instances busy counts too, and the shards of a large request wait for theirs: with ten minutes between two about 16 hours by default, the most that Pub/Sub has. A message that Matomo's absence fails is tried as long."
  type        = number
  default     = 100
  nullable    = false

  validation {
    condition     = var.delivery_attempts == floor(var.delivery_attempts) && var.delivery_attempts >= 5 && var.delivery_attempts <= 100
    error_message = "delivery_attempts has to be a whole number from 5 to 100: Pub/Sub knows no others."
  }
}

variable "egress_range" {
  description = "Range of IPv4 addresses, such as 10.8.0.0/26, of a network that is made for the function: then all its calls come from one address that does not change (output egress_address), for a Matomo behind a firewall. By default they come from Google's changing ones."
  type        = string
  default     = null

  validation {
    # A revision uses two addresses an instance, and twice that while another one replaces it: /26 is what Google asks for.
    condition     = var.egress_range == null || (can(cidrhost(var.egress_range, 0)) && can(regex("^(10|172|192)\\..*/(1[0-9]|2[0-6]|[89])$", var.egress_range)))
    error_message = "egress_range has to be a private range of IPv4 addresses, /26 or larger, such as 10.8.0.0/26."
  }
}

variable "http_callers" {
  description = "Who may call the function sync over HTTP, such as user:me@example.com or serviceAccount:…; without any it is not made, since schedules and backfills go through the topic."
  type        = set(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for caller in var.http_callers : can(regex("^(domain|group|serviceAccount|user):[^ ]+$", caller))])
    error_message = "Each of http_callers has to be a member such as user:me@example.com, group:… or serviceAccount:…; everybody is none."
  }
}

variable "http_deadline" {
  description = "Seconds that a caller of the function sync waits; its timeout and the program's own time budget follow from it (locals.tf). An hour is the most of an HTTP function."
  type        = number
  default     = 1800
  nullable    = false

  validation {
    condition     = var.http_deadline == floor(var.http_deadline) && var.http_deadline >= 300 && var.http_deadline <= 3600
    error_message = "http_deadline has to be a whole number of seconds from 300 to 3600."
  }
}

variable "ingress" {
  description = "Where calls of the function sync may come from, before its caller's rights are looked at. Scheduler and Pub/Sub of the same project are internal; ALLOW_ALL lets people with the role run.invoker call it from outside."
  type        = string
  default     = "ALLOW_INTERNAL_ONLY"
  nullable    = false

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB", "ALLOW_INTERNAL_ONLY"], var.ingress)
    error_message = "ingress has to be ALLOW_INTERNAL_ONLY, ALLOW_INTERNAL_AND_GCLB or ALLOW_ALL."
  }
}

variable "labels" {
  description = "Labels of everything that can carry some, beside app = <name>."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key, value in var.labels : can(regex("^[a-z][a-z0-9_-]{0,62}$", key)) && can(regex("^[a-z0-9_-]{0,63}$", value))])
    error_message = "Labels are lower-case letters, digits, hyphens and underscores; a key begins with a letter."
  }
}

variable "log_sink_destination" {
  description = "Where else the program's log lines go: bigquery.googleapis.com/projects/…, storage.googleapis.com/…, pubsub.googleapis.com/… or logging.googleapis.com/…; nowhere by default. The output log_sink_writer has to be given the right to write there."
  type        = string
  default     = null

  validation {
    condition     = var.log_sink_destination == null || can(regex("^(bigquery|logging|pubsub|storage)\\.googleapis\\.com/.+$", var.log_sink_destination))
    error_message = "log_sink_destination has to begin with bigquery., logging., pubsub. or storage.googleapis.com/."
  }
}

variable "max_instances" {
  description = "Instances of each function at most: how many connectors run at once. A bound for the bill, and for Matomo: each run keeps its connector's own limits."
  type        = number
  default     = 5
  nullable    = false

  validation {
    condition     = var.max_instances == floor(var.max_instances) && var.max_instances >= 1 && var.max_instances <= 100
    error_message = "max_instances has to be a whole number from 1 to 100."
  }
}

variable "memory" {
  description = "Memory of an instance, which is its disk too: four times the buffer for each request that it serves at once."
  type        = string
  default     = "1Gi"
  nullable    = false

  validation {
    condition     = contains(["512Mi", "1Gi", "2Gi", "4Gi"], var.memory)
    error_message = "memory has to be 512Mi, 1Gi, 2Gi or 4Gi."
  }
  validation {
    condition     = lookup({ "512Mi" = 512, "1Gi" = 1024, "2Gi" = 2048, "4Gi" = 4096 }, var.memory, 0) >= 4 * var.buffer_megabytes * var.concurrency
    error_message = "memory has to be at least 4 times buffer_megabytes times concurrency: buffered rows and the upload lie in it."
  }
}

variable "name" {
  description = "Name of the functions, and the beginning of what goes with them."
  type        = string
  default     = "matomo-fn"
  nullable    = false

  validation {
    # A service account's id has at most 30 characters, and "-schedule" follows.
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name))
    error_message = "name has to be 3 to 20 lower-case letters, digits and hyphens, beginning with a letter and not ending with a hyphen."
  }
  validation {
    # Its topic of dead letters would have the name of that of the connector's events.
    condition     = !contains([for connector, settings in var.connectors : "matomo-${connector}-events" if settings.events != null], var.name)
    error_message = "name is that of a connector's topic of events: give another one."
  }
}

variable "notification_channels" {
  description = "Ids of notification channels that alerts go to, beside alert_emails: projects/PROJECT/notificationChannels/NUMBER."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "Each of notification_channels has to read like projects/PROJECT/notificationChannels/NUMBER."
  }
}

variable "project" {
  description = "Id of the Google Cloud project."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "project has to be a project's id, such as my-analytics-123456."
  }
}

variable "region" {
  description = "Region of the functions, the schedule and the source: near Matomo is quickest. Results go to BigQuery wherever it is."
  type        = string
  default     = "europe-west1"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z]+(-[a-z]+)+[0-9]+$", var.region))
    error_message = "region has to be one region such as europe-west1; EU and US are places of BigQuery alone."
  }
}

variable "runtime" {
  description = "Python runtime of Cloud Functions."
  type        = string
  default     = "python313"
  nullable    = false

  validation {
    condition     = can(regex("^python31[1-9]$", var.runtime))
    error_message = "runtime has to be python311 or newer, such as python313."
  }
}

variable "seconds_per_call" {
  description = "Seconds that Matomo takes for a call, as estimated: a request whose calls take longer than a run has is split into shards, which run side by side. Where that is wrong, shards are too many or go on in a second run, and nothing else."
  type        = number
  default     = 1
  nullable    = false

  validation {
    condition     = var.seconds_per_call >= 0.01 && var.seconds_per_call <= 600
    error_message = "seconds_per_call has to be a number from 0.01 to 600."
  }
}

variable "secret_kms_keys" {
  description = "Keys that encrypt the secrets (CMEK), by the place of each: one for every one of secret_locations, or { global = … } without them. Google's own by default."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition     = alltrue([for key in values(var.secret_kms_keys) : can(regex("^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+$", key))])
    error_message = "Each of secret_kms_keys has to read like projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY."
  }
  validation {
    condition     = length(var.secret_kms_keys) == 0 || toset(keys(var.secret_kms_keys)) == (length(var.secret_locations) == 0 ? toset(["global"]) : toset(var.secret_locations))
    error_message = "secret_kms_keys needs a key for each of secret_locations and no other, or for global where there are none."
  }
}

variable "secret_locations" {
  description = "Regions that keep the secrets; none for Google's automatic choice."
  type        = list(string)
  default     = []
  nullable    = false

  validation {
    condition     = alltrue([for location in var.secret_locations : can(regex("^[a-z]+(-[a-z]+)+[0-9]+$", location))])
    error_message = "Each of secret_locations has to be a region such as europe-west1."
  }
}

variable "secret_versions" {
  description = "Secrets that are read in a certain version and not the newest one, such as { \"matomo-shop-token\" = \"3\" }."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    condition = alltrue([for secret, version in var.secret_versions :
      contains(flatten([for name, connector in var.connectors : concat(["matomo-${name}-config", "matomo-${name}-token"], connector.events == null ? [] : ["matomo-${name}-signature"])]), secret) && can(regex("^[1-9][0-9]*$", version))
    ])
    error_message = "secret_versions maps a connector's secret, such as matomo-shop-token, to the number of a version."
  }
}

variable "time_zone" {
  description = <<-EOT
    Time zone of schedules that name none: that of your sites. A day is synced once it has ended at the site. At 04:30 UTC it is
    20:30 of the day before in Los Angeles: the last day that has ended there ended 20 hours ago, so its tables are always 20
    hours late. At 04:30 in America/Los_Angeles they are 4 hours late.
  EOT
  type        = string
  default     = "Etc/UTC"
  nullable    = false

  validation {
    condition     = can(regex("^(UTC|Etc/UTC|[A-Z][A-Za-z_]+(/[A-Za-z0-9_+-]+){1,2})$", var.time_zone))
    error_message = "time_zone has to be a name such as Europe/Berlin or Etc/UTC."
  }
}
