"""What a sync asks for: calls to Matomo, statements and loads of the warehouse, bytes loaded; counted, not timed."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.warehouses import ROW_STATEMENTS, CountingWarehouse, Counts
from benchmarks.worlds import CONNECTOR, settings_for
from fake_matomo import FakeMatomo, default_world
from matomo_fn.app.wiring import make_client, new_run, read_credentials
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.warehouse.duckdb import DuckDBWarehouse

_CASES: Mapping[str, Mapping[str, object]] = {
    "all reports, 1 site": {"sites": ["1"]},
    "all reports, 3 sites": {"sites": ["1", "2", "4"]},
    "all reports and visits, 1 site": {"sites": ["1"], "visits": True},
}
# What a run finds: nothing, the same as before, and a new day in every table.
_RUNS = {"first run": timedelta(0), "run again": timedelta(0), "a day later": timedelta(days=1)}
# https://cloud.google.com/bigquery/pricing: the least that is billed for each table that a statement reads.
_LEAST_MB = 10


def calls() -> Iterator[Figure]:
    """Sync a year, the same once more, and the next day, in each of the cases."""
    with FakeMatomo(default_world()) as matomo:
        for name, config in _CASES.items():
            yield from _of_case(matomo, name, config)


def _of_case(matomo: FakeMatomo, name: str, config: Mapping[str, object]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(Path(folder), matomo.url, matomo.token, backfill_days=365, **config)
        for run, later in _RUNS.items():
            matomo.advance(later)
            matomo.forget_calls()
            rows, counts = _run(settings, matomo.now)
            group = f"Calls: {name}, 365 days, {run}"
            yield Figure(group, "HTTP calls to Matomo", matomo.http_requests, "calls")
            in_bulk = sum(call.in_bulk for call in matomo.calls)
            yield Figure(group, "reports asked inside bulk calls", in_bulk, "calls")
            yield Figure(group, "rows written", rows, "rows")
            yield from _of_warehouse(group, counts)


def _of_warehouse(group: str, counts: Counts) -> Iterator[Figure]:
    on_rows = sum(count for kind, count in counts.statements.items() if kind in ROW_STATEMENTS)
    yield Figure(group, "warehouse: loads", counts.loads, "jobs")
    yield Figure(group, "warehouse: statements that change rows", on_rows, "statements")
    yield Figure(group, "warehouse: tables created and dropped", counts.statements.total() - on_rows, "statements")
    yield Figure(group, "warehouse: queries", counts.queries, "queries")
    yield Figure(group, "warehouse: tables read by both", counts.read, "tables")
    yield Figure(group, "warehouse: least that is billed for them", counts.read * _LEAST_MB, "MB")
    yield Figure(group, "warehouse: looks at what a table is like", counts.looks, "calls")
    yield Figure(group, "warehouse: bytes loaded, the log's included", counts.size / 1e6, "MB")


def _run(settings: Settings, now: Callable[[], datetime]) -> tuple[int, Counts]:
    deadline = Deadline()
    credentials = read_credentials(settings, CONNECTOR)
    assert settings.duckdb_path is not None
    warehouse = CountingWarehouse(DuckDBWarehouse(settings.duckdb_path, credentials.connector.dataset_name))
    try:
        client = make_client(credentials, deadline)
        buffer_bytes = settings.buffer_megabytes * 1024 * 1024
        session = Session(credentials.connector, client, warehouse, deadline, buffer_bytes, now)
        result = sync(session, SyncRequest(connector=CONNECTOR), new_run())
    finally:
        warehouse.close()
    assert result.http_status == 200, result.as_dict()
    return sum(table.rows for table in result.tables.values()), warehouse.counts
