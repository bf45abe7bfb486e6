"""The worker pool: threads that work off a schedule side by side; the slices come out one by one."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial

from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, OutOfTime, Stopped
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.schedule import Schedule, Task
from matomo_fn.unforeseen import note_unforeseen

# Slices that wait between the worker threads and the one that writes: bounds the memory that they take.
_WAITING = 64
# Seconds between two looks at whether the pool has been abandoned, of a thread that waits for room in the queue.
_LOOK_EVERY = 0.05
# Seconds after which the caller gets its turn where no slice has come.
IDLE_SECONDS = 5.0


class WorkerPool:
    """Runs the tasks of a schedule by ``size`` threads; ``fatal`` is what ended them early, if anything did.

    The deadline is stopped by what is fatal, and by a caller that takes no more. Then every task ends at once: no
    thread waits for an answer, a retry or the rate limit.
    """

    def __init__(self, size: int, deadline: Deadline) -> None:
        self._size = size
        self._deadline = deadline
        self.fatal: MatomoFatal | None = None

    def run(
        self,
        schedule: Schedule,
        extract: Callable[[Task, Schedule], Iterator[Extracted]],
        *,
        idle: float = IDLE_SECONDS,
    ) -> Generator[Extracted | None, None, None]:
        """Yield the slices of all tasks as they come, and None whenever none has come for ``idle`` seconds.

        A caller that closes the generator early stops the deadline.
        """
        slices = _Handover()
        with ThreadPoolExecutor(self._size, thread_name_prefix="matomo") as threads:
            futures = [
                threads.submit(copy_context().run, self._work, schedule, extract, slices) for _ in range(self._size)
            ]
            try:
                yield from slices.take(len(futures), idle)
            except BaseException:
                slices.abandon()
                self._deadline.stop()
                raise
        for future in futures:
            future.result()

    def _work(
        self, schedule: Schedule, extract: Callable[[Task, Schedule], Iterator[Extracted]], slices: "_Handover"
    ) -> None:
        """Do one task after another until there is none any more, or something ends the run."""
        try:
            while not self._deadline.is_stopped and (task := schedule.take()) is not None:
                try:
                    self._do(task, partial(extract, task, schedule), slices)
                finally:
                    schedule.finish(task)
        finally:
            slices.put(None)

    def _do(self, task: Task, extract: Callable[[], Iterator[Extracted]], slices: "_Handover") -> None:
        handed_over = set()
        try:
            for extracted in extract():
                handed_over.add(extracted.slice)
                slices.put(extracted)
        except (OutOfTime, Stopped):
            self._deadline.stop()
        except MatomoFatal as error:
            self.fatal = self.fatal or error
            self._deadline.stop()
        except Exception as error:  # noqa: BLE001 - it costs the slices of this task, and no other
            job = task.jobs[0]
            sentence = note_unforeseen(error, site=job.site.id, table=job.tables[0].name)
            for slice_ in task.slices:
                if slice_ not in handed_over:
                    slices.put(Extracted.failed(slice_, sentence))


class _Handover:
    """The queue between the worker threads and the caller; None in it tells that a thread has ended."""

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

    def take(self, threads: int, idle: float) -> Iterator[Extracted | None]:
        """Yield what comes until so many threads have ended, and None after ``idle`` seconds without anything."""
        while threads:
            try:
                item = self._queue.get(timeout=idle)
            except queue.Empty:
                yield None
                continue
            if item is None:
                threads -= 1
            else:
                yield item

    def abandon(self) -> None:
        """Let the threads go on without handing anything over."""
        self._abandoned.set()
