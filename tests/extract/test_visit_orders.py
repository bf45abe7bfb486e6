"""A visit's orders and abandoned carts are its own, and lifetime totals of its visitor are stored nowhere."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import VISITS
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.visit_orders import LIFETIME_TOTALS, order_totals
from matomo_fn.slices import Slice, Stream
from tests.support.visits import DAY, LATER, NOON, a_visit, read_day, reader_of, server_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def order(revenue: object, *quantities: object, kind: str = "ecommerceOrder", items: object = None) -> dict[str, Any]:
    """An order or cart as Matomo answers it; ``items`` is Matomo's own number of items."""
    details = [{"itemSKU": f"S{number}", "quantity": each} for number, each in enumerate(quantities)]
    return {"type": kind, "timestamp": NOON, "revenue": revenue, "items": items, "itemDetails": details}


def row_of(visit: Mapping[str, Any], folder: Path, exclude: tuple[str, ...] = ()) -> dict[str, Any]:
    """The row that a visit makes."""
    read = read_day(server_of([visit]), folder, exclude=exclude)
    row: dict[str, Any] = json.loads(gzip.decompress(read.buffer.path.read_bytes()))
    return row


def test_orders_and_carts_are_summed_up_apart() -> None:
    """Numbers may be texts, and amounts are added up as decimals: 0.1 and 0.2 are 0.3."""
    actions = [
        {"type": "action", "revenue": 99},
        order(0.1, 1, "2"),
        {"type": "goal", "revenue": 50},
        order("0.2", 3),
        order(79, 1, 1, kind="ecommerceAbandonedCart"),
    ]
    assert order_totals(actions) == {
        "order_count": 2,
        "order_revenue": 0.3,
        "order_items": 6,
        "abandoned_carts": 1,
        "abandoned_cart_revenue": 79.0,
        "abandoned_cart_items": 2,
    }


def test_a_visit_without_orders_has_zeros() -> None:
    """All six columns, so that a sum over visits needs no coalesce."""
    assert set(order_totals([]).values()) == {0}


def test_an_order_without_named_items_has_matomos_number_of_them() -> None:
    """Matomo counts the items itself, also where it does not name them."""
    assert order_totals([order(1, items="4")])["order_items"] == 4


def test_an_amount_that_cannot_be_read_fails_with_its_name(tmp_path: Path) -> None:
    """The sentence names the visit and the field; the amount is not taken for 0."""
    visit = a_visit(7, NOON, actionDetails=[order("many", 1)])
    with pytest.raises(InvalidResponse, match='visit 7: revenue is "many", not a number'):
        read_day(server_of([visit]), tmp_path, exclude=("actions",))


def test_lifetime_totals_are_in_no_column_and_not_in_raw(tmp_path: Path) -> None:
    """They say something about the visitor, and other things at other times."""
    lifetime = {name: 7_310_000 + number for number, name in enumerate(sorted(LIFETIME_TOTALS))}
    row = row_of(a_visit(1, NOON, actionDetails=[order(5, 1)], siteName="Shop", **lifetime), tmp_path)
    assert "731000" not in json.dumps(row)
    assert row["raw"] == {"siteName": "Shop"}
    assert not LIFETIME_TOTALS & {column.source for column in VISITS.parsed}


def test_lifetime_totals_do_not_make_a_visit_look_changed(tmp_path: Path) -> None:
    """Only the visit's own orders do."""
    bare = a_visit(1, NOON, actionDetails=[order(5, 1)])
    later = bare | dict.fromkeys(LIFETIME_TOTALS, 9)
    changed = bare | {"actionDetails": [order(5, 1), order(6, 1)]}
    hashes = [read_day(server_of([visit]), tmp_path).content_hash for visit in (bare, later, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_without_its_actions_a_visit_keeps_its_totals(tmp_path: Path) -> None:
    """They are computed from Matomo's answer, not from the columns that are kept; each can be excluded itself."""
    visit = a_visit(1, NOON, actionDetails=[order(5, 2)])
    row = row_of(visit, tmp_path, exclude=("actions", "order_items"))
    assert (row["order_count"], row["order_revenue"]) == (1, 5.0)
    assert not row.keys() & {"actions", "order_items"}


# --- values that cannot be read ---------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["-01:00:00", "838:59:59", "24:00:00", "12:30", "1٢:30:00", "", "noon", 12])
def test_a_local_time_that_googlesql_refuses_is_absent(value: object, tmp_path: Path) -> None:
    """Matomo's database column holds more than a time of day; the load of the whole day would fail."""
    row = row_of(a_visit(1, NOON, visitLocalTime=value), tmp_path)
    assert "visitor_local_time" not in row


def test_an_empty_text_in_a_number_field_is_absent(tmp_path: Path) -> None:
    """Of the visit, an action, an item or a product; a counter is 0, as where it is absent."""
    item = {"itemSKU": "", "price": "", "quantity": ""}
    action = {"type": "ecommerceOrder", "timestamp": NOON, "timeSpent": "", "revenue": "", "itemDetails": [item]}
    view = {"type": "action", "timestamp": NOON, "productViewPrice": ""}
    visit = a_visit(1, NOON, latitude="", visitDuration="", events="", actionDetails=[action, view])
    row = row_of(visit, tmp_path)
    assert not row.keys() & {"latitude", "visit_duration"}
    assert (row["event_count"], row["order_count"], row["order_revenue"]) == (0, 1, 0.0)
    assert row["actions"][0].keys() == {"type", "occurred_at", "items"}
    assert row["actions"][0]["items"] == [{"sku": ""}]
    assert "product" not in row["actions"][1]


def test_values_that_cannot_be_read_are_counted_by_field(tmp_path: Path) -> None:
    """Each once for each visit and action that has one; the day is read all the same."""
    visits = [
        a_visit(1, NOON, latitude="", visitLocalTime="25:00:00"),
        a_visit(2, NOON + 1, latitude="", actionDetails=[{"type": "event", "timestamp": NOON + 1, "eventValue": ""}]),
    ]
    reader = reader_of(server_of(visits), tmp_path)
    read = reader.read([Slice(Stream("visits", "1"), DAY)], LATER)
    assert read is not None
    assert read[0].content is not None
    assert read[0].content.row_count == 2
    assert read[0].unreadable == {"latitude": 2, "visitLocalTime": 1, "eventValue": 1}


def test_a_dimension_whose_number_is_no_number_stays_in_raw(tmp_path: Path) -> None:
    """An index that INT64 cannot hold would fail the load of the whole day."""
    row = row_of(a_visit(1, NOON, dimension9999999999999999999="x", dimension3="y"), tmp_path)
    assert row["custom_dimensions"] == [{"index": 3, "value": "y"}]
    assert row["raw"] == {"dimension9999999999999999999": "x"}
