{{ config(enabled=var('matomo_visits')) }}

select
  i.date,
  i.website_id,
  {{ matomo.session_id('i') }} as session_id,
  i.visit_id,
  i.action_index,
  i.item_index,
  i.order_id,
  i.occurred_at,
  {{ matomo.channel('i.referrer_type') }} as channel,
  i.sku,
  i.name,
  i.price,
  i.quantity,
  i.item_revenue,
  i.currency
from {{ matomo.synced_table('order_items', 'matomo_visits') }} i
