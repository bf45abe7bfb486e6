"""Every statement of the program before GoogleSQL's own analyzer, and in DuckDB."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import cycle
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from matomo_fn.catalogue import (
    BUILT_IN,
    PAGE_TITLES,
    PREBUILT,
    REFERENCE_TABLES,
    SYNC_LOG,
    SYNC_QUALITY,
    SYNC_RUNS,
    VISIT_ACTIONS,
    VISITS,
    Column,
    ColumnType,
    Schema,
    table_of,
    visits_column,
)
from matomo_fn.days import Days
from matomo_fn.periods import LONGER
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse import log_sql, quality_sql, reference_sql, report_sql, sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.analyzer import AnalyzerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matomo_fn.catalogue import Table
    from tests.support.analyzer import Analyzer
    from tests.support.analyzer import Column as AnalyzerColumn

First = TypeVar("First")
Second = TypeVar("Second")
PAGES = BUILT_IN["behaviour_page"]
DATASET = "my-project.matomo_shop"
AT = datetime(2026, 11, 20, 3, 4, 5, 678, tzinfo=UTC)
FIRST, LAST = date(2026, 1, 31), date(2026, 11, 19)
NAMES = list(PREBUILT)
PERIODS = [table_of(PREBUILT[name], period) for name in ("visits_summary", "visitor_country") for period in LONGER]
TABLES = [*PREBUILT.values(), VISITS, *PERIODS]
REFERENCES = tuple(REFERENCE_TABLES.values())
ODD_TEXTS = (
    "",
    "it's",
    "'); drop table x; --",
    'double "quotes" and `backquotes`',
    "back\\slash\\",
    "\\' \\n \\x41",
    "two\nlines\r\nand\ta tab",
    "\0",
    "a\0b 7\0007",
    "é ß 漢字 😀 \u202e \u2028",
    "%s {0} @p ? $1 -- /* # */",
    "\x01\x1b\x7f",
)
ODD_TEXT = "".join(ODD_TEXTS)
MANY_DAYS = [FIRST + timedelta(days=offset) for offset in (0, 1, 2, 5, 9, 10, 40, 299)]
COLUMN = Column("added", ColumnType.STRING, ODD_TEXT)


def staging(name: str) -> str:
    """The name of a table's staging table."""
    return f"_staging_{name}_r1_1"


def pairs(some: Sequence[First], others: Sequence[Second]) -> list[tuple[First, Second]]:
    """Each of both with one of the other: what each does to a statement does not depend on the other."""
    return [(some[index % len(some)], others[index % len(others)]) for index in range(max(len(some), len(others)))]


def many_slices(table: str) -> list[Slice]:
    """Sites with the same days, with days of their own, and more than one segment."""
    slices = [Slice(Stream(table, str(site)), day) for site in range(1, 60) for day in MANY_DAYS]
    slices += [Slice(Stream(table, "61", "mobile"), day) for day in MANY_DAYS[:3]]
    return [*slices, Slice(Stream(table, "62", ODD_TEXT), LAST)]


def merge_of(name: str) -> str:
    """The merge of a slice of a table."""
    slices = [Slice(Stream(name, "1"), LAST)]
    return sql.replace_slices(DATASET, PREBUILT[name], staging(name), slices, run_id="r1", synced_at=AT)


# A whole number of each table, as a wider one.
WIDE = {
    table.name: replace(next(c for c in table.columns if c.type is ColumnType.INT64), type=kind)
    for table, kind in zip(TABLES, cycle((ColumnType.NUMERIC, ColumnType.FLOAT64)), strict=False)
}
SUMMARY = report_sql.Counted("visits_summary", "nb_visits")
CHANNELS = report_sql.Counted("acquisition_channel_type", "visits")
OTHERS = [
    report_sql.Counted(t.name, next(c.name for c in t.metrics if c.type is ColumnType.INT64))
    for t in PREBUILT.values()
    if t.has_others
]
# Every function that makes a statement, with the arguments that make it interesting.
STATEMENTS: Mapping[str, Callable[[], list[str]]] = {
    "create_table": lambda: [sql.create_table(DATASET, schema) for schema in (*(t.schema for t in TABLES), SYNC_LOG)],
    "replace_slices": lambda: [
        sql.replace_slices(DATASET, table, staging(table.name), slices, run_id=run_id, synced_at=AT, is_all=is_all)
        for index, table in enumerate(TABLES)
        for slices, run_id, is_all in (
            ([Slice(Stream(table.name, "1"), LAST)], "20261120T030405_0123abcd", index % 2 == 0),
            (many_slices(table.name), ODD_TEXT, index % 2 == 1),
        )
    ],
    "count_other_rows": lambda: [
        sql.count_other_rows(DATASET, name, slices) for name in NAMES for slices in ([], many_slices(name))
    ],
    "count_days": lambda: [sql.count_days(DATASET, name) for name in NAMES],
    "carry_over": lambda: [
        sql.carry_over(DATASET, t.name, t.name, [(c.name, f"t.{c.name}") for c in t.columns], many_slices(t.name))
        for t in PREBUILT.values()
    ],
    "replace_table": lambda: [
        sql.replace_table(DATASET, t.schema, t.name, "partition by date cluster by website_id options (labels = [])")
        for t in PREBUILT.values()
    ],
    "widen_column": lambda: [sql.widen_column(DATASET, table.name, WIDE[table.name]) for table in TABLES],
    "counts_of_days": lambda: [
        quality_sql.counts_of_days(
            DATASET,
            [quality_sql.CountedTable(table, visits_column(table), excluded) for table in TABLES],
            (FIRST, LAST),
            sites,
        )
        for excluded, sites in (((), None), (("action_count", "truncated_action_count"), ODD_TEXTS))
    ],
    "conversions_of": lambda: [
        quality_sql.conversions_of(DATASET, VISITS, (FIRST, LAST), sites) for sites in (None, ODD_TEXTS)
    ],
    "rows_of": lambda: [
        quality_sql.rows_of(DATASET, table, [column.name for column in table.parsed], many_slices(table.name))
        for table in (PAGES, VISITS)
    ],
    "merge_quality": lambda: [
        quality_sql.merge_quality(DATASET, staging(SYNC_QUALITY.name), text, (FIRST, LAST)) for text in ODD_TEXTS
    ],
    "summary_of": lambda: [
        quality_sql.summary_of(DATASET, text, kept)
        for text, kept in zip(ODD_TEXTS, cycle(({}, {"visits": FIRST})), strict=False)
    ],
    "logged_tables": lambda: [log_sql.logged_tables(DATASET, text) for text in ODD_TEXTS],
    "append_rows": lambda: [sql.append_rows(DATASET, SYNC_LOG, staging(SYNC_LOG.name), (FIRST, LAST))],
    "state_view": lambda: [log_sql.state_view(DATASET)],
    "create_view": lambda: [sql.create_view(DATASET, "_sync_state", log_sql.state_view(DATASET))],
    "older_open_days": lambda: [log_sql.older_open_days(DATASET, text, FIRST) for text in ODD_TEXTS],
    "known_runs": lambda: [log_sql.known_runs(DATASET, text, FIRST, LAST) for text in ODD_TEXTS],
    "known_slices": lambda: [
        log_sql.known_slices(DATASET, text, tables, log_sql.Span(LAST - timedelta(days=3), LAST, Days.of(older)))
        for text, tables, older in (
            ("shop", TABLES[:1], []),
            (ODD_TEXT, TABLES, MANY_DAYS),
            *(("shop", [table], [FIRST]) for table in TABLES),
        )
    ],
    "unjudged_slices": lambda: [
        log_sql.unjudged_slices(DATASET, text, Stream(VISITS.name, text), Days.of(days))
        for text, days in pairs(ODD_TEXTS, ([LAST], MANY_DAYS))
    ],
    "foreign_slices": lambda: [
        log_sql.foreign_slices(DATASET, text, f"https://example.com/{text}", NAMES, FIRST, LAST) for text in ODD_TEXTS
    ],
    "invalidate_slices": lambda: [
        log_sql.invalidate_slices(DATASET, name, (FIRST, LAST), run_id=text, at=AT, reason=text)
        for text, name in pairs(ODD_TEXTS, NAMES)
    ],
    "changed_segments": lambda: [
        log_sql.changed_segments(DATASET, text, {"mobile": "0a1b", text: text}, (FIRST, LAST)) for text in ODD_TEXTS
    ],
    "other_definitions": lambda: [
        log_sql.other_definitions(DATASET, text, {"mobile": "0a1b", text: text}, (FIRST, LAST)) for text in ODD_TEXTS
    ],
    "logged_days_of_segment": lambda: [log_sql.logged_days_of_segment(DATASET, text, text) for text in ODD_TEXTS],
    "invalidate_segment": lambda: [
        log_sql.invalidate_segment(DATASET, log_sql.SegmentChange(text, text, text), (FIRST, LAST), run_id=text, at=AT)
        for text in ODD_TEXTS
    ],
    "delete_visits": lambda: [
        sql.delete_visits(DATASET, VISITS, {slice_: [1, 2**62] for slice_ in slices})
        for slices in ([Slice(Stream(VISITS.name, "1"), LAST)], many_slices(VISITS.name))
    ],
    "moved_visits": lambda: [
        sql.moved_visits(DATASET, VISITS, slices)
        for slices in ([Slice(Stream(VISITS.name, "1"), LAST)], many_slices(VISITS.name))
    ],
    "count_slices": lambda: [sql.count_slices(DATASET, table, many_slices(table.name)) for table in TABLES],
    "count_rows": lambda: [sql.count_rows(DATASET, staging("titles"))],
    "logged_days": lambda: [log_sql.logged_days(DATASET, text) for text in ODD_TEXTS],
    "differences": lambda: [
        *(log_sql.differences(DATASET, "shop", table, exists=True) for table in TABLES),
        # Of a table that is not there nothing but its name is in the statement.
        *(log_sql.differences(DATASET, ODD_TEXT, table, exists=False) for table in TABLES[:1]),
    ],
    "find_page_titles": lambda: [sql.find_page_titles(DATASET, PAGES, staging("titles"), many_slices(VISITS.name))],
    "set_page_titles": lambda: [sql.set_page_titles(DATASET, PAGES, staging("titles"), many_slices(VISITS.name))],
    "view_query": lambda: [
        sql.view_query(DATASET, table.name, view) for table in BUILT_IN.values() for view in table.views
    ],
    "status_of": lambda: [log_sql.status_of(DATASET, text, {text: date(2026, 1, 31)}) for text in ODD_TEXTS],
    "history_of": lambda: [log_sql.history_of(DATASET, text, 20) for text in ODD_TEXTS],
    "last_sweep": lambda: [log_sql.last_sweep(DATASET, text) for text in ODD_TEXTS],
    "changes_of": lambda: [log_sql.changes_of(DATASET, text, [text, "r1"]) for text in ODD_TEXTS],
    "runs_of_requests": lambda: [log_sql.runs_of_requests(DATASET, text, FIRST) for text in ODD_TEXTS],
    "next_job": lambda: [log_sql.next_job(DATASET, text, text, FIRST) for text in ODD_TEXTS],
    "handed_on": lambda: [
        log_sql.handed_on(DATASET, text, log_sql.PartOfRequest(text, shard, number), FIRST)
        for text, shard, number in zip(ODD_TEXTS, cycle((1, None)), cycle((None, 2, 3)), strict=False)
    ],
    "reference_state": lambda: [
        reference_sql.reference_state(DATASET, tables) for tables in (REFERENCES, REFERENCES[:1])
    ],
    "merge_reference": lambda: [
        reference_sql.merge_reference(DATASET, table, staging(table.name), connector=text, run_id=text, at=AT)
        for table, text in pairs(REFERENCES, ODD_TEXTS)
    ],
    "keep_one_of_each": lambda: [
        reference_sql.keep_one_of_each(DATASET, table, f"{staging(table.name)}_once", keys)
        for table in REFERENCES
        for keys in (["1"], ODD_TEXTS)
    ],
    "find_one_of_each": lambda: [
        reference_sql.find_one_of_each(DATASET, table, f"{staging(table.name)}_once", keys)
        for table in REFERENCES
        for keys in (["1"], ODD_TEXTS)
    ],
    "calendar_of": lambda: [
        report_sql.calendar_of(DATASET, text, (FIRST, LAST), {text: date(2026, 1, 31)}) for text in ODD_TEXTS
    ],
    "visits_by_day": lambda: [
        report_sql.visits_by_day(DATASET, counted, (FIRST, LAST)) for counted in (SUMMARY, CHANNELS)
    ],
    "channels_of": lambda: [report_sql.channels_of(DATASET, CHANNELS.table, (FIRST, LAST))],
    "others_of": lambda: [report_sql.others_of(DATASET, counted, (FIRST, LAST)) for counted in (OTHERS[:1], OTHERS)],
    "names_of_sites": lambda: [
        report_sql.names_of_sites(DATASET, REFERENCE_TABLES["sites"], text) for text in ODD_TEXTS
    ],
    "differing_days": lambda: [report_sql.differing_days(DATASET, text, (FIRST, LAST)) for text in ODD_TEXTS],
    "count_checks": lambda: [report_sql.count_checks(DATASET, text, (FIRST, LAST)) for text in ODD_TEXTS],
    "failed_checks": lambda: [
        report_sql.failed_checks(DATASET, text, (FIRST, LAST), 500, ODD_TEXTS) for text in ODD_TEXTS
    ],
    "count_reference": lambda: [reference_sql.count_reference(DATASET, table) for table in REFERENCES],
}
FRAGMENTS = {
    "all_time",
    "column_name",
    "column_type",
    "count_keys",
    "literal",
    "newest",
    "table_name",
    "in_slices",
    "in_days",
}

NOT_ABOUT_THE_LOG = {
    "conversions_of",
    "counts_of_days",
    "merge_quality",
    "rows_of",
    "summary_of",
    "carry_over",
    "channels_of",
    "count_checks",
    "count_days",
    "count_other_rows",
    "replace_table",
    "widen_column",
    "create_table",
    "replace_slices",
    "delete_visits",
    "differing_days",
    "failed_checks",
    "names_of_sites",
    "others_of",
    "visits_by_day",
    "moved_visits",
    "count_slices",
    "count_rows",
    "find_page_titles",
    "set_page_titles",
    "view_query",
    "handed_on",
    "history_of",
    "last_sweep",
    "next_job",
    "runs_of_requests",
    "reference_state",
    "merge_reference",
    "find_one_of_each",
    "keep_one_of_each",
    "count_reference",
}

Catalog = dict[str, list["AnalyzerColumn"]]


def listed(columns: tuple[Column, ...]) -> list[AnalyzerColumn]:
    """Columns as the analyzer wants them."""
    return [
        (
            column.name,
            replace(column, repeated=False).type_name,
            "REPEATED" if column.repeated else "REQUIRED" if column.required else "NULLABLE",
        )
        for column in columns
    ]


def catalog() -> Catalog:
    """The dataset as a run leaves it, with its staging tables."""
    tables = {table.name: listed(table.columns) for table in TABLES}
    tables |= {staging(table.name): listed(table.staged) for table in TABLES}
    tables |= {name: listed(SYNC_LOG.columns) for name in ("_sync_state", staging(SYNC_LOG.name))}
    tables |= {table.name: listed(table.schema.columns) for table in REFERENCES}
    tables |= {staging(table.name): listed(table.staged) for table in REFERENCES}
    tables |= {f"{staging(table.name)}_once": listed(table.schema.columns) for table in REFERENCES}
    tables[staging("titles")] = listed(PAGE_TITLES)
    tables[SYNC_RUNS.name] = listed(SYNC_RUNS.columns)
    tables |= {name: listed(SYNC_QUALITY.columns) for name in (SYNC_QUALITY.name, staging(SYNC_QUALITY.name))}
    return {f"{DATASET}.{name}": columns for name, columns in tables.items()} | catalog_of_log(listed(SYNC_LOG.columns))


def catalog_of_log(columns: list[AnalyzerColumn]) -> Catalog:
    """A log of these columns, what is appended to it, and one table: what the first statement of each kind needs."""
    tables = {SYNC_LOG.name: columns, staging(SYNC_LOG.name): listed(SYNC_LOG.columns)}
    tables[NAMES[0]] = listed(TABLES[0].columns)
    return {f"{DATASET}.{name}": found for name, found in tables.items()}


@pytest.fixture(scope="module")
def bigquery(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows the dataset."""
    return analyzer(catalog())


@pytest.fixture(scope="module")
def duckdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A DuckDB file with the dataset's tables, a staging table for each, and a table for every kind of slice."""
    path: Path = tmp_path_factory.mktemp("sql") / "sql.duckdb"
    warehouse = DuckDBWarehouse(path, "matomo_shop")
    warehouse.ensure_dataset()
    for table in TABLES:
        warehouse.create_table(table.schema, "day")
        warehouse.create_table(Schema(staging(table.name), "", table.staged), "day")
    for reference in REFERENCES:
        warehouse.create_table(reference.schema, "day")
        warehouse.create_table(Schema(staging(reference.name), "", reference.staged), "day")
        warehouse.create_table(replace(reference.schema, name=f"{staging(reference.name)}_once"), "day")
    warehouse.create_table(SYNC_LOG, "day")
    warehouse.create_table(SYNC_RUNS, "month")
    warehouse.create_table(SYNC_QUALITY, "month")
    warehouse.create_table(replace(SYNC_QUALITY, name=staging(SYNC_QUALITY.name)), "month")
    warehouse.create_table(replace(SYNC_LOG, name=staging(SYNC_LOG.name)), "day")
    warehouse.create_table(Schema(staging("titles"), "", PAGE_TITLES), "day")
    warehouse.create_table(Schema("grid", "", PREBUILT["visits_summary"].columns[:3]), "day")
    warehouse.run(
        "insert into `matomo_shop.grid` (date, website_id, segment) select d, w, s from "
        "unnest(generate_date_array(date '2026-02-20', date '2026-03-05')) as d, "
        "unnest(['1', '2', '12']) as w, unnest(['', 'mobile', \"it's\"]) as s",
        "fill",
    )
    yield warehouse
    warehouse.close()


def test_every_public_function_of_the_modules_is_under_test() -> None:
    """A function that is added to one of the modules has to be added here, as a statement or as a part of one."""
    public = {
        name
        for module in (sql, log_sql, quality_sql, reference_sql, report_sql)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == STATEMENTS.keys() | FRAGMENTS


@pytest.mark.parametrize("name", STATEMENTS)
def test_bigquery_accepts_every_statement(bigquery: Analyzer, name: str) -> None:
    """What the program may send to BigQuery, for all tables and with odd texts in it, passes GoogleSQL's analyzer."""
    for statement in STATEMENTS[name]():
        bigquery.check(statement)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_audit_names_days_to_tables_that_require_them(table: Table) -> None:
    """BigQuery refuses to read a table with ``require_partition_filter`` without literal bounds on its date."""
    statement = log_sql.differences(DATASET, "shop", table, exists=True)
    for alias, name in (("t", table.name), ("l", SYNC_LOG.name)):
        bound = f"from `{DATASET}.{name}` {alias} where {alias}.date between date '0001-01-01' and date '9999-12-31'"
        assert bound in statement


# The last name first: what a statement drops or adds, no later one needs.
# (How a table is replaced there, DuckDB's own tests show.)
@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - {"replace_table"}, reverse=True))
def test_duckdb_runs_every_statement(duckdb: DuckDBWarehouse, name: str) -> None:
    """The same text, turned into DuckDB's dialect, runs there."""
    for statement in STATEMENTS[name]():
        if statement.startswith("select"):
            duckdb.query(statement)
        else:
            duckdb.run(statement, name)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_a_literal_is_the_text_that_it_was_made_of(bigquery: Analyzer, duckdb: DuckDBWarehouse, text: str) -> None:
    """No character of a text ends the literal, changes, or is lost."""
    query = f"select {sql.literal(text)} as x"
    bigquery.check(query)
    assert duckdb.query(query) == [{"x": text}]


@settings(max_examples=25)
@given(st.text(st.characters(codec="utf-8"), max_size=12))
def test_any_text_makes_a_literal_of_its_own(bigquery: Analyzer, duckdb: DuckDBWarehouse, text: str) -> None:
    """Both warehouses read a literal of any characters, in any order, and DuckDB gives the text back."""
    query = f"select {sql.literal(text)} as x"
    bigquery.check(query)
    assert duckdb.query(query) == [{"x": text}]


def test_literals_of_days_and_times_have_their_types(bigquery: Analyzer, duckdb: DuckDBWarehouse) -> None:
    """A date is a DATE and a datetime a TIMESTAMP to the microsecond, wherever on earth it was taken."""
    zone = datetime.fromisoformat("2026-11-20T08:34:05.000678+05:30")
    query = f"select {sql.literal(FIRST)} as d, {sql.literal(AT)} as t, {sql.literal(zone)} as z"
    bigquery.check(f"select date_add(d, interval 1 day), timestamp_diff(t, z, second) from ({query})")
    assert duckdb.query(query) == [{"d": FIRST, "t": AT, "z": AT}]


# --- counter-checks: what is wrong does not pass ----------------------------------------------------------


def variants(name: str, changed: Iterable[list[AnalyzerColumn]]) -> Catalog:
    """A table in several variants: ``name_0``, ``name_1`` and so on; one catalog is made faster than many."""
    return {f"{DATASET}.{name}_{number}": columns for number, columns in enumerate(changed)}


def about(variant: str, name: str, statement: str) -> str:
    """A statement about a variant of the table that it names."""
    found = statement.replace(f"`{DATASET}.{name}`", f"`{variant}`")
    assert found != statement
    return found


def without(columns: list[AnalyzerColumn], name: str) -> list[AnalyzerColumn]:
    """All columns but one."""
    return [each for each in columns if each[0] != name]


def missing(column: str) -> str:
    """What the analyzer says of a column that a table does not have."""
    return rf"(Column {column} is not present in|Name {column} not found inside)"


def test_a_merge_fails_where_a_column_is_missing_or_has_another_type(analyzer: Callable[[Any], Analyzer]) -> None:
    """Each column stands in the merge: BigQuery would refuse it without one, or with one of another type."""
    name = "referrers"  # it has columns of every kind
    table = PREBUILT[name]
    statement = merge_of(name)
    both = {name: listed(table.columns), staging(name): listed(table.staged)}
    for place, columns in both.items():
        changed = variants(
            place,
            (
                [*columns[:index], *wrong, *columns[index + 1 :]]
                for index, (column, kind, mode) in enumerate(columns)
                for wrong in ([], [(column, "INT64" if kind == "STRING" else "STRING", mode)])
            ),
        )
        check = analyzer({f"{DATASET}.{each}": found for each, found in both.items()} | changed).check
        check(statement)
        assert len(changed) == 2 * len(columns)
        for variant in changed:
            with pytest.raises(AnalyzerError):
                check(about(variant, place, statement))


@pytest.mark.parametrize("name", NAMES)
def test_each_tables_merge_names_each_of_its_columns(analyzer: Callable[[Any], Analyzer], name: str) -> None:
    """A table that lacks any one of the columns cannot be merged into, which is why missing ones are added first."""
    table = PREBUILT[name]
    statement = merge_of(name)
    columns = listed(table.columns)
    both = {f"{DATASET}.{name}": columns, f"{DATASET}.{staging(name)}": listed(table.staged)}
    changed = variants(name, (without(columns, column.name) for column in table.columns))
    check = analyzer(both | changed).check
    check(statement)
    for column, variant in zip(table.columns, changed, strict=True):
        with pytest.raises(AnalyzerError, match=missing(column.name)):
            check(about(variant, name, statement))


@pytest.mark.parametrize("name", sorted(STATEMENTS.keys() - NOT_ABOUT_THE_LOG))
def test_a_statement_about_the_log_fails_where_the_log_lacks_a_column(
    analyzer: Callable[[Any], Analyzer], name: str
) -> None:
    """The statements that read or write the log name its columns, and the analyzer looks at each of them."""
    statement = STATEMENTS[name]()[0]
    spelled = [column for column in SYNC_LOG.column_names if f"l.{column}" in statement or f" {column}," in statement]
    assert {"date", "table_name" if name == "logged_days" else "connector"} <= set(spelled)
    columns = listed(SYNC_LOG.columns)
    changed = variants(SYNC_LOG.name, (without(columns, column) for column in spelled))
    check = analyzer(catalog_of_log(columns) | changed).check
    check(statement)
    for column, variant in zip(spelled, changed, strict=True):
        with pytest.raises(AnalyzerError, match=missing(column)):
            check(about(variant, SYNC_LOG.name, statement))


@pytest.mark.parametrize(
    ("name", "column", "kind"),
    [
        ("append_rows", "row_count", "STRING"),
        ("append_rows", "logged_at", "STRING"),
        ("older_open_days", "date", "TIMESTAMP"),
        ("older_open_days", "status", "INT64"),
        ("known_runs", "date", "STRING"),
        ("known_runs", "is_final", "STRING"),
        ("known_slices", "row_count", "STRING"),
        ("known_slices", "website_id", "INT64"),
        ("known_slices", "written_run_id", "BYTES"),
        ("unjudged_slices", "website_id", "INT64"),
        ("foreign_slices", "matomo_url", "INT64"),
        ("invalidate_slices", "content_hash", "INT64"),
        ("invalidate_slices", "started_at", "STRING"),
        ("status_of", "row_count", "STRING"),
    ],
)
def test_a_statement_about_the_log_fails_where_a_column_has_another_type(
    analyzer: Callable[[Any], Analyzer], name: str, column: str, kind: str
) -> None:
    """Columns of the log are compared and written by their types."""
    wrong = [(each, kind if each == column else type_, mode) for each, type_, mode in listed(SYNC_LOG.columns)]
    with pytest.raises(AnalyzerError):
        analyzer(catalog_of_log(wrong)).check(STATEMENTS[name]()[0])


def test_the_view_of_the_actions_has_the_columns_that_tell_its_version(bigquery: Analyzer) -> None:
    """A view whose columns are others is made anew."""
    view = sql.view_query(DATASET, VISITS.name, VISIT_ACTIONS)
    assert bigquery.columns(view) == list(VISIT_ACTIONS.column_names)


@pytest.mark.parametrize("name", ["delete_visits", "moved_visits", "find_page_titles", "set_page_titles", "view_query"])
def test_a_statement_about_visits_fails_where_the_visits_are_others(
    analyzer: Callable[[Any], Analyzer], name: str
) -> None:
    """The counter-check: without the columns that it reads, a statement does not pass."""
    fewer = {table: columns[:2] for table, columns in catalog().items()}
    with pytest.raises(AnalyzerError):
        analyzer(fewer).check(STATEMENTS[name]()[0])


def test_the_views_query_gives_the_logs_columns(bigquery: Analyzer) -> None:
    """The view has the columns of the log, which is how a view of an older version is told."""
    assert bigquery.columns(log_sql.state_view(DATASET)) == list(SYNC_LOG.column_names)


# --- the form that BigQuery prunes -------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_merge_names_its_first_and_last_day_in_front(name: str) -> None:
    """BigQuery prunes partitions by a range of literal days, whatever the slices' own conditions look like."""
    slices = [Slice(Stream(name, site), day) for site, day in (("1", LAST), ("2", FIRST), ("3", date(2026, 5, 1)))]
    statement = sql.replace_slices(DATASET, PREBUILT[name], staging(name), slices, run_id="r1", synced_at=AT)
    assert f"by source and t.date between date '{FIRST}' and date '{LAST}' and " in statement


@pytest.mark.parametrize("name", NAMES)
def test_a_merge_is_constant_false_and_names_its_columns(name: str) -> None:
    """Literal dates under a constant-false condition prune; column lists are spelled out, never ``insert row``."""
    table = PREBUILT[name]
    for slices in ([Slice(Stream(name, "1"), LAST)], many_slices(name)):
        statement = sql.replace_slices(DATASET, table, staging(name), slices, run_id="r1", synced_at=AT)
        merge = sqlglot.parse_one(statement, read="bigquery")
        assert isinstance(merge, exp.Merge)
        assert merge.args["on"] == exp.false()
        insert = merge.find(exp.Insert)
        assert insert is not None
        assert [each.name for each in insert.this.expressions] == [column.name for column in table.columns]
        delete = next(when for when in merge.args["whens"].expressions if isinstance(when.args["then"], exp.Var))
        assert not list(delete.args["condition"].find_all(exp.Subquery, exp.Select))
        assert {column.name for column in delete.args["condition"].find_all(exp.Column)} == {
            "date",
            "website_id",
            "segment",
        }


def test_a_statement_stays_short_for_hundreds_of_sites_and_days() -> None:
    """Sites with the same days share their term and days in a row are one: BigQuery reads 1 MB of SQL at most."""
    slices = [Slice(Stream("visits_summary", str(site)), day) for site in range(500) for day in MANY_DAYS]
    assert len(sql.in_slices("t", slices)) < 6_000


# --- what the conditions select ----------------------------------------------------------------------------

GRID_DAYS = [date(2026, 2, 20) + timedelta(days=offset) for offset in range(14)]
streams = st.builds(
    Stream,
    st.just("grid"),
    st.sampled_from(["1", "2", "12", "absent"]),
    st.sampled_from(["", "mobile", "it's"]),
)
slices = st.builds(Slice, streams, st.sampled_from(GRID_DAYS))


@settings(max_examples=40)
@given(st.sets(slices, min_size=1, max_size=60))
def test_in_slices_selects_exactly_the_rows_of_the_slices(duckdb: DuckDBWarehouse, slices: set[Slice]) -> None:
    """However days and sites are joined into terms, the condition holds for the slices named and no other."""
    rows = duckdb.query(
        f"select date, website_id, segment from `matomo_shop.grid` t where {sql.in_slices('t', sorted(slices))}"
    )
    found = [Slice(Stream("grid", row["website_id"], row["segment"]), row["date"]) for row in rows]
    assert sorted(found) == sorted(slice_ for slice_ in slices if slice_.website_id != "absent")


@settings(max_examples=20)
@given(st.lists(st.sampled_from(GRID_DAYS), min_size=1))
def test_in_days_selects_exactly_the_days(duckdb: DuckDBWarehouse, days: list[date]) -> None:
    """Days come in any order, also twice."""
    rows = duckdb.query(f"select distinct date from `matomo_shop.grid` t where {sql.in_days('t', days)}")
    assert {row["date"] for row in rows} == set(days)


@pytest.mark.parametrize("fragment", [sql.in_slices("t", many_slices("x")), sql.in_days("t", MANY_DAYS)])
def test_bigquery_accepts_the_conditions(bigquery: Analyzer, fragment: str) -> None:
    """The conditions stand by themselves in a query, too."""
    bigquery.check(f"select 1 from {sql.table_name(DATASET, 'visits_summary')} t where {fragment}")
    bigquery.check(f"select 1 from {sql.table_name(DATASET, 'visits_summary')} t where not {fragment}")
