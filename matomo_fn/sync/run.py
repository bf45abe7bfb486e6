"""A run: make the tables ready, plan what is due, extract it, write and log it, within a time budget."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.config.request import SyncRequest
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, OutOfTime, Stopped, WarehouseError, WarehouseUnavailable
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext, Extracted, KeptRows, nobody
from matomo_fn.extract.extractor import extract
from matomo_fn.extract.reports import make_schedule
from matomo_fn.extract.worker_pool import WorkerPool
from matomo_fn.slices import Slice
from matomo_fn.sync.audit import AuditResult, audit, log_audit
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.findings import Findings
from matomo_fn.sync.late_counts import LateCounts
from matomo_fn.sync.load import Loader
from matomo_fn.sync.order import Reached
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, Run, outcome_of
from matomo_fn.sync.plan import Plan, make_plan
from matomo_fn.sync.purged import KeptDays, Purged, kept_rows, purged_reports, purged_visits
from matomo_fn.sync.quality_of_run import QualityOfRun
from matomo_fn.sync.reach import Reach, ReachTracker
from matomo_fn.sync.reference import ReferenceOutcome, reference_scope, sync_reference
from matomo_fn.sync.request_parts import RequestParts
from matomo_fn.sync.request_progress import finish_request
from matomo_fn.sync.result import About, Failures, RunResult, Tally
from matomo_fn.sync.runs import RunRecords
from matomo_fn.sync.scope import Scope, is_final, is_open, resolve_scope
from matomo_fn.sync.session import Session
from matomo_fn.sync.state import Snapshot, SyncState
from matomo_fn.sync.sweep import Sweep, audits, is_refetched
from matomo_fn.sync.target_tables import TargetTables
from matomo_fn.sync.write import Writer
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.warehouse.tables import Stamp

log = structlog.get_logger()

# Seconds that fetched slices wait at most: what a crash may lose. Not less, since a flush costs BigQuery a load job and
# a merge for each table, and a row that comes often is merged as often.
_FLUSH_EVERY = 300.0

# Is told the slices done, all there are (first with the plan), and what is being done: a table and site, or a step.
Progress = Callable[[int, int, str], None]


def no_progress(_done: int, _total: int, _at: str) -> None:
    """Tell nobody."""


def sync(session: Session, request: SyncRequest, run: Run, progress: Progress = no_progress) -> RunResult:
    """Do what a request asks for and return what was done, also where some of it failed.

    Raises InputError, MatomoError where Matomo could not even say which sites it has, and WarehouseError where the
    log could not be read or written.
    """
    scope = resolve_scope(session.client, session.connector, request, session.now())
    run = replace(run, logs_everything=request.logs_everything)
    log.info("run_started", connector=session.connector.name, mode=request.mode, sites=len(scope.windows))
    execution = _Execution(session, request, scope, run)
    if not scope.windows:
        return execution.result()
    with _stoppable(session.deadline):
        plan = execution.plan()
    if not execution.parts.was_handed_on():
        if request.part is None:
            execution.sync_reference()
        if not execution.hand_out(plan):
            execution.execute(plan, progress)
            execution.hand_on_rest(plan)
    result = execution.result()
    execution.record(result)
    if request.part and not result.handed_on:
        finish_request(session, request, run, plan_sync)
    return result


@contextmanager
def _stoppable(deadline: Deadline) -> Iterator[None]:
    """Raise Stopped where the warehouse has no time left for the block since the run was interrupted."""
    try:
        yield
    except WarehouseUnavailable as error:
        if deadline.interrupted_by:
            raise Stopped(str(error)) from None
        raise


def plan_sync(session: Session, request: SyncRequest) -> Plan:
    """Return what a run of a request would do, without making anything ready for it.

    Of Matomo the version and sites are requested, and what the configuration needs to be understood: metadata of custom
    reports and the saved segments; no report.
    """
    scope = resolve_scope(session.client, session.connector, request, session.now())
    there: list[str] = []
    changed: Sequence[str] = ()
    state = session.state_of(scope.segments)
    if state.exists():
        there = [name for name in scope.tables if session.warehouse.find_table(name) is not None]
        changed = state.changed_segments(scope.windows) if scope.windows else ()
    return _plan(session, request, scope, there, changed_segments=changed)


def _plan(  # noqa: PLR0913 - the last ones are what a run knows and a dry run does not
    session: Session,
    request: SyncRequest,
    scope: Scope,
    there: list[str],
    request_id: str = "",
    changed_segments: Sequence[str] = (),
    begin_with: str | None = None,
) -> Plan:
    """Return the plan of a scope; ``there`` are the tables that exist, the log among them where it is not empty.

    ``changed_segments``: those whose slices a run would mark as pending first. ``begin_with``: the job to begin with.
    """
    snapshot = Snapshot()
    if there and scope.windows:
        incremental = request.reads_older
        tables = tables_as_found(session.warehouse, scope.tables.select(there))
        only_sites = request.part is not None
        snapshot = session.state.read(tables, scope.windows, incremental=incremental, only_sites=only_sites)
        snapshot = snapshot.with_changed(changed_segments)
    return make_plan(
        scope,
        snapshot,
        intraday_tables=[name for name, table in scope.tables.items() if session.connector.is_intraday(table)],
        request_id=request_id,
        begin_with=begin_with,
    )


def _known_rows(plan: Plan, slice_: Slice) -> int | None:
    known = plan.known.get(slice_)
    return known.row_count if known and known.status.is_good else None


class _Execution:
    """One run, once it is known what it is about: its steps, and what came of them."""

    def __init__(self, session: Session, request: SyncRequest, scope: Scope, run: Run) -> None:
        self._session = session
        self._request = request
        self._scope = scope
        self._run = run
        self._started = self._flushed = session.clock()
        self._now = session.now()
        self._sites = {window.site.id: window.site for window in scope.windows}
        self._tally = Tally(scope.tables)
        self._tables = TargetTables(session, request, scope, run, self._tally)
        self._findings = Findings()
        self._fatal: MatomoFatal | None = None
        self._warnings: Sequence[str] = ()
        self._kept = KeptDays()
        self._warehouse_errors: list[WarehouseError] = []
        self._reach: ReachTracker | None = None
        self._late_counts: LateCounts | None = None
        self._state = session.state_of(scope.segments)
        self._reference = ReferenceOutcome()
        self._records = RunRecords(session.warehouse, session.connector, request, run)
        self.parts = RequestParts(session, request, run, self._records, self._tally)
        self._next_job: str | None = None
        self._known: Mapping[Slice, KnownSlice] = {}
        self._audit: AuditResult | None = None
        self._sweep: Sweep | None = None
        self._quality = QualityOfRun(session, scope, run) if session.connector.quality_checks else None

    def plan(self) -> Plan:
        """Make dataset, log and tables ready and return what is due in those that can be written."""
        session, scope, state = self._session, self._scope, self._state
        session.warehouse.ensure_dataset()
        self._warnings = session.warehouse.dataset_warnings()
        is_new = state.prepare()
        if not is_new:
            state.refuse_foreign(scope.tables or session.connector.catalogue, scope.windows)
            state.refuse_other_definitions(scope.windows)
            for segment in state.changed_segments(scope.windows):
                log.info("segment_changed", segment=segment)
                state.invalidate_segment(segment, self._run)
        ready = self._tables.prepare(state, is_new=is_new)
        there = [name for name in ready if self._tables.is_there(name)]
        if audits(self._request) and self._request.part is None:
            self._audit_tables(state, there)
        begin_with = self._records.next_job()
        return _plan(
            session, self._request, scope.only(ready), there, request_id=self._run.request_id, begin_with=begin_with
        )

    def hand_out(self, plan: Plan) -> bool:
        """Publish a plan that is too large for this run in shards, and return whether it is; a run does the others."""
        return not self._fatal and self.parts.hand_out(plan)

    def hand_on_rest(self, plan: Plan) -> None:
        """Publish what there was no time for as a message, where the run's time alone ended it."""
        if isinstance(self._fatal, OutOfTime | None) and not self._session.deadline.interrupted_by:
            self.parts.hand_on_rest(plan)

    def record(self, result: RunResult) -> None:
        """Append the run's own row; without it the run has nevertheless done its work."""
        session = self._session
        try:
            with session.deadline.logging():
                self._records.end(result, session.now())
        except WarehouseError as error:
            log.warning("run_not_recorded", error=str(error))

    def _audit_tables(self, state: SyncState, there: list[str]) -> None:
        """Compare the log with the tables, so that the sweep also writes what differs before its window."""
        session = self._session
        tables = tables_as_found(session.warehouse, self._scope.tables.select(there))
        now = session.now()
        # By a name of its own: it names staging tables and jobs, and those of the run are numbered from 1 as well.
        run = replace(self._run, id=f"{self._run.id}_audit", started_at=now)
        refetched = partial(is_refetched, {window.site.id: window.days for window in self._scope.windows})
        self._audit = audit(session.warehouse, state, tables, run, now, is_refetched=refetched)
        log_audit(self._audit)
        # What the run says of slices that it does not write was read after that.
        self._run = replace(self._run, started_at=session.now())

    def sync_reference(self) -> None:
        """Bring the reference tables up to date; what fails there costs nothing else, unless it ends the run."""
        session = self._session
        stamp = Stamp(self._run.id, 0, session.now())
        scope = reference_scope(session.connector, self._request, self._scope.visible, self._scope.sites)
        if not scope.tables:
            return
        try:
            with _stoppable(session.deadline):
                self._reference = sync_reference(session.client, session.warehouse, session.connector, scope, stamp)
        except MatomoFatal as error:
            self._fatal = error
        except Exception as error:  # noqa: BLE001 - it costs these tables, and the run goes on
            reason = note_unforeseen(error, tables=", ".join(table.name for table in scope.tables))
            self._reference = ReferenceOutcome(matomo_errors=[reason])

    def execute(self, plan: Plan, progress: Progress) -> None:
        """Extract what is due and write it, until all is done or the deadline allows no more."""
        self._tally.expect(plan)
        self._known = plan.known
        if self._request.mode == "sweep":
            self._sweep = Sweep(plan, self._now)
        elif self._request.tells_reach and self._request.part is None:
            self._reach = ReachTracker(self._scope, plan)
        if self._request.part:
            self._records.begin(self._session.now())
        deadline = self._session.deadline
        pool = WorkerPool(self._session.connector.concurrency, deadline)
        with temporary_folder() as folder:
            context = self._extract_context(folder, plan)
            with _stoppable(deadline):
                writer = self._writer(plan, folder)
            logs = [table for table in self._session.connector.catalogue.values() if table.is_log]
            self._late_counts = LateCounts(self._state, logs, plan, context.checks)
            may_be_repeated = self._run.request_id != self._run.id or self._session.fan_out is not None
            if may_be_repeated and not self._sweep:  # which knows itself what it has not logged
                writer.keep_quiet()
            reached = Reached(partial(extract, context), deadline)
            done, total = 0, plan.slices  # counted once: a plan of many sites has many streams
            progress(done, total, "requesting")
            try:
                schedule = make_schedule(context, (job for jobs in plan.phases for job in jobs))
                with closing(pool.run(schedule, reached)) as slices:
                    for extracted in slices:
                        if extracted is not None:
                            self._take(writer, plan, extracted)
                            done += 1
                            slice_ = extracted.slice
                            progress(done, total, slice_.stream.described.removesuffix(","))
                        self._flush_if_due(writer)
                progress(done, total, "writing")
                self._flush(writer)
                self._log_progress(writer)
                if self._tally.remaining and not deadline.interrupted_by:
                    writer.log_quiet(deadline.logging)
                for name in self._tables.rebuilt:
                    self._tables.finish_rebuild(writer, name)
                self._next_job = reached.next_job(plan.phases)
                self._check_quality(context.checks)
            finally:
                writer.discard()
                self._fatal = pool.fatal or self._fatal

    def result(self) -> RunResult:
        """Return what was done."""
        session, windows = self._session, self._scope.windows
        return RunResult(
            about=About(
                connector=session.connector.name,
                run_id=self._run.id,
                mode=self._request.mode,
                sites=list(self._sites),
                first_day=min((window.first for window in windows), default=None),
                last_day=max((window.last for window in windows), default=None),
            ),
            tables=self._tally.tables,
            seconds=session.clock() - self._started,
            calls=session.client.calls,
            failures=Failures(
                missing=(
                    *self._scope.missing_sites,
                    *self._scope.refused_tables,
                    *self._scope.missing_segments,
                    *self._findings.refused_segments,
                ),
                fatal=self._fatal,
                slices=[*self._findings.failures, *self._reference.matomo_errors],
                warehouse=[*self._tables.errors, *self._warehouse_errors, *self._reference.warehouse_errors],
            ),
            notes=[
                *session.connector.missing_titles,
                *self._scope.left_out,
                *self._warnings,
                *self._findings.left_out,
                *self._kept.sentences(),
                *self._findings.unreadable,
                *self._tables.notes,
                *self._reference.notes,
                *self.parts.problems,
            ],
            reference=self._reference.tables,
            changes=self._tally.changes,
            audit=self._audit,
            quality=self._quality.result if self._quality else None,
            missing=self._tally.missing,
            reach=self._reach.reach() if self._reach else Reach(),
            stopped_by=session.deadline.interrupted_by,
            request_id=self._run.request_id,
            handed_on=self.parts.handed_on,
            next_job=self._next_job,
        )

    def _extract_context(self, folder: Path, plan: Plan) -> ExtractContext:
        return replace(
            self._session.extract_context(folder, self._scope.version, self._now),
            columns=self._tables.columns,
            kept_rows=partial(self._kept_rows, plan),
            known_rows=partial(_known_rows, plan),
            reads_visits=self._sweep.reads_visits if self._sweep else None,
            parsed=self._sweep.parsed if self._sweep else nobody,
        )

    def _writer(self, plan: Plan, folder: Path) -> Writer:
        """Return what writes; pages get titles where they and their visits are both there, one of them in the plan."""
        session, planned = self._session, plan.scope.tables
        warehouse = session.warehouse
        titled = [
            pages
            for pages in session.connector.catalogue.titled
            if not session.connector.missing_titles
            and (pages.name in planned or pages.titles_from in planned)
            and all(name in planned or warehouse.find_table(name) for name in (pages.name, pages.titles_from))
        ]
        loader = Loader(warehouse, plan.known, titled, self._tables.closed)
        writer = Writer(loader, self._state, self._run, folder, buffer_bytes=session.buffer_bytes, now=session.now)
        writer.hold(self._tables.rebuilt)
        return writer

    def _take(self, writer: Writer, plan: Plan, extracted: Extracted) -> None:
        slice_ = extracted.slice
        table, known = self._scope.tables[slice_.table], plan.known.get(slice_, UNKNOWN)
        site = self._sites[slice_.website_id]
        final = is_final(site, slice_, self._session.connector, self._now)
        opened = is_open(site, slice_, self._now)
        purged = self._purged(table, extracted, known, is_final=final)
        self._tally.extracted(purged.seen(extracted) if purged else extracted)
        self._findings.note(extracted)
        if extracted.skipped:
            if self._reach:
                self._reach.leave_out(extracted.slice)
            return
        rewrite = self._request.mode == "full_refresh"
        try:
            entry = outcome_of(extracted, known, self._run, is_final=final, rewrite=rewrite, is_open=opened)
            if purged:
                entry = purged.kept(entry, known, self._run)
                self._kept.note(slice_, purged)
            if self._late_counts:
                self._late_counts.note(entry, known)
            if self._sweep:
                entry = self._sweep.judged(entry, known)
                self._sweep.note(entry)
                for mark in self._sweep.follow_ups(entry):
                    writer.amend(replace(mark, seen_at=self._run.started_at - timedelta(microseconds=1)))
            writer.add(table, entry, extracted.content)
        except WarehouseError:
            raise
        except Exception as error:  # noqa: BLE001 - it costs this slice, and the run goes on
            reason = note_unforeseen(error, site=slice_.website_id, table=slice_.table, day=str(slice_.date))
            failed = Extracted.failed(slice_, reason)
            self._findings.note(failed)
            entry = outcome_of(failed, known, self._run, is_final=final, rewrite=rewrite, is_open=opened)
            writer.add(table, entry, None)

    def _purged(self, table: Table, extracted: Extracted, known: KnownSlice, *, is_final: bool) -> Purged | None:
        """Return what is to be said of a slice of which the table has more than Matomo; None of any other."""
        if self._overwrites(table):
            return None
        if extracted.is_purged:
            return purged_reports(known)
        today = self._sites[extracted.slice.website_id].today(self._now)
        return purged_visits(table, extracted, known, is_final=is_final, today=today)

    def _kept_rows(self, plan: Plan, slice_: Slice) -> KeptRows | None:
        """Return what a table has of a slice whose reports Matomo may have deleted, and is not to lose."""
        if self._overwrites(self._scope.tables[slice_.table]):
            return None
        return kept_rows(plan.known, slice_, self._sites[slice_.website_id].today(self._now))

    def _overwrites(self, table: Table) -> bool:
        """Whether a request says that it wants what Matomo has of a table, also where that is less."""
        return self._request.mode == "full_refresh" and table.name in (self._request.tables or ())

    def _check_quality(self, checks: ArchiveChecks) -> None:
        """Check the trailing days by what was fetched and what the tables have; the run is as good without that."""
        deadline = self._session.deadline
        if self._quality is None or not deadline.allows_requests():
            return
        try:
            self._quality.check(checks)
        except WarehouseError as error:
            log.warning("quality_not_checked", error=str(error))
        except Exception as error:  # noqa: BLE001 - it costs the checks, and the run has done its work
            log.warning("quality_not_checked", error=note_unforeseen(error))

    def _log_progress(self, writer: Writer) -> None:
        """Log what a sweep that is cut off found unchanged, so that its next delivery goes on where it stopped."""
        if self._sweep and any(table.remaining for table in self._tally.tables.values()):
            for entry in self._sweep.unlogged():
                writer.amend(replace(entry, seen_at=self._run.started_at))
                if writer.is_full:
                    self._flush(writer)
            self._flush(writer)

    def _flush_if_due(self, writer: Writer) -> None:
        if writer.is_full or self._session.clock() - self._flushed >= _FLUSH_EVERY:
            self._flush(writer)

    def _flush(self, writer: Writer) -> None:
        """Write and log everything that waits; raise WarehouseError where the log itself cannot be written."""
        if self._late_counts:
            for entry in self._late_counts.take():
                writer.amend(entry)
        deadline, waiting = self._session.deadline, writer.waiting
        try:
            with deadline.writing():
                loaded = writer.flush(deadline.logging)
        except WarehouseError as error:
            if deadline.interrupted_by:
                raise type(error)(
                    f"stopped by {deadline.interrupted_by}, and {waiting} slices that were fetched are not logged: the "
                    f"next run fetches them again. {error}"
                ) from None
            raise
        self._flushed = self._session.clock()
        self._warehouse_errors += loaded.errors
        self._tally.logged(loaded.entries)
        if self._reach:
            self._reach.note(loaded.entries)
        if self._quality:
            self._quality.note(loaded.entries, self._known)
        self._tally.wrote(loaded.seconds)
