"""The Pub/Sub emulator: a real server that the real client speaks to (``tools/pubsub_emulator``).

What of the service it follows, and what it leaves out, stands in its ``queue.go``.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import pytest
from google.pubsub_v1 import PublisherClient, PubsubMessage, SubscriberClient
from google.pubsub_v1.types import DeadLetterPolicy, RetryPolicy, Subscription

from matomo_fn.events.pubsub import events_name
from tools.go_programs import PUBSUB_EMULATOR

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAD = "-dead"


class Server:
    """A running emulator; its commands are described in ``tools/pubsub_emulator/main.go``."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.process = process
        self.address = process.stdout.readline().strip()
        self._lock = threading.Lock()
        self._projects = 0
        if not self.address:
            pytest.fail(f"the Pub/Sub emulator ended with {process.wait()}", pytrace=False)
        # Made once: a channel takes longer to open than most tests take to run.
        channel = grpc.insecure_channel(self.address)
        self.publisher = PublisherClient(transport=PublisherClient.get_transport_class("grpc")(channel=channel))
        self.subscriber = SubscriberClient(transport=SubscriberClient.get_transport_class("grpc")(channel=channel))

    def command(self, *words: object) -> str:
        """Send a command and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self._lock:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline().strip()
        if not answer or answer.startswith("error"):
            message = f"{words}: {answer}"
            raise ValueError(message)
        return answer

    def new_project(self) -> str:
        """The name of a project that no other test has."""
        self._projects += 1
        return f"project-{self._projects}"

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class PubSub:
    """A project of one's own in a running emulator; ``address``: for ``PUBSUB_EMULATOR_HOST``."""

    server: Server
    project: str
    address: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "address", self.server.address)

    @property
    def environment(self) -> dict[str, str]:
        """The variables by which the program finds it."""
        return {"GOOGLE_CLOUD_PROJECT": self.project, "PUBSUB_EMULATOR_HOST": self.address}

    def topic(self, connector: str = "shop") -> str:
        """The topic of a connector's events."""
        return f"projects/{self.project}/topics/{events_name(connector)}"

    def subscription(self, connector: str = "shop") -> str:
        """The subscription of a connector's events."""
        return f"projects/{self.project}/subscriptions/{events_name(connector)}"

    def create(
        self,
        connector: str = "shop",
        *,
        ack_seconds: int = 600,
        attempts: int = 0,
        backoff: tuple[int, int] | None = None,
    ) -> None:
        """Create topic and subscription as the deployment does: ordered, exactly once.

        ``attempts``: deliveries until a message goes to the topic, and the subscription, ``DEAD`` is the end of.
        ``backoff``: least and most seconds until a message that failed is delivered again.
        """
        self.server.publisher.create_topic(name=self.topic(connector))
        policy = None
        if attempts:
            policy = DeadLetterPolicy(dead_letter_topic=self.topic(connector) + DEAD, max_delivery_attempts=attempts)
            self.server.publisher.create_topic(name=policy.dead_letter_topic)
            self._subscribe(Subscription(name=self.subscription(connector) + DEAD, topic=policy.dead_letter_topic))
        self._subscribe(
            Subscription(
                name=self.subscription(connector),
                topic=self.topic(connector),
                ack_deadline_seconds=ack_seconds,
                enable_message_ordering=True,
                enable_exactly_once_delivery=True,
                dead_letter_policy=policy,
                retry_policy=backoff and _retry_policy(*backoff),
            )
        )

    def requests(self, name: str) -> str:
        """The subscription of a topic of requests; both have the same name."""
        return f"projects/{self.project}/subscriptions/{name}"

    def create_requests(self, name: str) -> None:
        """Create a topic of requests and its subscription, here one that is pulled from."""
        topic = f"projects/{self.project}/topics/{name}"
        self.server.publisher.create_topic(name=topic)
        self._subscribe(Subscription(name=self.requests(name), topic=topic, ack_deadline_seconds=600))

    def take(self, name: str) -> list[PubsubMessage]:
        """Pull and acknowledge all requests that wait."""
        found: list[PubsubMessage] = []
        while self.waiting(self.requests(name)):
            answer = self.server.subscriber.pull(subscription=self.requests(name), max_messages=1000)
            handles = [each.ack_id for each in answer.received_messages]
            self.server.subscriber.acknowledge(subscription=self.requests(name), ack_ids=handles)
            found += [each.message for each in answer.received_messages]
        return found

    def waiting(self, subscription: str) -> int:
        """How many messages a subscription has, delivered or not."""
        return int(self.server.command("unacknowledged", subscription))

    def _subscribe(self, subscription: Subscription) -> None:
        self.server.subscriber.create_subscription(request=subscription)

    def advance(self, seconds: float) -> None:
        """Let time pass for acknowledgement deadlines."""
        self.server.command("advance", seconds)

    def unacknowledged(self, connector: str = "shop", *, dead: bool = False) -> int:
        """How many messages the subscription has, delivered or not."""
        return int(self.server.command("unacknowledged", self.subscription(connector) + (DEAD if dead else "")))

    def fail(self, method: str, code: str = "UNAVAILABLE", count: int = 1) -> None:
        """Answer the next calls of a method, such as ``Publish``, with a code of gRPC, and do nothing."""
        self.server.command("fail", method, code, count)

    def lose(self, method: str, count: int = 1) -> None:
        """Do the next calls of a method and lose the answer: UNAVAILABLE."""
        self.server.command("lose", method, count)


def _retry_policy(least: int, most: int) -> RetryPolicy:
    return RetryPolicy(minimum_backoff=timedelta(seconds=least), maximum_backoff=timedelta(seconds=most))


@contextlib.contextmanager
def started() -> Iterator[Server]:
    """Run an emulator until the block ends."""
    program = PUBSUB_EMULATOR.path()
    if not program.exists():
        pytest.fail("the Pub/Sub emulator is not built; run: make programs", pytrace=False)
    with subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        server = Server(process)
        try:
            yield server
        finally:
            server.kill()
