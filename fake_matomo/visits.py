"""The model of a visit, from which both the reports and the visits log are derived."""

from dataclasses import dataclass
from datetime import date

from fake_matomo.pages import Page
from fake_matomo.pools import Content, Device, Event, Place, Product, Referrer, Search
from fake_matomo.sites import Goal

# A visitor on a day: over several days Matomo sums the daily unique counts.
Person = tuple[date, str]

TIMINGS = ("network", "server", "transfer", "dom_processing", "dom_completion", "on_load")


@dataclass(frozen=True, slots=True)
class Load:
    """The durations of the six phases of a page load, in milliseconds."""

    times: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """A product and its quantity in an order or a cart."""

    product: Product
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order, or an abandoned cart if `id` is None."""

    id: str | None
    items: tuple[Item, ...]
    subtotal: float
    tax: float
    shipping: float
    discount: float
    revenue: float

    @property
    def quantity(self) -> int:
        """The number of pieces."""
        return sum(item.quantity for item in self.items)


Detail = Load | Event | Search | Content | Goal | Order | None


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a visit on a page; `spent` is the time until the next action in seconds."""

    kind: str
    at: int
    page: Page
    position: int
    spent: int
    detail: Detail
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """A visitor."""

    id: str
    user_id: str | None
    fingerprint: str
    ip: str
    place: Place
    device: Device
    plan: str | None


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit; it belongs to the site's day of its last action."""

    id: int
    site_id: int
    visitor: Visitor
    referrer: Referrer
    actions: tuple[Action, ...]
    first_at: int
    last_at: int
    duration: int
    total_actions: int
    interactions: int
    conversions: tuple[Action, ...]
    visit_count: int
    since_first: int
    since_last: int
    since_order: int | None
    day: date

    @property
    def converted(self) -> bool:
        """Whether there is a goal or an order; an abandoned cart is not a conversion."""
        return any(one.kind != "ecommerceAbandonedCart" for one in self.conversions)

    def count(self, kind: str) -> int:
        """Return the number of actions of a kind."""
        return sum(1 for action in self.actions if action.kind == kind)


# What Matomo counts as actions of a visit; conversions, orders and content impressions are not.
COUNTED = frozenset({"action", "event", "search", "download", "outlink"})
CONVERSIONS = frozenset({"goal", "ecommerceOrder", "ecommerceAbandonedCart"})
