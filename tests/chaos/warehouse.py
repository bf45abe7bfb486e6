"""A BigQuery emulator that is killed and started again on the same data, behind one address."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from typing import TYPE_CHECKING, Any, Self

from google.api_core.exceptions import GoogleAPIError

from tests.support.emulator import connect, launch
from tests.support.nested_loads import CONTENT, JOB, NestedLoads
from tests.support.proxy import Answer, already_exists, failure, is_job, proxied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Request

_ERROR = {"reason": "jobBackendError", "message": "The job encountered an internal error during execution."}
# What it answers to every statement once the analyzer in it has used up its memory, it seems at 2 GB.
_PANIC = b"panic runtime error"
_LOST = {"state": "DONE", "errorResult": _ERROR, "errors": [_ERROR]}


class _Front(NestedLoads):
    """The stand-in for nested loads, in front of an emulator that may be away, and may come back elsewhere.

    A job that was under way when the emulator was killed has failed by BigQuery's own fault, which its documentation
    calls jobBackendError: the emulator knows nothing of it, or takes it for one that goes on for ever.
    ``broken`` is told the address of an emulator that panics at every statement.
    """

    def __init__(self, emulator: Emulator, broken: Callable[[str], None]) -> None:
        super().__init__(emulator)
        self._broken = broken
        self._lost: dict[str, dict[str, Any]] = {}
        self._under_way: dict[str, dict[str, Any]] = {}

    def move(self, emulator: Emulator) -> None:
        """Stand in front of another emulator; the jobs of the one before that had not ended never will."""
        for job, resource in list(self._under_way.items()):
            self._lose(job, resource)
        self._client.close()
        self._client = connect(emulator.url, emulator.project)
        self.upstream = emulator.address

    def pass_on(self, request: Request) -> Answer:
        """Answer as a balancer does where there is nobody behind it, and for the jobs that were lost."""
        if request.method == "GET" and (match := JOB.match(request.path)) and match[1] in self._lost:
            return Answer(200, json.dumps(self._lost[match[1]]).encode())
        resource = json.loads(request.body) if is_job(request) and request.body.startswith(b"{") else {}
        job = resource.get("jobReference", {}).get("jobId", "")
        if job in self._lost:
            return failure(409, "duplicate", f"Already Exists: Job {job}")
        address = self.upstream
        try:
            answer = super().pass_on(request)
            if _PANIC in answer.body:
                self._broken(address)
                raise ConnectionError
        except (OSError, http.client.HTTPException, GoogleAPIError):
            answer = failure(503, "backendError", "The service is currently unavailable.")
            if load := CONTENT.match(request.path):
                job, resource = load[1], self._begun[load[1]].resource
            if job:
                self._lose(job, resource)
            return answer
        if job:
            self._under_way[job] = resource
        elif asked := JOB.match(request.path):
            job = asked[1]
        if job and b'"DONE"' in answer.body:
            self._under_way.pop(job, None)
        return answer

    def _lose(self, job: str, resource: dict[str, Any]) -> None:
        self._under_way.pop(job, None)
        self._lost[job] = {**resource, "kind": "bigquery#job", "id": job, "status": _LOST}


class DurableEmulator:
    """An emulator whose tables are in a file, and so are there again when it was killed; a context manager.

    Clients reach it through a proxy, whose address stays. Of a job id that is used twice the proxy tells what BigQuery
    documents (``tests/support/proxy.py``), and it loads nested columns right (``tests/support/nested_loads.py``).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._stack = contextlib.ExitStack()
        self._running = contextlib.ExitStack()
        self._turn = threading.RLock()

    def __enter__(self) -> Self:
        self._stack.callback(lambda: self._running.close())
        self._emulator = self._launch()
        self._front = _Front(self._emulator, self._replace)
        self._stack.callback(self._front.close)
        self._stack.enter_context(proxied(self._emulator.address, self._front))
        self._front.alter(already_exists)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        """Where it answers, for ``BIGQUERY_EMULATOR_HOST``."""
        return self._front.url

    def clear(self) -> None:
        """Begin with no data."""
        self._files += 1
        self.restart()
        self._front.requests.clear()

    def restart(self) -> None:
        """Kill it, and start it on the same data."""
        with self._turn:
            self._emulator.process.kill()
            self._running.close()
            self._emulator = self._launch()
            self._front.move(self._emulator)

    def _replace(self, address: str) -> None:
        """Restart the emulator of an address, unless that is done."""
        with self._turn:
            if self._emulator.address == address:
                self.restart()

    def _launch(self) -> Emulator:
        return launch(self._running, self._folder / f"bigquery-{self._files}.db")
