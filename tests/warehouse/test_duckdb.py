"""What is DuckDB's own: files, and more than one run on one of them."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import duckdb
import pytest

from matomo_fn.catalogue import PREBUILT, Schema
from matomo_fn.errors import DiskFull, WarehouseError, WarehouseUnavailable
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.duckdb import DuckDBWarehouse, to_duckdb
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table, ensure_view
from tests.support.warehouses import Watched, duplicates, rows_of, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUMMARY = PREBUILT["actions_summary"]
DAY = date(2026, 11, 16)
AT = datetime(2026, 11, 20, tzinfo=UTC)


def test_the_folder_of_the_file_is_made(tmp_path: Path) -> None:
    """A local run needs no preparation."""
    DuckDBWarehouse(tmp_path / "a" / "b" / "w.duckdb", "d").close()
    assert (tmp_path / "a" / "b" / "w.duckdb").exists()


def test_a_look_makes_no_file(tmp_path: Path) -> None:
    """A file that is not there is taken as empty by whoever only looks."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d", create=False)
    assert warehouse.find_table("countries") is None
    warehouse.close()
    assert list(tmp_path.iterdir()) == []


def test_any_name_of_a_file_will_do(tmp_path: Path) -> None:
    """DuckDB calls the database by it, and statements have it in quotes."""
    warehouse = DuckDBWarehouse(tmp_path / 'a"b c.duckdb', "d")
    warehouse.ensure_dataset()
    ensure_table(warehouse, SUMMARY.schema, "day")
    query = f"select t.date from `d.{SUMMARY.name}` t"
    assert (list(warehouse.query(query)), list(warehouse.rows(query))) == ([], [])
    warehouse.close()


def test_a_view_is_found_also_when_its_table_is_gone(tmp_path: Path) -> None:
    """It is brought up to date as any view, once the table is back."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    warehouse.ensure_dataset()
    ensure_table(warehouse, SUMMARY.schema, "day")
    view = Schema("v", "A view.", (), partitioned=False)
    ensure_view(warehouse, view, f"select t.date from `d.{SUMMARY.name}` t")
    warehouse.drop_table(SUMMARY.name)
    found = warehouse.find_table("v")
    assert found is not None
    assert found.is_view
    assert warehouse.find_table(SUMMARY.name) is None
    ensure_table(warehouse, SUMMARY.schema, "day")
    ensure_view(warehouse, view, f"select t.website_id from `d.{SUMMARY.name}` t")
    assert warehouse.query("select * from `d.v`") == []
    warehouse.close()


def test_what_duckdb_has_by_itself_is_no_table_of_the_dataset(tmp_path: Path) -> None:
    """Its own views have names as well, and a table may have the same."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    warehouse.ensure_dataset()
    own = Schema("duckdb_tables", "A table.", SUMMARY.columns)
    assert warehouse.find_table(own.name) is None
    assert ensure_table(warehouse, own, "day")
    found = warehouse.find_table(own.name)
    assert found is not None
    assert not found.is_view
    assert [column.name for column in found.columns] == list(own.column_names)
    warehouse.close()


def test_a_file_that_is_no_database_is_refused_with_its_name(tmp_path: Path) -> None:
    """The sentence names the file, and the file stays as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes\n" * 1000)
    with pytest.raises(WarehouseError, match=r"the DuckDB file .*notes\.txt"):
        DuckDBWarehouse(path, "d")
    assert path.read_text().startswith("these are my notes")


def test_a_file_that_another_process_has_open_is_for_later(tmp_path: Path) -> None:
    """DuckDB lets one process write: the other one's user is told to close it."""
    path = tmp_path / "w.duckdb"
    code = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(WarehouseUnavailable, match="open in another process"):
            DuckDBWarehouse(path, "d")
        other.communicate(b"")
    DuckDBWarehouse(path, "d").close()


def test_a_file_is_opened_while_another_run_closes_it(tmp_path: Path) -> None:
    """DuckDB refuses it in that moment ("Unique file handle conflict"), so requests side by side would fail."""

    def open_and_close(_: int) -> None:
        warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
        warehouse.ensure_dataset()
        warehouse.close()

    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(open_and_close, range(100)))) == 100


def test_timestamps_are_in_utc_whatever_the_machine_says(tmp_path: Path) -> None:
    """Session time zones do not shift what is read."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    (row,) = warehouse.query("select timestamp '2026-11-20 03:00:00+05:30' as t, current_timestamp() as n")
    warehouse.close()
    assert row["t"] == datetime(2026, 11, 19, 21, 30, tzinfo=UTC)
    assert row["n"].utcoffset().total_seconds() == 0


def test_datasets_of_one_file_are_apart(tmp_path: Path) -> None:
    """Two connectors share a file, each with a schema of its own."""
    first, second = (DuckDBWarehouse(tmp_path / "w.duckdb", name) for name in ("matomo_a", "Matomo_b"))
    for warehouse in (first, second):
        warehouse.ensure_dataset()
    ensure_table(first, SUMMARY.schema, "day")
    assert second.find_table(SUMMARY.name) is None
    first.close()
    second.close()


def write_a_day(warehouse: DuckDBWarehouse, folder: Path) -> None:
    """Create a table with one row, and a view of it."""
    warehouse.ensure_dataset()
    ensure_table(warehouse, SUMMARY.schema, "day")
    rows = [{"date": str(DAY), "website_id": "1", "segment": "", "nb_pageviews": 7}]
    slices = {Slice(Stream(SUMMARY.name, "1"), DAY): 1}
    replace_slices(warehouse, SUMMARY, [write_lines(folder / "r.gz", rows)], slices, Stamp("r1", 1, AT))
    query = f"select t.date, t.nb_pageviews as views from `{warehouse.dataset}.{SUMMARY.name}` t"
    ensure_view(warehouse, Schema("daily_views", "Views.", SUMMARY.columns[:1], partitioned=False), query)


@pytest.mark.parametrize("name", ["matomo_shop", "MATOMO_SHOP", "main", "x y'z"])
def test_a_file_may_be_named_like_its_dataset(tmp_path: Path, name: str) -> None:
    """DuckDB names a database by its file, so the dataset's name alone could mean either."""
    path = tmp_path / f"{name}.duckdb"
    warehouse = DuckDBWarehouse(path, "matomo_shop")
    write_a_day(warehouse, tmp_path)
    assert warehouse.query("select views from `matomo_shop.daily_views`") == [{"views": 7}]
    warehouse.close()
    again = DuckDBWarehouse(path, "matomo_shop")
    assert rows_of(again, SUMMARY)[0][3] == 7
    assert again.find_table("daily_views") is not None
    again.close()


def test_a_view_works_in_a_file_that_was_renamed_or_attached_by_another_name(tmp_path: Path) -> None:
    """Its query names no file and no schema."""
    warehouse = DuckDBWarehouse(tmp_path / "matomo_shop.duckdb", "matomo_shop")
    write_a_day(warehouse, tmp_path)
    warehouse.close()
    path = (tmp_path / "matomo_shop.duckdb").rename(tmp_path / "other.duckdb")
    with duckdb.connect(str(path)) as connection:
        assert connection.execute("select views from matomo_shop.daily_views").fetchall() == [(7,)]
    with duckdb.connect() as connection:
        connection.execute(f"attach '{path}' as shop")
        assert connection.execute("select views from shop.matomo_shop.daily_views").fetchall() == [(7,)]


def test_an_error_is_a_sentence_about_the_file(tmp_path: Path) -> None:
    """One line, with the file's name, and no traceback of DuckDB's."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    with pytest.raises(WarehouseError, match=r"the DuckDB file .*w\.duckdb: ") as caught:
        warehouse.query("select nope from `d.nothing`")
    warehouse.close()
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value.__cause__, duckdb.Error)


def test_the_project_of_a_name_is_left_out() -> None:
    """A file has no projects: ``project.dataset.table`` is ``dataset.table``."""
    assert to_duckdb("select 1 from `p.d.t` t").split()[-3:] == ['"d"."t"', "AS", "t"]


@pytest.mark.parametrize("again", range(5))
def test_two_runs_that_write_a_slice_at_the_same_moment_leave_it_once(tmp_path: Path, again: int) -> None:
    """Both merge at once into one file: the rows are those of one of them, and none stands there twice."""
    barrier = threading.Barrier(2)

    def meet(_method: str, what: str) -> None:
        if what.startswith("merge"):
            barrier.wait(30)

    def write(run: str, start: Callable[[str, str], None]) -> None:
        warehouse = Watched(DuckDBWarehouse(tmp_path / "w.duckdb", "d"), start)
        try:
            lines = [
                {"date": str(DAY), "website_id": str(site), "segment": "", "nb_pageviews": again} for site in range(300)
            ]
            path = write_lines(tmp_path / f"{run}.gz", lines)
            slices = {Slice(Stream(SUMMARY.name, str(site)), DAY): 1 for site in range(300)}
            replace_slices(warehouse, SUMMARY, [path], slices, Stamp(run, 1, AT))
        finally:
            warehouse.close()

    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    warehouse.ensure_dataset()
    ensure_table(warehouse, SUMMARY.schema, "day")
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(write, run, meet) for run in ("r1", "r2")]:
            future.result()
    assert duplicates(warehouse, [SUMMARY.name]) == []
    assert len(rows_of(warehouse, SUMMARY)) == 300
    warehouse.close()


def test_a_full_disk_is_called_that(tmp_path: Path) -> None:
    """DuckDB words it as a transaction that failed, as it words a file that is busy."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    (tmp_path / "w.duckdb.wal").symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=r"the disk of the DuckDB file .*w\.duckdb is full: free some of it, or move"):
        warehouse.ensure_dataset()
    (tmp_path / "w.duckdb.wal").unlink()
    warehouse.close()
