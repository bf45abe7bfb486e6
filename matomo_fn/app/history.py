"""The runs of a connector, as ``_sync_runs`` has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from matomo_fn.app.logged_changes import changes_by_run
from matomo_fn.app.read_log import never_synced, open_log
from matomo_fn.catalogue import SYNC_RUNS
from matomo_fn.config.connector import Connector
from matomo_fn.config.settings import Settings
from matomo_fn.sync.changes import Changes
from matomo_fn.sync.request_progress import RequestProgress, read_progress
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.schemas import missing_columns
from matomo_fn.warehouse.whole_rows import whole_rows


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run; ``written``, ``unchanged``, ``pending``, ``failed`` and ``remaining`` count slices.

    ``request_id``: what started it; the run's own id where that was a person or a caller without a schedule.
    ``rows``: rows written. ``error``: the first sentence of what failed. ``changed``: final slices that Matomo had
    changed; None where an older version ran. ``changes``: which ones they are. ``shard`` of ``shards``: what of the
    request the run was about, None for all of it; a run that split the request has ``shards`` alone.
    """

    run_id: str
    request_id: str
    mode: str
    status: str
    started: datetime
    finished: datetime
    written: int
    unchanged: int
    pending: int
    failed: int
    remaining: int
    rows: int
    matomo_calls: int
    error: str | None
    changed: int | None = None
    changes: Changes | None = None
    shard: int | None = None
    shards: int | None = None

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished - self.started).total_seconds()

    def as_dict(self) -> dict[str, Any]:
        """Return the run as JSON has it."""
        return {
            "run_id": self.run_id,
            "request": None if self.request_id == self.run_id else self.request_id,
            "mode": self.mode,
            "status": self.status,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 2),
            "written": self.written,
            "unchanged": self.unchanged,
            "pending": self.pending,
            "failed": self.failed,
            "remaining": self.remaining,
            "rows": self.rows,
            "matomo_calls": self.matomo_calls,
            "error": self.error,
            "changed_slices": self.changed,
            **({"changed": self.changes.as_dicts()} if self.changes else {}),
            "shard": self.shard,
            "shards": self.shards,
        }


def read_history(settings: Settings, name: str, *, most: int) -> Sequence[PastRun]:
    """Return the newest runs of a connector, the newest first; raise NeverSynced where there is none.

    A run that was killed is not among them; what it wrote is in ``_sync_log``.
    """
    with open_log(settings, name) as (connector, warehouse):
        found = newest_runs(warehouse, connector, most)
        if not found:
            raise never_synced(connector, warehouse)
        changes = changes_by_run(warehouse, connector, {run.request_id for run in found if run.changed})
        return [replace(run, changes=changes.get(run.run_id)) for run in found]


def read_requests(settings: Settings, name: str) -> Sequence[RequestProgress]:
    """Return the requests of a connector that were handed on in the last 31 days, the newest first."""
    with open_log(settings, name) as (connector, warehouse):
        return newest_requests(warehouse, connector)


def newest_requests(warehouse: Warehouse, connector: Connector) -> Sequence[RequestProgress]:
    """Return the same of a warehouse that is open; nothing where no version yet has handed anything on."""
    if not _knows_requests(warehouse):
        return []
    return read_progress(warehouse, connector.name, datetime.now(UTC))


def _knows_requests(warehouse: Warehouse) -> bool:
    """Return whether the record of runs has the columns of this version, which the next sync adds."""
    found = warehouse.find_table(SYNC_RUNS.name)
    return found is not None and not missing_columns(SYNC_RUNS.columns, found.columns)


def newest_runs(warehouse: Warehouse, connector: Connector, most: int) -> Sequence[PastRun]:
    """Return the newest runs that a warehouse has of a connector."""
    there = warehouse.find_table(SYNC_RUNS.name)
    if there is None:
        return []
    missing = [column.name for column in missing_columns(SYNC_RUNS.columns, there.columns)]
    found = warehouse.query(log_sql.history_of(warehouse.dataset, connector.name, most, without=missing))
    required = [column.name for column in SYNC_RUNS.columns if column.required]
    return [past_run(row) for row in whole_rows(found, f"{warehouse.dataset}.{SYNC_RUNS.name}", required)]


def past_run(row: Mapping[str, Any]) -> PastRun:
    """Return the run of a row of ``_sync_runs``."""
    return PastRun(
        row["run_id"],
        row["request_id"],
        row["mode"],
        row["status"],
        row["started_at"],
        row["finished_at"],
        row["written"],
        row["unchanged"],
        row["pending"],
        row["failed"],
        row["remaining"],
        row["row_count"],
        row["matomo_calls"],
        row["error"],
        row.get("changed"),
        shard=row.get("shard"),
        shards=row.get("shards"),
    )
