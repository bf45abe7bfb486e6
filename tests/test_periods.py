"""Kinds of periods: which slices there are, which days they cover, and how Matomo spells them."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.days import Days
from matomo_fn.periods import LONGER, Period, period_of

KINDS = (Period.DAY, *LONGER, Period.rolling(28))
DATES = st.dates(min_value=date(1996, 1, 1), max_value=date(2099, 12, 31))
# Single days, and stretches of some days up to some years.
STRETCHES = st.builds(
    lambda first, more: (first, first + timedelta(days=more)), DATES, st.just(0) | st.integers(1, 3000)
)
DAYS = st.builds(Days.joined, st.lists(STRETCHES, min_size=1, max_size=5))
KIND = st.sampled_from(KINDS)


@pytest.mark.parametrize(
    ("period", "first", "last", "key"),
    [
        (Period.DAY, "2026-10-14", "2026-10-14", "2026-10-14"),
        (Period.WEEK, "2026-10-12", "2026-10-18", "2026-10-12,2026-10-18"),
        (Period.MONTH, "2026-10-01", "2026-10-31", "2026-10"),
        (Period.YEAR, "2026-01-01", "2026-12-31", "2026"),
        (Period.rolling(7), "2026-10-14", "2026-10-14", "2026-10-14"),
    ],
)
def test_the_period_of_a_day_has_matomos_bounds_and_key(period: Period, first: str, last: str, key: str) -> None:
    """Weeks begin on Monday; the keys are those of the recordings m53_weeks_*, m53_months_* and m53_years_*."""
    found = period.first_day(date(2026, 10, 14))
    assert (str(found), str(period.last_day(found)), period.key(found)) == (first, last, key)


def test_a_window_spans_its_days_up_to_its_date() -> None:
    """28 days that end with the last of February of a leap year."""
    assert Period.rolling(28).span(date(2028, 2, 29)) == (date(2028, 2, 2), date(2028, 2, 29))
    assert Period.MONTH.span(date(2028, 2, 1)) == (date(2028, 2, 1), date(2028, 2, 29))


@given(KIND, DATES)
def test_each_day_belongs_to_one_slice(period: Period, day: date) -> None:
    """The one before ends where it begins."""
    first = period.first_day(day)
    assert first <= day <= period.last_day(first)
    assert period.first_day(period.last_day(first)) == first
    before = first - timedelta(days=1)
    assert period.last_day(period.first_day(before)) == before


@given(KIND, DAYS)
def test_whole_periods_are_the_least_that_cover_days(period: Period, days: Days) -> None:
    """The slices of them are those of the days, each once and in order."""
    whole = period.whole(days)
    dates = list(period.dates(whole))
    assert dates == sorted({period.first_day(day) for day in days})
    assert not days - whole
    assert period.covered(dates) == whole
    assert period.count(whole) == len(dates)


@given(KIND, DAYS, st.integers(1, 60))
def test_the_newest_slices_are_consecutive_and_at_most_so_many(period: Period, days: Days, most: int) -> None:
    """They end with the last one, and what is left are whole periods again."""
    whole = period.whole(days)
    newest = period.newest(whole, most)
    dates = list(period.dates(newest))
    assert len(newest.ranges) == 1
    assert newest.last == whole.last
    assert dates == [day for day in period.dates(whole) if day >= dates[0]]
    assert 1 <= len(dates) <= most
    assert period.whole(whole - newest) == whole - newest


@given(KIND, DAYS, st.integers(1, 30))
def test_parts_have_every_slice_once_the_latest_first(period: Period, days: Days, size: int) -> None:
    """No part has more than its size, and all but one are full."""
    whole = period.whole(days)
    parts = [list(period.dates(part)) for part in period.parts(whole, size)]
    assert [day for part in reversed(parts) for day in part] == list(period.dates(whole))
    assert all(len(part) == size for part in parts[:-1])
    assert 1 <= len(parts[-1]) <= size


def test_a_year_of_weeks_is_held_as_one_range() -> None:
    """Whatever the kind of period, memory grows with the gaps and not with the slices."""
    year = Days.between(date(2026, 1, 5), date(2026, 12, 27))
    assert len(Period.WEEK.covered(Period.WEEK.dates(year)).ranges) == 1
    assert Period.WEEK.count(year) == 51


@pytest.mark.parametrize(
    ("period", "sentence"),
    [
        (Period.DAY, "on 2026-10-01"),
        (Period.WEEK, "in the week of 2026-10-01"),
        (Period.MONTH, "in 2026-10"),
        (Period.YEAR, "in 2026"),
        (Period.rolling(28), "in the 28 days up to 2026-10-01"),
    ],
)
def test_sentences_name_a_period_as_people_do(period: Period, sentence: str) -> None:
    """A week by its Monday, a month and a year by their number."""
    assert period.described(date(2026, 10, 1)) == sentence


def test_the_log_names_periods_as_matomo_does() -> None:
    """Rows of versions without periods have none, and are of days."""
    assert [period_of(name) for name in ("day", None, "week", "month", "year")] == [
        Period.DAY,
        Period.DAY,
        *LONGER,
    ]
    assert period_of("range").is_rolling
