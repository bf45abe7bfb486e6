{{ config(enabled=var('matomo_visits')) }}

select
  c.date,
  c.website_id,
  {{ matomo.session_id('c') }} as session_id,
  c.visit_id,
  c.visitor_id,
  c.action_index,
  c.conversion_type,
  c.occurred_at,
  c.goal_id,
  c.goal_name,
  c.order_id,
  c.revenue,
  c.order_subtotal,
  c.order_tax,
  c.order_shipping,
  c.order_discount,
  c.currency,
  c.url,
  c.attributed_referrer_type,
  c.attributed_referrer_name
from {{ matomo.synced_table('conversions', 'matomo_visits') }} c
