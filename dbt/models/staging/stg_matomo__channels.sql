{{ config(enabled=var('matomo_reports')) }}

select
  c.date,
  c.website_id,
  c.channel_type,
  c.channel_type_id,
  c.visits,
  c.users,
  c.actions,
  c.bounces,
  c.conversions,
  c.converted_visits,
  c.total_visit_length,
  c.revenue,
  c._is_others,
  c._synced_at
from {{ matomo.synced_table('acquisition_channel_type', 'matomo_reports') }} c
where c.segment = {{ matomo.literal(var('matomo_segment')) }}
