"""A full refresh that names a table rebuilds it beside the old one, which stays until the new one takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from tests.support.local import Local, ago, local, small_world
from tests.support.warehouses import Death, Killed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVENTS = "Events.getCategory"
TABLE = "events_category"
COUNTRY = "visitor_country"
REPORTS = ["visits_summary", COUNTRY, EVENTS]


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    with FakeMatomo(small_world(2)) as running:
        yield running


@pytest.fixture
def shop(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    with local(matomo, tmp_path / "shop.duckdb", reports=REPORTS) as opened:
        yield opened


def rows(shop: Local, table: str = TABLE) -> list[dict[str, Any]]:
    """The rows but for who wrote them and when."""
    found = shop.warehouse.query(f"select * from {table} t")
    return sorted(({k: v for k, v in row.items() if k not in ("_synced_at", "_run_id")} for row in found), key=repr)


def types(shop: Local, table: str = TABLE) -> dict[str, str]:
    found = shop.warehouse.find_table(table)
    assert found is not None
    return {column.name: column.type_name for column in found.columns}


def runs(shop: Local, table: str = TABLE) -> set[str]:
    return {row["_run_id"] for row in shop.warehouse.query(f"select distinct t._run_id from {table} t")}


@pytest.mark.parametrize("table", [TABLE, COUNTRY])
def test_the_rebuilt_table_has_the_same_rows_and_the_log_knows_them(shop: Local, table: str) -> None:
    """The next run finds nothing to do, and no table is left beside."""
    shop.sync()
    before = rows(shop, table)
    result = shop.sync(mode="full_refresh", tables=(table,))
    assert (result.as_dict()["status"], result.tables[table].written) == ("complete", 12)
    assert (rows(shop, table), runs(shop, table)) == (before, {"run0002"})
    assert shop.staging() == []
    again = shop.sync()
    assert {name: (t.written, t.failed) for name, t in again.tables.items()} == dict.fromkeys(again.tables, (0, 0))


def test_types_and_columns_that_nothing_else_can_change_are_made_right(shop: Local) -> None:
    """A column that is a text where numbers belong, and one that nothing fills any more."""
    shop.sync()
    before = rows(shop)
    shop.warehouse.run(f"alter table {TABLE} add column stale string", "alter")
    shop.warehouse.run(f"alter table {TABLE} alter column nb_events set data type string", "alter")
    refused = shop.sync()
    assert "nb_events is" in str(refused.as_dict()["errors"]) or refused.tables[TABLE].unchanged
    shop.sync(mode="full_refresh", tables=(TABLE,))
    assert (types(shop)["nb_events"], "stale" in types(shop), rows(shop)) == ("INT64", False, before)


def test_days_and_sites_that_are_not_requested_are_carried_over(shop: Local) -> None:
    """With what they alone have, and in the new types."""
    shop.sync()
    before = rows(shop)
    shop.warehouse.run(f"alter table {TABLE} add column stale string", "alter")
    shop.warehouse.run(f"update {TABLE} set stale = 'kept' where website_id = '2'", "update")
    shop.warehouse.run(f"alter table {TABLE} alter column nb_events set data type string", "alter")
    result = shop.sync(mode="full_refresh", tables=(TABLE,), sites=("1",), start_date=ago(3))
    assert result.as_dict()["errors"] == []
    found = rows(shop)
    assert {row["stale"] for row in found if row["website_id"] == "2"} == {"kept"}
    assert [{k: v for k, v in row.items() if k != "stale"} for row in found] == before
    assert types(shop)["nb_events"] == "INT64"


def test_a_value_that_cannot_be_carried_over_leaves_the_table_as_it_is(shop: Local) -> None:
    shop.sync()
    shop.warehouse.run(f"alter table {TABLE} alter column nb_events set data type string", "alter")
    shop.warehouse.run(f"update {TABLE} set nb_events = 'many' where website_id = '2'", "update")
    before = rows(shop)
    result = shop.sync(mode="full_refresh", tables=(TABLE,), sites=("1",))
    (error,) = result.as_dict()["errors"]
    assert error.startswith(f"table {TABLE} was not rebuilt and is as it was: ")
    assert (result.tables[TABLE].written, rows(shop), types(shop)["nb_events"]) == (0, before, "STRING")
    assert shop.staging() == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "string") for name in ("select", "Note", "a b", 'a"b', "1st")),
        ("é", "struct<`select` int64, `a b` string>"),
        ('a"b', "array<struct<`from` date>>"),
    ],
)
def test_rows_that_are_carried_over_keep_added_columns_whatever_their_names(shop: Local, name: str, kind: str) -> None:
    """Reserved words, and what has to stand in quotes."""
    shop.sync()
    shop.warehouse.run(f"alter table {TABLE} add column `{name}` {kind}", "add")
    shop.warehouse.run(f"update {TABLE} t set date = date '2020-01-01' where t.date = date '{ago(1)}'", "move")
    before, carried = types(shop), f"select * from {TABLE} t where t.date = date '2020-01-01'"
    kept = sorted(map(repr, shop.warehouse.query(carried)))
    assert kept
    assert shop.sync(mode="full_refresh", tables=(TABLE,)).as_dict()["status"] == "complete"
    assert types(shop)[name] == before[name]
    assert sorted(map(repr, shop.warehouse.query(carried))) == kept


def test_a_slice_that_fails_keeps_its_rows(matomo: FakeMatomo, shop: Local) -> None:
    """It is logged as failed, and refetched."""
    shop.sync()
    before = rows(shop)
    matomo.faults.add(Fault(method=EVENTS, site=2, message="Something broke"))
    result = shop.sync(mode="full_refresh", tables=(TABLE,))
    assert (result.tables[TABLE].written, result.tables[TABLE].failed) == (6, 6)
    assert rows(shop) == before
    matomo.faults.clear()
    assert shop.sync().tables[TABLE].failed == 0
    assert rows(shop) == before


def test_a_rebuild_that_runs_out_of_time_leaves_the_table_and_the_log_as_they_were(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """One call at a time, so that it ends where one of two sites is there."""
    with local(matomo, tmp_path / "shop.duckdb", reports=REPORTS, concurrency=1) as shop:
        shop.sync()
        before, logged = rows(shop), shop.states()
        result = shop.sync(mode="full_refresh", tables=(TABLE, COUNTRY), calls=6)
        assert result.as_dict()["status"] == "failed"
        assert [result.tables[table].remaining for table in (TABLE, COUNTRY)] == [12, 12]
        for table in (TABLE, COUNTRY):
            assert {k: v for k, v in shop.states().items() if k[0] == table} == {
                k: v for k, v in logged.items() if k[0] == table
            }
        assert rows(shop) == before
        assert shop.sync().as_dict()["status"] == "complete"


def test_nothing_is_lost_wherever_the_process_dies(shop: Local) -> None:
    """At each change of the warehouse: the old table or the new one, whole, and a run after it brings all together."""
    shop.sync()
    before = rows(shop)
    for changes in range(1, 100):
        try:
            shop.sync(mode="full_refresh", tables=(TABLE,), before=Death(changes))
        except Killed:
            assert rows(shop) == before
        else:
            break
    assert changes > 10
    assert rows(shop) == before
    for name in shop.staging():
        shop.warehouse.run(f"drop table {name}", "drop")
    shop.sync(mode="backfill")
    again = shop.sync(mode="backfill").tables[TABLE]
    assert (rows(shop), again.unchanged) == (before, 12)


def test_a_column_that_differs_in_case_is_the_same_column(shop: Local) -> None:
    """Of rows that are carried over: it is neither added once more nor emptied."""
    shop.sync()
    before = rows(shop)
    shop.warehouse.run(f"alter table {TABLE} rename column nb_events to NB_EVENTS", "alter")
    result = shop.sync(mode="full_refresh", tables=(TABLE,), start_date=ago(1), end_date=ago(1))
    assert result.warehouse_errors == []
    assert [name for name in types(shop) if name.lower() == "nb_events"] == ["nb_events"]
    assert rows(shop) == before


def test_a_column_whose_name_has_capital_letters_is_carried_over_as_it_is(matomo: FakeMatomo, tmp_path: Path) -> None:
    """BigQuery tells columns by their names without regard to case: to add it once more would be an error."""
    report = {"report": EVENTS, "schema": {"nb_events": {"name": "nbEvents"}}}
    config = {"sites": ["2"], "reports": ["visits_summary"], "custom_reports": [report]}
    with local(matomo, tmp_path / "x.duckdb", **config) as shop:
        shop.sync(start_date=ago(2), tables=(TABLE,))
        before = rows(shop)
        assert {row["date"] for row in before} == {ago(2), ago(1)}
        result = shop.sync(mode="full_refresh", tables=(TABLE,), start_date=ago(1))
        assert (result.warehouse_errors, result.tables[TABLE].written) == ([], 1)
        assert [name for name in types(shop) if name.lower() == "nbevents"] == ["nbEvents"]
        assert rows(shop) == before
