"""Handing requests on by the topic that the function takes its requests from."""

import time
from collections.abc import Sequence
from enum import Enum, auto
from functools import partial

from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.settings import VARIABLES, Settings
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, QueueUnavailable
from matomo_fn.sync.hand_on import FanOut, calls_within
from matomo_fn.values import encode, utf8

# Seconds that a run has which a message starts: Pub/Sub's acknowledgement deadline is 600 at most, and of these the
# function's timeout and the time budget take 30 and 60 (terraform/locals.tf).
MESSAGE_SECONDS = 510
# For publishing, retries included: a run that hands its rest on is near its end, and has 60 seconds for all the rest.
_PUBLISH_SECONDS = 20.0
# Bytes of one publish request, of 10 MB (pubsub/quotas).
_MOST_BYTES = 8_000_000


class Handing(Enum):
    """What of a request is handed on."""

    NOTHING = auto()
    WHAT_IS_TOO_MUCH = auto()
    EVERYTHING = auto()


def fan_out_of(
    settings: Settings, connector: Connector, request: SyncRequest, deadline: Deadline, handing: Handing
) -> FanOut | None:
    """Return how a request is handed on; None where it is not, since nobody wants it or there is no topic.

    Raises InputError where it is wanted and cannot be.
    """
    if handing is Handing.EVERYTHING:
        _refuse_what_cannot_be_handed_on(settings, request)
    if handing is Handing.NOTHING or not settings.requests_topic:
        return None
    count = partial(calls_within, connector=connector, seconds_per_call=settings.seconds_per_call)
    seconds = min(settings.time_budget or MESSAGE_SECONDS, MESSAGE_SECONDS)
    own: int | None = 0
    if handing is Handing.WHAT_IS_TOO_MUCH:
        own = count(deadline.time_for_requests()) if settings.time_budget else None
    path = f"projects/{settings.project}/topics/{settings.requests_topic}"
    return FanOut(partial(_publish, settings.pubsub_emulator, path), own, count(Deadline(seconds).time_for_requests()))


def _refuse_what_cannot_be_handed_on(settings: Settings, request: SyncRequest) -> None:
    if not settings.requests_topic:
        raise InputError(
            f"{VARIABLES['requests_topic']} is not set: it names the topic that the function takes its requests from"
        )
    if request.rebuilds:
        raise InputError(
            "request: a full_refresh that names tables rebuilds them, which is one run's: leave out --detach, or tables"
        )


def _publish(emulator: str, path: str, requests: Sequence[SyncRequest]) -> None:
    """Publish requests as messages; raise QueueUnavailable where not all of them are known to be published."""
    # Here, since few runs have a need of it.
    from matomo_fn.pubsub import FAILURES, PubsubMessage, batches, publisher, retry_for, told

    end = time.monotonic() + _PUBLISH_SECONDS
    for part in batches([utf8(encode(request.as_json())) for request in requests], _MOST_BYTES):
        seconds = max(1.0, end - time.monotonic())
        try:
            messages = [PubsubMessage(data=data) for data in part]
            publisher(emulator).publish(topic=path, messages=messages, retry=retry_for(seconds), timeout=seconds)
        except FAILURES as error:
            missing = f"correct {VARIABLES['requests_topic']}"
            raise QueueUnavailable(told(path, error, missing)) from None
