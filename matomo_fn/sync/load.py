"""Writing batches to the warehouse: replace the slices of each table, then give pages their titles."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from time import monotonic

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.errors import WarehouseError
from matomo_fn.slices import Slice
from matomo_fn.sync.batches import Batch
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Status, not_written
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import Stamp, fill_page_titles, replace_slices

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of writing some batches.

    ``entries`` tell what became of each slice; ``seconds`` by table; ``errors``: those of tables that could not be
    written.
    """

    entries: Sequence[LogEntry]
    seconds: Mapping[str, float]
    errors: Sequence[WarehouseError]


class Loader:
    """Writes batches to one warehouse.

    ``known``: what the state says of the slices. ``titled``: the tables of pages whose titles come from visits.
    """

    def __init__(self, warehouse: Warehouse, known: Mapping[Slice, KnownSlice], titled: Sequence[Table]) -> None:
        self._warehouse = warehouse
        self._known = known
        self._titled = titled

    def load(self, batches: Sequence[Batch], stamp: Stamp) -> Loaded:
        """Write the batches and delete their files.

        A table that fails keeps what it had, and its slices come back as failed; the others are written.
        """
        with ThreadPoolExecutor(self._warehouse.parallel) as threads:
            futures = [threads.submit(copy_context().run, self._write, batch, stamp) for batch in batches]
            written = [future.result() for future in futures]
        entries = [entry for loaded in written for entry in loaded.entries]
        errors = [error for loaded in written for error in loaded.errors]
        for pages in self._titled:
            try:
                self._fill_titles(pages, entries, stamp)
            except WarehouseError as error:
                errors.append(type(error)(f"titles of table {pages.name}: {error}"))
                concerned = _concerned(pages, entries)
                entries = [self.failed(entry, error) if entry in concerned else entry for entry in entries]
        return Loaded(entries, {name: s for loaded in written for name, s in loaded.seconds.items()}, errors)

    def _write(self, batch: Batch, stamp: Stamp) -> Loaded:
        """Replace the slices of one table."""
        started = monotonic()
        name, rows = batch.table.name, batch.rows
        entries, errors = batch.entries, []
        try:
            slices = [entry.slice for entry in batch.entries]
            replace_slices(self._warehouse, batch.table, batch.files, slices, stamp)
            log.info("table_written", table=name, slices=len(slices), rows=rows)
        except WarehouseError as error:  # the merge is one statement, so no slice was written
            log.error("table_failed", table=name, slices=len(batch.entries), error=str(error))
            entries = [self.failed(entry, error) for entry in batch.entries]
            errors = [type(error)(f"table {name}: {error}")]
        finally:
            batch.discard()
        return Loaded(entries, {name: monotonic() - started}, errors)

    def _fill_titles(self, pages: Table, entries: Sequence[LogEntry], stamp: Stamp) -> None:
        """Give the pages of a day their titles, where the day's pages or its visits were written anew.

        Before the log is: a run that dies in between writes both once more. So does the next run where it fails,
        since then these slices are logged as failed.
        """
        slices = {entry.slice for entry in _concerned(pages, entries)}
        if slices:
            fill_page_titles(self._warehouse, pages, slices, stamp)

    def failed(self, entry: LogEntry, error: WarehouseError) -> LogEntry:
        """Return the entry of a slice that could not be written."""
        return not_written(entry, self._known.get(entry.slice, UNKNOWN), error)


def _concerned(pages: Table, entries: Sequence[LogEntry]) -> list[LogEntry]:
    tables = (pages.name, pages.titles_from)
    return [entry for entry in entries if entry.status is Status.WRITTEN and entry.slice.table in tables]
