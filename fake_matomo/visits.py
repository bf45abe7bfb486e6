"""What a visit is: the one source that reports and the visits log are both derived from."""

from dataclasses import dataclass
from datetime import date

from fake_matomo.pages import Page
from fake_matomo.pools import Content, Device, Event, Place, Product, Referrer, Search
from fake_matomo.sites import Goal

# Somebody on a day: over several days Matomo adds up what it counted for each of them.
Person = tuple[date, str]

TIMINGS = ("network", "server", "transfer", "dom_processing", "dom_completion", "on_load")


@dataclass(frozen=True, slots=True)
class Load:
    """How long the six phases of loading one page took, in milliseconds."""

    times: tuple[int, int, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Item:
    """So many pieces of a product in an order or a cart."""

    product: Product
    quantity: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order, or an abandoned cart where `id` is None."""

    id: str | None
    items: tuple[Item, ...]
    subtotal: float
    tax: float
    shipping: float
    discount: float
    revenue: float

    @property
    def quantity(self) -> int:
        """How many pieces."""
        return sum(item.quantity for item in self.items)


Detail = Load | Event | Search | Content | Goal | Order | None


@dataclass(frozen=True, slots=True)
class Action:
    """One thing done in a visit; `page` is where, `spent` the seconds until the next action."""

    kind: str
    at: int
    page: Page
    position: int
    spent: int
    detail: Detail
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who visits."""

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
        """Whether a goal was reached or something ordered; an abandoned cart is no conversion."""
        return any(one.kind != "ecommerceAbandonedCart" for one in self.conversions)

    def count(self, kind: str) -> int:
        """How many actions of a kind."""
        return sum(1 for action in self.actions if action.kind == kind)


# What Matomo counts as actions of a visit; conversions, orders and content impressions are not.
COUNTED = frozenset({"action", "event", "search", "download", "outlink"})
CONVERSIONS = frozenset({"goal", "ecommerceOrder", "ecommerceAbandonedCart"})
