"""The program itself: what goes to which stream, and what a terminal shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

from tests.app.cli.calling import COMMAND, Called, checked, environment, run
from tests.support.server import ROOT

if TYPE_CHECKING:
    from tests.support.shop import Shop

WIDTH = 100


def run_on_terminal(env: dict[str, str], *arguments: str) -> Called:
    """Run a command whose error stream is a terminal, and whose standard output is not."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, WIDTH, 0, 0))
    with subprocess.Popen(
        [*COMMAND, *arguments],
        env=environment(env) | {"TERM": "xterm"},
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
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
    """1 for what failed, 2 for bad input, and a sentence for each."""
    bad = run(shop.env, "sync", "shop", "--mode", "x")
    assert (bad.code, bad.out, len(bad.errors)) == (2, "", 1)
    shop.write("token", "another")
    refused = run(shop.env, "sync", "shop")
    assert (refused.code, refused.out, len(refused.errors)) == (1, "", 1)


def test_a_terminal_shows_progress(shop: Shop) -> None:
    """A bar that ends with all slices; no log line runs through it; the result is where it always is."""
    env = shop.env | {"MATOMO_FN_LOG_FORMAT": "auto"}
    called = run_on_terminal(env, "sync", "shop")
    assert called.code == 0
    shown = re.sub(r"\x1b\[[?0-9]*[a-zA-Z]", "", called.err)
    last = re.split(r"[\r\n]+", shown.strip())[-1]
    assert re.fullmatch(r"slices  \[#+\]  8/8", last.strip())
    assert "run_finished" not in called.err
    assert "complete: " in called.out


def test_a_terminal_shows_no_progress_for_json(shop: Shop) -> None:
    """Who asks for JSON is a program."""
    called = run_on_terminal(shop.env | {"MATOMO_FN_LOG_FORMAT": "auto"}, "sync", "shop", "--json")
    assert (called.code, called.json["status"]) == (0, "complete")
    assert called.err == ""


def test_there_is_no_progress_without_a_terminal(shop: Shop) -> None:
    """Nor any control character, in text as in the log."""
    called = run(shop.env | {"MATOMO_FN_LOG_FORMAT": "text"}, "sync", "shop")
    assert called.code == 0
    assert "slices  [" not in called.err
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
