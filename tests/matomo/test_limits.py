"""What a hostile or broken server can do to the process: less than its memory, its time and its tables have room for.

Each attack comes from a real HTTP server, and goes through the transport and the reading of answers.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import tracemalloc
import zlib
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from matomo_fn.catalogue.custom import ReportSpec, custom_table
from matomo_fn.config.connector import ConnectorConfig
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InvalidResponse, MatomoError, MatomoFatal, MatomoUnavailable
from matomo_fn.extract import open_rows
from matomo_fn.extract.open_rows import MOST_COLUMNS, OpenColumns
from matomo_fn.matomo import answer_memory, client, limits, metadata, segments, settings_lists, transport
from matomo_fn.matomo.metadata import read_metadata
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.segments import saved_segments
from matomo_fn.matomo.transport import MAX_ANSWER, AnswerTooLarge, HttpTransport
from matomo_fn.values import LONGEST_TEXT, as_text
from tests.support.canary import CANARY, assert_absent
from tests.support.recordings import Scripted, client_of
from tests.support.wire import WireServer, answer

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

MEGABYTE = 1024 * 1024
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
ZEROS = b"0" * MEGABYTE


class Flood(WireServer):
    """Sends an answer and then the same bytes for as long as somebody reads, as fast as they are read."""

    def __init__(self, sent: bytes, flood: bytes) -> None:
        super().__init__(sent)
        self.flood = flood
        self.flooded = 0

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(1)  # a client that went away may have left its end half open
            connection.recv(65536)
            connection.sendall(self.sent)
            while not self._stop.is_set():
                connection.sendall(self.flood)
                self.flooded += len(self.flood)


def call(server: WireServer, method: str = "API.get", *, timeout: float = 30.0) -> object:
    """Make a call as the client does."""
    exchange = HttpTransport(server.url, Token(CANARY), timeout=timeout, deadline=Deadline())
    return parse_response(exchange.redact, method, exchange.post(method, {}))


@contextlib.contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Fail where the block takes more memory."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < megabytes * MEGABYTE, f"{peak // MEGABYTE} MiB"


# ---- bytes


def deflated(raw: bytes, times: int) -> bytes:
    """A stream that becomes so many times the bytes."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(raw) for _ in range(times)) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", lambda: gzip.compress(ZEROS * 24, 9)),
        ("deflate", lambda: deflated(ZEROS, 24)),
        ("gzip, gzip", lambda: gzip.compress(gzip.compress(ZEROS * 24, 9), 9)),
    ],
    ids=["gzip", "deflate", "gzip within gzip"],
)
@pytest.mark.parametrize("most", [MEGABYTE])
def test_a_bomb_is_not_unpacked_further_than_an_answer_may_be_long(
    encoding: str, body: Callable[[], bytes], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """24 MB of zeros are 24 kB on the wire; what counts is what they become. With a bound that takes less time here."""
    monkeypatch.setattr(transport, "MAX_ANSWER", most)
    sent = answer(body(), content_encoding=encoding)
    too_large = pytest.raises(AnswerTooLarge, match=r"API\.get has more than 1 MiB: set page_rows")
    with WireServer(sent) as server, at_most(12), too_large:
        call(server)


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"0" * 65536 + b"\r\n"),
        (HEAD + b"Connection: close\r\n\r\n", b"0" * 65536),
    ],
    ids=["chunked", "until the connection ends"],
)
def test_a_body_without_an_end_is_given_up_once_it_is_too_large(
    head: bytes, flood: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER", 4 * MEGABYTE)
    with Flood(head, flood) as server:
        with at_most(12), pytest.raises(AnswerTooLarge, match="has more than 4 MiB"):
            call(server)
        assert server.flooded < 32 * MEGABYTE


@pytest.mark.parametrize(
    ("head", "flood"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-Header: " + b"x" * 60_000 + b"\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Header: ", b"x" * 65536),
        (b"", b"x" * 65536),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=", b"x" * 65536),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", b"x" * 65536),
    ],
    ids=["many headers", "a long header", "a long status line", "a long line of a chunk", "a long trailer"],
)
def test_headers_without_an_end_are_no_answer(head: bytes, flood: bytes) -> None:
    """A hundred headers of 64 kB are read, and no more."""
    with Flood(head, flood) as server, at_most(16), pytest.raises(MatomoUnavailable) as raised:
        call(server)
    assert_absent(error=str(raised.value))


def test_interim_answers_without_an_end_take_the_time_of_the_call_and_no_more() -> None:
    with Flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100) as server:
        started = monotonic()
        with at_most(8), pytest.raises(MatomoUnavailable, match=r"had no whole answer within 0\.5 seconds"):
            call(server, timeout=0.5)
        assert monotonic() - started < 10


def test_a_header_that_cannot_be_read_is_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """The HTTP library logged it with a traceback, and with it the token that the server repeated."""
    sent = answer(b"[]").replace(b"Content-Type", b"Odd %s\r\nContent-Type" % CANARY.encode(), 1)
    sent = sent.replace(b"content-type", b"odd %s\r\ncontent-type" % CANARY.encode(), 1)
    with WireServer(sent) as server, contextlib.suppress(MatomoError):
        call(server)
    assert caplog.records == []


def test_cookies_are_not_kept() -> None:
    """A server could make each call larger than the one before."""
    sent = answer(b"[]", set_cookie="a=" + "x" * 4_000, connection="keep-alive")
    with WireServer(sent, again=sent) as server:
        exchange = HttpTransport(server.url, Token(CANARY), timeout=5, deadline=Deadline())
        for _ in range(2):
            exchange.post("API.get", {})
        assert len(server.requests) == 2
        assert not any(b"cookie" in request.lower() for request in server.requests)


def test_a_long_target_of_a_redirect_is_shown_in_part() -> None:
    sent = answer(b"", "302 Found", location="https://x.example.com/" + "y" * 60_000)
    with WireServer(sent) as server, pytest.raises(MatomoFatal) as raised:
        call(server)
    assert len(str(raised.value)) < 400


def test_a_long_message_is_shown_in_part_and_costs_no_time() -> None:
    """To look through 30 MB for the token took minutes."""
    started = monotonic()
    sent = answer(json.dumps({"result": "error", "message": f"{CANARY} " * 500_000}))
    with WireServer(sent) as server, pytest.raises(MatomoError) as raised:
        call(server)
    assert len(str(raised.value)) < 300
    assert_absent(error=str(raised.value))
    assert monotonic() - started < 20


# ---- what is parsed


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"<b>x</b>" + b"[" * 99_999,
    ],
    ids=["open", "lists", "objects", "behind a notice"],
)
def test_a_hundred_thousand_brackets_are_an_error_of_the_program(body: bytes) -> None:
    """No RecursionError, neither of Python's nor of a library in C."""
    with WireServer(answer(body)) as server, pytest.raises((InvalidResponse, MatomoUnavailable)):
        call(server)


@pytest.mark.parametrize("item", [b"[]", b'{"a":1}', b"1"], ids=bytes.decode)
def test_rows_and_keys_are_bounded_by_the_memory_that_they_would_take(
    item: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before one of them is parsed. In full size: test_answer_memory."""
    monkeypatch.setattr(answer_memory, "MOST", MEGABYTE)
    body = b"[" + b",".join([item] * 25_000) + b"]"
    sent = answer(gzip.compress(body, 1), content_encoding="gzip")
    too_large = pytest.raises(AnswerTooLarge, match="would take more than 1 MiB of memory")
    with WireServer(sent) as server, at_most(16), too_large:
        call(server)


def test_an_answer_of_a_million_fields_brings_no_million_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be columns of a table for ever."""
    monkeypatch.setattr(open_rows, "MOST_COLUMNS", 20)
    table = custom_table(ReportSpec("VisitsSummary.get", name="wide"), is_one_row=True)
    columns = OpenColumns(table, {})
    columns.parse([(table.sources[0], {f"field_{number}": 1 for number in range(15)})])
    with pytest.raises(InvalidResponse, match='answers more than 20 fields: name those that are wanted in "fields"'):
        columns.parse([(table.sources[0], {f"more_{number}": 1 for number in range(10)})])


def test_a_text_longer_than_any_of_matomos_is_no_value() -> None:
    assert as_text("x" * LONGEST_TEXT)
    with pytest.raises(ValueError, match=f"is a text of {LONGEST_TEXT + 1} characters"):
        as_text("x" * (LONGEST_TEXT + 1))


def test_lists_longer_than_any_of_matomos_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sites that would be planned, reports that would become tables, settings that would become rows."""
    for module, name in ((client, "MOST_SITES"), (metadata, "MOST_REPORTS"), (segments, "MOST_SETTINGS")):
        monkeypatch.setattr(module, name, 3)
    monkeypatch.setattr(settings_lists, "MOST_SETTINGS", 3)
    site = {"idsite": 1, "timezone": "UTC", "ts_created": "2024-01-01 00:00:00"}
    four = client_of(Scripted(lambda method, _: [site] * 4 if "Sites" in method else [{}] * 4))
    for read in (four.sites, four.writable_sites, partial(saved_segments, four)):
        with pytest.raises(InvalidResponse, match="lists 4 entries, and no Matomo has more than 3"):
            read()
    with pytest.raises(InvalidResponse, match="no Matomo has more than 3"):
        read_metadata([{"module": "A", "action": "get"}] * 4)
    goals = ("Goals.getGoals", "1")
    lists = client_of(Scripted(lambda *_: [[{}] * 4])).settings_lists([goals])
    assert "no Matomo has more than 3" in str(lists[goals])


# ---- where connections may go


@pytest.mark.parametrize(
    "host",
    [
        *("169.254.169.254", "0251.0376.0251.0376", "169.254.43518", "2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE"),
        *("[::ffff:169.254.169.254]", "[::169.254.169.254]", "[::ffff:0:a9fe:a9fe]", "[64:ff9b::a9fe:a9fe]"),
        *("[64:ff9b:1::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "[fd00:ec2::254]", "[fd20:ce::254]", "[fe80::1%25eth0]"),
        *(
            "１６９.254.169.254",
            "169。254。169。254",
            "%31%36%39.254.169.254",
            "metadata.google.internal.",
            "METADATA.goog",
        ),
        *("instance-data", "instance-data.ec2.internal", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    ],
)
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxy"])
def test_a_metadata_address_is_refused_in_whatever_writing(
    host: str, monkeypatch: pytest.MonkeyPatch, *, proxied: bool
) -> None:
    """No setting allows it; a proxy would connect to it in our place."""
    with WireServer(answer()) as proxy:
        if proxied:
            monkeypatch.setenv("HTTP_PROXY", proxy.url)
            monkeypatch.delenv("NO_PROXY", raising=False)
        exchange = HttpTransport(f"http://{host}/", Token(CANARY), timeout=2, deadline=Deadline())
        with pytest.raises(MatomoError, match=r"metadata server|cannot be looked up|InvalidURL|name is not known"):
            exchange.post("API.get", {})
        assert proxy.requests == []


# ---- the document


def test_the_document_has_the_limits_as_they_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    timeout = ConnectorConfig.model_fields["timeout_seconds"]
    shown = {
        "transport.MAX_ANSWER": f"{MAX_ANSWER // MEGABYTE} MiB",
        "answer_memory.MOST": f"{answer_memory.MOST // MEGABYTE} MiB",
        "answer_memory.most_of": f"{answer_memory.most_of('Live.getLastVisitsDetails') // MEGABYTE} MiB",
        "answer_memory.DEEPEST": f"{answer_memory.DEEPEST} levels",
        "timeout_seconds": f"{timeout.default} s",
        "transport.CONNECT_TIMEOUT": f"{transport.CONNECT_TIMEOUT:g} s",
        "values.LONGEST_TEXT": f"{LONGEST_TEXT // MEGABYTE} MiB",
        "open_rows.MOST_COLUMNS": f"{MOST_COLUMNS:,}",
        "limits.MOST_SITES": f"{limits.MOST_SITES:,}",
        "limits.MOST_REPORTS": f"{limits.MOST_REPORTS:,}",
        "limits.MOST_SETTINGS": f"{limits.MOST_SETTINGS:,}",
    }
    rows = [line.split("|") for line in text.splitlines()]
    table = {row[3].strip(" `"): row[2].strip() for row in rows if len(row) == 6}
    assert {name: table.get(name) for name in shown} == shown
    constants = [name for name in table if re.fullmatch(r"[a-z_]+\.[A-Za-z_]+", name)]
    assert set(constants) <= set(shown)
