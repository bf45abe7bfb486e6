"""Writing what was extracted: buffer, replace the slices that changed, log all of them."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from time import monotonic

import structlog

from matomo_fn.catalogue import PAGES, VISITS, Table
from matomo_fn.errors import WarehouseError
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.extract.reports import Extracted
from matomo_fn.slices import Slice
from matomo_fn.sync.result import TableResult
from matomo_fn.sync.state import UNKNOWN, KnownSlice, LogEntry, Run, Status, SyncState
from matomo_fn.warehouse.buffer import Buffer, BufferedSlice
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import fill_page_titles, replace_slices

log = structlog.get_logger()

# Slices of one batch: bounds the statement that names them (BigQuery reads at most 1 MB of SQL) and what is kept
# of them in memory.
MAX_BATCH_SLICES = 20_000


@dataclass(slots=True)
class _Batch:
    """What waits to be written to one table: the buffered rows and the entries that speak of them.

    ``shared`` is the buffer of the slices that do not bring one of their own.
    """

    table: Table
    shared: Buffer | None = None
    buffers: list[Buffer] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(buffer.size for buffer in self.buffers)

    @property
    def rows(self) -> int:
        return sum(buffer.rows for buffer in self.buffers)

    def discard(self) -> None:
        for buffer in self.buffers:
            buffer.discard()


class Loader:
    """Takes extracted slices and writes them, whole slices at a time; used by one thread.

    What a flush has logged is done. A run that is killed loses at most what is in the buffer.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        state: SyncState,
        run: Run,
        known: Mapping[Slice, KnownSlice],
        results: Mapping[str, TableResult],
        folder: Path,
        *,
        is_final: Callable[[Slice], bool],
        rewrite: bool,
        buffer_bytes: int,
        now: Callable[[], datetime],
        has_titles: bool,
        logged: Callable[[Iterable[LogEntry]], None] = lambda _: None,
    ) -> None:
        self._warehouse = warehouse
        self._ledger = state
        self._run = run
        self._known = known
        self._results = results
        self._folder = folder
        self._is_final = is_final
        self._rewrite = rewrite
        self._buffer_bytes = buffer_bytes
        self._now = now
        self._has_titles = has_titles
        self._logged = logged
        self._batches: dict[str, _Batch] = {}
        self._entries: list[LogEntry] = []
        self._number = 0
        self.errors: list[WarehouseError] = []

    def add(self, table: Table, extracted: Extracted) -> None:
        """Take one slice; where that fills the buffer, everything in it is written and logged."""
        result = self._results[table.name]
        result.seconds += extracted.seconds
        result.handled.add(extracted.slice.date)
        known = self._known.get(extracted.slice, UNKNOWN)
        if extracted.skipped:
            return
        if extracted.shaped is None:
            self._keep(result, extracted, known)
        elif known.is_intact and known.content_hash == extracted.shaped.content_hash and not self._rewrite:
            result.unchanged += 1
            entry = self._entry(extracted.slice, Status.UNCHANGED, known)
            has_others, difference = extracted.shaped.has_others, extracted.visits_difference
            self._entries.append(replace(entry, has_others=has_others, visits_difference=difference))
            if isinstance(extracted.shaped, BufferedSlice):
                extracted.shaped.buffer.discard()
        else:
            self._buffer(table, extracted, extracted.shaped)
        if self._is_full():
            self.flush()

    def flush(self) -> None:
        """Write and log everything that waits.

        A table that fails keeps what it had and its slices are logged as failed; the others are written.
        Raises WarehouseError where the log itself cannot be written.
        """
        batches, entries = list(self._batches.values()), self._entries
        self._batches, self._entries = {}, []
        if not batches and not entries:
            return
        self._number += 1
        with ThreadPoolExecutor(self._warehouse.parallel) as pool:
            futures = [pool.submit(copy_context().run, self._write, batch) for batch in batches]
            for future in futures:
                entries.extend(future.result())
        entries = self._fill_titles(entries)
        self._ledger.append(self._run, entries, self._folder, batch=self._number, logged_at=self._now())
        self._logged(entries)

    def discard(self) -> None:
        """Drop what waits, unwritten."""
        for batch in self._batches.values():
            batch.discard()
        self._batches, self._entries = {}, []

    def _keep(self, result: TableResult, extracted: Extracted, known: KnownSlice) -> None:
        """Note a slice without a trusted answer: what the table has stays, and the log goes on telling of it."""
        status = Status.PENDING if extracted.pending else Status.FAILED
        if extracted.pending:
            result.pending += 1
        else:
            result.failed += 1
        self._entries.append(self._entry(extracted.slice, status, known, error=extracted.pending or extracted.error))

    def _buffer(self, table: Table, extracted: Extracted, content: ParsedSlice | BufferedSlice) -> None:
        batch = self._batches.setdefault(table.name, _Batch(table))
        if isinstance(content, BufferedSlice):
            batch.buffers.append(content.buffer)
        else:
            if batch.shared is None:
                batch.shared = Buffer(self._folder / f"{table.name}.json.gz")
                batch.buffers.append(batch.shared)
            batch.shared.add(extracted.slice, content.lines)
        batch.entries.append(
            LogEntry(
                extracted.slice,
                Status.WRITTEN,
                content.row_count,
                content.content_hash,
                content.has_others,
                self._is_final(extracted.slice),
                self._run.id,
                visits_difference=extracted.visits_difference,
            )
        )

    def _is_full(self) -> bool:
        size = sum(batch.size for batch in self._batches.values())
        slices = len(self._entries) + sum(len(batch.entries) for batch in self._batches.values())
        return size >= self._buffer_bytes or slices >= MAX_BATCH_SLICES

    def _write(self, batch: _Batch) -> list[LogEntry]:
        """Replace the slices of one table and return the entries that tell what became of them."""
        result = self._results[batch.table.name]
        started = monotonic()
        if batch.shared is not None:
            batch.shared.close()
        try:
            replace_slices(
                self._warehouse,
                batch.table,
                [buffer.path for buffer in batch.buffers],
                [entry.slice for entry in batch.entries],
                run_id=self._run.id,
                batch=self._number,
                synced_at=self._now(),
            )
        except WarehouseError as error:
            return self._failed(batch, result, error)
        finally:
            batch.discard()
            result.seconds += monotonic() - started
        result.rows += batch.rows
        result.written += len(batch.entries)
        log.info("table_written", table=batch.table.name, slices=len(batch.entries), rows=batch.rows)
        return batch.entries

    def _fill_titles(self, entries: list[LogEntry]) -> list[LogEntry]:
        """Give the pages of a day their titles, where the day's pages or its visits were written anew.

        Before the log is: a run that dies in between writes both once more. So does the next run where it fails,
        since then these slices are logged as failed.
        """
        concerned = [e for e in entries if e.status is Status.WRITTEN and e.slice.table in (PAGES, VISITS.name)]
        slices = {entry.slice for entry in concerned}
        if not self._has_titles or not slices:
            return entries
        try:
            fill_page_titles(self._warehouse, slices, run_id=self._run.id, batch=self._number)
        except WarehouseError as error:
            self.errors.append(type(error)(f"titles of table {PAGES}: {error}"))
            for entry in concerned:
                self._results[entry.slice.table].written -= 1
                self._results[entry.slice.table].failed += 1
            return [e for e in entries if e.slice not in slices] + self._unwritten(concerned, error)
        return entries

    def _failed(self, batch: _Batch, result: TableResult, error: WarehouseError) -> list[LogEntry]:
        """Return the entries of slices that could not be written: the merge is one statement, so none was."""
        self.errors.append(type(error)(f"table {batch.table.name}: {error}"))
        log.error("table_failed", table=batch.table.name, slices=len(batch.entries), error=str(error))
        result.failed += len(batch.entries)
        return self._unwritten(batch.entries, error)

    def _unwritten(self, entries: Iterable[LogEntry], error: WarehouseError) -> list[LogEntry]:
        """Return entries that tell of a failure, and of what was known before, in the place of others."""
        return [
            self._entry(entry.slice, Status.FAILED, self._known.get(entry.slice, UNKNOWN), error=str(error))
            for entry in entries
        ]

    def _entry(
        self,
        slice_: Slice,
        status: Status,
        known: KnownSlice,
        *,
        error: str | None = None,
    ) -> LogEntry:
        return LogEntry(
            slice_,
            status,
            known.row_count,
            known.content_hash,
            has_others=False,
            is_final=self._is_final(slice_),
            written_run_id=known.written_run_id,
            error=error,
        )
