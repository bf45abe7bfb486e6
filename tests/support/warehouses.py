"""Warehouses under observation: what is asked of one, one that breaks, and what stands in it."""

from __future__ import annotations

import gzip
import json
import threading
from typing import TYPE_CHECKING, Any

from matomo_fn.catalogue import BUILT_IN, SYNC_LOG, ColumnType
from matomo_fn.warehouse import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from matomo_fn.catalogue import Catalogue, Schema, Table
    from matomo_fn.warehouse.protocol import FoundTable, PartitionBy, Warehouse

STAMPS = {"_synced_at", "_run_id"}
# What changes a warehouse, as opposed to looking at it.
CHANGES = {
    "ensure_dataset",
    "create_table",
    "replace_table",
    "create_view",
    "create_staging",
    "drop_table",
    "load",
    "run",
}


class Killed(BaseException):
    """The process is gone, as when a platform takes an instance away: nothing of the program may catch it."""


class Watched:
    """A warehouse that notes what is asked of it.

    Attributes:
        calls: (method, what) of each call; what is a table's name, a job's name, or a query's text.
    """

    def __init__(self, warehouse: Warehouse, before: Callable[[str, str], None] | None = None) -> None:
        """Stand in front of a warehouse.

        Args:
            warehouse: the one that does the work.
            before: is told each call before it is passed on; what it raises is what the caller gets.
        """
        self.dataset = warehouse.dataset
        self.parallel = warehouse.parallel
        self.is_shared = warehouse.is_shared
        self.calls: list[tuple[str, str]] = []
        self._warehouse = warehouse
        self._before = before

    def count(self, method: str, start: str = "") -> int:
        """How many calls of a method there were, of what begins so."""
        return sum(name == method and what.startswith(start) for name, what in self.calls)

    def changes(self) -> list[tuple[str, str]]:
        """The calls that change something, but for the dataset, the log and the record of runs."""
        return [
            (name, what)
            for name, what in self.calls
            if name in CHANGES - {"ensure_dataset"} and not any(table in what for table in ("_sync_log", "_sync_runs"))
        ]

    def check_writable(self) -> None:
        """As the protocol has it."""
        self._note("check_writable", "")
        self._warehouse.check_writable()

    def ensure_dataset(self) -> None:
        """As the protocol has it."""
        self._note("ensure_dataset", "")
        self._warehouse.ensure_dataset()

    def find_table(self, name: str) -> FoundTable | None:
        """As the protocol has it."""
        self._note("find_table", name)
        return self._warehouse.find_table(name)

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """As the protocol has it."""
        self._note("create_table", schema.name)
        self._warehouse.create_table(schema, partition_by)

    def dataset_warnings(self) -> Sequence[str]:
        """As the protocol has it."""
        self._note("dataset_warnings", "")
        return self._warehouse.dataset_warnings()

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """As the protocol has it."""
        self._note("update_table", schema.name)
        self._warehouse.update_table(schema, found)

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """As the protocol has it."""
        self._note("replace_table", schema.name)
        self._warehouse.replace_table(schema, found, source)

    def create_view(self, name: str, query: str, description: str) -> None:
        """As the protocol has it."""
        self._note("create_view", name)
        self._warehouse.create_view(name, query, description)

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """As the protocol has it."""
        self._note("update_view", schema.name)
        self._warehouse.update_view(schema, query, found)

    def create_staging(self, schema: Schema) -> None:
        """As the protocol has it."""
        self._note("create_staging", schema.name)
        self._warehouse.create_staging(schema)

    def drop_table(self, name: str) -> None:
        """As the protocol has it."""
        self._note("drop_table", name)
        self._warehouse.drop_table(name)

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """As the protocol has it."""
        self._note("load", job)
        self._warehouse.load(schema, files, job)

    def run(self, statement: str, job: str) -> None:
        """As the protocol has it."""
        self._note("run", job)
        self._warehouse.run(statement, job)

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """As the protocol has it."""
        self._note("query", statement)
        return self._warehouse.query(statement)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """As the protocol has it."""
        self._note("query", statement)
        return self._warehouse.rows(statement)

    def stream(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """As the protocol has it."""
        self._note("stream", statement)
        return self._warehouse.stream(statement)

    def close(self) -> None:
        """As the protocol has it."""
        self._warehouse.close()

    def _note(self, method: str, what: str) -> None:
        self.calls.append((method, what))
        if self._before is not None:
            self._before(method, what)


class Death:
    """Kills the process before its n-th change of the warehouse, counted from 1; what is dead stays dead."""

    def __init__(self, at: int) -> None:
        """Wait for the n-th change."""
        self._left = at
        self._lock = threading.Lock()

    def __call__(self, method: str, _what: str) -> None:
        """Let a call pass, or not."""
        with self._lock:
            if method in CHANGES:
                self._left -= 1
            if self._left <= 0:
                raise Killed


def death_before(start: str, method: str = "") -> Callable[[str, str], None]:
    """Kill the process before the first call about what begins so; of one method, if it is given."""
    dead = threading.Event()

    def check(called: str, what: str) -> None:
        if what.startswith(start) and method in {"", called}:
            dead.set()
        if dead.is_set():
            raise Killed

    return check


def rows_of(warehouse: Warehouse, table: Table) -> list[tuple[Any, ...]]:
    """The rows of a table but for the stamps, sorted, each a tuple in the order of the columns."""
    columns = [column for column in table.columns if column.name not in STAMPS]
    names = ", ".join(f"t.{column.name}" for column in columns)
    found = warehouse.query(f"select {names} from {sql.table_name(warehouse.dataset, table.name)} t")
    rows = [tuple(_plain(row[column.name], column.type) for column in columns) for row in found]
    return sorted(rows, key=repr)


def contents(
    warehouse: Warehouse, tables: Iterable[str], catalogue: Catalogue = BUILT_IN
) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of several tables by name; none of one that is not there."""
    return {
        name: rows_of(warehouse, catalogue[name]) if warehouse.find_table(name) is not None else [] for name in tables
    }


def duplicates(warehouse: Warehouse, tables: Iterable[str], catalogue: Catalogue = BUILT_IN) -> list[Mapping[str, Any]]:
    """The keys that stand in a table more than once."""
    found: list[Mapping[str, Any]] = []
    for name in tables:
        if warehouse.find_table(name) is None:
            continue
        key = ", ".join(f"t.{column}" for column in catalogue[name].key)
        found += warehouse.query(
            f"select {key}, count(*) as times from {sql.table_name(warehouse.dataset, name)} t "
            f"group by {key} having count(*) > 1"
        )
    return found


def stamps(warehouse: Warehouse, table: str) -> set[tuple[date, str, str]]:
    """(date, website_id, run) of the rows of a table: which run wrote which slice."""
    rows = warehouse.query(
        f"select distinct t.date, t.website_id, t._run_id from {sql.table_name(warehouse.dataset, table)} t"
    )
    return {(row["date"], row["website_id"], row["_run_id"]) for row in rows}


def states(warehouse: Warehouse) -> dict[tuple[str, str, date], Mapping[str, Any]]:
    """The newest row of the log for each (table, site, day)."""
    rows = warehouse.query(
        f"select {', '.join(SYNC_LOG.column_names)} from {sql.table_name(warehouse.dataset, '_sync_state')}"
    )
    return {(row["table_name"], row["website_id"], row["date"]): row for row in rows}


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as a load takes them: gzip, a JSON object a line."""
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))
    return path


def _plain(value: Any, kind: ColumnType) -> Any:
    """A value as both warehouses give it: DuckDB has JSON as text, BigQuery's client reads it."""
    if kind is ColumnType.JSON and isinstance(value, str):
        value = json.loads(value)
    return json.dumps(value, sort_keys=True) if kind is ColumnType.JSON else value
