"""The Pub/Sub emulator follows the documented rules of the service that the program relies on.

https://cloud.google.com/pubsub/docs/ordering, /exactly-once-delivery and /dead-letter-topics
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import PubsubMessage
from google.pubsub_v1.types import Subscription

from tests.support import pubsub as emulator
from tests.support.pubsub import DEAD
from tools.go_programs import PUBSUB_EMULATOR

if TYPE_CHECKING:
    from google.pubsub_v1.types import ReceivedMessage

    from tests.support.pubsub import PubSub


def publish(pubsub: PubSub, *texts: str, key: str = "") -> None:
    messages = [PubsubMessage(data=text.encode(), ordering_key=key) for text in texts]
    pubsub.server.publisher.publish(topic=pubsub.topic(), messages=messages, retry=None)


def pull(pubsub: PubSub, most: int = 100, suffix: str = "") -> list[ReceivedMessage]:
    answer = pubsub.server.subscriber.pull(
        subscription=pubsub.subscription() + suffix, max_messages=most, retry=None, timeout=20
    )
    return list(answer.received_messages)


def texts(received: list[ReceivedMessage]) -> list[str]:
    return [each.message.data.decode() for each in received]


def acknowledge(pubsub: PubSub, *received: ReceivedMessage) -> None:
    ids = [each.ack_id for each in received]
    pubsub.server.subscriber.acknowledge(subscription=pubsub.subscription(), ack_ids=ids, retry=None)


def refuse(pubsub: PubSub, *received: ReceivedMessage) -> None:
    ids = [each.ack_id for each in received]
    pubsub.server.subscriber.modify_ack_deadline(
        subscription=pubsub.subscription(), ack_ids=ids, ack_deadline_seconds=0, retry=None
    )


def test_messages_of_a_key_come_in_order_and_no_later_one_while_one_is_outstanding(pubsub: PubSub) -> None:
    pubsub.create()
    publish(pubsub, "a1", "a2", "a3", key="a")
    publish(pubsub, "b1", key="b")
    first = pull(pubsub, 2)
    assert texts(first) == ["a1", "a2"]
    assert texts(pull(pubsub)) == ["b1"]
    acknowledge(pubsub, first[0])
    assert pull(pubsub) == []
    acknowledge(pubsub, first[1])
    assert texts(pull(pubsub)) == ["a3"]


def test_what_is_acknowledged_never_comes_again(pubsub: PubSub) -> None:
    pubsub.create()
    publish(pubsub, "a1", "a2", key="a")
    received = pull(pubsub)
    acknowledge(pubsub, received[0])
    refuse(pubsub, received[1])
    assert texts(pull(pubsub)) == ["a2"]
    assert pubsub.unacknowledged() == 1


@pytest.mark.parametrize("how", ["refused", "expired"])
def test_a_redelivered_message_brings_the_later_ones_of_its_key_with_it(pubsub: PubSub, how: str) -> None:
    """Their old acknowledgement ids are refused, and named."""
    pubsub.create(ack_seconds=10)
    publish(pubsub, "a1", "a2", "a3", key="a")
    before = pull(pubsub)
    if how == "refused":
        refuse(pubsub, before[1])
        acknowledge(pubsub, before[0])
    else:
        acknowledge(pubsub, before[0])
        pubsub.advance(11)
    assert texts(pull(pubsub)) == ["a2", "a3"]
    with pytest.raises(exceptions.InvalidArgument) as caught:
        acknowledge(pubsub, before[1], before[2])
    assert caught.value.reason == "EXACTLY_ONCE_ACKID_FAILURE"
    assert caught.value.metadata == {each.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID" for each in before[1:]}
    assert pubsub.unacknowledged() == 2


def test_an_acknowledgement_out_of_order_is_refused_for_the_moment(pubsub: PubSub) -> None:
    pubsub.create()
    publish(pubsub, "a1", "a2", key="a")
    first, second = pull(pubsub)
    with pytest.raises(exceptions.InvalidArgument) as caught:
        acknowledge(pubsub, second, first)
    assert caught.value.metadata == {second.ack_id: "TRANSIENT_FAILURE_UNORDERED_ACK_ID"}
    acknowledge(pubsub, second)
    assert pubsub.unacknowledged() == 0


def test_a_deadline_can_be_moved(pubsub: PubSub) -> None:
    pubsub.create(ack_seconds=10)
    publish(pubsub, "a1", key="a")
    (received,) = pull(pubsub)
    pubsub.server.subscriber.modify_ack_deadline(
        subscription=pubsub.subscription(), ack_ids=[received.ack_id], ack_deadline_seconds=60, retry=None
    )
    pubsub.advance(30)
    assert pull(pubsub) == []
    pubsub.advance(31)
    assert texts(pull(pubsub)) == ["a1"]


def test_a_message_that_fails_as_often_as_the_policy_says_is_a_dead_letter(pubsub: PubSub) -> None:
    """The later ones of its key, which failed with it and not by themselves, are delivered then."""
    pubsub.create(attempts=5)
    publish(pubsub, "bad", "good", key="a")
    for attempt in range(1, 6):
        bad, good = pull(pubsub)
        assert (bad.delivery_attempt, good.delivery_attempt) == (attempt, 1)
        refuse(pubsub, bad)
    assert texts(pull(pubsub)) == ["good"]
    (dead,) = pull(pubsub, suffix=DEAD)
    assert dead.message.data == b"bad"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceDeliveryCount"] == "5"
    assert dead.message.attributes["CloudPubSubDeadLetterSourceSubscription"] == "matomo-shop-events"
    assert (pubsub.unacknowledged(), pubsub.unacknowledged(dead=True)) == (1, 1)


def test_a_retry_policy_delays_what_failed_and_the_later_ones_of_its_key(pubsub: PubSub) -> None:
    """Twice as long with each failure, up to the most. Other keys do not wait."""
    pubsub.create(backoff=(10, 30))
    publish(pubsub, "a1", "a2", key="a")
    for seconds in (10, 20, 30, 30):
        refuse(pubsub, pull(pubsub)[0])
        publish(pubsub, f"b{seconds}", key="b")
        (other,) = pull(pubsub)
        acknowledge(pubsub, other)
        pubsub.advance(seconds - 1)
        assert pull(pubsub) == []
        pubsub.advance(1)
    assert texts(pull(pubsub)) == ["a1", "a2"]


def test_a_subscription_without_exactly_once_says_nothing_of_old_ids(pubsub: PubSub) -> None:
    """And delivers again what was acknowledged behind a message that failed."""
    pubsub.server.publisher.create_topic(name=pubsub.topic())
    pubsub.server.subscriber.create_subscription(
        request=Subscription(name=pubsub.subscription(), topic=pubsub.topic(), enable_message_ordering=True)
    )
    publish(pubsub, "a1", "a2", key="a")
    first, second = pull(pubsub)
    acknowledge(pubsub, second)
    refuse(pubsub, first)
    assert texts(pull(pubsub)) == ["a1", "a2"]
    acknowledge(pubsub, first)
    assert pubsub.unacknowledged() == 2


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([PubsubMessage(data=b"1", ordering_key=key) for key in "ab"], id="two keys"),
        pytest.param([], id="none"),
        pytest.param([PubsubMessage()], id="an empty one"),
        pytest.param([PubsubMessage(data=b"1")] * 1001, id="too many"),
        pytest.param([PubsubMessage(data=b"1" * 10_000_001)], id="too large"),
        pytest.param([PubsubMessage(data=b"1", ordering_key="k" * 1025)], id="a long key"),
        pytest.param([PubsubMessage(data=b"1", attributes={"a": "v" * 1025})], id="a long attribute"),
    ],
)
def test_what_the_service_does_not_take_is_refused(pubsub: PubSub, messages: list[PubsubMessage]) -> None:
    pubsub.create()
    with pytest.raises(exceptions.InvalidArgument):
        pubsub.server.publisher.publish(topic=pubsub.topic(), messages=messages, retry=None)
    assert pubsub.unacknowledged() == 0


def test_what_it_does_not_emulate_is_refused(pubsub: PubSub) -> None:
    pubsub.server.publisher.create_topic(name=pubsub.topic())
    with pytest.raises(exceptions.MethodNotImplemented, match="without filter"):
        pubsub.server.subscriber.create_subscription(
            request=Subscription(name=pubsub.subscription(), topic=pubsub.topic(), filter='attributes.a = "1"')
        )


def test_a_fault_comes_as_often_as_it_is_wanted_and_a_lost_answer_is_of_a_call_that_was_done(pubsub: PubSub) -> None:
    pubsub.create()
    pubsub.fail("Publish", "RESOURCE_EXHAUSTED")
    with pytest.raises(exceptions.ResourceExhausted):
        publish(pubsub, "1")
    assert pubsub.unacknowledged() == 0
    pubsub.lose("Publish")
    with pytest.raises(exceptions.ServiceUnavailable):
        publish(pubsub, "1")
    publish(pubsub, "2")
    assert pubsub.unacknowledged() == 2


def test_a_pull_waits_for_a_message_no_longer_than_its_caller(pubsub: PubSub) -> None:
    pubsub.create()
    pubsub.server.command("hold", 60_000)
    try:
        # Which one it is depends on who notices first that the time is over.
        with pytest.raises((exceptions.DeadlineExceeded, exceptions.Cancelled)):
            pubsub.server.subscriber.pull(subscription=pubsub.subscription(), max_messages=1, retry=None, timeout=0.2)
    finally:
        pubsub.server.command("hold", 20)


def test_it_ends_with_its_standard_input() -> None:
    """So none is left behind, whatever ends the tests."""
    process = subprocess.run([PUBSUB_EMULATOR.path()], input="", capture_output=True, text=True, timeout=30, check=True)
    assert process.stdout.startswith("127.0.0.1:")


def test_two_of_them_listen_on_ports_of_their_own() -> None:
    with emulator.started() as one, emulator.started() as other:
        assert one.address != other.address
