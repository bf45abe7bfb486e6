"""Visits that Matomo has deleted since they were synced: the rows of the table stay.

Matomo's setting for old raw data (``LogDataPurger``) deletes the visits whose last action was before a midnight in UTC.
The reports of those days stay, and are not archived again (``ArchiveInvalidator``). So the visits log has fewer visits
than VisitsSummary counts: none of most days, and some of the day in the middle of which the deletion ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from matomo_fn.catalogue import Table
from matomo_fn.days import Days
from matomo_fn.extract.extracted import Extracted
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.missing import sentences_of
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Run, Status, is_news

_ADVICE = 'for what Matomo has now, sync these days with mode full_refresh and tables ["{}"]'
_FEWER = (
    "Matomo's visits log has fewer visits than the table and than VisitsSummary counts, as where old ones are deleted"
)


@dataclass(frozen=True, slots=True)
class Purged:
    """A slice of visits of which Matomo answers fewer than the table has.

    ``difference``: visits of the table more than VisitsSummary counts; None where that is not known. ``is_whole``: the
    table has the rows that a run wrote, and nothing is missing as far as can be known.
    """

    table: str
    difference: int | None
    is_whole: bool

    @property
    def reason(self) -> str:
        """Why the answer is not written, and what to do; without numbers, so that days can share it."""
        advice = _ADVICE.format(self.table)
        if self.difference is None:
            return (
                "Matomo's visits log has fewer visits than the table, and how many VisitsSummary counts is not known: "
                f"the rows of the table are kept, and the next run looks again; {advice}"
            )
        if self.is_whole:
            return f"{_FEWER}: the rows of the table are kept; {advice}"
        return (
            f"{_FEWER}, and the rows of the table are not as a run has written them: they are kept; restore them from "
            f"a copy (BigQuery's time travel has some days), or, {advice}"
        )

    def seen(self, extracted: Extracted) -> Extracted:
        """Return what was extracted, as pending where the table lacks something."""
        return extracted if self.is_whole else replace(extracted, content=None, pending=self.reason)

    def kept(self, entry: LogEntry, known: KnownSlice, run: Run) -> LogEntry:
        """Return the entry of a slice whose rows stay, in the place of one that says that the answer is written.

        Rows that are whole are unchanged, and final once the day is: they would otherwise be requested for ever.
        """
        found = replace(
            entry,
            status=Status.UNCHANGED if self.is_whole else Status.PENDING,
            row_count=known.row_count,
            content_hash=known.content_hash,
            written_run_id=known.written_run_id,
            error=None if self.is_whole else f"{entry.slice.described}: {self.reason}",
            visits_difference=self.difference,
        )
        return replace(found, is_news=run.logs_everything or is_news(found, known))


def purged_visits(table: Table, extracted: Extracted, known: KnownSlice, *, is_final: bool) -> Purged | None:
    """Return what is to be said where an answer would take visits out of the table that Matomo still counts.

    None where it takes out none, or where VisitsSummary counts no more than are answered: then they are not Matomo's
    any more. Of a recent day that is not processed, visits may have moved to the next day, so some fewer are believed.
    """
    content = extracted.content
    if not table.is_log or content is None or content.row_count >= known.found_keys:
        return None
    more = extracted.visits_difference
    if more is None:
        return None if content.row_count and not is_final else Purged(table.name, None, is_whole=False)
    if more >= 0:
        return None
    difference = known.found_keys - (content.row_count - more)
    # Without a hash nobody vouches for the rows, as where the audit marked the slice: then the count has to be whole.
    return Purged(table.name, difference, known.is_intact and (known.content_hash is not None or difference >= 0))


class KeptDays:
    """The days of a run whose rows stay and are whole: nothing is missing, and a note says so."""

    def __init__(self) -> None:
        self._days: dict[tuple[Stream, str], Days] = {}

    def note(self, slice_: Slice, purged: Purged) -> None:
        """Take note of a slice, if its rows are whole."""
        if purged.is_whole:
            key = slice_.stream, purged.reason
            self._days[key] = self._days.get(key, Days()) | Days.of([slice_.date])

    def sentences(self) -> Sequence[str]:
        """Return a sentence for each table, with its sites and days."""
        groups: dict[tuple[Days, str], list[Stream]] = {}
        for (stream, reason), days in self._days.items():
            groups.setdefault((days, reason), []).append(stream)
        return sentences_of(groups)
