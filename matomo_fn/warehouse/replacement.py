"""Replacing slices of a table so that each stands there once and whole, also where several runs write it at once.

BigQuery has no lock. A MERGE that only inserts commits beside others, so two runs that first write the same slices
both insert them. What heals it: after its MERGE a run looks at what stands in the table. A slice with rows of several
runs is written again from the same staging table. That MERGE deletes rows, so BigQuery makes conflicting ones wait for
each other. Whichever run commits last sees all rows, so at least that one notices.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from matomo_fn.catalogue import Schema, Table
from matomo_fn.slices import Slice
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.partitions import split_by_days
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, staging_table

log = structlog.get_logger()

# How often slices are written again that other runs wrote at the same time. Each time one of the runs wins.
_REPAIRS = 5
# Visits that one statement names by their ids: bounds its length.
_MOST_VISITS = 3_500


@dataclass(frozen=True, slots=True)
class Standing:
    """What a table has of a slice.

    ``key_count``: how many of the rows have a key of their own. ``run_id``: the run that wrote the rows; None where
    there are none, or rows of several runs. ``seen_at``: a time before the look at the table, and after all that this
    run wrote to it.
    """

    row_count: int
    key_count: int
    run_id: str | None
    seen_at: datetime

    @property
    def is_mixed(self) -> bool:
        """Whether rows stand there twice, or several runs have rows there, which comes to the same."""
        return self.key_count < self.row_count or (self.row_count > 0 and self.run_id is None)


Found = dict[Slice, Standing]


def replace_slices(
    warehouse: Warehouse,
    table: Table,
    files: Sequence[Path],
    expected: Mapping[Slice, int],
    stamp: Stamp,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Found:
    """Replace slices of a table by the rows of files and return what then stands in the table.

    ``expected``: how many rows the files have of each slice. A slice of which only another run has rows is left to it:
    that run committed later, and what it wrote is whole. Of visits, earlier days that visits have moved away from may
    be among what is returned as well.
    """
    with staging_table(warehouse, table.name, table.staged, stamp.batch_id) as staging:
        warehouse.load(staging, files, f"load{staging.name}")
        replacement = _Replacement(warehouse, table, staging, stamp, now)
        found = replacement.write(expected)
        if table.is_log:
            found |= replacement.remove_moved_visits(expected)
        return found


@dataclass(frozen=True, slots=True)
class _Replacement:
    """One batch of one table, which is staged."""

    warehouse: Warehouse
    table: Table
    staging: Schema
    stamp: Stamp
    now: Callable[[], datetime]

    def write(self, expected: Mapping[Slice, int]) -> Found:
        """Merge the slices, and those that other runs wrote meanwhile once more; return what stands then."""
        self._merge(expected, len(expected), f"merge{self.staging.name}")
        found = self._look(expected)
        for repair in range(1, _REPAIRS + 1):
            wrong = [slice_ for slice_, rows in expected.items() if not self._is_settled(found[slice_], rows)]
            if not wrong:
                break
            log.warning("slices_written_again", table=self.table.name, slices=len(wrong), time=repair)
            # Another name each time: a job of the same name and statement would be taken for the one that has run.
            self._merge(wrong, len(expected), f"repair{repair}{self.staging.name}")
            found |= self._look(wrong)
        return found

    def remove_moved_visits(self, slices: Collection[Slice]) -> Found:
        """Take visits off the days that they have moved away from; return what stands of those days then.

        A visit stands on the day of its last action; one that went on over midnight was written on the day before.
        Whichever run wrote the one day or the other: of two runs the one that commits later sees both.
        """
        changed: set[Slice] = set()
        for part in split_by_days(slices):
            rows = self.warehouse.query(sql.moved_visits(self.warehouse.dataset, self.table, part))
            for start in range(0, len(rows), _MOST_VISITS):
                moved: dict[Slice, list[int]] = {}
                for row in rows[start : start + _MOST_VISITS]:
                    slice_ = self.table.stream(row["website_id"]).slice(row["date"])
                    moved.setdefault(slice_, []).append(row["visit_id"])
                statement = sql.delete_visits(self.warehouse.dataset, self.table, moved)
                self.warehouse.run(statement, f"moved{self.staging.name}")
                changed |= moved.keys()
        return self._look(changed)

    def _is_settled(self, standing: Standing, rows: int) -> bool:
        """Whether a slice is as this run wrote it, or another one did after it."""
        if standing.row_count == 0 or standing.run_id == self.stamp.run_id:
            return standing.row_count == standing.key_count == rows
        return not standing.is_mixed

    def _merge(self, slices: Collection[Slice], staged: int, job: str) -> None:
        for part in split_by_days(slices):
            statement = sql.replace_slices(
                self.warehouse.dataset,
                self.table,
                self.staging.name,
                part,
                run_id=self.stamp.run_id,
                synced_at=self.stamp.at,
                is_all=len(part) == staged,
            )
            self.warehouse.run(statement, job)

    def _look(self, slices: Collection[Slice]) -> Found:
        seen_at = self.now()
        found = {slice_: Standing(0, 0, None, seen_at) for slice_ in slices}
        for part in split_by_days(slices):
            for row in self.warehouse.query(sql.count_slices(self.warehouse.dataset, self.table, part)):
                slice_ = self.table.stream(row["website_id"], row["segment"]).slice(row["date"])
                run_id = row["first_run"] if row["first_run"] == row["last_run"] else None
                found[slice_] = Standing(row["row_count"], row["key_count"], run_id, seen_at)
        return found
