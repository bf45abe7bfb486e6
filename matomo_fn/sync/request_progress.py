"""How far a request is that was handed on in parts, by the record of runs."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from matomo_fn.catalogue import SYNC_RUNS
from matomo_fn.config.request import SyncRequest
from matomo_fn.errors import MatomoFnError
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.plan import Plan
from matomo_fn.sync.reach import Reach, ReachTracker
from matomo_fn.sync.runs import HANDING_ON, MEMORY, RUNNING
from matomo_fn.sync.session import Session
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse

log = structlog.get_logger()

# A run that a message starts is over before the message's acknowledgement deadline, 600 seconds at most. What has no
# end after that was killed, and its message is delivered again.
_LONGEST_RUN = timedelta(minutes=10)


class ShardState(StrEnum):
    """How far a shard is."""

    DONE = "done"
    RUNNING = "running"
    FAILED = "failed"  # its message is delivered again, or is a dead letter
    LEFT = "left"  # its message waits, or that of its rest


@dataclass(frozen=True, slots=True)
class RequestProgress:
    """How far a request is.

    ``shards``: how many it has; a request that was not split is one. ``states``: how many are so far; those that it
    does not count are left. The other counts are of slices, of all runs.
    """

    request_id: str
    mode: str
    started: datetime
    last_ended: datetime | None
    shards: int
    states: Mapping[ShardState, int]
    written: int
    unchanged: int
    pending: int
    matomo_calls: int
    error: str | None

    @property
    def is_done(self) -> bool:
        """Whether every shard is done."""
        return self.count(ShardState.DONE) == self.shards

    def count(self, state: ShardState) -> int:
        """Return how many shards are so far."""
        known = self.states.get(state, 0)
        return known + self.shards - sum(self.states.values()) if state is ShardState.LEFT else known

    def as_dict(self) -> dict[str, Any]:
        """Return the progress as JSON has it."""
        return {
            "request_id": self.request_id,
            "mode": self.mode,
            "started": self.started.isoformat(timespec="seconds"),
            "last_ended": self.last_ended.isoformat(timespec="seconds") if self.last_ended else None,
            "shards": self.shards,
            **{str(state): self.count(state) for state in ShardState},
            "slices_written": self.written,
            "slices_unchanged": self.unchanged,
            "slices_pending": self.pending,
            "matomo_calls": self.matomo_calls,
            "error": self.error,
        }

    @property
    def sentence(self) -> str:
        """The progress in words."""
        counts = ", ".join(f"{self.count(state)} {state}" for state in ShardState if self.count(state))
        noun = "shard" if self.shards == 1 else "shards"
        return f"request {self.request_id} of {self.started:%Y-%m-%d %H:%M} UTC: {self.shards} {noun}: {counts}"


def read_progress(warehouse: Warehouse, connector: str, now: datetime) -> list[RequestProgress]:
    """Return the requests of a connector that were handed on in the last 31 days, the newest first."""
    if warehouse.find_table(SYNC_RUNS.name) is None:
        return []
    rows = warehouse.query(log_sql.runs_of_requests(warehouse.dataset, connector, (now - MEMORY).date()))
    requests: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        requests.setdefault(row["request_id"], []).append(row)
    found = [progress_of(runs, now) for runs in requests.values()]
    return sorted(found, key=lambda each: each.started, reverse=True)


def progress_of(rows: Sequence[Mapping[str, Any]], now: datetime) -> RequestProgress:
    """Return how far the request of some rows of ``_sync_runs`` is; of each run the last row, in the order of time."""
    ended = [row for row in rows if row["status"] not in (RUNNING, HANDING_ON)]
    errors = [row["error"] for row in ended if row["error"]]
    shards = max(1, *(row["shards"] or 1 for row in rows))
    by_shard: dict[int, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["shard"] is not None or row["shards"] is None:  # and not the run that split the request
            by_shard.setdefault(row["shard"] or 1, []).append(row)
    # Counted, and never listed: how many shards there are is what somebody may have written into the table.
    states = Counter(_state(runs, now) for number, runs in by_shard.items() if 1 <= number <= shards)
    return RequestProgress(
        rows[0]["request_id"],
        rows[0]["mode"],
        min(row["started_at"] for row in rows),
        max((row["finished_at"] for row in ended), default=None),
        shards,
        states,
        sum(row["written"] for row in rows),
        sum(row["unchanged"] for row in rows),
        sum(row["pending"] for row in rows),
        sum(row["matomo_calls"] for row in rows),
        errors[-1] if errors else None,
    )


def _state(runs: Sequence[Mapping[str, Any]], now: datetime) -> ShardState:
    """Return how far a shard is; once done it stays so, whatever a message that is delivered again does."""
    if any(
        run["status"] == Verdict.COMPLETE or (run["status"] == Verdict.PARTIAL and not run["remaining"]) for run in runs
    ):
        return ShardState.DONE
    newest = runs[-1]
    if newest["status"] == RUNNING:
        return ShardState.RUNNING if now - newest["started_at"] < _LONGEST_RUN else ShardState.LEFT
    return ShardState.FAILED if newest["status"] == Verdict.FAILED and not newest["remaining"] else ShardState.LEFT


def finish_request(
    session: Session, request: SyncRequest, run: Run, plan: Callable[[Session, SyncRequest], Plan]
) -> None:
    """Log that a request is done, where this run did the last of it, and how far the tables reach.

    That belongs to no single part: an alert about late tables looks at it. ``plan`` returns what is due now.
    """
    try:
        found = read_progress(session.warehouse, session.connector.name, session.now())
        progress = next((each for each in found if each.request_id == run.request_id), None)
        if progress is None or not progress.is_done:
            return
        reach = Reach()
        if request.tells_reach:
            whole = request.model_copy(update={"part": None})
            due = plan(session, whole)
            reach = ReachTracker(due.scope, due).reach()
    except MatomoFnError as error:
        log.warning("reach_not_known", error=str(error))
        return
    log.info("request_finished", connector=session.connector.name, **progress.as_dict(), **reach.as_dict())
