{#- A table of the connector's dataset; one that is not there is an error that says what to do. -#}
{% macro synced_table(name, switch) %}
  {%- set table = source('matomo', name) -%}
  {%- if execute and flags.INTROSPECT and flags.WHICH in ('build', 'run') -%}
    {%- if adapter.get_relation(table.database, table.schema, table.identifier) is none -%}
      {%- set needed = {
        'matomo_visits': '"visits": true',
        'matomo_reports': '"reports": "prebuilt", or visits_summary and acquisition_channel_type among its "reports"',
        'matomo_reference_tables': 'no "reference_tables": false',
      } -%}
      {{ exceptions.raise_compiler_error(
        "There is no table " ~ table ~ ". Is the variable matomo_schema (" ~ var('matomo_schema')
        ~ ") the connector's dataset? The table is synced by a connector with " ~ needed[switch]
        ~ ". To do without it and all models that need it, set the variable " ~ switch ~ " to false."
      ) }}
    {%- endif -%}
  {%- endif -%}
  {{ return(table) }}
{% endmacro %}


{#- A visit's id, unique in the whole dataset. -#}
{% macro session_id(alias) %}
  {{ return("concat(" ~ alias ~ ".website_id, '-', cast(" ~ alias ~ ".visit_id as " ~ dbt.type_string() ~ "))") }}
{% endmacro %}


{#- The channel of a visit. Each has one, so that all channels sum up to all visits. -#}
{% macro channel(referrer_type) %}{{ return("coalesce(" ~ referrer_type ~ ", 'unknown')") }}{% endmacro %}


{#- A page without its query and its fragment. -#}
{% macro page_of(url) %}
  {{ return(dbt.split_part(dbt.split_part(url, "'?'", 1), "'#'", 1)) }}
{% endmacro %}
