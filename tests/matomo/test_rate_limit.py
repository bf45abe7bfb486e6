"""How often Matomo may be asked: by a clock that only sleeping moves."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.matomo.rate_limit import RateLimit


class Clock:
    """Seconds that pass by sleeping, or by ``pass_by``."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and remember it."""
        self.slept.append(seconds)
        self.now += seconds


def rate_limit(per_minute: int) -> tuple[RateLimit, Clock]:
    clock = Clock()
    return RateLimit(per_minute, clock, clock.sleep), clock


@given(
    st.integers(min_value=1, max_value=20),
    st.lists(
        st.one_of(st.floats(min_value=0, max_value=90), st.tuples(st.floats(min_value=0, max_value=200))), max_size=80
    ),
)
def test_never_more_calls_than_allowed_start_in_any_sixty_seconds(
    per_minute: int, pauses: list[float | tuple[float]]
) -> None:
    """Whatever the pauses between the calls and whatever waits the server asks for (here in tuples)."""
    limited, clock = rate_limit(per_minute)
    starts = []
    held = 0.0
    for pause in pauses:
        if isinstance(pause, tuple):
            limited.hold(pause[0])
            held = max(held, clock.now + pause[0])
            continue
        clock.now += pause
        limited.wait()
        starts.append(clock.now)
        assert clock.now >= held - 1e-6
    for first, later in zip(starts, starts[per_minute:], strict=False):
        assert later - first >= 60 - 1e-6


def test_calls_within_the_limit_do_not_wait() -> None:
    """The limit costs nothing to whoever keeps it."""
    limited, clock = rate_limit(3)
    for _ in range(3):
        limited.wait()
    assert clock.slept == []


def test_the_call_past_the_limit_waits_for_the_first_one_to_be_a_minute_old() -> None:
    """Not longer, and the one behind it waits for the second."""
    limited, clock = rate_limit(2)
    limited.wait()
    clock.now += 10
    limited.wait()
    limited.wait()
    limited.wait()
    assert clock.slept == [50.0, 10.0]


def test_a_hold_lets_no_call_start_before_it_is_over() -> None:
    """The server is over its limits: all calls wait, once each."""
    limited, clock = rate_limit(100)
    limited.hold(30)
    limited.wait()
    limited.wait()
    assert clock.slept == [30.0]


def test_a_shorter_hold_does_not_end_a_longer_one() -> None:
    """Two answers may ask for different waits."""
    limited, clock = rate_limit(100)
    limited.hold(30)
    limited.hold(5)
    limited.wait()
    assert clock.slept == [30.0]


@pytest.mark.timeout(20)
def test_calls_of_several_threads_share_the_limit() -> None:
    """Eight threads that ask at once get the starts that one would get."""
    waits: list[float] = []
    limited = RateLimit(10, clock=lambda: 0.0, sleep=waits.append)

    def five_calls() -> None:
        for _ in range(5):
            limited.wait()

    threads = [threading.Thread(target=five_calls) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == [60.0] * 10 + [120.0] * 10 + [180.0] * 10


def test_a_call_that_waits_waits_longer_where_the_server_asks_for_it_meanwhile() -> None:
    """Its wait was over in the middle of the longer one, and it went out."""
    clock = Clock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if len(clock.slept) == 1:  # another call has come back in this moment
            limited.hold(7)

    limited = RateLimit(60, clock, sleep)
    limited.hold(5)
    assert limited.wait()
    assert clock.slept == [5.0, 7.0]
