"""The program itself: what goes to which stream, and what a terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from fake_matomo import Fault
from tests.app.cli.calling import COMMAND, Called, call, checked, environment, run
from tests.support.canary import CANARY
from tests.support.server import ROOT
from tests.support.shop import running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.shop import Shop

WIDTH = 100
AT_ONCE = {"Retry-After": "0"}


def run_on_terminal(
    env: dict[str, str], *arguments: str, columns: int = WIDTH, stop: threading.Event | None = None
) -> Called:
    """Run a command whose error stream is a terminal, and whose standard output is not.

    ``stop``: when it gets a Ctrl-C.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(env) | {"TERM": "xterm"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        if stop is not None:
            assert stop.wait(45)
            process.send_signal(signal.SIGINT)
        shown = b"".join(iter(lambda: read(ours), b""))
        os.close(ours)
        assert process.stdout is not None
        out = process.stdout.read()
    return checked(Called(process.returncode, out.decode(), shown.decode()))


def read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the last program has closed it
        return b""


def test_a_result_is_all_that_is_on_standard_output(shop: Shop) -> None:
    """Logs are on the error stream, a JSON line each, and one of them tells the end."""
    called = run(shop.env, "sync", "shop", "--json")
    assert (called.code, called.json["status"]) == (0, "complete")
    assert len(called.logged) == len(called.err.splitlines())
    (end,) = (line for line in called.logged if line["message"] == "run_finished")
    assert (end["severity"], end["run_id"]) == ("INFO", called.json["run_id"])


def test_codes_reach_the_shell(shop: Shop) -> None:
    """1 for what failed or is missing, 2 for what the user has to fix, and a sentence for each."""
    bad = run(shop.env, "sync", "shop", "--mode", "x")
    assert (bad.code, bad.out, len(bad.errors)) == (2, "", 1)
    shop.write("token", "0" * 32)
    refused = run(shop.env, "sync", "shop")
    assert (refused.code, refused.out, len(refused.errors)) == (2, "", 1)
    shop.write("token", CANARY)
    shop.matomo.unprocess(1, datetime.now(UTC).date() - timedelta(days=2))
    assert run(shop.env, "sync", "shop").code == 1


def lines_of(shown: str) -> list[str]:
    """All that a terminal showed, one after the other, without what moves and colours it."""
    plain = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown)
    return [line.rstrip() for line in re.split(r"[\r\n]+", plain) if line.strip()]


BAR = re.compile(r" *(?P<percent>\d+)% \|.*\| (?P<done>\d+)/(?P<all>\d+) (?P<remaining>\?|[\d:]+)(?: (?P<step>.*))?")


def test_a_terminal_shows_progress(shop: Shop) -> None:
    """A bar that knows its length from its first sight, names table and site, and ends with all slices."""
    # Each step is drawn, where a person sees ten a second.
    env = shop.env | {"MATOMO_FN_LOG_FORMAT": "auto", "TQDM_MININTERVAL": "0"}
    called = run_on_terminal(env, "sync", "shop")
    assert called.code == 0
    bars = [BAR.fullmatch(line) for line in lines_of(called.err)]
    assert all(bars)
    found = [bar.groupdict() for bar in bars if bar]
    assert {bar["all"] for bar in found} == {"8"}
    assert (found[0]["done"], found[0]["step"], found[-1]["done"]) == ("0", "requesting", "8")
    assert "writing" in {bar["step"] for bar in found}
    assert {bar["step"] for bar in found} >= {"visits_summary of site 1", "visitor_country of site 1"}
    assert "run_finished" not in called.err
    assert "complete: " in called.out


def test_a_warning_stands_above_the_bar_and_whole(shop: Shop) -> None:
    """Neither tears the other: each line of the terminal is the one or the other."""
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1, page_rows=1000)
    # Reports that are paged share no call, so this one has all its tries.
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", status=503, body="down", headers=AT_ONCE, times=2))
    called = run_on_terminal(shop.env | {"MATOMO_FN_LOG_FORMAT": "auto"}, "sync", "shop")
    assert called.code == 0
    lines = lines_of(called.err)
    warnings = [line for line in lines if "matomo_call_failed" in line]
    assert len(warnings) == 2
    assert all(re.match(r"\d\d:\d\d:\d\d \[warning  \] matomo_call_failed", line) for line in warnings)
    assert all(BAR.fullmatch(line) for line in lines if line not in warnings)


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A synced connector with every prebuilt table, pending and failed days, and what remains."""
    with running(tmp_path_factory.mktemp("troubled")) as shop:
        shop.configure(sites="all", backfill_days=4)
        shop.matomo.unprocess(1, datetime.now(UTC).date() - timedelta(days=2))
        shop.matomo.faults.add(Fault(method="UserCountry.getCountry", message="no such thing"))
        assert call(shop.env, "sync", "shop").code == 1
        yield shop


@pytest.mark.parametrize("command", ["check", "plan", "sync", "status", "history", "show"])
def test_tables_fit_80_columns(command: str, troubled: Shop) -> None:
    """With every prebuilt table, pending and failed days, and what remains."""
    env = troubled.env | {"MATOMO_FN_LOG_FORMAT": "auto"}
    called = run_on_terminal(env, command, *(["shop"] if command != "show" else []), columns=80)
    lines = called.out.splitlines()
    table = lines[: lines.index("")] if "" in lines else lines
    assert table
    if command != "check":  # of sentences, which a terminal gets in lines of its width
        assert max(map(len, table)) <= 80
    assert max(map(len, lines_of(called.err)), default=0) <= 80


def test_ctrl_c_is_answered_by_a_sentence(shop: Shop) -> None:
    """In place of the log line, which would be cut by the terminal's width; the result follows."""
    requested, free = threading.Event(), threading.Event()

    def held(answer: object) -> object:
        requested.set()
        free.wait(250)
        return answer

    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", mutate=held))
    try:
        called = run_on_terminal(shop.env | {"MATOMO_FN_LOG_FORMAT": "auto"}, "sync", "shop", stop=requested)
    finally:
        free.set()
    assert called.code == 1
    assert "stopping: what was fetched is being written. Ctrl-C again ends at once.\r\n" in called.err
    assert "run_stopping" not in called.err
    assert "stopped by SIGINT" in called.out


def test_a_sentence_about_columns_is_not_cut_within_a_word(shop: Shop) -> None:
    """Where a terminal is too narrow for a table, the columns that are left out are named in lines of its width."""
    run(shop.env, "sync", "shop")
    called = run_on_terminal({"MATOMO_FN_WAREHOUSE": f"duckdb:{shop.warehouse}"}, "show", "visits_summary", columns=80)
    lines = called.err.splitlines()
    assert len(lines) > 1
    assert max(map(len, lines)) <= 80
    assert all(re.fullmatch(r"(  )?[^ ].*", line) for line in lines)
    assert "columns do not fit here: " in lines[0]


def test_a_terminal_shows_no_progress_for_json(shop: Shop) -> None:
    """Who asks for JSON is a program."""
    called = run_on_terminal(shop.env | {"MATOMO_FN_LOG_FORMAT": "auto"}, "sync", "shop", "--json")
    assert (called.code, called.json["status"]) == (0, "complete")
    assert called.err == ""


def test_there_is_no_progress_without_a_terminal(shop: Shop) -> None:
    """Nor any control character, in text as in the log."""
    called = run(shop.env | {"MATOMO_FN_LOG_FORMAT": "text"}, "sync", "shop")
    assert called.code == 0
    assert "%" not in called.err
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", called.out + called.err)


def test_a_reader_that_goes_away_is_no_error(shop: Shop) -> None:
    """As `head` does: no traceback, whatever the code."""
    process = subprocess.Popen(
        [*COMMAND, "dbt-sources"], env=environment(shop.env), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate()
    assert b"Traceback" not in err
