"""Streams and slices: the keys by which everything is requested, compared, replaced and remembered."""

from dataclasses import dataclass
from datetime import date

from matomo_fn.periods import Period

ALL_VISITS = ""  # the name of the segment that every visit belongs to


@dataclass(frozen=True, slots=True, order=True)
class Stream:
    """The sequence of slices of one table, site, segment and kind of period."""

    table: str
    website_id: str
    segment: str = ALL_VISITS
    period: Period = Period.DAY

    def slice(self, day: date) -> "Slice":
        """Return the slice of the period that begins on a day."""
        return Slice(self, day)


@dataclass(frozen=True, slots=True, order=True)
class Slice:
    """One period of a stream: what is requested, compared, replaced and remembered as a whole.

    ``date`` is the period's first day.
    """

    stream: Stream
    date: date

    @property
    def described(self) -> str:
        """The slice as a sentence names it."""
        return f"{self.table} of site {self.website_id} on {self.date}"

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
