"""Parse Matomo's `period` and `date`: the requested days, and how the answer is keyed."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fake_matomo.errors import ApiError

PERIODS = ("day", "week", "month", "year", "range")
# Matomo knows no days before the first website.
_FIRST_WEBSITE = date(1991, 8, 6)


@dataclass(frozen=True, slots=True)
class Span:
    """A period: its first and last day, and its key in an answer of several periods."""

    start: date
    end: date
    key: str

    def days(self) -> list[date]:
        """Return its days, in order."""
        return [self.start + timedelta(days=at) for at in range((self.end - self.start).days + 1)]


@dataclass(frozen=True, slots=True)
class Periods:
    """The requested periods; `keyed` if the answer is an object keyed by period."""

    period: str
    spans: tuple[Span, ...]
    keyed: bool


def parse_periods(period: str, text: str, *, today: date, today_utc: date) -> Periods:
    """Parse the periods of a request; `today` is the site's day, which ranges ending in a keyword ignore."""
    if period not in PERIODS:
        raise ApiError(
            f"The period '{period}' is not supported. Try any of the following instead: " + ", ".join(PERIODS)
        )
    bounds = parse_range(text, today=today, today_utc=today_utc, period=period)
    if period == "range":
        if bounds is None:
            raise ApiError(
                f"The date '{text}' is not a correct date range. It should have the following format:"
                "  'lastN', 'previousN', 'YYYY-MM-DD,YYYY-MM-DD'."
            )
        start, end = bounds
        return Periods(period, (Span(start, end, f"{start},{end}"),), keyed=False)
    if bounds is None:
        day = parse_day(text, today)
        return Periods(period, (span_of(period, day),), keyed=False)
    return Periods(period, tuple(_spans(period, *bounds)), keyed=True)


def parse_range(text: str, *, today: date, today_utc: date, period: str = "day") -> tuple[date, date] | None:
    """Parse `lastN`, `previousN` or `START,END` into first and last day; None if the text is a single date.

    A reversed range is only its end (`error_range_reversed`).
    """
    if match := re.fullmatch(r"(last|previous)-?(\d+)", text):
        count = max(1, int(match[2])) - 1
        end = today if match[1] == "last" else _shifted(today, period, -1)
        return _shifted(end, period, -count), end
    if "," not in text:
        return None
    first, _, last = text.partition(",")
    start, end = parse_day(first, today_utc), parse_day(last, today_utc)
    return (start, end) if start <= end else (end, end)


def parse_day(text: str, today: date) -> date:
    """Parse a date; a day past the end of its month rolls over into the next month, as in PHP."""
    if text in ("today", "now"):
        return today
    if text in ("yesterday", "yesterdaySameTime"):
        return today - timedelta(days=1)
    match = re.fullmatch(r"(\d{4})-(\d{1,2})-(\d{1,2})", text)
    if not match or not (1 <= int(match[2]) <= 12 and 1 <= int(match[3]) <= 31):
        raise ApiError(
            "Date format must be: YYYY-MM-DD, or 'today' or 'yesterday' or any keyword supported by the"
            " strtotime function (see http://php.net/strtotime for more information): false"
        )
    day = date(int(match[1]), int(match[2]), 1) + timedelta(days=int(match[3]) - 1)
    if day < _FIRST_WEBSITE:
        at = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
        raise ApiError(
            f"The date '{text}' is a date before first website was online."
            f" Try date that's after Aug 6, 1991 (timestamp 681436800).: {at}"
        )
    return day


def span_of(period: str, day: date) -> Span:
    """Return the period that contains the day."""
    if period == "week":
        monday = day - timedelta(days=day.weekday())
        sunday = monday + timedelta(days=6)
        return Span(monday, sunday, f"{monday},{sunday}")
    if period == "month":
        last = monthrange(day.year, day.month)[1]
        return Span(day.replace(day=1), day.replace(day=last), f"{day:%Y-%m}")
    if period == "year":
        return Span(date(day.year, 1, 1), date(day.year, 12, 31), f"{day.year}")
    return Span(day, day, str(day))


def _spans(period: str, start: date, end: date) -> list[Span]:
    spans = []
    while start <= end:
        span = span_of(period, start)
        spans.append(span)
        start = span.end + timedelta(days=1)
    return spans


def _shifted(day: date, period: str, by: int) -> date:
    if period == "week":
        return day + timedelta(weeks=by)
    if period == "month":
        months = day.year * 12 + day.month - 1 + by
        return date(months // 12, months % 12 + 1, 1)
    if period == "year":
        return date(day.year + by, 1, 1)
    return day + timedelta(days=by)
