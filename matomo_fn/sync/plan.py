"""The plan of a run: which slices are due and why, and in which jobs they are extracted.

A plan is made once, by pure functions of the scope and the state. A dry run prints it and a run executes it.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import product

from matomo_fn.catalogue import Source, Table
from matomo_fn.config.request import Part
from matomo_fn.days import Days
from matomo_fn.extract.jobs import FIRST_CHUNK, MONTH, Job
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.order import in_phases
from matomo_fn.sync.outcome import KnownSlice, Status
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.split import Shard, split, together
from matomo_fn.sync.state import Snapshot


class Reason(StrEnum):
    """Why a slice is due."""

    MISSING = "missing"  # no run has handled it
    PENDING = "pending"  # Matomo had not processed the day
    FAILED = "failed"
    REFETCH = "refetch"  # the table has it, and it may have changed

    @property
    def is_open(self) -> bool:
        """Whether no table has the slice yet."""
        return self is not Reason.REFETCH


_REASONS = {Status.PENDING: Reason.PENDING, Status.FAILED: Reason.FAILED}


@dataclass(frozen=True, slots=True)
class Due:
    """Days of one stream that are due for the same reason; those of whole periods."""

    stream: Stream
    reason: Reason
    days: Days

    @property
    def slices(self) -> int:
        """How many slices that are."""
        return self.stream.period.count(self.days)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run extracts and writes.

    ``known``: what the state says of the slices among them. ``phases``: the jobs, in the order in which they run;
    those of one phase run side by side. The visit counts come first, since they tell which empty days are to be
    believed. ``lost_sites``: sentences about sites that have been synced and that Matomo no longer lists.
    """

    scope: Scope
    due: tuple[Due, ...]
    known: Mapping[Slice, KnownSlice]
    phases: tuple[tuple[Job, ...], ...]
    lost_sites: tuple[str, ...] = ()

    @property
    def slices(self) -> int:
        """How many slices are due."""
        return sum(due.slices for due in self.due)

    @property
    def calls(self) -> int:
        """About how many HTTP calls the plan takes, each report in ranges of ``MONTH`` days.

        An upper bound for small reports, whose ranges grow; without retries and without checks of empty days.
        """
        return estimated_calls([job for jobs in self.phases for job in jobs], self.scope.version)

    def of_table(self, name: str) -> list[Due]:
        """Return what is due of one table."""
        return [due for due in self.due if due.stream.table == name]

    def split(self, most: int) -> tuple[Shard, ...]:
        """Return the plan in shards of at most ``most`` calls, as estimated, each of them whole slices.

        By site and table first: tables that share calls stay together, and pages with the visits that bring their
        titles. What is too large for one site and such a group is cut by stretch of days.
        """
        version, tables = self.scope.version, list(self.scope.tables.values())
        names = [[table.name for table in group] for group in group_tables(tables, version)]
        titles = {table.name: table.titles_from for table in self.scope.tables.titled if table.titles_from}
        jobs = [job for phase in self.phases for job in phase]
        return split(jobs, together(names, titles), lambda found: estimated_calls(found, version), most)


def make_plan(
    scope: Scope,
    snapshot: Snapshot,
    *,
    intraday_tables: Collection[str] = (),
    request_id: str = "",
    begin_with: str | None = None,
) -> Plan:
    """Return the plan of a scope, by what is known of its slices.

    Slices that an earlier run of the same request handled well (it was cut off and is delivered again) are left out.
    ``intraday_tables`` are also extracted for the sites' present day. ``begin_with``: the job that comes first, which
    the last run did not reach.
    """
    due = tuple(
        part
        for window, stream in scope.streams()
        for found in _due_of(stream, window, snapshot, request_id, _extra_days(scope, window, stream, intraday_tables))
        for part in _of_part(found, scope.part)
    )
    known = _known_of(due, snapshot)
    return Plan(scope, due, known, phases_of(scope, due, begin_with), scope.lost_sites(snapshot.newest_days()))


def _known_of(due: Iterable[Due], snapshot: Snapshot) -> dict[Slice, KnownSlice]:
    """Return what is known of the slices that are due: of those that are known, however many are due beside them."""
    days: dict[Stream, list[Days]] = {}
    for found in due:
        days.setdefault(found.stream, []).append(found.days)
    return {
        slice_: state
        for slice_, state in snapshot.known.items()
        if any(slice_.date in part for part in days.get(slice_.stream, ()))
    }


def _of_part(due: Due, part: Part | None) -> Iterator[Due]:
    """Yield what of some due days belongs to a part of the request."""
    days = due.stream.period.within(due.days, part.since, part.before) if part else due.days
    if days:
        yield replace(due, days=days)


def phases_of(scope: Scope, due: Iterable[Due], begin_with: str | None = None) -> tuple[tuple[Job, ...], ...]:
    """Return the jobs in phases: the visit counts, then the rest; of each table and site the latest days first.

    Refetches come with what no table has where one call brings both, as in most daily runs. ``begin_with``: the job
    with which the order begins (`matomo_fn.sync.order`).
    """
    wanted: dict[bool, dict[Stream, Days]] = {True: {}, False: {}}
    for found in due:
        part = wanted[found.reason.is_open]
        part[found.stream] = part.get(found.stream, Days()) | found.days
    for stream in wanted[True].keys() & wanted[False].keys():
        if not scope.tables[stream.table].is_log:  # visits are requested day by day
            joined = _joined(stream, wanted[True][stream], wanted[False][stream])
            wanted[True][stream] = wanted[True][stream] | joined
            wanted[False][stream] = wanted[False][stream] - joined
    sites, tables = [window.site for window in scope.windows], tuple(scope.tables.values())
    jobs = [job for part in wanted.values() for job in jobs_for(part, sites, tables, scope.version, scope.segments)]
    return in_phases(jobs, scope, begin_with)


def jobs_for(
    due: Mapping[Stream, Days],
    sites: Sequence[Site],
    tables: Sequence[Table],
    version: tuple[int, int],
    segments: Sequence[Segment] = (),
) -> list[Job]:
    """Return the jobs for the days that are due, tables that share calls joined where they share days.

    In a group, days that all its tables want come as one job; days that only some want as jobs of their own. Those of
    all visits come before those of segments.
    """
    jobs: list[Job] = []
    groups = group_tables(tables, version)
    for segment, site, group in product((EVERY_VISIT, *segments), sites, groups):
        for members, days in _by_members(due, site, segment, group):
            for part in group_tables(members, version):
                jobs.extend(Job(site, part, share, segment) for share in _shares(part, days))
    return jobs


def group_tables(tables: Sequence[Table], version: tuple[int, int]) -> list[tuple[Table, ...]]:
    """Return the tables in groups that share calls, so that no report is requested twice for the same days."""
    groups: list[tuple[set[object], list[Table]]] = []
    for table in tables:
        calls: set[object] = {(source.call, table.period) for source in table.sources_of(version)}
        members = [table]
        for group in [group for group in groups if group[0] & calls]:
            groups.remove(group)
            calls |= group[0]
            members = [*group[1], *members]
        groups.append((calls, members))
    return [tuple(sorted(members, key=tables.index)) for _, members in groups]


def estimated_calls(jobs: Iterable[Job], version: tuple[int, int]) -> int:
    """Return about how many HTTP calls some jobs take; short ranges of a site, segment and period share calls.

    Longer ranges share them as well where their answers are small, which is not known yet: so it may be less by far.
    """
    calls = 0
    together: Counter[object] = Counter()
    for job in jobs:
        distinct = {source.call: source for table in job.tables for source in table.sources_of(version)}
        for position, days in enumerate(reversed(job.days.ranges)):
            count = job.period.count(Days((days,)))
            if count <= FIRST_CHUNK and not job.is_log:
                inside = sum(1 if _takes_ranges(source, job) else count for source in distinct.values())
                together[job.site.id, job.segment, job.period, position] += inside
            else:
                calls += sum(_calls(source, count, job) for source in distinct.values())
    return calls + sum(-(-inside // MOST_CALLS_IN_BULK) for inside in together.values())


@dataclass(frozen=True, slots=True)
class _ExtraDays:
    """What of a stream is due beyond its window, or not due within it."""

    open_day: date | None = None
    kept_from: date | None = None


def _extra_days(scope: Scope, window: Window, stream: Stream, intraday_tables: Collection[str]) -> _ExtraDays:
    is_log = scope.tables[stream.table].is_log
    return _ExtraDays(
        window.open_day if stream.table in intraday_tables else None, window.visits_from if is_log else None
    )


def _due_of(stream: Stream, window: Window, snapshot: Snapshot, request_id: str, extra: _ExtraDays) -> Iterator[Due]:
    """Yield the days of one stream that are due, by reason.

    Periods that overlap the window are due whole: Matomo knows no part of one.
    """
    if window.is_intraday:
        yield from _due_intraday(stream, window, snapshot, request_id)
        return
    period = stream.period
    settled = snapshot.settled.get(stream, Days()).before(period.first_day(window.recheck_from))
    days = period.whole(window.days) - settled
    if extra.open_day:
        days = days | Days.of([extra.open_day])
    older = [
        day for day in snapshot.open_days(stream) if day < window.first and period.last_day(day) >= window.site.created
    ]
    days = days | period.covered(older)
    if extra.kept_from is not None:
        days = days - days.before(extra.kept_from)  # they would be deleted at once
    yield from _by_reason(stream, days, snapshot, request_id, window.fills_from)


def _due_intraday(stream: Stream, window: Window, snapshot: Snapshot, request_id: str) -> Iterator[Due]:
    """Yield the present day, and with it a day that has ended since it was fetched, or that is pending or failed."""
    known = {day: snapshot.known.get(stream.slice(day)) for day in window.days}
    days = Days.of(
        day
        for day, state in known.items()
        if day == window.open_day or (state and (state.is_open or not state.status.is_good))
    )
    yield from _by_reason(stream, days, snapshot, request_id)


def _by_reason(
    stream: Stream, days: Days, snapshot: Snapshot, request_id: str, fills_from: date | None = None
) -> Iterator[Due]:
    """Yield days of a stream by the reason for which they are due; of those before ``fills_from`` the known ones."""
    period = stream.period
    known = {day: snapshot.known[stream.slice(day)] for day in period.dates(snapshot.known_days(stream) & days)}
    missing = days - period.covered(known)
    by_reason = {Reason.MISSING: missing.since(period.first_day(fills_from)) if fills_from else missing}
    for status, reason in _REASONS.items():
        by_reason[reason] = period.covered(day for day, state in known.items() if state.status is status)
    by_reason[Reason.REFETCH] = period.covered(
        day for day, state in known.items() if state.status.is_good and state.request_id != request_id
    )
    for reason, found in by_reason.items():
        if found:
            yield Due(stream, reason, found)


def _by_members(
    due: Mapping[Stream, Days], site: Site, segment: Segment, group: Sequence[Table]
) -> Iterator[tuple[tuple[Table, ...], Days]]:
    """Yield which tables of a group want which days of a site and segment."""
    wanted = [(table, due.get(table.stream(site.id, segment.name), Days())) for table in group]
    wanted = [(table, days) for table, days in wanted if days]
    while wanted:
        # The days of the first table, cut by each other one into those that both want and those that it does not.
        parts: list[tuple[tuple[Table, ...], Days]] = [((wanted[0][0],), wanted[0][1])]
        for table, days in wanted[1:]:
            cut = [
                part
                for members, share in parts
                for part in (((*members, table), share & days), (members, share - days))
            ]
            parts = [(members, share) for members, share in cut if share]
        yield from sorted(parts, key=lambda part: part[1].ranges)
        taken = wanted[0][1]
        wanted = [(table, days - taken) for table, days in wanted[1:]]
        wanted = [(table, days) for table, days in wanted if days]


def _joined(stream: Stream, missing: Days, refetched: Days) -> Days:
    """Return which refetches are requested with missing days: those that are one short range with them.

    Not those of longer ranges, such as a backfill: the missing days of other tables would wait for them.
    """
    joined = Days()
    for days in (missing | refetched).ranges:
        range_ = Days((days,))
        if range_ & missing and stream.period.count(range_) <= FIRST_CHUNK:
            joined = joined | (range_ & refetched)
    return joined


def _shares(tables: Sequence[Table], days: Days) -> Iterator[Days]:
    """Yield the days in shares that jobs take one each: visits are read a day a call, so that several may do it."""
    if any(table.is_log for table in tables):
        yield from days.parts(MONTH)
    else:
        yield days


def _takes_ranges(source: Source, job: Job) -> bool:
    return source.ranges and not job.period.is_rolling


def _calls(source: Source, periods: int, job: Job) -> int:
    if job.is_log:
        return periods  # a page with the visits of a day; one that brings nothing new, or several days on one page
    return -(-periods // (MONTH if _takes_ranges(source, job) else MOST_CALLS_IN_BULK))
