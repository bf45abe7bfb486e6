{{ config(enabled=var('matomo_visits')) }}
-- The sessions have each conversion and its revenue, day by day, site by site, channel by channel.

with sessions as (
  select s.date, s.website_id, s.channel, sum(s.conversions) as conversions, sum(s.revenue) as revenue
  from {{ ref('matomo__sessions') }} s
  where s.conversions > 0
  group by s.date, s.website_id, s.channel
),
conversions as (
  select c.date, c.website_id, c.channel, count(*) as conversions, sum(c.revenue) as revenue
  from {{ ref('matomo__conversions') }} c
  group by c.date, c.website_id, c.channel
)

select s.date, s.website_id, s.channel, s.conversions, c.conversions as found, s.revenue, c.revenue as found_revenue
from sessions s
full join conversions c
  on c.date = s.date
  and c.website_id = s.website_id
  and c.channel = s.channel
where coalesce(s.conversions, 0) != coalesce(c.conversions, 0)
  or abs(coalesce(s.revenue, 0) - coalesce(c.revenue, 0)) > 0.005
