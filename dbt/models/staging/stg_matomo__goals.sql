{{ config(enabled=var('matomo_reference_tables')) }}

select
  g.website_id,
  g.goal_id,
  g.name,
  g.description,
  g.match_attribute,
  g.pattern,
  g.pattern_type,
  g._is_deleted
from {{ matomo.synced_table('goals', 'matomo_reference_tables') }} g
