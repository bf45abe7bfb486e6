"""What Matomo counts on each day, and what conversions the table of visits has on it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any

from matomo_fn.catalogue import VISIT_COUNTS, Source
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.errors import InvalidResponse, MatomoError, MatomoFatal
from matomo_fn.extract.report_rows import visits_of
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK, ReportQuery
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.sites import Site
from matomo_fn.sync.quality import Converted, DayCounts
from matomo_fn.values import as_float, as_integer

# Conversions and revenue of all goals and orders; abandoned carts are not among them (recording m53_goals_days_all).
_GOALS = Source("Goals.get")
# Days of one range: a row each.
_LONGEST = 366
Counts = Mapping[tuple[str, str, date], DayCounts]


@dataclass(slots=True)
class FoundCounts:
    """What Matomo counts, by (site, segment, day); ``errors``: a sentence for each report that it did not answer."""

    days: dict[tuple[str, str, date], DayCounts] = field(default_factory=dict)
    errors: dict[str, None] = field(default_factory=dict)


def request_counts(
    client: MatomoClient, wanted: Iterable[tuple[Site, Segment, Days]], *, with_conversions: bool
) -> FoundCounts:
    """Return what VisitsSummary.get and Goals.get count, by as few calls as bulk requests allow.

    ``with_conversions``: Goals.get too, of all visits. A site whose plugin of goals is off has none.
    """
    queries: list[tuple[Site, Segment, ReportQuery, Days]] = []
    for site, segment, days in wanted:
        for part in days.parts(_LONGEST):
            queries.append((site, segment, ReportQuery(VISIT_COUNTS, site.id, segment=segment.at(site.id)), part))
            if with_conversions and segment is EVERY_VISIT:
                queries.append((site, segment, ReportQuery(_GOALS, site.id), part))
    found = FoundCounts()
    for start in range(0, len(queries), MOST_CALLS_IN_BULK):
        part_of = queries[start : start + MOST_CALLS_IN_BULK]
        answers = client.reports([(query, days) for _, _, query, days in part_of])
        for (site, segment, query, _), answered in zip(part_of, answers, strict=True):
            for day, answer in answered.days.items():
                _note(found, (site.id, segment.name, day), query, answer)
    return found


def _note(found: FoundCounts, key: tuple[str, str, date], query: ReportQuery, answer: object) -> None:
    counts = found.days.get(key, DayCounts())
    try:
        if isinstance(answer, MatomoFatal):
            raise answer
        if isinstance(answer, MatomoError):
            raise answer
        counts = _conversions(counts, answer) if query.source is _GOALS else _visits(counts, answer)
    except MatomoFatal:
        raise
    except MatomoError as error:
        found.errors[f"{query.method} of site {key[0]}: {error}"] = None
    found.days[key] = counts


def _visits(counts: DayCounts, answer: object) -> DayCounts:
    return replace(counts, visits=visits_of(answer), actions=int(_number(answer, "nb_actions")))


def _conversions(counts: DayCounts, answer: object) -> DayCounts:
    return replace(counts, conversions=_number(answer, "nb_conversions"), revenue=_number(answer, "revenue"))


def _number(answer: object, name: str) -> float:
    if answer == []:  # how a range answers a day without visits
        return 0
    if not isinstance(answer, Mapping):
        raise InvalidResponse("answers something else than an object of numbers")
    try:
        value = answer.get(name) or 0
        return as_integer(value) if name.startswith("nb_") else as_float(value)
    except ValueError as error:
        raise InvalidResponse(f"{name} {error}") from None


class Conversions:
    """The conversions that the table of visits has, by site and day."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], sites: Sequence[Site]) -> None:
        zones = {site.id: site.timezone for site in sites}
        self._by_time: dict[tuple[str, date], tuple[float, float]] = {}
        self._by_visit: dict[tuple[str, date], tuple[float, float]] = {}
        for row in rows:
            site, revenue = row["website_id"], float(row["revenue"] or 0)
            _add(self._by_visit, (site, row["date"]), revenue)
            if row["second"] is not None and site in zones:
                moment = datetime.fromtimestamp(row["second"], UTC).astimezone(zones[site])
                _add(self._by_time, (site, moment.date()), revenue)

    def of(self, site: str, day: date, *, is_whole: bool) -> Converted:
        """Return those of a day; ``is_whole``: the visits of the next day are in the table."""
        none = (0.0, 0.0)
        key = (site, day)
        return Converted(self._by_time.get(key, none), self._by_visit.get(key, none), is_whole)


def with_next_day(days: Days) -> tuple[date, date]:
    """Return the first of some days and the one after the last, on which visits that went on past midnight stand."""
    return days.first, days.last + ONE_DAY


def _add(sums: dict[tuple[str, date], tuple[float, float]], key: tuple[str, date], revenue: float) -> None:
    count, total = sums.get(key, (0.0, 0.0))
    sums[key] = (count + 1, total + revenue)
