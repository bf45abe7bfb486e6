"""Comparing the columns of a table that exists with those that it should have, also the nested ones."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from matomo_fn.catalogue import WIDER, Column, ColumnType, Schema
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable, PartitionBy


def schema_mismatches(schema: Schema, found: FoundTable, accepted: Sequence[PartitionBy]) -> list[str]:
    """Return a phrase for each reason why a table cannot take the rows of a schema, and cannot be brought up to date.

    ``accepted``: what the table may be partitioned by, first what it would be created with. Columns and nested
    fields that are missing, columns that are required and need not be, and numbers that become wider, are no reasons.
    """
    if found.is_view:
        return ["it is a view"]
    problems = list(_column_mismatches(schema.columns, found.columns, ""))
    if schema.partitioned and found.partition_by not in (None, *accepted):
        problems.append(f"it is partitioned by {found.partition_by}, not by {accepted[0]} of the column date")
    return [*problems, *found.problems]


def staged_like(columns: Sequence[Column], found: Sequence[FoundColumn]) -> tuple[Column, ...]:
    """Return columns with their nested fields in the order in which a table has them.

    A STRUCT is written to another one field by field in their order, whatever the names are: BigQuery would put the
    values into the wrong fields without a word. Fields that only the table has are added, and stay empty.
    """
    by_name = {column.name.lower(): column for column in found}
    return tuple(_like(column, by_name.get(column.name.lower())) for column in columns)


def merged_type(column: Column, found: FoundColumn) -> str:
    """Return the type of a found column with the nested fields that it lacks behind those that it has."""
    if not column.fields or not found.fields:
        return found.type_name
    wanted = {field.name.lower(): field for field in column.fields}
    names = {field.name.lower() for field in found.fields}
    parts = [
        f"{field.name} {merged_type(wanted[field.name.lower()], field)}"
        if field.name.lower() in wanted
        else f"{field.name} {field.type_name}"
        for field in found.fields
    ]
    parts += [f"{field.name} {field.type_name}" for field in column.fields if field.name.lower() not in names]
    merged = f"STRUCT<{', '.join(parts)}>"
    return f"ARRAY<{merged}>" if found.is_repeated else merged


def is_widening(found: FoundColumn, wanted: Column, path: str = "") -> bool:
    """Return whether a column of a table can become the wanted one without losing a value.

    https://cloud.google.com/bigquery/docs/reference/standard-sql/conversion_rules#supertypes; parts of a STRUCT, which
    are at a ``path``, stay as they are.
    """
    return not (path or wanted.repeated) and any(
        wanted.type in wider for kind, wider in WIDER.items() if kind == found.type_name
    )


def widened_columns(schema: Schema, found: FoundTable) -> list[Column]:
    """Return the columns of a schema whose type is wider than in the table."""
    by_name = {column.name.lower(): column for column in found.columns}
    return [
        column
        for column in schema.columns
        if column.name.lower() in by_name and is_widening(by_name[column.name.lower()], column)
    ]


def column_types(found: FoundTable) -> dict[str, ColumnType | None]:
    """Return the types of a table's columns by name: STRUCT for an array of them, None for what is not in use."""
    return {
        column.name: ColumnType.STRUCT
        if column.fields
        else next((kind for kind in ColumnType if kind == column.type_name), None)
        for column in found.columns
    }


def missing_columns(columns: Sequence[Column], found: Sequence[FoundColumn]) -> list[Column]:
    """Return the columns that a table does not have; names are told apart without regard to case."""
    names = {column.name.lower() for column in found}
    return [column for column in columns if column.name.lower() not in names]


def _column_mismatches(columns: Sequence[Column], found: Sequence[FoundColumn], path: str) -> Iterator[str]:
    wanted = {column.name.lower(): column for column in columns}
    for column in found:
        name = f"{path}{column.name}"
        ours = wanted.get(column.name.lower())
        if ours is None:
            if column.required:
                yield f"column {name} is required and nothing fills it"
            if path and as_column(column) is None:
                yield f"column {name} is {column.type_name}, which cannot be staged beside the others"
        elif column.fields and ours.fields and column.is_repeated == ours.repeated:
            yield from _column_mismatches(ours.fields, column.fields, f"{name}.")
        elif column.type_name != ours.type_name and not is_widening(column, ours, path):
            yield f"column {name} is {column.type_name}, not {ours.type_name}"


def _like(column: Column, found: FoundColumn | None) -> Column:
    if found is None or not column.fields:
        return column
    wanted = {field.name.lower(): field for field in column.fields}
    fields = []
    for field in found.fields:
        ours = wanted.pop(field.name.lower(), None)
        if ours is not None:
            fields.append(_like(ours, field))
        elif (other := as_column(field)) is not None:
            fields.append(other)
    return replace(column, fields=(*fields, *wanted.values()))


def as_column(found: FoundColumn) -> Column | None:
    """Return a found column as one that can be staged, or None where it is of a type that the program does not use."""
    if found.fields:
        fields = [as_column(field) for field in found.fields]
        if None in fields:
            return None
        known = tuple(field for field in fields if field is not None)
        return Column(found.name, ColumnType.STRUCT, "", repeated=found.is_repeated, fields=known)
    name = found.type_name.removeprefix("ARRAY<").removesuffix(">") if found.is_repeated else found.type_name
    known_type = next((kind for kind in ColumnType if kind == name), None)
    return Column(found.name, known_type, "", repeated=found.is_repeated) if known_type else None
