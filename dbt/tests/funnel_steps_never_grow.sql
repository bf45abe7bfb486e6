{{ config(enabled=var('matomo_visits')) }}
-- No step has more visits than the one before it, nor than there are.

select f.date, f.website_id, f.channel, f.step_number, f.sessions, f.previous_sessions, f.all_sessions
from {{ ref('matomo__funnel') }} f
where f.sessions > coalesce(f.previous_sessions, f.all_sessions)
