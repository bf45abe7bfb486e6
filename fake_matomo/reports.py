"""Answers the methods of reports from the visits of the days asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date

from fake_matomo.dates import Asked, Span, parse_asked
from fake_matomo.errors import missing, several_refused
from fake_matomo.events import event_rows
from fake_matomo.filters import Filters, columns, formatted, one_column, shaped
from fake_matomo.language import Language
from fake_matomo.pagerows import page_rows
from fake_matomo.referrers import ALL_REFERRERS, CAMPAIGNS, CHANNELS, ENGINES, NETWORKS, WEBSITES
from fake_matomo.segments import Test, parse_segment
from fake_matomo.sites import Site
from fake_matomo.store import Traffic
from fake_matomo.summaries import actions_summary, visits_summary
from fake_matomo.tables import COUNTRIES, DEVICE_TYPE, SPOKEN, Table, others_of, row_of, tally, unused_device_types
from fake_matomo.tallies import Row
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
REPORTS = ONE_ROW | TABLES.keys() | {"Actions.getPageUrls", "Actions.getPageTitles", "Events.getCategory"}
# Methods that know neither ranges of days nor several sites.
REFUSES_RANGES = frozenset({"Referrers.getAll"})


class Archives:
    """Which days Matomo has worked out; a day that is not answers like one without visits."""

    def __init__(self) -> None:
        self.missing: set[tuple[int, date]] = set()
        # browser_archiving_disabled_enforce: without it a segment is worked out when it is asked for.
        self.enforced_for_segments = True

    def processed(self, site: Site, day: date, *, segmented: bool) -> bool:
        """Whether the day has an archive."""
        if segmented and not self.enforced_for_segments:
            return True
        return (site.id, day) not in self.missing


class Reports:
    """The report methods of the sample."""

    def __init__(self, traffic: Traffic, archives: Archives) -> None:
        self.traffic, self.archives = traffic, archives
        self.refuses_ranges = set(REFUSES_RANGES)
        self.default_limit = 100

    def answer(
        self,
        method: str,
        sites: Sequence[Site],
        params: Mapping[str, str],
        language: Language,
        *,
        several: bool,
    ) -> object:
        """The decoded answer; `several` where sites were asked for as a list, so that it is keyed by site."""
        for name in ("period", "date"):
            if not params.get(name):
                raise missing(name)
        segment = params.get("segment")
        question = _Question(
            method,
            Filters.parse(params, self.default_limit),
            parse_segment(segment) if segment else None,
            language,
            several_sites=several,
        )
        if not several:
            return self._site(question, sites[0], params)
        if method in self.refuses_ranges:
            raise several_refused(method)
        return {str(site.id): self._site(question, site, params) for site in sites}

    def _site(self, question: "_Question", site: Site, params: Mapping[str, str]) -> object:
        asked = parse_asked(
            params["period"],
            params["date"],
            today=self.traffic.today(site),
            today_utc=self.traffic.now().astimezone(UTC).date(),
        )
        if asked.keyed and question.method in self.refuses_ranges:
            raise several_refused(question.method)
        build = question.one_row if question.method in ONE_ROW else question.table
        answers = {span.key: build(self._visits(site, span, question.test), asked) for span in asked.spans}
        return answers if asked.keyed else next(iter(answers.values()))

    def _visits(self, site: Site, span: Span, test: Test | None) -> list[Visit]:
        visits: list[Visit] = []
        for day in span.days():
            if self.archives.processed(site, day, segmented=test is not None):
                visits += self.traffic.visits(site, day)
        return [visit for visit in visits if test(visit)] if test else visits


@dataclass(frozen=True, slots=True)
class _Question:
    """A report method and how its answer is to look, whatever the site and the day."""

    method: str
    filters: Filters
    test: Test | None
    language: Language
    several_sites: bool

    def one_row(self, visits: list[Visit], asked: Asked) -> object:
        """The answer of a report of one row.

        As a part of an answer keyed by days or sites it is a list where there are no visits, and the bare
        value where it has but one column.
        """
        part = asked.keyed or self.several_sites
        if self.method == "VisitsSummary.getVisits":
            return len(visits) if part else {"value": len(visits)}
        row = (
            actions_summary(visits)
            if self.method == "Actions.get"
            else visits_summary(visits, people=asked.period != "range")
        )
        single = one_column(self.filters, row)
        row = formatted(columns(row, self.filters), self.filters, self.language)
        if single:
            return row[single] if part else {"value": row[single]}
        return [] if part and not visits else row

    def table(self, visits: list[Visit], asked: Asked) -> list[Row]:
        """The rows of a report with a dimension."""
        if not visits:
            return []
        daily = asked.period != "day"
        others = None
        if self.method in TABLES:
            rows, others = self._dimension(visits, asked, several_days=daily)
        elif self.method == "Events.getCategory":
            rows = event_rows(visits, flat=self.filters.flat, several_days=daily)
        else:
            rows, others = self._pages(visits, several_days=daily)
        return shaped(rows, others, self.filters, self.language)

    def _dimension(self, visits: list[Visit], asked: Asked, *, several_days: bool) -> tuple[list[Row], Row | None]:
        table, filters, language = TABLES[self.method], self.filters, self.language
        found = tally(table, visits, flat=filters.flat)
        others = None
        if filters.truncate is not None and 0 <= filters.truncate < len(found):
            found.sort(key=lambda one: (-one.visits, str(one.key)))
            cut = found[filters.truncate :]
            others = others_of(table, cut, language, several_days=several_days)
            found = found[: filters.truncate]
        rows = [row_of(table, one, language, flat=filters.flat, several_days=several_days) for one in found]
        if table is DEVICE_TYPE and not asked.keyed:
            rows += unused_device_types(found, language, flat=filters.flat)
        return rows, others

    def _pages(self, visits: list[Visit], *, several_days: bool) -> tuple[list[Row], Row | None]:
        return page_rows(
            visits,
            self.language,
            by_title=self.method == "Actions.getPageTitles",
            flat=self.filters.flat,
            several_days=several_days,
            # Matomo drops them only from answers that nobody cut to columns of his choice.
            sums=bool(self.filters.show or self.filters.hide),
            truncate=self.filters.truncate,
        )
