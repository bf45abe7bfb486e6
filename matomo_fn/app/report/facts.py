"""What the page shows, read by aggregate queries: numbers of days, sites, channels and runs, nothing personal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from matomo_fn.app.history import PastRun, newest_runs
from matomo_fn.app.read_log import open_log
from matomo_fn.app.status import Status, status_of
from matomo_fn.catalogue import SYNC_QUALITY, ColumnType, Table
from matomo_fn.config.connector import Connector
from matomo_fn.config.settings import Settings
from matomo_fn.days import Range
from matomo_fn.sync.quality import STANDING_REASONS
from matomo_fn.warehouse import report_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.report_sql import Counted

# Days of channels and Others: their tables are large, and each look at them is paid for.
RECENT_DAYS = 28
_RUNS = 200
# Checks that are shown one by one; all of them are counted.
_CHECKS = 500
_SITES = "sites"
_CHANNELS = "acquisition_channel_type"
# Where the visits of a day are counted, the first that the connector has. Each visit has one channel.
_VISITS = (Counted("visits_summary", "nb_visits"), Counted(_CHANNELS, "visits"))
# Matomo's fields that tell best how much of a report stands in Others, the best first.
_COUNTS = ("nb_visits", "nb_hits", "nb_events", "nb_conversions", "orders", "quantity")


@dataclass(frozen=True, slots=True)
class Visits:
    """The visits of each site on the days of the calendar: None where the table has no row of the site and day."""

    table: str
    by_site: Mapping[str, Sequence[int | None]]


@dataclass(frozen=True, slots=True)
class Checks:
    """How many checks there were of each kind and verdict, and the findings, at most 500 of them."""

    counts: Sequence[Mapping[str, Any]]
    found: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything on the page.

    ``visits``: None where no table has them. ``channels``: rows of website_id, channel, visits and conversions, None
    where there is no such table. ``others``: rows of table_name, website_id, others and total. ``checks``: None where
    none was made. ``site_names``: as far as they are known.
    """

    status: Status
    dataset: str
    made: datetime
    runs: Sequence[PastRun]
    visits: Visits | None
    channels: Sequence[Mapping[str, Any]] | None
    others: Sequence[Mapping[str, Any]]
    checks: Checks | None
    site_names: Mapping[str, str]


def read_facts(settings: Settings, name: str) -> Facts:
    """Return what the page of a connector shows; raise NeverSynced where it never ran.

    As `read_status` does, it requests the sites of Matomo, once.
    """
    with open_log(settings, name) as (connector, warehouse):
        status = status_of(settings, connector, warehouse)
        year = (status.calendar.first, status.calendar.last)
        recent = (year[1] - timedelta(days=RECENT_DAYS - 1), year[1])
        return Facts(
            status,
            warehouse.dataset,
            datetime.now(UTC),
            newest_runs(warehouse, connector, _RUNS),
            _visits(warehouse, connector, year),
            _channels(warehouse, connector, recent),
            _others(warehouse, connector, recent),
            _checks(warehouse, connector, year),
            _site_names(warehouse, connector),
        )


def _visits(warehouse: Warehouse, connector: Connector, days: Range) -> Visits | None:
    for counted in _VISITS:
        if _has(warehouse, connector, counted):
            break
    else:
        return None
    length = (days[1] - days[0]).days + 1
    by_site: dict[str, list[int | None]] = {}
    for row in warehouse.rows(report_sql.visits_by_day(warehouse.dataset, counted, days)):
        if row["visits"] is not None:
            line = by_site.setdefault(row["website_id"], [None] * length)
            line[(row["date"] - days[0]).days] = int(row["visits"])
    return Visits(counted.table, by_site)


def _channels(warehouse: Warehouse, connector: Connector, days: Range) -> list[Mapping[str, Any]] | None:
    if not _has(warehouse, connector, Counted(_CHANNELS, "conversions")):
        return None
    return list(warehouse.rows(report_sql.channels_of(warehouse.dataset, _CHANNELS, days)))


def _others(warehouse: Warehouse, connector: Connector, days: Range) -> list[Mapping[str, Any]]:
    counted = [
        each
        for table in connector.catalogue.values()
        if (each := _counted(table)) is not None and _has(warehouse, connector, each)
    ]
    return list(warehouse.rows(report_sql.others_of(warehouse.dataset, counted, days))) if counted else []


def _counted(table: Table) -> Counted | None:
    """Return the column that tells how much of a daily report stands in Others; None where nothing can."""
    if not (table.has_others and table.period.is_day):
        return None
    numbers = [column for column in table.metrics if column.type is ColumnType.INT64]
    best = sorted(
        numbers, key=lambda column: _COUNTS.index(column.source) if column.source in _COUNTS else len(_COUNTS)
    )
    return Counted(table.name, best[0].name) if best else None


def _checks(warehouse: Warehouse, connector: Connector, days: Range) -> Checks | None:
    if warehouse.find_table(SYNC_QUALITY.name) is None:
        return None
    counts = warehouse.query(report_sql.count_checks(warehouse.dataset, connector.name, days))
    if not counts:
        return None
    found = report_sql.failed_checks(warehouse.dataset, connector.name, days, _CHECKS, STANDING_REASONS)
    return Checks(counts, warehouse.query(found))


def _site_names(warehouse: Warehouse, connector: Connector) -> dict[str, str]:
    for table in connector.references:
        if table.name == _SITES and warehouse.find_table(table.name) is not None:
            rows = warehouse.query(report_sql.names_of_sites(warehouse.dataset, table, connector.name))
            return {row["website_id"]: row["name"] for row in rows if row["name"]}
    return {}


def _has(warehouse: Warehouse, connector: Connector, counted: Counted) -> bool:
    """Return whether the connector fills the table, and the warehouse has it with the column."""
    if counted.table not in connector.catalogue:
        return False
    found = warehouse.find_table(counted.table)
    return found is not None and any(column.name == counted.column for column in found.columns)


def day_index(first: date, day: date | None) -> int | None:
    """Return how many days after another one a day is."""
    return None if day is None else (day - first).days
