"""Slices, the unit of the whole program, and arithmetic on days."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

ONE_DAY = timedelta(days=1)
ALL_VISITS = ""  # the name of the segment that every visit belongs to


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """One table, one site, one segment, one day: what is asked, compared, replaced and remembered as a whole."""

    table: str
    website_id: str
    segment: str
    date: date


def days_between(first: date, last: date) -> Iterator[date]:
    """Yield every day from ``first`` to ``last``, both included."""
    while first <= last:
        yield first
        first += ONE_DAY


def runs_of_days(days: Iterable[date]) -> list[tuple[date, date]]:
    """Return the (first, last) of each run of consecutive days, in order."""
    runs: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if runs and day - runs[-1][1] == ONE_DAY:
            runs[-1] = (runs[-1][0], day)
        else:
            runs.append((day, day))
    return runs
