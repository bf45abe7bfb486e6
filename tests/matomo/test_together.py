"""Several reports in one bulk call: each has the answer or error that it has on its own, whatever becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Source
from matomo_fn.days import Days
from matomo_fn.errors import MatomoUnavailable, NotAnswered, OutOfTime, ReportRefused, SegmentRefused, TokenRefused
from matomo_fn.json_codec import UnreadRows
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK, ReportQuery
from matomo_fn.matomo.responses import PluginOff
from matomo_fn.matomo.retries import ATTEMPTS
from matomo_fn.matomo.transport import AnswerTooLarge, Reply
from matomo_fn.periods import Period
from tests.support.extracting import BULK, calls_in, in_bulk
from tests.support.recordings import Replay, Scripted, as_json, client_of, read

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matomo_fn.matomo.reports import Answered

FIRST, LAST = date(2026, 11, 18), date(2026, 11, 20)
DAYS = Days.between(FIRST, LAST)
COUNTRY, SUMMARY, TYPES = (Source(name) for name in ("UserCountry.getCountry", "VisitsSummary.get", "Events.getName"))
BUSY = Reply(503, "text/html", None, "", b"<html></html>")


def error(message: str, status: int = 200) -> Reply:
    return as_json({"result": "error", "message": message}, status)


def spans(form: Mapping[str, str]) -> list[str]:
    first, last = form["date"].split(",")
    return [str(day) for day in Days.between(date.fromisoformat(first), date.fromisoformat(last))]


def good(method: str, form: Mapping[str, str]) -> object:
    return {day: [{"label": method, "site": form["idSite"], "day": day}] for day in spans(form)}


def queries(*sources: Source, site: str = "1", segment: str = "") -> list[tuple[ReportQuery, Days]]:
    return [(ReportQuery(source, site, Period.DAY, segment), DAYS) for source in sources]


def labels(answered: Answered) -> set[str]:
    return {row["label"] for rows in map(read_rows, answered.days.values()) for row in rows}


def read_rows(answer: Any) -> list[dict[str, Any]]:
    """The rows of a day, which an answer may hold unread."""
    rows: list[dict[str, Any]] = answer.read() if isinstance(answer, UnreadRows) else answer
    return rows


def test_recorded_ranges_in_bulk_are_the_days_of_each_report() -> None:
    """m53_bulk_ranges: twelve ranges of three days, in the order in which they were requested."""
    recording = read("m53_bulk_ranges.json")
    inner = calls_in(recording.params)
    wanted = queries(*(Source(method) for method, _ in inner))
    found = client_of(Replay(recording.reply)).reports(wanted)
    for answered, value in zip(found, json.loads(recording.body), strict=True):
        assert {str(day): answer for day, answer in answered.days.items()} == value
        assert not answered.split
    assert abs(sum(answered.size for answered in found) - len(recording.body.encode())) < len(found)
    sizes = [len(json.dumps(value)) for value in json.loads(recording.body)]
    largest = max(range(len(sizes)), key=sizes.__getitem__)
    assert found[largest].size == max(answered.size for answered in found)


def test_recorded_errors_inside_are_those_of_their_reports() -> None:
    """bulk_errors_inside: what is no clear answer is requested on its own, and the plugin that is off is known."""
    recording = read("bulk_errors_inside.json")
    names = [method for method, _ in calls_in(recording.params)]
    entries = json.loads(recording.body)

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == BULK and "urls[4]" in form:
            return [*entries[:4], dict.fromkeys(map(str, DAYS), entries[4])]
        if method == BULK:
            return [entries[1] for _ in calls_in(form)]
        return error(entries[1]["message"], 401) if form["idSite"] == "3" else good(method, form)

    wanted = [
        (ReportQuery(Source(name), site), DAYS) for name, site in zip(names, ("1", "3", "99", "1", "1"), strict=True)
    ]
    transport = Scripted(answer)
    found = client_of(transport).reports(wanted)
    assert {type(each) for each in found[0].days.values()} == {PluginOff}
    assert [type(each) for each in found[1].days.values()] == [ReportRefused] * 3
    assert "requires 'view' access for the website id = 3" in str(found[1].days[FIRST])
    assert found[4].days[FIRST] == entries[4]
    assert not [form for method, form in transport.asked if method == "Nope.get"]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("The plugin Events is not enabled. You can activate the plugin on Settings > Plugins page in Matomo.", 200),
        ("Segment 'x' is not a supported segment.", 200),
        ("The report was not found", 200),
        ("You can't access this resource as it requires 'view' access for the website id = 1.", 401),
        ("Something broke in the database", 500),
        ("Allowed memory size of 1 bytes exhausted", 500),
        ("getName with multiple dates is not supported (yet).", 200),
        ("this very segment is configured to not process segment reports in API requests", 200),
    ],
)
def test_an_error_inside_is_the_one_that_the_report_has_on_its_own(message: str, status: int) -> None:
    """Class, sentence and days are the same; the other reports of the call have their answers."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == BULK:
            return [
                {"result": "error", "message": message} if name == TYPES.method else good(name, inner)
                for name, inner in calls_in(form)
            ]
        return error(message, status) if method == TYPES.method else good(method, form)

    alone = client_of(Scripted(answer)).report(TYPES, "1", DAYS)
    first, together, last = client_of(Scripted(answer)).reports(queries(COUNTRY, TYPES, SUMMARY))
    assert [(type(each), str(each)) for each in together.days.values()] == [
        (type(each), str(each)) for each in alone.days.values()
    ]
    assert (labels(first), labels(last)) == ({COUNTRY.method}, {SUMMARY.method})


def test_a_token_that_is_refused_inside_ends_the_run() -> None:
    """bulk_inner_bad_token: the report is requested on its own, which is refused as a whole."""
    refused = json.loads(read("bulk_inner_bad_token.json").body)[1]

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == BULK:
            return [refused for _ in calls_in(form)]
        return as_json(refused, 401)

    transport = Scripted(answer)
    with pytest.raises(TokenRefused):
        client_of(transport).reports(queries(COUNTRY, SUMMARY, TYPES))
    assert len(transport.asked) == 2


def test_one_refusal_of_a_segment_is_enough() -> None:
    """All reports that were requested with it have the same one, and no other is sent with it."""

    def answer(_method: str, form: Mapping[str, str]) -> object:
        refusal = {"result": "error", "message": "Segment 'x' is not a supported segment."}
        return [refusal for _ in calls_in(form)]

    transport = Scripted(answer)
    client = client_of(transport)
    found = client.reports(queries(COUNTRY, SUMMARY, segment="x==1"))
    assert len({str(each) for answered in found for each in answered.days.values()}) == 1
    (again,) = client.reports(queries(TYPES, segment="x==1"))
    assert all(isinstance(each, SegmentRefused) for each in again.days.values())
    assert len(transport.asked) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        error("Maximum execution time of 30 seconds exceeded", 500),
        AnswerTooLarge("the answer has more than 64 MiB: set page_rows"),
        as_json([[], []]),  # cut: fewer answers than calls
        as_json({"no": "list"}),
        Reply(200, "application/json", None, "", b'[{"2026-11-18":[{"lab'),
    ],
    ids=["busy", "time", "bytes", "cut to fewer", "no list", "broken off"],
)
def test_a_call_that_is_too_much_is_cut_into_halves(trouble: Reply | Exception) -> None:
    """Until it is answered; the answers are the same, and every report is requested once."""
    sources = [Source(f"A.get{number}") for number in range(9)]

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == BULK and len(calls_in(form)) > 2:
            return trouble
        return in_bulk(good)(method, form)

    transport = Scripted(answer)
    found = client_of(transport).reports(queries(*sources))
    assert [labels(answered) for answered in found] == [{source.method} for source in sources]
    answered = [form for method, form in transport.asked if method != BULK or len(calls_in(form)) <= 2]
    assert sum(len(calls_in(form)) or 1 for form in answered) == 9


def test_a_bulk_call_that_fails_says_nothing_of_its_reports() -> None:
    """It is tried twice; three that fail in a row are no sign that the server is down, as long as reports answer."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        return BUSY if method == BULK else good(method, form)

    transport = Scripted(answer)
    client = client_of(transport)
    for _ in range(4):
        assert all(labels(each) for each in client.reports(queries(COUNTRY, SUMMARY)))
    methods = [method for method, _ in transport.asked]
    assert methods == [BULK, BULK, COUNTRY.method, SUMMARY.method] * 4


def test_a_report_that_fails_in_all_its_tries_is_the_only_one_that_is_given_up() -> None:
    """As on its own: after three failures at a site it is left out of the next call."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == BULK:
            return [
                {"result": "error", "message": "gone away"} if name == TYPES.method else good(name, inner)
                for name, inner in calls_in(form)
            ]
        return error("gone away", 500) if method == TYPES.method else good(method, form)

    transport = Scripted(answer)
    client = client_of(transport)
    for _ in range(4):
        first, second = client.reports(queries(COUNTRY, TYPES))
        assert labels(first) == {COUNTRY.method}
        assert all(isinstance(each, MatomoUnavailable | ReportRefused) for each in second.days.values())
    assert sum(method == TYPES.method for method, _ in transport.asked) == 3 * ATTEMPTS
    assert transport.asked[-1][0] == COUNTRY.method


def test_out_of_time_in_a_bulk_call_is_out_of_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not requested is left to the next run, and not failed."""
    transport = Scripted(lambda *_: BUSY)
    client = client_of(transport)
    monkeypatch.setattr(client._deadline, "allows_requests", lambda: False)
    with pytest.raises(OutOfTime):
        client.reports(queries(COUNTRY, SUMMARY))


SEGMENTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=30).filter(str.strip)


@given(st.lists(SEGMENTS, min_size=1, max_size=3))
def test_a_value_arrives_in_bulk_as_it_does_on_its_own(segments: Sequence[str]) -> None:
    """Ampersands, plus and percent signs, brackets and every alphabet: the inner query string is encoded in a form."""
    transport = Scripted(in_bulk(good))
    client = client_of(transport)
    wanted = [(ReportQuery(COUNTRY, "1", Period.DAY, segment), DAYS) for segment in (*segments, "last==1")]
    client.reports(wanted)
    for segment in (*segments, "last==1"):
        client.reports([(ReportQuery(COUNTRY, "1", Period.DAY, segment), DAYS)])
    (_, together), *alone = transport.asked
    assert [inner for _, inner in calls_in(together)] == [form for _, form in alone]


def test_reports_that_refuse_ranges_come_in_the_same_call_day_by_day() -> None:
    """Each day is a call of its own in it; one that fails costs that day."""
    referrers = replace(PREBUILT["referrers"].sources[0])

    def answer(method: str, form: Mapping[str, str]) -> object:
        if "," in form["date"]:
            return good(method, form)
        return {"result": "error", "message": "no"} if form["date"] == str(LAST) else [{"label": form["date"]}]

    transport = Scripted(in_bulk(answer))
    country, single = client_of(transport).reports(queries(COUNTRY, referrers))
    assert labels(country) == {COUNTRY.method}
    assert [each for each in single.days.values() if isinstance(each, list)] == [
        [{"label": str(day)}] for day in DAYS if day != LAST
    ]
    assert isinstance(single.days[LAST], ReportRefused)
    (asked,) = transport.asked
    assert [inner["date"] for _, inner in calls_in(asked[1])] == [f"{FIRST},{LAST}", *map(str, DAYS)]


def test_a_list_of_answers_is_never_cut() -> None:
    """bulk_101_urls_cut_to_100: an outer limit of -1 has all of them; PHP would drop fields past some 1,000."""
    transport = Scripted(in_bulk(good))
    client_of(transport).reports(queries(COUNTRY, SUMMARY))
    assert transport.asked[0][1]["filter_limit"] == "-1"
    assert MOST_CALLS_IN_BULK < 100


def test_where_answers_are_paged_each_report_is_requested_on_its_own() -> None:
    """Which pages follow depends on each answer."""
    transport = Scripted(good)
    client = client_of(transport, page_rows=5)
    assert not client.joins_reports
    client.reports(queries(COUNTRY, SUMMARY))
    assert [method for method, _ in transport.asked] == [COUNTRY.method, SUMMARY.method]


def test_a_report_that_never_answers_costs_no_other_one_its_answer() -> None:
    """The call that it shares has a part of the time only; it is halved at once, until the report is on its own."""
    asked: list[list[str]] = []

    def answer(method: str, form: Mapping[str, str]) -> object:
        methods = [name for name, _ in calls_in(form)] if method == BULK else [method]
        asked.append(methods)
        if COUNTRY.method in methods:
            raise NotAnswered(f"{method}: no answer came in its part of the time for requests")
        return "5.2.0" if method == "API.getMatomoVersion" else in_bulk(good)(method, form)

    sources = [SUMMARY, COUNTRY, TYPES, Source("Actions.get")]
    found = client_of(Scripted(answer)).reports(queries(*sources))
    assert [labels(each) for each in found if each is not found[1]] == [{s.method} for s in sources if s != COUNTRY]
    assert all(isinstance(error, MatomoUnavailable) for error in found[1].days.values())
    assert asked[0] == [source.method for source in sources]
    assert len([methods for methods in asked if COUNTRY.method in methods and len(set(methods)) > 1]) == 2
