"""What a run did, as its caller sees it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from matomo_fn.errors import MatomoFatal, TokenRefused, WarehouseError, WarehouseUnavailable
from matomo_fn.extract.extracted import Extracted
from matomo_fn.sync.audit import AuditResult
from matomo_fn.sync.changes import Changes
from matomo_fn.sync.hand_on import HandedOn
from matomo_fn.sync.missing import Missing
from matomo_fn.sync.outcome import LogEntry, Status
from matomo_fn.sync.plan import Due, Plan, Reason
from matomo_fn.sync.quality_result import QualityResult
from matomo_fn.sync.reach import Reach
from matomo_fn.sync.reference import ReferenceResult, ReferenceScope
from matomo_fn.verdict import Verdict


@dataclass(slots=True)
class TableResult:
    """What a run did with one table.

    ``rows`` are the rows written; ``written``, ``unchanged``, ``pending``, ``failed`` and ``remaining`` count slices (a
    slice is one period of one site and segment); ``days`` how many different dates were handled. ``seconds``: of
    extracting and writing.
    """

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    pending: int = 0
    failed: int = 0
    remaining: int = 0
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
            "remaining": self.remaining,
            "seconds": round(self.seconds, 2),
        }
        return values | ({"error": self.error} if self.error else {})


class Tally:
    """Counts what becomes of the slices of a plan, table by table; ``missing`` says which are not in the tables."""

    def __init__(self, tables: Iterable[str]) -> None:
        self.tables = {name: TableResult() for name in tables}
        self.changes = Changes()
        self._missing = Missing()
        self._lost_sites: Sequence[str] = ()

    @property
    def missing(self) -> list[str]:
        """Sentences about what the tables lack although nothing failed."""
        return [*self._lost_sites, *self._missing.sentences()]

    def hand_on(self) -> None:
        """Take what remains as handed on."""
        self._missing.hand_on()

    @property
    def remaining(self) -> int:
        """How many slices were not handled."""
        return sum(table.remaining for table in self.tables.values())

    @property
    def good(self) -> int:
        """How many slices the tables have now as Matomo answered them."""
        return sum(table.written + table.unchanged for table in self.tables.values())

    def expect(self, plan: Plan) -> None:
        """Take the slices of a plan as remaining."""
        self._missing.expect(plan)
        self._lost_sites = plan.lost_sites
        for due in plan.due:
            self.tables[due.stream.table].remaining += due.slices

    def extracted(self, extracted: Extracted) -> None:
        """Count a slice as handled, whatever became of it."""
        table = self.tables[extracted.slice.table]
        table.remaining -= 1
        self._missing.extracted(extracted)
        table.seconds += extracted.seconds
        table.handled.add(extracted.slice.date)

    def logged(self, entries: Iterable[LogEntry]) -> None:
        """Count what became of slices."""
        for entry in entries:
            table = self.tables[entry.slice.table]
            self.changes.note(entry)
            match entry.status:
                case Status.WRITTEN:
                    table.written += 1
                    table.rows += entry.row_count
                case Status.UNCHANGED:
                    table.unchanged += 1
                case Status.PENDING:
                    table.pending += 1
                case Status.FAILED:
                    table.failed += 1

    def undo(self, table: str, error: str) -> None:
        """Take back what was written of a table, which is not in it after all."""
        found = self.tables[table]
        found.remaining += found.written
        found.rows = found.written = 0
        self.changes.drop(table)
        found.error = error

    def wrote(self, seconds: Mapping[str, float]) -> None:
        """Add the time that writing took, by table."""
        for name, taken in seconds.items():
            self.tables[name].seconds += taken


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a run was about: whose, which, and the sites and days of its windows."""

    connector: str
    run_id: str
    mode: str
    sites: Sequence[str] = ()
    first_day: date | None = None
    last_day: date | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {
            "connector": self.connector,
            "run_id": self.run_id,
            "mode": self.mode,
            "sites": list(self.sites),
            "first_day": str(self.first_day) if self.first_day else None,
            "last_day": str(self.last_day) if self.last_day else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """What failed in a run.

    ``missing``: sentences on sites, segments and tables of the configuration that cannot be synced. ``fatal``: what
    ended all calls to Matomo. ``slices``: sentences on slices that failed. ``warehouse``: the errors of the warehouse,
    each once.
    """

    missing: Sequence[str] = ()
    fatal: MatomoFatal | None = None
    segments: Sequence[str] = ()
    slices: Sequence[str] = ()
    warehouse: Sequence[WarehouseError] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run did.

    ``seconds`` it took, and ``calls`` to Matomo. ``notes``: sentences on what was left out and is no failure.
    ``missing``: sentences on what the tables lack although nothing failed: pending and remaining slices, and sites that
    Matomo no longer lists. ``reach``: how far the tables reach. ``stopped_by``: the signal that told the run to end, if
    one did. ``reference``: what was done with the reference tables. ``changes``: final slices that Matomo had changed.
    ``audit``: what a sweep's audit of the tables found, before the sweep; None where there was none. ``quality``: what
    the checks of the trailing days found; None where there was no news to check. ``handed_on``: the parts of the
    request of that id that messages take. ``next_job``: where the next run of an equal request begins.
    """

    about: About
    tables: dict[str, TableResult]
    seconds: float
    calls: int
    failures: Failures = field(default_factory=Failures)
    notes: Sequence[str] = ()
    missing: Sequence[str] = ()
    reach: Reach = field(default_factory=Reach)
    stopped_by: str | None = None
    reference: Mapping[str, ReferenceResult] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    audit: AuditResult | None = None
    quality: QualityResult | None = None
    request_id: str = ""
    handed_on: Sequence[HandedOn] = ()
    next_job: str | None = None

    @property
    def matomo_errors(self) -> list[str]:
        """Sentences on what failed at Matomo."""
        fatal = [str(self.failures.fatal)] if self.failures.fatal else []
        return [*self.failures.missing, *fatal, *self.failures.slices]

    @property
    def warehouse_errors(self) -> list[str]:
        """Sentences on what failed in the warehouse."""
        return [str(error) for error in self.failures.warehouse]

    @property
    def token_refused(self) -> bool:
        """Whether Matomo refused the token, which is then not sent again."""
        return isinstance(self.failures.fatal, TokenRefused)

    @property
    def verdict(self) -> Verdict:
        """Whether the tables have everything that was due, lack something, or something failed."""
        if self.stopped_by and self._has_remaining():
            return Verdict.STOPPED
        if self.matomo_errors or self.warehouse_errors:
            return Verdict.FAILED
        if self.handed_on:
            return Verdict.HANDED_ON
        return Verdict.PARTIAL if self.missing or self._has_remaining() else Verdict.COMPLETE

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended the run, also where nothing remains."""
        return self.stopped_by is not None

    @property
    def may_succeed_later(self) -> bool:
        """Whether the same request does more if it is repeated at once.

        Not where only the user can fix what is wrong, not where messages take the rest, and not where days are pending:
        Matomo processes them by a schedule of its own, within hours, and the next scheduled run requests them.
        """
        if self.token_refused or self.handed_on or self.verdict is Verdict.COMPLETE:
            return False
        return (
            bool(self.failures.warehouse)
            or len(self.matomo_errors) > len(self.failures.missing)
            or self._has_remaining()
        )

    def _has_remaining(self) -> bool:
        return any(table.remaining for table in self.tables.values())

    @property
    def http_status(self) -> int:
        """The status of an HTTP answer.

        A partial run is 200: a scheduler that repeats whatever is no success would repeat it within minutes. The
        warehouse's failures weigh more than Matomo's, since those are refetched anyway. A refused token is the
        caller's to fix, and must not be sent again.
        """
        if self.token_refused:
            return 400
        if self.failures.warehouse:
            can_wait = all(isinstance(error, WarehouseUnavailable) for error in self.failures.warehouse)
            return 503 if can_wait else 500
        if self.matomo_errors:
            return 502
        return {Verdict.STOPPED: 503, Verdict.HANDED_ON: 202}.get(self.verdict, 200)

    def _notes_on_stop(self) -> list[str]:
        if self.verdict is not Verdict.STOPPED:
            return []
        remaining = sum(table.remaining for table in self.tables.values())
        unwritten = " but for what the errors name" if self.failures.warehouse else ""
        return [
            f"stopped by {self.stopped_by}: what was fetched is written{unwritten}, and {remaining} slices remain for "
            "the next run"
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "status": str(self.verdict),
            **self.about.as_dict(),
            **self.reach.as_dict(),
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "reference_tables": {name: table.as_dict() for name, table in self.reference.items()},
            "changed_slices": self.changes.slices,
            "changed": self.changes.as_dicts(),
            **({"audit": self.audit.summary()} if self.audit else {}),
            "quality": self.quality.summary() if self.quality else None,
            "errors": [*self.matomo_errors, *self.warehouse_errors],
            "missing": list(self.missing),
            "notes": [*self.notes, *self._notes_on_stop()],
            "matomo_calls": self.calls,
            "seconds": round(self.seconds, 2),
            **self._as_handed_on(),
        }

    def _as_handed_on(self) -> dict[str, Any]:
        if not self.handed_on:
            return {}
        return {"request_id": self.request_id, "handed_on": [each.as_dict() for each in self.handed_on]}


@dataclass(frozen=True, slots=True)
class TablePlan:
    """What a run would do with one table: the slices due by reason, and the days that they lie between."""

    slices: int
    by_reason: Mapping[Reason, int]
    first_day: date | None
    last_day: date | None

    @property
    def open(self) -> int:
        """How many of the slices no table has yet."""
        return sum(count for reason, count in self.by_reason.items() if reason.is_open)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "slices": self.slices,
            "open": self.open,
            "reasons": {str(reason): count for reason, count in self.by_reason.items()},
            "first_day": str(self.first_day) if self.first_day else None,
            "last_day": str(self.last_day) if self.last_day else None,
        }


@dataclass(frozen=True, slots=True)
class PlanResult:
    """What a run would extract and write, as its caller sees it."""

    connector: str
    dataset: str
    mode: str
    plan: Plan
    reference: ReferenceScope

    @property
    def calls(self) -> int:
        """About how many HTTP calls the run takes, those for reference tables among them."""
        return self.plan.calls + self.reference.calls

    @property
    def sites(self) -> list[str]:
        """The sites that would be synced."""
        return [window.site.id for window in self.plan.scope.windows]

    @property
    def tables(self) -> dict[str, TablePlan]:
        """What would be done with each table."""
        return {name: _table_plan(self.plan.of_table(name)) for name in self.plan.scope.tables}

    @property
    def problems(self) -> Sequence[str]:
        """Sentences about sites, segments and tables that cannot be synced, or no longer."""
        scope = self.plan.scope
        return [*scope.missing_sites, *scope.missing_segments, *scope.refused_tables, *self.plan.lost_sites]

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON has it."""
        return {
            "status": "planned",
            "connector": self.connector,
            "dataset": self.dataset,
            "mode": self.mode,
            "sites": self.sites,
            "tables": {name: table.as_dict() for name, table in self.tables.items()},
            "reference_tables": [table.name for table in self.reference.tables],
            "slices": self.plan.slices,
            "matomo_calls": self.calls,
            "problems": list(self.problems),
        }


def _table_plan(due: Sequence[Due]) -> TablePlan:
    counts: dict[Reason, int] = {}
    for found in due:
        counts[found.reason] = counts.get(found.reason, 0) + found.slices
    return TablePlan(
        sum(counts.values()),
        counts,
        min((found.days.first for found in due), default=None),
        max((found.days.last for found in due), default=None),
    )
