"""Parses reports whose columns are found in the answers: which fields there are, of which type, and what tells rows.

The columns of a table grow with each answer, in every thread at once. A slice's lines have only the fields that its own
rows have, so a column that another day brings changes neither its lines nor its hash.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from matomo_fn.catalogue import IS_OTHERS, WIDER, Column, ColumnType, OpenFields, Source, Table
from matomo_fn.catalogue.custom import is_typed, new_column
from matomo_fn.catalogue.fields import (
    FURTHER_IDENTIFIERS,
    GOAL_ID,
    GOALS,
    OTHER_NUMBERS,
    is_flat_dimension,
    is_presentation,
)
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.report_rows import ParsedSlice, is_others
from matomo_fn.json_codec import UnreadRows
from matomo_fn.values import (
    as_bool,
    as_day,
    as_float,
    as_moment,
    as_numeric,
    as_plain,
    as_staged_integer,
    as_text,
    encode,
    shown,
    utf8,
)

# Columns of a table: BigQuery takes 10,000, and a report of hundreds of goals has some hundred.
MOST_COLUMNS = 2_000

RawRow = Mapping[str, object]
Line = dict[str, Any]


class OpenColumns:
    """The columns of one open table, as far as they are known in a run; thread-safe.

    ``found``: the types of the columns that the table has already, by name; None for types that are not in use.
    """

    def __init__(self, table: Table, found: Mapping[str, ColumnType | None]) -> None:
        if table.open is None:
            raise ValueError(f"the columns of {table.name} are known")
        self._table = table
        self._open: OpenFields = table.open
        self._found = {name.lower(): kind for name, kind in found.items()}
        self._columns: dict[str, Column] = {}
        self._identifiers = list(self._open.identifiers)
        self._lock = threading.Lock()
        self._seen: set[str] = set()
        for column in self._open.declared:
            self._columns[column.source] = column
        if not self._open.is_one_row:
            first = self._identifiers[0]
            self._columns.setdefault(first, self._typed(first))
        for field in self._identifiers[1:]:
            if new_column(self._open, field).name.lower() in self._found:
                self._columns.setdefault(field, self._typed(field))
        for field in self._open.taken:
            if field in self._identifiers[1:] and not self._open.is_chosen:
                continue  # known to the program, and maybe not in the report
            if is_typed(self._open, field) or field == GOALS.source:
                self._columns.setdefault(field, self._typed(field))

    @property
    def table(self) -> Table:
        """The table with the columns that are known by now."""
        with self._lock:
            keys = [self._columns[field] for field in self._identifiers if field in self._columns]
            rest = [column for field, column in self._columns.items() if field not in self._identifiers]
            return replace(self._table, dimensions=tuple(keys), key_dimensions=len(keys), metrics=tuple(rest))

    @property
    def unknown_fields(self) -> tuple[str, ...]:
        """The fields that the configuration names and no row had, of a table that was not there before this run."""
        if self._found or not self._seen:
            return ()
        named = [*self._open.taken, *(column.source for column in self._open.declared)]
        if not self._open.is_chosen:
            named = [field for field in named if field not in self._open.identifiers]
        return tuple(field for field in dict.fromkeys(named) if field not in self._seen)

    def parse(self, answers: Iterable[tuple[Source, object]]) -> ParsedSlice:
        """Return the rows of one day's answers, and learn what columns they have.

        Raises InvalidResponse where a value does not fit its column, or two rows cannot be told apart.
        """
        lines: list[Line] = []
        for source, answer in answers:
            rows = self._rows(source, answer)
            with self._lock:
                columns, values = self._learn(source, rows)
                self._columns |= columns
            lines += [self._line(rows, values, index) for index in range(len(rows))]
            self._tell_apart(source, lines)
            self._fill_keys(lines, values.keys())
        texts = tuple(sorted(_encode(line) for line in lines))
        digest = hashlib.sha256(utf8("\n".join(texts)))
        return ParsedSlice(texts, digest.hexdigest(), any(line.get(IS_OTHERS.name) for line in lines))

    def _rows(self, source: Source, answer: object) -> list[RawRow]:
        if isinstance(answer, UnreadRows):
            answer = answer.read()
        if not self._open.is_one_row:
            if not isinstance(answer, list):
                raise InvalidResponse(f"{source.method} answers {_kind(answer)} where a list of rows belongs")
            for index, row in enumerate(answer):
                if not isinstance(row, Mapping):
                    raise InvalidResponse(f"{source.method}: row {index + 1} is {_kind(row)} where an object belongs")
            return answer
        if answer == []:  # how a range answers a day without visits
            return [dict.fromkeys(self._open.zeros, 0)] if self._open.zeros else []
        if isinstance(answer, int | float | str) and not isinstance(answer, bool):
            return [{"value": answer}]  # a method of a single number (recording days_VisitsSummary.getVisits)
        if not isinstance(answer, Mapping) or all(isinstance(value, Mapping | list) for value in answer.values()):
            raise InvalidResponse(f"{source.method} answers {_kind(answer)} where one object of numbers belongs")
        return [answer]

    def _learn(self, source: Source, rows: Sequence[RawRow]) -> tuple[dict[str, Column], dict[str, list[Any]]]:
        """Return the columns of some rows and the value of each row in them, by field."""
        columns: dict[str, Column] = {}
        values: dict[str, list[Any]] = {}
        fields = dict.fromkeys(name for row in rows for name in row)
        self._seen |= fields.keys()
        for field in fields:
            if not self._is_taken(field):
                continue
            raw = [row.get(field) for row in rows]
            known = self._columns.get(field)
            if known is None and all(value is None or value == "" for value in raw):
                continue  # nothing is known of it yet
            column, values[field] = self._read(source, field, known, rows, raw)
            if field in self._identifiers and column.type is ColumnType.JSON:
                raise InvalidResponse(
                    f"{source.method}: {field} identifies the rows of table {self._table.name}, and is a list or an "
                    'object: name other fields that identify a row in "schema", by "identifier": true'
                )
            if known is None:
                self._refuse_same_name(field, column, self._columns | columns)
            columns[field] = column
        if len(self._columns | columns) > MOST_COLUMNS:
            raise InvalidResponse(
                f'{source.method} answers more than {MOST_COLUMNS} fields: name those that are wanted in "fields" of '
                "the report"
            )
        return columns, values

    def _is_taken(self, field: str) -> bool:
        if self._is_declared(field) or any(name == field for name, _, _ in self._open.named):
            return True
        if self._open.taken:
            return field in self._open.taken or (self._open.is_flat and is_flat_dimension(field))
        return not is_presentation(field)

    def _read(
        self, source: Source, field: str, known: Column | None, rows: Sequence[RawRow], raw: Sequence[object]
    ) -> tuple[Column, list[Any]]:
        """Return a field's column, which may be wider than the known one, and the values of all rows."""
        column = known or self._typed(field, raw)
        try:
            return column, [_value(column, value) for value in raw]
        except ValueError as error:
            problem = error
        for kind in self._wider(column):
            wider = replace(column, type=kind)
            try:
                return wider, [_value(wider, value) for value in raw]
            except ValueError:
                continue
        if known is None and column.name.lower() not in self._found and not self._is_declared(field):
            # The name promised a number, the values are something else: a plugin's field.
            other = replace(column, type=_type_of(raw), repeated=False, fields=())
            try:
                return other, [_value(other, value) for value in raw]
            except ValueError as error:  # true beside numbers, or one that no column holds
                column, problem = other, error
        index = next(i for i, value in enumerate(raw) if _problem(column, value))
        raise InvalidResponse(
            f"{source.method}: row {index + 1} ({shown(rows[index].get('label', 'no label'))}): {field} "
            f"{_problem(column, raw[index]) or problem}, and column {column.name} of table {self._table.name} is "
            f'{column.type_name}: give the field another type in "schema" and rebuild the table by --mode full_refresh'
        )

    def _wider(self, column: Column) -> Sequence[ColumnType]:
        """Return the types that a column may get, so that no value that it has is lost."""
        if column.repeated or self._is_declared(column.source):
            return ()
        return [kind for kind in WIDER.get(column.type, ()) if kind is ColumnType.FLOAT64]

    def _is_declared(self, field: str) -> bool:
        return any(column.source == field for column in self._open.declared)

    def _typed(self, field: str, raw: Sequence[object] = ()) -> Column:
        """Return the column of a field: with the type that the table has, that is known of it, or of its values."""
        column = new_column(self._open, field)
        if self._is_declared(field):
            return column
        if column.name.lower() in self._found:
            kind = self._found[column.name.lower()]
            if kind is ColumnType.STRUCT and column.fields:
                return column
            if kind is not None and kind is not ColumnType.STRUCT:
                return replace(column, type=kind, repeated=False, fields=())
        if field == GOALS.source:
            if all(_is_goals(value) for value in raw if value is not None):
                return column
            return replace(column, type=ColumnType.JSON, repeated=False, fields=())
        if not is_typed(self._open, field) and raw:
            return replace(column, type=_type_of(raw))
        return column

    def _refuse_same_name(self, field: str, column: Column, known: Mapping[str, Column]) -> None:
        for other, existing in known.items():
            if other != field and existing.name.lower() == column.name.lower():
                raise InvalidResponse(
                    f"fields {other!r} and {field!r} would both be column {column.name} of table {self._table.name}: "
                    'give one of them a "name" in "schema"'
                )

    def _line(self, rows: Sequence[RawRow], values: Mapping[str, Sequence[Any]], index: int) -> Line:
        """Return one row as it is staged; fields without a value are left out."""
        line = {self._columns[field].name: found[index] for field, found in values.items() if found[index] is not None}
        if "label" in self._identifiers and rows[index].get("label") is None:
            raise InvalidResponse(
                f"{self._table.sources[0].method}: row {index + 1} has no label: name the fields that identify a row "
                f'in the "schema" of table {self._table.name}, by "identifier": true'
            )
        for column in self._open.declared:
            if column.required and column.name not in line:
                raise InvalidResponse(
                    f"{self._table.sources[0].method}: row {index + 1} has no {column.source}, and column "
                    f'{column.name} of table {self._table.name} is REQUIRED: set its "mode" to "NULLABLE"'
                )
        if not self._open.is_one_row:
            line[IS_OTHERS.name] = bool(rows[index].get("is_summary")) or is_others(rows[index])
        return line

    def _tell_apart(self, source: Source, lines: Sequence[Line]) -> None:
        """Refuse rows with the same key, once no further field of them tells them apart."""
        if self._open.is_one_row and len(lines) <= 1:
            return
        with self._lock:
            if self._open.is_flat and not self._open.is_chosen:
                flat = [field for field in self._columns if is_flat_dimension(field) and self._may_identify(field)]
                self._identifiers += [field for field in flat if field not in self._identifiers]
            candidates = [] if self._open.is_chosen else [f for f in FURTHER_IDENTIFIERS if self._may_identify(f)]
            double = self._same_key(lines)
            for field in candidates:
                if double is not None and field not in self._identifiers and self._differ_by(field, lines):
                    self._identifiers.append(field)
                    double = self._same_key(lines)
            keys = [self._columns[field].name for field in self._identifiers if field in self._columns]
        if double is not None:
            named = ", ".join(f"{name}={shown(double.get(name))}" for name in keys)
            raise InvalidResponse(
                f"{source.method} answers two rows for {named}, and table {self._table.name} could not tell them "
                'apart: name the fields that identify a row in "schema", by "identifier": true, or set "flat": true'
            )

    def _may_identify(self, field: str) -> bool:
        """Return whether rows have a field whose values can be compared: lists and objects cannot, in BigQuery too."""
        return field in self._columns and self._columns[field].type is not ColumnType.JSON

    def _differ_by(self, field: str, lines: Sequence[Line]) -> bool:
        """Return whether rows with the same key differ in a field."""
        name = self._columns[field].name
        values: dict[Any, set[Any]] = {}
        for line in lines:
            values.setdefault(self._key(line), set()).add(line.get(name))
        return any(len(found) > 1 for found in values.values())

    def _same_key(self, lines: Iterable[Line]) -> Line | None:
        seen = set()
        for line in lines:
            key = self._key(line)
            if key in seen:
                return line
            seen.add(key)
        return None

    def _key(self, line: Line) -> tuple[Any, ...]:
        names = [self._columns[field].name for field in self._identifiers if field in self._columns]
        return (*(line.get(name) for name in names), line.get(IS_OTHERS.name))

    def _fill_keys(self, lines: Iterable[Line], present: Collection[str]) -> None:
        """Give each row a value in the fields that identify it: a NULL in a key compares with nothing.

        Of the fields that the slice's own rows have, so that what other slices have changes no line.
        """
        for field in self._identifiers:
            if field not in self._columns or not (field in present or self._open.is_chosen or field == "label"):
                continue
            column = self._columns[field]
            for line in lines:
                line.setdefault(column.name, "" if column.type is ColumnType.STRING else 0)


def _value(column: Column, value: object) -> Any:
    """Return a field's value as its column stages it; None where there is none.

    PHP writes ``false`` and empty texts where there is no value.
    """
    if value is None or value == "" or (value is False and column.type is not ColumnType.BOOL):
        return None
    if column.fields:
        return _goals(value)
    return _CONVERTERS[column.type](value)


def _problem(column: Column, value: object) -> str:
    try:
        _value(column, value)
    except ValueError as error:
        return str(error)
    return ""


def _is_goals(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        key.startswith("idgoal=") and isinstance(numbers, Mapping) for key, numbers in value.items()
    )


def _goals(value: object) -> list[Line]:
    """Return Matomo's numbers by goal as an array, in the order of the goals' ids."""
    if value == []:  # PHP's empty object
        return []
    if not isinstance(value, Mapping) or not _is_goals(value):
        raise ValueError(f"is {shown(value)}, not an object of goals")
    return [_goal(key.removeprefix("idgoal="), value[key]) for key in sorted(value, key=_goal_order)]


def _goal_order(key: str) -> tuple[int, str]:
    number = key.removeprefix("idgoal=")
    return (int(number), "") if number.isdecimal() else (2**63, number)


def _goal(goal_id: str, numbers: Mapping[str, object]) -> Line:
    line: Line = {GOAL_ID: goal_id}
    known = {field.source for field in GOALS.fields if field.source}
    for field in GOALS.fields:
        if field.source in numbers:
            try:
                value = _value(field, numbers[field.source])
            except ValueError as error:
                raise ValueError(f"of goal {goal_id}: {field.source} {error}") from None
            if value is not None:
                line[field.name] = value
    other = {name: value for name, value in numbers.items() if name not in known}
    return line | ({OTHER_NUMBERS: _document(other)} if other else {})


def _type_of(raw: Iterable[object]) -> ColumnType:
    """Return the type of values of which nothing is known by their field's name."""
    values = [value for value in raw if value is not None and value != ""]
    texts = [value for value in values if isinstance(value, str)]
    rest = [value for value in values if not isinstance(value, str) and value is not False]
    if any(isinstance(value, Mapping | list) for value in rest):
        return ColumnType.JSON
    if texts:
        return ColumnType.STRING
    if not rest or any(isinstance(value, bool) for value in rest):
        return ColumnType.BOOL
    return ColumnType.INT64 if all(isinstance(value, int) for value in rest) else ColumnType.FLOAT64


def _float(value: object) -> Any:
    return as_plain(as_float(value))


def _integer(value: object) -> Any:
    return as_staged_integer(value)


def _document(value: object) -> Any:
    """Return a JSON value with the keys of its objects in order, without what changes with each archiving."""
    return json.loads(json.dumps(_lasting(value), sort_keys=True, allow_nan=False))


def _lasting(value: object) -> object:
    if isinstance(value, Mapping):
        return {name: _lasting(part) for name, part in value.items() if not is_presentation(name)}
    return [_lasting(part) for part in value] if isinstance(value, list) else value


_CONVERTERS: Mapping[ColumnType, Callable[[object], Any]] = {
    ColumnType.BOOL: as_bool,
    ColumnType.DATE: as_day,
    ColumnType.FLOAT64: _float,
    ColumnType.INT64: _integer,
    ColumnType.JSON: _document,
    ColumnType.NUMERIC: as_numeric,
    ColumnType.STRING: as_text,
    ColumnType.TIMESTAMP: as_moment,
}


def _encode(line: Line) -> str:
    return encode({name: line[name] for name in sorted(line)})


def _kind(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, Mapping) else shown(value)
