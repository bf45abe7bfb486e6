"""Reading Segment's calls, one or a batch: every problem of each is a sentence with its path.

https://segment.com/docs/connections/spec/common/ and, for batches and limits,
https://segment.com/docs/connections/sources/catalog/libraries/server/http-api/#batch
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from matomo_fn.config.validation import suggestion
from matomo_fn.errors import InputError
from matomo_fn.events.call_times import occurred_at, read_moment
from matomo_fn.events.fields import as_text
from matomo_fn.events.json_problems import MOST_LEVELS, json_problems
from matomo_fn.events.model import Call, CallType
from matomo_fn.values import encode, printable, shown

# Segment's limits: "500KB per request, with a limit of 32KB per event in the batch".
MOST_BATCH_BYTES = 500 * 1_024
MOST_CALL_BYTES = 32 * 1_024
# Segment's too, though only its support says so: https://github.com/segmentio/segment-docs/issues/5924
_MOST_MESSAGE_ID = 100
_TYPES = tuple(kind.value for kind in CallType)
_OBJECTS = ("properties", "traits", "context", "integrations")
_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class Batch:
    """The calls of a request that can be delivered, and the problems of the others, each by its index."""

    calls: Mapping[int, Call] = field(repr=False)
    problems: Mapping[int, tuple[str, ...]]


def read_call(value: object, *, now: datetime | None = None) -> Call:
    """Return the call that a value of JSON is, or raise an InputError with a sentence for each problem.

    ``now``: the present, which the time of the call has to be near enough to; without it the call's ``receivedAt``.
    """
    if not isinstance(value, Mapping):
        raise InputError(f"a call has to be a JSON object, not {_kind(value)}")
    # What is wrong with the JSON itself comes first: the other sentences repeat parts of it.
    problems = list(json_problems(value))
    if not problems:
        problems = [*_type_problems(value), *_id_problems(value), *_object_problems(value)]
        try:
            moment = occurred_at(value, now)
        except InputError as error:
            problems += error.problems
        else:
            if not problems:
                return Call(
                    type=CallType(value["type"]),
                    message_id=as_text(value["messageId"]),
                    anonymous_id=as_text(value.get("anonymousId")),
                    user_id=as_text(value.get("userId")),
                    occurred_at=moment,
                    data=value,
                )
    told = [printable(problem) for problem in problems[:_MOST_PROBLEMS]]  # they repeat what was sent
    more = len(problems) - _MOST_PROBLEMS
    raise InputError([*told, f"and {more} more problems"] if more > 0 else told)


def read_batch(body: bytes, *, received_at: datetime) -> Batch:
    """Return the calls of a request's body: one call, or {"batch": [...]} of them.

    As Segment's own API does, ``received_at`` becomes the receivedAt of a call that has none, and what the sender says
    of all (sentAt, context, integrations) is merged into each. Raises InputError where no call can be told from
    another.
    """
    if len(body) > MOST_BATCH_BYTES:
        raise InputError(f"the body has {len(body)} bytes: a batch can have {MOST_BATCH_BYTES}; send several")
    calls: dict[int, Call] = {}
    problems: dict[int, tuple[str, ...]] = {}
    for index, value in enumerate(values_of(_read_json(body))):
        try:
            calls[index] = _read_received(value, received_at)
        except InputError as error:
            problems[index] = error.problems
    return Batch(calls, problems)


def _read_json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except UnicodeDecodeError:
        raise InputError("the body is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise InputError(
            f"the body is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except RecursionError:
        raise InputError(f"the body is nested too deeply: a call can have {MOST_LEVELS} levels") from None
    except ValueError:  # Python converts no more than 4,300 digits
        raise InputError("the body has a number with too many digits: send it as a string") from None


def values_of(body: Any) -> list[Any]:
    """Return the values that a body has as calls: itself, or those of its batch with what the batch says of all."""
    if not isinstance(body, dict):
        raise InputError(f"the body has to be a call, or an object with a list of calls as batch, not {_kind(body)}")
    if "batch" not in body:
        return [body]
    batch = body["batch"]
    if not isinstance(batch, list):
        raise InputError(f"batch has to be a list of calls, not {_kind(batch)}")
    if not batch:
        raise InputError("batch has no calls: send at least one")
    common = {name: body[name] for name in ("context", "integrations") if body.get(name) is not None}
    wrong = [name for name, value in common.items() if not isinstance(value, dict)]
    if wrong:
        raise InputError([f"{name} of the batch has to be an object, not {_kind(body[name])}" for name in wrong])
    return [_with_common(value, common, body.get("sentAt")) for value in batch]


def _with_common(value: Any, common: Mapping[str, dict[str, Any]], sent_at: Any) -> Any:
    """Return a call of a batch with what the batch says of all its calls; what the call itself says counts."""
    if not isinstance(value, dict):
        return value
    merged = dict(value)
    for name, shared in common.items():
        own = merged.get(name)
        if own is None or isinstance(own, dict):
            merged[name] = {**shared, **(own or {})}
    if sent_at is not None and merged.get("sentAt") is None:
        merged["sentAt"] = sent_at
    return merged


def _read_received(value: Any, received_at: datetime) -> Call:
    """Return a call that may come from a library of Segment and not from Segment, which would have completed it."""
    if not isinstance(value, dict):
        return read_call(value)
    # A source's key is no part of a call, and not for Pub/Sub.
    call = {name: part for name, part in value.items() if name != "writeKey"}
    if call.get("receivedAt") is None:
        call["receivedAt"] = received_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        # A library's timestamp is by the clock of its machine: Segment keeps it as originalTimestamp and corrects it.
        if call.get("originalTimestamp") is None and _is_moment(call.get("timestamp")):
            call["originalTimestamp"] = call.pop("timestamp")
    found = read_call(call, now=received_at)
    size = len(encode(call).encode())
    if size > MOST_CALL_BYTES:
        raise InputError(f"the call has {size} bytes: a call can have {MOST_CALL_BYTES}; leave out properties")
    return found


def _is_moment(value: Any) -> bool:
    try:
        read_moment(value)
    except ValueError:
        return False
    return True


def _kind(value: object) -> str:
    """Return what a value is, without repeating it: it may be deep, long, or no valid text."""
    names = {
        dict: "an object",
        list: "a list",
        str: "a string",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return names.get(type(value), "null")


def _type_problems(call: Mapping[str, Any]) -> Iterator[str]:
    kind = call.get("type")
    if kind is None:
        yield f"type is missing: it has to be one of {', '.join(_TYPES)}"
    elif not isinstance(kind, str) or kind not in _TYPES:
        hint = suggestion(kind, _TYPES) if isinstance(kind, str) else f"known are {', '.join(_TYPES)}"
        yield f"type is {shown(kind)}, which is no call of Segment: {hint}"
    elif kind == CallType.TRACK:
        event = call.get("event")
        if event is None or event == "":
            yield "event is missing: a track call needs the name of what happened"
        elif not isinstance(event, str) or not as_text(event):
            yield f"event is {shown(event)}: it has to be the name of what happened"


def _id_problems(call: Mapping[str, Any]) -> Iterator[str]:
    ids = {name: call.get(name) for name in ("messageId", "anonymousId", "userId")}
    for name, value in ids.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            yield f"{name} has to be a string, not {shown(value)}"
    if ids["messageId"] is None or ids["messageId"] == "":
        yield "messageId is missing: give each call an id of its own, so that it is delivered once"
    elif isinstance(ids["messageId"], str):
        yield from _message_id_problems(ids["messageId"])
    if not any(isinstance(ids[name], str | int) and as_text(ids[name]) for name in ("anonymousId", "userId")):
        yield "anonymousId and userId are missing or empty: a call needs one of them, which says whose it is"


def _message_id_problems(message_id: str) -> Iterator[str]:
    if len(message_id) > _MOST_MESSAGE_ID:
        yield f"messageId has {len(message_id)} characters: it can have {_MOST_MESSAGE_ID}"
    if message_id != message_id.strip() or printable(message_id) != message_id:
        yield f"messageId is {shown(message_id)}: it can have no control characters, and no white space around it"


def _object_problems(call: Mapping[str, Any]) -> Iterator[str]:
    for name in _OBJECTS:
        if call.get(name) is not None and not isinstance(call[name], Mapping):
            yield f"{name} has to be an object, not {shown(call[name])}"
