{#- What is computed of a visit's actions, an array of structs in the column `v.actions`, without a row for each. -#}

{#- How many actions are of some types. -#}
{% macro count_actions(types) %}{{ return(adapter.dispatch('count_actions', 'matomo')(types)) }}{% endmacro %}

{% macro default__count_actions(types) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__count_actions(types) %}
  {{ return("coalesce(len(" ~ matomo.duckdb_actions(types) ~ "), 0)") }}
{% endmacro %}

{% macro bigquery__count_actions(types) %}
  {{ return("(select count(*) from unnest(v.actions) a where " ~ matomo.has_type(types) ~ ")") }}
{% endmacro %}


{#- The sum of an amount of the actions of some types; what has none counts as 0. -#}
{% macro sum_of_actions(field, types) %}
  {{ return(adapter.dispatch('sum_of_actions', 'matomo')(field, types)) }}
{% endmacro %}

{% macro default__sum_of_actions(field, types) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__sum_of_actions(field, types) %}
  {{ return("coalesce(list_sum(list_transform(" ~ matomo.duckdb_actions(types) ~ ", lambda a: a." ~ field ~ ")), 0)") }}
{% endmacro %}

{% macro bigquery__sum_of_actions(field, types) %}
  {{ return("coalesce((select sum(a." ~ field ~ ") from unnest(v.actions) a where " ~ matomo.has_type(types) ~ "), 0)") }}
{% endmacro %}


{#- How many pieces the visit's orders have. -#}
{% macro ordered_quantity() %}{{ return(adapter.dispatch('ordered_quantity', 'matomo')()) }}{% endmacro %}

{% macro default__ordered_quantity() %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__ordered_quantity() %}
  {%- set items = "flatten(list_transform(" ~ matomo.duckdb_actions(['ecommerceOrder']) ~ ", lambda a: a.items))" -%}
  {{ return("cast(coalesce(list_sum(list_transform(" ~ items ~ ", lambda i: i.quantity)), 0) as bigint)") }}
{% endmacro %}

{% macro bigquery__ordered_quantity() %}
  {%- set items = "unnest(v.actions) a, unnest(a.items) i where " ~ matomo.has_type(['ecommerceOrder']) -%}
  {{ return("coalesce((select sum(i.quantity) from " ~ items ~ "), 0)") }}
{% endmacro %}


{#- A field of the first or the last page view; NULL where there is none. -#}
{% macro page_view(field, place) %}
  {%- if place not in ('first', 'last') -%}
    {{ exceptions.raise_compiler_error("a page view is the first or the last, and not " ~ place) }}
  {%- endif -%}
  {{ return(adapter.dispatch('page_view', 'matomo')(field, place)) }}
{% endmacro %}

{% macro default__page_view(field, place) %}{{ matomo.unsupported_engine() }}{% endmacro %}

{% macro duckdb__page_view(field, place) %}
  {{ return(matomo.duckdb_actions(['action']) ~ "[" ~ (1 if place == 'first' else -1) ~ "]." ~ field) }}
{% endmacro %}

{% macro bigquery__page_view(field, place) %}
  {%- set order = "n" if place == 'first' else "n desc" -%}
  {{ return(
    "(select a." ~ field ~ " from unnest(v.actions) a with offset n where " ~ matomo.has_type(['action'])
    ~ " order by " ~ order ~ " limit 1)"
  ) }}
{% endmacro %}


{% macro has_type(types) %}{{ return("a.type in ('" ~ types | join("', '") ~ "')") }}{% endmacro %}

{% macro duckdb_actions(types) %}
  {{ return("list_filter(v.actions, lambda a: " ~ matomo.has_type(types) ~ ")") }}
{% endmacro %}
