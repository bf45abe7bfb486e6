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

    Missing columns are added. A table that cannot take the rows is a SchemaMismatch and stays as it is. ``also``: what
    else a table that exists may be partitioned by.
    """
    found = warehouse.find_table(schema.name)
    if found is None:
        warehouse.create_table(schema, partition_by)
        return True
    accepted = [partition_by, *also]
    problems = schema_mismatches(schema, found, accepted)
    if problems:
        raise SchemaMismatch(
            f"table {warehouse.dataset}.{schema.name} exists and does not fit: {'; '.join(problems)}. It was left "
            "as it is: rename or drop it, or give the connector another dataset"
        )
    existing = {column.name.lower() for column in found.columns}
    for column in schema.columns:
        if column.name.lower() not in existing:
            warehouse.run(sql.add_column(warehouse.dataset, schema.name, column), f"add-{schema.name}-{column.name}")
    return False


def ensure_view(warehouse: Warehouse, name: str, columns: Sequence[str], query: str, description: str) -> None:
    """Create a view, or create it anew where its columns are no longer those."""
    found = warehouse.find_table(name)
    if found is not None and not found.is_view:
        raise SchemaMismatch(
            f"{warehouse.dataset}.{name} is a table where a view belongs. It was left as it is: rename or drop it"
        )
    if found is None or [column.name for column in found.columns] != list(columns):
        warehouse.create_view(name, query, description)


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
    staging = Schema(f"{STAGING_PREFIX}{table}_{suffix}", f"Rows on their way to {table}.", columns, partitioned=False)
    warehouse.create_staging(staging)
    try:
        yield staging
    finally:
        try:
            warehouse.run(sql.drop_table(warehouse.dataset, staging.name), f"drop{staging.name}")
        except WarehouseError as error:  # the rows are where they belong, and the table expires by itself
            log.warning("staging_table_left", table=staging.name, error=str(error))


def schema_mismatches(schema: Schema, found: FoundTable, accepted: Sequence[PartitionBy]) -> list[str]:
    """Return a phrase for each reason why a table cannot take the rows of a schema.

    ``accepted``: what the table may be partitioned by, first what it would be created with.
    """
    if found.is_view:
        return ["it is a view"]
    wanted = {column.name.lower(): column for column in schema.columns}
    problems = []
    for column in found.columns:
        ours = wanted.get(column.name.lower())
        if ours is None:
            if column.required:
                problems.append(f"column {column.name} is required and nothing fills it")
        elif column.type_name != ours.type_name:
            problems.append(f"column {column.name} is {column.type_name}, not {ours.type_name}")
        elif column.required and not ours.required:
            problems.append(f"column {column.name} is required, but Matomo does not always have a value for it")
    if schema.partitioned and found.partition_by not in (None, *accepted):
        problems.append(f"it is partitioned by {found.partition_by}, not by {accepted[0]} of the column date")
    return problems
