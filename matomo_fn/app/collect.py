"""What the entry point for events does: Segment's request in, its calls in Pub/Sub.

It is open to the internet, since Segment cannot sign in with Google. So it does nothing but verify, validate and
publish, it tells strangers nothing, and it never reads the token.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import structlog

from matomo_fn.app.begin import begin_request
from matomo_fn.app.collector import find_collector
from matomo_fn.app.paths import COLLECT
from matomo_fn.config.settings import Settings
from matomo_fn.config.signature import DIGITS
from matomo_fn.errors import InputError, MatomoFnError, QueueUnavailable
from matomo_fn.events.calls import MOST_BATCH_BYTES, Batch, read_batch
from matomo_fn.redaction import redact_value
from matomo_fn.unforeseen import note_unforeseen

log = structlog.get_logger()

_SIGNATURE = re.compile(r"[0-9a-fA-F]+")
# Sentences of an answer. A batch of 500 kB may be of 250,000 things that are no call.
_MOST_PROBLEMS = 1_000

# Answers that strangers get, so they say the same whatever the reason is.
_WRONG_METHOD = "POST Segment's calls to /collect/CONNECTOR"
_NO_CONNECTOR = "there is no connector that collects events at this path: POST to /collect/CONNECTOR"
_WRONG_SIGNATURE = "the signature is missing or wrong: X-Signature has to be the HMAC of the body by the shared secret"
_TOO_LARGE = f"the body is too large: a request can have {MOST_BATCH_BYTES} bytes; send several"
_INCOMPLETE = "the body ended before it was whole: send the request again"
_LATER = "events cannot be collected at the moment: send the request again"


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """A request over HTTP. ``read``: returns at most so many bytes of its body, and none at its end."""

    method: str
    path: str
    headers: Mapping[str, str]
    read: Callable[[int], bytes]


class _RefusedError(Exception):
    """A request that ends before its calls are looked at. ``status`` and sentence are for strangers too.

    ``kind``: the class of the error that ended it, for the log.
    """

    def __init__(self, status: HTTPStatus, sentence: str, kind: str = "") -> None:
        self.status = status
        self.kind = kind
        super().__init__(sentence)


def handle_collect(request: CollectRequest) -> tuple[int, dict[str, Any] | None]:
    """Return the status and the JSON answer of a request to collect events.

    200 where all calls are published; 400 with every problem by the call's index, the good ones published; 401 without
    the right signature; 404 for a connector that collects none; 405 where it is no POST; 413 for a body that is too
    large; 503 where something does not work for the moment or is not configured, so that Segment tries again; 500 for
    what nobody foresaw. A GET of / is 200, for checks of health. Reads no body before it has to.
    """
    if request.method == "OPTIONS":
        return HTTPStatus.NO_CONTENT, None
    if request.method in ("GET", "HEAD") and request.path in ("/", COLLECT, COLLECT.rstrip("/")):
        return HTTPStatus.OK, {"status": "ready"}
    try:
        return _collect(request)
    except _RefusedError as error:
        more = {"kind": error.kind} if error.kind else {}
        log.warning("collect_refused", status=int(error.status), problems=[str(error)], **more)
        return error.status, _failure(str(error))
    except MatomoFnError as error:
        log.error("collect_failed", errors=list(error.sentences))
        return HTTPStatus.SERVICE_UNAVAILABLE, _failure(_LATER)
    except Exception as error:  # noqa: BLE001 - the caller gets a sentence, whatever happened
        return HTTPStatus.INTERNAL_SERVER_ERROR, _failure(note_unforeseen(error))


def _collect(request: CollectRequest) -> tuple[int, dict[str, Any]]:
    headers = {name.lower(): value for name, value in request.headers.items()}
    settings = begin_request(headers)
    signature = headers.get("x-signature", "").strip()
    if request.method != "POST":
        raise _RefusedError(HTTPStatus.METHOD_NOT_ALLOWED, _WRONG_METHOD)
    # No secret is read, and no body, of a request that is not even signed.
    if len(signature) not in DIGITS.values() or not _SIGNATURE.fullmatch(signature):
        raise _RefusedError(HTTPStatus.UNAUTHORIZED, _WRONG_SIGNATURE)
    length = headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length[:20]) > MOST_BATCH_BYTES:
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
    collector = find_collector(settings, request.path.rstrip("/").rpartition("/")[2])
    if collector is None:
        raise _RefusedError(HTTPStatus.NOT_FOUND, _NO_CONNECTOR)
    collector.signature.protect()
    body = _read_body(request.read)
    if not collector.signature.signed(body, signature, collector.events.signature):
        raise _RefusedError(HTTPStatus.UNAUTHORIZED, _WRONG_SIGNATURE)
    try:
        batch = read_batch(body, received_at=datetime.now(UTC))
    except InputError as error:
        log.warning("collect_refused", connector=collector.connector, status=400, problems=list(error.problems))
        return HTTPStatus.BAD_REQUEST, redact_value(_answer("refused", collector.connector, 0, error.problems))
    return _publish(settings, collector.connector, batch)


def _read_body(read: Callable[[int], bytes]) -> bytes:
    """Return the body, of which no more is read than a request can have."""
    body = b""
    try:
        while len(body) <= MOST_BATCH_BYTES and (part := read(MOST_BATCH_BYTES + 1 - len(body))):
            body += part
    except Exception as error:  # noqa: BLE001 - each server has classes of its own for a connection that broke
        raise _RefusedError(HTTPStatus.BAD_REQUEST, _INCOMPLETE, type(error).__name__) from None
    if len(body) > MOST_BATCH_BYTES:
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TOO_LARGE)
    return body


def _publish(settings: Settings, connector: str, batch: Batch) -> tuple[int, dict[str, Any]]:
    # Imported here: it takes a third of a second, and a sync has no need of it.
    from matomo_fn.events.pubsub import EventTopic

    failures: tuple[str, ...] = ()
    published = 0
    if batch.calls:
        try:
            published = len(EventTopic(settings, connector).publish(tuple(batch.calls.values())))
        except QueueUnavailable as error:
            failures = error.sentences
    missing = len(batch.calls) - published
    tell = log.error if missing else log.warning if batch.problems else log.info
    tell(
        "events_collected",
        connector=connector,
        calls=len(batch.calls) + len(batch.problems),
        published=published,
        refused=len(batch.problems),
        **({"errors": list(failures)} if failures else {}),
    )
    sentences = [f"call {index}: {problem}" for index, each in sorted(batch.problems.items()) for problem in each]
    if missing:
        # The whole request again: what is published twice is delivered once, by its messageId.
        answer = _answer("failed", connector, published, [_LATER, *sentences])
        return HTTPStatus.SERVICE_UNAVAILABLE, redact_value(answer)
    if sentences:
        answer = _answer("partial" if published else "refused", connector, published, sentences)
        return HTTPStatus.BAD_REQUEST, redact_value(answer)
    return HTTPStatus.OK, _answer("published", connector, published, ())


def _answer(status: str, connector: str, published: int, sentences: Sequence[str]) -> dict[str, Any]:
    more = [f"and {len(sentences) - _MOST_PROBLEMS} more problems"] if len(sentences) > _MOST_PROBLEMS else []
    return {
        "status": status,
        "connector": connector,
        "published": published,
        "errors": [*sentences[:_MOST_PROBLEMS], *more],
    }


def _failure(sentence: str) -> dict[str, Any]:
    """Return the answer to a request that came to nothing: nothing but the sentence.

    It is one of ours and is not redacted: a mask in the place of a word would tell strangers that the secret has it.
    """
    return {"status": "failed", "errors": [sentence]}
