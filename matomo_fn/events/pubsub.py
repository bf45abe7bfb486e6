"""Calls in Pub/Sub: published in order within a visitor, and pulled as a Queue.

A connector has one topic and one pull subscription, ordered and exactly once, both of the name ``events_name``.

https://cloud.google.com/pubsub/docs/ordering and https://cloud.google.com/pubsub/docs/exactly-once-delivery
"""

import functools
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import structlog
from google.api_core import exceptions

from matomo_fn.config.settings import Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, QueueUnavailable
from matomo_fn.events.model import Call
from matomo_fn.events.queue import Received
from matomo_fn.pubsub import (
    FAILURES,
    MOST_MESSAGES,
    PubsubMessage,
    batches,
    is_connected,
    publisher,
    retry_for,
    subscriber,
    told,
)
from matomo_fn.values import encode, utf8

log = structlog.get_logger()

# Seconds for publishing what one request brought, retries included. Webhooks commonly wait five to ten seconds for an
# answer, and one that has given up before it comes sends all of it again.
PUBLISH_SECONDS = 4.0
# Visitors whose calls are published side by side. A publish request has messages of one ordering key only.
_SIDE_BY_SIDE = 32
# Seconds that a pull waits for the first message and for more of them, and that pulls go on where little arrives.
_FIRST_SECONDS, _MORE_SECONDS, _GATHER_SECONDS = 5.0, 1.0, 15.0
# Seconds for acknowledging or releasing messages, and the least of them where the run's time is over: without it,
# what was delivered comes again.
_SETTLE_SECONDS, _LEAST_SECONDS = 30.0, 1.0
# Between two attempts at what Pub/Sub refused for the moment.
_PAUSE_SECONDS = 0.5
# Bytes of acknowledgement ids that one call may have, of 512 KiB for the whole request (pubsub/quotas).
_MOST_ID_BYTES = 400_000
_MOST_ATTRIBUTE_BYTES = 1_024
_ADVICE = "give the connector `events` in Terraform, which creates it"


def events_name(connector: str) -> str:
    """Return the name of a connector's topic and of its subscription."""
    return f"matomo-{connector}-events"


class EventTopic:
    """The topic that a connector's calls are published to; thread-safe."""

    def __init__(self, settings: Settings, connector: str) -> None:
        self._connector = connector
        self._path = f"projects/{_project(settings)}/topics/{events_name(connector)}"
        self._client = publisher(settings.pubsub_emulator)

    def publish(self, calls: Sequence[Call]) -> frozenset[int]:
        """Publish calls, those of a visitor in their order, and return the positions of those that were taken.

        Where one is not taken, none that follows it of the same visitor is. Raises QueueUnavailable where none is. A
        call may be published though it is not among those that were taken, where the answer was lost.
        """
        end = time.monotonic() + PUBLISH_SECONDS
        by_visitor: dict[str, list[int]] = {}
        for position, call in enumerate(calls):
            by_visitor.setdefault(_ordering_key(self._connector, call), []).append(position)

        def publish_visitor(key: str) -> tuple[list[int], str]:
            messages = [(position, self._message(calls[position], key)) for position in by_visitor[key]]
            return self._publish_in_order(messages, end)

        outcomes = _side_by_side(publish_visitor, list(by_visitor))
        taken = frozenset(position for positions, _ in outcomes for position in positions)
        failures = sorted({failure for _, failure in outcomes if failure})
        if failures and not taken:
            raise QueueUnavailable("; ".join(failures))
        if failures:
            log.warning("events_not_published", connector=self._connector, errors=failures)
        return taken

    def _message(self, call: Call, key: str) -> PubsubMessage:
        attributes = {"connector": self._connector}
        message_id = utf8(call.message_id)
        if len(message_id) <= _MOST_ATTRIBUTE_BYTES:
            attributes["messageId"] = message_id.decode()
        return PubsubMessage(data=utf8(encode(dict(call.data))), attributes=attributes, ordering_key=key)

    def _publish_in_order(self, messages: list[tuple[int, PubsubMessage]], end: float) -> tuple[list[int], str]:
        """Return the positions of one visitor's messages that were taken, and why others were not."""
        taken: list[int] = []
        rest = iter(messages)
        while part := list(islice(rest, MOST_MESSAGES)):
            seconds = end - time.monotonic()
            if seconds <= 0:
                return taken, f"{self._path} did not take the events within {PUBLISH_SECONDS:g} seconds"
            try:
                self._client.publish(
                    topic=self._path,
                    messages=[message for _, message in part],
                    retry=retry_for(seconds),
                    timeout=seconds,
                )
            except FAILURES as error:
                return taken, told(self._path, error, _ADVICE)
            taken += [position for position, _ in part]
        return taken, ""


class PubSubQueue:
    """The Queue of a connector's calls: its subscription.

    A message that is neither acknowledged nor released is pulled again when its acknowledgement deadline is over, and
    with it the later ones of its visitor. Messages have to be acknowledged in the order in which they were pulled.
    """

    def __init__(self, settings: Settings, connector: str, deadline: Deadline) -> None:
        self._connector = connector
        self._path = f"projects/{_project(settings)}/subscriptions/{events_name(connector)}"
        self._client = subscriber(settings.pubsub_emulator)
        self._deadline = deadline

    def pull(self, most: int) -> tuple[Received, ...]:
        """Return at most so many messages, in order within a visitor; none where nothing waits or the time is over.

        It gathers for some seconds, since Pub/Sub answers with no more than a thousand, and with fewer as it likes.
        """
        received: list[Received] = []
        end = time.monotonic() + _GATHER_SECONDS
        seconds = _FIRST_SECONDS
        while len(received) < most and time.monotonic() < end and self._deadline.allows_requests():
            try:
                found = self._pull(min(most - len(received), MOST_MESSAGES), self._deadline.limit_request(seconds))
            except QueueUnavailable:
                if not received:
                    raise
                break  # what was pulled is delivered; the next pull reports it
            if not found:
                break
            received += found
            seconds = _MORE_SECONDS
        return tuple(received)

    def _pull(self, most: int, seconds: float) -> list[Received]:
        try:
            answer = self._client.pull(
                subscription=self._path, max_messages=most, retry=retry_for(seconds), timeout=seconds
            )
        except (exceptions.DeadlineExceeded, exceptions.Cancelled):
            # Pub/Sub waits longer for a message than we do, and a server that notices first that our time is over
            # cancels the call; or there is no way to it, which must not look the same.
            if not is_connected(self._client.transport):
                raise QueueUnavailable(f"Pub/Sub cannot be reached for {self._path}: no answer") from None
            return []
        except FAILURES as error:
            raise QueueUnavailable(told(self._path, error, _ADVICE)) from None
        return [
            Received(each.message.data, each.ack_id, f"message {each.message.message_id}")
            for each in answer.received_messages
        ]

    def acknowledge(self, messages: Sequence[Received]) -> None:
        """Take messages as done; one whose deadline is over is logged, since it comes again."""
        self._settle("acknowledge", messages, functools.partial(self._client.acknowledge, subscription=self._path))

    def release(self, messages: Sequence[Received]) -> None:
        """Give messages back; with each come all later ones of its visitor. One that is back already is logged."""
        refuse = functools.partial(self._client.modify_ack_deadline, subscription=self._path, ack_deadline_seconds=0)
        self._settle("release", messages, refuse)

    def _settle(self, what: str, messages: Sequence[Received], send: Callable[..., None]) -> None:
        end = time.monotonic() + max(_LEAST_SECONDS, self._deadline.limit(_SETTLE_SECONDS))
        refused: list[str] = []
        for part in batches([message.handle for message in messages], _MOST_ID_BYTES):
            refused += self._settle_part(part, send, end)
        if refused:
            of_handle = {message.handle: message.origin for message in messages}
            origins = [of_handle[handle] for handle in refused]
            log.warning(
                "messages_not_settled", connector=self._connector, what=what, count=len(refused), messages=origins
            )

    def _settle_part(self, handles: list[str], send: Callable[..., None], end: float) -> list[str]:
        """Send acknowledgement ids of one request and return those that were refused."""
        refused: list[str] = []
        while handles:
            seconds = max(_LEAST_SECONDS, end - time.monotonic())
            try:
                send(ack_ids=handles, retry=retry_for(seconds), timeout=seconds)
            except exceptions.GoogleAPICallError as error:
                reasons = _reasons(error)
                if not reasons:
                    raise QueueUnavailable(told(self._path, error, _ADVICE)) from None
                # What is not named was taken.
                again = [handle for handle in handles if reasons.get(handle, "").startswith("TRANSIENT_")]
                refused += [handle for handle in handles if handle in reasons and handle not in again]
                if time.monotonic() + _PAUSE_SECONDS >= end:
                    return refused + again
                handles = again
            except FAILURES as error:
                raise QueueUnavailable(told(self._path, error, _ADVICE)) from None
            else:
                return refused
            if handles:
                self._deadline.pause_writing(_PAUSE_SECONDS)
        return refused


def _reasons(error: exceptions.GoogleAPICallError) -> Mapping[str, str]:
    """Return why acknowledgement ids of a subscription that is exactly once were refused, by id."""
    return dict(error.metadata or {}) if error.reason == "EXACTLY_ONCE_ACKID_FAILURE" else {}


def _ordering_key(connector: str, call: Call) -> str:
    """Return what calls of a visitor have in common, without telling who it is: metadata is seen by more people."""
    return hashlib.sha256(utf8(f"{connector} {call.visitor_key}")).hexdigest()[:32]


def _side_by_side(do: Callable[[str], Any], keys: Sequence[str]) -> list[Any]:
    if len(keys) <= 1:
        return [do(key) for key in keys]
    with ThreadPoolExecutor(min(len(keys), _SIDE_BY_SIDE), thread_name_prefix="publish") as pool:
        return list(pool.map(do, keys))


def _project(settings: Settings) -> str:
    if not settings.project:
        raise InputError(
            "GOOGLE_CLOUD_PROJECT is not set: it names the project of the Pub/Sub topic that events wait in "
            "(to deliver events without Pub/Sub, name a file: matomo-fn deliver CONNECTOR --file events.jsonl)"
        )
    return settings.project
