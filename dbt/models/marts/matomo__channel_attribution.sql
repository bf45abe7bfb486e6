{{
  config(
    enabled=var('matomo_visits'),
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'attribution_model', 'channel'],
  )
}}

{%- set models = {
  'first': 'from_first',
  'last': 'from_last',
  'last_non_direct': 'from_last_non_direct',
} %}

with conversions as (
  select c.date, c.website_id, c.conversion_id, c.session_id, c.visitor_id, c.conversion_type, c.occurred_at, c.revenue,
    c.currency
  from {{ ref('matomo__conversions') }} c
),
sessions as (
  select s.website_id, s.session_id, s.visit_id, s.visitor_id, s.started_at, s.channel
  from {{ ref('matomo__sessions') }} s
),
-- The visit that converted is always among them, so each conversion is attributed exactly once.
touches as (
  select c.conversion_id, s.visit_id, s.started_at, s.channel
  from conversions c
  join sessions s on s.session_id = c.session_id
  union all
  select c.conversion_id, s.visit_id, s.started_at, s.channel
  from conversions c
  join sessions s
    on s.website_id = c.website_id
    and s.visitor_id = c.visitor_id
  where s.session_id != c.session_id
    and s.started_at <= c.occurred_at
    and s.started_at >= {{ matomo.days_before('c.occurred_at', var('matomo_attribution_days')) }}
),
ranked as (
  select
    t.conversion_id,
    t.channel,
    row_number() over (partition by t.conversion_id order by t.started_at, t.visit_id) as from_first,
    row_number() over (partition by t.conversion_id order by t.started_at desc, t.visit_id desc) as from_last,
    row_number() over (
      partition by t.conversion_id
      order by case when t.channel = 'direct' then 1 else 0 end, t.started_at desc, t.visit_id desc
    ) as from_last_non_direct
  from touches t
),
attributed as (
  {%- for model, rank in models.items() %}
  select r.conversion_id, r.channel, '{{ model }}' as attribution_model
  from ranked r
  where r.{{ rank }} = 1
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
)

select
  c.date,
  c.website_id,
  a.attribution_model,
  a.channel,
  c.conversion_type,
  count(*) as conversions,
  sum(c.revenue) as revenue,
  max(c.currency) as currency
from attributed a
join conversions c on c.conversion_id = a.conversion_id
group by c.date, c.website_id, a.attribution_model, a.channel, c.conversion_type
