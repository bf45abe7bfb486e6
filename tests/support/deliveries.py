"""Deliveries to the sample Matomo: calls, a queue that gives them to all who pull, and a clock that waiting moves."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from fake_matomo import TOKEN, FakeMatomo, Site, World
from matomo_fn.config.connector import read_connector
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.events.deliver import Session, deliver
from matomo_fn.events.queue import Received
from matomo_fn.events.sources import IteratorQueue
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.tracking import Tracker
from matomo_fn.matomo.transport import HttpTransport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from matomo_fn.events.queue import Queue
    from matomo_fn.events.result import DeliveryResult
    from matomo_fn.matomo.transport import Reply
    from matomo_fn.warehouse.protocol import Warehouse

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
ZONE = "Europe/Paris"


def small_world() -> World:
    """One site ahead of UTC with goals, where nothing happens by itself."""
    created = (NOW - timedelta(days=60)).date()
    return World((Site(1, "Shop", timezone=ZONE, created=created, visits_per_day=0),), now=NOW)


def call(number: int, *, visitor: int = 0, kind: str = "track", ago: float = 600.0, **more: Any) -> dict[str, Any]:
    """A call of Segment, a second after the one before it."""
    moment = NOW - timedelta(seconds=ago) + timedelta(seconds=number)
    return {
        "type": kind,
        "messageId": f"m{number}",
        "anonymousId": f"visitor-{visitor}",
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "context": {"ip": f"81.2.69.{visitor % 200 + 1}", "userAgent": AGENT},
        **({"event": f"Event {number}", "properties": {"label": f"m{number}"}} if kind == "track" else {}),
        **more,
    }


def received(calls: Iterable[Mapping[str, Any] | bytes]) -> list[Received]:
    """Messages of calls."""
    return [
        Received(each if isinstance(each, bytes) else json.dumps(each).encode(), str(at), f"message {at}")
        for at, each in enumerate(calls)
    ]


class Clock:
    """A time of day that goes on by a millisecond with each look, and by what is waited for."""

    def __init__(self) -> None:
        """Begin at the world's present."""
        self._now = NOW
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        """Look at it."""
        with self._lock:
            self._now += timedelta(milliseconds=1)
            return self._now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        with self._lock:
            self._now += timedelta(seconds=seconds)


class Again:
    """A queue that gives what is not acknowledged to the next delivery once more, in its order."""

    def __init__(self, messages: Sequence[Received]) -> None:
        """Hold messages."""
        self.waiting = list(messages)
        self.acknowledged: list[Received] = []
        self.released: list[Received] = []
        self._out: list[Received] = []

    def pull(self, most: int) -> Sequence[Received]:
        """As the protocol has it."""
        found, self.waiting = self.waiting[:most], self.waiting[most:]
        self._out += found
        return found

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """As the protocol has it."""
        self.acknowledged += messages
        done = {message.handle for message in messages}
        self._out = [message for message in self._out if message.handle not in done]

    def release(self, messages: Sequence[Received]) -> None:
        """As the protocol has it."""
        self.released += messages

    def begin(self) -> None:
        """Let what was pulled and not acknowledged come again, as after a killed delivery."""
        self.waiting = sorted([*self._out, *self.waiting], key=lambda message: int(message.handle))
        self._out = []


class Stepped:
    """A transport that reports each call before it goes out, and of each answer before it is looked at."""

    def __init__(self, transport: HttpTransport, step: Callable[[], None]) -> None:
        """Stand in front of a transport."""
        self._transport = transport
        self._step = step

    def track(self, body: Mapping[str, Any], seconds: float) -> Reply:
        """As the protocol has it."""
        self._step()
        reply = self._transport.track(body, seconds)
        self._step()
        return reply

    def redact(self, text: str) -> str:
        """As the protocol has it."""
        return self._transport.redact(text)


@dataclass
class Place:
    """A connector with events; each delivery has parts of its own, as in an instance of a function.

    Attributes:
        matomo: the sample, which serves.
        clock: the time of day of all deliveries.
        config: over the configuration's defaults.
        token: the token of the connector.
    """

    matomo: FakeMatomo
    clock: Clock = field(default_factory=Clock)
    config: dict[str, Any] = field(default_factory=dict)
    token: str = TOKEN
    runs: int = 0
    timeout: float = 10.0

    def deliver(
        self,
        what: Queue | Iterable[Mapping[str, Any] | bytes],
        warehouse: Warehouse,
        *,
        waits: bool = True,
        step: Callable[[], None] | None = None,
        deadline: Deadline | None = None,
        batch: int = 1_000,
        uncertain: Any = "ask",
        matomo_url: str = "",
    ) -> DeliveryResult:
        """Deliver what waits in a queue, or some calls."""
        self.runs += 1
        queue = cast("Queue", what) if hasattr(what, "pull") else IteratorQueue(received(cast("Iterable[Any]", what)))
        values = {"site": "1", "settle_seconds": 60, **self.config}
        shown = {
            "matomo_url": matomo_url or self.matomo.url,
            "sites": "all",
            "events": values,
            "requests_per_minute": 60_000,
        }
        connector = read_connector("shop", json.dumps(shown))
        assert connector.events is not None
        deadline = deadline or Deadline()
        transport = HttpTransport(connector.matomo_url, Token(self.token), timeout=self.timeout, deadline=deadline)
        rate_limit = RateLimit(60_000)
        tracking = transport if step is None else Stepped(transport, step)
        session = Session(
            connector,
            connector.events,
            queue,
            Tracker(tracking, rate_limit, deadline, timeout=self.timeout, sleep=lambda _: None),
            MatomoClient(transport, rate_limit, deadline, sleep=lambda _: None),
            warehouse,
            deadline,
            f"run{self.runs:04}",
            waits,
            uncertain,
            batch,
            now=self.clock,
            pause=self.clock.wait,
        )
        return deliver(session)

    @property
    def labels(self) -> list[str]:
        """The message ids of the events that Matomo has, in the order in which they came."""
        return [hit.params["e_n"] for hit in self.matomo.hits if "e_n" in hit.params]

    def counts(self) -> Counter[str]:
        """How often Matomo has each of them."""
        return Counter(self.labels)
