"""Segments and longer periods by BigQuery's client and the emulator: what is known of them, and what changes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.deadline import Deadline
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from tests.support.emulator import connect
from tests.support.local import SPOOL_BYTES, Local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from matomo_fn.sync.result import RunResult
    from tests.support.proxy import Proxy


@contextmanager
def dataset(proxy: Proxy, name: str, run_id: str) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse(connect(proxy.url), name, location="EU", run_id=run_id, deadline=Deadline(300))
    try:
        yield warehouse
    finally:
        warehouse.close()


def synced(warehouse: BigQueryWarehouse, opened: Local, definition: str, run_id: str) -> RunResult:
    """Sync weeks, months and a segment of the definition."""
    opened.matomo.advance(timedelta(minutes=1))
    config: dict[str, Any] = {
        "matomo_url": opened.matomo.url,
        "sites": "all",
        "reports": ["visits_summary"],
        "periods": ["week", "month"],
        "segments": {"part": definition},
        "backfill_days": 20,
    }
    connector = read_connector("shop", json.dumps(config))
    client, deadline = opened.client()
    session = Session(connector, client, warehouse, deadline, SPOOL_BYTES, opened.now)
    return sync(session, read_request({"connector": "shop"}), Run(run_id, run_id, opened.now()))


@pytest.mark.timeout(400)  # the emulator computes most of the time
def test_what_is_known_and_what_changes_is_the_same_in_bigquery(
    proxied_emulator: Proxy, dataset_name: str, tmp_path: Path
) -> None:
    """A second run writes nothing; a new definition is refetched, of days, weeks and months."""
    with FakeMatomo(small_world(1)) as matomo:
        opened = Local(matomo, tmp_path / "unused.duckdb")
        with dataset(proxied_emulator, dataset_name, "run1") as warehouse:
            first = synced(warehouse, opened, "countryCode==fr", "run1")
            assert (first.verdict, first.matomo_errors, first.warehouse_errors) == ("complete", [], [])
            assert {name: table.written for name, table in first.tables.items()} == {
                "visits_summary": 40,
                "visits_summary_week": 8,
                "visits_summary_month": 4,
            }
            again = synced(warehouse, opened, "countryCode==fr", "run2")
            assert {name: (table.written, table.unchanged) for name, table in again.tables.items()} == {
                "visits_summary": (0, 6),
                "visits_summary_week": (0, 2),
                "visits_summary_month": (0, 2),
            }
            runs = warehouse.query(log_sql.status_of(dataset_name, "shop"))
            assert len(runs) == 10  # each stream is one row, and one more where a week or month is not over
            changed = synced(warehouse, opened, "countryCode==de", "run3")
            assert (changed.verdict, changed.warehouse_errors) == ("complete", [])
            assert changed.tables["visits_summary"].pending == changed.tables["visits_summary"].failed == 0
            months = f"`{dataset_name}.visits_summary_month`"
            found = warehouse.query(f"select sum(t.nb_visits) as visits from {months} t where t.segment = 'part'")
            germans = sum(
                visit.visitor.place.code == "de"
                for day in range(31)
                for visit in matomo.visits(1, matomo.now().date() - timedelta(days=day))
            )
            assert [row["visits"] for row in found] == [germans]
        opened.close()
        assert proxied_emulator.staging_left() == set()
