{{ config(enabled=var('matomo_visits')) }}
-- All pieces that were ordered are pieces of a product.

with sessions as (
  select s.date, s.website_id, s.channel, sum(s.items) as items
  from {{ ref('matomo__sessions') }} s
  where s.items > 0
  group by s.date, s.website_id, s.channel
),
products as (
  select p.date, p.website_id, p.channel, sum(p.quantity) as quantity
  from {{ ref('matomo__product_revenue') }} p
  group by p.date, p.website_id, p.channel
)

select s.date, s.website_id, s.channel, s.items, p.quantity
from sessions s
full join products p
  on p.date = s.date
  and p.website_id = s.website_id
  and p.channel = s.channel
where coalesce(s.items, 0) != coalesce(p.quantity, 0)
