"""`demo` as somebody has it who tries the program for the first time, in a folder of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import duckdb
import pytest

from tests.app.cli.calling import COMMAND, Called, checked, environment
from tests.support.server import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# The package is not installed where these tests run, so it is named; the program itself puts nothing else there.
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}


def run_demo(folder: Path, *arguments: str, **env: str) -> Called:
    done = subprocess.run(
        [*COMMAND, "demo", *arguments],
        cwd=folder,
        env=environment(ENVIRONMENT | env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked(Called(done.returncode, done.stdout, done.stderr))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder")


@pytest.fixture(scope="module")
def shown(place: Path) -> Called:
    """A demo of ten days, beside variables of the user's own connector and files that would be imported for others."""
    for name in ("fake_matomo.py", "json.py", "random.py"):
        (place / name).write_text("raise SystemExit('this is not the file that you are looking for')\n")
    called = run_demo(place, "--days", "10", MATOMO_FN_SECRETS="/nowhere", MATOMO_FN_X="y", PYTHONSAFEPATH="1")
    assert (called.code, called.err) == (0, "")
    return called


def test_the_second_sync_writes_nothing(shown: Called) -> None:
    """Two sites, the days that were asked for, every slice compared again."""
    assert "-- first sync: 2 sites, 10 days" in shown.out
    match = re.search(r"(\d+) slices written, (\d+) unchanged", shown.out)
    assert match
    assert (int(match[1]), int(match[2]) > 0) == (0, True)


def test_the_first_look_has_the_numbers_of_the_file(shown: Called, place: Path) -> None:
    """Visits by day, country and channel, none of them all zeros."""
    with duckdb.connect(str(place / "matomo-demo" / "matomo.duckdb"), read_only=True) as file:
        days = file.execute(
            "select date, website_id, nb_visits from matomo_demo.visits_summary order by date desc limit 2"
        ).fetchall()
        countries = file.execute(
            "select country, sum(visits) from matomo_demo.visitor_country group by 1 order by 2 desc limit 1"
        ).fetchall()
        channels = file.execute(
            "select channel_type, sum(visits) from matomo_demo.acquisition_channel_type group by 1"
        ).fetchall()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    for row in (*days, *countries, *channels):
        assert row[-1] > 0
        assert any(line.startswith(" ".join(map(str, row))) for line in lines), row


def test_every_line_fits_a_terminal(shown: Called) -> None:
    """Eighty columns, but for the paths of this machine."""
    assert [
        line for line in shown.out.splitlines() if len(line.replace(f"{sys.executable} -m matomo_fn", "matomo-fn")) > 80
    ] == []


def test_the_printed_commands_work_when_pasted(shown: Called, place: Path) -> None:
    """Those for the demo's data, from where the user stands."""
    block = shown.out.partition("Look at the data:\n")[2].partition("\n\n")[0]
    commands = [line.strip() for line in block.splitlines()]
    assert [command.split()[3] for command in commands[2:]] == ["show", "show", "query", "status", "report"]
    done = subprocess.run(
        ["sh", "-eu"],
        input="\n".join(commands),
        cwd=place,
        env=environment(ENVIRONMENT | {"PYTHONSAFEPATH": "1"}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "visitor_country" in done.stdout
    assert "nb_visits" in done.stdout


@pytest.mark.usefixtures("shown")
def test_another_demo_replaces_its_files_and_no_other(place: Path, tmp_path: Path) -> None:
    """What the user put beside them stays."""
    shutil.copytree(place / "matomo-demo", tmp_path / "here")
    (tmp_path / "here" / "secrets" / "matomo-shop-config").write_text("mine")
    (tmp_path / "here" / "notes.txt").write_text("mine")
    before = (tmp_path / "here" / "secrets" / "matomo-demo-config").read_text()
    second = run_demo(tmp_path, "--days", "2", "--folder", "here")
    assert (second.code, second.err) == (0, "")
    assert (tmp_path / "here" / "secrets" / "matomo-demo-config").read_text() != before
    assert (tmp_path / "here" / "secrets" / "matomo-shop-config").read_text() == "mine"
    assert (tmp_path / "here" / "notes.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


@pytest.mark.parametrize("kept", ["matomo.duckdb", ".gitignore", "secrets/matomo-demo-token"])
def test_a_folder_that_is_not_the_demos_is_left_as_it_is(kept: str, tmp_path: Path) -> None:
    """Also one with files of the same names."""
    path = tmp_path / "mine" / kept
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff mine")
    called = run_demo(tmp_path, "--folder", "mine")
    assert (called.code, called.out, len(called.errors)) == (2, "", 1)
    assert "--folder" in called.errors[0]
    assert [file for file in (tmp_path / "mine").rglob("*") if file.is_file()] == [path]
    assert path.read_bytes() == b"\xff mine"


def test_a_file_in_place_of_the_folder_is_bad_input(tmp_path: Path) -> None:
    """With the reason, and what to do."""
    (tmp_path / "matomo-demo").write_text("mine")
    called = run_demo(tmp_path)
    assert (called.code, called.errors) == (
        2,
        ["matomo-demo cannot be used (Not a directory): name another by --folder"],
    )


def test_ctrl_c_ends_it_with_its_sample(tmp_path: Path) -> None:
    """One sentence, the code of an interrupted program, and nobody listens any more."""
    command = [*COMMAND, "demo", "--days", "1000"]
    env = environment(ENVIRONMENT)
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        address = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert "-- first sync" in process.stdout.readline()
        log = tmp_path / "matomo-demo" / "sync.log"
        while process.poll() is None and not (log.exists() and "run_started" in log.read_text()):
            # From then on the run takes the signal.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
        out, err = process.communicate(timeout=60)
    assert address
    assert (process.returncode, out) == (130, "")
    assert err.strip() == "stopped; what was written stays in matomo-demo, and the next demo starts over"
    with socket.socket() as client:
        assert client.connect_ex(("127.0.0.1", int(address[1]))) != 0
    # The sample outlived the sync, so that no call of it was cut off and retried.
    assert "matomo_call_failed" not in (tmp_path / "matomo-demo" / "sync.log").read_text()
    assert os.listdir(tmp_path) == ["matomo-demo"]  # noqa: PTH208 - the names are what is meant
