"""The record of runs: one row each, also of those that found nothing new; and what they leave to others."""

import gzip
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from matomo_fn.catalogue import SYNC_RUNS
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.redaction import redact
from matomo_fn.sync.hand_on import HandedOn
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.result import RunResult
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.values import utf8
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, append_rows, ensure_table

RUNNING, HANDING_ON = "running", "handing_on"
# A message lives for 31 days at most, and so does what is known of its request.
MEMORY = timedelta(days=31)
_COUNTS = ("sites", "row_count", "written", "unchanged", "pending", "failed", "remaining", "matomo_calls")


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier delivery of the same request, or part, has handed on; ``is_published``: for certain."""

    parts: tuple[HandedOn, ...]
    is_published: bool


class RunRecords:
    """The rows of ``_sync_runs`` of one run, and what those of earlier ones say of its request."""

    def __init__(self, warehouse: Warehouse, connector: Connector, request: SyncRequest, run: Run) -> None:
        self._warehouse = warehouse
        self._connector = connector
        self._request = request
        self._run = run
        self._is_ready = False
        self._rows = 0

    def next_job(self) -> str | None:
        """Return the job that the last run of an equal request did not reach, if there is one."""
        self._prepare()
        since = (self._run.started_at - MEMORY).date()
        statement = log_sql.next_job(self._warehouse.dataset, self._connector.name, about(self._request), since)
        return next((row["next_job"] for row in self._warehouse.query(statement)), None)

    def earlier(self) -> Earlier | None:
        """Return what an earlier delivery of this very message has handed on; None where there was none."""
        part = self._request.part
        if part is None and self._run.request_id == self._run.id:
            return None  # nobody repeats it
        self._prepare()
        same = log_sql.PartOfRequest(self._run.request_id, *_numbers(self._request))
        since = (self._run.started_at - MEMORY).date()
        rows = self._warehouse.query(log_sql.handed_on(self._warehouse.dataset, self._connector.name, same, since))
        if not rows:
            return None
        published = [row for row in rows if row["status"] != HANDING_ON]
        newest = (published or rows)[0]
        parts = tuple(HandedOn.from_dict(values) for values in json.loads(newest["handed_on"]))
        return Earlier(parts, bool(published))

    def begin(self, now: datetime) -> None:
        """Append the row of a run that begins; of one with a part of a request, which `status` counts as running."""
        self._append({"status": RUNNING}, now)

    def hand_on(self, parts: Sequence[HandedOn], now: datetime) -> None:
        """Append what is about to be published: where that fails half way, the same is published again."""
        remaining = sum(each.slices for each in parts)
        values = {"status": HANDING_ON, "remaining": remaining, "shards": len(parts), "handed_on": _json(parts)}
        self._append(values, now)

    def end(self, result: RunResult, now: datetime) -> None:
        """Append the row of a run that has ended."""
        tables = result.tables.values()
        sentences = [*result.warehouse_errors, *result.matomo_errors]
        values: dict[str, Any] = {
            "status": result.verdict,
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
            "next_job": result.next_job,
        }
        if result.handed_on:
            values["handed_on"] = _json(result.handed_on)
            if not any(each.part.continuation for each in result.handed_on):
                values["shards"] = len(result.handed_on)
        self._append(values, now)

    def _append(self, values: Mapping[str, Any], now: datetime) -> None:
        run = self._run
        shard, continuation = _numbers(self._request)
        row = {
            "date": str(run.started_at.date()),
            "connector": self._connector.name,
            "matomo_url": self._connector.matomo_url,
            "run_id": run.id,
            "request_id": run.request_id,
            "mode": self._request.mode,
            "started_at": run.started_at.isoformat(),
            "finished_at": now.isoformat(),
            **dict.fromkeys(_COUNTS, 0),
            "shard": shard,
            "shards": self._request.part.count if self._request.part else None,
            "continuation": continuation,
            "about": about(self._request),
            **values,
        }
        self._prepare()
        with temporary_folder() as folder:
            path = folder / "run.json.gz"
            path.write_bytes(gzip.compress(utf8(json.dumps(row, ensure_ascii=False) + "\n"), mtime=0))
            append_rows(self._warehouse, SYNC_RUNS, [path], [run.started_at.date()], Stamp(run.id, self._rows, now))
        self._rows += 1

    def _prepare(self) -> None:
        if not self._is_ready:
            ensure_table(self._warehouse, SYNC_RUNS, "month")
            self._is_ready = True


def about(request: SyncRequest) -> str:
    """Return what equal requests have in common, and all runs of one shard, as a short text."""
    values = request.as_json()
    if request.part:
        values["part"] = request.part.model_copy(update={"continuation": 0}).as_json()
    return hashlib.sha256(utf8(json.dumps(values, sort_keys=True))).hexdigest()[:16]


def _numbers(request: SyncRequest) -> tuple[int | None, int | None]:
    """Return shard and continuation of a request, both None where it is about all of it."""
    return (request.part.number, request.part.continuation) if request.part else (None, None)


def _json(parts: Sequence[HandedOn]) -> str:
    return json.dumps([each.as_dict() for each in parts], ensure_ascii=False)
