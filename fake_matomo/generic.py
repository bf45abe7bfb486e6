"""Reports that have no model, answered from their metadata."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from fake_matomo.dimensions import Context, constant_values, values_of
from fake_matomo.errors import missing, no_custom_dimension
from fake_matomo.events import EVENTS, event_rows
from fake_matomo.filters import METADATA, Filters, Style, finish_rows
from fake_matomo.groups import Group, Value
from fake_matomo.items import ITEMS, item_rows
from fake_matomo.language import Language
from fake_matomo.metadata import Report, active_dimensions
from fake_matomo.pagerows import CHOSEN_PAGES, chosen_pages, page_rows
from fake_matomo.sites import CUSTOM_DIMENSIONS, Site
from fake_matomo.tallies import Row
from fake_matomo.visits import Visit

_CUSTOM_DIMENSION = "CustomDimensions.getCustomDimension"


@dataclass(frozen=True, slots=True)
class Generic:
    """A request for a report of a site."""

    report: Report
    site: Site
    filters: Filters
    language: Language
    goal: str | None
    seed: int

    @property
    def style(self) -> Style:
        """How rows are sorted, cut and formatted."""
        report = self.report
        names = {field.name for field in (*report.fields, *report.flat_fields)} | report.metrics.keys()
        kinds = report.metrics
        fields = {key for row in report.values for key in row} - {"label", "weight"}
        amounts = {name for name in names if name.startswith("revenue") and "revenue" in kinds}
        return Style(
            sort_column=None if report.constant_rows else report.sort_column if report.dimension else "nb_visits",
            metadata=METADATA | fields | {self.flat_column},
            percents=frozenset(name for name in names if _is_percentage(name, kinds)),
            money=frozenset(name for name in names if name.startswith(("avg_price", "avg_order_revenue"))),
            all_money=frozenset(amounts),
            currency=self.site.currency_symbol,
        )

    @property
    def flat_column(self) -> str:
        """The column that `flat=1` adds, named after module and dimension where no recording shows another name."""
        words = (self.report.dimension or "").title()
        return f"{self.report.metadata['module']}_{''.join(filter(str.isalnum, words))}"

    def table(self, visits: Sequence[Visit], day: date, *, several_days: bool) -> list[Row]:
        """Return the rows of a period, filtered and formatted."""
        if not visits:
            return []
        method, flat = self.report.method, self.filters.flat
        others: Row | None = None
        if method in EVENTS:
            rows = event_rows(method, visits, flat=flat, several_days=several_days)
        elif method in ITEMS:
            rows = item_rows(method, visits, several_days=several_days)
        elif method in CHOSEN_PAGES:
            rows, others = self._pages(visits, several_days=several_days)
        else:
            rows, others = self._groups(visits, day, several_days=several_days)
        return finish_rows(rows, others, self.filters, self.language, self.style)

    def _pages(self, visits: Sequence[Visit], *, several_days: bool) -> tuple[list[Row], Row | None]:
        filters = self.filters
        rows, others = page_rows(
            visits,
            self.language,
            by_title="Titles" in self.report.method,
            flat=filters.flat,
            several_days=several_days,
            sums=bool(filters.show or filters.hide),
            truncate=filters.truncate,
        )
        return chosen_pages(self.report.method, rows), others

    def _groups(self, visits: Sequence[Visit], day: date, *, several_days: bool) -> tuple[list[Row], Row | None]:
        report, filters = self.report, self.filters
        flat_recorded = filters.flat and bool(report.flat_fields)
        context = Context(report, self.site, self.language, self.goal, self.seed, flat_recorded)
        groups = {value.label: Group(value) for value in constant_values(context, day)}
        for visit in visits:
            for value, action, source in values_of(visit, context):
                groups.setdefault(value.label, Group(value)).add(visit, action, source)
        fields = report.flat_fields if flat_recorded else report.fields

        def row(group: Group) -> Row:
            made = group.row(fields, report, all_visits=len(visits), several_days=several_days)
            if filters.flat:
                made.pop("idsubdatatable", None)
                if not flat_recorded:
                    made[self.flat_column] = group.value.label
            return made

        found = list(groups.values())
        limit = filters.truncate
        if limit is None or not 0 <= limit < len(found):
            return [row(group) for group in found], None
        found.sort(key=lambda group: (-group.tally.visits, group.value.label))
        merged = Group(Value(self.language.others))
        for group in found[limit:]:
            merged.merge(group)
        return [row(group) for group in found[:limit]], row(merged)


def _is_percentage(name: str, kinds: Mapping[str, str]) -> bool:
    named = name.startswith(("bounce_rate", "exit_rate", "conversion_rate", "interaction_rate"))
    return named or kinds.get(name) == "percent" or name.endswith(("_percent", "_percentage", "_evolution"))


def check_dimension(report: Report, site: Site, number: str | None) -> None:
    """Refuse a report of a custom dimension that the site does not have.

    :raises ApiError: no id was given, or the dimension does not exist or is not active.
    """
    if report.method != _CUSTOM_DIMENSION:
        return
    if not number:
        raise missing("idDimension")
    if number in active_dimensions(site):
        return
    known = site.has_custom_dimensions and any(one["idcustomdimension"] == number for one in CUSTOM_DIMENSIONS)
    raise no_custom_dimension(number, site.id, known=known)
