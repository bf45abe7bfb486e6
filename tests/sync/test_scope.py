"""The scope of a request: windows of days, by site, request and configuration."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.request import read_request
from matomo_fn.periods import Period
from matomo_fn.sites import Site, read_timezone
from matomo_fn.slices import Stream
from matomo_fn.sync.scope import is_final, window_of

NOW = datetime(2026, 11, 20, 23, 20, tzinfo=UTC)  # in Paris it is the 21st


def connector(**values: object) -> Connector:
    return read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": "all", **values}))


def site(zone: str = "UTC", created: date = date(2020, 1, 1), number: str = "1") -> Site:
    return Site(number, "", read_timezone(zone), created)


def window(where: Site | None = None, request: dict[str, Any] | None = None, **values: object) -> Any:
    found = window_of(where or site(), read_request({"connector": "shop", **(request or {})}), connector(**values), NOW)
    return found and (found.first, found.last, found.recheck_from)


def test_the_default_window_is_the_last_backfill_days_up_to_yesterday() -> None:
    """The trailing days of it are asked again although they are known."""
    assert window(backfill_days=30, trailing_days=3) == (date(2026, 10, 21), date(2026, 11, 19), date(2026, 11, 17))


@pytest.mark.parametrize(
    ("zone", "yesterday"),
    [
        ("UTC", date(2026, 11, 19)),
        ("Europe/Paris", date(2026, 11, 20)),
        ("America/New_York", date(2026, 11, 19)),
        ("Pacific/Auckland", date(2026, 11, 20)),
    ],
)
def test_yesterday_is_that_of_the_site(zone: str, yesterday: date) -> None:
    """A run at one moment has different days for different sites."""
    first, last, recheck = window(site(zone), backfill_days=10, trailing_days=2)
    assert (first, last, recheck) == (yesterday - timedelta(9), yesterday, yesterday - timedelta(1))


def test_no_window_begins_before_the_site_was_created() -> None:
    """Matomo has nothing there, and empties would look like days without visits."""
    created = date(2026, 11, 15)
    assert window(site(created=created)) == (created, date(2026, 11, 19), date(2026, 11, 17))
    explicit = {"start_date": "2024-01-01", "end_date": "2026-11-16"}
    assert window(site(created=created), explicit) == (created, date(2026, 11, 16), created)


def test_trailing_days_never_reach_before_the_window() -> None:
    """More trailing days than days: all are asked again."""
    assert window(backfill_days=2, trailing_days=9) == (date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 18))


@pytest.mark.parametrize("created", [date(2026, 11, 20), date(2026, 11, 21), date(2030, 1, 1)])
def test_a_site_of_today_or_later_has_no_days_yet(created: date) -> None:
    """There is no yesterday."""
    assert window(site(created=created)) is None


def test_an_explicit_window_wins_and_all_of_it_is_asked_again() -> None:
    """Whatever backfill_days say."""
    explicit = {"start_date": "2026-01-05", "end_date": "2026-01-07"}
    assert window(None, explicit, backfill_days=1) == (date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 5))


def test_an_explicit_window_without_an_end_ends_with_yesterday() -> None:
    """As the default one does."""
    assert window(None, {"start_date": "2026-11-18"})[:2] == (date(2026, 11, 18), date(2026, 11, 19))


def test_today_is_asked_for_only_where_it_is_named() -> None:
    """It is not over; whoever names it wants it so."""
    assert window(None, {"start_date": "2026-11-20", "end_date": "2026-11-20"})[1] == date(2026, 11, 20)
    assert window(None, {"start_date": "2026-11-20"}) is None


def test_no_window_reaches_into_the_future() -> None:
    """Matomo would answer empties; the site's today is the last day."""
    assert window(None, {"start_date": "2026-11-18", "end_date": "2027-01-01"})[1] == date(2026, 11, 20)
    paris = window(site("Europe/Paris"), {"start_date": "2026-11-18", "end_date": "2027-01-01"})
    assert paris[1] == date(2026, 11, 21)
    assert window(None, {"start_date": "2026-11-21", "end_date": "2027-01-01"}) is None


@pytest.mark.parametrize("mode", ["backfill", "full_refresh"])
def test_other_modes_ask_for_every_day_again(mode: str) -> None:
    """Known or not."""
    assert window(None, {"mode": mode}, backfill_days=30) == (
        date(2026, 10, 21),
        date(2026, 11, 19),
        date(2026, 10, 21),
    )


@given(st.integers(1, 800), st.integers(1, 365), st.dates(date(2024, 1, 1), date(2026, 12, 31)))
def test_a_window_lies_within_the_life_of_the_site(backfill: int, trailing: int, created: date) -> None:
    """First, recheck and last in that order, none before the creation, none after yesterday."""
    found = window_of(
        site(created=created),
        read_request({"connector": "shop"}),
        connector(backfill_days=backfill, trailing_days=trailing),
        NOW,
    )
    if found is None:
        assert created > date(2026, 11, 19)
    else:
        assert created <= found.first <= found.last == date(2026, 11, 19)
        assert found.first <= found.recheck_from
        assert len(found.days) <= backfill
        assert found.days.first == found.first


def test_a_day_is_final_when_no_later_run_would_ask_for_it_by_itself() -> None:
    """The trailing days of the next day's run begin behind it."""
    three = connector(trailing_days=3)
    assert is_final(site(), Stream("visits_summary", "1").slice(date(2026, 11, 17)), three, NOW)
    assert not is_final(site(), Stream("visits_summary", "1").slice(date(2026, 11, 18)), three, NOW)
    assert is_final(site("Europe/Paris"), Stream("visits_summary", "1").slice(date(2026, 11, 18)), three, NOW)


@pytest.mark.parametrize(
    ("period", "first", "last"),
    [
        (Period.DAY, date(2026, 11, 9), date(2026, 11, 9)),
        (Period.WEEK, date(2026, 11, 9), date(2026, 11, 15)),
        (Period.MONTH, date(2026, 10, 1), date(2026, 10, 31)),
        (Period.YEAR, date(2025, 1, 1), date(2025, 12, 31)),
        (Period.rolling(7), date(2026, 11, 9), date(2026, 11, 9)),
    ],
)
def test_a_period_is_final_once_the_trailing_days_have_passed_its_last_day(
    period: Period, first: date, last: date
) -> None:
    """Not its first: up to its end, and some days longer, its numbers grow. Each site by its own day."""
    three = connector(trailing_days=3)
    slice_ = Stream("t", "1", "", period).slice(first)
    midnight = datetime(last.year, last.month, last.day, tzinfo=UTC) + timedelta(days=3)
    for zone, hours in (("UTC", 0), ("Asia/Kolkata", -5.5), ("Pacific/Honolulu", 10)):
        then = midnight + timedelta(hours=hours)
        assert is_final(site(zone), slice_, three, then)
        assert not is_final(site(zone), slice_, three, then - timedelta(seconds=1))
