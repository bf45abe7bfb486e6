"""Writing reference tables: rows that changed are merged by their key, and each key stands there once.

MERGEs that only insert commit side by side in BigQuery, so two first runs at once both insert. After its MERGE a run
looks for keys that stand there twice and leaves one row of each, by a statement that deletes and so has to wait for
others. What a run leaves that dies in between, the next one finds when it reads the keys.
"""

import gzip
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from matomo_fn.catalogue import ReferenceTable
from matomo_fn.errors import DiskFull
from matomo_fn.redaction import redact_rows
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.values import encode, utf8
from matomo_fn.warehouse import reference_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, staging_table

log = structlog.get_logger()

Key = tuple[str, ...]
# First key columns that one statement names: bounds its length.
_MOST_KEYS = 5_000


@dataclass(frozen=True, slots=True)
class KnownRow:
    """What a reference table has of a key; ``copies`` is more than 1 where overlapping runs both inserted it."""

    content_hash: str | None
    is_deleted: bool
    connector: str
    copies: int


def read_reference(warehouse: Warehouse, tables: Sequence[ReferenceTable]) -> dict[str, dict[Key, KnownRow]]:
    """Return what some reference tables have, which have to be there, by one query."""
    found: dict[str, dict[Key, KnownRow]] = {table.name: {} for table in tables}
    sizes = {table.name: len(table.key) for table in tables}
    for row in warehouse.query(reference_sql.reference_state(warehouse.dataset, tables)):
        key = (row["key_1"], row["key_2"])[: sizes[row["table_name"]]]
        found[row["table_name"]][key] = KnownRow(
            row["content_hash"], row["is_deleted"], row["connector"], row["row_count"]
        )
    return found


def write_reference(
    warehouse: Warehouse, table: ReferenceTable, rows: Iterable[Mapping[str, Any]], connector: str, stamp: Stamp
) -> None:
    """Merge staged rows into a reference table, and leave one row of each key."""
    with (
        _file_of(rows) as path,
        staging_table(warehouse, table.name, table.staged, stamp.batch_id) as staging,
    ):
        warehouse.load(staging, [path], f"load{staging.name}")
        statement = reference_sql.merge_reference(
            warehouse.dataset, table, staging.name, connector=connector, run_id=stamp.run_id, at=stamp.at
        )
        warehouse.run(statement, f"merge{staging.name}")
    remove_copies(warehouse, table, read_reference(warehouse, [table])[table.name], stamp)


def remove_copies(warehouse: Warehouse, table: ReferenceTable, known: Mapping[Key, KnownRow], stamp: Stamp) -> None:
    """Leave one row of each key that stands in a reference table more than once."""
    doubled = sorted({key[0] for key, row in known.items() if row.copies > 1})
    if doubled:
        log.warning("reference_rows_doubled", table=table.name, keys=len(doubled))
    for start in range(0, len(doubled), _MOST_KEYS):
        part = doubled[start : start + _MOST_KEYS]
        with staging_table(warehouse, table.name, table.schema.columns, f"{stamp.batch_id}_once{start}") as staging:
            found = reference_sql.find_one_of_each(warehouse.dataset, table, staging.name, part)
            warehouse.run(found, f"find{staging.name}")
            replacement = reference_sql.keep_one_of_each(warehouse.dataset, table, staging.name, part)
            warehouse.run(replacement, f"once{staging.name}")


@contextmanager
def _file_of(rows: Iterable[Mapping[str, Any]]) -> Iterator[Path]:
    """Write rows to a temporary file as they are loaded, and delete it afterwards."""
    lines = "".join(f"{encode(row)}\n" for row in rows)
    with temporary_folder() as folder:
        path = folder / "rows.json.gz"
        try:
            path.write_bytes(gzip.compress(utf8(redact_rows(lines)), mtime=0))
        except OSError as error:
            raise DiskFull(
                f"rows cannot be written to a temporary folder ({error.strerror or error}): free some of its disk, or "
                "name another one in TMPDIR"
            ) from None
        yield path
