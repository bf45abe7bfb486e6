"""The job: plan what is due, ask for it, shape, stage, merge and log it, within a time budget."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import structlog

from matomo_fn.catalogue import PREBUILT, Table
from matomo_fn.config import Connector
from matomo_fn.crew import Crew
from matomo_fn.deadline import Deadline
from matomo_fn.errors import TokenRefused, WarehouseError, WarehouseUnavailable
from matomo_fn.evidence import Evidence
from matomo_fn.ledger import Due, Ledger, Run, all_open
from matomo_fn.load import Loader
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.plan import Job, is_final, jobs_for
from matomo_fn.request import SyncRequest
from matomo_fn.result import RunResult, TableResult
from matomo_fn.scope import Scope, resolve_scope
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import ensure_table

log = structlog.get_logger()

# Failed slices that a result names one by one; all of them stand in _sync_log.
_NAMED_FAILURES = 20


# Is told the slices done and all there are.
Progress = Callable[[int, int], None]


def no_progress(_done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Session:
    """The parts that a run works with; ``now`` gives the time of day in UTC."""

    connector: Connector
    client: MatomoClient
    warehouse: Warehouse
    deadline: Deadline
    spool_bytes: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def ledger(self) -> Ledger:
        """The connector's log in the warehouse."""
        return Ledger(self.warehouse, self.connector)


@dataclass(slots=True)
class _Failures:
    """What went wrong on the way, as sentences."""

    slices: list[str] = field(default_factory=list)
    warehouse: list[WarehouseError] = field(default_factory=list)

    @property
    def slice_sentences(self) -> list[str]:
        rest = len(self.slices) - _NAMED_FAILURES
        more = [f"and {rest} more slices failed: _sync_log names them"] if rest > 0 else []
        return [*self.slices[:_NAMED_FAILURES], *more]


def sync(
    session: Session,
    request: SyncRequest,
    run: Run,
    progress: Progress = no_progress,
) -> RunResult:
    """Do what a request asks for and return what was done, also where some of it failed.

    Raises InputError, MatomoError where Matomo could not
    even say which sites it has, and WarehouseError where the log could not be read or written.
    """
    started = monotonic()
    scope = resolve_scope(session.client, session.connector, request, session.now())
    log.info("run_started", connector=session.connector.name, mode=request.mode, sites=len(scope.windows))
    results = {table.name: TableResult() for table in scope.tables}
    failures = _Failures()
    crew = Crew(session.client, scope.version, session.deadline, session.connector.concurrency)
    if scope.windows:
        tables = _prepare(session, scope, run, results, failures)
        due = find_due(session, request, scope, tables, run.request_id)
        _extract_and_load(session, request, scope, run, due, crew, results, failures, progress)
    return RunResult(
        session.connector.name,
        run.id,
        request.mode,
        [window.site.id for window in scope.windows],
        min((window.first for window in scope.windows), default=None),
        max((window.last for window in scope.windows), default=None),
        results,
        [*scope.missing_sites, *([str(crew.fatal)] if crew.fatal else []), *failures.slice_sentences],
        [str(error) for error in failures.warehouse],
        all(isinstance(error, WarehouseUnavailable) for error in failures.warehouse),
        isinstance(crew.fatal, TokenRefused),
        monotonic() - started,
        session.client.calls,
        missing_sites=len(scope.missing_sites),
    )


def find_due(session: Session, request: SyncRequest, scope: Scope, tables: Sequence[Table], request_id: str) -> Due:
    """Return the slices to ask: what the ledger does not know to be settled, or all of an explicit window.

    The tables and the ledger have to be there.
    """
    if not tables or not scope.windows:
        return Due()
    incremental = request.mode == "incremental" and request.start_date is None
    return session.ledger.due(tables, scope.windows, incremental=incremental, request_id=request_id)


def foresee_due(session: Session, request: SyncRequest, scope: Scope) -> Due:
    """Return the slices that a run would ask, without making anything ready for it."""
    there = [table for table in scope.tables if session.warehouse.find_table(table.name) is not None]
    if not there or not session.ledger.exists():
        return all_open(scope.tables, scope.windows)
    known = find_due(session, request, scope, there, request_id="")
    missing = all_open([table for table in scope.tables if table not in there], scope.windows)
    return Due({**known.open, **missing.open}, known.recheck, known.known)


def jobs_of(scope: Scope, tables: Sequence[Table], due: Due) -> list[Job]:
    """Return the jobs in the order in which they should run: first what no table has yet, then what is rechecked."""
    sites = [window.site for window in scope.windows]
    # The summary first: whether the other reports' empty days are to be believed is judged by it.
    ordered = sorted(tables, key=lambda table: table.name != "visits_summary")
    return [job for days in (due.open, due.recheck) for job in jobs_for(days, sites, ordered, scope.version)]


def _prepare(
    session: Session, scope: Scope, run: Run, results: dict[str, TableResult], failures: _Failures
) -> list[Table]:
    """Make dataset, log and tables ready and return the tables that can be written."""
    session.warehouse.ensure_dataset()
    ledger = session.ledger
    is_new = ledger.prepare()
    if not is_new:
        ledger.refuse_foreign(scope.tables, scope.windows)
    ready = []
    for table in scope.tables:
        try:
            if not is_new and session.warehouse.find_table(table.name) is None:
                # What the log says of it is no longer true; said so first, lest a run that dies here forgets it.
                ledger.void(table.name, run_id=run.id, at=session.now())
            ensure_table(session.warehouse, table.schema, session.connector.partition_by)
            ready.append(table)
        except WarehouseError as error:
            log.error("table_refused", table=table.name, error=str(error))
            results[table.name].error = str(error)
            failures.warehouse.append(error)
    return ready


def _extract_and_load(
    session: Session,
    request: SyncRequest,
    scope: Scope,
    run: Run,
    due: Due,
    crew: Crew,
    results: dict[str, TableResult],
    failures: _Failures,
    progress: Progress,
) -> None:
    now = session.now()
    sites = {window.site.id: window.site for window in scope.windows}
    believed = {
        site.id: Evidence(session.client, site, site.today(now) - timedelta(days=session.connector.trailing_days + 1))
        for site in sites.values()
    }
    for part in (due.open, due.recheck):
        for (table, _), days in part.items():
            results[table].left += len(days)
    total = due.slices
    tables = [table for table in scope.tables if results[table.name].error is None]
    pieces = crew.extract(jobs_of(scope, tables, due), believed)
    with tempfile.TemporaryDirectory(prefix="matomo_fn_") as folder:
        loader = Loader(
            session.warehouse,
            session.ledger,
            run,
            due.known,
            results,
            Path(folder),
            is_final=lambda piece: is_final(sites[piece.website_id], piece.date, session.connector, now),
            rewrite=request.mode == "full_refresh",
            spool_bytes=session.spool_bytes,
            now=session.now,
        )
        try:
            for done, piece in enumerate(pieces, 1):
                if piece.error:
                    failures.slices.append(piece.error)
                results[piece.slice.table].left -= 1
                loader.add(PREBUILT[piece.slice.table], piece)
                progress(done, total)
            loader.flush()
        finally:
            pieces.close()
            loader.discard()
            failures.warehouse += loader.errors
