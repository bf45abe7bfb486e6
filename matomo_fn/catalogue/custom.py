"""Tables of reports that the program does not know: from what the configuration and Matomo's metadata say of them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from matomo_fn.catalogue.fields import FURTHER_IDENTIFIERS, GOALS, declared_type, is_flat_dimension
from matomo_fn.catalogue.model import IS_OTHERS, Catalogue, Column, ColumnType, OpenFields, Source, Table
from matomo_fn.catalogue.naming import column_name, table_name
from matomo_fn.periods import Period
from matomo_fn.values import printable

# Methods that refuse ranges of days (recordings days_Referrers.getAll, days_VisitTime.getByDayOfWeek), and those whose
# shares are of the visits of all days of the answer.
_SINGLE_DAYS = frozenset(
    {
        "API.get",
        "MultiSites.getAll",
        "MultiSites.getOne",
        "Referrers.get",
        "Referrers.getAll",
        "VisitTime.getByDayOfWeek",
    }
)
# Reports of one row, of which the metadata names a dimension all the same.
_ONE_ROW = frozenset({"MultiSites.getOne"})
_SHARE = re.compile(r".*_percent(age)?")
# What identifies a row beside its label: pages of two hosts have the same path as their label, a region's name stands
# in two countries, the same keyword is searched for and paid for.
_URL = ("url",)
_IDENTIFIERS: Mapping[str, tuple[str, ...]] = {
    "Actions.getDownloads": _URL,
    "Actions.getEntryPageUrls": _URL,
    "Actions.getExitPageUrls": _URL,
    "Actions.getOutlinks": _URL,
    "Actions.getPageUrls": _URL,
    "Actions.getPageUrlsFollowingSiteSearch": _URL,
    "CustomDimensions.getCustomDimension": _URL,
    "MultiSites.getAll": ("idsite",),
    "Referrers.getAll": ("referer_type",),
    "UserCountry.getCity": ("region", "country", "city_name"),
    "UserCountry.getRegion": ("region", "country"),
}
# Reports that `"reports": "all"` leaves out, with the reason.
NOT_DAILY: Mapping[str, str] = {
    "MultiSites.getAll": "it lists all sites at once, so each site would have the rows of all",
    "MultiSites.getOne": "it compares a day with the one before, by what VisitsSummary.get and Actions.get have",
    "VisitTime.getByDayOfWeek": "a single day is one day of the week",
}
# Characters of a column's description in BigQuery.
_LONGEST_DESCRIPTION = 1_024
# Characters of a field's name that a description repeats.
_LONGEST_FIELD = 100


@dataclass(frozen=True, slots=True)
class Metric:
    """What Matomo's metadata says of a metric; ``kind`` is number, money, percent or duration_s."""

    name: str
    title: str
    documentation: str = ""
    kind: str = ""
    is_processed: bool = False


@dataclass(frozen=True, slots=True)
class ReportMetadata:
    """What Matomo's metadata says of a report; ``dimension`` is empty for a report of one row."""

    method: str
    params: tuple[tuple[str, str], ...]
    title: str
    category: str
    dimension: str
    documentation: str = ""
    metrics: tuple[Metric, ...] = ()

    @property
    def metric_names(self) -> list[str]:
        """The metrics' fields."""
        return [metric.name for metric in self.metrics]


@dataclass(frozen=True, slots=True)
class ReportSpec:
    """A report as the configuration describes it.

    ``name``: the table; derived where it is empty. ``fields``: the only ones that are taken; all where empty.
    ``declared``: columns whose types the configuration says; ``named``: field, column and description of those that it
    calls or describes otherwise; ``identifiers``: the fields that identify a row.
    ``days``: of a rolling period. ``segments``: the names of the table's own; None for the connector's.
    """

    method: str
    name: str = ""
    params: tuple[tuple[str, str], ...] = ()
    is_flat: bool = False
    fields: tuple[str, ...] = ()
    declared: tuple[Column, ...] = ()
    named: tuple[tuple[str, str, str], ...] = ()
    identifiers: tuple[str, ...] = ()
    description: str = ""
    period: str = "day"
    days: int | None = None
    segments: tuple[str, ...] | None = None

    def table_name(self, taken: Iterable[str]) -> str:
        """Return the table's name; a derived one that a built-in table has gets ``custom_`` in front."""
        if self.name:
            return self.name
        name = table_name(self.method, self.params, self.period)
        return f"custom_{name}" if name in set(taken) else name

    def metadata_in(self, reports: Iterable[ReportMetadata]) -> ReportMetadata | None:
        """Return the metadata of this report: that of its method with most of its parameters."""
        found = [each for each in reports if each.method == self.method and set(each.params) <= set(self.params)]
        return max(found, key=lambda each: len(each.params), default=None)


@dataclass(frozen=True, slots=True)
class Reports:
    """The reports that a configuration asks for beside the tables that are built in; ``every``: all that Matomo has."""

    specs: tuple[ReportSpec, ...] = ()
    every: bool = False
    taken: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tables that are known without Matomo's metadata."""
        return tuple(spec.table_name(self.taken) for spec in self.specs)

    @property
    def tables(self) -> Catalogue:
        """The tables as far as they are known without Matomo's metadata."""
        return Catalogue(custom_table(spec, self.taken) for spec in self.specs)


def custom_table(
    spec: ReportSpec,
    taken: Iterable[str] = (),
    metadata: ReportMetadata | None = None,
    *,
    is_one_row: bool = False,
    sites: frozenset[str] | None = None,
) -> Table:
    """Return the table of a report, without the columns that its answers will bring.

    ``taken``: names of built-in tables. ``is_one_row``: what to believe where there is no metadata.
    """
    if metadata is not None:
        is_one_row = not metadata.dimension or spec.method in _ONE_ROW
    identifiers = spec.identifiers or (() if is_one_row else ("label", *_IDENTIFIERS.get(spec.method, ())))
    described = _described(metadata) if metadata else ()
    fields = OpenFields(
        _taken(spec, identifiers),
        tuple(_documented(column, described) for column in spec.declared),
        spec.named,
        described,
        identifiers,
        bool(spec.identifiers),
        is_one_row,
        spec.is_flat,
        _zeros(metadata, spec) if metadata and is_one_row else (),
    )
    return Table(
        spec.table_name(taken),
        spec.description or _description(spec, metadata),
        (Source(spec.method, _params(spec, is_one_row=is_one_row), ranges=_takes_ranges(spec.method, metadata)),),
        tuple(column for column in fields.declared if column.source not in identifiers),
        open=fields,
        dimensions=_dimensions(fields),
        key_dimensions=len(identifiers) if fields.is_chosen else min(1, len(identifiers)),
        period=Period.rolling(spec.days) if spec.days else Period(spec.period),
        sites=sites,
        segments=spec.segments,
    )


def _documented(column: Column, described: Iterable[Column]) -> Column:
    """Return a column of the configuration, with Matomo's text where it has none of its own."""
    found = next((each for each in described if each.source == column.source), None)
    if found is None or column.description != f"Matomo's {column.source}.":
        return column
    return replace(column, description=found.description)


def _dimensions(fields: OpenFields) -> tuple[Column, ...]:
    """Return the columns that identify a row, as far as they are known: those chosen, or the label alone."""
    names = fields.identifiers if fields.is_chosen else fields.identifiers[:1]
    return tuple(new_column(fields, name) for name in names)


def spec_of(metadata: ReportMetadata) -> ReportSpec:
    """Return the report of an entry of Matomo's metadata as a configuration would describe it."""
    return ReportSpec(metadata.method, params=metadata.params)


def new_column(fields: OpenFields, name: str) -> Column:
    """Return the column of a field, as far as it is known without its values: the type is STRING where it is not."""
    for column in fields.declared:
        if column.source == name:
            return column
    origin = f"Matomo's {printable(name[:_LONGEST_FIELD])}."
    by_name = Column(column_name(name), declared_type(name) or ColumnType.STRING, origin, source=name)
    described = next((column for column in fields.described if column.source == name), by_name)
    column = GOALS if name == GOALS.source else described
    for known, called, description in fields.named:
        if known == name:
            text = f"{description} Matomo's {name}." if description else column.description
            return replace(column, name=called, description=text)
    return column


def with_columns(table: Table, names: Iterable[str]) -> Table:
    """Return an open table by the names of the columns that it has: closed, with those that may identify a row.

    These may be more than do, and two rows that are the same in them are the same row nevertheless.
    """
    if table.open is None:
        return table
    fields = table.open
    known = {new_column(fields, name).name.lower() for name in (*fields.identifiers, *FURTHER_IDENTIFIERS)}
    present = list(names)
    if IS_OTHERS.name not in present:
        return replace(table, open=None, dimensions=(), key_dimensions=0, metrics=())
    dimensions = tuple(
        Column(name, ColumnType.STRING, "") for name in present if name.lower() in known or is_flat_dimension(name)
    )
    return replace(table, open=None, dimensions=dimensions, key_dimensions=len(dimensions), metrics=())


def is_typed(fields: OpenFields, name: str) -> bool:
    """Return whether the type of a field is known without its values."""
    return declared_type(name) is not None or any(
        column.source == name for column in (*fields.declared, *fields.described)
    )


def _taken(spec: ReportSpec, identifiers: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*identifiers, *spec.fields))) if spec.fields else ()


def _params(spec: ReportSpec, *, is_one_row: bool) -> tuple[tuple[str, str], ...]:
    """Return a report's parameters; only the fields that are wanted, where that does not change the answer's shape.

    A report of one row with one field is answered as a bare number (recording days_one_column_VisitsSummary.get).
    """
    flat = (("flat", "1"),) if spec.is_flat else ()
    shown = (("showColumns", ",".join(spec.fields)),) if len(spec.fields) > (1 if is_one_row else 0) else ()
    return (*spec.params, *flat, *shown)


def _takes_ranges(method: str, metadata: ReportMetadata | None) -> bool:
    has_shares = metadata is not None and any(_SHARE.fullmatch(name) for name in metadata.metric_names)
    return method not in _SINGLE_DAYS and not has_shares


def _zeros(metadata: ReportMetadata, spec: ReportSpec) -> tuple[str, ...]:
    counters = [metric.name for metric in metadata.metrics if not metric.is_processed]
    return tuple(name for name in counters if not spec.fields or name in spec.fields)


def _described(metadata: ReportMetadata) -> tuple[Column, ...]:
    found = []
    if metadata.dimension:
        label = f"{metadata.dimension}. Matomo's label."
        found.append(Column("label", ColumnType.STRING, label, source="label"))
    for metric in metadata.metrics:
        # Matomo calls a ratio a number as well.
        whole = metric.kind == "number" and not metric.is_processed
        text = f"{metric.title}: {metric.documentation}" if metric.documentation else f"{metric.title}."
        source = f" Matomo's {printable(metric.name[:_LONGEST_FIELD])}."
        column = Column(
            column_name(metric.name),
            declared_type(metric.name) or (ColumnType.INT64 if whole else ColumnType.FLOAT64),
            f"{text[: _LONGEST_DESCRIPTION - len(source)]}{source}",
            source=metric.name,
        )
        found.append(column)
    return tuple(found)


def _description(spec: ReportSpec, metadata: ReportMetadata | None) -> str:
    call = f"Matomo's {spec.method}" + "".join(f", {key}={value}" for key, value in spec.params)
    if metadata is None:
        return f"{call}."
    documentation = f" {metadata.documentation}" if metadata.documentation else ""
    return f"{metadata.category}, {metadata.title}.{documentation} {call}."
