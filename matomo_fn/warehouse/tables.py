"""What is done with tables, whichever the warehouse: make them ready, stage rows, append."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import structlog

from matomo_fn.catalogue import Column, Schema
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.partitions import split_days
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundTable, PartitionBy, Warehouse
from matomo_fn.warehouse.schemas import schema_mismatches, staged_like, widened_columns

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who writes, and when: the run, the number of the batch within it, and the time that the rows get."""

    run_id: str
    batch: int
    at: datetime

    @property
    def batch_id(self) -> str:
        """What tells the batch from all others; it can stand in the name of a table."""
        return f"{self.run_id}_{self.batch}"


def ensure_table(
    warehouse: Warehouse, schema: Schema, partition_by: PartitionBy, *, also: Collection[PartitionBy] = ()
) -> bool:
    """Make a table ready and return whether it had to be created.

    A table that exists is brought up to date, without losing a row. One that cannot take the rows is a SchemaMismatch
    and stays as it is. ``also``: what else a table that exists may be partitioned by.
    """
    found = warehouse.find_table(schema.name)
    ensure_found_table(warehouse, schema, found, [partition_by, *also])
    return found is None


def ensure_found_table(
    warehouse: Warehouse, schema: Schema, found: FoundTable | None, partition_by: Sequence[PartitionBy]
) -> None:
    """Do the same with a table that was looked at before; it is created with the first of the partitions."""
    if found is None:
        warehouse.create_table(schema, partition_by[0])
        return
    problems = schema_mismatches(schema, found, partition_by)
    if problems:
        raise SchemaMismatch(
            f"table {warehouse.dataset}.{schema.name} exists and does not fit: {'; '.join(problems)}. It was left "
            "as it is: rename or drop it, or give the connector another dataset"
        )
    if widened := widened_columns(schema, found):
        for column in widened:
            statement = sql.widen_column(warehouse.dataset, schema.name, column)
            warehouse.run(statement, f"widen_{schema.name}_{column.name}_{column.type}")
        found = warehouse.find_table(schema.name) or found  # a patch names the types that the columns now have
    warehouse.update_table(schema, found)


def ensure_view(warehouse: Warehouse, schema: Schema, query: str) -> None:
    """Create a view, or bring it up to date in place; ``schema`` has its name, columns and descriptions."""
    found = warehouse.find_table(schema.name)
    if found is None:
        warehouse.create_view(schema.name, query, schema.description)
        found = warehouse.find_table(schema.name)
    if found is None or not found.is_view:
        raise SchemaMismatch(
            f"{warehouse.dataset}.{schema.name} is a table where a view belongs. It was left as it is: rename or drop "
            "it"
        )
    warehouse.update_view(schema, query, found)


def append_rows(
    warehouse: Warehouse, schema: Schema, files: Sequence[Path], days: Collection[date], stamp: Stamp
) -> None:
    """Append the rows of files, which are of some days, to a table: by one load, and one insert for each 3,500 days.

    Not by a load into the table itself: a table takes 1,500 of those a day, and any number of inserts.
    """
    with staging_table(warehouse, schema.name, schema.columns, stamp.batch_id) as staging:
        warehouse.load(staging, files, f"load{staging.name}")
        for part in split_days(days):
            warehouse.run(sql.append_rows(warehouse.dataset, schema, staging.name, part), f"append{staging.name}")


@contextmanager
def staging_table(warehouse: Warehouse, table: str, columns: tuple[Column, ...], suffix: str) -> Iterator[Schema]:
    """Create a staging table and yield its schema; drop the table afterwards.

    The name is another one for each run and batch: BigQuery counts table changes by name.
    """
    if any(column.fields for column in columns) and (found := warehouse.find_table(table)) is not None:
        columns = staged_like(columns, found.columns)
    staging = Schema(f"{STAGING_PREFIX}{table}_{suffix}", f"Rows on their way to {table}.", columns, partitioned=False)
    warehouse.create_staging(staging)
    try:
        yield staging
    finally:
        try:
            warehouse.drop_table(staging.name)
        except WarehouseError as error:  # the rows are where they belong, and the table expires by itself
            log.warning("staging_table_left", table=staging.name, error=str(error))
