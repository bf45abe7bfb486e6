"""Delivering what waits in a queue to Matomo, once each: pull, claim, drop what was sent, send, log, acknowledge."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Literal

import structlog

from matomo_fn.config.connector import Connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoError, MatomoFnError, OutOfTime, QueueUnavailable, Stopped, WarehouseError
from matomo_fn.events.claims import DeliveryLog, Entry, Known, Step
from matomo_fn.events.held import Held
from matomo_fn.events.message import Message, prepare
from matomo_fn.events.queue import Queue
from matomo_fn.events.result import DeliveryResult, Tally
from matomo_fn.events.send import Sender
from matomo_fn.events.settle import CannotSettle, Settler
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.tracking import LEAST_SECONDS, Tracker
from matomo_fn.warehouse.protocol import Warehouse

log = structlog.get_logger()

# Is told how many messages are dealt with.
Progress = Callable[[int], None]

Uncertain = Literal["ask", "resend", "drop"]
# Messages of a batch: three statements of the warehouse for all of them. Pub/Sub gives at most as many at once.
BATCH = 1_000
# Messages that are held back before no more are pulled.
_MOST_HELD = 10 * BATCH
# Seconds, at first and at most, before a message is looked at again that another delivery has claimed as well. With
# some chance in them, since the other one does the same.
_FIRST_LOOK, _LAST_LOOK = 2.0, 60.0


def no_progress(_done: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class Session:
    """The parts that a delivery works with.

    ``waits``: it ends when nothing waits any more, also where it has to wait itself until what is uncertain can be
    settled; without it that is left to the next one. ``uncertain``: what is done with what may be in Matomo already:
    Matomo is asked, or it is sent once more, or taken as sent. ``asks_first``: nothing is pulled before Matomo has
    answered. ``now`` gives the time of day in UTC, ``clock`` seconds
    that only grow; ``pause`` sleeps until the delivery is stopped.
    """

    connector: Connector
    config: EventsConfig
    queue: Queue
    tracker: Tracker
    client: MatomoClient
    warehouse: Warehouse
    deadline: Deadline
    run_id: str
    waits: bool = False
    uncertain: Uncertain = "ask"
    batch: int = BATCH
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = monotonic
    pause: Callable[[float], None] | None = None
    asks_first: bool = False


def deliver(session: Session, progress: Progress = no_progress) -> DeliveryResult:
    """Deliver until nothing waits, or time, a signal or an error ends it; what is not done is given back to the queue.

    Errors of Matomo, warehouse and queue are in the result. Anything else is raised, when all is given back.
    """
    return _Delivery(session, progress).run()


@dataclass(slots=True)
class _Batch:
    """Messages that are dealt with together, each id once; ``doubles`` are the others, by id.

    ``known``: the ids of those that earlier batches have dealt with. ``left``: of those that other batches may be
    sending, and of those behind them, when to look again.
    """

    id: str
    valid_until: datetime
    messages: list[Message] = field(default_factory=list)
    doubles: dict[str, list[Message]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    left: dict[str, datetime] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        """Take a message into the batch."""
        if message.id in self.doubles:
            self.doubles[message.id].append(message)
        else:
            self.doubles[message.id] = []
            self.messages.append(message)


class _Delivery:
    def __init__(self, session: Session, progress: Progress) -> None:
        self._session = session
        self._progress = progress
        self._log = DeliveryLog(session.warehouse, session.connector, session.config)
        self._settler = Settler(session.client, session.config.site)
        self._sender = Sender(
            session.tracker, session.client, self._settler, session.config.site, session.config.hits_per_call
        )
        timeout = session.connector.timeout_seconds
        # Time for two calls without an answer, and as much again for what comes before and between them.
        self._claim = timedelta(seconds=4 * timeout)
        self._least = min(timeout, LEAST_SECONDS)
        self._settle = timedelta(seconds=session.config.settle_seconds)
        self._batches = 0
        self._held = Held()
        self._tally = Tally()
        self._failures: list[MatomoFnError] = []
        self._problems: dict[str, None] = {}

    def run(self) -> DeliveryResult:
        started = self._session.clock()
        try:
            self._loop()
        except (MatomoError, QueueUnavailable, WarehouseError) as error:
            self._failures.append(error)
        except Exception:  # InputError among them, of a query that cannot be run
            self._give_back()
            raise
        self._give_back()
        session = self._session
        return DeliveryResult(
            connector=session.connector.name,
            run_id=session.run_id,
            tally=self._tally,
            calls=session.tracker.calls + session.client.calls,
            seconds=session.clock() - started,
            failures=self._failures,
            problems=list(self._problems),
            stopped_by=session.deadline.interrupted_by,
        )

    def _loop(self) -> None:
        if self._session.asks_first:
            self._session.tracker.check()
        while self._may_go_on():
            messages = self._held.take_ready(self._session.now(), self._session.batch)
            room = self._session.batch - len(messages)
            pulled = self._pull(room) if room > 0 and len(self._held) < _MOST_HELD else []
            messages += self._held.keep_behind(pulled)
            if messages:
                self._handle(messages)
            elif not pulled and not self._wait():
                return

    def _may_go_on(self) -> bool:
        return not self._failures and self._session.deadline.time_for_requests() >= self._least

    def _pull(self, most: int) -> list[Message]:
        received = self._session.queue.pull(most)
        self._tally.pulled += len(received)
        now = self._session.now()
        return [prepare(each, self._session.config, now) for each in received]

    def _wait(self) -> bool:
        """Wait until something that is held back can be looked at; return False where that is not to be."""
        ready = self._held.next_ready()
        if ready is None:
            return False
        seconds = (ready - self._session.now()).total_seconds()
        if seconds <= 0:
            return True
        if not self._session.waits or seconds > self._session.deadline.time_for_requests() - self._least:
            return False
        log.info("delivery_waits", seconds=round(seconds, 1), messages=len(self._held))
        (self._session.pause or self._session.deadline.pause)(seconds)
        return True

    def _handle(self, messages: Sequence[Message]) -> None:
        """Deal with messages as one batch, and hold back what is not dealt with then."""
        self._batches += 1
        now = self._session.now()
        batch = _Batch(f"{self._session.run_id}_{self._batches}", now + self._claim)
        for message in messages:
            message.begin()
            batch.add(message)
        self._log.ensure()
        try:
            self._log.claim(batch.id, batch.messages, now, batch.valid_until)
            self._work(batch, self._log.look_up(batch.id, batch.messages, now))
        except Exception:
            with suppress(WarehouseError, QueueUnavailable):  # the first error is the one to tell
                self._finish(batch)
            raise
        self._finish(batch)

    def _work(self, batch: _Batch, known: dict[str, Known]) -> None:
        """Send what may be sent, settled where that is uncertain, and note in the messages what became of them."""
        waiting = self._triage(batch, known)
        uncertain = [message for message in waiting if message.attempts]
        if uncertain:
            self._ask(uncertain)
        unclear: set[str] = set()
        ready: list[Message] = []
        for message in waiting:
            if message.uncertain:
                unclear.add(message.visitor)
            elif message.visitor not in unclear:
                ready.append(message)
        if self._failures:
            return
        sent = self._sender.send(ready, lambda: (batch.valid_until - self._session.now()).total_seconds())
        self._tally.hits += sent.hits
        if sent.fatal is not None and not isinstance(sent.fatal, OutOfTime | Stopped):
            self._failures.append(sent.fatal)
        self._problems.update(dict.fromkeys(sent.lost))

    def _triage(self, batch: _Batch, known: dict[str, Known]) -> list[Message]:
        """Return the messages that this batch may send, in their order."""
        now = self._session.now()
        blocked: dict[str, datetime] = {}
        waiting: list[Message] = []
        for message in batch.messages:
            found = known.get(message.id, Known())
            if message.visitor in blocked:
                batch.left[message.id] = blocked[message.visitor]
            elif found.is_final:
                batch.known.add(message.id)
            elif message.is_final:
                continue  # invalid or skipped: nothing of it is sent
            elif any(claim + self._settle > now for claim in found.claims):
                look = now + self._held.next_look(message, _FIRST_LOOK, _LAST_LOOK)
                batch.left[message.id] = blocked[message.visitor] = min(look, max(found.claims) + self._settle)
                message.reason = "another delivery may be sending it"
            else:
                message.attempts = len(found.claims)
                waiting.append(message)
        return waiting

    def _ask(self, messages: Sequence[Message]) -> None:
        """Ask Matomo which hits it has of messages that earlier batches may have sent."""
        if self._session.uncertain == "resend":
            return
        if self._session.uncertain == "drop":
            for message in messages:
                message.done.update(range(len(message.hits)))
            return
        try:
            self._settler.settle(messages)
        except CannotSettle as error:
            for message in messages:
                message.uncertain.update(range(len(message.hits)))
                message.reason = str(error)
        except MatomoError as error:
            for message in messages:
                message.uncertain.update(range(len(message.hits)))
                message.reason = f"Matomo could not be asked whether it has it: {error}"
            self._failures.append(error)

    def _finish(self, batch: _Batch) -> None:
        """Log what became of a batch, acknowledge what is dealt with, and hold back everything else."""
        now = self._session.now()
        entries = {
            message.id: self._entry(batch, message, now) for message in batch.messages if message.id not in batch.known
        }
        done: list[Message] = []
        try:
            with self._session.deadline.logging():
                self._log.record(batch.id, list(entries.values()), now)
            done = _in_order(batch, {name for name, entry in entries.items() if entry.step.is_final})
        finally:  # what is sent and not logged is found in Matomo by a later delivery
            dealt_with = set(done)
            for message in batch.messages:
                if message not in dealt_with:
                    self._hold(batch, message, now)
        for message in done:
            self._count(message, entries.get(message.id))
            self._tally.already_sent += len(batch.doubles[message.id])
        acknowledged = [each.received for message in done for each in (message, *batch.doubles[message.id])]
        self._session.queue.acknowledge(acknowledged)
        self._progress(len(acknowledged))

    def _entry(self, batch: _Batch, message: Message, now: datetime) -> Entry:
        """Return what is to be logged of a message."""
        if message.id in batch.left:
            return Entry(message, Step.NOT_SENT, message.reason)
        if not message.is_final:
            if not message.went_out:
                return Entry(message, Step.NOT_SENT, message.reason)
            # A call that the delivery no longer waits for may be out until the claim ends.
            is_over = not self._session.deadline.is_stopped
            return Entry(message, Step.SENDING, message.reason, now if is_over else batch.valid_until)
        if message.rejection:
            return Entry(message, Step.REJECTED, message.rejection)
        return Entry(message, Step.SENT) if message.hits else Entry(message, Step.SKIPPED, message.mapped.skipped)

    def _count(self, message: Message, entry: Entry | None) -> None:
        """Count a message that is dealt with, by what was logged of it; None is one that the log had already."""
        if message.problem or (entry and entry.step is Step.REJECTED):  # what is invalid is named each time it is met
            self._tally.rejected += 1
            self._problems[f"{message.received.origin}: {message.rejection}"] = None
        elif entry is None:
            self._tally.already_sent += 1
        elif entry.step is Step.SENT:
            self._tally.sent += 1
        else:
            self._tally.skipped[entry.error] += 1

    def _hold(self, batch: _Batch, message: Message, now: datetime) -> None:
        """Hold a message back until it can be looked at again."""
        ready_at: datetime | None = batch.left.get(message.id, now)
        if message.is_unclear:
            # What Matomo cannot tell now, it cannot tell in a moment either.
            ready_at = now + self._settle if message.went_out else None
        for each in (message, *batch.doubles[message.id]):
            self._held.keep(each, ready_at)

    def _give_back(self) -> None:
        """Give back to the queue what is held back, and count it."""
        for message in self._held:
            if message.is_unclear:
                self._tally.uncertain += 1
                self._problems[f"{message.received.origin}: uncertain whether Matomo has it: {message.reason}"] = None
            else:
                self._tally.remaining += 1
        with suppress(QueueUnavailable):  # then they come back by themselves
            self._session.queue.release([message.received for message in self._held])


def _in_order(batch: _Batch, final: set[str]) -> list[Message]:
    """Return the messages that are dealt with, but for those behind one of the same visitor that is not.

    A queue that keeps an order wants them acknowledged in it.
    """
    done: list[Message] = []
    behind: set[str] = set()
    for message in batch.messages:
        is_done = message.id in final or message.id in batch.known
        if is_done and (not message.visitor or message.visitor not in behind):
            done.append(message)
        else:
            behind.add(message.visitor)
    return done
