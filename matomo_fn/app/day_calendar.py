"""What became of each day of each table and site: one character a day, for the page and for the terminal."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import reduce
from typing import Any, NamedTuple

from matomo_fn.catalogue import SYNC_LOG, SYNC_QUALITY
from matomo_fn.config.connector import Connector
from matomo_fn.days import ONE_DAY, Days, Range
from matomo_fn.periods import Period, period_of
from matomo_fn.slices import Stream
from matomo_fn.warehouse import report_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.whole_rows import whole_rows

# Days that a calendar has, the last one included.
DAYS = 365
# How far ahead of UTC a site may be.
_EASTERNMOST = timedelta(hours=14)
_REQUIRED = ("table_name", "website_id", "segment", "days")


class DayState(NamedTuple):
    """A state of a day: its character in a line, the sign that is shown for it, the word, and what it means."""

    code: str
    sign: str
    name: str
    meaning: str


# From the least grave to the gravest: of several tables or sites the gravest is shown.
STATES = (
    DayState(".", ".", "none", "Not asked for."),
    DayState("e", "0", "empty", "The site had nothing of the kind on this day."),
    DayState("u", "=", "unchanged", "The table had it already when it was fetched last."),
    DayState("w", "#", "written", "The table has what Matomo answered."),
    DayState("o", ">", "open", "Fetched before the day, or longer period, had ended."),
    DayState("p", "~", "pending", "Matomo had not processed it, or it is to be fetched again."),
    DayState("m", "?", "missing", "No run has handled it."),
    DayState("q", "*", "quality", "A check found other numbers than Matomo's."),
    DayState("f", "!", "failed", "It could not be fetched or written."),
)
NONE, EMPTY, UNCHANGED, WRITTEN, OPEN, PENDING, MISSING, QUALITY, FAILED = (state.code for state in STATES)
_CODES = "".join(state.code for state in STATES)
_RANKS = bytes.maketrans(_CODES.encode(), bytes(range(len(_CODES))))
_OF_RANKS = bytes.maketrans(bytes(range(len(_CODES))), _CODES.encode())
_RUN = re.compile(r"(.)\1+")
_SLICE = re.compile(r"([a-z])(-?\d+)")
_HELD = frozenset((EMPTY + UNCHANGED + WRITTEN).encode())


@dataclass(frozen=True, slots=True)
class Calendar:
    """The days of every stream from ``first`` on, as many as ``DAYS``: a text of one character a day each.

    A slice of a week, month or year stands on all of its days, one of a rolling window on its last.
    """

    first: date
    lines: Mapping[Stream, str]

    @property
    def last(self) -> date:
        """The last day of every line."""
        return self.first + timedelta(days=DAYS - 1)

    def gravest(self, streams: Iterable[Stream] | None = None) -> str:
        """Return one line with the gravest state of each day, of some streams or of all."""
        chosen = self.lines.values() if streams is None else (self.lines[stream] for stream in streams)
        return gravest(chosen)


def gravest(lines: Iterable[str]) -> str:
    """Return the line with the gravest state of each day."""
    ranked = [line.encode().translate(_RANKS) for line in set(lines)]
    if not ranked:
        return NONE * DAYS
    return reduce(lambda one, other: bytes(map(max, one, other)), ranked).translate(_OF_RANKS).decode()


def run_lengths(line: str) -> str:
    """Return a line in short: each run of more than one day as its length and its character, such as ``300wf64w``."""
    return _RUN.sub(lambda found: f"{len(found[0])}{found[1]}", line)


def stream_of(connector: Connector, row: Mapping[str, Any]) -> Stream | None:
    """Return the stream of a row of the log; None for a segment that the configuration no longer has."""
    if row["segment"] and row["segment"] not in connector.segments:
        return None  # its rows stay, and nobody asks for it any more
    table = connector.catalogue.get(row["table_name"])
    period = table.period if table else period_of(row["period"])
    return Stream(row["table_name"], row["website_id"], row["segment"], period)


def read_calendar(
    warehouse: Warehouse,
    connector: Connector,
    missing: Mapping[Stream, Days],
    kept_from: Mapping[str, date],
    now: datetime,
) -> Calendar:
    """Return the calendar of the last year, up to the last day that has ended at any site.

    ``missing``: of every stream that is to be in it, the days that should be there and no run has handled.
    ``kept_from``: by table, the first day whose rows it keeps. What is read is a row for each stream.
    """
    last = (now + _EASTERNMOST).date() - ONE_DAY
    first = last - timedelta(days=DAYS - 1)
    lines = {stream: _Line(first, last) for stream in missing}
    for stream, days in missing.items():
        for part in days.ranges:
            lines[stream].fill(part, MISSING)
    statement = report_sql.calendar_of(warehouse.dataset, connector.name, (first, last), kept_from)
    place = f"{warehouse.dataset}.{SYNC_LOG.name}"
    for row in whole_rows(warehouse.query(statement), place, _REQUIRED):
        found = stream_of(connector, row)
        if found is not None and found in lines:
            lines[found].set_states(found.period, row["days"])
    if warehouse.find_table(SYNC_QUALITY.name) is not None:
        for row in warehouse.rows(report_sql.differing_days(warehouse.dataset, connector.name, (first, last))):
            known = lines.get(Stream(row["table_name"], row["website_id"], row["segment"]))
            if known is not None:
                known.mark_quality(row["date"])
    same: dict[str, str] = {}  # most streams have the line of another one
    texts = {stream: line.text for stream, line in lines.items()}
    return Calendar(first, {stream: same.setdefault(text, text) for stream, text in texts.items()})


class _Line:
    """The days of one stream."""

    __slots__ = ("_days", "_first", "_last")

    def __init__(self, first: date, last: date) -> None:
        self._first = first
        self._last = last
        self._days = bytearray(NONE.encode() * DAYS)

    @property
    def text(self) -> str:
        """The line as it is kept."""
        return self._days.decode()

    def fill(self, days: Range, code: str) -> None:
        """Let the days between two have a state, as far as they are in the line."""
        first, last = max(days[0], self._first), min(days[1], self._last)
        if first <= last:
            start, end = (first - self._first).days, (last - self._first).days + 1
            self._days[start:end] = code.encode() * (end - start)

    def set_states(self, period: Period, days: str) -> None:
        """Let days have the states that a row of `calendar_of` has of them."""
        if (period.is_day or period.is_rolling) and "-" not in days:  # none is before the first day
            for state, number in _SLICE.findall(days):
                self._days[int(number)] = ord(state)
            return
        for state, number in _SLICE.findall(days):
            day = self._first + timedelta(days=int(number))
            self.fill((day, period.last_day(day)), state)

    def mark_quality(self, day: date) -> None:
        """Let a day that the table has be one that differs from Matomo."""
        index = (day - self._first).days
        if self._days[index] in _HELD:
            self._days[index] = ord(QUALITY)
