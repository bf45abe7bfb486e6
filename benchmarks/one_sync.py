"""`python -m benchmarks.one_sync`: a whole sync in a process of its own; prints what it took as JSON."""

import json
import logging
import resource
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks.warehouses import CountingWarehouse, Counts, NullWarehouse
from benchmarks.worlds import CONNECTOR, settings_for
from matomo_fn.app.logs import configure_logs
from matomo_fn.app.wiring import make_client, new_run, read_credentials, run_sync
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.sync.result import RunResult
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session

Sync = Callable[[Settings, SyncRequest], tuple[RunResult, Counts | None]]


def sync_to_duckdb(settings: Settings, request: SyncRequest) -> tuple[RunResult, Counts | None]:
    """Run a request as the program does."""
    return run_sync(settings, request, new_run()), None


def sync_to_nowhere(settings: Settings, request: SyncRequest) -> tuple[RunResult, Counts | None]:
    """Run a request with a warehouse that reads what is loaded and keeps nothing."""
    deadline = Deadline()
    credentials = read_credentials(settings, request.connector)
    warehouse = CountingWarehouse(NullWarehouse())
    buffer_bytes = settings.buffer_megabytes * 1024 * 1024
    session = Session(credentials.connector, make_client(credentials, deadline), warehouse, deadline, buffer_bytes)
    return sync(session, request, new_run()), warehouse.counts


SYNCS: dict[str, Sync] = {"nowhere": sync_to_nowhere, "duckdb": sync_to_duckdb}


@click.command()
@click.option("--url", required=True, help="Where the Matomo is.")
@click.option("--token", required=True, help="Its token.")
@click.option("--days", type=int, required=True, help="How many days of each site.")
@click.option("--into", type=click.Choice(list(SYNCS)), required=True, help="Which warehouse.")
def main(url: str, token: str, days: int, into: str) -> None:
    """Sync the page report of all sites."""
    configure_logs("json", level=logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        settings = settings_for(Path(folder), url, token, backfill_days=days, reports=["behaviour_page"])
        before = peak_memory()
        result, counts = SYNCS[into](settings, SyncRequest(connector=CONNECTOR))
    assert result.http_status == 200, result.as_dict()
    print(
        json.dumps(
            {
                "rows": sum(table.rows for table in result.tables.values()),
                "seconds": result.seconds,
                "calls": result.calls,
                "before": before,
                "peak": peak_memory(),
                "buffer": counts.largest_spool if counts else 0,
            }
        )
    )


def peak_memory() -> int:
    """Return the most bytes that this process had in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with what the parent had when it made this process; this does not
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
