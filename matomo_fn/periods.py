"""Periods: the stretch of time that one slice covers, as Matomo has them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import ClassVar

from matomo_fn.days import ONE_DAY, Days, Range

_RANGE = "range"


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A kind of period; ``value`` is what Matomo's parameter ``period`` calls it.

    A slice is named by one day, its date: the first day of a week (a Monday), month or year. Those follow one another
    without a gap. A rolling window (``range``) of ``days`` days is named by its last day, and there is one for each
    day. A set of slices of one stream is held as `Days`, all the days that they cover: a year of weeks is one range. A
    rolling window counts as its last day alone.
    """

    value: str
    days: int = 1

    DAY: ClassVar["Period"]
    WEEK: ClassVar["Period"]
    MONTH: ClassVar["Period"]
    YEAR: ClassVar["Period"]

    @classmethod
    def rolling(cls, days: int) -> "Period":
        """Return the kind of a window of so many days that ends on each day."""
        return cls(_RANGE, days)

    def __str__(self) -> str:
        return self.value

    @property
    def is_day(self) -> bool:
        """Whether a slice is one day and nothing more."""
        return self.value == "day"

    @property
    def is_rolling(self) -> bool:
        """Whether it is a window that ends on each day: Matomo answers it alone, and not keyed by periods."""
        return self.value == _RANGE

    def first_day(self, day: date) -> date:
        """Return the date of the slice that a day belongs to."""
        match self.value:
            case "week":
                return date.fromordinal(max(1, day.toordinal() - day.weekday()))
            case "month":
                return day.replace(day=1)
            case "year":
                return day.replace(month=1, day=1)
            case _:
                return day

    def last_day(self, first: date) -> date:
        """Return the last day of the slice of a date."""
        match self.value:
            case "week":
                return date.fromordinal(min(date.max.toordinal(), first.toordinal() + 6))
            case "month":
                return _month_end(first)
            case "year":
                return first.replace(month=12, day=31)
            case _:
                return first

    def span(self, first: date) -> Range:
        """Return the first and the last day whose visits the slice of a date is about."""
        if self.is_rolling:
            return first - timedelta(days=self.days - 1), first
        return first, self.last_day(first)

    def key(self, first: date) -> str:
        """Return how Matomo spells the slice of a date in an answer that is keyed by periods."""
        match self.value:
            case "week":
                return f"{first},{self.last_day(first)}"
            case "month":
                return f"{first:%Y-%m}"
            case "year":
                return f"{first:%Y}"
            case _:
                return first.isoformat()

    def whole(self, days: Days) -> Days:
        """Return the days of every period that has one of some days."""
        if self.is_day or self.is_rolling:
            return days
        return Days.joined((self.first_day(first), self.last_day(self.first_day(last))) for first, last in days.ranges)

    def covered(self, dates: Iterable[date]) -> Days:
        """Return the days that the slices of some dates cover."""
        if self.is_day or self.is_rolling:
            return Days.of(dates)
        return Days.joined((day, self.last_day(day)) for day in dates)

    def dates(self, days: Days) -> Iterator[date]:
        """Yield the date of each slice among the days, which are those of whole periods, in order."""
        if self.is_day or self.is_rolling:
            yield from days
            return
        for first, last in days.ranges:
            day: date | None = first
            while day is not None:
                yield day
                end = self.last_day(day)
                day = end + ONE_DAY if end < last else None

    def within(self, days: Days, since: date | None, before: date | None) -> Days:
        """Return the days of those slices whose dates are not earlier than ``since``, and earlier than ``before``."""
        if since is None and before is None:
            return days
        if self.is_day or self.is_rolling:
            days = days if since is None else days.since(since)
            return days if before is None else days.before(before)
        dates = self.dates(days)
        return self.covered(day for day in dates if (not since or day >= since) and (not before or day < before))

    def count(self, days: Days) -> int:
        """Return how many slices the days have, which are those of whole periods."""
        match self.value:
            case "week":
                return -(-len(days) // 7)
            case "month":
                return sum(_months(last) - _months(first) + 1 for first, last in days.ranges)
            case "year":
                return sum(last.year - first.year + 1 for first, last in days.ranges)
            case _:
                return len(days)

    def newest(self, days: Days, most: int) -> Days:
        """Return the latest slices that follow one another, at most so many."""
        first, last = days.ranges[-1]
        return Days.between(max(first, self._back(last, most)), last)

    def parts(self, days: Days, size: int) -> Iterator[Days]:
        """Yield the slices in parts of at most so many, the latest part first."""
        if self.is_day or self.is_rolling:
            yield from days.parts(size)
            return
        dates = list(self.dates(days))
        while dates:
            dates, part = dates[:-size], dates[-size:]
            yield self.covered(part)

    def described(self, first: date) -> str:
        """Return when the slice of a date was, as a sentence has it."""
        match self.value:
            case "week":
                return f"in the week of {first}"
            case "month":
                return f"in {first:%Y-%m}"
            case "year":
                return f"in {first:%Y}"
            case "range":
                return f"in the {self.days} days up to {first}"
            case _:
                return f"on {first}"

    def _back(self, last: date, count: int) -> date:
        """Return the date of the earliest of so many slices that end with a day; the first there is where time ends."""
        match self.value:
            case "week":
                return date.fromordinal(max(1, last.toordinal() - 7 * count + 1))
            case "month":
                month = max(12, _months(last) - count + 1)
                return date(month // 12, month % 12 + 1, 1)
            case "year":
                return date(max(1, last.year - count + 1), 1, 1)
            case _:
                return date.fromordinal(max(1, last.toordinal() - count + 1))


Period.DAY = Period("day")
Period.WEEK = Period("week")
Period.MONTH = Period("month")
Period.YEAR = Period("year")
# As Matomo's parameter takes them.
PERIOD_NAMES = ("day", "week", "month", "year", _RANGE)
LONGER = (Period.WEEK, Period.MONTH, Period.YEAR)
_BY_VALUE = {period.value: period for period in (Period.DAY, *LONGER)}


def period_of(value: str | None) -> Period:
    """Return the kind of period by Matomo's name, as the log has it; a log of an older version has None for days.

    Of a rolling window the length is not known: it is taken as one day, which its slices are spaced by.
    """
    return _BY_VALUE.get(value or "day", Period(value or "day"))


def _months(day: date) -> int:
    return day.year * 12 + day.month - 1


def _month_end(first: date) -> date:
    if first.month == 12:
        return first.replace(day=31)
    return first.replace(month=first.month + 1, day=1) - ONE_DAY
