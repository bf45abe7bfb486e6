"""Buffers of slices that are too large to be held in memory, and how much may wait in them."""

import threading
from collections.abc import Callable
from pathlib import Path
from time import sleep
from uuid import uuid4

from matomo_fn.warehouse.buffer import Buffer

# Seconds between two looks at whether there is room again.
_LOOK_EVERY = 0.05


class OwnBuffers:
    """Makes buffers of one slice each; thread-safe. ``limit``: bytes of rows, uncompressed, that may wait in them.

    A slice is written whole, so one that is larger than the limit still goes on, while all others wait for it.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._waiting: list[Buffer] = []
        self._filling: list[Buffer] = []

    def create(self, name: str, *, has_segment: bool) -> Buffer:
        """Return a new buffer for a slice of that table."""
        buffer = Buffer(self._folder / f"{name}_{uuid4().hex}.json.gz", has_segment=has_segment)
        with self._lock:
            self._waiting.append(buffer)
            self._filling.append(buffer)
        return buffer

    def finish(self, buffer: Buffer) -> None:
        """Note that nothing more is added to a buffer; it waits for as long as its file is there."""
        with self._lock:
            self._filling.remove(buffer)

    def wait_for_room(self, may_continue: Callable[[], bool], buffer: Buffer | None = None) -> None:
        """Wait while too much waits to be written.

        With the ``buffer`` that is being filled; the one that has been filled the longest does not wait, so that
        there is always one that gets on. Without one: before another is begun.
        """
        while self._is_full(buffer) and may_continue():
            sleep(_LOOK_EVERY)

    def _is_full(self, buffer: Buffer | None) -> bool:
        with self._lock:
            if buffer is not None and self._filling[0] is buffer:
                return False
            self._waiting = [each for each in self._waiting if each.path.exists()]
            return sum(each.size for each in self._waiting) >= self._limit
