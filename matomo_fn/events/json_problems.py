"""What JSON text can carry, or Python reads from it, and neither BigQuery nor Matomo takes."""

import math
from collections.abc import Iterator, Mapping

from matomo_fn.values import printable, shown

# Segment's own calls have five levels or so. Each further one is a call of a function here and in every reader behind.
MOST_LEVELS = 32
# Beyond, JavaScript and BigQuery's JSON read another number.
_MOST_INTEGER = 2**53
_LONGEST_PATH = 120


def json_problems(value: object, path: str = "", level: int = 1) -> Iterator[str]:
    """Yield a sentence for each part of a value that cannot be passed on, named by its path."""
    match value:
        case str():
            yield from _text_problems(value, path)
        case int() | float() | None:
            yield from _number_problems(value, path)
        case list() | Mapping() if level > MOST_LEVELS:
            yield f"{_short(path)} is nested too deeply: a call can have {MOST_LEVELS} levels"
        case list():
            for position, part in enumerate(value):
                yield from json_problems(part, f"{path}[{position}]", level + 1)
        case Mapping():
            for name, part in value.items():
                yield from _member_problems(name, part, path, level)
        case _:
            yield f"{_short(path)} has no type of JSON but {type(value).__name__}"


def _member_problems(name: object, part: object, path: str, level: int) -> Iterator[str]:
    if not isinstance(name, str):
        yield f"{_short(path) or 'the call'} has the key {shown(name)}, which is no string"
        return
    where = f"{path}.{printable(name)}" if path else printable(name)
    yield from _text_problems(name, f"the name of {where}")
    yield from json_problems(part, where, level + 1)


def _number_problems(value: object, path: str) -> Iterator[str]:
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{_short(path)} is {value}, which JSON has not: leave it out or send null"
    elif isinstance(value, int) and abs(value) > _MOST_INTEGER:
        yield f"{_short(path)} is more than 2^53, which readers of JSON round: send it as a string"


def _text_problems(text: str, path: str) -> Iterator[str]:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            yield f"{_short(path)} has half of a surrogate pair: cut texts between characters"


def _short(path: str) -> str:
    return path if len(path) <= _LONGEST_PATH else f"{path[: _LONGEST_PATH - 3]}..."
