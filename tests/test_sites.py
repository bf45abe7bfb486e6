"""What a day is at a site, by Matomo's names of time zones."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.sites import Site, read_timezone


def today(zone: str, now: datetime) -> date:
    return Site("1", "", read_timezone(zone), date(2020, 1, 1)).today(now)


@pytest.mark.parametrize(
    ("name", "hours"),
    [
        ("UTC", 0),
        ("UTC+0", 0),
        ("UTC-0", 0),
        ("UTC+1", 1),
        ("UTC-11.5", -11.5),
        ("UTC+5.5", 5.5),
        ("UTC+5.75", 5.75),
        ("UTC+12.75", 12.75),
        ("UTC-0.5", -0.5),
        ("UTC+14", 14),
        ("UTC-12", -12),
    ],
)
def test_a_manual_offset_of_matomo_is_so_many_hours(name: str, hours: float) -> None:
    """Matomo offers UTC-12 to UTC+14 with quarters of hours written as decimals."""
    moment = datetime(2026, 11, 1, tzinfo=read_timezone(name))
    assert moment.utcoffset() == timedelta(hours=hours)


@pytest.mark.parametrize(
    "name",
    ["", "Mars/Olympus", "UTC+", "UTC+1.3", "UTC+25", "UTC+99", "UTC1", "utc+1x", "../UTC", "/etc/passwd", "a\x00b"],
)
def test_an_unknown_time_zone_is_said_by_its_name(name: str) -> None:
    """Nothing is guessed: a wrong zone would move visits to other days."""
    with pytest.raises(ValueError, match="there is no time zone") as raised:
        read_timezone(name)
    assert json.dumps(name) in str(raised.value)


def test_every_name_of_the_time_zone_database_is_known() -> None:
    """Matomo's list is PHP's, which is the same database."""
    for name in available_timezones() - {"UTC"}:
        assert read_timezone(name) == ZoneInfo(name)


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        ("Europe/Paris", date(2026, 11, 21)),
        ("UTC", date(2026, 11, 20)),
        ("America/New_York", date(2026, 11, 20)),
        ("Pacific/Auckland", date(2026, 11, 21)),
        ("UTC+0.5", date(2026, 11, 20)),
        ("UTC+0.75", date(2026, 11, 21)),
    ],
)
def test_today_is_the_day_at_the_site(zone: str, day: date) -> None:
    """At 23:20 UTC it is already tomorrow in Paris and Auckland."""
    assert today(zone, datetime(2026, 11, 20, 23, 20, tzinfo=UTC)) == day


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2026, 10, 24, 21, 59, tzinfo=UTC), date(2026, 10, 24)),
        (datetime(2026, 10, 24, 22, 0, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 22, 59, tzinfo=UTC), date(2026, 10, 25)),
        (datetime(2026, 10, 25, 23, 0, tzinfo=UTC), date(2026, 10, 26)),
        (datetime(2026, 3, 28, 23, 0, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 21, 59, tzinfo=UTC), date(2026, 3, 29)),
        (datetime(2026, 3, 29, 22, 0, tzinfo=UTC), date(2026, 3, 30)),
    ],
)
def test_days_of_25_and_23_hours_begin_and_end_at_the_sites_midnight(moment: datetime, day: date) -> None:
    """When the clocks change in Paris."""
    assert today("Europe/Paris", moment) == day


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["Europe/Paris", "UTC-11", "UTC+14", "Asia/Kolkata", "America/St_Johns", "Pacific/Apia"]),
)
def test_today_never_goes_back(now: datetime, zone: str) -> None:
    """An hour later it is the same day or the next, never more than a day from UTC's."""
    assert today(zone, now + timedelta(hours=1)) - today(zone, now) in (timedelta(0), timedelta(days=1))
    assert abs(today(zone, now) - now.date()) <= timedelta(days=1)
