"""The tables beyond the default ones: what the recordings and the sample Matomo's visits say of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, default_world
from matomo_fn.catalogue import EXTENDED, PREBUILT, REPORT_SETS
from matomo_fn.config.connector import read_connector
from matomo_fn.errors import InputError, InvalidResponse
from matomo_fn.extract.report_rows import parse_slice
from tests.support.local import NOW, local
from tests.support.recordings import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.local import Local

FURTHER = [name for name in EXTENDED if name not in PREBUILT]
ORDERED = "sum(if(a.type = 'ecommerceOrder', (select sum(i.quantity) from unnest(a.items) i), 0))"
ORDER = {
    "orders": "nb_conversions",
    "visits_converted": "nb_visits_converted",
    "revenue": "revenue",
    "subtotal": "revenue_subtotal",
    "tax": "revenue_tax",
    "shipping": "revenue_shipping",
    "discount": "revenue_discount",
    "items": "items",
}
CART = {"abandoned_carts": "nb_conversions", "visits": "nb_visits_converted", "revenue": "revenue", "items": "items"}
GOAL = {"conversions": "nb_conversions", "visits_converted": "nb_visits_converted", "revenue": "revenue"}


def parsed(table: str, answer: object) -> list[dict[str, Any]]:
    """The rows of an answer."""
    (source,) = EXTENDED[table].sources
    return [json.loads(line) for line in parse_slice(EXTENDED[table], [(source, answer)]).lines]


def of_goal(goal: str, fields: dict[str, str]) -> dict[str, Any]:
    """What Goals.get of the same day answers for a goal, which Matomo counts by itself."""
    answer = json.loads(read(f"day_Goals.get_idGoal-{goal}.json").body)
    return {column: float(str(answer[field]).strip("€")) for column, field in fields.items()}


def numbers(row: dict[str, Any], fields: dict[str, str]) -> dict[str, Any]:
    """The numbers of a row."""
    return {name: float(row[name]) for name in fields}


def test_goals_orders_and_carts_are_those_of_goals_get() -> None:
    """They are summed up over the channels of one answer; Matomo's own report of each goal has the same numbers."""
    channels = json.loads(read("day_Referrers.getReferrerType.json").body)
    goals = {row["goal_id"]: row for row in parsed("goal_conversions", channels)}
    assert {goal: numbers(row, GOAL) for goal, row in goals.items()} == {
        1: of_goal("1", GOAL),
        2: of_goal("2", GOAL),
    }
    (orders,) = parsed("ecommerce_orders", channels)
    (carts,) = parsed("ecommerce_abandoned_carts", channels)
    assert numbers(orders, ORDER) == of_goal("ecommerceOrder", ORDER)
    assert numbers(carts, CART) == of_goal("ecommerceAbandonedCart", CART)
    assert (orders["orders"], orders["revenue"], carts["abandoned_carts"]) == (5, 1262.9, 2)


def test_a_day_without_conversions_has_no_goal_and_zero_orders() -> None:
    """Whether it has visits or not; a goal that was not converted has no row."""
    for answer in ([], [{"label": "Direct Entry", "nb_visits": 3}], [{"label": "Direct Entry", "goals": []}]):
        assert parsed("goal_conversions", answer) == []
        (orders,) = parsed("ecommerce_orders", answer)
        assert set(numbers(orders, ORDER).values()) == {0.0}


@pytest.mark.parametrize(
    "answer",
    [
        {"value": 3},
        ["text"],
        [{"goals": "text"}],
        [{"goals": {"idgoal=1": 3}}],
        [{"goals": {"idgoal=1": {"revenue": "x"}}}],
    ],
)
def test_goals_that_cannot_be_read_are_refused(answer: object) -> None:
    """Nothing of such a day is written."""
    with pytest.raises(InvalidResponse, match=r"Referrers\.getReferrerType"):
        parsed("goal_conversions", answer)


def configured(reports: object) -> tuple[str, ...]:
    """The tables of a configuration."""
    values = {"matomo_url": "https://matomo.example", "sites": "all", "reports": reports, "reference_tables": False}
    return read_connector("shop", json.dumps(values)).tables


def test_a_set_of_reports_is_named_alone_or_in_a_list() -> None:
    """Without a word of it a configuration keeps the thirteen tables, and so its calls to Matomo."""
    assert configured("prebuilt") == tuple(PREBUILT)
    assert len(PREBUILT) == 13
    assert configured("extended") == tuple(EXTENDED)
    assert configured(["prebuilt", "extended"]) == tuple(EXTENDED)
    assert configured(["ecommerce", "visitor_city"]) == ("visitor_city", *REPORT_SETS["ecommerce"])
    assert configured(["prebuilt", "visitor_os", "Events.getName"]) == (*PREBUILT, "visitor_os", "events_name")
    with pytest.raises(InputError, match="there is no table 'visitor_town'"):
        configured(["visitor_town"])
    with pytest.raises(InputError, match='none of "prebuilt", "extended", "ecommerce", "all"'):
        configured("everything")


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """Two days of three sites of the sample Matomo, in all tables, with the visits; one of the sites is no shop."""
    with FakeMatomo(default_world(NOW)) as matomo:
        path = tmp_path_factory.mktemp("extended") / "w.duckdb"
        with local(matomo, path, reports="extended", visits=True, sites=["1", "2", "3"], backfill_days=2) as opened:
            result = opened.sync()
            assert (result.as_dict()["status"], result.as_dict()["errors"]) == ("complete", [])
            yield opened


def queried(opened: Local, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a query in GoogleSQL; TABLE.name stands for a table."""
    return [
        tuple(row.values())
        for row in opened.warehouse.query(statement.replace("TABLE.", f"{opened.warehouse.dataset}."))
    ]


@pytest.mark.parametrize(
    ("table", "column", "visits"),
    [
        ("behaviour_download", "downloads", "countif(a.type = 'download')"),
        ("behaviour_outlink", "clicks", "countif(a.type = 'outlink')"),
        ("behaviour_search", "searches", "countif(a.type = 'search')"),
        ("behaviour_search_no_result", "searches", "countif(a.type = 'search' and a.search_count = 0)"),
        ("behaviour_event_action", "events", "countif(a.type = 'event')"),
        ("behaviour_event_name", "events", "countif(a.type = 'event')"),
        ("behaviour_page_title", "pageviews", "countif(a.type = 'action')"),
        ("goal_conversions", "conversions", "countif(a.type = 'goal')"),
        ("ecommerce_orders", "orders", "countif(a.type = 'ecommerceOrder')"),
        ("ecommerce_abandoned_carts", "abandoned_carts", "countif(a.type = 'ecommerceAbandonedCart')"),
        ("ecommerce_orders", "items", ORDERED),
        ("ecommerce_item_sku", "quantity", ORDERED),
        ("ecommerce_item_name", "quantity", ORDERED),
    ],
)  # fmt: skip
def test_reports_and_visits_count_the_same(synced: Local, table: str, column: str, visits: str) -> None:
    """Of each day and site the report's total is what the visits' actions are counted to."""
    report = queried(synced, f"select t.date, t.website_id, sum(t.{column}) as n from `TABLE.{table}` t group by 1, 2")
    actions = queried(
        synced,
        f"select t.date, t.website_id, {visits} as n from `TABLE.visits` t, unnest(t.actions) a group by 1, 2",
    )
    found, expected = ({row[:2]: int(row[2]) for row in rows if row[2]} for rows in (report, actions))
    assert found == expected
    assert sum(found.values()) > 0


@pytest.mark.parametrize("table", ["behaviour_entry_page", "behaviour_page_title", "behaviour_exit_page"])
def test_each_visit_enters_by_one_page_and_leaves_by_one(synced: Local, table: str) -> None:
    """So entrances or exits sum up to the visits that viewed a page."""
    columns = [name for name in ("entrances", "exits") if name in EXTENDED[table].schema.column_names]
    for column in columns:
        pages = queried(
            synced, f"select t.date, t.website_id, sum(t.{column}) as n from `TABLE.{table}` t group by 1, 2"
        )
        visits = queried(
            synced,
            "select t.date, t.website_id, count(*) as n from `TABLE.visits` t "
            "where exists (select 1 from unnest(t.actions) a where a.type = 'action') group by 1, 2",
        )
        assert sorted((row[0], row[1], int(row[2])) for row in pages) == sorted(visits), column


@pytest.mark.parametrize("table", ["visitor_os", "visitor_region", "visitor_city"])
def test_visitors_of_a_dimension_sum_up_to_the_visits(synced: Local, table: str) -> None:
    """Each visit has one operating system and one place."""
    found = queried(synced, f"select t.date, t.website_id, sum(t.visits) as n from `TABLE.{table}` t group by 1, 2")
    visits = queried(synced, "select t.date, t.website_id, count(*) as n from `TABLE.visits` t group by 1, 2")
    assert sorted((row[0], row[1], int(row[2])) for row in found) == sorted(visits)


def test_a_site_that_is_no_shop_has_no_call_and_no_row_of_orders(synced: Local) -> None:
    """Its goals it has; a site without goals has none."""
    shops = {row[0] for row in queried(synced, "select distinct t.website_id from `TABLE.ecommerce_orders` t")}
    goals = {row[0] for row in queried(synced, "select distinct t.website_id from `TABLE.goal_conversions` t")}
    assert (shops, goals) == ({"1"}, {"1", "2"})
    items = {call.params["idSite"] for call in synced.matomo.calls if call.method.startswith("Goals.getItems")}
    assert items == {"1"}


def test_goals_cost_no_call_beside_the_channels(tmp_path: Path) -> None:
    """They stand in the same answer."""
    with FakeMatomo(default_world(NOW)) as matomo:
        names = ["acquisition_channel_type", "goal_conversions", "ecommerce_orders", "ecommerce_abandoned_carts"]
        with local(matomo, tmp_path / "w.duckdb", reports=names, sites=["1"], backfill_days=2) as opened:
            opened.sync()
        assert [call.method for call in matomo.calls].count("Referrers.getReferrerType") == 1


def test_a_plugin_that_is_switched_off_leaves_its_tables_out(tmp_path: Path) -> None:
    """With a note, after one call for the plugin: the run is complete, and neither does the next one try each day."""
    with FakeMatomo(default_world(NOW)) as matomo:
        matomo.api.inactive_plugins |= {"PagePerformance", "DevicesDetection"}
        names = ["visits_summary", "page_performance", "visitor_os"]
        with local(matomo, tmp_path / "w.duckdb", reports=names, sites=["1", "2"], backfill_days=200) as opened:
            for _ in range(2):
                matomo.forget_calls()
                result = opened.sync().as_dict()
                assert (result["status"], result["errors"]) == ("complete", [])
                left_out = [note for note in result["notes"] if "is left out" in note]
                assert [note.split(":")[0] for note in sorted(left_out)] == [
                    "table page_performance is left out", "table visitor_os is left out",
                ]  # fmt: skip
                assert [call.method for call in matomo.calls].count("PagePerformance.get") <= 2
            assert opened.contents(["page_performance"]) == {"page_performance": []}
