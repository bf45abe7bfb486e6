"""Periods: the stretch of time that one slice covers, as Matomo has them."""

from datetime import date
from enum import StrEnum


class Period(StrEnum):
    """A kind of period; its value is what Matomo's parameter ``period`` calls it.

    A period is named by its first day, also in the column ``date``.
    """

    DAY = "day"

    def first_day(self, day: date) -> date:
        """Return the first day of the period that a day belongs to."""
        return day

    def last_day(self, first: date) -> date:
        """Return the last day of the period that begins on a day."""
        return first

    def key(self, first: date) -> str:
        """Return how Matomo spells the period in an answer that is keyed by periods."""
        return first.isoformat()

    def is_closed(self, first: date, today: date) -> bool:
        """Return whether the period that begins on a day was over before ``today`` at the site."""
        return self.last_day(first) < today
