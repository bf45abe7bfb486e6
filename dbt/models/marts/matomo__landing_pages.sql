{{
  config(
    enabled=var('matomo_visits'),
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'landing_page'],
  )
}}

with totals as (
  select
    s.date,
    s.website_id,
    coalesce(s.landing_page, '(not set)') as landing_page,
    s.channel,
    count(*) as sessions,
    sum(case when s.is_bounce then 1 else 0 end) as bounces,
    sum(s.page_views) as page_views,
    sum(s.duration_seconds) as duration_seconds,
    sum(s.conversions) as conversions,
    sum(case when s.conversions > 0 then 1 else 0 end) as converted_sessions,
    sum(s.revenue) as revenue,
    max(s.currency) as currency
  from {{ ref('matomo__sessions') }} s
  group by s.date, s.website_id, coalesce(s.landing_page, '(not set)'), s.channel
)

select
  t.date,
  t.website_id,
  t.landing_page,
  t.channel,
  t.sessions,
  t.bounces,
  t.page_views,
  t.duration_seconds,
  t.conversions,
  t.converted_sessions,
  t.revenue,
  t.currency,
  t.bounces / t.sessions as bounce_rate,
  t.converted_sessions / t.sessions as conversion_rate
from totals t
