"""Writing what was extracted: spool, replace the slices that changed, log all of them."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.errors import WarehouseError
from matomo_fn.extract import Extracted
from matomo_fn.ledger import UNKNOWN, Entry, Known, Ledger, Run, Status
from matomo_fn.plan import Slice
from matomo_fn.result import TableResult
from matomo_fn.rows import Shaped
from matomo_fn.spool import Spool
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import replace_slices

log = structlog.get_logger()

# Slices of one batch: bounds the statement that names them (BigQuery reads at most 1 MB of SQL) and what is kept
# of them in memory.
MAX_BATCH_SLICES = 20_000


@dataclass(slots=True)
class _Batch:
    """What waits to be written to one table: the spooled rows and the entries that speak of them."""

    table: Table
    spool: Spool
    entries: list[Entry] = field(default_factory=list)


class Loader:
    """Takes extracted slices and writes them, whole slices at a time; used by one thread.

    What a flush has logged is done. A run that is killed loses at most what is in the spool.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        ledger: Ledger,
        run: Run,
        known: Mapping[Slice, Known],
        results: Mapping[str, TableResult],
        folder: Path,
        *,
        is_final: Callable[[Slice], bool],
        rewrite: bool,
        spool_bytes: int,
        now: Callable[[], datetime],
    ) -> None:
        self._warehouse = warehouse
        self._ledger = ledger
        self._run = run
        self._known = known
        self._results = results
        self._folder = folder
        self._is_final = is_final
        self._rewrite = rewrite
        self._spool_bytes = spool_bytes
        self._now = now
        self._batches: dict[str, _Batch] = {}
        self._entries: list[Entry] = []
        self._number = 0
        self.errors: list[WarehouseError] = []

    def add(self, table: Table, extracted: Extracted) -> None:
        """Take one slice; where that fills the spool, everything in it is written and logged."""
        result = self._results[table.name]
        result.seconds += extracted.seconds
        result.handled.add(extracted.slice.date)
        known = self._known.get(extracted.slice, UNKNOWN)
        if extracted.shaped is None:
            self._keep(result, extracted, known)
        elif known.is_intact and known.content_hash == extracted.shaped.content_hash and not self._rewrite:
            result.unchanged += 1
            self._entries.append(
                self._entry(extracted.slice, Status.UNCHANGED, known, has_others=extracted.shaped.has_others)
            )
        else:
            self._spool(table, extracted.slice, extracted.shaped)
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
        self._ledger.append(self._run, entries, self._folder, batch=self._number, logged_at=self._now())

    def discard(self) -> None:
        """Drop what waits, unwritten."""
        for batch in self._batches.values():
            batch.spool.discard()
        self._batches, self._entries = {}, []

    def _keep(self, result: TableResult, extracted: Extracted, known: Known) -> None:
        """Note a slice without a trusted answer: what the table has stays, and the log goes on telling of it."""
        status = Status.PENDING if extracted.pending else Status.FAILED
        if extracted.pending:
            result.pending += 1
        else:
            result.failed += 1
        self._entries.append(self._entry(extracted.slice, status, known, error=extracted.pending or extracted.error))

    def _spool(self, table: Table, piece: Slice, shaped: Shaped) -> None:
        batch = self._batches.get(table.name)
        if batch is None:
            batch = _Batch(table, Spool(self._folder / f"{table.name}.json.gz"))
            self._batches[table.name] = batch
        batch.spool.add(piece, shaped.lines)
        batch.entries.append(
            Entry(
                piece,
                Status.WRITTEN,
                len(shaped.lines),
                shaped.content_hash,
                shaped.has_others,
                self._is_final(piece),
                self._run.id,
            )
        )

    def _is_full(self) -> bool:
        size = sum(batch.spool.size for batch in self._batches.values())
        slices = len(self._entries) + sum(len(batch.entries) for batch in self._batches.values())
        return size >= self._spool_bytes or slices >= MAX_BATCH_SLICES

    def _write(self, batch: _Batch) -> list[Entry]:
        """Replace the slices of one table and return the entries that tell what became of them."""
        result = self._results[batch.table.name]
        started = monotonic()
        with batch.spool:
            batch.spool.close()
            try:
                replace_slices(
                    self._warehouse,
                    batch.table,
                    batch.spool.path,
                    [entry.slice for entry in batch.entries],
                    run_id=self._run.id,
                    batch=self._number,
                    synced_at=self._now(),
                )
            except WarehouseError as error:
                return self._failed(batch, result, error)
            finally:
                result.seconds += monotonic() - started
        result.rows += batch.spool.rows
        result.written += len(batch.entries)
        log.info("table_written", table=batch.table.name, slices=len(batch.entries), rows=batch.spool.rows)
        return batch.entries

    def _failed(self, batch: _Batch, result: TableResult, error: WarehouseError) -> list[Entry]:
        """Return the entries of slices that could not be written: the merge is one statement, so none was."""
        self.errors.append(type(error)(f"table {batch.table.name}: {error}"))
        log.error("table_failed", table=batch.table.name, slices=len(batch.entries), error=str(error))
        result.failed += len(batch.entries)
        return [
            self._entry(entry.slice, Status.FAILED, self._known.get(entry.slice, UNKNOWN), error=str(error))
            for entry in batch.entries
        ]

    def _entry(
        self,
        piece: Slice,
        status: Status,
        known: Known,
        *,
        has_others: bool = False,
        error: str | None = None,
    ) -> Entry:
        return Entry(
            piece,
            status,
            known.row_count,
            known.content_hash,
            has_others,
            self._is_final(piece),
            known.written_run_id,
            error,
        )
