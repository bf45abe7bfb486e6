"""How much memory DuckDB takes, and what it keeps on disk instead."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest

from matomo_fn.catalogue import Column, ColumnType, Schema
from matomo_fn.warehouse import duckdb as duckdb_warehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.server import ROOT
from tests.support.warehouses import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAGED = Schema("_staging_t", "Rows.", (Column("name", ColumnType.STRING, "A name."),), partitioned=False)
LIMIT = "select current_setting('memory_limit') as megabytes, current_setting('threads') as threads"
# Sorts more than fits into memory, until it is killed with some of it on disk.
KILLED = """
import os, sys, threading, time
from pathlib import Path
from matomo_fn.warehouse import duckdb
duckdb._LIMITED = "set memory_limit = '60MB'; set threads = 2"
warehouse = duckdb.DuckDBWarehouse(Path(sys.argv[1]), "d")
def kill():
    while not any(file.stat().st_size for file in Path(sys.argv[1] + ".tmp").glob("*")):
        time.sleep(0.001)
    os.kill(os.getpid(), 9)
threading.Thread(target=kill, daemon=True).start()
warehouse._execute("create table t as select hash(i)::varchar || i as s from range(9000000) r(i) order by s")
"""


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    opened.ensure_dataset()
    yield opened
    opened.close()


def limit(warehouse: DuckDBWarehouse) -> tuple[str, int]:
    (row,) = warehouse.query(LIMIT)
    return row["megabytes"], row["threads"]


def test_memory_and_threads_do_not_depend_on_the_machine(warehouse: DuckDBWarehouse) -> None:
    """By itself DuckDB takes four fifths of the memory and every core."""
    assert limit(warehouse) == ("122.0 MiB", 1)


def test_a_statement_that_does_not_fit_is_run_without_the_limit(
    warehouse: DuckDBWarehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here a load, whose buffer is larger than the limit; and the limit holds again afterwards."""
    monkeypatch.setattr(duckdb_warehouse, "_LIMITED", "set memory_limit = '8MB'")
    warehouse._connection.execute("set memory_limit = '8MB'")
    warehouse.create_staging(STAGED)
    warehouse.load(STAGED, [write_lines(tmp_path / "rows.gz", [{"name": "a"}, {"name": "b"}])], "load")
    assert warehouse.query("select count(*) as rows from `d._staging_t`") == [{"rows": 2}]
    assert limit(warehouse)[0] == "7.6 MiB"


def test_a_transaction_that_does_not_fit_is_run_whole_without_the_limit(
    warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it did before it failed is rolled back first, so nothing is done twice."""
    monkeypatch.setattr(duckdb_warehouse, "_LIMITED", "set memory_limit = '8MB'")
    warehouse._connection.execute("set memory_limit = '8MB'")
    large = "create table large as select list(i) as numbers from range(2000000) r(i)"
    warehouse._in_one_step(["create table small (i integer)", "insert into small values (1)", large])
    assert warehouse.query("select count(*) as rows from `d.small`") == [{"rows": 1}]
    assert warehouse.query("select count(*) as rows from `d.large`") == [{"rows": 1}]
    assert limit(warehouse)[0] == "7.6 MiB"


def test_a_query_of_a_user_has_no_limit_and_leaves_it_to_others(warehouse: DuckDBWarehouse) -> None:
    """Rows of it may have been read when it does not fit any more."""
    with duckdb.connect() as by_itself:
        whole = by_itself.execute(LIMIT).fetchone()
    (row,) = warehouse.stream(LIMIT)
    assert (row["megabytes"], row["threads"]) == whole
    assert limit(warehouse) == ("122.0 MiB", 1)


def test_a_row_of_many_megabytes_is_loaded(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    """BigQuery takes up to 100 MB; DuckDB by itself reads 16 MiB, and up to twice as many by chance."""
    warehouse.create_staging(STAGED)
    rows = [{"name": "a"}, {"name": "b" * 36_000_000}, {"name": "c"}]
    warehouse.load(STAGED, [write_lines(tmp_path / "rows.gz", rows)], "load")
    query = "select count(*) as rows, max(length(t.name)) as longest from `d._staging_t` t"
    assert warehouse.query(query) == [{"rows": 3, "longest": 36_000_000}]


def test_what_a_killed_process_kept_on_disk_is_deleted(tmp_path: Path) -> None:
    """By whoever opens the file next, whether it needs room on disk or not; other files stay."""
    path, folder = tmp_path / "w.duckdb", tmp_path / "w.duckdb.tmp"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert sum(file.stat().st_size for file in folder.iterdir()) > 0
    (folder / "notes").touch()
    DuckDBWarehouse(path, "d").close()
    assert [file.name for file in folder.iterdir()] == ["notes"]
    (folder / "notes").unlink()
    DuckDBWarehouse(path, "d").close()
    assert not folder.exists()


@pytest.mark.usefixtures("warehouse")
def test_what_a_statement_keeps_on_disk_is_left_to_it(tmp_path: Path) -> None:
    """Another connector of this process opens the same file meanwhile."""
    folder = tmp_path / "w.duckdb.tmp"
    folder.mkdir()
    kept = folder / "duckdb_temp_1_0_storage_DEFAULT-0.tmp"
    kept.touch()
    DuckDBWarehouse(tmp_path / "w.duckdb", "e").close()
    assert kept.exists()
