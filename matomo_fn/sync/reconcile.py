"""Reconciliation: the tables beside Matomo's own totals, site by site and day by day.

What Matomo counts is requested by ranges, and what the tables have is counted by one query. Then some days are fetched
again and compared row by row: a sample, and the days on which something differs, so that its cause can be told.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import structlog

from matomo_fn.catalogue import Catalogue, Table, visits_column
from matomo_fn.config.request import SAMPLE_DAYS, SyncRequest
from matomo_fn.days import Days
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.day_counts import Conversions, FoundCounts, request_counts, with_next_day
from matomo_fn.sync.outcome import KnownSlice, Run
from matomo_fn.sync.quality import DayCounts, Logged, Look, Quality, Reason, Totals, judge, refetched, resolve
from matomo_fn.sync.quality_result import QualityResult, Sample, log_quality
from matomo_fn.sync.quality_table import write_quality
from matomo_fn.sync.scope import Scope, Window, resolve_scope
from matomo_fn.sync.second_answers import SecondAnswers
from matomo_fn.sync.session import Session
from matomo_fn.warehouse import quality_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.quality_sql import CountedTable
from matomo_fn.warehouse.tables import Stamp

log = structlog.get_logger()

# Slices that are in memory at once, and sites that one statement names.
_MOST_SLICES, MOST_SITES = 100_000, 500
# Slices in which something differs that are refetched: a call of Matomo, or a part of one, each.
_MOST_SUSPECTS = 200
# The types of a column with numbers, as GoogleSQL writes them.
_NUMBERS = ("INT64", "FLOAT64", "NUMERIC")


def reconcile(session: Session, request: SyncRequest, run: Run) -> QualityResult:
    """Compare what a request is about with Matomo, write what was found, and return it.

    Raises InputError, MatomoError where Matomo did not say which sites it has or refused the token, and WarehouseError.
    """
    started = session.clock()
    scope = resolve_scope(session.client, session.connector, request, session.now())
    result = QualityResult(session.connector.name, run.id, errors=[*scope.missing_sites, *scope.refused_tables])
    if scope.windows:
        _Reconciliation(session, scope, run, result).run(request)
    result.calls = session.client.calls
    result.seconds = session.clock() - started
    log_quality(result)
    return result


@dataclass(slots=True)
class _Batch:
    """Some sites, with what is known of them; ``found``: what the checks say."""

    windows: tuple[Window, ...]
    known: Mapping[Slice, KnownSlice]
    counts: FoundCounts
    totals: Mapping[Slice, Totals]
    conversions: Conversions | None
    found: list[Quality] = field(default_factory=list)


class _Reconciliation:
    """One reconciliation, once it is known what it is about."""

    def __init__(self, session: Session, scope: Scope, run: Run, result: QualityResult) -> None:
        self._session = session
        self._run = run
        self._result = result
        self._now = session.now()
        there = [name for name in scope.tables if session.warehouse.find_table(name) is not None]
        # An open table is created with its first rows: without any there is nothing to compare.
        self._scope = scope.only(name for name, table in scope.tables.items() if name in there or table.open is None)
        self._there = tables_as_found(session.warehouse, scope.tables.select(there))
        self._counted = [counted_table(session.warehouse, table, self._excluded) for table in self._there.values()]
        self._suspects = 0

    @property
    def _excluded(self) -> tuple[str, ...]:
        return self._session.connector.excluded_columns

    def run(self, request: SyncRequest) -> None:
        """Compare batches of sites, one after another, and write what is found of each."""
        result, windows = self._result, self._scope.windows
        result.sites = [window.site.id for window in windows]
        result.tables = list(self._scope.tables)
        result.first_day = min(window.first for window in windows)
        result.last_day = max(window.last for window in windows)
        sample, seed = self._sample(request)
        result.sample = Sample(len(sample), sum(len(window.days) for window in windows), seed)
        for number, part in enumerate(self._parts()):
            batch = self._look(part)
            self._compare(batch, sample)
            stamp = Stamp(self._run.id, number, self._now)
            write_quality(self._session.warehouse, self._session.connector.name, batch.found, stamp)
            result.add(batch.found)
            result.errors += batch.counts.errors

    def _sample(self, request: SyncRequest) -> tuple[set[tuple[str, date]], int]:
        """Return the site-days to refetch, chosen by a seed."""
        seed = request.seed if request.seed is not None else self._now.date().toordinal()
        days = [(window.site.id, day) for window in self._scope.windows for day in window.days]
        most = SAMPLE_DAYS if request.sample_days is None else request.sample_days
        return set(random.Random(seed).sample(days, min(most, len(days)))), seed  # noqa: S311 - chance, not a secret

    def _parts(self) -> Iterator[tuple[Window, ...]]:
        """Yield the windows in parts of which all slices fit into memory."""
        streams = len(self._scope.tables) * (1 + len(self._scope.segments))
        part: list[Window] = []
        slices = 0
        for window in self._scope.windows:
            count = streams * len(window.days)
            if part and (slices + count > _MOST_SLICES or len(part) == MOST_SITES):
                yield tuple(part)
                part, slices = [], 0
            part.append(window)
            slices += count
        yield tuple(part)

    def _look(self, windows: tuple[Window, ...]) -> _Batch:
        session = self._session
        warehouse = session.warehouse
        state = session.state_of(self._scope.segments)
        known = state.read(self._there, windows, incremental=False, only_sites=True).known if self._there else {}
        sites = [window.site.id for window in windows]
        days = Days.between(min(window.first for window in windows), max(window.last for window in windows))
        logs = [table for table in self._there.values() if table.is_log]
        wanted = [
            (window.site, segment, window.days)
            for window in windows
            for segment in (EVERY_VISIT, *self._scope.segments)
            if segment is EVERY_VISIT or self._has_segment(window, segment)
        ]
        # What conversions happened, and what they brought, is in the actions.
        reads_conversions = not {"actions", "actions.occurred_at", "actions.revenue"}.intersection(self._excluded)
        conversions = None
        for table in logs if reads_conversions else []:
            rows = warehouse.rows(quality_sql.conversions_of(warehouse.dataset, table, with_next_day(days), sites))
            conversions = Conversions(rows, [window.site for window in windows])
        counts = request_counts(session.client, wanted, with_conversions=conversions is not None)
        totals = read_totals(warehouse, self._counted, (days.first, days.last), sites)
        return _Batch(windows, known, counts, totals, conversions)

    def _has_segment(self, window: Window, segment: Segment) -> bool:
        return any(
            table.takes_segment(segment.name) and segment.has(table.name, window.site.id)
            for table in self._scope.tables.values()
        )

    def _compare(self, batch: _Batch, sample: set[tuple[str, date]]) -> None:
        scope = replace(self._scope, windows=batch.windows)
        found: list[Quality] = []
        wanted: dict[Stream, set[date]] = {}
        missing: dict[Stream, date] = {}
        for window, stream in scope.streams():
            for slice_ in self._slices(window, stream):
                qualities = list(judge(self._look_at(batch, slice_)))
                found += qualities
                if stream.period.is_day:
                    self._want(wanted, missing, slice_, qualities, sample)
        for stream, day in missing.items():
            wanted.setdefault(stream, set()).add(day)
        there = {stream: Days.of(days) for stream, days in wanted.items() if stream.table in self._there}
        second = self._second(scope, batch, there)
        for quality in found:
            of_slice = second.get(quality.slice)
            if quality.reason is Reason.MISSING and quality.slice.stream in missing:
                of_slice = second.get(quality.slice.stream.slice(missing[quality.slice.stream]))
            known = batch.known.get(quality.slice)
            table = self._scope.tables[quality.slice.table]
            batch.found.append(resolve(quality, of_slice, table, is_final=known is None or known.is_final))
        # Of a day that no run has synced there is nothing to compare.
        batch.found += [quality for slice_, quality in second.items() if slice_ in batch.known]

    def _want(
        self,
        wanted: dict[Stream, set[date]],
        missing: dict[Stream, date],
        slice_: Slice,
        qualities: Sequence[Quality],
        sample: set[tuple[str, date]],
    ) -> None:
        """Note a slice that is refetched: one of the sample, one that differs, the newest that is missing."""
        reasons = {quality.reason for quality in qualities}
        if Reason.MISSING in reasons:
            missing[slice_.stream] = slice_.date
            return
        if Reason.PENDING in reasons or Reason.FAILED in reasons:
            return
        is_suspect = Reason.UNKNOWN in reasons and self._suspects < _MOST_SUSPECTS
        if (slice_.website_id, slice_.date) in sample or is_suspect:
            self._suspects += is_suspect
            wanted.setdefault(slice_.stream, set()).add(slice_.date)

    def _second(self, scope: Scope, batch: _Batch, wanted: Mapping[Stream, Days]) -> dict[Slice, Quality]:
        if not wanted:
            return {}
        answers = SecondAnswers(self._session, scope, batch.known, self._now)
        found = {}
        for slice_, second in answers.request(wanted):
            known = batch.known.get(slice_)
            table = self._scope.tables[slice_.table]
            found[slice_] = refetched(slice_, table, second, Logged.of(known) if known else None)
        left = sum(len(days) for days in wanted.values()) - len(found)
        if left:
            self._result.errors.append(f"{left} slices were not refetched for want of time")
        return found

    def _slices(self, window: Window, stream: Stream) -> Iterable[Slice]:
        """Return the slices of a stream that have ended and that its table keeps."""
        days = stream.period.whole(window.days)
        if self._scope.tables[stream.table].is_log and window.visits_from is not None:
            days = days.since(window.visits_from)
        return (slice_ for slice_ in stream.slices(days) if slice_.last_day <= window.last) if days else ()

    def _look_at(self, batch: _Batch, slice_: Slice) -> Look:
        table: Table = self._scope.tables[slice_.table]
        known = batch.known.get(slice_)
        converted = None
        if table.is_log and batch.conversions is not None:
            following = batch.known.get(slice_.stream.slice(slice_.last_day + (slice_.date.resolution)))
            is_whole = following is not None and following.status.is_good
            converted = batch.conversions.of(slice_.website_id, slice_.date, is_whole=is_whole)
        key = (slice_.website_id, slice_.segment, slice_.date)
        return Look(
            table,
            slice_,
            Logged.of(known) if known else None,
            batch.totals.get(slice_, Totals()),
            batch.counts.days.get(key, DayCounts()),
            converted,
            any(each.table.name == table.name and each.visits_column for each in self._counted),
        )


def counted_table(warehouse: Warehouse, table: Table, excluded: Sequence[str]) -> CountedTable:
    """Return how the days of a table, as it is found, are counted."""
    column = visits_column(table)
    if column is None and not table.metrics:  # an open table, whose columns Matomo's answers brought
        found = warehouse.find_table(table.name)
        types = {each.name: each.type_name for each in found.columns} if found else {}
        column = "nb_visits" if types.get("nb_visits") in _NUMBERS else None
    return CountedTable(table, column, excluded)


def read_totals(
    warehouse: Warehouse, counted: Sequence[CountedTable], days: tuple[date, date], sites: Sequence[str] | None
) -> dict[Slice, Totals]:
    """Return what some tables have of each slice on some days, by one query; of all sites where ``sites`` is None."""
    tables = Catalogue(each.table for each in counted)
    if not tables:
        return {}
    statement = quality_sql.counts_of_days(warehouse.dataset, counted, days, sites)
    return {
        tables[row["table_name"]].stream(row["website_id"], row["segment"]).slice(row["date"]): Totals.of(row)
        for row in warehouse.rows(statement)
    }
