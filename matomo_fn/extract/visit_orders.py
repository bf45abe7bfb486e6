"""The orders and abandoned carts of a visit, summed up from its own actions.

Matomo's fields ``totalEcommerce…`` and ``totalAbandonedCarts…`` of a visit are lifetime totals of the visitor: they
count every order again in every visit, and change in old visits when the visitor orders again (Matomo's Ecommerce
plugin; recordings m53_live_lifetime_*).
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from matomo_fn.values import as_float, as_integer

# Lifetime totals of the visitor, which are stored nowhere.
LIFETIME_TOTALS = frozenset({
    "totalEcommerceConversions", "totalEcommerceRevenue", "totalEcommerceItems", "totalAbandonedCarts",
    "totalAbandonedCartsRevenue", "totalAbandonedCartsItems",
})  # fmt: skip


def order_totals(actions: Sequence[Mapping[str, Any]]) -> Mapping[str, int | float]:
    """Return the columns of orders and abandoned carts of a visit with these actions of Matomo's.

    Raises ValueError, with a phrase that names the field, where an amount or a quantity cannot be read.
    """
    orders = [action for action in actions if action.get("type") == "ecommerceOrder"]
    carts = [action for action in actions if action.get("type") == "ecommerceAbandonedCart"]
    if not orders and not carts:
        return _NONE
    return {
        "order_count": len(orders),
        "order_revenue": _revenue(orders),
        "order_items": sum(map(_items, orders)),
        "abandoned_carts": len(carts),
        "abandoned_cart_revenue": _revenue(carts),
        "abandoned_cart_items": sum(map(_items, carts)),
    }


_NONE: Mapping[str, int | float] = {
    "order_count": 0,
    "order_revenue": 0.0,
    "order_items": 0,
    "abandoned_carts": 0,
    "abandoned_cart_revenue": 0.0,
    "abandoned_cart_items": 0,
}


def _revenue(actions: Sequence[Mapping[str, Any]]) -> float:
    # As decimals, since 0.1 and 0.2 have to be 0.3.
    amounts = [_read(as_float, action, "revenue") for action in actions]
    return float(sum(Decimal(str(amount)) for amount in amounts))


def _items(action: Mapping[str, Any]) -> int:
    """Return how many items an order or cart has: the quantities of its items, or Matomo's sum where it names none."""
    items = action.get("itemDetails")
    if not items:
        return int(_read(as_integer, action, "items"))
    return sum(int(_read(as_integer, item, "quantity")) for item in items)


def _read(convert: Callable[[object], float], values: Mapping[str, Any], name: str) -> float:
    value = values.get(name)
    if value is None or value == "":  # VisitParser counts an empty number where it reads the action
        return 0
    try:
        return convert(value)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
