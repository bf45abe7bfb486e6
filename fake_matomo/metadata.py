"""The metadata and recorded rows of every report (`reports.json`), and `API.getReportMetadata`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from fake_matomo.sites import CUSTOM_DIMENSIONS, Goal, Site
from fake_matomo.tallies import Row

_FILE = Path(__file__).with_name("reports.json")
_GRAPH_DAYS = 30
_SHOP = "Ecommerce"
# The recorded goal whose entries are used for every goal of a site, and its recorded name.
_GOAL, _GOAL_NAME = 1, "Newsletter sign-up"
# Values of `idGoal` that are not a goal's id: orders, abandoned carts, and the overview.
_KINDS = frozenset({"ecommerceOrder", "ecommerceAbandonedCart", "0"})


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a report's rows: its JSON types, such as `int/str`, and whether every row has it."""

    name: str
    types: str
    always: bool


@dataclass(frozen=True, slots=True)
class Report:
    """A report: its metadata, the fields of its rows, and recorded values of its dimension."""

    method: str
    parameters: Mapping[str, str]
    metadata: Row
    # The type of each metric by its name: number, money, percent, duration_s.
    metrics: Mapping[str, str]
    fields: tuple[Field, ...]
    flat_fields: tuple[Field, ...]
    values: tuple[Row, ...]

    @property
    def dimension(self) -> str | None:
        """The dimension's name; None for a one-row report."""
        name = self.metadata.get("dimension")
        return str(name) if name else None

    @property
    def constant_rows(self) -> bool:
        """Whether every answer has the same rows in the same order."""
        return bool(self.metadata.get("constantRowsCount"))

    @property
    def sort_column(self) -> str:
        """The column that rows are sorted by: the first metric."""
        return next(name for name in self.metrics if name != "label")


def parameters_of(entry: Row) -> Mapping[str, object]:
    """Return the parameters of an entry of `API.getReportMetadata`, such as `idGoal`."""
    parameters = entry.get("parameters")
    return parameters if isinstance(parameters, dict) else {}


@cache
def recorded_reports() -> tuple[Report, ...]:
    """Return every report of a site with a shop, in Matomo's order."""
    reports = tuple(_report(entry) for entry in json.loads(_FILE.read_text("utf-8")))
    (searches,) = (report for report in reports if report.method == "Actions.getSiteSearchKeywords")
    # The recorded site found something in every search. Both reports are made from the same table.
    return tuple(
        replace(report, fields=searches.fields) if report.method == "Actions.getSiteSearchNoResultKeywords" else report
        for report in reports
    )


def _report(entry: Mapping[str, Any]) -> Report:
    metadata = entry["metadata"]
    return Report(
        method=f"{metadata['module']}.{metadata['action']}",
        parameters={key: str(value) for key, value in parameters_of(metadata).items()},
        metadata=metadata,
        metrics=metadata["metricTypes"],
        fields=tuple(Field(*one) for one in entry["row"]) or _assumed(metadata),
        flat_fields=tuple(Field(*one) for one in entry["flat"]),
        values=tuple(entry["values"]),
    )


def _assumed(metadata: Mapping[str, Any]) -> tuple[Field, ...]:
    """Return the fields of a report without recorded rows: its label, and the metrics of its metadata."""
    types = metadata["metricTypes"]
    return (
        Field("label", "str", always=True),
        *(Field(name, "int" if kind == "number" else "float/int", always=True) for name, kind in types.items()),
        Field("segment", "str", always=False),
    )


class Metadata:
    """The reports of the instance. Thread-safe."""

    def __init__(self) -> None:
        self._reports = recorded_reports()

    def add(self, entry: Mapping[str, Any]) -> None:
        """Add a report, such as a plugin's, from its entry in `API.getReportMetadata`."""
        kept = {key: None if key.startswith("imageGraph") else value for key, value in entry.items()}
        self._reports += (_report({"metadata": kept, "row": (), "flat": (), "values": ()}),)

    def knows(self, method: str) -> bool:
        """Whether there is such a report."""
        return any(report.method == method for report in self._reports)

    def has_plugin(self, plugin: str) -> bool:
        """Whether the plugin has a report."""
        return any(report.metadata["module"] == plugin for report in self._reports)

    def find(self, method: str, params: Mapping[str, str]) -> Report:
        """Return the report of a method and its parameters; all goals of a site are like the recorded one."""
        found = [report for report in self._reports if report.method == method]
        goal = params.get("idGoal")
        for report in found:
            wanted = report.parameters.get("idGoal")
            if wanted is not None and goal and (goal == wanted or (goal not in _KINDS and wanted == str(_GOAL))):
                return report
            dimension = report.parameters.get("idDimension")
            if dimension is not None and dimension == params.get("idDimension"):
                return report
        return next((report for report in found if not report.parameters), found[0])

    def described(self, site: Site, today: date, token: str, *, with_documentation: bool = True) -> list[Row]:
        """Return the entries of `API.getReportMetadata`; their graph URLs contain the caller's token, as in Matomo."""
        entries = [_drawn(entry, site, today, token) for entry in self._entries(site)]
        if not with_documentation:
            for entry in entries:
                entry.pop("metricsDocumentation", None)
        return entries

    def _entries(self, site: Site) -> Iterator[Row]:
        """Return the site's entries, with those of its shop, goals and custom dimensions."""
        per_goal: list[Row] = []
        for report in self._reports:
            entry, goal = report.metadata, report.parameters.get("idGoal")
            if entry["category"] == _SHOP and not site.ecommerce:
                continue
            dimension = report.parameters.get("idDimension")
            if dimension is not None and dimension not in active_dimensions(site):
                continue
            if goal is None or goal in _KINDS:
                if per_goal and goal is None:
                    yield from _of_goals(per_goal, site.goals)
                    per_goal = []
                yield entry
            elif goal == str(_GOAL):
                per_goal.append(entry)
        yield from _of_goals(per_goal, site.goals)


def _of_goals(entries: list[Row], goals: tuple[Goal, ...]) -> Iterator[Row]:
    for goal in goals:
        for entry in entries:
            yield {
                **entry,
                "name": str(entry["name"]).replace(_GOAL_NAME, goal.name),
                "parameters": {"idGoal": goal.id},
                "uniqueId": str(entry["uniqueId"]).replace(f"--{_GOAL}", f"--{goal.id}"),
            }


def active_dimensions(site: Site) -> frozenset[str]:
    """Return the ids of the site's active custom dimensions."""
    return frozenset(
        str(one["idcustomdimension"]) for one in CUSTOM_DIMENSIONS if one["active"] and site.has_custom_dimensions
    )


def _drawn(entry: Row, site: Site, today: date, token: str) -> Row:
    month = f"{today - timedelta(days=_GRAPH_DAYS - 1)},{today}"
    extra = "".join(f"&{key}={value}" for key, value in parameters_of(entry).items())
    url = (
        f"index.php?module=API&method=ImageGraph.get&idSite={site.id}&apiModule={entry['module']}"
        f"&apiAction={entry['action']}&token_auth={token}{extra}&period=day&date="
    )
    made = dict(entry)
    made["imageGraphUrl"] = url + ("today" if entry.get("dimension") else month)
    if "imageGraphEvolutionUrl" in entry:
        made["imageGraphEvolutionUrl"] = url + month
    return made
