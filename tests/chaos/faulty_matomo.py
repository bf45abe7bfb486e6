"""The sample Matomo behind a server that misbehaves, and takes note of each call with its times.

It sends bytes as no server in its right mind does, so it is one of its own: an accepting thread, and one for each
connection.
"""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from fake_matomo import FakeMatomo, World
from fake_matomo.wire import Request, json_answer, read_request
from tests.chaos.calls import Noted, days_of, method_of
from tests.chaos.faults import Faults, Sent, whole
from tests.support.ports import LOCAL

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable
    from random import Random

    from fake_matomo.wire import Answer

_DRIP_SECONDS = 0.05


@dataclass
class FaultyMatomo:
    """A Matomo that misbehaves as ``faults`` say; serves within a with statement.

    Attributes:
        matomo: the sample, which is not served itself.
        faults: what goes wrong; replaced from one run to the next.
        refuse_from: from which call of a run on, the first being 1, the token is refused; 0 for never.
        latency: seconds that an answer takes at least, so that calls are out at once.
        run: what is running; each call is noted with it.
        noted: the calls so far.
    """

    world: World
    faults: Faults = field(default_factory=Faults)
    refuse_from: int = 0
    latency: float = 0.02
    run: int = 0
    noted: list[Noted] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.matomo = FakeMatomo(self.world)
        self._socket = socket.create_server((LOCAL, 0), backlog=128)
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._closed = False

    @property
    def url(self) -> str:
        """Where it answers, as a connector has it."""
        return f"http://{LOCAL}:{self._socket.getsockname()[1]}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True, name="faulty-matomo").start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._closed = True
            left = list(self._open)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in left:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._changed.wait_for(lambda: not self._open, timeout=10)

    def begin(self, faults: Faults | None = None) -> int:
        """Count the calls from here on to a run of their own, with its faults, and return its number."""
        with self._changed:
            self.run += 1
            self.faults = faults or Faults()
            return self.run

    def calls_of(self, *runs: int) -> list[Noted]:
        """The calls of some runs, in the order in which they came."""
        with self._changed:
            return [call for call in self.noted if call.run in runs]

    def wait_for(self, run: int, calls: int, seconds: float) -> bool:
        """Wait until a run has made so many calls; False when the time is over."""
        with self._changed:
            return self._changed.wait_for(lambda: sum(call.run == run for call in self.noted) >= calls, seconds)

    def unarchive(self, share: float, random: Random, days: Iterable[tuple[int, object]]) -> int:
        """Take the archives of a share of (site, day) away, put those of the others back; return how many are gone."""
        gone = 0
        for site, day in days:
            away = random.random() < share
            gone += away
            (self.matomo.unprocess if away else self.matomo.process)(site, day)  # type: ignore[arg-type]  # a date
        return gone

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._changed:
                if self._closed:
                    connection.close()
                    return
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as reader, contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while (request := _read(reader)) is not None:
                    if not self._answer(connection, request):
                        return
        finally:
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()

    def _answer(self, connection: socket.socket, request: Request) -> bool:
        """Answer a request, and return whether the connection is still good for another one."""
        params = request.params
        call = Noted(self.run, method_of(params), tuple(days_of(params)), time.monotonic())
        with self._changed:
            self.noted.append(call)
            faults, number = self.faults, sum(other.run == call.run for other in self.noted)
            call.refused = 0 < self.refuse_from <= number
            self._changed.notify_all()
        chosen = None if call.refused else faults.choose(params)
        try:
            time.sleep(self.latency)
            if _hung_up(connection, 0):
                call.ended = call.started  # it was given up before it was read
            answer = _refusal() if call.refused else self.matomo.answer(request)
            assert answer is not None, "the sample itself has no faults here"
            sent = whole(answer)
            if chosen is not None and answer.body:
                call.fault, random = chosen
                sent = faults.faulty(call.fault, random, answer)
                call.wait = float(sent.headers.get("Retry-After", 0))
            return _send(connection, sent, call)
        finally:
            call.ended = call.ended or time.monotonic()


def _refusal() -> Answer:
    text = (
        "Unable to authenticate with the provided token. It is either invalid, expired or is required to be sent as a "
    )
    return json_answer(401, {"result": "error", "message": f"{text}POST parameter."})


def _read(reader: io.BufferedReader) -> Request | None:
    """Return the next request of a connection, or None where the client has hung up."""
    line = reader.readline()
    if not line.strip():
        return None
    method, target, _ = line.decode("latin-1").split(" ", 2)
    headers = http.client.parse_headers(reader)
    raw = reader.read(int(headers.get("Content-Length") or 0))
    return read_request(method, target, headers, raw, LOCAL)


def _send(connection: socket.socket, sent: Sent, call: Noted) -> bool:
    """Send what was made of an answer, and return whether the connection is still good for another request."""
    length = len(sent.body) * sent.repeated if sent.announced is None else sent.announced
    fields = {"Content-Type": sent.content_type, "Content-Length": str(length), **sent.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    head = f"HTTP/1.1 {sent.status} {http.client.responses[sent.status]}\r\n{lines}\r\n".encode("latin-1")
    if sent.ends not in ("silent", "drip"):
        call.ended = call.ended or time.monotonic()  # from here on the client may have all of it, and send the next one
    if sent.repeated == 1:
        connection.sendall(head + sent.body if sent.body or sent.ends != "silent" else b"")
    else:
        connection.sendall(head)
        block = sent.body * ((1 << 18) // len(sent.body) + 1)
        for start, stop in pairwise([*range(0, length, len(block)), length]):
            connection.sendall(block[: stop - start])
    match sent.ends:
        case "silent":
            _hung_up(connection, None)
        case "drip":
            while not _hung_up(connection, _DRIP_SECONDS):
                connection.sendall(b" ")
        case "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return not sent.ends


def _hung_up(connection: socket.socket, seconds: float | None) -> bool:
    """Wait until the client hangs up, and return whether it did in time."""
    readable, _, _ = select.select([connection], [], [], seconds)
    return bool(readable)
