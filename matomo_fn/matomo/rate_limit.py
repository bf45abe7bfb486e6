"""How often Matomo may be called: it is somebody's production server."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable

_MINUTE = 60.0


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
        with self._lock:
            now = self._clock()
            start = max(now, self._held_until)
            if len(self._starts) == self._starts.maxlen:
                start = max(start, self._starts[0] + _MINUTE)
            if start - now > most:
                return False
            self._starts.append(start)
        if start > now:
            self._sleep(start - now)
        return True

    def hold(self, seconds: float) -> None:
        """Let no call start before that many seconds have passed: the server is over its limits."""
        with self._lock:
            self._held_until = max(self._held_until, self._clock() + seconds)
