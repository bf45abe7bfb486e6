"""How complete the tables of a connector are: what its configuration asks for, against what its runs have logged."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from matomo_fn.app.day_calendar import Calendar, read_calendar, stream_of
from matomo_fn.app.history import PastRun, newest_requests, newest_runs, past_run
from matomo_fn.app.logged_changes import changes_by_run, joined
from matomo_fn.app.read_log import never_synced, open_log
from matomo_fn.app.wiring import make_client, read_credentials
from matomo_fn.catalogue import EVENTS_LOG, SYNC_LOG, SYNC_QUALITY, SYNC_RUNS
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import read_request
from matomo_fn.config.settings import Settings
from matomo_fn.config.validation import shortened
from matomo_fn.days import ONE_DAY, Days, Range
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoError, TokenRefused
from matomo_fn.slices import Stream
from matomo_fn.sync.missing import sentences_of
from matomo_fn.sync.quality import STANDING_REASONS, QualityVerdict
from matomo_fn.sync.request_progress import RequestProgress
from matomo_fn.sync.scope import Scope, resolve_scope
from matomo_fn.warehouse import events_sql, log_sql, quality_sql, reference_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.schemas import missing_columns
from matomo_fn.warehouse.whole_rows import whole_rows

# How far behind UTC a site may be, and how far ahead of it.
_WESTERNMOST = timedelta(hours=12)
_EASTERNMOST = timedelta(hours=14)
_WEEK = timedelta(days=7)
# What runs of the log have, unless somebody has taken it out of their rows.
_REQUIRED = ("table_name", "website_id", "segment", "first_day", "last_day", "row_count", "last_run")
_MISSING = "no run has handled these days"
_REASONS = {
    "pending": "pending, since Matomo had not processed them",
    "failed": "failed",
    "open": "fetched before they had ended, and not since",
}


@dataclass(frozen=True, slots=True)
class TableStatus:
    """The state of one stream. Days are counted; of a stream of longer periods, these.

    ``first_day`` and ``last_day``: the dates of its first and last slice. ``gaps``: days that no run has handled,
    between the first day and the last or among those that the configuration asks for. ``visits_difference``: of the
    table visits, by how many visits its days differ from VisitsSummary.get, summed up. ``last_logged``: when the log
    got its newest row. ``open``: days that were fetched before they had ended, and not since; the present day is none.
    ``is_configured``: False for a table or site that the configuration no longer has.
    """

    stream: Stream
    first_day: date | None
    last_day: date | None
    days: int
    gaps: int
    rows: int
    pending: int
    failed: int
    visits_difference: int | None
    last_logged: datetime | None
    last_error: str | None
    is_configured: bool
    open: int = 0

    @property
    def missing(self) -> int:
        """Days that the table should have and has not, or not for certain."""
        return self.gaps + self.pending + self.failed + self.open

    @property
    def is_good(self) -> bool:
        """Whether nothing is missing that the configuration asks for."""
        return not (self.missing and self.is_configured)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        return {
            "table": self.stream.table,
            "website_id": self.stream.website_id,
            "segment": self.stream.segment,
            "period": str(self.stream.period),
            "is_configured": self.is_configured,
            "first_day": str(self.first_day) if self.first_day else None,
            "last_day": str(self.last_day) if self.last_day else None,
            "days": self.days,
            "gaps": self.gaps,
            "rows": self.rows,
            "pending": self.pending,
            "failed": self.failed,
            "open": self.open,
            "visits_difference": self.visits_difference,
            "last_logged": self.last_logged.isoformat(timespec="seconds") if self.last_logged else None,
            "last_error": self.last_error,
        }


@dataclass(frozen=True, slots=True)
class ReferenceStatus:
    """The state of a reference table; ``deleted``: how many of the rows Matomo no longer lists."""

    table: str
    rows: int
    deleted: int
    last_synced: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        synced = self.last_synced.isoformat(timespec="seconds") if self.last_synced else None
        return {"table": self.table, "rows": self.rows, "deleted": self.deleted, "last_synced": synced}


@dataclass(frozen=True, slots=True)
class EventsStatus:
    """How deliveries of events stand: the newest step, calls rejected in seven days, and calls that are uncertain."""

    last_delivery: datetime | None
    rejected: int
    uncertain: int

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        last = self.last_delivery.isoformat(timespec="seconds") if self.last_delivery else None
        return {"last_delivery": last, "rejected_in_7_days": self.rejected, "uncertain": self.uncertain}


@dataclass(frozen=True, slots=True)
class QualityStatus:
    """What checks of one kind and table last came to, on some days (`matomo_fn.sync.quality`).

    ``slices``: how many of site, segment and day; ``detail``: the sentence of one of them.
    """

    check: str
    table: str
    verdict: str
    reason: str | None
    slices: int
    sites: int
    first_day: date
    last_day: date
    detail: str | None

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        days = f"{self.first_day}" if self.first_day == self.last_day else f"{self.first_day} to {self.last_day}"
        slices = "1 slice" if self.slices == 1 else f"{self.slices} slices"
        sites = "1 site" if self.sites == 1 else f"{self.sites} sites"
        told = f": {self.detail}" if self.detail else ""
        return f"{self.table}, {slices} of {sites}, {days}: {self.check} {self.verdict} ({self.reason}){told}"

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        return {
            "check": self.check,
            "table": self.table,
            "verdict": self.verdict,
            "reason": self.reason,
            "slices": self.slices,
            "sites": self.sites,
            "first_day": str(self.first_day),
            "last_day": str(self.last_day),
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class QualitySummary:
    """What all checks last came to; ``findings``: what is not ok, but for what holds of a report on every day."""

    last_checked: datetime
    verdicts: Mapping[str, int]
    findings: Sequence[QualityStatus]

    def as_dict(self) -> dict[str, Any]:
        """Return the summary as JSON has it."""
        return {
            "last_checked": self.last_checked.isoformat(timespec="seconds"),
            **self.verdicts,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a connector; ``problems`` has a sentence for everything that is missing, ``notes`` for the rest.

    ``requests``: those of the last 31 days that were handed on in parts. ``calendar``: of every table and site of
    ``tables``, and of no others.
    """

    connector: str
    tables: Sequence[TableStatus]
    calendar: Calendar
    problems: Sequence[str]
    notes: Sequence[str] = ()
    last_run: PastRun | None = None
    reference: Sequence[ReferenceStatus] = ()
    events: EventsStatus | None = None
    last_sweep: PastRun | None = None
    requests: Sequence[RequestProgress] = ()
    quality: QualitySummary | None = None

    @property
    def is_good(self) -> bool:
        """Whether the tables have everything that the configuration asks for."""
        return not self.problems and all(table.is_good for table in self.tables)

    def as_dict(self) -> dict[str, Any]:
        """Return the status as JSON has it."""
        return {
            "connector": self.connector,
            "status": "complete" if self.is_good else "partial",
            "last_run": self.last_run.as_dict() if self.last_run else None,
            "last_sweep": self.last_sweep.as_dict() if self.last_sweep else None,
            "tables": [table.as_dict() for table in self.tables],
            "reference_tables": [table.as_dict() for table in self.reference],
            **({"events": self.events.as_dict()} if self.events else {}),
            **({"quality": self.quality.as_dict()} if self.quality else {}),
            **({"requests": [request.as_dict() for request in self.requests]} if self.requests else {}),
            "problems": list(self.problems),
            "notes": list(self.notes),
        }


def read_status(settings: Settings, name: str) -> Status:
    """Return the state of every table and site of a connector; raise NeverSynced where it never ran.

    Matomo's version and sites are requested, once, and the metadata and saved segments that the configuration names: a
    site's time zone, creation and access decide which days there should be. Where it does not answer, a note says so,
    and the log alone decides: from a site's first day in any table to the last day that has ended in every time zone.
    Days that a table does not keep are of no interest.
    """
    with open_log(settings, name) as (connector, warehouse):
        return status_of(settings, connector, warehouse)


def status_of(settings: Settings, connector: Connector, warehouse: Warehouse) -> Status:
    """Return the same of a warehouse that is open."""
    now = datetime.now(UTC)
    kept_from = _kept_from(connector, now)
    logged = _logged(warehouse, connector, kept_from)
    if not logged:
        raise never_synced(connector, warehouse)
    scope, problems, notes = _scope(settings, connector.name)
    logged = _without_present(logged, scope, now)
    asked_for = _expected(scope) if scope else _expected_by_log(connector, logged, now)
    expected = {stream: days.since(kept_from.get(stream.table, date.min)) for stream, days in asked_for.items()}
    tables = [
        _table_status(
            stream,
            logged.get(stream, []),
            expected.get(stream, Days()),
            is_configured=_is_configured(connector, scope, stream),
        )
        for stream in sorted(logged.keys() | expected.keys())
    ]
    problems += _gone_tables(warehouse, connector, logged)
    problems += sentences_of(_groups(tables, logged, expected))
    if scope is not None:
        problems += scope.lost_sites(_newest_days(logged))
    problems += sorted({shortened(table.last_error) for table in tables if table.last_error and not table.is_good})
    last_run = next(iter(newest_runs(warehouse, connector, 1)), None)
    missing = {
        table.stream: _gaps(_days_in(logged.get(table.stream, [])), expected.get(table.stream, Days()))
        if table.is_configured
        else Days()
        for table in tables
    }
    return Status(
        connector.name,
        tables,
        read_calendar(warehouse, connector, missing, kept_from, now),
        problems,
        notes,
        last_run,
        _reference(warehouse, connector),
        _events(warehouse, connector),
        _last_sweep(warehouse, connector) if last_run else None,
        newest_requests(warehouse, connector),
        _quality(warehouse, connector, kept_from),
    )


@dataclass(frozen=True, slots=True)
class _Logged:
    """Consecutive days of one stream in the same state: good, open, pending or failed.

    Open are those that were not over when they were fetched.
    """

    state: str
    days: Range
    rows: int
    visits_difference: int | None
    last_logged: datetime
    last_error: str | None


_Log = Mapping[Stream, Sequence[_Logged]]


def _without_present(logged: _Log, scope: Scope | None, now: datetime) -> _Log:
    """Return the log with days and periods that go on at their site as good: nothing is missing of them."""
    ended = {window.site.id: window.last for window in scope.windows} if scope else {}
    last = (now - _WESTERNMOST).date() - ONE_DAY
    return {
        stream: [
            part
            for run in runs
            for part in (
                _parts_of_open(run, stream, ended.get(stream.website_id, last)) if run.state == "open" else [run]
            )
        ]
        for stream, runs in logged.items()
    }


def _parts_of_open(run: _Logged, stream: Stream, ended: date) -> list[_Logged]:
    """Return open slices as those that have ended since, up to a last ended day, and those that go on."""
    goes_on = stream.period.first_day(ended + ONE_DAY)
    days = Days((run.days,))
    parts = [("open", days.before(goes_on)), ("good", days.since(goes_on))]
    found = [replace(run, state=state, days=part.ranges[0]) for state, part in parts if part]
    return [*(replace(part, rows=0) for part in found[:-1]), found[-1]]  # of all of them the rows are counted once


def _kept_from(connector: Connector, now: datetime) -> dict[str, date]:
    """Return the first day whose rows a table keeps, by the tables that do not keep all; one for all time zones."""
    today = (now + _EASTERNMOST).date()
    days = {table.name: connector.kept_from(table, today) for table in connector.catalogue.values()}
    return {name: day for name, day in days.items() if day is not None}


def _logged(warehouse: Warehouse, connector: Connector, kept_from: Mapping[str, date]) -> _Log:
    found: dict[Stream, list[_Logged]] = {}
    found_rows = warehouse.query(log_sql.status_of(warehouse.dataset, connector.name, kept_from))
    for row in whole_rows(found_rows, f"{warehouse.dataset}.{SYNC_LOG.name}", _REQUIRED):
        stream = stream_of(connector, row)
        if stream is None:
            continue
        found.setdefault(stream, []).append(
            _Logged(
                row["state"],
                (row["first_day"], stream.period.last_day(row["last_day"])),
                int(row["row_count"]),
                row["visits_difference"],
                row["last_run"],
                (row["last_error"] or "").strip() or None,
            )
        )
    return found


def _last_sweep(warehouse: Warehouse, connector: Connector) -> PastRun | None:
    """Return the newest sweep, with what all of its request's runs found changed: it may have taken several."""
    there = warehouse.find_table(SYNC_RUNS.name)
    missing = [column.name for column in missing_columns(SYNC_RUNS.columns, there.columns)] if there else []
    rows = warehouse.query(log_sql.last_sweep(warehouse.dataset, connector.name, without=missing))
    if not rows:
        return None
    (row,) = rows
    changes = joined(changes_by_run(warehouse, connector, [row["request_id"]]).values())
    return replace(past_run(row), changed=changes.slices, changes=changes)


def _reference(warehouse: Warehouse, connector: Connector) -> list[ReferenceStatus]:
    """Return the state of the reference tables that are there."""
    there = [table for table in connector.references if warehouse.find_table(table.name) is not None]
    rows = [row for table in there for row in warehouse.query(reference_sql.count_reference(warehouse.dataset, table))]
    return [
        ReferenceStatus(row["table_name"], row["row_count"], row["deleted_count"], row["last_synced_at"])
        for row in rows
    ]


def _events(warehouse: Warehouse, connector: Connector) -> EventsStatus | None:
    """Return how deliveries stand, or None where the connector has no events."""
    if connector.events is None:
        return None
    if warehouse.find_table(EVENTS_LOG.name) is None:
        return EventsStatus(None, 0, 0)
    now = datetime.now(UTC)
    since = events_sql.first_kept(now, connector.events.dedupe_days)
    statement = events_sql.deliveries_of(warehouse.dataset, connector.name, since, now, now - _WEEK)
    (row,) = warehouse.query(statement)
    return EventsStatus(row["last_logged"], row["rejected"], row["uncertain"])


def _quality(warehouse: Warehouse, connector: Connector, kept_from: Mapping[str, date]) -> QualitySummary | None:
    """Return what the checks last came to, or None where none was made."""
    if warehouse.find_table(SYNC_QUALITY.name) is None:
        return None
    found_rows = warehouse.query(quality_sql.summary_of(warehouse.dataset, connector.name, kept_from))
    required = ("check_name", "table_name", "verdict", "first_day", "last_checked")
    rows = list(whole_rows(found_rows, f"{warehouse.dataset}.{SYNC_QUALITY.name}", required))
    verdicts = {str(verdict): 0 for verdict in QualityVerdict}
    findings = []
    for row in rows:
        reason = row["reason"]
        if reason in STANDING_REASONS:
            continue
        verdicts[row["verdict"]] = verdicts.get(row["verdict"], 0) + row["slices"]
        if row["verdict"] != QualityVerdict.OK:
            of = (row[name] for name in ("slices", "sites", "first_day", "last_day", "detail"))
            findings.append(QualityStatus(row["check_name"], row["table_name"], row["verdict"], reason, *of))
    if not rows:
        return None
    findings.sort(key=lambda found: found.verdict != QualityVerdict.DIFFERS)
    return QualitySummary(max(row["last_checked"] for row in rows), verdicts, findings)


def _by_site(logged: _Log) -> dict[str, list[_Logged]]:
    found: dict[str, list[_Logged]] = {}
    for stream, runs in logged.items():
        found.setdefault(stream.website_id, []).extend(runs)
    return found


def _newest_days(logged: _Log) -> dict[str, date]:
    newest: dict[str, date] = {}
    for stream, runs in logged.items():
        last = max(stream.period.first_day(run.days[1]) for run in runs)
        newest[stream.website_id] = max(last, newest.get(stream.website_id, last))
    return newest


def _scope(settings: Settings, name: str) -> tuple[Scope | None, list[str], list[str]]:
    """Return what a sync of everything would be about; the problems of it, and notes."""
    try:
        credentials = read_credentials(settings, name)
        client = make_client(credentials, Deadline(), attempts=1)
        scope = resolve_scope(client, credentials.connector, read_request({"connector": name}), datetime.now(UTC))
    except (InputError, TokenRefused) as error:
        return None, list(error.sentences), []
    except MatomoError as error:
        return None, [], [f"compared with the log alone, since Matomo did not say which sites it has: {error}"]
    return scope, [*scope.missing_sites, *scope.missing_segments, *scope.refused_tables], []


def _expected_by_log(connector: Connector, logged: _Log, now: datetime) -> dict[Stream, Days]:
    last = (now - _WESTERNMOST).date() - ONE_DAY
    days = {stream: runs for stream, runs in logged.items() if stream.period.is_day}  # a year began before the site
    firsts = {site: min(run.days[0] for run in runs) for site, runs in _by_site(days).items()}
    default = last - timedelta(days=connector.backfill_days - 1)
    return {
        table.stream(site, segment): table.period.whole(Days.between(firsts.get(site, default), last))
        for site in connector.sites.known(firsts)
        for table in connector.catalogue.values()
        for segment in connector.segments_of(table)
    }


def _expected(scope: Scope) -> dict[Stream, Days]:
    return {stream: stream.period.whole(window.days) for window, stream in scope.streams()}


def _is_configured(connector: Connector, scope: Scope | None, stream: Stream) -> bool:
    selected = scope.has_site(stream.website_id) if scope else connector.sites.may_have(stream.website_id)
    # Of "reports": "all" Matomo alone says which tables there should be.
    if scope:
        return selected and stream.table in scope.tables
    return selected and (stream.table in connector.tables or connector.open_reports.every)


def _table_status(stream: Stream, runs: Sequence[_Logged], expected: Days, *, is_configured: bool) -> TableStatus:
    days = {state: _days_in(runs, state) for state in ("good", "pending", "failed", "open")}
    handled = days["good"] | days["pending"] | days["failed"] | days["open"]
    differences = [run.visits_difference for run in runs if run.visits_difference is not None]
    return TableStatus(
        stream,
        handled.first if handled else None,
        stream.period.first_day(handled.last) if handled else None,
        stream.period.count(handled),
        stream.period.count(_gaps(handled, expected)),
        sum(run.rows for run in runs),
        stream.period.count(days["pending"]),
        stream.period.count(days["failed"]),
        sum(differences) if differences else None,
        max((run.last_logged for run in runs), default=None),
        max((run.last_error for run in runs if run.last_error), default=None),
        is_configured,
        stream.period.count(days["open"]),
    )


def _days_in(runs: Iterable[_Logged], *states: str) -> Days:
    return Days.joined(run.days for run in runs if not states or run.state in states)


def _gaps(handled: Days, expected: Days) -> Days:
    between = Days.between(handled.first, handled.last) if handled else Days()
    return (between | expected) - handled


def _gone_tables(warehouse: Warehouse, connector: Connector, logged: _Log) -> list[str]:
    known = {stream.table for stream in logged}
    return [
        f"table {name} is not in dataset {warehouse.dataset}, although it has been synced: the next sync fills it again"
        for name in connector.tables
        if name in known and warehouse.find_table(name) is None
    ]


def _groups(
    tables: Iterable[TableStatus], logged: _Log, expected: Mapping[Stream, Days]
) -> dict[tuple[Days, str], list[Stream]]:
    groups: dict[tuple[Days, str], list[Stream]] = {}
    for table in tables:
        if table.is_good:
            continue
        stream = table.stream
        runs = logged.get(stream, [])
        parts = {reason: _days_in(runs, state) for state, reason in _REASONS.items()}
        parts[_MISSING] = _gaps(_days_in(runs), expected.get(stream, Days()))
        for reason, days in parts.items():
            if days:
                groups.setdefault((days, reason), []).append(stream)
    return groups
