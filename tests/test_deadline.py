"""When a run has to end: by the clock, and by being told to."""

from __future__ import annotations

import math
import threading
from concurrent.futures import Future
from time import monotonic

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
    """What was fetched is still to be written."""
    deadline = Deadline(1000, clock=lambda: 0.0)
    deadline.stop()
    assert (deadline.is_stopped, deadline.allows_requests(), deadline.interrupted_by) == (True, False, None)
    assert deadline.remaining() == 1000


def test_an_interruption_leaves_time_for_writing_and_logging_and_for_nothing_else() -> None:
    """The last seconds are the log's; who came first is remembered, and its time counts."""
    now = 0.0
    deadline = Deadline(1000, clock=lambda: now)
    with deadline.writing():
        assert deadline.remaining() == 1000
    deadline.interrupt("SIGTERM", 9)
    now = 2.0
    deadline.interrupt("SIGINT", 60)
    assert (deadline.is_stopped, deadline.allows_requests(), deadline.interrupted_by) == (True, False, "SIGTERM")
    assert deadline.remaining() == 0
    with deadline.writing():
        assert deadline.remaining() == 3.5
        with deadline.logging():
            assert deadline.remaining() == 7
        assert deadline.remaining() == 3.5
        now = 6.0
        assert (deadline.remaining(), deadline.limit(15)) == (0, 0)
    with deadline.logging():
        assert deadline.remaining() == 3
    assert deadline.remaining() == 0


def test_an_interruption_gives_no_more_time_than_there_was() -> None:
    """It comes two seconds before the end of the budget."""
    now = 0.0
    deadline = Deadline(1000, clock=lambda: now)
    now = 950.0
    deadline.interrupt("SIGINT", 60)
    with deadline.logging():
        assert deadline.remaining() == 50


@pytest.mark.timeout(20)
def test_a_call_of_the_warehouse_is_waited_for_until_the_time_after_an_interruption_is_up() -> None:
    """A stop alone does not end the wait; and a call may have some time in any case."""
    deadline, answer = Deadline(), Future[None]()
    waiting = threading.Thread(target=deadline.wait_for, args=(answer,))
    waiting.start()
    deadline.stop()
    assert waiting.is_alive()
    deadline.interrupt("SIGTERM", 9)
    waiting.join()  # nothing is written, so there is no time
    started = monotonic()
    deadline.wait_for(answer, 0.05)
    assert monotonic() - started >= 0.05
    with deadline.writing():
        threading.Timer(0.01, answer.set_result, [None]).start()
        deadline.wait_for(answer)
    assert answer.done()


@pytest.mark.timeout(20)
def test_an_interruption_ends_a_pause_between_two_looks_at_a_job() -> None:
    """A stop does not: looking without a pause would be a flood of calls."""
    deadline = Deadline()
    deadline.stop()
    started = monotonic()
    deadline.pause_writing(0.05)
    assert monotonic() - started >= 0.05
    waiting = threading.Thread(target=deadline.pause_writing, args=(250,))
    waiting.start()
    deadline.interrupt("SIGTERM", 9)
    waiting.join()
    deadline.pause_writing(250)  # nothing is written, so there is no time


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


def test_a_call_with_a_part_of_the_time_leaves_the_rest_to_others() -> None:
    """For its own thread the time ends earlier; for the run, and for other threads, it goes on."""
    seconds = [0.0]
    deadline = Deadline(100, clock=lambda: seconds[0])  # 25 of them are kept for writing
    others: list[float] = []
    with deadline.within(30):
        assert deadline.time_for_requests() == 30
        other = threading.Thread(target=lambda: others.append(deadline.time_for_requests()))
        other.start()
        other.join()
        seconds[0] = 30.0
        assert (deadline.time_for_requests(), deadline.is_over) == (0, False)
    assert (others, deadline.time_for_requests()) == ([75], 45)
    with deadline.within(60):
        assert deadline.time_for_requests() == 45
    seconds[0] = 75.0
    assert deadline.is_over
