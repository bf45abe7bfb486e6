"""How many inputs are tried, which rule holds for each, and what the inputs are made of.

`make test` tries a few, the same ones every time. `make fuzz` tries 10,000 of each kind from a seed that it prints.
"""

from __future__ import annotations

import copy
import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from matomo_fn.errors import MatomoFnError, UnforeseenError
from matomo_fn.redaction import protect, redact
from tests.support.canary import CANARY, assert_absent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
# Characters of a sentence: a problem that repeats what it is about repeats little of it.
LONGEST_SENTENCE = 4_000


def fuzzed(few: int, *, one_in: int = 1) -> settings:
    """Try so many inputs, the same ones every time; where EXAMPLES is set, as many other ones, of pytest's seed.

    ``one_in``: of so many, one; for a rule whose inputs are those of another one, and that takes a whole run for each.
    """
    return settings(
        max_examples=-(-EXAMPLES // one_in) or few,
        derandomize=not EXAMPLES,
        database=None,
        print_blob=True,
        report_multiple_bugs=False,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def nothing_unforeseen() -> Iterator[None]:
    """Fail where the block logs an error that nobody foresaw, or the token."""
    events: list[dict[str, Any]] = []

    def keep(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep])
    try:
        yield
    finally:
        structlog.configure(**before)
    unforeseen = [event for event in events if event["event"] == "unforeseen_error"]
    assert not unforeseen, unforeseen
    assert_absent(logs=shown(repr(events)))


def outcome_of(do: Callable[[], Any]) -> Any:
    """Return what a call returns, or the error of the program's own that it raises; anything else is a failure."""
    try:
        return do()
    except MatomoFnError as error:
        found = error
    assert not isinstance(found, UnforeseenError), found
    assert found.sentences
    for sentence in found.sentences:
        assert_sentence(sentence)
    return found


def assert_sentence(sentence: str) -> None:
    """A sentence is one that can be shown: not empty, not endless, without the token, and of no error of Python's."""
    assert sentence.strip()
    assert len(sentence) <= LONGEST_SENTENCE, sentence[:500]
    assert "unforeseen" not in sentence, sentence
    assert "Traceback" not in sentence
    assert_absent(sentence=shown(sentence))


def shown(text: str) -> str:
    """A text as it leaves the process, which has sent the token."""
    protect(CANARY)
    return redact(text)


# ---- values

ODD_TEXTS = (
    *("", " ", "0", "-", "-0", "1.5", "12,50", "21%", "NaN", "1e400", "0x10", "true", "null", "many", "é", "😀"),
    *("\x00", "\n", "\ud800", "\udfff", "\ufeff", "\u202e", "'", '"', "`", "\\", "${x}", "=1+1", "<b>", "../x"),
    *("2024-03-05", "2024-02-30", "0000-00-00", "9999-12-31", "0001-01-01", "2024-03-05 12:00:00", "Others"),
    *("9" * 30, "9" * 400, "x" * 3_000, "[" * 200, CANARY, f"token_auth={CANARY}&x", "date", "website_id", "_run_id"),
)
ODD_NUMBERS = (
    0,
    -1,
    1,
    2,
    13,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    2**64,
    10**30,
    10**400,
    0.1,
    1e16,
    1e308,
    -0.0,
)
NOT_JSON = (float("nan"), float("inf"), float("-inf"))
ODD_OBJECTS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [{}], [None], {"a": []}, {"": 0}, {"0": {}}),
    *({"result": "error", "message": f"broken {CANARY}"}, {"result": "success"}, {"value": 1}),
)
scalars = st.one_of(
    st.sampled_from(ODD_TEXTS),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from(ODD_OBJECTS),
    st.none() | st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
odd_keys = st.sampled_from(ODD_TEXTS) | st.text(max_size=8)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(odd_keys, inner, max_size=4),
    max_leaves=12,
)

# An edit of a JSON value: which place of it (modulo how many there are), what is done there, and with what.
Edit = tuple[int, str, Any]
_EDITS = ("set", "set", "set", "delete", "key", "double", "wrap", "unwrap", "insert", "swap")
edits = st.lists(st.tuples(st.integers(0, 4_000), st.sampled_from(_EDITS), scalars | documents), min_size=1, max_size=4)


def edited(value: Any, changes: Sequence[Edit]) -> Any:
    """Return a copy of a JSON value with some changes in it."""
    box = [json.loads(json.dumps(value))]
    for place, kind, new in changes:
        holders = list(_holders(box))
        holder, key = holders[place % len(holders)]
        _edit(holder, key, kind, copy.deepcopy(new))
        if len(box) != 1:
            box = [box]
    return box[0]


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place of a value as what holds it and its key there, at most some thousands."""
    waiting = [value]
    count = 0
    while waiting and count < 4_000:
        held = waiting.pop()
        keys = list(held) if isinstance(held, dict) else list(range(len(held)))
        for key in keys:
            yield held, key
            count += 1
            if isinstance(held[key], dict | list):
                waiting.append(held[key])


def _edit(holder: Any, key: Any, kind: str, new: Any) -> None:
    old = holder[key]
    match kind:
        case "delete":
            del holder[key]
        case "key" if isinstance(holder, dict):
            holder[new if isinstance(new, str) else str(new)[:50]] = holder.pop(key)
        case "double" if isinstance(holder, list):
            holder.insert(key, old)
        case "insert" if isinstance(holder, list):
            holder.insert(key, new)
        case "insert" if isinstance(holder, dict):
            holder[str(new)[:50]] = new
        case "wrap":
            holder[key] = [old]
        case "unwrap" if isinstance(old, dict) and old:
            holder[key] = next(iter(old.values()))
        case "unwrap" if isinstance(old, list) and old:
            holder[key] = old[0]
        case "swap" if isinstance(holder, list):
            holder.reverse()
        case _:
            holder[key] = new


# ---- bytes

# A change of bytes: at which place (modulo how many there are), how many are taken out, and what is put in.
Patch = tuple[int, int, bytes]
_PIECES = (
    *(
        b"",
        b"\x00",
        b"\xff",
        b"[",
        b"]",
        b"{",
        b"}",
        b",",
        b'"',
        b"\\",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"\xef\xbb\xbf",
    ),
    *(
        b"<br />\n<b>Notice</b>: x\n",
        b"1" * 5_000,
        b"[" * 3_000,
        b'{"a":' * 1_000,
        b"\\ud800",
        b"\r\n",
        CANARY.encode(),
    ),
)
patches = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from(_PIECES) | st.binary(max_size=4)), max_size=2
)


def encoded(value: Any) -> bytes:
    """Return a value as JSON, also one that JSON has not."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


def patched(body: bytes, changes: Sequence[Patch]) -> bytes:
    """Return bytes with some changes in them."""
    for place, length, piece in changes:
        start = place % (len(body) + 1)
        body = body[:start] + piece + body[start + length :]
    return body
