"""Calling the command line: in this process for speed, as a program of its own where streams and terminals count."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from click.testing import CliRunner

from matomo_fn.app.cli.group import cli
from matomo_fn.config.settings import VARIABLES
from tests.support.canary import assert_absent
from tests.support.server import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

COMMAND = [sys.executable, "-m", "matomo_fn"]


@dataclass(frozen=True, slots=True)
class Called:
    """How a call of the command line ended, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document that it has to be."""
        return json.loads(self.out)

    @property
    def errors(self) -> list[str]:
        """The sentences that begin with ``error:``."""
        return [line.removeprefix("error: ") for line in self.err.splitlines() if line.startswith("error: ")]

    @property
    def logged(self) -> list[dict[str, Any]]:
        """The log lines."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


def call(env: Mapping[str, str], *arguments: str, given: str | None = None) -> Called:
    """Run a command in this process; an error that is no sentence is raised, the canary may stand nowhere.

    ``given`` is its standard input.
    """
    unset: dict[str, str | None] = dict.fromkeys(VARIABLES.values())
    try:
        result = CliRunner(env=unset | dict(env)).invoke(cli, arguments, input=given, catch_exceptions=False)
    finally:
        structlog.reset_defaults()  # the logs went to a stream that is closed now
        structlog.contextvars.clear_contextvars()
    return checked(Called(result.exit_code, result.stdout, result.stderr))


def run(env: Mapping[str, str], *arguments: str) -> Called:
    """Run a command as a program of its own."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        env=environment(env),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    return checked(Called(done.returncode, done.stdout, done.stderr))


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """The whole environment of such a program."""
    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | dict(env)


def checked(called: Called) -> Called:
    """The same, if it holds what holds for every call."""
    assert_absent(stdout=called.out, stderr=called.err)
    assert "Traceback" not in called.out + called.err
    return called
