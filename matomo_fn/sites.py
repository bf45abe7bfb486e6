"""A Matomo site, and what a day is there."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from matomo_fn.values import shown

# A site's id, in a configuration and in Matomo's answer: nothing else is sent, stored or put into a statement.
SITE_ID = re.compile(r"[1-9][0-9]{0,9}")
_OFFSET = re.compile(r"UTC([+-])(\d{1,2})(\.5|\.25|\.75)?")


@dataclass(frozen=True, slots=True)
class Site:
    """A site of a Matomo; ``created`` is the first day, in its own time zone, that can have visits.

    ``problem``: why its days cannot be told, where they cannot; its time zone and creation then mean nothing.
    ``group`` and ``type`` are Matomo's; a site without a group has ''. ``settings``: those that a table has, as Matomo
    writes them.
    """

    id: str
    name: str
    timezone: tzinfo
    created: date
    problem: str = ""
    group: str = ""
    type: str = ""
    settings: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)

    def today(self, now: datetime) -> date:
        """Return the day that it is at the site."""
        return now.astimezone(self.timezone).date()


def read_timezone(name: str) -> tzinfo:
    """Return a time zone by Matomo's name: an IANA name, or a fixed offset such as UTC+5.5.

    Raises ValueError where there is no such zone.
    """
    if name == "UTC":
        return UTC
    try:
        if match := _OFFSET.fullmatch(name):
            hours = float(match[2] + (match[3] or ""))
            return timezone(timedelta(hours=hours if match[1] == "+" else -hours))
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {shown(name)}") from None
