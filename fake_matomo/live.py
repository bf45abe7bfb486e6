"""`Live.getLastVisitsDetails`: the visits log, including the ways in which a real one loses visits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from fake_matomo.actionrows import ACTIONS_LIMIT, action_rows
from fake_matomo.dates import parse_day, parse_range, span_of
from fake_matomo.errors import ApiError
from fake_matomo.filters import names, parse_int, parse_limit
from fake_matomo.language import Language
from fake_matomo.segments import Test, parse_segment, people_of
from fake_matomo.sites import Site, day_bounds, local_day
from fake_matomo.store import People, Traffic
from fake_matomo.tallies import Row
from fake_matomo.visitrows import visit_row
from fake_matomo.visits import Visit

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open interval of Unix times; None is unbounded."""

    start: int | None
    end: int | None

    def holds(self, at: int) -> bool:
        """Whether it contains a last action at that time."""
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)


class Live:
    """The methods of the visits log."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        # Ids of sites whose visits log is disabled; None stands for all.
        self.disabled: set[int | None] = set()
        # Visits whose last action was before this Unix time are deleted; their reports are not.
        self.purged_until = 0

    def answer(
        self,
        method: str,
        sites: Sequence[Site],
        params: Mapping[str, str],
        language: Language,
        *,
        several: bool,
    ) -> object:
        """Return the decoded answer."""
        if None in self.disabled:
            raise ApiError(
                "Visits log is deactivated globally."
                " A user with super user access can enable this feature in the general settings."
            )
        for site in sites:
            if site.id in self.disabled:
                # Not recorded: the wording is the fake's own.
                raise ApiError(
                    "Visits log is deactivated in website settings."
                    " A user with at least admin access can enable this feature in the settings for this"
                    f" website (idSite={site.id})."
                )
        if method == "Live.getMostRecentVisitsDateTime":
            return {"value": self._most_recent(sites)}
        return self._last_visits(sites, params, language, several=several)

    def _most_recent(self, sites: Sequence[Site]) -> str:
        newest = max((visit.last_at for visit in self._newest(sites)), default=None)
        return "" if newest is None else f"{datetime.fromtimestamp(newest, UTC):%Y-%m-%d %H:%M:%S}"

    def _newest(self, sites: Sequence[Site]) -> list[Visit]:
        for back in range(60):
            found = [
                visit
                for site in sites
                for visit in self.traffic.visits(site, self.traffic.today(site) - timedelta(days=back))
            ]
            if found:
                return found
        return []

    def _last_visits(
        self, sites: Sequence[Site], params: Mapping[str, str], language: Language, *, several: bool
    ) -> object:
        limit = parse_limit(params.get("filter_limit"))
        offset = max(0, parse_int(params.get("filter_offset"), 0))
        if "countVisitorsToFetch" in params:
            limit, offset = parse_int(params["countVisitorsToFetch"], limit), 0
        if limit == 0:
            return []
        segment = params.get("segment")
        test = parse_segment(segment) if segment else None
        # For several sites, days are in the instance's default time zone.
        zone = "UTC" if several else sites[0].timezone
        window = self._window(params, zone)
        minimum = max(parse_int(params.get("minTimestamp"), 0), self.purged_until - 1)
        people = people_of(segment) if segment else None
        query = _Query(self.traffic, tuple(sites), test, people, minimum, params.get("filter_sort_order") == "asc")
        visits = query.run(window, limit, offset)
        by_id = {site.id: site for site in sites}
        show, hide = names(params.get("showColumns")), names(params.get("hideColumns"))
        with_actions = params.get("doNotFetchActions") != "1" and _wanted("actionDetails", show, hide)
        return [
            _cut(self._row(visit, by_id[visit.site_id], language, with_actions=with_actions), show, hide)
            for visit in visits
        ]

    def _row(self, visit: Visit, site: Site, language: Language, *, with_actions: bool) -> Row:
        actions = action_rows(visit, site) if with_actions else []
        row = visit_row(visit, site, language, actions=actions, commerce=self.traffic.commerce(site, visit))
        surplus = len(visit.actions) - ACTIONS_LIMIT
        if with_actions and surplus > 0:
            row["truncatedActionsCount"] = surplus
        return row

    def _window(self, params: Mapping[str, str], zone: str) -> Window:
        """Return the requested interval; today has no end, and starts yesterday with `period=day`."""
        period, text = params.get("period"), params.get("date")
        if not period or not text:
            return Window(None, None)
        now = self.traffic.now()
        today = local_day(zone, int(now.timestamp()))
        today_utc = now.astimezone(UTC).date()
        bounds = parse_range(text, today=today_utc, today_utc=today_utc, period=period)
        if bounds is None and period == "range":
            raise ApiError(
                f"The date '{text}' is not a correct date range. It should have the following format:"
                "  'lastN', 'previousN', 'YYYY-MM-DD,YYYY-MM-DD'."
            )
        if bounds is None:
            day = parse_day(text, today_utc)
            is_today = text in ("today", "now") or day == today
            span = span_of(period, day - timedelta(days=1) if is_today else day)
            bounds = span.start, span.end
            last: date | None = None if is_today else span.end
        else:
            last = None if bounds[1] == today or "last" in text else bounds[1]
        start, _ = day_bounds(zone, bounds[0])
        return Window(start, None if last is None else day_bounds(zone, last)[1])


@dataclass(frozen=True, slots=True)
class _Query:
    """Queries the log as Matomo's model does, window by window."""

    traffic: Traffic
    sites: tuple[Site, ...]
    test: Test | None
    # The visitors that the segment names, whose visits need not be looked for among all.
    people: People | None
    minimum: int
    ascending: bool

    def run(self, window: Window, limit: int, offset: int) -> list[Visit]:
        """Return a page of visits.

        Over more than a day, Matomo queries window by window, the newest day first. If the offset skips a whole
        window, Matomo subtracts the visits found in it from the offset, but limits that query to the page size:
        of a window with more visits than a page, too few are subtracted, and that many visits of later windows
        are skipped in addition (live_offset_bug_offset-600).
        """
        found: list[Visit] = []
        for part in self._windows(window, limit, offset):
            skip = 0 if found else offset
            remaining = limit - len(found) if limit > 0 else None
            visits = self._select(part, None if remaining is None else skip + remaining)
            chosen = visits[skip:]
            if offset and not chosen:
                offset -= len(visits[:remaining])
            found += chosen
            if 0 < limit <= len(found):
                break
        return found

    def _windows(self, window: Window, limit: int, offset: int) -> list[Window]:
        end = window.end if window.end is not None else int(self.traffic.now().timestamp()) + _DAY
        start = window.start if window.start is not None else 0
        if limit < 0 or start + _DAY >= end:
            return [window]
        cursor = end - _DAY
        parts = [Window(cursor, window.end)]
        widths = (7 * _DAY,) if offset else (7 * _DAY, 30 * _DAY, 365 * _DAY)
        for width in widths:
            if start + width < cursor:
                parts.append(Window(cursor - width, cursor))
                cursor -= width
        if start < cursor:
            parts.append(Window(window.start, cursor))
        return parts[::-1] if self.ascending else parts

    def _select(self, window: Window, most: int | None) -> list[Visit]:
        """Return the visits of a window in the requested order; for one site, read no more days than needed."""
        start = max(window.start or 0, self.minimum)
        found: list[Visit] = []
        for site in self.sites:
            days = self._days(site, start, window.end)
            for day in days if self.ascending else reversed(days):
                found += self._of_day(site, day, window)
                if most is not None and len(self.sites) == 1 and len(found) >= most:
                    break
        if len(self.sites) > 1:
            found.sort(key=_order, reverse=not self.ascending)
        return found if most is None else found[:most]

    def _of_day(self, site: Site, day: date, window: Window) -> list[Visit]:
        visits = [
            visit
            for visit in self.traffic.visits(site, day, self.people)
            if visit.last_at > self.minimum and window.holds(visit.last_at)
        ]
        if self.test:
            visits = [visit for visit in visits if self.test(visit)]
        return visits if self.ascending else visits[::-1]

    def _days(self, site: Site, start: int, end: int | None) -> list[date]:
        last = self.traffic.today(site)
        if end is not None:
            last = min(last, local_day(site.timezone, end - 1))
        first = max(self.traffic.first_day(site), local_day(site.timezone, start))
        return [first + timedelta(days=at) for at in range((last - first).days + 1)]


def _order(visit: Visit) -> tuple[int, int]:
    return visit.last_at, visit.id


def _wanted(name: str, show: frozenset[str], hide: frozenset[str]) -> bool:
    return (not show or name in show) and name not in hide


def _cut(row: Row, show: frozenset[str], hide: frozenset[str]) -> Row:
    return {key: value for key, value in row.items() if _wanted(key, show, hide)} if show or hide else row
