"""What a run did, as its caller sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from matomo_fn.sync.reach import Reach


class Verdict(StrEnum):
    """How a run ended."""

    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"


@dataclass(slots=True)
class TableResult:
    """What a run did with one table.

    ``rows`` are the rows written; ``written``, ``unchanged``, ``pending``, ``failed`` and ``left`` count slices (a
    slice is one day of one site); ``days`` how many different days were handled. ``seconds``: asking and writing.
    """

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    pending: int = 0
    failed: int = 0
    left: int = 0
    seconds: float = 0.0
    error: str | None = None
    handled: set[date] = field(default_factory=set)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        values: dict[str, Any] = {
            "days": len(self.handled),
            "rows": self.rows,
            "written": self.written,
            "unchanged": self.unchanged,
            "pending": self.pending,
            "failed": self.failed,
            "left": self.left,
            "seconds": round(self.seconds, 2),
        }
        return values | ({"error": self.error} if self.error else {})


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run did.

    ``matomo_errors`` and ``warehouse_errors`` are sentences, each once; ``warehouse_unavailable``: the warehouse
    asked to come back later. ``missing_sites``: how many of ``matomo_errors``, the first ones, are about sites of the
    configuration that cannot be synced. ``notes``: sentences on what was left out and is no failure.
    ``reach``: how far the tables reach.
    """

    connector: str
    run_id: str
    mode: str
    sites: Sequence[str]
    first_day: date | None
    last_day: date | None
    tables: dict[str, TableResult]
    matomo_errors: Sequence[str]
    warehouse_errors: Sequence[str]
    warehouse_unavailable: bool
    token_refused: bool
    seconds: float
    calls: int
    notes: Sequence[str] = ()
    missing_sites: int = 0
    reach: Reach = field(default_factory=Reach)

    @property
    def verdict(self) -> Verdict:
        """Whether everything was done, some slices are left for want of time, or something failed."""
        if self.matomo_errors or self.warehouse_errors:
            return Verdict.FAILED
        return Verdict.PARTIAL if self._has_left() else Verdict.COMPLETE

    @property
    def may_succeed_later(self) -> bool:
        """Whether the same request may do more another time: not where only the user can mend what is wrong."""
        if self.token_refused or self.verdict is Verdict.COMPLETE:
            return False
        return bool(self.warehouse_errors) or len(self.matomo_errors) > self.missing_sites or self._has_left()

    def _has_left(self) -> bool:
        return any(table.left for table in self.tables.values())

    @property
    def http_status(self) -> int:
        """The status of an HTTP answer: the warehouse's failures weigh more, since Matomo's are asked again anyway."""
        if self.warehouse_errors:
            return 503 if self.warehouse_unavailable else 500
        return 502 if self.matomo_errors else 200

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "status": str(self.verdict),
            "connector": self.connector,
            "run_id": self.run_id,
            "mode": self.mode,
            "sites": list(self.sites),
            "first_day": str(self.first_day) if self.first_day else None,
            "last_day": str(self.last_day) if self.last_day else None,
            **self.reach.as_dict(),
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "errors": [*self.matomo_errors, *self.warehouse_errors],
            "notes": list(self.notes),
            "matomo_calls": self.calls,
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a run would do with one table: ``slices`` to ask, ``open`` of which no table has yet."""

    slices: int
    open: int
    first_day: date | None
    last_day: date | None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "slices": self.slices,
            "open": self.open,
            "first_day": str(self.first_day) if self.first_day else None,
            "last_day": str(self.last_day) if self.last_day else None,
        }


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a run would ask and write; ``calls`` is about the number of HTTP calls."""

    connector: str
    dataset: str
    mode: str
    sites: Sequence[str]
    tables: dict[str, TablePlan]
    calls: int
    problems: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "status": "planned",
            "connector": self.connector,
            "dataset": self.dataset,
            "mode": self.mode,
            "sites": list(self.sites),
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "slices": sum(table.slices for table in self.tables.values()),
            "matomo_calls": self.calls,
            "problems": list(self.problems),
        }
