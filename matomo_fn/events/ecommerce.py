"""Segment's ecommerce events: orders, carts, and views of products and categories.

https://segment.com/docs/connections/spec/ecommerce/v2/ and, for what Matomo takes, js/piwik.js (setEcommerceView,
logEcommerce) and core/Tracker/GoalManager.php.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from matomo_fn.events.fields import as_list, as_number, as_object, as_text, first_number, first_text, plain
from matomo_fn.events.stored import cut, whole_id
from matomo_fn.values import encode

# idorder of Matomo's conversions.
_ORDER_ID = 100
# What PHP takes for empty: an order with such an id is a cart.
_EMPTY = ("", "0")
_MOST_CATEGORIES = 5
# A column of 32 bits; more of one product is a mistake.
_MOST_QUANTITY = 2**31 - 1
_PRICE = Decimal("0.0001")


def order_parameters(properties: Mapping[str, Any], message_id: str) -> dict[str, str]:
    """Return the parameters of an order; one without an id has that of the message, or it would be a cart to Matomo."""
    items = _items(as_list(properties.get("products")))
    ids = (first_text(properties, "order_id", "orderId"), message_id, f"message {message_id}")
    amounts = {
        "ec_st": first_number(properties, "subtotal"),
        "ec_tx": first_number(properties, "tax"),
        "ec_sh": first_number(properties, "shipping"),
        "ec_dt": first_number(properties, "discount"),
    }
    return {
        "idgoal": "0",
        "ec_id": whole_id(next(text for text in ids if text not in _EMPTY), _ORDER_ID),
        **_revenue(properties, items),
        **{name: plain(amount) for name, amount in amounts.items() if amount is not None},
        **_item_parameters(items),
    }


def cart_parameters(products: Iterable[object], properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a cart with some products; Matomo replaces the cart of the visit by it."""
    items = _items(products)
    return {"idgoal": "0", **_revenue(properties, items), **_item_parameters(items)}


def product_view_parameters(product: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a view of a product."""
    price = as_number(product.get("price"))
    categories = _categories(product)
    found = {
        "_pks": _sku(product),
        "_pkn": _name(product),
        "_pkc": categories if isinstance(categories, str) else encode(categories),
        "_pkp": "" if price is None else plain(price),
    }
    return {name: value for name, value in found.items() if value}


def category_view_parameters(properties: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a view of a category of products; none where none is named."""
    found = product_view_parameters(properties)
    return {"_pkc": found["_pkc"]} if "_pkc" in found else {}


def _revenue(properties: Mapping[str, Any], items: Iterable[list[Any]]) -> dict[str, str]:
    """Return what an order or a cart is worth: Matomo's revenue is the grand total, with tax and shipping."""
    given = first_number(properties, "total", "revenue", "value")
    if given is None:
        # The items have their prices as doubles, whose text is what was sent.
        worth = sum((Decimal(repr(item[3])) * item[4] for item in items), Decimal(0))
        given = as_number(float(worth))
    return {} if given is None else {"revenue": plain(given)}


def _item_parameters(items: list[list[Any]]) -> dict[str, str]:
    return {"ec_items": encode(items)} if items else {}


def _items(products: Iterable[object]) -> list[list[Any]]:
    """Return items as [sku, name, category or categories, price, quantity].

    Matomo keeps the first only of a sku that is there twice, so they are one item of all, at their average price.
    """
    by_sku: dict[str, list[Any]] = {}
    for product in map(as_object, products):
        sku, quantity = _sku(product), _quantity(product)
        if not sku or quantity < 1:
            continue
        price = as_number(product.get("price")) or Decimal(0)
        if sku in by_sku:
            price, quantity = _together(by_sku[sku], price, quantity)
        first = by_sku.get(sku, [sku, _name(product), _categories(product)])
        by_sku[sku] = [*first[:3], _json_number(price), quantity]
    return list(by_sku.values())


def _together(item: list[Any], price: Decimal, quantity: int) -> tuple[Decimal, int]:
    total = item[4] + quantity
    return ((Decimal(repr(item[3])) * item[4] + price * quantity) / total).quantize(_PRICE), total


def _json_number(number: Decimal) -> int | float:
    return int(number) if number == int(number) else float(number)


def _sku(product: Mapping[str, Any]) -> str:
    return cut(first_text(product, "sku", "product_id", "productId", "id", "name"))


def _name(product: Mapping[str, Any]) -> str:
    return cut(first_text(product, "name"))


def _categories(product: Mapping[str, Any]) -> str | list[str]:
    """Return the category; a list of up to five where there are several."""
    given = product.get("categories") or product.get("category")
    names = [cut(name) for part in (given if isinstance(given, list) else [given]) if (name := as_text(part))]
    return names[:_MOST_CATEGORIES] if len(names) > 1 else "".join(names)


def _quantity(product: Mapping[str, Any]) -> int:
    quantity = as_number(product.get("quantity"))
    return int(quantity) if quantity is not None and quantity <= _MOST_QUANTITY else 1
