"""A connector with days of every state, and its page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from fake_matomo import Site, World
from matomo_fn.catalogue import SYNC_QUALITY
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.duckdb import to_duckdb
from tests.app.cli.calling import call
from tests.support import shop as shops
from tests.support.shop import DATASET, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = 40
TABLES = ["visits_summary", "visitor_country", "acquisition_channel_type", "behaviour_page"]
WORLD = World(
    (
        Site(1, "Shop <b>& Co</b>", "UTC", visits_per_day=12, pages=8),
        Site(2, "Docs", "UTC", visits_per_day=5, pages=5),
    )
)


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A shop that was synced, in which days of every state are known."""

    shop: Shop
    last: date

    def ago(self, days: int) -> date:
        """The day so many before the last one."""
        return self.last - timedelta(days=days)


def spoil(shop: Shop, last: date) -> None:
    """Let some days be failed, pending, missing, empty, unchanged, open, or differ from Matomo."""

    def log(change: str, table: str, site: int, *ago: int) -> None:
        days = ", ".join(f"date '{last - timedelta(days=number)}'" for number in ago)
        connection.execute(
            f"update {DATASET}._sync_log set {change} where table_name = ? and website_id = ? and date in ({days})",
            [table, str(site)],
        )

    with duckdb.connect(str(shop.warehouse)) as connection:
        log("row_count = 1, status = 'written'", "visits_summary", 1, *range(DAYS))
        log("row_count = 3, status = 'written'", "visitor_country", 2, *range(DAYS))
        log("status = 'failed', error = 'visits_summary of site 1: Matomo answered HTTP 500'", "visits_summary", 1, 5)
        log("status = 'pending'", "visits_summary", 1, 3, 4)
        log("status = 'unchanged'", "visits_summary", 1, 10, 11, 12)
        log("row_count = 0", "visits_summary", 1, 20)
        log("is_open = true", "visits_summary", 1, 0)
        connection.execute(
            f"delete from {DATASET}._sync_log where table_name = 'visitor_country' and website_id = '2' "
            "and date between ? and ?",
            [last - timedelta(days=9), last - timedelta(days=8)],
        )
        connection.execute(to_duckdb(sql.create_table(DATASET, SYNC_QUALITY)))
        connection.execute(f"delete from {DATASET}._sync_quality")  # what the sync checked
        checks = [
            (2, "visitor_country", "2", "dimension_visits", 40.0, 38.0, "differs", "rows_deleted"),
            (7, "behaviour_page", "1", "others_share", 90.0, 80.0, "explained", "row_limit"),
            (6, "visits_summary", "1", "dimension_visits", 12.0, 12.0, "ok", None),
            (6, "behaviour_page", "1", "dimension_visits", 12.0, 30.0, "explained", "unique_counts"),
        ]
        for ago, table, site, name, expected, found, verdict, reason in checks:
            detail = f"{table} of site {site}: found {found:.0f} of {expected:.0f}" if verdict != "ok" else None
            values = [last - timedelta(days=ago), "shop", name, table, site, expected, found, found - expected]
            connection.execute(
                f"insert into {DATASET}._sync_quality (date, connector, check_name, table_name, website_id, segment, "
                "expected, found, difference, verdict, reason, detail, run_id, checked_at) "
                "values (?, ?, ?, ?, ?, '', ?, ?, ?, ?, ?, ?, 'r1', now())",
                [*values, verdict, reason, detail],
            )


@pytest.fixture(scope="session")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spoilt]:
    """Two sites of UTC, so that their days are known, 40 days of four tables, and then what is not as it should be."""
    folder: Path = tmp_path_factory.mktemp("report")
    with shops.running(folder, world=WORLD) as shop:
        shop.configure(sites="all", reports=TABLES, backfill_days=DAYS, reference_tables=["sites"])
        assert call(shop.env, "sync", "shop").code == 0
        last = datetime.now(UTC).date() - timedelta(days=1)
        spoil(shop, last)
        yield Spoilt(shop, last)


@pytest.fixture(scope="session")
def page_file(spoilt: Spoilt, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of it, as the command writes it."""
    path = tmp_path_factory.mktemp("page") / "shop.html"
    assert call(spoilt.shop.env, "report", "shop", "-o", str(path)).code == 0
    return path
