"""Reading the optional fields of a call: what has another type than the field should have counts as not there."""

import re
from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

# A plain number, as Segment's libraries take it: with a dollar sign, but without separators of thousands, and with no
# comma, which Matomo would read as a point.
_NUMBER = re.compile(r"\s*\$?\s*([+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?)\s*", re.ASCII)
# More than any price or count; Matomo's columns are doubles, and a strict MySQL refuses a hit that does not fit.
_MOST = Decimal(10) ** 15
_SCALE = Decimal("0.000000001")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def at(data: object, path: str) -> Any:
    """Return what stands at a path such as context.page.url, or None."""
    for name in path.split("."):
        if not isinstance(data, Mapping):
            return None
        data = data.get(name)
    return data


def as_object(value: object) -> Mapping[str, Any]:
    """Return an object; an empty one where there is none."""
    return value if isinstance(value, Mapping) else {}


def as_list(value: object) -> Sequence[Any]:
    """Return a list; an empty one where there is none."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a text as one line without white space around it; numbers are written out, anything else is ''."""
    if isinstance(value, str):
        return _CONTROL.sub(" ", value).strip()
    if isinstance(value, bool):
        return ""
    if isinstance(value, int):
        return str(value)
    number = as_number(value) if isinstance(value, float) else None
    return "" if number is None else plain(number)


def first_text(data: object, *paths: str) -> str:
    """Return the text at the first of some paths that has one, or ''."""
    return next((text for path in paths if (text := as_text(at(data, path)))), "")


def as_number(value: object) -> Decimal | None:
    """Return a number of at most 15 digits before the point, rounded to 9 behind it; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    match = _NUMBER.fullmatch(value if isinstance(value, str) else repr(value))
    if not match:
        return None
    number = Decimal(match[1])
    return number.quantize(_SCALE, rounding=ROUND_HALF_UP) if abs(number) < _MOST else None


def first_number(data: object, *paths: str) -> Decimal | None:
    """Return the number at the first of some paths that has one, or None."""
    return next((number for path in paths if (number := as_number(at(data, path))) is not None), None)


def plain(number: Decimal) -> str:
    """Return a number as digits without an exponent, such as 12.5 or 30."""
    return f"{number.normalize():f}" if number else "0"
