"""Warehouses that count: one around a real one, one that keeps nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from matomo_fn.catalogue import Schema
from matomo_fn.warehouse.buffer import open_joined
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable, PartitionBy, Warehouse

_CHUNK = 1024 * 1024


@dataclass(slots=True)
class Counts:
    """What a warehouse was asked: statements by their first word, queries, looks at tables, loads.

    ``size`` counts bytes uncompressed, as BigQuery gets them; ``largest_spool`` the bytes that the files had on
    disk (which on a function is memory) when most of them lay there.
    """

    statements: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    looks: int = 0
    loads: int = 0
    size: int = 0
    largest_spool: int = 0
    lock: Lock = field(default_factory=Lock)

    def load(self, files: Sequence[Path]) -> None:
        """Count a load, and read its files as an upload does."""
        size = 0
        with open_joined(files) as stream:
            while part := stream.read(_CHUNK):
                size += len(part)
        buffered = sum(path.stat().st_size for path in files[0].parent.iterdir())
        with self.lock:
            self.loads += 1
            self.size += size
            self.largest_spool = max(self.largest_spool, buffered)

    def statement(self, text: str) -> None:
        """Count a statement that changes something."""
        with self.lock:
            self.statements[text.split(maxsplit=1)[0]] += 1

    def query(self) -> None:
        """Count a query."""
        with self.lock:
            self.queries += 1

    def look(self) -> None:
        """Count a look at what a table is like."""
        with self.lock:
            self.looks += 1


class CountingWarehouse:
    """Another warehouse, whose calls are counted."""

    def __init__(self, inner: Warehouse) -> None:
        self._inner = inner
        self.dataset = inner.dataset
        self.parallel = inner.parallel
        self.counts = Counts()

    def check_writable(self) -> None:
        """Pass it on: no run does it."""
        self._inner.check_writable()

    def ensure_dataset(self) -> None:
        """Pass it on: once a run, whatever there is to do."""
        self._inner.ensure_dataset()

    def find_table(self, name: str) -> FoundTable | None:
        """Count and pass on."""
        self.counts.look()
        return self._inner.find_table(name)

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Count and pass on."""
        self.counts.statement("create")
        self._inner.create_table(schema, partition_by)

    def dataset_warnings(self) -> Sequence[str]:
        """Pass it on: once a run."""
        return self._inner.dataset_warnings()

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """Pass it on: nothing differs in a benchmark."""
        self._inner.update_table(schema, found)

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """Pass it on: nothing differs in a benchmark."""
        self._inner.update_view(schema, query, found)

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """Count and pass on."""
        self.counts.statement("create")
        self._inner.replace_table(schema, found, source)

    def create_view(self, name: str, query: str, description: str) -> None:
        """Count and pass on."""
        self.counts.statement("create")
        self._inner.create_view(name, query, description)

    def create_staging(self, schema: Schema) -> None:
        """Count and pass on."""
        self.counts.statement("create")
        self._inner.create_staging(schema)

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Count and pass on."""
        self.counts.load(files)
        self._inner.load(schema, files, job)

    def run(self, statement: str, job: str) -> None:
        """Count and pass on."""
        self.counts.statement(statement)
        self._inner.run(statement, job)

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Count and pass on."""
        self.counts.query()
        return self._inner.query(statement)

    def close(self) -> None:
        """Close the other."""
        self._inner.close()


class NullWarehouse:
    """A warehouse that reads what is loaded and keeps none of it: its memory does not hide the program's."""

    dataset = "nowhere"
    parallel = 1

    def __init__(self) -> None:
        self._tables: dict[str, FoundTable] = {}

    def check_writable(self) -> None:
        """Everything can be written to nowhere."""

    def ensure_dataset(self) -> None:
        """There is nothing to create it in."""

    def find_table(self, name: str) -> FoundTable | None:
        """Return a table that was created."""
        return self._tables.get(name)

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Remember what the table is like."""
        columns = tuple(FoundColumn(column.name, column.type, column.required) for column in schema.columns)
        self._tables[schema.name] = FoundTable(columns, partition_by)

    def dataset_warnings(self) -> Sequence[str]:
        """There is no dataset."""
        return ()

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """Do nothing: it was created by the same run."""

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """Do nothing."""

    def create_view(self, name: str, query: str, description: str) -> None:  # noqa: ARG002 - nobody will look at it
        """Remember that it is there."""
        self._tables[name] = FoundTable((), is_view=True)

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """Do nothing: it was created by the same run."""

    def create_staging(self, schema: Schema) -> None:
        """Do nothing."""

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Do nothing; ``CountingWarehouse`` has read the files."""

    def run(self, statement: str, job: str) -> None:
        """Do nothing."""

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:  # noqa: ARG002 - whatever it is
        """Know of nothing."""
        return ()

    def close(self) -> None:
        """Do nothing."""
