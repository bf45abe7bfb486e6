{#-
  Incremental models replace whole days: those from the earliest day on whose visits were written since the model's
  last build. That is what _sync_log says, so a day that Matomo changed long after it ended is replaced too, and a day
  that was read half is read again. Running a model again leaves the same table.
-#}

{#- BigQuery replaces the partitions that it has rows for. DuckDB deletes the days that it has rows for. -#}
{% macro replace_days() %}{{ return('insert_overwrite' if target.type == 'bigquery' else 'delete+insert') }}{% endmacro %}


{#-
  A query of the earliest day whose visits were written since the model's last build.

  Runs of matomo-fn that overlap may log what they wrote in another order. None takes a day, so that is how far back
  before the newest row of the last build the log is read.
-#}
{% macro earliest_written_day() %}
  select min(l.date) as day
  from {{ source('matomo', '_sync_log') }} l
  where l.table_name = 'visits'
    and l.status = 'written'
    and l.logged_at > coalesce(
      (select {{ matomo.days_before('max(t._synced_at)', 1) }} from {{ this }} t),
      cast('1970-01-01 00:00:00+00' as timestamp)
    )
{% endmacro %}


{#- The condition that an incremental build has on its days, with a literal, by which BigQuery prunes partitions. -#}
{% macro is_due(day) %}
  {%- set log = source('matomo', '_sync_log') -%}
  {%- if not is_incremental() -%}{{ return('true') }}{%- endif -%}
  {%- if not (execute and flags.INTROSPECT) -%}{{ return(day ~ " >= date '1970-01-01'") }}{%- endif -%}
  {%- set first = run_query(matomo.earliest_written_day()).columns[0].values()[0] -%}
  {{ return('false' if first is none else day ~ " >= date '" ~ first ~ "'") }}
{% endmacro %}


{#-
  After a build: remove the days that no row was left of, and that no new row replaces.

  rows: what the model has rows of: visits, or conversions or items of the sessions.
-#}
{% macro delete_vanished_days(rows) %}
  {%- set counted = ref('stg_matomo__visits') if rows == 'visits' else ref('matomo__sessions') -%}
  {%- if is_incremental() -%}
    delete from {{ this }}
    where date not in (select c.date from {{ counted }} c {{ "where c." ~ rows ~ " > 0" if rows != 'visits' }})
  {%- endif -%}
{% endmacro %}


{#- How BigQuery partitions a model by a column of dates. DuckDB's files have no partitions. -#}
{% macro partition_by(field, granularity) %}
  {{ return({'field': field, 'data_type': 'date', 'granularity': granularity} if target.type == 'bigquery' else none) }}
{% endmacro %}
