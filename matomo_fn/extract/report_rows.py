"""Parses Matomo's JSON into typed rows; how a column finds its value in a row is in row_columns.

The same counter is an int in one row and a numeric string in the next, averages come as numbers or as percent
strings, ``goals`` and ``revenue`` are on some rows only, and a day without visits is ``[]`` even for a report of
one row. This module reads all of that. What cannot be read without guessing is an InvalidResponse that names row and
field.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any

from matomo_fn.catalogue import IS_OTHERS, Column, ColumnType, Source, Table
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.row_columns import METADATA, OTHERS_LABEL, column_reader
from matomo_fn.json_codec import UnreadRows, sorted_by_json
from matomo_fn.values import as_float, as_integer, as_staged_integer, as_text, encode, shown, utf8

Row = tuple[Any, ...]
# Bytes of answers whose days are read together.
_TOGETHER = 64 * 1024


@dataclass(frozen=True, slots=True)
class ParsedSlice:
    """The rows of one slice as they are staged.

    ``lines`` are JSON objects without the slice's own columns, sorted, so that neither Matomo's order nor the form
    of the call shows in ``content_hash`` (SHA-256, hexadecimal).
    """

    lines: tuple[str, ...]
    content_hash: str
    has_others: bool

    @property
    def row_count(self) -> int:
        """How many rows it has."""
        return len(self.lines)


def parse_days(table: Table, source: Source, answers: Mapping[date, object]) -> dict[date, ParsedSlice]:
    """Return the slices of days whose rows are written as usual; those of the other days `parse_slice` reads.

    Small days are read together, since beginning takes longer than a few rows.
    """
    reader = column_reader(table, source)
    slices: dict[date, ParsedSlice] = {}
    if reader is None:
        return slices
    header = _header(table)
    for group in _small_groups(answers):
        found = reader.lines([rows for _, rows in group]) or ()
        for (day, _), each in zip(group, found, strict=False):
            if len(each.keys) == len(each.lines):
                slices[day] = _slice_of(header, each.lines, has_others=each.has_others)
    return slices


def _small_groups(answers: Mapping[date, object]) -> Iterator[list[tuple[date, UnreadRows]]]:
    """Yield the days that have rows in groups of so many bytes at most; a larger day is a group of its own."""
    group: list[tuple[date, UnreadRows]] = []
    size = 0
    for day, answer in answers.items():
        if isinstance(answer, UnreadRows):
            if group and size + answer.text.nbytes > _TOGETHER:
                yield group
                group, size = [], 0
            group.append((day, answer))
            size += answer.text.nbytes
    if group:
        yield group


def parse_slice(table: Table, answers: Iterable[tuple[Source, object]]) -> ParsedSlice:
    """Return the rows of a day's answers, one answer for each source of the table.

    An answer is what Matomo gives for one day: a list of rows, or an object for a report of one row. Raises
    InvalidResponse where an answer is anything else, a value cannot be read, or two rows have the same key.
    """
    answers = list(answers)
    return _parsed_by_columns(table, answers) or _parsed_by_rows(table, answers)


def _parsed_by_columns(table: Table, answers: Sequence[tuple[Source, object]]) -> ParsedSlice | None:
    """Return the rows of a day as long as all answers are lists of rows that are written as usual."""
    lines: list[str] = []
    keys: set[tuple[Any, ...]] = set()
    has_others = False
    for source, answer in answers:
        if isinstance(answer, UnreadRows):
            reader = column_reader(table, source)
            found = reader.lines([answer]) if reader else None
            if not found:
                return None
            lines += found[0].lines
            keys |= found[0].keys
            has_others = has_others or found[0].has_others
        elif answer != [] or table.is_one_row:
            return None
    if len(keys) < len(lines):
        return None  # two rows have one key
    return _slice_of(_header(table), lines, has_others=has_others)


def _parsed_by_rows(table: Table, answers: Sequence[tuple[Source, object]]) -> ParsedSlice:
    rows: list[Row] = []
    for source, answer in answers:
        rows.extend(_rows_of(table, source, answer.read() if isinstance(answer, UnreadRows) else answer))
    _check_keys(table, rows)
    names = [column.name for column in table.parsed]
    lines = [encode(dict(zip(names, row, strict=True))) for row in rows]
    return _slice_of(_header(table), lines, has_others=not table.is_one_row and any(row[-1] for row in rows))


def _header(table: Table) -> str:
    return ",".join(column.name for column in table.parsed)


def _slice_of(header: str, lines: list[str], *, has_others: bool) -> ParsedSlice:
    lines.sort()
    text = "\n".join((header, *lines))
    return ParsedSlice(tuple(lines), hashlib.sha256(utf8(text)).hexdigest(), has_others)


def is_empty(table: Table, answer: object) -> bool:
    """Return whether an answer says that the day had nothing: no rows, or a one-row report's zeros."""
    if isinstance(answer, UnreadRows):
        return False
    if isinstance(answer, Mapping):
        return table.is_one_row and all(_is_zero(value) for value in answer.values())
    return answer == [] or (table.is_one_row and not isinstance(answer, str) and answer == 0)


def visits_of(answer: object) -> int:
    """Return the visits that a day's answer of VisitsSummary.get counts."""
    if answer == []:
        return 0
    if not isinstance(answer, Mapping) or "nb_visits" not in answer:
        raise InvalidResponse(f"VisitsSummary.get answers {_json_type(answer)} without nb_visits")
    try:
        return as_integer(answer["nb_visits"])
    except ValueError as error:
        raise InvalidResponse(f"VisitsSummary.get: nb_visits {error}") from None


def _rows_of(table: Table, source: Source, answer: object) -> list[Row]:
    readers = _readers(table, source)
    if source.by_goal and answer != []:
        answer = _by_goal(source, answer)
    if table.is_one_row:
        if answer == []:  # how a range answers a day without visits: a single date answers zeros
            return [tuple(_CONVERTERS[column.type](0) for column in table.parsed)]
        if not isinstance(answer, Mapping):
            raise InvalidResponse(f"{source.method} answers {_json_type(answer)} where an object of numbers belongs")
        if not any(column.source in answer for column in table.parsed):  # {"value": 70}, or keyed by sites or days
            raise InvalidResponse(f"{source.method} answers an object without any of its fields")
        return [_read(readers, answer, source, 0)]
    if not isinstance(answer, list):
        raise InvalidResponse(f"{source.method} answers {_json_type(answer)} where a list of rows belongs")
    rows = []
    for index, raw in enumerate(answer):
        if not isinstance(raw, Mapping):
            raise InvalidResponse(f"{source.method}: row {index + 1} is {_json_type(raw)} where an object belongs")
        if source.only is None or _matches(source, source.only, raw, index):
            rows.append((*_read(readers, raw, source, index), is_others(raw)))
    return rows


def _by_goal(source: Source, answer: object) -> object:
    """Return what stands in the ``goals`` of a report's rows, summed up: a row a goal, or the one that is named."""
    if not isinstance(answer, list):
        raise InvalidResponse(f"{source.method} answers {_json_type(answer)} where a list of rows belongs")
    sums: dict[str, dict[str, float]] = {}
    for index, raw in enumerate(answer):
        goals = raw.get("goals") or {} if isinstance(raw, Mapping) else None
        if not isinstance(goals, Mapping) or not all(isinstance(numbers, Mapping) for numbers in goals.values()):
            raise InvalidResponse(f"{source.method}: row {index + 1} has no goals that can be read")
        for key, numbers in goals.items():
            found = sums.setdefault(str(key).removeprefix("idgoal="), {})
            for name, value in numbers.items():
                try:
                    # Matomo rounds amounts to 2 decimals; what adding doubles leaves behind them means nothing.
                    found[name] = round(found.get(name, 0.0) + as_float(value), 6)
                except ValueError as error:
                    raise InvalidResponse(f"{source.method}: row {index + 1}: {key}: {name} {error}") from None
    if source.by_goal == "goals":
        return [{"idgoal": goal, **numbers} for goal, numbers in sums.items() if goal.isdecimal()]
    return sums.get(source.by_goal, {"nb_conversions": 0})


def _matches(source: Source, only: tuple[str, int], raw: Mapping[str, object], index: int) -> bool:
    field, wanted = only
    if field not in raw:
        raise InvalidResponse(f"{source.method}: row {index + 1} has no {field}")
    try:
        return as_integer(raw[field]) == wanted
    except ValueError as error:
        raise InvalidResponse(f"{source.method}: row {index + 1}: {field} {error}") from None


def is_others(raw: Mapping[str, object]) -> bool:
    """Return whether a row sums up what the archive's row limit cut."""
    return raw.get("label") == OTHERS_LABEL and not any(name in raw for name in METADATA)


Reader = Callable[[Mapping[str, object]], Any]


def _read(readers: Sequence[Reader], raw: Mapping[str, object], source: Source, index: int) -> Row:
    try:
        return tuple([reader(raw) for reader in readers])
    except ValueError as error:
        raise InvalidResponse(f"{source.method}: row {index + 1} ({_label(raw)}): {error}") from None


@lru_cache(maxsize=256)
def _readers(table: Table, source: Source) -> Sequence[Reader]:
    """Return what reads the columns of a table; built once, not for every day."""
    return [_reader(column, source) for column in table.parsed if column is not IS_OTHERS]


def _reader(column: Column, source: Source) -> Reader:
    """Return what reads a column's value from one of Matomo's rows."""
    for name, constant in source.constants:
        if name == column.name:
            return lambda _: constant
    if not column.source:
        return lambda _: None
    convert = _CONVERTERS[column.type]
    name, fallback, required = column.source, column.fallback, column.required
    absent = None if column.absent is None else convert(column.absent)  # 0.0 where a row that has the field has it

    def read(raw: Mapping[str, object]) -> Any:
        value = raw.get(name)
        if value is None and fallback:
            value = raw.get(fallback)
        if value is None:
            if required and absent is None:
                raise ValueError(f"there is no {name}")
            return absent
        try:
            return convert(value)
        except ValueError as error:
            raise ValueError(f"{name} {error}") from None

    return read


def _document(value: object) -> Any:
    return json.loads(sorted_by_json(value))


_CONVERTERS: Mapping[ColumnType, Callable[[object], Any]] = {
    ColumnType.INT64: as_staged_integer,
    ColumnType.FLOAT64: as_float,
    ColumnType.STRING: as_text,
    ColumnType.JSON: _document,
}


def _check_keys(table: Table, rows: Sequence[Row]) -> None:
    """Refuse two rows with one key: the merge would store both, and no query could tell them apart."""
    names = set(table.key)
    positions = [i for i, column in enumerate(table.parsed) if column.name in names]
    seen: set[Row] = set()
    for row in rows:
        key = tuple([row[i] for i in positions])
        if key in seen:
            named = ", ".join(f"{table.parsed[i].name}={shown(row[i])}" for i in positions)
            raise InvalidResponse(f"Matomo answers two rows for {named}: table {table.name} can hold one")
        seen.add(key)


def _is_zero(value: object) -> bool:
    try:
        return as_float(value) == 0
    except ValueError:
        return False


def _label(raw: Mapping[str, object]) -> str:
    return shown(raw["label"]) if "label" in raw else "no label"


def _json_type(value: object) -> str:
    if isinstance(value, list | UnreadRows):
        return "a list"
    return "an object" if isinstance(value, Mapping) else shown(value)
