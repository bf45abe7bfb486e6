"""One set of rules for both warehouses: DuckDB, and BigQuery by its real client and the emulator."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from matomo_fn.catalogue import PREBUILT, SYNC_LOG, Column, ColumnType, Schema
from matomo_fn.deadline import Deadline
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.slices import Slice, Stream
from matomo_fn.values import utf8
from matomo_fn.warehouse import log_sql, sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.buffer import Buffer
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, append_rows, ensure_table, ensure_view
from tests.support.emulator import connect
from tests.support.proxy import proxied
from tests.support.warehouses import Watched, rows_of, stamps, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.emulator import Emulator
    from tests.support.proxy import Answer, Proxy

COUNTRIES = PREBUILT["countries"]
MONDAY, TUESDAY = date(2026, 11, 16), date(2026, 11, 17)
AT = datetime(2026, 11, 20, 3, 4, 5, 678000, tzinfo=UTC)
EXTREMES = (2**63 - 1, -(2**63), 2**53 + 1, 0)
FLOATS = (0.1, 1e308, 5e-324, -0.30000000000000004, 123456789.12345679)


class Open(Protocol):
    """Opens the dataset of a test in the warehouse under test."""

    def __call__(self, run_id: str = "r1") -> Warehouse:
        """Open it for a run."""


def as_bigquery_words_it(answer: Answer) -> Answer:
    """What is wrong with a statement or with rows is an internal error to the emulator, to be tried again."""
    return replace(answer, body=answer.body.replace(b"jobInternalError", b"invalidQuery"))


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """The emulator, its errors worded as BigQuery's."""
    with proxied(emulator.address) as running:
        running.alter(as_bigquery_words_it)
        yield running


@pytest.fixture(params=["duckdb", "bigquery"])
def opened(request: pytest.FixtureRequest, tmp_path: Path, dataset_name: str) -> Iterator[Open]:
    """Opens the same empty dataset as often as wanted."""
    warehouses: list[Warehouse] = []

    def open_duckdb(run_id: str = "r1") -> Warehouse:  # noqa: ARG001  # DuckDB has no jobs that a run would name
        warehouses.append(DuckDBWarehouse(tmp_path / "w.duckdb", dataset_name))
        return warehouses[-1]

    def open_bigquery(run_id: str = "r1") -> Warehouse:
        proxy: Proxy = request.getfixturevalue("proxy")
        # Ids of jobs are unique in a project, and the tests share the emulator's: so they carry the dataset.
        name = f"{dataset_name}_{run_id}"
        warehouses.append(
            BigQueryWarehouse(connect(proxy.url), dataset_name, location="EU", run_id=name, deadline=Deadline(60))
        )
        return warehouses[-1]

    yield open_duckdb if request.param == "duckdb" else open_bigquery
    for warehouse in warehouses:
        warehouse.close()


@pytest.fixture
def warehouse(opened: Open) -> Warehouse:
    """An empty dataset that is there."""
    found = opened()
    found.ensure_dataset()
    return found


@dataclass(slots=True)
class Writer:
    """Writes rows of countries as the loader does: a buffer, then the slices are replaced."""

    warehouse: Warehouse
    folder: Path
    batch: int = 0

    def __call__(self, rows: Mapping[Slice, list[dict[str, Any]]], run_id: str = "r1") -> None:
        """Replace slices by rows, which lack the slice's own columns."""
        self.batch += 1
        buffer = Buffer(self.folder / f"{self.batch}.gz")
        for slice_, values in rows.items():
            buffer.add(slice_, [json.dumps(value, ensure_ascii=False) for value in values])
        buffer.close()
        replace_slices(
            self.warehouse,
            COUNTRIES,
            [buffer.path],
            {slice_: len(found) for slice_, found in rows.items()},
            Stamp(run_id, self.batch, AT),
        )


@pytest.fixture
def write(warehouse: Warehouse, tmp_path: Path) -> Writer:
    """Writes into a table that is ready."""
    ensure_table(warehouse, COUNTRIES.schema, "day")
    return Writer(warehouse, tmp_path)


def of(day: date = MONDAY, site: str = "1", segment: str = "") -> Slice:
    """A slice of countries."""
    return Slice(Stream("countries", site, segment), day)


def row(label: str, **values: Any) -> dict[str, Any]:
    """A row as it is staged, but for the slice's own columns."""
    return {"label": label, "_is_others": False, **values}


def labels(warehouse: Warehouse) -> list[tuple[date, str, str, str]]:
    """What stands in the table: (date, site, segment, label)."""
    return sorted(found[:4] for found in rows_of(warehouse, COUNTRIES))


# --- tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [COUNTRIES.schema, SYNC_LOG], ids=lambda schema: schema.name)
def test_a_table_is_created_with_its_columns(warehouse: Warehouse, schema: Schema) -> None:
    """Names, order, types and which are required are the catalogue's; a second time nothing is created."""
    assert ensure_table(warehouse, schema, "day") is True
    found = warehouse.find_table(schema.name)
    assert found is not None
    assert [(c.name, c.type_name, c.required) for c in found.columns] == [
        (c.name, c.type_name, c.required) for c in schema.columns
    ]
    assert not found.is_view
    assert ensure_table(warehouse, schema, "day") is False


def test_what_is_not_there_is_not_found(warehouse: Warehouse) -> None:
    """Neither a table nor a view."""
    assert warehouse.find_table("nothing") is None


def test_the_dataset_may_be_there_already(warehouse: Warehouse) -> None:
    """A dataset is made once, and what stands in it stays."""
    ensure_table(warehouse, COUNTRIES.schema, "day")
    warehouse.ensure_dataset()
    assert warehouse.find_table("countries") is not None


def test_missing_columns_are_added_as_nullable_ones_by_one_change(warehouse: Warehouse) -> None:
    """A table of an older version gets what it lacks, and keeps what somebody else added."""
    older = tuple(column for column in COUNTRIES.columns if column.name not in {"revenue", "_is_others"})
    own = Column("note", ColumnType.STRING, "A user's own column.")
    warehouse.create_table(replace(COUNTRIES.schema, columns=(*older, own)), "day")
    watched = Watched(warehouse)
    assert ensure_table(watched, COUNTRIES.schema, "day") is False
    assert [name for name, _ in watched.calls] == ["find_table", "update_table"]
    found = warehouse.find_table("countries")
    assert found is not None
    names = [(column.name, column.required) for column in found.columns][-3:]
    assert names == [("note", False), ("revenue", False), ("_is_others", False)]
    assert ensure_table(warehouse, COUNTRIES.schema, "day") is False


def test_a_column_that_is_required_and_need_not_be_becomes_nullable(warehouse: Warehouse) -> None:
    """An older version may have required what Matomo does not always have."""
    with_column("code", required=True)(warehouse)
    ensure_table(warehouse, COUNTRIES.schema, "day")
    found = warehouse.find_table("countries")
    assert found is not None
    assert {column.name: column.required for column in found.columns}["code"] is False
    assert {column.name: column.required for column in found.columns}["label"] is True


def with_column(name: str, **changes: Any) -> Callable[[Warehouse], None]:
    """Make the table with one column that differs, or one more."""

    def make(warehouse: Warehouse) -> None:
        columns = {column.name: column for column in COUNTRIES.columns}
        columns[name] = replace(columns.get(name, Column(name, ColumnType.STRING, "x")), **changes)
        warehouse.create_table(replace(COUNTRIES.schema, columns=tuple(columns.values())), "day")

    return make


def as_view(warehouse: Warehouse) -> None:
    """Make a view of the table's name."""
    warehouse.create_view("countries", "select 'x' as label", "x")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (with_column("nb_visits", type=ColumnType.STRING), "column nb_visits is STRING, not INT64"),
        (with_column("revenue", type=ColumnType.BOOL), "column revenue is BOOL, not FLOAT64"),
        (with_column("goals", type=ColumnType.STRING), "column goals is STRING, not JSON"),
        (with_column("extra", required=True), "column extra is required and nothing fills it"),
        (as_view, "it is a view"),
    ],
)
def test_a_table_that_cannot_take_the_rows_is_refused_and_left_as_it_is(
    warehouse: Warehouse, make: Callable[[Warehouse], None], reason: str
) -> None:
    """The message says what does not fit and what to do; nothing about the table changes."""
    make(warehouse)
    before = warehouse.find_table("countries")
    watched = Watched(warehouse)
    with pytest.raises(SchemaMismatch, match=reason) as caught:
        ensure_table(watched, COUNTRIES.schema, "day")
    assert "rename or drop it, or give the connector another dataset" in str(caught.value)
    assert watched.changes() == []
    assert warehouse.find_table("countries") == before


def test_all_reasons_are_told_at_once(warehouse: Warehouse) -> None:
    """Whoever fixes the table fixes it once."""
    wrong = [replace(c, type=ColumnType.STRING) if c.type is ColumnType.INT64 else c for c in COUNTRIES.columns]
    warehouse.create_table(replace(COUNTRIES.schema, columns=tuple(wrong)), "day")
    with pytest.raises(SchemaMismatch) as caught:
        ensure_table(warehouse, COUNTRIES.schema, "day")
    assert str(caught.value).count("is STRING, not INT64") == sum(c.type is ColumnType.INT64 for c in COUNTRIES.columns)


# --- slices ------------------------------------------------------------------------------------------------


def test_exactly_the_named_slices_are_replaced(warehouse: Warehouse, write: Writer) -> None:
    """A row that vanished is gone, a named slice without rows is empty; other sites, days and segments stay."""
    write(
        {
            of(): [row("France"), row("Italy")],
            of(TUESDAY): [row("Spain")],
            of(site="2"): [row("France")],
            of(site="12"): [row("France")],
            of(segment="mobile"): [row("France")],
        }
    )
    write({of(): [row("Italy"), row("Malta")], of(TUESDAY): [], of(TUESDAY, "3"): [row("Peru")]}, "r2")
    assert labels(warehouse) == [
        (MONDAY, "1", "", "Italy"),
        (MONDAY, "1", "", "Malta"),
        (MONDAY, "1", "mobile", "France"),
        (MONDAY, "12", "", "France"),
        (MONDAY, "2", "", "France"),
        (TUESDAY, "3", "", "Peru"),
    ]
    assert stamps(warehouse, "countries") == {
        (MONDAY, "1", "r2"),
        (MONDAY, "1", "r1"),  # the segment
        (MONDAY, "12", "r1"),
        (MONDAY, "2", "r1"),
        (TUESDAY, "3", "r2"),
    }


def test_the_same_rows_once_more_change_nothing(warehouse: Warehouse, write: Writer) -> None:
    """A slice that is written twice stands in the table once."""
    for _ in range(2):
        write({of(): [row("France", nb_visits=3)], of(TUESDAY): []})
    assert labels(warehouse) == [(MONDAY, "1", "", "France")]


def test_values_survive(warehouse: Warehouse, write: Writer) -> None:
    """Integers to the last bit, floats exactly, texts with everything in them, JSON as it was, NULL as NULL."""
    texts = ['it\'s "quoted" `too`', "back\\slash \\n", "line\nbreak\r\n\ttab", "漢字 😀 é \u202e", "", " <b>x</b> "]
    goals = {"idgoal=1": {"revenue": "12.50", "items": [1, None, 'x"y'], "é": True}}
    rows = [row(text, nb_visits=number) for text, number in zip(texts, (*EXTREMES, 7, 8), strict=True)]
    rows += [row(f"float {value!r}", revenue=value) for value in FLOATS]
    rows += [row("json", goals=goals), row("null", goals=None, code=None, nb_visits=None, revenue=None)]
    write({of(): rows})
    names = [column.name for column in COUNTRIES.columns]
    found = {each["label"]: each for each in (dict(zip(names, r, strict=False)) for r in rows_of(warehouse, COUNTRIES))}
    assert {label: found[label]["nb_visits"] for label in texts} == dict(zip(texts, (*EXTREMES, 7, 8), strict=True))
    assert [found[f"float {value!r}"]["revenue"] for value in FLOATS] == list(FLOATS)
    assert json.loads(found["json"]["goals"]) == goals
    assert [found["null"][name] for name in ("code", "nb_visits", "revenue")] == [None] * 3
    (counted,) = warehouse.query(
        "select count(*) as n, countif(t.goals is null) as without "
        f"from {sql.table_name(warehouse.dataset, 'countries')} t"
    )
    assert counted == {"n": len(rows), "without": len(rows) - 1}


def test_half_a_character_becomes_a_replacement_character(warehouse: Warehouse, write: Writer) -> None:
    """Matomo cuts at 1,024 UTF-16 units, also through an emoji; the row is written all the same."""
    write({of(): [row("cut \ud83d"), row("whole 😀")]})
    assert [found[3] for found in labels(warehouse)] == ["cut \ufffd", "whole 😀"]
    assert utf8("cut \ud83d").decode() == "cut \ufffd"


def test_the_rows_and_the_keys_of_a_slice_are_counted(warehouse: Warehouse, write: Writer) -> None:
    """A row that stands twice in the place of another one is a key less; keys may be long, and NULL is one of them."""
    long = "x" * 20_000
    rows = [row("a"), row("b"), row("c"), row(""), row(long), row(f"{long}y"), {**row("a"), "_is_others": True}]
    write({of(): rows, of(site="2"): [row("a")]})
    name = sql.table_name(warehouse.dataset, COUNTRIES.name)
    assert counted(warehouse) == {"1": (7, 7, "r1"), "2": (1, 1, "r1")}
    warehouse.run(f"update {name} t set label = 'a' where t.label = 'b'", "double")
    assert counted(warehouse)["1"] == (7, 6, "r1")
    relaxed = replace(COUNTRIES, dimensions=tuple(replace(each, required=False) for each in COUNTRIES.dimensions))
    ensure_table(warehouse, relaxed.schema, "day")
    warehouse.run(f"update {name} t set label = null where t.label = 'c'", "empty")
    assert counted(warehouse)["1"] == (7, 6, "r1")
    warehouse.run(f"update {name} t set label = null where t.label = ''", "empty_another")
    assert counted(warehouse)["1"] == (7, 5, "r1")


def counted(warehouse: Warehouse) -> dict[str, tuple[int, int, str]]:
    """Rows, keys and run of Monday's slices by site."""
    slices = [of(site=site) for site in "123"]
    found = warehouse.query(sql.count_slices(warehouse.dataset, COUNTRIES, slices))
    assert all(each["first_run"] == each["last_run"] for each in found)
    return {each["website_id"]: (each["row_count"], each["key_count"], each["first_run"]) for each in found}


def test_the_stamps_are_the_runs(warehouse: Warehouse, write: Writer) -> None:
    """Each row says when it was written, to the microsecond and in UTC, and by which run."""
    write({of(): [row("France")]}, "20261120T030405_0123abcd")
    name = sql.table_name(warehouse.dataset, "countries")
    found = warehouse.query(f"select t._synced_at, t._run_id from {name} t")
    assert found == [{"_synced_at": AT, "_run_id": "20261120T030405_0123abcd"}]


def test_a_merge_that_fails_changes_nothing_and_leaves_no_staging_table(
    opened: Open, warehouse: Warehouse, write: Writer
) -> None:
    """The slices keep what they had, the error is the warehouse's, and what was staged is dropped."""
    write({of(): [row("France")]})
    watched = Watched(opened("r2"))
    broken = replace(COUNTRIES, name="nowhere")
    path = write_lines(write.folder / "b.gz", [{"date": str(MONDAY), "website_id": "1", "segment": "", **row("X")}])
    with pytest.raises(WarehouseError):
        replace_slices(watched, broken, [path], {of(): 1}, Stamp("r2", 1, AT))
    assert watched.calls[-1] == ("drop_table", "_staging_nowhere_r2_1")
    assert warehouse.find_table("_staging_nowhere_r2_1") is None
    assert labels(warehouse) == [(MONDAY, "1", "", "France")]


def test_a_load_that_fails_leaves_the_table_as_it_was(opened: Open, warehouse: Warehouse, write: Writer) -> None:
    """A value of the wrong type fails the load; the merge is not tried."""
    write({of(): [row("France")]})
    path = write_lines(
        write.folder / "b.gz",
        [{"date": "no day", "website_id": "1", "segment": "", **row("X")}],
    )
    watched = Watched(opened("r2"))
    with pytest.raises(WarehouseError):
        replace_slices(watched, COUNTRIES, [path], {of(): 1}, Stamp("r2", 1, AT))
    assert watched.count("run", "merge") == 0
    assert labels(warehouse) == [(MONDAY, "1", "", "France")]


def test_after_a_write_there_is_no_staging_table(warehouse: Warehouse, write: Writer) -> None:
    """What was staged is dropped at once, not only when it expires."""
    write({of(): [row("France")]})
    assert warehouse.find_table("_staging_countries_r1_1") is None


# --- appending and views -----------------------------------------------------------------------------------


def log_row(status: str, minute: int) -> dict[str, Any]:
    """A row of the log, all of the same slice."""
    at = AT.replace(minute=minute).isoformat()
    return {
        "date": str(MONDAY),
        "connector": "shop",
        "matomo_url": "https://example.com/",
        "table_name": "countries",
        "website_id": "1",
        "segment": "",
        "status": status,
        "row_count": minute,
        "content_hash": None,
        "has_others": False,
        "is_final": True,
        "written_run_id": None,
        "run_id": f"r{minute}",
        "request_id": f"r{minute}",
        "started_at": at,
        "logged_at": at,
        "error": 'it\'s\n"so"' if status == "failed" else None,
    }


def test_rows_are_appended_and_the_view_shows_the_newest(warehouse: Warehouse, tmp_path: Path) -> None:
    """Nothing that was appended changes; the view has one row a slice, that of the latest time."""
    ensure_table(warehouse, SYNC_LOG, "day")
    ensure_view(warehouse, Schema("_sync_state", "Newest.", SYNC_LOG.columns), log_sql.state_view(warehouse.dataset))
    for batch, rows in enumerate([[log_row("written", 5), log_row("failed", 9)], [log_row("pending", 7)]]):
        append_rows(warehouse, SYNC_LOG, [write_lines(tmp_path / "a.gz", rows)], [MONDAY], Stamp("r1", batch, AT))
    log = warehouse.query(f"select l.status from {sql.table_name(warehouse.dataset, '_sync_log')} l order by l.status")
    assert [each["status"] for each in log] == ["failed", "pending", "written"]
    (newest,) = warehouse.query(f"select status, error from {sql.table_name(warehouse.dataset, '_sync_state')} v")
    assert newest == {"status": "failed", "error": 'it\'s\n"so"'}


def test_a_view_is_created_once_and_replaced_in_place_where_its_query_is_another(warehouse: Warehouse) -> None:
    """A view of an older version gets the new query, also one with the same columns; it is never dropped."""
    watched = Watched(warehouse)
    columns = {name: Column(name, ColumnType.INT64, f"Column {name}.") for name in "ab"}
    for names, query, values in (
        ("a", "select 1 as a", (1,)),
        ("a", "select 1 as a", (1,)),
        ("a", "select 3 as a", (3,)),
        ("ab", "select 1 as a, 2 as b", (1, 2)),
    ):
        ensure_view(watched, Schema("v", "x", tuple(columns[name] for name in names)), query)
        found = warehouse.find_table("v")
        assert found is not None
        assert found.is_view
        if isinstance(warehouse, DuckDBWarehouse):  # the emulator keeps the new query, and answers the old one
            (row,) = warehouse.query(f"select * from {sql.table_name(warehouse.dataset, 'v')}")
            assert tuple(row.values()) == values
            assert [column.name for column in found.columns] == list(names)
    assert watched.count("create_view") == 1
    assert watched.count("run") == 0


def test_the_rows_of_a_large_result_come_in_pages_and_are_the_same(warehouse: Warehouse) -> None:
    """Also where other statements run between two of them; an error of the warehouse is the program's own."""
    statement = "select number, cast(number as string) as text from unnest(generate_array(1, 2500)) number order by 1"
    rows = warehouse.rows(statement)
    first = next(rows)
    warehouse.query("select 1 as one")
    assert [first, *rows] == warehouse.query(statement)
    with pytest.raises(WarehouseError):
        next(warehouse.rows(f"select t.a from {sql.table_name(warehouse.dataset, 'missing')} t"))


def test_a_table_is_never_replaced_by_a_view(warehouse: Warehouse) -> None:
    """Whatever stands under the view's name stays."""
    warehouse.create_table(Schema("v", "x", COUNTRIES.columns[:3]), "day")
    with pytest.raises(SchemaMismatch, match="is a table where a view belongs"):
        ensure_view(warehouse, Schema("v", "x", COUNTRIES.columns[:1]), "select 1 as a")
    found = warehouse.find_table("v")
    assert found is not None
    assert not found.is_view
