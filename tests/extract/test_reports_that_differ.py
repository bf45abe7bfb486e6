"""Answers of one job that differ from each other: by report, by day and by source."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from matomo_fn.catalogue import PREBUILT, Source, Table
from matomo_fn.catalogue.periods import table_of
from matomo_fn.days import Days
from matomo_fn.extract.archive_check import ArchiveChecks, Subject
from matomo_fn.extract.extracted import ExtractContext, Extracted, KeptRows
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.purged_reports import mark_purged
from matomo_fn.extract.report_rows import ParsedSlice, parse_slice
from matomo_fn.periods import Period
from matomo_fn.sites import Site
from matomo_fn.warehouse.buffer import BufferedSlice
from tests.support.extracting import extract_all, flat, in_bulk
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matomo_fn.matomo.client import MatomoClient

SITE = Site("1", "Shop", UTC, date(2020, 1, 1))
FIRST = date(2026, 1, 1)
SUMMARY, COUNTRY, EVENTS = (PREBUILT[name] for name in ("visits_summary", "visitor_country", "behaviour_event"))
REFERRER, CAMPAIGN, CHANNEL = (
    PREBUILT[name] for name in ("acquisition_referrer", "acquisition_campaign", "acquisition_channel_type")
)


def days(count: int) -> list[date]:
    return [date.fromordinal(FIRST.toordinal() + offset) for offset in range(count)]


def spans(form: Mapping[str, str]) -> list[date]:
    first, last = form["date"].split(",")
    return list(Days.between(date.fromisoformat(first), date.fromisoformat(last)))


def context_of(client: MatomoClient, folder: Path) -> ExtractContext:
    return ExtractContext(
        client,
        (5, 2),
        ArchiveChecks(client, 3, datetime(2026, 11, 21, tzinfo=UTC)),
        lambda: True,
        OwnBuffers(folder, 10**12),
        datetime(2026, 11, 21, tzinfo=UTC),
    )


def extracted(
    transport: Scripted, *tables: Table, count: int, folder: Path = Path("no slice here is large")
) -> dict[tuple[str, date], Extracted]:
    """What one job makes of its days, by table and day."""
    transport.answer = in_bulk(transport.answer)
    context = context_of(client_of(transport), folder)
    found = extract_all(context, Job(SITE, tables, Days.of(days(count))))
    return {(each.slice.table, each.slice.date): each for each in found}


def test_where_one_of_two_answers_was_split_the_next_range_is_smaller() -> None:
    """The report that answered well does not decide: the range that failed would fail again."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "Referrers.getSocials" and len(spans(form)) > 300:
            return {"result": "error", "message": "Allowed memory size exhausted"}
        return {str(day): [] for day in spans(form)} if not method.startswith("Live") else []

    transport = Scripted(answer)
    assert len(extracted(transport, REFERRER, count=600)) == 600
    for method, again in {"Referrers.getSocials": [366], "Referrers.getWebsites": []}.items():
        asked = [len(spans(form)) for name, form in flat(transport.asked) if name == method]
        # The one that failed is requested once more on its own, and then day by day.
        assert [count for count in asked if count > 1] == [4, 366, *again, 91, 139], method


def test_a_slice_with_rows_is_written_on_a_day_on_which_an_empty_one_is_pending() -> None:
    """Matomo archives plugin by plugin: what is there counts, and only the empty answers are in doubt."""
    noon = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp())

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method.startswith("Live"):
            return [{"lastActionTimestamp": noon}] if FIRST in spans(form) else []
        rows = [{"label": "France", "nb_visits": 3, "segment": "s"}] if method == "UserCountry.getCountry" else []
        return {str(day): rows for day in spans(form)}

    found = extracted(Scripted(answer), SUMMARY, COUNTRY, EVENTS, count=1)
    country, events = found["visitor_country", FIRST], found["behaviour_event", FIRST]
    assert country.content is not None
    assert (country.content.row_count, country.pending) == (1, None)
    assert (events.content, events.pending) == (None, Subject(SITE).not_processed)
    assert found["visits_summary", FIRST].pending == Subject(SITE).not_processed


def test_a_table_of_several_sources_is_empty_only_where_all_of_them_are() -> None:
    """One empty source is no reason to check the day: no further call, and the others' rows are there."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        rows = [{"label": "example.org", "nb_visits": 2, "segment": "s"}]
        return {str(day): rows if method == "Referrers.getWebsites" else [] for day in spans(form)}

    transport = Scripted(answer)
    (slice_,) = extracted(transport, REFERRER, count=1).values()
    assert slice_.content is not None
    assert slice_.content.row_count == 1
    assert not [method for method, _ in flat(transport.asked) if method.startswith(("Live", "VisitsSummary"))]


def test_tables_that_share_a_call_each_have_their_own_rows_of_it() -> None:
    """Channels take every row of the report, referrers the direct one."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        rows = [
            {"label": "Direct Entry", "referrer_type": 1, "nb_visits": 2, "segment": "a"},
            {"label": "Websites", "referrer_type": "3", "nb_visits": 1, "segment": "b"},
        ]
        return {str(day): rows if method == "Referrers.getReferrerType" else [] for day in spans(form)}

    found = extracted(Scripted(answer), CHANNEL, CAMPAIGN, REFERRER, count=1)
    counts = {table: each.content and each.content.row_count for (table, _), each in found.items()}
    assert (counts["acquisition_channel_type"], counts["acquisition_referrer"]) == (2, 1)


def test_the_largest_of_several_answers_decides_how_many_days_are_requested_next() -> None:
    """A report of half a megabyte a day among four that are empty: eight days of it are as much as fits."""
    rows = [{"label": "x" * 520_000, "nb_visits": 2, "segment": "s"}]

    def answer(method: str, form: Mapping[str, str]) -> object:
        return {str(day): rows if method == "Referrers.getSocials" else [] for day in spans(form)}

    transport = Scripted(answer)
    extracted(transport, REFERRER, count=20)
    for method in ("Referrers.getSearchEngines", "Referrers.getSocials", "Referrers.getReferrerType"):
        assert [len(spans(form)) for name, form in flat(transport.asked) if name == method] == [4, 8, 8], method


def test_a_large_report_that_matomo_has_cut_is_told_from_one_that_is_whole(tmp_path: Path) -> None:
    """Its rows wait on disk, and "Others" among them is known all the same."""
    whole = [{"label": "x" * 600_000, "nb_visits": 2, "segment": "s"}]
    cut = [*whole, {"label": "Others", "nb_visits": 9}]

    def answer(_: str, form: Mapping[str, str]) -> object:
        return {str(day): cut if day == FIRST else whole for day in spans(form)}

    contents = {
        day: each.content for (_, day), each in extracted(Scripted(answer), COUNTRY, count=2, folder=tmp_path).items()
    }
    assert all(isinstance(content, BufferedSlice) for content in contents.values())
    assert {day: content and content.has_others for day, content in contents.items()} == {
        FIRST: True,
        days(2)[1]: False,
    }


def test_ranges_grow_by_what_they_have_of_periods_and_not_of_days() -> None:
    """As many weeks as are a megabyte: a week's report is as large as a day's."""
    weekly = table_of(COUNTRY, Period.WEEK)
    sizes: list[int] = []

    def answer(_method: str, form: Mapping[str, str]) -> object:
        weeks = sorted({Period.WEEK.first_day(day) for day in spans(form)})
        sizes.append(len(weeks))
        return {Period.WEEK.key(week): [{"code": "fr", "label": "France", "nb_visits": 1}] for week in weeks}

    context = context_of(client_of(Scripted(answer)), Path("no slice here is large"))
    due = Days.between(date(2020, 1, 6), date(2020, 1, 5) + timedelta(weeks=100))
    found = list(extract_all(context, Job(SITE, (weekly,), due)))
    assert (len(found), sizes) == (100, [4, 96])


def test_a_table_has_others_where_any_of_its_reports_was_cut() -> None:
    """The first one as well as the last."""
    sources = REFERRER.sources_of((5, 2))
    for cut in (*range(len(sources)), None):
        labels = ["Others" if index == cut else f"a{index}" for index in range(len(sources))]
        rows = [[{"label": label, "nb_visits": 1, "referrer_type": 1}] for label in labels]
        answers: list[tuple[Source, object]] = list(zip(sources, rows, strict=True))
        assert parse_slice(REFERRER, answers).has_others == (cut is not None)


def test_a_window_up_to_a_pending_day_is_pending_and_not_requested() -> None:
    """Matomo would answer it without that day; the window up to the next one is requested."""
    rolling = Table("ranges", "", (Source("A.get", ranges=False),), (), period=Period.rolling(7))
    noon = datetime(FIRST.year, FIRST.month, FIRST.day, 12, tzinfo=UTC)

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "Live.getLastVisitsDetails":
            return [{"lastActionTimestamp": int(noon.timestamp())}] if FIRST in spans(form) else []
        assert method == "API.getBulkRequest"
        assert str(FIRST + timedelta(days=1)) in form["urls[0]"]
        assert "urls[1]" not in form
        return [{"nb_visits": 3}]

    context = context_of(client_of(Scripted(answer)), Path("no slice here is large"))
    check = context.checks.of(SITE)
    check.note({FIRST: {"nb_visits": 0}, FIRST + timedelta(days=1): {"nb_visits": 2}})
    assert check.pending_reasons([FIRST])[FIRST] is not None
    found = list(extract_all(context, Job(SITE, (rolling,), Days.of(days(2)))))
    assert [(each.slice.date, each.pending is None) for each in found] == [
        (FIRST, False),
        (FIRST + timedelta(days=1), True),
    ]


def test_of_reports_that_matomo_may_have_deleted_numbers_are_believed_and_nothing_is_not() -> None:
    """Where it counts no visits: a row of numbers is an answer, and zeros in the place of other rows are none."""
    rates = next(table for table in PREBUILT.values() if table.is_one_row and table.name != SUMMARY.name)
    context = context_of(client_of(Scripted(lambda *_: [])), Path("no slice here is large"))
    context = replace(context, kept_rows=lambda _slice: KeptRows("old"))
    context.checks.of(SITE).note({day: {"nb_visits": 0} for day in days(2)})
    job = Job(SITE, (rates,), Days.of(days(2)))
    slices = [Extracted(each, ParsedSlice(("{}",), "new", has_others=False)) for each in job.slices]
    found = mark_purged(context, job, slices, {slices[1].slice})
    assert [each.is_purged for each in found] == [False, True]
