"""A connector: one Matomo instance and one dataset, as the user describes them in JSON."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from functools import cached_property
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    field_validator,
    model_validator,
)

from matomo_fn.catalogue import (
    BUILT_IN,
    EXCLUDABLE,
    EXTENDED,
    GA4_EVENTS,
    PREBUILT,
    REFERENCE_TABLES,
    REPORT_SETS,
    TITLE_SOURCES,
    VISITS,
    Catalogue,
    ReferenceTable,
    Schema,
    Table,
)
from matomo_fn.catalogue.custom import Reports, ReportSpec
from matomo_fn.config.custom_reports import CustomReportConfig, method_problem, name_problems
from matomo_fn.config.events import EventsConfig
from matomo_fn.config.periods import Periods, period_problems, read_periods, with_periods
from matomo_fn.config.segments import SegmentConfig, read_segments, segment_problems
from matomo_fn.config.site_selection import SiteSelection, read_selection
from matomo_fn.config.validation import Problems, read_model, read_object, suggestion
from matomo_fn.slices import ALL_VISITS

CONNECTOR_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
_DATASET_NAME = re.compile(r"[A-Za-z0-9_]{1,1024}")
_KMS_KEY = re.compile(r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+")
# BigQuery bills at least 10 MiB a table, so a lower bound would refuse every query.
_LEAST_BYTES = 10 * 1024 * 1024
# A partition is deleted by the day in UTC, which may be the day after the site's; one more is left for writing.
_RETENTION_MARGIN = timedelta(days=2)
# What Matomo Cloud allows an address in a minute. Of its Live methods it allows 200, and the default leaves as large a
# part of them to others as that of requests_per_minute does:
# https://matomo.org/faq/troubleshooting/matomo-cloud-api-usage-limits
_CLOUD, _LIVE = 350, 170
_LOCATION = re.compile(r"[A-Za-z]+(-[a-z]+[0-9]+)?")


def table_list(value: Any) -> Any:
    """Return table names without repetition; whether there are such tables, the connector's catalogue knows."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("has to be a list of table names")
    if not value:
        raise ValueError("names no table: list at least one, or leave it out")
    return tuple(dict.fromkeys(value))


class VisitsConfig(BaseModel):
    """How raw visits are synced.

    ``intraday``: the present day too, as far as its visits are over. ``exclude``: columns that are left out before
    anything is stored, such as visit_ip or actions.url. ``retention_days``: after how many days visits are deleted;
    None leaves the table's own setting as it is.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    intraday: bool = False
    exclude: tuple[str, ...] = ()
    retention_days: int | None = Field(default=None, ge=1, le=36_600)

    @field_validator("exclude", mode="before")
    @classmethod
    def _exclude(cls, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError('has to be a list of columns of the table visits, such as ["visit_ip", "actions.url"]')
        unknown = [name for name in value if name not in EXCLUDABLE]
        if unknown:
            raise Problems(
                f"{name!r} is no column of visits that can be left out: {suggestion(name, EXCLUDABLE)}"
                for name in unknown
            )
        return tuple(dict.fromkeys(value))


def _visits(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if value is not None and not isinstance(value, dict):
        raise ValueError(f'has to be true, false or an object such as {{"intraday": true}}, not {json.dumps(value)}')
    return value


def _reports(value: Any) -> Any:
    if value == "all":
        return value
    if isinstance(value, str):
        if value in REPORT_SETS:
            return tuple(REPORT_SETS[value])
        sets = ", ".join(f'"{name}"' for name in (*REPORT_SETS, "all"))
        raise ValueError(f'{value!r} is none of {sets}, nor a list, such as ["prebuilt", "visitor_city"]')
    if value == []:
        raise ValueError('names no table: list at least one, or set it to "prebuilt"')
    listed = table_list(value)
    names = tuple(dict.fromkeys(name for each in listed for name in REPORT_SETS.get(each, (each,))))
    problems = {name: _report_problem(name) for name in names}
    if any(problems.values()):
        raise Problems(problem for problem in problems.values() if problem)
    return names


def _intraday(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise ValueError(
            f'has to be true, false or a list of tables such as ["visits_summary"], not {json.dumps(value)}'
        )
    return table_list(value)


def _report_problem(name: str) -> str | None:
    if name in EXTENDED:
        return None
    if name == VISITS.name:
        return 'visits are no report: set "visits" to true'
    return method_problem(name) if "." in name else f"there is no table {name!r}: {suggestion(name, EXTENDED)}"


def _reference_tables(value: Any) -> Any:
    if isinstance(value, bool):
        return tuple(REFERENCE_TABLES) if value else ()
    if value == []:
        return ()
    names = table_list(value)
    unknown = [name for name in names if name not in REFERENCE_TABLES]
    if unknown:
        raise Problems(
            f"there is no reference table {name!r}: {suggestion(name, REFERENCE_TABLES)}" for name in unknown
        )
    return names


# The names that tables of reports cannot have, with what has them. ``events`` is free where visits are not synced: it
# is a name that people give to a report of Matomo's events.
_TAKEN = {
    **dict.fromkeys(BUILT_IN, "a table that is built in"),
    **{view.name: "a view" for table in BUILT_IN.values() for view in table.views if view is not GA4_EVENTS},
    **dict.fromkeys(REFERENCE_TABLES, "a reference table"),
}
_TAKEN_BESIDE_VISITS = {**_TAKEN, GA4_EVENTS.name: "a view of the visits"}


class ConnectorConfig(BaseModel):
    """The configuration of a connector; only ``matomo_url`` and ``sites`` have to be given."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    matomo_url: str
    sites: Annotated[SiteSelection, PlainValidator(read_selection)]
    dataset: str = ""
    location: str = "EU"
    reports: Annotated[Literal["all"] | tuple[str, ...], PlainValidator(_reports)] = tuple(PREBUILT)
    custom_reports: tuple[CustomReportConfig, ...] = ()
    visits: Annotated[VisitsConfig | None, BeforeValidator(_visits)] = None
    intraday: Annotated[bool | tuple[str, ...], PlainValidator(_intraday)] = False
    periods: Annotated[Periods, PlainValidator(read_periods)] = Field(default_factory=dict)
    segments: Annotated[Mapping[str, SegmentConfig], PlainValidator(read_segments)] = Field(default_factory=dict)
    reference_tables: Annotated[tuple[str, ...], PlainValidator(_reference_tables)] = tuple(REFERENCE_TABLES)
    quality_checks: bool = True
    events: EventsConfig | None = None
    partition_by: Literal["day", "month"] = "day"
    require_partition_filter: bool | None = None
    kms_key: str = ""
    maximum_bytes_billed: int | None = Field(default=None, ge=_LEAST_BYTES, le=2**50)
    backfill_days: int = Field(default=365, ge=1, le=36_600)
    trailing_days: int = Field(default=3, ge=1, le=365)
    concurrency: int = Field(default=4, ge=1, le=32)
    requests_per_minute: int = Field(default=300, ge=1, le=60_000)
    live_requests_per_minute: int | None = Field(default=None, ge=1, le=60_000)
    timeout_seconds: int = Field(default=120, ge=1, le=1_800)
    page_rows: int | None = Field(default=None, ge=1, le=1_000_000)

    @field_validator("matomo_url")
    @classmethod
    def _matomo_url(cls, value: str) -> str:
        # First what may be a secret: what comes after repeats the value, and urlsplit finds it behind a scheme only.
        for sign in ("?", "#"):
            if sign in value:
                raise ValueError(f"give the address of Matomo without what follows {sign}")
        if "@" in value:
            raise ValueError("has a user name or password in it; the token belongs in the secret and nowhere else")
        parts = urlsplit(value.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{value!r} is not a URL such as https://matomo.example.com")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError(f"{value!r} has a port that is not a number from 0 to 65535") from None
        path = parts.path.removesuffix("index.php").rstrip("/")
        return urlunsplit((parts.scheme, parts.netloc, f"{path}/", "", ""))

    @field_validator("dataset")
    @classmethod
    def _dataset(cls, value: str) -> str:
        if value and not _DATASET_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a dataset name: letters, digits and underscores only")
        return value

    @field_validator("location")
    @classmethod
    def _location(cls, value: str) -> str:
        if not _LOCATION.fullmatch(value):
            raise ValueError(f"{value!r} is not a BigQuery location such as EU or europe-west1")
        return value

    @field_validator("kms_key")
    @classmethod
    def _kms_key(cls, value: str) -> str:
        if value and not _KMS_KEY.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a key: it reads projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY"
            )
        return value

    @field_validator("custom_reports", mode="before")
    @classmethod
    def _custom_reports(cls, value: Any) -> Any:
        if not isinstance(value, list):
            raise ValueError('has to be a list of reports, such as [{"report": "Events.getName"}]')
        wrong = [item for item in value if not isinstance(item, dict)]
        if wrong:
            raise Problems(
                f'{json.dumps(item)} is not a report such as {{"report": "Events.getName"}}' for item in wrong
            )
        return tuple(value)

    @property
    def _taken(self) -> Mapping[str, str]:
        """The names that tables of reports cannot have."""
        return _TAKEN_BESIDE_VISITS if self.visits else _TAKEN

    @model_validator(mode="after")
    def _names(self) -> Self:
        problems = name_problems(self.report_specs, self._taken)
        if problems:
            raise Problems(f"custom_reports: {problem}" for problem in problems)
        return self

    @cached_property
    def open_reports(self) -> Reports:
        """The reports beside the tables that are built in."""
        return Reports(self.report_specs, self.reports == "all", frozenset(self._taken))

    @cached_property
    def own_catalogue(self) -> Catalogue:
        """The tables as the configuration names them, without those that ``periods`` adds."""
        prebuilt = PREBUILT if self.reports == "all" else self.reports
        built_in = BUILT_IN.select([*prebuilt, *((VISITS.name,) if self.visits else ())])
        return Catalogue([*built_in.values(), *self.open_reports.tables.values()])

    @property
    def report_specs(self) -> tuple[ReportSpec, ...]:
        """The reports that are no built-in tables, by what the configuration says of them."""
        methods = () if self.reports == "all" else (name for name in self.reports if name not in EXTENDED)
        return (*(ReportSpec(method) for method in methods), *(config.spec for config in self.custom_reports))

    @model_validator(mode="after")
    def _named_tables(self) -> Self:
        own = [table for table in self.own_catalogue.values() if not table.is_log]
        tables = with_periods(Catalogue(own), self.periods)
        problems = []
        if self.reports != "all":  # which others there are, Matomo's metadata tells
            problems = [f"periods: {problem}" for problem in period_problems(self.periods, self.own_catalogue)]
            named = () if isinstance(self.intraday, bool) else self.intraday
            problems += [f"intraday: {problem}" for problem in _intraday_problems(named, self.own_catalogue)]
            problems += [f"segments: {problem}" for problem in segment_problems(self.segments, tables)]
        problems += [f"custom_reports: {problem}" for problem in _segment_names(own, self.segments)]
        if problems:
            raise Problems(problems)
        return self

    @model_validator(mode="after")
    def _retention(self) -> Self:
        retention = self.visits.retention_days if self.visits else None
        if retention is not None and retention < self.trailing_days + _RETENTION_MARGIN.days:
            raise ValueError(
                f"visits.retention_days has to be {self.trailing_days + _RETENTION_MARGIN.days} or more, not "
                f"{retention}: the last {self.trailing_days} days are refetched on each run (trailing_days)"
            )
        return self


def _intraday_problems(names: Sequence[str], tables: Catalogue) -> Iterator[str]:
    days = [name for name, table in tables.items() if table.period.is_day]
    for name in names:
        if name not in days:
            what = "has longer periods, which have no present day" if name in tables else "is not synced"
            yield f"table {name!r} {what}: {suggestion(name, days)}"


def _segment_names(tables: Sequence[Table], segments: Mapping[str, SegmentConfig]) -> Iterator[str]:
    for table in tables:
        for name in table.segments or ():
            if name not in segments:
                known = suggestion(name, segments) if segments else "it has none"
                yield f'table {table.name!r}: "segments" of the configuration does not have {name!r}: {known}'


class Connector(ConnectorConfig):
    """A connector: its configuration, and its name, which is that of its secrets."""

    name: str

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The names of the tables that the connector fills: its reports, and the visits where they are synced.

        Of ``"reports": "all"`` those that are known without Matomo's metadata.
        """
        return tuple(self.catalogue)

    @property
    def references(self) -> tuple[ReferenceTable, ...]:
        """The reference tables that the connector keeps current."""
        return tuple(table for table in REFERENCE_TABLES.values() if table.name in self.reference_tables)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The tables that the connector fills, as far as they are known without Matomo's metadata.

        Each report's is followed by those of its longer periods.
        """
        return with_periods(self.own_catalogue, self.periods)

    def segments_of(self, table: Table) -> tuple[str, ...]:
        """Return the names of the segments that a table has rows of, that of all visits first."""
        if not table.has_segment:
            return (ALL_VISITS,)
        tables = {name: config.tables_of(self.catalogue) for name, config in self.segments.items()}
        names = [name for name, of in tables.items() if of is None or table.name in of]
        return (ALL_VISITS, *(name for name in names if table.takes_segment(name)))

    def table_problem(self, name: str) -> str | None:
        """Return what to do about a table that is requested and not configured; None where it is."""
        if name in self.tables or name in self.reference_tables:
            return None
        if name in REFERENCE_TABLES:
            return 'add it to "reference_tables" in its configuration'
        if self.reports == "all":
            return None
        if name == VISITS.name:
            return 'set "visits": true in its configuration'
        if name in EXTENDED:
            return f'add it to "reports" in its configuration, which has {", ".join(self.own_catalogue)}'
        report, _, period = name.rpartition("_")
        if report in self.own_catalogue and period in ("week", "month", "year"):
            return f'add {period!r} to "periods" in its configuration'
        return suggestion(name, self.tables)

    @property
    def live_calls_per_minute(self) -> int:
        """How many calls of Matomo's ``Live`` methods any 60 seconds may have, which count as requests too.

        Not set: as Matomo Cloud allows, or as many as requests where these are more than it allows, since it is another
        server then.
        """
        if self.live_requests_per_minute is not None:
            return min(self.live_requests_per_minute, self.requests_per_minute)
        return self.requests_per_minute if self.requests_per_minute > _CLOUD else min(_LIVE, self.requests_per_minute)

    def is_intraday(self, table: Table) -> bool:
        """Return whether a table also gets the present day of each site, which only one of days can."""
        if table.is_log and self.visits and self.visits.intraday:
            return True
        named = self.intraday if isinstance(self.intraday, bool) else table.name in self.intraday
        return named and table.period.is_day

    @property
    def excluded_columns(self) -> tuple[str, ...]:
        """The columns of visits that are left out before anything is stored."""
        return self.visits.exclude if self.visits else ()

    @property
    def missing_titles(self) -> tuple[str, ...]:
        """A sentence for each table whose pages get no title, since what titles are read from is excluded."""
        excluded = ", ".join(sorted(TITLE_SOURCES.intersection(self.excluded_columns)))
        return tuple(
            f'page_title of {table.name} stays NULL: the configuration\'s "exclude" names {excluded}, and titles are '
            "read from the visits as they are stored"
            for table in self.catalogue.titled
            if excluded
        )

    def schema_of(self, table: Table) -> Schema:
        """Return a table as the warehouse has it, with the connector's options."""
        return replace(
            table.schema,
            require_partition_filter=self.require_partition_filter,
            retention_days=self._retention_days_of(table),
        )

    def schema_of_events(self, schema: Schema) -> Schema:
        """Return a table of deliveries as the warehouse has it: it keeps as many days as messages are known again."""
        return replace(schema, retention_days=self.events.dedupe_days + 1 if self.events else None)

    def kept_from(self, table: Table, today: date) -> date | None:
        """Return the first day whose rows a table keeps for some time yet, or None where it keeps all."""
        days = self._retention_days_of(table)
        return None if days is None else today - timedelta(days=days) + _RETENTION_MARGIN

    def _retention_days_of(self, table: Table) -> int | None:
        return self.visits.retention_days if self.visits and table.is_log else None

    @property
    def dataset_name(self) -> str:
        """The dataset that the tables stand in: the configured one, or one named by the connector."""
        return self.dataset or f"matomo_{self.name.replace('-', '_')}"


def read_connector(name: str, text: str) -> Connector:
    """Return the connector that a configuration describes; every problem of it is in the InputError."""
    what = f"configuration of connector {name!r}"
    config = read_model(ConnectorConfig, read_object(text, what), what)
    return Connector.model_construct(name=name, **{key: getattr(config, key) for key in ConnectorConfig.model_fields})
