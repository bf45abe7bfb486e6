"""Which slices a run asks for, and in which jobs: pure functions of the request, the sites and the state."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import Source, Table
from matomo_fn.config.connector import Connector
from matomo_fn.config.request import SyncRequest
from matomo_fn.extract.jobs import FIRST_CHUNK, Job
from matomo_fn.matomo.client import BULK_DAYS
from matomo_fn.sites import Site
from matomo_fn.slices import ALL_VISITS, ONE_DAY, days_between, runs_of_days


@dataclass(frozen=True, slots=True)
class Window:
    """The days of a site, both ends included; those from ``recheck_from`` on are asked again although known.

    ``open_day``: the site's present day, where the request did not name days and so left it out.
    """

    site: Site
    first: date
    last: date
    recheck_from: date
    open_day: date | None = None

    @property
    def days(self) -> list[date]:
        """Every day of the window."""
        return list(days_between(self.first, self.last))


def window_of(site: Site, request: SyncRequest, connector: Connector, now: datetime) -> Window | None:
    """Return the days of a site that a request is about, or None where there are none.

    By default the last ``backfill_days`` up to yesterday at the site. An explicit window wins, up to the site's
    today. Before the site's creation Matomo has nothing, so no window begins earlier.
    """
    today = site.today(now)
    yesterday = today - ONE_DAY
    if request.start_date:
        first = request.start_date
        last = min(request.end_date or yesterday, today)
        recheck_from = first
    else:
        first = today - timedelta(days=connector.backfill_days)
        last = yesterday
        incremental = request.mode == "incremental"
        recheck_from = today - timedelta(days=connector.trailing_days) if incremental else first
    first = max(first, site.created)
    open_day = None if request.start_date else today
    return Window(site, first, last, max(recheck_from, first), open_day) if first <= last else None


def is_final(site: Site, day: date, connector: Connector, now: datetime) -> bool:
    """Return whether a day asked now need not be asked again by itself: the trailing days will have passed it."""
    return day <= site.today(now) - timedelta(days=connector.trailing_days)


def group_tables(tables: Sequence[Table], version: tuple[int, int]) -> list[tuple[Table, ...]]:
    """Return the tables in groups that share calls, so that no report is asked twice for the same days."""
    groups: list[tuple[set[object], list[Table]]] = []
    for table in tables:
        calls: set[object] = {source.call for source in table.sources_of(version)}
        members = [table]
        for group in [group for group in groups if group[0] & calls]:
            groups.remove(group)
            calls |= group[0]
            members = [*group[1], *members]
        groups.append((calls, members))
    return [tuple(sorted(members, key=tables.index)) for _, members in groups]


def jobs_for(
    due: Mapping[tuple[str, str], Iterable[date]],
    sites: Sequence[Site],
    tables: Sequence[Table],
    version: tuple[int, int],
) -> list[Job]:
    """Return the jobs for the due days by (table, site id), tables that share calls joined where they share days.

    In a group, days that all its tables want come as one job; days that only some want as jobs of their own.
    """
    jobs: list[Job] = []
    for site in sites:
        for group in group_tables(tables, version):
            wanted: dict[date, list[Table]] = {}
            for table in group:
                for day in set(due.get((table.name, site.id), ())):
                    wanted.setdefault(day, []).append(table)
            by_tables: dict[tuple[Table, ...], list[date]] = {}
            for day in sorted(wanted):
                by_tables.setdefault(tuple(wanted[day]), []).append(day)
            for members, days in by_tables.items():
                for part in group_tables(members, version):
                    jobs.extend(Job(site, ALL_VISITS, part, tuple(share)) for share in _shares(part, days))
    return jobs


def _shares(tables: Sequence[Table], days: list[date]) -> list[list[date]]:
    """Return the days in shares that jobs take one each: visits are read a day a call, so that several may do it."""
    if not any(table.is_log for table in tables):
        return [days]
    return [days[max(0, end - FIRST_CHUNK) : end] for end in range(len(days), 0, -FIRST_CHUNK)]


def estimated_calls(jobs: Iterable[Job], version: tuple[int, int]) -> int:
    """Return about how many HTTP calls the jobs take, each report in ranges of ``FIRST_CHUNK`` days.

    An upper bound for small reports, whose ranges grow; without retries and without questions about empty days.
    """
    calls = 0
    for job in jobs:
        distinct = {source.call: source for table in job.tables for source in table.sources_of(version)}
        for first, last in runs_of_days(job.days):
            days = (last - first).days + 1
            calls += sum(_calls(source, days, job) for source in distinct.values())
    return calls


def _calls(source: Source, days: int, job: Job) -> int:
    if any(table.is_log for table in job.tables):
        return 2 * days  # a page with the visits, and one that brings nothing new
    return -(-days // (FIRST_CHUNK if source.ranges else BULK_DAYS))
