{{ config(enabled=var('matomo_reports')) }}

select
  s.date,
  s.website_id,
  s.nb_visits,
  s.nb_uniq_visitors,
  s.nb_users,
  s.nb_actions,
  s.nb_visits_converted,
  s.bounce_count,
  s.sum_visit_length,
  s.max_actions,
  s._synced_at
from {{ matomo.synced_table('visits_summary', 'matomo_reports') }} s
where s.segment = {{ matomo.literal(var('matomo_segment')) }}
