"""Rows of a table become calls: columns by name or configuration, types of a warehouse as JSON has them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import duckdb
import pytest

from matomo_fn.config.events import EventsConfig
from matomo_fn.errors import InputError
from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from matomo_fn.events.rows import row_to_call

ROW = {"message_id": "m1", "type": "track", "event": "Sold", "user_id": "u1", "timestamp": "2026-11-21T04:08:31Z"}


def value_of(value: Any) -> Any:
    """What a value in a column becomes, or None where it is left out."""
    call = row_to_call({**ROW, "x": value}, {"properties.x": "x"})
    return json.loads(json.dumps(call, allow_nan=False)).get("properties", {}).get("x")


def problems(row: dict[str, Any], columns: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(InputError) as raised:
        row_to_call(row, columns or {})
    return raised.value.problems


def test_columns_with_the_name_of_a_field_need_no_entry() -> None:
    """In the spelling of columns."""
    row = {**ROW, "anonymous_id": "a1", "name": "n", "category": "c", "traits": {"plan": "pro"}, "other": 1}
    assert row_to_call(row, {}) == {
        "messageId": "m1",
        "type": "track",
        "event": "Sold",
        "userId": "u1",
        "timestamp": "2026-11-21T04:08:31Z",
        "anonymousId": "a1",
        "name": "n",
        "category": "c",
        "traits": {"plan": "pro"},
    }


def test_columns_are_put_where_the_configuration_says() -> None:
    """Also into an object that another column is, and in place of the column with a field's name."""
    row = {**ROW, "order": 7, "amount": Decimal("12.50"), "properties": {"currency": "EUR", "revenue": 1}}
    call = row_to_call(row, {"properties.revenue": "amount", "messageId": "order", "context.page.url": "event"})
    assert call["messageId"] == 7
    assert call["properties"] == {"currency": "EUR", "revenue": 12.5}
    assert call["context"] == {"page": {"url": "Sold"}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", ""),
        (True, True),
        (7, 7),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (1.5, 1.5),
        (float("nan"), None),
        (float("inf"), None),
        (Decimal("12.50"), 12.5),
        (Decimal("12"), 12),
        (Decimal("1E+20"), "100000000000000000000"),
        (Decimal("NaN"), None),
        (datetime(2026, 11, 21, 4, 8, 31, 5), "2026-11-21T04:08:31.000005Z"),  # noqa: DTZ001 # BigQuery's DATETIME
        (datetime(2026, 11, 21, 4, 8, tzinfo=timezone(timedelta(hours=1))), "2026-11-21T03:08:00Z"),
        (date(2026, 11, 21), "2026-11-21"),
        (time(4, 8), "04:08:00"),
        (b"\x00\xff", "AP8="),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ([1, None, Decimal("0.5")], [1, 0.5]),
        ((1, 2), [1, 2]),
        ([{"sku": "a", "price": Decimal("1.5"), "name": None}], [{"sku": "a", "price": 1.5}]),
    ],
)
def test_types_of_a_warehouse_become_json(value: Any, expected: Any) -> None:
    """NULL, and what is no number, is left out. Integers that JSON's readers round are their digits."""
    found = value_of(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [timedelta(days=1), {1, 2}, 1j])
def test_a_type_that_json_has_not_is_named_with_its_column(value: Any) -> None:
    """What to do is to cast it."""
    (sentence,) = problems({**ROW, "x": value}, {"properties.x": "x"})
    assert (
        sentence
        == f"the column x is of the type {type(value).__name__}, which a call cannot have: cast it in the query"
    )


def test_objects_of_json_text_are_parsed() -> None:
    """DuckDB gives a column of JSON as its text."""
    assert row_to_call({**ROW, "properties": '{"a": 1}'}, {})["properties"] == {"a": 1}
    (sentence,) = problems({**ROW, "context": "{"})
    assert sentence == 'the column context is "{", not a JSON object'
    (sentence,) = problems({**ROW, "context": "[" * 100_000})
    assert sentence == "the column context is nested too deeply"


def test_missing_columns_are_named_with_those_that_there_are() -> None:
    """All of them at once."""
    assert problems({"id": 1, "x": 2}, {"properties.revenue": "amount"}) == (
        'events.columns: there is no column "amount" for properties.revenue; the query has the columns id, x',
        'there is no column message_id: name one in events.columns, such as {"messageId": "order_id"}; '
        "the query has the columns id, x",
        "there is no column type: add one to the query, such as 'track' as type; the query has the columns id, x",
        "there is neither a column user_id nor anonymous_id: a call needs one of them; the query has the columns id, x",
    )
    assert problems({})[0].endswith("; the query has no columns")


def test_a_part_of_something_that_is_no_object_is_a_problem() -> None:
    """Two entries that do not go together."""
    (sentence,) = problems({**ROW, "x": 1}, {"properties.a": "x", "properties.a.b": "x"})
    assert sentence == "events.columns: properties.a.b cannot be set, since a is 1 and no object"


def test_a_conversion_from_duckdb_is_a_hit() -> None:
    """The types are those of a real warehouse; the call is one that can be delivered."""
    query = """
        select 4711 as order_id, 'track' as type, 'Order Completed' as event, 'u1' as user_id,
            timestamp '2026-11-20 10:00:00' as sold_at, 99.90::decimal(18, 2) as total,
            [{'sku': 'a', 'price': 49.95::decimal(18, 2), 'quantity': 2::bigint}] as items
    """
    with duckdb.connect() as connection:
        cursor = connection.execute(query)
        names = [column[0] for column in cursor.description or ()]
        row = dict(zip(names, cursor.fetchall()[0], strict=True))
    columns = {
        "messageId": "order_id",
        "timestamp": "sold_at",
        "properties.order_id": "order_id",
        "properties.total": "total",
        "properties.products": "items",
    }
    call = read_call(row_to_call(row, columns), now=datetime(2026, 11, 21, tzinfo=UTC))
    (hit,) = map_call(call, EventsConfig(site="1")).hits
    expected = {
        "cdt": "2026-11-20 10:00:00",
        "ec_id": "4711",
        "revenue": "99.9",
        "ec_items": '[["a","","",49.95,2]]',
        "uid": "u1",
    }
    assert {name: hit.parameters[name] for name in expected} == expected
