"""Calls that can be abandoned: an exchange runs on a thread of its own, and the thread that waits for it may go on."""

import math
import queue
import threading
import weakref
from collections.abc import Mapping
from concurrent.futures import Future

from matomo_fn.deadline import Deadline
from matomo_fn.errors import OutOfTime, Stopped
from matomo_fn.matomo.transport import Reply, Transport

_Task = tuple[Future[Reply], str, Mapping[str, str]]


class InterruptibleTransport:
    """A transport whose callers return at once when the run is stopped or its time for requests is up.

    Nothing can interrupt a thread that looks up a name, shakes hands or reads an answer. So these happen on helper
    threads, which are daemons: one that was walked away from ends with its exchange, whose answer nobody reads, and
    does not keep the program from its end. Helpers are reused, since each has a connection of its own.
    """

    def __init__(self, transport: Transport, deadline: Deadline) -> None:
        self._transport = transport
        self._deadline = deadline
        self._idle: queue.SimpleQueue[_Helper] = queue.SimpleQueue()
        weakref.finalize(self, _dismiss, self._idle)

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send a call; raise Stopped or OutOfTime where the run no longer waits for its answer."""
        helper = self._helper()
        ended = threading.Event()
        future = helper.post(method, form)
        future.add_done_callback(lambda _: ended.set())
        with self._deadline.on_stop(ended.set):
            seconds = self._deadline.time_for_requests()
            ended.wait(None if math.isinf(seconds) else seconds)
        if not future.done():
            helper.dismiss()
            if self._deadline.is_stopped:
                raise Stopped(f"{method}: the run has ended before the answer came")
            raise OutOfTime(f"{method}: the time for requests was up before the answer came")
        self._idle.put(helper)
        return future.result()

    def redact(self, text: str) -> str:
        """Return a text of Matomo's without the token, should it repeat it."""
        return self._transport.redact(text)

    def _helper(self) -> "_Helper":
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return _Helper(self._transport)


class _Helper:
    """A thread that makes one exchange after the other, until it is dismissed."""

    def __init__(self, transport: Transport) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(transport, self._tasks), name="exchange", daemon=True).start()

    def post(self, method: str, form: Mapping[str, str]) -> Future[Reply]:
        future: Future[Reply] = Future()
        self._tasks.put((future, method, form))
        return future

    def dismiss(self) -> None:
        """Let the thread end behind its present exchange."""
        self._tasks.put(None)


def _work(transport: Transport, tasks: "queue.SimpleQueue[_Task | None]") -> None:
    while (task := tasks.get()) is not None:
        future, method, form = task
        try:
            future.set_result(transport.post(method, form))
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is waited for
            future.set_exception(error)


def _dismiss(idle: "queue.SimpleQueue[_Helper]") -> None:
    while True:
        try:
            idle.get_nowait().dismiss()
        except queue.Empty:
            return
