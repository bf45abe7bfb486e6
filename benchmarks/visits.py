"""`python -m benchmarks.visits`: a busy day of the visits log, in memory and in time.

The Matomo is a process of its own, with visits of the fake Matomo that are generated once. Each
measurement is a process of its own too, so that its peak is its own.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlencode
from urllib.request import urlopen

import click

from benchmarks.figures import Figure, table_of
from fake_matomo import FakeMatomo, World
from fake_matomo import Site as SampleSite
from fake_matomo.wire import Answer, HttpServer, Request, json_answer
from matomo_fn.app.logs import configure_logs
from matomo_fn.app.wiring import new_run, run_sync
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.extract.visits import VisitsOfDays
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import HttpTransport, Reply, Transport
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.buffer import BufferedSlice

_VISITS = (30_000, 300_000)
_ACTIONS = 5
_DAY = 86_400
_MB = 1e6
_METHOD = "Live.getLastVisitsDetails"
# Visits that are shaped without a network, to be timed beside bare JSON: some pages.
_SHAPED = 20_000


class Day:
    """So many visits of a day, each with five actions, from one second to the next; pages are put together as asked."""

    def __init__(self, matomo: FakeMatomo, visits: int) -> None:
        self._matomo = matomo
        self._visits = visits
        self._day = _yesterday()
        self._start = int(datetime.combine(self._day, datetime.min.time(), UTC).timestamp())
        self._templates = [_template(visit) for visit in self._found()]

    def serve(self, request: Request) -> Answer:
        """Answer the visits log from the canned day, and anything else as the sample does."""
        params = request.params
        if params.get("method") != _METHOD or "doNotFetchActions" in params:
            return json_answer(200, self._ask(params))
        page = islice(self._from(int(params.get("minTimestamp", 0)) + 1), int(params["filter_limit"]))
        return Answer(200, "application/json; charset=utf-8", f"[{','.join(page)}]".encode())

    def _from(self, moment: int) -> Iterator[str]:
        first = max(0, -(-(moment - self._start) * self._visits // _DAY))
        for number in range(first, self._visits):
            last = self._start + number * _DAY // self._visits
            if last >= moment:
                yield self._templates[number % len(self._templates)] % {"id": number + 1, "last": last}

    def _found(self) -> list[dict[str, object]]:
        params = {
            "method": _METHOD,
            "idSite": "1",
            "period": "range",
            "filter_limit": "-1",
            "token_auth": self._matomo.token,
        }
        answer = self._ask(params | {"date": f"{self._day},{self._day}"})
        assert isinstance(answer, list)
        return [visit for visit in answer if len(visit["actionDetails"]) >= _ACTIONS]

    def _ask(self, params: Mapping[str, str]) -> object:
        url = f"{self._matomo.url}index.php?module=API&format=json"
        with urlopen(url, urlencode(params).encode()) as answer:
            return json.load(answer)


def _template(visit: dict[str, object]) -> str:
    """A visit as text, its number and its times left open."""
    actions = visit["actionDetails"]
    assert isinstance(actions, list)
    visit["actionDetails"] = [{**action, "timestamp": "@last"} for action in actions[:_ACTIONS]]
    visit |= {
        "idVisit": "@id",
        "serverTimestamp": "@last",
        "firstActionTimestamp": "@last",
        "lastActionTimestamp": "@last",
    }
    text = json.dumps(visit).replace("%", "%%")
    return text.replace('"@id"', "%(id)d").replace('"@last"', "%(last)d")


def _yesterday() -> date:
    return datetime.now(UTC).date() - timedelta(days=1)


@contextmanager
def _matomo(visits: int) -> Iterator[tuple[str, str]]:
    """Start the Matomo and give its address and token."""
    command = [sys.executable, "-m", "benchmarks.visits", "serve", str(visits)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url, token = process.stdout.readline().split()
        yield url, token
        process.communicate()


def visits() -> Iterator[Figure]:
    """Read a day of few and of many visits, and sync it into DuckDB."""
    runs: dict[str, list[dict[str, float]]] = {"read": [], "sync": []}
    for count in _VISITS:
        with _matomo(count) as (url, token):
            for kind, found in runs.items():
                found.append(_run(kind, url, token))
            if count == _VISITS[0]:
                yield from _beside_json(_run("shape", url, token))
    for kind, what in (("read", "read, shaped and buffered"), ("sync", "synced into DuckDB")):
        group = f"Visits: one day with {_ACTIONS} actions each, {what}"
        yield Figure(group, "before, all imported", runs[kind][0]["before"] / _MB, "MB")
        for run in runs[kind]:
            named = f"{run['rows']:,.0f} visits"
            yield Figure(group, f"{named}: peak memory", run["peak"] / _MB, "MB")
            yield Figure(group, f"{named}: time", run["seconds"], "s")
            yield Figure(group, f"{named}: visits a second", run["rows"] / run["seconds"], "")
            if run["buffer"]:
                yield Figure(group, f"{named}: buffer, uncompressed", run["size"] / _MB, "MB")
                yield Figure(group, f"{named}: buffer on disk", run["buffer"] / _MB, "MB")
        yield Figure(
            group,
            "peak of the larger beside that of the smaller",
            runs[kind][-1]["peak"] / runs[kind][0]["peak"],
            "times",
        )


def _beside_json(run: dict[str, float]) -> Iterator[Figure]:
    group = f"Visits: {run['rows']:,.0f} of them without a network"
    yield Figure(
        group, "bare json.loads and json.dumps of the same bytes, visits a second", run["rows"] / run["bare"], ""
    )
    yield Figure(group, "parsed, shaped, hashed and buffered, visits a second", run["rows"] / run["seconds"], "")
    yield Figure(group, "time beside bare JSON", run["seconds"] / run["bare"], "times")


def _run(kind: str, url: str, token: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.visits", kind, url, token]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


class Taped:
    """A transport that plays back what another one brought."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.replies: dict[str, Reply] = {}

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Give the reply to the same form, which is fetched once; past what is to be shaped the log ends."""
        key = str(sorted(form.items()))
        if key not in self.replies:
            many = sum(reply.body.count(b'"idVisit"') for reply in self.replies.values())
            empty = Reply(200, "application/json", None, "", b"[]")
            self.replies[key] = empty if many >= _SHAPED else self._transport.post(method, form)
        return self.replies[key]

    def redact(self, text: str) -> str:
        """As the transport has it."""
        return self._transport.redact(text)


def _reader(transport: Transport, folder: Path) -> VisitsOfDays:
    client = MatomoClient(transport, RateLimit(60_000), Deadline())
    site = Site("1", "Busy", UTC, date(2021, 1, 1))
    return VisitsOfDays(client, site, VisitParser(UTC), OwnBuffers(folder, 10**12), lambda: not Event().is_set())


def _http(url: str, token: str) -> HttpTransport:
    return HttpTransport(url, Token(token), timeout=60, deadline=Deadline())


def _read(url: str, token: str) -> dict[str, float]:
    """Read the day into a buffer."""
    with tempfile.TemporaryDirectory() as folder:
        reader = _reader(_http(url, token), Path(folder))
        before, started = peak_memory(), time.perf_counter()
        read = _buffered(reader)
        seconds = time.perf_counter() - started
        buffer = read.buffer.path.stat().st_size
        return {
            "rows": read.row_count, "seconds": seconds, "before": before, "peak": peak_memory(), "buffer": buffer,
            "size": read.buffer.size,
        }  # fmt: skip


def _shape(url: str, token: str) -> dict[str, float]:
    """Time what is done with the bytes of some pages, beside the least that can be done with JSON."""
    with tempfile.TemporaryDirectory() as folder:
        tape = Taped(_http(url, token))
        reader = _reader(tape, Path(folder))
        _buffered(reader).buffer.discard()
        bodies = [reply.body for reply in tape.replies.values()]
        bare = min(_timed_json(bodies) for _ in range(3))
        taken = []
        rows = 0
        for _ in range(3):
            started = time.perf_counter()
            read = _buffered(reader)
            taken.append(time.perf_counter() - started)
            rows = read.row_count
            read.buffer.discard()
        return {"rows": rows, "bare": bare, "seconds": min(taken)}


def _buffered(reader: VisitsOfDays) -> BufferedSlice:
    read = reader.read([Slice(Stream("visits", "1"), _yesterday())], datetime.now(UTC))
    assert read is not None
    assert read[0].content is not None
    return read[0].content


def _timed_json(bodies: list[bytes]) -> float:
    started = time.perf_counter()
    for body in bodies:
        json.dumps(json.loads(body))
    return time.perf_counter() - started


def _sync(url: str, token: str) -> dict[str, float]:
    """Sync the day as the program does."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = {"matomo_url": url, "sites": "all", "requests_per_minute": 60_000, "reports": ["visits_summary"]}
        (folder / "matomo-bench-config").write_text(json.dumps(config | {"visits": True, "backfill_days": 1}))
        (folder / "matomo-bench-token").write_text(token)
        settings = Settings(secrets=name, warehouse=f"duckdb:{folder / 'bench.duckdb'}")
        before = peak_memory()
        result = run_sync(settings, SyncRequest(connector="bench"), new_run())
        assert result.http_status == 200, result.as_dict()
        rows = result.tables["visits"].rows
        return {
            "rows": rows,
            "seconds": result.seconds,
            "before": before,
            "peak": peak_memory(),
            "buffer": 0,
            "size": 0,
        }


def peak_memory() -> int:
    """Return the most bytes that this process had in memory so far."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Measure and print a table."""
    configure_logs("json", sys.stderr, logging.ERROR)
    if context.invoked_subcommand is None:
        print(table_of(visits()))


@main.command()
@click.argument("count", type=int)
def serve(count: int) -> None:
    """Be the Matomo, tell address and token in one line, and serve for as long as standard input is open."""
    site = SampleSite(1, "Busy", created=date(2021, 1, 1), visits_per_day=400, pages=40, ecommerce=True)
    with FakeMatomo(World((site,))) as matomo:
        server = HttpServer(("127.0.0.1", 0), Day(matomo, count).serve, compress=False)
        thread = Thread(target=server.serve_forever)
        thread.start()
        print(f"http://127.0.0.1:{server.server_address[1]}/ {matomo.token}", flush=True)
        sys.stdin.read()
        server.shutdown()
        server.close_connections()
        server.server_close()
        thread.join()


def _command(name: str) -> None:
    @main.command(name)
    @click.argument("url")
    @click.argument("token")
    def run(url: str, token: str) -> None:
        print(json.dumps({"read": _read, "shape": _shape, "sync": _sync}[name](url, token)))


for _name in ("read", "shape", "sync"):
    _command(_name)

if __name__ == "__main__":
    main()
