"""A long history written to a warehouse as a run writes it, without a Matomo: one row a slice."""

from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from matomo_fn.catalogue import SYNC_LOG
from matomo_fn.config.connector import read_connector
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.sync.load import Loader
from matomo_fn.sync.outcome import UNKNOWN, Run, outcome_of
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.write import Writer
from matomo_fn.warehouse.tables import ensure_table
from tests.support.bigquery_rules import RulesWarehouse, Storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matomo_fn.catalogue import Table
    from matomo_fn.days import Days
    from matomo_fn.errors import WarehouseError
    from matomo_fn.warehouse.protocol import PartitionBy

CONNECTOR = read_connector("shop", json.dumps({"matomo_url": "https://shop.example", "sites": "all"}))
_VALUES = {"STRING": "x", "BOOL": False, "INT64": 1, "TIMESTAMP": "2026-11-20T12:00:00Z"}
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def opened(storage: Storage) -> RulesWarehouse:
    """A connection to the dataset of the connector."""
    return RulesWarehouse(storage, CONNECTOR.dataset_name)


def prepare(
    storage: Storage, tables: Iterable[Table], partition_by: PartitionBy, *, log_by: PartitionBy = "month"
) -> None:
    """Create log and tables; ``log_by``: "day" is what older versions did."""
    warehouse = opened(storage)
    warehouse.ensure_dataset()
    ensure_table(warehouse, SYNC_LOG, log_by)
    SyncState(warehouse, CONNECTOR).prepare()
    for table in tables:
        ensure_table(warehouse, table.schema, partition_by)
    warehouse.close()


def write_history(
    storage: Storage, tables: Sequence[Table], sites: int, days: Days, *, run_id: str = "run1"
) -> list[WarehouseError]:
    """Write one row a slice, site by site and table by table as a run does, and return what went wrong."""
    warehouse = opened(storage)
    run = Run(run_id, run_id, NOW)
    errors: list[WarehouseError] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writer = Writer(
            Loader(warehouse, {}, ()), SyncState(warehouse, CONNECTOR), run, folder, buffer_bytes=10**8, now=lambda: NOW
        )
        for site in range(1, sites + 1):
            for table in tables:
                line = json.dumps({c.name: _VALUES[c.type] for c in table.parsed if c.required})
                stream = table.stream(str(site))
                for day in days:
                    extracted = Extracted(stream.slice(day), ParsedSlice((line,), "hash", has_others=False))
                    entry = outcome_of(extracted, UNKNOWN, run, is_final=True, rewrite=False)
                    writer.add(table, entry, extracted.content)
                    if writer.is_full:
                        errors += writer.flush().errors
        errors += writer.flush().errors
    warehouse.close()
    return errors
