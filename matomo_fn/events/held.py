"""Messages that are held back within a delivery: until another delivery or Matomo has said what it did with them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from matomo_fn.events.message import Message


@dataclass(slots=True)
class _Visitor:
    """The messages of a visitor that are held back, in order, and when they can be looked at: None is not any more."""

    ready_at: datetime | None
    messages: list[Message] = field(default_factory=list)


class Held:
    """Messages that are held back, by visitor: behind one of them none of the same visitor goes on."""

    def __init__(self) -> None:
        self._visitors: dict[str, _Visitor] = {}
        self._looks: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(len(visitor.messages) for visitor in self._visitors.values())

    def __iter__(self) -> Iterator[Message]:
        return (message for visitor in self._visitors.values() for message in visitor.messages)

    def keep(self, message: Message, ready_at: datetime | None) -> None:
        """Hold a message back until a time, or to the end; behind others of its visitor until they are ready."""
        self._visitors.setdefault(message.visitor, _Visitor(ready_at)).messages.append(message)

    def keep_behind(self, messages: Sequence[Message]) -> list[Message]:
        """Hold back those whose visitor is held back, and return the others."""
        free = []
        for message in messages:
            if message.visitor in self._visitors:
                self._visitors[message.visitor].messages.append(message)
            else:
                free.append(message)
        return free

    def take_ready(self, now: datetime, most: int) -> list[Message]:
        """Take out the messages of the visitors that are ready; more than ``most`` only of one visitor."""
        taken: list[Message] = []
        for key, visitor in list(self._visitors.items()):
            if (
                visitor.ready_at
                and visitor.ready_at <= now
                and (not taken or len(taken) + len(visitor.messages) <= most)
            ):
                taken += visitor.messages
                del self._visitors[key]
        return taken

    def next_ready(self) -> datetime | None:
        """Return when the first visitor is ready, or None where none will be."""
        return min((visitor.ready_at for visitor in self._visitors.values() if visitor.ready_at), default=None)

    def next_look(self, message: Message, first: float, last: float) -> timedelta:
        """Return after what time to look again at a message that another delivery has claimed: ever longer."""
        looks = self._looks[message.id] = self._looks.get(message.id, 0) + 1
        seconds = min(last, first * 2 ** (looks - 1))
        # Chance, and no secret.
        return timedelta(seconds=random.uniform(seconds / 2, seconds))  # noqa: S311
