"""Where calls wait for delivery: Pub/Sub, the lines of a file, or the rows of a query."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Received:
    """One message of a queue: the call as JSON text, ``handle`` to acknowledge it by, and ``origin`` to name it by.

    ``problem``: why what was found in its place cannot become a call; ``data`` is that then.
    """

    data: bytes = field(repr=False)
    handle: str
    origin: str
    problem: str = ""


class Queue(Protocol):
    """Something that calls are pulled from; raises QueueUnavailable where it cannot be reached."""

    def pull(self, most: int) -> Sequence[Received]:
        """Return at most so many messages, in order within a visitor; none where nothing waits."""

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """Take messages as done: they are not pulled again."""

    def release(self, messages: Sequence[Received]) -> None:
        """Give messages back: they are pulled again later."""
