"""What is done with tables, whichever the warehouse: make ready, replace slices, append."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import structlog

from matomo_fn.catalogue import PAGE_TITLES, Column, Schema, Table
from matomo_fn.errors import SchemaMismatch, WarehouseError
from matomo_fn.slices import Slice
from matomo_fn.warehouse import sql
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


def ensure_table(warehouse: Warehouse, schema: Schema, partition_by: PartitionBy) -> bool:
    """Make a table ready and return whether it had to be created.

    Missing columns are added. A table that cannot take the rows is a SchemaMismatch and stays as it is.
    """
    found = warehouse.find_table(schema.name)
    if found is None:
        warehouse.create_table(schema, partition_by)
        return True
    problems = schema_mismatches(schema, found, partition_by)
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


def replace_slices(
    warehouse: Warehouse, table: Table, files: Sequence[Path], slices: Collection[Slice], stamp: Stamp
) -> None:
    """Replace slices of a table by the rows of files, by one load and one merge."""
    with _staging(warehouse, table.name, table.staged, stamp.batch_id) as staging:
        warehouse.load(staging, files, f"load{staging.name}")
        statement = sql.replace_slices(
            warehouse.dataset, table, staging.name, slices, run_id=stamp.run_id, synced_at=stamp.at
        )
        warehouse.run(statement, f"merge{staging.name}")
        moved = sql.delete_moved_visits(warehouse.dataset, table, staging.name, slices) if table.is_log else None
        if moved:
            warehouse.run(moved, f"moved{staging.name}")


def fill_page_titles(warehouse: Warehouse, pages: Table, slices: Collection[Slice], stamp: Stamp) -> None:
    """Give the pages of some slices the titles that the visits of those days saw most."""
    with _staging(warehouse, "titles", PAGE_TITLES, stamp.batch_id) as staging:
        warehouse.run(sql.find_page_titles(warehouse.dataset, pages, staging.name, slices), f"find{staging.name}")
        warehouse.run(sql.set_page_titles(warehouse.dataset, pages, staging.name, slices), f"set{staging.name}")


def append_rows(warehouse: Warehouse, schema: Schema, files: Sequence[Path], stamp: Stamp) -> None:
    """Append the rows of files to a table, by one load and one insert.

    Not by a load into the table itself: a table takes 1,500 of those a day, and any number of inserts.
    """
    with _staging(warehouse, schema.name, schema.columns, stamp.batch_id) as staging:
        warehouse.load(staging, files, f"load{staging.name}")
        warehouse.run(sql.append_rows(warehouse.dataset, schema, staging.name), f"append{staging.name}")


@contextmanager
def _staging(warehouse: Warehouse, table: str, columns: tuple[Column, ...], suffix: str) -> Iterator[Schema]:
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


def schema_mismatches(schema: Schema, found: FoundTable, partition_by: PartitionBy) -> list[str]:
    """Return a phrase for each reason why a table cannot take the rows of a schema."""
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
    if schema.partitioned and found.partition_by not in (None, partition_by):
        problems.append(f"it is partitioned by {found.partition_by}, not by {partition_by} of the column date")
    return problems
