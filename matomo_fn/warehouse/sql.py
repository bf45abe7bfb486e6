"""GoogleSQL text: every statement of the program is made here, by functions that run nothing.

BigQuery gets the text as it is, DuckDB through sqlglot, and the tests put each statement before the GoogleSQL
analyzer. Column lists are always spelled out; dates stand as literals, since only literals prune partitions.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import PAGE_TITLES, STAMP_COLUMNS, SYNC_LOG, Column, Schema, Table, View
from matomo_fn.days import Days
from matomo_fn.slices import Slice

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


def add_column(dataset: str, table: str, column: Column) -> str:
    """Return the statement that adds a column; it can only be nullable, since older rows have no value for it."""
    return (
        f"alter table {table_name(dataset, table)} "
        f"add column if not exists {column.name} {column.type_name} options (description={literal(column.description)})"
    )


def drop_table(dataset: str, table: str) -> str:
    """Return the statement that drops a table if it is there."""
    return f"drop table if exists {table_name(dataset, table)}"


def replace_slices(
    dataset: str, table: Table, staging: str, slices: Collection[Slice], *, run_id: str, synced_at: datetime
) -> str:
    """Return the statement that replaces slices of a table by the rows of a staging table, in one step.

    The constant-false condition lets BigQuery prune by the literal dates and removes the rows that vanished.
    """
    names = [column.name for column in (*table.staged, *STAMP_COLUMNS)]
    values = [f"s.{column.name}" for column in table.staged]
    values += [literal(synced_at), literal(run_id)]
    return (
        f"merge {table_name(dataset, table.name)} t using {table_name(dataset, staging)} s on false "
        f"when not matched by source and {in_slices('t', slices, has_segment=table.has_segment)} then delete "
        f"when not matched by target then insert ({', '.join(names)}) values ({', '.join(values)})"
    )


def delete_moved_visits(dataset: str, table: Table, staging: str, slices: Iterable[Slice]) -> str | None:
    """Return the statement that takes visits of a staging table off the days that they have moved away from.

    A visit stands on the day of its last action; one that went on over midnight was written on the day before. None
    where those days are all among the slices, which have been replaced anyway.
    """
    written = set(slices)
    earlier = [timedelta(days=days) for days in range(1, _MOVED_DAYS + 1)]
    before = {slice_.stream.slice(slice_.date - back) for slice_ in written for back in earlier} - written
    if not before:
        return None
    return (
        f"delete from {table_name(dataset, table.name)} t where {in_slices('t', before, has_segment=False)} "
        f"and t.visit_id in (select s.visit_id from {table_name(dataset, staging)} s)"
    )


def find_page_titles(dataset: str, pages: Table, staging: str, slices: Collection[Slice]) -> str:
    """Return the statement that puts the title seen most under each page's URL that day, or NULL, into a table.

    The titles come from the table of visits that ``pages`` names.
    """
    names = ", ".join(column.name for column in PAGE_TITLES)
    return (
        f"insert into {table_name(dataset, staging)} ({names}) "
        f"select distinct p.date, p.website_id, p.page_url, b.title from {table_name(dataset, pages.name)} p "
        "left join ("
        "select c.date, c.website_id, c.url, c.title from ("
        "select v.date, v.website_id, a.url, a.title, count(*) as views "
        f"from {table_name(dataset, pages.titles_from)} v, unnest(v.actions) a "
        f"where {in_slices('v', slices, has_segment=False)} and a.type = 'action' "
        "and a.url is not null and a.title is not null group by v.date, v.website_id, a.url, a.title) c "
        "where true qualify row_number() over ("
        "partition by c.date, c.website_id, c.url order by c.views desc, c.title) = 1) b "
        "on b.date = p.date and b.website_id = p.website_id and b.url = p.page_url "
        f"where {in_slices('p', slices)}"
    )


def set_page_titles(dataset: str, pages: Table, staging: str, slices: Collection[Slice]) -> str:
    """Return the statement that gives pages the titles that such a table has for them."""
    return (
        f"merge {table_name(dataset, pages.name)} t using {table_name(dataset, staging)} s "
        f"on {in_slices('t', slices)} and t.date = s.date and t.website_id = s.website_id and t.page_url = s.url "
        "when matched and t.page_title is distinct from s.title then update set page_title = s.title"
    )


def view_query(dataset: str, table: str, view: View) -> str:
    """Return the query of a view of a table."""
    columns = ", ".join(_selected(column.name, expression) for column, expression in view.columns)
    elements = f", unnest(t.{view.unnest}) e with offset element_offset" if view.unnest else ""
    return f"select {columns} from {table_name(dataset, table)} t{elements}"


def append_rows(dataset: str, schema: Schema, staging: str) -> str:
    """Return the statement that appends a staging table's rows."""
    names = ", ".join(schema.column_names)
    return (
        f"insert into {table_name(dataset, schema.name)} ({names}) select {names} from {table_name(dataset, staging)}"
    )


def in_slices(alias: str, slices: Collection[Slice], *, has_segment: bool = True) -> str:
    """Return the condition that a row belongs to one of the slices, all of one table (with a segment, or without).

    Sites with the same days share their term, and consecutive days are one ``between``, so that the statement
    stays short for hundreds of sites.
    """
    days: dict[tuple[str, str], set[date]] = {}
    for slice_ in slices:
        days.setdefault((slice_.website_id, slice_.segment), set()).add(slice_.date)
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
    """Return the statement that makes a view anew."""
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
    """Return the query for the runs of consecutive days of which something is known, by table, site and segment.

    Columns: table_name, website_id, segment, is_settled, first_day, last_day. A settled day need not be refetched; the
    others are pending, failed or not final. A year of settled days is one row.
    """
    window = f"l.connector = {literal(connector)} and l.date between {literal(first)} and {literal(last)}"
    stream = "table_name, website_id, segment, is_settled"
    return (
        f"select {stream}, min(date) as first_day, max(date) as last_day from ("
        f"select {stream}, date, date_diff(date, date '1970-01-01', day) - "
        f"row_number() over (partition by {stream} order by date) as island "
        "from (select l.table_name, l.website_id, l.segment, l.date, "
        "l.status in ('written', 'unchanged') and l.is_final as is_settled "
        f"from {_newest(dataset, window)})) "
        f"group by {stream}, island order by {stream}, first_day"
    )


@dataclass(frozen=True, slots=True)
class Span:
    """The days that a run looks at closely: those from ``recheck_from`` to ``last``, and ``open_days`` before them."""

    recheck_from: date
    last: date
    open_days: Days


def known_slices(dataset: str, connector: str, tables: Sequence[Table], span: Span) -> str:
    """Return the query for what is known of the slices that may be refetched.

    These are all since ``recheck_from``, and the open ones before; for the former ``is_intact`` tells whether
    the table still has the very rows that the log speaks of. So a run that died between merge and log, and rows that
    somebody deleted, are found out.
    """
    days = f"l.date between {literal(span.recheck_from)} and {literal(span.last)}"
    if span.open_days:
        days = f"({days} or {in_days('l', span.open_days)})"
    window = f"l.connector = {literal(connector)} and {days}"
    present = " union all ".join(_present(dataset, table, span.recheck_from, span.last) for table in tables)
    return (
        "select k.table_name, k.website_id, k.segment, k.date, k.status, k.row_count, k.content_hash, "
        "k.written_run_id, k.request_id, k.is_final, k.has_others, k.visits_difference, k.error, "
        f"k.date >= {literal(span.recheck_from)} and coalesce(p.row_count, 0) = k.row_count and "
        "(k.row_count = 0 or (p.first_run = k.written_run_id and p.last_run = k.written_run_id)) as is_intact "
        f"from (select {_names('l')} from {_newest(dataset, window)}) k left join ({present}) p "
        "on p.table_name = k.table_name and p.date = k.date and p.website_id = k.website_id and p.segment = k.segment "
        f"where k.table_name in ({', '.join(literal(table.name) for table in tables)}) "
        f"and (k.date >= {literal(span.recheck_from)} or k.status in ('failed', 'pending') or not k.is_final)"
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


def invalidate_slices(dataset: str, table: str, *, run_id: str, at: datetime, reason: str) -> str:
    """Return the statement that marks every slice of a table as pending, for a table that is made anew.

    Of all connectors: those that share the table have lost their rows as well.
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
        "error": literal(reason),
    }
    window = f"l.table_name = {literal(table)}"
    chosen = ", ".join(values.get(name, f"k.{name}") for name in SYNC_LOG.column_names)
    return (
        f"insert into {table_name(dataset, SYNC_LOG.name)} ({', '.join(SYNC_LOG.column_names)}) "
        f"select {chosen} from (select {_names('l')} from {_newest(dataset, window)}) k where k.status != 'pending'"
    )


def status_of(dataset: str, connector: str) -> str:
    """Return the query for the state by table and site.

    Columns: table_name, website_id, segment, first_day, last_day, days, row_count, pending, failed, last_run,
    last_error. Unlike a sync it reads the whole log, since it is asked by a person and tells of all time.
    """
    window = f"l.connector = {literal(connector)}"
    return (
        "select table_name, website_id, segment, min(date) as first_day, max(date) as last_day, "
        "count(*) as days, sum(row_count) as row_count, countif(status = 'pending') as pending, "
        "countif(status = 'failed') as failed, "
        "sum(abs(visits_difference)) as visits_difference, max(logged_at) as last_run, max(error) as last_error "
        f"from {_newest(dataset, window)} group by table_name, website_id, segment "
        "order by table_name, website_id, segment"
    )


def _present(dataset: str, table: Table, first: date, last: date) -> str:
    """Return the query for the slices that a table has rows of, with their number and the runs that wrote them."""
    group, segment = ("", "''") if table.is_log else (", t.segment", "t.segment")
    return (
        f"select {literal(table.name)} as table_name, t.date, t.website_id, {segment} as segment, "
        "count(*) as row_count, min(t._run_id) as first_run, max(t._run_id) as last_run "
        f"from {table_name(dataset, table.name)} t "
        f"where t.date between {literal(first)} and {literal(last)} group by t.date, t.website_id{group}"
    )


def _newest(dataset: str, condition: str) -> str:
    """Return a subquery ``l`` with the newest row of each slice among the log's rows that meet a condition."""
    return (
        f"(select {_names('l')} from {table_name(dataset, SYNC_LOG.name)} l where {condition} "
        "qualify row_number() over (partition by l.connector, l.table_name, l.website_id, l.segment, l.date "
        "order by l.logged_at desc, l.run_id desc) = 1) l"
    )


def _names(alias: str) -> str:
    return ", ".join(f"{alias}.{name}" for name in SYNC_LOG.column_names)


def _selected(name: str, expression: str) -> str:
    return expression if expression.endswith(f".{name}") else f"{expression} as {name}"


def _definition(column: Column) -> str:
    return f"{column.name} {column.type_name}{' not null' if column.required else ''}"
