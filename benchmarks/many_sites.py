"""Many sites with few visits: calls, memory and time of a first run and of the next day's, beside the bare calls.

The Matomo is a process of its own, and so is each run, whose peak is its own. A run writes down what it requests, and
a bare client then sends the very same requests, as many at once, and reads the answers without parsing them.
"""

import json
import logging
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock, local

import click
import requests

from benchmarks.figures import Figure
from benchmarks.one_sync import peak_memory
from benchmarks.warehouses import NullWarehouse
from benchmarks.worlds import CONNECTOR, settings_for
from fake_matomo import FakeMatomo, Site, World
from matomo_fn.app.logs import configure_logs
from matomo_fn.app.wiring import new_run, read_credentials
from matomo_fn.catalogue import PREBUILT
from matomo_fn.config.request import SyncRequest
from matomo_fn.deadline import Deadline
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import HttpTransport, Reply
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.warehouse.duckdb import DuckDBWarehouse

_SITES, _DAYS = 500, 3
_VISITS = 3  # of a site and day
_CONCURRENCY = 4  # as a connector has it by default
_MB = 1e6


def many_sites() -> Iterator[Figure]:
    """Sync all sites into nowhere and into DuckDB, and the latter once more a day later; send the same calls bare.

    The run into nowhere is not timed: the Matomo invents the visits then.
    """
    with tempfile.TemporaryDirectory() as name, _matomo() as matomo:
        folder = Path(name)
        alone = matomo.run(folder / "alone", "nowhere")
        first = matomo.run(folder, "duckdb")
        yield from _of_run("first run", first, matomo.bare(folder))
        yield Figure(_group("first run"), "peak without DuckDB", alone["peak"] / _MB, "MB")
        matomo.advance()
        daily = matomo.run(folder, "duckdb", later=1)
        yield from _of_run("a day later", daily, matomo.bare(folder))


def _group(run: str) -> str:
    return f"Sites: {_SITES} sites x {len(PREBUILT)} tables x {_DAYS} days, {run}"


def _of_run(name: str, run: Mapping[str, float], bare: Mapping[str, float]) -> Iterator[Figure]:
    group = _group(name)
    yield Figure(group, "HTTP calls", int(run["calls"]), "calls")
    yield Figure(group, "rows written", int(run["rows"]), "rows")
    yield Figure(group, "time", run["seconds"], "s")
    yield Figure(group, "time of the same calls, bare", bare["seconds"], "s")
    yield Figure(group, "time beside the bare calls", run["seconds"] / bare["seconds"], "times")
    yield Figure(group, "before the run, all imported", run["before"] / _MB, "MB")
    yield Figure(group, "peak", run["peak"] / _MB, "MB")


class _Matomo:
    """The Matomo in its process, and what is done to it, each in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._url, self._token = self._said().split()

    def advance(self) -> None:
        """Let a day pass."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        self._said()

    def run(self, folder: Path, into: str, *, later: int = 0) -> dict[str, float]:
        """Sync, so many days later than it is, and return what it took."""
        folder.mkdir(exist_ok=True)
        return self._figures("sync", folder, "--into", into, "--later", str(later))

    def bare(self, folder: Path) -> dict[str, float]:
        """Send the calls of the last run of a folder."""
        return self._figures("bare", folder)

    def _figures(self, command: str, folder: Path, *more: str) -> dict[str, float]:
        arguments = [command, "--url", self._url, "--token", self._token, "--folder", str(folder), *more]
        module = [sys.executable, "-m", "benchmarks.many_sites", *arguments]
        done = subprocess.run(module, stdout=subprocess.PIPE, check=True, text=True)
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def _said(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@contextmanager
def _matomo() -> Iterator[_Matomo]:
    command = [sys.executable, "-m", "benchmarks.many_sites", "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield _Matomo(process)
        process.communicate()


class _Recording(HttpTransport):
    """A transport that keeps what was requested."""

    def __init__(self, url: str, token: object, deadline: Deadline) -> None:
        super().__init__(url, token, timeout=60, deadline=deadline)  # type: ignore[arg-type]  # the connector's
        self.requested: list[tuple[str, Mapping[str, str]]] = []
        self._lock = Lock()

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        with self._lock:
            self.requested.append((method, dict(form)))
        return super().post(method, form)


@click.group()
def main() -> None:
    """Do one part of the benchmark."""
    configure_logs("json", sys.stderr, level=logging.ERROR)


@main.command()
def serve() -> None:
    """Be the Matomo: tell address and token in a line, and let a day pass for each line that comes in."""
    created = datetime.now(UTC).date() - timedelta(days=_DAYS)
    sites = (
        Site(number, f"Site {number}", created=created, visits_per_day=_VISITS, pages=5)
        for number in range(1, _SITES + 1)
    )
    with FakeMatomo(World(tuple(sites))) as matomo:
        print(f"{matomo.url} {matomo.token}", flush=True)
        for _ in sys.stdin:
            matomo.advance(timedelta(days=1))
            print("ok", flush=True)


_URL = click.option("--url", required=True, help="Where the Matomo is.")
_TOKEN = click.option("--token", required=True, help="Its token.")
_FOLDER = click.option("--folder", type=click.Path(path_type=Path), required=True, help="Where the run's files are.")


@main.command("sync")
@_URL
@_TOKEN
@_FOLDER
@click.option("--into", type=click.Choice(["nowhere", "duckdb"]), required=True, help="Which warehouse.")
@click.option("--later", type=int, default=0, help="How many days have passed.")
def run(url: str, token: str, folder: Path, into: str, later: int) -> None:
    """Sync all sites, and write down the requests."""
    settings = settings_for(folder, url, token, backfill_days=_DAYS, concurrency=_CONCURRENCY, reports=list(PREBUILT))
    deadline = Deadline()
    credentials = read_credentials(settings, CONNECTOR)
    assert settings.duckdb_path is not None
    dataset = credentials.connector.dataset_name
    warehouse = NullWarehouse() if into == "nowhere" else DuckDBWarehouse(settings.duckdb_path, dataset)
    transport = _Recording(url, credentials.token, deadline)
    client = MatomoClient(transport, RateLimit(60_000), deadline)
    buffer_bytes = settings.buffer_megabytes * 1024 * 1024
    session = Session(
        credentials.connector,
        client,
        warehouse,
        deadline,
        buffer_bytes,
        lambda: datetime.now(UTC) + timedelta(days=later),
    )
    before = peak_memory()
    result = sync(session, SyncRequest(connector=CONNECTOR), new_run())
    peak = peak_memory()
    warehouse.close()
    assert result.http_status == 200, result.as_dict()
    (folder / "requests.json").write_text(json.dumps(transport.requested))
    rows = sum(table.rows for table in result.tables.values())
    figures = {"calls": result.calls, "rows": rows, "seconds": result.seconds, "before": before, "peak": peak}
    print(json.dumps(figures))


@main.command()
@_URL
@_TOKEN
@_FOLDER
def bare(url: str, token: str, folder: Path) -> None:
    """Send the requests of the last run, and read the answers."""
    thread = local()

    def send(requested: tuple[str, Mapping[str, str]]) -> None:
        method, form = requested
        if not hasattr(thread, "session"):
            thread.session = requests.Session()
        params = {"module": "API", "method": method, "format": "json"}
        data = {**form, "token_auth": token}
        thread.session.post(f"{url}index.php", params=params, data=data, timeout=60).raise_for_status()

    requested = json.loads((folder / "requests.json").read_text())
    started = time.monotonic()
    with ThreadPoolExecutor(_CONCURRENCY) as threads:
        for _ in threads.map(send, requested):
            pass
    print(json.dumps({"seconds": time.monotonic() - started}))


if __name__ == "__main__":
    main()
