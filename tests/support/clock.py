"""A clock of the time budget that only the answers of Matomo move, so that no test depends on a machine's speed."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING
from unittest import mock

from matomo_fn.app import wiring
from matomo_fn.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Clock:
    """Seconds that pass by ``taking`` alone."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._seconds = 0.0

    def __call__(self) -> float:
        """The time."""
        return self._seconds

    def taking(self, seconds: float) -> Callable[[object], object]:
        """A change for a ``Fault``: the answer stays as it is, and has taken so many seconds."""

        def answered(answer: object) -> object:
            self._seconds += seconds
            return answer

        return answered


@contextlib.contextmanager
def budget_by(clock: Clock) -> Iterator[None]:
    """Measure the time budget of runs by a clock."""
    with mock.patch.object(wiring, "Deadline", functools.partial(Deadline, clock=clock)):
        yield
