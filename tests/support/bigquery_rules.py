"""A warehouse that follows BigQuery's rules for concurrent statements and for partitions, with DuckDB as its storage.

The rules, from BigQuery's documentation ("DML statement conflicts", "Partitioned table quotas"):

- A statement reads a snapshot taken when it begins and commits when it ends. There is no lock.
- A statement that only inserts commits beside all others: INSERT, and MERGE whose UPDATE and DELETE clauses were not
  invoked.
- Of two statements that update or delete rows of the same partitions at the same time, the later one fails with
  "Could not serialize access". BigQuery runs it again by itself, and gives up in the end.
- One job modifies at most 4,000 partitions, and a table has at most 10,000.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from matomo_fn.errors import WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse import duckdb as product
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundTable
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import date

    from matomo_fn.catalogue import Schema
    from matomo_fn.warehouse.protocol import PartitionBy

MOST_MODIFIED, MOST_PARTITIONS = 4_000, 10_000
# How often a statement is run that conflicts each time: BigQuery runs it three times by itself, and the program submits
# it five times (warehouse/bigquery_jobs.py), with seconds between.
ATTEMPTS = 3 * 5
# DuckDB numbers the rows that a transaction has inserted and not committed from here on.
_UNCOMMITTED = 36_028_797_018_960_000
_TARGET = re.compile(r"(?:merge|delete from|insert into) `[^`]*?([^`.]+)`")
_names = count(1)


@dataclass(frozen=True, slots=True)
class Executed:
    """A statement that was committed: the job's name, the table, and the partitions that it modified."""

    job: str
    table: str
    partitions: int


@dataclass(slots=True)
class Storage:
    """What all connections to one dataset share.

    Attributes:
        path: names the DuckDB database, which is in memory.
        units: what each table is partitioned by.
        partitions: those of each table that have had rows.
        mutated: (number of the commit, table, partitions) of the statements that updated or deleted rows.
        executed: the statements that were committed, in order.
        conflicts: how many times a statement had to be run again, by job.
        anchor: keeps the database while nobody else is connected.
        commit: is held by the one statement that commits.
    """

    path: Path = field(default_factory=lambda: Path(f":memory:rules{next(_names)}"))
    units: dict[str, str] = field(default_factory=dict)
    partitions: dict[str, set[date]] = field(default_factory=dict)
    mutated: list[tuple[int, str, set[date]]] = field(default_factory=list)
    executed: list[Executed] = field(default_factory=list)
    conflicts: Counter[str] = field(default_factory=Counter)
    anchor: duckdb.DuckDBPyConnection = field(init=False)
    commit: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Open the database."""
        self.anchor = duckdb.connect(str(self.path))

    def empty(self, dataset: str) -> None:
        """Take the rows out of all tables of a dataset, drop those that killed clients staged, and forget all else."""
        for (name,) in self.anchor.execute(
            "select table_name from duckdb_tables() where schema_name = ?", [dataset]
        ).fetchall():
            what = "drop table" if name.startswith(STAGING_PREFIX) else "truncate"
            self.anchor.execute(f'{what} "{dataset}"."{name}"')
        self.partitions.clear()
        self.mutated.clear()
        self.executed.clear()
        self.conflicts.clear()

    @property
    def commits(self) -> int:
        """How many statements were committed: a clock that only goes on where something changes."""
        return len(self.executed)


def no_step() -> None:
    """Go on at once."""


class RulesWarehouse(DuckDBWarehouse):
    """A connection to such a dataset.

    Attributes:
        step: is called before each statement, and once more before a statement commits. What it raises ends the
            client; a statement that has run is committed all the same, since BigQuery does not need its client.
    """

    def __init__(self, storage: Storage, dataset: str, step: Callable[[], None] = no_step) -> None:
        """Connect."""
        super().__init__(storage.path, dataset)
        self.storage = storage
        self.step = step
        self._transaction = duckdb.connect(str(storage.path))
        self._transaction.execute("set timezone = 'UTC'")
        # Tiny statements: handing them to threads takes longer than running them.
        self._transaction.execute("set threads = 1")

    def find_table(self, name: str) -> FoundTable | None:
        """As the protocol has it."""
        self.step()
        found = super().find_table(name)
        if found is None:
            return None
        return FoundTable(found.columns, self.storage.units.get(name), found.is_view)

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """As the protocol has it."""
        self.step()
        super().create_table(schema, partition_by)
        if schema.partitioned:
            self.storage.units.setdefault(schema.name, partition_by)

    def create_staging(self, schema: Schema) -> None:
        """As the protocol has it."""
        self.step()
        super().create_table(schema, "day")

    def create_view(self, name: str, query: str, description: str) -> None:
        """As the protocol has it."""
        self.step()
        super().create_view(name, query, description)

    def drop_table(self, name: str) -> None:
        """As the protocol has it."""
        self.step()
        super().drop_table(name)

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """As the protocol has it."""
        self.step()
        super().load(schema, files, job)

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """As the protocol has it."""
        self.step()
        return super().query(statement)

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """As the protocol has it."""
        self.step()
        return super().rows(statement)

    def run(self, statement: str, job: str) -> None:
        """Run a statement by the rules."""
        target = _TARGET.match(statement)
        if target is None or target[1].startswith(STAGING_PREFIX):
            self.step()
            super().run(statement, job)
            return
        for _ in range(ATTEMPTS):
            self.step()
            if self._run(statement, job, target[1]):
                return
            self.storage.conflicts[job] += 1
        raise WarehouseUnavailable(
            f"BigQuery cannot {job} now: Could not serialize access to table {target[1]} due to concurrent update"
        )

    def close(self) -> None:
        """Close the connections."""
        self._transaction.close()
        super().close()

    def _run(self, statement: str, job: str, table: str) -> bool:
        """Run a statement on a snapshot and commit it; return False where it conflicts with another one."""
        began = self.storage.commits
        self._transaction.execute("begin")
        try:
            mutated, inserted = self._execute_on_snapshot(statement, table)
            self._refuse_too_many(table, mutated | inserted)
        except duckdb.TransactionException:  # it deletes a row that a statement deletes that has not committed yet
            self._transaction.execute("rollback")
            return False
        except duckdb.Error as error:
            self._transaction.execute("rollback")
            raise WarehouseError(f"BigQuery cannot {job}: {error}") from None
        except WarehouseError:
            self._transaction.execute("rollback")
            raise
        try:
            self.step()
        finally:
            with self.storage.commit:
                succeeded = not self._conflicts(table, mutated, began)
                if succeeded:
                    succeeded = self._commit(Executed(job, table, len(mutated | inserted)), mutated, inserted)
                else:
                    self._transaction.execute("rollback")
        return succeeded

    def _execute_on_snapshot(self, statement: str, table: str) -> tuple[set[date], set[date]]:
        """Run a statement; return the partitions in which it changed or deleted rows, and those it inserted into."""
        before = self._committed_rows(table)
        self._transaction.execute(product.to_duckdb(statement))
        after = self._committed_rows(table)
        return {day for day in before if before[day] != after.get(day)}, self._inserted(table)

    def _conflicts(self, table: str, mutated: set[date], began: int) -> bool:
        return any(
            commit >= began and other == table and not mutated.isdisjoint(days)
            for commit, other, days in self.storage.mutated
        )

    def _commit(self, executed: Executed, mutated: set[date], inserted: set[date]) -> bool:
        """Commit what a statement did; return False where DuckDB cannot, for what another one has committed."""
        try:
            self._transaction.execute("commit")
        except duckdb.TransactionException:
            return False
        if mutated:
            self.storage.mutated.append((self.storage.commits, executed.table, mutated))
        self.storage.partitions.setdefault(executed.table, set()).update(inserted)
        self.storage.executed.append(executed)
        return True

    def _refuse_too_many(self, table: str, touched: set[date]) -> None:
        """Refuse what BigQuery refuses, in its words."""
        if len(touched) > MOST_MODIFIED:
            raise WarehouseError(
                f"Too many partitions produced by query, allowed {MOST_MODIFIED}, query produces at least "
                f"{len(touched)} partitions"
            )
        if len(self.storage.partitions.get(table, set()) | touched) > MOST_PARTITIONS:
            raise WarehouseError(f"Too many total partitions of table {table}, allowed {MOST_PARTITIONS}")

    def _committed_rows(self, table: str) -> dict[date, tuple[int, int]]:
        """Each partition's rows that were there before the statement: how many, and a sum of what they are."""
        rows = self._transaction.execute(
            f"select {self._partition(table)}, count(*), bit_xor(hash(t)) from "
            f'"{self.dataset}"."{table}" t where rowid < {_UNCOMMITTED} group by 1'
        ).fetchall()
        return {day: (rows_, digest) for day, rows_, digest in rows}

    def _inserted(self, table: str) -> set[date]:
        rows = self._transaction.execute(
            f'select distinct {self._partition(table)} from "{self.dataset}"."{table}" t where rowid >= {_UNCOMMITTED}'
        ).fetchall()
        return {day for (day,) in rows}

    def _partition(self, table: str) -> str:
        if table not in self.storage.units:
            return "date '1970-01-01'"  # a table without partitions is one for all statements
        return f"date_trunc('{self.storage.units.get(table, 'day')}', date)::date"


def interleave(programs: Sequence[Callable[[Callable[[], None]], None]], choices: Iterator[int]) -> None:
    """Run programs one step at a time, each as far as its next call of the function that it is given.

    Args:
        programs: what runs; Killed ends one, any other exception is raised here once all have ended.
        choices: which of those that still run goes on, modulo their number; once used up, each in turn.
    """
    turns = [threading.Semaphore(0) for _ in programs]
    back = threading.Semaphore(0)
    ended: set[int] = set()
    errors: list[BaseException] = []

    def body(number: int) -> None:
        def step() -> None:
            back.release()
            turns[number].acquire()

        turns[number].acquire()
        try:
            programs[number](step)
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised below, in the thread of the test
            errors.append(error)
        finally:
            ended.add(number)
            back.release()

    threads = [threading.Thread(target=body, args=(number,)) for number in range(len(programs))]
    for thread in threads:
        thread.start()
    in_turn = count()
    while len(ended) < len(programs):
        running = [number for number in range(len(programs)) if number not in ended]
        chosen = running[next(choices, next(in_turn)) % len(running)]
        turns[chosen].release()
        back.acquire()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
