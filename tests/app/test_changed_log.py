"""A log that somebody has changed by hand: a sentence on what is wrong, and a sync that refetches."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from fake_matomo import FakeMatomo
from tests.app.cli.calling import call
from tests.support import shop as shops
from tests.support.local import SOME_TABLES, local, small_world
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.shop import Shop

DAY = {"start_date": "2024-03-05", "end_date": "2024-03-05", "tables": ["visits_summary"]}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with shops.running(tmp_path_factory.mktemp("shop")) as shop:
        assert shop.post({"connector": "shop", **DAY}).status_code == 200
        yield shop


@pytest.fixture
def shop(synced: Shop) -> Iterator[Shop]:
    """The shop, whose logs a test may change."""
    content = synced.warehouse.read_bytes()
    yield synced
    synced.warehouse.write_bytes(content)


def change(shop: Shop, *statements: str) -> None:
    with duckdb.connect(str(shop.warehouse)) as connection:
        for statement in statements:
            connection.execute(statement.replace("@", f"{DATASET}."))


@pytest.mark.parametrize(
    ("command", "table", "column", "sentence"),
    [
        ("history", "_sync_runs", "started_at", f"table {DATASET}._sync_runs has rows that no run has written: "),
        ("history", "_sync_runs", "written", "written is NULL. Delete those rows"),
        ("status", "_sync_log", "row_count", "row_count is NULL. Delete those rows: what they spoke of is refetched"),
        ("status", "_sync_log", "date", "first_day, last_day is NULL"),
    ],
)
def test_a_value_that_was_taken_out_of_a_log_is_named(
    shop: Shop, command: str, table: str, column: str, sentence: str
) -> None:
    change(shop, f"alter table @{table} alter {column} drop not null", f"update @{table} set {column} = null")
    called = call(shop.env, command, "shop")
    assert called.code == 1
    assert sentence in called.errors[0]


@pytest.mark.parametrize(
    "value", ["timestamptz 'infinity'", "timestamptz '20000-01-01'", "timestamptz '0044-03-15 (BC)'"]
)
def test_a_time_that_no_calendar_has_is_named(shop: Shop, value: str) -> None:
    """DuckDB has years that Python has not."""
    change(shop, f"update @_sync_log set logged_at = {value}", f"update @_sync_runs set started_at = {value}")
    for command in ("status", "history"):
        called = call(shop.env, command, "shop")
        assert called.code == 1
        assert "outside of the years 1 to 9999: correct or delete that row" in called.errors[0]


def test_a_status_that_no_run_writes_is_one_of_a_failure(shop: Shop) -> None:
    """A sync refetches such a day, so it is not complete."""
    change(shop, "update @_sync_log set status = 'sideways'")
    called = call(shop.env, "status", "shop", "--json")
    (table,) = [table for table in called.json["tables"] if table["table"] == "visits_summary"]
    assert table["failed"] == 1


def test_a_sync_refetches_slices_whose_rows_of_the_log_lack_values(tmp_path: Path) -> None:
    """And it is complete, with the rows as they were."""
    with FakeMatomo(small_world(1)) as matomo, local(matomo, tmp_path / "x.duckdb", sites=["1"]) as shop:
        shop.sync()
        before = shop.contents()
        name = f"{shop.warehouse.dataset}._sync_log"
        for column in ("row_count", "status", "is_final", "has_others", "segment"):
            shop.warehouse.run(f"alter table {name} alter column {column} drop not null", "relax")
        shop.warehouse.run(f"update {name} l set row_count = null, is_final = null, has_others = null where true", "x")
        shop.warehouse.run(f"update {name} l set status = null where l.table_name = '{SOME_TABLES[0]}'", "x")
        shop.warehouse.run(f"update {name} l set segment = null where l.table_name = '{SOME_TABLES[1]}'", "x")
        matomo.advance(timedelta(minutes=1))
        result = shop.sync()
        assert (result.as_dict()["status"], result.as_dict()["errors"]) == ("complete", [])
        assert shop.contents() == before
        assert {row["row_count"] for key, row in shop.states().items() if row["segment"] is not None} != {None}
