"""Parses lists of settings into the rows of reference tables."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from matomo_fn.catalogue import Column, ColumnType, ReferenceTable
from matomo_fn.errors import InvalidResponse
from matomo_fn.values import as_bool, as_float, as_moment, as_staged_integer, as_text, encode, shown, utf8

Key = tuple[str, ...]
# How Matomo writes that there is no time.
_NO_TIME = "0000-00-00"
_NOT_DELETED = (None, 0, "0", "")


@dataclass(frozen=True, slots=True)
class ReferenceRow:
    """A row of a reference table: its key as texts, its columns as they are staged, and the hash of both."""

    key: Key
    values: Mapping[str, Any] = field(hash=False)
    content_hash: str


def parse_reference(
    table: ReferenceTable, answer: object, constants: Mapping[str, str] | None = None
) -> list[ReferenceRow]:
    """Return the rows of a list of settings; ``constants`` are columns that are the same in all.

    Matomo writes a list, or an object by number (recordings m53_goals_getGoals, meta_Goals.getGoals). Raises
    InvalidResponse where the answer is anything else, a value cannot be read, or two rows have the same key.
    """
    items = list(answer.values()) if isinstance(answer, Mapping) else answer
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise InvalidResponse(f"{table.method} answers no list of objects")
    there = [(index, item) for index, item in enumerate(items) if item.get("deleted") in _NOT_DELETED]
    rows = [_row(table, index, item, constants or {}) for index, item in there]
    _refuse_doubles(table, rows)
    return rows


def _row(table: ReferenceTable, index: int, item: Mapping[str, object], constants: Mapping[str, str]) -> ReferenceRow:
    values: dict[str, Any] = {}
    for column in table.columns:
        try:
            values[column.name] = constants.get(column.name) or _value(column, item)
        except ValueError as error:
            raise InvalidResponse(f"{table.method}: row {index + 1}: {column.source} {error}") from None
    line = encode({name: values[name] for name in sorted(values)})
    return ReferenceRow(tuple(str(values[name]) for name in table.key), values, hashlib.sha256(utf8(line)).hexdigest())


def _value(column: Column, item: Mapping[str, object]) -> Any:
    value = item.get(column.source)
    if value is None or (isinstance(value, str) and value.startswith(_NO_TIME)):
        if column.required:
            raise ValueError("is missing")
        return None
    if column.source == "enable_only_idsite" and value in (0, "0"):
        return None
    return _CONVERTERS[column.type](value)


def _refuse_doubles(table: ReferenceTable, rows: Iterable[ReferenceRow]) -> None:
    seen: dict[Key, ReferenceRow] = {}
    for row in rows:
        if seen.setdefault(row.key, row) is not row:
            raise InvalidResponse(f"{table.method} answers two rows for {', '.join(map(shown, row.key))}")


def _document(value: object) -> Any:
    return json.loads(json.dumps(value, allow_nan=False, sort_keys=True))


_CONVERTERS: Mapping[ColumnType, Callable[[object], Any]] = {
    ColumnType.BOOL: as_bool,
    ColumnType.FLOAT64: as_float,
    ColumnType.INT64: as_staged_integer,
    ColumnType.JSON: _document,
    ColumnType.STRING: as_text,
    ColumnType.TIMESTAMP: as_moment,
}
