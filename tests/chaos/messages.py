"""A backfill that is requested by messages: doubled, out of order, and given to functions that are killed meanwhile."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from google.pubsub_v1.types import PubsubMessage, Subscription

from tests.chaos.calls import breaches
from tests.chaos.figures import Figures
from tests.chaos.kills import quiet_problems
from tests.chaos.place import GOOD, Ended
from tests.support.ports import LOCAL, free_ports, wait_for
from tests.support.server import MAIN, ROOT, START_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from tests.chaos.faulty_matomo import FaultyMatomo
    from tests.chaos.kills import Undisturbed
    from tests.chaos.place import Place
    from tests.support.pubsub import PubSub

# Messages that the function is given at once, of those that one pull brings.
_AT_ONCE, _PULL = 3, 6
_HUNG = 300.0


class Function:
    """An entry point behind the Functions Framework, in processes that are killed together; a context manager."""

    def __init__(self, place: Place, target: str) -> None:
        self._place = place
        self._target = target
        self._signature = "cloudevent" if target == "sync_event" else "http"
        self._log = place.folder / f"log-{target}"
        self._popen: subprocess.Popen[bytes] | None = None
        (self._port,) = free_ports(1)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command: list[str | Path] = [
            Path(sys.executable).with_name("functions-framework"),
            *(f"--target={self._target}", f"--source={MAIN}", f"--signature-type={self._signature}"),
            *(f"--host={LOCAL}", f"--port={self._port}"),
        ]
        with self._log.open("ab") as stream:
            popen = self._popen = subprocess.Popen(
                command,
                env=self._place.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,  # the server and its worker are one group, which is killed as a whole
            )
        if not wait_for(self._port, seconds=START_SECONDS, is_alive=lambda: popen.poll() is None):
            raise RuntimeError(f"the function does not answer:\n{self.log[-2000:]}")

    def kill(self) -> None:
        """End all of its processes at once."""
        if self._popen:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            self._popen.wait()

    def post(self, body: dict[str, Any], headers: dict[str, str] | None = None) -> tuple[int, bytes]:
        """Send a request; the status is 0 where no answer came."""
        sent = urllib.request.Request(
            f"http://{LOCAL}:{self._port}/",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
            method="POST",
        )
        try:
            with urllib.request.urlopen(sent, timeout=_HUNG) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()
        except OSError:  # it was killed
            return 0, b""

    def sync(self, connector: str) -> Ended:
        """Make a run of a connector, and return how it ended as the command line tells it."""
        before = len(self.log)
        status, body = self.post({"connector": connector})
        complete = status == 200 and json.loads(body)["status"] == "complete"
        return Ended(GOOD if complete else 1, f"{status} {body.decode()}\n{self.log[before:]}")

    def push(self, message_id: str, data: bytes) -> int:
        """Deliver a message as Pub/Sub's push does, and return the status."""
        headers = {
            "ce-id": message_id,
            "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
            "ce-source": "//pubsub.googleapis.com/projects/p/topics/t",
            "ce-specversion": "1.0",
        }
        message = {"data": base64.b64encode(data).decode(), "messageId": message_id}
        return self.post({"message": message, "subscription": "s"}, headers)[0]


class Requests:
    """Requests in a topic of the emulator, and the subscription that they are pulled from."""

    def __init__(self, pubsub: PubSub, name: str = "matomo-sync") -> None:
        self._server = pubsub.server
        self._topic = f"projects/{pubsub.project}/topics/{name}"
        self._subscription = f"projects/{pubsub.project}/subscriptions/{name}"
        self._server.publisher.create_topic(name=self._topic)
        self._server.subscriber.create_subscription(
            request=Subscription(name=self._subscription, topic=self._topic, ack_deadline_seconds=600)
        )

    def publish(self, requests: Sequence[dict[str, Any]]) -> None:
        """Publish requests, each a message."""
        for request in requests:
            data = json.dumps(request).encode()
            self._server.publisher.publish(topic=self._topic, messages=[PubsubMessage(data=data)])

    def pull(self) -> list[tuple[str, str, bytes]]:
        """Pull some messages: (what acknowledges it, its id, its data)."""
        answer = self._server.subscriber.pull(
            request={"subscription": self._subscription, "max_messages": _PULL}, timeout=30
        )
        return [(each.ack_id, each.message.message_id, each.message.data) for each in answer.received_messages]

    def settle(self, ack_id: str, *, done: bool) -> None:
        """Acknowledge a message, or have it delivered once more."""
        if done:
            self._server.subscriber.acknowledge(subscription=self._subscription, ack_ids=[ack_id])
        else:
            self._server.subscriber.modify_ack_deadline(
                subscription=self._subscription, ack_ids=[ack_id], ack_deadline_seconds=0
            )


def shards(place: Place, expected: Undisturbed) -> Iterator[dict[str, Any]]:
    """Yield requests that together are the backfill: by site, by table, and by halves of the days; some overlap."""
    tables = place.connector.tables
    days = sorted({row[0] for row in expected.contents["visits_summary"]})
    middle = len(days) // 2
    for site, table in itertools.product(sorted({row[1] for row in expected.contents["visits_summary"]}), tables):
        for first, last in ((days[0], days[middle]), (days[middle] + timedelta(days=1), days[-1])):
            yield {
                "connector": place.name,
                "sites": [site],
                "tables": [table],
                "start_date": str(first),
                "end_date": str(last),
            }
    yield {"connector": place.name}
    yield {"connector": place.name, "start_date": str(days[0]), "end_date": str(days[-1])}


def deliver(
    place: Place, matomo: FaultyMatomo, pubsub: PubSub, expected: Undisturbed, random: Random, *, kills: int, most: int
) -> Figures:
    """Deliver the messages of a backfill in any order, some of them twice at once, kill the function, and compare.

    ``kills``: of the function, while messages are out. ``most``: messages, chosen by chance from all. More than six
    parameters: the parts that meet here, by name.
    """
    figures = Figures("messages")
    requests = random.sample(all_of := list(shards(place, expected)), min(most, len(all_of)))
    queue = Requests(pubsub)
    queue.publish([*requests, *random.sample(requests, len(requests) // 2)])
    figures.count("messages", len(requests) + len(requests) // 2)
    run = matomo.begin()
    with Function(place, "sync_event") as function, ThreadPoolExecutor(_AT_ONCE) as threads:

        def hand_over(message: tuple[str, str, bytes]) -> int:
            ack_id, message_id, data = message
            status = function.push(message_id, data)
            queue.settle(ack_id, done=_is_done(status))
            return status

        while pulled := queue.pull():
            doubled = [message for message in pulled for _ in range(random.choice((1, 1, 2)))]
            random.shuffle(doubled)
            statuses = [threads.submit(hand_over, message) for message in doubled]
            if kills:
                kills -= 1
                time.sleep(random.uniform(0, 2.5))
                function.kill()
                figures.count("kills")
                function.start()
            figures.count("deliveries", len(statuses))
            figures.count("deliveries that failed", sum(not _is_done(each.result()) for each in statuses))
        calls = matomo.calls_of(run)
        figures.count("calls of Matomo", len(calls))
        # The runs of a connector have its bounds in common, also where they overlap or one of them was killed.
        figures.note("deliveries", [*Ended(GOOD, function.log).problems, *breaches(calls, place.bounds)])
        run = matomo.begin()
        before = len(function.log)
        status = function.push("quiet", json.dumps({"connector": place.name}).encode())
        log = function.log[before:]
        problems = [] if _is_done(status) else [f"the quiet run ended with {status}: {log[-2000:]}"]
        figures.note("quiet run", [*problems, *Ended(GOOD, log).problems])
    figures.count("quiet runs")
    figures.count("tables compared", len(expected.contents))
    figures.note("quiet run", quiet_problems(place, matomo, run, expected.contents))
    return figures.end()


def _is_done(status: int) -> bool:
    """Return whether Pub/Sub takes a status for an acknowledgement."""
    return 200 <= status < 300
