"""Long histories on a warehouse with BigQuery's rules: 4,000 partitions a job, 10,000 a table.

Each case is written in a fresh process, slice by slice, as a first run writes it: site by site, all tables of a site
together. Afterwards the audit compares log and tables, and a daily run is planned from what the log knows.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from pathlib import Path

import click

from benchmarks.figures import Figure
from benchmarks.one_sync import peak_memory
from matomo_fn.app.logs import configure_logs
from matomo_fn.catalogue import PREBUILT, SYNC_LOG
from matomo_fn.days import Days
from matomo_fn.sites import Site
from matomo_fn.sync.audit import audit
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.protocol import PartitionBy
from tests.support.bigquery_rules import RulesWarehouse, Storage
from tests.support.history import CONNECTOR, NOW, opened, prepare, write_history

_LAST = NOW.date() - timedelta(days=1)
_TRAILING = 3
# The storage that plays BigQuery is in the same process, so what it may hold in memory is bounded.
_STORAGE_MEMORY_MB = 512


@dataclass(frozen=True, slots=True)
class _Case:
    years: int
    sites: int
    partition_by: PartitionBy

    @property
    def days(self) -> Days:
        """The latest days of so many years."""
        return Days.between(_LAST - timedelta(days=round(self.years * 365.25) - 1), _LAST)

    @property
    def group(self) -> str:
        """How its figures are headed."""
        sites = f"{self.sites} site{'s' if self.sites > 1 else ''}"
        return f"Partitions: {self.years} years x {len(PREBUILT)} tables x {sites}, by {self.partition_by}"


# 30 years are 10,958 days, more than a table may have partitions.
_CASES = {"30-years": _Case(30, 1, "month"), "12-years": _Case(12, 20, "day")}


def partitions() -> Iterator[Figure]:
    """Write each case in a process of its own."""
    for name, case in _CASES.items():
        command = [sys.executable, "-m", "benchmarks.partitions", name]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        for what, (value, unit) in json.loads(done.stdout).items():
            yield Figure(case.group, what, value, unit)


@click.command()
@click.argument("name", type=click.Choice(list(_CASES)))
def main(name: str) -> None:
    """Write one case and print its figures as JSON."""
    configure_logs("json", sys.stderr, logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(Path(folder) / "storage.duckdb")
        storage.anchor.execute(f"set memory_limit = '{_STORAGE_MEMORY_MB}MB'")
        print(json.dumps(_measured(storage, _CASES[name])))
        storage.anchor.close()


def _measured(storage: Storage, case: _Case) -> Mapping[str, tuple[float, str]]:
    tables = list(PREBUILT.values())
    slices = len(case.days) * case.sites * len(tables)
    before = peak_memory()
    started = time.perf_counter()
    prepare(storage, tables, case.partition_by)
    errors = write_history(storage, tables, case.sites, case.days)
    written = time.perf_counter() - started
    peak = peak_memory()
    assert not errors, errors[:3]
    assert len(storage.partitions[SYNC_LOG.name]) <= case.years * 12 + 1
    merges = [executed for executed in storage.executed if executed.table != SYNC_LOG.name]
    inserts = [executed for executed in storage.executed if executed.table == SYNC_LOG.name]
    warehouse = opened(storage)
    started = time.perf_counter()
    result = audit(warehouse, SyncState(warehouse, CONNECTOR), PREBUILT, Run("audit", "audit", NOW), NOW, mark=False)
    audited = time.perf_counter() - started
    assert result.is_consistent
    assert _rows(warehouse) == Counter({table.name: slices // len(tables) for table in tables})
    started = time.perf_counter()
    due = _due(warehouse, case)
    planned = time.perf_counter() - started
    assert due == case.sites * len(tables) * _TRAILING
    warehouse.close()
    return {
        "slices written, one row each": (slices, "slices"),
        "MERGE": (len(merges), "statements"),
        "MERGE: most partitions of one": (max(each.partitions for each in merges), "partitions"),
        "INSERT into the log": (len(inserts), "statements"),
        "INSERT: most partitions of one": (max(each.partitions for each in inserts), "partitions"),
        "most partitions of a table": (max(map(len, storage.partitions.values())), "partitions"),
        "time": (written, "s"),
        "peak above what the imports take": ((peak - before) / 1e6, "MB"),
        "audit of all time, no difference": (audited, "s"),
        "planning the next daily run": (planned, "s"),
        "slices that it refetches": (due, "slices"),
    }


def _rows(warehouse: RulesWarehouse) -> Counter[str]:
    counted = Counter[str]()
    for name in PREBUILT:
        (row,) = warehouse.query(f"select count(*) as row_count from `{warehouse.dataset}.{name}` t")
        counted[name] = row["row_count"]
    return counted


def _due(warehouse: RulesWarehouse, case: _Case) -> int:
    recheck = _LAST - timedelta(days=_TRAILING - 1)
    first = case.days.first
    windows = tuple(
        Window(Site(str(number), "", UTC, date(1990, 1, 1)), first, _LAST, recheck)
        for number in range(1, case.sites + 1)
    )
    snapshot = SyncState(warehouse, CONNECTOR).read(PREBUILT, windows, incremental=True)
    return make_plan(Scope(PREBUILT, windows, (5, 2), ()), snapshot).slices


if __name__ == "__main__":
    main()
