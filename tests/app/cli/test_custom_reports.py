"""The commands with tables that only a configuration and Matomo know of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.app.cli.calling import call

if TYPE_CHECKING:
    from tests.support.shop import Shop

TABLES = ["visits_summary", "events_name", "custom_goals", "pages"]
CONFIG = {
    "reports": ["visits_summary", "Events.getName", "Goals.get"],
    "custom_reports": [{"report": "Actions.getPageUrls", "name": "pages", "flat": True, "fields": "label,nb_hits"}],
}


def configure(shop: Shop, **more: Any) -> None:
    path = shop.secrets / "matomo-shop-config"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"backfill_days": 4} | more))


@pytest.fixture(autouse=True)
def _custom(shop: Shop) -> None:
    configure(shop, **CONFIG)


def test_check_plan_sync_and_status_agree_about_the_tables(shop: Shop) -> None:
    """Before the first run and after it; the second plan has the trailing days alone."""
    assert call(shop.env, "check", "shop").code == 0
    planned = call(shop.env, "plan", "shop", "--json").json
    assert (list(planned["tables"]), planned["slices"]) == (TABLES, 16)
    synced = call(shop.env, "sync", "shop", "--json").json
    assert (synced["status"], list(synced["tables"])) == ("complete", TABLES)
    assert call(shop.env, "plan", "shop", "--json").json["slices"] == 12
    status = call(shop.env, "status", "shop", "--verify", "--json")
    assert (status.code, status.json["status"], status.json["audit"]["status"]) == (0, "complete", "consistent")
    assert sorted({table["table"] for table in status.json["tables"]}) == sorted(TABLES)
    assert call(shop.env, "check", "shop").code == 0


def test_status_needs_no_matomo(shop: Shop) -> None:
    """The names come from the configuration, what is there from the log."""
    call(shop.env, "sync", "shop")
    configure(shop, matomo_url="http://127.0.0.1:9")
    status = call(shop.env, "status", "shop", "--json").json
    assert {table["table"] for table in status["tables"] if table["is_configured"]} == set(TABLES)
    assert "compared with the log alone" in status["notes"][0]


def test_status_of_all_reports(shop: Shop) -> None:
    """With Matomo the tables are those that it has, without it those of the log; the audit asks nobody."""
    configure(shop, reports="all", custom_reports=[], backfill_days=1)
    assert call(shop.env, "sync", "shop", "--json").json["status"] == "complete"
    status = call(shop.env, "status", "shop", "--verify", "--json")
    assert (status.code, status.json["status"], status.json["audit"]["status"]) == (0, "complete", "consistent")
    with_matomo = {table["table"]: table["is_configured"] for table in status.json["tables"]}
    assert len(with_matomo) > 60
    configure(shop, matomo_url="http://127.0.0.1:9")
    without = call(shop.env, "status", "shop", "--json").json
    assert {table["table"]: table["is_configured"] for table in without["tables"]} == with_matomo
    assert set(with_matomo.values()) == {True}


def test_dbt_sources_have_what_the_configuration_says(shop: Shop) -> None:
    """Without Matomo and without a warehouse: the columns that identify a row, and those of a schema."""
    schema = {"label": {"type": "STRING", "identifier": True, "name": "page"}, "nb_hits": {"type": "INTEGER"}}
    configure(shop, custom_reports=[{"report": "Actions.getPageTitles", "name": "titles", "schema": schema}])
    (source,) = call(shop.env, "dbt-sources", "shop", "--secrets", str(shop.secrets), "--json").json["sources"]
    tables = {table["name"]: table for table in source["tables"]}
    assert list(tables)[:4] == ["visits_summary", "events_name", "custom_goals", "titles"]
    assert [column["name"] for column in tables["titles"]["columns"]] == [
        "date",
        "website_id",
        "segment",
        "page",
        "nb_hits",
        "_is_others",
        "_synced_at",
        "_run_id",
    ]
    assert "unique" in tables["titles"]["data_tests"][0]
    assert "data_tests" not in tables["events_name"]


def test_check_names_a_report_that_matomo_does_not_have(shop: Shop) -> None:
    configure(shop, reports=["visits_summary", "Events.getNames"], custom_reports=[])
    found = call(shop.env, "check", "shop", "--json")
    assert found.code == 1
    (wrong,) = [check for check in found.json["checks"] if not check["ok"]]
    assert wrong["detail"].startswith(
        "table events_names: Events.getNames: Matomo says: The method 'getNames' does not"
    )
