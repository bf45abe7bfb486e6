"""The record of runs: one row each, also of those that found nothing new."""

import gzip
import json
from datetime import datetime

from matomo_fn.catalogue import SYNC_RUNS
from matomo_fn.config.connector import Connector
from matomo_fn.redaction import redact
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.result import RunResult
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.values import utf8
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, append_rows, ensure_table


def record_run(warehouse: Warehouse, connector: Connector, run: Run, result: RunResult, finished_at: datetime) -> None:
    """Append the row of a run that has ended; raise WarehouseError where that cannot be done."""
    tables = result.tables.values()
    sentences = [*result.warehouse_errors, *result.matomo_errors]
    row = {
        "date": str(run.started_at.date()),
        "connector": connector.name,
        "matomo_url": connector.matomo_url,
        "run_id": run.id,
        "request_id": run.request_id,
        "mode": result.about.mode,
        "status": result.verdict,
        "started_at": run.started_at.isoformat(),
        "finished_at": finished_at.isoformat(),
        "sites": len(result.about.sites),
        "row_count": sum(table.rows for table in tables),
        "written": sum(table.written for table in tables),
        "unchanged": sum(table.unchanged for table in tables),
        "pending": sum(table.pending for table in tables),
        "failed": sum(table.failed for table in tables),
        "remaining": sum(table.remaining for table in tables),
        "matomo_calls": result.calls,
        "error": redact(sentences[0]) if sentences else None,
        "changed": result.changes.slices,
    }
    ensure_table(warehouse, SYNC_RUNS, "month")
    with temporary_folder() as folder:
        path = folder / "run.json.gz"
        path.write_bytes(gzip.compress(utf8(json.dumps(row, ensure_ascii=False) + "\n"), mtime=0))
        append_rows(warehouse, SYNC_RUNS, [path], [run.started_at.date()], Stamp(run.id, 0, finished_at))
