"""`Goals.getItemsSku`, `getItemsName` and `getItemsCategory`: orders and page views of products."""

from collections.abc import Callable, Iterable
from urllib.parse import quote_plus

from fake_matomo.php import php_number, quotient
from fake_matomo.pools import Product
from fake_matomo.tallies import Row
from fake_matomo.visits import Order, Person, Visit

_NO_CATEGORY = "Product Category not defined"

_KEYS: dict[str, tuple[str, Callable[[Product], Iterable[str]]]] = {
    "Goals.getItemsSku": ("productSku", lambda product: (product.sku,)),
    "Goals.getItemsName": ("productName", lambda product: (product.name,)),
    "Goals.getItemsCategory": ("productCategory", lambda product: product.categories or (_NO_CATEGORY,)),
}
ITEMS = frozenset(_KEYS)


class ItemTally:
    """The orders and views of a product, or of the products of a category."""

    __slots__ = ("orders", "price", "quantity", "revenue", "views", "visitors", "visits")

    def __init__(self, price: float) -> None:
        self.price = price
        self.revenue = 0.0
        self.quantity = self.orders = self.views = 0
        self.visits: set[int] = set()
        self.visitors: set[Person] = set()

    def row(self, label: str, segment: str, *, several_days: bool) -> Row:
        """Return the row as Matomo formats it: without orders it has no revenue, without views no visits."""
        row: Row = {"label": label}
        if self.orders:
            revenue = php_number(round(self.revenue, 2))
            row |= {"revenue": revenue, "quantity": self.quantity, "orders": self.orders}
        if self.views:
            row["nb_visits"] = len(self.visits)
            unique = "sum_daily_nb_uniq_visitors" if several_days else "nb_uniq_visitors"
            row |= {unique: len(self.visitors), "nb_actions": self.views}
        return row | {
            "avg_price": quotient(self.revenue, self.quantity, 2) if self.quantity else php_number(self.price),
            "avg_quantity": quotient(self.quantity, self.orders, 1),
            "conversion_rate": quotient(self.orders, len(self.visits), 4),
            "segment": f"{segment}=={quote_plus(label)}",
        }


def item_rows(method: str, visits: Iterable[Visit], *, several_days: bool) -> list[Row]:
    """Return the rows of the report, unsorted."""
    segment, keys = _KEYS[method]
    tallies: dict[str, ItemTally] = {}
    for visit in visits:
        for action in visit.actions:
            if action.kind == "ecommerceOrder" and isinstance(action.detail, Order):
                for item in action.detail.items:
                    for key in keys(item.product):
                        found = tallies.setdefault(key, ItemTally(item.product.price))
                        found.orders += 1
                        found.quantity += item.quantity
                        found.revenue += item.product.price * item.quantity
            elif action.kind == "action" and action.page.product:
                for key in keys(action.page.product):
                    found = tallies.setdefault(key, ItemTally(action.page.product.price))
                    found.views += 1
                    found.visits.add(visit.id)
                    found.visitors.add((visit.day, visit.visitor.id))
    return [found.row(key, segment, several_days=several_days) for key, found in tallies.items()]
