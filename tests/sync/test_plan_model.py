"""The plan against one that is made slice by slice: sites, tables, periods and what is known of them all differ."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, VISITS, Catalogue, Source, Table
from matomo_fn.catalogue.periods import table_of
from matomo_fn.days import Days
from matomo_fn.extract.jobs import FIRST_CHUNK, MONTH
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.outcome import KnownSlice, Status
from matomo_fn.sync.plan import Plan, Reason, make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

BEGIN, END = date(2025, 11, 1), date(2026, 3, 31)
COUNTRY, SUMMARY = PREBUILT["visitor_country"], PREBUILT["visits_summary"]
WINDOWS_OF_A_WEEK = Table("ranges", "", (Source("A.get", ranges=False),), (), period=Period.rolling(7))
TABLES = (
    SUMMARY,
    COUNTRY,
    table_of(COUNTRY, Period.WEEK),
    table_of(COUNTRY, Period.MONTH),
    table_of(SUMMARY, Period.YEAR),
    WINDOWS_OF_A_WEEK,
    VISITS,
)
MOBILE = Segment("mobile", "a==b", of_sites={"2": "a==b"})
FRENCH = Segment("french", "c==d", tables=frozenset({"visitor_country", "visitor_country_month"}))
REQUEST = "this request"


def first_of(period: Period, day: date) -> date:
    """The date of a day's slice, found by going back from the day."""

    def name(each: date) -> tuple[int, ...]:
        names = {"week": each.isocalendar()[:2], "month": (each.year, each.month), "year": (each.year,)}
        return names.get(period.value, (each.toordinal(),))

    while name(day - timedelta(days=1)) == name(day):
        day -= timedelta(days=1)
    return day


def slices_of(period: Period) -> list[tuple[date, date]]:
    """The first and last day of every slice that has a day of some months."""
    every = [BEGIN + timedelta(days=number) for number in range((END - BEGIN).days + 1)]
    firsts = sorted({first_of(period, day) for day in every})
    following = {first: later - timedelta(days=1) for first, later in pairwise(firsts)}
    return [(first, following.get(first, END)) for first in firsts]


SLICES = {table.name: slices_of(table.period) for table in TABLES}


@dataclass(frozen=True)
class World:
    """What a plan is made of. ``settled``: the dates of slices."""

    scope: Scope
    settled: Mapping[Stream, frozenset[date]]
    known: Mapping[Slice, KnownSlice]
    intraday: tuple[str, ...]

    @property
    def plan(self) -> Plan:
        """The plan that the program makes."""
        settled = {stream: stream.period.covered(dates) for stream, dates in self.settled.items()}
        return make_plan(self.scope, Snapshot(settled, self.known), intraday_tables=self.intraday, request_id=REQUEST)


MIDDLE = st.dates(min_value=date(2025, 12, 20), max_value=date(2026, 2, 20))


@st.composite
def windows(draw: st.DrawFn, number: str) -> Window:
    first = draw(MIDDLE)
    last = first + timedelta(days=draw(st.integers(0, 40)))
    recheck_from = first + timedelta(days=draw(st.integers(0, (last - first).days + 1)))
    created = first - timedelta(days=draw(st.integers(0, 30)))
    open_day = draw(st.sampled_from([None, last + timedelta(days=1)]))
    visits_from = draw(st.sampled_from([None, first + timedelta(days=2), first - timedelta(days=2)]))
    return Window(Site(number, "", UTC, created), first, last, recheck_from, open_day, visits_from)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    tables = draw(st.lists(st.sampled_from(TABLES), unique=True, min_size=1, max_size=3))
    sites = tuple(draw(windows(number)) for number in ("1", "2"))
    segments = draw(st.sampled_from([(), (MOBILE, FRENCH)]))
    scope = Scope(Catalogue(tables), sites, (5, 2), (), segments=segments)
    settled, known = {}, {}
    statuses = st.sampled_from([None, None, *Status])
    for _, stream in scope.streams():
        dates = [first for first, _ in SLICES[stream.table]]
        start, length = draw(st.integers(0, len(dates))), draw(st.integers(0, 60))
        settled[stream] = frozenset(dates[start : start + length])
        for day in draw(st.lists(st.sampled_from(dates), unique=True, max_size=8)):
            status = draw(statuses)
            if status is not None:
                request = draw(st.sampled_from([REQUEST, "another one"]))
                known[stream.slice(day)] = KnownSlice(status, 1, "h", "r", request, is_intact=True)
    intraday = draw(st.sampled_from([(), ("visits",)]))
    return World(scope, settled, known, intraday)


def reasons(world: World) -> Iterator[tuple[Slice, Reason]]:
    """Why each slice is due, looked at one by one."""
    for window, stream in world.scope.streams():
        period = stream.period
        for first, end in SLICES[stream.table]:
            known = world.known.get(stream.slice(first))
            is_open = known is not None and known.status in (Status.PENDING, Status.FAILED)
            overlaps = first <= window.last and end >= window.first
            is_settled = first in world.settled[stream] and first < first_of(period, window.recheck_from)
            wanted = overlaps and not is_settled
            wanted |= stream.table in world.intraday and first == window.open_day
            wanted |= is_open and first < window.first and end >= window.site.created
            if stream.table == "visits" and window.visits_from:
                wanted &= first >= window.visits_from
            if not wanted:
                continue
            if known is None:
                yield stream.slice(first), Reason.MISSING
            elif is_open:
                yield stream.slice(first), Reason(str(known.status))
            elif known.request_id != REQUEST:
                yield stream.slice(first), Reason.REFETCH


@settings(max_examples=30)
@given(worlds())
def test_exactly_the_slices_are_due_that_are_due_one_by_one(world: World) -> None:
    """Of each site by its own window and age, of each table by its own periods, for the reason that the state gives."""
    plan = world.plan
    found = [(slice_, due.reason) for due in plan.due for slice_ in due.stream.slices(due.days)]
    assert Counter(found) == Counter(reasons(world))
    assert plan.slices == len(found)
    assert dict(plan.known) == {slice_: world.known[slice_] for slice_, _ in found if slice_ in world.known}


def runs(stream: Stream, dates: set[date]) -> list[list[date]]:
    """The dates in runs of slices that follow one another."""
    found: list[list[date]] = []
    before = None
    for first, _ in SLICES[stream.table]:
        if first in dates:
            if before not in dates:
                found.append([])
            found[-1].append(first)
        before = first
    return found


def dates_by_stream(slices: Sequence[Slice]) -> dict[Stream, set[date]]:
    found: dict[Stream, set[date]] = {}
    for slice_ in slices:
        found.setdefault(slice_.stream, set()).add(slice_.date)
    return found


def comes_first(world: World) -> set[Slice]:
    """The slices that no table has, and the refetches that are a short run with them."""
    due = dict(reasons(world))
    first = {slice_ for slice_, reason in due.items() if reason is not Reason.REFETCH}
    for stream, dates in dates_by_stream([*due]).items():
        for run in runs(stream, dates) if stream.table != "visits" else []:
            if len(run) <= FIRST_CHUNK and any(stream.slice(day) in first for day in run):
                first |= {stream.slice(day) for day in run}
    return first


@settings(max_examples=30)
@given(worlds())
def test_the_jobs_have_every_due_slice_once_and_in_order(world: World) -> None:
    """Visit counts in a phase of their own; in each all visits first, and of each table and site the latest days."""
    plan = world.plan
    jobs = [job for phase in plan.phases for job in phase]
    assert Counter(slice_ for job in jobs for slice_ in job.slices) == Counter(slice_ for slice_, _ in reasons(world))
    first = comes_first(world)
    names = ["", *(segment.name for segment in world.scope.segments)]
    phases: list[bool] = []
    for phase in plan.phases:
        counts = {job.tables[0].sources[0].method == "VisitsSummary.get" for job in phase}
        assert len(counts) == 1
        phases += counts
        tables = list(world.scope.tables)
        places = [
            (names.index(job.segment.name), job.site.id, tables.index(table.name), -job.days.last.toordinal())
            for job in phase
            for table in job.tables
        ]
        assert places == sorted(places)
        assert all(set(job.slices) <= first or not set(job.slices) & first for job in phase)
    assert phases in ([], [True], [False], [True, False])


@settings(max_examples=15)
@given(worlds())
def test_the_calls_of_a_plan_are_those_of_each_run_of_slices_of_each_job(world: World) -> None:
    """A range has no gap. Short ones of a site share calls, in longer ones each report is a call of its own."""
    plan = world.plan
    calls = 0
    together: Counter[object] = Counter()
    for job in (job for phase in plan.phases for job in phase):
        (table,) = job.tables
        found = runs(table.stream(job.site.id), set(table.period.dates(job.days)))
        for position, run in enumerate(reversed(found)):
            for source in table.sources_of((5, 2)):
                has_ranges = source.ranges and table is not WINDOWS_OF_A_WEEK
                if table is VISITS:
                    calls += len(run)
                elif len(run) <= FIRST_CHUNK:
                    together[job.site, job.segment, table.period, position] += 1 if has_ranges else len(run)
                else:
                    calls += len(range(0, len(run), MONTH if has_ranges else MOST_CALLS_IN_BULK))
    assert plan.calls == calls + sum(len(range(0, inside, MOST_CALLS_IN_BULK)) for inside in together.values())


@settings(max_examples=40)
@given(st.data())
def test_a_table_has_the_streams_of_its_own_sites_and_segments(data: st.DataObject) -> None:
    """Whatever the table or site before it has."""
    names = st.sampled_from([None, frozenset({"1"}), frozenset({"2"}), frozenset({"1", "3"})])
    chosen = st.sampled_from([None, (), ("one",), ("two",)])
    tables = [
        Table(name, "", (Source("A.get"),), (), sites=data.draw(names), segments=data.draw(chosen))
        for name in ("a", "b", "c")
    ]
    definitions = st.sampled_from([{}, {"1": "x"}, {"2": "y", "3": "z"}])
    of_tables = st.sampled_from([None, frozenset({"a"}), frozenset({"b", "c"})])
    segments = tuple(Segment(name, "x", data.draw(of_tables), data.draw(definitions)) for name in ("one", "two"))
    every = tuple(
        Window(Site(number, "", UTC, BEGIN), BEGIN, END, BEGIN)
        for number in data.draw(st.permutations(["1", "2", "3"]))
    )
    expected = []
    for window in every:
        for table in tables:
            if table.sites is not None and window.site.id not in table.sites:
                continue
            expected.append((window, Stream(table.name, window.site.id)))
            for segment in segments:
                if segment.tables is not None and table.name not in segment.tables:
                    continue
                if segment.of_sites and window.site.id not in segment.of_sites:
                    continue
                if table.segments is not None and segment.name not in table.segments:
                    continue
                expected.append((window, Stream(table.name, window.site.id, segment.name)))
    assert list(Scope(Catalogue(tables), every, (5, 2), (), segments=segments).streams()) == expected


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("12"), st.integers(0, 200)), min_size=1))
def test_the_newest_day_of_a_site_is_that_of_the_table_that_reaches_furthest(entries: list[tuple[str, int]]) -> None:
    """Settled or known, in whichever order the tables come."""
    settled: dict[Stream, Days] = {}
    known: dict[Slice, KnownSlice] = {}
    expected: dict[str, date] = {}
    for number, (site_id, back) in enumerate(entries):
        stream, day = Stream(f"t{number}", site_id), END - timedelta(days=back)
        if number % 2:
            settled[stream] = Days.of([day])
        else:
            known[stream.slice(day)] = KnownSlice(Status.WRITTEN, 1, "h", "r", "", is_intact=True)
        expected[site_id] = max(day, expected.get(site_id, day))
    assert Snapshot(settled, known).newest_days() == expected
