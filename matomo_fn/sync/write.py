"""Writing what was extracted: rows wait in batches, are loaded whole slices at a time, and are logged."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.errors import DiskFull, WarehouseError
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.sync.batches import Batches
from matomo_fn.sync.load import Loaded, Loader
from matomo_fn.sync.outcome import LogEntry, Run, Status
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.buffer import BufferedSlice
from matomo_fn.warehouse.tables import Stamp

log = structlog.get_logger()

# Slices of one flush: bounds the statement that names them (BigQuery reads at most 1 MB of SQL) and what is kept of
# them in memory.
MAX_SLICES = 20_000


class Writer:
    """Takes slices with their outcomes and writes them; used by one thread.

    What a flush has logged is done. A run that is killed loses at most what waits. ``folder`` takes the rows,
    ``buffer_bytes`` of them at most (uncompressed).
    """

    def __init__(
        self,
        loader: Loader,
        state: SyncState,
        run: Run,
        folder: Path,
        *,
        buffer_bytes: int,
        now: Callable[[], datetime],
    ) -> None:
        self._loader = loader
        self._state = state
        self._run = run
        self._folder = folder
        self._buffer_bytes = buffer_bytes
        self._now = now
        self._batches = Batches(folder)
        self._entries: list[LogEntry] = []
        self._errors: list[WarehouseError] = []
        self._amended: list[LogEntry] = []
        self._holds: frozenset[str] = frozenset()
        self._held: list[LogEntry] = []
        self._quiet: list[LogEntry] = []
        self._keeps_quiet = False
        self._flushes = 0

    @property
    def is_full(self) -> bool:
        """Whether it is time to flush."""
        return self._batches.size >= self._buffer_bytes or self.waiting >= MAX_SLICES or bool(self._errors)

    @property
    def waiting(self) -> int:
        """How many slices wait to be written or logged."""
        return len(self._entries) + len(self._amended) + self._batches.slices

    def add(self, table: Table, entry: LogEntry, content: ParsedSlice | BufferedSlice | None) -> None:
        """Take one slice; its content waits only where its outcome is that it is written.

        Where the disk is full, the slices of the table that wait are logged as failed.
        """
        if entry.status is Status.WRITTEN and content is not None:
            try:
                self._batches.add(table, entry, content)
            except DiskFull as error:
                dropped = [*self._batches.drop(table), entry]
                log.error("table_failed", table=table.name, slices=len(dropped), error=str(error))
                self._entries += [self._loader.failed(each, error) for each in dropped]
                self._errors.append(DiskFull(f"table {table.name}: {error}"))
            return
        # What it says of the table was read when the run began: a run that has written the slice since knows more.
        self._entries.append(replace(entry, seen_at=self._run.started_at))
        if isinstance(content, BufferedSlice):
            content.buffer.discard()

    def amend(self, entry: LogEntry) -> None:
        """Take a log entry of a slice that this run did not extract; it is logged with the next flush's entries."""
        self._amended.append(entry)

    def hold(self, tables: Collection[str]) -> None:
        """Log nothing of some tables before `log_held`: what is written of them is not yet in their place."""
        self._holds = frozenset(tables)

    def held(self, table: str) -> list[LogEntry]:
        """Return the entries of a table that are held back."""
        return [entry for entry in self._held if entry.slice.table == table]

    def log_held(self, table: str, logging: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Log what was held back of a table."""
        entries = self.held(table)
        self._held = [entry for entry in self._held if entry.slice.table != table]
        if entries:
            self._flushes += 1
            with logging():
                self._state.append(self._run, entries, self._folder, Stamp(self._run.id, self._flushes, self._now()))

    def keep_quiet(self) -> None:
        """Remember the slices that bring no news, for `log_quiet`."""
        self._keeps_quiet = True

    def log_quiet(self, logging: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        """Log the slices that brought no news, so that another run of the same request does not refetch them."""
        entries, self._quiet = self._quiet, []
        if entries:
            self._flushes += 1
            with logging():
                self._state.append(self._run, entries, self._folder, Stamp(self._run.id, self._flushes, self._now()))

    def flush(self, logging: Callable[[], AbstractContextManager[None]] = nullcontext) -> Loaded:
        """Write and log everything that waits, and return what came of the slices added.

        A table that fails keeps what it had and its slices are logged as failed; the others are written.
        Raises WarehouseError where the log itself cannot be written. ``logging`` is entered for that.
        """
        batches, entries, errors = self._batches.take(), self._entries, self._errors
        self._entries, self._errors = [], []
        if not batches and not entries and not self._amended:
            return Loaded((), {}, ())
        self._flushes += 1
        loaded = self._loader.load(batches, Stamp(self._run.id, self._flushes, self._now()), self._now)
        entries = [*entries, *loaded.entries]
        self._held += [entry for entry in entries if entry.slice.table in self._holds]
        logged = [entry for entry in entries if entry.is_news and entry.slice.table not in self._holds]
        if self._keeps_quiet:
            self._quiet += [entry for entry in entries if not entry.is_news and entry.status.is_good]
        logged += [entry for entry in self._amended if entry.is_news]
        self._amended = []
        if logged:
            with logging():
                self._state.append(self._run, logged, self._folder, Stamp(self._run.id, self._flushes, self._now()))
        return Loaded(entries, loaded.seconds, [*errors, *loaded.errors])

    def discard(self) -> None:
        """Drop what waits, unwritten."""
        self._batches.discard()
        self._entries = []
