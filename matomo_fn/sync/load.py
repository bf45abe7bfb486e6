"""Writing batches to the warehouse: replace the slices of each table, then give pages their titles."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.errors import WarehouseError, WarehouseUnavailable
from matomo_fn.slices import Slice
from matomo_fn.sync.batches import Batch
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Status, not_written
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.replacement import Standing, replace_slices
from matomo_fn.warehouse.tables import Stamp
from matomo_fn.warehouse.titles import fill_page_titles

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
    ``closed`` gives the table that rows are written to, with all their columns, which the warehouse then has too.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        known: Mapping[Slice, KnownSlice],
        titled: Sequence[Table],
        closed: Callable[[Table], Table] = lambda table: table,
    ) -> None:
        self._warehouse = warehouse
        self._known = known
        self._titled = titled
        self._closed = closed

    def load(self, batches: Sequence[Batch], stamp: Stamp, now: Callable[[], datetime]) -> Loaded:
        """Write the batches and delete their files.

        A table that fails comes back with its slices as failed; the others are written. Of a slice that another run
        wrote at the same time, the entry tells what the table has.
        """
        with ThreadPoolExecutor(self._warehouse.parallel) as threads:
            futures = [threads.submit(copy_context().run, self._write, batch, stamp, now) for batch in batches]
            written = [future.result() for future in futures]
        entries = [entry for loaded in written for entry in loaded.entries]
        errors = [error for loaded in written for error in loaded.errors]
        for pages in self._titled:
            try:
                self._fill_titles(pages, entries, stamp)
            except WarehouseError as error:
                errors.append(type(error)(f"titles of table {pages.name}: {error}"))
                concerned = _concerned(pages, entries)
                entries = [_without_titles(entry, error) if entry in concerned else entry for entry in entries]
        return Loaded(entries, {name: s for loaded in written for name, s in loaded.seconds.items()}, errors)

    def _write(self, batch: Batch, stamp: Stamp, now: Callable[[], datetime]) -> Loaded:
        """Replace the slices of one table."""
        started = monotonic()
        name, rows = batch.table.name, batch.rows
        errors: list[WarehouseError] = []
        try:
            target = self._closed(batch.table)
            expected = {_in(target, entry.slice): entry.row_count for entry in batch.entries}
            written = replace_slices(self._warehouse, target, batch.files, expected, stamp, now)
            found = {_in(batch.table, slice_): standing for slice_, standing in written.items()}
            entries = [_as_found(entry, found.pop(entry.slice)) for entry in batch.entries]
            entries += [_moved_away(slice_, standing) for slice_, standing in found.items()]
            contested = [entry for entry in entries if entry.status is Status.FAILED]
            if contested:
                errors.append(WarehouseUnavailable(f"table {name}: {contested[0].error}"))
            log.info("table_written", table=name, slices=len(batch.entries), rows=rows)
        except WarehouseError as error:
            log.error("table_failed", table=name, slices=len(batch.entries), error=str(error))
            entries = [self.failed(entry, error) for entry in batch.entries]
            errors.append(type(error)(f"table {name}: {error}"))
        finally:
            batch.discard()
        return Loaded(entries, {name: monotonic() - started}, errors)

    def _fill_titles(self, pages: Table, entries: Sequence[LogEntry], stamp: Stamp) -> None:
        """Give the pages of a day their titles, where the day's pages or its visits were written.

        Before the log is: a run that dies in between writes both once more. So does the next run where it fails,
        since then these slices are logged as failed.
        """
        slices = {entry.slice for entry in _concerned(pages, entries)}
        if slices:
            fill_page_titles(self._warehouse, self._closed(pages), slices, stamp)

    def failed(self, entry: LogEntry, error: WarehouseError) -> LogEntry:
        """Return the entry of a slice that could not be written."""
        return not_written(entry, self._known.get(entry.slice, UNKNOWN), error)


def _as_found(entry: LogEntry, standing: Standing) -> LogEntry:
    """Return the entry of a slice that was written, as the table has it: whole, or as another run has left it."""
    entry = replace(entry, seen_at=standing.seen_at)
    is_ours = standing.run_id == entry.written_run_id or standing.row_count == 0
    if is_ours and standing.row_count == standing.key_count == entry.row_count:
        return entry
    # Without a hash and not final: whatever the other run knew of the day, a later run refetches and compares it.
    found = replace(
        entry,
        row_count=standing.row_count,
        content_hash=None,
        is_final=False,
        written_run_id=standing.run_id,
        replaced_rows=None,
    )
    if standing.is_mixed:
        what = entry.slice.described
        sentence = f"other runs wrote {what} again and again at the same time: the next run rewrites it"
        return replace(found, status=Status.FAILED, error=sentence)
    return found


def _in(table: Table, slice_: Slice) -> Slice:
    """Return the same slice in a table, which is another one only while that is rebuilt."""
    if slice_.table == table.name:
        return slice_
    return table.stream(slice_.website_id, slice_.segment).slice(slice_.date)


def _moved_away(slice_: Slice, standing: Standing) -> LogEntry:
    """Return the entry of an earlier day that lost visits to the day on which they went on."""
    return LogEntry(
        slice_,
        Status.PENDING,
        standing.row_count,
        None,
        has_others=False,
        is_final=False,
        written_run_id=standing.run_id,
        error="visits of this day went on after midnight and stand on the next day now",
        seen_at=standing.seen_at,
    )


def _without_titles(entry: LogEntry, error: WarehouseError) -> LogEntry:
    """Return the entry of a slice that is written but for its titles: without a hash, so that it is written again."""
    return replace(entry, status=Status.FAILED, content_hash=None, error=str(error))


def _concerned(pages: Table, entries: Sequence[LogEntry]) -> list[LogEntry]:
    tables = (pages.name, pages.titles_from)
    return [entry for entry in entries if entry.status is Status.WRITTEN and entry.slice.table in tables]
