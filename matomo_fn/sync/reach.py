"""How far the tables reach after a run, and what Matomo has not processed: what an alert about late data looks at."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from matomo_fn.slices import ONE_DAY, Slice
from matomo_fn.sync.plan import Window
from matomo_fn.sync.state import LogEntry, Status


@dataclass(frozen=True, slots=True)
class Reach:
    """How far the tables of a run reach; all None for a run about days that its request named.

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
    """Follows each table of each site through a run; holds two days a stream, however many slices there are.

    ``windows`` end with the last ended day of their site; ``ready`` are the tables that can be written; ``open_days``
    are the days, in order, that no table has yet.
    """

    def __init__(
        self,
        tables: Iterable[str],
        windows: Iterable[Window],
        ready: Collection[str],
        open_days: Mapping[tuple[str, str], Sequence[date]],
    ) -> None:
        names = tuple(tables)
        self._windows = {window.site.id: window for window in windows}
        self._newest = {
            (name, site): _newest_known(window, open_days.get((name, site), ())) if name in ready else None
            for site, window in self._windows.items()
            for name in names
        }
        self._pending: dict[str, date] = {}

    def note(self, entries: Iterable[LogEntry]) -> None:
        """Take what has been logged."""
        for entry in entries:
            day, site = entry.slice.date, entry.slice.website_id
            stream = entry.slice.table, site
            if stream not in self._newest or day > self._windows[site].last:
                continue
            if entry.status.is_good:
                self._newest[stream] = max(day, self._newest[stream] or day)
            elif entry.status is Status.PENDING:
                self._pending[site] = min(day, self._pending.get(site, day))

    def leave_out(self, slice_: Slice) -> None:
        """Forget a table of a site that its owner has switched off: nothing will ever come."""
        self._newest.pop((slice_.table, slice_.website_id), None)

    def reach(self) -> Reach:
        """Return how far the tables reach by now."""
        if not self._newest:
            return Reach()
        late, newest = max(
            ((self._days_late(site, newest), newest) for (_, site), newest in self._newest.items()),
            key=lambda stream: stream[0],
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


def _newest_known(window: Window, open_days: Sequence[date]) -> date | None:
    """Return the newest day of the window that is not open."""
    day = window.last
    for missing in reversed(open_days):
        if missing > window.last:
            continue  # the site's present day
        if missing < day:
            break
        day -= ONE_DAY
    return day if day >= window.first else None
