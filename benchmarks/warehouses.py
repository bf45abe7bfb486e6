"""Warehouses that count: one around a real one, one that keeps nothing."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from threading import Lock
from typing import Any

from matomo_fn.catalogue import Schema
from matomo_fn.warehouse.buffer import open_joined
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable, PartitionBy, Warehouse

_CHUNK = 1024 * 1024
# Statements that BigQuery bills and queues; the others change tables.
ROW_STATEMENTS = frozenset({"merge", "insert", "update", "delete"})
_TABLE = re.compile(r"`([^`]+)`")
_SLICE = re.compile(rb'\{"date":"([^"]+)","website_id":"([^"]+)","segment":"([^"]*)"')


@dataclass(slots=True)
class Counts:
    """What a warehouse was asked: statements by their first word, queries, looks at tables, loads.

    ``read`` counts the tables that statements and queries read: BigQuery bills at least 10 MB for each. ``size`` counts
    bytes uncompressed, as BigQuery gets them; ``largest_spool`` the bytes that the files had on disk (which on a
    function is memory) when most of them lay there.
    """

    statements: Counter[str] = field(default_factory=Counter)
    queries: int = 0
    read: int = 0
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
        kind = text.split(maxsplit=1)[0]
        with self.lock:
            self.statements[kind] += 1
            if kind in ROW_STATEMENTS:  # an INSERT does not read the table that it appends to
                self.read += len(_tables_of(text)) - (kind == "insert")

    def query(self, text: str) -> None:
        """Count a query."""
        with self.lock:
            self.queries += 1
            self.read += len(_tables_of(text))

    def look(self) -> None:
        """Count a look at what a table is like."""
        with self.lock:
            self.looks += 1


def _tables_of(statement: str) -> set[str]:
    return set(_TABLE.findall(statement))


class CountingWarehouse:
    """Another warehouse, whose calls are counted."""

    def __init__(self, inner: Warehouse) -> None:
        self._inner = inner
        self.dataset = inner.dataset
        self.parallel = inner.parallel
        self.is_shared = inner.is_shared
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

    def drop_table(self, name: str) -> None:
        """Count and pass on."""
        self.counts.statement("drop")
        self._inner.drop_table(name)

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
        self.counts.query(statement)
        return self._inner.query(statement)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Count and pass on."""
        self.counts.query(statement)
        return self._inner.rows(statement)

    def stream(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Count and pass on."""
        self.counts.query(statement)
        return self._inner.stream(statement)

    def close(self) -> None:
        """Close the other."""
        self._inner.close()


class NullWarehouse:
    """A warehouse that keeps none of the rows, so that its memory does not hide the program's.

    It knows how many rows each slice has, since a run looks at that after its merge.
    """

    dataset = "nowhere"
    parallel = 1
    is_shared = False

    def __init__(self) -> None:
        self._tables: dict[str, FoundTable] = {}
        self._staged: dict[str, Counter[tuple[str, ...]]] = {}
        self._merged: dict[str, tuple[str, Counter[tuple[str, ...]]]] = {}

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

    def drop_table(self, name: str) -> None:
        """Do nothing."""

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:  # noqa: ARG002 - nothing is named
        """Count the rows of each slice."""
        counted = self._staged[schema.name] = Counter()
        with open_joined(files) as stream:
            for line in stream:
                if found := _SLICE.match(line):
                    counted[tuple(part.decode() for part in found.groups())] += 1

    def run(self, statement: str, job: str) -> None:  # noqa: ARG002 - nothing is named
        """Take what a MERGE would have written as what the table has."""
        if statement.startswith("merge"):
            table, staging = (name.rpartition(".")[2] for name in _TABLE.findall(statement)[:2])
            run_id = statement.rpartition(", '")[2].removesuffix("')")
            self._merged[table] = run_id, self._staged.pop(staging)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Answer the same as a query."""
        return iter(self.query(statement))

    def stream(self, _statement: str) -> Iterator[Mapping[str, Any]]:
        """Have no rows."""
        return iter(())

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Answer how many rows were merged last into a table, and know of nothing else."""
        table = _TABLE.findall(statement)[0].rpartition(".")[2]
        if table not in self._merged:
            return ()
        run_id, counted = self._merged[table]
        return [
            {
                "date": date.fromisoformat(day),
                "website_id": site,
                "segment": segment,
                "row_count": rows,
                "key_count": rows,
                "first_run": run_id,
                "last_run": run_id,
            }
            for (day, site, segment), rows in counted.items()
        ]

    def close(self) -> None:
        """Do nothing."""
