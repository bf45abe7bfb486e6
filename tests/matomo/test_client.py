"""What is asked, how often it is tried, and what an odd answer makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Source
from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InvalidResponse, MatomoError, MatomoFatal, MatomoUnavailable, ReportRefused, TokenRefused
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK
from matomo_fn.matomo.responses import PluginOff
from matomo_fn.matomo.retries import ATTEMPTS
from matomo_fn.matomo.transport import AnswerTooLarge, Reply
from matomo_fn.sites import Site
from tests.support.recordings import Replay, Scripted, as_json, client_of, read

if TYPE_CHECKING:
    from collections.abc import Mapping

COUNTRY = PREBUILT["visitor_country"].sources[0]
PAGES = PREBUILT["behaviour_page"].sources[0]
SUMMARY = PREBUILT["visits_summary"].sources[0]
REFERRERS = PREBUILT["referrers"].sources[0]
FIRST = date(2026, 11, 1)
SITE = Site("7", "Shop", UTC, date(2026, 1, 1))
BUSY = Reply(503, "text/html", None, "", b"<p>maintenance</p>")


def days(count: int) -> Days:
    return Days.between(FIRST, FIRST + timedelta(days=count - 1))


def span(form: Mapping[str, str]) -> list[date]:
    """The days that a form asks for."""
    first, _, last = form["date"].partition(",")
    start, end = date.fromisoformat(first), date.fromisoformat(last or first)
    return [start + timedelta(days=index) for index in range((end - start).days + 1)]


def entries(form: Mapping[str, str]) -> list[dict[str, str]]:
    """The calls inside of a bulk request."""
    return [
        {name: values[0] for name, values in parse_qs(form[f"urls[{index}]"]).items()}
        for index in range(sum(name.startswith("urls[") for name in form))
    ]


# ---- how a report is asked


def test_a_report_is_asked_so_that_its_answer_means_one_thing() -> None:
    """English labels, numbers as numbers, all rows, explicit days in range form."""
    transport = Scripted(lambda _, form: {str(day): [] for day in span(form)})
    client_of(transport).report(PAGES, "7", days(3))
    assert transport.asked == [
        (
            "Actions.getPageUrls",
            {
                "idSite": "7",
                "period": "day",
                "date": "2026-11-01,2026-11-03",
                "language": "en",
                "format_metrics": "0",
                "percent_of_total": "0",
                "filter_limit": "-1",
                "flat": "1",
                "showColumns": "label,nb_hits,nb_visits,entry_nb_visits,entry_nb_actions,entry_bounce_count,"
                "exit_nb_visits,sum_time_spent,nb_hits_following_search",
            },
        )
    ]


def test_one_day_is_asked_as_a_range_as_well() -> None:
    """A single date is answered otherwise than a range (unused device types, zeros), so D,D it is."""
    transport = Scripted(lambda _, form: {str(day): [] for day in span(form)})
    client_of(transport).report(COUNTRY, "7", days(1))
    assert transport.asked[0][1]["date"] == "2026-11-01,2026-11-01"


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 7, 100])
def test_paging_gives_all_rows_of_every_day_whatever_the_size_of_a_page(rows: int) -> None:
    """A limit applies to each day; days of different length end on different pages."""
    lengths = dict(zip(days(4), [7, 0, 3, 6], strict=True))
    whole = {str(day): [{"label": f"{day} {index}"} for index in range(n)] for day, n in lengths.items()}

    def answer(_: str, form: Mapping[str, str]) -> object:
        offset, limit = int(form["filter_offset"]), int(form["filter_limit"])
        assert limit == rows
        return {key: items[offset : offset + limit] for key, items in whole.items()}

    transport = Scripted(answer)
    answered = client_of(transport, page_rows=rows).report(COUNTRY, "7", days(4))
    assert {str(day): items for day, items in answered.days.items()} == whole
    assert len(transport.asked) == 7 // rows + 1


def test_a_server_that_ignores_the_offset_is_found_out() -> None:
    """The same page again and again is neither more rows nor the end of them."""
    page = [{"label": "a"}, {"label": "b"}]
    transport = Scripted(lambda _, form: {str(day): page for day in span(form)})
    answered = client_of(transport, page_rows=2).report(COUNTRY, "7", days(1))
    assert isinstance(answered.days[FIRST], InvalidResponse)
    assert "the server ignores filter_offset" in str(answered.days[FIRST])
    assert len(transport.asked) == 2


def test_a_server_that_ignores_the_limit_too_is_found_out() -> None:
    """All rows come with every page: the second is the first again."""
    page = [{"label": str(index)} for index in range(50)]
    transport = Scripted(lambda _, form: {str(day): page for day in span(form)})
    answered = client_of(transport, page_rows=10).report(COUNTRY, "7", days(2))
    assert all(isinstance(answer, InvalidResponse) for answer in answered.days.values())


def test_a_one_row_report_is_not_paged() -> None:
    """An object has no pages, and an empty day beside it is [] ."""
    transport = Scripted(lambda _, form: {str(day): [] if day == FIRST else {"nb_visits": 1} for day in span(form)})
    answered = client_of(transport, page_rows=1).report(SUMMARY, "7", days(2))
    assert answered.days == {FIRST: [], FIRST + timedelta(days=1): {"nb_visits": 1}}
    assert len(transport.asked) == 1


# ---- a range that fails


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"2026-11-01": []},
        {"2026-11-01": [], "2026-11-02": [], "2026-11-03": [], "2026-11-04": []},
        {"2026-11-01": [], "2026-11-02": [], "2026-11-04": []},
        {"value": 3},
        {"7": {"2026-11-01": []}},
        3,
        None,
        "no",
        {"result": "error", "message": "something broke"},
    ],
)
def test_an_answer_that_is_not_keyed_by_the_very_days_is_asked_by_days(answer: object) -> None:
    """A day too few, too many or another one: nothing is taken from it."""

    def script(method: str, form: Mapping[str, str]) -> object:
        if method == "API.getBulkRequest":
            return [{str(day): [{"label": "x"}] for day in span(call)} for call in entries(form)]
        return answer

    transport = Scripted(script)
    answered = client_of(transport).report(COUNTRY, "7", days(3))
    assert answered.days == {day: [{"label": "x"}] for day in days(3)}
    assert answered.split
    assert [method for method, _ in transport.asked] == [COUNTRY.method, "API.getBulkRequest"]
    assert [call["date"] for call in entries(transport.asked[1][1])] == [f"{day},{day}" for day in days(3)]


def test_an_answer_that_is_too_large_is_asked_by_days() -> None:
    """Less at once may do."""

    def script(method: str, form: Mapping[str, str]) -> object:
        if method == "API.getBulkRequest":
            return [{str(day): [] for day in span(call)} for call in entries(form)]
        return AnswerTooLarge("too much")

    answered = client_of(Scripted(script)).report(COUNTRY, "7", days(2))
    assert answered.days == {day: [] for day in days(2)}


def test_one_bad_day_costs_one_day() -> None:
    """The error of an entry takes the place of that day's answer."""
    bad = FIRST + timedelta(days=1)

    def script(method: str, form: Mapping[str, str]) -> object:
        if method != "API.getBulkRequest":
            return {"result": "error", "message": "Allowed memory size of 1 bytes exhausted"}
        return [
            {"result": "error", "message": "Allowed memory"} if span(call) == [bad] else {str(span(call)[0]): [call]}
            for call in entries(form)
        ]

    answered = client_of(Scripted(script)).report(COUNTRY, "7", days(3))
    assert [isinstance(answer, ReportRefused) for answer in answered.days.values()] == [False, True, False]
    assert str(answered.days[bad]) == "UserCountry.getCountry: Matomo says: Allowed memory"


def test_a_bulk_call_that_fails_as_a_whole_is_asked_one_by_one() -> None:
    """A day whose answer breaks everything (memory, a page of a proxy) still costs that day alone."""
    bad = FIRST + timedelta(days=2)

    def script(method: str, form: Mapping[str, str]) -> object:
        if method != "API.getBulkRequest" or bad in [day for call in entries(form) for day in span(call)]:
            return as_json({"result": "error", "message": "Maximum execution time"}, 500)
        return [{str(span(call)[0]): []} for call in entries(form)]

    answered = client_of(Scripted(script)).report(COUNTRY, "7", days(4))
    assert {day for day, answer in answered.days.items() if isinstance(answer, MatomoError)} == {bad}
    assert [answered.days[day] for day in days(4) if day != bad] == [[], [], []]


def test_a_bulk_answer_that_was_cut_is_not_taken() -> None:
    """Without a limit of its own the list is cut to 100; fewer entries than calls cannot be told apart."""

    def script(_: str, form: Mapping[str, str]) -> object:
        calls = entries(form)
        return [[{"label": call["date"]}] for call in calls][: max(1, len(calls) - 1)]

    answered = client_of(Scripted(script)).report(REFERRERS, "7", days(3))
    assert answered.days == {day: [{"label": str(day)}] for day in days(3)}


@given(st.integers(min_value=1, max_value=150))
def test_bulk_calls_have_at_most_sixty_days_and_no_limit(count: int) -> None:
    """Each day is requested once; the list of answers has filter_limit=-1, or Matomo would cut it to 100."""
    transport = Scripted(lambda _, form: [[] for _ in entries(form)])
    answered = client_of(transport).report(REFERRERS, "7", days(count))
    assert set(answered.days) == set(days(count))
    asked = [entries(form) for _, form in transport.asked]
    assert sorted(call["date"] for part in asked for call in part) == [str(day) for day in days(count)]
    assert max(map(len, asked)) <= MOST_CALLS_IN_BULK == 60
    assert len(asked) == -(-count // MOST_CALLS_IN_BULK)
    assert {form["filter_limit"] for _, form in transport.asked} == {"-1"}
    assert all(not form[name].startswith("?") for _, form in transport.asked for name in form if name[:4] == "urls")


def test_a_value_in_a_bulk_call_arrives_through_both_encodings() -> None:
    """An inner url is a query string inside of a form."""
    source = Source("X.y", (("segment", "pageTitle==A & B+C;city==Zürich%25"),), ranges=False)
    transport = Scripted(lambda _, form: [[] for _ in entries(form)])
    client_of(transport).report(source, "7", days(1))
    assert entries(transport.asked[0][1])[0]["segment"] == "pageTitle==A & B+C;city==Zürich%25"


def test_recorded_bulk_entries_are_read_one_by_one() -> None:
    """bulk_errors_inside: four entries are errors and one is an answer."""
    answered = client_of(Replay(read("bulk_errors_inside.json").reply)).report(
        replace(SUMMARY, ranges=False), "1", days(5)
    )
    assert [type(answer) for answer in answered.days.values()] == [PluginOff, *[ReportRefused] * 3, dict]


def test_a_report_that_refuses_ranges_is_paged_day_by_day() -> None:
    """Pages cannot go into a bulk call, whose list of answers a limit would cut."""
    rows = [{"label": str(index)} for index in range(5)]

    def answer(_: str, form: Mapping[str, str]) -> object:
        offset = int(form["filter_offset"])
        return rows[offset : offset + int(form["filter_limit"])]

    transport = Scripted(answer)
    answered = client_of(transport, page_rows=2).report(REFERRERS, "7", days(2))
    assert answered.days == dict.fromkeys(days(2), rows)
    assert [form["date"] for _, form in transport.asked] == ["2026-11-01"] * 3 + ["2026-11-02"] * 3


# ---- tries


class Waits:
    """A clock that sleeping moves, and what was slept."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let time pass, and remember it."""
        self.slept.append(seconds)
        self.now += seconds


def patient(transport: Scripted | Replay, seconds: float = 0) -> tuple[MatomoClient, Waits, Waits]:
    """A client, the sleeps of its tries, and those of its rate_limit; one clock for all."""
    clock = Waits()
    held = Waits()
    rate_limit = RateLimit(1_000_000, clock, held.sleep)
    return MatomoClient(transport, rate_limit, Deadline(seconds, clock), sleep=clock.sleep), clock, held


def test_tries_wait_exponentially_longer() -> None:
    """1, 2, 4 and 8 seconds and up to one more; after the fifth try the call has failed."""
    transport = Replay(BUSY)
    client, clock, _ = patient(transport)
    with pytest.raises(MatomoUnavailable, match="in maintenance or overloaded"):
        client.version()
    assert len(transport.asked) == ATTEMPTS == client.calls
    assert len(clock.slept) == 4
    for waited, least in zip(clock.slept, [1, 2, 4, 8], strict=True):
        assert least <= waited <= least + 1


def test_a_call_that_succeeds_at_last_has_succeeded() -> None:
    """Maintenance of a few seconds costs nothing but time."""
    answers = iter([BUSY, BUSY, as_json({"value": "5.2.0"})])
    client, clock, _ = patient(Scripted(lambda *_: next(answers)))
    assert client.version() == (5, 2)
    assert len(clock.slept) == 2


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured_by_this_call_and_all_others(status: int) -> None:
    """The wait is the one asked for, and the rate_limit holds whoever else wants to ask."""
    answers = iter([replace(BUSY, status=status, retry_after=42.0), as_json({"value": "5.2.0"})])
    held = Waits()
    slept: list[float] = []
    rate_limit = RateLimit(1_000_000, held, held.sleep)
    client = MatomoClient(Scripted(lambda *_: next(answers)), rate_limit, Deadline(), sleep=slept.append)
    assert client.version() == (5, 2)
    assert slept == [42.0]
    assert held.slept == [42.0]


def test_retry_after_is_honoured_behind_the_last_try_as_well() -> None:
    """The call has failed, and the next one, of whatever, waits: a bulk request that fails is cut into smaller ones."""
    answers = iter([replace(BUSY, retry_after=42.0), as_json({"value": "5.2.0"})])
    held = Waits()
    rate_limit = RateLimit(1_000_000, held, held.sleep)
    client = MatomoClient(Scripted(lambda *_: next(answers)), rate_limit, Deadline(), attempts=1)
    with pytest.raises(MatomoUnavailable):
        client.sites()
    assert client.version() == (5, 2)
    assert held.slept == [42.0]


@pytest.mark.parametrize(("retry_after", "tries"), [(300.0, 5), (301.0, 1), (86_400.0, 1)])
def test_a_wait_that_is_too_long_is_left_to_a_later_run(retry_after: float, tries: int) -> None:
    """More than five minutes: the slices are due again anyway."""
    transport = Replay(replace(BUSY, retry_after=retry_after))
    client, clock, _ = patient(transport)
    with pytest.raises(MatomoUnavailable):
        client.version()
    assert len(transport.asked) == tries
    assert clock.slept == [retry_after] * (tries - 1)


def test_the_deadline_stops_the_tries() -> None:
    """Nothing is slept past the end of the run."""
    transport = Replay(BUSY)
    client, clock, _ = patient(transport, seconds=5.5)
    with pytest.raises(MatomoUnavailable):
        client.version()
    assert clock.now <= 5.5
    assert len(transport.asked) < ATTEMPTS


@pytest.mark.parametrize("name", ["error_bad_token_post_params_in_url.json", "bruteforce_blocked_good_token.json"])
def test_a_refused_token_is_exactly_one_call(name: str) -> None:
    """21 refusals block the address for an hour, for good tokens as well."""
    transport = Replay(read(name).reply)
    client, clock, _ = patient(transport)
    with pytest.raises(TokenRefused):
        client.report(COUNTRY, "1", days(30))
    assert len(transport.asked) == 1
    assert clock.slept == []


@pytest.mark.parametrize("answer", [{"result": "error", "message": "no such report"}, 7])
def test_an_error_of_the_report_itself_is_not_tried_again(answer: object) -> None:
    """The same question has the same answer."""
    transport = Scripted(lambda *_: answer)
    client, clock, _ = patient(transport)
    assert isinstance(client.report(COUNTRY, "1", days(1)).days[FIRST], MatomoError)
    assert len(transport.asked) == 1
    assert clock.slept == []


def test_three_calls_in_a_row_that_fail_end_the_run() -> None:
    """The server is down, and the rest waits for the next run."""
    transport = Replay(BUSY)
    client, _, _ = patient(transport)
    for _ in range(2):
        with pytest.raises(MatomoUnavailable):
            client.version()
    with pytest.raises(MatomoFatal, match=r"\(HTTP 503\); 3 calls in a row failed, so the run ends"):
        client.version()
    assert len(transport.asked) == 3 * ATTEMPTS


def test_a_server_that_is_down_is_not_asked_day_by_day() -> None:
    """A range that fails is requested in bulk, then one by one: the third failure is checked by the version."""
    transport = Replay(BUSY)
    client, _, _ = patient(transport)
    with pytest.raises(MatomoFatal):
        client.report(COUNTRY, "1", days(300))
    assert len(transport.asked) == 3 * ATTEMPTS + 1


def test_a_success_between_failures_starts_the_count_again() -> None:
    """Two, one good, two: the server is slow and not down."""
    down = [BUSY] * ATTEMPTS
    good = as_json({"value": "5.2.0"})
    answers = iter([*down, *down, good, *down, *down, good])
    client, _, _ = patient(Scripted(lambda *_: next(answers)))
    for succeeds in (False, False, True, False, False, True):
        if succeeds:
            assert client.version() == (5, 2)
        else:
            with pytest.raises(MatomoUnavailable):
                client.version()


# ---- sites and version


def test_more_than_a_hundred_sites_are_asked_without_a_limit() -> None:
    """Matomo gives 100 where nothing is said."""

    def answer(_: str, form: Mapping[str, str]) -> object:
        sites = [
            {"idsite": number, "name": f"S{number}", "timezone": "UTC", "ts_created": "2026-01-01 00:00:00"}
            for number in range(1, 251)
        ]
        return sites if form.get("filter_limit") == "-1" else sites[:100]

    sites = client_of(Scripted(answer)).sites()
    assert [site.id for site in sites] == [str(number) for number in range(1, 251)]


def test_the_recorded_sites_have_their_days_in_their_own_time_zone() -> None:
    """ts_created is UTC; the first day that can have visits is the site's."""
    sites = client_of(Replay(read("sites_getSitesWithAtLeastViewAccess.json").reply)).sites()
    raw = json.loads(read("sites_getSitesWithAtLeastViewAccess.json").body)
    assert [(site.id, site.name, str(site.timezone)) for site in sites] == [
        ("1", "Boutique Été & Co", "Europe/Paris"),
        ("2", 'Docs "UTC"', "UTC"),
    ]
    assert sites[1].created == date.fromisoformat(raw[1]["ts_created"][:10])


def test_a_site_created_late_in_utc_begins_the_next_day_in_auckland() -> None:
    """And the day before in New York."""

    def created(zone: str, moment: str) -> date:
        item = {"idsite": "4", "name": "", "timezone": zone, "ts_created": moment}
        return client_of(Scripted(lambda *_: [item])).sites()[0].created

    assert created("Pacific/Auckland", "2026-01-01 20:00:00") == date(2026, 1, 2)
    assert created("America/New_York", "2026-01-01 03:00:00") == date(2025, 12, 31)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"value": 1},
        "sites",
        None,
        [1],
        [None],
        [[]],
        [{}],
        [{"idsite": 1, "timezone": "UTC"}],
    ],
)
def test_odd_sites_are_an_error_of_the_answer(answer: object) -> None:
    """No site is left out in silence."""
    with pytest.raises(InvalidResponse, match=r"SitesManager\.getSitesWithAtLeastViewAccess"):
        client_of(Scripted(lambda *_: as_json(answer))).sites()


@pytest.mark.parametrize(
    ("timezone", "created"),
    [
        ("Mars/Olympus", "2026-01-01 00:00:00"),
        ("../../etc/passwd", "2026-01-01 00:00:00"),
        ("", "2026-01-01 00:00:00"),
        (None, "2026-01-01 00:00:00"),
        ("UTC", "yesterday"),
        ("UTC", None),
        ("America/New_York", "0001-01-01 00:00:00"),
    ],
)
def test_a_site_that_is_not_set_up_right_keeps_no_other_from_being_known(timezone: object, created: object) -> None:
    """It says what is wrong with it, and is given no other time zone in silence."""
    good = {"idsite": 1, "timezone": "UTC", "ts_created": "2026-01-01 00:00:00"}
    odd = {"idsite": 2, "timezone": timezone, "ts_created": created}
    first, second = client_of(Scripted(lambda *_: [good, odd])).sites()
    assert not first.problem
    assert second.problem.startswith("Matomo's settings of the site cannot be read: ")


def site_of(key: object, zone: str = "UTC") -> dict[str, object]:
    """A site as Matomo lists it."""
    return {"idsite": key, "name": "S", "timezone": zone, "ts_created": "2026-01-01 00:00:00"}


@pytest.mark.parametrize(
    "key",
    [
        '2","zz":"',
        "4\\",
        "",
        " 1",
        "01",
        "0",
        "-1",
        "1.0",
        "٣",
        "2 or 1=1",
        10**12,
        0,
        1.5,
        True,
        None,
        ["1"],
        {"1": 1},
    ],
)
def test_an_id_that_no_configuration_may_have_is_that_sites_problem(key: object) -> None:
    """It would go into calls, rows and statements; the other sites go on."""
    good, odd = client_of(Scripted(lambda *_: [site_of("1"), site_of(key)])).sites()
    assert (good.id, good.problem) == ("1", "")
    assert odd.problem == "Matomo answers that as its id, where a whole number such as 1 belongs"
    assert odd.id == json.dumps(key, ensure_ascii=False)


def test_a_site_that_is_listed_twice_is_one_site() -> None:
    """Each of its rows would stand in the tables twice."""
    found = client_of(Scripted(lambda *_: [site_of("1"), site_of(2), site_of(1), site_of("2")])).sites()
    assert [(site.id, site.problem) for site in found] == [("1", ""), ("2", "")]


def test_a_site_that_is_listed_with_different_settings_is_not_synced() -> None:
    """One of two time zones is wrong, and moves visits to other days."""
    (site,) = client_of(Scripted(lambda *_: [site_of("1"), site_of("1", "Asia/Kolkata"), site_of("1")])).sites()
    assert site.problem == "Matomo lists it more than once, with different settings"


def test_a_site_whose_creation_is_not_known_has_no_first_day() -> None:
    """Old databases write zeros."""
    item = {"idsite": 1, "timezone": "UTC", "ts_created": "0000-00-00 00:00:00"}
    (site,) = client_of(Scripted(lambda *_: [item])).sites()
    assert (site.created, site.problem) == (date.min, "")


@pytest.mark.parametrize(
    ("value", "version"),
    [({"value": "5.2.0-b5"}, (5, 2)), ({"value": "4.16.1"}, (4, 16)), ("5.10.0", (5, 10)), ({"value": "6.0"}, (6, 0))],
)
def test_the_version_is_two_numbers(value: object, version: tuple[int, int]) -> None:
    """5.10 is newer than 5.5, so it is no decimal number."""
    assert client_of(Scripted(lambda *_: as_json(value))).version() == version


@pytest.mark.parametrize("value", [{}, {"value": None}, {"value": 5.2}, "new", {"value": "5"}, [], {"value": "²5.²2"}])
def test_an_odd_version_is_an_error_of_the_answer(value: object) -> None:
    """Which methods there are depends on it."""
    with pytest.raises(InvalidResponse, match=r"API\.getMatomoVersion"):
        client_of(Scripted(lambda *_: as_json(value))).version()


# ---- the visits log


def test_the_first_visit_is_asked_for_the_oldest_and_without_its_actions() -> None:
    """One row is enough, and period=range does not bring yesterday's visits with today's."""
    transport = Scripted(lambda *_: [])
    assert client_of(transport).first_visit_day(SITE, FIRST, FIRST + timedelta(days=9)) is None
    method, form = transport.asked[0]
    assert method == "Live.getLastVisitsDetails"
    assert form == {
        "idSite": "7",
        "period": "range",
        "date": "2026-11-01,2026-11-10",
        "filter_limit": "1",
        "filter_sort_order": "asc",
        "doNotFetchActions": "1",
        "showColumns": "idVisit,lastActionTimestamp",
        "language": "en",
    }


def test_the_day_of_a_visit_is_that_of_the_site() -> None:
    """The timestamp is true UTC; the site's clock says which day it was."""
    moment = datetime(2026, 11, 4, 23, 30, tzinfo=UTC)
    client = client_of(Scripted(lambda *_: [{"lastActionTimestamp": int(moment.timestamp())}]))
    recorded = client_of(Replay(read("sites_getSitesWithAtLeastViewAccess.json").reply)).sites()
    assert client.first_visit_day(recorded[0], FIRST, date(2026, 11, 9)) == date(2026, 11, 5)
    assert client.first_visit_day(recorded[1], FIRST, date(2026, 11, 9)) == date(2026, 11, 4)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"value": 1},
        [None],
        [{}],
        [{"lastActionTimestamp": None}],
        [{"lastActionTimestamp": "soon"}],
        [{"lastActionTimestamp": 10**30}],
        [{"lastActionTimestamp": 0}],
        3,
        "",
    ],
)
def test_an_odd_visits_log_is_an_error_of_the_answer(answer: Any) -> None:
    """It is no proof that a day was empty."""
    with pytest.raises(InvalidResponse, match=r"Live\.getLastVisitsDetails answers"):
        client_of(Scripted(lambda *_: as_json(answer))).first_visit_day(SITE, FIRST, date(2026, 11, 9))


@pytest.mark.parametrize("number", [1, 3])
def test_a_report_that_refuses_ranges_is_requested_day_by_day_although_nobody_knew(number: int) -> None:
    """As a plugin's may, in the words of those of Matomo that do; one day as well, which is a range of one."""
    message = json.loads(read("days_Referrers.getAll.json").body)

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "API.getBulkRequest":
            inner = [dict(parse_qsl(value)) for key, value in form.items() if key.startswith("urls")]
            return [[{"label": call["date"]}] for call in inner]
        return message if "," in form["date"] else [{"label": form["date"]}]

    answered = client_of(Scripted(answer)).report(COUNTRY, "7", days(number))
    assert answered.days == {day: [{"label": str(day)}] for day in days(number)}


def test_a_server_that_says_its_version_is_asked_for_it_once_in_three_failures() -> None:
    """It is up: the failures before count no more."""
    transport = Scripted(lambda method, _: as_json({"value": "5.2.0"}) if method.endswith("Version") else BUSY)
    client, _, _ = patient(transport)
    asked = []
    for name in "ABCDEFG":
        with pytest.raises(MatomoUnavailable):
            client.call(f"{name}.get", {"idSite": "1"})
        asked.append(sum(method == "API.getMatomoVersion" for method, _ in transport.asked))
    assert asked == [0, 0, 1, 1, 1, 2, 2]
