"""Calls that can be walked away from, and the gate that they pass: real threads, and answers that do not come."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoFatal, MatomoUnavailable, OutOfTime, Stopped, TokenRefused
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.gate import Gate
from matomo_fn.matomo.interruptible import InterruptibleTransport
from matomo_fn.matomo.rate_limit import RateLimit
from tests.support.recordings import UNLIMITED, Scripted, as_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REFUSED = as_json({"result": "error", "message": "Unable to authenticate"}, 401)


class Silent:
    """A Matomo that does not answer until the test is over."""

    def __init__(self) -> None:
        self.requested = threading.Event()
        self.over = threading.Event()

    def __call__(self, _method: str, _form: Mapping[str, str]) -> object:
        """Answer too late."""
        self.requested.set()
        self.over.wait()
        return {"value": "5.2.0"}


@pytest.fixture
def silent() -> Iterator[Silent]:
    """A Matomo that does not answer."""
    matomo = Silent()
    yield matomo
    matomo.over.set()


def exchanges() -> int:
    return sum(thread.name == "exchange" for thread in threading.enumerate())


@pytest.mark.timeout(20)
def test_a_stop_ends_a_call_whose_answer_does_not_come(silent: Silent) -> None:
    """Whoever waits for it goes on; the next call does not begin."""
    deadline = Deadline()
    transport = InterruptibleTransport(Scripted(silent), deadline)

    def stop() -> None:
        silent.requested.wait()
        deadline.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    for _ in range(2):
        with pytest.raises(Stopped):
            transport.post("API.getMatomoVersion", {})
    stopper.join()


@pytest.mark.timeout(20)
def test_the_end_of_the_time_for_requests_ends_such_a_call(silent: Silent) -> None:
    """A quarter of a second, less a quarter of that; it is the run's time and no failure of Matomo."""
    transport = InterruptibleTransport(Scripted(silent), Deadline(0.25))
    with pytest.raises(OutOfTime):
        transport.post("API.getMatomoVersion", {})


def test_answers_and_errors_come_back_and_threads_are_used_again() -> None:
    """One after the other, all calls take one helper; they end with the transport."""
    before = exchanges()
    failure = MatomoUnavailable("down")
    answers = iter([{"a": 1}, failure, {"a": 2}])
    transport = InterruptibleTransport(Scripted(lambda *_: next(answers)), Deadline())
    assert transport.post("x", {}).body == b'{"a": 1}'
    with pytest.raises(MatomoUnavailable) as raised:
        transport.post("x", {})
    assert raised.value is failure
    assert transport.post("x", {}).body == b'{"a": 2}'
    assert exchanges() == before + 1


@pytest.mark.timeout(20)
def test_the_thread_of_a_call_that_was_left_ends_with_its_exchange(silent: Silent) -> None:
    """Nothing piles up in an instance that lives on."""
    before = set(threading.enumerate())
    with pytest.raises(OutOfTime):
        InterruptibleTransport(Scripted(silent), Deadline(0.1)).post("x", {})
    (left,) = (thread for thread in threading.enumerate() if thread not in before and thread.name == "exchange")
    silent.over.set()
    left.join()


# ---- the gate


@pytest.mark.timeout(60)
@pytest.mark.parametrize("threads", [1, 3, 32])
def test_a_refused_token_is_sent_three_times_at_most(threads: int) -> None:
    """However many threads are at it; each of them is told that it is over."""
    transport = Scripted(lambda *_: REFUSED)
    deadline = Deadline()
    client = MatomoClient(transport, RateLimit(UNLIMITED), deadline)
    start = threading.Barrier(threads)
    errors: list[MatomoFatal] = []

    def call() -> None:
        start.wait()
        try:
            client.version()
        except MatomoFatal as error:
            errors.append(error)

    workers = [threading.Thread(target=call) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert 1 <= len(transport.asked) <= 3
    assert client.calls == len(transport.asked)
    assert len(errors) == threads
    assert sum(isinstance(error, TokenRefused) for error in errors) == len(transport.asked)
    assert deadline.is_stopped


@pytest.mark.timeout(60)
def test_a_fourth_call_waits_until_one_of_three_cannot_have_been_refused() -> None:
    """No time has passed and none came back: each of the three may carry a token that was revoked."""
    passed, fourth_looked, refused = threading.Semaphore(0), threading.Event(), threading.Event()
    told: list[type[MatomoFatal]] = []

    def clock() -> float:
        if threading.current_thread().name == "fourth":
            fourth_looked.set()
        return 0.0

    gate = Gate(Deadline(), RateLimit(UNLIMITED), clock=clock)

    def call() -> None:
        try:
            with gate.passing():
                passed.release()
                refused.wait()
                raise TokenRefused
        except MatomoFatal as error:
            told.append(type(error))

    workers = [threading.Thread(target=call, name=name) for name in ("first", "second", "third", "fourth")]
    for worker in workers[:3]:
        worker.start()
        passed.acquire()
    workers[3].start()
    fourth_looked.wait()
    refused.set()
    for worker in workers:
        worker.join()
    assert not passed.acquire(blocking=False)
    assert sorted(kind.__name__ for kind in told) == ["Stopped", *["TokenRefused"] * 3]


@given(st.lists(st.integers(0, 64 * 60), max_size=4))
def test_a_fourth_call_waits_four_times_as_long_as_the_fastest_answer_took(took: list[int]) -> None:
    """A refusal is about as fast; slower answers before or after it change nothing. In 64ths of a second."""
    seconds = 0.0

    class Waits(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            nonlocal seconds
            assert timeout is not None
            seconds += timeout
            return False

    deadline = Deadline()
    with mock.patch.object(threading, "Condition", Waits):
        gate = Gate(deadline, RateLimit(UNLIMITED), clock=lambda: seconds)
    for each in took:
        with gate.passing():
            seconds += each / 64
    began = seconds
    with ExitStack() as out:
        for _ in range(3):
            out.enter_context(gate.passing())
        assert seconds == began
        out.enter_context(gate.passing())
        assert seconds - began == max(0.25, 4 * min([5, *(each / 64 for each in took)]))


@pytest.mark.timeout(60)
def test_calls_that_take_longer_than_a_refusal_do_not_hold_the_others(silent: Silent) -> None:
    """A slow report may have as many threads as the connector allows."""
    seconds = 0.0
    gate = Gate(Deadline(), RateLimit(UNLIMITED), clock=lambda: seconds)
    with gate.passing():
        pass  # an answer that took no time: a refusal would take no more than a quarter of a second
    passed = []

    def call() -> None:
        with gate.passing():
            passed.append(1)
            silent.over.wait()

    workers = [threading.Thread(target=call, daemon=True) for _ in range(8)]
    for worker in workers:
        worker.start()
    while len(passed) < 8:
        seconds += 0.001
    silent.over.set()
    for worker in workers:
        worker.join()
