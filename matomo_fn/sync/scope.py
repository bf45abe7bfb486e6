"""The scope of a request: its tables, its sites, and the window of days of each."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import VISITS, Catalogue, Table
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import RECONCILE_DAYS, SWEEP_DAYS, Part, SyncRequest
from matomo_fn.config.site_selection import EVERY_SITE, SiteSelection
from matomo_fn.config.validation import suggestion
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.errors import InputError
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.custom_tables import find_tables
from matomo_fn.sync.segments import resolve_segments


@dataclass(frozen=True, slots=True)
class Window:
    """The days of a site, both ends included; those from ``recheck_from`` on are refetched although known.

    ``open_day``: the site's present day, where the request did not name days and so left it out. ``visits_from``: the
    first day whose visits are kept, where they are not kept for ever. ``is_intraday``: of the days before the present
    one only those are due that a run has begun and not completed. ``fills_from``: the first day that is due although
    nothing is known of it; None where all are.
    """

    site: Site
    first: date
    last: date
    recheck_from: date
    open_day: date | None = None
    visits_from: date | None = None
    is_intraday: bool = False
    fills_from: date | None = None

    @property
    def days(self) -> Days:
        """Every day of the window."""
        return Days.between(self.first, self.last)


@dataclass(frozen=True, slots=True)
class Scope:
    """The tables, sites and days of a request.

    ``version``: Matomo's (major, minor). ``missing_sites`` are sentences about sites that cannot be synced.
    ``sites``: those that the configuration selects, with those that cannot be synced. ``listed``: the sites that Matomo
    lists, where ``selection`` takes new ones; None where the configuration or the request lists sites, since a missing
    one is named in ``missing_sites`` or refused then.
    ``refused_tables`` are sentences about tables that Matomo has no report for, ``left_out`` about reports that are
    left out on purpose. ``segments``: those of which the tables have rows, beside all visits. ``missing_segments``:
    sentences about those of the configuration that cannot be had. ``visible``: every site
    that Matomo lists. ``part``: what of it is meant, where the request is handed on in parts; what cannot be synced has
    been told then, by the run that did so.
    """

    tables: Catalogue
    windows: tuple[Window, ...]
    version: tuple[int, int]
    missing_sites: tuple[str, ...]
    sites: frozenset[str] = frozenset()
    selection: SiteSelection = EVERY_SITE
    listed: frozenset[str] | None = None
    refused_tables: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    missing_segments: tuple[str, ...] = ()
    visible: tuple[Site, ...] = ()
    part: Part | None = None

    def streams(self) -> Iterator[tuple[Window, Stream]]:
        """Yield every stream, with the window of its site: site by site, table by table, all visits first."""
        for window in self.windows:
            for table in self.tables.values():
                if table.has_site(window.site.id):
                    yield window, table.stream(window.site.id)
                    for segment in self._segments_of(table, window.site.id):
                        yield window, table.stream(window.site.id, segment.name)

    def _segments_of(self, table: Table, site_id: str) -> Iterator[Segment]:
        for segment in self.segments if table.has_segment else ():
            if segment.has(table.name, site_id) and table.takes_segment(segment.name):
                yield segment

    def has_site(self, site_id: str) -> bool:
        """Return whether the configuration selects a site, or may have selected it before it was lost."""
        if site_id in self.sites:
            return True
        return self.listed is not None and site_id not in self.listed and self.selection.may_have(site_id)

    def lost_sites(self, synced: Mapping[str, date]) -> tuple[str, ...]:
        """Return a sentence for each site that Matomo no longer lists; ``synced``: the newest day of each known one."""
        if self.listed is None:
            return ()
        gone = set(synced) - self.listed - set(self.selection.excluded_ids)
        lost = sorted(gone, key=lambda site: (len(site), site))
        advice = self.selection.without(lost)
        return tuple(
            f"site {site} (synced until {synced[site]}) is no longer among the sites that the token's user may see; "
            f'its rows stay. Give the user view access, or, if the site is gone for good, set "sites" to {advice}'
            for site in lost
        )

    def only(self, tables: Iterable[str]) -> "Scope":
        """Return the same scope with fewer tables."""
        return replace(self, tables=self.tables.select(tables))


def resolve_scope(client: MatomoClient, connector: Connector, request: SyncRequest, now: datetime) -> Scope:
    """Return what a request is about.

    A site of the configuration that the token may not see is left out, with a sentence; the others go on. Raises
    InputError with every problem where the request names a table or site that is not there, or days to come.
    """
    unknown = _table_problems(connector, request)
    if unknown:
        raise InputError(unknown)
    version = client.version()
    found = client.sites()
    visible = {site.id: site for site in found if not site.problem}
    broken = {site.id: f"site {site.id}: {site.problem}" for site in found if site.problem}
    configured = connector.sites.choose(found)
    unmatched = connector.sites.unmatched(found)
    problems = _site_problems(connector, request, configured, visible, broken)
    if not configured and not problems:
        problems = [*unmatched] or [f'"sites" excludes every site that the token\'s user may see: {_listed(visible)}']
    if problems:
        raise InputError(problems)
    part = request.part
    chosen = [site for site in request.sites or configured if site in visible and (not part or part.has_site(site))]
    windows = [window_of(visible[site], request, connector, now) for site in chosen]
    if request.start_date and not any(windows) and not part:
        raise InputError(_no_days(request, [visible[site] for site in chosen], now))
    last_days = {window.site: window.last for window in windows if window is not None}
    wanted = request.tables
    if request.mode == "intraday" and not isinstance(connector.intraday, bool):
        wanted = wanted or (*connector.intraday, VISITS.name)
    if part:
        found_tables = find_tables(client, connector, last_days, part.tables or wanted)
        return Scope(
            found_tables.tables,
            tuple(window for window in windows if window is not None),
            version,
            (),
            frozenset(configured),
            connector.sites,
            segments=resolve_segments(client, connector)[0],
            visible=tuple(found),
            part=part,
        )
    found_tables = find_tables(client, connector, last_days, wanted)
    missing = [
        name
        for name in request.tables or ()
        if name not in found_tables.tables and name not in connector.reference_tables
    ]
    if missing and not found_tables.problems:
        known = find_tables(client, connector, last_days, None).tables
        raise InputError([_no_table(connector, name, suggestion(name, known)) for name in missing])
    tables, notes = found_tables.tables, found_tables.notes
    if request.mode == "intraday":
        tables, notes = _intraday_tables(connector, request, tables), ()
    return Scope(
        tables,
        tuple(window for window in windows if window is not None),
        version,
        () if request.sites else (*_missing(configured, visible, broken), *unmatched),
        frozenset(configured),
        connector.sites,
        frozenset(site.id for site in found) if _takes_every_site(connector, request) else None,
        found_tables.problems,
        notes,
        *resolve_segments(client, connector),
        tuple(found),
    )


def window_of(site: Site, request: SyncRequest, connector: Connector, now: datetime) -> Window | None:
    """Return the days of a site that a request is about, or None where there are none.

    By default the last ``backfill_days`` up to yesterday at the site. An explicit window wins, up to the site's
    today. Before the site's creation Matomo has nothing, so no window begins earlier. A sweep has all of its window
    refetched, and brings no day that the tables would not have without it. An intraday run has yesterday and today. A
    reconciliation is of days that have ended.
    """
    today = site.today(now)
    yesterday = today - ONE_DAY
    kept_from = connector.kept_from(VISITS, today)
    if request.mode == "intraday":
        first = max(yesterday, site.created)
        return Window(site, first, today, first, today, kept_from, is_intraday=True) if first <= today else None
    filled = today - timedelta(days=connector.backfill_days)
    if request.start_date:
        first = request.start_date
        last = min(request.end_date or yesterday, today)
        recheck_from = first
    elif request.mode == "sweep":
        first = recheck_from = today - timedelta(days=request.days or SWEEP_DAYS)
        last = yesterday
    elif request.mode == "reconcile":
        first = recheck_from = today - timedelta(days=request.days or RECONCILE_DAYS)
        last = yesterday
    else:
        first = filled
        last = yesterday
        incremental = request.mode == "incremental"
        recheck_from = today - timedelta(days=connector.trailing_days) if incremental else first
    if request.mode == "reconcile":
        last = min(last, yesterday)  # of the present day everything still changes
    first = max(first, site.created)
    if request.part and not request.reads_older:  # every day of the window is due, and is read from the log
        first = max(first, request.part.since or first)
        last = min(last, request.part.before - ONE_DAY) if request.part.before else last
    is_sweep = request.mode == "sweep"
    open_day = None if request.start_date or is_sweep or request.mode == "reconcile" else today
    if first > last:
        return None
    fills_from = filled if is_sweep else None
    return Window(site, first, last, max(recheck_from, first), open_day, kept_from, fills_from=fills_from)


def is_final(site: Site, slice_: Slice, connector: Connector, now: datetime) -> bool:
    """Return whether a slice extracted now need not be refetched by itself: the trailing days will have passed it."""
    return slice_.last_day <= site.today(now) - timedelta(days=connector.trailing_days)


def is_open(site: Site, slice_: Slice, now: datetime) -> bool:
    """Return whether the last day that a slice covers is not over at its site."""
    return slice_.last_day >= site.today(now)


def _missing(configured: Iterable[str], visible: Mapping[str, Site], broken: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(broken.get(site) or _not_visible(site, visible) for site in configured if site not in visible)


def _takes_every_site(connector: Connector, request: SyncRequest) -> bool:
    return connector.sites.takes_new_sites and request.sites is None and request.start_date is None


def _intraday_tables(connector: Connector, request: SyncRequest, tables: Catalogue) -> Catalogue:
    """Return the tables that get the present day; raise InputError where there are none, or a request names others."""
    others = [name for name in request.tables or () if name in tables and not connector.is_intraday(tables[name])]
    if others or not (request.tables or any(map(connector.is_intraday, tables.values()))):
        what = f"table {others[0]!r}" if others else "no table"
        raise InputError(
            f"request: connector {connector.name!r} has {what} {'without' if others else 'with'} the present day: "
            'set "intraday" in its configuration to true, or to a list of tables. Longer periods have none'
        )
    return tables.select(name for name, table in tables.items() if connector.is_intraday(table))


def _table_problems(connector: Connector, request: SyncRequest) -> list[str]:
    problems = {name: connector.table_problem(name) for name in request.tables or ()}
    return [_no_table(connector, name, problem) for name, problem in problems.items() if problem]


def _no_table(connector: Connector, name: str, problem: str) -> str:
    return f"request: connector {connector.name!r} does not have table {name!r}: {problem}"


def _site_problems(
    connector: Connector,
    request: SyncRequest,
    configured: Iterable[str],
    visible: Mapping[str, Site],
    broken: Mapping[str, str],
) -> list[str]:
    if not visible and not broken:
        return ["the token's user may see no site at all: give it view access to the sites in Matomo"]
    if configured and not any(site in visible for site in configured):
        return [broken.get(site) or _not_visible(site, visible) for site in configured]
    problems = []
    for site in request.sites or ():
        if site not in configured:
            problems.append(
                f"request: connector {connector.name!r} does not have site {site}: it has {_listed(configured)}"
            )
        elif site not in visible:
            problems.append(broken.get(site) or _not_visible(site, visible))
    return problems


def _not_visible(site: str, visible: Mapping[str, Site]) -> str:
    return (
        f"site {site} is not there or the token's user may not see it (it sees {_listed(visible)}): "
        "give it view access in Matomo, or take the site out of the configuration"
    )


def _listed(sites: Iterable[str]) -> str:
    names = list(sites)
    shown = ", ".join(names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown


def _no_days(request: SyncRequest, sites: Iterable[Site], now: datetime) -> str:
    last = request.end_date or "yesterday"
    days = ", ".join(f"site {site.id}: {site.created} to {site.today(now)}" for site in list(sites)[:10])
    return f"request: there is no day from {request.start_date} to {last} that a site has ({days})"
