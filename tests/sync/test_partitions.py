"""BigQuery's limits: a job modifies at most 4,000 partitions, and a table has at most 10,000."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, SYNC_LOG, SYNC_RUNS, VISITS, Catalogue
from matomo_fn.config.request import read_request
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.result import Tally
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.session import Session
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.target_tables import TargetTables
from matomo_fn.warehouse import rebuild, sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.partitions import MOST_DAYS, refuse_too_many_days, split_by_days, split_days
from tests.support.bigquery_rules import Storage
from tests.support.history import CONNECTOR, NOW, opened, prepare, write_history
from tests.support.local import local, small_world
from tests.support.recordings import Scripted, client_of
from tests.support.warehouses import states

if TYPE_CHECKING:
    from pathlib import Path

    from matomo_fn.catalogue import Schema
    from matomo_fn.warehouse.protocol import PartitionBy

LAST = date(2026, 11, 19)
TABLE = PREBUILT["visits_summary"]
COUNTRIES = PREBUILT["visitor_country"]


def years(count: int) -> Days:
    """The days of the latest years."""
    return Days.between(LAST - timedelta(days=round(count * 365.25) - 1), LAST)


def statements(storage: Storage) -> Counter[str]:
    """How many statements there were by table."""
    return Counter(executed.table for executed in storage.executed)


def rows(storage: Storage, table: str) -> int:
    """How many rows a table has."""
    warehouse = opened(storage)
    (found,) = warehouse.query(sql.count_rows(warehouse.dataset, table))
    warehouse.close()
    return int(found["row_count"])


def test_twelve_years_by_day_are_written_in_statements_that_bigquery_takes() -> None:
    """4,383 days are more than one job may modify: two MERGEs for each batch of a table, one INSERT into the log."""
    storage = Storage()
    prepare(storage, [TABLE], "day")
    assert write_history(storage, [TABLE], 2, years(12)) == []
    assert statements(storage) == {TABLE.name: 2, SYNC_LOG.name: 2}
    assert [executed.partitions for executed in storage.executed if executed.table == TABLE.name] == [3500, 883]
    assert max(executed.partitions for executed in storage.executed if executed.table == SYNC_LOG.name) <= 145
    assert (rows(storage, TABLE.name), rows(storage, SYNC_LOG.name)) == (2 * 4383, 2 * 4383)


def test_thirty_years_need_partitions_by_month() -> None:
    """Also a table of visits and one that is no prebuilt report: 361 partitions where a day each would be 10,958."""
    custom = replace(COUNTRIES, name="custom_report")
    storage = Storage()
    prepare(storage, [TABLE, custom, VISITS], "month")
    assert storage.units == dict.fromkeys((TABLE.name, custom.name, VISITS.name, SYNC_LOG.name), "month")
    assert write_history(storage, [TABLE], 1, years(30)) == []
    assert {name: len(found) for name, found in storage.partitions.items()} == {TABLE.name: 361, SYNC_LOG.name: 361}
    assert rows(storage, TABLE.name) == 10_958


def test_a_run_partitions_every_table_as_the_connector_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports and visits by month where it says so; the log always."""
    created = {}
    create_table = DuckDBWarehouse.create_table

    def noted(warehouse: DuckDBWarehouse, schema: Schema, partition_by: PartitionBy) -> None:
        if schema.partitioned:
            created[schema.name] = partition_by
        create_table(warehouse, schema, partition_by)

    monkeypatch.setattr(DuckDBWarehouse, "create_table", noted)
    with FakeMatomo(small_world()) as matomo:
        for partition_by in ("month", "day"):
            config = {"partition_by": partition_by, "visits": True, "reports": ["visits_summary", "referrers"]}
            with local(matomo, tmp_path / f"{partition_by}.duckdb", **config) as shop:
                shop.sync()
            tables = dict.fromkeys(("visits_summary", "referrers", "visits"), partition_by)
            assert created == {SYNC_LOG.name: "month", SYNC_RUNS.name: "month", **tables}


def test_more_days_than_partitions_are_refused_before_anything_is_written() -> None:
    """The sentence names the option; a table by month takes them."""
    storage = Storage()
    prepare(storage, [TABLE], "day")
    prepare(storage, [COUNTRIES], "month")
    warehouse = opened(storage)
    refuse_too_many_days(warehouse, TABLE.name, LAST - timedelta(days=9_999), LAST)
    refuse_too_many_days(warehouse, COUNTRIES.name, LAST - timedelta(days=20_000), LAST)
    with pytest.raises(SchemaMismatch, match='Set "partition_by" to "month"'):
        refuse_too_many_days(warehouse, TABLE.name, LAST - timedelta(days=10_000), LAST)
    warehouse.close()


@pytest.mark.parametrize("lengths", [(1, 10_001), (10_001, 1), (1, 10_000)])
def test_the_days_of_every_site_are_counted_before_anything_is_written(lengths: tuple[int, int]) -> None:
    """Whichever site has too many."""
    storage = Storage()
    prepare(storage, [TABLE], "day")
    warehouse = opened(storage)
    windows = tuple(
        Window(Site(number, "", UTC, LAST), LAST - timedelta(days=length - 1), LAST, LAST)
        for number, length in zip("12", lengths, strict=True)
    )
    scope = Scope(Catalogue([TABLE]), windows, (5, 2), ())
    session = Session(CONNECTOR, client_of(Scripted(lambda *_: [])), warehouse, Deadline(), 10**8)
    request = read_request({"connector": "shop"})
    tables = TargetTables(session, request, scope, Run("run1", "run1", NOW), Tally(scope.tables))
    is_too_many = max(lengths) > 10_000
    assert tables.prepare(session.state, is_new=False) == ([] if is_too_many else [TABLE.name])
    assert ["are 10001 days" in str(error) for error in tables.errors] == [True] * is_too_many
    warehouse.close()


@pytest.mark.parametrize(
    ("partition_by", "days", "is_refused"), [("day", 3, False), ("day", 4, True), ("month", 4, False)]
)
def test_a_table_by_day_is_not_rebuilt_where_it_has_more_days_than_a_job_may_replace(
    monkeypatch: pytest.MonkeyPatch, partition_by: PartitionBy, days: int, *, is_refused: bool
) -> None:
    """It stays as it is; by month as many days are fewer partitions."""
    monkeypatch.setattr(rebuild, "MOST_DAYS", 3)
    storage = Storage()
    prepare(storage, [TABLE], partition_by)
    assert write_history(storage, [TABLE], 1, Days.between(LAST - timedelta(days=days - 1), LAST)) == []
    warehouse = opened(storage)
    fresh = rebuild.rebuilt(TABLE, "run2")
    rebuild.prepare_rebuild(warehouse, fresh)
    requested = [TABLE.stream("2").slice(LAST)]
    with pytest.raises(SchemaMismatch, match="has 4 days") if is_refused else nullcontext():
        rebuild.finish_rebuild(warehouse, TABLE.schema, fresh, requested, partition_by)
    assert (warehouse.find_table(fresh.name) is not None) == is_refused
    assert rows(storage, TABLE.name) == days
    warehouse.close()


def test_a_log_by_day_of_an_older_version_keeps_working() -> None:
    """It is not refused, and what is appended to it is split as well; so is what marks a dropped table's slices."""
    storage = Storage()
    prepare(storage, [TABLE], "month", log_by="day")
    assert storage.units[SYNC_LOG.name] == "day"
    assert write_history(storage, [TABLE], 1, years(12)) == []
    appended = [executed.partitions for executed in storage.executed if executed.table == SYNC_LOG.name]
    assert appended == [3500, 883]
    warehouse = opened(storage)
    SyncState(warehouse, CONNECTOR).invalidate(TABLE.name, run_id="run2", at=NOW + timedelta(hours=1))
    assert [executed.partitions for executed in storage.executed[-2:]] == [3500, 883]
    assert {row["status"] for row in states(warehouse).values()} == {"pending"}
    warehouse.close()


def test_the_warehouse_of_these_tests_refuses_what_bigquery_refuses() -> None:
    """The counter-check: one statement for all the days, and a table by day of thirty years."""
    storage = Storage()
    prepare(storage, [TABLE], "day")
    warehouse = opened(storage)
    everything = sql.append_rows(warehouse.dataset, SYNC_LOG, SYNC_LOG.name, (date.min, date.max))
    assert write_history(storage, [TABLE], 1, years(12)) == []
    warehouse.run(everything, "append")  # 145 months
    days = f"date between date '{LAST - timedelta(days=4_100)}' and date '{LAST}'"
    with pytest.raises(WarehouseError, match="allowed 4000, query produces at least 4101"):
        warehouse.run(f"delete from `{warehouse.dataset}.{TABLE.name}` where {days}", "delete")
    warehouse.close()
    (error,) = write_history(storage, [TABLE], 1, Days.between(LAST - timedelta(days=10_400), LAST), run_id="run2")
    assert "Too many total partitions" in str(error)


def test_slices_and_days_are_split_in_order_and_no_day_is_cut() -> None:
    """Every slice is in exactly one part, all of a day in the same one."""
    slices = [Slice(Stream(TABLE.name, site), LAST - timedelta(days=day)) for day in range(10) for site in "123"]
    parts = split_by_days(slices, 4)
    assert [len({each.date for each in part}) for part in parts] == [4, 4, 2]
    assert sorted(each for part in parts for each in part) == sorted(slices)
    assert split_by_days([]) == []
    days = {each.date for each in slices}
    assert list(split_days(days, 4)) == [(part[0].date, part[-1].date) for part in parts]
    assert MOST_DAYS < 4_000
