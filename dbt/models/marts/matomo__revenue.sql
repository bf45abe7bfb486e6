{{
  config(
    enabled=var('matomo_visits'),
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'channel'],
  )
}}

with sessions as (
  select
    s.date,
    s.website_id,
    s.channel,
    count(*) as sessions,
    sum(case when s.conversions > 0 then 1 else 0 end) as converted_sessions,
    sum(s.goal_conversions) as goal_conversions,
    sum(s.orders) as orders,
    sum(s.goal_revenue) as goal_revenue,
    sum(s.order_revenue) as order_revenue,
    sum(s.revenue) as revenue,
    sum(s.items) as items,
    max(s.currency) as currency
  from {{ ref('matomo__sessions') }} s
  group by s.date, s.website_id, s.channel
),
orders as (
  select
    c.date,
    c.website_id,
    c.channel,
    sum(c.order_subtotal) as order_subtotal,
    sum(c.order_tax) as order_tax,
    sum(c.order_shipping) as order_shipping,
    sum(c.order_discount) as order_discount
  from {{ ref('matomo__conversions') }} c
  where c.conversion_type = 'order'
  group by c.date, c.website_id, c.channel
)

select
  s.date,
  s.website_id,
  s.channel,
  s.sessions,
  s.converted_sessions,
  s.goal_conversions,
  s.orders,
  s.goal_revenue,
  s.order_revenue,
  s.revenue,
  coalesce(o.order_subtotal, 0) as order_subtotal,
  coalesce(o.order_tax, 0) as order_tax,
  coalesce(o.order_shipping, 0) as order_shipping,
  coalesce(o.order_discount, 0) as order_discount,
  s.items,
  s.currency,
  s.revenue / s.sessions as revenue_per_session,
  s.order_revenue / nullif(s.orders, 0) as average_order_value
from sessions s
left join orders o
  on o.date = s.date
  and o.website_id = s.website_id
  and o.channel = s.channel
