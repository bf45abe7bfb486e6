"""BigQuery's limits on partitions, and statements and tables that stay within them.

https://cloud.google.com/bigquery/quotas#partitioned_tables: one job modifies at most 4,000 partitions, and a table has
at most 10,000.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import date

from matomo_fn.days import Range
from matomo_fn.errors import WarehouseError
from matomo_fn.slices import Slice
from matomo_fn.warehouse.protocol import PartitionBy

# Days that one statement writes to. A table partitioned by month has fewer partitions of as many days.
MOST_DAYS = 3_500
_MOST_PARTITIONS = 10_000


def split_by_days(slices: Iterable[Slice], most: int = MOST_DAYS) -> list[list[Slice]]:
    """Return slices in parts of at most so many different days, in order; no day is in two parts."""
    ordered = sorted(slices, key=lambda slice_: slice_.date)
    parts: list[list[Slice]] = []
    days: set[date] = set()
    for slice_ in ordered:
        if not parts or (slice_.date not in days and len(days) == most):
            parts.append([])
            days = set()
        days.add(slice_.date)
        parts[-1].append(slice_)
    return parts


def split_days(days: Collection[date], most: int = MOST_DAYS) -> Iterator[Range]:
    """Yield ranges (first, last) that have all the days, at most so many of them each, in order."""
    ordered = sorted(set(days))
    for start in range(0, len(ordered), most):
        part = ordered[start : start + most]
        yield part[0], part[-1]


def refuse_too_many_days(first: date, last: date, partition_by: PartitionBy) -> None:
    """Raise WarehouseError where a table would get more partitions than BigQuery allows."""
    days = (last - first).days + 1
    if partition_by == "day" and days > _MOST_PARTITIONS:
        raise WarehouseError(
            f"{first} to {last} are {days} days, and a BigQuery table has at most {_MOST_PARTITIONS} partitions: set "
            '"partition_by" to "month" (tables that exist have to be dropped first), or sync fewer days'
        )
