"""The table of findings in BigQuery: what the emulator can show of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from matomo_fn.deadline import Deadline
from matomo_fn.slices import Stream
from matomo_fn.sync.quality import Check, Quality, QualityVerdict, Reason
from matomo_fn.sync.quality_table import write_quality
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.tables import Stamp
from tests.support.local import ago

if TYPE_CHECKING:
    from tests.support.emulator import Emulator


def test_findings_are_replaced_by_their_key_and_withdrawn(emulator: Emulator, dataset_name: str) -> None:
    """A check that is made again has one row, what is withdrawn has none, and other rows stay."""
    warehouse = BigQueryWarehouse(emulator.client(), dataset_name, location="EU", run_id="test", deadline=Deadline(60))
    warehouse.ensure_dataset()
    slices = [Stream("visitor_country", site).slice(ago(1)) for site in ("1", "2")]
    rows = [Quality(slice_, Check.SUMMED_VISITS, 7, 7) for slice_ in slices]
    refetched = Quality(slices[0], Check.REFETCHED_ROWS, 3, 3)
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    write_quality(warehouse, "shop", [*rows, refetched], Stamp("run1", 0, at))
    changed = replace(rows[0], found=8, verdict=QualityVerdict.DIFFERS, reason=Reason.VALUE_CHANGED, detail="x")
    write_quality(warehouse, "shop", [changed], Stamp("run2", 0, at), [(slices[0], Check.REFETCHED_ROWS)])
    name = f"`{dataset_name}._sync_quality`"
    found = warehouse.query(f"select q.website_id, q.check_name, q.found, q.run_id from {name} q order by q.website_id")
    assert [tuple(row.values()) for row in found] == [
        ("1", "summed_visits", 8.0, "run2"),
        ("2", "summed_visits", 7.0, "run1"),
    ]
    warehouse.close()
