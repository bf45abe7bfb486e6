"""The visits log: one row a visit with its actions nested in it, and a view with one row an action."""

from matomo_fn.catalogue.columns import count, document, number, text
from matomo_fn.catalogue.ga4 import GA4_EVENTS
from matomo_fn.catalogue.model import SLICE_COLUMNS, Column, ColumnType, Extraction, Source, Table, View

LIVE = Source("Live.getLastVisitsDetails", ranges=False)


def _decimal(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.FLOAT64, f"{description} Matomo's {source}.", source=source)


def _moment(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.TIMESTAMP, f"{description} Matomo's {source}.", source=source, required=True)


def _texts(name: str, source: str, description: str) -> Column:
    return Column(name, ColumnType.STRING, f"{description} Matomo's {source}.", source=source, repeated=True)


def _struct(name: str, description: str, *fields: Column, repeated: bool = True) -> Column:
    return Column(name, ColumnType.STRUCT, description, repeated=repeated, fields=fields)


def _own(name: str, type_: ColumnType, description: str) -> Column:
    """Return a column that is computed from the visit's own actions; Matomo's field is a total of the visitor."""
    return Column(name, type_, f"{description} Computed from actionDetails; 0 where there is none.")


def _custom_dimensions(scope: str) -> Column:
    return _struct(
        "custom_dimensions",
        f"Custom dimensions of the {scope} that have a value. Matomo's dimensionN.",
        Column("index", ColumnType.INT64, "The dimension's number N."),
        Column("value", ColumnType.STRING, "Its value."),
    )


_VISIT = (
    text(
        "visitor_id", "visitorId", "The visitor: from a cookie, the user ID or the fingerprint; 16 hexadecimal digits."
    ),
    text("user_id", "userId", "The user ID that the site gave to the visitor."),
    text("fingerprint", "fingerprint", "The device's configuration, 16 hexadecimal digits; another one each day."),
    text("visit_ip", "visitIp", "The visitor's IP address, masked as the Matomo is set up."),
    text("visitor_type", "visitorType", "new, returning, or returningCustomer (who has ordered before)."),
    number("visit_count", "visitCount", "How many visits the visitor has made, this one included."),
    _moment("first_action_at", "firstActionTimestamp", "When the visit began."),
    _moment("last_action_at", "lastActionTimestamp", "When the visit's last action was; its day is the visit's."),
    number("visit_duration", "visitDuration", "Length of the visit up to its last action or heartbeat, in seconds."),
    Column(
        "visitor_local_time",
        ColumnType.TIME,
        "The visitor's own clock when the visit began. Matomo's visitLocalTime.",
        source="visitLocalTime",
    ),
    number(
        "days_since_first_visit", "daysSinceFirstVisit", "Whole days since the visitor's first visit; 0 in that visit."
    ),
    number(
        "days_since_last_visit",
        "daysSinceLastVisit",
        "Whole days since the visitor's visit before this one; 0 also in the first visit.",
    ),
    number(
        "days_since_last_order",
        "daysSinceLastEcommerceOrder",
        "Whole days since the visitor's last order; 0 also where there was none.",
    ),
)
_COUNTS = (
    count("action_count", "actions", "Actions: page views, downloads, outlinks, searches and events."),
    count("interaction_count", "interactions", "Interactions: page views and searches."),
    count("event_count", "events", "Events."),
    count("search_count", "searches", "Searches on the site."),
    count("goal_conversions", "goalConversions", "Conversions of goals; orders are not among them."),
    count(
        "truncated_action_count",
        "truncatedActionsCount",
        "Actions that Matomo left out because the visit has more than it shows (500 by default); orders among them are "
        "in no sum of orders.",
    ),
    Column(
        "is_converted",
        ColumnType.BOOL,
        "Whether the visit converted a goal or ordered. Matomo's visitConverted.",
        source="visitConverted",
    ),
)
_COMMERCE = (
    text("currency", "siteCurrency", "The site's currency (ISO 4217)."),
    text("ecommerce_status", "visitEcommerceStatus", "none, ordered, abandonedCart or orderedThenAbandonedCart."),
    _own("order_count", ColumnType.INT64, "Orders of the visit: its actions of type ecommerceOrder."),
    _own("order_revenue", ColumnType.FLOAT64, "Revenue of the visit's orders, in the site's currency."),
    _own("order_items", ColumnType.INT64, "Items in the visit's orders: the sum of their quantities."),
    _own(
        "abandoned_carts", ColumnType.INT64, "Abandoned carts of the visit: its actions of type ecommerceAbandonedCart."
    ),
    _own("abandoned_cart_revenue", ColumnType.FLOAT64, "Value of the visit's abandoned carts, in the site's currency."),
    _own(
        "abandoned_cart_items", ColumnType.INT64, "Items in the visit's abandoned carts: the sum of their quantities."
    ),
)
_CAMPAIGN = tuple(
    text(f"campaign_{part}", f"campaign{part.title()}", f"The campaign's {part}, where the instance tracks it.")
    for part in ("id", "name", "keyword", "source", "medium", "content", "group", "placement")
)
_ORIGIN = (
    text("referrer_type", "referrerType", "direct, search, website, campaign, social or ai-assistant."),
    text("referrer_name", "referrerName", "The search engine, website's host, campaign or social network."),
    text("referrer_keyword", "referrerKeyword", "The keyword that was searched for, or the campaign's."),
    text("referrer_url", "referrerUrl", "The URL that the visit came from."),
    *_CAMPAIGN,
)
_PLACE = (
    text("continent", "continent", "The continent's English name."),
    text("continent_code", "continentCode", "The continent's three-letter code; unk where it is unknown."),
    text("country", "country", "The country's English name."),
    text(
        "country_code",
        "countryCode",
        "The country's two-letter code (ISO 3166), in lower case; xx where it is unknown.",
    ),
    text("region", "region", "The region's name."),
    text("region_code", "regionCode", "The region's code (ISO 3166-2, without the country's)."),
    text("city", "city", "The city's name."),
    _decimal("latitude", "latitude", "Latitude in degrees."),
    _decimal("longitude", "longitude", "Longitude in degrees."),
)
_DEVICE = (
    text("device_type", "deviceType", "The kind of device."),
    text("device_brand", "deviceBrand", "The device's brand."),
    text("device_model", "deviceModel", "The device's model."),
    text("operating_system", "operatingSystemName", "The operating system."),
    text("operating_system_version", "operatingSystemVersion", "Its version."),
    text("browser", "browserName", "The browser."),
    text("browser_version", "browserVersion", "Its version."),
    text("resolution", "resolution", "The screen's resolution."),
    text("language", "language", "The browser's language, in English."),
    text("language_code", "languageCode", "The browser's language code."),
    _texts("browser_plugins", "plugins", "Plugins of the browser."),
)
ACTION_FIELDS = (
    text("type", "type", "action (a page view), event, search, goal, download, outlink, content and so on."),
    Column(
        "occurred_at",
        ColumnType.TIMESTAMP,
        "When it was, in true UTC. Matomo's timestamp, which is the site's wall clock.",
        source="timestamp",
    ),
    text("url", "url", "The URL."),
    text("title", "pageTitle", "The page's title; of a download or outlink none."),
    text("pageview_id", "idpageview", "The page view that the action belongs to."),
    number(
        "pageview_position",
        "pageviewPosition",
        "The position in the visit, from 1, of the page view or search that the action belongs to.",
    ),
    number(
        "time_spent", "timeSpent", "Time until the next page view or, for the last, the last heartbeat, in seconds."
    ),
    number("page_load_ms", "pageLoadTimeMilliseconds", "Time that the page took to load, in milliseconds."),
    text("event_category", "eventCategory", "The event's category."),
    text("event_action", "eventAction", "The event's action."),
    text("event_name", "eventName", "The event's name."),
    _decimal("event_value", "eventValue", "The event's value, rounded to 3 decimals by Matomo."),
    number("goal_id", "goalId", "The goal's number."),
    text("goal_name", "goalName", "The goal's name."),
    _decimal("revenue", "revenue", "Revenue of the goal, order or cart, in the site's currency."),
    text("search_keyword", "siteSearchKeyword", "What was searched for on the site."),
    text("search_category", "siteSearchCategory", "The category that was searched in."),
    number("search_count", "siteSearchCount", "Results found."),
    text("content_name", "contentName", "The content's name."),
    text("content_piece", "contentPiece", "The content's piece, such as an image's path."),
    text("content_target", "contentTarget", "The content's target."),
    text("content_interaction", "contentInteraction", "How the content was interacted with."),
    text("order_id", "orderId", "The order's number."),
    _decimal("order_subtotal", "revenueSubTotal", "The order's subtotal."),
    _decimal("order_tax", "revenueTax", "The order's tax."),
    _decimal("order_shipping", "revenueShipping", "The order's shipping."),
    _decimal("order_discount", "revenueDiscount", "The order's discount."),
    _struct(
        "items",
        "Items of the order or cart. Matomo's itemDetails.",
        text("sku", "itemSKU", "The item's SKU."),
        text("name", "itemName", "The item's name."),
        _texts("categories", "categories", "Its categories."),
        _decimal("price", "price", "Price of one."),
        number("quantity", "quantity", "How many."),
    ),
    _struct(
        "product",
        "The product that the page shows.",
        text("sku", "productViewSku", "The product's SKU."),
        text("name", "productViewName", "The product's name."),
        _decimal("price", "productViewPrice", "Its price."),
        _texts("categories", "productViewCategories", "Its categories."),
        repeated=False,
    ),
    _custom_dimensions("action"),
    document("raw", "other fields", "Every other field of the action that carries information."),
)
_MORE = (
    _custom_dimensions("visit"),
    _struct(
        "custom_variables",
        "Custom variables of the visit. Matomo's customVariables.",
        Column("index", ColumnType.INT64, "The variable's number."),
        Column("name", ColumnType.STRING, "Its name."),
        Column("value", ColumnType.STRING, "Its value."),
    ),
    document("raw", "other fields", "Every other field of the visit that carries information."),
    _struct("actions", "The visit's actions, in Matomo's order.", *ACTION_FIELDS),
)

_VISIT_ID = Column("visit_id", ColumnType.INT64, "The visit. Matomo's idVisit.", source="idVisit", required=True)
# The columns of a visit that stand beside each of its actions. Names that an action has as well are not among them.
_BESIDE_ACTIONS = (*_ORIGIN, *_PLACE[:4], *_DEVICE[:7])


def _of_visit(*columns: Column) -> tuple[tuple[Column, str], ...]:
    return tuple((column, f"t.{column.name}") for column in columns)


# Which visit and which of its actions a row is about.
_WHICH = (
    *_of_visit(*(column for column in SLICE_COLUMNS if column.name != "segment"), _VISIT_ID, *_VISIT[:2]),
    (Column("action_index", ColumnType.INT64, "The action's position in the visit, from 1."), "element_offset + 1"),
)

VISIT_ACTIONS = View(
    "visit_actions",
    "One row an action of a visit, with the visit's referrer, country and device.",
    (
        *_WHICH,
        *((field, f"e.{field.name}") for field in ACTION_FIELDS),
        *_of_visit(*_BESIDE_ACTIONS),
    ),
    unnest="t.actions",
)


_OF_ACTION = {field.name: field for field in ACTION_FIELDS}
_ITEM = {field.name: field for field in _OF_ACTION["items"].fields}


def _of_action(*names: str) -> tuple[tuple[Column, str], ...]:
    return tuple((_OF_ACTION[name], f"e.{name}") for name in names)


def _attributed(name: str, source: str, what: str) -> tuple[Column, str]:
    text = (
        f"{what} that Matomo attributes the conversion to, which may be an earlier visit's; NULL where there is none "
        f"or raw is excluded. Matomo's {source} of the action."
    )
    return Column(name, ColumnType.STRING, text), f"json_value(e.raw, '$.{source}')"


CONVERSIONS = View(
    "conversions",
    "One row a conversion of a goal or an order, with the channel that Matomo attributes it to and the visit's "
    "referrer, country and device.",
    (
        *_WHICH,
        (
            Column("conversion_type", ColumnType.STRING, "goal or order."),
            "if(e.type = 'goal', 'goal', 'order')",
        ),
        *_of_action("occurred_at", "goal_id", "goal_name", "revenue", "order_id"),
        *_of_action("order_subtotal", "order_tax", "order_shipping", "order_discount", "url", "pageview_id"),
        _attributed("attributed_referrer_type", "referrerType", "The channel"),
        _attributed("attributed_referrer_name", "referrerName", "The search engine, website, campaign or network"),
        _attributed("attributed_referrer_keyword", "referrerKeyword", "The keyword"),
        *_of_visit(_COMMERCE[0], *_BESIDE_ACTIONS),
    ),
    unnest="t.actions",
    where="e.type in ('goal', 'ecommerceOrder')",
)
ORDER_ITEMS = View(
    "order_items",
    "One row an item of an order; items of abandoned carts are not among them.",
    (
        *_WHICH,
        *_of_action("occurred_at", "order_id"),
        (Column("item_index", ColumnType.INT64, "The item's position in the order, from 1."), "item_offset + 1"),
        *((_ITEM[name], f"i.{name}") for name in ("sku", "name", "categories", "price", "quantity")),
        (
            Column("item_revenue", ColumnType.FLOAT64, "The price times the quantity, in the site's currency."),
            "i.price * i.quantity",
        ),
        *_of_visit(_COMMERCE[0], *_BESIDE_ACTIONS),
    ),
    unnest="t.actions",
    unnest_within="e.items",
    where="e.type = 'ecommerceOrder'",
)

VISITS = Table(
    "visits",
    "The visits log: one row a visit, with its actions. A visit stands on the site's day of its last action.",
    (LIVE,),
    (*_VISIT, *_COUNTS, *_COMMERCE, *_ORIGIN, *_PLACE, *_DEVICE, *_MORE),
    (_VISIT_ID,),
    extraction=Extraction.VISITS_LOG,
    views=(VISIT_ACTIONS, CONVERSIONS, ORDER_ITEMS, GA4_EVENTS),
)

# Columns that a connector may exclude, by their path; without the rest a row would not be a visit.
EXCLUDABLE = frozenset(
    [column.name for column in VISITS.parsed if not column.required]
    + [f"actions.{field.name}" for field in ACTION_FIELDS if field.name != "type"]
)

# The columns that page titles are read from, once the visits are stored.
TITLE_SOURCES = frozenset({"actions", "actions.url", "actions.title"})

# The titles of pages, found in the visits.
PAGE_TITLES = (
    Column("date", ColumnType.DATE, "The day.", required=True),
    Column("website_id", ColumnType.STRING, "The site.", required=True),
    Column("url", ColumnType.STRING, "The page's URL.", required=True),
    Column("title", ColumnType.STRING, "The title that it had in most views; NULL where no visit saw one."),
)
