"""The BigQuery emulator: a real server that the real client speaks to.

What it does differently from BigQuery is listed in the project's notes; the worst of it: the answer to an
upload has no status (``job.reload()`` first), and a job id used twice is a 500 (see ``proxy.py``).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.support.ports import LOCAL, free_ports
from tests.support.process import Process, running
from tools.go_programs import EMULATOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROJECT = "test"
START_SECONDS = 30.0
# Between looking for a free port and listening on it somebody else may take it.
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator.

    Attributes:
        address: ``127.0.0.1:PORT``, for ``BIGQUERY_EMULATOR_HOST`` write ``url``.
        project: the one project that it knows.
        process: the program, for its last words.
    """

    address: str
    project: str
    process: Process

    @property
    def url(self) -> str:
        """The address as the client's ``api_endpoint`` wants it."""
        return f"http://{self.address}"

    def client(self, url: str | None = None) -> bigquery.Client:
        """A client of the real library, without credentials; by another url where a proxy stands between."""
        return connect(url or self.url, self.project)


def connect(url: str, project: str = PROJECT) -> bigquery.Client:
    """A client of the real library that speaks to a url and asks for no credentials."""
    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": url},
    )


@contextlib.contextmanager
def started() -> Iterator[Emulator]:
    """Run an emulator of one's own until the block ends."""
    with contextlib.ExitStack() as stack:
        emulator = launch(stack)
        yield emulator
        if not emulator.process.is_alive():
            words = emulator.process.stderr[-4000:]
            pytest.fail(f"the emulator ended while the tests ran:\n{words}", pytrace=False)


def launch(stack: contextlib.ExitStack, database: Path | None = None, attempts: int = ATTEMPTS) -> Emulator:
    """Start an emulator that ends with the stack; its data is in memory, or in a file that others go on with."""
    program = EMULATOR.path()
    if not program.exists():
        pytest.fail("the BigQuery emulator is not built; run: make programs", pytrace=False)
    port, grpc_port = free_ports(2)
    command: list[str | Path] = [
        program,
        f"--project={PROJECT}",
        f"--host={LOCAL}",
        f"--port={port}",
        f"--grpc-port={grpc_port}",
        "--log-level=error",
        *([f"--database={database}"] if database else []),
    ]
    try:
        process = stack.enter_context(running(command, port=port, seconds=START_SECONDS))
    except RuntimeError:
        if attempts <= 1:
            raise
        return launch(stack, database, attempts - 1)
    return Emulator(f"{LOCAL}:{port}", PROJECT, process)
