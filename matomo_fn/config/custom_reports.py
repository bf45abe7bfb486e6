"""Reports of the user's own: what an entry of ``custom_reports`` may say, in the form that QUANTI's users know."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from matomo_fn.catalogue import Column, ColumnType
from matomo_fn.catalogue.custom import ReportSpec
from matomo_fn.catalogue.naming import LONGEST_COLUMN, LONGEST_TABLE, column_name
from matomo_fn.config.validation import Problems, suggestion
from matomo_fn.periods import PERIOD_NAMES

METHOD = re.compile(r"[A-Z][A-Za-z0-9_]*\.[a-z][A-Za-z0-9_]*")
_TABLE = re.compile(r"[a-z][a-z0-9_]*")
_COLUMN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FIELD = re.compile(r"[^\s,]+")
_LONGEST_RANGE = 366  # days of a rolling period
# Characters of descriptions in BigQuery.
_LONGEST_DESCRIPTION, _LONGEST_COLUMN_DESCRIPTION = 16_384, 1_024
_TYPES: Mapping[str, ColumnType] = {
    "STRING": ColumnType.STRING,
    "INTEGER": ColumnType.INT64,
    "INT64": ColumnType.INT64,
    "FLOAT": ColumnType.FLOAT64,
    "FLOAT64": ColumnType.FLOAT64,
    "NUMERIC": ColumnType.NUMERIC,
    "BOOLEAN": ColumnType.BOOL,
    "BOOL": ColumnType.BOOL,
    "DATE": ColumnType.DATE,
    "TIMESTAMP": ColumnType.TIMESTAMP,
    "JSON": ColumnType.JSON,
}
_KEY_TYPES = (ColumnType.STRING, ColumnType.INT64)
# Parameters that have a place of their own in the configuration, or that the program sets.
_OWN_PARAMETERS: Mapping[str, str] = {
    "idsite": 'sites are those of "sites"',
    "idsites": 'sites are those of "sites"',
    "period": 'set "period" beside "report"',
    "date": "days are those of the request",
    "segment": 'name segments in "segments"',
    "flat": 'set "flat": true beside "report"',
    "showcolumns": 'set "fields" beside "report"',
    "hidecolumns": 'set "fields" beside "report"',
    "columns": 'set "fields" beside "report"',
    "method": 'it is "report"',
    "module": "every call is to Matomo's API",
    "format": "every answer is JSON",
    "format_metrics": "numbers are always numbers",
    "language": "labels are always in English",
    "filter_limit": "every row is read",
    "filter_offset": "every row is read",
    "token_auth": "the token belongs in the secret and nowhere else",
}
_NO_REPORTS: Mapping[str, str] = {
    "API.getBulkRequest": "it is a call of several reports: add an entry for each",
    "API.getProcessedReport": "add an entry for the report itself, with its texts in the metadata",
    "Live.getLastVisitsDetails": 'visits are synced by "visits": true',
}


def _flat(value: Any) -> Any:
    if value in ("0", "1", 0, 1) and not isinstance(value, bool):
        return value in ("1", 1)
    if not isinstance(value, bool):
        raise ValueError(f'has to be true or false (or "1" or "0"), not {value!r}')
    return value


def _fields(value: Any) -> Any:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('has to be a list of fields, such as ["label", "nb_visits"] or "label,nb_visits"')
    if not any(value):
        raise ValueError("names no field: list at least one, or leave it out for all")
    wrong = [item for item in value if not _FIELD.fullmatch(item)]
    if wrong:
        raise Problems(f"{item!r} is not the name of a field" for item in wrong)
    return tuple(dict.fromkeys(value))


def _parameters(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError('has to be an object, such as {"idGoal": "3"}')
    problems = []
    for name, given in value.items():
        if name.lower() in _OWN_PARAMETERS:
            problems.append(f"{name!r} cannot be set here: {_OWN_PARAMETERS[name.lower()]}")
        elif not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            problems.append(f"{name!r} is not the name of a parameter")
        elif not isinstance(given, str | int | float):
            problems.append(f"{name} has to be a text or a number, not {given!r}")
    if problems:
        raise Problems(problems)
    return {name: str(int(given)) if isinstance(given, bool) else str(given) for name, given in value.items()}


def _names(value: Any) -> Any:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError('has to be a list of the names of segments, such as ["mobile"]')
    return tuple(dict.fromkeys(value))


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


class FieldConfig(BaseModel):
    """What the configuration says of one field of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str | None = None
    identifier: bool = False
    name: str = Field(default="", max_length=LONGEST_COLUMN)
    description: str = Field(default="", max_length=_LONGEST_COLUMN_DESCRIPTION)
    mode: Annotated[Literal["NULLABLE", "REQUIRED"], BeforeValidator(_upper)] = "NULLABLE"

    @field_validator("type")
    @classmethod
    def _type(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in _TYPES:
            raise ValueError(f"there is no type {value!r} for fields: {suggestion(value.upper(), _TYPES)}")
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if value and not _COLUMN.fullmatch(value):
            raise ValueError(f"{value!r} is not a column's name: letters, digits and underscores, first a letter")
        if value and column_name(value) != value:
            raise ValueError(f"{value!r} is reserved: {column_name(value)!r} would do")
        return value

    @model_validator(mode="after")
    def _identifies(self) -> Self:
        if self.identifier and self.type is not None and _TYPES[self.type.upper()] not in _KEY_TYPES:
            raise ValueError(f"a field that identifies rows has to be STRING or INTEGER, not {self.type}")
        return self

    def column(self, field: str) -> Column | None:
        """Return the column, or None where nothing is said of its type."""
        kind = _TYPES[self.type.upper()] if self.type else ColumnType.STRING if self.identifier else None
        if kind is None:
            return None
        text = f"{self.description} Matomo's {field}.".lstrip()
        return Column(self.name or column_name(field), kind, text, source=field, required=self.mode == "REQUIRED")


class CustomReportConfig(BaseModel):
    """A report of Matomo as a table; only ``report``, the method, has to be given.

    ``period``: what a row is of; ``days``: the length of a ``range``, which ends on each day. ``segments``: those of
    the connector's that the table has rows of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    report: str
    name: str = ""
    flat: Annotated[bool, BeforeValidator(_flat)] = False
    fields: Annotated[tuple[str, ...], BeforeValidator(_fields)] = ()
    parameters: Annotated[dict[str, str], BeforeValidator(_parameters)] = {}
    period: str = "day"
    days: int | None = Field(default=None, ge=1, le=_LONGEST_RANGE)
    segments: Annotated[tuple[str, ...] | None, BeforeValidator(_names)] = None
    columns: dict[str, FieldConfig] = Field(default={}, alias="schema")
    description: str = Field(default="", max_length=_LONGEST_DESCRIPTION)

    @field_validator("report")
    @classmethod
    def _report(cls, value: str) -> str:
        problem = method_problem(value)
        if problem:
            raise ValueError(problem)
        return value

    @field_validator("period")
    @classmethod
    def _period(cls, value: str) -> str:
        if value not in PERIOD_NAMES:
            raise ValueError(f"{value!r} is no kind of period: {suggestion(value, PERIOD_NAMES)}")
        return value

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not value:
            return value
        if not _TABLE.fullmatch(value):
            raise ValueError(
                f"{value!r} is not a table's name: lower-case letters, digits and underscores, first a letter"
            )
        if len(value) > LONGEST_TABLE:
            raise ValueError(f"{value[:40]!r}... has {len(value)} characters: {LONGEST_TABLE} are the most")
        return value

    @field_validator("columns", mode="before")
    @classmethod
    def _columns(cls, value: Any) -> Any:
        if not isinstance(value, dict) or not all(isinstance(item, dict) for item in value.values()):
            raise ValueError('has to be an object of fields, such as {"nb_visits": {"type": "INTEGER"}}')
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        problems = []
        if (self.period == "range") != (self.days is not None):
            problems.append('"days" and "period": "range" belong together: a range of so many days ends on each day')
        unknown = [name for name in self.columns if self.fields and name not in self.fields]
        problems += [f'schema.{name}: {name!r} is not in "fields": add it, or leave it out of both' for name in unknown]
        names: dict[str, str] = {}
        for field, config in self.columns.items():
            name = (config.name or column_name(field)).lower()
            if name in names:
                problems.append(f"schema: fields {names[name]!r} and {field!r} would both be column {name!r}")
            names[name] = field
        if problems:
            raise Problems(problems)
        return self

    @property
    def spec(self) -> ReportSpec:
        """The report as the catalogue makes a table of it."""
        columns = ((field, config.column(field)) for field, config in self.columns.items())
        return ReportSpec(
            self.report,
            self.name,
            tuple(self.parameters.items()),
            self.flat,
            self.fields,
            tuple(column for _, column in columns if column is not None),
            tuple(
                (field, config.name or column_name(field), config.description)
                for field, config in self.columns.items()
                if config.name or config.description
            ),
            tuple(field for field, config in self.columns.items() if config.identifier),
            self.description,
            self.period,
            self.days,
            self.segments,
        )


def method_problem(value: str) -> str | None:
    """Return what keeps a method from being a report, or None."""
    if not METHOD.fullmatch(value):
        return f"{value!r} is not a method of Matomo's reports such as Events.getName"
    if value in _NO_REPORTS:
        return f"{value} is no report: {_NO_REPORTS[value]}"
    if not value.partition(".")[2].startswith("get"):
        return f"{value} is no report: methods of reports begin with get"
    return None


def is_report(method: str, params: Iterable[tuple[str, str]]) -> bool:
    """Return whether what Matomo lists as a report is one that may be requested as such."""
    own = {name.lower() for name, _ in params} & _OWN_PARAMETERS.keys()
    return not own and method_problem(method) is None


def name_problems(specs: Iterable[ReportSpec], taken: Mapping[str, str]) -> list[str]:
    """Return a sentence for each table that two reports, or a report and the program, would both write.

    ``taken``: names that the program uses, with what for.
    """
    problems = []
    found: dict[str, ReportSpec] = {}
    for spec in specs:
        name = spec.table_name(taken)
        if name in taken:
            problems.append(f"{spec.method}: {name!r} is {taken[name]}: give the report another name")
        elif name in found:
            problems.append(
                f"{found[name].method} and {spec.method} would both be table {name!r}: "
                'give one of them another "name" in "custom_reports"'
            )
        found.setdefault(name, spec)
    return problems
