"""Sets of days, held as ranges: a year without a gap is one pair, whatever the number of tables and sites."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Self

ONE_DAY = timedelta(days=1)
Range = tuple[date, date]


@dataclass(frozen=True, slots=True)
class Days:
    """A set of days. ``ranges`` are (first, last), both included, in order, with at least one day between two."""

    ranges: tuple[Range, ...] = ()

    @classmethod
    def of(cls, days: Iterable[date]) -> Self:
        """Return the set of some days, in any order."""
        return cls.joined((day, day) for day in days)

    @classmethod
    def between(cls, first: date, last: date) -> Self:
        """Return the days from ``first`` to ``last``, both included; none where ``first`` is the later one."""
        return cls(((first, last),)) if first <= last else cls()

    @classmethod
    def joined(cls, ranges: Iterable[Range]) -> Self:
        """Return the days of some ranges, which may overlap and come in any order."""
        merged: list[Range] = []
        for first, last in sorted(ranges):
            if merged and first.toordinal() <= merged[-1][1].toordinal() + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        return cls(tuple(merged))

    @property
    def first(self) -> date:
        """The earliest day; there has to be one."""
        return self.ranges[0][0]

    @property
    def last(self) -> date:
        """The latest day; there has to be one."""
        return self.ranges[-1][1]

    def __iter__(self) -> Iterator[date]:
        """Yield every day, in order."""
        for first, last in self.ranges:
            for ordinal in range(first.toordinal(), last.toordinal() + 1):
                yield date.fromordinal(ordinal)

    def __len__(self) -> int:
        return sum(last.toordinal() - first.toordinal() + 1 for first, last in self.ranges)

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and any(first <= day <= last for first, last in self.ranges)

    def __or__(self, other: "Days") -> "Days":
        return Days.joined((*self.ranges, *other.ranges))

    def __and__(self, other: "Days") -> "Days":
        common: list[Range] = []
        ours, theirs = iter(self.ranges), iter(other.ranges)
        one, two = next(ours, None), next(theirs, None)
        while one is not None and two is not None:
            first, last = max(one[0], two[0]), min(one[1], two[1])
            if first <= last:
                common.append((first, last))
            if one[1] <= two[1]:
                one = next(ours, None)
            else:
                two = next(theirs, None)
        return Days(tuple(common))

    def __sub__(self, other: "Days") -> "Days":
        kept: list[Range] = []
        for first, last in self.ranges:
            start: date | None = first
            for gone_first, gone_last in (other & Days(((first, last),))).ranges:
                if start is not None and start < gone_first:
                    kept.append((start, gone_first - ONE_DAY))
                start = gone_last + ONE_DAY if gone_last < last else None
            if start is not None:
                kept.append((start, last))
        return Days(tuple(kept))

    def before(self, day: date) -> "Days":
        """Return the days earlier than a day."""
        return self & Days(((date.min, day - ONE_DAY),)) if day > date.min else Days()

    def since(self, day: date) -> "Days":
        """Return the days from a day on."""
        return self & Days(((day, date.max),))

    def newest(self, most: int) -> "Days":
        """Return the latest days that follow one another, at most so many."""
        first, last = self.ranges[-1]
        return Days(((max(first, date.fromordinal(max(1, last.toordinal() - most + 1))), last),))

    def parts(self, size: int) -> Iterator["Days"]:
        """Yield the days in parts of at most ``size``, the latest part first."""
        rest = self
        while rest:
            part = rest.last_days(size)
            yield part
            rest = rest - part

    def last_days(self, count: int) -> "Days":
        """Return the latest days, so many where there are as many."""
        taken: list[Range] = []
        for first, last in reversed(self.ranges):
            length = last.toordinal() - first.toordinal() + 1
            taken.append((max(first, date.fromordinal(max(1, last.toordinal() - count + 1))), last))
            count -= length
            if count <= 0:
                break
        return Days(tuple(reversed(taken)))
