"""From one of Matomo's JSON values to one of ours: the same counter is an int here and a numeric string there.

Each function raises ValueError, with a phrase that follows the field's name, where a value cannot be read without
guessing.
"""

import json
import math
import re
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

_INTEGER = re.compile(r"[+-]?\d+(\.0+)?")
_DECIMAL = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")
_PERCENT = re.compile(r"([+-]?\d+(?:\.\d+)?)[ \u00a0\u202f]?%")
_INT64 = range(-(2**63), 2**63)
# C0, DEL, C1, the separators of lines, the marks of direction, and halves of surrogate pairs.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# The integers that a double holds exactly. BigQuery wants others as strings, or reads them as the nearest double:
# https://cloud.google.com/bigquery/docs/loading-data-cloud-storage-json#limitations
_EXACT = range(-(2**53) + 1, 2**53)
# https://cloud.google.com/bigquery/docs/reference/standard-sql/data-types#decimal_types
_NUMERIC_SCALE, _NUMERIC_LIMIT = Decimal("0.000000001"), Decimal(10) ** 29
# Characters of a text: Matomo's own columns have 4,096 at most, and the names of plugins' little more.
LONGEST_TEXT = 1024 * 1024
_SHOWN = 80  # characters of a value that an error repeats

# A value as one compact JSON text, without NaN, which JSON has not.
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def utf8(text: str) -> bytes:
    """Return the text's bytes; half a surrogate pair, as Matomo's cut at 1,024 characters leaves, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def as_integer(value: object) -> int:
    """Return a whole number of 64 bits."""
    if type(value) is int:
        result = value
    elif isinstance(value, str) and _INTEGER.fullmatch(value):
        result = int(value.partition(".")[0])
    elif isinstance(value, float) and value.is_integer():
        result = int(value)
    else:
        raise ValueError(f"is {shown(value)}, not a whole number")
    if result not in _INT64:
        raise ValueError(f"is {result}, which is more than 64 bits hold")
    return result


def as_staged_integer(value: object) -> int | str:
    """Return a whole number of 64 bits as a line of JSON is loaded: beyond 53 bits a string of its digits."""
    result = as_integer(value)
    return result if result in _EXACT else str(result)


def as_float(value: object) -> float:
    """Return a finite number; 21% is 0.21."""
    if type(value) in (int, float):
        try:
            result = float(value)  # type: ignore[arg-type]  # the line above tells bool from int, which mypy cannot
        except OverflowError:  # an int of more than 308 digits
            result = math.inf
    elif isinstance(value, str) and _DECIMAL.fullmatch(value):
        result = float(value)
    elif isinstance(value, str) and (match := _PERCENT.fullmatch(value)):
        # A server that formats all the same. Rounded, since 29 / 100 must be what format_metrics=0 gives.
        result = round(float(match[1]) / 100, 12)
    else:
        raise ValueError(f"is {shown(value)}, not a number")
    if not math.isfinite(result):
        raise ValueError(f"is {shown(value)}, not a finite number")
    return result


def as_numeric(value: object) -> int | str:
    """Return a decimal of 29 digits before and 9 behind the point: an int where it is whole, else its digits.

    Further digits behind the point are rounded, as BigQuery does: what JSON has of 0.1 is a double.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"is {shown(value)}, not a number")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        return as_numeric(as_float(value))
    try:
        result = Decimal(str(value)).quantize(_NUMERIC_SCALE, rounding=ROUND_HALF_UP)
    except InvalidOperation:
        raise ValueError(f"is {shown(value)}, which NUMERIC cannot hold") from None
    if abs(result) >= _NUMERIC_LIMIT:
        raise ValueError(f"is {shown(value)}, which NUMERIC cannot hold")
    if result != int(result):
        return f"{result.normalize():f}"
    return int(result) if int(result) in _EXACT else str(int(result))


def as_plain(number: float) -> int | float:
    """Return a number as a line of JSON has it, the same for 5 and 5.0, so that a wider type changes no line."""
    return int(number) if number.is_integer() and int(number) in _EXACT else number


def as_bool(value: object) -> bool:
    """Return true or false, which PHP also writes as 1 and 0."""
    if isinstance(value, bool):
        return value
    if value in (0, 1, "0", "1", "true", "false"):
        return value in (1, "1", "true")
    raise ValueError(f"is {shown(value)}, not true or false")


def as_day(value: object) -> str:
    """Return a day as ISO 8601 has it."""
    try:
        if isinstance(value, str):
            return date.fromisoformat(value).isoformat()
    except ValueError:
        pass
    raise ValueError(f"is {shown(value)}, not a day such as 2026-01-31")


def as_moment(value: object) -> str:
    """Return a time in UTC: Matomo writes seconds since 1970, or day and time without a zone."""
    try:
        if isinstance(value, str) and not value.isdecimal():
            moment = datetime.fromisoformat(value)
            return (moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)).isoformat()
        return datetime.fromtimestamp(as_integer(value), UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"is {shown(value)}, not a time such as 2026-01-31 12:00:00") from None


def as_text(value: object) -> str:
    """Return a text; PHP turns a label of digits into a number."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            raise ValueError(f"is a text of {len(value)} characters, and no Matomo has one of more than {LONGEST_TEXT}")
        return value if value.isascii() else utf8(value).decode()  # as it is written: two halves of a pair are one
    if type(value) in (int, float):
        return str(value)
    raise ValueError(f"is {shown(value)}, not a text")


def printable(text: str) -> str:
    """Return a text as one line that does to a terminal nothing but appear on it: control characters are escaped.

    Those that turn the direction of writing are among them, since they make a line read as another.
    """
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shown(value: object) -> str:
    """Return a value as an error shows it."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
