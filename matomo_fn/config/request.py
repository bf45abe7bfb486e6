"""A request to sync: the body of the HTTP call or the data of the Pub/Sub message."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from matomo_fn.config.connector import CONNECTOR_NAME, table_list
from matomo_fn.config.site_selection import site_list
from matomo_fn.config.validation import read_model
from matomo_fn.errors import InputError

EVERY_CONNECTOR = "all"
Mode = Literal["incremental", "intraday", "sweep", "backfill", "full_refresh", "audit", "reconcile", "deliver"]
# Days of a sweep whose request names none: a call or two for each report and site, and what is corrected late is mostly
# corrected within a month.
SWEEP_DAYS = 30
# Days of a reconciliation whose request names none, and how many of all sites' days it fetches again.
RECONCILE_DAYS, SAMPLE_DAYS = 7, 7
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def _day(value: Any) -> Any:
    if value is None:
        return None
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"there is no day {value!r}") from None
    raise ValueError(f"{value!r} is not a day such as 2026-01-31")


_Tables = Annotated[tuple[str, ...] | None, BeforeValidator(lambda v: v if v is None else table_list(v))]
_Sites = Annotated[tuple[str, ...] | None, BeforeValidator(lambda v: v if v is None else site_list(v))]
_Day = Annotated[date | None, BeforeValidator(_day)]


class Part(BaseModel):
    """What of a request a message is about: a shard of it, or the rest that a run had no time for.

    The program writes it into the messages that it publishes. ``request_id``: of the request, which all its parts have
    in common: what one of them has done is not done again by another one. ``number`` of ``count``: which shard.
    ``continuation``: how many times what was left of the shard has been handed on. ``tables`` and ``sites``: of those
    that the request is about, only these; None for all. ``since`` and ``before``: only slices whose dates are not
    earlier than the one, and earlier than the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    request_id: str = Field(min_length=1, max_length=300)
    number: int = Field(default=1, ge=1)
    count: int = Field(default=1, ge=1)
    continuation: int = Field(default=0, ge=0)
    tables: _Tables = None
    sites: _Sites = None
    since: _Day = None
    before: _Day = None

    @model_validator(mode="after")
    def _order(self) -> "Part":
        if self.number > self.count:
            raise ValueError(f"number {self.number} of {self.count} parts")
        if self.since and self.before and self.since >= self.before:
            raise ValueError(f"since {self.since} is not earlier than before {self.before}")
        return self

    def has_site(self, site: str) -> bool:
        """Return whether the part is about a site."""
        return self.sites is None or site in self.sites

    def as_json(self) -> dict[str, Any]:
        """Return the part as a message has it."""
        return self.model_dump(mode="json", exclude_none=True)


def _part(value: Any) -> Any:
    if value is None or isinstance(value, Part):
        return value
    if not isinstance(value, dict):
        raise ValueError("has to be an object, as the program writes it")
    return Part.model_validate(value)


class SyncRequest(BaseModel):
    """What to sync: which connector, and optionally which days, tables and sites, and how.

    ``mode``: "incremental" asks for what is due (all of an explicit window); "backfill" asks for every day of the
    window, by default the last ``backfill_days``; "full_refresh" does so and writes even what did not change;
    tables of reports that it names are rebuilt. "intraday" asks for the sites' present day alone. "sweep" refetches
    what the tables have of the last ``days``, writes and reports what Matomo has changed, and audits the tables.
    "audit" extracts nothing: it compares the log with the tables, over all time.
    "reconcile" writes no table of reports or visits: it compares the last ``days``, or a window, with Matomo's totals,
    and refetches ``sample_days`` of all days of all sites, which ``seed`` chooses (by default the date).
    "deliver" goes the other way: it sends the events that wait to Matomo.
    ``dry_run``: nothing is asked of Matomo's reports and nothing written; the answer is the plan.
    ``part``: what of the request is meant, where it is handed on in parts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    connector: str
    start_date: _Day = None
    end_date: _Day = None
    tables: _Tables = None
    sites: _Sites = None
    mode: Mode = "incremental"
    days: Annotated[int | None, Field(ge=1, le=36_600)] = None
    sample_days: Annotated[int | None, Field(ge=0, le=1_000)] = None
    seed: Annotated[int | None, Field(ge=0, le=2**53 - 1)] = None
    dry_run: bool = Field(default=False)
    part: Annotated[Part | None, BeforeValidator(_part)] = None

    @field_validator("connector")
    @classmethod
    def _connector(cls, value: str) -> str:
        if not CONNECTOR_NAME.fullmatch(value):
            raise ValueError(f"{value!r} is not a connector name: lower-case letters, digits and hyphens")
        if value == EVERY_CONNECTOR:
            raise ValueError(f"{value!r} stands for every connector: no connector can have that name")
        return value

    @model_validator(mode="after")
    def _window(self) -> "SyncRequest":
        if self.start_date and self.end_date and self.start_date > self.end_date:
            raise ValueError(f"start_date {self.start_date} lies after end_date {self.end_date}")
        if self.end_date and not self.start_date:
            raise ValueError("end_date is given without start_date: give both, or start_date alone")
        if self.mode == "audit" and (self.start_date or self.sites):
            raise ValueError("an audit compares all days and sites: leave out start_date, end_date and sites")
        if self.mode == "intraday" and self.start_date:
            raise ValueError('mode "intraday" is about the present day of each site: leave out start_date and end_date')
        if self.mode == "deliver" and (self.start_date or self.sites or self.tables or self.dry_run):
            raise ValueError("a delivery sends all events that wait: leave out days, tables, sites and dry_run")
        if self.part and self.mode in ("audit", "reconcile", "deliver"):
            raise ValueError(f'"mode": "{self.mode}" has no parts: leave out part')
        if self.part and self.rebuilds:
            raise ValueError("a table is rebuilt by one run: leave out part")
        return self

    @model_validator(mode="after")
    def _of_mode(self) -> "SyncRequest":
        if self.days is not None and self.mode not in ("sweep", "reconcile"):
            raise ValueError(
                f'days is how far a sweep or reconcile looks back, and the mode is "{self.mode}": leave it out'
            )
        if self.days is not None and self.start_date:
            raise ValueError(f'mode "{self.mode}" has one window: give days, or start_date and end_date')
        if self.mode != "reconcile" and (self.sample_days is not None or self.seed is not None):
            raise ValueError(
                f'sample_days and seed are of mode "reconcile", and the mode is "{self.mode}": leave them out'
            )
        if self.mode == "reconcile" and self.dry_run:
            raise ValueError("a reconciliation changes no table but _sync_quality: leave out dry_run")
        return self

    @property
    def reads_older(self) -> bool:
        """Whether pending and failed slices from before the window are due too."""
        return self.mode in ("incremental", "sweep") and self.start_date is None

    @property
    def logs_everything(self) -> bool:
        """Whether it is about all of a window, so that what is done of it has to be known.

        A sweep finds nearly everything unchanged: it logs that only where it is cut off.
        """
        if self.mode in ("intraday", "sweep"):
            return False
        return self.mode != "incremental" or self.start_date is not None

    @property
    def rebuilds(self) -> bool:
        """Whether tables are rebuilt beside those that are there, which one run does from beginning to end."""
        return self.mode == "full_refresh" and self.tables is not None

    @property
    def tells_reach(self) -> bool:
        """Whether it names no days, tables and sites: otherwise it cannot say how late the data is."""
        return self.mode not in ("intraday", "sweep") and not (self.start_date or self.tables or self.sites)

    def as_json(self) -> dict[str, Any]:
        """Return the request as a message has it."""
        values = self.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        return values | ({"part": self.part.as_json()} if self.part else {})


def read_request(values: Mapping[str, Any]) -> SyncRequest:
    """Return the request that the values describe; every problem is in the InputError."""
    return read_model(SyncRequest, values, "request")


@dataclass(frozen=True, slots=True)
class SeveralRequests:
    """The same request to several connectors, one for each.

    ``is_every``: it was to "all". ``skipped``: connectors that it is not for, by name.
    """

    each: tuple[SyncRequest, ...]
    is_every: bool = False
    skipped: tuple[str, ...] = ()


def read_requests(values: Mapping[str, Any], every: Callable[[], Sequence[str]]) -> SyncRequest | SeveralRequests:
    """Return the request that the values describe, or several where ``connector`` is a list or "all".

    ``every`` returns the names that "all" stands for. Every problem is in the InputError.
    """
    written = values.get("connector")
    if written == EVERY_CONNECTOR:
        names = list(every())
    elif isinstance(written, list):
        names = list(dict.fromkeys(_listed_name(name) for name in written))
        if not names:
            raise InputError('request: connector: names no connector: list at least one, or set it to "all"')
    else:
        return read_request(values)
    problems: list[str] = []
    requests: list[SyncRequest] = []
    for name in names:
        try:
            requests.append(read_request({**values, "connector": name}))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(list(dict.fromkeys(problems)))
    return SeveralRequests(tuple(requests), is_every=written == EVERY_CONNECTOR)


def _listed_name(name: Any) -> str:
    if isinstance(name, str):
        return name
    raise InputError('request: connector: has to be a name, a list of names, or "all"')
