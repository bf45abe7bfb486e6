"""Visits and reports that Matomo has deleted since they were synced: the rows of the tables stay.

Matomo's setting for old raw data (``LogDataPurger``) deletes the visits whose last action was before a midnight in UTC.
The reports of those days stay, and are not archived again (``ArchiveInvalidator``). So the visits log has fewer visits
than VisitsSummary counts: none of most days, and some of the day in the middle of which the deletion ended.

Its setting for old reports (``ReportsPurger``) deletes those of whole months, and VisitsSummary too unless the basic
metrics are kept. They answer nothing then, and so does the visits log where the raw data is deleted as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from matomo_fn.catalogue import Table
from matomo_fn.days import Days
from matomo_fn.extract.extracted import Extracted, KeptRows
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.missing import sentences_of
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Run, Status, is_news
from matomo_fn.warehouse.log_sql import SEGMENT_CHANGED

# Matomo deletes reports by months, and none of a month that is not over since another one (set by its configuration
# file; two by its interface). The shortest month has 28 days.
_YOUNGEST_REPORTS = timedelta(days=28)

_ADVICE = 'for what Matomo has now, sync these days with mode full_refresh and tables ["{}"]'
_FEWER = (
    "Matomo's visits log has fewer visits than the table and than VisitsSummary counts, as where old ones are deleted"
)
_NO_REPORTS = "Matomo has no reports of that time any more, as where old ones are deleted"
_NOTHING = "Matomo has neither visits nor reports of these days any more, as where old ones are deleted"
_KEPT = "the rows of the table are kept"
_DAMAGED = (
    "the rows of the table are not as a run has written them: they are kept; restore them from a copy (BigQuery's time "
    "travel has some days), or, "
)


@dataclass(frozen=True, slots=True)
class Purged:
    """A slice of which Matomo answers less than the table has.

    ``reason``: why the answer is not written, and what to do; without numbers, so that days can share it.
    ``difference``: visits of the table more than VisitsSummary counts; None where that is not known. ``is_whole``: the
    table has the rows that a run wrote, and nothing is missing as far as can be known.
    """

    reason: str
    difference: int | None
    is_whole: bool

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
            replaced_rows=None,
        )
        return replace(found, is_news=run.logs_everything or is_news(found, known))


def purged_visits(
    table: Table, extracted: Extracted, known: KnownSlice, *, is_final: bool, today: date
) -> Purged | None:
    """Return what is to be said where an answer would take visits out of the table that Matomo still counts.

    None where it takes out none, or where VisitsSummary counts no more than are answered: then they are not Matomo's
    any more. Of a recent day that is not processed, visits may have moved to the next day, so some fewer are believed.
    An old day of which Matomo has nothing at all is kept: its reports may be deleted as well.
    """
    content = extracted.content
    if not table.is_log or content is None or content.row_count >= known.found_keys:
        return None
    advice = _ADVICE.format(table.name)
    more = extracted.visits_difference
    if more is None:
        if content.row_count and not is_final:
            return None
        sentence = "Matomo's visits log has fewer visits than the table, and how many VisitsSummary counts is not known"
        return Purged(f"{sentence}: {_KEPT}, and the next run looks again; {advice}", None, is_whole=False)
    if more == content.row_count == 0 and _may_lack_reports(extracted.slice, today):
        is_whole = known.is_intact and known.content_hash is not None
        return Purged(_sentence(_NOTHING, advice, is_whole=is_whole), known.visits_difference, is_whole)
    if more >= 0:
        return None
    difference = known.found_keys - (content.row_count - more)
    # Without a hash nobody vouches for the rows, as where the audit marked the slice: then the count has to be whole.
    is_whole = known.is_intact and (known.content_hash is not None or difference >= 0)
    return Purged(_sentence(_FEWER, advice, is_whole=is_whole), difference, is_whole)


def purged_reports(known: KnownSlice) -> Purged:
    """Return what is to be said of a slice where Matomo has deleted the reports that its rows came from."""
    is_whole = known.is_intact and known.content_hash is not None
    advice = "for what Matomo has now, sync it with mode full_refresh and name the tables"
    return Purged(_sentence(_NO_REPORTS, advice, is_whole=is_whole), None, is_whole)


def kept_rows(known: Mapping[Slice, KnownSlice], slice_: Slice, today: date) -> KeptRows | None:
    """Return what the table has of a slice whose reports Matomo may have deleted; None of any other.

    Rows of a segment whose definition has changed are of other visits: they are to be replaced.
    """
    state = known.get(slice_, UNKNOWN)
    if not (state.row_count or state.found_keys) or not _may_lack_reports(slice_, today):
        return None
    if (state.error or "").endswith(SEGMENT_CHANGED):
        return None
    return KeptRows(state.content_hash)


def _may_lack_reports(slice_: Slice, today: date) -> bool:
    """Return whether a slice is so old that Matomo may have deleted its reports: by the first day that it covers."""
    first, _ = slice_.stream.period.span(slice_.date)
    return today - first >= _YOUNGEST_REPORTS


def _sentence(what: str, advice: str, *, is_whole: bool) -> str:
    return f"{what}: {_KEPT}; {advice}" if is_whole else f"{what}, and {_DAMAGED}{advice}"


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
