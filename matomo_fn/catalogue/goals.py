"""Tables of goals, orders, abandoned carts and items.

The numbers of each goal and of orders and carts stand in the channels' rows: conversions belong to one channel each, so
their sum is what Goals.get answers for the goal, and one call brings all goals of a site, however many there are. It is
also the call of acquisition_channel_type.
"""

from matomo_fn.catalogue.columns import amount, average, count, text
from matomo_fn.catalogue.model import Column, ColumnType, Source, Table

_CHANNELS = "Referrers.getReferrerType"
_CONVERSIONS = (
    count("visits_converted", "nb_visits_converted", "Visits with at least one of them."),
    amount("revenue", "revenue", "Their revenue, in the site's currency."),
)

GOAL_CONVERSIONS = Table(
    "goal_conversions",
    "Conversions by goal; one row a day, site and goal that was converted. Orders are in ecommerce_orders.",
    (Source(_CHANNELS, by_goal="goals"),),
    (count("conversions", "nb_conversions", "Conversions of the goal."), *_CONVERSIONS),
    (
        Column(
            "goal_id",
            ColumnType.INT64,
            "The goal's number, as in the table goals. Matomo's idgoal.",
            source="idgoal",
            required=True,
        ),
    ),
)
ECOMMERCE_ORDERS = Table(
    "ecommerce_orders",
    "The day's orders in one row a day and site; sites that are no shop have none.",
    (Source(_CHANNELS, by_goal="ecommerceOrder"),),
    (
        count("orders", "nb_conversions", "Orders."),
        *_CONVERSIONS,
        amount("subtotal", "revenue_subtotal", "Revenue of the items alone."),
        amount("tax", "revenue_tax", "Taxes."),
        amount("shipping", "revenue_shipping", "Shipping."),
        amount("discount", "revenue_discount", "Discounts."),
        count("items", "items", "Items in the orders: the sum of their quantities."),
    ),
    is_of_shops=True,
)
ECOMMERCE_ABANDONED_CARTS = Table(
    "ecommerce_abandoned_carts",
    "The day's abandoned carts in one row a day and site; sites that are no shop have none.",
    (Source(_CHANNELS, by_goal="ecommerceAbandonedCart"),),
    (
        count("abandoned_carts", "nb_conversions", "Carts that were filled and not ordered."),
        count("visits", "nb_visits_converted", "Visits that left a cart."),
        amount("revenue", "revenue", "What the carts are worth, in the site's currency."),
        count("items", "items", "Items in the carts: the sum of their quantities."),
    ),
    is_of_shops=True,
)


def _items(name: str, method: str, dimension: str, description: str) -> Table:
    return Table(
        name,
        f"Items that were ordered or viewed, by {dimension}; one row a day, site and {dimension}.",
        (Source(method),),
        (
            amount("revenue", "revenue", "Price times quantity of what was ordered, in the site's currency."),
            count("quantity", "quantity", "How many were ordered."),
            count("orders", "orders", "Orders with the item."),
            count("visits", "nb_visits", "Visits that viewed the product's page; 0 where only orders are known."),
            count("product_views", "nb_actions", "Views of the product's page."),
            average(
                "average_price", "avg_price", "Average price in the orders, or of the views where none was ordered."
            ),
            average("average_quantity", "avg_quantity", "Average quantity in an order."),
        ),
        (text(dimension, "label", description, required=True),),
        is_of_shops=True,
    )


ECOMMERCE = (
    ECOMMERCE_ORDERS,
    ECOMMERCE_ABANDONED_CARTS,
    _items("ecommerce_item_sku", "Goals.getItemsSku", "sku", "The item's SKU."),
    _items("ecommerce_item_name", "Goals.getItemsName", "item_name", "The item's name."),
    _items(
        "ecommerce_item_category",
        "Goals.getItemsCategory",
        "item_category",
        "The item's category; an item of several is in each.",
    ),
)
