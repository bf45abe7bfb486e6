"""Streams and slices: the keys by which everything is requested, compared, replaced and remembered."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import TypeAlias

from matomo_fn.days import Days
from matomo_fn.periods import Period

Day: TypeAlias = date  # by this name where a slice's own date hides it
ALL_VISITS = ""  # the name of the segment that every visit belongs to


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """The sequence of slices of one table, site, segment and kind of period."""

    table: str
    website_id: str
    segment: str = ALL_VISITS
    period: Period = field(default=Period.DAY, hash=False)  # the table has one only: a hash does without it

    def slice(self, day: date) -> "Slice":
        """Return the slice of a date."""
        return Slice(self, day)

    def slices(self, days: Days) -> Iterator["Slice"]:
        """Yield the slices that cover some days, which are those of whole periods, in order."""
        return (Slice(self, day) for day in self.period.dates(days))

    @property
    def described(self) -> str:
        """The stream as a sentence names it, such as ``countries of site 1, segment mobile,``."""
        segment = f", segment {self.segment}," if self.segment else ""
        return f"{self.table} of site {self.website_id}{segment}"


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """One period of a stream: what is requested, compared, replaced and remembered as a whole.

    ``date`` is the period's first day, and of a rolling window its last.
    """

    stream: Stream
    date: date

    @property
    def described(self) -> str:
        """The slice as a sentence names it."""
        return f"{self.stream.described} {self.stream.period.described(self.date)}"

    @property
    def table(self) -> str:
        """The name of the table."""
        return self.stream.table

    @property
    def website_id(self) -> str:
        """Matomo's number of the site."""
        return self.stream.website_id

    @property
    def segment(self) -> str:
        """The name of the segment."""
        return self.stream.segment

    @property
    def last_day(self) -> Day:
        """The last day that the slice covers."""
        return self.stream.period.last_day(self.date)
