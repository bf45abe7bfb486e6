"""GoogleSQL text of what the report page shows, each statement an aggregate: days, visits, channels, Others, checks."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from matomo_fn.catalogue import SYNC_QUALITY, ReferenceTable
from matomo_fn.days import Range
from matomo_fn.warehouse.log_sql import newest
from matomo_fn.warehouse.sql import literal, table_name

# How long a slice can be that is named by its first day: a year.
_LONGEST_SLICE = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class Counted:
    """A table with a column of it that counts something."""

    table: str
    column: str


def calendar_of(dataset: str, connector: str, days: Range, kept_from: Mapping[str, date] | None = None) -> str:
    """Return the query for the states of the slices of the days from one to another, a row for each stream.

    Columns: table_name, website_id, segment, period, days (for each slice, in no order, a character for its state and
    how many days after the first one it is, such as ``w0w1f2``: e for a slice without rows, u and w for unchanged and
    written, o for one that was not over, p and f for pending and failed). So no stream takes more than a row, however
    its states follow one another.
    ``kept_from``: by table, the first day whose rows it keeps.
    """
    first, last = days
    window = (
        f"l.connector = {literal(connector)} and l.date between {literal(first - _LONGEST_SLICE)} and {literal(last)} "
        f"and (l.date >= {literal(first)} or l.period in ('week', 'month', 'year'))"
    )
    window += "".join(
        f" and (l.table_name != {literal(table)} or l.date >= {literal(day)})"
        for table, day in (kept_from or {}).items()
    )
    state = (
        "case when l.is_open then 'o' when l.status = 'pending' then 'p' "
        "when l.status not in ('written', 'unchanged') then 'f' when l.row_count = 0 then 'e' "
        "when l.status = 'unchanged' then 'u' else 'w' end"
    )
    stream = "l.table_name, l.website_id, l.segment, coalesce(l.period, 'day')"
    number = f"cast(date_diff(l.date, {literal(first)}, day) as string)"
    return (
        f"select {stream} as period, string_agg(concat({state}, {number}), '') as days "
        f"from {newest(dataset, window)} group by {stream}"
    )


def visits_by_day(dataset: str, counted: Counted, days: Range) -> str:
    """Return the query for the visits of each site and day, of all visits: website_id, date, visits."""
    return (
        f"select t.website_id, t.date, sum(t.{counted.column}) as visits from {table_name(dataset, counted.table)} t "
        f"where {_whole_site(days)} group by t.website_id, t.date order by t.website_id, t.date"
    )


def channels_of(dataset: str, table: str, days: Range) -> str:
    """Return the query for what came through each channel, by site: website_id, channel, visits, conversions."""
    return (
        "select t.website_id, t.channel_type as channel, sum(t.visits) as visits, sum(t.conversions) as conversions "
        f"from {table_name(dataset, table)} t where {_whole_site(days)} "
        "group by t.website_id, t.channel_type order by t.website_id, t.channel_type"
    )


def others_of(dataset: str, tables: Iterable[Counted], days: Range) -> str:
    """Return the query for the part that stands in Matomo's Others, by table and site.

    Columns: table_name, website_id, others, total. Sites of which nothing was counted are not among them.
    """
    parts = (
        f"select {literal(each.table)} as table_name, t.website_id, "
        f"sum(if(t._is_others, t.{each.column}, 0)) as others, sum(t.{each.column}) as total "
        f"from {table_name(dataset, each.table)} t where {_whole_site(days)} "
        f"group by t.website_id having sum(t.{each.column}) > 0"
        for each in tables
    )
    return " union all ".join(parts)


def names_of_sites(dataset: str, table: ReferenceTable, connector: str) -> str:
    """Return the query for the names of a connector's sites: website_id, name."""
    return (
        f"select s.website_id, s.name from {table_name(dataset, table.name)} s "
        f"where s._connector = {literal(connector)} order by s.website_id"
    )


def differing_days(dataset: str, connector: str, days: Range) -> str:
    """Return the query for the slices of which a check found other numbers: table_name, website_id, segment, date."""
    return (
        f"select distinct q.table_name, q.website_id, q.segment, q.date from {_checks(dataset, connector, days)} "
        "and q.verdict = 'differs'"
    )


def count_checks(dataset: str, connector: str, days: Range) -> str:
    """Return the query for the number of checks of each kind and verdict, with its reason.

    Columns: check_name, verdict, reason, checks, last_checked.
    """
    return (
        "select q.check_name, q.verdict, q.reason, count(*) as checks, max(q.checked_at) as last_checked "
        f"from {_checks(dataset, connector, days)} group by q.check_name, q.verdict, q.reason "
        "order by q.check_name, q.verdict, q.reason"
    )


def failed_checks(dataset: str, connector: str, days: Range, most: int, standing: Collection[str]) -> str:
    """Return the query for the checks that are not ok, at most so many: those that differ first, then the newest.

    ``standing``: reasons that hold on every day, which are left out.

    Columns: check_name, table_name, website_id, segment, date, expected, found, verdict, reason, detail.
    """
    return (
        "select q.check_name, q.table_name, q.website_id, q.segment, q.date, q.expected, q.found, q.verdict, "
        f"q.reason, q.detail from {_checks(dataset, connector, days)} and q.verdict != 'ok' "
        f"and coalesce(q.reason, '') not in ({', '.join(map(literal, sorted(standing)))}) "
        "order by case q.verdict when 'differs' then 0 else 1 end, q.date desc, q.table_name, q.website_id, "
        f"q.check_name, q.segment limit {most}"
    )


def _checks(dataset: str, connector: str, days: Range) -> str:
    return (
        f"{table_name(dataset, SYNC_QUALITY.name)} q where q.connector = {literal(connector)} "
        f"and q.date between {literal(days[0])} and {literal(days[1])}"
    )


def _whole_site(days: Range) -> str:
    """Return the condition that a row ``t`` is of some days and of no segment."""
    return f"t.date between {literal(days[0])} and {literal(days[1])} and t.segment = ''"
