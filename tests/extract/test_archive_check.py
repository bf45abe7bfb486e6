"""Whether an empty answer is an empty day."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from matomo_fn.days import Days
from matomo_fn.errors import InvalidResponse, Stopped, TokenRefused
from matomo_fn.extract.archive_check import NOT_CHECKED, NOT_PROCESSED, ArchiveCheck, Subject
from matomo_fn.sites import Site
from tests.support.recordings import Scripted, client_of, read

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
