"""`plan` shows what a sync would do, and does nothing of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.app.cli.calling import call
from tests.app.cli.test_check import LOOKING
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from tests.support.shop import Shop


def test_a_plan_does_nothing(shop: Shop) -> None:
    """No file is made, and Matomo is asked for version and sites only."""
    before = sorted(shop.warehouse.parent.rglob("*"))
    assert call(shop.env, "plan", "shop").code == 0
    assert call(shop.env, "plan", "shop", "--mode", "full_refresh", "--json").code == 0
    assert sorted(shop.warehouse.parent.rglob("*")) == before
    assert {one.method for one in shop.matomo.calls} == LOOKING


def test_the_first_plan_has_every_day_of_every_table(shop: Shop) -> None:
    """In text a table with a line of totals, in JSON the same numbers."""
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, reference_tables=True)
    found = call(shop.env, "plan", "shop", "--json").json
    assert (found["status"], found["connector"], found["dataset"], found["mode"]) == (
        "planned",
        "shop",
        DATASET,
        "incremental",
    )
    assert (found["sites"], found["slices"], found["matomo_calls"], found["problems"]) == (["1"], 8, 2, [])
    table = found["tables"]["visitor_country"]
    assert (table["slices"], table["open"]) == (4, 4)
    text = call(shop.env, "plan", "shop").out.splitlines()
    assert text[0].split() == ["table", "first", "day", "last", "day", "slices", "open"]
    assert text[1].split() == ["visitor_country", table["first_day"], table["last_day"], "4", "4"]
    assert f"8 slices of 1 site, about 2 calls to Matomo, into {DATASET}." in text[-2]
    assert text[-1] == "Reference tables, kept current: sites, goals, custom_dimensions, segments."
    assert found["reference_tables"] == ["sites", "goals", "custom_dimensions", "segments"]


def test_a_plan_after_a_sync_has_the_trailing_days(shop: Shop) -> None:
    """They are asked again although they are known; nothing is open, and nothing changes by planning."""
    assert call(shop.env, "sync", "shop").code == 0
    contents = shop.contents()
    found = call(shop.env, "plan", "shop", "--json").json
    assert {name: (table["slices"], table["open"]) for name, table in found["tables"].items()} == {
        "visitor_country": (3, 0),
        "visits_summary": (3, 0),
    }
    assert shop.contents() == contents


def test_options_narrow_the_plan(shop: Shop) -> None:
    """Table, site and window."""
    shop.configure(sites="all")
    narrow = ("--table", "visits_summary", "--site", "2", "--start-date", "2024-02-27", "--end-date", "2024-03-01")
    found = call(shop.env, "plan", "shop", "--json", *narrow).json
    assert (found["sites"], found["slices"]) == (["2"], 4)
    assert found["tables"] == {
        "visits_summary": {
            "slices": 4,
            "open": 4,
            "reasons": {"missing": 4},
            "first_day": "2024-02-27",
            "last_day": "2024-03-01",
        }
    }


def test_nothing_to_do_is_a_plan_as_well(shop: Shop) -> None:
    """With a dash where there is no day."""
    shop.configure(reports=["visits_summary"], backfill_days=1, trailing_days=1)
    assert call(shop.env, "sync", "shop").code == 0
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=1, trailing_days=1)
    lines = call(shop.env, "plan", "shop", "--table", "visits_summary").out.splitlines()
    assert lines[1].split()[3:] == ["1", "0"]


def test_a_site_that_cannot_be_synced_is_named(shop: Shop) -> None:
    """The others are planned; the code says that not all is well."""
    shop.configure(sites=["1", "9"])
    called = call(shop.env, "plan", "shop")
    assert called.code == 1
    (sentence,) = called.errors
    assert sentence.startswith("site 9 is not there or the token's user may not see it (it sees 1, 2)")
    assert call(shop.env, "plan", "shop", "--json").json["problems"] == [sentence]
