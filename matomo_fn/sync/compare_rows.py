"""Matomo's answer for a slice, row by row beside what the table has of it."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from matomo_fn.catalogue import Column, ColumnType, Table
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.extract.visit_rows import AGES
from matomo_fn.slices import Slice
from matomo_fn.sync.quality import Reason
from matomo_fn.warehouse import quality_sql
from matomo_fn.warehouse.buffer import BufferedSlice, open_joined
from matomo_fn.warehouse.protocol import Warehouse

# Values that both warehouses and Matomo's answer have in a form that can be compared. Arrays, STRUCT and JSON are not
# among them: of these the hash of the answer tells.
_PLAIN = frozenset(
    {
        *(ColumnType.STRING, ColumnType.INT64, ColumnType.FLOAT64, ColumnType.NUMERIC, ColumnType.BOOL),
        ColumnType.TIMESTAMP,
    }
)
# Changed rows of which a finding names the columns.
_LOOKED_AT = 10
# Digits of a number that count: what adding doubles leaves behind them means nothing.
_DIGITS = ".12g"

Content = ParsedSlice | BufferedSlice
Values = tuple[Any, ...]


@dataclass(slots=True)
class RowComparison:
    """How the rows of a slice differ from Matomo's answer.

    ``columns``: those in which the first of the changed rows differ. No key and no value is told: a finding stands in
    logs and on a page, and a label may be a person's.
    """

    expected: int = 0
    found: int = 0
    missing: int = 0
    added: int = 0
    doubled: int = 0
    changed: int = 0
    columns: dict[str, None] = field(default_factory=dict)

    @property
    def is_same(self) -> bool:
        """Whether the table has the answer's rows, each once."""
        return not (self.missing or self.added or self.doubled or self.changed)

    @property
    def reason(self) -> Reason:
        """What became of the rows, where they are not those of the answer that was written."""
        if self.doubled:
            return Reason.ROW_DOUBLED
        if self.missing:
            return Reason.ROW_MISSING
        return Reason.ROW_ADDED if self.added else Reason.VALUE_CHANGED

    @property
    def detail(self) -> str:
        """What differs, in a phrase."""
        counts = {"missing": self.missing, "added": self.added, "doubled": self.doubled, "changed": self.changed}
        told = ", ".join(f"{count} row{'s'[: count > 1]} {what}" for what, count in counts.items() if count)
        return (told or "nested values differ") + (f" in {', '.join(self.columns)}" if self.columns else "")


def compare_rows(
    warehouse: Warehouse, table: Table, contents: Mapping[Slice, Content], present: Collection[str] | None = None
) -> dict[Slice, RowComparison]:
    """Return how the rows of some slices of a table differ from Matomo's answers, by one query.

    In the columns of numbers, texts, truth values and moments. Of a slice's rows the hashes are held in memory.
    ``present``: the columns that an open table has in the warehouse.
    """
    columns = [
        column for column in table.parsed if _is_compared(table, column) and (present is None or column.name in present)
    ]
    reader = _Reader(table, columns)
    found = {slice_: _Slice(reader.hashes(content)) for slice_, content in contents.items()}
    by_place = {(slice_.date, slice_.website_id, slice_.segment): slice_ for slice_ in contents}
    statement = quality_sql.rows_of(warehouse.dataset, table, [column.name for column in columns], list(contents))
    for row in warehouse.rows(statement):
        slice_ = by_place[row["date"], row["website_id"], row["segment"] if table.has_segment else ""]
        found[slice_].note(reader.values(row), reader)
    return {slice_: found[slice_].compared(reader, content) for slice_, content in contents.items()}


def _is_compared(table: Table, column: Column) -> bool:
    if column.type not in _PLAIN or column.repeated or column.source in AGES:
        return False
    # Titles of pages come from the visits, and not from the report.
    return not (table.titles_from and column.name == "page_title")


class _Reader:
    """Reads the values of a table's columns from rows of the warehouse and of an answer, in the same form."""

    def __init__(self, table: Table, columns: Sequence[Column]) -> None:
        self.columns = columns
        names = set(table.key) - {"date", "website_id", "segment"}
        self._key = [place for place, column in enumerate(columns) if column.name in names]

    def values(self, row: Mapping[str, Any]) -> Values:
        """Return the values of a row."""
        return tuple(_plain(column, row.get(column.name)) for column in self.columns)

    def key(self, values: Values) -> Values:
        """Return those that tell the row from all others of its slice."""
        return tuple(values[place] for place in self._key)

    def hashes(self, content: Content) -> dict[Values, int]:
        """Return a hash of each row of an answer, by its key."""
        return {self.key(values): hash(values) for values in map(self.values, _answered(content))}

    def rows_with(self, content: Content, keys: Iterable[Values]) -> dict[Values, Values]:
        """Return the values of an answer's rows with some keys."""
        wanted = set(keys)
        rows = map(self.values, _answered(content)) if wanted else iter(())
        return {self.key(values): values for values in rows if self.key(values) in wanted}


class _Slice:
    """The rows of a slice that a table has, as far as they were read."""

    def __init__(self, hashes: dict[Values, int]) -> None:
        self._hashes = hashes
        self._seen: set[Values] = set()
        self._changed: dict[Values, Values] = {}
        self._comparison = RowComparison(expected=len(hashes))

    def note(self, values: Values, reader: _Reader) -> None:
        """Compare a row of the table."""
        comparison, key = self._comparison, reader.key(values)
        comparison.found += 1
        if key in self._seen:
            comparison.doubled += 1
        elif key not in self._hashes:
            comparison.added += 1
        elif self._hashes[key] != hash(values):
            comparison.changed += 1
            if len(self._changed) < _LOOKED_AT:
                self._changed[key] = values
        self._seen.add(key)

    def compared(self, reader: _Reader, content: Content) -> RowComparison:
        """Return what differs, once every row of the table was noted."""
        comparison = self._comparison
        comparison.missing = len(self._hashes.keys() - self._seen)
        for key, theirs in reader.rows_with(content, self._changed).items():
            pairs = zip(reader.columns, theirs, self._changed[key], strict=True)
            comparison.columns |= {column.name: None for column, one, other in pairs if one != other}
        return comparison


def _answered(content: Content) -> Iterator[Mapping[str, Any]]:
    if isinstance(content, ParsedSlice):
        yield from map(json.loads, content.lines)
        return
    with open_joined([content.buffer.path]) as file:
        for line in file:
            yield json.loads(line)


def _plain(column: Column, value: Any) -> Any:
    """Return a value in the form in which it is compared, whether it comes from JSON or from a warehouse."""
    if value is None:
        return None
    match column.type:
        case ColumnType.INT64:
            return int(value)
        case ColumnType.FLOAT64 | ColumnType.NUMERIC:
            return format(float(value), _DIGITS)
        case ColumnType.TIMESTAMP:
            moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        case _:
            return value
