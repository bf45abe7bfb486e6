"""The schedule: which days of which reports go into one call, what waits for what, and that each slice comes once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, VISITS, Source, Table
from matomo_fn.days import Days
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.schedule import Schedule, Task
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK, Answered
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION = (5, 3)
LAST = date(2026, 11, 20)
SUMMARY, COUNTRY, PAGES = PREBUILT["visits_summary"], PREBUILT["visitor_country"], PREBUILT["behaviour_page"]


def site(number: int = 1) -> Site:
    return Site(str(number), f"Site {number}", UTC, date(2020, 1, 1))


def ago(first: int, last: int = 1) -> Days:
    """The days from so many to so many days before the end."""
    return Days.between(LAST - timedelta(days=first - 1), LAST - timedelta(days=last - 1))


def of(task: Task | None) -> list[tuple[str, int]]:
    """Return the tables of a task and how many days each chunk has."""
    assert task is not None
    return [(chunk.job.tables[0].name, len(chunk.days)) for chunk in task.chunks]


def answered(schedule: Schedule, task: Task, size: int = 100, *, split: bool = False, seconds: float = 0.1) -> None:
    """Note answers of so many bytes a period, and finish the task."""
    answers = [[Answered({}, size * chunk.job.period.count(chunk.days), split)] for chunk in task.chunks]
    schedule.note(task, answers, seconds)
    schedule.finish(task)


def test_short_ranges_of_a_site_go_into_one_call() -> None:
    """A daily run: thirteen tables, four days, one call a site."""
    jobs = [Job(site(number), (table,), ago(4)) for number in (1, 2) for table in PREBUILT.values()]
    schedule = Schedule(jobs, VERSION)
    first, second = schedule.take(), schedule.take()
    for task, number in ((first, "1"), (second, "2")):
        assert len(of(task)) == 13
        assert {chunk.job.site.id for chunk in task.chunks} == {number}  # type: ignore[union-attr]
        schedule.finish(task)  # type: ignore[arg-type]
    assert schedule.take() is None


def test_visit_counts_come_whole_and_before_everything_else_of_their_site() -> None:
    """A row of numbers a day is little, so a year of them comes at once; the rest waits until it is known."""
    jobs = [Job(site(number), (table,), ago(365)) for number in (1, 2) for table in (COUNTRY, VISITS, SUMMARY)]
    schedule = Schedule(jobs, VERSION)
    first, second = schedule.take(), schedule.take()
    assert of(first) == of(second) == [("visits_summary", 365), ("visitor_country", 4)]
    assert first is not None
    schedule.note(first, [[Answered({}, 100)], [Answered({}, 100)]], 0.1)
    schedule.finish(first)
    assert of(schedule.take()) == [("visitor_country", 361)]  # of the first site: the counts of the other are missing
    assert of(schedule.take()) == [("visits", 365)]


def test_older_visit_counts_come_alone() -> None:
    """Where days in between are pending, no report of them is requested."""
    gaps = ago(2) | ago(9, 9)
    schedule = Schedule([Job(site(), (table,), gaps) for table in (SUMMARY, COUNTRY)], VERSION)
    first = schedule.take()
    assert of(first) == [("visits_summary", 2), ("visitor_country", 2)]
    answered(schedule, first)  # type: ignore[arg-type]
    assert of(schedule.take()) == [("visits_summary", 1)]


def test_days_that_are_known_to_be_pending_are_not_requested() -> None:
    """They come as slices of the task all the same."""
    pending = {LAST: "why"}
    job = Job(site(), (COUNTRY,), ago(3))
    schedule = Schedule([job], VERSION, known_pending=lambda _: pending)
    task = schedule.take()
    assert task is not None
    assert task.pending == ((job, pending),)
    assert [chunk.days for chunk in task.chunks] == [ago(3, 2)]
    assert {slice_.date for slice_ in task.slices} == set(ago(3))


def test_a_rolling_window_waits_for_all_visit_counts() -> None:
    """Whether its last day is there is known by then, also where its own site has no counts."""
    rolling = Table("rolling", "", (Source("A.get", ranges=False),), (), period=Period.rolling(7))
    schedule = Schedule([Job(site(2), (rolling,), ago(3)), Job(site(1), (SUMMARY,), ago(3))], VERSION)
    first = schedule.take()
    assert of(first) == [("visits_summary", 3)]
    answered(schedule, first)  # type: ignore[arg-type]
    assert of(schedule.take()) == [("rolling", 3)]


def test_a_small_report_waits_for_its_answer_and_a_large_one_is_requested_by_several_threads() -> None:
    """The next call for the small one can then take more days; the large one takes no more anyway."""
    schedule = Schedule([Job(site(), (PAGES,), ago(100))], VERSION)
    first = schedule.take()
    assert of(first) == [("behaviour_page", 4)]
    answered(schedule, first, 300_000)  # type: ignore[arg-type]
    assert of(schedule.take()) == of(schedule.take()) == [("behaviour_page", 13)]
    small = Schedule([Job(site(), (COUNTRY,), ago(1000)), Job(site(2), (COUNTRY,), ago(4))], VERSION)
    task = small.take()
    answered(small, task)  # type: ignore[arg-type]
    assert of(small.take()) == [("visitor_country", 366)]
    assert of(small.take()) == [("visitor_country", 4)]  # of the other site


def test_reports_that_are_large_together_are_requested_apart() -> None:
    """By the bytes that they have had, and before any by what is expected of them."""
    tables = [replace(PAGES, name=f"pages_{number}", sources=(Source(f"Actions.get{number}"),)) for number in range(12)]
    schedule = Schedule([Job(site(), (table,), ago(8)) for table in tables], VERSION)
    tasks = [schedule.take(), schedule.take(), schedule.take()]
    assert [len(of(task)) for task in tasks] == [5, 5, 2]
    for task in tasks:
        answered(schedule, task, 1_000)  # type: ignore[arg-type]
    assert len(of(schedule.take())) == 12


def test_after_a_slow_call_fewer_reports_go_into_one() -> None:
    """A bulk call runs its calls one after another, and servers end what takes a minute."""
    schedule = Schedule([Job(site(), (table,), ago(300)) for table in (COUNTRY, PREBUILT["visitor_language"])], VERSION)
    counts = []
    while (task := schedule.take()) is not None:
        counts.append(len(of(task)))
        schedule._groups[next(iter(schedule._groups))].together = min(2, MOST_CALLS_IN_BULK)
        answered(schedule, task, seconds=20.0 if len(counts) == 1 else 0.1)
        if len(counts) == 1:
            assert schedule._groups[next(iter(schedule._groups))].together == 1
    assert counts[0] == 2


SITES = st.integers(1, 3)
RANGES = st.tuples(st.integers(1, 400), st.integers(0, 60)).map(lambda pair: ago(pair[0], max(1, pair[0] - pair[1])))
TABLES = st.sampled_from([*PREBUILT.values(), VISITS, replace(COUNTRY, name="weekly", period=Period.WEEK)])


def _jobs() -> st.SearchStrategy[list[Job]]:
    jobs = st.builds(
        lambda number, table, days, named: Job(
            site(number),
            (table,),
            table.period.whole(days),
            Segment("some", "x==1") if named and not table.is_log else Segment("", ""),
        ),
        SITES,
        TABLES,
        st.lists(RANGES, min_size=1, max_size=3).map(lambda found: Days.joined(r for d in found for r in d.ranges)),
        st.booleans(),
    )
    return st.lists(jobs, max_size=12, unique_by=lambda job: (job.site.id, job.tables[0].name, job.segment.name))


@given(_jobs(), st.randoms(use_true_random=False), st.integers(1, 5))
def test_every_slice_comes_once_whatever_the_order_in_which_tasks_end(
    jobs: list[Job], random: object, threads: int
) -> None:
    """And no call has chunks of several sites, segments or kinds of period, nor too many calls."""
    schedule = Schedule(jobs, VERSION)
    out: list[Task] = []
    found = []
    for task in _taken(schedule, out, random, threads):
        found += list(task.slices)
        assert len({(chunk.job.site.id, chunk.job.segment, chunk.job.period) for chunk in task.chunks}) == 1
        for chunk in task.chunks:
            assert len(chunk.days.ranges) == 1 or chunk.job.is_log
    expected = [slice_ for job in jobs for slice_ in job.slices]
    assert len(found) == len(expected)
    assert set(found) == set(expected)


def _taken(schedule: Schedule, out: list[Task], random: object, threads: int) -> Iterator[Task]:
    """Yield the tasks of as many threads, each of which ends at some time; one more is only taken where it may be."""
    while True:
        while len(out) < threads and (task := _take_if_any(schedule)) is not None:
            out.append(task)
            yield task
        if not out:
            return
        task = out.pop(random.randrange(len(out)))  # type: ignore[attr-defined]
        size = random.choice([0, 50, 5_000, 500_000])  # type: ignore[attr-defined]
        if random.random() < 0.8:  # type: ignore[attr-defined]
            answered(schedule, task, size, split=random.random() < 0.2)  # type: ignore[attr-defined]
        else:
            schedule.finish(task)


def _take_if_any(schedule: Schedule) -> Task | None:
    """Take a task without waiting for the others to end."""
    with schedule._changed:
        return schedule._next()


def test_nothing_is_handed_out_once_the_run_ends() -> None:
    """What was not requested is left to the next run."""
    goes_on: Mapping[str, bool] = {"on": False}
    schedule = Schedule([Job(site(), (COUNTRY,), ago(3))], VERSION, may_continue=lambda: goes_on["on"])
    assert schedule.take() is None
