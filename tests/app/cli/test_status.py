"""`status` tells how complete the tables are."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb
import pytest

from fake_matomo import FakeMatomo, Fault, Site, World, maintenance
from matomo_fn.config.connector import read_connector
from matomo_fn.slices import Stream
from matomo_fn.sync.outcome import LogEntry, Run, Status
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.tables import Stamp
from tests.app.cli.calling import Called, call
from tests.support.canary import CANARY
from tests.support.shop import Shop, running

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


def test_what_never_was_synced_is_said_with_the_place_that_was_looked_at(shop: Shop) -> None:
    """No file, as where its path is wrong; a file without the dataset; a dataset that others use. None is created."""
    called = call(shop.env, "status", "shop")
    assert (called.code, called.out) == (1, "")
    assert called.errors == [
        f"connector 'shop' has never been synced here: there is no DuckDB file {shop.warehouse}. Sync it, or correct "
        "MATOMO_FN_WAREHOUSE"
    ]
    as_json = call(shop.env, "status", "shop", "--json")
    assert as_json.json == {"status": "failed", "connector": "shop", "errors": called.errors}
    assert not shop.warehouse.exists()
    assert call(shop.env, "sync", "shop").code == 0
    shop.configure(dataset="another")
    (sentence,) = call(shop.env, "status", "shop").errors
    assert f"there is no _sync_log in dataset another in {shop.warehouse}" in sentence
    (shop.secrets / "matomo-blog-config").write_text(
        f'{{"matomo_url": "{shop.matomo.url}", "sites": "all", "dataset": "matomo_shop"}}'
    )
    (sentence,) = call(shop.env, "status", "blog").errors
    assert sentence.startswith("connector 'blog' has never been synced into dataset matomo_shop")


def test_after_a_sync_every_table_and_site_has_a_line(shop: Shop) -> None:
    """With first and last day, no hole, and the time of the run."""
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, reference_tables=True)
    call(shop.env, "sync", "shop")
    called = call(shop.env, "status", "shop")
    head, first, second, empty, *reference, _, last, quality = called.out.splitlines()
    assert (called.code, called.err, empty) == (0, "", "")
    assert head.split() == ["table", "site", "first", "day", "last", "day", "missing", "rows", "days"]
    assert [line.split()[:5] for line in (first, second)] == [
        [table, "1", str(ago(3)), str(YESTERDAY), "0"] for table in ("visitor_country", "visits_summary")
    ]
    assert reference[0].split() == ["reference", "table", "rows", "deleted", "last", "written", "(UTC)"]
    assert reference[1].split()[:3] == ["sites", "1", "0"]
    assert re.fullmatch(r"last run [\d-]{10} \d\d:\d\d UTC: complete", last)
    assert re.fullmatch(r"quality, last checked .* UTC: [1-9]\d* ok, 0 explained, 0 differs", quality)
    assert call(shop.env, "status", "shop", "--json").json["status"] == "complete"
    _, found = status_of(shop, "visits_summary")
    last_logged = datetime.fromisoformat(found.pop("last_logged"))
    assert timedelta() <= datetime.now(UTC) - last_logged < timedelta(minutes=2)
    assert found == {
        "table": "visits_summary",
        "website_id": "1",
        "segment": "",
        "period": "day",
        "is_configured": True,
        "first_day": str(ago(3)),
        "last_day": str(YESTERDAY),
        "days": 4,
        "gaps": 0,
        "rows": 4,
        "pending": 0,
        "failed": 0,
        "open": 0,
        "visits_difference": None,
        "last_error": None,
    }


@pytest.mark.parametrize("is_down", [False, True], ids=["Matomo answers", "Matomo is down"])
def test_days_that_visits_are_not_kept_of_are_not_missing(shop: Shop, *, is_down: bool) -> None:
    """Neither those that were never fetched, nor those that were deleted since, pending ones included."""
    reports = ["visits_summary"]
    shop.configure(reports=reports, backfill_days=12, visits={"retention_days": 6})
    assert call(shop.env, "sync", "shop").code == 0
    if is_down:
        shop.matomo.faults.add(maintenance())
    code, found = status_of(shop, "visits")
    assert (code, found["gaps"], found["last_day"]) == (0, 0, str(YESTERDAY))
    assert str(ago(5)) <= found["first_day"] <= str(ago(2))
    shop.matomo.faults.clear()
    shop.configure(reports=reports, backfill_days=12, visits=True)
    assert call(shop.env, "sync", "shop").code == 0
    with duckdb.connect(str(shop.warehouse)) as connection:
        connection.execute(
            "update matomo_shop._sync_log set status = 'pending' where table_name = 'visits' and date = ?", [ago(9)]
        )
    code, found = status_of(shop, "visits")
    assert (code, found["days"], found["pending"], found["first_day"]) == (1, 12, 1, str(ago(11)))
    all_rows = found["rows"]
    shop.configure(reports=reports, backfill_days=12, visits={"retention_days": 6})
    if is_down:
        shop.matomo.faults.add(maintenance())
    code, found = status_of(shop, "visits")
    assert (code, found["gaps"], found["pending"]) == (0, 0, 0)
    assert found["first_day"] >= str(ago(5))
    assert found["rows"] < all_rows
    assert status_of(shop, "visits_summary")[1]["days"] == 12


def missing(called: Called) -> list[str]:
    return [line.removeprefix("missing: ") for line in called.err.splitlines() if line.startswith("missing: ")]


def test_days_that_the_configuration_asks_for_are_missing_until_they_are_synced(shop: Shop) -> None:
    """More history, another table, another site: each is named with table, site and days."""
    call(shop.env, "sync", "shop")
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=6)
    called = call(shop.env, "status", "shop")
    assert (called.code, missing(called)) == (
        1,
        [f"visitor_country and visits_summary of site 1 on {ago(5)} to {ago(4)}: no run has handled these days"],
    )
    shop.configure(reports=["visits_summary", "visitor_country", "countries"], backfill_days=4)
    called = call(shop.env, "status", "shop")
    sentence = f"countries of site 1 on {ago(3)} to {YESTERDAY}: no run has handled these days"
    assert (called.code, missing(called)) == (1, [sentence])
    assert "countries        1     -           -                 4     0     0" in called.out
    assert call(shop.env, "sync", "shop").code == 0
    assert call(shop.env, "status", "shop").code == 0


def test_a_run_that_was_cut_off_left_days_that_are_missing(shop: Shop) -> None:
    """The newest days come first, so nothing between the first and the last day shows it."""
    window = ("--start-date", str(ago(1)))
    assert call(shop.env, "sync", "shop", *window).code == 0
    code, found = status_of(shop, "visits_summary")
    assert (code, found["first_day"], found["days"], found["gaps"]) == (1, str(ago(1)), 2, 2)


def test_a_table_that_was_dropped_is_named(shop: Shop) -> None:
    """The log still speaks of it."""
    call(shop.env, "sync", "shop")
    shop.drop_table("visits_summary")
    called = call(shop.env, "status", "shop")
    assert (called.code, missing(called)) == (
        1,
        [
            "table visits_summary is not in dataset matomo_shop, although it has been synced: the next sync fills it "
            "again"
        ],
    )
    assert call(shop.env, "sync", "shop").code == 0
    assert call(shop.env, "status", "shop").code == 0


def test_a_site_that_all_lost_is_named_by_status_plan_and_sync(tmp_path: Path) -> None:
    """Its rows stay; the configuration can say that it is gone for good."""
    world = World(tuple(Site(number, f"Site {number}", visits_per_day=3, pages=3) for number in (1, 2)))
    (tmp_path / "secrets").mkdir()
    with FakeMatomo(world, token=CANARY) as matomo:
        shop = Shop(matomo, tmp_path / "secrets", tmp_path / "warehouse.duckdb")
        shop.configure(reports=["visits_summary"], backfill_days=2, sites="all")
        shop.write("token", CANARY)
        assert call(shop.env, "sync", "shop").code == 0
        shop.write("token", matomo.add_token("b" * 32, sites=(1,)))
        sentence = (
            f"site 2 (synced until {YESTERDAY}) is no longer among the sites that the token's user may see; its rows "
            'stay. Give the user view access, or, if the site is gone for good, set "sites" to {"exclude": ["2"]}'
        )
        called = {command: call(shop.env, command, "shop") for command in ("plan", "sync", "status")}
        assert {command: one.code for command, one in called.items()} == dict.fromkeys(called, 1)
        assert called["plan"].errors == missing(called["sync"]) == missing(called["status"]) == [sentence]
        assert call(shop.env, "sync", "shop", "--json").json["status"] == "partial"
        assert {row["website_id"] for row in shop.contents()["matomo_shop", "visits_summary"]} == {"1", "2"}
        shop.configure(reports=["visits_summary"], backfill_days=2, sites={"exclude": ["2"]})
        called = {command: call(shop.env, command, "shop") for command in ("plan", "sync", "status")}
        assert {command: one.code for command, one in called.items()} == dict.fromkeys(called, 0)
        assert "(visits_summary)" in called["status"].out


def test_without_matomo_the_log_alone_decides(shop: Shop) -> None:
    """As while Matomo is down: a note says so, and a table that lags behind another is still found."""
    assert call(shop.env, "sync", "shop").code == 0
    shop.matomo.faults.add(maintenance())
    called = call(shop.env, "status", "shop")
    assert called.code == 0
    assert "note: compared with the log alone, since Matomo did not say which sites it has: " in called.out
    shop.configure(reports=["visits_summary", "visitor_country", "countries"], backfill_days=4)
    assert call(shop.env, "status", "shop").code == 1


@pytest.mark.parametrize(("reports", "is_configured"), [("all", True), (["visits_summary"], False)])
def test_without_matomo_every_table_is_one_of_all_reports(
    shop: Shop, tmp_path: Path, reports: object, *, is_configured: bool
) -> None:
    """Which there are Matomo alone knows: what failed of one is told. Of a table that was taken out it is not."""
    shop.configure(reports=reports, backfill_days=1)
    connector = read_connector("shop", (shop.secrets / "matomo-shop-config").read_text())
    run = Run("run1", "run1", datetime.now(UTC))
    slice_ = Stream("events_category", "1").slice(YESTERDAY)
    entry = LogEntry(slice_, Status.FAILED, 0, None, has_others=False, is_final=False, written_run_id=None, error="no")
    with closing(DuckDBWarehouse(shop.warehouse, connector.dataset_name)) as warehouse:
        warehouse.ensure_dataset()
        state = SyncState(warehouse, connector)
        state.prepare()
        state.append(run, [entry], tmp_path, Stamp(run.id, 1, run.started_at))
    shop.matomo.faults.add(maintenance())
    found = call(shop.env, "status", "shop", "--json").json
    (events,) = (table for table in found["tables"] if table["table"] == "events_category")
    assert (events["is_configured"], "no" in found["problems"]) == (is_configured, is_configured)


def test_a_refused_token_is_named(shop: Shop) -> None:
    """No day can be said to be missing then, and the next sync would fail."""
    assert call(shop.env, "sync", "shop").code == 0
    shop.write("token", "0" * 32)
    called = call(shop.env, "status", "shop")
    assert called.code == 1
    assert missing(called) == [
        "Matomo refused the token: it is wrong, expired or revoked. Put a valid one into the token secret"
    ]


def test_what_is_no_longer_configured_is_shown_and_not_missing(shop: Shop) -> None:
    """Its failed days would be failed for ever."""
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", day=ago(1), message="no such thing"))
    assert call(shop.env, "sync", "shop").code == 1
    shop.configure(reports=["visits_summary"], backfill_days=4)
    called = call(shop.env, "status", "shop")
    assert called.code == 0
    assert "(visitor_country)  1" in called.out
    assert "in brackets: tables and sites that the configuration no longer has" in called.out


def test_a_site_that_is_no_longer_configured_is_shown_and_not_missing(tmp_path: Path) -> None:
    """Its failed days would be failed for ever; the other site is complete, and that is what is asked for."""
    with running(tmp_path) as shop:
        shop.configure(reports=["visits_summary"], sites="all", backfill_days=2)
        shop.matomo.faults.add(Fault(method="VisitsSummary.get", site=1, message="no such thing"))
        assert call(shop.env, "sync", "shop").code == 1
        assert call(shop.env, "status", "shop").code == 1
        shop.configure(reports=["visits_summary"], sites={"exclude": ["1"]}, backfill_days=2)
        called = call(shop.env, "status", "shop")
        assert (called.code, missing(called)) == (0, [])
        assert [line.split()[:2] for line in called.out.splitlines()[1:3]] == [
            ["(visits_summary)", "1"],
            ["visits_summary", "2"],
        ]


def test_days_that_no_run_handled_are_holes(shop: Shop) -> None:
    """Between the first and the last day; the code says that something is missing."""
    for day in (ago(20), ago(10)):
        window = ("--start-date", str(day), "--end-date", str(day))
        assert call(shop.env, "sync", "shop", "--table", "visits_summary", *window).code == 0
    code, found = status_of(shop, "visits_summary")
    assert (code, found["days"], found["gaps"]) == (1, 2, 9 + 4)  # and the four that are configured
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
    assert (called.code, missing(called)) == (
        1,
        [f"visitor_country of site 1 on {ago(1)}: failed", found["last_error"]],
    )
    shop.matomo.faults.clear()
    assert call(shop.env, "sync", "shop").code == 0
    code, found = status_of(shop, "visitor_country")
    assert (code, found["failed"], found["last_error"]) == (0, 0, None)


def test_pending_days_are_counted_until_matomo_has_processed_them(shop: Shop) -> None:
    """Pending is no failure of the sync, but something that is missing: it is not complete."""
    shop.matomo.unprocess(1, YESTERDAY)
    synced = call(shop.env, "sync", "shop")
    assert (synced.code, synced.errors) == (1, [])
    assert "\npartial: " in synced.out
    assert missing(synced) == [
        f"visitor_country and visits_summary of site 1 on {YESTERDAY}: Matomo has visits of that day but has not "
        "processed its reports yet"
    ]
    code, found = status_of(shop, "visits_summary")
    assert (code, found["pending"], found["failed"]) == (1, 1, 0)
    assert found["last_error"] == (
        f"visits_summary of site 1 on {YESTERDAY}: Matomo has visits of that day but has not processed its reports yet"
    )
    shop.matomo.process(1, YESTERDAY)
    assert call(shop.env, "sync", "shop").code == 0
    assert status_of(shop, "visits_summary")[0] == 0


def test_a_connector_without_configuration_is_bad_input(shop: Shop) -> None:
    """One sentence, code 2."""
    (shop.secrets / "matomo-shop-config").unlink()
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


def test_what_differs_of_a_site_that_is_no_longer_configured_ends_with_code_1(tmp_path: Path) -> None:
    """Nothing is missing that the configuration asks for; but rows are not as they were written, and somebody asked."""
    with running(tmp_path) as shop:
        shop.configure(reports=["visits_summary"], sites="all", backfill_days=2)
        call(shop.env, "sync", "shop")
        with duckdb.connect(str(shop.warehouse)) as connection:
            connection.execute("delete from matomo_shop.visits_summary where website_id = '1'")
        shop.configure(reports=["visits_summary"], sites={"exclude": ["1"]}, backfill_days=2)
        assert call(shop.env, "status", "shop").code == 0
        called = call(shop.env, "status", "shop", "--verify")
        assert (called.code, missing(called)) == (1, [])
        assert "visits_summary of site 1, " in called.out


def test_visits_that_differ_are_summed_up_whichever_way_they_differ(shop: Shop) -> None:
    """One too many on one day and one too few on another are two, and not none."""
    shop.configure(reports=["visits_summary"], visits=True, backfill_days=2)
    more = {str(ago(1)): 1, str(YESTERDAY): -1}

    def other(answer: object) -> object:
        assert isinstance(answer, dict)
        return {day: value | {"nb_visits": value["nb_visits"] + more[day]} for day, value in answer.items()}

    shop.matomo.faults.add(Fault(method="VisitsSummary.get", mutate=other))
    assert call(shop.env, "sync", "shop").code == 0
    _, found = status_of(shop, "visits")
    assert found["visits_difference"] == 2


def test_an_audit_is_no_mode_of_sync(shop: Shop) -> None:
    """The message names the command."""
    called = call(shop.env, "sync", "shop", "--mode", "audit")
    assert called.code == 2
    assert "matomo-fn status shop --verify" in called.err


def test_a_lost_site_and_missing_days_are_told_by_the_table_that_reaches_furthest(tmp_path: Path) -> None:
    """Of two tables of a site, one may have days that the other has not, with Matomo and without it."""
    world = World(tuple(Site(number, f"Site {number}", visits_per_day=3, pages=3) for number in (1, 2)))
    (tmp_path / "secrets").mkdir()
    with FakeMatomo(world, token=CANARY) as matomo:
        shop = Shop(matomo, tmp_path / "secrets", tmp_path / "warehouse.duckdb")
        shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=1, sites="all")
        shop.write("token", CANARY)
        for table, day in (("visitor_country", ago(3)), ("visits_summary", ago(2))):
            days = ("--start-date", str(day), "--end-date", str(day))
            assert call(shop.env, "sync", "shop", "--table", table, *days).code == 0
        matomo.faults.add(maintenance())
        found = call(shop.env, "status", "shop", "--json").json
        assert {(each["table"], each["gaps"]) for each in found["tables"]} == {
            ("visitor_country", found["tables"][0]["gaps"]),
            ("visits_summary", found["tables"][0]["gaps"]),
        }
        matomo.faults.clear()
        shop.write("token", matomo.add_token("b" * 32, sites=(1,)))
        (lost,) = [each for each in call(shop.env, "status", "shop", "--json").json["problems"] if "no longer" in each]
        assert lost.startswith(f"site 2 (synced until {ago(2)}) ")
