"""The gate that calls pass one by one: behind a refused token it is closed before a fourth call is out."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, OutOfTime, Stopped
from matomo_fn.matomo.rate_limit import RateLimit

# Calls that may be out while none of them can have been refused yet: 21 refusals block the address for an hour.
_UNPROVEN = 3
# A token is refused before the report is computed, so about as fast as the fastest answer of the run. A call that is
# out for so many times longer was not refused: at least ``_LEAST`` seconds. Before the first answer, and behind slow
# ones, the fastest is taken to be ``_MOST`` seconds: a fourth call waits for 20 seconds at most.
_TIMES, _LEAST, _MOST = 4.0, 0.25, 5.0
# Seconds between two looks at whether the run has ended, of a thread that waits for another call's end.
_LOOK_EVERY = 0.25


class Gate:
    """Lets calls out, as many at once and a minute as the rate limit allows, as long as none was fatal; thread-safe.

    The first call that comes back with an error that is fatal closes it for good. At most ``_UNPROVEN`` calls are out
    that are too young to have been refused, so at most so many carry a token that was revoked meanwhile, whatever the
    number of threads. A call is counted at the moment in which it goes out.
    """

    def __init__(self, deadline: Deadline, rate_limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline = deadline
        self._rate_limit = rate_limit
        self._clock = clock
        self._changed = threading.Condition()
        self._out: list[float] = []
        self._fastest = _MOST
        self._closed = False

    @contextmanager
    def passing(self, live: int = 0) -> Iterator[None]:
        """Wait until a call may go out, and let it: the block is the call. ``live``: how many ``Live`` calls it is.

        Raises Stopped where no call may go out any more, and OutOfTime where there is no time for one.
        """
        started = self._go_out(live)
        try:
            yield
        except MatomoFatal:
            with self._changed:
                self._closed = True
            self._deadline.stop()
            raise
        finally:
            self._rate_limit.done()
            with self._changed:
                self._out.remove(started)
                self._fastest = min(self._fastest, self._clock() - started)
                self._changed.notify_all()

    def _go_out(self, live: int) -> float:
        while True:
            self._rate_limit.prepare(live)
            with self._changed:
                self._wait()
                # Only here, so that no wait is between the count and the call.
                if self._rate_limit.take(live):
                    started = self._clock()
                    self._out.append(started)
                    return started
            seconds = self._rate_limit.delay(live)
            if seconds > self._deadline.time_for_requests():
                self._refuse()
                raise OutOfTime("the time for requests is up before requests_per_minute allows another call")
            self._rate_limit.sleep(seconds)

    def _refuse(self) -> None:
        """Raise what keeps every call from going out."""
        if self._closed or self._deadline.is_stopped:
            raise Stopped("the run has ended: nothing more is requested")
        if not self._deadline.allows_requests():
            raise OutOfTime("the time budget of the run leaves no time for another request")

    def _wait(self) -> None:
        """Wait until as many calls are out as may be, at once and unproven."""
        while True:
            self._refuse()
            if len(self._out) >= max(1, self._rate_limit.concurrency):
                self._changed.wait(_LOOK_EVERY)
                continue
            young = max(_LEAST, _TIMES * self._fastest)
            unproven = [started for started in self._out if self._clock() - started < young]
            if len(unproven) < _UNPROVEN:
                return
            self._changed.wait(max(0.01, min(unproven) + young - self._clock()))
