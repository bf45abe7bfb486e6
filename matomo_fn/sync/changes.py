"""What Matomo has changed of final slices: days that no run would have looked at any more, and that were rewritten."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from matomo_fn.slices import Stream
from matomo_fn.sync.missing import sentences_of
from matomo_fn.sync.outcome import LogEntry, Status

# Streams that a result names one by one; all slices stand in _sync_log.
_NAMED = 20


@dataclass(slots=True)
class Change:
    """Slices of one stream that were changed: their dates, and the rows of all of them before and now."""

    stream: Stream
    dates: list[date] = field(default_factory=list)
    rows_before: int = 0
    rows: int = 0

    @property
    def sentence(self) -> str:
        """What was changed, for people."""
        rows = f"rows before: {self.rows_before}, now: {self.rows}"
        days = self.stream.period.covered(self.dates)
        return sentences_of({(days, rows): [self.stream]})[0]

    def as_dict(self) -> dict[str, Any]:
        """Return the change as JSON has it; ``days`` are ranges of the slices' dates."""
        period, days = self.stream.period, self.stream.period.covered(self.dates)
        return {
            "table": self.stream.table,
            "website_id": self.stream.website_id,
            "segment": self.stream.segment,
            "days": [[str(first), str(period.first_day(last))] for first, last in days.ranges],
            "slices": len(self.dates),
            "rows_before": self.rows_before,
            "rows": self.rows,
        }


class Changes:
    """The changes of a run, by stream."""

    def __init__(self) -> None:
        self._by_stream: dict[Stream, Change] = {}

    def note(self, entry: LogEntry) -> None:
        """Take note of a slice that was logged, if Matomo had changed it."""
        if entry.replaced_rows is not None and entry.status is Status.WRITTEN:
            self.add(entry.slice.stream, entry.slice.date, entry.replaced_rows, entry.row_count)

    def add(self, stream: Stream, day: date, rows_before: int, rows: int) -> None:
        """Add a slice that was changed."""
        change = self._by_stream.setdefault(stream, Change(stream))
        change.dates.append(day)
        change.rows_before += rows_before
        change.rows += rows

    def include(self, other: "Changes") -> None:
        """Add the changes of another run."""
        for change in other.each:
            mine = self._by_stream.setdefault(change.stream, Change(change.stream))
            mine.dates += change.dates
            mine.rows_before += change.rows_before
            mine.rows += change.rows

    def drop(self, table: str) -> None:
        """Forget those of a table that was not written after all."""
        self._by_stream = {stream: each for stream, each in self._by_stream.items() if stream.table != table}

    @property
    def slices(self) -> int:
        """How many slices were changed."""
        return sum(len(change.dates) for change in self._by_stream.values())

    @property
    def each(self) -> Sequence[Change]:
        """The changes, one a stream."""
        return [self._by_stream[stream] for stream in sorted(self._by_stream)]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return the first changes as JSON has them."""
        return [change.as_dict() for change in self.each[:_NAMED]]

    def sentences(self) -> list[str]:
        """Return a sentence for each of the first streams, and one for the rest."""
        rest = len(self._by_stream) - _NAMED
        more = [f"and {rest} more tables and sites: see replaced_rows in _sync_log"] if rest > 0 else []
        return [*(change.sentence for change in self.each[:_NAMED]), *more]
