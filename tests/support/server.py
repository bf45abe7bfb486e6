"""The function as it is deployed: behind the Functions Framework and a real HTTP server."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import functions_framework
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.ports import LOCAL, free_ports
from tests.support.process import Process, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[2]
MAIN = ROOT / "main.py"
START_SECONDS = 60.0


class QuietHandler(WSGIRequestHandler):
    """Werkzeug's handler without a line for each request."""

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing."""


@contextlib.contextmanager
def serving(target: str, *, env: Mapping[str, str], source: Path = MAIN, signature: str = "http") -> Iterator[str]:
    """Serve an entry point in this process, with threads, and yield its url.

    Args:
        target: the function's name in the source.
        env: put into ``os.environ`` until the block ends.
        source: the file that holds the function.
        signature: ``http`` or ``cloudevent``.
    """
    with mock.patch.dict(os.environ, env):
        app = functions_framework.create_app(target, str(source), signature)
        server = make_server(LOCAL, 0, app, threaded=True, request_handler=QuietHandler)
        server.daemon_threads = True  # type: ignore[attr-defined]  # of socketserver's mixin
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield f"http://{LOCAL}:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class Deployed:
    """The Functions Framework's program with the function in it."""

    def __init__(self, url: str, process: Process) -> None:
        """Know where it answers and the program behind."""
        self.url = url
        self.process = process

    @property
    def output(self) -> str:
        """All that it has written so far, to both streams."""
        return self.process.stdout + self.process.stderr


@contextlib.contextmanager
def deployed(
    target: str, *, env: Mapping[str, str], source: Path = MAIN, signature: str = "http"
) -> Iterator[Deployed]:
    """Run ``functions-framework`` as a program of its own; the block starts when it answers.

    Args:
        target: the function's name in the source.
        env: the whole environment of the program but for PATH and HOME.
        source: the file that holds the function.
        signature: ``http`` or ``cloudevent``.
    """
    (port,) = free_ports(1)
    command: list[str | Path] = [
        Path(sys.executable).with_name("functions-framework"),
        f"--target={target}",
        f"--source={source}",
        f"--signature-type={signature}",
        f"--host={LOCAL}",
        f"--port={port}",
    ]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment = kept | {"PYTHONUNBUFFERED": "1"} | dict(env)
    with running(command, port=port, seconds=START_SECONDS, env=environment, cwd=ROOT) as process:
        yield Deployed(f"http://{LOCAL}:{port}", process)
