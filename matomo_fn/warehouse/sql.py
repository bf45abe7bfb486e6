"""GoogleSQL text of the tables of slices, and the parts that all statements are made of; nothing here runs one.

The statements of the log are in ``log_sql``, of the reference tables in ``reference_sql``, of deliveries in
``events_sql``. BigQuery gets the text as it is, DuckDB through sqlglot, and the tests put each statement before the
GoogleSQL analyzer. Column lists are always spelled out; dates stand as literals, since only literals prune partitions.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import PAGE_TITLES, STAMP_COLUMNS, Column, Schema, Table, View
from matomo_fn.days import Days, Range
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


def column_name(name: str) -> str:
    """Return a column's name in backquotes: one that somebody else has added may be a reserved word, or have blanks."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def column_type(column: Column) -> str:
    """Return a column's type as a statement has it, the names of its fields in backquotes."""
    if not column.fields:
        return column.type_name
    fields = ", ".join(f"{column_name(field.name)} {column_type(field)}" for field in column.fields)
    return f"ARRAY<STRUCT<{fields}>>" if column.repeated else f"STRUCT<{fields}>"


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
    names = ", ".join(column_name(name) for name, _ in columns)
    expressions = ", ".join(expression for _, expression in columns)
    return (
        f"insert into {table_name(dataset, target)} ({names}) select {expressions} "
        f"from {table_name(dataset, table)} t where {_other_slices('t', slices)}"
    )


def replace_table(dataset: str, schema: Schema, source: str, clauses: str) -> str:
    """Return the statement that replaces a table, in one step, by the rows of another one; ``clauses``: partitions."""
    definitions = ", ".join(_definition(column) for column in schema.columns)
    names = ", ".join(f"s.{column_name(name)}" for name in schema.column_names)
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
    return count_keys(dataset, table, chosen)


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


def count_rows(dataset: str, table: str) -> str:
    """Return the query for the number of rows of a staging table."""
    return f"select count(*) as row_count from {table_name(dataset, table)}"


def view_query(dataset: str, table: str, view: View) -> str:
    """Return the query of a view of a table."""
    columns = ", ".join(_selected(column.name, expression) for column, expression in view.columns)
    elements = f", unnest({view.unnest}) e with offset element_offset" if view.unnest else ""
    within = f", unnest({view.unnest_within}) i with offset item_offset" if view.unnest_within else ""
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


def create_view(dataset: str, name: str, query: str) -> str:
    """Return the statement that creates a view, or replaces it in place."""
    return f"create or replace view {table_name(dataset, name)} as {query}"


def count_keys(dataset: str, table: Table, condition: str, more: str = "") -> str:
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


def all_time(alias: str) -> str:
    """Return a condition on a row's date that every row meets: a table may require one."""
    return f"{alias}.date between date '0001-01-01' and date '9999-12-31'"


def _other_slices(alias: str, slices: Collection[Slice]) -> str:
    """Return the condition that a row belongs to none of the slices."""
    return f"{all_time(alias)} and not {in_slices(alias, slices)}" if slices else all_time(alias)


def _between(alias: str, slices: Iterable[Slice]) -> str:
    """Return the condition that a row's date lies between the slices' first and last, which prunes partitions."""
    days = [slice_.date for slice_ in slices]
    return f"{alias}.date between {literal(min(days))} and {literal(max(days))}"


def _selected(name: str, expression: str) -> str:
    return expression if expression.endswith(f".{name}") else f"{expression} as {name}"


def _definition(column: Column) -> str:
    return f"{column_name(column.name)} {column_type(column)}{' not null' if column.required else ''}"
