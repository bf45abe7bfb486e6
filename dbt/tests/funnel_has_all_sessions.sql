{{ config(enabled=var('matomo_visits')) }}
-- The first step is taken from all visits of the day, site and channel.

with sessions as (
  select s.date, s.website_id, s.channel, count(*) as sessions
  from {{ ref('matomo__sessions') }} s
  group by s.date, s.website_id, s.channel
),
funnel as (
  select f.date, f.website_id, f.channel, f.all_sessions
  from {{ ref('matomo__funnel') }} f
  where f.step_number = 1
)

select coalesce(s.date, f.date) as date, s.sessions, f.all_sessions
from sessions s
full join funnel f
  on f.date = s.date
  and f.website_id = s.website_id
  and f.channel = s.channel
where coalesce(s.sessions, 0) != coalesce(f.all_sessions, 0)
