"""A request to sync: what it may say. What it may not say stands in test_bad_input."""

from datetime import date

import pytest

from matomo_fn.config.request import SeveralRequests, SyncRequest, read_request, read_requests
from matomo_fn.errors import InputError


def test_a_connector_is_enough() -> None:
    """Everything else has the default that the README promises."""
    assert dict(read_request({"connector": "shop"})) == {
        "connector": "shop",
        "start_date": None,
        "end_date": None,
        "tables": None,
        "sites": None,
        "mode": "incremental",
        "days": None,
        "sample_days": None,
        "seed": None,
        "dry_run": False,
        "part": None,
    }


def test_everything_may_be_given() -> None:
    """Days become dates, sites strings; what stands twice stands once."""
    request = read_request(
        {
            "connector": "shop",
            "start_date": "2024-02-29",
            "end_date": "2024-02-29",
            "tables": ["countries", "visits_summary", "countries"],
            "sites": [1, "2", "1"],
            "mode": "full_refresh",
            "dry_run": True,
        }
    )
    assert request == SyncRequest.model_construct(
        connector="shop",
        start_date=date(2024, 2, 29),
        end_date=date(2024, 2, 29),
        tables=("countries", "visits_summary"),
        sites=("1", "2"),
        mode="full_refresh",
        dry_run=True,
    )


@pytest.mark.parametrize("key", ["start_date", "end_date", "tables", "sites"])
def test_null_is_not_given(key: str) -> None:
    """As tools write it that always send every key."""
    assert read_request({"connector": "shop", key: None}) == read_request({"connector": "shop"})


def test_a_start_alone_has_an_open_end() -> None:
    """Up to yesterday at each site, which only the site knows."""
    request = read_request({"connector": "shop", "start_date": "2024-03-05"})
    assert (request.start_date, request.end_date) == (date(2024, 3, 5), None)


@pytest.mark.parametrize(
    "day", ["2024-3-5", "20240305", "2024-03-05T00:00:00", "2024-W10-2", "today", "yesterday", "", 20240305, True, []]
)
def test_only_a_day_written_out_is_a_day(day: object) -> None:
    """Words and other forms mean different days by clock and zone."""
    with pytest.raises(InputError) as raised:
        read_request({"connector": "shop", "start_date": day})
    assert raised.value.problems == (f"request: start_date: {day!r} is not a day such as 2026-01-31",)


@pytest.mark.parametrize("day", ["2023-02-29", "2024-13-01", "2024-00-10", "0000-01-01"])
def test_a_day_that_no_calendar_has_is_refused(day: str) -> None:
    """Matomo would accept it in silence and answer for another one."""
    with pytest.raises(InputError) as raised:
        read_request({"connector": "shop", "start_date": day})
    assert raised.value.problems == (f"request: start_date: there is no day {day!r}",)


@pytest.mark.parametrize("name", ["", "Shop", "shop/../blog", "shop\n", "a" * 64])
def test_a_connectors_name_can_stand_in_a_secrets_name(name: str) -> None:
    """Nothing else is looked up: no path, no line break."""
    with pytest.raises(InputError) as raised:
        read_request({"connector": name})
    assert raised.value.problems == (
        f"request: connector: {name!r} is not a connector name: lower-case letters, digits and hyphens",
    )


def test_every_problem_is_reported_at_once() -> None:
    """In the order of the keys."""
    with pytest.raises(InputError) as raised:
        read_request({"connector": "Shop", "start_date": "x", "tables": [1], "sites": ["z"], "mode": 1, "dry_run": 0})
    assert [problem.split(" ")[1].rstrip(":") for problem in raised.value.problems] == [
        "connector",
        "start_date",
        "tables",
        "sites",
        "mode",
        "dry_run",
    ]


def test_of_several_connectors_each_problem_is_told() -> None:
    """Those that are the same for all stand once; the requests are otherwise the same."""
    with pytest.raises(InputError) as raised:
        read_requests({"connector": ["Bad", "good", "all", "Worse"], "mode": "slow"}, list)
    problems = raised.value.problems
    assert [next((name for name in ("Bad", "'all'", "Worse") if name in problem), "mode") for problem in problems] == [
        "Bad",
        "mode",
        "'all'",
        "Worse",
    ]
    found = read_requests({"connector": "all", "sites": ["2"]}, lambda: ["b", "a"])
    assert isinstance(found, SeveralRequests)
    assert [(each.connector, each.sites) for each in found.each] == [("b", ("2",)), ("a", ("2",))]
