"""The comparison with the recordings notices every kind of difference."""

import json
from collections.abc import Callable

import pytest

from tests.fake_matomo.recorded import read
from tests.fake_matomo.shapes import Comparison

Row = dict[str, object]
Tamper = Callable[[list[Row]], object]


def tampered(name: str, tamper: Callable[[object], object]) -> list[str]:
    """Return the differences of a tampered recording from itself."""
    recording = read(name)
    answer = json.loads(recording.body)
    changed = tamper(answer)
    return Comparison(recording).compare(recording.answer, answer if changed is None else changed)


@pytest.mark.parametrize(
    "name",
    [
        "day_UserCountry.getCountry.json",
        "days_UserCountry.getCountry.json",
        "flat_Actions.getPageUrls.json",
        "day_VisitsSummary.get.json",
        "days_VisitsSummary.get.json",
        "live_one_rich_visit.json",
        "others_row_getPageTitles.json",
    ],
)
def test_a_recording_does_not_differ_from_itself(name: str) -> None:
    """There are no differences without changes."""
    assert tampered(name, lambda _: None) == []


def _first(change: Callable[[Row], object]) -> Callable[[object], object]:
    def tamper(answer: object) -> None:
        assert isinstance(answer, list)
        change(answer[0])

    return tamper


def _set(**fields: object) -> Callable[[object], object]:
    return _first(lambda row: row.update(fields))


def _drop(name: str) -> Callable[[object], object]:
    return _first(lambda row: row.pop(name))


COUNTRY, PAGES, TYPES = (
    "day_UserCountry.getCountry.json",
    "flat_Actions.getPageUrls.json",
    "day_DevicesDetection.getType.json",
)
LIVE, CATEGORY = "live_one_rich_visit.json", "day_Events.getCategory.json"


@pytest.mark.parametrize(
    ("name", "tamper", "said"),
    [
        (COUNTRY, _drop("nb_visits"), "lacks nb_visits"),
        (COUNTRY, _drop("code"), "lacks code"),
        (COUNTRY, _set(nb_actions=87), "nb_actions=87"),
        (COUNTRY, _set(nb_visits="21"), "nb_visits='21'"),
        (COUNTRY, _set(nb_visits=None), "nb_visits=None"),
        (COUNTRY, _set(invented=1), "has invented"),
        (COUNTRY, _set(sum_daily_nb_users=1), "has sum_daily_nb_users"),
        (COUNTRY, _set(goals={"idgoal=1": {"nb_conversions": 1}}), "lacks goals.idgoal=1.revenue"),
        (COUNTRY, _set(goals={"idgoal=1": {"clicks": 1}}), "has goals.idgoal=1.clicks"),
        (COUNTRY, _set(goals={"one": {"nb_conversions": 1}}), "has goals of one"),
        (COUNTRY, lambda _: [], "has 0 entries"),
        (COUNTRY, lambda _: {"result": "error"}, "is {'result': 'error'} where ["),
        (PAGES, _set(bounce_rate=0.13), "bounce_rate=0.13"),
        (PAGES, _set(bounce_rate="13 %"), "bounce_rate='13 %'"),
        (PAGES, _set(entry_nb_visits=8), "entry_nb_visits=8"),
        (PAGES, _set(sum_time_network="0.8"), "has sum_time_network"),
        (PAGES, _drop("url"), "lacks url"),
        (TYPES, _set(sum_visit_length=16198), "sum_visit_length=16198"),
        (CATEGORY, _set(sum_event_value="2"), "sum_event_value='2'"),
        (LIVE, _drop("visitIp"), "lacks visitIp"),
        (LIVE, _set(idVisit="1683"), "idVisit='1683'"),
        (LIVE, _set(totalEcommerceItems=None), "totalEcommerceItems=None"),
        (LIVE, _set(lastActionDateTime="11.11.2026"), "lastActionDateTime='11.11.2026'"),
    ],
)
def test_a_difference_is_noticed(name: str, tamper: Callable[[object], object], said: str) -> None:
    """A field that is missing, new, or of another type is named."""
    assert any(said in difference for difference in tampered(name, tamper)), tampered(name, tamper)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda action: action.pop("pageId"), "lacks pageId"),
        (lambda action: action.update(timestamp="now"), "timestamp='now'"),
        (lambda action: action.update(eventCategory="x"), "has eventCategory"),
    ],
)
def test_a_difference_in_an_action_is_noticed(change: Callable[[Row], object], said: str) -> None:
    """Actions are compared by their type."""

    def tamper(answer: object) -> None:
        assert isinstance(answer, list)
        change(answer[0]["actionDetails"][0])

    assert any(said in difference for difference in tampered(LIVE, tamper))


def test_a_missing_day_is_noticed() -> None:
    """Answers by day have the same days."""

    def tamper(answer: object) -> None:
        assert isinstance(answer, dict)
        del answer["2026-11-02"]

    assert "answer lacks 2026-11-02" in tampered("days_UserCountry.getCountry.json", tamper)


def test_an_empty_day_in_the_wrong_form_is_noticed() -> None:
    """Zeros instead of an empty list are a difference."""

    def tamper(answer: object) -> None:
        assert isinstance(answer, dict)
        answer["2026-11-03"] = {"nb_visits": 0}

    assert any("answer[2026-11-03] is" in one for one in tampered("days_VisitsSummary.get.json", tamper))


def test_a_limit_that_was_not_kept_is_noticed() -> None:
    """A limit gives as many rows as recorded."""
    assert any("filter_limit=50" in one for one in tampered("limit_50_offset_0.json", lambda rows: rows[:49]))  # type: ignore[index]
