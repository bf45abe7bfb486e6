"""When a run has to end: by the clock, and by being told to."""

from __future__ import annotations

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.deadline import Deadline


@given(st.floats(min_value=0.1, max_value=100_000), st.floats(min_value=0, max_value=200_000))
def test_requests_end_before_the_time_for_writing_begins(budget: float, passed: float) -> None:
    """A quarter of the budget is kept, a minute at most; and writing always has some time, however late it is."""
    now = 0.0
    deadline = Deadline(budget, clock=lambda: now)
    now = passed
    reserve = min(60, budget / 4)
    assert deadline.time_for_requests() == pytest.approx(max(0, budget - reserve - passed))
    assert deadline.allows_requests() == (deadline.time_for_requests() > 0)
    assert deadline.remaining() >= min(15, reserve)
    assert deadline.limit(1000) <= max(budget - passed, 15)


def test_without_an_end_everything_may_take_its_time() -> None:
    """0 is no budget at all."""
    deadline = Deadline()
    assert (deadline.time_for_requests(), deadline.remaining(), deadline.limit(7)) == (math.inf, math.inf, 7)


def test_a_stop_ends_requests_and_not_writing() -> None:
    """What was fetched is still to be written; who stopped it first is remembered."""
    deadline = Deadline(1000, clock=lambda: 0.0)
    deadline.interrupt("SIGTERM")
    deadline.interrupt("SIGINT")
    assert (deadline.is_stopped, deadline.allows_requests(), deadline.interrupted_by) == (True, False, "SIGTERM")
    assert deadline.remaining() == 1000


@pytest.mark.timeout(20)
def test_a_stop_ends_every_pause() -> None:
    """Of all threads, and those that come later do not begin."""
    deadline = Deadline()
    threads = [threading.Thread(target=deadline.pause, args=(250,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline.stop()
    deadline.pause(250)
    for thread in threads:
        thread.join()


def test_listeners_are_called_once_and_only_within_their_block() -> None:
    """Also one that comes when it has stopped."""
    deadline, called = Deadline(), []
    with deadline.on_stop(lambda: called.append("early")):
        pass
    with deadline.on_stop(lambda: called.append("first")):
        deadline.stop()
    with deadline.on_stop(lambda: called.append("late")):
        pass
    assert called == ["first", "late"]
