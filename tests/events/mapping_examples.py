"""An example of each row of the tables in docs/events.md: the call, and what its hits have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.model import HitKind

Json = dict[str, Any]

ANONYMOUS_ID = "507f191e810c19729de860ea"
USER_ID = "97980cfea0067"
# Of every call that does not say otherwise.
CALL: Json = {
    "messageId": "022bb90c-bbac-11e4-8dfc-aa07a5b093db",
    "anonymousId": ANONYMOUS_ID,
    "timestamp": "2026-11-21T04:08:31.905Z",
}
PAGE: Json = {
    "url": "https://segment.com/academy/",
    "title": "Analytics Academy",
    "path": "/academy/",
    "referrer": "https://www.google.com/",
    "search": "",
}
# Segment's own, of its ecommerce specification.
MONOPOLY: Json = {
    "product_id": "507f1f77bcf86cd799439011",
    "sku": "45790-32",
    "name": "Monopoly: 3rd Edition",
    "price": 19,
    "quantity": 1,
    "category": "Games",
    "url": "https://www.example.com/product/path",
    "image_url": "https://www.example.com/product/path.jpg",
}
UNO: Json = {
    "product_id": "505bd76785ebb509fc183733",
    "sku": "46493-32",
    "name": "Uno Card Game",
    "price": 3,
    "quantity": 2,
    "category": "Games",
}
BOTH_ITEMS = '[["45790-32","Monopoly: 3rd Edition","Games",19,1],["46493-32","Uno Card Game","Games",3,2]]'
MONOPOLY_ITEM = '[["45790-32","Monopoly: 3rd Edition","Games",19,1]]'
ORDER: Json = {
    "checkout_id": "fksdjfsdjfisjf9sdfjsd9f",
    "order_id": "50314b8e9bcf000000000000",
    "affiliation": "Google Store",
    "total": 27.50,
    "subtotal": 22.50,
    "revenue": 25.00,
    "shipping": 3,
    "tax": 2,
    "discount": 2.5,
    "coupon": "hasbros",
    "currency": "USD",
    "products": [MONOPOLY, UNO],
}


@dataclass(frozen=True)
class Example:
    """A call, what its hits have at least, the parameters that none has, and why there are no hits."""

    call: Json
    hits: tuple[tuple[HitKind, dict[str, str]], ...] = ()
    absent: tuple[str, ...] = ()
    skipped: str = ""
    config: Json = field(default_factory=dict)

    @property
    def whole_call(self) -> Json:
        """The call with what every call has; None takes something away."""
        return {name: value for name, value in {**CALL, **self.call}.items() if value is not None}

    @property
    def events_config(self) -> EventsConfig:
        """The configuration that it is mapped by."""
        return EventsConfig.model_validate({"site": "7", **self.config})


def page(**keys: Any) -> Json:
    return {"type": "page", **keys}


def track(event: str, properties: Json | None = None, **keys: Any) -> Json:
    return {"type": "track", "event": event, "properties": properties or {}, **keys}


def context(**keys: Any) -> Json:
    """A page view with something in its context."""
    return page(context={"page": PAGE, **keys})


def one(kind: HitKind, **parameters: str) -> tuple[tuple[HitKind, dict[str, str]], ...]:
    return ((kind, parameters),)


def cart(items: str, revenue: str) -> tuple[tuple[HitKind, dict[str, str]], ...]:
    return one(HitKind.CART, idgoal="0", revenue=revenue, ec_items=items)


VIEW = HitKind.PAGE_VIEW
HINTS: Json = {
    "brands": [{"brand": "Chromium", "version": "130"}],
    "mobile": False,
    "platform": "macOS",
    "wow64": False,
}

MAPPING = {
    "`page`": Example(
        page(context={"page": PAGE}),
        one(VIEW, url=PAGE["url"], urlref=PAGE["referrer"], action_name=PAGE["title"]),
    ),
    "`page` without a title": Example(
        page(name="Index", category="Docs", properties={"url": PAGE["url"]}), one(VIEW, action_name="Docs Index")
    ),
    "`page` without URL, title, name and path": Example(page(), skipped="page has no url, title, name or path"),
    "`screen`": Example(
        {
            "type": "screen",
            "name": "Home",
            "category": "Start",
            "context": {"app": {"namespace": "com.production.segment"}},
        },
        one(VIEW, action_name="Start Home", url="https://com.production.segment/Start/Home"),
    ),
    "`screen` without a name": Example({"type": "screen"}, skipped="screen has no name"),
    "`track`": Example(
        track("Created Account", {"category": "Account", "label": "Premium", "value": 30}),
        one(HitKind.EVENT, e_c="Account", e_a="Created Account", e_n="Premium", e_v="30"),
    ),
    "`track` of an event in `goals`": Example(
        track("Signed Up", {"revenue": 10}),
        (
            (HitKind.EVENT, {"e_c": "All", "e_a": "Signed Up", "e_v": "10"}),
            (HitKind.GOAL, {"idgoal": "3", "revenue": "10"}),
        ),
        config={"goals": {"signed up": 3}},
    ),
    "`identify`": Example({"type": "identify", "userId": USER_ID}, one(HitKind.PING, ping="1", uid=USER_ID)),
    "`identify` without a user id or custom dimension": Example(
        {"type": "identify", "traits": {"plan": "pro"}},
        skipped="identify has no userId and no trait that is a custom dimension",
    ),
    "`group`": Example({"type": "group", "groupId": "8e9df332ac"}, skipped="group is not supported"),
    "`alias`": Example({"type": "alias", "previousId": "39239"}, skipped="alias is not supported"),
    '`integrations` with `"Matomo": false`': Example(
        page(integrations={"Matomo": False, "All": True}), skipped="integrations turns Matomo off"
    ),
    '`integrations` with `"All": false`': Example(
        page(integrations={"All": False, "Mixpanel": True}), skipped="integrations turns Matomo off"
    ),
}

CONTEXT = {
    # $ printf 507f191e810c19729de860ea | sha256sum
    "`anonymousId`": Example(context(), one(VIEW, _id="f676a029005e48e2", cid="f676a029005e48e2"), absent=("uid",)),
    "`userId`": Example(
        {**context(), "userId": USER_ID}, one(VIEW, uid=USER_ID, _id="f676a029005e48e2", cid="f676a029005e48e2")
    ),
    # $ printf 97980cfea0067 | sha1sum
    "`userId` without `anonymousId`": Example(
        {**context(), "userId": USER_ID, "anonymousId": None},
        one(VIEW, uid=USER_ID, _id="2dd2c83f23018b23", cid="2dd2c83f23018b23"),
    ),
    "`messageId`": Example(context(), one(VIEW, pv_id="R9g0ja")),
    "`timestamp`": Example(
        {**context(), "timestamp": "2026-11-21T05:08:31.905+01:00"}, one(VIEW, cdt="2026-11-21 04:08:31")
    ),
    "`context.timezone`": Example(context(timezone="America/St_Johns"), one(VIEW, h="0", m="38", s="31")),
    "`context.ip`": Example(context(ip="8.8.8.8"), one(VIEW, cip="8.8.8.8")),
    "`context.userAgent`": Example(context(userAgent="Mozilla/5.0 (iPhone)"), one(VIEW, ua="Mozilla/5.0 (iPhone)")),
    "`context.userAgentData`": Example(
        context(userAgentData=HINTS),
        one(VIEW, uadata='{"platform":"macOS","brands":[{"brand":"Chromium","version":"130"}],"mobile":false}'),
    ),
    "`context.locale`": Example(context(locale="en_US.UTF-8"), one(VIEW, lang="en-US")),
    "`context.screen.width`, `context.screen.height`": Example(
        context(screen={"width": 1920, "height": 1080, "density": 2}), one(VIEW, res="1920x1080")
    ),
    "`context.page.url`": Example(
        track("Video Played", {"url": "https://video.example.com/1"}, context={"page": PAGE}),
        one(HitKind.EVENT, url=PAGE["url"]),
    ),
    "`context.page.search`": Example(
        page(context={"page": {**PAGE, "search": "?q=a%20b"}}), one(VIEW, url="https://segment.com/academy/?q=a%20b")
    ),
    "`context.page.referrer`": Example(
        track("Logged In", {"referrer": "https://other.example.com/"}, context={"page": PAGE}),
        one(HitKind.EVENT, urlref=PAGE["referrer"]),
    ),
    "`context.campaign`": Example(
        page(
            context={
                "page": {**PAGE, "url": "https://example.com/?mtm_kwd=own#top"},
                "campaign": {
                    "name": "TPS & Co",
                    "source": "Newsletter",
                    "medium": "email",
                    "term": "t",
                    "content": "c",
                },
            }
        ),
        one(
            VIEW,
            url="https://example.com/?mtm_kwd=own&utm_campaign=TPS+%26+Co&utm_source=Newsletter&utm_medium=email"
            "&utm_content=c#top",
        ),
    ),
    "`context.campaign.name`, `context.campaign.term`": Example(
        context(campaign={"name": "Spring", "term": "shoes"}), one(VIEW, _rcn="Spring", _rck="shoes")
    ),
    "any call": Example(context(), one(VIEW, idsite="7", rec="1", apiv="1", send_image="0"), absent=("rand",)),
}

ECOMMERCE = {
    "`Order Completed`": Example(
        track("Order Completed", ORDER),
        one(
            HitKind.ORDER,
            idgoal="0",
            ec_id="50314b8e9bcf000000000000",
            revenue="27.5",
            ec_st="22.5",
            ec_tx="2",
            ec_sh="3",
            ec_dt="2.5",
            ec_items=BOTH_ITEMS,
        ),
    ),
    "`Order Completed` without `order_id`": Example(
        track("Completed Order", {"total": 5}), one(HitKind.ORDER, idgoal="0", ec_id=CALL["messageId"], revenue="5")
    ),
    "`Cart Viewed`": Example(track("Cart Viewed", {"products": [MONOPOLY, UNO]}), cart(BOTH_ITEMS, "25")),
    "`Product Added` with `products`": Example(
        track("Product Added", {**MONOPOLY, "products": [MONOPOLY, UNO]}), cart(BOTH_ITEMS, "25")
    ),
    "`Product Added` without `products`": Example(track("Product Added", MONOPOLY), cart(MONOPOLY_ITEM, "19")),
    "`Product Removed` with `products`": Example(
        track("Product Removed", {**UNO, "products": [MONOPOLY]}), cart(MONOPOLY_ITEM, "19")
    ),
    "`Product Removed` without `products`": Example(
        track("Product Removed", MONOPOLY),
        one(HitKind.EVENT, e_c="Games", e_a="Product Removed", e_n="Monopoly: 3rd Edition"),
        absent=("idgoal",),
    ),
    "`Product Viewed`": Example(
        track("Product Viewed", MONOPOLY),
        one(
            VIEW,
            action_name="Monopoly: 3rd Edition",
            url="https://www.example.com/product/path",
            _pks="45790-32",
            _pkn="Monopoly: 3rd Edition",
            _pkc="Games",
            _pkp="19",
        ),
        absent=("e_a",),
    ),
    "`Product List Viewed`": Example(
        track("Product List Viewed", {"list_id": "1", "category": "Deals", "products": [UNO]}, context={"page": PAGE}),
        one(VIEW, action_name=PAGE["title"], url=PAGE["url"], _pkc="Deals"),
        absent=("_pks", "_pkn", "_pkp"),
    ),
    "`Products Searched`": Example(
        track("Products Searched", {"query": "blue roses", "category": "Flowers", "results_count": 4}),
        one(HitKind.SITE_SEARCH, search="blue roses", search_cat="Flowers", search_count="4"),
        absent=("e_a",),
    ),
    "an item of `products`": Example(
        track(
            "Cart Viewed",
            {"products": [{"product_id": 9, "categories": ["a", "b", "c", "d", "e", "f"]}, {"name": "n"}]},
        ),
        one(HitKind.CART, revenue="0", ec_items='[["9","",["a","b","c","d","e"],0,1],["n","n","",0,1]]'),
    ),
    "items with the same `sku`": Example(
        track("Cart Viewed", {"products": [{**UNO, "quantity": 1}, {**UNO, "price": 4.5, "quantity": 2}]}),
        one(HitKind.CART, revenue="12", ec_items='[["46493-32","Uno Card Game","Games",4,3]]'),
    ),
    "an item with quantity 0, or without `sku`, `product_id` and `name`": Example(
        track("Cart Viewed", {"products": [MONOPOLY, {**UNO, "quantity": 0}, {"price": 4}]}), cart(MONOPOLY_ITEM, "19")
    ),
    "`Order Updated`, `Order Refunded`, `Order Cancelled`": Example(
        track("Order Refunded", ORDER),
        one(HitKind.EVENT, e_c="All", e_a="Order Refunded", e_v="25"),
        absent=("idgoal", "ec_id", "ec_items"),
    ),
}

VARIABLES: Json = {"1": ["UserId", "6116"], "2": ["SubscriptionId", ""], "3": ["PlanName", "ENTERPRISE"]}
CVAR = '{"1":["UserId","6116"],"2":["SubscriptionId",""],"3":["PlanName","ENTERPRISE"]}'

CUSTOM = {
    "a path in `dimensions`": Example(
        track("Logged In", {"first": True}),
        one(HitKind.EVENT, dimension1="true"),
        config={"dimensions": {"properties.first": 1}},
    ),
    "`traits.plan` in `dimensions`, in other calls than `identify`": Example(
        context(traits={"plan": "pro"}), one(VIEW, dimension1="pro"), config={"dimensions": {"traits.plan": 1}}
    ),
    "`integrations.Matomo.customVars`": Example(
        track("Logged In", integrations={"Matomo": {"customVars": VARIABLES}}), one(HitKind.EVENT, cvar=CVAR)
    ),
    "`integrations.Piwik.customVars`": Example(
        track("Logged In", integrations={"Piwik": {"cvar": VARIABLES}}), one(HitKind.EVENT, cvar=CVAR)
    ),
    "`context.Matomo.customVars`, `context.Piwik.customVars`": Example(
        context(Matomo={"customVars": VARIABLES}), one(VIEW, cvar=CVAR)
    ),
    "a slot above `custom_variable_limit`": Example(
        track("Logged In", integrations={"Piwik": {"customVars": {"5": ["a", "b"], "6": ["TooMany", "OhNo"]}}}),
        one(HitKind.EVENT, cvar='{"5":["a","b"]}'),
    ),
}

LONG = "ä" * 20_000
LEFT_OUT = {
    'numbers such as `"12,50"` or `"1.234,50"`': Example(
        track("Paid", {"value": "12,50", "revenue": "1.234,50"}), one(HitKind.EVENT, e_a="Paid"), absent=("e_v",)
    ),
    "numbers of more than 15 digits before the point": Example(
        track("Paid", {"value": 1e15}), one(HitKind.EVENT, e_a="Paid"), absent=("e_v",)
    ),
    "URLs and referrers without scheme and host": Example(
        page(name="Index", properties={"url": "/academy/", "referrer": "google.com"}),
        one(VIEW, action_name="Index"),
        absent=("url", "urlref"),
    ),
    "URLs of more than 1,024 bytes": Example(
        page(properties={"url": f"https://example.com/path?{LONG}#{LONG}"}), one(VIEW, url="https://example.com/path")
    ),
    "texts of more than 1,024 bytes": Example(track(LONG), one(HitKind.EVENT, e_a="ä" * 512)),
    "control characters in texts": Example(track("Logged\n\x00In"), one(HitKind.EVENT, e_a="Logged In")),
    "`context.ip` that is no address": Example(context(ip="8.8.8.8, 10.0.0.1"), one(VIEW), absent=("cip",)),
    "`context.timezone` that is no IANA name": Example(context(timezone="../Paris"), one(VIEW), absent=("h", "m", "s")),
    "`context.locale` that is no language": Example(context(locale="*"), one(VIEW), absent=("lang",)),
    "`context.screen` of less than 1 or more than 9,999 pixels": Example(
        context(screen={"width": 10_000, "height": 1}), one(VIEW), absent=("res",)
    ),
    "client hints of another type": Example(
        context(userAgentData={"brands": "Chromium", "mobile": "no", "model": 3, "fullVersionList": [{"brand": "a"}]}),
        one(VIEW),
        absent=("uadata",),
    ),
    "lists and objects in dimensions and custom variables": Example(
        track("Logged In", {"first": ["a"]}, integrations={"Matomo": {"customVars": {"1": ["a", {}], "2": "b"}}}),
        one(HitKind.EVENT),
        absent=("dimension1", "cvar"),
        config={"dimensions": {"properties.first": 1}},
    ),
    "other `properties`": Example(track("Logged In", {"color": "canary"}), one(HitKind.EVENT)),
    "other `traits`, such as `traits.email`": Example(
        {"type": "identify", "userId": USER_ID, "traits": {"email": "canary@example.com", "plan": "pro"}},
        one(HitKind.PING, dimension1="pro"),
        config={"dimensions": {"traits.plan": 1}},
    ),
    "`context.app`, `context.device`, `context.os`, `context.network`, `context.library`": Example(
        context(**{name: {"name": "canary"} for name in ("app", "device", "os", "network", "library")}), one(VIEW)
    ),
    "`context.location`": Example(
        context(location={"city": "canary", "country": "canary", "latitude": 40.2}),
        one(VIEW),
        absent=("city", "country", "region", "lat", "long"),
    ),
    "`context.referrer`, `context.groupId`": Example(
        context(referrer={"id": "canary", "type": "canary"}, groupId="canary"), one(VIEW)
    ),
    "`brand`, `variant`, `coupon`, `position`, `image_url` of products": Example(
        track(
            "Product Viewed",
            {
                **MONOPOLY,
                "brand": "canary",
                "variant": "canary",
                "coupon": "canary",
                "image_url": "https://canary.example",
            },
        ),
        one(VIEW),
    ),
    "`affiliation`, `coupon`, `currency`, `checkout_id` of orders": Example(
        track(
            "Order Completed",
            {**ORDER, **dict.fromkeys(("affiliation", "coupon", "currency", "checkout_id"), "canary")},
        ),
        one(HitKind.ORDER),
    ),
}

# By the heading below which the table stands.
EXAMPLES = {
    "## Mapping": MAPPING,
    "## Visitor and context": CONTEXT,
    "## Ecommerce": ECOMMERCE,
    "## Custom dimensions and variables": CUSTOM,
    "## What is left out": LEFT_OUT,
}
