"""What a request is about, once Matomo has told of its sites."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from matomo_fn.catalogue import TABLES, Table
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.config.validation import suggestion
from matomo_fn.errors import InputError
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sites import Site
from matomo_fn.sync.plan import Window, window_of


@dataclass(frozen=True, slots=True)
class Scope:
    """The tables, sites and days of a request; ``missing_sites`` are sentences about sites that cannot be synced."""

    tables: tuple[Table, ...]
    windows: tuple[Window, ...]
    version: tuple[int, int]
    missing_sites: tuple[str, ...]


def resolve_scope(client: MatomoClient, connector: Connector, request: SyncRequest, now: datetime) -> Scope:
    """Return what a request is about.

    A site of the configuration that the token may not see is left out, with a sentence; the others go on. Raises
    InputError with every problem where the request names a table or site that is not there, or days to come.
    """
    version = client.version()
    found = client.sites()
    visible = {site.id: site for site in found if not site.problem}
    broken = {site.id: f"site {site.id}: {site.problem}" for site in found if site.problem}
    configured = tuple(site.id for site in found) if connector.sites == "all" else connector.sites
    problems = [
        *_table_problems(connector, request),
        *_site_problems(connector, request, configured, visible, broken),
    ]
    if problems:
        raise InputError(problems)
    chosen = [site for site in request.sites or configured if site in visible]
    windows = [window_of(visible[site], request, connector, now) for site in chosen]
    if request.start_date and not any(windows):
        raise InputError(_no_days(request, [visible[site] for site in chosen], now))
    names = request.tables or connector.tables
    return Scope(
        tuple(table for name, table in TABLES.items() if name in names),
        tuple(window for window in windows if window is not None),
        version,
        tuple(
            broken.get(site) or _not_visible(site, visible)
            for site in configured
            if site not in visible and not request.sites
        ),
    )


def _table_problems(connector: Connector, request: SyncRequest) -> list[str]:
    return [
        f"request: connector {connector.name!r} does not have table {name!r}: {suggestion(name, connector.tables)}"
        for name in request.tables or ()
        if name not in connector.tables
    ]


def _site_problems(
    connector: Connector,
    request: SyncRequest,
    configured: Iterable[str],
    visible: Mapping[str, Site],
    broken: Mapping[str, str],
) -> list[str]:
    if not visible and not broken:
        return ["the token's user may see no site at all: give it view access to the sites in Matomo"]
    if not any(site in visible for site in configured):
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
