{{
  config(
    enabled=var('matomo_visits'),
    materialized='incremental',
    incremental_strategy=matomo.replace_days(),
    unique_key='date',
    on_schema_change='fail',
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'channel'],
    post_hook="{{ matomo.delete_vanished_days('visits') }}",
  )
}}

{%- set steps = matomo.funnel_steps() %}

with actions as (
  select
    a.date,
    a.session_id,
    a.action_index,
    {%- for step in steps %}
    {{ step['condition'] }} as is_step_{{ loop.index }}{{ "," if not loop.last }}
    {%- endfor %}
  from {{ ref('stg_matomo__visit_actions') }} a
  where {{ matomo.is_due('a.date') }}
),
-- The first action of each visit that is the step, after that of the step before.
{%- for step in steps %}
step_{{ loop.index }} as (
  select a.date, a.session_id, min(a.action_index) as action_index
  from actions a
  {%- if not loop.first %}
  join step_{{ loop.index - 1 }} p
    on p.date = a.date
    and p.session_id = a.session_id
    and p.action_index < a.action_index
  {%- endif %}
  where a.is_step_{{ loop.index }}
  group by a.date, a.session_id
),
{%- endfor %}
reached as (
  {%- for step in steps %}
  select s.date, s.session_id, {{ loop.index }} as step_number from step_{{ loop.index }} s
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
),
steps as (
  {%- for step in steps %}
  select {{ loop.index }} as step_number, {{ matomo.literal(step['name']) }} as step
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
),
totals as (
  select
    v.date,
    v.website_id,
    v.channel,
    n.step_number,
    n.step,
    count(*) as all_sessions,
    count(r.session_id) as sessions,
    max(v._synced_at) as _synced_at
  from {{ ref('stg_matomo__visits') }} v
  cross join steps n
  left join reached r
    on r.date = v.date
    and r.session_id = v.session_id
    and r.step_number = n.step_number
  where {{ matomo.is_due('v.date') }}
  group by v.date, v.website_id, v.channel, n.step_number, n.step
)

select
  t.date,
  t.website_id,
  t.channel,
  t.step_number,
  t.step,
  t.all_sessions,
  t.sessions,
  lag(t.sessions) over (partition by t.date, t.website_id, t.channel order by t.step_number) as previous_sessions,
  t._synced_at
from totals t
