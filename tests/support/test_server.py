"""The function's server: in this process, and as a program of its own."""

from __future__ import annotations

import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.support import server

if TYPE_CHECKING:
    from pathlib import Path


FUNCTION = """
import os
import sys

import flask


def answer(request: flask.Request) -> str:
    print("asked", file=sys.stderr)
    return os.environ.get("GREETING", "none") + request.get_data(as_text=True)
"""


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A file with an entry point."""
    source = tmp_path / "main.py"
    source.write_text(FUNCTION, encoding="utf-8")
    return source


def post(url: str, body: bytes) -> str:
    """Send a body and return the answer's."""
    request = urllib.request.Request(url, data=body, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == HTTPStatus.OK
        text: str = response.read().decode()
    return text


def test_a_function_is_served_in_this_process(function: Path) -> None:
    """It reads the environment that it was given."""
    with server.serving("answer", source=function, env={"GREETING": "hello "}) as url:
        assert post(url, b"you") == "hello you"


def test_a_function_is_served_as_a_program(function: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own environment only, and what it writes can be read."""
    monkeypatch.setenv("GREETING", "from outside")
    with server.deployed("answer", source=function, env={}) as program:
        assert post(program.url, b"") == "none"
        assert "asked" in program.output
    assert not program.process.is_alive()


def test_a_program_that_does_not_start_says_why(function: Path) -> None:
    """The failure carries its last words."""
    with (
        pytest.raises(RuntimeError, match="no_such_function"),
        server.deployed("no_such_function", source=function, env={}),
    ):
        pass
