"""The table of findings: each row stands there once, however often its check is made."""

import gzip
import json
from collections.abc import Iterator, Sequence
from typing import Any

from matomo_fn.catalogue import SYNC_QUALITY
from matomo_fn.days import Days
from matomo_fn.redaction import redact
from matomo_fn.slices import Slice
from matomo_fn.sync.quality import Check, Quality
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.values import utf8
from matomo_fn.warehouse import quality_sql
from matomo_fn.warehouse.buffer import named_if_full
from matomo_fn.warehouse.partitions import split_days
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, ensure_table, staging_table

# Characters of a sentence that a row keeps.
_LONGEST_DETAIL = 1_000


def write_quality(
    warehouse: Warehouse,
    connector: str,
    found: Sequence[Quality],
    stamp: Stamp,
    withdrawn: Sequence[tuple[Slice, Check]] = (),
) -> None:
    """Put findings in the place of earlier ones of the same checks and slices, by one load and one MERGE.

    ``withdrawn``: checks of slices whose rows have been written again, so that what was said of them is not true any
    more. ``stamp``: its batch names the staging table.
    """
    if not found and not withdrawn:
        return
    # By month, so that it never has too many partitions.
    ensure_table(warehouse, SYNC_QUALITY, "month")
    with (
        temporary_folder() as folder,
        staging_table(warehouse, SYNC_QUALITY.name, SYNC_QUALITY.columns, stamp.batch_id) as staging,
    ):
        path = folder / "quality.json.gz"
        with named_if_full(folder), gzip.open(path, "wb", compresslevel=1) as file:
            for row in _rows(found, withdrawn, connector, stamp):
                file.write(utf8(json.dumps(row, ensure_ascii=False) + "\n"))
        warehouse.load(staging, [path], f"load{staging.name}")
        for part in split_days(Days.of(slice_.date for slice_ in _slices(found, withdrawn))):
            statement = quality_sql.merge_quality(warehouse.dataset, staging.name, connector, part)
            warehouse.run(statement, f"merge{staging.name}_{part[0]:%Y%m%d}")


def _slices(found: Sequence[Quality], withdrawn: Sequence[tuple[Slice, Check]]) -> list[Slice]:
    return [*(quality.slice for quality in found), *(slice_ for slice_, _ in withdrawn)]


def _rows(
    found: Sequence[Quality], withdrawn: Sequence[tuple[Slice, Check]], connector: str, stamp: Stamp
) -> Iterator[dict[str, Any]]:
    for quality in found:
        yield _row(quality, quality.verdict, connector, stamp)
    for slice_, check in withdrawn:
        yield _row(Quality(slice_, check, None, None), quality_sql.WITHDRAWN, connector, stamp)


def _row(quality: Quality, verdict: str, connector: str, stamp: Stamp) -> dict[str, Any]:
    slice_ = quality.slice
    return {
        "date": str(slice_.date),
        "connector": connector,
        "check_name": str(quality.check),
        "table_name": slice_.table,
        "website_id": slice_.website_id,
        "segment": slice_.segment,
        "expected": quality.expected,
        "found": quality.found,
        "difference": quality.difference,
        "verdict": str(verdict),
        "reason": quality.reason and str(quality.reason),
        "detail": redact(quality.detail)[:_LONGEST_DETAIL] or None,
        "run_id": stamp.run_id,
        "checked_at": stamp.at.isoformat(),
    }
