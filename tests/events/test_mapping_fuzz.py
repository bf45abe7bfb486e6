"""Whatever is sent: a call is refused with sentences, or becomes hits that can be sent, or nothing with a reason."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from hypothesis import example, given, settings
from hypothesis import strategies as st

from matomo_fn.config.events import EventsConfig
from matomo_fn.errors import InputError
from matomo_fn.events.calls import MOST_CALL_BYTES, read_batch, read_call
from matomo_fn.events.mapping import map_call
from matomo_fn.values import printable
from tests.events.mapping_examples import CALL, EXAMPLES, Example

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from matomo_fn.events.model import Call

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
CONFIG = EventsConfig.model_validate(
    {
        "site": "7",
        "goals": {"Sold": 1, "order completed": 2},
        "dimensions": {"traits.plan": 1, "properties.name": 2, "context.ip": 3, "context.app": 4},
        "ip": "full",
    }
)
SECRETIVE = EventsConfig.model_validate({**CONFIG.model_dump(), "dimensions": {}, "ip": "none"})

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

TEXTS = ["", "0", " ", "1e999", "12,50", "$5", "https://e.com/?a=%zz#x", "https://[", "unknown", "8.8.8.8", "::1"]
TEXTS += [
    "é" * 2_000,
    "2026-11-21T04:08:31Z",
    "Europe/Berlin",
    "../x",
    "\x00",
    "&<>\"'",
    "Order Completed",
    "Sold",
    "page",
]
EVENTS = ["Sold", "Order Completed", "Cart Viewed", "Product Added", "Product Removed", "Product Viewed"]
EVENTS += ["Product List Viewed", "Products Searched"]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30)
    | st.sampled_from(TEXTS)
)
# What JSON's text, or a reader of it, can have and a call cannot; one such value refuses the whole call.
wild = (
    st.floats(allow_nan=True) | st.integers() | st.text(st.characters(codec=None), max_size=30) | st.sampled_from(TEXTS)
)
# The names that the mapping looks at, so that the values of wrong types stand where they hurt.
NAMES = """
    type event messageId userId anonymousId timestamp sentAt receivedAt originalTimestamp batch All Matomo Piwik
    customVars 1 properties traits context integrations page campaign screen width height timezone locale ip userAgent
    userAgentData brands mobile brand version app namespace name category categories label value revenue total subtotal
    tax order_id products sku product_id price quantity query results_count plan source medium term content url title
    path referrer search
"""
names = st.sampled_from(NAMES.split()) | st.text(max_size=5)


def values_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of JSON with some leaves."""
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=8
    )


def calls_of(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Calls that are whole, but for what they have of some leaves."""
    objects = st.dictionaries(names, values_of(leaves), max_size=6)
    optional = {
        "event": st.sampled_from(EVENTS),
        "name": leaves,
        "userId": leaves,
        "properties": objects,
        "traits": objects,
        "context": objects | st.fixed_dictionaries({"page": objects, "campaign": objects, "screen": objects}),
        "integrations": objects,
        "timestamp": leaves | st.just(CALL["timestamp"]),
    }
    kinds = st.sampled_from(["page", "screen", "track", "track", "track", "identify", "group"])
    drawn = st.fixed_dictionaries({"type": kinds}, optional=optional)
    return drawn.map(lambda call: {"event": "Sold", **CALL, **call})


values = values_of(scalars)
calls = calls_of(scalars)
wild_calls = calls_of(wild)


def optional_places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The ways to everything within properties, context, traits and integrations."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        if path:
            yield (*path, key)
        if path or key in ("properties", "context", "traits", "integrations"):
            yield from optional_places(part, (*path, key))


WITH_OPTIONAL = [
    one for examples in EXAMPLES.values() for one in examples.values() if any(optional_places(one.whole_call))
]


def problems_of(call: Callable[[], object]) -> tuple[str, ...]:
    """The sentences that something is refused with; none where it is not."""
    try:
        call()
    except InputError as error:
        return error.problems
    return ()


def check_sentences(problems: Iterable[str]) -> None:
    """A sentence can be sent and shown."""
    for sentence in problems:
        assert printable(sentence) == sentence
        assert len(sentence) < 400, sentence
        sentence.encode()


def check_hits(call: Call) -> None:
    """Each hit of a call can be sent as it is, and says what the configuration lets it say."""
    found = map_call(call, CONFIG)
    assert bool(found.hits) != bool(found.skipped)
    # What Pub/Sub keeps of a call becomes the same hits.
    assert found == map_call(read_call(json.loads(json.dumps(dict(call.data)))), CONFIG)
    for hit in found.hits:
        parameters = dict(hit.parameters)
        assert all(type(text) is str and text for text in parameters.values()), parameters
        assert dict(parse_qsl(urlencode(parameters), strict_parsing=True)) == parameters
        assert datetime.fromisoformat(parameters["cdt"] + "+00:00") == hit.occurred_at
        assert not [name for name, text in parameters.items() if CONTROL.search(text)], parameters
        assert max(map(len, parameters.values())) <= MOST_CALL_BYTES
        for name in ("uadata", "cvar", "ec_items"):
            assert isinstance(json.loads(parameters.get(name, "{}"), parse_constant=refuse), dict | list)
    assert not [hit for hit in map_call(call, SECRETIVE).hits if {"cip", "dimension1"} & set(hit.parameters)]


def refuse(constant: str) -> object:
    raise AssertionError(f"{constant} is no JSON")


@settings(max_examples=100)
@given(calls | wild_calls | values_of(wild))
def test_any_call_is_refused_with_sentences_or_mapped(value: object) -> None:
    """Nothing else is raised."""
    problems = problems_of(lambda: read_call(value, now=NOW))
    check_sentences(problems)
    if not problems:
        check_hits(read_call(value, now=NOW))


@settings(max_examples=75)
@given(
    st.binary(max_size=200)
    | (wild_calls | values_of(wild) | st.lists(calls, max_size=4).map(lambda batch: {"batch": batch})).map(
        lambda value: json.dumps(value).encode()
    )
)
@example(b'{"batch": [{"context": {"a": NaN}}], "context": {"b": 1}}')
def test_any_body_is_refused_or_read_by_index(body: bytes) -> None:
    """Each call of it is either good or has problems."""
    problems = problems_of(lambda: read_batch(body, received_at=NOW))
    check_sentences(problems)
    if problems:
        return
    found = read_batch(body, received_at=NOW)
    assert sorted([*found.calls, *found.problems]) == list(range(len(found.calls) + len(found.problems)))
    for sentences in found.problems.values():
        assert sentences
        check_sentences(sentences)
    for call in found.calls.values():
        check_hits(call)


@settings(max_examples=100)
@given(st.sampled_from(WITH_OPTIONAL), st.data())
def test_an_optional_value_of_any_type_loses_no_event(chosen: Example, data: st.DataObject) -> None:
    """One value of an example of the tables is replaced by whatever JSON can say."""
    whole = json.loads(json.dumps(chosen.whole_call))
    place = data.draw(st.sampled_from(list(optional_places(whole))))
    target = whole
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = data.draw(values)
    problems = problems_of(lambda: read_call(whole))
    carried = ("which JSON has not", "more than 2^53", "half of a surrogate pair")
    assert all(any(phrase in sentence for phrase in carried) for sentence in problems), problems
    if not problems:
        check_hits(read_call(whole))
        skipped = map_call(read_call(whole), chosen.events_config).skipped
        assert not skipped or whole["type"] != "track" or place[0] == "integrations"
