"""The tables of reports that are not built in: found at the start of a run by what Matomo says of them, in one place.

One call of Matomo's metadata is enough for the reports that a configuration names, as a rule: that of the first site.
``"reports": "all"`` takes one for each site, since a site has the reports of its goals, its shop and its dimensions.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date

from matomo_fn.catalogue import Catalogue, Table
from matomo_fn.catalogue.custom import NOT_DAILY, ReportMetadata, ReportSpec, custom_table, spec_of, with_columns
from matomo_fn.config.connector import Connector
from matomo_fn.config.custom_reports import is_report
from matomo_fn.config.periods import with_periods
from matomo_fn.errors import MatomoError, MatomoFatal, ReportRefused
from matomo_fn.json_codec import UnreadRows
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.periods import LONGER
from matomo_fn.sites import Site
from matomo_fn.warehouse.protocol import Warehouse

# Sites whose metadata is looked at for a report that the first one does not have.
_MOST_SITES = 10


@dataclass(frozen=True, slots=True)
class FoundTables:
    """The tables of a connector, with what Matomo says of them.

    ``problems``: a sentence for each table that cannot be filled. ``notes``: reports that are left out, and why.
    """

    tables: Catalogue
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def find_tables(
    client: MatomoClient, connector: Connector, sites: Mapping[Site, date], wanted: Collection[str] | None
) -> FoundTables:
    """Return the tables of a connector, of them the ``wanted`` ones (all where None).

    ``sites`` with their last days.
    """
    wanted_with_periods = wanted
    if wanted is not None:  # a table of longer periods is made of that of days
        wanted = {name.removesuffix(f"_{period}") for name in wanted for period in ("", *LONGER)} | set(wanted)
    found = _find_own_tables(client, connector, sites, wanted)
    tables = with_periods(found.tables, connector.periods)
    return replace(found, tables=tables if wanted_with_periods is None else tables.select(wanted_with_periods))


def _find_own_tables(
    client: MatomoClient, connector: Connector, sites: Mapping[Site, date], wanted: Collection[str] | None
) -> FoundTables:
    """Return the tables without those that ``periods`` adds."""
    known = connector.own_catalogue
    built_in = [table.among(sites) for table in known.values() if table.open is None]
    reports = connector.open_reports
    specs = [
        (name, spec)
        for name, spec in zip(reports.names, reports.specs, strict=True)
        if wanted is None or name in wanted
    ]
    every = reports.every and (wanted is None or not set(wanted) <= set(known))
    chosen = [table for table in built_in if wanted is None or table.name in wanted]
    if not sites or not (specs or every):
        return FoundTables(Catalogue([*chosen, *(known[name] for name, _ in specs)]))
    metadata = _Metadata(client, sites)
    tables: list[Table] = []
    problems: list[str] = []
    notes: list[str] = []
    for name, spec in specs:
        try:
            tables.append(_table(client, spec, metadata, reports.taken))
        except MatomoFatal:
            raise
        except MatomoError as error:
            problems.append(f"table {name}: {error}")
    if every:
        names = {table.name for table in (*built_in, *tables)}
        more, notes = _every_table(metadata, reports.taken)
        tables += [table for table in more if table.name not in names and (wanted is None or table.name in wanted)]
    return FoundTables(Catalogue([*chosen, *tables]), tuple(problems), tuple(notes))


def tables_as_found(warehouse: Warehouse, tables: Catalogue) -> Catalogue:
    """Return tables with the columns by which the rows of open ones are told apart in the warehouse."""
    return Catalogue(_as_found(warehouse, table) for table in tables.values())


def _as_found(warehouse: Warehouse, table: Table) -> Table:
    found = warehouse.find_table(table.name) if table.open is not None else None
    return table if found is None else with_columns(table, [column.name for column in found.columns])


class _Metadata:
    """What Matomo says of the reports of some sites, each requested once."""

    def __init__(self, client: MatomoClient, sites: Mapping[Site, date]) -> None:
        self._client = client
        self.sites = list(sites)
        self.days = sites
        self._found: dict[str, list[ReportMetadata] | MatomoError] = {}

    def of(self, site: Site) -> list[ReportMetadata]:
        """Return the reports of a site."""
        if site.id not in self._found:
            try:
                self._found[site.id] = self._client.report_metadata(site.id)
            except MatomoFatal:
                raise
            except MatomoError as error:
                self._found[site.id] = error
        found = self._found[site.id]
        if isinstance(found, MatomoError):
            raise found
        return found

    def of_some(self) -> Iterable[list[ReportMetadata]]:
        """Yield the reports of the first sites, one by one."""
        for site in self.sites[:_MOST_SITES]:
            yield self.of(site)


def _table(client: MatomoClient, spec: ReportSpec, metadata: _Metadata, taken: Collection[str]) -> Table:
    """Return the table of a report; raise ReportRefused where no site has it."""
    needed = []
    for reports in metadata.of_some():
        found = spec.metadata_in(reports)
        if found is not None:
            return custom_table(spec, taken, found)
        needed += [each for each in reports if each.method == spec.method]
    if needed:
        raise ReportRefused(
            f"{spec.method} needs parameters: set them, such as "
            + " or ".join(f'"parameters": {_shown(each)} ({each.title})' for each in needed[:3])
        )
    return custom_table(spec, taken, is_one_row=_is_one_row(client, spec, metadata, taken))


def _is_one_row(client: MatomoClient, spec: ReportSpec, metadata: _Metadata, taken: Collection[str]) -> bool:
    """Return whether a method that is not among the reports answers one row a day, by asking it.

    Such as a report that another plugin has replaced, or one of a sub table. Where the day has nothing, the name tells.
    """
    table = custom_table(spec, taken)
    site = metadata.sites[0]
    day = table.period.first_day(metadata.days[site])
    answer = client.report(table.sources[0], site.id, table.period.covered([day]), table.period).days[day]
    if isinstance(answer, MatomoError):
        raise answer
    if answer == []:
        return spec.method.endswith(".get")
    return not isinstance(answer, list | UnreadRows)


def _every_table(metadata: _Metadata, taken: Collection[str]) -> tuple[list[Table], list[str]]:
    """Return a table for each report of each site, and sentences about those that are left out."""
    sites_of: dict[ReportSpec, list[str]] = {}
    found: dict[ReportSpec, ReportMetadata] = {}
    left_out: dict[str, str] = {}
    for site in metadata.sites:
        for report in metadata.of(site):
            if report.method in NOT_DAILY:
                left_out[report.method] = NOT_DAILY[report.method]
                continue
            if not is_report(report.method, report.params):
                left_out[report.method] = "no report has such a name or such parameters"
                continue
            spec = spec_of(report)
            found.setdefault(spec, report)
            sites_of.setdefault(spec, []).append(site.id)
    everywhere = len(metadata.sites)
    tables = {}
    for spec, report in found.items():
        sites = None if len(sites_of[spec]) == everywhere else frozenset(sites_of[spec])
        table = custom_table(spec, taken, report, sites=sites)
        if table.name in tables:
            left_out[f"{spec.method} {dict(spec.params)}"] = f"its table would be {table.name}, which another one is"
        else:
            tables[table.name] = table
    return list(tables.values()), [f"{name} is left out: {reason}" for name, reason in left_out.items()]


def _shown(report: ReportMetadata) -> str:
    return "{" + ", ".join(f'"{key}": "{value}"' for key, value in report.params) + "}"
