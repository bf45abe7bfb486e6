"""What an answer takes in memory: told before it is parsed, and bounded over all threads."""

from __future__ import annotations

import json
import threading
import tracemalloc
from time import process_time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.errors import InvalidResponse, MatomoError, ReportRefused
from matomo_fn.matomo import answer_memory
from matomo_fn.matomo.answer_memory import AnswerMemory, is_too_deep, is_too_large, memory_of, signs_of
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.transport import AnswerTooLarge, Reply

MEGABYTE = 1024 * 1024
ROW = {"label": "/a/page.html", "nb_visits": 12, "bounce_rate": "21%", "url": "https://shop.example.com/a/page.html"}


def judged(body: bytes, method: str = "X.y") -> object:
    return parse_response(str, method, Reply(200, "application/json", None, "", body))


@pytest.mark.parametrize(
    "item",
    [
        b"[]",
        b"{}",
        b"[[]]",
        b'{"a":1}',
        b"1.5",
        b"123456",
        b'"abcdef"',
        b'""',
        '"é"'.encode(),
        json.dumps(ROW).encode(),
    ],
    ids=bytes.decode,
)
def test_the_estimate_is_not_less_than_what_the_value_takes(item: bytes) -> None:
    """Measured: what is promised to fit does fit."""
    body = b"[" + b",".join([item] * 10_000) + b"]"
    tracemalloc.start()
    value = json.loads(body)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(value) == 10_000
    assert taken <= memory_of(body)


@pytest.mark.parametrize("item", [b"[]", b"{}", b'{"a":[]}', b"1.5"])
def test_an_answer_that_would_not_fit_is_refused_before_it_is_parsed(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 MB of empty lists took more than a gigabyte; days are then requested one by one."""
    monkeypatch.setattr(answer_memory, "MOST", 16 * MEGABYTE)
    body = b"[" + b",".join([item] * (1_200_000 // len(item))) + b"]"
    tracemalloc.start()
    with pytest.raises(AnswerTooLarge, match=r"would take more than 16 MiB of memory: set page_rows") as raised:
        judged(body)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(raised.value, ReportRefused)
    assert peak < 2 * len(body)


def test_a_page_of_visits_has_less_room_since_it_can_be_made_smaller() -> None:
    """Each thread may have one; the reader takes a quarter of the visits and goes on."""
    body = b"[" + b",".join([b"[]"] * 1_000_000) + b"]"
    assert isinstance(judged(body), list)
    with pytest.raises(AnswerTooLarge, match="80 MiB"):
        judged(body, "Live.getLastVisitsDetails")


def test_brackets_within_a_text_do_not_count() -> None:
    """A visitor who puts them into a title does not keep the report from being read."""
    rows = [{"label": "[" * 1000 + '\\"{' + "]" * 1000, "nb_visits": 1}] * 5_000
    body = json.dumps(rows).encode()
    assert memory_of(body) > 320 * MEGABYTE
    assert judged(body) == rows
    assert not is_too_deep(body, signs_of(body))


@given(st.integers(0, 120), st.booleans())
def test_what_is_nested_deeper_than_any_report_is_refused(depth: int, objects: bool) -> None:  # noqa: FBT001
    """Parsed it would end what walks through it."""
    value: Any = 1
    for _ in range(depth):
        value = {"a": value, "b": []} if objects else [value, "]"]
    body = json.dumps(value).encode()
    assert is_too_deep(body, signs_of(body)) == (depth > 64)
    if depth > 64:
        with pytest.raises(InvalidResponse, match="nested more deeply than any of Matomo's"):
            judged(body)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_scan(body: bytes) -> None:
    """Whatever comes is a value or an error of the tree."""
    is_too_large(body, signs_of(body), 100)
    try:
        judged(body)
    except MatomoError as error:
        assert str(error)  # noqa: PT017  # either outcome is fine


def test_threads_hold_no_more_than_fits_but_for_one() -> None:
    """What does not fit waits for its turn; everybody gets on, also with several answers in one block."""
    memory = AnswerMemory(100)
    held, most, lock = [0], [0], threading.Lock()

    def work() -> None:
        for sizes in [(30, 90), (10, 10), (200,), (60, 60)] * 25:
            with memory.holding():
                taken = 0
                for size in sizes:
                    memory.take(size)
                    taken += size
                    with lock:
                        held[0] += size
                        most[0] = max(most[0], held[0])
                with lock:
                    held[0] -= taken

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert held == [0]
    assert most[0] <= 100 + 200


def test_all_that_a_block_held_is_free_when_it_ends() -> None:
    """Each of its answers, and not the last alone: in the end every thread would wait for the one turn."""
    memory = AnswerMemory(100)
    with memory.holding():
        memory.take(60)
        memory.take(40)

    def large() -> None:
        with memory.holding():
            memory.take(90)

    with memory.holding():
        memory.take(60)  # has room, so the turn is still there for what has none
        thread = threading.Thread(target=large, daemon=True)
        thread.start()
        thread.join(10)
        assert not thread.is_alive()


def test_outside_of_a_block_nothing_is_held() -> None:
    """A version or a list of sites is parsed and done with."""
    memory = AnswerMemory(1)
    for _ in range(3):
        memory.take(100)


DEEP = b"[" * 100 + b"]" * 100


@pytest.mark.parametrize("end", [b"", b"\\", b'"', b"\\\\"], ids=["open", "half", "closed", "escaped"])
def test_a_text_without_an_end_is_searched_once(end: bytes) -> None:
    """Of 100,000 escaped quotes each was the beginning of another search: hours in which no thread could go on."""
    body = DEEP + b'["' + b'\\"' * 100_000 + end
    started = process_time()
    assert is_too_deep(body, signs_of(body))
    assert is_too_large(body, signs_of(body), 100_000)
    assert process_time() - started < 2


@pytest.mark.parametrize(("start", "is_deep"), [(b'["a\\"", ', True), (b'["a\\", ', False)], ids=["closed", "open"])
def test_brackets_in_a_text_without_an_end_do_not_count(start: bytes, *, is_deep: bool) -> None:
    """It ends with the answer, which then is no JSON."""
    assert is_too_deep(start + DEEP, signs_of(start + DEEP)) is is_deep
