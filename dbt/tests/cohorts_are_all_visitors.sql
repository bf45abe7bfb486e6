{{ config(enabled=var('matomo_visits')) }}
-- Each visitor is in one cohort, and all of a cohort are there in its first week.

with visitors as (
  select s.website_id, count(distinct s.visitor_id) as visitors
  from {{ ref('matomo__sessions') }} s
  where s.visitor_id is not null
  group by s.website_id
),
cohorts as (
  select r.website_id, sum(r.visitors) as visitors, sum(r.cohort_visitors) as cohort_visitors
  from {{ ref('matomo__retention') }} r
  where r.weeks_later = 0
  group by r.website_id
)

select v.website_id, v.visitors, c.visitors as found, c.cohort_visitors
from visitors v
full join cohorts c on c.website_id = v.website_id
where coalesce(v.visitors, 0) != coalesce(c.visitors, 0)
  or coalesce(v.visitors, 0) != coalesce(c.cohort_visitors, 0)
