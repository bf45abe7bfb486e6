"""How long a run may still take."""

import time
from collections.abc import Callable

# Seconds kept for loading, merging and logging what was asked: a merge takes a few seconds, thirteen a few more.
_RESERVE = 60.0


class Deadline:
    """A point in time, ``seconds`` from now; 0 stands for no end at all."""

    def __init__(self, seconds: float = 0, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds if seconds else float("inf")
        self._reserve = min(_RESERVE, seconds / 4)

    def remaining(self) -> float:
        """Return the seconds that are left; infinite where there is no end."""
        return self._end - self._clock()

    def allows_asking(self) -> bool:
        """Return whether there is time to ask for more and still write it."""
        return self.remaining() > self._reserve

    def limit(self, seconds: float) -> float:
        """Return the seconds, or what is left where that is less; always more than 0."""
        return max(0.001, min(seconds, self.remaining()))
