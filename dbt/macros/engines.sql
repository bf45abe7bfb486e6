{#- What BigQuery and DuckDB write differently, and dbt has no macro for. -#}

{% macro unsupported_engine() %}
  {{ exceptions.raise_compiler_error("The package matomo runs on BigQuery and DuckDB, and not on " ~ target.type ~ ".") }}
{% endmacro %}


{#- A text as a literal. -#}
{% macro literal(text) %}{{ return(adapter.dispatch('literal', 'matomo')(text | string)) }}{% endmacro %}

{% macro default__literal(text) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__literal(text) %}{{ return("'" ~ text.replace("'", "''") ~ "'") }}{% endmacro %}

{% macro bigquery__literal(text) %}
  {{ return("'" ~ text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r") ~ "'") }}
{% endmacro %}


{#- Whether a text has a match of a regular expression (RE2 on both). -#}
{% macro matches(text, pattern) %}{{ return(adapter.dispatch('matches', 'matomo')(text, pattern)) }}{% endmacro %}

{% macro default__matches(text, pattern) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__matches(text, pattern) %}
  {{ return("regexp_matches(" ~ text ~ ", " ~ matomo.literal(pattern) ~ ")") }}
{% endmacro %}

{% macro bigquery__matches(text, pattern) %}
  {{ return("regexp_contains(" ~ text ~ ", " ~ matomo.literal(pattern) ~ ")") }}
{% endmacro %}


{#- The Monday of a day's week, as a date. dbt.date_trunc gives Sundays on BigQuery. -#}
{% macro week_of(day) %}{{ return(adapter.dispatch('week_of', 'matomo')(day)) }}{% endmacro %}

{% macro default__week_of(day) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__week_of(day) %}{{ return("cast(date_trunc('week', " ~ day ~ ") as date)") }}{% endmacro %}

{% macro bigquery__week_of(day) %}{{ return("date_trunc(" ~ day ~ ", isoweek)") }}{% endmacro %}


{#- A TIMESTAMP some days earlier. dbt.dateadd gives a DATETIME on BigQuery, which compares with no TIMESTAMP. -#}
{% macro days_before(moment, days) %}{{ return(adapter.dispatch('days_before', 'matomo')(moment, days)) }}{% endmacro %}

{% macro default__days_before(moment, days) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__days_before(moment, days) %}
  {{ return("(" ~ moment ~ " - to_hours(" ~ 24 * (days | int) ~ "))") }}
{% endmacro %}

{% macro bigquery__days_before(moment, days) %}
  {{ return("timestamp_sub(" ~ moment ~ ", interval " ~ 24 * (days | int) ~ " hour)") }}
{% endmacro %}
