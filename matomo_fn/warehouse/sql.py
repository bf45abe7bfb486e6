"""GoogleSQL text: every statement of the program is made here, by functions that run nothing.

BigQuery gets the text as it is, DuckDB through sqlglot, and the tests put each statement before the GoogleSQL
analyzer. Column lists are always spelled out; dates stand as literals, since only literals prune partitions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import (
    PAGE_TITLES,
    STAMP_COLUMNS,
    SYNC_LOG,
    SYNC_RUNS,
    Column,
    ReferenceTable,
    Schema,
    Table,
    View,
)
from matomo_fn.days import Days, Range
from matomo_fn.slices import Slice, Stream

# Days before its own on which a visit may have stood: it ends after 30 minutes without an action, so one would do.
_MOVED_DAYS = 2
_ESCAPES = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\0": "\\x00"})


def literal(value: str | date | datetime) -> str:
    """Return a value as a GoogleSQL literal; datetimes have to know their time zone."""
    if isinstance(value, datetime):
        return f"timestamp '{value.isoformat(sep=' ', timespec='microseconds')}'"
    if isinstance(value, date):
        return f"date '{value}'"
    return f"'{value.translate(_ESCAPES)}'"


def table_name(dataset: str, table: str) -> str:
    """Return a table's name in backquotes; ``dataset`` is ``project.dataset``, or a dataset alone."""
    return f"`{dataset}.{table}`"


def create_table(dataset: str, schema: Schema) -> str:
    """Return the statement that creates a table without partitions, for a warehouse that has none."""
    columns = ", ".join(_definition(column) for column in schema.columns)
    return f"create table if not exists {table_name(dataset, schema.name)} ({columns})"


def widen_column(dataset: str, table: str, column: Column) -> str:
    """Return the statement that gives a column of numbers a wider type; its values stay."""
    name = table_name(dataset, table)
    return f"alter table {name} alter column {column.name} set data type {column.type_name}"


def count_other_rows(dataset: str, table: str, slices: Collection[Slice]) -> str:
    """Return the query for the number of rows of a table that are in none of the slices, as ``row_count``."""
    return f"select count(*) as row_count from {table_name(dataset, table)} t where {_other_slices('t', slices)}"


def count_days(dataset: str, table: str) -> str:
    """Return the query for the number of days of which a table has rows, as ``days``."""
    return f"select count(distinct t.date) as days from {table_name(dataset, table)} t"


def carry_over(
    dataset: str, table: str, target: str, columns: Sequence[tuple[str, str]], slices: Collection[Slice]
) -> str:
    """Return the statement that copies the rows of a table that are in none of the slices into another one.

    ``columns`` are names with their expressions of a row ``t``.
    """
    names, expressions = (", ".join(part) for part in zip(*columns, strict=True))
    return (
        f"insert into {table_name(dataset, target)} ({names}) select {expressions} "
        f"from {table_name(dataset, table)} t where {_other_slices('t', slices)}"
    )


def replace_table(dataset: str, schema: Schema, source: str, clauses: str) -> str:
    """Return the statement that replaces a table, in one step, by the rows of another one; ``clauses``: partitions."""
    definitions = ", ".join(_definition(column) for column in schema.columns)
    names = ", ".join(f"s.{name}" for name in schema.column_names)
    return (
        f"create or replace table {table_name(dataset, schema.name)} ({definitions}) {clauses} "
        f"as select {names} from {table_name(dataset, source)} s"
    )


def replace_slices(  # noqa: PLR0913 - each is a part of the statement
    dataset: str,
    table: Table,
    staging: str,
    slices: Collection[Slice],
    *,
    run_id: str,
    synced_at: datetime,
    is_all: bool = True,
) -> str:
    """Return the statement that replaces slices of a table by the rows of a staging table, in one step.

    The constant-false condition lets BigQuery prune by the literal dates and removes the rows that vanished.
    ``is_all``: the staging table has no other slices.
    """
    names = [column.name for column in (*table.staged, *STAMP_COLUMNS)]
    values = [f"s.{column.name}" for column in table.staged]
    source = table_name(dataset, staging)
    if not is_all:
        chosen = f"{_between('s', slices)} and {in_slices('s', slices, has_segment=table.has_segment)}"
        source = f"(select {', '.join(values)} from {source} s where {chosen})"
    values += [literal(synced_at), literal(run_id)]
    return (
        f"merge {table_name(dataset, table.name)} t using {source} s on false "
        f"when not matched by source and {_between('t', slices)} "
        f"and {in_slices('t', slices, has_segment=table.has_segment)} then delete "
        f"when not matched by target then insert ({', '.join(names)}) values ({', '.join(values)})"
    )


def count_slices(dataset: str, table: Table, slices: Collection[Slice]) -> str:
    """Return the query for the slices of which a table has rows.

    Columns: date, website_id, segment, row_count, key_count (how many of the rows have a key of their own), first_run,
    last_run (the first and last by name).
    """
    chosen = f"{_between('t', slices)} and {in_slices('t', slices, has_segment=table.has_segment)}"
    return _counted(dataset, table, chosen)


def moved_visits(dataset: str, table: Table, slices: Collection[Slice]) -> str:
    """Return the query for visits (date, website_id, visit_id) that stand on one of the next two days as well.

    Of the days of the slices and the two before and after them.
    """
    offsets = [timedelta(days=days) for days in range(-_MOVED_DAYS, _MOVED_DAYS + 1)]
    around = {slice_.stream.slice(slice_.date + offset) for slice_ in slices for offset in offsets}
    name = table_name(dataset, table.name)
    return (
        f"select distinct e.date, e.website_id, e.visit_id from {name} e "
        f"join {name} n on n.visit_id = e.visit_id and n.website_id = e.website_id "
        f"where {_between('e', around)} and {in_slices('e', around, has_segment=False)} "
        f"and {_between('n', around)} and {in_slices('n', around, has_segment=False)} "
        f"and n.date > e.date and date_diff(n.date, e.date, day) <= {_MOVED_DAYS} "
        "order by e.date, e.website_id, e.visit_id"
    )


def delete_visits(dataset: str, table: Table, visits: Mapping[Slice, Collection[int]]) -> str:
    """Return the statement that deletes visits, given by their ids, from slices."""
    terms = [
        f"(t.date = {literal(slice_.date)} and t.website_id = {literal(slice_.website_id)} "
        f"and t.visit_id in ({', '.join(map(str, ids))}))"
        for slice_, ids in visits.items()
    ]
    return f"delete from {table_name(dataset, table.name)} t where {_between('t', visits)} and ({' or '.join(terms)})"


def find_page_titles(dataset: str, pages: Table, staging: str, slices: Collection[Slice]) -> str:
    """Return the statement that puts the pages whose title is not the one seen most that day into a table.

    With the title seen most under the page's URL, or NULL. The titles come from the table of visits that ``pages``
    names.
    """
    names = ", ".join(column.name for column in PAGE_TITLES)
    return (
        f"insert into {table_name(dataset, staging)} ({names}) "
        f"select distinct p.date, p.website_id, p.page_url, b.title from {table_name(dataset, pages.name)} p "
        "left join ("
        "select c.date, c.website_id, c.url, c.title from ("
        "select v.date, v.website_id, a.url, a.title, count(*) as views "
        f"from {table_name(dataset, pages.titles_from)} v, unnest(v.actions) a "
        f"where {_between('v', slices)} and {in_slices('v', slices, has_segment=False)} and a.type = 'action' "
        "and a.url is not null and a.title is not null group by v.date, v.website_id, a.url, a.title) c "
        "where true qualify row_number() over ("
        "partition by c.date, c.website_id, c.url order by c.views desc, c.title) = 1) b "
        "on b.date = p.date and b.website_id = p.website_id and b.url = p.page_url "
        f"where {_between('p', slices)} and {in_slices('p', slices, has_segment=False)} "
        "and p.page_title is distinct from b.title"
    )


def set_page_titles(dataset: str, pages: Table, staging: str, slices: Collection[Slice]) -> str:
    """Return the statement that gives pages the titles that such a table has for them."""
    return (
        f"merge {table_name(dataset, pages.name)} t using {table_name(dataset, staging)} s "
        f"on {_between('t', slices)} and {in_slices('t', slices, has_segment=False)} "
        "and t.date = s.date and t.website_id = s.website_id and t.page_url = s.url "
        "when matched and t.page_title is distinct from s.title then update set page_title = s.title"
    )


def reference_state(dataset: str, tables: Iterable[ReferenceTable]) -> str:
    """Return the query for every key of some reference tables, in one statement.

    Columns: table_name, key_1, key_2 ('' where the key is one column), content_hash, is_deleted, connector, and
    row_count: more than 1 where runs that overlapped have inserted the same row.
    """
    parts = []
    for table in tables:
        first, second = (*(f"cast(t.{name} as string)" for name in table.key), "''")[:2]
        parts.append(
            f"select {literal(table.name)} as table_name, {first} as key_1, {second} as key_2, "
            "max(t._content_hash) as content_hash, logical_and(t._is_deleted) as is_deleted, "
            "max(t._connector) as connector, count(*) as row_count "
            f"from {table_name(dataset, table.name)} t group by key_1, key_2"
        )
    return " union all ".join(parts)


def merge_reference(
    dataset: str, table: ReferenceTable, staging: str, *, connector: str, run_id: str, at: datetime
) -> str:
    """Return the statement that brings rows of a reference table up to date from a staging table.

    A staged row with ``_is_deleted`` has a key only: what the table has of it stays and is marked.
    """
    match = " and ".join(f"t.{name} = s.{name}" for name in table.key)
    stamps = {"_connector": literal(connector), "_synced_at": literal(at), "_run_id": literal(run_id)}
    deleted = {"_is_deleted": "true", "_deleted_at": literal(at), **stamps}
    values = {column.name: f"s.{column.name}" for column in table.staged}
    written = values | {"_deleted_at": "cast(null as timestamp)"} | stamps
    updated = {name: value for name, value in written.items() if name not in table.key}
    return (
        f"merge {table_name(dataset, table.name)} t using {table_name(dataset, staging)} s on {match} "
        f"when matched and s._is_deleted then update set {_assignments(deleted)} "
        f"when matched and not s._is_deleted then update set {_assignments(updated)} "
        f"when not matched and not s._is_deleted then insert ({', '.join(written)}) "
        f"values ({', '.join(written.values())})"
    )


def find_one_of_each(dataset: str, table: ReferenceTable, staging: str, first_keys: Iterable[str]) -> str:
    """Return the statement that puts the newest row of each key into a table, of those with a first key column."""
    names = table.schema.column_names
    return (
        f"insert into {table_name(dataset, staging)} ({', '.join(names)}) "
        f"select {', '.join(f'd.{name}' for name in names)} from {table_name(dataset, table.name)} d "
        f"where d.{_has_first_key(table, first_keys)} qualify row_number() over ("
        f"partition by {', '.join(f'd.{name}' for name in table.key)} order by d._synced_at desc, d._run_id desc) = 1"
    )


def keep_one_of_each(dataset: str, table: ReferenceTable, staging: str, first_keys: Iterable[str]) -> str:
    """Return the statement that replaces the rows with a first key column by those of such a table.

    It deletes rows, so BigQuery makes two of them wait for each other.
    """
    names = table.schema.column_names
    return (
        f"merge {table_name(dataset, table.name)} t using {table_name(dataset, staging)} s on false "
        f"when not matched by source and t.{_has_first_key(table, first_keys)} then delete "
        f"when not matched by target then insert ({', '.join(names)}) "
        f"values ({', '.join(f's.{name}' for name in names)})"
    )


def count_reference(dataset: str, table: ReferenceTable) -> str:
    """Return the query for the rows of a reference table: table_name, row_count, deleted_count, last_synced_at."""
    return (
        f"select {literal(table.name)} as table_name, count(*) as row_count, countif(t._is_deleted) as deleted_count, "
        f"max(t._synced_at) as last_synced_at from {table_name(dataset, table.name)} t"
    )


def count_rows(dataset: str, table: str) -> str:
    """Return the query for the number of rows of a staging table."""
    return f"select count(*) as row_count from {table_name(dataset, table)}"


def view_query(dataset: str, table: str, view: View) -> str:
    """Return the query of a view of a table."""
    columns = ", ".join(_selected(column.name, expression) for column, expression in view.columns)
    elements = f", unnest(t.{view.unnest}) e with offset element_offset" if view.unnest else ""
    within = f", unnest(e.{view.unnest_within}) i with offset item_offset" if view.unnest_within else ""
    condition = f" where {view.where}" if view.where else ""
    return f"select {columns} from {table_name(dataset, table)} t{elements}{within}{condition}"


def append_rows(dataset: str, schema: Schema, staging: str, days: Range) -> str:
    """Return the statement that appends a staging table's rows of some days, (first, last)."""
    names = ", ".join(schema.column_names)
    return (
        f"insert into {table_name(dataset, schema.name)} ({names}) select {names} "
        f"from {table_name(dataset, staging)} s where s.date between {literal(days[0])} and {literal(days[1])}"
    )


def in_slices(alias: str, slices: Collection[Slice], *, has_segment: bool = True) -> str:
    """Return the condition that a row belongs to one of the slices, all of one table (with its segment, or of any).

    Sites with the same days share their term, and consecutive days are one ``between``, so that the statement
    stays short for hundreds of sites.
    """
    days: dict[tuple[str, str], set[date]] = {}
    for slice_ in slices:
        days.setdefault((slice_.website_id, slice_.segment if has_segment else ""), set()).add(slice_.date)
    sites: dict[tuple[str, frozenset[date]], list[str]] = {}
    for (site, segment), dates in sorted(days.items()):
        sites.setdefault((segment, frozenset(dates)), []).append(site)
    terms = [
        f"({in_days(alias, dates)} and {alias}.website_id in ({', '.join(map(literal, ids))})"
        + (f" and {alias}.segment = {literal(segment)})" if has_segment else ")")
        for (segment, dates), ids in sites.items()
    ]
    return terms[0] if len(terms) == 1 else f"({' or '.join(terms)})"


def in_days(alias: str, days: Iterable[date]) -> str:
    """Return the condition that a row's date is one of the days."""
    runs = Days.of(days).ranges
    single = [first for first, last in runs if first == last]
    terms = [f"{alias}.date between {literal(first)} and {literal(last)}" for first, last in runs if first != last]
    if single:
        terms.append(f"{alias}.date in ({', '.join(map(literal, single))})")
    return terms[0] if len(terms) == 1 else f"({' or '.join(terms)})"


def state_view(dataset: str) -> str:
    """Return the query of the view with the newest row of each slice."""
    return f"select {_names('l')} from {_newest(dataset, 'true')}"


def create_view(dataset: str, name: str, query: str) -> str:
    """Return the statement that creates a view, or replaces it in place."""
    return f"create or replace view {table_name(dataset, name)} as {query}"


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
        f"from {_newest(dataset, window)})) "
        f"group by {stream}, island order by {stream}, first_day"
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a run looks at closely: those from ``recheck_from`` to ``last``, and ``open_days`` before them.

    Of longer periods those that have one of these days.
    """

    recheck_from: date
    last: date
    open_days: Days


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
    present = " union all ".join(_present(dataset, table, span) for table in tables)
    return (
        "select k.table_name, k.website_id, k.segment, k.date, k.status, k.row_count, k.content_hash, "
        "k.written_run_id, k.request_id, k.is_final, k.has_others, k.visits_difference, k.error, "
        "coalesce(p.key_count, 0) as found_keys, coalesce(p.row_count, 0) = k.row_count and "
        "(k.row_count = 0 or (p.key_count = k.row_count and p.first_run = k.written_run_id "
        "and p.last_run = k.written_run_id)) as is_intact "
        f"from (select {_names('l')} from {_newest(dataset, window)}) k left join ({present}) p "
        "on p.table_name = k.table_name and p.date = k.date and p.website_id = k.website_id and p.segment = k.segment "
        f"where k.table_name in ({_listed(table.name for table in tables)}) "
        f"and ({rechecked} or k.status in ('failed', 'pending') or not k.is_final)"
    )


def unjudged_slices(dataset: str, connector: str, stream: Stream, days: Days) -> str:
    """Return the query for the days of a stream of visits that are in the table and compared with no summary.

    Columns: date, status, row_count, content_hash, has_others, is_final, written_run_id.
    """
    window = (
        f"l.connector = {literal(connector)} and l.table_name = {literal(stream.table)} "
        f"and l.website_id = {literal(stream.website_id)} and {in_days('l', days)}"
    )
    return (
        "select k.date, k.status, k.row_count, k.content_hash, k.has_others, k.is_final, k.written_run_id "
        f"from (select {_names('l')} from {_newest(dataset, window)}) k "
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
        f"where l.connector = {literal(connector)} and {_all_time('l')} order by l.table_name"
    )


def logged_days(dataset: str, table: str) -> str:
    """Return the query for the first and the last day that the log knows of a table; NULL where it knows none."""
    return (
        "select min(l.date) as first_day, max(l.date) as last_day "
        f"from {table_name(dataset, SYNC_LOG.name)} l where {_all_time('l')} and l.table_name = {literal(table)}"
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
        f"select {chosen} from (select {_names('l')} from {_newest(dataset, window)}) k where k.status != 'pending'"
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
        f"select distinct k.segment from (select {_names('l')} from {_newest(dataset, window)}) k where {changed} "
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
        f"max(k.logged_at) as logged_at from (select {_names('l')} from {_newest(dataset, window)}) k "
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
        f"where {_all_time('l')} and l.connector = {literal(connector)} and l.segment = {literal(segment)}"
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
        f"select {chosen} from (select {_names('l')} from {_newest(dataset, window)}) k where {change.of('k')}"
    )


def status_of(dataset: str, connector: str, kept_from: Mapping[str, date] | None = None) -> str:
    """Return the query for the runs of consecutive slices in the same state, by stream.

    Columns: table_name, website_id, segment, period, state (good, pending or failed), first_day, last_day, row_count,
    visits_difference, last_run, last_error. Unlike a sync it reads the whole log, since a person runs it and it tells
    of all time. A year of good days is one row. ``kept_from``: by table, the first day whose rows it keeps.
    """
    window = f"l.connector = {literal(connector)}" + "".join(
        f" and (l.table_name != {literal(table)} or l.date >= {literal(day)})"
        for table, day in (kept_from or {}).items()
    )
    state = "if(l.status in ('pending', 'failed'), l.status, 'good')"
    stream = "l.table_name, l.website_id, l.segment, coalesce(l.period, 'day')"
    return (
        "select table_name, website_id, segment, period, state, min(date) as first_day, max(date) as last_day, "
        "sum(row_count) as row_count, sum(abs(visits_difference)) as visits_difference, "
        "max(logged_at) as last_run, max(error) as last_error from ("
        f"select {stream} as period, l.date, l.row_count, l.visits_difference, l.logged_at, l.error, "
        f"{state} as state, {_position('l.date', 'l.period')} - row_number() over ("
        f"partition by {stream}, {state} order by l.date) as island "
        f"from {_newest(dataset, window)}) group by table_name, website_id, segment, period, state, island "
        "order by table_name, website_id, segment, period, first_day"
    )


def history_of(dataset: str, connector: str, runs: int) -> str:
    """Return the query for the newest runs of a connector, the newest first, in all columns of ``_sync_runs``."""
    names = ", ".join(f"r.{name}" for name in SYNC_RUNS.column_names)
    return (
        f"select {names} from {table_name(dataset, SYNC_RUNS.name)} r where r.connector = {literal(connector)} "
        f"order by r.started_at desc, r.run_id desc limit {runs}"
    )


def differences(dataset: str, connector: str, table: Table, *, exists: bool) -> str:
    """Return the query for the slices of which a table has other rows than the log's newest row says, of all time.

    Columns: date, website_id, segment, status, logged_rows, written_run_id (NULL where the log knows nothing of the
    slice), found_rows, found_keys (of how many keys they are), first_run, last_run. ``exists``: whether the table is
    there. Slices that another connector wrote last are its own business.
    """
    window = f"{_all_time('l')} and l.table_name = {literal(table.name)}"
    slice_key = "l.website_id, l.segment, l.date"
    logged = (
        "select l.date, l.website_id, l.segment, l.connector, l.status, l.row_count as logged_rows, "
        "l.written_run_id, 0 as found_rows, 0 as found_keys, cast(null as string) as first_run, "
        "cast(null as string) as last_run "
        f"from {table_name(dataset, SYNC_LOG.name)} l where {window} "
        f"qualify row_number() over (partition by {slice_key} order by l.logged_at desc, l.run_id desc) = 1"
    )
    counted = _counted(dataset, table, _all_time("t"))
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
    return _counted(dataset, table, chosen, f"{literal(table.name)} as table_name, ")


def _counted(dataset: str, table: Table, condition: str, more: str = "") -> str:
    """Return the query for the rows, keys and runs of a table's slices, of the rows ``t`` that meet a condition.

    By a grouping within a grouping: exact for keys of any length and for NULL, and no column but the key's and the
    run's is read.
    """
    segment = "k.segment" if table.has_segment else "''"
    group = ", k.segment" if table.has_segment else ""
    key = ", ".join(f"t.{name}" for name in table.key)
    return (
        f"select {more}k.date, k.website_id, {segment} as segment, sum(k.row_count) as row_count, "
        "count(*) as key_count, min(k.first_run) as first_run, max(k.last_run) as last_run from ("
        f"select {key}, count(*) as row_count, min(t._run_id) as first_run, max(t._run_id) as last_run "
        f"from {table_name(dataset, table.name)} t where {condition} group by {key}) k "
        f"group by k.date, k.website_id{group}"
    )


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


def _all_time(alias: str) -> str:
    """Return a condition on a row's date that every row meets: a table may require one."""
    return f"{alias}.date between date '0001-01-01' and date '9999-12-31'"


def _other_slices(alias: str, slices: Collection[Slice]) -> str:
    """Return the condition that a row belongs to none of the slices."""
    return f"{_all_time(alias)} and not {in_slices(alias, slices)}" if slices else _all_time(alias)


def _between(alias: str, slices: Iterable[Slice]) -> str:
    """Return the condition that a row's date lies between the slices' first and last, which prunes partitions."""
    days = [slice_.date for slice_ in slices]
    return f"{alias}.date between {literal(min(days))} and {literal(max(days))}"


def _newest(dataset: str, condition: str) -> str:
    """Return a subquery ``l`` with the newest row of each slice among the log's rows that meet a condition."""
    return (
        f"(select {_names('l')} from {table_name(dataset, SYNC_LOG.name)} l where {condition} "
        "qualify row_number() over (partition by l.connector, l.table_name, l.website_id, l.segment, l.date "
        "order by l.logged_at desc, l.run_id desc) = 1) l"
    )


def _names(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in SYNC_LOG.column_names)


def _has_first_key(table: ReferenceTable, first_keys: Iterable[str]) -> str:
    return f"{table.key[0]} in ({', '.join(map(literal, sorted(first_keys)))})"


def _assignments(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())


def _selected(name: str, expression: str) -> str:
    return expression if expression.endswith(f".{name}") else f"{expression} as {name}"


def _definition(column: Column) -> str:
    return f"{column.name} {column.type_name}{' not null' if column.required else ''}"
