"""What an answer takes in memory once it is parsed, and how much of that may be held at once.

Four bytes of ``[],`` become an object of 64: an answer that passes for small may not fit into the process. So its
brackets and commas are counted before it is parsed, which takes a hundredth of the time.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# Bytes of the objects that CPython 3.11 makes of a list, of an object and of a value (measured, rounded up). A text
# takes what it has in the answer, and is counted by that.
_LIST, _OBJECT, _VALUE = 64, 200, 60
# Bytes of one answer, parsed: a function of 1 GiB has room for it beside what follows.
MOST = 320 * 1024 * 1024
# Bytes of all answers that threads hold at once, so that the process stays within 160 MB beside the 60 MB of its code;
# an answer that does not fit in waits for its turn to be held alone.
_TOGETHER = 96 * 1024 * 1024
# How deep an answer may be nested. Matomo's are at most some ten levels deep.
DEEPEST = 64
# A text, or what begins as one and has no end: a search that began again at each of its signs would take hours.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NO_SIGNS = bytes(sign for sign in range(256) if sign not in b"[]{},")


def memory_of(body: bytes) -> int:
    """Return about how many bytes the JSON value of an answer takes, at least."""
    return _texts(body) + _structure(signs_of(body))


def signs_of(body: bytes) -> bytes:
    """Return the brackets and commas of an answer, those in its texts as well: a tenth of its bytes."""
    return body.translate(None, _NO_SIGNS)


def _texts(body: bytes) -> int:
    """Return how many bytes the answer takes as bytes, and as the text that is made of them to be parsed."""
    return len(body) + (len(body) if body.isascii() else 4 * len(body))


def _structure(signs: bytes | bytearray) -> int:
    return _LIST * signs.count(b"[") + _OBJECT * signs.count(b"{") + _VALUE * signs.count(b",")


def most_of(method: str) -> int:
    """Return how many bytes an answer of a method may take: a page of visits less, since it can be made smaller."""
    return MOST // 4 if method == "Live.getLastVisitsDetails" else MOST


def is_too_large(body: bytes, signs: bytes, most: int) -> bool:
    """Return whether an answer with these brackets and commas takes more memory than that.

    Those that are written in a text take none.
    """
    texts = _texts(body)
    return texts + _structure(signs) > most and texts + _structure(_without_texts(body)) > most


def is_too_deep(body: bytes, signs: bytes) -> bool:
    """Return whether an answer is nested deeper than any of Matomo's; what is only written in a text does not count."""
    return _is_deep(signs) and _is_deep(_without_texts(body))


def _is_deep(signs: bytes | bytearray) -> bool:
    brackets = signs.translate(None, b",")
    for _ in range(DEEPEST):
        inner = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if len(inner) == len(brackets):
            return False  # nothing is left, or what is left is no JSON
        brackets = inner
    return bool(brackets)


def _without_texts(body: bytes) -> bytearray:
    """Return the brackets and commas of an answer that stand outside of its texts.

    Slow, and so only asked where all of them would be too many; in one piece, since a list of millions of pieces
    would be what is to be prevented.
    """
    signs = bytearray()
    done = 0
    for match in _TEXT.finditer(body):
        signs += body[done : match.start()].translate(None, _NO_SIGNS)
        done = match.end()
    signs += body[done:].translate(None, _NO_SIGNS)
    return signs


class AnswerMemory:
    """Bounds what threads hold of parsed answers; thread-safe.

    A thread that waits for its turn holds little, and one that has the turn waits for nobody: they cannot block each
    other.
    """

    def __init__(self, together: int = _TOGETHER) -> None:
        self._free = together
        self._lock = threading.Lock()
        self._turn = threading.Lock()
        self._mine = threading.local()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold what is parsed inside of the block until it ends; blocks are not nested."""
        self._mine.taken, self._mine.has_turn = 0, False
        try:
            yield
        finally:
            with self._lock:
                self._free += self._mine.taken
            if self._mine.has_turn:
                self._turn.release()
            del self._mine.taken

    def take(self, size: int) -> None:
        """Wait until an answer of that size may be parsed; outside of `holding` it is not counted."""
        if not hasattr(self._mine, "taken") or self._mine.has_turn:
            return
        with self._lock:
            if size <= self._free:
                self._free -= size
                self._mine.taken += size
                return
        self._turn.acquire()
        self._mine.has_turn = True
