{{
  config(
    enabled=var('matomo_visits'),
    materialized='incremental',
    incremental_strategy=matomo.replace_days(),
    unique_key='date',
    on_schema_change='fail',
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'conversion_type', 'visitor_id'],
    post_hook="{{ matomo.delete_vanished_days('conversions') }}",
  )
}}

select
  c.date,
  c.website_id,
  concat(c.session_id, '-', cast(c.action_index as {{ dbt.type_string() }})) as conversion_id,
  c.session_id,
  c.visitor_id,
  c.conversion_type,
  c.goal_id,
  c.goal_name,
  c.order_id,
  coalesce(c.occurred_at, v.last_action_at) as occurred_at,
  coalesce(c.revenue, 0) as revenue,
  c.order_subtotal,
  c.order_tax,
  c.order_shipping,
  c.order_discount,
  c.currency,
  c.url,
  v.channel,
  c.attributed_referrer_type as matomo_channel,
  c.attributed_referrer_name as matomo_referrer_name,
  v._synced_at
from {{ ref('stg_matomo__conversions') }} c
join {{ ref('stg_matomo__visits') }} v
  on v.date = c.date
  and v.session_id = c.session_id
where {{ matomo.is_due('c.date') }}
  and {{ matomo.is_due('v.date') }}
