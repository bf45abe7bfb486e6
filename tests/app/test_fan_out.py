"""A large request as its users start it: over HTTP, by a message, from the command line; its shards through Pub/Sub."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from tests.app.cli.calling import call
from tests.support import shop as shops
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from google.pubsub_v1 import PubsubMessage
    from werkzeug.test import TestResponse

    from tests.support.pubsub import PubSub
    from tests.support.shop import Contents, Shop

TOPIC = "matomo-fn-requests"
TABLES = ["visits_summary", "visitor_country"]
REQUEST = {"connector": "shop", "mode": "backfill", "start_date": "2024-03-01", "end_date": "2024-03-06"}
# Of the eight calls that the request is estimated to take, three have room in a run: 510 seconds, less 60.
LARGE = {"MATOMO_FN_REQUESTS_TOPIC": TOPIC, "MATOMO_FN_TIME_BUDGET": "510", "MATOMO_FN_SECONDS_PER_CALL": "600"}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    with shops.running(tmp_path) as running:
        running.configure(sites="all", reports=TABLES)
        yield running


@pytest.fixture
def env(pubsub: PubSub) -> dict[str, str]:
    """With a topic that waits for requests."""
    pubsub.create_requests(TOPIC)
    return pubsub.environment | LARGE


def deliver(place: Shop, data: bytes, message_id: str, env: dict[str, str]) -> TestResponse:
    """Push a message to the function."""
    message = {"data": base64.b64encode(data).decode(), "messageId": message_id}
    with mock.patch.dict("os.environ", place.env | env):
        return shops.events().post("/", json={"message": message, "subscription": "projects/p/subscriptions/s"})


def post(place: Shop, env: dict[str, str]) -> TestResponse:
    """Post the request to the function."""
    with mock.patch.dict("os.environ", place.env | env):
        return shops.http().post("/", json=REQUEST)


def do_all(place: Shop, messages: list[PubsubMessage], env: dict[str, str]) -> None:
    for message in reversed(messages):
        assert deliver(place, message.data, message.message_id, env).status_code == 200


def rows(contents: Contents) -> dict[str, list[dict[str, Any]]]:
    """The rows of the tables without what tells the run."""
    return {
        name: [{key: value for key, value in row.items() if key[0] != "_"} for row in contents[DATASET, name]]
        for name in TABLES
    }


def test_a_large_request_is_202_and_its_shards_do_it(place: Shop, pubsub: PubSub, env: dict[str, str]) -> None:
    """What is answered waits in Pub/Sub; status and history say how far it is."""
    answer = post(place, env)
    body = answer.get_json()
    assert (answer.status_code, body["status"], body["errors"]) == (202, "handed_on", [])
    messages = pubsub.take(TOPIC)
    assert [json.loads(message.data)["part"] for message in messages] == [
        {key: value for key, value in part.items() if key not in ("slices", "matomo_calls")}
        for part in body["handed_on"]
    ]
    assert len(messages) > 1
    do_all(place, messages[1:], env)
    (progress,) = call(place.env, "status", "shop", "--json").json["requests"]
    counts = {name: progress[name] for name in ("request_id", "shards", "done", "left")}
    assert counts == {"request_id": body["request_id"], "shards": len(messages), "done": len(messages) - 1, "left": 1}
    do_all(place, messages[:1], env)
    shown = call(place.env, "history", "shop")
    assert f"{len(messages)} done" in shown.out
    assert call(place.env, "history", "shop", "--json").json["requests"][0]["done"] == len(messages)
    found = rows(place.contents())
    place.warehouse.unlink()
    assert place.post(REQUEST).get_json()["status"] == "complete"
    assert found == rows(place.contents())


def test_a_message_that_is_too_large_splits_itself_and_is_taken(
    place: Shop, pubsub: PubSub, env: dict[str, str]
) -> None:
    """Delivered again, it hands out nothing new."""
    data = json.dumps(REQUEST).encode()
    assert deliver(place, data, "7", env).status_code == 200
    messages = pubsub.take(TOPIC)
    assert {json.loads(message.data)["part"]["request_id"] for message in messages} == {"message 7"}
    assert deliver(place, data, "7", env).status_code == 200
    assert pubsub.take(TOPIC) == []


def test_a_publish_that_fails_is_503_and_the_message_comes_again(
    place: Shop, pubsub: PubSub, env: dict[str, str]
) -> None:
    """An answer that is lost doubles the shards, which do nothing twice."""
    data = json.dumps(REQUEST).encode()
    pubsub.fail("Publish", "PERMISSION_DENIED")
    refused = post(place, env)
    assert refused.status_code == 503
    assert "roles/pubsub.publisher" in refused.get_json()["errors"][0]
    pubsub.fail("Publish", "PERMISSION_DENIED")
    assert deliver(place, data, "7", env).status_code == 503
    assert pubsub.take(TOPIC) == []
    assert deliver(place, data, "7", env).status_code == 200
    assert len(pubsub.take(TOPIC)) > 1


def test_detach_publishes_and_shows_the_shards(place: Shop, pubsub: PubSub, env: dict[str, str]) -> None:
    """Also what would fit one run; without a topic, and for a rebuild, it says what to do."""
    small = {**env, "MATOMO_FN_SECONDS_PER_CALL": "0.1"}
    called = call(
        place.env | small,
        "sync",
        "shop",
        "--detach",
        "--mode",
        "backfill",
        "--start-date",
        "2024-03-01",
        "--end-date",
        "2024-03-06",
        "--json",
    )
    assert (called.code, called.json["status"], len(called.json["handed_on"])) == (0, "handed_on", 1)
    (message,) = pubsub.take(TOPIC)
    do_all(place, [message], env)
    without = call(place.env, "sync", "shop", "--detach")
    assert (without.code, "MATOMO_FN_REQUESTS_TOPIC is not set" in without.err) == (2, True)
    rebuild = call(place.env | env, "sync", "shop", "--detach", "--mode", "full_refresh", "--table", "visitor_country")
    assert (rebuild.code, "one run's" in rebuild.err) == (2, True)
