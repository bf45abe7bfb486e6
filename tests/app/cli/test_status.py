"""`status` tells how complete the tables are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from fake_matomo import FakeMatomo, Fault, Site, World
from tests.app.cli.calling import call
from tests.support.canary import CANARY
from tests.support.shop import Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path
    from typing import Any

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """One site in UTC, so that the test knows its days."""
    (tmp_path / "secrets").mkdir()
    world = World((Site(1, "Shop", visits_per_day=6, pages=5),))
    with FakeMatomo(world, token=CANARY) as matomo:
        shop = Shop(matomo, tmp_path / "secrets", tmp_path / "warehouse.duckdb")
        shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4)
        shop.write("token", CANARY)
        yield shop


def ago(days: int) -> date:
    return YESTERDAY - timedelta(days=days)


def status_of(shop: Shop, table: str) -> tuple[int, dict[str, Any]]:
    called = call(shop.env, "status", "shop", "--json")
    (found,) = (item for item in called.json["tables"] if item["table"] == table)
    return called.code, found


def test_before_the_first_sync_there_is_nothing(shop: Shop) -> None:
    """That is no fault, and looking makes no file."""
    called = call(shop.env, "status", "shop")
    assert (called.code, called.out) == (0, "connector 'shop' has not synced anything yet\n")
    assert call(shop.env, "status", "shop", "--json").json == {"connector": "shop", "tables": []}
    assert not shop.warehouse.exists()


def test_after_a_sync_every_table_and_site_has_a_line(shop: Shop) -> None:
    """With first and last day, no hole, and the time of the run."""
    call(shop.env, "sync", "shop")
    called = call(shop.env, "status", "shop")
    head, first, second = called.out.splitlines()
    assert (called.code, called.err) == (0, "")
    assert head.split("  ")[0] == "table"
    assert [line.split()[:6] for line in (first, second)] == [
        [table, "1", str(ago(3)), str(YESTERDAY), "4", "0"] for table in ("visitor_country", "visits_summary")
    ]
    _, found = status_of(shop, "visits_summary")
    last_run = datetime.fromisoformat(found.pop("last_run"))
    assert timedelta() <= datetime.now(UTC) - last_run < timedelta(minutes=2)
    assert found == {
        "table": "visits_summary",
        "website_id": "1",
        "segment": "",
        "first_day": str(ago(3)),
        "last_day": str(YESTERDAY),
        "days": 4,
        "gaps": 0,
        "rows": 4,
        "pending": 0,
        "failed": 0,
        "visits_difference": None,
        "last_error": None,
    }


def test_matomo_is_not_asked(shop: Shop) -> None:
    """It tells of the warehouse, also while Matomo is down."""
    call(shop.env, "sync", "shop")
    shop.matomo.forget_calls()
    call(shop.env, "status", "shop")
    assert shop.matomo.http_requests == 0


def test_days_that_no_run_handled_are_holes(shop: Shop) -> None:
    """Between the first and the last day; the code says that something is missing."""
    for day in (ago(20), ago(10)):
        window = ("--start-date", str(day), "--end-date", str(day))
        assert call(shop.env, "sync", "shop", "--table", "visits_summary", *window).code == 0
    code, found = status_of(shop, "visits_summary")
    assert (code, found["days"], found["gaps"]) == (1, 2, 9)
    assert (found["first_day"], found["last_day"]) == (str(ago(20)), str(ago(10)))


def test_failed_days_are_counted_and_their_error_shown(shop: Shop) -> None:
    """Until a later sync gets them."""
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", day=ago(1), message="no such thing"))
    assert call(shop.env, "sync", "shop").code == 1
    code, found = status_of(shop, "visitor_country")
    assert (code, found["failed"], found["pending"], found["gaps"]) == (1, 1, 0, 0)
    assert found["last_error"] == (
        f"visitor_country of site 1 on {ago(1)}: UserCountry.getCountry: Matomo says: no such thing"
    )
    called = call(shop.env, "status", "shop")
    assert (called.code, called.errors) == (1, [found["last_error"]])
    shop.matomo.faults.clear()
    assert call(shop.env, "sync", "shop").code == 0
    code, found = status_of(shop, "visitor_country")
    assert (code, found["failed"], found["last_error"]) == (0, 0, None)


def test_pending_days_are_counted_until_matomo_has_processed_them(shop: Shop) -> None:
    """Pending is no failure of the sync, but something that is missing."""
    shop.matomo.unprocess(1, YESTERDAY)
    assert call(shop.env, "sync", "shop").code == 0
    code, found = status_of(shop, "visits_summary")
    assert (code, found["pending"], found["failed"]) == (1, 1, 0)
    assert "has not processed its reports yet" in found["last_error"]
    shop.matomo.process(1, YESTERDAY)
    assert call(shop.env, "sync", "shop").code == 0
    assert status_of(shop, "visits_summary")[0] == 0


def test_a_connector_without_configuration_is_bad_input(shop: Shop) -> None:
    """One sentence, code 2."""
    called = call(shop.env, "status", "other")
    path = shop.secrets / "matomo-other-config"
    assert (called.code, called.out) == (2, "")
    assert called.errors == [f"there is no file {path}: write the secret matomo-other-config into it"]


def test_verify_compares_the_log_with_the_tables(shop: Shop) -> None:
    """What differs is named on the terminal and in JSON, the exit code says so, and the next sync heals it."""
    call(shop.env, "sync", "shop")
    called = call(shop.env, "status", "shop", "--verify")
    assert (called.code, called.out.splitlines()[-1]) == (0, "log and tables agree")
    with duckdb.connect(str(shop.warehouse)) as connection:
        connection.execute("delete from matomo_shop.visitor_country where date = ?", [ago(3)])
    called = call(shop.env, "status", "shop", "--verify")
    assert called.code == 1
    assert f"visitor_country of site 1, {ago(3)}: another number of rows; rows expected by the log: " in called.out
    assert called.out.splitlines()[-1] == "1 slices differ from the log: the next sync refetches and rewrites them"
    found = call(shop.env, "status", "shop", "--verify", "--json")  # by now the log tells the truth: pending, no rows
    assert (found.code, found.json["audit"]["status"], found.json["tables"][0]["pending"]) == (1, "consistent", 1)
    call(shop.env, "sync", "shop")
    assert call(shop.env, "status", "shop", "--verify").code == 0


def test_an_audit_is_no_mode_of_sync(shop: Shop) -> None:
    """The message names the command."""
    called = call(shop.env, "sync", "shop", "--mode", "audit")
    assert called.code == 2
    assert "matomo-fn status shop --verify" in called.err
