"""The audit: does each table have exactly the rows that the log speaks of, over all time?

A run that dies between its merge and its look at the table may leave rows that stand twice, and one that dies before
it logs leaves rows that no log row speaks of. Somebody may also have deleted, inserted or doubled rows by hand. The
audit appends a pending row for each such slice, so that the next run refetches and rewrites it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import structlog

from matomo_fn.catalogue import SYNC_LOG, Catalogue, Table
from matomo_fn.days import Days
from matomo_fn.slices import Slice
from matomo_fn.sync.outcome import LogEntry, Run, Status
from matomo_fn.sync.state import SyncState
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp
from matomo_fn.warehouse.whole_rows import whole_rows

log = structlog.get_logger()

# Differences that a log event and the answer of a sweep name one by one.
_NAMED = 20
# Slices of one INSERT into the log.
_BATCH = 20_000


@dataclass(frozen=True, slots=True)
class Difference:
    """A slice of which the table has other rows than the log says.

    ``expected_rows``: None where the log has no row for the slice. ``expected_run``: None where the log names none.
    ``found_keys``: how many of the rows have a key of their own. ``found_runs``: none, one, or the first and last of
    several. ``is_due``: the next run refetches it in any case, since the log has it as pending or failed.
    """

    slice: Slice
    expected_rows: int | None
    expected_run: str | None
    found_rows: int
    found_keys: int
    found_runs: tuple[str, ...]
    is_due: bool

    @property
    def kind(self) -> str:
        """What differs, in a few words."""
        if self.expected_rows is None:
            return "rows without a log row"
        if len(self.found_runs) > 1:
            return "rows of several runs"
        if self.found_rows != self.expected_rows:
            return "another number of rows"
        if self.found_keys != self.found_rows:
            return "rows that stand twice"
        return "rows of another run"


@dataclass(frozen=True, slots=True)
class Finding:
    """Differences of one kind on days of one stream: the days, and the rows and runs expected and found of them all."""

    table: str
    website_id: str
    segment: str
    kind: str
    days: Days
    expected_rows: int | None
    found_rows: int
    found_keys: int
    expected_runs: tuple[str, ...]
    found_runs: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """What differs, for people."""
        segment = f", segment {self.segment}" if self.segment else ""
        expected = "none" if self.expected_rows is None else f"{self.expected_rows}{_of_runs(self.expected_runs)}"
        different = f", {self.found_keys} of them with a key of their own" if self.found_keys < self.found_rows else ""
        return (
            f"{self.table} of site {self.website_id}{segment}, {_spelled(self.days)}: {self.kind}; rows expected by "
            f"the log: {expected}, found: {self.found_rows}{_of_runs(self.found_runs)}{different}"
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON has it."""
        return {
            "table": self.table,
            "website_id": self.website_id,
            "segment": self.segment,
            "difference": self.kind,
            "days": [[str(first), str(last)] for first, last in self.days.ranges],
            "expected_rows": self.expected_rows,
            "found_rows": self.found_rows,
            "found_keys": self.found_keys,
            "expected_runs": list(self.expected_runs),
            "found_runs": list(self.found_runs),
        }


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What an audit found.

    ``tables``: the names of those that were compared; ``marked``: how many slices it has marked as pending.
    """

    connector: str
    run_id: str
    tables: Sequence[str]
    differences: Sequence[Difference]
    marked: int

    @property
    def is_consistent(self) -> bool:
        """Whether log and tables agree."""
        return not self.differences

    @property
    def findings(self) -> list[Finding]:
        """The differences by stream and kind."""
        grouped: dict[tuple[str, str, str, str], list[Difference]] = {}
        for found in self.differences:
            key = (found.slice.table, found.slice.website_id, found.slice.segment, found.kind)
            grouped.setdefault(key, []).append(found)
        return [_finding(key, found) for key, found in grouped.items()]

    def summary(self) -> dict[str, Any]:
        """Return the result with the first differences as sentences, as a log event has it."""
        sentences = [finding.sentence for finding in self.findings]
        whole = {key: value for key, value in self.as_dict().items() if key != "run_id"}
        return whole | {"differences": sentences[:_NAMED]}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        return {
            "status": "consistent" if self.is_consistent else "different",
            "connector": self.connector,
            "run_id": self.run_id,
            "tables": list(self.tables),
            "differences": [finding.as_dict() for finding in self.findings],
            "slices": len(self.differences),
            "marked_pending": self.marked,
        }


def audit(  # noqa: PLR0913 - the last two say what is marked
    warehouse: Warehouse,
    state: SyncState,
    tables: Catalogue,
    run: Run,
    now: datetime,
    *,
    mark: bool = True,
    is_refetched: Callable[[Difference], bool] = lambda _found: False,
) -> AuditResult:
    """Compare the log with the tables, by one query a table, and mark as pending what differs.

    ``mark=False``: only compare. ``is_refetched``: what need not be marked, since the run itself looks at it.
    A run that is writing meanwhile has not logged yet what it wrote: that is named too,
    and refetched once more.
    """
    differences: list[Difference] = []
    for table in tables.values():
        exists = warehouse.find_table(table.name) is not None
        statement = log_sql.differences(warehouse.dataset, state.connector.name, table, exists=exists)
        kept_from = state.connector.kept_from(table, now.date()) or date.min
        place = f"{warehouse.dataset}.{table.name} or {SYNC_LOG.name}"
        rows = whole_rows(warehouse.query(statement), place, ("date", "website_id", "segment"))
        segments = state.connector.segments_of(table)
        differences += [
            _difference(table, row) for row in rows if row["date"] >= kept_from and row["segment"] in segments
        ]
    due = [found for found in differences if not (found.is_due or is_refetched(found))]
    marked = [_pending(found, now) for found in due] if mark else []
    with temporary_folder() as folder:
        for number, start in enumerate(range(0, len(marked), _BATCH), 1):
            state.append(run, marked[start : start + _BATCH], folder, Stamp(run.id, number, now))
    return AuditResult(state.connector.name, run.id, list(tables), differences, len(marked))


def log_audit(result: AuditResult) -> None:
    """Log what came of an audit in one line: a WARNING where something differs."""
    tell = log.info if result.is_consistent else log.warning
    tell("audit_finished", **result.summary())


def _difference(table: Table, row: Mapping[str, Any]) -> Difference:
    runs = {row["first_run"], row["last_run"]} - {None}
    return Difference(
        table.stream(row["website_id"], row["segment"]).slice(row["date"]),
        row["logged_rows"],
        row["written_run_id"],
        row["found_rows"],
        row["found_keys"],
        tuple(sorted(runs)),
        is_due=row["status"] is not None and not Status(row["status"]).is_good,
    )


def _pending(found: Difference, now: datetime) -> LogEntry:
    """Return the entry that tells what the table has; without a hash, so that the next run writes Matomo's answer."""
    return LogEntry(
        found.slice,
        Status.PENDING,
        found.found_rows,
        None,
        has_others=False,
        is_final=False,
        written_run_id=found.found_runs[0] if len(found.found_runs) == 1 else None,
        error=f"the audit found {found.kind}: the next run refetches and rewrites the day",
        seen_at=now,
    )


def _finding(key: tuple[str, str, str, str], found: Sequence[Difference]) -> Finding:
    expected = [each.expected_rows for each in found if each.expected_rows is not None]
    return Finding(
        *key,
        found[0].slice.stream.period.covered(each.slice.date for each in found),
        sum(expected) if expected else None,
        sum(each.found_rows for each in found),
        sum(each.found_keys for each in found),
        tuple(sorted({each.expected_run for each in found if each.expected_run})),
        tuple(sorted({run for each in found for run in each.found_runs})),
    )


def _spelled(days: Days, most: int = 5) -> str:
    spelled = [f"{first}" if first == last else f"{first} to {last}" for first, last in days.ranges]
    rest = len(spelled) - most
    return ", ".join(spelled[:most]) + (f" and {rest} more stretches of days" if rest > 0 else "")


def _of_runs(runs: Sequence[str], most: int = 3) -> str:
    if not runs:
        return ""
    rest = len(runs) - most
    named = ", ".join(runs[:most]) + (f" and {rest} more" if rest > 0 else "")
    return f" of {'runs' if len(runs) > 1 else 'run'} {named}"
