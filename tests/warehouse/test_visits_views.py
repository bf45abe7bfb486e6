"""The views of the visits: conversions and the items of orders, from recorded visits, in DuckDB and in the emulator."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import CONVERSIONS, GA4_EVENTS, ORDER_ITEMS, VISITS, View
from matomo_fn.deadline import Deadline
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table, ensure_view
from tests.support.nested_loads import nested_loads
from tests.support.recordings import read
from tests.support.visits import DAY, PARIS, read_day, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.analyzer import Analyzer, Column
    from tests.support.emulator import Emulator

DATASET = "test.shop"
VIEWS = (CONVERSIONS, ORDER_ITEMS, GA4_EVENTS)
WRITTEN = Stamp("r1", 1, datetime(2026, 11, 20, 12, tzinfo=UTC))
# The channel of a visit, by its field and its column.
ORIGIN = {
    "referrerType": "referrer_type",
    "referrerName": "referrer_name",
    "referrerKeyword": "referrer_keyword",
    "referrerUrl": "referrer_url",
    "countryCode": "country_code",
    "deviceType": "device_type",
    "browserName": "browser",
}
PARTS = {
    "order_subtotal": "revenueSubTotal",
    "order_tax": "revenueTax",
    "order_shipping": "revenueShipping",
    "order_discount": "revenueDiscount",
}


def recorded() -> list[dict[str, Any]]:
    """Every different visit of the recordings that has a goal, an order or a cart, on one day."""
    found: dict[int, dict[str, Any]] = {}
    for name in ("live_one_rich_visit", "live_one_visit_with_ecommerceOrder", "live_one_visit_with_goal",
                 "live_one_visit_with_ecommerceAbandonedCart", "live_one_visit_with_search"):  # fmt: skip
        for visit in json.loads(read(f"{name}.json").body):
            found[visit["idVisit"]] = _on_the_day(visit)
    return list(found.values())


def _on_the_day(visit: dict[str, Any]) -> dict[str, Any]:
    ended = datetime.fromtimestamp(visit["lastActionTimestamp"], PARIS).date()
    seconds = (DAY - ended).days * 86_400
    moved = {name: visit[name] + seconds for name in ("firstActionTimestamp", "lastActionTimestamp")}
    actions = [{**each, "timestamp": each["timestamp"] + seconds} for each in visit["actionDetails"]]
    return {**visit, **moved, "actionDetails": actions}


def _utc(action: Mapping[str, Any]) -> datetime:
    """When an action was: Matomo writes the site's wall clock as if it were UTC."""
    wall = datetime(1970, 1, 1) + timedelta(seconds=action["timestamp"])  # noqa: DTZ001 - a wall clock
    return wall.replace(tzinfo=PARIS).astimezone(UTC)


def _of_visit(visit: Mapping[str, Any], index: int) -> dict[str, Any]:
    which = {
        "date": DAY,
        "website_id": "1",
        "visit_id": visit["idVisit"],
        "visitor_id": visit["visitorId"],
        "user_id": visit["userId"],
        "action_index": index,
        "currency": visit["siteCurrency"],
    }
    return which | {column: visit[field] for field, column in ORIGIN.items()}


def expected_conversions(visits: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a reader of the recordings writes down: goals and orders, with what they are attributed to."""
    rows = []
    for visit in visits:
        for index, action in enumerate(visit["actionDetails"], 1):
            if action["type"] in ("goal", "ecommerceOrder"):
                is_goal = action["type"] == "goal"
                amounts = {column: None if is_goal else float(action[field]) for column, field in PARTS.items()}
                row = {
                    "conversion_type": "goal" if is_goal else "order",
                    "occurred_at": _utc(action),
                    "goal_id": action["goalId"] if is_goal else None,
                    "goal_name": action["goalName"] if is_goal else None,
                    "revenue": float(action["revenue"]),
                    "order_id": None if is_goal else action["orderId"],
                    "url": action.get("url"),
                    "pageview_id": action["idpageview"],
                    "attributed_referrer_type": action["referrerType"],
                    "attributed_referrer_name": action["referrerName"],
                    "attributed_referrer_keyword": action["referrerKeyword"],
                }
                rows.append(_of_visit(visit, index) | row | amounts)
    return sorted(rows, key=lambda row: (row["visit_id"], row["action_index"]))


def expected_items(visits: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a reader of the recordings writes down: what was ordered; what stayed in a cart is not among it."""
    rows = []
    for visit in visits:
        for index, action in enumerate(visit["actionDetails"], 1):
            if action["type"] == "ecommerceOrder":
                for position, item in enumerate(action["itemDetails"], 1):
                    row = {
                        "occurred_at": _utc(action),
                        "order_id": action["orderId"],
                        "item_index": position,
                        "sku": item["itemSKU"],
                        "name": item["itemName"],
                        "price": float(item["price"]),
                        "quantity": int(item["quantity"]),
                        "item_revenue": pytest.approx(float(item["price"]) * int(item["quantity"])),
                        "many": len(item["categories"] or [item["itemCategory"]] * bool(item["itemCategory"])),
                    }
                    rows.append(_of_visit(visit, index) | row)
    return sorted(rows, key=lambda row: (row["visit_id"], row["action_index"], row["item_index"]))


@pytest.fixture
def bigquery(emulator: Emulator, dataset_name: str) -> Iterator[BigQueryWarehouse]:
    """A dataset in the emulator, reached through the stand-in for nested loads."""
    with nested_loads(emulator) as proxy:
        client = emulator.client(proxy.url)
        warehouse = BigQueryWarehouse(client, dataset_name, location="EU", run_id=dataset_name, deadline=Deadline(60))
        yield warehouse
        warehouse.close()


@pytest.fixture
def duck(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """A DuckDB file."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    yield warehouse
    warehouse.close()


def write(warehouse: Warehouse, visits: Sequence[dict[str, Any]], folder: Path) -> None:
    """Make the visits and their views, as a run does."""
    warehouse.ensure_dataset()
    ensure_table(warehouse, VISITS.schema, "day")
    for view in VIEWS:
        ensure_view(warehouse, view.schema, sql.view_query(warehouse.dataset, VISITS.name, view))
    day = read_day(server_of(visits), folder)
    path = folder / "day.json.gz"
    path.write_bytes(gzip.compress(gzip.decompress(day.buffer.path.read_bytes()), mtime=0))
    replace_slices(warehouse, VISITS, [path], {Slice(Stream(VISITS.name, "1"), DAY): day.row_count}, WRITTEN)


def rows_of(warehouse: Warehouse, view: View, order: str, *more: str) -> list[dict[str, Any]]:
    """The rows of a view; arrays are left out, ``more`` are expressions of them."""
    plain = [column.name for column, _ in view.columns if not column.repeated]
    names = ", ".join([*(f"t.{name}" for name in plain), *more])
    table = sql.table_name(warehouse.dataset, view.name)
    return [dict(row) for row in warehouse.query(f"select {names} from {table} t order by {order}")]


def narrowed(rows: Iterable[Mapping[str, Any]], like: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The columns of rows that the other reader has written down."""
    return [{name: row[name] for name in like} for row in rows]


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_its_columns_in_their_order(
    view: View, analyzer: Callable[[Mapping[str, Iterable[Column]]], Analyzer]
) -> None:
    """Before the GoogleSQL analyzer; what a run compares an existing view with is what the query gives."""
    columns = [(c.name, c.type_name, "REQUIRED" if c.required else "NULLABLE") for c in VISITS.schema.columns]
    googlesql = analyzer({f"{DATASET}.{VISITS.name}": columns})
    query = sql.view_query(DATASET, VISITS.name, view)
    googlesql.check(sql.create_view(DATASET, view.name, query))
    assert googlesql.columns(query) == list(view.column_names)
    assert len(set(view.column_names)) == len(view.columns)


def test_conversions_and_items_are_those_of_the_recorded_visits(
    bigquery: BigQueryWarehouse, duck: DuckDBWarehouse, tmp_path: Path
) -> None:
    """Cell for cell beside another reader; every column is in the emulator what it is in DuckDB."""
    visits = recorded()
    conversions, items = expected_conversions(visits), expected_items(visits)
    kinds = {row["conversion_type"] for row in conversions}
    carts = [each for visit in visits for each in visit["actionDetails"] if each["type"] == "ecommerceAbandonedCart"]
    assert (kinds, bool(items), bool(carts)) == ({"goal", "order"}, True, True)
    by_action, by_item = "t.visit_id, t.action_index", "t.visit_id, t.action_index, t.item_index"
    many = "array_length(t.categories) as many"
    found = []
    for warehouse in (duck, bigquery):
        write(warehouse, visits, tmp_path)
        found.append((rows_of(warehouse, CONVERSIONS, by_action), rows_of(warehouse, ORDER_ITEMS, by_item, many)))
        assert narrowed(found[-1][0], conversions[0]) == conversions
        assert narrowed(found[-1][1], items[0]) == items
    assert found[0] == found[1]


def test_conversions_and_items_agree_with_the_totals_of_the_visits(duck: DuckDBWarehouse, tmp_path: Path) -> None:
    """A visit's counts, which the parser sums up, and the views, which SQL takes apart, are the same numbers."""
    write(duck, recorded(), tmp_path)
    (visits,) = duck.query(
        "select sum(t.goal_conversions) as goals, sum(t.order_count) as orders, sum(t.order_revenue) as revenue, "
        "sum(t.order_items) as items from `d.visits` t"
    )
    (conversions,) = duck.query(
        "select countif(t.conversion_type = 'goal') as goals, countif(t.conversion_type = 'order') as orders, "
        "sum(if(t.conversion_type = 'order', t.revenue, 0)) as revenue from `d.conversions` t"
    )
    (items,) = duck.query("select sum(t.quantity) as items from `d.order_items` t")
    assert dict(conversions) | dict(items) == {**visits, "revenue": pytest.approx(visits["revenue"])}


# Of the view in GA4's shape: what stands in records and arrays, each value as a column.
PARAMETER = (
    "select t.event_timestamp, t.event_name, p.key, p.value.string_value, p.value.int_value, p.value.double_value "
    "from {table} t, unnest(t.event_params) as p order by 1, 2, 3, 4, 5, 6"
)
ITEM = (
    "select t.event_timestamp, t.event_name, i.item_id, i.item_name, i.item_category, i.price, i.quantity, "
    "i.item_revenue from {table} t, unnest(t.items) as i order by 1, 2, 3, 4"
)
RECORD = (
    "select t.event_timestamp, t.event_name, t.device.category, t.device.web_info.hostname, t.geo.country, "
    "t.traffic_source.medium, t.ecommerce.transaction_id, t.ecommerce.purchase_revenue, t.ecommerce.tax_value, "
    "t.ecommerce.total_item_quantity, t.ecommerce.unique_items, t.is_active_user, "
    "t.session_traffic_source_last_click.manual_campaign.source as s from {table} t order by 1, 2, 4"
)


def test_events_are_those_of_the_recorded_visits_in_both_warehouses(
    bigquery: BigQueryWarehouse, duck: DuckDBWarehouse, tmp_path: Path
) -> None:
    """Orders, items and sessions beside the recordings; every value is in the emulator what it is in DuckDB."""
    visits = recorded()
    found: list[list[list[tuple[Any, ...]]]] = []
    for warehouse in (duck, bigquery):
        write(warehouse, visits, tmp_path)
        table = sql.table_name(warehouse.dataset, GA4_EVENTS.name)
        queries = (PARAMETER, ITEM, RECORD)
        found.append([[tuple(row.values()) for row in warehouse.query(q.format(table=table))] for q in queries])
    assert found[0] == found[1]
    parameters, items, records = found[0]
    names = [row[1] for row in records]
    assert (names.count("session_start"), names.count("first_visit")) == (
        len(visits),
        sum(int(visit["visitCount"]) == 1 for visit in visits),
    )
    orders = [each for visit in visits for each in visit["actionDetails"] if each["type"] == "ecommerceOrder"]
    assert sorted((row[6], row[7]) for row in records if row[6]) == sorted(
        (order["orderId"], float(order["revenue"])) for order in orders
    )
    values = {(row[0], row[5]) for row in parameters if row[1:3] == ("purchase", "value")}
    assert values == {(int(_utc(order).timestamp() * 1_000_000), float(order["revenue"])) for order in orders}
    bought = [item for order in orders for item in order["itemDetails"]]
    assert sorted(row[2] for row in items if row[1] == "purchase") == sorted(item["itemSKU"] for item in bought)
    assert {row[4] for row in parameters if row[2] == "ga_session_id"} == {visit["idVisit"] for visit in visits}
    assert all(value != "" for *_, value, _, _ in parameters)
