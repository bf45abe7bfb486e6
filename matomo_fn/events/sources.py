"""Calls that wait elsewhere than in Pub/Sub: the lines of a file, or the rows of a query."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from matomo_fn.errors import InputError
from matomo_fn.events.calls import values_of
from matomo_fn.events.queue import Received
from matomo_fn.events.rows import row_to_call
from matomo_fn.values import utf8


class IteratorQueue:
    """A queue of messages that are read one after the other; what is given back is still where it was read from."""

    def __init__(self, messages: Iterable[Received]) -> None:
        self._messages = iter(messages)

    def pull(self, most: int) -> Sequence[Received]:
        """Return the next messages; none at the end."""
        return list(islice(self._messages, most))

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """Do nothing: the log of deliveries knows what was sent."""

    def release(self, messages: Sequence[Received]) -> None:
        """Do nothing: the next delivery reads them again."""


def read_lines(lines: Iterable[bytes], name: str) -> Iterator[Received]:
    """Yield the calls of lines of JSON, each one call or {"batch": […]} of several; empty lines are passed over.

    A line that is neither comes as it is: what is wrong with it, the delivery says.
    """
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text:
            continue
        origin = f"{name}, line {number}"
        calls = _calls_of(text)
        if calls is None:
            yield Received(text, "", origin)
            continue
        for position, call in enumerate(calls, start=1):
            yield Received(_text(call), "", f"{origin}, call {position}")


def read_rows(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> Iterator[Received]:
    """Yield the calls of the rows of a query; ``columns``: the column by the path that it has in a call.

    Raises InputError where the query lacks a column that a call needs; a row with a value that a call cannot have comes
    with its problem.
    """
    for number, row in enumerate(rows, start=1):
        if number == 1:
            row_to_call(dict.fromkeys(row), columns)
        origin = f"row {number}"
        try:
            yield Received(_text(row_to_call(row, columns)), "", origin)
        except InputError as error:
            yield Received(_text(dict(row)), "", origin, "; ".join(error.problems))


def _calls_of(text: bytes) -> list[Any] | None:
    """Return the calls of a line that is a batch, or None where it is something else."""
    if b'"batch"' not in text:
        return None
    try:
        value = json.loads(text)
        return values_of(value) if isinstance(value, dict) and "batch" in value else None
    except (ValueError, RecursionError, InputError):
        return None


def _text(value: object) -> bytes:
    return utf8(json.dumps(value, ensure_ascii=False, default=str))
