"""Calls through Pub/Sub: each is there once it is published, in order within a visitor, until it is acknowledged."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import SubscriberClient
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from matomo_fn.config.settings import Settings, read_settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, QueueUnavailable
from matomo_fn.events import pubsub as module
from matomo_fn.events.model import Call, CallType
from matomo_fn.events.pubsub import EventTopic, PubSubQueue
from tests.support import pubsub as emulator
from tests.support.ports import LOCAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matomo_fn.events.queue import Received
    from tests.support.pubsub import PubSub, Server


def call(number: int, visitor: str = "anna", **data: Any) -> Call:
    message_id = f"message-{number}"
    whole = {"type": "track", "messageId": message_id, "anonymousId": visitor, "event": f"event {number}", **data}
    return Call(CallType.TRACK, message_id, visitor, "", datetime(2026, 11, 20, tzinfo=UTC), whole)


def settings_of(pubsub: PubSub, address: str | None = None) -> Settings:
    return read_settings(
        pubsub.environment
        | {"MATOMO_FN_SECRETS": "/", "MATOMO_FN_WAREHOUSE": "duckdb:x"}
        | ({"PUBSUB_EMULATOR_HOST": address} if address else {})
    )


def opened(pubsub: PubSub, deadline: Deadline | None = None) -> tuple[EventTopic, PubSubQueue]:
    settings = settings_of(pubsub)
    return EventTopic(settings, "shop"), PubSubQueue(settings, "shop", deadline or Deadline())


def numbers(received: Sequence[Received]) -> list[int]:
    return [int(json.loads(each.data)["event"].split()[1]) for each in received]


def test_a_call_arrives_as_it_is(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    sent = call(1, properties={"label": "\u00e4\U0001f600", "value": 12.5, "parts": [1, None, True]})
    assert topic.publish([sent]) == {0}
    (received,) = queue.pull(10)
    assert json.loads(received.data) == sent.data


def test_the_metadata_tells_connector_and_message_and_no_visitor(pubsub: PubSub) -> None:
    """Nor that two connectors have the same one. An id that is too long for an attribute is in the data alone."""
    keys = set()
    for connector in ("shop", "blog"):
        pubsub.create(connector)
        calls = [call(1, "anna@example.com"), call(10**2_000, "anna@example.com")]
        EventTopic(settings_of(pubsub), connector).publish(calls)
        answer = pubsub.server.subscriber.pull(subscription=pubsub.subscription(connector), max_messages=9)
        short, long = (each.message for each in answer.received_messages)
        assert dict(short.attributes) == {"connector": connector, "messageId": "message-1"}
        assert dict(long.attributes) == {"connector": connector}
        assert short.ordering_key == long.ordering_key
        assert "anna" not in short.ordering_key
        keys.add(short.ordering_key)
    assert len(keys) == 2


@given(visitors=st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60), most=st.integers(1, 40))
def test_calls_of_a_visitor_come_in_order_whatever_fails(pubsub_server: Server, visitors: list[str], most: int) -> None:
    """Batches of any size, of which every third is released, and what remains comes again."""
    pubsub = emulator.PubSub(pubsub_server, pubsub_server.new_project())
    pubsub.create()
    topic, queue = opened(pubsub)
    calls = [call(number, visitor) for number, visitor in enumerate(visitors)]
    assert topic.publish(calls) == set(range(len(calls)))
    done: list[int] = []
    turn = 0
    while received := queue.pull(most):
        turn += 1
        if turn % 3 == 0:
            queue.release(received)
        else:
            done += numbers(received)
            queue.acknowledge(received)
    assert sorted(done) == list(range(len(calls)))
    for visitor in set(visitors):
        mine = [number for number in done if visitors[number] == visitor]
        assert mine == sorted(mine)


def test_a_pull_gathers_more_than_pubsub_answers_at_once(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    calls = [call(number, f"visitor {number % 7}") for number in range(2_500)]
    assert topic.publish(calls) == set(range(2_500))
    assert len(queue.pull(1_200)) == 1_200
    rest = queue.pull(5_000)
    assert len(rest) + 1_200 <= 2_500
    queue.acknowledge(rest)


def test_more_than_a_thousand_calls_of_one_visitor_stay_in_order(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    topic.publish([call(number) for number in range(2_100)])
    done: list[int] = []
    while received := queue.pull(5_000):
        done += numbers(received)
        queue.acknowledge(received)
    assert done == list(range(2_100))


def test_an_acknowledgement_that_is_too_late_is_logged_and_the_message_comes_again(pubsub: PubSub) -> None:
    pubsub.create(ack_seconds=10)
    topic, queue = opened(pubsub)
    topic.publish([call(1), call(2, "ben")])
    late = queue.pull(10)
    pubsub.advance(11)
    with capture_logs() as logs:
        queue.acknowledge(late)
    assert logs == [
        {
            "event": "messages_not_settled",
            "log_level": "warning",
            "connector": "shop",
            "what": "acknowledge",
            "count": 2,
            "messages": [each.origin for each in late],
        }
    ]
    assert sorted(numbers(queue.pull(10))) == [1, 2]


def test_an_acknowledgement_that_fails_for_the_moment_is_repeated(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of order, as it is where an earlier one got lost on its way."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.001)
    pubsub.create()
    topic, queue = opened(pubsub)
    topic.publish([call(1), call(2), call(3)])
    received = queue.pull(10)
    pubsub.fail("Acknowledge", "ABORTED", 2)
    with capture_logs() as logs:
        queue.acknowledge(received[::-1])
    assert logs == []
    assert pubsub.unacknowledged() == 0


def test_an_answer_that_is_lost_after_pubsub_took_the_calls_doubles_them(pubsub: PubSub) -> None:
    """Which the log of deliveries is for; none is missing, and the first of each are in order."""
    pubsub.create()
    topic, queue = opened(pubsub)
    pubsub.lose("Publish")
    assert topic.publish([call(1), call(2)]) == {0, 1}
    assert numbers(queue.pull(10)) == [1, 2, 1, 2]


def test_released_messages_come_again_at_once(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    topic.publish([call(1), call(2)])
    queue.release(queue.pull(10))
    assert numbers(queue.pull(10)) == [1, 2]


def test_what_one_visitor_cannot_have_published_does_not_stop_another(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SIDE_BY_SIDE", 1)
    pubsub.create()
    topic, _ = opened(pubsub)
    pubsub.fail("Publish", "INVALID_ARGUMENT")
    with capture_logs() as logs:
        assert topic.publish([call(1), call(2, "ben"), call(3)]) == {1}
    (line,) = logs
    assert line["event"] == "events_not_published"
    assert line["errors"] == [f"Pub/Sub failed for {pubsub.topic()}: InvalidArgument"]


def test_a_topic_or_subscription_that_is_not_there_is_named(pubsub: PubSub) -> None:
    topic, queue = opened(pubsub)
    with pytest.raises(QueueUnavailable, match=f"there is no {pubsub.topic()}: "):
        topic.publish([call(1)])
    with pytest.raises(QueueUnavailable, match=f"there is no {pubsub.subscription()}: "):
        queue.pull(10)


def test_rights_that_are_missing_are_named(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    for method in ("Publish", "Pull"):
        pubsub.fail(method, "PERMISSION_DENIED")
    with pytest.raises(QueueUnavailable, match=r"roles/pubsub.publisher on matomo-shop-events"):
        topic.publish([call(1)])
    with pytest.raises(QueueUnavailable, match=r"roles/pubsub.subscriber on matomo-shop-events"):
        queue.pull(10)


def test_a_pubsub_that_is_gone_is_told_within_the_time_that_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For publishing, pulling and acknowledging."""
    with emulator.started() as server:
        mine = emulator.PubSub(server, "mine")
        mine.create()
        settings = settings_of(mine)
        topic = EventTopic(settings, "shop")
        topic.publish([call(1)])
        deadline = Deadline(4.0)
        queue = PubSubQueue(settings, "shop", deadline)
        received = queue.pull(1)
        server.kill()
        monkeypatch.setattr(module, "PUBLISH_SECONDS", 0.5)
        start = time.monotonic()
        with pytest.raises(QueueUnavailable, match=r"Pub/Sub failed for .*: ServiceUnavailable"):
            topic.publish([call(1), call(2, "ben")])
        assert time.monotonic() - start < 3
        with pytest.raises(QueueUnavailable, match=r"Pub/Sub failed for .*: ServiceUnavailable"):
            queue.pull(1)
        with pytest.raises(QueueUnavailable, match=r"Pub/Sub failed for .*: ServiceUnavailable"):
            queue.acknowledge(received)
        assert time.monotonic() - start < 10


def test_nothing_is_pulled_once_the_run_is_over(pubsub: PubSub) -> None:
    pubsub.create()
    deadline = Deadline(60)
    topic, queue = opened(pubsub, deadline)
    topic.publish([call(1), call(2)])
    received = queue.pull(1)
    deadline.stop()
    assert queue.pull(10) == ()
    queue.acknowledge(received)
    assert pubsub.unacknowledged() == 1


def test_an_empty_queue_answers_nothing_also_where_pubsub_would_wait_longer(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.1)
    pubsub.create()
    _, queue = opened(pubsub)
    assert queue.pull(10) == ()
    pubsub.server.command("hold", 60_000)
    try:
        assert queue.pull(10) == ()
    finally:
        pubsub.server.command("hold", 20)


def test_a_pull_that_the_server_cancels_when_its_time_is_over_finds_nothing(
    pubsub: PubSub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may notice that first, and resets the stream then."""
    pubsub.create()
    _, queue = opened(pubsub)
    assert queue.pull(10) == ()

    def reset(*_: object, **__: object) -> None:
        raise exceptions.Cancelled("Stream removed")

    monkeypatch.setattr(SubscriberClient, "pull", reset)
    assert queue.pull(10) == ()


def test_a_pubsub_that_no_packet_reaches_is_no_empty_queue(pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Something accepts the connection and says nothing, as where a firewall drops what is sent."""
    monkeypatch.setattr(module, "_FIRST_SECONDS", 0.2)
    with socket.create_server((LOCAL, 0)) as silent:
        settings = settings_of(pubsub, f"{LOCAL}:{silent.getsockname()[1]}")
        with pytest.raises(QueueUnavailable, match=r"Pub/Sub cannot be reached for .*: no answer"):
            PubSubQueue(settings, "shop", Deadline()).pull(10)


def test_without_a_project_it_says_what_to_do() -> None:
    settings = read_settings({"MATOMO_FN_SECRETS": "/", "MATOMO_FN_WAREHOUSE": "duckdb:x"})
    for make in (lambda: EventTopic(settings, "shop"), lambda: PubSubQueue(settings, "shop", Deadline())):
        with pytest.raises(InputError, match=r"GOOGLE_CLOUD_PROJECT is not set: .* name a file"):
            make()


def test_no_call_is_in_the_representation_of_what_is_pulled(pubsub: PubSub) -> None:
    pubsub.create()
    topic, queue = opened(pubsub)
    topic.publish([call(1, "anna@example.com")])
    assert "anna" not in repr(queue.pull(1))
