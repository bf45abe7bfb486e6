"""How often Matomo may be asked: by a clock that only sleeping moves."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.matomo.rate_limit import RateLimit, Share, Used, live_calls


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
    """The limit costs nothing to one who keeps it."""
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
    """Eight threads that ask at once get as many calls as one would."""
    limited = RateLimit(10, clock=lambda: 0.0)
    taken: list[bool] = []

    def five_calls() -> None:
        taken.extend(limited.take() for _ in range(5))

    threads = [threading.Thread(target=five_calls) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (taken.count(True), len(taken)) == (10, 40)
    assert limited.delay() == 60


# ---- shares


def windows(starts: list[tuple[float, int]]) -> tuple[int, int]:
    """The most calls, and the most Live calls, that any 60 seconds had; each start with its Live calls."""
    spans = [
        [live for later, live in starts[index:] if later < start + 60 - 1e-6] for index, (start, _) in enumerate(starts)
    ]
    return max(map(len, spans), default=0), max(map(sum, spans), default=0)


shares = st.builds(
    lambda concurrency, rate, live: Share(concurrency, rate, min(rate, live)),
    st.integers(1, 8),
    st.integers(1, 30),
    st.integers(1, 30),
)


@given(shares)
def test_slots_add_up_to_the_share_and_each_can_make_every_call(share: Share) -> None:
    """As many as there are calls at once, unless there are fewer calls a minute than that."""
    slots = share.split()
    assert len(slots) == min(share.concurrency, share.per_minute, share.live_per_minute)
    assert sum(slot.concurrency for slot in slots) == share.concurrency
    assert sum(slot.per_minute for slot in slots) == share.per_minute
    assert sum(slot.live_per_minute for slot in slots) == share.live_per_minute
    assert all(min(slot.concurrency, slot.per_minute, slot.live_per_minute) >= 1 for slot in slots)


@given(share=shares, calls=st.lists(st.tuples(st.floats(0, 40), st.integers(0, 3)), max_size=80))
def test_live_calls_keep_a_limit_of_their_own_within_that_of_all(share: Share, calls: list[tuple[float, int]]) -> None:
    """In every window of 60 seconds, whatever the pauses; a bulk call counts for all Live calls that it has."""
    clock = Clock()
    limited = RateLimit(clock=clock, sleep=clock.sleep)
    for number, slot in enumerate(share.split()):
        limited.grant(number, slot)
    starts = []
    for pause, live in calls:
        clock.now += pause
        assert limited.wait(live=min(live, share.live_per_minute))
        starts.append((clock.now, min(live, share.live_per_minute)))
    at_most, live_at_most = windows(starts)
    assert at_most <= share.per_minute
    assert live_at_most <= share.live_per_minute


def test_a_call_does_not_wait_behind_a_live_call() -> None:
    """Reports go on while the visits have used up their own limit."""
    clock = Clock()
    limited = RateLimit.whole(Share(4, 100, 1), clock.sleep)
    limited.clock = clock
    assert limited.take(live=1)
    assert limited.delay(live=1) == 60
    assert limited.delay() == 0


@given(
    share=shares,
    steps=st.lists(st.one_of(st.floats(0, 70), st.tuples(st.integers(0, 2), st.integers(0, 7))), max_size=120),
)
def test_slots_that_change_hands_bring_what_they_were_used_for(
    share: Share, steps: list[float | tuple[int, int]]
) -> None:
    """Each step passes time, or one of three runs calls, or takes a slot from another: no window has more."""
    clock = Clock()
    slots = share.split()
    runs = [RateLimit(clock=clock) for _ in range(3)]
    owner = dict.fromkeys(range(len(slots)), 0)
    for number, slot in enumerate(slots):
        runs[0].grant(number, slot)
    made: list[list[Used]] = [[] for _ in slots]
    starts = []
    for step in steps:
        if isinstance(step, float):
            clock.now += step
            continue
        run, number = step[0], step[1] % len(slots)
        if step[1] < 4:
            taken = 0
            live = step[1] % 2
            while runs[run].take(live):
                starts.append((clock.now, live))
                taken += 1
            assert taken <= share.per_minute
        else:
            made[number].append(runs[owner[number]].withdraw(number))
            owner[number] = run
            runs[run].grant(number, slots[number], Used.joined(made[number]))
    at_most, live_at_most = windows(starts)
    assert at_most <= share.per_minute
    assert live_at_most <= share.live_per_minute


def test_a_slot_that_was_never_used_costs_no_wait() -> None:
    """Neither does one whose calls are a minute old."""
    clock = Clock()
    limited = RateLimit(clock=clock)
    limited.grant(0, Share(1, 2, 2), Used(calls=(clock.now - 60, clock.now - 59)))
    assert limited.take()
    assert limited.delay() == 1
    limited.grant(1, Share(1, 1, 1))
    assert limited.take()


def test_no_call_starts_from_when_the_limit_has_ended() -> None:
    """Somebody else may have its slots by then."""
    clock = Clock()
    limited = RateLimit(100, clock)
    limited.valid_until = clock.now + 5
    assert limited.take()
    clock.now += 5
    assert not limited.take()
    limited.valid_until = clock.now + 1
    assert limited.take()


def test_calls_beyond_those_that_are_noted_are_noted_first() -> None:
    """A run that is killed is taken to have made every call that it had noted, and no more."""
    limited = RateLimit(clock=Clock())
    limited.grant(0, Share(1, 10, 10), ahead=2)
    noted: list[int] = []

    def extend() -> None:
        noted.append(3)
        limited.allow(3)

    limited.extend = extend
    made = 0
    for _ in range(6):
        limited.prepare()
        made += limited.take()
        assert made <= 2 + sum(noted)
    assert (made, noted) == (6, [3, 3])


@pytest.mark.parametrize(
    ("method", "form", "count"),
    [
        ("Live.getLastVisitsDetails", {"idSite": "1"}, 1),
        ("live.getCounters", {}, 1),
        ("VisitsSummary.get", {"segment": "method=Live.getCounters"}, 0),
        ("API.getBulkRequest", {"urls[0]": "method=VisitsSummary.get", "urls[1]": "method=UserCountry.getCountry"}, 0),
        ("API.getBulkRequest", {"urls[0]": "method=Live.getCounters&idSite=1", "urls[1]": "idSite=2&method=live.x"}, 2),
    ],
)
def test_live_calls_are_counted_also_inside_a_bulk_call(method: str, form: dict[str, str], count: int) -> None:
    """By the module's name, as Matomo Cloud counts them."""
    assert live_calls(method, form) == count
