"""Parses the rows of a report column by column: the same as `report_rows` does row by row, in a third of the time.

msgspec reads from the bytes only the fields that a table has, and writes all rows at once. A step takes what it is
sure of and nothing else: for all the rest there are no lines, and `report_rows` reads the rows one by one and says
what is wrong with them, if anything is. So what comes of a row does not depend on how it was read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from matomo_fn.catalogue import IS_OTHERS, Column, ColumnType, Source, Table
from matomo_fn.json_codec import REFUSED, WITH_EXPONENT, UnreadRows, encode_document, encode_lines
from matomo_fn.values import as_float, as_staged_integer, as_text

# Under language=en, which every request sends. An ordinary row of that name has a segment, a URL or a code; the sum
# of what the archive's row limit cut never does (recordings others_row_*, truncate_*).
OTHERS_LABEL = "Others"
METADATA = ("segment", "url", "code")

_LARGEST = 2**53 - 1  # what is staged as a number and not as its digits
_Integer = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
_Float = Annotated[float, msgspec.Meta(gt=-WITH_EXPONENT, lt=WITH_EXPONENT)]
# Texts of numbers that are remembered: counters of one report repeat.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class ColumnLines:
    """The lines of rows, in the rows' order, their keys, and whether one of them is Matomo's "Others"."""

    lines: list[str]
    keys: set[tuple[Any, ...]]
    has_others: bool


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a column type is read: the JSON types that it may have, which of them stays as it is, what reads others."""

    json: Any
    plain: type
    convert: Callable[[Any], Any]


def _float(value: Any) -> float:
    number = as_float(value)
    if abs(number) >= WITH_EXPONENT:
        raise ValueError
    return number


_KINDS = {
    ColumnType.INT64: _Kind(_Integer | str | None, int, lru_cache(_REMEMBERED)(as_staged_integer)),
    ColumnType.FLOAT64: _Kind(_Float | str | None, float, _float),
    ColumnType.STRING: _Kind(str | int | float | None, str, as_text),
    ColumnType.JSON: _Kind(Any, msgspec.Raw, encode_document),
}


@lru_cache(maxsize=256)
def column_reader(table: Table, source: Source) -> "ColumnReader | None":
    """Return what reads the rows of a table's source, or None where they have to be read one by one."""
    if table.is_one_row or source.only or source.by_goal:
        return None
    return ColumnReader(table, source)


class ColumnReader:
    """Reads the rows of one source into lines of a table."""

    def __init__(self, table: Table, source: Source) -> None:
        columns = [column for column in table.parsed if column is not IS_OTHERS]
        types: dict[str, Any] = dict.fromkeys(("label", *METADATA), Any)
        for column in columns:
            for name in filter(None, (column.source, column.fallback)):
                # What two columns read, or tells "Others", is read as it is and looked at by each.
                types[name] = Any if name in types else _KINDS[column.type].json
        places = {name: place for place, name in enumerate(types)}
        fields = [
            (f"f{place}", kind, msgspec.field(name=name, default=msgspec.UNSET if name in METADATA else None))
            for place, (name, kind) in enumerate(types.items())
        ]
        decoded = msgspec.defstruct("Decoded", fields, gc=False)
        self._decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[decoded])  # type: ignore[valid-type]
        self._values = attrgetter(*(name for name, *_ in fields))
        self._label = places["label"]
        self._metadata = [places[name] for name in METADATA]
        constants = dict(source.constants)
        self._columns = [_Column.of(column, constants, places) for column in columns]
        names = [column.name for column in table.parsed]
        self._line = msgspec.defstruct(
            "Line", [(f"c{place}", Any, msgspec.field(name=name)) for place, name in enumerate(names)], gc=False
        )
        self._key = [place for place, name in enumerate(names) if name in table.key]

    def lines(self, rows: UnreadRows) -> ColumnLines | None:
        """Return the lines of some rows, or None where they have to be read one by one."""
        try:
            fields = list(zip(*map(self._values, self._decoder.decode(rows.text)), strict=True))
            columns = [column.read(fields) for column in self._columns]
        except (*REFUSED, ValueError):
            return None
        others = self._others(fields)
        columns.append(others)
        lines = encode_lines(list(map(self._line, *columns)))
        if lines is None:
            return None
        return ColumnLines(lines, set(zip(*[columns[place] for place in self._key], strict=True)), True in others)

    def _others(self, fields: Sequence[Sequence[Any]]) -> Sequence[bool]:
        labels = fields[self._label]
        if OTHERS_LABEL not in labels:
            return [False] * len(labels)
        metadata = zip(*[fields[place] for place in self._metadata], strict=True)
        return [
            label == OTHERS_LABEL and all(value is msgspec.UNSET for value in values)
            for label, values in zip(labels, metadata, strict=True)
        ]


@dataclass(frozen=True, slots=True)
class _Column:
    """Reads one column of rows whose fields are given field by field.

    ``place`` and ``fallback`` are those of the fields; without a place every row has ``absent``.
    """

    kind: _Kind
    place: int | None
    fallback: int | None
    absent: Any
    is_required: bool

    @classmethod
    def of(cls, column: Column, constants: Mapping[str, str], places: Mapping[str, int]) -> "_Column":
        """Return what reads a column of a table."""
        kind = _KINDS[column.type]
        if column.name in constants or not column.source:
            return cls(kind, None, None, constants.get(column.name), is_required=False)
        absent = None if column.absent is None else kind.convert(column.absent)
        is_required = column.required and absent is None
        return cls(kind, places[column.source], places.get(column.fallback), absent, is_required)

    def read(self, fields: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the values of all rows; raise ValueError where one cannot be had."""
        if self.place is None:
            return [self.absent] * len(fields[0])
        values = fields[self.place]
        plain, convert, absent = self.kind.plain, self.kind.convert, self.absent
        types = set(map(type, values))
        if types == {plain}:
            return values
        if self.fallback is not None:
            values = [_first(*both) for both in zip(values, fields[self.fallback], strict=True)]
        if msgspec.UnsetType in types:
            values = [_first(value, None) for value in values]
        if self.is_required and None in values:
            raise ValueError
        return [v if type(v) is plain else absent if v is None else convert(v) for v in values]


def _first(value: Any, other: Any) -> Any:
    """Return the value, or the other where there is none."""
    if value is None or value is msgspec.UNSET:
        return None if other is msgspec.UNSET else other
    return value
