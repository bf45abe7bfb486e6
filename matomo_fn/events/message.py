"""A message on its way through a delivery: the call that it has, and what has become of each of its hits."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from matomo_fn.config.events import EventsConfig
from matomo_fn.config.validation import read_object
from matomo_fn.errors import InputError
from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from matomo_fn.events.model import Call, Hit, Mapped
from matomo_fn.events.queue import Received


@dataclass(slots=True, eq=False)
class Message:
    """A message that was pulled.

    ``problem``: why it has no call. ``attempts``: batches before this one that may have sent it. ``went_out``: the
    present batch may have brought some of its hits to Matomo. Of these, by their positions: ``done`` are in Matomo,
    ``refused`` has Matomo's refusals, ``uncertain`` may be in Matomo. ``reason``: why one is uncertain, or why nothing
    was sent.
    """

    received: Received
    id: str
    call: Call | None = None
    mapped: Mapped = field(default_factory=Mapped)
    problem: str = ""
    attempts: int = 0
    done: set[int] = field(default_factory=set)
    refused: dict[int, str] = field(default_factory=dict)
    uncertain: set[int] = field(default_factory=set)
    went_out: bool = False
    reason: str = ""

    @property
    def visitor(self) -> str:
        """What calls of one visitor have in common; '' where there is no call."""
        return self.call.visitor_key if self.call else ""

    @property
    def hits(self) -> Sequence[Hit]:
        """What it becomes in Matomo."""
        return self.mapped.hits

    @property
    def kind(self) -> str:
        """The kinds of its hits, in order."""
        return ", ".join(str(hit.kind) for hit in self.hits)

    @property
    def waiting(self) -> list[int]:
        """The positions of the hits that Matomo has not and does not refuse, as far as is known."""
        return [at for at in range(len(self.hits)) if at not in self.done | self.uncertain and at not in self.refused]

    @property
    def is_final(self) -> bool:
        """Whether nothing more is to be done with it."""
        return len(self.done) + len(self.refused) == len(self.hits)

    @property
    def is_unclear(self) -> bool:
        """Whether it is not known which of its hits Matomo has."""
        return not self.is_final and (self.went_out or bool(self.uncertain))

    def begin(self) -> None:
        """Forget what became of it in an earlier batch."""
        self.attempts, self.went_out, self.reason = 0, False, ""
        self.done.clear()
        self.refused.clear()
        self.uncertain.clear()

    @property
    def rejection(self) -> str:
        """Why it, or some of its hits, can never be sent; '' where nothing is wrong with it."""
        refused = [f"{self.hits[at].kind} (hit {at + 1}): {why}" for at, why in sorted(self.refused.items())]
        return self.problem or "; ".join(refused)


def prepare(received: Received, config: EventsConfig, now: datetime) -> Message:
    """Return a message with its call and hits, or with the problem that it has none; ``now`` is in UTC."""
    try:
        call = _call_of(received, now)
    except InputError as error:
        digest = hashlib.sha256(received.data).hexdigest()
        return Message(received, f"invalid-{digest[:32]}", problem="; ".join(error.problems))
    return Message(received, call.message_id, call, map_call(call, config))


def _call_of(received: Received, now: datetime) -> Call:
    if received.problem:
        raise InputError(received.problem)
    return read_call(read_object(received.data, "the call"), now=now)
