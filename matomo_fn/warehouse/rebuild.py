"""Rebuilding a table: its rows are written to a new one beside it, which then takes its place in one step.

Whatever happens before that step leaves the table as it is. Rows of slices that were not written are carried over.
"""

from collections.abc import Collection
from dataclasses import replace

import structlog

from matomo_fn.catalogue import Column, ColumnType, Schema, Table
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.slices import Slice
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.partitions import MOST_DAYS
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundColumn, PartitionBy, Warehouse
from matomo_fn.warehouse.schemas import as_column
from matomo_fn.warehouse.tables import ensure_table

log = structlog.get_logger()


def rebuilt(table: Table, run_id: str) -> Table:
    """Return the table that a table's rows are written to while it is rebuilt."""
    return replace(table, name=f"{STAGING_PREFIX}rebuild_{table.name}_{run_id}", views=())


def prepare_rebuild(warehouse: Warehouse, table: Table) -> None:
    """Create such a table, or bring it up to date; left behind it expires by itself."""
    schema = replace(table.schema, partitioned=False, key=(), clustering=())
    if warehouse.find_table(table.name) is None:
        warehouse.create_staging(schema)
    else:
        ensure_table(warehouse, schema, "day")


def finish_rebuild(
    warehouse: Warehouse, schema: Schema, fresh: Table, slices: Collection[Slice], partition_by: PartitionBy
) -> None:
    """Carry over the rows of all slices but these, and let the new table take the place of the old one.

    Raises WarehouseError, and leaves the table as it is, where a value of a row that is carried over does not fit.
    """
    dataset = warehouse.dataset
    found = warehouse.find_table(schema.name)
    if found is None:
        raise SchemaMismatch(f"table {dataset}.{schema.name} is gone: sync it without full_refresh")
    (counted,) = warehouse.query(sql.count_other_rows(dataset, schema.name, slices))
    if counted["row_count"]:
        # Columns that Matomo no longer answers have values in these rows only.
        schema = _with_old_columns(schema, found.columns)
        columns = [(column.name, _carried(column, found.columns)) for column in schema.columns]
        prepare_rebuild(warehouse, replace(fresh, metrics=(*fresh.metrics, *_missing(schema, fresh))))
        statement = sql.carry_over(dataset, schema.name, fresh.name, columns, slices)
        warehouse.run(statement, f"carry{fresh.name}")
    (days,) = warehouse.query(sql.count_days(dataset, fresh.name))
    if partition_by == "day" and found.partition_by is not None and days["days"] > MOST_DAYS:
        raise SchemaMismatch(
            f"table {dataset}.{schema.name} has {days['days']} days, and BigQuery replaces at most {MOST_DAYS} in one "
            "step: rename it, and sync it again"
        )
    warehouse.replace_table(schema, found, fresh.name)


def drop_rebuild(warehouse: Warehouse, fresh: Table) -> None:
    """Drop a table that was to take another's place; where that fails it expires by itself."""
    try:
        warehouse.drop_table(fresh.name)
    except WarehouseError as error:
        log.warning("staging_table_left", table=fresh.name, error=str(error))


def _with_old_columns(schema: Schema, found: Collection[FoundColumn]) -> Schema:
    names = {column.name.lower() for column in schema.columns}
    old = [as_column(column) for column in found if column.name.lower() not in names]
    return replace(schema, columns=(*schema.columns, *(column for column in old if column is not None)))


def _missing(schema: Schema, fresh: Table) -> tuple[Column, ...]:
    names = {column.name.lower() for column in fresh.columns}
    return tuple(column for column in schema.columns if column.name.lower() not in names)


def _carried(column: Column, found: Collection[FoundColumn]) -> str:
    """Return the expression of a carried row ``t`` for a column."""
    old = next((each for each in found if each.name.lower() == column.name.lower()), None)
    if old is None:
        return f"cast(null as {column.type_name})"
    value = f"t.{sql.column_name(old.name)}"
    if old.type_name == column.type_name:
        return value
    if old.is_repeated or old.fields or column.repeated or column.fields:
        raise SchemaMismatch(
            f"column {column.name} is {old.type_name} in days that are not requested, and would be {column.type_name}: "
            "request every day that the table has by start_date"
        )
    if column.type is ColumnType.JSON:
        return f"to_json({value})"
    if old.type_name == ColumnType.JSON:
        return f"cast(json_value({value}) as {column.type_name})"
    return f"cast({value} as {column.type_name})"
