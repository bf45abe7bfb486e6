"""Cutting a plan into shards that fit one run each: by site and table first, then by stretch of days.

Pure functions of the jobs. Shards never share a slice, whatever is due when they run: they are products of sites and
groups of tables, and the stretches of one site and group together cover all time.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

from matomo_fn.extract.jobs import Job

# Estimates the calls that some jobs take.
Cost = Callable[[Sequence[Job]], int]


@dataclass(frozen=True, slots=True)
class Shard:
    """A part of a plan: some tables of some sites, and of them the slices of some dates.

    ``since`` is the first date and ``before`` the first one that is not in it; None where the stretch has no such end.
    ``calls``: how many HTTP calls it takes, as estimated. ``slices``: how many are due.
    """

    tables: tuple[str, ...]
    sites: tuple[str, ...]
    since: date | None
    before: date | None
    calls: int
    slices: int

    def as_dict(self) -> dict[str, Any]:
        """Return the shard as JSON has it."""
        return {
            "tables": list(self.tables),
            "sites": list(self.sites),
            "since": str(self.since) if self.since else None,
            "before": str(self.before) if self.before else None,
            "slices": self.slices,
            "matomo_calls": self.calls,
        }


def split(jobs: Sequence[Job], groups: Sequence[Sequence[str]], cost: Cost, most: int) -> tuple[Shard, ...]:
    """Return shards of at most ``most`` calls each, and of about as many.

    ``groups``: the names of the tables that stay together. A shard that takes more is one slice of a site and a group.
    """
    return tuple(_Cut(jobs, groups, cost, most).all()) if jobs else ()


class _Cut:
    """The calls of each site and group, and the ways to cut what takes too many."""

    def __init__(self, jobs: Sequence[Job], groups: Sequence[Sequence[str]], cost: Cost, most: int) -> None:
        self._groups = groups
        self._cost = cost
        self._most = most
        numbers = {name: number for number, group in enumerate(groups) for name in group}
        self._jobs: dict[tuple[str, int], list[Job]] = {}
        for job in jobs:
            self._jobs.setdefault((job.site.id, numbers[job.tables[0].name]), []).append(job)
        self._calls = {key: cost(found) for key, found in self._jobs.items()}

    def all(self) -> Iterator[Shard]:
        """Yield the shards of everything."""
        sites = list(dict.fromkeys(site for site, _ in self._jobs))
        yield from self._cut(sites, sorted({group for _, group in self._jobs}))

    def _cut(self, sites: Sequence[str], groups: Sequence[int]) -> Iterator[Shard]:
        of_sites = [sum(self._calls.get((site, group), 0) for group in groups) for site in sites]
        if sum(of_sites) <= self._most:
            if any((site, group) in self._jobs for site in sites for group in groups):
                yield self._shard(sites, groups)
        elif max(of_sites) > self._most and len(groups) > 1:
            # No site fits: so each part of the tables is cut by sites for itself, and the small ones share a shard.
            largest = sites[of_sites.index(max(of_sites))]
            for part in balanced([self._calls.get((largest, group), 0) for group in groups], self._most):
                yield from self._cut(sites, [groups[number] for number in part])
        elif len(sites) > 1:
            for part in balanced(of_sites, self._most):
                yield from self._cut([sites[number] for number in part], groups)
        else:
            yield from self._cut_days(sites[0], groups[0])

    def _cut_days(self, site: str, group: int) -> Iterator[Shard]:
        jobs = self._jobs[site, group]
        dates = sorted({day for job in jobs for day in job.period.dates(job.days)})
        yield from self._cut_dates(site, group, jobs, dates, (None, None))

    def _cut_dates(
        self, site: str, group: int, jobs: Sequence[Job], dates: Sequence[date], ends: tuple[date | None, date | None]
    ) -> Iterator[Shard]:
        """Yield shards of a stretch of dates; ``ends``: those of the stretch."""
        calls = self._cost(jobs)
        if calls <= self._most or len(dates) == 1:
            yield Shard(tuple(self._groups[group]), (site,), *ends, calls, _slices(jobs))
            return
        parts = min(len(dates), -(-calls // self._most))
        cuts = [ends[0], *(dates[number * len(dates) // parts] for number in range(1, parts)), ends[1]]
        for since, before in pairwise(cuts):
            found = [day for day in dates if (not since or day >= since) and (not before or day < before)]
            yield from self._cut_dates(site, group, _within(jobs, since, before), found, (since, before))

    def _shard(self, sites: Sequence[str], groups: Sequence[int]) -> Shard:
        jobs = [job for site in sites for group in groups for job in self._jobs.get((site, group), ())]
        calls = sum(self._calls.get((site, group), 0) for site in sites for group in groups)
        tables = tuple(name for group in groups for name in self._groups[group])
        return Shard(tables, tuple(sites), None, None, calls, _slices(jobs))


def balanced(weights: Sequence[int], most: int) -> list[list[int]]:
    """Return the positions in parts of neighbours that weigh at most ``most``, as few as possible, about equal.

    What weighs more by itself is a part of its own.
    """
    fewest = len(_packed(weights, most))
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if len(_packed(weights, middle)) <= fewest:
            high = middle
        else:
            low = middle + 1
    return _packed(weights, high)


def _packed(weights: Sequence[int], most: int) -> list[list[int]]:
    parts: list[list[int]] = []
    free = 0
    for number, weight in enumerate(weights):
        if not parts or weight > free:
            parts.append([])
            free = most
        parts[-1].append(number)
        free -= weight
    return parts


def _within(jobs: Sequence[Job], since: date | None, before: date | None) -> list[Job]:
    cut = [replace(job, days=job.period.within(job.days, since, before)) for job in jobs]
    return [job for job in cut if job.days]


def _slices(jobs: Sequence[Job]) -> int:
    return sum(len(job.tables) * job.period.count(job.days) for job in jobs)


def together(groups: Sequence[Sequence[str]], pairs: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the groups, those joined that have a table and the one that it is paired with."""
    joined = [list(group) for group in groups]
    for one, other in pairs.items():
        found = [group for group in joined if one in group or other in group]
        if len(found) > 1:
            joined = [group for group in joined if group not in found]
            joined.append([name for group in found for name in group])
    return [tuple(group) for group in joined]
