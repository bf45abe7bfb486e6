"""Parses the rows of a report column by column: the same as `report_rows` does row by row, in a third of the time.

msgspec reads from the bytes only the fields that a table has, and writes all rows at once. A step takes what it is
sure of and nothing else: for all the rest there are no lines, and `report_rows` reads the rows one by one and says
what is wrong with them, if anything is. So what comes of a row does not depend on how it was read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Annotated, Any

import msgspec

from matomo_fn.catalogue import IS_OTHERS, Column, ColumnType, Source, Table
from matomo_fn.json_codec import REFUSED, WITH_EXPONENT, UnreadRows, encode_document, encode_lines, has_exponent
from matomo_fn.values import as_float, as_staged_integer, as_text

# Under language=en, which every request sends. An ordinary row of that name has a segment, a URL or a code; the sum
# of what the archive's row limit cut never does (recordings others_row_*, truncate_*).
OTHERS_LABEL = "Others"
METADATA = ("segment", "url", "code")

_LARGEST = 2**53 - 1  # what is staged as a number and not as its digits
_Integer = Annotated[int, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
_Float = Annotated[float, msgspec.Meta(gt=-WITH_EXPONENT, lt=WITH_EXPONENT)]
# Readers that are kept, with their table and source, so that these keep their identities.
_READERS = 256
_readers: dict[tuple[int, int], tuple[Table, Source, "ColumnReader"]] = {}
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


_KINDS = {
    ColumnType.INT64: _Kind(_Integer | str | None, int, lru_cache(_REMEMBERED)(as_staged_integer)),
    ColumnType.FLOAT64: _Kind(_Float | str | None, float, as_float),
    ColumnType.STRING: _Kind(str | int | float | None, str, as_text),
    ColumnType.JSON: _Kind(Any, msgspec.Raw, encode_document),
}


def column_reader(table: Table, source: Source) -> "ColumnReader | None":
    """Return what reads the rows of a table's source, or None where they have to be read one by one."""
    if table.is_one_row or source.only or source.by_goal:
        return None
    # By identity: to hash a table, with all its columns, takes longer than to read a small report.
    known = _readers.get((id(table), id(source)))
    if known is None:
        if len(_readers) >= _READERS:
            _readers.clear()
        known = _readers[id(table), id(source)] = (table, source, ColumnReader(table, source))
    return known[2]


class ColumnReader:
    """Reads the rows of one source into lines of a table."""

    def __init__(self, table: Table, source: Source) -> None:
        columns = [column for column in table.parsed if column is not IS_OTHERS]
        types: dict[str, Any] = {"label": Any}
        for column in columns:
            for name in filter(None, (column.source, column.fallback)):
                # What two columns read, or tells "Others", is read as it is and looked at by each.
                types[name] = Any if name in types or name in METADATA else _KINDS[column.type].json
        places = {name: place for place, name in enumerate(types)}
        types |= {name: msgspec.Raw for name in METADATA if name not in types}  # whether they are there is enough
        attributes = {name: f"f{place}" for place, name in enumerate(types)}
        fields = [
            (attributes[name], kind, msgspec.field(name=name, default=msgspec.UNSET if name in METADATA else None))
            for name, kind in types.items()
        ]
        decoded = msgspec.defstruct("Decoded", fields, gc=False)
        self._decoder: msgspec.json.Decoder[list[Any]] = msgspec.json.Decoder(list[decoded])  # type: ignore[valid-type]
        # With the label once more: of a single attribute there would be no tuple.
        self._values = attrgetter(*(attributes[name] for name in places), attributes["label"])
        self._label = places["label"]
        self._metadata = attrgetter(*(attributes[name] for name in METADATA))
        constants = dict(source.constants)
        self._columns = [_Column.of(column, constants, places) for column in columns]
        names = [column.name for column in table.parsed]
        self._line = msgspec.defstruct(
            "Line", [(f"c{place}", Any, msgspec.field(name=name)) for place, name in enumerate(names)], gc=False
        )
        self._key = [place for place, name in enumerate(names) if name in table.key]

    def lines(self, answers: Sequence[UnreadRows]) -> list[ColumnLines] | None:
        """Return the lines of each answer, or None where one has a row that has to be read by itself.

        To read the answers together takes less time than one by one, and the memory of all of them.
        """
        try:
            parts = [self._decoder.decode(rows.text) for rows in answers]
            decoded = list(chain.from_iterable(parts))
            fields = list(zip(*map(self._values, decoded), strict=True))
            columns = [column.read(fields) for column in self._columns]
            columns.append(self._others(fields[self._label], decoded))
            lines = encode_lines(list(map(self._line, *columns)))
        except (*REFUSED, ValueError):
            return None
        keys = list(zip(*[columns[place] for place in self._key], strict=True))
        found, start = [], 0
        for part in parts:
            end = start + len(part)
            found.append(ColumnLines(lines[start:end], set(keys[start:end]), True in columns[-1][start:end]))
            start = end
        return found

    def _others(self, labels: Sequence[Any], decoded: Sequence[Any]) -> Sequence[bool]:
        """Return which rows are Matomo's "Others"."""
        if OTHERS_LABEL not in labels:
            return [False] * len(labels)
        return [
            label == OTHERS_LABEL and all(value is msgspec.UNSET for value in self._metadata(row))
            for label, row in zip(labels, decoded, strict=True)
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
    is_required: bool = False
    may_be_unset: bool = False

    @classmethod
    def of(cls, column: Column, constants: Mapping[str, str], places: Mapping[str, int]) -> "_Column":
        """Return what reads a column of a table."""
        kind = _KINDS[column.type]
        if column.name in constants or not column.source:
            return cls(kind, None, None, constants.get(column.name))
        absent = None if column.absent is None else kind.convert(column.absent)
        is_required = column.required and absent is None
        may_be_unset = column.source in METADATA
        return cls(kind, places[column.source], places.get(column.fallback), absent, is_required, may_be_unset)

    def read(self, fields: Sequence[Sequence[Any]]) -> Sequence[Any]:
        """Return the values of all rows; raise ValueError where one cannot be had."""
        if self.place is None:
            return [self.absent] * len(fields[0])
        values = fields[self.place]
        if self.fallback is not None:
            values = [_first(*both) for both in zip(values, fields[self.fallback], strict=True)]
        elif self.may_be_unset and msgspec.UNSET in values:
            values = [_first(value, None) for value in values]
        plain, convert, absent = self.kind.plain, self.kind.convert, self.absent
        if self.is_required and None in values:
            raise ValueError
        kinds = set(map(type, values))  # most columns are of one
        if kinds == {plain}:
            found = values
        elif kinds == {str}:
            found = list(map(convert, values))
        else:
            found = [v if type(v) is plain else absent if v is None else convert(v) for v in values]
        if plain is float and any(map(has_exponent, filter(None, found))):
            raise ValueError
        return found


def _first(value: Any, other: Any) -> Any:
    """Return the value, or the other where there is none."""
    if value is None or value is msgspec.UNSET:
        return None if other is msgspec.UNSET else other
    return value
