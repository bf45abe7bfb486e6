"""The actions of a visit as `actionDetails`."""

from calendar import timegm
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeVar

from fake_matomo.language import CHANNEL_CODES
from fake_matomo.php import php_number, pretty_money, pretty_seconds
from fake_matomo.pools import AUTHORS, SEARCH, Content, Event, Search
from fake_matomo.sites import Goal, Site, zone
from fake_matomo.tallies import Row
from fake_matomo.visitrows import variables_row
from fake_matomo.visits import Action, Item, Load, Order, Visit

# [General] visitor_log_maximum_actions_per_visit: the surplus is only counted.
ACTIONS_LIMIT = 500
# Factor between a visit's id and the ids of its actions in Matomo's tables, which are made up.
_PAGE_IDS = 100

T = TypeVar("T")

_IMAGES = "plugins/Morpheus/images/"


def action_rows(visit: Visit, site: Site) -> list[Row]:
    """Return the actions, oldest first, up to Matomo's limit."""
    return [_action(visit, site, number, action) for number, action in enumerate(visit.actions[:ACTIONS_LIMIT])]


def _action(visit: Visit, site: Site, number: int, action: Action) -> Row:
    local = datetime.fromtimestamp(action.at, zone(site.timezone))
    made = _WRITERS[action.kind](_Context(visit, site, number, action, local))
    # The wall clock of the site, written as if it were UTC.
    made["timestamp"] = timegm(local.timetuple())
    made["dimension2"] = author_of(action, number, site)
    if action.sent is not None and action.sent.variables:
        made["customVariables"] = variables_row(action.sent.variables, "customVariablePage")
    return made


def author_of(action: Action, number: int, site: Site) -> str | None:
    """Return the value of custom dimension 2, which three in eight page views of the modelled traffic have."""
    if action.sent is not None:
        return action.sent.dimension
    written = action.kind == "action" and (action.at + number) % 8 < 3
    return AUTHORS[action.at % len(AUTHORS)] if written and site.has_custom_dimensions else None


class _Context:
    """Everything that the row of an action is built from."""

    __slots__ = ("action", "local", "number", "site", "visit")

    def __init__(self, visit: Visit, site: Site, number: int, action: Action, local: datetime) -> None:
        self.visit, self.site, self.number, self.action, self.local = visit, site, number, action, local

    def detail(self, kind: type[T]) -> T:
        """Return the action's detail, which must be of that type."""
        detail = self.action.detail
        if not isinstance(detail, kind):
            raise TypeError(f"an action {self.action.kind!r} carries {detail!r}")
        return detail

    @property
    def pretty(self) -> str:
        """The site's local time, as Matomo displays it."""
        return f"{self.local:%b} {self.local.day}, {self.local.year} {self.local:%H:%M:%S}"

    @property
    def page_id(self) -> int:
        """The id of the row in Matomo's table of actions."""
        sent = self.action.sent
        return self.visit.id * _PAGE_IDS + self.number if sent is None else sent.number

    @property
    def position(self) -> int | None:
        """The position of the page view that the action belongs to."""
        return self.action.position or None

    @property
    def page_view(self) -> str | None:
        """The page view's id: six hex digits, or what was sent."""
        if self.action.sent is not None:
            return self.action.sent.page_view
        return f"{(self.visit.id * 7919 + self.action.position * 104729) % 0xFFFFFF:06x}"

    def images(self, name: str) -> Row:
        """Return the two icon fields."""
        return {"icon": f"{_IMAGES}{name}.png", "iconSVG": f"{_IMAGES}{name}.svg"}


def _page_view(at: _Context) -> Row:
    action, page = at.action, at.action.page
    row: Row = {
        "type": "action",
        "url": page.url or None,
        "pageTitle": page.title or None,
        "pageIdAction": page.id,
        "idpageview": at.page_view,
        "serverTimePretty": at.pretty,
        "pageId": at.page_id,
    }
    if page.product:
        seen: Row = {
            "productViewPrice": php_number(page.product.price),
            "productViewName": page.product.name,
            "productViewSku": page.product.sku,
        }
        row |= {name: value for name, value in seen.items() if value}
    row |= {"timeSpent": action.spent, "timeSpentPretty": pretty_seconds(action.spent)}
    if isinstance(action.detail, Load):
        milliseconds = sum(action.detail.times)
        row["pageLoadTime"] = f"{milliseconds / 1000:.2f}s"
        row["pageLoadTimeMilliseconds"] = milliseconds
    row |= {
        "pageviewPosition": at.position,
        "title": page.title or None,
        "subtitle": page.url or None,
        "icon": "",
        "iconSVG": f"{_IMAGES}action.svg",
    }
    if page.product and (page.product.categories or action.sent is None):
        row["productViewCategories"] = list(page.product.categories)
    return row


def _link(kind: str, image: str, title: str) -> Callable[[_Context], Row]:
    def write(at: _Context) -> Row:
        return {
            "type": kind,
            "url": at.action.url,
            "pageTitle": None,
            "pageIdAction": 900 + len(at.action.url or ""),
            "idpageview": at.page_view,
            "serverTimePretty": at.pretty,
            "pageId": at.page_id,
            "pageviewPosition": at.position,
            **at.images(image),
            "title": title,
            "subtitle": at.action.url,
        }

    return write


def _event(at: _Context) -> Row:
    event = at.detail(Event)
    row: Row = {
        "type": "event",
        "url": at.action.page.url or None,
        "pageIdAction": at.action.page.id,
        "idpageview": at.page_view,
        "serverTimePretty": at.pretty,
        "pageId": at.page_id,
        "eventCategory": event.category,
        "eventAction": event.action,
        "pageviewPosition": at.position,
        **at.images("event"),
        "title": "Event",
        "subtitle": f'Category: "{event.category}\', Action: "{event.action}"',
    }
    if event.name is not None:
        row["eventName"] = event.name
    if event.value is not None:
        row["eventValue"] = php_number(event.value)
    return row


def _search(at: _Context) -> Row:
    search = at.detail(Search)
    category = f" - Search Category: {search.category}" if search.category else ""
    shown = search.count or at.action.sent is None
    count = f" - Search Results Count: {search.count}" if shown else ""
    return {
        "type": "search",
        "url": None,
        "pageIdAction": None,
        "idpageview": at.page_view,
        "serverTimePretty": at.pretty,
        "pageId": at.page_id,
        "siteSearchKeyword": search.keyword,
        "siteSearchCategory": search.category,
        "siteSearchCount": search.count,
        "pageviewPosition": at.position,
        **at.images("search"),
        "title": "Site Search",
        "subtitle": f"{search.keyword}{category}{count}",
    }


def _content(at: _Context) -> Row:
    content = at.detail(Content)
    return {
        "type": 13,
        "url": at.action.page.url or None,
        "pageTitle": None,
        "pageIdAction": at.action.page.id,
        "idpageview": at.page_view,
        "serverTimePretty": at.pretty,
        "pageId": at.page_id,
        "contentName": content.name,
        "contentPiece": content.piece,
        "contentTarget": content.target,
        "contentInteraction": content.interaction,
        "pageviewPosition": at.position,
        **at.images("contentinteraction" if content.interaction else "contentimpression"),
        "title": f"Content Interaction ({content.interaction})" if content.interaction else "Content Impression",
        "subtitle": f"{content.name} - {content.piece}" if content.piece else content.name,
    }


def _referrer(visit: Visit, action: Action) -> Row:
    """Return the referrer that a conversion is attributed to; absent values are null here, not ''."""
    referrer = visit.referrer
    if action.sent is not None and action.sent.referrer is not None:
        referrer = action.sent.referrer
    return {
        "referrerType": CHANNEL_CODES[referrer.type],
        "referrerName": referrer.name or None,
        "referrerKeyword": referrer.keyword or ("" if referrer.type == SEARCH else None),
    }


def _goal(at: _Context) -> Row:
    goal = at.detail(Goal)
    # Goals of the modelled traffic are shown without their revenue: their answers stay as they are.
    shown = at.action.sent is not None and goal.revenue
    revenue = f" ({pretty_money(at.site.currency_symbol, goal.revenue)} revenue)" if shown else ""
    by_hand = at.action.sent is not None or goal.id % 2 == 0
    return {
        "type": "goal",
        "goalName": goal.name,
        "goalId": goal.id,
        # A goal matched by URL has its page view's fields; one that was tracked manually does not.
        "idpageview": None if by_hand else at.page_view,
        "revenue": php_number(goal.revenue),
        "goalPageId": None if by_hand else at.page_id,
        "serverTimePretty": at.pretty,
        "url": at.action.page.url or None,
        **_referrer(at.visit, at.action),
        **at.images("goal"),
        "title": "Goal conversion",
        "subtitle": f"{goal.name}{revenue}",
    }


def _order(at: _Context) -> Row:
    order = at.detail(Order)
    kind = at.action.kind
    row: Row = {"type": kind}
    if order.id is not None:
        row |= {
            "orderId": order.id,
            "revenue": php_number(order.revenue),
            "revenueSubTotal": php_number(order.subtotal),
            "revenueTax": php_number(order.tax),
            "revenueShipping": php_number(order.shipping),
            "revenueDiscount": php_number(order.discount),
        }
    else:
        row["revenue"] = php_number(order.revenue)
    names = ", ".join(item.product.name for item in order.items)
    money = pretty_money(at.site.currency_symbol, order.revenue)
    return row | {
        "items": order.quantity,
        "serverTimePretty": at.pretty,
        "idpageview": None,
        **_referrer(at.visit, at.action),
        "itemDetails": [_item(item) for item in order.items],
        **at.images(kind),
        "title": "Abandoned Cart" if order.id is None else f"Ordered ({order.id})",
        # The unmatched bracket is Matomo's.
        "subtitle": f"{money} revenue - {order.quantity} items: {names})",
    }


def _item(item: Item) -> Row:
    product = item.product
    return {
        "itemSKU": product.sku,
        "itemName": product.name or None,
        "itemCategory": product.categories[0] if product.categories else None,
        "price": php_number(product.price),
        "quantity": item.quantity,
        "categories": list(product.categories),
    }


_WRITERS: Mapping[str, Callable[[_Context], Row]] = {
    "action": _page_view,
    "content": _content,
    "download": _link("download", "download", "Download"),
    "ecommerceAbandonedCart": _order,
    "ecommerceOrder": _order,
    "event": _event,
    "goal": _goal,
    "outlink": _link("outlink", "link", "Outlink"),
    "search": _search,
}
