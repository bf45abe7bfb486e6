"""The log of deliveries: who is about to send what, and what has become of it.

No warehouse has locks. So a batch first writes that it is about to send its messages (its claim), and only then reads
who else has written that. Of two batches with the same message at least one finds the other's claim, so never both send
it. A claim ends at a time, after which its batch sends nothing. What a batch left open at its end may be in Matomo or
not.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from matomo_fn.catalogue import EVENTS_LOG, EVENTS_REJECTED
from matomo_fn.config.connector import Connector
from matomo_fn.config.events import EventsConfig
from matomo_fn.events.message import Message
from matomo_fn.redaction import redact
from matomo_fn.warehouse import events_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import ensure_table


class Step(StrEnum):
    """The steps of a message that are logged."""

    SENDING = "sending"
    SENT = "sent"
    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        """Whether nothing comes behind it."""
        return self in (Step.SENT, Step.REJECTED, Step.SKIPPED)


_FINAL = tuple(step for step in Step if step.is_final)


@dataclass(frozen=True, slots=True)
class Known:
    """What the log has of a message from other batches.

    ``is_final``: it is dealt with. ``claims``: until when each batch that has not said how it ended may send it.
    """

    is_final: bool = False
    claims: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """A row to be logged; ``valid_until`` is that of a claim."""

    message: Message
    step: Step
    error: str = ""
    valid_until: datetime | None = None


class DeliveryLog:
    """The log of a connector's deliveries."""

    def __init__(self, warehouse: Warehouse, connector: Connector, config: EventsConfig) -> None:
        self._warehouse = warehouse
        self._connector = connector
        self._config = config
        self._is_ready = False

    def ensure(self) -> None:
        """Make the tables ready, once."""
        if not self._is_ready:
            self._warehouse.ensure_dataset()
            for schema in (EVENTS_LOG, EVENTS_REJECTED):
                ensure_table(self._warehouse, self._connector.schema_of_events(schema), "day")
            self._is_ready = True

    def claim(self, batch_id: str, messages: Sequence[Message], now: datetime, valid_until: datetime) -> None:
        """Write that a batch is about to send messages, until a time."""
        self.record(batch_id, [Entry(message, Step.SENDING, valid_until=valid_until) for message in messages], now)

    def look_up(self, batch_id: str, messages: Sequence[Message], now: datetime) -> dict[str, Known]:
        """Return what other batches have logged of messages, by their ids."""
        since = events_sql.first_kept(now, self._config.dedupe_days)
        ids = [message.id for message in messages]
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for statement in events_sql.steps_of(self._warehouse.dataset, self._connector.name, ids, since):
            for row in self._warehouse.query(statement):
                rows.setdefault(row["message_id"], []).append(row)
        return {message: _known(found, batch_id) for message, found in rows.items()}

    def record(self, batch_id: str, entries: Sequence[Entry], now: datetime) -> None:
        """Write what has become of messages; those that were rejected with their calls."""
        rejected = [entry for entry in entries if entry.step is Step.REJECTED]
        rows = (self._rejected_row(batch_id, entry, now) for entry in rejected)
        self._run(events_sql.insert_rows(self._warehouse.dataset, EVENTS_REJECTED, rows), f"reject_{batch_id}")
        rows = (self._row(batch_id, entry, now) for entry in entries)
        self._run(events_sql.insert_rows(self._warehouse.dataset, EVENTS_LOG, rows), f"log_{batch_id}")

    def _run(self, statements: Iterable[str], job: str) -> None:
        for statement in statements:
            self._warehouse.run(statement, job)

    def _row(self, batch_id: str, entry: Entry, now: datetime) -> events_sql.Row:
        message = entry.message
        return {
            "date": now.date(),
            "connector": self._connector.name,
            "message_id": message.id,
            "batch_id": batch_id,
            "status": str(entry.step),
            "logged_at": now,
            "valid_until": entry.valid_until,
            "kind": message.kind or None,
            "visitor": redact(message.visitor) or None,
            "occurred_at": message.call.occurred_at if message.call else None,
            "error": redact(entry.error) or None,
        }

    def _rejected_row(self, batch_id: str, entry: Entry, now: datetime) -> events_sql.Row:
        return {
            "date": now.date(),
            "connector": self._connector.name,
            "message_id": entry.message.id,
            "batch_id": batch_id,
            "logged_at": now,
            "reason": redact(entry.error),
            "call": redact(entry.message.received.data.decode(errors="replace")),
        }


def _known(rows: Sequence[Mapping[str, Any]], batch_id: str) -> Known:
    if any(row["status"] in _FINAL for row in rows):
        return Known(is_final=True)
    open_claims: dict[str, Mapping[str, Any]] = {}
    closed = {row["batch_id"] for row in rows if row["status"] != Step.SENDING} | {batch_id}
    for row in rows:
        batch = row["batch_id"]
        if batch not in closed and (batch not in open_claims or row["logged_at"] > open_claims[batch]["logged_at"]):
            open_claims[batch] = row
    return Known(claims=tuple(row["valid_until"] for row in open_claims.values()))
