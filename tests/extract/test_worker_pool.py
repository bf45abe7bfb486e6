"""The worker pool: jobs side by side, their slices one by one, and every way in which it ends."""

from __future__ import annotations

import json
import re
import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from matomo_fn.app.logs import configure_logs
from matomo_fn.catalogue import PREBUILT, Table
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, TokenRefused
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.extractor import extract
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.reports import make_schedule
from matomo_fn.extract.schedule import Schedule, Task
from matomo_fn.extract.worker_pool import WorkerPool
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import Reply
from matomo_fn.sites import Site
from tests.support.extracting import flat, in_bulk
from tests.support.recordings import Scripted, as_json, client_of
from tests.support.shop import log_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

SITE = Site("1", "Shop", UTC, date(2020, 1, 1))
FIRST = date(2026, 1, 1)
COUNTRY = PREBUILT["visitor_country"]
SUMMARY = PREBUILT["visits_summary"]
EVENTS = PREBUILT["behaviour_event"]


def job(table: Table, *, count: int) -> Job:
    return Job(SITE, (table,), Days.between(FIRST, FIRST + timedelta(days=count - 1)))


def spans(form: Mapping[str, str]) -> list[date]:
    first, last = form["date"].split(",")
    return list(Days.between(date.fromisoformat(first), date.fromisoformat(last)))


def asked(transport: Scripted, method: str) -> list[tuple[str, int]]:
    """The last day and the number of days of each range requested."""
    return [(form["date"][11:], len(spans(form))) for name, form in flat(transport.asked) if name == method]


def rows_of(size: int) -> Callable[[str, Mapping[str, str]], object]:
    """A Matomo whose every day has one row of so many bytes, or so."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "VisitsSummary.get":
            return {str(day): {"nb_visits": 1} for day in spans(form)}
        return {str(day): [{"label": "x" * size, "segment": "s"}] for day in spans(form)}

    return answer


class Pool:
    """A worker pool over a scripted Matomo, with everything that its jobs need."""

    def __init__(self, transport: Scripted, size: int) -> None:
        """Make it."""
        transport.answer = in_bulk(transport.answer)
        deadline = Deadline()
        client = client_of(transport, deadline=deadline)
        context = ExtractContext(
            client,
            (5, 2),
            ArchiveChecks(client, 3, datetime(2026, 11, 21, tzinfo=UTC)),
            deadline.allows_requests,
            OwnBuffers(Path("no slice here is large"), 10**12),
            datetime(2026, 11, 21, tzinfo=UTC),
        )
        self.context = context
        self.workers = WorkerPool(size, deadline)
        self.extract = partial(extract, context)

    def run(self, *jobs: Job) -> Generator[Extracted, None, None]:
        """Run jobs side by side, and yield what comes of them."""
        with closing(self.workers.run(make_schedule(self.context, jobs), self.extract)) as slices:
            for extracted in slices:
                if extracted is not None:
                    yield extracted

    @property
    def fatal(self) -> MatomoFatal | None:
        """What ended the jobs early."""
        return self.workers.fatal


def no_threads_left() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("matomo_")]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 2, 8])
def test_the_slices_of_all_jobs_come_whatever_the_number_of_threads(size: int) -> None:
    """More slices than fit into the queue, and more jobs than threads."""
    pool = Pool(Scripted(rows_of(10)), size)
    jobs = [job(table, count=50) for table in (SUMMARY, COUNTRY, EVENTS, PREBUILT["visitor_language"])]
    found = list(pool.run(*jobs))
    assert sorted((p.slice.table, p.slice.date) for p in found) == sorted(
        (work.tables[0].name, day) for work in jobs for day in work.days
    )
    assert not pool.fatal
    assert no_threads_left()


def empties(method: str, form: Mapping[str, str]) -> object:
    """A Matomo without a single visit."""
    return [] if method.startswith("Live") else {str(day): [] for day in spans(form)}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
def test_visit_counts_that_were_extracted_before_are_not_requested_again(size: int) -> None:
    """Jobs of the next phase that meet an empty day find them noted."""
    transport = Scripted(empties)
    pool = Pool(transport, size)
    found = [*pool.run(job(SUMMARY, count=20)), *pool.run(job(COUNTRY, count=20), job(EVENTS, count=20))]
    assert all(slice_.content for slice_ in found)
    assert len(found) == 60
    assert asked(transport, "VisitsSummary.get") == [("2026-01-20", 20)]
    assert len(asked(transport, "Live.getLastVisitsDetails")) == 1


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
def test_a_failed_summary_does_not_keep_other_jobs_from_their_end(size: int) -> None:
    """Their empty days are pending."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method in ("VisitsSummary.get", "API.getBulkRequest"):
            return {"result": "error", "message": "no"}
        return empties(method, form)

    pool = Pool(Scripted(answer), size)
    found = list(pool.run(job(SUMMARY, count=3), job(COUNTRY, count=3)))
    assert {(p.slice.table, bool(p.error), bool(p.pending)) for p in found} == {
        ("visits_summary", True, False),
        ("visitor_country", False, True),
    }
    assert len(found) == 6


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
def test_what_is_fatal_ends_the_run_and_is_told(size: int) -> None:
    """A refused token: no thread asks on, and the caller knows why."""
    refused = as_json({"result": "error", "message": "Unable to authenticate"}, 401)
    transport = Scripted(lambda *_: refused)
    pool = Pool(transport, size)
    jobs = [job(table, count=50) for table in (SUMMARY, COUNTRY, EVENTS)]
    assert list(pool.run(*jobs)) == []
    assert isinstance(pool.fatal, TokenRefused)
    assert len(transport.asked) <= size
    assert no_threads_left()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("taken", [1, 70])
def test_closing_the_iterator_early_ends_the_threads(size: int, taken: int) -> None:
    """Also those that wait for room in the queue."""
    pool = Pool(Scripted(rows_of(10)), size)
    jobs = [job(table, count=400) for table in (SUMMARY, COUNTRY, EVENTS)]
    slices = pool.run(*jobs)
    for _ in range(taken):
        next(slices)
    slices.close()
    assert no_threads_left()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
def test_a_bug_in_a_worker_costs_its_days_and_no_others(size: int, capfd: pytest.CaptureFixture[str]) -> None:
    """They fail with class and place, and the other jobs come to their end; the log has no value of the data."""
    configure_logs("json")

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "VisitsSummary.get":
            return ZeroDivisionError("a bug with a value")
        return empties(method, form) if method == "Live.getLastVisitsDetails" else rows_of(10)(method, form)

    pool = Pool(Scripted(answer), size)
    found = list(pool.run(job(SUMMARY, count=3), job(COUNTRY, count=3)))
    failed = [slice_ for slice_ in found if slice_.error]
    assert {slice_.slice.date for slice_ in failed if slice_.slice.table == "visits_summary"} == set(
        Days.between(FIRST, FIRST + timedelta(days=2))
    )
    assert all("unforeseen ZeroDivisionError at " in str(slice_.error) for slice_ in failed)
    assert len([slice_ for slice_ in found if slice_.slice.table == "visitor_country" and slice_.content]) == 3
    assert pool.fatal is None
    assert no_threads_left()
    (line,) = log_lines(capfd.readouterr().out)
    assert (line["severity"], line["message"], line["kind"]) == ("ERROR", "unforeseen_error", "ZeroDivisionError")
    assert re.fullmatch(r"matomo_fn\.[a-z_.]+:[0-9]+", line["place"])
    assert "value" not in json.dumps(line)


@pytest.mark.timeout(20)
def test_no_job_is_no_slice() -> None:
    """Nothing is due."""
    pool = Pool(Scripted(empties), 4)
    assert list(pool.run()) == []


@pytest.mark.timeout(20)
def test_the_caller_gets_its_turn_while_no_slice_comes() -> None:
    """What waits to be written does not wait for a report that takes minutes."""
    answered = threading.Event()

    def answer(method: str, form: Mapping[str, str]) -> object:
        answered.wait()
        return rows_of(10)(method, form)

    pool = Pool(Scripted(answer), 1)
    slices = pool.workers.run(make_schedule(pool.context, [job(COUNTRY, count=3)]), pool.extract, idle=0.01)
    assert next(slices) is None
    assert next(slices) is None
    answered.set()
    assert len([slice_ for slice_ in slices if slice_]) == 3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [1, 4])
def test_a_stop_ends_the_threads_wherever_they_wait(size: int) -> None:
    """In the pause between two tries, which is a second at least; what was handed over before is there."""
    busy = Reply(503, "text/html", 250.0, "", b"maintenance")
    deadline = Deadline()

    def answer(method: str, form: Mapping[str, str]) -> object:
        return busy if method == COUNTRY.sources[0].method else rows_of(10)(method, form)

    client = MatomoClient(Scripted(in_bulk(answer)), RateLimit(1000, sleep=deadline.pause), deadline)
    context = ExtractContext(
        client,
        (5, 2),
        ArchiveChecks(client, 3, datetime(2026, 11, 21, tzinfo=UTC)),
        deadline.allows_requests,
        OwnBuffers(Path("no slice here is large"), 10**12),
        datetime(2026, 11, 21, tzinfo=UTC),
    )
    pool = WorkerPool(size, deadline)
    found = []
    other = replace(job(EVENTS, count=3), site=replace(SITE, id="2"))
    schedule = make_schedule(context, [other, job(COUNTRY, count=3)])
    for slice_ in pool.run(schedule, partial(extract, context), idle=0.01):
        if slice_:
            found.append(slice_)
        if len(found) == 3:
            deadline.interrupt("SIGTERM")
    assert {slice_.slice.table for slice_ in found} == {"behaviour_event"}
    assert pool.fatal is None
    assert no_threads_left()


@pytest.mark.timeout(20)
def test_what_a_job_handed_over_before_it_broke_stays_as_it_is() -> None:
    """Each slice comes once: those that were whole, and the others with the error."""
    configure_logs("json")

    def breaks(task: Task, _schedule: Schedule) -> Iterator[Extracted]:
        yield Extracted(next(task.slices), None)
        raise ZeroDivisionError

    schedule = Schedule([job(COUNTRY, count=3)], (5, 2))
    found = [each for each in WorkerPool(1, Deadline()).run(schedule, breaks) if each]
    assert [(each.slice.date - FIRST, bool(each.error)) for each in found] == [
        (timedelta(days=day), day > 0) for day in range(3)
    ]


@pytest.mark.timeout(20)
def test_of_several_fatal_errors_the_first_is_told() -> None:
    """What ended the run, and not what came of its end."""
    workers = WorkerPool(1, Deadline())
    number = iter(range(9))

    def fatal(_task: Task, _schedule: Schedule) -> Iterator[Extracted]:
        raise MatomoFatal(f"error {next(number)}")

    assert list(workers.run(Schedule([job(COUNTRY, count=1) for _ in range(3)], (5, 2)), fatal)) == []
    assert str(workers.fatal) == "error 0"
