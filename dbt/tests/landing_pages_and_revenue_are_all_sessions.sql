{{ config(enabled=var('matomo_visits')) }}
-- Both marts sum up to the sessions, day by day, site by site, channel by channel.

{%- set marts = ['matomo__sessions', 'matomo__landing_pages', 'matomo__revenue'] %}

with totals as (
  {%- for mart in marts %}
  select m.date, m.website_id, m.channel, '{{ mart }}' as mart, {{ 'count(*)' if loop.first else 'sum(m.sessions)' }} as sessions,
    sum(m.revenue) as revenue
  from {{ ref(mart) }} m
  group by m.date, m.website_id, m.channel
  {%- if not loop.last %}
  union all
  {%- endif %}
  {%- endfor %}
)

select t.date, t.website_id, t.channel
from totals t
group by t.date, t.website_id, t.channel
having count(*) != {{ marts | length }}
  or min(t.sessions) != max(t.sessions)
  or max(t.revenue) - min(t.revenue) > 0.005
