"""Orders, carts, views of products and searches; what cannot be read as one of them is an ordinary event."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from matomo_fn.events.model import Hit, HitKind
from tests.events.mapping_examples import CALL, MONOPOLY, ORDER, PAGE, UNO, Json, track


def hit_of(event: str, properties: Json, **keys: Any) -> Hit:
    (hit,) = map_call(read_call({**CALL, **track(event, properties, **keys)}), EventsConfig(site="1")).hits
    return hit


def items_of(*products: Any) -> list[list[Any]]:
    found: list[list[Any]] = json.loads(hit_of("Cart Viewed", {"products": list(products)}).parameters["ec_items"])
    return found


@pytest.mark.parametrize(
    "event", ["Order Completed", "order completed", "Completed Order", "order_completed", "OrderCompleted"]
)
def test_names_of_ecommerce_events_are_those_of_segment(event: str) -> None:
    """Of both versions of the specification, as its libraries compare them."""
    assert hit_of(event, ORDER).kind == HitKind.ORDER


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("Cart Viewed", {}),
        ("Cart Viewed", {"products": MONOPOLY}),
        ("Cart Viewed", {"products": ["Monopoly", 3]}),
        ("Product Added", {"price": 3}),
        ("Product Removed", MONOPOLY),
        ("Product Viewed", {"price": 3}),
        ("Product List Viewed", {"products": [UNO]}),
        ("Products Searched", {}),
        ("Products Searched", {"query": {"color": "red"}}),
        ("Products Searched", {"query": "0"}),
        ("Order Updated", ORDER),
        ("Order Completed Again", ORDER),
        ("Checkout Started", ORDER),
    ],
)
def test_what_cannot_be_read_is_an_event(event: str, properties: Json) -> None:
    """It is not lost, and it empties no cart. To PHP, a search for "0" is none."""
    hit = hit_of(event, properties)
    assert (hit.kind, hit.parameters["e_a"]) == (HitKind.EVENT, event)
    assert not {"idgoal", "ec_items", "search", "_pks", "_pkc"} & set(hit.parameters)


def test_an_empty_cart_is_one() -> None:
    """Products that are none are told, unlike products that are not there."""
    hit = hit_of("Cart Viewed", {"products": []})
    assert hit.kind == HitKind.CART
    assert hit.parameters["revenue"] == "0"
    assert not {"ec_items", "ec_id"} & set(hit.parameters)


@pytest.mark.parametrize(
    ("order_id", "expected"),
    [("A-1", "A-1"), (4711, "4711"), ("0", CALL["messageId"]), ("", CALL["messageId"]), ([1], CALL["messageId"])],
)
def test_an_order_always_has_an_id(order_id: Any, expected: str) -> None:
    """To PHP, "0" is empty too, and an order without an id is a cart."""
    assert hit_of("Order Completed", {"order_id": order_id}).parameters["ec_id"] == expected


def test_an_order_of_message_0_has_an_id_too() -> None:
    """As the first row of a table may be counted."""
    call = {**CALL, **track("Order Completed"), "messageId": 0}
    (hit,) = map_call(read_call(call), EventsConfig(site="1")).hits
    assert hit.parameters["ec_id"] == "message 0"


def test_a_long_order_id_is_a_hash() -> None:
    """Matomo's column has 100 characters: two orders must not become one."""
    found = {hit_of("Order Completed", {"order_id": "x" * 100 + end}).parameters["ec_id"] for end in ("", "a", "b")}
    assert len(found) == 3
    assert max(map(len, found)) == 100


@pytest.mark.parametrize(
    ("properties", "revenue"),
    [
        ({"total": 27.5, "revenue": 25, "value": 1}, "27.5"),
        ({"revenue": "25.00", "value": 1}, "25"),
        ({"value": 0}, "0"),
        ({"total": "27,50", "products": [MONOPOLY, UNO]}, "25"),
        ({"products": [{"sku": "a", "price": 0.1, "quantity": 3}]}, "0.3"),
        ({"products": [{"sku": "a", "price": 9e14, "quantity": 2_000_000_000}]}, None),
        ({"total": -5}, "-5"),
        ({}, "0"),
    ],
)
def test_an_order_is_worth_its_total(properties: Json, revenue: str | None) -> None:
    """Else its revenue, else what the products cost together, to the cent."""
    assert hit_of("Order Completed", properties).parameters.get("revenue") == revenue


@pytest.mark.parametrize(
    ("product", "item"),
    [
        ({"sku": "s", "product_id": "p"}, ["s", "", "", 0, 1]),
        ({"sku": " ", "product_id": 12}, ["12", "", "", 0, 1]),
        ({"name": "n"}, ["n", "n", "", 0, 1]),
        ({"sku": "s", "price": "$1.50", "quantity": "3"}, ["s", "", "", 1.5, 3]),
        ({"sku": "s", "price": "1,50", "quantity": "many"}, ["s", "", "", 0, 1]),
        ({"sku": "s", "quantity": 2.9}, ["s", "", "", 0, 2]),
        ({"sku": "s", "quantity": 2**40}, ["s", "", "", 0, 1]),
        ({"sku": "s", "category": ["a", "b"]}, ["s", "", ["a", "b"], 0, 1]),
        ({"sku": "s", "categories": ["a"]}, ["s", "", "a", 0, 1]),
        ({"sku": "s", "categories": [{}, None, "a", "b"]}, ["s", "", ["a", "b"], 0, 1]),
        ({"sku": "s", "categories": [], "category": "c"}, ["s", "", "c", 0, 1]),
        ({"sku": "x" * 2_000}, ["x" * 1_024, "", "", 0, 1]),
    ],
)
def test_an_item_has_five_fields(product: Json, item: list[Any]) -> None:
    """Of the types that Matomo's own tracker sends."""
    assert items_of(product) == [item]


def test_items_that_cannot_be_bought_are_left_out() -> None:
    """Without a name of any kind, with none of it, or no product at all."""
    assert items_of(
        MONOPOLY, {}, {"price": 3}, {"sku": "s", "quantity": 0}, {"sku": "s", "quantity": -1}, "x", None
    ) == [["45790-32", "Monopoly: 3rd Edition", "Games", 19, 1]]


def test_a_sku_is_there_once_at_its_average_price() -> None:
    """Three of the same at 1, 1 and 2: the sum stays."""
    assert items_of({"sku": "s", "price": 1, "quantity": 2}, {"sku": "s", "price": 2}, {"sku": "t"}) == [
        ["s", "", "", 1.3333, 3],
        ["t", "", "", 0, 1],
    ]


def test_a_view_of_a_product_is_a_view_of_its_page() -> None:
    """The address of the product comes before that of the page that it is shown on."""
    page = {"context": {"page": PAGE}}
    product = hit_of("Product Viewed", {"product_id": 7, "categories": ["a", "b"], "url": "https://e.com/7"}, **page)
    assert {name: product.parameters[name] for name in ("_pks", "_pkc", "url", "action_name")} == {
        "_pks": "7",
        "_pkc": '["a","b"]',
        "url": "https://e.com/7",
        "action_name": PAGE["title"],
    }
    assert hit_of("Product Viewed", {"sku": "s", "url": "/7"}, **page).parameters["url"] == PAGE["url"]


def test_a_view_without_a_page_has_the_name_as_its_title() -> None:
    """As Matomo would show nothing otherwise."""
    assert hit_of("Product Viewed", UNO).parameters["action_name"] == "Uno Card Game"
    assert hit_of("Product List Viewed", {"category": "Deals"}).parameters["action_name"] == "Deals"


@pytest.mark.parametrize(
    ("properties", "count"),
    [
        ({}, None),
        ({"results_count": 0}, "0"),
        ({"results_count": "12"}, "12"),
        ({"results_count": -1, "products": [UNO]}, "1"),
        ({"products": [UNO, MONOPOLY]}, "2"),
        ({"products": []}, None),
    ],
)
def test_a_search_has_the_number_of_its_results(properties: Json, count: str | None) -> None:
    """Where the call tells it; a list of products that is empty may as well be one that nobody filled."""
    hit = hit_of("Products Searched", {"query": "roses", **properties})
    assert (hit.kind, hit.parameters.get("search_count")) == (HitKind.SITE_SEARCH, count)
