"""What Matomo answers changes between two runs: the table follows, or the slice fails, and no row is lost."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import ColumnType
from matomo_fn.catalogue.custom import ReportSpec, custom_table
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.custom.test_recordings import configured, run
from tests.support.analyzer import Analyzer
from tests.support.recorded_matomo import DAY, RecordedMatomo, call_of
from tests.support.warehouses import Watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.sync.result import RunResult

METHOD = "Plugin.getThings"
CALL = call_of(METHOD, {})
TABLE = "plugin_things"
AT = datetime(2026, 11, 13, tzinfo=UTC)


class Shop:
    """One custom report, whose answers a test chooses; each run is one of its own."""

    def __init__(self, path: Path) -> None:
        self.warehouse = Watched(DuckDBWarehouse(path, "matomo_shop"))
        self._runs = 0
        self.matomo = RecordedMatomo()

    def sync(self, *rows: Mapping[str, Any], **config: Any) -> RunResult:
        """Sync while Matomo answers these rows for the day."""
        self.matomo.replaced[CALL] = list(rows)
        self._runs += 1
        report = {"report": METHOD, **config}
        return run(self.warehouse, configured([report]), self.matomo, f"run{self._runs}")

    def rows(self) -> list[dict[str, Any]]:
        """The rows but for the columns that every table has."""
        own = {"date", "website_id", "segment", "_is_others", "_synced_at", "_run_id"}
        found = self.warehouse.query(f"select * from {TABLE} t order by t.label")
        return [{name: value for name, value in row.items() if name not in own} for row in found]

    def types(self) -> dict[str, str]:
        """The columns' types as GoogleSQL calls them."""
        found = self.warehouse.find_table(TABLE)
        assert found is not None
        return {column.name: column.type_name for column in found.columns}


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    opened = Shop(tmp_path / "shop.duckdb")
    yield opened
    opened.warehouse.close()


def written(result: RunResult) -> tuple[int, int, int]:
    table = result.tables[TABLE]
    return table.written, table.unchanged, table.failed


def test_a_new_field_is_a_new_column_and_null_in_what_was_there(shop: Shop) -> None:
    shop.sync({"label": "a", "nb_visits": 1})
    shop.warehouse.run(f"create table old as select * from {TABLE}", "copy")
    shop.warehouse.run(
        f"insert into {TABLE} select * replace ('old' as label, date '2026-11-01' as date) from old", "old"
    )
    assert written(shop.sync({"label": "a", "nb_visits": 1, "colour": "red"})) == (1, 0, 0)
    assert shop.rows() == [
        {"label": "a", "nb_visits": 1, "colour": "red"},
        {"label": "old", "nb_visits": 1, "colour": None},
    ]


def test_a_field_that_disappears_is_null_from_then_on(shop: Shop) -> None:
    shop.sync({"label": "a", "nb_visits": 1, "colour": "red"})
    assert written(shop.sync({"label": "a", "nb_visits": 1})) == (1, 0, 0)
    assert shop.rows() == [{"label": "a", "nb_visits": 1, "colour": None}]


def test_whole_numbers_become_decimals_where_one_is_not_whole(shop: Shop) -> None:
    shop.sync({"label": "a", "weight": 1}, {"label": "b", "weight": 3})
    assert shop.types()["weight"] == "INT64"
    assert written(shop.sync({"label": "a", "weight": 1.5}, {"label": "b", "weight": 3})) == (1, 0, 0)
    assert shop.types()["weight"] == "FLOAT64"
    assert [row["weight"] for row in shop.rows()] == [1.5, 3.0]
    assert written(shop.sync({"label": "a", "weight": 1.5}, {"label": "b", "weight": 3})) == (0, 1, 0)


@pytest.mark.parametrize(("kind", "found"), [("NUMERIC", "NUMERIC"), ("FLOAT", "FLOAT64")])
def test_the_configuration_widens_whole_numbers_and_rewrites_nothing(shop: Shop, kind: str, found: str) -> None:
    """The values are the same, so the slice is: a wider column changes no hash."""
    shop.sync({"label": "a", "weight": 7})
    schema = {"weight": {"type": kind}}
    assert written(shop.sync({"label": "a", "weight": 7}, schema=schema)) == (0, 1, 0)
    assert (shop.types()["weight"], float(shop.rows()[0]["weight"])) == (found, 7.0)
    assert written(shop.sync({"label": "a", "weight": 7.25}, schema=schema)) == (1, 0, 0)
    assert float(shop.rows()[0]["weight"]) == 7.25


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        (7, "seven", 'weight is "seven", not a whole number, and column weight of table plugin_things is INT64'),
        (7.5, "seven", 'weight is "seven", not a number, and column weight of table plugin_things is FLOAT64'),
        (7, [1, 2], "weight is [1, 2], not a whole number, and column weight of table plugin_things is INT64"),
        (7, True, "weight is true, not a whole number"),
        ("x", {"a": 1}, 'weight is {"a": 1}, not a text, and column weight of table plugin_things is STRING'),
        (True, "x", 'weight is "x", not true or false, and column weight of table plugin_things is BOOL'),
    ],
)
def test_anything_else_is_an_error_and_the_slice_stays(shop: Shop, before: object, after: object, what: str) -> None:
    """It names table, column and value; the log has the slice as failed, and the next good answer is written."""
    shop.sync({"label": "a", "weight": before})
    rows = shop.rows()
    result = shop.sync({"label": "b", "weight": after, "colour": "red"})
    assert written(result) == (0, 0, 1)
    assert any(what in error for error in result.as_dict()["errors"]), result.as_dict()["errors"]
    assert shop.rows() == rows
    assert "colour" not in shop.types()
    assert written(shop.sync({"label": "c", "weight": before})) == (1, 0, 0)
    assert [row["label"] for row in shop.rows()] == ["c"]


def test_a_type_that_the_configuration_changes_otherwise_leaves_the_table_as_it_is(shop: Shop) -> None:
    shop.sync({"label": "a", "colour": "red"})
    result = shop.sync({"label": "a", "colour": "2"}, schema={"colour": {"type": "INTEGER"}})
    (error,) = result.as_dict()["errors"]
    assert f"{TABLE} exists and does not fit: column colour is STRING, not INT64" in error
    assert error.endswith(f"or rebuild it by --table {TABLE} --mode full_refresh")
    assert shop.rows() == [{"label": "a", "colour": "red"}]


def test_a_field_that_was_never_there_and_one_that_comes_back(shop: Shop) -> None:
    """The same rows with and without a field are told apart in both directions."""
    bare, full = {"label": "a", "nb_visits": 1}, {"label": "a", "nb_visits": 1, "colour": "red"}
    for answer, expected in ((bare, (1, 0, 0)), (full, (1, 0, 0)), (bare, (1, 0, 0)), (bare, (0, 1, 0))):
        assert written(shop.sync(answer)) == expected


def test_what_other_slices_bring_does_not_rewrite_a_slice(shop: Shop) -> None:
    """Nor do empty values, and the order of rows and fields."""
    shop.sync({"label": "a", "nb_visits": 1}, {"label": "b", "nb_visits": 2})
    shop.warehouse.run(f"alter table {TABLE} add column colour string", "alter")
    again = shop.sync({"nb_visits": "2", "label": "b", "colour": ""}, {"label": "a", "nb_visits": 1.0, "colour": None})
    assert written(again) == (0, 1, 0)


def test_the_key_gets_a_further_field_where_labels_are_the_same(shop: Shop) -> None:
    """And the next run, which knows of it by the table alone, finds nothing to write."""
    shop.sync({"label": "/", "url": "https://a.example/", "nb_visits": 1})
    both = [
        {"label": "/", "url": "https://a.example/", "nb_visits": 1},
        {"label": "/", "url": "https://b.example/", "nb_visits": 2},
    ]
    assert written(shop.sync(*both)) == (1, 0, 0)
    assert [row["nb_visits"] for row in shop.rows()] == [1, 2]
    assert written(shop.sync(*both)) == (0, 1, 0)


def test_rows_that_nothing_tells_apart_are_never_summed(shop: Shop) -> None:
    """And never dropped: the slice fails and stays."""
    shop.sync({"label": "a", "nb_visits": 5})
    result = shop.sync({"label": "a", "nb_visits": 1}, {"label": "a", "nb_visits": 2})
    assert written(result) == (0, 0, 1)
    assert 'answers two rows for label="a", and table plugin_things could not tell them apart' in str(
        result.as_dict()["errors"]
    )
    assert [row["nb_visits"] for row in shop.rows()] == [5]


def test_two_fields_that_would_be_one_column_are_refused_by_name(shop: Shop) -> None:
    result = shop.sync({"label": "a", "Colour": "red", "colour": "blue"})
    assert "fields 'Colour' and 'colour' would both be column colour" in result.as_dict()["errors"][0]
    named = {"Colour": {"name": "shade", "type": "STRING"}}
    assert written(shop.sync({"label": "a", "Colour": "red", "colour": "blue"}, schema=named)) == (1, 0, 0)
    assert shop.rows() == [{"label": "a", "shade": "red", "colour": "blue"}]


def test_names_that_bigquery_does_not_take_are_made_so_by_rule(shop: Shop) -> None:
    shop.sync({"label": "a", "group": "x", "9 lives": 9, "segment": "s", "date": "d", "_PARTITIONTIME": 1, "logo": "l"})
    assert shop.rows() == [
        {
            "label": "a",
            "group_": "x",
            "field_9_lives": 9,
            "segment_definition": "s",
            "date_": "d",
            "field__PARTITIONTIME": 1,
        }
    ]


def test_objects_and_lists_are_json_and_goals_are_an_array(shop: Shop) -> None:
    goals = {
        "idgoal=2": {"nb_conversions": 3, "revenue": "1.5", "new_number": 8},
        "idgoal=ecommerceOrder": {"items": 4},
    }
    shop.sync({"label": "a", "goals": goals, "tags": ["x", {"y": 1}]})
    (row,) = shop.rows()
    assert shop.types()["tags"] == "JSON"
    found = [{name: value for name, value in goal.items() if value is not None} for goal in row["goals"]]
    assert found == [
        {"goal_id": "2", "conversions": 3, "revenue": 1.5, "other": '{"new_number":8}'},
        {"goal_id": "ecommerceOrder", "items": 4},
    ]


def test_sub_tables_are_json_without_the_numbers_that_each_archiving_gives_anew(shop: Shop) -> None:
    """With `expanded=1`; otherwise a slice would be written again for nothing."""

    def row(number: int) -> dict[str, Any]:
        part = {"label": "x", "nb_visits": 1, "idsubdatatable": number + 1, "logo": "x.png"}
        return {"label": "a", "idsubdatatable": number, "subtable": [part]}

    shop.sync(row(1))
    assert written(shop.sync(row(7))) == (0, 1, 0)
    assert [json.loads(one["subtable"]) for one in shop.rows()] == [[{"label": "x", "nb_visits": 1}]]


def test_a_field_that_no_row_has_is_told_when_the_table_is_new(shop: Shop) -> None:
    """It may be misspelt; later a field may only be rare."""
    first = shop.sync({"label": "a", "nb_visits": 1}, fields="label,nb_visits,nb_evnts")
    assert first.notes == [
        "table plugin_things: no row has the field 'nb_evnts' that the configuration names: its column is NULL"
    ]
    assert shop.rows() == [{"label": "a", "nb_visits": 1, "nb_evnts": None}]
    assert shop.sync({"label": "a", "nb_visits": 1}, fields="label,nb_visits,nb_evnts").notes == []


def test_every_statement_of_a_change_is_googlesql() -> None:
    """BigQuery's analyzer takes what widens a column, and the MERGE with the columns that came with it."""
    table = custom_table(ReportSpec(METHOD))
    columns = OpenColumns(table, {"weight": ColumnType.INT64})
    source = table.sources[0]
    columns.parse([(source, [{"label": "a", "weight": 1.5, "goals": {"idgoal=1": {"nb_conversions": 1}}, "tags": []}])])
    closed = columns.table
    dataset = "p.d"
    staged = [(c.name, c.type_name, "NULLABLE") for c in closed.staged]
    full = [(c.name, c.type_name, "NULLABLE") for c in closed.columns]
    analyzer = Analyzer({f"{dataset}.{TABLE}": full, f"{dataset}.s": staged})
    slices = [closed.stream("1").slice(DAY)]
    analyzer.check(sql.replace_slices(dataset, closed, "s", slices, run_id="r", synced_at=AT))
    weight = next(column for column in closed.columns if column.name == "weight")
    assert weight.type is ColumnType.FLOAT64
    analyzer.check(sql.widen_column(dataset, TABLE, weight))


def test_two_threads_that_learn_a_field_agree_on_its_type() -> None:
    """The first answer decides; one that does not fit it fails, whichever thread reads it."""
    table = custom_table(ReportSpec(METHOD))
    columns = OpenColumns(table, {})
    source = table.sources[0]
    columns.parse([(source, [{"label": "a", "weight": 1}])])
    columns.parse([(source, [{"label": "a", "weight": 0.5}])])
    with pytest.raises(InvalidResponse, match="weight is"):
        columns.parse([(source, [{"label": "a", "weight": "heavy"}])])
    assert next(c for c in columns.table.columns if c.name == "weight").type is ColumnType.FLOAT64


def test_a_crash_between_a_new_column_and_its_rows_loses_nothing(tmp_path: Path) -> None:
    """The column is there, the rows are not; the next run writes them."""
    shop = Shop(tmp_path / "crash.duckdb")
    try:
        shop.sync({"label": "a", "nb_visits": 1})
        path = tmp_path / "crash.duckdb"
        shop.warehouse.close()
        shop.warehouse = Watched(DuckDBWarehouse(path, "matomo_shop"), _death_at("create_staging"))
        with pytest.raises(BaseException, match="gone"):
            shop.sync({"label": "a", "nb_visits": 1, "colour": "red"})
        shop.warehouse.close()
        shop.warehouse = Watched(DuckDBWarehouse(path, "matomo_shop"))
        assert shop.rows() == [{"label": "a", "nb_visits": 1, "colour": None}]
        assert written(shop.sync({"label": "a", "nb_visits": 1, "colour": "red"})) == (1, 0, 0)
        assert shop.rows() == [{"label": "a", "nb_visits": 1, "colour": "red"}]
    finally:
        shop.warehouse.close()


def _death_at(method: str) -> Callable[[str, str], None]:
    def before(called: str, what: str) -> None:
        if called == method and TABLE in what:
            raise KeyboardInterrupt("gone")

    return before


def test_the_day_is_the_recorded_one() -> None:
    """What these tests stand on: one site, one day."""
    assert date(2026, 11, 12) == DAY
