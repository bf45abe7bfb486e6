"""What a sync asks for: calls to Matomo, statements and loads of the warehouse, bytes loaded; counted, not timed."""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.warehouses import CountingWarehouse, Counts
from benchmarks.worlds import CONNECTOR, settings_for
from fake_matomo import FakeMatomo, default_world
from matomo_fn.app.wiring import make_client, new_run, read_credentials
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.sync.run import Session, sync
from matomo_fn.warehouse.duckdb import DuckDBWarehouse

_CASES: Mapping[str, Mapping[str, object]] = {
    "all reports, 1 site": {"sites": ["1"]},
    "all reports, 3 sites": {"sites": ["1", "2", "4"]},
    "all reports and visits, 1 site": {"sites": ["1"], "visits": True},
}
# Statements that BigQuery bills and queues; the others change tables.
_ON_ROWS = frozenset({"merge", "insert", "update", "delete"})


def calls() -> Iterator[Figure]:
    """Sync a year, twice, in each of the cases."""
    with FakeMatomo(default_world()) as matomo:
        for name, config in _CASES.items():
            yield from _of_case(matomo, name, config)


def _of_case(matomo: FakeMatomo, name: str, config: Mapping[str, object]) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(Path(folder), matomo.url, matomo.token, backfill_days=365, **config)
        for run in ("first run", "second run"):
            matomo.forget_calls()
            rows, counts = _run(settings)
            group = f"Calls: {name}, 365 days, {run}"
            yield Figure(group, "HTTP calls to Matomo", matomo.http_requests, "calls")
            in_bulk = sum(call.in_bulk for call in matomo.calls)
            yield Figure(group, "reports asked inside bulk calls", in_bulk, "calls")
            yield Figure(group, "rows written", rows, "rows")
            yield from _of_warehouse(group, counts)


def _of_warehouse(group: str, counts: Counts) -> Iterator[Figure]:
    on_rows = sum(count for kind, count in counts.statements.items() if kind in _ON_ROWS)
    yield Figure(group, "warehouse: loads", counts.loads, "jobs")
    yield Figure(group, "warehouse: statements that change rows", on_rows, "statements")
    yield Figure(group, "warehouse: tables created and dropped", counts.statements.total() - on_rows, "statements")
    yield Figure(group, "warehouse: queries", counts.queries, "queries")
    yield Figure(group, "warehouse: looks at what a table is like", counts.looks, "calls")
    yield Figure(group, "warehouse: bytes loaded, the log's included", counts.size / 1e6, "MB")


def _run(settings: Settings) -> tuple[int, Counts]:
    deadline = Deadline()
    credentials = read_credentials(settings, CONNECTOR)
    assert settings.duckdb_path is not None
    warehouse = CountingWarehouse(DuckDBWarehouse(settings.duckdb_path, credentials.connector.dataset_name))
    try:
        client = make_client(credentials, deadline)
        session = Session(credentials.connector, client, warehouse, deadline, settings.buffer_megabytes * 1024 * 1024)
        result = sync(session, SyncRequest(connector=CONNECTOR), new_run())
    finally:
        warehouse.close()
    assert result.http_status == 200, result.as_dict()
    return sum(table.rows for table in result.tables.values()), warehouse.counts
