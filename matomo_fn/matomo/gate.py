"""The gate that calls pass one by one: behind a refused token it is closed before a fourth call is out."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, OutOfTime, Stopped

# Calls that may be out while none of them can have been refused yet: 21 refusals block the address for an hour.
_UNPROVEN = 3
# A token is refused before the report is computed, so about as fast as the fastest answer of the run. A call that is
# out for so many times longer was not refused: at least ``_LEAST`` seconds. Before the first answer, and behind slow
# ones, the fastest is taken to be ``_MOST`` seconds: a fourth call waits for 20 seconds at most.
_TIMES, _LEAST, _MOST = 4.0, 0.25, 5.0


class Gate:
    """Lets calls out as long as none came back with an error that is fatal; thread-safe.

    The first of them closes it for good. At most ``_UNPROVEN`` calls are out that are too young to have been refused,
    so at most so many carry a token that was revoked meanwhile, whatever the number of threads.
    """

    def __init__(self, deadline: Deadline, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._clock = clock
        self._changed = threading.Condition()
        self._out: list[float] = []
        self._fastest = _MOST
        self._closed = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Wait until a call may go out, and let it: the block is the call.

        Raises Stopped where no call may go out any more, and OutOfTime where there is no time for one.
        """
        with self._changed:
            self._wait()
            started = self._clock()
            self._out.append(started)
        try:
            yield
        except MatomoFatal:
            with self._changed:
                self._closed = True
            self._deadline.stop()
            raise
        finally:
            with self._changed:
                self._out.remove(started)
                self._fastest = min(self._fastest, self._clock() - started)
                self._changed.notify_all()

    def _wait(self) -> None:
        while True:
            if self._closed or self._deadline.is_stopped:
                raise Stopped("the run has ended: nothing more is requested")
            if not self._deadline.allows_requests():
                raise OutOfTime("the time budget of the run leaves no time for another request")
            young = max(_LEAST, _TIMES * self._fastest)
            unproven = [started for started in self._out if self._clock() - started < young]
            if len(unproven) < _UNPROVEN:
                return
            self._changed.wait(max(0.01, min(unproven) + young - self._clock()))
