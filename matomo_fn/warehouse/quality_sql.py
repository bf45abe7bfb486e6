"""GoogleSQL text of reconciliation: what the tables have by day, and the table in which the findings stand."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from matomo_fn.catalogue import SYNC_LOG, SYNC_QUALITY, Table
from matomo_fn.days import Range
from matomo_fn.slices import Slice
from matomo_fn.warehouse.sql import all_time, in_slices, literal, table_name

# A row that is staged with this verdict takes the row of its key out of the table: what it spoke of is not there.
WITHDRAWN = "withdrawn"
_NUMBERS = ("visits", "others_visits", "others_rows", "actions", "truncated_actions", "truncated_visits")


@dataclass(frozen=True, slots=True)
class CountedTable:
    """A table as its days are counted: the column with a row's visits, if there is one; ``excluded`` columns."""

    table: Table
    visits_column: str | None = None
    excluded: Collection[str] = ()

    def numbers(self) -> Mapping[str, str]:
        """Return the expression of each number for some rows ``t`` of one key; those that the table lacks are NULL."""
        table = self.table
        found = dict.fromkeys(_NUMBERS, "cast(null as int64)")
        if table.is_log:
            found["visits"] = "count(*)"
            if "action_count" not in self.excluded:
                found["actions"] = "sum(t.action_count)"
            if "truncated_action_count" not in self.excluded:
                found["truncated_actions"] = "sum(t.truncated_action_count)"
                found["truncated_visits"] = "countif(t.truncated_action_count > 0)"
            return found
        if table.has_others:
            found["others_rows"] = "countif(t._is_others)"
        if self.visits_column:
            found["visits"] = f"sum(t.{self.visits_column})"
            if table.has_others:
                found["others_visits"] = f"sum(if(t._is_others, t.{self.visits_column}, 0))"
        if table.is_one_row and any(column.name == "nb_actions" for column in table.metrics):
            found["actions"] = "sum(t.nb_actions)"
        return found


def counts_of_days(dataset: str, counted: Iterable[CountedTable], days: Range, sites: Collection[str] | None) -> str:
    """Return the query for what some tables have of each site, segment and day.

    Columns: table_name, date, website_id, segment, row_count, key_count (how many of the rows have a key of their own),
    visits, others_visits and others_rows (those of "Others"), actions, truncated_actions, truncated_visits: NULL where
    the table has no such number. ``sites``: only of these; of all where None.
    """
    return " union all ".join(_count_table(dataset, each, days, sites) for each in counted)


def _count_table(dataset: str, counted: CountedTable, days: Range, sites: Collection[str] | None) -> str:
    table = counted.table
    first = table.period.first_day(days[0])
    chosen = f"t.date between {literal(first)} and {literal(days[1])}"
    if sites is not None:
        chosen += f" and t.website_id in ({', '.join(map(literal, sites))})"
    key = ", ".join(f"t.{name}" for name in table.key)
    numbers = ", ".join(f"{expression} as {name}" for name, expression in counted.numbers().items())
    segment, group = ("k.segment", ", k.segment") if table.has_segment else ("''", "")
    sums = ", ".join(f"sum(k.{name}) as {name}" for name in _NUMBERS)
    return (
        f"select {literal(table.name)} as table_name, k.date, k.website_id, {segment} as segment, "
        f"sum(k.row_count) as row_count, count(*) as key_count, {sums} from ("
        f"select {key}, count(*) as row_count, {numbers} from {table_name(dataset, table.name)} t "
        f"where {chosen} group by {key}) k group by k.date, k.website_id{group}"
    )


def conversions_of(dataset: str, table: Table, days: Range, sites: Collection[str] | None) -> str:
    """Return the query for each conversion of the visits of some days: date, website_id, second (Unix), revenue.

    ``date``: the day that the visit stands on, which is that of its last action. Orders are conversions, abandoned
    carts are none.
    """
    chosen = f"t.date between {literal(days[0])} and {literal(days[1])}"
    if sites is not None:
        chosen += f" and t.website_id in ({', '.join(map(literal, sites))})"
    return (
        "select t.date, t.website_id, unix_seconds(a.occurred_at) as second, a.revenue "
        f"from {table_name(dataset, table.name)} t, unnest(t.actions) a "
        f"where {chosen} and a.type in ('goal', 'ecommerceOrder')"
    )


def rows_of(dataset: str, table: Table, columns: Iterable[str], slices: Collection[Slice]) -> str:
    """Return the query for some columns of the rows of some slices of a table."""
    names = ["date", "website_id", *(["segment"] if table.has_segment else []), *columns]
    chosen = in_slices("t", slices, has_segment=table.has_segment)
    days = [slice_.date for slice_ in slices]
    return (
        f"select {', '.join(f't.{name}' for name in names)} from {table_name(dataset, table.name)} t "
        f"where t.date between {literal(min(days))} and {literal(max(days))} and {chosen}"
    )


def merge_quality(dataset: str, staging: str, connector: str, days: Range) -> str:
    """Return the statement that puts the staged rows of some days in the place of those with the same key."""
    name = SYNC_QUALITY.name
    key = [column for column in SYNC_QUALITY.key if column != "connector"]
    values = {column: f"s.{column}" for column in SYNC_QUALITY.column_names}
    updated = ", ".join(f"{column} = {value}" for column, value in values.items() if column not in SYNC_QUALITY.key)
    between = f"between {literal(days[0])} and {literal(days[1])}"
    return (
        f"merge {table_name(dataset, name)} t using {table_name(dataset, staging)} s "
        f"on t.date {between} and t.connector = {literal(connector)} and t.connector = s.connector "
        f"and {' and '.join(f't.{column} = s.{column}' for column in key)} "
        f"when matched and s.verdict = {literal(WITHDRAWN)} then delete "
        f"when matched then update set {updated} "
        f"when not matched by target and s.date {between} and s.verdict != {literal(WITHDRAWN)} "
        f"then insert ({', '.join(values)}) values ({', '.join(values.values())})"
    )


def summary_of(dataset: str, connector: str, kept_from: Mapping[str, date] | None = None) -> str:
    """Return the query for what the newest checks of a connector said, by check, table, verdict and reason.

    Columns: check_name, table_name, verdict, reason, slices, sites, first_day, last_day, last_checked, detail (one of
    them). Of a key the newest row counts: of two runs that check the same day at once, both may have inserted one. What
    was said of rows that have been written again since counts no more. ``kept_from``: by table, the first day whose
    rows it keeps.
    """
    chosen = f"q.connector = {literal(connector)} and {all_time('q')}" + "".join(
        f" and (q.table_name != {literal(table)} or q.date >= {literal(day)})"
        for table, day in (kept_from or {}).items()
    )
    names = ", ".join(f"q.{name}" for name in SYNC_QUALITY.column_names)
    slice_ = ("table_name", "website_id", "segment", "date")
    written = (
        f"select {', '.join(f'l.{name}' for name in slice_)}, max(l.logged_at) as written_at "
        f"from {table_name(dataset, SYNC_LOG.name)} l where l.connector = {literal(connector)} and {all_time('l')} "
        f"and l.status = 'written' group by {', '.join(f'l.{name}' for name in slice_)}"
    )
    group = "n.check_name, n.table_name, n.verdict, n.reason"
    return (
        f"select {group}, count(*) as slices, count(distinct n.website_id) as sites, min(n.date) as first_day, "
        "max(n.date) as last_day, max(n.checked_at) as last_checked, max(n.detail) as detail from ("
        f"select {names} from {table_name(dataset, SYNC_QUALITY.name)} q where {chosen} "
        "qualify row_number() over (partition by q.date, q.check_name, q.table_name, q.website_id, q.segment "
        f"order by q.checked_at desc, q.run_id desc) = 1) n left join ({written}) w "
        f"on {' and '.join(f'w.{name} = n.{name}' for name in slice_)} "
        f"where w.written_at is null or w.written_at <= n.checked_at group by {group} order by {group}"
    )
