"""Rows that wait to be written: one batch a table, on disk."""

from dataclasses import dataclass, field
from pathlib import Path

from matomo_fn.catalogue import Table
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.sync.outcome import LogEntry
from matomo_fn.warehouse.buffer import Buffer, BufferedSlice


@dataclass(slots=True)
class Batch:
    """What waits to be written to one table: the buffered rows and the log entries that speak of them.

    ``shared`` is the buffer of the slices that do not bring one of their own.
    """

    table: Table
    shared: Buffer | None = None
    buffers: list[Buffer] = field(default_factory=list)
    entries: list[LogEntry] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the rows, uncompressed."""
        return sum(buffer.size for buffer in self.buffers)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(buffer.rows for buffer in self.buffers)

    @property
    def files(self) -> list[Path]:
        """The files of the rows, finished."""
        if self.shared is not None:
            self.shared.close()
        return [buffer.path for buffer in self.buffers]

    def discard(self) -> None:
        """Delete the files."""
        for buffer in self.buffers:
            buffer.discard()


class Batches:
    """The batches of all tables; ``folder`` takes the files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._batches: dict[str, Batch] = {}

    @property
    def size(self) -> int:
        """Bytes of all rows, uncompressed."""
        return sum(batch.size for batch in self._batches.values())

    @property
    def slices(self) -> int:
        """How many slices wait."""
        return sum(len(batch.entries) for batch in self._batches.values())

    def add(self, table: Table, entry: LogEntry, content: ParsedSlice | BufferedSlice) -> None:
        """Take the rows of one slice."""
        batch = self._batches.setdefault(table.name, Batch(table))
        if isinstance(content, BufferedSlice):
            batch.buffers.append(content.buffer)
        else:
            if batch.shared is None:
                batch.shared = Buffer(self._folder / f"{table.name}.json.gz", has_segment=table.has_segment)
                batch.buffers.append(batch.shared)
            batch.shared.add(entry.slice, content.lines)
        batch.entries.append(entry)

    def drop(self, table: Table) -> list[LogEntry]:
        """Delete what waits of one table, unwritten, and return the entries that speak of it."""
        batch = self._batches.pop(table.name, None)
        if batch is None:
            return []
        batch.discard()
        return batch.entries

    def take(self) -> list[Batch]:
        """Return what waits, and wait for more."""
        batches, self._batches = list(self._batches.values()), {}
        return batches

    def discard(self) -> None:
        """Delete what waits, unwritten."""
        for batch in self.take():
            batch.discard()
