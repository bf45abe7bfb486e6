"""A BigQuery emulator that is killed and started again on the same data, behind one address."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from google.api_core.exceptions import GoogleAPIError

from tests.support.emulator import connect, launch
from tests.support.nested_loads import NestedLoads
from tests.support.proxy import Answer, already_exists, failure, is_upload, proxied

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Request


class _Front(NestedLoads):
    """The stand-in for nested loads, in front of an emulator that may be away, and may come back elsewhere."""

    def move(self, emulator: Emulator) -> None:
        """Stand in front of another emulator."""
        self._client.close()
        self._client = connect(emulator.url, emulator.project)
        self.upstream = emulator.address

    def pass_on(self, request: Request) -> Answer:
        """Answer as a balancer does where there is nobody behind it; an upload that was cut off may begin again."""
        try:
            return super().pass_on(request)
        except (OSError, GoogleAPIError, KeyError):
            if is_upload(request):
                self._begun.pop(request.path.rpartition("/")[2], None)
            return failure(503, "backendError", "The service is currently unavailable.")


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

    def __enter__(self) -> Self:
        self._stack.callback(lambda: self._running.close())
        self._emulator = self._launch()
        self._front = _Front(self._emulator)
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
        self._emulator.process.kill()
        self._running.close()
        self._emulator = self._launch()
        self._front.move(self._emulator)

    def _launch(self) -> Emulator:
        return launch(self._running, self._folder / f"bigquery-{self._files}.db")
