"""The tracking API: what is sent, what an answer means, and what proves that nothing was taken."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TOKEN, FakeMatomo
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.errors import AnswerLost, CallTooLarge, MatomoFatal, NotTaken, OutOfTime, Stopped
from matomo_fn.matomo.interruptible import InterruptibleTracking
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.tracking import Taken, Tracker
from matomo_fn.matomo.transport import HttpTransport, Reply
from tests.support.canary import CANARY, assert_absent
from tests.support.deliveries import small_world
from tests.support.ports import free_ports
from tests.support.recordings import read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HITS = [{"idsite": "1", "rec": "1", "e_n": f"n{number}"} for number in range(4)]


class Answering:
    """A transport that answers with replies, one after the other, or raises them; the last one goes on."""

    def __init__(self, *replies: Reply | Exception) -> None:
        """Hold the replies."""
        self.replies = list(replies)
        self.bodies: list[Mapping[str, Any]] = []

    def track(self, body: Mapping[str, Any], _seconds: float) -> Reply:
        """As the protocol has it."""
        self.bodies.append(body)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply

    def redact(self, text: str) -> str:
        """As the protocol has it."""
        return text.replace(CANARY, "***")


def reply(body: object, status: int = 200, **more: Any) -> Reply:
    """An answer."""
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, "application/json", more.get("retry_after"), more.get("location", ""), text)


def counts(tracked: int, invalid: int, *indices: int, **more: Any) -> dict[str, Any]:
    """Matomo's counts, with the positions that it tells super users."""
    found = {"status": "success", "tracked": tracked, "invalid": invalid, **more}
    return found | ({"invalid_indices": list(indices)} if indices or more.get("told") else {})


def send(transport: Answering, deadline: Deadline | None = None, left: float = 60.0, timeout: float = 20.0) -> Taken:
    """Send the hits without waiting between tries."""
    rate_limit = RateLimit(60_000, sleep=lambda _: None)
    tracker = Tracker(transport, rate_limit, deadline or Deadline(), timeout=timeout, sleep=lambda _: None)
    return tracker.send(HITS, lambda: left)


@pytest.mark.parametrize(
    ("name", "sent", "taken"),
    [
        ("trackbulk_ok", 3, Taken(3, 0, ())),
        ("trackbulk_some_bad", 4, Taken(3, 1, (2,))),
        ("trackbulk_first_bad", 3, Taken(2, 1, (0,))),
        ("trackbulk_view_token", 2, Taken(0, 2, None)),
        ("trackbulk_bad_token", 2, Taken(0, 2, None)),
        ("trackbulk_objects", 1, Taken(1, 0, ())),
    ],
)
def test_the_counts_of_a_recorded_answer_are_believed(name: str, sent: int, taken: Taken) -> None:
    """Where they account for every hit; without a super user's token Matomo does not say which are invalid."""
    tracker = Tracker(Answering(read(f"{name}.json").reply), RateLimit(100), Deadline(), timeout=20)
    assert tracker.send(HITS[:1] * sent, lambda: 60) == taken


@pytest.mark.parametrize(
    "answer",
    [
        reply(counts(3, 0)),
        reply(counts(4, 1)),
        reply(counts(3, 1, 7)),
        reply(counts(2, 2, 1)),
        reply(counts(2, 2, 1, 1)),
        reply(counts(3, 1) | {"invalid_indices": "1"}),
        reply(counts(4, 0) | {"status": "error"}),
        reply(counts(True, 3)),  # noqa: FBT003 - no number, as JSON has it
        reply(b""),
        reply(b"", 204),
        reply(b"GIF89a"),
        reply({"result": "error", "message": "no"}),
        reply(counts(4, 0), 500),
        *(reply(b"<html>", status) for status in (400, 408, 500, 502, 503, 504)),
        reply(counts(4, 0)["status"].encode() + CANARY.encode()),
    ],
)
def test_any_other_answer_leaves_open_what_was_taken(answer: Reply) -> None:
    """It is not tried again, and nobody's secret stands in the error."""
    transport = Answering(answer)
    with pytest.raises(AnswerLost) as caught:
        send(transport)
    assert len(transport.bodies) == 1
    assert_absent(error=str(caught.value))


@pytest.mark.parametrize("status", [301, 302, 307, 401, 403, 404, 405, 410])
def test_a_web_server_that_passes_nothing_on_ends_the_run(status: int) -> None:
    """With what to do about it."""
    transport = Answering(reply(b"<html>", status, location="https://elsewhere.example/matomo.php"))
    with pytest.raises(MatomoFatal, match=r"matomo_url|redirects"):
        send(transport)
    assert len(transport.bodies) == 1


def test_a_matomo_that_counts_nothing_tracks_nothing() -> None:
    """record_statistics = 0; also a body that something on the way has changed."""
    with pytest.raises(MatomoFatal, match="record_statistics"):
        send(Answering(reply(counts(0, 0))))


def test_what_certainly_was_not_taken_is_tried_again() -> None:
    """As long as there is time."""
    transport = Answering(NotTaken("no connection"), reply(b"", 429, retry_after=1.0), reply(counts(4, 0)))
    assert send(transport) == Taken(4, 0, ())
    transport = Answering(reply(b"", 429, retry_after=100.0))
    with pytest.raises(NotTaken, match="limits how often"):
        send(transport)
    assert len(transport.bodies) == 1
    transport = Answering(NotTaken("no connection"))
    with pytest.raises(NotTaken, match="no connection"):
        send(transport)
    assert len(transport.bodies) == 5


def test_a_call_that_is_too_large_is_not_tried_again() -> None:
    """Its sender makes it smaller."""
    transport = Answering(reply(b"<html>", 413))
    with pytest.raises(CallTooLarge):
        send(transport)
    assert len(transport.bodies) == 1


def test_no_call_begins_that_cannot_end_in_time() -> None:
    """Neither behind the end of a claim, nor of the run, nor where that was stopped."""
    with pytest.raises(OutOfTime):
        send(Answering(reply(counts(4, 0))), left=9.0)
    with pytest.raises(OutOfTime):
        send(Answering(reply(counts(4, 0))), Deadline(9.0))
    stopped = Deadline()
    stopped.stop()
    with pytest.raises((Stopped, OutOfTime)):
        send(Answering(reply(counts(4, 0))), stopped)


def test_half_a_surrogate_pair_does_not_spoil_the_call() -> None:
    """PHP reads no JSON that has one, and would take none of the hits."""
    transport = Answering(reply(counts(1, 0)))
    Tracker(transport, RateLimit(10), Deadline(), timeout=20).send([{"e_n": "a\ud83d"}], lambda: 60)
    assert transport.bodies[0] == {"requests": [{"e_n": "a\ufffd"}]}


# ---- over HTTP


def test_the_token_is_in_the_body_alone() -> None:
    """In no URL and no header; hits are objects, which need no encoding."""
    with FakeMatomo(small_world()) as matomo:
        transport = HttpTransport(matomo.url, Token(TOKEN), timeout=10, deadline=Deadline())
        hits = [{"idsite": "1", "rec": "1", "e_c": "C", "e_a": "A & B=c? é", "cip": "81.2.69.142"}]
        answer = transport.track({"requests": hits}, 10)
        assert json.loads(answer.body)["tracked"] == 1
        (hit,) = matomo.hits
        assert (hit.params["e_a"], hit.params["cip"]) == ("A & B=c? é", "81.2.69.142")


def closing(answer: bytes) -> str:
    """The address of a server that answers once with some bytes and hangs up."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        connection.recv(65_536)
        connection.sendall(answer)
        connection.close()
        server.close()

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{server.getsockname()[1]}/"


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", b"garbage\r\n\r\n"])
def test_a_connection_that_breaks_off_leaves_open_what_was_taken(answer: bytes) -> None:
    """The request was out."""
    transport = HttpTransport(closing(answer), Token(CANARY), timeout=5, deadline=Deadline())
    with pytest.raises(AnswerLost) as caught:
        transport.track({"requests": []}, 5)
    assert_absent(error=str(caught.value))


def test_without_a_connection_nothing_was_taken() -> None:
    """Refused, or no such name."""
    (port,) = free_ports(1)
    for url in (f"http://127.0.0.1:{port}/", "http://no-such-host.invalid/"):
        transport = HttpTransport(url, Token(CANARY), timeout=5, deadline=Deadline())
        with pytest.raises(NotTaken):
            transport.track({"requests": []}, 5)


def test_an_exchange_ends_with_the_seconds_that_it_has() -> None:
    """So none is out when a claim ends."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        transport = HttpTransport(url, Token(CANARY), timeout=60, deadline=Deadline())
        with pytest.raises(AnswerLost, match=r"within 0\.2 seconds|in time"):
            transport.track({"requests": []}, 0.2)


@pytest.mark.parametrize("is_late", [True, False])
def test_a_stopped_run_waits_some_seconds_for_an_answer(monkeypatch: pytest.MonkeyPatch, *, is_late: bool) -> None:
    """Most come within one, and one that is not waited for has to be settled."""
    monkeypatch.setattr("matomo_fn.matomo.interruptible._PATIENCE", 0.05 if is_late else 30.0)
    deadline = Deadline()
    may_answer = threading.Event()

    class Slow(Answering):
        def track(self, body: Mapping[str, Any], seconds: float) -> Reply:
            deadline.interrupt("SIGTERM", 8)
            if is_late:
                may_answer.wait(30)
            return super().track(body, seconds)

    def track() -> Reply:
        return InterruptibleTracking(Slow(reply(counts(4, 0))), deadline).track({}, 10)

    check: Callable[[], Any] = track
    if is_late:
        with pytest.raises(AnswerLost, match="before the answer came"):
            check()
    else:
        assert check().status == 200
    may_answer.set()
