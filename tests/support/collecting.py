"""The function that collects events as its user has it: secrets in a folder, Pub/Sub in an emulator."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import functions_framework

from matomo_fn.config.settings import read_settings
from matomo_fn.deadline import Deadline
from matomo_fn.events.pubsub import PubSubQueue
from tests.support.canary import CANARY
from tests.support.server import MAIN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from matomo_fn.events.queue import Received
    from tests.support.pubsub import PubSub

# What Segment signs with, in the form of what its users take.
SECRET = "f3a9-signature-c41b7e02-canary"


def sign(body: bytes, secret: str = SECRET, algorithm: str = "sha1") -> str:
    """The signature that Segment sends with a body."""
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def event(number: int, visitor: str = "anna", **more: object) -> dict[str, Any]:
    """A track call as Segment's webhook sends it."""
    return {
        "type": "track",
        "event": f"event {number}",
        "messageId": f"message-{hashlib.sha256(f'{visitor} {number}'.encode()).hexdigest()[:12]}",
        "anonymousId": visitor,
        "timestamp": "2026-11-20T10:00:00.000Z",
        "receivedAt": "2026-11-20T10:00:01.000Z",
        **more,
    }


@dataclass(frozen=True, slots=True)
class Collecting:
    """A connector named ``shop`` that collects events; its token is the canary."""

    secrets: Path
    pubsub: PubSub

    @property
    def env(self) -> dict[str, str]:
        """The environment of a function that works here."""
        return {
            "MATOMO_FN_SECRETS": str(self.secrets),
            "MATOMO_FN_WAREHOUSE": f"duckdb:{self.secrets}/none.duckdb",
            "MATOMO_FN_LOG_FORMAT": "json",
            **self.pubsub.environment,
        }

    def write(self, secret: str, text: str, connector: str = "shop") -> None:
        """Write a connector's ``config``, ``token`` or ``signature``."""
        (self.secrets / f"matomo-{connector}-{secret}").write_text(text)

    def configure(self, events: Mapping[str, object] | None, connector: str = "shop") -> None:
        """Write a connector's configuration, with or without events."""
        config = {"matomo_url": "https://matomo.example.org", "sites": ["1"]}
        self.write("config", json.dumps(config | ({} if events is None else {"events": events})), connector)

    def post(
        self,
        body: object,
        *,
        path: str = "/collect/shop",
        signature: str | None = None,
        target: str = "collect",
        **env: str,
    ) -> TestResponse:
        """Post a body, or a value as JSON, with its signature unless another one is given."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        with mock.patch.dict("os.environ", self.env | env):
            return client(target).post(
                path, data=data, headers={"X-Signature": sign(data) if signature is None else signature}
            )

    def waiting(self, most: int = 5_000) -> list[Received]:
        """Pull and acknowledge what is published."""
        queue = PubSubQueue(read_settings(self.env), "shop", Deadline())
        found: list[Received] = []
        while pulled := queue.pull(most):
            queue.acknowledge(pulled)
            found += pulled
        return found

    def events(self) -> list[str]:
        """The names of the events that are published, in order, taken from the queue."""
        return [json.loads(each.data)["event"] for each in self.waiting()]


def prepared(folder: Path, pubsub: PubSub) -> Collecting:
    """Write the secrets of the connector and make its topic."""
    place = Collecting(folder / "secrets", pubsub)
    place.secrets.mkdir()
    place.configure({"site": "1"})
    place.write("token", CANARY)
    place.write("signature", f"{SECRET}\n")
    pubsub.create()
    return place


@functools.cache
def client(target: str) -> FlaskClient:
    """A client of one of ``main.py``'s HTTP functions behind the Functions Framework."""
    made: FlaskClient = functions_framework.create_app(target, str(MAIN), "http").test_client()
    return made
