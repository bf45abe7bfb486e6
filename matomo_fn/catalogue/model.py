"""What a table is: its columns, the Matomo reports that fill them, and how these are extracted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from matomo_fn.periods import Period
from matomo_fn.sites import Site
from matomo_fn.slices import ALL_VISITS, Stream


class ColumnType(StrEnum):
    """The column types in use, by their GoogleSQL names."""

    STRING = "STRING"
    INT64 = "INT64"
    FLOAT64 = "FLOAT64"
    NUMERIC = "NUMERIC"
    BOOL = "BOOL"
    DATE = "DATE"
    TIME = "TIME"
    TIMESTAMP = "TIMESTAMP"
    JSON = "JSON"
    STRUCT = "STRUCT"


# The types that a column may get, so that every value that it has stays what it is:
# https://cloud.google.com/bigquery/docs/managing-table-schemas#change_a_columns_data_type
WIDER: Mapping[ColumnType, tuple[ColumnType, ...]] = {
    ColumnType.INT64: (ColumnType.NUMERIC, ColumnType.FLOAT64),
    ColumnType.NUMERIC: (ColumnType.FLOAT64,),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    ``source`` is Matomo's field, ``fallback`` the field taken where a row has no ``source``. ``absent`` is the
    value of a row that has neither: 0 for what is counted, None for averages, bounds and texts, '' for texts of a key.
    ``repeated``: the column is an array; ``fields``: those of a STRUCT.
    """

    name: str
    type: ColumnType
    description: str
    source: str = ""
    fallback: str = ""
    required: bool = False
    absent: int | str | None = None
    repeated: bool = False
    fields: tuple["Column", ...] = ()

    @property
    def type_name(self) -> str:
        """The column's type as GoogleSQL writes it, such as ARRAY<STRUCT<sku STRING, price FLOAT64>>."""
        name = str(self.type)
        if self.fields:
            name = f"STRUCT<{', '.join(f'{field.name} {field.type_name}' for field in self.fields)}>"
        return f"ARRAY<{name}>" if self.repeated else name


@dataclass(frozen=True, slots=True)
class Schema:
    """How a table stands in the warehouse; partitioned by its column ``date`` where ``partitioned``.

    ``require_partition_filter``: whether queries have to say which days they read. ``retention_days``: after how many
    days rows are deleted. None leaves either as it is.
    """

    name: str
    description: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    clustering: tuple[str, ...] = ()
    partitioned: bool = True
    require_partition_filter: bool | None = None
    retention_days: int | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True, slots=True)
class Source:
    """One Matomo API method, with what its requests need to fill a table.

    ``ranges``: the method answers ``period=day&date=START,END``; without it each day is requested alone.
    ``only``: rows whose field has that value are taken, the others ignored. ``constants``: columns with a fixed
    value for all rows of this source. ``since``: the first (major, minor) version of Matomo that has the method.
    ``by_goal``: not the rows are taken but what stands in their ``goals``, summed up over the rows: "goals" for a row
    each, or one of them as the only row, such as "ecommerceOrder".
    """

    method: str
    params: tuple[tuple[str, str], ...] = ()
    ranges: bool = True
    only: tuple[str, int] | None = None
    constants: tuple[tuple[str, str], ...] = ()
    since: tuple[int, int] = (0, 0)
    by_goal: str = ""

    @property
    def call(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What identifies the call: two sources with the same one share their answers."""
        return self.method, self.params


class Extraction(StrEnum):
    """How the slices of a table are extracted: from reports, or visit by visit from the visits log."""

    REPORTS = "reports"
    VISITS_LOG = "visits_log"


@dataclass(frozen=True, slots=True)
class View:
    """A view of one table.

    ``columns`` are (column, GoogleSQL expression) in the view's order. In the expressions ``t`` is a row of the
    table; where ``unnest`` is the expression of an array of it, the view has one row an element, ``e`` is the element
    and ``element_offset`` its position from 0. Where ``unnest_within`` is one of an array of that element, the view
    has one row for each of its elements ``i``, and ``item_offset`` is its position from 0. ``where`` is a condition on
    rows.
    """

    name: str
    description: str
    columns: tuple[tuple[Column, str], ...]
    unnest: str = ""
    unnest_within: str = ""
    where: str = ""

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of the columns, in order."""
        return tuple(column.name for column, _ in self.columns)

    @property
    def schema(self) -> Schema:
        """The view as the warehouse has it."""
        return Schema(self.name, self.description, tuple(column for column, _ in self.columns), partitioned=False)


@dataclass(frozen=True, slots=True)
class OpenFields:
    """How the fields of a report become columns, where its answers decide which there are, and not the program.

    ``taken``: the only fields that are taken; all where empty. ``declared``: columns that the configuration describes,
    whose types are never changed; ``named``: field, column and description of fields that it calls or describes
    otherwise. ``described``: what Matomo's metadata says of columns. ``identifiers``: the fields
    that identify a row, as far as a report has them. ``is_chosen``: the configuration chose them. ``zeros``: the
    counters of a report of one row, which are 0 on a day without visits. ``is_flat``: rows of sub tables are rows of
    the report, and columns name what they belong to.
    """

    taken: tuple[str, ...] = ()
    declared: tuple[Column, ...] = ()
    named: tuple[tuple[str, str, str], ...] = ()
    described: tuple[Column, ...] = ()
    identifiers: tuple[str, ...] = ("label",)
    is_chosen: bool = False
    is_one_row: bool = False
    is_flat: bool = False
    zeros: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the dataset: dimensions (with those of the key first), metrics, and where the rows come from.

    ``period``: what one slice covers. ``views``: views of the table. ``titles_from``: the table of visits whose
    actions give the pages of this one their ``page_title``. ``open``: columns are found in Matomo's answers; then
    ``dimensions`` and ``metrics`` are those known so far. ``sites``: the sites that have the report; None for all.
    ``segments``: the names of those that the table has rows of; None for the connector's. ``is_of_shops``: only sites
    with ecommerce have the report. ``is_optional``: where the plugin that has the report is switched off, the table is
    left out, which is no failure.
    """

    name: str
    description: str
    sources: tuple[Source, ...]
    metrics: tuple[Column, ...]
    dimensions: tuple[Column, ...] = ()
    key_dimensions: int = 1
    extraction: Extraction = Extraction.REPORTS
    period: Period = Period.DAY
    views: tuple[View, ...] = ()
    titles_from: str = ""
    open: OpenFields | None = None
    sites: frozenset[str] | None = None
    segments: tuple[str, ...] | None = None
    is_of_shops: bool = False
    is_optional: bool = False

    @property
    def is_log(self) -> bool:
        """Whether the rows are single visits: they have no segment, and no row limit cuts them."""
        return self.extraction is Extraction.VISITS_LOG

    @property
    def has_segment(self) -> bool:
        """Whether the table has rows for segments, and so the column ``segment``."""
        return not self.is_log

    @property
    def is_one_row(self) -> bool:
        """Whether a day has exactly one row (no dimensions, no "Others")."""
        return self.open.is_one_row if self.open else not self.dimensions

    def takes_segment(self, name: str) -> bool:
        """Return whether the table has rows of a segment of the connector, as far as it says so itself."""
        return self.has_segment and (self.segments is None or name in self.segments)

    def has_site(self, website_id: str) -> bool:
        """Return whether a site has the report."""
        return self.sites is None or website_id in self.sites

    @property
    def parsed(self) -> tuple[Column, ...]:
        """The columns that come out of Matomo's answer, in the table's order."""
        return (*self.dimensions, *self.metrics, *((IS_OTHERS,) if self.has_others else ()))

    @property
    def has_others(self) -> bool:
        """Whether a row can be Matomo's "Others"."""
        return not (self.is_one_row or self.is_log)

    def among(self, sites: Iterable[Site]) -> "Table":
        """Return the table with the sites among some that have the report, as far as their settings say so."""
        if not self.is_of_shops:
            return self
        return replace(
            self, sites=frozenset(site.id for site in sites if site.settings.get("ecommerce") not in (0, "0"))
        )

    def sources_of(self, version: tuple[int, int]) -> tuple[Source, ...]:
        """Return the sources that a (major, minor) version of Matomo has."""
        return tuple(source for source in self.sources if source.since <= version)

    @property
    def slice_columns(self) -> tuple[Column, ...]:
        """The columns that say which slice a row belongs to."""
        columns = (replace(SLICE_COLUMNS[0], description=_DATES[self.period.value]), *SLICE_COLUMNS[1:])
        return tuple(column for column in columns if self.has_segment or column.name != "segment")

    @property
    def columns(self) -> tuple[Column, ...]:
        """All columns, in the table's order."""
        return (*self.slice_columns, *self.parsed, *STAMP_COLUMNS)

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that identify a row.

        Matomo's "Others" is told from a row of that very name by ``_is_others`` alone, so it belongs to the key.
        """
        dimensions = tuple(column.name for column in self.dimensions[: self.key_dimensions])
        return (
            *(column.name for column in self.slice_columns),
            *dimensions,
            *((IS_OTHERS.name,) if self.has_others else ()),
        )

    @property
    def schema(self) -> Schema:
        """The table as the warehouse has it, clustered by the site and the leading dimension."""
        clustering = ("website_id", *(column.name for column in self.dimensions[:1]))
        return Schema(self.name, self.description, self.columns, self.key, clustering)

    def stream(self, website_id: str, segment: str = ALL_VISITS) -> Stream:
        """Return the stream of a site and segment in this table."""
        return Stream(self.name, website_id, segment, self.period)

    @property
    def staged(self) -> tuple[Column, ...]:
        """The columns that are loaded; the stamps are written by the merge."""
        return (*self.slice_columns, *self.parsed)


_DATES = {
    "day": "The site's day (in the site's time zone).",
    "week": "The first day of the week, a Monday (in the site's time zone).",
    "month": "The first day of the month (in the site's time zone).",
    "year": "The first day of the year (in the site's time zone).",
    "range": "The last day of the window (in the site's time zone).",
}
SLICE_COLUMNS = (
    Column("date", ColumnType.DATE, _DATES["day"], required=True),
    Column("website_id", ColumnType.STRING, "The site: Matomo's idSite.", required=True),
    Column(
        "segment",
        ColumnType.STRING,
        "The name of the segment; the empty string stands for all visits.",
        required=True,
    ),
)
IS_OTHERS = Column(
    "_is_others",
    ColumnType.BOOL,
    "The row is Matomo's \"Others\": the archive's row limit cut the report, and this row sums up the rows cut.",
    required=True,
)
STAMP_COLUMNS = (
    Column("_synced_at", ColumnType.TIMESTAMP, "When this slice (site, segment, day) was last written.", required=True),
    Column("_run_id", ColumnType.STRING, "The run that wrote the row; _sync_log tells more of it.", required=True),
)


class Catalogue(Mapping[str, Table]):
    """Tables by name, in the order in which they are shown: those of a connector, or all that are built in."""

    __slots__ = ("_tables",)

    def __init__(self, tables: Iterable[Table]) -> None:
        self._tables = {table.name: table for table in tables}

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def select(self, names: Iterable[str]) -> "Catalogue":
        """Return the tables of some names, in this catalogue's order."""
        wanted = set(names)
        return Catalogue(table for table in self._tables.values() if table.name in wanted)

    @property
    def titled(self) -> tuple[Table, ...]:
        """The tables whose pages get their titles from another table of this catalogue."""
        return tuple(table for table in self._tables.values() if table.titles_from in self._tables)
