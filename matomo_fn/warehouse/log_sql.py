"""GoogleSQL text of the log of slices and runs: what is known, what is invalid, and what differs from the tables."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from matomo_fn.catalogue import SYNC_LOG, SYNC_RUNS, Table
from matomo_fn.days import Days, Range
from matomo_fn.slices import Stream
from matomo_fn.warehouse.sql import all_time, count_keys, in_days, literal, table_name


def state_view(dataset: str) -> str:
    """Return the query of the view with the newest row of each slice."""
    return f"select {_names('l')} from {newest(dataset, 'true')}"


def older_open_days(dataset: str, connector: str, before: date) -> str:
    """Return the query for the days before a window on which a slice once failed or was pending.

    The log is clustered by status, so the days of untroubled years are not read.
    """
    return (
        f"select distinct l.date from {table_name(dataset, SYNC_LOG.name)} l "
        f"where l.connector = {literal(connector)} and l.date < {literal(before)} "
        "and l.status in ('failed', 'pending') order by l.date"
    )


def known_runs(dataset: str, connector: str, first: date, last: date) -> str:
    """Return the query for the runs of consecutive slices of which something is known, by stream.

    Columns: table_name, website_id, segment, period, is_settled, first_day, last_day (the dates of the first and the
    last slice). A settled slice need not be refetched; the others are pending, failed or not final. A year of settled
    days is one row, and so is one of weeks.
    """
    window = f"l.connector = {literal(connector)} and l.date between {literal(first)} and {literal(last)}"
    stream = "table_name, website_id, segment, period, is_settled"
    return (
        f"select {stream}, min(date) as first_day, max(date) as last_day from ("
        f"select {stream}, date, {_position('date', 'period')} - "
        f"row_number() over (partition by {stream} order by date) as island "
        "from (select l.table_name, l.website_id, l.segment, coalesce(l.period, 'day') as period, l.date, "
        "l.status in ('written', 'unchanged') and l.is_final as is_settled "
        f"from {newest(dataset, window)})) "
        f"group by {stream}, island order by {stream}, first_day"
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a run looks at closely: those from ``recheck_from`` to ``last``, and ``open_days`` before them.

    Of longer periods those that have one of these days. ``sites``: of these sites only; of all where there is none.
    """

    recheck_from: date
    last: date
    open_days: Days
    sites: tuple[str, ...] = ()


def known_slices(dataset: str, connector: str, tables: Sequence[Table], span: Span) -> str:
    """Return the query for what is known of the slices that may be refetched.

    These are all since ``recheck_from``, and the open ones before. ``is_intact`` tells whether the table still has as
    many rows as the log speaks of, of its run, each key once, and ``found_keys`` how many keys it has. So a run that
    died between merge and log, and rows that somebody deleted or doubled, are found out. Of old open ones as well:
    Matomo may have deleted their visits or reports, and then the table has the only copy.
    """
    firsts: dict[date, list[str]] = {}
    for table in tables:
        firsts.setdefault(table.period.first_day(span.recheck_from), []).append(table.name)
    recent = [
        f"k.date >= {literal(first)}" + (f" and k.table_name in ({_listed(names)})" if len(firsts) > 1 else "")
        for first, names in firsts.items()
    ]
    rechecked = recent[0] if len(recent) == 1 else "(" + " or ".join(recent) + ")"
    days = f"l.date between {literal(min(firsts))} and {literal(span.last)}"
    if span.open_days:
        days = f"({days} or {in_days('l', span.open_days)})"
    window = f"l.connector = {literal(connector)} and {days}"
    if span.sites:
        window += f" and l.website_id in ({_listed(span.sites)})"
    present = " union all ".join(_present(dataset, table, span) for table in tables)
    return (
        "select k.table_name, k.website_id, k.segment, k.date, k.status, k.row_count, k.content_hash, "
        "k.written_run_id, k.request_id, k.is_final, k.has_others, k.visits_difference, k.error, "
        "coalesce(k.is_open, false) as is_open, "
        "coalesce(p.key_count, 0) as found_keys, coalesce(p.row_count, 0) = k.row_count and "
        "(k.row_count = 0 or (p.key_count = k.row_count and p.first_run = k.written_run_id "
        "and p.last_run = k.written_run_id)) as is_intact "
        f"from (select {_names('l')} from {newest(dataset, window)}) k left join ({present}) p "
        "on p.table_name = k.table_name and p.date = k.date and p.website_id = k.website_id and p.segment = k.segment "
        f"where k.table_name in ({_listed(table.name for table in tables)}) "
        f"and ({rechecked} or k.status in ('failed', 'pending') or not k.is_final)"
    )


def unjudged_slices(dataset: str, connector: str, stream: Stream, days: Days) -> str:
    """Return the query for the days of a stream of visits that are in the table and compared with no summary.

    Columns: date, status, row_count, content_hash, has_others, is_final, written_run_id, is_open.
    """
    window = (
        f"l.connector = {literal(connector)} and l.table_name = {literal(stream.table)} "
        f"and l.website_id = {literal(stream.website_id)} and {in_days('l', days)}"
    )
    return (
        "select k.date, k.status, k.row_count, k.content_hash, k.has_others, k.is_final, k.written_run_id, "
        "coalesce(k.is_open, false) as is_open "
        f"from (select {_names('l')} from {newest(dataset, window)}) k "
        "where k.status in ('written', 'unchanged') and k.visits_difference is null order by k.date"
    )


def foreign_slices(
    dataset: str, connector: str, matomo_url: str, tables: Sequence[str], first: date, last: date
) -> str:
    """Return the query for the tables and sites that another connector fills from another Matomo.

    Columns: connector, matomo_url, table_name, website_id. The tables tell sites by Matomo's number alone.
    """
    return (
        "select distinct l.connector, l.matomo_url, l.table_name, l.website_id "
        f"from {table_name(dataset, SYNC_LOG.name)} l where l.date between {literal(first)} and {literal(last)} "
        f"and l.connector != {literal(connector)} and l.matomo_url != {literal(matomo_url)} "
        f"and l.table_name in ({', '.join(map(literal, tables))}) order by l.connector, l.website_id, l.table_name"
    )


def logged_tables(dataset: str, connector: str) -> str:
    """Return the query for the names of the tables that the log knows of a connector, as ``table_name``."""
    return (
        f"select distinct l.table_name from {table_name(dataset, SYNC_LOG.name)} l "
        f"where l.connector = {literal(connector)} and {all_time('l')} order by l.table_name"
    )


def logged_days(dataset: str, table: str) -> str:
    """Return the query for the first and the last day that the log knows of a table; NULL where it knows none."""
    return (
        "select min(l.date) as first_day, max(l.date) as last_day "
        f"from {table_name(dataset, SYNC_LOG.name)} l where {all_time('l')} and l.table_name = {literal(table)}"
    )


def invalidate_slices(dataset: str, table: str, days: Range, *, run_id: str, at: datetime, reason: str) -> str:
    """Return the statement that marks the slices of a table from one day to another as pending.

    For a table that has been dropped. Of all connectors: those that share the table have lost their rows as well.
    """
    values = {
        "status": literal("pending"),
        "row_count": "0",
        "content_hash": "cast(null as string)",
        "has_others": "false",
        "is_final": "false",
        "written_run_id": "cast(null as string)",
        "run_id": literal(run_id),
        "request_id": literal(run_id),
        "started_at": literal(at),
        "logged_at": literal(at),
        "error": "concat(k.table_name, ' of site ', k.website_id, "
        "if(k.segment = '', '', concat(', segment ', k.segment, ',')), ' on ', cast(k.date as string), "
        f"{literal(f': {reason}')})",
    }
    window = f"l.date between {literal(days[0])} and {literal(days[1])} and l.table_name = {literal(table)}"
    chosen = ", ".join(values.get(name, f"k.{name}") for name in SYNC_LOG.column_names)
    return (
        f"insert into {table_name(dataset, SYNC_LOG.name)} ({', '.join(SYNC_LOG.column_names)}) "
        f"select {chosen} from (select {_names('l')} from {newest(dataset, window)}) k where k.status != 'pending'"
    )


# How the error of a slice ends that was handled by another definition of its segment.
SEGMENT_CHANGED = "the definition of the segment has changed"


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """A segment of a connector that has a new definition, known by its hash."""

    connector: str
    segment: str
    hash: str

    def of(self, alias: str) -> str:
        """Return the condition that a row is of the segment by another definition; an unknown one is none."""
        return (
            f"{alias}.connector = {literal(self.connector)} and {alias}.segment = {literal(self.segment)} "
            f"and {alias}.segment_hash is not null and {alias}.segment_hash != {literal(self.hash)}"
        )


def changed_segments(dataset: str, connector: str, hashes: Mapping[str, str], days: Range) -> str:
    """Return the query for the segments of which a slice was handled by another definition, from one day to another.

    ``hashes``: of the definitions, by the segments' names. Column: segment.
    """
    window = (
        f"l.connector = {literal(connector)} and l.date between {literal(days[0])} and {literal(days[1])} "
        f"and l.segment in ({_listed(hashes)})"
    )
    changed = " or ".join(f"({SegmentChange(connector, name, hashed).of('k')})" for name, hashed in hashes.items())
    return (
        f"select distinct k.segment from (select {_names('l')} from {newest(dataset, window)}) k where {changed} "
        "order by k.segment"
    )


def other_definitions(dataset: str, connector: str, hashes: Mapping[str, str], days: Range) -> str:
    """Return the query for the segments that another connector fills by another definition, and has filled last.

    ``hashes``: of our definitions, by the segments' names. Columns: connector, segment, website_id.
    """
    window = f"l.date between {literal(days[0])} and {literal(days[1])} and l.segment in ({_listed(hashes)})"
    differs = " or ".join(
        f"(k.segment = {literal(name)} and k.segment_hash != {literal(hashed)})" for name, hashed in hashes.items()
    )
    ours = literal(connector)
    return (
        "select t.connector, t.segment, t.website_id from (select k.connector, k.segment, k.website_id, "
        f"max(k.logged_at) as logged_at from (select {_names('l')} from {newest(dataset, window)}) k "
        f"where k.connector != {ours} and k.segment_hash is not null and ({differs}) "
        "group by k.connector, k.segment, k.website_id) t left join (select l.segment, l.website_id, "
        f"max(l.logged_at) as logged_at from {table_name(dataset, SYNC_LOG.name)} l "
        f"where l.connector = {ours} and {window} group by l.segment, l.website_id) o "
        "on o.segment = t.segment and o.website_id = t.website_id "
        "where o.logged_at is null or o.logged_at < t.logged_at order by t.connector, t.segment, t.website_id"
    )


def logged_days_of_segment(dataset: str, connector: str, segment: str) -> str:
    """Return the query for the first and the last day that the log knows of a segment; NULL where it knows none."""
    return (
        f"select min(l.date) as first_day, max(l.date) as last_day from {table_name(dataset, SYNC_LOG.name)} l "
        f"where {all_time('l')} and l.connector = {literal(connector)} and l.segment = {literal(segment)}"
    )


def invalidate_segment(dataset: str, change: SegmentChange, days: Range, *, run_id: str, at: datetime) -> str:
    """Return the statement that marks the slices of a segment from one day to another as pending.

    Those that were handled by another definition. What is known of their rows stays, since the rows do.
    """
    values = {
        "status": literal("pending"),
        "is_final": "false",
        "run_id": literal(run_id),
        "request_id": literal(run_id),
        "started_at": literal(at),
        "logged_at": literal(at),
        "error": "concat(k.table_name, ' of site ', k.website_id, ', segment ', k.segment, ', on ', "
        f"cast(k.date as string), {literal(f': {SEGMENT_CHANGED}')})",
        "segment_hash": literal(change.hash),
    }
    window = (
        f"l.connector = {literal(change.connector)} and l.segment = {literal(change.segment)} "
        f"and l.date between {literal(days[0])} and {literal(days[1])}"
    )
    chosen = ", ".join(values.get(name, f"k.{name}") for name in SYNC_LOG.column_names)
    return (
        f"insert into {table_name(dataset, SYNC_LOG.name)} ({', '.join(SYNC_LOG.column_names)}) "
        f"select {chosen} from (select {_names('l')} from {newest(dataset, window)}) k where {change.of('k')}"
    )


def status_of(dataset: str, connector: str, kept_from: Mapping[str, date] | None = None) -> str:
    """Return the query for the runs of consecutive slices in the same state, by stream.

    Columns: table_name, website_id, segment, period, state (good, open, pending or failed), first_day, last_day,
    row_count, visits_difference, last_run, last_error. Open are those that were not over when they were fetched.
    Unlike a sync it reads the whole log, since a person runs it and it tells
    of all time. A year of good days is one row. ``kept_from``: by table, the first day whose rows it keeps.
    """
    window = f"l.connector = {literal(connector)}" + "".join(
        f" and (l.table_name != {literal(table)} or l.date >= {literal(day)})"
        for table, day in (kept_from or {}).items()
    )
    # A status of another version is one that a sync refetches.
    state = (
        "case when l.is_open then 'open' when l.status in ('written', 'unchanged') then 'good' "
        "when l.status = 'pending' then 'pending' else 'failed' end"
    )
    stream = "l.table_name, l.website_id, l.segment, coalesce(l.period, 'day')"
    return (
        "select table_name, website_id, segment, period, state, min(date) as first_day, max(date) as last_day, "
        "sum(row_count) as row_count, sum(abs(visits_difference)) as visits_difference, "
        "max(logged_at) as last_run, max(error) as last_error from ("
        f"select {stream} as period, l.date, l.row_count, l.visits_difference, l.logged_at, l.error, "
        f"{state} as state, {_position('l.date', 'l.period')} - row_number() over ("
        f"partition by {stream}, {state} order by l.date) as island "
        f"from {newest(dataset, window)}) group by table_name, website_id, segment, period, state, island "
        "order by table_name, website_id, segment, period, first_day"
    )


def changes_of(dataset: str, connector: str, requests: Iterable[str]) -> str:
    """Return the query for the final slices that runs of some requests found changed, as Matomo had them before.

    Columns: run_id, table_name, website_id, segment, period, date, replaced_rows, row_count.
    """
    return (
        "select l.run_id, l.table_name, l.website_id, l.segment, coalesce(l.period, 'day') as period, l.date, "
        f"l.replaced_rows, l.row_count from {table_name(dataset, SYNC_LOG.name)} l "
        f"where l.connector = {literal(connector)} and {all_time('l')} and l.request_id in ({_listed(requests)}) "
        "and l.status = 'written' and l.replaced_rows is not null "
        "order by l.table_name, l.website_id, l.segment, l.date"
    )


def last_sweep(dataset: str, connector: str, *, without: Collection[str] = ()) -> str:
    """Return the query for the newest sweep of a connector, in the columns of `history_of`; no row without one."""
    return (
        f"select {_names_of_runs(without)} from {table_name(dataset, SYNC_RUNS.name)} r "
        f"where r.connector = {literal(connector)} and r.mode = 'sweep' {_LAST_OF_RUN} "
        "order by r.started_at desc, r.run_id desc limit 1"
    )


def history_of(dataset: str, connector: str, runs: int, *, without: Collection[str] = ()) -> str:
    """Return the query for the newest runs of a connector, the newest first.

    In all columns of ``_sync_runs`` but ``handed_on``, which may be long, and those that a table of an older version is
    ``without``. Of a run's rows the last one counts.
    """
    return (
        f"select {_names_of_runs(without)} from {table_name(dataset, SYNC_RUNS.name)} r "
        f"where r.connector = {literal(connector)} {_LAST_OF_RUN} "
        f"order by r.started_at desc, r.run_id desc limit {runs}"
    )


def runs_of_requests(dataset: str, connector: str, since: date) -> str:
    """Return the query for the runs since a day that handed something on, or were about a part of a request.

    In the columns of `history_of`, in the order in which they began.
    """
    return (
        f"select {_names_of_runs()} from {table_name(dataset, SYNC_RUNS.name)} r "
        f"where r.connector = {literal(connector)} and r.date >= {literal(since)} "
        f"and (r.shards is not null or r.continuation is not null or r.handed_on is not null) {_LAST_OF_RUN} "
        "order by r.started_at, r.run_id"
    )


@dataclass(frozen=True, slots=True)
class PartOfRequest:
    """A part of a request: which shard, or None for all of it, and how many times its rest had been handed on."""

    request_id: str
    shard: int | None
    continuation: int | None


def handed_on(dataset: str, connector: str, part: PartOfRequest, since: date) -> str:
    """Return the query for what runs of one part of a request have handed on, the newest first: status, handed_on."""
    same = [f"r.request_id = {literal(part.request_id)}"]
    for name, value in (("shard", part.shard), ("continuation", part.continuation)):
        same.append(f"r.{name} is null" if value is None else f"r.{name} = {value}")
    return (
        f"select r.status, r.handed_on from {table_name(dataset, SYNC_RUNS.name)} r "
        f"where r.connector = {literal(connector)} and r.date >= {literal(since)} and r.handed_on is not null "
        f"and {' and '.join(same)} order by r.finished_at desc"
    )


def next_job(dataset: str, connector: str, about: str, since: date) -> str:
    """Return the query for where the next run of equal requests begins: ``next_job`` of the last one, if there is one.

    The row from a run's beginning says nothing of that.
    """
    return (
        f"select r.next_job from {table_name(dataset, SYNC_RUNS.name)} r "
        f"where r.connector = {literal(connector)} and r.date >= {literal(since)} and r.about = {literal(about)} "
        "and r.status not in ('running', 'handing_on') order by r.finished_at desc limit 1"
    )


def _names_of_runs(without: Collection[str] = ()) -> str:
    return ", ".join(f"r.{name}" for name in SYNC_RUNS.column_names if name not in ("handed_on", *without))


_LAST_OF_RUN = "qualify row_number() over (partition by r.run_id order by r.finished_at desc) = 1"


def differences(dataset: str, connector: str, table: Table, *, exists: bool) -> str:
    """Return the query for the slices of which a table has other rows than the log's newest row says, of all time.

    Columns: date, website_id, segment, status, logged_rows, written_run_id (NULL where the log knows nothing of the
    slice), found_rows, found_keys (of how many keys they are), first_run, last_run. ``exists``: whether the table is
    there. Slices that another connector wrote last are its own business.
    """
    window = f"{all_time('l')} and l.table_name = {literal(table.name)}"
    slice_key = "l.website_id, l.segment, l.date"
    logged = (
        "select l.date, l.website_id, l.segment, l.connector, l.status, l.row_count as logged_rows, "
        "l.written_run_id, 0 as found_rows, 0 as found_keys, cast(null as string) as first_run, "
        "cast(null as string) as last_run "
        f"from {table_name(dataset, SYNC_LOG.name)} l where {window} "
        f"qualify row_number() over (partition by {slice_key} order by l.logged_at desc, l.run_id desc) = 1"
    )
    counted = count_keys(dataset, table, all_time("t"))
    found = (
        "select f.date, f.website_id, f.segment, cast(null as string), cast(null as string), cast(null as int64), "
        f"cast(null as string), f.row_count, f.key_count, f.first_run, f.last_run from ({counted}) f"
    )
    return (
        "select d.date, d.website_id, d.segment, max(d.status) as status, max(d.logged_rows) as logged_rows, "
        "max(d.written_run_id) as written_run_id, max(d.found_rows) as found_rows, max(d.found_keys) as found_keys, "
        "max(d.first_run) as first_run, max(d.last_run) as last_run "
        f"from ({logged}{f' union all {found}' if exists else ''}) d "
        "group by d.date, d.website_id, d.segment "
        f"having coalesce(max(d.connector), {literal(connector)}) = {literal(connector)} and ("
        "coalesce(max(d.logged_rows), 0) != max(d.found_rows) or max(d.found_keys) != max(d.found_rows) "
        "or max(d.found_rows) > 0 and ("
        "max(d.first_run) != max(d.last_run) or max(d.first_run) != coalesce(max(d.written_run_id), ''))) "
        "order by d.website_id, d.segment, d.date"
    )


def _present(dataset: str, table: Table, span: Span) -> str:
    """Return the query for the slices that a table has rows of, with their number and the runs that wrote them."""
    first = table.period.first_day(span.recheck_from)
    chosen = f"t.date between {literal(first)} and {literal(span.last)}"
    if span.open_days:
        chosen = f"({chosen} or {in_days('t', span.open_days)})"
    return count_keys(dataset, table, chosen, f"{literal(table.name)} as table_name, ")


def _position(day: str, period: str) -> str:
    """Return the expression for the number of a slice in its stream: one more than that of the slice before.

    ``day`` and ``period``: the expressions for its date and its kind of period, which is NULL for days.
    """
    return (
        f"case {period} when 'week' then div(date_diff({day}, date '1969-12-29', day), 7) "  # a Monday
        f"when 'month' then extract(year from {day}) * 12 + extract(month from {day}) "
        f"when 'year' then extract(year from {day}) else date_diff({day}, date '1970-01-01', day) end"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(literal, names))


def newest(dataset: str, condition: str) -> str:
    """Return a subquery ``l`` with the newest row of each slice among the log's rows that meet a condition."""
    return (
        f"(select {_names('l')} from {table_name(dataset, SYNC_LOG.name)} l where {condition} "
        "qualify row_number() over (partition by l.connector, l.table_name, l.website_id, l.segment, l.date "
        "order by l.logged_at desc, l.run_id desc) = 1) l"
    )


def _names(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in SYNC_LOG.column_names)
