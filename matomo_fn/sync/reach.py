"""How far the tables reach after a run, and what Matomo has not processed: what an alert about late data looks at."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from matomo_fn.days import ONE_DAY, Days
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.outcome import LogEntry, Status
from matomo_fn.sync.plan import Plan
from matomo_fn.sync.scope import Scope, Window


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the tables of a run reach; all None for a run about days, tables or sites that its request named.

    ``newest_day``: the newest day of the table and site that is furthest behind, None where that one has no day.
    ``days_late``: how many days it lacks up to the last day that has ended at its site; 0 where all is there.
    ``oldest_pending_day``: the oldest day that Matomo was asked for and has not processed. ``days_pending``: how many
    days it lies before the last ended one; 0 where only that one is pending, None where none is.
    """

    newest_day: date | None = None
    days_late: int | None = None
    oldest_pending_day: date | None = None
    days_pending: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the values as JSON has them."""
        return {
            "newest_day": str(self.newest_day) if self.newest_day else None,
            "days_late": self.days_late,
            "oldest_pending_day": str(self.oldest_pending_day) if self.oldest_pending_day else None,
            "days_pending": self.days_pending,
        }


class ReachTracker:
    """Follows each stream of a scope through a run; holds two days a stream, however many slices there are.

    ``scope`` has all tables that were wanted, those that cannot be written among them; its windows end with the last
    ended day of their site.
    """

    def __init__(self, scope: Scope, plan: Plan) -> None:
        self._windows = {window.site.id: window for window in scope.windows}
        open_days: dict[Stream, Days] = {}
        for due in plan.due:
            if due.reason.is_open:
                open_days[due.stream] = open_days.get(due.stream, Days()) | due.days
        self._newest = {
            stream: _newest_known(window, open_days.get(stream, Days())) if stream.table in plan.scope.tables else None
            for window, stream in scope.streams()
        }
        self._pending: dict[str, date] = {}

    def note(self, entries: Iterable[LogEntry]) -> None:
        """Take what has been logged."""
        for entry in entries:
            stream, site = entry.slice.stream, entry.slice.website_id
            if stream not in self._newest or entry.slice.date > self._windows[site].last:
                continue
            day = min(entry.slice.last_day, self._windows[site].last)  # a period that goes on is there up to then
            if entry.status.is_good:
                self._newest[stream] = max(day, self._newest[stream] or day)
            elif entry.status is Status.PENDING:
                self._pending[site] = min(day, self._pending.get(site, day))

    def leave_out(self, slice_: Slice) -> None:
        """Forget a table of a site that its owner has switched off: nothing will ever come."""
        self._newest.pop(slice_.stream, None)

    def reach(self) -> Reach:
        """Return how far the tables reach by now."""
        if not self._newest:
            return Reach()
        late, newest = max(
            ((self._days_late(stream.website_id, newest), newest) for stream, newest in self._newest.items()),
            key=lambda found: found[0],
        )
        pending = {site: (self._windows[site].last - day).days for site, day in self._pending.items()}
        oldest = max(pending, key=lambda site: pending[site], default=None)
        return Reach(
            newest,
            late,
            None if oldest is None else self._pending[oldest],
            None if oldest is None else pending[oldest],
        )

    def _days_late(self, site: str, newest: date | None) -> int:
        window = self._windows[site]
        return (window.last - (newest or window.first - ONE_DAY)).days


def _newest_known(window: Window, open_days: Days) -> date | None:
    """Return the newest day of the window that is not open."""
    known = window.days - open_days
    return known.last if known else None
