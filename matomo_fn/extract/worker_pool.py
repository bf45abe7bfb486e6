"""The threads that ask: jobs run side by side, their slices come out one by one."""

import queue
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context

from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, OutOfTime
from matomo_fn.extract.archive_check import SUMMARY, Evidence
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.reports import Extracted, Extraction, VisitsOptions
from matomo_fn.matomo.client import MatomoClient

# Slices that wait between the threads that ask and the one that writes: bounds the memory that they take.
_WAITING = 64


class WorkerPool:
    """Runs jobs by at most ``size`` threads; ``fatal`` is what ended the run early, if anything did."""

    def __init__(
        self, client: MatomoClient, version: tuple[int, int], deadline: Deadline, size: int, visits: VisitsOptions
    ) -> None:
        self._version = version
        self._size = size
        self._stop = threading.Event()
        self._extraction = Extraction(client, version, deadline, self._stop, visits)
        self._queue: queue.Queue[Extracted | None] = queue.Queue(_WAITING)
        self.fatal: MatomoFatal | None = None

    def extract(self, jobs: Sequence[Job], evidence: Mapping[str, Evidence]) -> Generator[Extracted, None, None]:
        """Yield the slices of all jobs as they come; ``evidence`` is by site id.

        Jobs with the visits' summary have to stand before those of the same site that need it as evidence. A
        caller that closes the iterator early stops the threads at their next slice.
        """
        for job in jobs:
            if self._brings_summary(job):
                evidence[job.site.id].expect(job.days)
        with ThreadPoolExecutor(self._size, thread_name_prefix="matomo") as pool:
            futures = [pool.submit(copy_context().run, self._work, job, evidence[job.site.id]) for job in jobs]
            try:
                yield from self._take(len(futures))
            finally:
                self._finish(futures)
        for future in futures:
            future.result()

    def _take(self, working: int) -> Iterator[Extracted]:
        while working:
            slice_ = self._queue.get()
            if slice_ is None:
                working -= 1
            else:
                yield slice_

    def _finish(self, futures: Sequence[Future[None]]) -> None:
        """Let every thread come to its end: those that wait for room in the queue are given it."""
        self._stop.set()
        while not all(future.done() for future in futures):
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _work(self, job: Job, evidence: Evidence) -> None:
        try:
            for slice_ in self._extraction.run(job, evidence):
                self._queue.put(slice_)
        except OutOfTime:
            self._stop.set()
        except MatomoFatal as error:
            self.fatal = self.fatal or error
            self._stop.set()
        finally:
            if self._brings_summary(job):
                evidence.settle(job.days)
            self._queue.put(None)

    def _brings_summary(self, job: Job) -> bool:
        return any(source.call == SUMMARY.call for table in job.tables for source in table.sources_of(self._version))
