{{ config(enabled=var('matomo_reference_tables')) }}

select
  s.website_id,
  s.name,
  s.main_url,
  s.site_group,
  s.type,
  s.time_zone,
  s.currency,
  s.created_at,
  s.has_ecommerce,
  s._is_deleted
from {{ matomo.synced_table('sites', 'matomo_reference_tables') }} s
