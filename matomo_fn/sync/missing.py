"""What the tables lack after a run although nothing failed: pending and remaining slices, as sentences."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from matomo_fn.days import ONE_DAY, Days, Range
from matomo_fn.extract.extracted import Extracted
from matomo_fn.slices import Stream
from matomo_fn.sync.plan import Plan

REMAINING = "the run ended before these days were requested; the next one takes them"
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

    def expect(self, plan: Plan) -> None:
        """Take the slices of a plan as missing."""
        for due in plan.due:
            self._due[due.stream] = self._due.get(due.stream, Days()) | due.days

    def extracted(self, extracted: Extracted) -> None:
        """Take a slice as handled, or as pending where Matomo has not processed it."""
        stream, day = extracted.slice.stream, extracted.slice.date
        _add(self._handled.setdefault(stream, []), day)
        if extracted.pending:
            _add(self._pending.setdefault((stream, extracted.pending), []), day)

    def sentences(self) -> list[str]:
        """Return a sentence for each reason, with its tables, sites and days."""
        groups: dict[tuple[Days, str], list[Stream]] = {}
        for (stream, reason), ranges in self._pending.items():
            groups.setdefault((Days.joined(ranges), reason), []).append(stream)
        for stream, due in self._due.items():
            remaining = due - Days.joined(self._handled.get(stream, ()))
            if remaining:
                groups.setdefault((remaining, REMAINING), []).append(stream)
        return sentences_of(groups)


def sentences_of(groups: Groups) -> list[str]:
    """Return a sentence for each group of streams whose tables are the same at some sites; by day."""
    found = []
    for (days, reason), streams in sorted(groups.items(), key=lambda group: (group[0][0].ranges, group[0][1])):
        tables: dict[str, list[str]] = {}
        for stream in sorted(streams):
            tables.setdefault(stream.website_id, []).append(stream.table)
        sites: dict[tuple[str, ...], list[str]] = {}
        for site, names in tables.items():
            sites.setdefault(tuple(names), []).append(site)
        found += [
            f"{_named(names, ' tables')} of {_sites(ids)} on {_days(days)}: {reason}" for names, ids in sites.items()
        ]
    more = len(found) - _MOST_SENTENCES
    return [*found[:_MOST_SENTENCES], *([f"and {more} more such sentences: see _sync_state"] if more > 0 else [])]


def _add(ranges: list[Range], day: date) -> None:
    """Add a day, to the range added last where it continues that one."""
    if ranges and ranges[-1][1] + ONE_DAY == day:
        ranges[-1] = (ranges[-1][0], day)
    elif ranges and day + ONE_DAY == ranges[-1][0]:
        ranges[-1] = (day, ranges[-1][1])
    else:
        ranges.append((day, day))


def _named(names: Sequence[str], noun: str = "", most: int = _MOST_NAMES) -> str:
    if len(names) > most + 1:  # "and 1 more" is no shorter than the name
        return f"{', '.join(names[:most])} and {len(names) - most} more{noun}"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _sites(ids: Sequence[str]) -> str:
    return f"site {ids[0]}" if len(ids) == 1 else f"sites {_named(ids, most=2 * _MOST_NAMES)}"


def _days(days: Days) -> str:
    texts = [str(first) if first == last else f"{first} to {last}" for first, last in _newest(days.ranges)]
    hidden = len(days) - sum((last - first).days + 1 for first, last in _newest(days.ranges))
    return ", ".join(texts) + (f" and {hidden} earlier days" if hidden else "")


def _newest(ranges: Sequence[Range]) -> Iterable[Range]:
    return ranges[-_MOST_RANGES:]
