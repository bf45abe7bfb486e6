"""Rows a second, from the bytes of Matomo's answer to the bytes in the buffer, beside bare reading and writing JSON."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.figures import Figure
from benchmarks.worlds import wide_world
from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, Table
from matomo_fn.config.token import Token
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.extract.report_rows import parse_days, parse_slice
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import HttpTransport, Reply
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.buffer import Buffer

_GROUP = "Rows: from Matomo's answer of a month to the buffer"
_TABLES = ("visitor_country", "behaviour_page")
_FIRST = date(2026, 10, 1)
_DAYS = [_FIRST + timedelta(days=number) for number in range(31)]
_TIMES = 9
# Seconds that one measurement takes at least: a small body is shaped again and again until they are over.
_AT_LEAST = 0.3


class _Keeping(HttpTransport):
    """A transport that keeps the last answer."""

    reply: Reply

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        self.reply = super().post(method, form)
        return self.reply


@dataclass(frozen=True, slots=True)
class _Recorded:
    """A transport that always brings the same answer."""

    reply: Reply

    def post(self, method: str, form: Mapping[str, str]) -> Reply:  # noqa: ARG002 - whatever is asked
        return self.reply

    def redact(self, text: str) -> str:
        return text


def throughput() -> Iterator[Figure]:
    """Measure both ways in turns and yield the medians, for a narrow report of few rows and a wide one of many."""
    with FakeMatomo(wide_world(1)) as matomo:
        for name in _TABLES:
            table = PREBUILT[name]
            yield from _measured(name, table, _ask(matomo, table))
        table = _with_every_field(PREBUILT["behaviour_page"])
        yield from _measured("behaviour_page, every field", table, _ask(matomo, table))


def _with_every_field(table: Table) -> Table:
    """Return a table that is requested with all fields of its report: most of what is read is not wanted."""
    source = table.sources[0]
    params = tuple((name, value) for name, value in source.params if name != "showColumns")
    return replace(table, sources=(replace(source, params=params),))


def _ask(matomo: FakeMatomo, table: Table) -> Reply:
    """Return Matomo's answer of a month, by the very call that a sync makes."""
    deadline = Deadline()
    transport = _Keeping(matomo.url, Token(matomo.token), timeout=60, deadline=deadline)
    MatomoClient(transport, RateLimit(60_000), deadline).report(table.sources[0], "1", Days.of(_DAYS))
    return transport.reply


def _measured(name: str, table: Table, reply: Reply) -> Iterator[Figure]:
    client = MatomoClient(_Recorded(reply), RateLimit(10_000_000), Deadline())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.json.gz"
        rows = _stage(client, table, path)
        ours, bare = _in_turns(lambda: _stage(client, table, path), lambda: _bare(reply.body))
    yield Figure(_GROUP, f"{name}: rows in the answer", rows, "rows")
    yield Figure(_GROUP, f"{name}: bytes of the answer", len(reply.body) / 1e6, "MB")
    yield Figure(_GROUP, f"{name}: rows a second", rows / ours, "rows/s")
    yield Figure(_GROUP, f"{name}: time beside json.loads + json.dumps of the same", ours / bare, "times")


def _stage(client: MatomoClient, table: Table, path: Path) -> int:
    """Read the answer, shape its days and buffer them; return the number of rows."""
    source = table.sources[0]
    answered = client.report(source, "1", Days.of(_DAYS))
    with Buffer(path) as buffer:
        usual = parse_days(table, source, answered.days)
        for day, answer in answered.days.items():
            found = usual.get(day) or parse_slice(table, [(source, answer)])
            buffer.add(Slice(Stream(table.name, "1"), day), found.lines)
        buffer.close()
        return buffer.rows


def _bare(body: bytes) -> None:
    json.dumps(json.loads(body))


def _in_turns(*works: Callable[[], object]) -> Sequence[float]:
    """Return the median seconds of each work, done in turns: what else the machine does weighs on all alike."""
    loops = max(1, round(_AT_LEAST / min(_seconds(work, 1) for work in works)))
    rounds = [[_seconds(work, loops) for work in works] for _ in range(_TIMES)]
    return [median(times) for times in zip(*rounds, strict=True)]


def _seconds(work: Callable[[], object], loops: int) -> float:
    started = perf_counter()
    for _ in range(loops):
        work()
    return (perf_counter() - started) / loops
