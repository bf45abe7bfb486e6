"""What a Matomo, or what stands in front of it, does wrong: the kinds of faults, and what each makes of an answer."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import threading
import zlib
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import TYPE_CHECKING, Any

from fake_matomo.faults import NOTICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fake_matomo.wire import Answer

HTML, JSON = "text/html; charset=utf-8", "application/json; charset=utf-8"
_PAGE = "<!DOCTYPE html>\n<html><head><title>{0}</title></head><body><h1>{0}</h1></body></html>\n"
_MESSAGES = (
    "SQLSTATE[HY000] [2002] Connection refused",
    "SQLSTATE[HY000]: General error: 2006 MySQL server has gone away",
    "Allowed memory size of 134217728 bytes exhausted (tried to allocate 20480 bytes)",
)
# More than the program reads of one answer, and brackets that take more memory than it gives one answer.
_HUGE_BYTES, _HUGE_LISTS = 65 << 20, 6 << 20
_BOMB_BYTES = 200 << 20
# Parameters of a call that are others each time, and days in the others.
_VARYING = {"token_auth", "minTimestamp"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
# The call of a run that goes wrong where none has before it.
_CERTAIN = 4


class Kind(StrEnum):
    """A kind of fault."""

    LIMITED_WITH_WAIT = "429 with Retry-After"
    LIMITED = "429 without Retry-After"
    ERROR_500 = "500"
    ERROR_502 = "502"
    ERROR_503 = "503"
    SILENT = "no answer in time"
    RESET = "connection reset"
    CUT_BODY = "body cut, length too large"
    CUT_JSON = "JSON cut, length right"
    HTML_PAGE = "HTML with status 200"
    NOTICE = "PHP notice before the JSON"
    ERROR_BODY = "error body with status 200"
    DRIP = "slow drip"
    WRONG_TYPES = "wrong types"
    HUGE = "huge body"
    BOMB = "compressed bomb"
    UNARCHIVED = "unarchived days"


# Those that are about a call; an unarchived day is the same for each call about it.
OF_CALLS = tuple(kind for kind in Kind if kind is not Kind.UNARCHIVED)


@dataclass(frozen=True, slots=True)
class Sent:
    """What goes over the wire in place of an answer.

    ``announced``: the Content-Length, where it is not that of the body. ``ends``: what comes behind the body, "silent"
    (nothing, and the connection stays open), "drip" (bytes, one by one, without an end), "reset" or "close".
    ``repeated``: the body so many times.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    announced: int | None = None
    ends: str = ""
    repeated: int = 1


def whole(answer: Answer) -> Sent:
    """Send an answer as it is."""
    return Sent(answer.status, answer.content_type, answer.body, answer.headers)


@dataclass
class Faults:
    """Which calls go wrong, and how: the share of them that a seed chooses, whatever the order in which they come.

    Attributes:
        kinds: one of them, by chance, for each call that goes wrong.
        share: of the calls.
        seed: what all chances begin with.
        spared: methods that never go wrong.
        kept: names of fields that a table keeps as they are, of whatever type they may be.
    """

    kinds: tuple[Kind, ...] = ()
    share: float = 0.0
    seed: object = 0
    spared: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    met: Counter[Kind] = field(default_factory=Counter)
    _times: Counter[bytes] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def faulty(self, kind: Kind, random: Random, answer: Answer) -> Sent:
        """Return what comes in the place of an answer."""
        if kind is Kind.WRONG_TYPES:
            return _wrong_types(random, answer, self.kept)
        return _MAKERS[kind](random, answer)

    def choose(self, params: Mapping[str, str]) -> tuple[Kind, Random] | None:
        """Return what goes wrong with a call, and the chance that it has; None where nothing does."""
        kinds = [kind for kind in self.kinds if kind is not Kind.UNARCHIVED]
        if not kinds or params.get("method") in self.spared:
            return None
        named = sorted((name, value) for name, value in params.items() if name not in _VARYING)
        # Without days: the same seed makes the same calls fail tomorrow.
        call = hashlib.sha256(_DAY.sub("", repr(named)).encode()).digest()
        with self._lock:
            self._times[call] += 1
            random = Random(f"{self.seed}/{call.hex()}/{self._times[call]}")
            # Of the few calls of a small backfill one goes wrong at least.
            if random.random() >= self.share and (self.met or self._times.total() < _CERTAIN):
                return None
            kind = random.choice(kinds)
            self.met[kind] += 1
        return kind, random


def _limited(random: Random, _answer: Answer, *, wait: bool = False) -> Sent:
    headers = {"Retry-After": str(random.choice((0, 0, 0, 3)))} if wait else {}
    return Sent(429, HTML, _PAGE.format("429 Too Many Requests").encode(), headers)


def _server_error(random: Random, answer: Answer, *, status: int) -> Sent:
    if status == 500 and random.random() < 0.5:
        return Sent(status, JSON, _error(random.choice(_MESSAGES)))
    headers = {"Retry-After": "1"} if status == 503 and random.random() < 0.3 else {}
    del answer
    return Sent(status, HTML, _PAGE.format(status).encode(), headers)


def _silent(random: Random, answer: Answer) -> Sent:
    """Send nothing, or only the first bytes."""
    begun = len(answer.body) * random.choice((0, 0, 1)) // 2
    return Sent(answer.status, answer.content_type, answer.body[:begun], {}, len(answer.body) + 1, "silent")


def _reset(random: Random, answer: Answer) -> Sent:
    begun = len(answer.body) * random.choice((0, 1)) // 2
    return Sent(answer.status, answer.content_type, answer.body[:begun], {}, len(answer.body) + 1, "reset")


def _cut_body(random: Random, answer: Answer) -> Sent:
    begun = random.randrange(len(answer.body) + 1)
    more = random.randrange(1, 1000)
    return Sent(answer.status, answer.content_type, answer.body[:begun], {}, len(answer.body) + more, "close")


def _cut_json(random: Random, answer: Answer) -> Sent:
    return Sent(answer.status, answer.content_type, answer.body[: random.randrange(len(answer.body))])


def _html_page(_random: Random, _answer: Answer) -> Sent:
    return Sent(200, HTML, _PAGE.format("Please log in").encode())


def _notice(random: Random, answer: Answer) -> Sent:
    notices = NOTICE * random.randrange(1, 4)
    return Sent(answer.status, random.choice((answer.content_type, HTML)), notices.encode() + answer.body)


def _error(message: str) -> bytes:
    return json.dumps({"result": "error", "message": message}).encode()


def _error_body(random: Random, answer: Answer) -> Sent:
    """An error in place of the answer; of a list of answers, of a bulk request, in place of some of them."""
    value = json.loads(answer.body)
    if isinstance(value, list) and value and all(isinstance(each, dict | list) for each in value):
        error = json.loads(_error(random.choice(_MESSAGES)))
        body = json.dumps([error if random.random() < 0.5 else each for each in value]).encode()
        return Sent(200, JSON, body)
    return Sent(200, JSON, _error(random.choice(_MESSAGES)))


def _drip(_random: Random, answer: Answer) -> Sent:
    return Sent(answer.status, answer.content_type, answer.body[:1], {}, 10_000_000, "drip")


def _huge(random: Random, _answer: Answer) -> Sent:
    if random.random() < 0.5:
        return Sent(200, JSON, b" " * (1 << 16), {}, repeated=_HUGE_BYTES >> 16)
    return Sent(200, JSON, b"[],", {}, repeated=_HUGE_LISTS)


def _bomb(_random: Random, _answer: Answer) -> Sent:
    return Sent(200, JSON, _compressed(), {"Content-Encoding": "gzip"})


@functools.cache
def _compressed() -> bytes:
    packing = zlib.compressobj(9, wbits=31)
    block = b" " * (1 << 20)
    return b"".join([packing.compress(block) for _ in range(_BOMB_BYTES >> 20)] + [packing.flush()])


def _wrong_types(random: Random, answer: Answer, kept: frozenset[str]) -> Sent:
    value = json.loads(answer.body)
    places = list(_places(value, kept))
    if not places or random.random() < 0.2:
        value = random.choice((None, True, "text", 17, {"odd": 1}))
    else:
        for holder, key in random.sample(places, min(len(places), random.randrange(1, 4))):
            holder[key] = random.choice(_other(holder[key]))
    return Sent(answer.status, answer.content_type, json.dumps(value).encode())


def _places(value: Any, kept: frozenset[str]) -> Iterable[tuple[Any, Any]]:
    """Yield where in a JSON value there are values that can be of another type."""
    items: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        if key in kept:
            continue
        if inner is not None and not isinstance(inner, bool):
            yield value, key
        yield from _places(inner, kept)


def _other(value: object) -> tuple[object, ...]:
    """Return what no reader can take for a value; an empty list and null are Matomo's own words for nothing."""
    match value:
        case list():
            return ("text", 17, {"odd": 1})
        case dict():
            return ("text", 17, ["odd"])
        case int() | float():
            return ("n/a", ["odd"], {"odd": 1}, True)
        case _:
            return (["odd"], {"odd": 1}, True)


_MAKERS: dict[Kind, Callable[[Random, Answer], Sent]] = {
    Kind.LIMITED_WITH_WAIT: functools.partial(_limited, wait=True),
    Kind.LIMITED: _limited,
    Kind.ERROR_500: functools.partial(_server_error, status=500),
    Kind.ERROR_502: functools.partial(_server_error, status=502),
    Kind.ERROR_503: functools.partial(_server_error, status=503),
    Kind.SILENT: _silent,
    Kind.RESET: _reset,
    Kind.CUT_BODY: _cut_body,
    Kind.CUT_JSON: _cut_json,
    Kind.HTML_PAGE: _html_page,
    Kind.NOTICE: _notice,
    Kind.ERROR_BODY: _error_body,
    Kind.DRIP: _drip,
    Kind.HUGE: _huge,
    Kind.BOMB: _bomb,
}
