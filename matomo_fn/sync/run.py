"""The job: plan what is due, ask for it, shape, stage, merge and log it, within a time budget."""

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import structlog

from matomo_fn.catalogue import (
    PAGES,
    TABLES,
    VISIT_ACTIONS,
    VISIT_ACTIONS_DESCRIPTION,
    VISITS,
    Table,
    visit_actions_columns,
)
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, TokenRefused, WarehouseError, WarehouseUnavailable
from matomo_fn.extract.archive_check import Evidence
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.reports import Extracted, VisitsOptions
from matomo_fn.extract.worker_pool import WorkerPool
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sync.load import Loader
from matomo_fn.sync.plan import is_final, jobs_for
from matomo_fn.sync.reach import ReachTracker
from matomo_fn.sync.result import RunResult, TableResult
from matomo_fn.sync.scope import Scope, resolve_scope
from matomo_fn.sync.state import Due, Run, SyncState, all_open
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import ensure_table, ensure_view

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
    buffer_bytes: int
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def state(self) -> SyncState:
        """The connector's log in the warehouse."""
        return SyncState(self.warehouse, self.connector)


def sync(session: Session, request: SyncRequest, run: Run, progress: Progress = no_progress) -> RunResult:
    """Do what a request asks for and return what was done, also where some of it failed.

    Raises InputError, MatomoError where Matomo could not even say which sites it has, and WarehouseError where the
    log could not be read or written.
    """
    scope = resolve_scope(session.client, session.connector, request, session.now())
    log.info("run_started", connector=session.connector.name, mode=request.mode, sites=len(scope.windows))
    execution = _Execution(session, request, scope, run)
    if scope.windows:
        tables = execution.prepare()
        due = find_due(session, request, scope, tables, run.request_id)
        execution.extract_and_load(tables, due, progress)
    return execution.result()


def find_due(session: Session, request: SyncRequest, scope: Scope, tables: Sequence[Table], request_id: str) -> Due:
    """Return the slices to ask: what the state does not know to be settled, or all of an explicit window.

    The tables and the state have to be there.
    """
    if not tables or not scope.windows:
        return Due()
    incremental = request.mode == "incremental" and request.start_date is None
    return session.state.due(
        tables, scope.windows, incremental=incremental, request_id=request_id, open_day_of=_open_day_of(session)
    )


def foresee_due(session: Session, request: SyncRequest, scope: Scope) -> Due:
    """Return the slices that a run would ask, without making anything ready for it."""
    there = [table for table in scope.tables if session.warehouse.find_table(table.name) is not None]
    if not there or not session.state.exists():
        return all_open(scope.tables, scope.windows, _open_day_of(session))
    known = find_due(session, request, scope, there, request_id="")
    absent = [table for table in scope.tables if table not in there]
    missing = all_open(absent, scope.windows, _open_day_of(session))
    return Due({**known.open, **missing.open}, known.recheck, known.known)


def jobs_of(scope: Scope, tables: Sequence[Table], due: Due) -> list[Job]:
    """Return the jobs in the order in which they should run: first what no table has yet, then what is rechecked.

    But the summary before everything: other jobs wait until it has told which days are empty and how many visits
    they had, and one that waited for a job behind it would wait for ever.
    """
    sites = [window.site for window in scope.windows]
    jobs = [job for days in (due.open, due.recheck) for job in jobs_for(days, sites, tables, scope.version)]
    return sorted(jobs, key=lambda job: all(table.name != "visits_summary" for table in job.tables))


def _open_day_of(session: Session) -> Collection[str]:
    """Return the tables that are also asked for the sites' present day."""
    visits = session.connector.visits
    return {VISITS.name} if visits and visits.intraday else ()


class _Execution:
    """One run, once it is known what it is about: its steps, and what came of them."""

    def __init__(self, session: Session, request: SyncRequest, scope: Scope, run: Run) -> None:
        self._session = session
        self._request = request
        self._scope = scope
        self._run = run
        self._started = monotonic()
        self._sites = {window.site.id: window.site for window in scope.windows}
        self._results = {table.name: TableResult() for table in scope.tables}
        self._fatal: MatomoFatal | None = None
        self._failed_slices: list[str] = []
        self._notes: dict[str, None] = {}
        self._warehouse_errors: list[WarehouseError] = []
        self._reach = ReachTracker((), (), (), {})

    def prepare(self) -> list[Table]:
        """Make dataset, log and tables ready and return the tables that can be written."""
        self._session.warehouse.ensure_dataset()
        state = self._session.state
        is_new = state.prepare()
        if not is_new:
            state.refuse_foreign(self._scope.tables, self._scope.windows)
        ready = []
        for table in self._scope.tables:
            try:
                self._prepare_table(state, table, is_new=is_new)
                ready.append(table)
            except WarehouseError as error:
                log.error("table_refused", table=table.name, error=str(error))
                self._results[table.name].error = str(error)
                self._warehouse_errors.append(error)
        return ready

    def extract_and_load(self, tables: Sequence[Table], due: Due, progress: Progress) -> None:
        """Ask for what is due and write it."""
        now = self._session.now()
        if self._request.start_date is None:
            ready = {table.name for table in tables}
            self._reach = ReachTracker(self._results, self._scope.windows, ready, due.open)
        for part in (due.open, due.recheck):
            for (table, _), days in part.items():
                self._results[table].left += len(days)
        with tempfile.TemporaryDirectory(prefix="matomo_fn_") as name:
            folder = Path(name)
            crew = self._crew(folder, now)
            loader = self._loader(folder, now, tables, due)
            slices = crew.extract(jobs_of(self._scope, tables, due), self._evidence(now))
            try:
                for done, slice_ in enumerate(slices, 1):
                    self._take(loader, slice_)
                    progress(done, due.slices)
                loader.flush()
            finally:
                slices.close()
                loader.discard()
                self._warehouse_errors += loader.errors
                self._fatal = crew.fatal

    def result(self) -> RunResult:
        """Return what was done."""
        windows = self._scope.windows
        fatal = [str(self._fatal)] if self._fatal else []
        return RunResult(
            self._session.connector.name,
            self._run.id,
            self._request.mode,
            list(self._sites),
            min((window.first for window in windows), default=None),
            max((window.last for window in windows), default=None),
            self._results,
            [*self._scope.missing_sites, *fatal, *self._slice_sentences()],
            [str(error) for error in self._warehouse_errors],
            all(isinstance(error, WarehouseUnavailable) for error in self._warehouse_errors),
            isinstance(self._fatal, TokenRefused),
            monotonic() - self._started,
            self._session.client.calls,
            list(self._notes),
            len(self._scope.missing_sites),
            self._reach.reach(),
        )

    def _prepare_table(self, state: SyncState, table: Table, *, is_new: bool) -> None:
        warehouse = self._session.warehouse
        if not is_new and warehouse.find_table(table.name) is None:
            # What the log says of it is no longer true; said so first, lest a run that dies here forgets it.
            state.void(table.name, run_id=self._run.id, at=self._session.now())
        ensure_table(warehouse, table.schema, self._session.connector.partition_by)
        if table is VISITS:
            ensure_view(
                warehouse,
                VISIT_ACTIONS,
                [column.name for column in visit_actions_columns()],
                sql.visit_actions_view(warehouse.dataset),
                VISIT_ACTIONS_DESCRIPTION,
            )

    def _crew(self, folder: Path, now: datetime) -> WorkerPool:
        connector = self._session.connector
        visits = VisitsOptions(connector.visits.exclude if connector.visits else (), folder, now)
        return WorkerPool(
            self._session.client, self._scope.version, self._session.deadline, connector.concurrency, visits
        )

    def _evidence(self, now: datetime) -> dict[str, Evidence]:
        trailing = timedelta(days=self._session.connector.trailing_days + 1)
        return {
            site.id: Evidence(self._session.client, site, site.today(now) - trailing) for site in self._sites.values()
        }

    def _loader(self, folder: Path, now: datetime, tables: Sequence[Table], due: Due) -> Loader:
        session = self._session
        return Loader(
            session.warehouse,
            session.state,
            self._run,
            due.known,
            self._results,
            folder,
            is_final=lambda slice_: is_final(self._sites[slice_.website_id], slice_.date, session.connector, now),
            rewrite=self._request.mode == "full_refresh",
            buffer_bytes=session.buffer_bytes,
            now=session.now,
            has_titles=self._has_titles(tables),
            logged=self._reach.note,
        )

    def _has_titles(self, tables: Sequence[Table]) -> bool:
        """Return whether pages and visits are both there, so that the one can have its titles from the other."""
        ready = {table.name for table in tables}
        connector = self._session.connector
        if connector.visits is None or PAGES not in connector.reports or not ready & {PAGES, VISITS.name}:
            return False
        return all(name in ready or self._session.warehouse.find_table(name) for name in (PAGES, VISITS.name))

    def _take(self, loader: Loader, slice_: Extracted) -> None:
        if slice_.error:
            self._failed_slices.append(slice_.error)
        if slice_.skipped:
            self._notes[slice_.skipped] = None
            self._reach.leave_out(slice_.slice)
        self._results[slice_.slice.table].left -= 1
        loader.add(TABLES[slice_.slice.table], slice_)

    def _slice_sentences(self) -> list[str]:
        rest = len(self._failed_slices) - _NAMED_FAILURES
        more = [f"and {rest} more slices failed: _sync_log names them"] if rest > 0 else []
        return [*self._failed_slices[:_NAMED_FAILURES], *more]
