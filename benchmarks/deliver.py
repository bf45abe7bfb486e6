"""Events into Matomo, once each and in order: as they come, and with kills, doubled messages and lost answers.

Everything is a process of its own, as when it is deployed: the Pub/Sub emulator that the events wait in, and each
delivery, which is killed at random moments. What Matomo has in the end is compared with what was published, event for
event.
"""

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
from google.pubsub_v1 import PubsubMessage

from benchmarks.figures import Figure
from benchmarks.worlds import CONNECTOR
from fake_matomo import TOKEN, TRACKER, FakeMatomo, Fault, Site, World
from tests.support import pubsub as emulator

_EVENTS, _VISITORS, _KILLS = 100_000, 5_000, 50
# Of the events, those that are published twice; of the calls, those that fail, half of them behind Matomo's back.
_DOUBLED, _FAILING = 0.1, 0.2
# Seconds from a delivery's first call of Matomo until it is killed, at most, and between two looks for that call.
_LONGEST, _LOOK = 1.0, 0.01
_NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_PROJECT = "bench"


@dataclass(frozen=True, slots=True)
class _Ended:
    """What the deliveries of a run did: their number, the kills among them, seconds, and HTTP calls to Matomo."""

    deliveries: int
    kills: int
    seconds: float
    calls: int


def deliver(events: int = _EVENTS, visitors: int = _VISITORS, kills: int = _KILLS) -> Iterator[Figure]:
    """Deliver all events undisturbed, and once more with everything that can go wrong."""
    for disturbed in (False, True):
        with tempfile.TemporaryDirectory() as name, emulator.started() as server, FakeMatomo(_world()) as matomo:
            place = _Place(Path(name), emulator.PubSub(server, _PROJECT), matomo)
            place.pubsub.create(CONNECTOR)
            published = place.publish(events, visitors, doubled=_DOUBLED if disturbed else 0)
            if disturbed:
                matomo.faults.add(Fault(method=TRACKER, share=_FAILING / 2, seed=1, reset=True, taken=True))
                matomo.faults.add(Fault(method=TRACKER, share=_FAILING / 2, seed=2, status=502, body="bad gateway"))
            ended = place.deliver(kills if disturbed else 0)
            place.check(events, visitors)
            yield from _figures(disturbed=disturbed, events=events, published=published, ended=ended)


def _figures(*, disturbed: bool, events: int, published: int, ended: _Ended) -> Iterator[Figure]:
    how = f"{ended.kills} kills, doubled, {_FAILING:.0%} of calls failing" if disturbed else "undisturbed"
    group = f"Deliver: {events:,} events, {how}"
    yield Figure(group, "messages", published, "messages")
    yield Figure(group, "deliveries", ended.deliveries, "processes")
    yield Figure(group, "time", ended.seconds, "s")
    yield Figure(group, "events a second", events / ended.seconds, "events/s")
    yield Figure(group, "HTTP calls", ended.calls, "calls")
    yield Figure(group, "HTTP calls an event", ended.calls / events, "calls")


def _world() -> World:
    created = (_NOW - timedelta(days=60)).date()
    return World((Site(1, "Shop", "Europe/Paris", created=created, visits_per_day=0),), now=_NOW)


class _Place:
    """A connector with everything it needs, in a folder."""

    def __init__(self, folder: Path, pubsub: emulator.PubSub, matomo: FakeMatomo) -> None:
        self.pubsub = pubsub
        self._matomo = matomo
        self._file = folder / "bench.duckdb"
        self._output = folder / "output"
        secrets = folder / "secrets"
        secrets.mkdir()
        values = {
            "matomo_url": matomo.url,
            "sites": "all",
            "requests_per_minute": 60_000,
            "timeout_seconds": 5,
            "events": {"site": "1", "settle_seconds": 2},
        }
        (secrets / f"matomo-{CONNECTOR}-config").write_text(json.dumps(values))
        (secrets / f"matomo-{CONNECTOR}-token").write_text(TOKEN)
        self._env = {
            **os.environ,
            **pubsub.environment,
            "MATOMO_FN_SECRETS": str(secrets),
            "MATOMO_FN_WAREHOUSE": f"duckdb:{self._file}",
            "MATOMO_FN_LOG_FORMAT": "json",
        }

    def publish(self, events: int, visitors: int, *, doubled: float) -> int:
        """Publish events of visitors in turn, some of them twice, and return how many messages that are."""
        chance = random.Random(1)  # noqa: S311 - the same in each run
        count = 0
        for visitor in range(visitors):
            calls = [_call(number, visitor) for number in range(visitor, events, visitors)]
            texts = [each for text in calls for each in [text] * (1 + (chance.random() < doubled))]
            messages = [PubsubMessage(data=text, ordering_key=f"v{visitor}") for text in texts]
            self.pubsub.server.publisher.publish(topic=self.pubsub.topic(CONNECTOR), messages=messages)
            count += len(messages)
        return count

    def deliver(self, kills: int) -> _Ended:
        """Deliver until nothing waits, in processes one after the other, the first of them killed."""
        chance = random.Random(2)  # noqa: S311
        started = time.monotonic()
        requests = self._matomo.http_requests
        deliveries = killed = 0
        while self.pubsub.unacknowledged(CONNECTOR):
            deliveries += 1
            left = killed < kills
            killed += self._run(chance.uniform(0, _LONGEST) if left else None)
            self.pubsub.advance(601)  # what a killed one had pulled comes again
        return _Ended(deliveries, killed, time.monotonic() - started, self._matomo.http_requests - requests)

    def _run(self, seconds: float | None) -> bool:
        """Run a delivery, killed so many seconds after its first call, and return whether it was."""
        command = [sys.executable, "-m", "matomo_fn", "deliver", CONNECTOR, "--json"]
        before = self._matomo.http_requests
        with self._output.open("wb") as output:
            process = subprocess.Popen(command, env=self._env, stdout=output, stderr=subprocess.STDOUT)
            while seconds is not None and process.poll() is None and self._matomo.http_requests == before:
                time.sleep(_LOOK)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                return True
        if process.returncode not in (0, 1):
            raise RuntimeError(self._output.read_text()[-2_000:])
        return False

    def check(self, events: int, visitors: int) -> None:
        """Raise where Matomo has an event not once, or those of a visitor in another order."""
        found = [int(hit.params["e_n"]) for hit in self._matomo.hits]
        if wrong := {name: count for name, count in Counter(found).items() if count > 1}:
            raise RuntimeError(f"{len(wrong)} events are in Matomo more than once: {sorted(wrong)[:10]}")
        if missing := set(range(events)) - set(found):
            raise RuntimeError(f"{len(missing)} events are not in Matomo: {sorted(missing)[:10]}")
        last = dict.fromkeys(range(visitors), -1)
        for number in found:
            if number <= last[number % visitors]:
                raise RuntimeError(f"event {number} came behind a later one of its visitor")
            last[number % visitors] = number
        with duckdb.connect(str(self._file), read_only=True) as connection:
            (rows,) = connection.execute(
                f"select count(distinct message_id) from matomo_{CONNECTOR}._events_log where status = 'sent'"
            ).fetchone() or (0,)
        if rows != events:
            raise RuntimeError(f"{rows} events are logged as sent")


def _call(number: int, visitor: int) -> bytes:
    moment = _NOW - timedelta(hours=40) + timedelta(seconds=number)
    call = {
        "type": "track",
        "event": "Event",
        "messageId": f"message-{number:08}",
        "anonymousId": f"visitor-{visitor}",
        "timestamp": moment.isoformat().replace("+00:00", "Z"),
        "properties": {"category": "Bench", "label": str(number), "value": number % 100},
        "context": {
            "ip": f"81.2.{visitor % 250}.{visitor // 250 + 1}",
            "userAgent": "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "page": {"url": "https://shop.example.org/page", "title": "Page"},
        },
    }
    return json.dumps(call).encode()
