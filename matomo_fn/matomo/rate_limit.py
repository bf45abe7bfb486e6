"""How often Matomo may be called: it is somebody's production server."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

_MINUTE = 60.0
# Seconds by which a sleep that nobody cut short may be too short.
_CUT_SHORT = 0.05


class RateLimit:
    """At most ``per_minute`` calls in any 60 seconds, and none while the server has asked to wait.

    ``clock`` gives seconds that only grow. ``sleep`` may return early, when nobody needs the call any more.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._starts: deque[float] = deque(maxlen=per_minute)
        self._held_until = 0.0
        self._lock = threading.Lock()

    def wait(self, most: float = math.inf) -> bool:
        """Return True as soon as one more call may start, which is counted.

        Return False at once, and count nothing, where that would be in more than ``most`` seconds.
        """
        end = self._clock() + most
        while True:
            with self._lock:
                now = self._clock()
                start = max(now, self._held_until)
                if len(self._starts) == self._starts.maxlen:
                    start = max(start, self._starts[0] + _MINUTE)
                if start > end:
                    return False
                self._starts.append(start)
            if start <= now:
                return True
            self._sleep(start - now)
            with self._lock:
                # Meanwhile the server may have asked to wait longer. The call is then counted once more, since it goes
                # out at another time; a sleep that was cut short is of a call that goes nowhere.
                if self._clock() < start - _CUT_SHORT or self._held_until <= start:
                    return True

    def hold(self, seconds: float) -> None:
        """Let no call start before that many seconds have passed: the server is over its limits."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)
