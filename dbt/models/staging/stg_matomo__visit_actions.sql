{{ config(enabled=var('matomo_visits')) }}

select
  a.date,
  a.website_id,
  {{ matomo.session_id('a') }} as session_id,
  a.visit_id,
  a.visitor_id,
  a.action_index,
  a.type,
  a.occurred_at,
  a.url,
  a.title,
  a.time_spent,
  a.event_category,
  a.event_action,
  a.event_name,
  a.event_value,
  a.search_keyword,
  a.search_count,
  a.goal_id,
  a.order_id,
  a.revenue,
  a.product.sku as product_sku,
  a.product.name as product_name
from {{ matomo.synced_table('visit_actions', 'matomo_visits') }} a
