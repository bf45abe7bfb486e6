{{
  config(
    enabled=var('matomo_visits'),
    materialized='incremental',
    incremental_strategy=matomo.replace_days(),
    unique_key='date',
    on_schema_change='fail',
    partition_by=matomo.partition_by('date', 'day'),
    cluster_by=['website_id', 'sku', 'channel'],
    post_hook="{{ matomo.delete_vanished_days('items') }}",
  )
}}

with items as (
  select
    i.date,
    i.website_id,
    i.channel,
    coalesce(i.sku, '(not set)') as sku,
    i.name,
    i.session_id,
    i.action_index,
    i.quantity,
    i.item_revenue,
    i.currency,
    v._synced_at
  from {{ ref('stg_matomo__order_items') }} i
  join {{ ref('stg_matomo__visits') }} v
    on v.date = i.date
    and v.session_id = i.session_id
  where {{ matomo.is_due('i.date') }}
    and {{ matomo.is_due('v.date') }}
    and i.quantity > 0
)

select
  i.date,
  i.website_id,
  i.channel,
  i.sku,
  max(i.name) as product_name,
  count(distinct concat(i.session_id, '-', cast(i.action_index as {{ dbt.type_string() }}))) as orders,
  sum(i.quantity) as quantity,
  coalesce(sum(i.item_revenue), 0) as revenue,
  max(i.currency) as currency,
  max(i._synced_at) as _synced_at
from items i
group by i.date, i.website_id, i.channel, i.sku
