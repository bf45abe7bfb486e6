{{ config(enabled=var('matomo_visits')) }}
-- Each visit is one session, on the same day and site.

with visits as (
  select v.date, v.website_id, count(*) as visits
  from {{ ref('stg_matomo__visits') }} v
  group by v.date, v.website_id
),
sessions as (
  select s.date, s.website_id, count(*) as sessions
  from {{ ref('matomo__sessions') }} s
  group by s.date, s.website_id
)

select coalesce(v.date, s.date) as date, coalesce(v.website_id, s.website_id) as website_id, v.visits, s.sessions
from visits v
full join sessions s
  on s.date = v.date
  and s.website_id = v.website_id
where coalesce(v.visits, 0) != coalesce(s.sessions, 0)
