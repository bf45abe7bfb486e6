"""Buffers of large slices: no more waits in them than MATOMO_FN_BUFFER_MEGABYTES says, and nobody waits for ever."""

from __future__ import annotations

import threading
from datetime import date
from typing import TYPE_CHECKING

from matomo_fn.extract import own_buffers
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.slices import Slice, Stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from matomo_fn.warehouse.buffer import Buffer

SLICE = Slice(Stream("visits", "1"), date(2026, 11, 1))
LINE = f'{{"a":"{"x" * 950}"}}'


def filled(buffers: OwnBuffers, lines: int) -> Buffer:
    buffer = buffers.create("visits", has_segment=False)
    buffer.add(SLICE, [LINE] * lines)
    return buffer


def looks(monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> list[float]:
    """Do something at the first look that finds no room, and count the looks."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        then()

    monkeypatch.setattr(own_buffers, "sleep", sleep)
    return slept


def test_nothing_is_begun_while_too_much_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written makes room."""
    buffers = OwnBuffers(tmp_path, 10_000)
    buffer = filled(buffers, 11)
    buffers.finish(buffer)
    slept = looks(monkeypatch, buffer.discard)
    buffers.wait_for_room(lambda: True)
    assert len(slept) == 1


def test_while_there_is_room_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A buffer that is being filled counts as well."""
    slept = looks(monkeypatch, lambda: None)
    buffers = OwnBuffers(tmp_path, 10_000)
    buffer = filled(buffers, 9)
    buffers.wait_for_room(lambda: True)
    buffers.wait_for_room(lambda: True, buffer)
    assert slept == []
    buffer.discard()


def test_the_slice_that_was_begun_first_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice is written whole: were all to wait, none would ever be written."""
    buffers = OwnBuffers(tmp_path, 10_000)
    first, second = filled(buffers, 20), filled(buffers, 1)
    slept = looks(monkeypatch, lambda: buffers.finish(first))
    buffers.wait_for_room(lambda: True, first)
    assert slept == []
    buffers.wait_for_room(lambda: True, second)  # until the first is finished, and it is the first itself
    assert len(slept) == 1
    for buffer in (first, second):
        buffer.discard()


def test_a_run_that_ends_waits_for_nothing(tmp_path: Path) -> None:
    """A signal, or the end of the time."""
    buffers = OwnBuffers(tmp_path, 1)
    buffer = filled(buffers, 1)
    buffers.wait_for_room(lambda: False)
    buffer.discard()


def test_several_threads_get_on_and_hold_little_more_than_the_limit(tmp_path: Path) -> None:
    """Each fills days of half the limit; one writes what is finished as soon as the limit is reached."""
    limit = 50_000
    buffers = OwnBuffers(tmp_path, limit)
    done: list[Buffer] = []
    lock = threading.Lock()
    sizes = []

    def fill() -> None:
        for _ in range(5):
            buffers.wait_for_room(lambda: True)
            buffer = buffers.create("visits", has_segment=False)
            for _ in range(25):
                buffer.add(SLICE, [LINE])
                buffers.wait_for_room(lambda: True, buffer)
            buffer.close()
            buffers.finish(buffer)
            with lock:
                done.append(buffer)
                sizes.append(sum(each.size for each in done))
                if sizes[-1] >= limit:
                    while done:
                        done.pop().discard()

    threads = [threading.Thread(target=fill) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(sizes) == 20
    assert max(sizes) <= 2 * limit


def test_what_waits_in_all_buffers_together_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them small: room is there again as soon as enough of them are written, whichever they are."""
    buffers = OwnBuffers(tmp_path, 10_000)
    waiting = [filled(buffers, 3) for _ in range(5)]
    for buffer in waiting:
        buffers.finish(buffer)
    slept = looks(monkeypatch, lambda: waiting.pop(1).discard())
    buffers.wait_for_room(lambda: True)
    assert (len(slept), len(waiting)) == (2, 3)
    for buffer in waiting:
        buffer.discard()
