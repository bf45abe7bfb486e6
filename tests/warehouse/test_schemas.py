"""Nested fields of rows on their way into a table: in the table's order, with what each of the two has alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import Column, ColumnType
from matomo_fn.warehouse.protocol import FoundColumn
from matomo_fn.warehouse.schemas import merged_type, missing_columns, staged_like

NAMES = st.lists(st.sampled_from(["a", "b", "C", "d", "e"]), unique=True, min_size=1)


def column(names: list[str]) -> Column:
    fields = tuple(Column(name, ColumnType.INT64, "") for name in names)
    return Column("thing", ColumnType.STRUCT, "", repeated=True, fields=fields)


def found(names: list[str]) -> FoundColumn:
    fields = tuple(FoundColumn(name, "INT64", required=False) for name in names)
    kind = f"ARRAY<STRUCT<{', '.join(f'{name} INT64' for name in names)}>>"
    return FoundColumn("thing", kind, required=False, fields=fields)


@given(NAMES, NAMES)
def test_nested_fields_stand_in_the_order_of_the_table_and_new_ones_behind(ours: list[str], theirs: list[str]) -> None:
    """None is lost, whether only the rows or only the table has it; names are the same in any case of letters."""
    theirs = [name.lower() for name in theirs]
    behind = [name for name in ours if name.lower() not in theirs]
    (staged,) = staged_like([column(ours)], [found(theirs)])
    assert [field.name.lower() for field in staged.fields] == [*theirs, *(name.lower() for name in behind)]
    merged = ", ".join(f"{name} INT64" for name in [*theirs, *behind])
    assert merged_type(column(ours), found(theirs)) == f"ARRAY<STRUCT<{merged}>>"
    missing = missing_columns(column(ours).fields, found(theirs).fields)
    assert [field.name for field in missing] == behind
