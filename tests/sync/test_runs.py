"""The record of runs: one row each, whatever came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from matomo_fn.catalogue import SYNC_RUNS
from matomo_fn.config.request import read_request
from matomo_fn.errors import WarehouseError
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.result import About, Failures, RunResult, TableResult
from matomo_fn.sync.runs import RunRecords
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.history import CONNECTOR
from tests.support.local import NOW

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = ("row_count", "written", "unchanged", "pending", "failed", "remaining")


def test_each_count_of_a_run_is_the_sum_of_its_tables(tmp_path: Path) -> None:
    """Two tables and six counts that all differ; and the first sentence of what failed."""
    tables = {
        "visitor_country": TableResult(1, 2, 4, 8, 16, 32),
        "visits_summary": TableResult(100, 200, 400, 800, 1600, 3200),
    }
    result = RunResult(
        about=About(connector="shop", run_id="run1", mode="incremental", sites=["1", "2"]),
        tables=tables,
        seconds=1,
        calls=7,
        failures=Failures(missing=["Matomo failed"], warehouse=[WarehouseError("BigQuery failed")]),
    )
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", CONNECTOR.dataset_name)
    warehouse.ensure_dataset()
    request = read_request({"connector": "shop"})
    run = Run("run1", "message 1", NOW)
    RunRecords(warehouse, CONNECTOR, request, run).end(result, NOW + timedelta(seconds=5))
    (row,) = warehouse.query(f"select * from {warehouse.dataset}.{SYNC_RUNS.name}")
    assert [row[name] for name in COUNTS] == [101, 202, 404, 808, 1616, 3232]
    assert (row["sites"], row["matomo_calls"], row["error"]) == (2, 7, "BigQuery failed")
    assert (row["run_id"], row["request_id"], row["finished_at"] - row["started_at"]) == (
        "run1",
        "message 1",
        timedelta(seconds=5),
    )
    warehouse.close()
