"""Giving pages the titles that the visits of those days saw, also where other runs write pages or visits meanwhile."""

from collections.abc import Collection

from matomo_fn.catalogue import PAGE_TITLES, Table
from matomo_fn.errors import WarehouseUnavailable
from matomo_fn.slices import Slice
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.partitions import split_by_days
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, staging_table

# Looks for pages with another title than their visits saw: one that finds them, one that finds none any more, and
# some more for other runs that write at the same time.
_LOOKS = 6


def fill_page_titles(warehouse: Warehouse, pages: Table, slices: Collection[Slice], stamp: Stamp) -> None:
    """Give the pages of some slices the titles that the visits of those days saw most.

    Raises WarehouseUnavailable where other runs keep changing pages or visits.
    """
    for number, part in enumerate(split_by_days(slices), 1):
        _fill(warehouse, pages, part, f"{stamp.batch_id}_{number}")


def _fill(warehouse: Warehouse, pages: Table, slices: Collection[Slice], suffix: str) -> None:
    """Set the titles that differ until none does: after its last look nobody has overwritten what was set."""
    for look in range(1, _LOOKS + 1):
        with staging_table(warehouse, "titles", PAGE_TITLES, f"{suffix}_{look}") as staging:
            warehouse.run(sql.find_page_titles(warehouse.dataset, pages, staging.name, slices), f"find{staging.name}")
            (counted,) = warehouse.query(sql.count_rows(warehouse.dataset, staging.name))
            if not counted["row_count"]:
                return
            warehouse.run(sql.set_page_titles(warehouse.dataset, pages, staging.name, slices), f"set{staging.name}")
    raise WarehouseUnavailable(f"other runs write pages or visits of the same days: {_LOOKS} times the titles differed")
