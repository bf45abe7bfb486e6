"""Reading a day of the visits log: every visit once, whatever the pages, and an error where the server lies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.errors import InvalidResponse, MatomoUnavailable, ReportRefused, TokenRefused
from matomo_fn.matomo import visits_log
from matomo_fn.matomo.transport import MAX_ANSWER, AnswerTooLarge, Reply
from matomo_fn.matomo.visits_log import PageSize, VisitsLogOff, read_visits
from tests.support.recordings import Scripted, as_json, client_of, read
from tests.support.visits import DAY, a_visit, server_of

if TYPE_CHECKING:
    from collections.abc import Mapping

Asked = dict[str, str]


def ids(transport: Scripted, limit: int) -> list[int]:
    """The visits read in pages that begin with so many."""
    return [visit["idVisit"] for visit in read_visits(client_of(transport), "1", (DAY, DAY), pages=PageSize(limit))]  # type: ignore[index]


def limits(transport: Scripted) -> list[int]:
    """How many visits each page was asked for."""
    return [int(form["filter_limit"]) for _, form in transport.asked]


def refusal(message: str, status: int = 200) -> Reply:
    """Matomo's word on a call."""
    return as_json({"result": "error", "message": message}, status)


# --- every visit once -------------------------------------------------------------------------------------


@given(
    moments=st.lists(st.integers(1_000, 1_020), max_size=60),
    limit=st.integers(1, 20),
)
def test_every_visit_comes_once_whatever_the_size_of_the_pages(moments: list[int], limit: int) -> None:
    """Also where many share a second, at the end of a page and all over it."""
    visits = [a_visit(number, moment) for number, moment in enumerate(moments, 1)]
    found = ids(server_of(visits), limit)
    assert sorted(found) == [visit["idVisit"] for visit in visits]
    in_order = {visit["idVisit"]: visit["lastActionTimestamp"] for visit in visits}
    assert [in_order[each] for each in found] == sorted(moments)


def test_visits_of_one_second_come_once_in_whichever_order_each_page_has_them() -> None:
    """A database orders what has the same time as it likes, for another limit in another way."""
    visits = [a_visit(number, 1_000) for number in range(1, 11)]

    def answer(_method: str, form: Mapping[str, str]) -> object:
        limit = int(form["filter_limit"])
        return (visits[::-1] if limit == 8 else visits)[:limit]

    transport = Scripted(answer)
    assert ids(transport, 4) == [1, 2, 3, 4, 10, 9, 8, 7, 6, 5]
    assert limits(transport) == [4, 8, 16]


def test_pages_go_on_one_second_before_the_last_visit_and_never_by_offset() -> None:
    """Its minTimestamp is strictly greater, so one second less asks for the visits of that second as well."""
    transport = server_of([a_visit(number, 1_000 + number) for number in range(1, 8)])
    assert ids(transport, 3) == [1, 2, 3, 4, 5, 6, 7]
    assert [form.get("minTimestamp") for _, form in transport.asked] == [None, "1002", "1006"]
    for _, form in transport.asked:
        assert "filter_offset" not in form
        assert (form["period"], form["date"], form["filter_sort_order"]) == ("range", f"{DAY},{DAY}", "asc")
        assert (form["language"], form["format_metrics"]) == ("en", "0")


def test_a_page_grows_where_more_visits_share_a_second_than_it_holds() -> None:
    """A full page of known visits is asked again four times as large; none is lost."""
    transport = server_of([a_visit(number, 1_000) for number in range(1, 41)])
    assert sorted(ids(transport, 2)) == list(range(1, 41))
    assert max(limits(transport)) > 40


def test_more_visits_in_one_second_than_any_page_holds_are_an_error() -> None:
    """Such a day cannot be read whole, so it is not written at all."""

    def answer(_: str, form: Mapping[str, str]) -> object:
        return [a_visit(number, 1_000) for number in range(int(form["filter_limit"]))]

    with pytest.raises(InvalidResponse, match="more than 20000 visits have their last action in one second"):
        ids(Scripted(answer), 5_000)


def test_pages_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large visits come in small pages, small ones in pages that double up to a bound."""
    monkeypatch.setattr(visits_log, "_TARGET_PAGE", 10_000)
    large = server_of([a_visit(number, 1_000 + number, userId="x" * 1_000) for number in range(100)])
    assert len(ids(large, 50)) == 100
    assert max(limits(large)[1:]) <= 12
    monkeypatch.undo()
    small = server_of([a_visit(number, 1_000 + number) for number in range(3_000)])
    assert len(ids(small, 500)) == 3_000
    assert limits(small)[:3] == [500, 1_000, 2_000]


# --- a server that does not page as it should -------------------------------------------------------------


def test_a_server_that_ignores_min_timestamp_is_an_error() -> None:
    """It would give the first page for ever."""
    visits = [a_visit(number, 1_000 + number) for number in range(10)]
    with pytest.raises(InvalidResponse, match="repeats a page: the server ignores minTimestamp"):
        ids(Scripted(lambda _, form: visits[: int(form["filter_limit"])]), 3)


def test_a_page_that_repeats_itself_is_an_error() -> None:
    """A cache in front of Matomo that answers every page by the second one, say."""
    visits = [a_visit(number, 1_000 + number) for number in range(10)]
    pages = iter([visits[:3], visits[2:5], visits[2:5], visits[2:5]])
    with pytest.raises(InvalidResponse, match="repeats a page"):
        ids(Scripted(lambda _m, _f: next(pages)), 3)


def test_an_unordered_answer_is_an_error() -> None:
    """Newest first, paging by the last time seen would lose all the others."""
    visits = [a_visit(number, 2_000 - number) for number in range(5)]
    with pytest.raises(InvalidResponse, match="does not answer in the order that was asked for"):
        ids(Scripted(lambda _m, _f: visits), 10)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ({"a": 1}, "answers no list of visits"),
        ([1], "answers 1 where a visit belongs"),
        ([{"lastActionTimestamp": 5}], "answers a visit without idVisit"),
        ([{"idVisit": 5}], "answers a visit without lastActionTimestamp"),
        ([{"idVisit": "x", "lastActionTimestamp": 5}], 'a visit whose id or time is "x", not a whole number'),
    ],
)
def test_what_is_no_visit_is_an_error(answer: object, sentence: str) -> None:
    """It is told by what was found."""
    with pytest.raises(InvalidResponse, match=sentence):
        ids(Scripted(lambda _m, _f: answer), 10)


# --- a server in trouble ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        read("down_php_out_of_memory_post.json").reply,
        refusal("Maximum execution time of 30 seconds exceeded", 500),
        AnswerTooLarge(f"the answer has more than {MAX_ANSWER >> 20} MiB: set page_rows"),
    ],
    ids=["memory", "time", "bytes"],
)
def test_a_page_that_is_too_much_for_the_server_is_asked_smaller(trouble: Any) -> None:
    """A quarter at a time until it is answered, and never again so much that day."""
    visits = server_of([a_visit(number, 1_000 + number) for number in range(100)])

    def answer(method: str, form: Mapping[str, str]) -> object:
        return trouble if int(form["filter_limit"]) > 12 else visits.answer(method, form)

    transport = Scripted(answer)
    assert ids(transport, 160) == list(range(100))
    assert limits(transport)[:3] == [160, 40, 10]
    assert max(limits(transport)[2:]) == 10


def test_a_few_visits_that_are_too_much_are_the_servers_error() -> None:
    """Four are requested three times, and fewer never: a page of one cannot go past a second that two visits share."""
    transport = Scripted(lambda _m, _f: read("down_php_out_of_memory_post.json").reply)
    with pytest.raises(ReportRefused, match="Allowed memory size"):
        ids(transport, 16)
    assert limits(transport) == [16, 4, 4, 4]


def test_a_server_that_recovers_gives_visits_that_share_a_second() -> None:
    """Two refusals of a small page, as two failures in a row are, do not make it too small to go on."""
    visits = server_of([a_visit(number, 1_000 + number // 3) for number in range(9)])
    replies = [read("down_php_out_of_memory_post.json").reply] * 2

    def answer(method: str, form: Mapping[str, str]) -> object:
        return replies.pop() if replies else visits.answer(method, form)

    transport = Scripted(answer)
    assert ids(transport, 10) == list(range(9))
    assert limits(transport)[:3] == [10, 4, 4]


@pytest.mark.parametrize(
    "reply",
    [
        read("live_disabled.json").reply,
        refusal("Visits log is deactivated in website settings."),
        refusal("You can't access this resource as it requires 'view' access for the website id = 1.", 401),
        refusal("The plugin Live is not enabled. You can activate the plugin on Settings > Plugins page."),
    ],
    ids=["globally", "site", "access", "plugin"],
)
def test_a_log_that_cannot_be_had_is_told_from_one_that_fails(reply: Reply) -> None:
    """Switched off or refused: an error of its own kind, asked once, which the run makes a note of."""
    transport = Scripted(lambda _m, _f: reply)
    with pytest.raises(VisitsLogOff):
        ids(transport, 10)
    assert len(transport.asked) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (refusal("Unable to authenticate with the provided token.", 401), TokenRefused),
        (refusal("Something else went wrong."), ReportRefused),
        (Reply(503, "text/html", None, "", b"<html></html>"), MatomoUnavailable),
    ],
    ids=["token", "word", "maintenance"],
)
def test_other_errors_are_what_they_are(reply: Reply, kind: type[Exception]) -> None:
    """They neither shrink a page nor look like a log that is switched off."""
    transport = Scripted(lambda _m, _f: reply)
    with pytest.raises(kind) as raised:
        ids(transport, 10)
    assert not isinstance(raised.value, VisitsLogOff)
    assert set(limits(transport)) == {10}


# --- the call that confirms the end of a day --------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "pages"),
    [(None, 2), (7, 1), (6, 2), (8, 2), (0, 2)],
    ids=["unknown", "as many", "fewer", "more", "not processed"],
)
def test_a_short_page_ends_the_day_where_the_summary_counts_as_many(expected: int | None, pages: int) -> None:
    """Otherwise the next page, which brings nothing new, does; the visits are the same."""
    transport = server_of([a_visit(number, 1_000 + number) for number in range(7)])
    found = list(read_visits(client_of(transport), "1", (DAY, DAY), pages=PageSize(10), expected=expected))
    assert len(found) == 7
    assert len(transport.asked) == pages


def test_a_full_page_never_ends_the_day() -> None:
    """The summary may have been counted before the last visits came."""
    transport = server_of([a_visit(number, 1_000 + number) for number in range(8)])
    assert len(list(read_visits(client_of(transport), "1", (DAY, DAY), pages=PageSize(7), expected=7))) == 8


def test_an_empty_day_is_one_call() -> None:
    """Whatever the summary counts."""
    for expected in (None, 0, 3):
        transport = server_of([])
        assert list(read_visits(client_of(transport), "1", (DAY, DAY), expected=expected)) == []
        assert len(transport.asked) == 1
