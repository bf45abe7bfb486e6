{{
  config(
    enabled=var('matomo_visits'),
    partition_by=matomo.partition_by('cohort_week', 'month'),
    cluster_by=['website_id'],
  )
}}

with visitor_weeks as (
  select distinct s.website_id, s.visitor_id, {{ matomo.week_of('s.date') }} as week
  from {{ ref('matomo__sessions') }} s
  where s.visitor_id is not null
),
cohorts as (
  select w.website_id, w.visitor_id, min(w.week) as cohort_week
  from visitor_weeks w
  group by w.website_id, w.visitor_id
),
sizes as (
  select c.website_id, c.cohort_week, count(*) as cohort_visitors
  from cohorts c
  group by c.website_id, c.cohort_week
),
weeks as (
  select distinct w.website_id, w.week
  from visitor_weeks w
),
returned as (
  select c.website_id, c.cohort_week, w.week, count(*) as visitors
  from cohorts c
  join visitor_weeks w
    on w.website_id = c.website_id
    and w.visitor_id = c.visitor_id
  group by c.website_id, c.cohort_week, w.week
),
numbered as (
  select
    s.website_id,
    s.cohort_week,
    w.week,
    cast(floor({{ dbt.datediff('s.cohort_week', 'w.week', 'day') }} / 7) as {{ dbt.type_int() }}) as weeks_later,
    s.cohort_visitors
  from sizes s
  join weeks w
    on w.website_id = s.website_id
    and w.week >= s.cohort_week
)

select
  n.website_id,
  n.cohort_week,
  n.week,
  n.weeks_later,
  n.cohort_visitors,
  coalesce(r.visitors, 0) as visitors,
  coalesce(r.visitors, 0) / n.cohort_visitors as retention_rate
from numbered n
left join returned r
  on r.website_id = n.website_id
  and r.cohort_week = n.cohort_week
  and r.week = n.week
