"""The report methods, answered from the visits of the requested days."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from fake_matomo.dates import Periods, Span, parse_periods
from fake_matomo.errors import ApiError, missing, several_dates_refused, several_refused
from fake_matomo.events import event_rows
from fake_matomo.filters import PLAIN, Filters, Style, columns, finish_rows, formatted, one_column
from fake_matomo.generic import Generic, check_dimension
from fake_matomo.language import Language
from fake_matomo.metadata import Metadata
from fake_matomo.multisites import MULTI_SITES, before, listed_row, site_row
from fake_matomo.pagerows import page_rows
from fake_matomo.purge import Purge
from fake_matomo.referrers import ALL_REFERRERS, CAMPAIGNS, CHANNELS, ENGINES, NETWORKS, WEBSITES
from fake_matomo.segments import Test, parse_segment
from fake_matomo.sites import Site
from fake_matomo.store import Traffic
from fake_matomo.summaries import actions_summary, visits_summary
from fake_matomo.tables import COUNTRIES, DEVICE_TYPE, SPOKEN, Table, others_of, row_of, tally, unused_device_types
from fake_matomo.tallies import Row
from fake_matomo.totals import Totals, one_row
from fake_matomo.visits import Visit

TABLES: Mapping[str, Table] = {
    "UserCountry.getCountry": COUNTRIES,
    "DevicesDetection.getType": DEVICE_TYPE,
    "UserLanguage.getLanguage": SPOKEN,
    "Referrers.getReferrerType": CHANNELS,
    "Referrers.getCampaigns": CAMPAIGNS,
    "Referrers.getSearchEngines": ENGINES,
    "Referrers.getWebsites": WEBSITES,
    "Referrers.getSocials": NETWORKS,
    "Referrers.getAll": ALL_REFERRERS,
}

ONE_ROW = frozenset({"VisitsSummary.get", "VisitsSummary.getVisits", "Actions.get"})
# The reports that have a model; all others are answered from their metadata.
MODELLED = ONE_ROW | TABLES.keys() | {"Actions.getPageUrls", "Actions.getPageTitles", "Events.getCategory"}
# Periods of which a summary has neither unique visitors nor users, unless an instance is set to count them.
WITHOUT_PEOPLE = ("year", "range")
# Methods that support neither ranges of days nor several sites, and their errors.
REFUSES_RANGES = {"Referrers.getAll": several_refused, "VisitTime.getByDayOfWeek": several_dates_refused}


class Archives:
    """Which days are archived; reports answer for any other day as for one without visits.

    `missing_periods` are longer periods without an archive, whatever their days have: (site, period, first day).
    `missing_segments` are the definitions of segments without any archive.
    """

    def __init__(self) -> None:
        self.missing: set[tuple[int, date]] = set()
        self.missing_periods: set[tuple[int, str, date]] = set()
        self.missing_segments: set[str] = set()
        # browser_archiving_disabled_enforce: without it, a segment is archived on request.
        self.enforced_for_segments = True
        self.purge = Purge()
        # Whether a day before today is archived again as soon as a hit comes for it; if not, its reports keep to the
        # visits that it had before, until it is archived.
        self.archives_hits = True
        self._kept: dict[tuple[int, date], tuple[Visit, ...]] = {}

    def keep(self, site: Site, day: date, visits: tuple[Visit, ...]) -> None:
        """Keep a day's archive as it is, with those visits, although hits come for it."""
        self._kept.setdefault((site.id, day), visits)

    def kept(self, site: Site, day: date) -> tuple[Visit, ...] | None:
        """Return the visits that a day's archive was made of, if others came after that."""
        return self._kept.get((site.id, day))

    def archive(self, site: Site, day: date) -> None:
        """Archive a day, from all visits that it has."""
        self._kept.pop((site.id, day), None)
        self.missing.discard((site.id, day))
        self.purge.archived_again.add((site.id, day))

    def processed(self, site: Site, day: date, segment: str | None) -> bool:
        """Whether the day has an archive, of all visits or of a segment."""
        if segment and not self.enforced_for_segments:
            return True
        return (site.id, day) not in self.missing and segment not in self.missing_segments

    def period_processed(self, site: Site, period: str, span: Span) -> bool:
        """Whether the period has an archive."""
        return (site.id, period, span.start) not in self.missing_periods


class Reports:
    """The report methods of the instance."""

    def __init__(self, traffic: Traffic, archives: Archives, metadata: Metadata) -> None:
        self.traffic, self.archives, self.metadata = traffic, archives, metadata
        self.refuses_ranges = set(REFUSES_RANGES)
        self.default_limit = 100

    def serves(self, method: str) -> bool:
        """Whether the method is a report."""
        return method in MODELLED or self.metadata.knows(method)

    def answer(
        self,
        method: str,
        sites: Sequence[Site],
        params: Mapping[str, str],
        language: Language,
        *,
        several: bool,
    ) -> object:
        """Return the decoded answer; `several` if sites were requested as a list, which keys the answer by site."""
        for name in ("period", "date"):
            if not params.get(name):
                raise missing(name)
        segment = params.get("segment")
        request = _ReportRequest(
            method,
            Filters.parse(params, self.default_limit),
            parse_segment(segment) if segment else None,
            language,
            several_sites=several,
            segment=segment or None,
        )
        if method == "MultiSites.getAll":
            return self._all_sites(request, sites, params)
        if not several:
            return self._site(request, sites[0], params)
        if method in self.refuses_ranges:
            raise _refusal(method)
        return {str(site.id): self._site(request, site, params) for site in sites}

    def _site(self, request: "_ReportRequest", site: Site, params: Mapping[str, str]) -> object:
        periods = self._periods(site, params)
        if periods.keyed and request.method in self.refuses_ranges:
            raise _refusal(request.method)
        if request.method in MODELLED:
            build: Callable[[list[Visit], Periods], object] = (
                request.one_row if request.method in ONE_ROW else request.table
            )
            found = {span.key: self._visits(site, span, request, periods) for span in periods.spans}
            answers = {key: build(visits, periods) for key, visits in found.items()}
        else:
            answers = self._unmodelled(request, site, periods, params)
        for span in periods.spans:
            if self.archives.purge.covers(site.id, periods.period, span.start):
                part = periods.keyed or request.several_sites
                answers[span.key] = self.archives.purge.left_of(answers[span.key], part=part)
        return answers if periods.keyed else next(iter(answers.values()))

    def _periods(self, site: Site, params: Mapping[str, str]) -> Periods:
        return parse_periods(
            params["period"],
            params["date"],
            today=self.traffic.today(site),
            today_utc=self.traffic.now().astimezone(UTC).date(),
        )

    def _unmodelled(
        self, request: "_ReportRequest", site: Site, periods: Periods, params: Mapping[str, str]
    ) -> dict[str, object]:
        """Return the answers, by period, of a report that has no model."""
        generic = self._generic(request, site, params)
        found = {span: self._visits(site, span, request, periods) for span in periods.spans}
        all_visits = sum(len(visits) for visits in found.values())
        answers: dict[str, object] = {}
        for span, visits in found.items():
            if request.method in MULTI_SITES:
                row = site_row(visits, self._visits(site, before(span), request, periods))
            elif generic.report.dimension:
                answers[span.key] = generic.table(visits, span.start, several_days=periods.period != "day")
                continue
            else:
                unique = periods.period not in WITHOUT_PEOPLE
                totals = Totals(visits, all_visits, generic.goal, unique=unique, part=periods.keyed)
                row = one_row(generic.report, totals)
            answers[span.key] = request.finished(row, visits, periods, generic.style)
        return answers

    def _generic(self, request: "_ReportRequest", site: Site, params: Mapping[str, str]) -> Generic:
        report = self.metadata.find(request.method, params)
        check_dimension(report, site, params.get("idDimension"))
        goal, seed = params.get("idGoal"), self.traffic.world.seed
        return Generic(report, site, request.filters, request.language, goal, seed)

    def _all_sites(self, request: "_ReportRequest", sites: Sequence[Site], params: Mapping[str, str]) -> object:
        """Answer `MultiSites.getAll`: one row for each site that the user may view."""
        rows: dict[str, list[Row]] = {}
        periods = self._periods(sites[0], params) if sites else None
        if periods is None:
            return []
        for span in periods.spans:
            earlier = before(span)
            rows[span.key] = [
                listed_row(
                    site,
                    self._visits(site, span, request, periods),
                    self._visits(site, earlier, request, periods),
                    periods.period,
                    earlier.start,
                )
                for site in sites
            ]
        generic = self._generic(request, sites[0], params)
        answers = {
            key: finish_rows(found, None, request.filters, request.language, generic.style)
            for key, found in rows.items()
        }
        return answers if periods.keyed else next(iter(answers.values()))

    def _visits(self, site: Site, span: Span, request: "_ReportRequest", periods: Periods) -> list[Visit]:
        """Return the visits of a period that its archive has."""
        visits: list[Visit] = []
        if not self.archives.period_processed(site, periods.period, span):
            return visits
        for day in span.days():
            # There are no archives of the time before the site was made, though hits may be of it.
            if day >= site.created and self.archives.processed(site, day, request.segment):
                kept = self.archives.kept(site, day)
                visits += self.traffic.visits(site, day) if kept is None else kept
        return [visit for visit in visits if request.test(visit)] if request.test else visits


def _refusal(method: str) -> ApiError:
    return REFUSES_RANGES.get(method, several_refused)(method)


@dataclass(frozen=True, slots=True)
class _ReportRequest:
    """A request for a report, independent of site and day."""

    method: str
    filters: Filters
    test: Test | None
    language: Language
    several_sites: bool
    segment: str | None

    def one_row(self, visits: list[Visit], periods: Periods) -> object:
        """Answer a modelled report of one row."""
        if self.method == "VisitsSummary.getVisits":
            return len(visits) if self._is_part(periods) else {"value": len(visits)}
        row = (
            actions_summary(visits)
            if self.method == "Actions.get"
            else visits_summary(visits, people=periods.period not in WITHOUT_PEOPLE)
        )
        return self.finished(row, visits, periods, PLAIN)

    def finished(self, row: Row, visits: list[Visit], periods: Periods, style: Style) -> object:
        """Return the answer of a one-row report from all its columns.

        Inside an answer keyed by days or sites, it is an empty list if there are no visits, and a bare value if
        it has only one column.
        """
        part = self._is_part(periods)
        single = one_column(self.filters, row)
        row = formatted(columns(row, self.filters, style), self.filters, self.language, style)
        if single in row:
            return row[single] if part else {"value": row[single]}
        return [] if part and not visits else row

    def _is_part(self, periods: Periods) -> bool:
        return periods.keyed or self.several_sites

    def table(self, visits: list[Visit], periods: Periods) -> list[Row]:
        """Return the rows of a modelled report with a dimension."""
        if not visits:
            return []
        daily = periods.period != "day"
        others = None
        if self.method in TABLES:
            rows, others = self._dimension(visits, periods, several_days=daily)
        elif self.method == "Events.getCategory":
            rows = event_rows(self.method, visits, flat=self.filters.flat, several_days=daily)
        else:
            rows, others = self._pages(visits, several_days=daily)
        return finish_rows(rows, others, self.filters, self.language)

    def _dimension(self, visits: list[Visit], periods: Periods, *, several_days: bool) -> tuple[list[Row], Row | None]:
        table, filters, language = TABLES[self.method], self.filters, self.language
        found = tally(table, visits, flat=filters.flat)
        others = None
        if filters.truncate is not None and 0 <= filters.truncate < len(found):
            found.sort(key=lambda one: (-one.visits, str(one.key)))
            cut = found[filters.truncate :]
            others = others_of(table, cut, language, several_days=several_days)
            found = found[: filters.truncate]
        rows = [row_of(table, one, language, flat=filters.flat, several_days=several_days) for one in found]
        if table is DEVICE_TYPE and not periods.keyed:
            rows += unused_device_types(found, language, flat=filters.flat)
        return rows, others

    def _pages(self, visits: list[Visit], *, several_days: bool) -> tuple[list[Row], Row | None]:
        return page_rows(
            visits,
            self.language,
            by_title=self.method == "Actions.getPageTitles",
            flat=self.filters.flat,
            several_days=several_days,
            # Matomo drops them only if the request chooses no columns.
            sums=bool(self.filters.show or self.filters.hide),
            truncate=self.filters.truncate,
        )
