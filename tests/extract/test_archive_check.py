"""Whether an empty answer is an empty day."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.days import Days
from matomo_fn.errors import InvalidResponse, MatomoUnavailable, Stopped, TokenRefused
from matomo_fn.extract.archive_check import (
    NOT_CHECKED,
    NOT_PROCESSED,
    UNCOUNTED,
    ArchiveCheck,
    ArchiveChecks,
    Reported,
    Subject,
)
from matomo_fn.periods import Period
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.sites import Site, read_timezone
from tests.support.recordings import Scripted, as_json, client_of, read

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SITE = Site("1", "Shop", UTC, date(2020, 1, 1))
FIRST = date(2026, 11, 1)
TODAY = date(2027, 11, 21)
FIRST_NOON = datetime(2026, 11, 1, 12, tzinfo=UTC).timestamp()
DISABLED = {"result": "error", "message": "Visits log is deactivated in website settings."}


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


class Matomo:
    """Days with visits in the log and days whose reports are made; everything else is empty."""

    def __init__(self, visits: set[date] | None = None, processed: set[date] | None = None) -> None:
        self.visits = visits or set()
        self.processed = processed or set()
        self.log_is_off = False
        self.summary: Callable[[Mapping[str, str]], object] | None = None
        self.transport = Scripted(self._answer)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Methods and dates, in order."""
        return [(method, form["date"]) for method, form in self.transport.asked]

    def check(self, believe_until: date = FIRST) -> ArchiveCheck:
        """ArchiveCheck of one site."""
        return ArchiveCheck(client_of(self.transport), Subject(SITE), TODAY, believe_until)

    def _answer(self, method: str, form: Mapping[str, str]) -> object:
        first, last = map(date.fromisoformat, form["date"].split(","))
        days = list(Days.between(first, last))
        if method == "Live.getLastVisitsDetails":
            if self.log_is_off:
                return DISABLED
            found = sorted(self.visits.intersection(days))[:1]
            return [
                {"lastActionTimestamp": int(datetime(d.year, d.month, d.day, 12, tzinfo=UTC).timestamp())}
                for d in found
            ]
        if self.summary:
            return self.summary(form)
        return {str(d): {"nb_visits": 3} if d in self.visits & self.processed else [] for d in days}


def test_a_day_with_visits_and_an_empty_report_is_believed() -> None:
    """A day may have visits and no event, no campaign: the summary says that it is made."""
    matomo = Matomo({day(0)}, {day(0)})
    assert matomo.check().pending_reasons([day(0)]) == {day(0): None}
    assert matomo.asked == [("VisitsSummary.get", "2026-11-01,2026-11-01")]


def test_an_empty_day_is_believed_when_the_visits_log_has_none_either() -> None:
    """One question for the whole stretch of days."""
    matomo = Matomo()
    assert matomo.check().pending_reasons([day(2), day(0), day(1)]) == {day(0): None, day(1): None, day(2): None}
    assert matomo.asked == [
        ("VisitsSummary.get", "2026-11-01,2026-11-03"),
        ("Live.getLastVisitsDetails", "2026-11-01,2026-11-03"),
    ]


def test_a_day_that_is_not_processed_is_doubted() -> None:
    """The log has a visit and the summary none: what the warehouse has stays."""
    matomo = Matomo({day(1)})
    assert matomo.check().pending_reasons([day(0), day(1), day(2)]) == {
        day(0): None,
        day(1): NOT_PROCESSED,
        day(2): None,
    }


def test_days_that_are_apart_are_checked_apart() -> None:
    """What lies between them is nobody's question."""
    matomo = Matomo({day(4)})
    assert matomo.check().pending_reasons([day(0), day(5)]) == {day(0): None, day(5): None}
    assert [span for method, span in matomo.asked if method.startswith("Live")] == [
        "2026-11-01,2026-11-01",
        "2026-11-06,2026-11-06",
    ]


def test_a_range_of_unprocessed_days_is_checked_day_by_day_up_to_a_bound() -> None:
    """Where archiving has stopped for months, the rest is pending without a request; later runs check it."""
    days = list(Days.between(day(0), day(99)))
    matomo = Matomo(set(days))
    reasons = matomo.check().pending_reasons(days)
    assert [reasons[one] for one in days] == [NOT_PROCESSED] * 31 + [NOT_CHECKED] * 69
    assert len(matomo.asked) == 1 + 31


def test_the_last_of_a_stretch_is_no_question_too_many() -> None:
    """A visit on the last day ends the requests."""
    matomo = Matomo({day(0), day(1)})
    assert matomo.check().pending_reasons([day(0), day(1)]) == {day(0): NOT_PROCESSED, day(1): NOT_PROCESSED}
    assert len(matomo.asked) == 3


def test_without_a_visits_log_zeros_are_believed_once_the_day_is_old() -> None:
    """Past the trailing days; before, the next run refetches the day."""
    matomo = Matomo()
    matomo.log_is_off = True
    reasons = matomo.check(believe_until=day(1)).pending_reasons([day(0), day(1), day(2)])
    assert (reasons[day(0)], reasons[day(1)]) == (None, None)
    assert str(reasons[day(2)]).startswith("the day is recent and empty, and the visits log cannot tell")
    assert "Visits log is deactivated" in str(reasons[day(2)])


@pytest.mark.parametrize(
    "answer",
    [
        MatomoUnavailable("HTTP 503"),
        as_json({"result": "error", "message": "SQLSTATE[HY000] [2002] Connection refused"}),
        as_json({"result": "error", "message": "Allowed memory size of 134217728 bytes exhausted"}),
        as_json("text"),
    ],
)
def test_a_visits_log_that_fails_says_nothing_about_old_days(answer: object) -> None:
    """They were taken for empty for good, since no later run looks at them."""
    matomo = Matomo({day(0)})
    transport = Scripted(lambda method, form: answer if method.startswith("Live") else matomo._answer(method, form))
    check = ArchiveCheck(client_of(transport), Subject(SITE), TODAY, day(9))
    reasons = check.pending_reasons([day(0), day(1)])
    assert all(str(reason).startswith("whether the day is empty is not known: ") for reason in reasons.values())


@pytest.mark.parametrize(
    "answer",
    [
        as_json({"result": "error", "message": "The plugin Live is not enabled. You can activate the plugin"}),
        as_json({"result": "error", "message": "You can't access this resource as it requires 'view' access."}, 401),
    ],
)
def test_without_the_plugin_of_the_visits_log_or_access_to_it_old_zeros_are_believed(answer: object) -> None:
    """Neither comes back by itself, as a log that is switched off does not."""
    matomo = Matomo()
    transport = Scripted(lambda method, form: answer if method.startswith("Live") else matomo._answer(method, form))
    check = ArchiveCheck(client_of(transport), Subject(SITE), TODAY, day(9))
    assert check.pending_reasons([day(0)]) == {day(0): None}


def test_a_visits_log_that_fails_in_the_middle_keeps_what_it_said_before() -> None:
    """A day that is known to be unprocessed stays so, however old."""
    matomo = Matomo({day(0)})
    answer = matomo.transport
    check = ArchiveCheck(
        client_of(
            Scripted(
                lambda method, form: (
                    DISABLED
                    if form["date"] == "2026-11-02,2026-11-03" and "Live" in method
                    else matomo._answer(method, form)
                )
            )
        ),
        Subject(SITE),
        TODAY,
        day(9),
    )
    assert check.pending_reasons([day(0), day(1), day(2)]) == {day(0): NOT_PROCESSED, day(1): None, day(2): None}
    assert answer.asked == []


def test_a_summary_that_fails_leaves_the_day_in_doubt() -> None:
    """Whether it is empty is not known, so it is not written; the other days are judged."""
    matomo = Matomo()

    matomo.summary = lambda _: {"2026-11-01": 70, "2026-11-02": []}
    reasons = matomo.check().pending_reasons([day(0), day(1)])
    assert str(reasons[day(0)]).startswith("whether the day is empty is not known: VisitsSummary.get answers 70")
    assert reasons[day(1)] is None


def test_what_is_known_is_not_refetched() -> None:
    """Eleven empty tables of one day cost one question."""
    matomo = Matomo({day(1)}, {day(1)})
    check = matomo.check()
    first = check.pending_reasons([day(0), day(1)])
    asked = len(matomo.asked)
    assert check.pending_reasons([day(1), day(0)]) == first
    assert check.pending_reasons([]) == {}
    assert len(matomo.asked) == asked


def test_a_summary_that_was_fetched_anyway_is_not_refetched() -> None:
    """Zeros in it leave only the question to the visits log."""
    matomo = Matomo({day(1)})
    check = matomo.check()
    check.note({day(0): {"nb_visits": 5}, day(1): [], day(2): {"nb_visits": "0"}})
    assert check.pending_reasons([day(0), day(1), day(2)]) == {day(0): None, day(1): NOT_PROCESSED, day(2): None}
    assert {method for method, _ in matomo.asked} == {"Live.getLastVisitsDetails"}


@pytest.mark.parametrize("answer", [InvalidResponse("no"), {"value": 3}, 7, None, {"nb_visits": "n/a"}])
def test_a_learned_error_proves_nothing(answer: object) -> None:
    """The day is requested like one that is not known."""
    matomo = Matomo({day(0)}, {day(0)})
    check = matomo.check()
    check.note({day(0): answer})
    assert check.pending_reasons([day(0)]) == {day(0): None}
    assert matomo.asked[0][0] == "VisitsSummary.get"


def test_the_recorded_unprocessed_day_is_doubted() -> None:
    """unprocessed_no_archive_day_VisitsSummary.get says 0 visits; unprocessed_Live_still_works has some."""
    live = read("unprocessed_Live_still_works.json").reply
    reports = read("unprocessed_no_archive_daterange_VisitsSummary.get.json").reply
    transport = Scripted(lambda method, _: live if method.startswith("Live") else reports)
    paris = replace(SITE, timezone=UTC)
    check = ArchiveCheck(client_of(transport), Subject(paris), TODAY, day(0))
    reasons = check.pending_reasons([date(2026, 11, 10), date(2026, 11, 11), date(2026, 11, 12)])
    assert NOT_PROCESSED in reasons.values()


# ---- several threads


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    return thread, results


@pytest.mark.timeout(10)
def test_many_threads_make_one_request() -> None:
    """The first one makes the request, the others use its answer."""
    matomo = Matomo({day(1)})
    check = matomo.check()
    threads = [in_thread(lambda: check.pending_reasons([day(0), day(1)])) for _ in range(8)]
    for thread, _ in threads:
        thread.join()
    assert [results for _, results in threads] == [[{day(0): None, day(1): NOT_PROCESSED}]] * 8
    assert len(matomo.asked) == 2


@pytest.mark.timeout(10)
def test_a_refused_token_ends_the_requests_and_leaves_no_lock() -> None:
    """The next one is told that the run has ended, and does not hang."""
    refused = read("error_bad_token_post_params_in_url.json").reply
    check = ArchiveCheck(client_of(Scripted(lambda *_: refused)), Subject(SITE), TODAY, day(0))
    for error in (TokenRefused, Stopped):
        with pytest.raises(error):
            check.pending_reasons([day(0)])
    check.note({day(0): {"nb_visits": 1}})
    assert check.pending_reasons([day(0)]) == {day(0): None}


def test_a_fatal_error_of_the_visits_log_ends_the_check_and_no_day_is_believed() -> None:
    """A day that is not archived would be taken for an empty one; the next run checks it again."""
    refused = read("error_bad_token_post_params_in_url.json").reply
    zeros: dict[str, object] = {str(day(0)): [], str(day(1)): []}
    live: list[object] = [refused, [{"lastActionTimestamp": int(FIRST_NOON)}]]
    answers = Scripted(lambda method, _: live.pop(0) if method.startswith("Live") else zeros)
    check = ArchiveCheck(client_of(answers), Subject(SITE), TODAY, day(5))
    for error in (TokenRefused, Stopped):
        with pytest.raises(error):
            check.pending_reasons([day(0), day(1)])
    answers.answer = lambda method, _: (
        [{"lastActionTimestamp": int(FIRST_NOON)}] if method.startswith("Live") else zeros
    )
    later = ArchiveCheck(client_of(answers), Subject(SITE), TODAY, day(5))
    later.note({day(0): []})
    assert later.pending_reasons([day(0)]) == {day(0): NOT_PROCESSED}


def of_periods(
    period: Period, log: set[date], processed: set[date], today: date, *, log_is_off: bool = False
) -> tuple[ArchiveCheck, list[date]]:
    """A check of some periods whose counts are known: of those that are processed one visit, of the others none."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        assert method == "Live.getLastVisitsDetails"
        if log_is_off:
            return DISABLED
        first, last = map(date.fromisoformat, form["date"].split(","))
        assert first <= last
        found = sorted(one for one in log if first <= one <= last)[:1]
        moments = [datetime(one.year, one.month, one.day, 12, tzinfo=UTC) for one in found]
        return [{"lastActionTimestamp": int(moment.timestamp())} for moment in moments]

    check = ArchiveCheck(client_of(Scripted(answer)), Subject(SITE, period=period), today, day(20))
    dates = sorted({period.first_day(day(number)) for number in range(30)})
    check.note({one: {"nb_visits": int(one in processed)} for one in dates})
    return check, dates


PERIODS = st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH, Period.rolling(3)])


@settings(max_examples=60)
@given(
    PERIODS,
    st.frozensets(st.integers(-4, 35), max_size=6),
    st.frozensets(st.integers(0, 30), max_size=6),
    st.integers(29, 36),
    st.data(),
)
def test_exactly_the_periods_without_reports_that_have_a_visit_are_doubted(
    period: Period, visits: frozenset[int], processed: frozenset[int], today: int, data: st.DataObject
) -> None:
    """Each by the days that it covers itself, as far as they have come; in whichever order they are wanted.

    The present day is not doubted: nothing is counted of it yet, whether the log has visits of it or not.
    """
    made = {period.first_day(day(number)) for number in processed}
    log = {day(number) for number in visits if number <= today}
    check, dates = of_periods(period, log, made, day(today))
    wanted = data.draw(st.sampled_from([dates, dates[::-1]]) | st.lists(st.sampled_from(dates), unique=True))
    reasons = check.pending_reasons(wanted)
    expected = {}
    for one in wanted:
        first, last = period.span(one)
        expected[one] = one not in made and any(first <= each <= min(last, day(today)) for each in log)
    present = {one for one in dates if period.is_day and one == day(today) and one not in made}
    assert {one for one, reason in reasons.items() if reason == UNCOUNTED} == present & set(wanted)
    doubted = {one for one, is_pending in expected.items() if is_pending} - present
    assert {one for one, reason in reasons.items() if reason is not None} == doubted | present & set(wanted)
    assert check.known_pending(dates).keys() == doubted | present


@settings(max_examples=30)
@given(PERIODS, st.frozensets(st.integers(0, 30)))
def test_without_a_visits_log_zeros_are_believed_of_periods_that_are_over(
    period: Period, processed: frozenset[int]
) -> None:
    """A week or a month that goes on past the days that are believed may still get visits."""
    made = {period.first_day(day(number)) for number in processed}
    check, dates = of_periods(period, set(), made, day(40), log_is_off=True)
    reasons = check.pending_reasons(dates)
    assert {one for one in dates if reasons[one]} == {
        one for one in dates if one not in made and period.last_day(one) > day(20)
    }


def test_what_matomo_still_has_of_a_day_is_requested_once() -> None:
    """Reports, visits alone, or nothing at all; a day that failed is known by its error."""
    answers: dict[str, dict[int, object]] = {
        "VisitsSummary.get": {0: {"nb_visits": 2}, 1: {"nb_visits": 3}, 2: []},
        "UserCountry.getCountry": {0: [{"label": "France"}], 1: []},
    }

    def answer(method: str, form: Mapping[str, str]) -> object:
        first, last = map(date.fromisoformat, form["date"].split(","))
        return {str(one): answers[method][(one - FIRST).days] for one in Days.between(first, last)}

    transport = Scripted(answer)
    check = ArchiveCheck(client_of(transport), Subject(SITE), TODAY, FIRST)
    expected = {day(0): Reported.REPORTS, day(1): Reported.COUNTS, day(2): Reported.NOTHING}
    for _ in range(2):
        assert check.reported([day(1), day(0), day(2)]) == expected
        assert [check.reported([one]) for one in expected] == [{one: found} for one, found in expected.items()]
    assert [(method, form["date"]) for method, form in transport.asked] == [
        ("VisitsSummary.get", "2026-11-01,2026-11-03"),
        ("UserCountry.getCountry", "2026-11-01,2026-11-02"),
    ]


def test_sites_segments_and_periods_have_checks_of_their_own() -> None:
    """Each the same one whenever it is wanted; days are believed by the site's own day."""
    checks = ArchiveChecks(client_of(Scripted(lambda *_: [])), 3, datetime(2026, 11, 20, 22, tzinfo=UTC))
    other = Site("2", "Far", read_timezone("Asia/Kolkata"), date(2020, 1, 1))
    keys = [
        (site, segment, period)
        for site in (SITE, other)
        for segment in (EVERY_VISIT, Segment("m", "a==b"))
        for period in (Period.DAY, Period.WEEK)
    ]
    assert len({id(checks.of(*key)) for key in keys}) == len(keys)
    assert all(checks.of(*key) is checks.of(*key) for key in keys)
    checks.of(SITE).note({date(2026, 11, 1): {"nb_visits": 4}})
    assert checks.of(SITE).known_visits([date(2026, 11, 1)]) == {date(2026, 11, 1): 4}
    assert checks.of(other).known_visits([date(2026, 11, 1)]) == {}
