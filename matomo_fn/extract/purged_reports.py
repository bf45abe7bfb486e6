"""Tells which answers are about reports that Matomo has deleted, so that they do not replace the rows of the table.

Matomo's setting for old reports (``ReportsPurger``) deletes the archives of whole months, and keeps the marks that they
were made. So they are not made again, whether there are raw visits or not. The reports of such a day answer ``[]`` or
zeros, and VisitsSummary.get as well, unless the setting keeps the basic metrics.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from matomo_fn.errors import MatomoError
from matomo_fn.extract.archive_check import Reported
from matomo_fn.extract.extracted import ExtractContext, Extracted, KeptRows
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.slices import Slice

_NOT_KNOWN = "whether Matomo has deleted its reports is not known: {}"


def mark_purged(
    context: ExtractContext, job: Job, slices: Sequence[Extracted], empty: Collection[Slice]
) -> list[Extracted]:
    """Return the slices of a job, marked where Matomo has deleted the reports that the rows of the table came from.

    Matomo is only asked about those whose answer would take something out of the table. ``empty``: the slices whose
    answers have no rows, or zeros alone.
    """
    suspects = _suspects(context, job, slices, empty)
    if not suspects:
        return list(slices)
    check = context.checks.of(job.site, job.segment, job.period)
    reported = check.reported({slice_.date for slice_ in suspects})
    found = []
    for extracted in slices:
        suspect = suspects.get(extracted.slice)
        answer = reported[extracted.slice.date] if suspect else None
        if isinstance(answer, MatomoError):
            found.append(Extracted(extracted.slice, None, pending=_NOT_KNOWN.format(answer)))
        elif suspect and answer and suspect.is_purged(answer):
            found.append(replace(extracted, is_purged=True))
        else:
            found.append(extracted)
    return found


@dataclass(frozen=True, slots=True)
class _Suspect:
    """A slice whose answer takes something out of the table. ``is_empty``: the answer says nothing at all."""

    rows: KeptRows
    is_empty: bool
    is_one_row: bool

    def is_purged(self, reported: Reported) -> bool:
        """Return whether its reports are deleted, by what Matomo has of the day.

        Where no visits are counted, a row that nobody vouches for may be of zeros: each day without visits has one in
        a table of one row a day. Then the visits log decides.
        """
        if reported is Reported.NOTHING:
            return self.is_empty and (self.rows.content_hash is not None or not self.is_one_row)
        return reported is Reported.COUNTS


def _suspects(
    context: ExtractContext, job: Job, slices: Sequence[Extracted], empty: Collection[Slice]
) -> dict[Slice, _Suspect]:
    """Return the slices whose answers differ from the rows of the table and are empty, or have one row of numbers.

    Of a report of one row Matomo may have kept some numbers and deleted others, which are zeros then.
    """
    one_row = {table.name for table in job.tables if table.is_one_row}
    found = {}
    for extracted in slices:
        slice_, content = extracted.slice, extracted.content
        if isinstance(content, ParsedSlice) and (slice_ in empty or slice_.table in one_row):
            rows = context.kept_rows(slice_)
            if rows and rows.content_hash != content.content_hash:
                found[slice_] = _Suspect(rows, slice_ in empty, slice_.table in one_row)
    return found
