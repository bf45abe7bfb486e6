"""Asking for the days of jobs: in which slices, by how many, and what is left of it when something goes wrong."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo, Goal, World
from fake_matomo import Site as SampleSite
from matomo_fn.app.logs import configure_logs
from matomo_fn.catalogue import PREBUILT, Source, Table
from matomo_fn.config.token import Token
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.extract.archive_check import ArchiveChecks, Subject
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.extractor import extract
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.report_rows import ParsedSlice, parse_slice
from matomo_fn.extract.reports import make_schedule
from matomo_fn.extract.row_columns import ColumnLines, ColumnReader
from matomo_fn.extract.worker_pool import WorkerPool
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import HttpTransport, Reply
from matomo_fn.sites import Site
from tests.support.extracting import extract_all, in_bulk
from tests.support.recordings import Scripted, as_json, client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matomo_fn.json_codec import UnreadRows

VERSION = (5, 2)
SITE = Site("1", "Shop", UTC, date(2020, 1, 1))
FIRST = date(2026, 1, 1)
COUNTRY = PREBUILT["visitor_country"]
SUMMARY = PREBUILT["visits_summary"]
EVENTS = PREBUILT["behaviour_event"]


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large slices are written to files of their own, in the folder in which a test stands."""
    monkeypatch.chdir(tmp_path)


def days(count: int) -> tuple[date, ...]:
    return tuple(FIRST + timedelta(days=index) for index in range(count))


def job(*tables: Table, dates: Sequence[date]) -> Job:
    return Job(SITE, tables, Days.of(dates))


def context_of(client: MatomoClient, deadline: Deadline) -> ExtractContext:
    """What jobs are extracted with; no job here reads visits."""
    return ExtractContext(
        client,
        VERSION,
        ArchiveChecks(client, 3, datetime(2026, 11, 21, tzinfo=UTC)),
        deadline.allows_requests,
        OwnBuffers(Path(), 10**12),
        datetime(2026, 11, 21, tzinfo=UTC),
    )


def spans(form: Mapping[str, str]) -> list[date]:
    first, last = form["date"].split(",")
    return list(Days.between(date.fromisoformat(first), date.fromisoformat(last)))


def rows_of(size: int) -> Callable[[str, Mapping[str, str]], object]:
    """A Matomo whose every day has one row of so many bytes, or so."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "VisitsSummary.get":
            return {str(day): {"nb_visits": 1} for day in spans(form)}
        return {str(day): [{"label": "x" * size, "segment": "s"}] for day in spans(form)}

    return answer


def run(transport: Scripted, work: Job, *, deadline: Deadline | None = None) -> Iterator[Extracted]:
    transport.answer = in_bulk(transport.answer)
    client = client_of(transport)
    return extract_all(context_of(client, deadline or Deadline()), work)


def asked(transport: Scripted, method: str = "UserCountry.getCountry") -> list[tuple[str, int]]:
    """The last day and the number of days of each range asked."""
    return [(form["date"][11:], len(spans(form))) for name, form in transport.asked if name == method]


def test_a_bug_that_one_day_meets_costs_that_day_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where days are read together."""
    configure_logs("json")
    lines, odd = ColumnReader.lines, days(6)[2]

    def broken(self: ColumnReader, answers: Sequence[UnreadRows]) -> list[ColumnLines] | None:
        if any(b"odd" in bytes(rows.text) for rows in answers):
            raise ZeroDivisionError
        return lines(self, answers)

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "VisitsSummary.get":
            return {str(day): {"nb_visits": 1} for day in spans(form)}
        labels = {day: "odd" if day == odd else "x" for day in spans(form)}
        return {str(day): [{"label": label.ljust(80), "segment": "s"}] for day, label in labels.items()}

    monkeypatch.setattr(ColumnReader, "lines", broken)
    found = list(run(Scripted(answer), job(COUNTRY, dates=days(6))))
    assert {each.slice.date for each in found if each.error} == {odd}
    assert {each.slice.date for each in found if each.content} == {*days(6)} - {odd}


# ---- the order and the size of the slices


def test_the_newest_days_come_first() -> None:
    """A run whose time is up has what is looked at most."""
    transport = Scripted(rows_of(10))
    found = [slice_.slice.date for slice_ in run(transport, job(COUNTRY, dates=days(100)))]
    assert sorted(found) == list(days(100))
    assert found[:4] == list(days(100)[-4:])
    assert asked(transport) == [("2026-04-10", 4), ("2026-04-06", 96)]


def test_pieces_grow_where_answers_are_small_and_shrink_where_they_are_large() -> None:
    """From few days, of which nothing is known; never to more than four megabytes or a year."""
    small = Scripted(rows_of(10))
    list(run(small, job(COUNTRY, dates=days(1500))))
    assert [count for _, count in asked(small)] == [4, 366, 366, 366, 366, 32]
    large = Scripted(rows_of(300 * 1024))
    list(run(large, job(COUNTRY, dates=days(60))))
    assert [count for _, count in asked(large)] == [4, 13, 13, 13, 13, 4]


def test_a_day_that_is_larger_than_a_piece_should_be_is_asked_alone() -> None:
    """There is no less than a day."""
    transport = Scripted(rows_of(5 * 1024 * 1024))
    list(run(transport, job(COUNTRY, dates=[*days(2), days(9)[-1]])))
    assert asked(transport) == [("2026-01-09", 1), ("2026-01-02", 1), ("2026-01-01", 1)]


def test_days_with_gaps_are_asked_as_they_are() -> None:
    """Known days in between are not asked again."""
    transport = Scripted(rows_of(10))
    dates = [*days(3), *days(10)[5:]]
    assert {slice_.slice.date for slice_ in run(transport, job(COUNTRY, dates=dates))} == set(dates)
    assert asked(transport) == [("2026-01-10", 4), ("2026-01-06", 1), ("2026-01-03", 3)]


def test_tables_that_share_a_report_share_its_answer() -> None:
    """One call, two slices a day."""
    transport = Scripted(rows_of(10))
    found = list(run(transport, job(COUNTRY, PREBUILT["countries"], dates=days(2))))
    assert len(transport.asked) == 1
    assert {(slice_.slice.table, slice_.slice.date) for slice_ in found} == {
        (table, day) for table in ("visitor_country", "countries") for day in days(2)
    }


# ---- what goes wrong


def failing(bad: date) -> Callable[[str, Mapping[str, str]], object]:
    """A Matomo that runs out of memory with one day."""
    good = rows_of(10)

    def answer(method: str, form: Mapping[str, str]) -> object:
        if bad in spans(form):
            return {"result": "error", "message": "Allowed memory size exhausted"}
        return good(method, form)

    return answer


def test_a_failing_range_costs_only_its_bad_day() -> None:
    """The others have their rows; the sentence names table, site and day."""
    bad = days(40)[20]
    transport = Scripted(failing(bad))
    found = {slice_.slice.date: slice_ for slice_ in run(transport, job(COUNTRY, dates=days(40)))}
    assert found.keys() == set(days(40))
    assert [day for day, slice_ in found.items() if slice_.error] == [bad]
    assert found[bad].content is None
    assert found[bad].error == (
        f"visitor_country of site 1 on {bad}: UserCountry.getCountry: Matomo says: Allowed memory size exhausted"
    )


def test_after_a_range_that_failed_less_is_asked_at_once() -> None:
    """A quarter; it grows again where all goes well."""
    transport = Scripted(failing(days(60)[-1]))
    list(run(transport, job(COUNTRY, dates=days(60))))
    assert [count for _, count in asked(transport)] == [4, 1, 2, 4, 8, 16, 25]


def test_a_row_that_cannot_be_read_costs_its_slice() -> None:
    """Of two tables that share the answer the one that needs the field fails."""

    def answer(_: str, form: Mapping[str, str]) -> object:
        return {str(day): [{"label": "x", "nb_visits": 1, "max_actions": "many"}] for day in spans(form)}

    found = list(run(Scripted(answer), job(COUNTRY, PREBUILT["countries"], dates=days(1))))
    assert [(slice_.slice.table, bool(slice_.content), bool(slice_.error)) for slice_ in found] == [
        ("visitor_country", True, False),
        ("countries", False, True),
    ]


def test_an_unprocessed_day_is_pending_and_a_day_without_events_is_not() -> None:
    """The summary of the one has no visits though the log has; the other has visits and no events."""
    noon = int(datetime(2026, 1, 2, 12, tzinfo=UTC).timestamp())

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method.startswith("Live"):
            return [{"lastActionTimestamp": noon}] if days(2)[1] in spans(form) else []
        if method == "VisitsSummary.get":
            return {str(day): {"nb_visits": 4} if day == FIRST else [] for day in spans(form)}
        return {str(day): [] for day in spans(form)}

    found = {(p.slice.table, p.slice.date): p for p in run(Scripted(answer), job(SUMMARY, EVENTS, dates=days(2)))}
    for table in ("visits_summary", "behaviour_event"):
        assert found[table, days(2)[1]].pending == Subject(SITE).not_processed
        assert found[table, days(2)[1]].content is None
        shaped = found[table, FIRST].content
        assert shaped
        assert shaped.row_count == (table == "visits_summary")


def test_the_time_of_the_calls_is_shared_among_their_slices() -> None:
    """None is negative, and all of a slice have the same."""
    found = list(run(Scripted(rows_of(10)), job(COUNTRY, dates=days(4))))
    assert len({slice_.seconds for slice_ in found}) == 1
    assert found[0].seconds >= 0


# ---- ending early


def test_a_run_whose_time_is_up_ends_between_calls() -> None:
    """What was asked comes; what was not is left to the next run."""
    now = 0.0

    def answer(method: str, form: Mapping[str, str]) -> object:
        nonlocal now
        now += 100
        return rows_of(10)(method, form)

    transport = Scripted(answer)
    found = list(run(transport, job(COUNTRY, dates=days(1000)), deadline=Deadline(300, clock=lambda: now)))
    assert len(transport.asked) == 3
    assert len(found) == 4 + 366 + 366


def test_a_run_that_is_stopped_ends_between_calls() -> None:
    """Somebody else's token was refused, say."""
    deadline = Deadline()
    transport = Scripted(rows_of(10))
    slices = run(transport, job(COUNTRY, dates=days(100)), deadline=deadline)
    next(slices)
    deadline.stop()
    assert len(list(slices)) == 3
    assert len(transport.asked) == 1


# ---- a slice does not depend on how it was asked

# The clocks change in Paris on the 25th of October; the 3rd of November is without visits, the 13th has so many pages
# that Matomo cuts the report and adds "Others".
WORLD = World(
    sites=(
        SampleSite(
            id=1,
            name="Shop",
            timezone="Europe/Paris",
            created=date(2021, 10, 6),
            visits_per_day=25,
            pages=520,
            ecommerce=True,
            goals=(Goal(1, "Newsletter", 2.5),),
            no_visits_on=frozenset({date(2026, 11, 3)}),
            busy_on=frozenset({date(2026, 11, 13)}),
            folders=False,
        ),
    ),
    now=datetime(2026, 11, 21, 9, tzinfo=UTC),
)
ASKED = [
    *(date(2026, 10, 25), date(2026, 10, 26)),
    *(date(2026, 11, 2), date(2026, 11, 3)),
    *(date(2026, 11, 13), date(2026, 11, 14)),
]
RUNS = [list(Days.between(first, last)) for first, last in Days.of(ASKED).ranges]


@pytest.fixture(scope="module")
def matomo() -> Iterator[FakeMatomo]:
    """The sample Matomo, on a fixed day."""
    with FakeMatomo(WORLD) as running:
        yield running


class Breaking:
    """A real transport, but for calls of several days: those fail, in ranges and, where said, in bulk as well."""

    def __init__(self, transport: HttpTransport, breaks: str) -> None:
        self._transport = transport
        self._breaks = breaks.split()
        self.broken = 0

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Send the call, or say that memory was exhausted."""
        first, _, last = form.get("date", "").partition(",")
        several_days = bool(last) and first != last
        if ("ranges" in self._breaks and several_days) or ("bulk" in self._breaks and "urls[1]" in form):
            self.broken += 1
            return as_json({"result": "error", "message": "Allowed memory size of 1 bytes exhausted"}, 500)
        return self._transport.post(method, form)

    def redact(self, text: str) -> str:
        """Clean a text as the real one does."""
        return self._transport.redact(text)


def breaking(matomo: FakeMatomo, breaks: str = "") -> Breaking:
    token = Token(matomo.token)
    return Breaking(HttpTransport(matomo.url, token, timeout=60, deadline=Deadline()), breaks)


def over_http(transport: Breaking, page_rows: int | None = None) -> MatomoClient:
    rate_limit = RateLimit(1_000_000)
    return MatomoClient(transport, rate_limit, Deadline(), page_rows=page_rows, sleep=lambda _: None)


def slices(client: MatomoClient, table: Table, slices: Sequence[Sequence[date]]) -> dict[date, ParsedSlice]:
    """The rows of every day, asked in those slices."""
    found: dict[date, list[tuple[Source, object]]] = {}
    for source in table.sources_of(VERSION):
        for slice_ in slices:
            for day, answer in client.report(source, "1", Days.of(slice_)).days.items():
                found.setdefault(day, []).append((source, answer))
    return {day: parse_slice(table, found[day]) for day in ASKED}


@pytest.fixture(scope="module")
def plain(matomo: FakeMatomo) -> dict[str, dict[date, ParsedSlice]]:
    """The slices of every table as they come in ranges."""
    return {name: slices(over_http(breaking(matomo)), table, RUNS) for name, table in PREBUILT.items()}


# How many rows a page has, the days asked at once, and what breaks.
FORMS: dict[str, tuple[int | None, list[list[date]], str]] = {
    "one day as D,D": (None, [[day] for day in ASKED], ""),
    "one long range": (None, [list(Days.between(ASKED[0], ASKED[-1]))], ""),
    "in bulk after a range that failed": (None, RUNS, "ranges"),
    "one by one after a bulk call that failed": (None, RUNS, "ranges bulk"),
    "in pages of seven rows": (7, RUNS, ""),
    "in pages, by days after a range that failed": (7, RUNS, "ranges"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("table", PREBUILT.values(), ids=PREBUILT)
def test_a_slice_does_not_depend_on_how_it_was_asked(
    matomo: FakeMatomo, plain: dict[str, dict[date, ParsedSlice]], table: Table, form: str
) -> None:
    """Range, D,D, bulk, pages or what is left after a failure: the same rows and the same hash."""
    page_rows, days, breaks = FORMS[form]
    if page_rows and table.name == "behaviour_page":
        page_rows = 67  # 501 rows by sevens would be 72 calls
    transport = breaking(matomo, breaks)
    assert slices(over_http(transport, page_rows), table, days) == plain[table.name]
    assert bool(transport.broken) == bool(breaks and (breaks != "ranges" or table.sources[0].ranges))


def test_the_days_compared_are_the_odd_ones(plain: dict[str, dict[date, ParsedSlice]]) -> None:
    """A comparison of nothing but usual days would prove little."""
    pages = plain["behaviour_page"]
    assert [day for day, shaped in pages.items() if not shaped.lines] == [date(2026, 11, 3)]
    assert [day for day, shaped in pages.items() if shaped.has_others] == [date(2026, 11, 13)]
    for shaped in plain.values():
        assert len({one.content_hash for one in shaped.values()}) == len(ASKED)


def test_a_run_over_the_sample_gives_every_slice_of_every_table(
    matomo: FakeMatomo, plain: dict[str, dict[date, ParsedSlice]]
) -> None:
    """Jobs of all tables by four threads: each slice once, none failed, and the rows are those of plain ranges."""
    client = over_http(breaking(matomo))
    (site,) = client.sites()
    deadline = Deadline()
    jobs = [Job(site, (table,), Days.of(ASKED)) for table in PREBUILT.values()]
    pool = WorkerPool(4, deadline)
    context = context_of(client, deadline)
    found = [slice_ for slice_ in pool.run(make_schedule(context, jobs), partial(extract, context)) if slice_]
    assert len(found) == len(PREBUILT) * len(ASKED)
    assert {(p.slice.table, p.slice.date): p.content for p in found} == {
        (name, day): shaped for name, by_day in plain.items() for day, shaped in by_day.items()
    }
    assert pool.fatal is None
