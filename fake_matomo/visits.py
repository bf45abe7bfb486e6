"""The model of a visit, from which both the reports and the visits log are derived."""

from dataclasses import dataclass
from datetime import UTC, date, datetime

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


# Custom variables: slot, name and value.
Variables = tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """What is known of an action that a hit brought, and made up for the modelled traffic.

    `number` is the id of its row in Matomo's table of actions, 0 for conversions, which have none. `since` is the
    time since the visit's action before it in seconds. `referrer` is what a conversion is attributed to.
    """

    number: int
    page_view: str | None
    since: int
    dimension: str | None
    variables: Variables
    referrer: Referrer | None


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a visit on a page; `spent` is the time until the next action in seconds.

    `position` is that of the page view that it belongs to, 0 if none came before.
    """

    kind: str
    at: int
    page: Page
    position: int
    spent: int
    detail: Detail
    url: str | None = None
    sent: Sent | None = None


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
class Tracked:
    """What is known of a visit that hits brought, and made up for the modelled traffic.

    `converted` says that a conversion was sent, also if Matomo refused to store it a second time.
    """

    local_time: str
    plugins: tuple[str, ...]
    variables: Variables
    converted: bool


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
    tracked: Tracked | None = None

    @property
    def converted(self) -> bool:
        """Whether there is a goal or an order; an abandoned cart is not a conversion."""
        if self.tracked is not None and self.tracked.converted:
            return True
        return any(one.kind != "ecommerceAbandonedCart" for one in self.conversions)

    @property
    def local_time(self) -> str:
        """The time of day at which it began for the visitor; those of the modelled traffic are all in UTC."""
        if self.tracked is not None:
            return self.tracked.local_time
        return f"{datetime.fromtimestamp(self.first_at, UTC):%H:%M:%S}"

    @property
    def plugins(self) -> tuple[str, ...]:
        """The plugins of the browser; those of unknown browsers are not known."""
        if self.tracked is not None:
            return self.tracked.plugins
        return ("cookie",) if self.visitor.device.type else ()

    def count(self, kind: str) -> int:
        """Return the number of actions of a kind."""
        return sum(1 for action in self.actions if action.kind == kind)


# What Matomo counts as actions of a visit; conversions, orders and content impressions are not.
COUNTED = frozenset({"action", "event", "search", "download", "outlink"})
CONVERSIONS = frozenset({"goal", "ecommerceOrder", "ecommerceAbandonedCart"})
