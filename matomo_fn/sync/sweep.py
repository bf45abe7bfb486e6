"""A sweep: what the tables have of a long window is fetched again, since Matomo may have changed days that are final.

Reports are fetched by ranges, which is cheap. Visits are not: each day is a call of its own. So a day of visits is read
again only where VisitsSummary.get tells that it has changed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import VISIT_COUNTS, Table
from matomo_fn.config.request import SyncRequest
from matomo_fn.days import Days
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.audit import Difference
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Status
from matomo_fn.sync.plan import Plan

# Matomo deletes no younger reports (`sync.purged`): where an older day counts no visits, its summary may be deleted.
_YOUNGEST_REPORTS = timedelta(days=28)


def audits(request: SyncRequest) -> bool:
    """Return whether a request also compares the log with the tables: a sweep of no certain sites and days."""
    return request.mode == "sweep" and not request.start_date and not request.sites


def is_refetched(days: Mapping[str, Days], found: Difference) -> bool:
    """Return whether a sweep of some days, by site, looks at a slice that the table has otherwise than the log says.

    It is written again then, and compared with what the log says of its rows: Matomo may have changed it as well, or a
    sweep that was killed has written what it changed and not logged it.
    """
    swept = found.slice.stream.period.whole(days.get(found.slice.website_id, Days()))
    return found.expected_rows is not None and found.slice.date in swept


class Sweep:
    """What a sweep has found so far; used by one thread, but for `reads_visits`.

    Slices that are unchanged are not logged. Where the run ends early they are, so that the request goes on where it
    stopped when it is delivered again.
    """

    def __init__(self, plan: Plan, now: datetime) -> None:
        self._plan = plan
        self._today = {window.site.id: window.site.today(now) for window in plan.scope.windows}
        self._unchanged: dict[Stream, list[date]] = {}
        self._changed_days: set[tuple[str, date]] = set()

    def judged(self, entry: LogEntry, known: KnownSlice) -> LogEntry:
        """Return the entry of a slice; that a final one could not be fetched is no news of what the table has.

        It stays final, and the next sweep looks at it: the next daily run need not, and nothing is missing.
        """
        is_settled = known.status.is_good and known.is_final and known.is_intact
        return replace(entry, is_news=False) if entry.status is Status.FAILED and is_settled else entry

    def note(self, table: Table, entry: LogEntry) -> None:
        """Take note of the outcome of a slice."""
        slice_ = entry.slice
        if entry.status is Status.UNCHANGED and not entry.is_news:
            self._unchanged.setdefault(slice_.stream, []).append(slice_.date)
        counts_visits = any(source.call == VISIT_COUNTS.call for source in table.sources_of(self._plan.scope.version))
        if counts_visits and slice_.stream.period.is_day and not slice_.segment and entry.replaced_rows is not None:
            self._changed_days.add((slice_.website_id, slice_.date))

    def reads_visits(self, slice_: Slice, counted: int | None) -> bool:
        """Return whether the visits of a day are to be read: those of a final day whose summary is the same are not.

        By the number of visits that the table has, less the difference that is known, and by the numbers of
        ``visits_summary`` where it is a table of the sweep: it comes before all visits.
        """
        known = self._plan.known.get(slice_, UNKNOWN)
        is_settled = known.status.is_good and known.is_final and known.is_intact and known.content_hash is not None
        if not is_settled or (slice_.website_id, slice_.date) in self._changed_days:
            return True
        if counted == 0 and self._today[slice_.website_id] - slice_.date >= _YOUNGEST_REPORTS:
            return False
        return counted != known.row_count - (known.visits_difference or 0)

    def unlogged(self) -> Iterator[LogEntry]:
        """Yield an entry for each slice that was unchanged, as the log has it already."""
        for stream, dates in self._unchanged.items():
            for slice_ in stream.slices(stream.period.covered(dates)):
                known = self._plan.known.get(slice_)
                if known is not None and known.status.is_good:
                    yield LogEntry(
                        slice_,
                        Status.UNCHANGED,
                        known.row_count,
                        known.content_hash,
                        known.has_others,
                        known.is_final,
                        known.written_run_id,
                        visits_difference=known.visits_difference,
                        is_open=known.is_open,
                    )
