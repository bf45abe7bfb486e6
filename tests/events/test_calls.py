"""Calls are read whole or not at all, and each problem of one is a sentence with its path."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from matomo_fn.errors import InputError
from matomo_fn.events.calls import MOST_BATCH_BYTES, MOST_CALL_BYTES, Batch, read_batch, read_call
from matomo_fn.events.json_problems import MOST_LEVELS
from matomo_fn.events.model import Call, CallType
from tests.events.mapping_examples import CALL, Json

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PAGE: Json = {**CALL, "type": "page"}


def problems(value: object, now: datetime | None = NOW) -> tuple[str, ...]:
    with pytest.raises(InputError) as raised:
        read_call(value, now=now)
    return raised.value.problems


def read(**keys: Any) -> Call:
    return read_call({name: value for name, value in {**PAGE, **keys}.items() if value is not None})


def batch(body: object) -> Batch:
    return read_batch(json.dumps(body).encode(), received_at=NOW)


def nested(levels: int) -> Any:
    value: Any = "end"
    for _ in range(levels):
        value = [value]
    return value


def test_a_call_has_its_ids_and_its_whole_data() -> None:
    """The data is as it was sent; the ids are texts."""
    call = read(userId=7, properties={"a": [1, None]})
    assert (call.type, call.message_id, call.anonymous_id, call.user_id) == (
        CallType.PAGE,
        CALL["messageId"],
        CALL["anonymousId"],
        "7",
    )
    assert call.data == {**PAGE, "userId": 7, "properties": {"a": [1, None]}}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"type": None}, "type is missing: it has to be one of page, screen, track, identify, group, alias"),
        ({"type": "trak"}, "type is \"trak\", which is no call of Segment: did you mean 'track'?"),
        ({"type": ["page"]}, 'type is ["page"], which is no call of Segment: known are page, screen, track,'),
        ({"type": "track"}, "event is missing: a track call needs the name of what happened"),
        ({"type": "track", "event": 3}, "event is 3: it has to be the name of what happened"),
        ({"type": "track", "event": "\n"}, 'event is "\\n": it has to be the name of what happened'),
        ({"messageId": None}, "messageId is missing: give each call an id of its own, so that it is delivered once"),
        ({"messageId": ""}, "messageId is missing: give each call an id of its own, so that it is delivered once"),
        ({"messageId": "x" * 101}, "messageId has 101 characters: it can have 100"),
        ({"messageId": " x"}, 'messageId is " x": it can have no control characters, and no white space around it'),
        ({"messageId": "a\x00"}, 'messageId is "a\\u0000": it can have no control characters, and no white space'),
        ({"messageId": True}, "messageId has to be a string, not true"),
        ({"type": "\u202epage"}, 'type is "\\u202epage", which is no call of Segment: did you mean'),
        ({"userId": {"id": 1}}, 'userId has to be a string, not {"id": 1}'),
        ({"anonymousId": None}, "anonymousId and userId are missing or empty: a call needs one of them"),
        ({"anonymousId": " "}, "anonymousId and userId are missing or empty: a call needs one of them"),
        ({"timestamp": None}, "timestamp is missing: send the time of the call, such as 2026-01-31T12:00:00Z"),
        ({"timestamp": "yesterday"}, 'timestamp is "yesterday", not a time such as 2026-01-31T12:00:00Z'),
        ({"timestamp": 1763712511}, "timestamp is 1763712511, not a time such as 2026-01-31T12:00:00Z"),
        ({"timestamp": "2026-02-30T00:00:00Z"}, 'timestamp is "2026-02-30T00:00:00Z", which is no time of a calendar'),
        ({"sentAt": "now"}, 'sentAt is "now", not a time such as 2026-01-31T12:00:00Z'),
        ({"timestamp": "2026-11-21T13:00:01Z"}, "the time of the call is 2026-11-21T13:00:01Z, which is in the future"),
        ({"timestamp": "2006-11-21"}, "the time of the call is 2006-11-21T00:00:00Z, which is more than 20 years ago"),
        ({"properties": "x"}, 'properties has to be an object, not "x"'),
        ({"context": []}, "context has to be an object, not []"),
        ({"traits": 1}, "traits has to be an object, not 1"),
        ({"integrations": True}, "integrations has to be an object, not true"),
        ({"properties": {"a": [1, {"b": float("nan")}]}}, "properties.a[1].b is nan, which JSON has not: leave it out"),
        ({"properties": {"a": float("-inf")}}, "properties.a is -inf, which JSON has not"),
        ({"properties": {"a": 2**53 + 1}}, "properties.a is more than 2^53, which readers of JSON round: send it as a"),
        ({"properties": {"a": "\ud83d"}}, "properties.a has half of a surrogate pair: cut texts between characters"),
        ({"properties": {"\ud83d": 1}}, "the name of properties.\\ud83d has half of a surrogate pair"),
        ({"properties": {"a": nested(MOST_LEVELS - 1)}}, "[0] is nested too deeply: a call can have 32 levels"),
        ({"properties": {1: 1}}, "properties has the key 1, which is no string"),
        ({"properties": {"a": {1}}}, "properties.a has no type of JSON but set"),
    ],
)
def test_a_problem_is_a_sentence_with_its_path(change: Json, sentence: str) -> None:
    """It says what is wrong, where, and what to do."""
    found = problems({name: value for name, value in {**PAGE, **change}.items() if value is not None})
    assert len(found) == 1
    assert sentence in found[0]


@pytest.mark.parametrize("value", [None, 3, "page", [PAGE], True, float("nan"), "\ud83d", nested(5_000)])
def test_what_is_no_object_is_no_call(value: object) -> None:
    """It is not repeated: it may be of any depth, or no text."""
    (sentence,) = problems(value)
    assert sentence.startswith("a call has to be a JSON object, not ")
    sentence.encode()


def test_every_problem_of_a_call_is_told() -> None:
    """The sender fixes all at once."""
    found = problems({"type": "x", "properties": [], "timestamp": "x", "sentAt": "y"})
    assert [sentence.split()[0] for sentence in found] == [
        "type", "messageId", "anonymousId", "properties", "timestamp", "sentAt",
    ]  # fmt: skip


def test_many_problems_are_told_in_part() -> None:
    """An answer of thousands of sentences helps nobody."""
    found = problems({**PAGE, "properties": {f"p{number}": float("nan") for number in range(50)}})
    assert len(found) == 21
    assert found[-1] == "and 30 more problems"


def test_the_deepest_call_that_is_taken() -> None:
    """One level less than what is refused."""
    read(properties={"a": nested(MOST_LEVELS - 2)})


@pytest.mark.parametrize("integer", [2**53, -(2**53)])
def test_integers_that_doubles_hold_are_taken(integer: int) -> None:
    """JavaScript has no others."""
    assert read(properties={"a": integer}).data["properties"]["a"] == integer


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"timestamp": "2026-11-21T04:08:31.905Z"}, "2026-11-21T04:08:31.905000+00:00"),
        ({"timestamp": "2026-11-21T04:08:31+02:00"}, "2026-11-21T02:08:31+00:00"),
        ({"timestamp": "2026-11-21T04:08:31-0330"}, "2026-11-21T07:38:31+00:00"),
        ({"timestamp": "2026-11-21 04:08:31"}, "2026-11-21T04:08:31+00:00"),
        ({"timestamp": "2026-11-21 04:08:31.5 UTC"}, "2026-11-21T04:08:31.500000+00:00"),
        ({"timestamp": "2026-11-21"}, "2026-11-21T00:00:00+00:00"),
        ({"timestamp": "2015-2-02T00:30:08.276Z"}, "2015-02-02T00:30:08.276000+00:00"),  # Segment's own example
        ({"timestamp": "2026-11-21T04:08:31.123456789Z"}, "2026-11-21T04:08:31.123456+00:00"),
        # Segment has corrected it.
        (
            {"timestamp": "2026-11-21T04:00:00Z", "originalTimestamp": "2026-11-20T00:00:00Z", "sentAt": "2026-11-20"},
            "2026-11-21T04:00:00+00:00",
        ),
        # A clock that is an hour behind: sent 5 seconds after it happened, received at 4:00.
        (
            {
                "originalTimestamp": "2026-11-21T02:59:55Z",
                "sentAt": "2026-11-21T03:00:00Z",
                "receivedAt": "2026-11-21T04:00:00Z",
            },
            "2026-11-21T03:59:55+00:00",
        ),
        (
            {"originalTimestamp": "2026-11-21T02:59:55Z", "receivedAt": "2026-11-21T04:00:00Z"},
            "2026-11-21T02:59:55+00:00",
        ),
        ({"receivedAt": "2026-11-21T04:00:00Z"}, "2026-11-21T04:00:00+00:00"),
    ],
)
def test_the_time_of_a_call_is_corrected_as_segment_does(times: Json, expected: str) -> None:
    """https://segment.com/docs/connections/spec/common/#timestamps."""
    assert read(**{"timestamp": None, **times}).occurred_at.isoformat() == expected


def test_without_a_present_a_call_is_compared_with_its_arrival() -> None:
    """A file of last year's calls is as good as it was then."""
    old = {**PAGE, "timestamp": "2001-01-01T00:00:00Z"}
    read_call(old)
    read_call({**old, "receivedAt": "2001-01-01T00:00:01Z"})
    assert "in the future" in problems({**old, "receivedAt": "2000-12-31T00:00:00Z"}, now=None)[0]


def test_clocks_that_lead_to_no_time_are_a_problem() -> None:
    """The year 9999 and more."""
    times = {"originalTimestamp": "9999-12-31", "sentAt": "0001-01-01", "receivedAt": "2026-11-21"}
    (sentence,) = problems({name: value for name, value in {**PAGE, **times, "timestamp": None}.items() if value})
    assert sentence == "sentAt and originalTimestamp are too far apart: check the clock and the format of both"


def test_a_body_is_one_call() -> None:
    """Its index is 0."""
    found = batch(PAGE)
    assert (list(found.calls), found.problems) == ([0], {})


def test_the_good_calls_of_a_batch_are_read_beside_the_bad() -> None:
    """Both by their index."""
    found = batch({"batch": [PAGE, {"type": "page"}, 3, {**PAGE, "messageId": "other"}]})
    assert [(index, call.message_id) for index, call in found.calls.items()] == [(0, CALL["messageId"]), (3, "other")]
    assert list(found.problems) == [1, 2]
    assert found.problems[2] == ("a call has to be a JSON object, not a number",)


def test_what_a_batch_says_is_said_of_each_call() -> None:
    """The call itself comes first, part by part. A source's key goes nowhere."""
    found = batch(
        {
            "batch": [{**PAGE, "context": {"ip": "1.2.3.4"}, "integrations": None}, {**PAGE, "writeKey": "own"}],
            "context": {"ip": "8.8.8.8", "locale": "de"},
            "integrations": {"All": False},
            "sentAt": "2026-11-21T11:00:00Z",
            "writeKey": "secret",
        }
    )
    first, second = (found.calls[index].data for index in (0, 1))
    assert first["context"] == {"ip": "1.2.3.4", "locale": "de"}
    assert second["context"] == {"ip": "8.8.8.8", "locale": "de"}
    assert first["integrations"] == second["integrations"] == {"All": False}
    assert first["sentAt"] == "2026-11-21T11:00:00Z"
    assert "writeKey" not in {**first, **second}


def test_a_wrong_context_of_a_call_is_its_own_problem() -> None:
    """What the batch says does not hide it."""
    assert batch({"batch": [{**PAGE, "context": "x"}], "context": {"ip": "8.8.8.8"}}).problems == {
        0: ('context has to be an object, not "x"',)
    }


def test_a_call_of_a_library_is_completed_as_segment_would() -> None:
    """Its clock is two hours ahead: it happened 10 seconds before it was sent, and has just arrived."""
    sent = {**PAGE, "timestamp": "2026-11-21T13:59:50Z", "sentAt": "2026-11-21T14:00:00Z"}
    call = batch(sent).calls[0]
    assert call.data["receivedAt"] == "2026-11-21T12:00:00.000Z"
    assert call.data["originalTimestamp"] == sent["timestamp"]
    assert call.occurred_at.isoformat() == "2026-11-21T11:59:50+00:00"
    # What waits in Pub/Sub is read to the same call.
    assert read_call(json.loads(json.dumps(call.data))).occurred_at == call.occurred_at


def test_what_a_call_says_of_its_times_comes_first() -> None:
    """Before its batch and before its timestamp, which is the same time but for a library that says otherwise."""
    own = {"sentAt": "2026-11-21T10:00:00Z", "originalTimestamp": "2026-11-21T09:00:00Z", "timestamp": None}
    call = batch({"batch": [{**PAGE, **own}], "sentAt": "2026-11-21T11:00:00Z"}).calls[0]
    assert call.data["sentAt"] == own["sentAt"]
    assert call.occurred_at.isoformat() == "2026-11-21T11:00:00+00:00"
    both = {"timestamp": "2026-11-21T08:00:00Z", "originalTimestamp": "2026-11-21T09:00:00Z"}
    assert batch({**PAGE, **both}).calls[0].data["originalTimestamp"] == both["originalTimestamp"]


def test_an_hour_ahead_is_what_clocks_may_differ() -> None:
    """Exactly an hour is taken; test_a_problem_is_a_sentence_with_its_path has a second more."""
    read_call({**PAGE, "timestamp": "2026-11-21T13:00:00Z"}, now=NOW)


def test_a_call_of_segment_is_left_as_it_is() -> None:
    """It has a receivedAt, and a timestamp that is right."""
    sent = {**PAGE, "receivedAt": "2026-11-21T04:08:32Z", "sentAt": "2020-01-01"}
    assert batch(sent).calls[0].data == sent


def test_a_call_without_a_time_happened_when_it_came() -> None:
    """As Segment has it: "leave out the timestamp and Segment servers will timestamp the requests for you"."""
    call = batch({name: value for name, value in PAGE.items() if name != "timestamp"}).calls[0]
    assert call.occurred_at == NOW


def test_a_time_that_is_none_is_named_as_it_was_sent() -> None:
    """And not as Segment would rename it."""
    assert batch({**PAGE, "timestamp": "x"}).problems[0][0].startswith('timestamp is "x"')


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not valid JSON: Expecting value (line 1, column 1)"),
        (b"{", "the body is not valid JSON: "),
        (b"\xff\xfe\xfd", "the body is not UTF-8 text"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"[" * 900 + b"]" * 900, "the body has to be a call, or an object with a list of calls as batch, not a list"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "the body has a number with too many digits: send it as a string"),
        (b'"\\ud83d"', "the body has to be a call, or an object with a list of calls as batch, not a string"),
        (b"NaN", "the body has to be a call, or an object with a list of calls as batch, not a number"),
        (b'{"batch": {}}', "batch has to be a list of calls, not an object"),
        (b'{"batch": []}', "batch has no calls: send at least one"),
        (b'{"batch": [1], "context": 1}', "context of the batch has to be an object, not a number"),
        (
            b" " * (MOST_BATCH_BYTES + 1),
            f"the body has {MOST_BATCH_BYTES + 1} bytes: a batch can have {MOST_BATCH_BYTES}",
        ),
    ],
)
def test_a_body_that_cannot_be_taken_apart_is_refused_whole(body: bytes, sentence: str) -> None:
    """No call of it can be told from another."""
    with pytest.raises(InputError) as raised:
        read_batch(body, received_at=NOW)
    assert sentence in str(raised.value)
    str(raised.value).encode()


def test_calls_and_batches_can_be_as_large_as_segments() -> None:
    """500 KB and 32 KB; a call is measured without what the sender wrote it with, such as indentation."""
    longest = MOST_CALL_BYTES - len(json.dumps({**PAGE, "properties": {"a": ""}}, separators=(",", ":"))) - 40
    fits, too_long = ({**PAGE, "properties": {"a": "x" * length}} for length in (longest - 20, longest + 60))
    found = batch({"batch": [fits, too_long]})
    assert list(found.calls) == [0]
    assert found.problems[1][0].endswith("bytes: a call can have 32768; leave out properties")


def test_a_deep_call_in_a_batch_is_its_own_problem() -> None:
    """Also one that Python itself could not write again."""
    found = batch({"batch": [{**PAGE, "properties": {"a": nested(500)}}, PAGE]})
    assert list(found.calls) == [1]
    assert found.problems[0][0].endswith("is nested too deeply: a call can have 32 levels")
