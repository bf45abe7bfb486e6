"""`python -m benchmarks.tape`: a Matomo that answers what it has answered before, as fast or as slowly as it is told.

Behind it is the fake Matomo, which invents visits and counts them, and so is slower than a real one. Each answer is
fetched from it once, and then played back from memory. It obeys lines of JSON on its standard input, and answers each
with one: ``{"do": "delay", "latency": 0.05, "cost": 1}`` has each call take so many seconds and so many times what the
cost model says; ``{"do": "forget"}`` begins a new list of requests; ``{"do": "requests"}`` tells of them.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from benchmarks.cost_model import calls_in, day_by_day, seconds_of
from fake_matomo import FakeMatomo, default_world
from fake_matomo.wire import Answer, HttpServer, Request


class Tape:
    """Answers from memory, or else from a sample Matomo."""

    def __init__(self, matomo: FakeMatomo) -> None:
        self._matomo = matomo
        self._answers: dict[str, tuple[bytes, float]] = {}
        self._lock = Lock()
        self._latency = self._cost = 0.0
        self.requests: list[dict[str, Any]] = []

    def serve(self, request: Request) -> Answer:
        """Answer a call, after the time that it takes."""
        started = time.monotonic()
        params = dict(request.params)
        body, seconds = self._answer(params)
        with self._lock:
            self.requests.append(
                {
                    "params": {name: value for name, value in params.items() if name != "token_auth"},
                    "seconds": seconds,
                    "calls": calls_in(params),
                    "day_by_day": day_by_day(params),
                    "bytes": len(body),
                }
            )
        rest = started + self._latency + self._cost * seconds - time.monotonic()
        if rest > 0:
            time.sleep(rest)
        return Answer(200, "application/json; charset=utf-8", body)

    def obey(self, line: str) -> object:
        """Do what a line says, and return what is to be told."""
        order = json.loads(line)
        with self._lock:
            if order["do"] == "delay":
                self._latency, self._cost = order["latency"], order["cost"]
            elif order["do"] == "forget":
                self.requests = []
            else:
                return self.requests
        return "ok"

    def _answer(self, params: Mapping[str, str]) -> tuple[bytes, float]:
        key = str(sorted((name, value) for name, value in params.items() if name != "token_auth"))
        with self._lock:
            found = self._answers.get(key)
        if found is None:
            request = HttpRequest(f"{self._matomo.url}index.php", urlencode(params).encode())
            with urlopen(request) as answer:
                body = answer.read()
            found = body, seconds_of(params, body.count(b'"idVisit":'))
            with self._lock:
                self._answers[key] = found
        return found


class TapeProcess:
    """The tape in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.url, self.token = self._said().split()

    def delay(self, latency: float, cost: float) -> None:
        """Have each call take so many seconds, and so many times what it costs by the model."""
        self._order({"do": "delay", "latency": latency, "cost": cost})

    def forget(self) -> None:
        """Begin a new list of requests."""
        self._order({"do": "forget"})

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests since then, with what they cost."""
        found: list[dict[str, Any]] = self._order({"do": "requests"})
        return found

    def _order(self, order: Mapping[str, object]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return json.loads(self._said())

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def tape() -> Iterator[TapeProcess]:
    """Start the tape, and end it with the block."""
    command = [sys.executable, "-m", "benchmarks.tape"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield TapeProcess(process)
        process.communicate()


def main() -> None:
    """Serve for as long as standard input is open."""
    with FakeMatomo(default_world()) as matomo:
        played = Tape(matomo)
        server = HttpServer(("127.0.0.1", 0), played.serve, compress=False)
        thread = Thread(target=server.serve_forever)
        thread.start()
        print(f"http://127.0.0.1:{server.server_address[1]}/ {matomo.token}", flush=True)
        for line in sys.stdin:
            print(json.dumps(played.obey(line)), flush=True)
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    main()
