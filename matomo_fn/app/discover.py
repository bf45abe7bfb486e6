"""What a Matomo can report: every report of an instance, and the configuration that makes a table of one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from matomo_fn.app.wiring import make_client, read_credentials
from matomo_fn.catalogue import Column, Table
from matomo_fn.catalogue.custom import ReportMetadata, ReportSpec, custom_table, spec_of
from matomo_fn.config.connector import Connector
from matomo_fn.config.custom_reports import CustomReportConfig, is_report
from matomo_fn.config.settings import Settings
from matomo_fn.config.validation import read_model, suggestion
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, MatomoError, MatomoFatal, ReportRefused
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sites import Site

# Days that a report is read of to see its columns: the newest week, then longer, where that has no row.
_SAMPLE_DAYS = (7, 31)
# Sites whose reports are listed: one call each.
_MOST_SITES = 50
_SAMPLE_ROWS = 3
# Characters of a value that a sample row shows.
_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class DiscoveredColumn:
    """A column that a report's table would have; ``identifier``: it identifies a row."""

    field: str
    column: Column
    identifier: bool

    def as_dict(self) -> dict[str, Any]:
        """Return the column as JSON has it."""
        return {
            "field": self.field,
            "column": self.column.name,
            "type": self.column.type_name,
            "identifier": self.identifier,
            "description": self.column.description,
        }


@dataclass(frozen=True, slots=True)
class Discovered:
    """A report: what Matomo says of it, the table it would be, and the sites that have it.

    ``columns`` and ``rows`` are those of its newest answers; None where they were not requested. ``problem``: why they
    are not known.
    """

    spec: ReportSpec
    table: Table
    metadata: ReportMetadata | None
    sites: tuple[str, ...]
    columns: tuple[DiscoveredColumn, ...] | None = None
    rows: tuple[Mapping[str, Any], ...] = ()
    problem: str = ""

    @property
    def metrics(self) -> list[str]:
        """The metrics that Matomo's metadata names."""
        return self.metadata.metric_names if self.metadata else []

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it."""
        found: dict[str, Any] = {
            "report": self.spec.method,
            "parameters": dict(self.spec.params),
            "name": self.metadata.title if self.metadata else self.spec.method,
            "category": self.metadata.category if self.metadata else "",
            "dimension": self.metadata.dimension if self.metadata else "",
            "metrics": self.metrics,
            "table": self.table.name,
            "sites": list(self.sites),
        }
        if self.columns is not None:
            found["columns"] = [column.as_dict() for column in self.columns]
        return found | ({"problem": self.problem} if self.problem else {})

    @property
    def configuration(self) -> dict[str, Any]:
        """The entry of ``custom_reports`` that makes this very table."""
        entry: dict[str, Any] = {"report": self.spec.method, "name": self.table.name}
        if self.spec.params:
            entry["parameters"] = dict(self.spec.params)
        if self.spec.is_flat:
            entry["flat"] = True
        schema = {column.field: _schema_entry(column) for column in self.columns or () if not column.column.fields}
        return entry | ({"schema": schema} if schema else {})


def discover_reports(
    settings: Settings,
    name: str,
    *,
    report: str | None = None,
    parameters: Mapping[str, str] | None = None,
    columns: bool = False,
) -> list[Discovered]:
    """Return the reports that a connector's Matomo has, of all sites that the connector syncs.

    With ``report`` that one alone, with its columns and sample rows. Raises InputError where there is no such report.
    """
    credentials = read_credentials(settings, name)
    client = make_client(credentials, Deadline(), attempts=2)
    discovery = Discovery(client, credentials.connector, datetime.now(UTC))
    if report is None:
        found = discovery.every()
        return [discovery.with_columns(each) for each in found] if columns else found
    return [discovery.with_columns(discovery.one(report, parameters or {}), is_needed=True)]


class Discovery:
    """What is known of one Matomo, at one time of day."""

    def __init__(self, client: MatomoClient, connector: Connector, now: datetime) -> None:
        self._client = client
        self._now = now
        self._taken = connector.open_reports.taken
        visible = {site.id: site for site in client.sites() if not site.problem}
        wanted = [visible[site] for site in connector.sites.choose([*visible.values()]) if site in visible]
        if not wanted:
            raise InputError("the token's user may see none of the connector's sites: give it view access in Matomo")
        self._sites = {site.id: site for site in wanted[:_MOST_SITES]}
        self._reports = {site: client.report_metadata(site) for site in self._sites}

    def every(self) -> list[Discovered]:
        """Return every report, in Matomo's order."""
        sites: dict[ReportSpec, list[str]] = {}
        metadata: dict[ReportSpec, ReportMetadata] = {}
        for site, reports in self._reports.items():
            for report in (report for report in reports if is_report(report.method, report.params)):
                spec = spec_of(report)
                metadata.setdefault(spec, report)
                sites.setdefault(spec, []).append(site)
        return [
            Discovered(spec, custom_table(spec, self._taken, report), report, tuple(sites[spec]))
            for spec, report in metadata.items()
        ]

    def one(self, method: str, parameters: Mapping[str, str]) -> Discovered:
        """Return one report; raise InputError where Matomo has no such report."""
        given = {key: value for key, value in parameters.items() if key != "flat"}
        flat = {"flat": parameters["flat"]} if "flat" in parameters else {}
        spec = read_model(CustomReportConfig, {"report": method, "parameters": given, **flat}, "report").spec
        sites = [site for site, reports in self._reports.items() if spec.metadata_in(reports)]
        if sites:
            metadata = spec.metadata_in(self._reports[sites[0]])
            return Discovered(spec, custom_table(spec, self._taken, metadata), metadata, tuple(sites))
        known = {each.method: each for reports in self._reports.values() for each in reports}
        if method in known:
            needed = ", ".join(f"--parameter {key}={value}" for key, value in known[method].params)
            raise InputError(f"{method} needs parameters, such as {needed}")
        is_one_row = self._is_one_row(spec, method, known)
        return Discovered(spec, custom_table(spec, self._taken, is_one_row=is_one_row), None, tuple(self._sites))

    def _is_one_row(self, spec: ReportSpec, method: str, known: Iterable[str]) -> bool:
        """Return whether a method that is not among the reports answers one row a day, by asking it."""
        site = next(iter(self._sites.values()))
        try:
            answers = self._sample(custom_table(spec, self._taken), site, _SAMPLE_DAYS[0])
        except ReportRefused as error:
            raise InputError(f"Matomo has no report {method} ({error}): {suggestion(method, known)}") from None
        return not any(isinstance(answer, list) and answer for answer in answers)

    def with_columns(self, found: Discovered, *, is_needed: bool = False) -> Discovered:
        """Return a report with the columns and newest rows of the first site that has any.

        ``is_needed``: raise what keeps them from being known, in place of noting it.
        """
        columns = OpenColumns(found.table, {})
        rows: list[Mapping[str, Any]] = []
        problem = ""
        try:
            for site, days in ((site, days) for days in _SAMPLE_DAYS for site in found.sites):
                rows = self._rows(columns, self._sites[site], days)
                if rows:
                    break
        except MatomoFatal:
            raise
        except MatomoError as error:
            if is_needed:
                raise
            problem = str(error)
        return replace(found, columns=_columns(columns.table), rows=tuple(rows), problem=problem)

    def _rows(self, columns: OpenColumns, site: Site, days: int) -> list[Mapping[str, Any]]:
        """Return the newest rows of a site, and learn the columns of all."""
        table = columns.table
        rows: list[Mapping[str, Any]] = []
        for answer in self._sample(table, site, days):
            rows += [json.loads(line) for line in columns.parse([(table.sources[0], answer)]).lines]
        return rows[:_SAMPLE_ROWS]

    def _sample(self, table: Table, site: Site, days: int) -> list[object]:
        """Return a report's answers for some days, the newest first."""
        yesterday = max(site.today(self._now) - ONE_DAY, site.created)
        wanted = Days.between(max(site.created, yesterday - timedelta(days=days - 1)), yesterday)
        answers = self._client.report(table.sources[0], site.id, wanted, table.period).days
        for answer in answers.values():
            if isinstance(answer, MatomoError):
                raise answer
        return [answers[day] for day in sorted(answers, reverse=True) if answers[day] != []]


def _columns(table: Table) -> tuple[DiscoveredColumn, ...]:
    keys = table.dimensions[: table.key_dimensions]
    return tuple(
        DiscoveredColumn(column.source, column, column in keys) for column in (*table.dimensions, *table.metrics)
    )


def _schema_entry(found: DiscoveredColumn) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": str(found.column.type)}
    if found.identifier:
        entry["identifier"] = True
    if found.column.name != found.field:
        entry["name"] = found.column.name
    description = found.column.description.removesuffix(f"Matomo's {found.field}.").rstrip()
    return entry | ({"description": description} if description else {})


def shown_row(row: Mapping[str, Any]) -> str:
    """Return a sample row as a line of JSON, long values cut."""
    cut = {
        key: f"{value[:_LONGEST_VALUE]}…" if isinstance(value, str) and len(value) > _LONGEST_VALUE else value
        for key, value in row.items()
    }
    return json.dumps(cut, ensure_ascii=False)


def site_count(found: Sequence[Discovered]) -> int:
    """Return how many sites have any of the reports."""
    return len({site for report in found for site in report.sites})
