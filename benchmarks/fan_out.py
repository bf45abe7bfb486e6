"""A request in shards, done by several processes, beside the same one done by one process.

As when it is deployed: the request and its shards wait in the Pub/Sub emulator, each worker is a process that calls the
function's own handler with what it pulls, and all of them write to one warehouse, which follows BigQuery's rules for
concurrent statements. What Matomo is asked at each moment is measured at Matomo. The tables have to be those of one
process.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.pubsub_v1 import PubsubMessage

from benchmarks.figures import Figure
from benchmarks.served_warehouse import connected, served
from fake_matomo import TOKEN, FakeMatomo, Site, World
from matomo_fn.app import wiring
from matomo_fn.app.handlers import TryAgainError, handle_event
from matomo_fn.catalogue import PREBUILT
from matomo_fn.config.connector import Connector
from matomo_fn.config.settings import Settings
from matomo_fn.pubsub import subscriber
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.protocol import Warehouse
from tests.support import pubsub as queue

_SITES, _TABLES, _DAYS, _WORKERS = 50, 12, 365, 4
_NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_TOPIC = "matomo-fn-requests"
_CONCURRENCY, _A_MINUTE = 4, 6_000
_MINUTE = 60.0
_WAREHOUSE = "SERVED_WAREHOUSE"
# Seconds that Matomo takes for a call, and that a run estimates: so that there are some shards for each worker.
_TAKES, _ESTIMATED = 0.02, 1.0


@dataclass(frozen=True, slots=True)
class Size:
    """How much is synced, and by how many workers."""

    sites: int = _SITES
    tables: int = _TABLES
    days: int = _DAYS
    workers: int = _WORKERS


def fan_out() -> Iterator[Figure]:
    """Sync all sites by one process, and by workers that take shards; ``FAN_OUT`` is sites, tables and days if set."""
    numbers = [int(number) for number in os.environ.get("FAN_OUT", "").split()]
    yield from measure(Size(*numbers))


def measure(size: Size) -> Iterator[Figure]:
    """Return the figures of one size; raise where the tables differ."""
    world = World(
        tuple(
            Site(n, f"Site {n}", created=(_NOW - timedelta(days=800)).date(), visits_per_day=3, pages=3)
            for n in range(1, size.sites + 1)
        ),
        now=_NOW,
    )
    with (
        tempfile.TemporaryDirectory() as name,
        queue.started() as server,
        served() as warehouse,
        _TimedMatomo(world) as matomo,
    ):
        place = _Place(Path(name), queue.PubSub(server, "test"), warehouse, matomo, size)
        place.create()
        alone = place.run("alone", workers=1, shards=False)
        together = place.run("together", workers=size.workers, shards=True)
        if (found := place.rows("together")) != place.rows("alone"):
            raise RuntimeError("the tables of the shards are not those of one process")
        group = f"Fan-out: {size.sites} sites x {size.tables} tables x {size.days} days, {size.workers} processes"
        yield Figure(group, "rows, the same in both", sum(map(len, found.values())), "rows")
        yield Figure(group, "messages", together.messages, "messages")
        yield Figure(group, "one process", alone.seconds, "s")
        yield Figure(group, "all processes", together.seconds, "s")
        yield Figure(group, "all processes beside one", together.seconds / alone.seconds, "times")
        yield Figure(group, "calls, beside one process", together.calls / alone.calls, "times")
        for what, run in (("one process", alone), ("all processes", together)):
            yield Figure(group, f"calls at once at most, {what} (allowed: {_CONCURRENCY})", run.at_once, "calls")
            yield Figure(group, f"calls a minute at most, {what} (allowed: {_A_MINUTE:,})", run.a_minute, "calls")
        if together.at_once > _CONCURRENCY or together.a_minute > _A_MINUTE:
            raise RuntimeError(f"Matomo was asked faster than allowed: {together}")


@dataclass(frozen=True, slots=True)
class _Run:
    """What a run took; ``at_once`` and ``a_minute``: calls that Matomo had at most at any moment."""

    seconds: float
    messages: int
    calls: int
    at_once: int
    a_minute: int


class _TimedMatomo(FakeMatomo):
    """A Matomo that takes its time, and knows when each HTTP call came and was answered."""

    def start(self) -> None:
        """Begin to serve."""
        self.times: list[tuple[float, float]] = []
        serve: Callable[..., Any] = self._front.serve
        lock = threading.Lock()

        def timed(*arguments: Any, **more: Any) -> Any:
            began = time.monotonic()
            time.sleep(_TAKES)
            try:
                return serve(*arguments, **more)
            finally:
                with lock:
                    self.times.append((began, time.monotonic()))

        setattr(self._front, "serve", timed)  # noqa: B010 - a method
        super().start()


def most_at_once(times: list[tuple[float, float]]) -> int:
    """Return how many calls were under way at most."""
    changes = sorted([(began, 1) for began, _ in times] + [(ended, -1) for _, ended in times])
    now = most = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def most_in(seconds: float, times: list[tuple[float, float]]) -> int:
    """Return how many calls began at most in any stretch of so many seconds."""
    starts = sorted(began for began, _ in times)
    first = most = 0
    for number, moment in enumerate(starts):
        while starts[first] <= moment - seconds:
            first += 1
        most = max(most, number - first + 1)
    return most


class _Place:
    """A topic of requests, and two connectors of one Matomo with a dataset each."""

    def __init__(self, folder: Path, pubsub: queue.PubSub, warehouse: str, matomo: _TimedMatomo, size: Size) -> None:
        self._folder = folder
        self._pubsub = pubsub
        self._warehouse = warehouse
        self._matomo = matomo
        self._size = size
        self._tables = [table.name for table in PREBUILT.values() if not table.is_log][: size.tables]

    def create(self) -> None:
        """Write the configurations and create topic and subscription."""
        for name in ("alone", "together"):
            config = {
                "matomo_url": self._matomo.url,
                "sites": "all",
                "dataset": name,
                "reports": self._tables,
                "concurrency": _CONCURRENCY,
                "requests_per_minute": _A_MINUTE,
            }
            (self._folder / f"matomo-{name}-config").write_text(json.dumps(config))
            (self._folder / f"matomo-{name}-token").write_text(TOKEN)
        self._pubsub.create_requests(_TOPIC)

    def run(self, connector: str, *, workers: int, shards: bool) -> _Run:
        """Publish the request and let workers do what waits, until nothing does."""
        self._matomo.times.clear()
        last = _NOW.date() - timedelta(days=1)
        request = {
            "connector": connector,
            "mode": "backfill",
            "start_date": str(last - timedelta(days=self._size.days - 1)),
            "end_date": str(last),
        }
        path = self._pubsub.requests(_TOPIC)
        self._pubsub.server.publisher.publish(
            topic=path.replace("/subscriptions/", "/topics/"),
            messages=[PubsubMessage(data=json.dumps(request).encode())],
        )
        env = {
            **os.environ,
            **self._pubsub.environment,
            _WAREHOUSE: self._warehouse,
            "GOOGLE_CLOUD_PROJECT": "test",
            "MATOMO_FN_SECRETS": str(self._folder),
            "MATOMO_FN_LOG_FORMAT": "json",
        }
        if shards:
            env |= {
                "MATOMO_FN_REQUESTS_TOPIC": _TOPIC,
                "MATOMO_FN_TIME_BUDGET": "510",
                "MATOMO_FN_SECONDS_PER_CALL": str(_ESTIMATED * self._scale()),
            }
        began = time.monotonic()
        logs = [(self._folder / f"{connector}{number}.log").open("wb") for number in range(workers)]
        command = [sys.executable, "-m", "benchmarks.fan_out", path]
        processes = [subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT) for log in logs]
        try:
            while self._pubsub.waiting(path):
                if any(process.poll() is not None for process in processes):
                    raise RuntimeError((self._folder / f"{connector}0.log").read_text()[-2_000:])
                time.sleep(0.05)
            seconds = time.monotonic() - began
        finally:
            for process in processes:
                process.kill()
                process.wait()
            for log in logs:
                log.close()
        lines = [line for each in self._folder.glob(f"{connector}*.log") for line in each.read_text().splitlines()]
        if refused := [line for line in lines if '"message_refused"' in line]:
            raise RuntimeError(refused[0])
        runs = [json.loads(line) for line in lines if '"run_finished"' in line]
        if wrong := [run for run in runs if run["status"] not in ("complete", "handed_on")]:
            raise RuntimeError(f"{len(wrong)} runs did not come to their end: {str(wrong[0])[:2_000]}")
        times = self._matomo.times
        return _Run(seconds, len(runs), len(times), most_at_once(times), most_in(_MINUTE, times))

    def _scale(self) -> float:
        """Return by how much calls are estimated longer, so that small sizes are split as well."""
        calls = self._size.sites * self._size.tables * (self._size.days // 31 + 1)
        return min(600.0, max(1.0, 3 * self._size.workers * 450 * _CONCURRENCY / calls))

    def rows(self, connector: str) -> dict[str, list[str]]:
        """Return the rows of each table but for what tells the run."""
        warehouse = connected(self._warehouse, connector)
        found = {}
        for name in self._tables:
            columns = [column for column in PREBUILT[name].schema.column_names if not column.startswith("_")]
            listed = ", ".join(f"t.{column}" for column in columns)
            rows = warehouse.query(f"select {listed} from {sql.table_name(connector, name)} t")
            found[name] = sorted(str(tuple(row.values())) for row in rows)
        return found


def work(subscription: str) -> None:
    """Do what waits, message by message, as the function does, until the process is killed."""
    client = subscriber(os.environ["PUBSUB_EMULATOR_HOST"])

    def open_warehouse(_settings: Settings, connector: Connector, **_more: object) -> Warehouse:
        return connected(os.environ[_WAREHOUSE], connector.dataset_name)

    setattr(wiring, "open_warehouse", open_warehouse)  # noqa: B010 - a function of the module
    while True:
        for received in client.pull(subscription=subscription, max_messages=1).received_messages:
            data = base64.b64encode(received.message.data).decode()
            event = {"message": {"data": data}}
            try:
                handle_event(received.message.message_id, event, deliveries_are_counted=True)
            except TryAgainError:
                client.modify_ack_deadline(subscription=subscription, ack_ids=[received.ack_id], ack_deadline_seconds=0)
            else:
                client.acknowledge(subscription=subscription, ack_ids=[received.ack_id])


if __name__ == "__main__":
    work(sys.argv[1])
