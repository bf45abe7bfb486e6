"""From a row of a table, such as offline conversions, to a call: ``deliver --query``."""

import base64
import json
import math
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from matomo_fn.errors import InputError
from matomo_fn.values import shown

# Columns that need no entry in the configuration, and the field of the call that each is.
_FIELDS = {
    "message_id": "messageId",
    "type": "type",
    "event": "event",
    "name": "name",
    "category": "category",
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "timestamp": "timestamp",
    "properties": "properties",
    "traits": "traits",
    "context": "context",
    "integrations": "integrations",
}
_NEEDED = {
    "messageId": 'there is no column message_id: name one in events.columns, such as {"messageId": "order_id"}',
    "type": "there is no column type: add one to the query, such as 'track' as type",
}
_OBJECTS = ("properties", "traits", "context", "integrations")
# Integers that JSON's readers keep; a longer id is sent as its digits.
_MOST_INTEGER = 2**53


def row_to_call(row: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """Return the call of a row, as JSON has it; what is NULL is not in it.

    ``columns``: the column by the path that it has in the call; those named as a field of a call need none. A row is
    not checked for what a call needs: read_call does that. Raises InputError where a column is not there, or has a
    type that JSON has not.
    """
    problems = _missing(row, columns)
    if problems:
        raise InputError(problems)
    places = {field: column for column, field in _FIELDS.items() if column in row} | dict(columns)
    call: dict[str, Any] = {}
    # Whole objects first, so that a column of a part of one is put into it.
    for path, column in sorted(places.items(), key=lambda place: place[0].count(".")):
        try:
            value = _json(row[column], path in _OBJECTS)
        except ValueError as error:
            problems.append(f"the column {column} {error}")
            continue
        if value is not None:
            _put(call, path, value, problems)
    if problems:
        raise InputError(problems)
    return call


def _missing(row: Mapping[str, Any], columns: Mapping[str, str]) -> list[str]:
    there = f"the query has the columns {', '.join(row)}" if row else "the query has no columns"
    problems = [
        f"events.columns: there is no column {shown(column)} for {path}; {there}"
        for path, column in columns.items()
        if column not in row
    ]
    given = {*columns, *(field for column, field in _FIELDS.items() if column in row)}
    problems += [f"{hint}; {there}" for field, hint in _NEEDED.items() if field not in given]
    if given.isdisjoint(("userId", "anonymousId")):
        problems.append(f"there is neither a column user_id nor anonymous_id: a call needs one of them; {there}")
    return problems


def _put(call: dict[str, Any], path: str, value: Any, problems: list[str]) -> None:
    *parents, name = path.split(".")
    target = call
    for parent in parents:
        inner = target.setdefault(parent, {})
        if not isinstance(inner, dict):
            problems.append(f"events.columns: {path} cannot be set, since {parent} is {shown(inner)} and no object")
            return
        target = inner
    target[name] = value


def _json(value: Any, is_object: bool = False) -> Any:  # noqa: FBT001, FBT002  # a value and what it is for
    """Return a value of a warehouse as JSON has it; None for NULL and for what is not a number."""
    match value:
        case None | bool():
            return value
        case str():
            return _parsed(value) if is_object else value
        case int():
            return value if abs(value) <= _MOST_INTEGER else str(value)
        case float() | Decimal():
            return _number(value)
        case datetime() | date() | time():
            return _moment(value)
        case bytes() | bytearray():
            return base64.b64encode(value).decode()  # as BigQuery writes BYTES in JSON
        case UUID():
            return str(value)
        case Mapping():
            return {str(name): part for name, given in value.items() if (part := _json(given)) is not None}
        case list() | tuple():
            return [part for given in value if (part := _json(given)) is not None]
    raise ValueError(f"is of the type {type(value).__name__}, which a call cannot have: cast it in the query")


def _parsed(text: str) -> Any:
    """Return the object that a column of JSON holds: DuckDB gives it as text."""
    try:
        return json.loads(text)
    except ValueError:
        raise ValueError(f"is {shown(text)}, not a JSON object") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None


def _number(value: float | Decimal) -> int | float | str | None:
    if not math.isfinite(value):
        return None
    if isinstance(value, float):
        return value
    if value == value.to_integral_value():
        return _json(int(value))  # type: ignore[no-any-return]  # of an int it is one, or its digits
    return float(value)


def _moment(value: date | time) -> str:
    """Return a time as ISO 8601; one without a zone is UTC, as BigQuery's DATETIME is read."""
    if not isinstance(value, datetime):
        return value.isoformat()
    moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return moment.replace(tzinfo=None).isoformat() + "Z"
