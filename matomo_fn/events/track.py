"""Segment's track calls: events, and those of its ecommerce specification that Matomo knows as something else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from matomo_fn.events.ecommerce import (
    cart_parameters,
    category_view_parameters,
    order_parameters,
    product_view_parameters,
)
from matomo_fn.events.fields import as_list, as_object, as_text, first_number, first_text, plain
from matomo_fn.events.model import Call, HitKind
from matomo_fn.events.page_url import page_url
from matomo_fn.events.stored import cut

# The category of an event that has none: Segment's destination has it so.
_NO_CATEGORY = "All"
# Bytes that Matomo keeps (plugins/Actions/Actions/ActionSiteSearch.php, getSearchCategory).
_SEARCH_CATEGORY = 200


@dataclass(frozen=True, slots=True)
class Part:
    """What one hit of a call has beside the parameters that all its hits have."""

    kind: HitKind
    parameters: Mapping[str, str] = field(repr=False)


def track_parts(call: Call, goals: Mapping[str, int]) -> Sequence[Part]:
    """Return what a track call becomes: one hit, and one more where its event converts a goal."""
    properties = as_object(call.data.get("properties"))
    event = as_text(call.data["event"])
    special = _SPECIAL.get(_normal(event))
    part = (special(call, properties) if special else None) or _event(event, properties)
    return [part, *_goal(event, properties, goals)]


def _event(event: str, properties: Mapping[str, Any]) -> Part:
    value = first_number(properties, "value", "revenue")
    found = {
        "e_c": cut(first_text(properties, "category") or _NO_CATEGORY),
        "e_a": cut(event),
        "e_n": cut(first_text(properties, "label", "name")),
        "e_v": "" if value is None else plain(value),
    }
    return Part(HitKind.EVENT, {name: text for name, text in found.items() if text})


def _goal(event: str, properties: Mapping[str, Any], goals: Mapping[str, int]) -> Sequence[Part]:
    """Return the conversion of the goal of an event, by its name in whatever case, as Segment compares it."""
    by_name = {name.strip().casefold(): goal for name, goal in goals.items()}
    goal = goals.get(event, by_name.get(event.casefold()))
    if goal is None:
        return []
    paths = ("revenue", "total") if _normal(event) in _ORDERS else ("revenue",)
    revenue = first_number(properties, *paths)
    worth = {} if revenue is None else {"revenue": plain(revenue)}
    return [Part(HitKind.GOAL, {"idgoal": str(goal), **worth})]


def _order(call: Call, properties: Mapping[str, Any]) -> Part:
    return Part(HitKind.ORDER, order_parameters(properties, call.message_id))


def _cart(_call: Call, properties: Mapping[str, Any]) -> Part | None:
    """Return the cart; None where its products cannot be told: to take them for none would empty Matomo's cart."""
    products = properties.get("products")
    if not isinstance(products, list):
        return None
    cart = cart_parameters(products, properties)
    return None if products and "ec_items" not in cart else Part(HitKind.CART, cart)


def _product_added(call: Call, properties: Mapping[str, Any]) -> Part | None:
    if isinstance(properties.get("products"), list):
        return _cart(call, properties)
    cart = cart_parameters([properties], {})
    return Part(HitKind.CART, cart) if "ec_items" in cart else None


def _product_view(call: Call, properties: Mapping[str, Any]) -> Part | None:
    product = product_view_parameters(properties)
    if "_pks" not in product:
        return None
    return Part(HitKind.PAGE_VIEW, _view(call, product.get("_pkn", ""), product))


def _category_view(call: Call, properties: Mapping[str, Any]) -> Part | None:
    category = category_view_parameters(properties)
    if not category:
        return None
    return Part(HitKind.PAGE_VIEW, _view(call, first_text(properties, "category"), category))


def _view(call: Call, name: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return a view as a page view: of the page of the product or list where it is named, else of the present one."""
    title = cut(first_text(call.data, "context.page.title") or name)
    url = page_url(call.data, "properties.url", "context.page.url")
    found = {"action_name": title, "url": url, **parameters}
    return {name: text for name, text in found.items() if text}


def _search(_call: Call, properties: Mapping[str, Any]) -> Part | None:
    query = first_text(properties, "query")
    if query in ("", "0"):  # to PHP, "0" is empty: Matomo would count a page view
        return None
    count = first_number(properties, "results_count")
    found = {
        "search": cut(query),
        "search_cat": cut(first_text(properties, "category"), _SEARCH_CATEGORY),
        "search_count": "" if count is None or count < 0 else str(int(count)),
    }
    products = as_list(properties.get("products"))
    if not found["search_count"] and products:
        found["search_count"] = str(len(products))
    return Part(HitKind.SITE_SEARCH, {name: text for name, text in found.items() if text})


def _normal(event: str) -> str:
    """Return an event's name as Segment compares those of its specification: without case, spaces and underscores."""
    return event.casefold().replace(" ", "").replace("_", "")


_ORDERS = ("ordercompleted", "completedorder")
# By the names of the present specification and of its first version.
_SPECIAL = {
    **dict.fromkeys(_ORDERS, _order),
    **dict.fromkeys(("cartviewed", "viewedcart", "productremoved", "removedproduct"), _cart),
    **dict.fromkeys(("productadded", "addedproduct"), _product_added),
    **dict.fromkeys(("productviewed", "viewedproduct"), _product_view),
    **dict.fromkeys(("productlistviewed", "viewedproductcategory"), _category_view),
    **dict.fromkeys(("productssearched", "searchedproducts"), _search),
}
