"""Sets of days, held as ranges."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.days import Days

DAYS = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 3, 1))
SETS = st.sets(DAYS, max_size=25)


@given(st.lists(DAYS))
def test_the_ranges_have_the_days_and_no_others(days: list[date]) -> None:
    """In order, consecutive within a range, with a gap between ranges."""
    found = Days.of(days)
    assert list(found) == sorted(set(days))
    assert len(found) == len(set(days))
    assert all(later[0] - earlier[1] > timedelta(days=1) for earlier, later in pairwise(found.ranges))


def test_days_between_have_both_ends() -> None:
    """Also the leap day, and none where the ends are reversed."""
    assert list(Days.between(date(2028, 2, 28), date(2028, 3, 1))) == [
        date(2028, 2, 28),
        date(2028, 2, 29),
        date(2028, 3, 1),
    ]
    assert list(Days.between(date(2026, 1, 2), date(2026, 1, 1))) == []


@given(SETS, SETS)
def test_sets_of_days_are_sets(one: set[date], other: set[date]) -> None:
    """Union, intersection, difference and membership are those of Python's sets, in the form that ``of`` gives."""
    ours, theirs = Days.of(one), Days.of(other)
    assert ours | theirs == Days.of(one | other)
    assert ours & theirs == Days.of(one & other)
    assert ours - theirs == Days.of(one - other)
    assert all((day in ours) == (day in one) for day in one | other)
    assert bool(ours) == bool(one)


@given(SETS, DAYS)
def test_before_has_the_days_earlier_than_a_day(days: set[date], limit: date) -> None:
    """The day itself is not among them, but among those since it."""
    assert Days.of(days).before(limit) == Days.of(day for day in days if day < limit)
    assert Days.of(days).since(limit) == Days.of(day for day in days if day >= limit)


def test_nothing_is_before_the_first_day_of_all() -> None:
    """The calendar ends there."""
    assert Days.of([date.min]).before(date.min) == Days()


@given(SETS, st.integers(1, 9))
def test_parts_have_every_day_once_the_latest_first(days: set[date], size: int) -> None:
    """All but the last part are full."""
    parts = list(Days.of(days).parts(size))
    assert [day for part in reversed(parts) for day in part] == sorted(days)
    assert all(len(part) == size for part in parts[:-1])
    assert all(part for part in parts)


@given(SETS.filter(bool), st.integers(1, 9))
def test_the_newest_days_follow_one_another(days: set[date], most: int) -> None:
    """They end with the last day and are as many as there are without a gap, at most so many."""
    newest = list(Days.of(days).newest(most))
    assert newest[-1] == max(days)
    assert len(newest) <= most
    assert all(later - earlier == timedelta(days=1) for earlier, later in pairwise(newest))
    assert len(newest) == most or newest[0] - timedelta(days=1) not in days
