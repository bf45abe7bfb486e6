{{ config(enabled=var('matomo_visits')) }}
-- Each model of attribution gives each conversion, and its revenue, to exactly one channel.

with models as (
  select 'first' as attribution_model
  union all
  select 'last' as attribution_model
  union all
  select 'last_non_direct' as attribution_model
),
conversions as (
  select c.date, c.website_id, m.attribution_model, c.conversion_type, count(*) as conversions, sum(c.revenue) as revenue
  from {{ ref('matomo__conversions') }} c
  cross join models m
  group by c.date, c.website_id, m.attribution_model, c.conversion_type
),
attributed as (
  select a.date, a.website_id, a.attribution_model, a.conversion_type, sum(a.conversions) as conversions,
    sum(a.revenue) as revenue
  from {{ ref('matomo__channel_attribution') }} a
  group by a.date, a.website_id, a.attribution_model, a.conversion_type
)

select c.date, c.website_id, c.attribution_model, c.conversions, a.conversions as found, c.revenue,
  a.revenue as found_revenue
from conversions c
full join attributed a
  on a.date = c.date
  and a.website_id = c.website_id
  and a.attribution_model = c.attribution_model
  and a.conversion_type = c.conversion_type
where coalesce(c.conversions, 0) != coalesce(a.conversions, 0)
  or abs(coalesce(c.revenue, 0) - coalesce(a.revenue, 0)) > 0.005
