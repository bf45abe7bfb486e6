"""A sweep and the present day by BigQuery's client and the emulator: what changed, is damaged, and is open."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.app.logged_changes import changes_by_run
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.warehouse import log_sql
from tests.support.local import SPOOL_BYTES, TODAY, Local, ago, small_world
from tests.sync.test_segments_in_bigquery import dataset

if TYPE_CHECKING:
    from pathlib import Path

    from matomo_fn.sync.result import RunResult
    from matomo_fn.warehouse.bigquery import BigQueryWarehouse
    from tests.support.proxy import Proxy

COUNTRY = "visitor_country"


def run(warehouse: BigQueryWarehouse, opened: Local, run_id: str, **request: Any) -> RunResult:
    """Run a request of a connector with the present day."""
    opened.matomo.advance(timedelta(minutes=1))
    config = {
        "matomo_url": opened.matomo.url, "sites": "all", "reports": ["visits_summary", COUNTRY], "intraday": True,
        "backfill_days": 8, "trailing_days": 1, "reference_tables": False,
    }  # fmt: skip
    connector = read_connector("shop", json.dumps(config))
    client, deadline = opened.client()
    session = Session(connector, client, warehouse, deadline, SPOOL_BYTES, opened.now)
    return sync(session, read_request({"connector": "shop", **request}), Run(run_id, run_id, opened.now()))


@pytest.mark.timeout(400)  # the emulator computes most of the time
def test_a_sweep_and_the_present_day_in_bigquery(proxied_emulator: Proxy, dataset_name: str, tmp_path: Path) -> None:
    """A changed day is written and named once, a damaged one is healed, and the present day is open until it ends."""
    with FakeMatomo(small_world(1)) as matomo:
        opened = Local(matomo, tmp_path / "unused.duckdb")
        with dataset(proxied_emulator, dataset_name, "run1") as warehouse:
            assert run(warehouse, opened, "run1").verdict == "complete"
            query = log_sql.status_of(dataset_name, "shop")
            assert {(row["table_name"], row["state"]) for row in warehouse.query(query)} == {
                (table, state) for table in ("visits_summary", COUNTRY) for state in ("good", "open")
            }
            matomo.change(1, ago(5))
            table = f"`{dataset_name}.{COUNTRY}`"
            warehouse.run(f"delete from {table} t where t.date = date '{ago(7)}'", "damage")
            swept = run(warehouse, opened, "run2", mode="sweep", days=6)
            assert (swept.verdict, swept.warehouse_errors) == ("complete", [])
            assert swept.audit is not None
            assert [(each.table, list(each.days)) for each in swept.audit.findings] == [(COUNTRY, [ago(7)])]
            assert {(each.stream.table, *each.dates) for each in swept.changes.each} == {
                ("visits_summary", ago(5)),
                (COUNTRY, ago(5)),
            }
            assert swept.tables[COUNTRY].written == 2
            connector = read_connector("shop", json.dumps({"matomo_url": matomo.url, "sites": "all"}))
            told = changes_by_run(warehouse, connector, ["run2"])["run2"]
            assert told.as_dicts() == swept.changes.as_dicts()
            (last,) = warehouse.query(log_sql.last_sweep(dataset_name, "shop"))
            assert (last["run_id"], last["changed"]) == ("run2", 2)
            again = run(warehouse, opened, "run3", mode="sweep", days=6)
            assert (again.changes.slices, sum(table.written for table in again.tables.values())) == (0, 0)
            matomo.advance(timedelta(hours=13))
            matomo.arrive(1)
            assert run(warehouse, opened, "run4", mode="intraday").verdict == "complete"
            rows = warehouse.query(log_sql.status_of(dataset_name, "shop"))
            assert {row["first_day"] for row in rows if row["state"] == "open"} == {TODAY + timedelta(days=1)}
        opened.close()
        assert proxied_emulator.staging_left() == set()
