"""The worker pool: threads that run extraction jobs side by side; the slices come out one by one."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from matomo_fn.errors import MatomoFatal, OutOfTime
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.jobs import Job

# Slices that wait between the worker threads and the one that writes: bounds the memory that they take.
_WAITING = 64
# Seconds between two looks at whether the pool has been stopped, of a thread that waits for room in the queue.
_LOOK_EVERY = 0.05


class WorkerPool:
    """Runs jobs by at most ``size`` threads; ``fatal`` is what ended them early, if anything did.

    ``stop`` is set when no further request may begin: by the caller, by a fatal error, or when the time is up.
    """

    def __init__(self, size: int, stop: threading.Event) -> None:
        self._size = size
        self._stop = stop
        self.fatal: MatomoFatal | None = None

    def run(
        self, jobs: Sequence[Job], extract: Callable[[Job], Iterator[Extracted]]
    ) -> Generator[Extracted, None, None]:
        """Yield the slices of all jobs as they come.

        A caller that closes the generator early stops the threads at their next slice.
        """
        slices = _Handover()
        with ThreadPoolExecutor(self._size, thread_name_prefix="matomo") as threads:
            futures = [threads.submit(copy_context().run, self._work, job, extract, slices) for job in jobs]
            try:
                yield from slices.take(len(futures))
            except BaseException:
                self._stop.set()
                slices.abandon()
                raise
        for future in futures:
            future.result()

    def _work(self, job: Job, extract: Callable[[Job], Iterator[Extracted]], slices: "_Handover") -> None:
        try:
            for extracted in extract(job):
                slices.put(extracted)
        except OutOfTime:
            self._stop.set()
        except MatomoFatal as error:
            self.fatal = self.fatal or error
            self._stop.set()
        finally:
            slices.put(None)


class _Handover:
    """The queue between the worker threads and the caller; None in it tells that a job has ended."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Extracted | None] = queue.Queue(_WAITING)
        self._abandoned = threading.Event()

    def put(self, item: Extracted | None) -> None:
        """Hand over an item; where nobody takes any more, drop it, so that no thread waits for ever."""
        while not self._abandoned.is_set():
            try:
                self._queue.put(item, timeout=_LOOK_EVERY)
            except queue.Full:
                continue
            return

    def take(self, jobs: int) -> Iterator[Extracted]:
        """Yield what comes until so many jobs have ended."""
        while jobs:
            item = self._queue.get()
            if item is None:
                jobs -= 1
            else:
                yield item

    def abandon(self) -> None:
        """Let the threads go on without handing anything over."""
        self._abandoned.set()
