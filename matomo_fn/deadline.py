"""When a run has to end: at a point in time, or as soon as it is told to stop."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Seconds kept for loading, merging and logging what was fetched: a merge takes a few seconds, thirteen a few more.
_RESERVE = 60.0
# Seconds that a call of the warehouse gets at least, also past the end: what was fetched would otherwise be lost, and
# the platform's own timeout is a minute later.
_WAREHOUSE_FLOOR = 15.0


class Deadline:
    """A point in time, ``seconds`` from now (0: none), and whether the run was told to stop before it; thread-safe.

    Requests to Matomo end at what remains less a reserve for writing, and at once when the run is stopped. Writing
    goes on to the end.
    """

    def __init__(self, seconds: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds if seconds else math.inf
        self._reserve = min(_RESERVE, seconds / 4)
        self._floor = min(_WAREHOUSE_FLOOR, self._reserve)
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []
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

    def interrupt(self, by: str) -> None:
        """Stop because somebody outside wants the run to end; ``by`` names who, such as a signal."""
        self.interrupted_by = self.interrupted_by or by
        self.stop()

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

    def time_for_requests(self) -> float:
        """Return the seconds in which Matomo may be requested and the answer still be written; may be infinite."""
        return 0.0 if self.is_stopped else max(0.0, self._end - self._clock() - self._reserve)

    def allows_requests(self) -> bool:
        """Return whether another request may begin."""
        return self.time_for_requests() > 0

    def limit_request(self, seconds: float) -> float:
        """Return the seconds that a request may take, at most ``seconds``; always more than 0."""
        return max(0.001, min(seconds, self.time_for_requests()))

    def remaining(self) -> float:
        """Return the seconds for writing; infinite where there is no end, and never less than writing needs."""
        return max(self._floor, self._end - self._clock())

    def limit(self, seconds: float) -> float:
        """Return the seconds that a call of the warehouse may take, at most ``seconds``."""
        return min(seconds, self.remaining())
