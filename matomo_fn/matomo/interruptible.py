"""Calls that can be abandoned: an exchange runs on a thread of its own, and the thread that waits for it may go on."""

import math
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from matomo_fn.daemon_threads import DaemonThreads
from matomo_fn.deadline import Deadline
from matomo_fn.errors import AnswerLost, NotAnswered, OutOfTime, Stopped
from matomo_fn.matomo.transport import TRACKER, Reply, TrackingTransport, Transport

# Seconds that the answer to hits is waited for after a signal. Most come within one, and an answer that was not waited
# for costs a question to Matomo. After SIGTERM eight remain for everything.
_PATIENCE = 3.0


class InterruptibleTransport:
    """A transport whose callers return at once when the run is stopped or its time for requests is up.

    The answer of an exchange that was left behind is read by nobody. Threads are used again, since each has a
    connection of its own.
    """

    def __init__(self, transport: Transport, deadline: Deadline) -> None:
        self._transport = transport
        self._deadline = deadline
        self._threads = DaemonThreads("exchange")

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send a call; raise Stopped or OutOfTime where the run no longer waits for its answer.

        Raises NotAnswered where the answer did not come in the time that this call had.
        """
        reply = _answer(self._threads, self._deadline, partial(self._transport.post, method, form))
        if reply is not None:
            return reply
        if self._deadline.is_stopped:
            raise Stopped(f"{method}: the run has ended before the answer came")
        if not self._deadline.is_over:
            raise NotAnswered(f"{method}: no answer came in its part of the time for requests")
        raise OutOfTime(f"{method}: the time for requests was up before the answer came")

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""
        return self._transport.redact(text)


class InterruptibleTracking:
    """The same for hits: a caller whose run is stopped waits a few seconds more for an answer that is under way."""

    def __init__(self, transport: TrackingTransport, deadline: Deadline) -> None:
        self._transport = transport
        self._deadline = deadline
        self._threads = DaemonThreads("tracking")

    def track(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """Send hits; raise AnswerLost where the run no longer waits for the answer."""
        send = partial(self._transport.track, body, seconds)
        reply = _answer(self._threads, self._deadline, send, patience=_PATIENCE)
        if reply is None:
            raise AnswerLost(f"{TRACKER}: the run has ended before the answer came")
        return reply

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""
        return self._transport.redact(text)


def _answer(
    threads: DaemonThreads, deadline: Deadline, call: Callable[[], Reply], patience: float = 0.0
) -> Reply | None:
    """Return the answer of a call, or None where the run has ended before it came, and so many seconds more."""
    with threads.running(call) as reply:
        ended = threading.Event()
        reply.add_done_callback(lambda _: ended.set())
        with deadline.on_stop(ended.set):
            seconds = deadline.time_for_requests()
            ended.wait(None if math.isinf(seconds) else seconds)
        if patience and not reply.done():
            came = threading.Event()
            reply.add_done_callback(lambda _: came.set())
            came.wait(patience)
        return reply.result() if reply.done() else None
