"""The order of jobs: the same in each run, and it begins where the last one had no more time."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, VISITS, Catalogue
from matomo_fn.deadline import Deadline
from matomo_fn.extract.schedule import Chunk, Schedule, Task
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.sync.order import Reached
from matomo_fn.sync.outcome import KnownSlice, Status
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matomo_fn.extract.extracted import Extracted
    from matomo_fn.extract.jobs import Job
    from matomo_fn.slices import Slice
    from matomo_fn.sync.plan import Plan

FIRST, LAST = date(2026, 2, 4), date(2026, 3, 10)
TABLES = (PREBUILT["visits_summary"], PREBUILT["visitor_country"], PREBUILT["countries"], PREBUILT["referrers"], VISITS)
MOBILE = Segment("mobile", "a==b")


def scope(sites: int, tables: int, *, segments: bool = False, day: int = 0) -> Scope:
    """Some sites and tables, ``day`` days later."""
    last = LAST + timedelta(days=day)
    windows = (Window(Site(str(n), "", UTC, FIRST), FIRST, last, last - timedelta(days=2)) for n in range(1, sites + 1))
    return Scope(Catalogue(TABLES[:tables]), tuple(windows), (5, 2), (), segments=(MOBILE,) if segments else ())


def jobs_of(plan: Plan) -> list[Job]:
    return [job for phase in plan.phases for job in phase]


def run(plan: Plan, budget: int) -> tuple[list[Job], str | None]:
    """Run as many jobs as there is time for, and return them with where the next run begins."""
    begun: list[Job] = []

    def extract(task: Task, _: Schedule) -> Iterator[Extracted]:
        begun.extend(task.jobs)
        return iter(())

    deadline = Deadline(400, clock=lambda: 399 if len(begun) >= budget else 0)  # what is begun comes to its end
    reached = Reached(extract, deadline)
    nothing = Schedule((), (5, 2))
    for job in jobs_of(plan):
        assert list(reached(Task((Chunk(job, job.days),)), nothing)) == []
    return begun, reached.next_job(plan.phases)


@settings(max_examples=30, deadline=None)
@given(
    sites=st.integers(1, 4),
    tables=st.integers(1, 5),
    budget=st.integers(1, 12),
    segments=st.booleans(),
    failing=st.sets(st.integers(0, 40)),
    known=st.sets(st.integers(0, 40)),
    days_pass=st.booleans(),
)
def test_every_slice_is_reached_within_jobs_by_budget_runs(
    sites: int,
    tables: int,
    budget: int,
    failing: set[int],
    known: set[int],
    *,
    segments: bool,
    days_pass: bool,
) -> None:
    """Whatever fails slowly in each run or was there before; where days pass meanwhile their jobs come on top."""
    wanted = make_plan(scope(sites, tables, segments=segments), Snapshot())
    state: dict[Slice, KnownSlice] = {}
    good = KnownSlice(Status.WRITTEN, 1, "h", "r", "before", is_intact=True)
    bad = KnownSlice(Status.FAILED, 0, None, None, "before", is_intact=False)
    for number, job in enumerate(jobs_of(wanted)):
        state |= dict.fromkeys(job.slices, good) if number in known else {}
    streams = [due.stream for due in wanted.due]
    fails = {stream for number, stream in enumerate(streams) if number in failing}
    plan = make_plan(scope(sites, tables, segments=segments), Snapshot({}, state))
    waiting = {slice_ for job in jobs_of(plan) for slice_ in job.slices}
    runs = -(-len(jobs_of(plan)) // budget) * (2 if days_pass else 1)
    begin_with = None
    for number in range(runs):
        day = number if days_pass else 0
        plan = make_plan(scope(sites, tables, segments=segments, day=day), Snapshot({}, state), begin_with=begin_with)
        reached, begin_with = run(plan, budget)
        for job in reached:
            waiting -= set(job.slices)
            state |= {slice_: bad if slice_.stream in fails else good for slice_ in job.slices}
    assert not waiting


def test_a_run_that_had_time_for_all_leaves_the_order_as_it_is() -> None:
    """The visit counts first, and the latest days."""
    plan = make_plan(scope(2, 3), Snapshot())
    begun, begin_with = run(plan, 100)
    assert begun == jobs_of(plan)
    assert begin_with is None


def test_what_was_cut_off_comes_first_where_everything_was_begun() -> None:
    """It would otherwise be cut off in each run, as the last one."""
    plan = make_plan(scope(3, 1), Snapshot())
    *_, last = jobs_of(plan)
    _, begin_with = run(plan, len(jobs_of(plan)))
    again = make_plan(scope(3, 1), Snapshot(), begin_with=begin_with)
    assert jobs_of(again)[0] == last


def test_a_job_that_is_not_there_any_more_is_passed_over() -> None:
    """The order goes on behind it; of a table or site that is gone it begins as ever."""
    begin_with = '["2", "visitor_country", "", null]'
    plan = make_plan(scope(3, 2), Snapshot(), begin_with=begin_with)
    assert (jobs_of(plan)[0].site.id, jobs_of(plan)[0].tables[0].name) == ("2", "visitor_country")
    settled = {PREBUILT["visitor_country"].stream("2"): jobs_of(plan)[0].days}
    window = [Window(w.site, w.first, w.last, LAST + timedelta(days=1)) for w in scope(3, 2).windows]
    later = Scope(Catalogue(TABLES[:2]), tuple(window), (5, 2), ())
    plan = make_plan(later, Snapshot(settled), begin_with=begin_with)
    assert (jobs_of(plan)[0].site.id, jobs_of(plan)[0].tables[0].name) == ("3", "visitor_country")
    for gone in (
        '["9", "visitor_country", "", null]',
        '["2", "gone", "", null]',
        '["2", "visitor_country", "x", null]',
    ):
        assert make_plan(later, Snapshot(), begin_with=gone) == make_plan(later, Snapshot())
