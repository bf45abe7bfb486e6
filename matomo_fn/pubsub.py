"""Google Pub/Sub: its clients, what of its errors a second attempt may cure, and what is told of the rest."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import grpc
from google.api_core import exceptions
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError

# The generated client only: google.cloud.pubsub_v1 adds threads that batch and stream, which a function whose CPU
# stops with its answer cannot rely on, and which a batch pulled each minute has no use for.
from google.pubsub_v1 import PublisherClient, PubsubMessage, SubscriberClient

from matomo_fn.errors import InputError

__all__ = (
    "FAILURES",
    "MOST_MESSAGES",
    "PubsubMessage",
    "batches",
    "is_connected",
    "publisher",
    "retry_for",
    "subscriber",
    "told",
)

Sized = TypeVar("Sized", str, bytes)

# Messages that one call may publish or pull (pubsub/quotas).
MOST_MESSAGES = 1_000
# What a call raises that did not come to its end.
FAILURES = (exceptions.GoogleAPICallError, exceptions.RetryError, GoogleAuthError, OSError)
# For the state of a connection, which another thread tells.
_READY_SECONDS = 0.5

# What a second attempt may cure. gRPC's own reconnecting is within the first.
_IS_TRANSIENT = if_exception_type(
    exceptions.Aborted,
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.TooManyRequests,
    exceptions.Unknown,
)


# A channel is opened once: its handshake takes longer than publishing.
@functools.lru_cache(maxsize=1)
def publisher(emulator: str) -> PublisherClient:
    """Return the client that publishes; ``emulator``: the address of one, or "" for Google."""
    client: PublisherClient = _opened(PublisherClient, emulator)
    return client


@functools.lru_cache(maxsize=1)
def subscriber(emulator: str) -> SubscriberClient:
    """Return the client that pulls; ``emulator``: the address of one, or "" for Google."""
    client: SubscriberClient = _opened(SubscriberClient, emulator)
    return client


def batches(items: Sequence[Sized], most_bytes: int) -> Iterator[list[Sized]]:
    """Yield texts or messages in their order, as many as one call may have; ``most_bytes``: of a call."""
    batch: list[Sized] = []
    size = 0
    for item in items:
        if batch and (len(batch) == MOST_MESSAGES or size + len(item) > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += len(item)
    if batch:
        yield batch


def retry_for(seconds: float) -> Retry:
    """Return how a call is repeated for so many seconds."""
    return Retry(predicate=_IS_TRANSIENT, initial=0.1, maximum=1.0, multiplier=2.0, timeout=seconds)


def told(path: str, error: Exception, missing: str) -> str:
    """Return a sentence on why Pub/Sub did not do it; ``missing``: what to do where ``path`` is not there.

    The error's own text is left out: it may repeat a message.
    """
    cause = error.cause if isinstance(error, exceptions.RetryError) and error.cause else error
    name = path.rpartition("/")[2]
    match cause:
        case exceptions.NotFound():
            return f"there is no {path}: {missing}"
        case exceptions.PermissionDenied() | exceptions.Unauthenticated():
            role = "publisher" if "/topics/" in path else "subscriber"
            return f"{path} may not be used: give the function's service account the role roles/pubsub.{role} on {name}"
        case _:
            return f"Pub/Sub failed for {path}: {type(cause).__name__}"


def is_connected(transport: Any) -> bool:
    """Return whether a connection stands, which takes no time to tell where it does; ``transport``: that of gRPC."""
    ready = grpc.channel_ready_future(transport.grpc_channel)
    try:
        ready.result(timeout=_READY_SECONDS)
    except grpc.FutureTimeoutError:
        ready.cancel()
        return False
    return True


def _opened(client: Any, emulator: str) -> Any:
    if emulator:
        # A thousand messages have up to 10 MB; the library opens its own channels without a limit too.
        channel = grpc.insecure_channel(emulator, [("grpc.max_receive_message_length", -1)])
        return client(transport=client.get_transport_class("grpc")(channel=channel))
    try:
        return client()
    except DefaultCredentialsError:
        raise InputError(
            "there are no Google credentials for Pub/Sub: run `gcloud auth application-default login`"
        ) from None
