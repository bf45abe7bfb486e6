"""What the tables lack after a run although nothing failed: pending and remaining slices, as sentences."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from matomo_fn.days import ONE_DAY, Days, Range
from matomo_fn.extract.extracted import Extracted
from matomo_fn.periods import LONGER, Period
from matomo_fn.slices import Stream
from matomo_fn.sync.plan import Plan

REMAINING = "the run ended before these days were requested; the next one takes them"
_HANDED_ON = "handed on: messages of the same request take these days"
# Sentences of a result, and tables, sites and stretches of days that one sentence names.
_MOST_SENTENCES = 20
_MOST_NAMES = 3
_MOST_RANGES = 4

# Streams by what they share: the days, and why these are missing.
Groups = Mapping[tuple[Days, str], Sequence[Stream]]


class Missing:
    """Follows the slices of a plan; holds some ranges of days a stream, however many slices there are."""

    def __init__(self) -> None:
        self._due: dict[Stream, Days] = {}
        self._handled: dict[Stream, list[Range]] = {}
        self._pending: dict[tuple[Stream, str], list[Range]] = {}
        self._remaining = REMAINING

    def hand_on(self) -> None:
        """Take what remains as handed on."""
        self._remaining = _HANDED_ON

    def expect(self, plan: Plan) -> None:
        """Take the slices of a plan as missing."""
        for due in plan.due:
            self._due[due.stream] = self._due.get(due.stream, Days()) | due.days

    def extracted(self, extracted: Extracted) -> None:
        """Take a slice as handled, or as pending where Matomo has not processed it."""
        stream, days = extracted.slice.stream, (extracted.slice.date, extracted.slice.last_day)
        _add(self._handled.setdefault(stream, []), days)
        if extracted.pending:
            _add(self._pending.setdefault((stream, extracted.pending), []), days)

    def sentences(self) -> list[str]:
        """Return a sentence for each reason, with its tables, sites and days."""
        groups: dict[tuple[Days, str], list[Stream]] = {}
        for (stream, reason), ranges in self._pending.items():
            groups.setdefault((Days.joined(ranges), reason), []).append(stream)
        for stream, due in self._due.items():
            remaining = due - Days.joined(self._handled.get(stream, ()))
            if remaining:
                groups.setdefault((remaining, self._remaining), []).append(stream)
        return sentences_of(groups)


def sentences_of(groups: Groups) -> list[str]:
    """Return a sentence for each group of streams whose tables are the same at some sites; by day."""
    found = []
    for (days, reason), streams in sorted(groups.items(), key=lambda group: (group[0][0].ranges, group[0][1])):
        tables: dict[tuple[Period, str, str], list[str]] = {}
        for stream in sorted(streams):
            tables.setdefault((stream.period, stream.segment, stream.website_id), []).append(stream.table)
        sites: dict[tuple[Period, str, tuple[str, ...]], list[str]] = {}
        for (period, segment, site), names in tables.items():
            sites.setdefault((period, segment, tuple(names)), []).append(site)
        found += [
            f"{_named(names, ' tables')} of {_sites(ids)}{_segment(segment)} {_when(period, days)}: {reason}"
            for (period, segment, names), ids in sites.items()
        ]
    more = len(found) - _MOST_SENTENCES
    return [*found[:_MOST_SENTENCES], *([f"and {more} more such sentences: see _sync_state"] if more > 0 else [])]


def _add(ranges: list[Range], days: Range) -> None:
    """Add the days of a slice, to the range added last where they continue that one."""
    first, last = days
    if ranges and ranges[-1][1] + ONE_DAY == first:
        ranges[-1] = (ranges[-1][0], last)
    elif ranges and last + ONE_DAY == ranges[-1][0]:
        ranges[-1] = (first, ranges[-1][1])
    else:
        ranges.append(days)


def _named(names: Sequence[str], noun: str = "", most: int = _MOST_NAMES) -> str:
    if len(names) > most + 1:  # "and 1 more" is no shorter than the name
        return f"{', '.join(names[:most])} and {len(names) - most} more{noun}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sites(ids: Sequence[str]) -> str:
    return f"site {ids[0]}" if len(ids) == 1 else f"sites {_named(ids, most=2 * _MOST_NAMES)}"


def _segment(name: str) -> str:
    return f", segment {name}," if name else ""


def _when(period: Period, days: Days) -> str:
    """Return when slices were, as a sentence has it: on days, in the weeks of Mondays, in months or years."""
    shown = _newest(days.ranges)
    texts = [_stretch(period, first, last) for first, last in shown]
    hidden = period.count(days) - sum(period.count(Days((each,))) for each in shown)
    unit = "window" if period.is_rolling else period.value
    listed = ", ".join(texts) + (f" and {hidden} earlier {unit}s" if hidden else "")
    if period.value == "week":
        return f"in the {'week' if period.count(days) == 1 else 'weeks'} of {listed}"
    return f"{'in' if period in LONGER else 'on'} {listed}"


def _stretch(period: Period, first: date, last: date) -> str:
    """Return a stretch of slices by the names of the first and the last one."""
    ends = [first, period.first_day(last)]
    names = [period.key(day) if period.value in ("month", "year") else str(day) for day in ends]
    return names[0] if names[0] == names[1] else f"{names[0]} to {names[1]}"


def _newest(ranges: Sequence[Range]) -> Iterable[Range]:
    return ranges[-_MOST_RANGES:]
