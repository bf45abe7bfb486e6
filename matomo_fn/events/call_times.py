"""When a call happened, by Segment's rule for clocks that are wrong.

https://segment.com/docs/connections/spec/common/#timestamps: ``timestamp`` is corrected by Segment. Where it is not
there, it is what Segment would make of the others: ``receivedAt - (sentAt - originalTimestamp)``.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from matomo_fn.errors import InputError
from matomo_fn.values import shown

_TIMES = ("timestamp", "originalTimestamp", "sentAt", "receivedAt")
# ISO 8601, with months, days and hours of one digit, as in Segment's own example and as JavaScript reads them.
_MOMENT = re.compile(
    r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[Tt ](\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?"
    r"\s*([Zz]|UTC|([+-])(\d\d):?(\d\d)?)?",
    re.ASCII,
)
# Matomo takes the present in place of a time that is ahead, or older than 20 years of 365 days
# (core/Tracker/Request.php, isTimestampValid). An hour is what clocks may differ.
_AHEAD = timedelta(hours=1)
_BEHIND = timedelta(days=20 * 365)


def read_moment(value: object) -> datetime:
    """Return a time in UTC; without a zone it is UTC. Raises ValueError with a phrase that follows the field's name."""
    match = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"is {shown(value)}, not a time such as 2026-01-31T12:00:00Z")
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    microsecond = int((match[7] or "0").ljust(6, "0")[:6])
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0)) * (-1 if match[9] == "-" else 1)
    try:
        return datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC) - offset
    except (ValueError, OverflowError):
        raise ValueError(f"is {shown(value)}, which is no time of a calendar and clock") from None


def occurred_at(data: Mapping[str, Any], now: datetime | None = None) -> datetime:
    """Return when a call happened, in UTC.

    ``now``: what the time is compared with; without it the call's ``receivedAt``. Raises InputError with every problem.
    """
    moments, problems = _moments(data)
    if problems:
        raise InputError(problems)
    if "timestamp" in moments:
        moment = moments["timestamp"]
    elif "originalTimestamp" in moments:
        known = "sentAt" in moments and "receivedAt" in moments
        moment = _corrected(moments) if known else moments["originalTimestamp"]
    elif "receivedAt" in moments:
        moment = moments["receivedAt"]
    else:
        raise InputError("timestamp is missing: send the time of the call, such as 2026-01-31T12:00:00Z")
    reference = now or moments.get("receivedAt")
    if reference is not None:
        _refuse_far(moment, reference)
    return moment


def _moments(data: Mapping[str, Any]) -> tuple[dict[str, datetime], list[str]]:
    moments, problems = {}, []
    for name in _TIMES:
        if data.get(name) is None:
            continue
        try:
            moments[name] = read_moment(data[name])
        except ValueError as error:
            problems.append(f"{name} {error}")
    return moments, problems


def _corrected(moments: Mapping[str, datetime]) -> datetime:
    try:
        return moments["receivedAt"] - (moments["sentAt"] - moments["originalTimestamp"])
    except OverflowError:
        raise InputError(
            "sentAt and originalTimestamp are too far apart: check the clock and the format of both"
        ) from None


def _refuse_far(moment: datetime, reference: datetime) -> None:
    if moment - reference > _AHEAD:
        raise InputError(
            f"the time of the call is {_shown(moment)}, which is in the future: Matomo would take the present in its "
            "place; check the sender's clock and time zone"
        )
    if reference - moment > _BEHIND:
        raise InputError(
            f"the time of the call is {_shown(moment)}, which is more than 20 years ago: Matomo would take the present "
            "in its place"
        )


def _shown(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
