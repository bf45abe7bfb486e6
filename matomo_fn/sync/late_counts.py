"""Comparing the visits of a day with the summary, where Matomo processed the day after its visits had been read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from matomo_fn.catalogue import Table
from matomo_fn.days import Days
from matomo_fn.errors import MatomoError
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.visits import difference
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Status
from matomo_fn.sync.plan import Plan
from matomo_fn.sync.state import SyncState


class LateCounts:
    """Collects the days that a run finds processed, and judges ``visits_difference`` of their visits.

    The visits of a day are read once it is over, processed or not. Where it was pending and its visits are not read
    again, the log says nothing of the difference yet. ``logs``: the connector's tables of visits.
    """

    def __init__(self, state: SyncState, logs: Sequence[Table], plan: Plan, checks: ArchiveChecks) -> None:
        self._state = state
        self._logs = logs
        self._planned = {(due.stream, day) for table in logs for due in plan.of_table(table.name) for day in due.days}
        self._sites = {window.site.id: window.site for window in plan.scope.windows}
        self._checks = checks
        self._processed: dict[str, set[date]] = {}

    def note(self, entry: LogEntry, known: KnownSlice) -> None:
        """Take note of a slice that was pending and no longer is: a day of all visits."""
        stream = entry.slice.stream
        is_day = stream.period.is_day and not stream.segment
        if self._logs and is_day and known.status is Status.PENDING and entry.status.is_good:
            self._processed.setdefault(entry.slice.website_id, set()).add(entry.slice.date)

    def take(self) -> Iterator[LogEntry]:
        """Yield a new log entry for each slice of visits whose day was noted since the last call."""
        processed, self._processed = self._processed, {}
        for site, dates in processed.items():
            for table in self._logs:
                stream = table.stream(site)
                days = Days.of(day for day in dates if (stream, day) not in self._planned)
                if days:
                    counts = self._counts(site, days)
                    for entry in self._state.unjudged(stream, days):
                        judged = difference(entry.row_count, counts.get(entry.slice.date))
                        if judged is not None:
                            yield replace(entry, status=Status.UNCHANGED, visits_difference=judged)

    def _counts(self, site: str, days: Days) -> Mapping[date, int | None]:
        check = self._checks.of(self._sites[site])
        try:
            return check.visits(days)
        except MatomoError:  # judged by what is known
            return check.known_visits(days)
