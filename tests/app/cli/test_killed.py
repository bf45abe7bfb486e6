"""Runs that are killed: what they leave on this machine, and what the next run leaves of it."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.app.cli.calling import environment, run
from tests.support.canary import assert_absent
from tests.support.server import ROOT
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.shop import Shop

# The program itself; the kernel ends it where it has done something and nothing after it.
KILLED = """
import os, signal, sys
from matomo_fn.__main__ import main
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
def die(*arguments, real=DuckDBWarehouse.{after}):
    {before}real(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)
DuckDBWarehouse.{after} = die
sys.argv = ["matomo-fn", {arguments}]
main()
"""


def kill(env: dict[str, str], after: str, *arguments: str, done: bool = True) -> None:
    """Run a command that is killed behind a statement of the warehouse, or with ``done=False`` before it."""
    text = KILLED.format(after=after, before="" if done else "0 and ", arguments=", ".join(map(repr, arguments)))
    ended = subprocess.run(
        [sys.executable, "-c", text],
        cwd=ROOT,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert_absent(out=ended.stdout, err=ended.stderr)


def staging(warehouse: Path) -> list[str]:
    """The staging tables in the file, without what tells runs apart."""
    with duckdb.connect(str(warehouse)) as connection:
        rows = connection.execute(
            "select regexp_extract(table_name, '^_staging_(rebuild_)?[a-z_]+') from duckdb_tables() "
            "where schema_name = ? and starts_with(table_name, '_staging_') order by all",
            [DATASET],
        ).fetchall()
    return [name for (name,) in rows]


@pytest.fixture
def env(shop: Shop, tmp_path: Path) -> dict[str, str]:
    """The environment of the shop, with a folder of its own for temporary ones."""
    (tmp_path / "temporary").mkdir()
    return shop.env | {"TMPDIR": str(tmp_path / "temporary")}


def test_a_run_that_is_killed_in_a_load_leaves_nothing_behind_the_next_one(
    shop: Shop, env: dict[str, str], tmp_path: Path
) -> None:
    """Neither the staging table, which would stay in the file for ever, nor the folder of its rows."""
    kill(env, "load", "sync", "shop")
    assert len(staging(shop.warehouse)) == 1
    assert len(list((tmp_path / "temporary").iterdir())) == 1
    assert run(env, "sync", "shop").code == 0
    assert staging(shop.warehouse) == []
    assert list((tmp_path / "temporary").iterdir()) == []


def test_tables_of_a_rebuild_that_is_killed_are_dropped_as_well(shop: Shop, env: dict[str, str]) -> None:
    """Right before it would take the old one's place; what is no staging table stays, however it is named."""
    assert run(env, "sync", "shop").code == 0
    with duckdb.connect(str(shop.warehouse)) as connection:
        connection.execute(f'create table {DATASET}."my_staging_table" as select 1 as one')
        connection.execute('create schema other; create table other."_staging_of_theirs" as select 1 as one')
    kill(env, "replace_table", "sync", "shop", "--table", "visits_summary", "--mode", "full_refresh", done=False)
    assert staging(shop.warehouse) == ["_staging_rebuild_visits_summary_"]
    assert run(env, "sync", "shop").code == 0
    assert staging(shop.warehouse) == []
    with duckdb.connect(str(shop.warehouse)) as connection:
        kept = connection.execute("select table_name from duckdb_tables() where table_name like '%staging%' order by 1")
        assert kept.fetchall() == [("_staging_of_theirs",), ("my_staging_table",)]
