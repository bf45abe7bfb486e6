"""The calendar of days: a character a day, out of the log."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from matomo_fn.app.day_calendar import DAYS, read_calendar
from matomo_fn.catalogue import SYNC_LOG
from matomo_fn.config.connector import read_connector
from matomo_fn.days import Days
from matomo_fn.periods import Period
from matomo_fn.slices import Stream
from matomo_fn.warehouse.duckdb import DuckDBWarehouse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
LAST = date(2026, 11, 20)  # a Friday; it has ended where a day begins first
FIRST = LAST - timedelta(days=DAYS - 1)
CONNECTOR = read_connector(
    "shop",
    json.dumps(
        {"matomo_url": "https://shop.example", "sites": "all", "reports": ["visits_summary"], "periods": ["week"]}
    ),
)
DAILY = Stream("visits_summary", "1")
WEEKLY = Stream("visits_summary_week", "1", period=Period.WEEK)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A dataset with an empty log."""
    opened = DuckDBWarehouse(tmp_path / "log.duckdb", CONNECTOR.dataset_name)
    opened.ensure_dataset()
    opened.create_table(SYNC_LOG, "day")
    yield opened
    opened.close()


def log(warehouse: DuckDBWarehouse, stream: Stream, day: date, status: str = "written", *, at: int = 0) -> None:
    """Append a row to the log; ``at``: minutes after the first ones."""
    logged = NOW + timedelta(minutes=at)
    warehouse.run(
        f"insert into `{CONNECTOR.dataset_name}._sync_log` (date, connector, matomo_url, table_name, website_id, "
        "segment, status, row_count, has_others, is_final, run_id, request_id, started_at, logged_at, period) values "
        f"(date '{day}', 'shop', 'https://shop.example', '{stream.table}', '{stream.website_id}', '', '{status}', 1, "
        f"false, true, 'r1', 'r1', timestamp '{logged}', timestamp '{logged}', '{stream.period}')",
        "log",
    )


def line(warehouse: DuckDBWarehouse, stream: Stream, missing: Days | None = None, kept: date | None = None) -> str:
    kept_from = {stream.table: kept} if kept else {}
    return read_calendar(warehouse, CONNECTOR, {stream: missing or Days()}, kept_from, NOW).lines[stream]


def test_the_newest_row_of_a_slice_counts(warehouse: DuckDBWarehouse) -> None:
    """And what was missing until it came is no longer."""
    log(warehouse, DAILY, LAST, "failed")
    log(warehouse, DAILY, LAST, at=5)
    found = line(warehouse, DAILY, Days.between(LAST - timedelta(days=1), LAST))
    assert found == "." * (DAYS - 2) + "mw"


def test_a_week_stands_on_all_of_its_days(warehouse: DuckDBWarehouse) -> None:
    """Also one that began before the calendar, and one that goes on behind it."""
    monday = FIRST - timedelta(days=FIRST.weekday())
    assert monday < FIRST
    log(warehouse, WEEKLY, monday)
    log(warehouse, WEEKLY, LAST - timedelta(days=LAST.weekday()), "pending")
    found = line(warehouse, WEEKLY)
    assert found == "w" * (7 - FIRST.weekday()) + "." * (DAYS - 12 + FIRST.weekday()) + "p" * 5


def test_a_day_before_the_calendar_is_on_none_of_its_days(warehouse: DuckDBWarehouse) -> None:
    """Neither one of a daily table, nor one that was a week's when it was logged."""
    log(warehouse, DAILY, FIRST - timedelta(days=1))
    log(warehouse, Stream(DAILY.table, "1", period=Period.WEEK), FIRST - timedelta(days=3), "failed")
    log(warehouse, DAILY, FIRST)
    assert line(warehouse, DAILY) == "w" + "." * (DAYS - 1)


def test_days_that_a_table_does_not_keep_are_not_shown(warehouse: DuckDBWarehouse) -> None:
    for ago in range(4):
        log(warehouse, DAILY, LAST - timedelta(days=ago))
    assert line(warehouse, DAILY, kept=LAST - timedelta(days=1)) == "." * (DAYS - 2) + "ww"


def test_a_status_of_another_version_is_one_that_failed(warehouse: DuckDBWarehouse) -> None:
    """A sync refetches it."""
    log(warehouse, DAILY, LAST, "some other word")
    assert line(warehouse, DAILY)[-1] == "f"
