"""Calls that can be abandoned: an exchange runs on a thread of its own, and the thread that waits for it may go on."""

import math
import threading
from collections.abc import Mapping
from functools import partial

from matomo_fn.daemon_threads import DaemonThreads
from matomo_fn.deadline import Deadline
from matomo_fn.errors import OutOfTime, Stopped
from matomo_fn.matomo.transport import Reply, Transport


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
        """Send a call; raise Stopped or OutOfTime where the run no longer waits for its answer."""
        with self._threads.running(partial(self._transport.post, method, form)) as reply:
            ended = threading.Event()
            reply.add_done_callback(lambda _: ended.set())
            with self._deadline.on_stop(ended.set):
                seconds = self._deadline.time_for_requests()
                ended.wait(None if math.isinf(seconds) else seconds)
            if reply.done():
                return reply.result()
        if self._deadline.is_stopped:
            raise Stopped(f"{method}: the run has ended before the answer came")
        raise OutOfTime(f"{method}: the time for requests was up before the answer came")

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""
        return self._transport.redact(text)
