{#- The steps of the variable matomo_funnel_steps, checked: each a name and a condition on the action `a`. -#}
{% macro funnel_steps() %}
  {%- set steps = var('matomo_funnel_steps') -%}
  {%- if steps is string or steps is mapping or steps is not iterable or not steps -%}
    {{ exceptions.raise_compiler_error("matomo_funnel_steps is a list of steps, and has at least one.") }}
  {%- endif -%}
  {%- set checked = [] -%}
  {%- for step in steps -%}
    {%- if step is not mapping or not step.get('name') -%}
      {{ exceptions.raise_compiler_error("Step " ~ loop.index ~ " of matomo_funnel_steps has no name.") }}
    {%- endif -%}
    {%- if step['name'] in checked | map(attribute='name') | list -%}
      {{ exceptions.raise_compiler_error("Two steps of matomo_funnel_steps are named " ~ step['name'] ~ ".") }}
    {%- endif -%}
    {%- do checked.append({'name': step['name'], 'condition': matomo.funnel_condition(step)}) -%}
  {%- endfor -%}
  {{ return(checked) }}
{% endmacro %}


{% macro funnel_condition(step) %}
  {%- set texts = ['type', 'event_category', 'event_action', 'event_name', 'search_keyword'] -%}
  {%- set patterns = {'url_matches': 'a.url', 'title_matches': 'a.title'} -%}
  {%- set conditions = [] -%}
  {%- for key, value in step.items() if key != 'name' -%}
    {%- if key in texts -%}
      {%- do conditions.append("a." ~ key ~ " = " ~ matomo.literal(value)) -%}
    {%- elif key in patterns -%}
      {%- do conditions.append(matomo.matches(patterns[key], value)) -%}
    {%- elif key == 'goal_id' and value is integer -%}
      {%- do conditions.append("a.goal_id = " ~ value) -%}
    {%- elif key == 'product' and value is sameas true -%}
      {%- do conditions.append("a.product_sku is not null") -%}
    {%- else -%}
      {{ exceptions.raise_compiler_error(
        "The step " ~ step['name'] ~ " of matomo_funnel_steps cannot have " ~ key ~ ": " ~ value ~ ". It may have "
        ~ texts | join(", ") ~ ", " ~ patterns | join(", ") ~ ", goal_id (a whole number) and product (true)."
      ) }}
    {%- endif -%}
  {%- endfor -%}
  {%- if not conditions -%}
    {{ exceptions.raise_compiler_error("The step " ~ step['name'] ~ " of matomo_funnel_steps has no condition.") }}
  {%- endif -%}
  {{ return(conditions | join(" and ")) }}
{% endmacro %}
