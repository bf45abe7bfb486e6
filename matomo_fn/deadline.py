"""When a run has to end: at a point in time, or as soon as it is told to stop."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

# Seconds kept for loading, merging and logging what was fetched: a merge takes a few seconds, thirteen a few more.
_RESERVE = 60.0
# Seconds that a call of the warehouse gets at least, also past the end: what was fetched would otherwise be lost, and
# the platform's own timeout is a minute later.
_WAREHOUSE_FLOOR = 15.0
# Seconds of the time after an interruption that are kept for the log: without its rows, everything that was written is
# fetched again.
_LOG_RESERVE = 3.5


class Deadline:
    """A point in time, ``seconds`` from now (0: none), and whether the run was told to stop before it; thread-safe.

    Requests to Matomo end at what remains less a reserve for writing, and at once when the run is stopped. Writing
    goes on to the end. After an interruption it has a time of its own, and everything else in the warehouse none.
    """

    def __init__(self, seconds: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds if seconds else math.inf
        self._reserve = min(_RESERVE, seconds / 4)
        self._floor = min(_WAREHOUSE_FLOOR, self._reserve)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._grace_end = math.inf
        self._is_writing = False
        self._log_reserve = 0.0
        self._interrupted = threading.Event()
        self._of_thread = threading.local()
        self.interrupted_by: str | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether no further request may begin, however much time remains."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Let no further request begin, and end every wait for one.

        Not to be called by a signal handler, which may have interrupted the thread that holds the lock.
        """
        with self._lock:
            self._stopped.set()
            listeners = list(self._listeners)
        for listener in listeners:
            listener()

    def interrupt(self, by: str, grace: float = math.inf) -> None:
        """Stop because somebody outside wants the run to end; ``by`` names who, such as a signal.

        ``grace``: seconds from now, in which what was fetched has to be written and logged.
        """
        if self.interrupted_by is None:
            self._grace_end = self._clock() + grace
            self.interrupted_by = by
            self._interrupted.set()
        self.stop()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Let the block write what was fetched, also after an interruption, up to the time that is kept for the log."""
        self._is_writing, self._log_reserve = True, _LOG_RESERVE
        try:
            yield
        finally:
            self._is_writing = False

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Let the block log what was written, also in the time that is kept for that."""
        before = self._is_writing, self._log_reserve
        self._is_writing, self._log_reserve = True, 0.0
        try:
            yield
        finally:
            self._is_writing, self._log_reserve = before

    @contextmanager
    def on_stop(self, listener: Callable[[], None]) -> Iterator[None]:
        """Call a function when the run is stopped, at once where it is already, until the block ends."""
        with self._lock:
            self._listeners.append(listener)
            stopped = self.is_stopped
        try:
            if stopped:
                listener()
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    def pause(self, seconds: float) -> None:
        """Sleep, but no longer than until the run is stopped."""
        self._stopped.wait(seconds)

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Let the requests that this thread makes in the block take no longer than so many seconds, all together."""
        self._of_thread.end = self._clock() + seconds
        try:
            yield
        finally:
            self._of_thread.end = math.inf

    def time_for_requests(self) -> float:
        """Return the seconds in which Matomo may be requested and the answer still be written; may be infinite."""
        if self.is_stopped:
            return 0.0
        now = self._clock()
        return max(0.0, min(self._end - now - self._reserve, getattr(self._of_thread, "end", math.inf) - now))

    @property
    def is_over(self) -> bool:
        """Whether no thread may request anything any more."""
        return self.is_stopped or self._end - self._clock() <= self._reserve

    def allows_requests(self) -> bool:
        """Return whether another request may begin."""
        return self.time_for_requests() > 0

    def limit_request(self, seconds: float) -> float:
        """Return the seconds that a request may take, at most ``seconds``; always more than 0."""
        return max(0.001, min(seconds, self.time_for_requests()))

    def remaining(self) -> float:
        """Return the seconds for the warehouse; infinite where there is no end.

        Never less than writing needs, unless the run was interrupted: then 0 where it writes nothing.
        """
        seconds = max(self._floor, self._end - self._clock())
        if self.interrupted_by is None:
            return seconds
        grace = self._grace_end - self._log_reserve - self._clock() if self._is_writing else 0.0
        return max(0.0, min(seconds, grace))

    def limit(self, seconds: float) -> float:
        """Return the seconds that a call of the warehouse may take, at most ``seconds``."""
        return min(seconds, self.remaining())

    def pause_writing(self, seconds: float) -> None:
        """Sleep, but no longer than until the run is interrupted, or the time after that is up."""
        if self._interrupted.is_set():
            time.sleep(self.limit(seconds))
        else:
            self._interrupted.wait(seconds)

    def wait_for(self, answer: Future[Any], at_least: float = 0.0) -> None:
        """Wait for a call of the warehouse until it has ended, or the time after an interruption is up.

        ``at_least``: seconds from now that it has in any case.
        """
        end = self._clock() + at_least
        woken = threading.Event()
        answer.add_done_callback(lambda _: woken.set())
        with self.on_stop(woken.set):
            while not answer.done():
                if self.interrupted_by is None:
                    woken.wait()
                else:
                    seconds = max(self.remaining(), end - self._clock())
                    if seconds <= 0:
                        return
                    woken.wait(None if math.isinf(seconds) else seconds)
                woken.clear()  # what it was set for is looked at by the next turn
