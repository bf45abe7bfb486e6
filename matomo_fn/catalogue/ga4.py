"""The visits in the shape of Google Analytics 4's export to BigQuery: a view with one row an event.

Names and types are those of https://support.google.com/analytics/answer/7029846, so that queries, dashboards and dbt
packages written for that export run on it. What Matomo does not know is NULL, and the description says so.
"""

from collections.abc import Iterable, Sequence

from matomo_fn.catalogue.model import Column, ColumnType, View

_TEXT, _INTEGER, _DECIMAL = ColumnType.STRING, ColumnType.INT64, ColumnType.FLOAT64
_NONE = "Always NULL: Matomo has no such value."

# A column or a field of a STRUCT: its column and the GoogleSQL expression.
_Field = tuple[Column, str]


def _field(name: str, type_: ColumnType, expression: str, description: str) -> _Field:
    return Column(name, type_, description), expression


def _text(name: str, expression: str, description: str) -> _Field:
    return _field(name, _TEXT, expression, description)


def _empty(*names: str, type_: ColumnType = _TEXT) -> tuple[_Field, ...]:
    return tuple(_field(name, type_, f"cast(null as {type_})", _NONE) for name in names)


def _record(name: str, description: str, fields: Sequence[_Field]) -> _Field:
    column = Column(name, ColumnType.STRUCT, description, fields=tuple(column for column, _ in fields))
    return column, _struct(fields)


def _struct(fields: Iterable[_Field]) -> str:
    return f"struct({', '.join(f'{expression} as {column.name}' for column, expression in fields)})"


# Of each action: the name of the event, and before those of a visit's first action how GA4 says that a session began.
_SNAKE = r"trim(regexp_replace(lower({}), r'[^\p{{L}}\p{{N}}]+', '_'), '_')"
_NAMES = {
    "action": "page_view",
    "search": "view_search_results",
    "download": "file_download",
    "outlink": "click",
    "goal": "conversion",
    "ecommerceOrder": "purchase",
    "ecommerceAbandonedCart": "abandoned_cart",
}
_NAME = (
    "case e.type "
    + " ".join(f"when '{type_}' then '{name}'" for type_, name in _NAMES.items())
    + " when 'content' then if(e.content_interaction is null, 'view_promotion', 'select_promotion')"
    + f" when 'event' then coalesce(nullif({_SNAKE.format('e.event_action')}, ''), 'event')"
    + f" else {_SNAKE.format('e.type')} end"
)
# Each with whether it is the action itself: the others have none of its values, such as revenue.
_NO_NAME = "cast([] as array<struct<name string, is_action bool>>)"
_EVENT_NAMES = (
    "array_concat("
    f"if(element_offset = 0 and t.visit_count = 1, [struct('first_visit' as name, false as is_action)], {_NO_NAME}), "
    f"if(element_offset = 0, [struct('session_start' as name, false as is_action)], {_NO_NAME}), "
    f"[struct({_NAME} as name, true as is_action)], "
    f"if(e.product.sku is not null, [struct('view_item' as name, false as is_action)], {_NO_NAME}))"
)

_AT = "coalesce(e.occurred_at, t.first_action_at)"
_IS_FIRST_VISIT = "t.visit_count = 1"
_IS_CONVERSION = "i.is_action and e.type in ('goal', 'ecommerceOrder', 'ecommerceAbandonedCart')"
_HOST = r"regexp_extract({}, r'^[A-Za-z][A-Za-z0-9+.-]*://([^/:?#]+)')"
_HAS_LINK = "(e.type in ('download', 'outlink'))"
# The URL of a download or an outlink is where it leads to; the page that it is on is none of Matomo's fields.
_PAGE = f"if({_HAS_LINK}, null, e.url)"
# GA4: at least ten seconds, two page views, or a conversion.
_IS_ENGAGED = "(t.visit_duration >= 10 or t.interaction_count >= 2 or t.is_converted)"

_SOURCE = (
    "case t.referrer_type when 'direct' then '(direct)' "
    "when 'campaign' then coalesce(t.campaign_source, '(not set)') "
    "when 'website' then t.referrer_name else lower(t.referrer_name) end"
)
_MEDIUM = (
    "case t.referrer_type when 'direct' then '(none)' when 'search' then 'organic' "
    "when 'campaign' then coalesce(t.campaign_medium, '(not set)') else 'referral' end"
)
_CAMPAIGN = (
    "case t.referrer_type when 'direct' then '(direct)' when 'search' then '(organic)' "
    "when 'campaign' then coalesce(t.campaign_name, t.referrer_name) else '(referral)' end"
)
_TERM = "coalesce(t.campaign_keyword, t.referrer_keyword)"
_IS_CAMPAIGN = "t.referrer_type = 'campaign'"


def _only_if(condition: str, expression: str) -> str:
    return f"if({condition}, {expression}, null)"


def _of_action(expression: str) -> str:
    return _only_if("i.is_action", expression)


# The parameters of an event: key, which kind of value, expression, description.
_PARAMETERS: tuple[tuple[str, ColumnType, str, str], ...] = (
    ("ga_session_id", _INTEGER, "t.visit_id", "The visit."),
    ("ga_session_number", _INTEGER, "t.visit_count", "Which of the visitor's visits it is."),
    ("session_engaged", _TEXT, f"if({_IS_ENGAGED}, '1', '0')", "1 where the visit lasted 10 seconds, had 2 page "
     "views or searches, or converted."),
    ("entrances", _INTEGER, "if(element_offset = 0 and i.name = 'page_view', 1, null)", "1 on the visit's first page "
     "view."),
    ("engagement_time_msec", _INTEGER, "if(i.name in ('page_view', 'view_search_results'), 1000 * e.time_spent, null)",
     "Time until the next page view, of page views and searches."),
    ("page_location", _TEXT, _PAGE, "The page's URL; none on downloads and outlinks."),
    ("page_title", _TEXT, _only_if(f"not {_HAS_LINK}", "e.title"), "The page's title."),
    ("page_referrer", _TEXT, "if(element_offset = 0, t.referrer_url, null)", "The URL that the visit came from, on "
     "its first action."),
    ("source", _TEXT, f"if(element_offset = 0, {_SOURCE}, null)", "As in session_traffic_source_last_click; on the "
     "visit's first action."),
    ("medium", _TEXT, f"if(element_offset = 0, {_MEDIUM}, null)", "The same."),
    ("campaign", _TEXT, f"if(element_offset = 0, {_CAMPAIGN}, null)", "The same."),
    ("term", _TEXT, f"if(element_offset = 0, {_TERM}, null)", "The keyword that was searched for, or the campaign's."),
    ("search_term", _TEXT, _of_action("e.search_keyword"), "What was searched for on the site."),
    ("search_results", _INTEGER, _of_action("e.search_count"), "Results found."),
    ("link_url", _TEXT, _only_if(_HAS_LINK, "e.url"), "Where a download or outlink leads to."),
    ("link_domain", _TEXT, _only_if(_HAS_LINK, _HOST.format("e.url")), "Its host."),
    ("outbound", _TEXT, "if(e.type = 'outlink', 'true', null)", "true on outlinks."),
    ("file_name", _TEXT, _only_if("e.type = 'download'", r"regexp_extract(e.url, r'^[^?#]*?([^/?#]+)(?:[?#].*)?$')"),
     "The file's name, of downloads."),
    ("event_category", _TEXT, _of_action("e.event_category"), "The event's category."),
    ("event_action", _TEXT, _of_action("e.event_action"), "The event's action, as it was sent."),
    ("event_label", _TEXT, _of_action("e.event_name"), "The event's name."),
    ("goal_id", _INTEGER, _of_action("e.goal_id"), "The goal's number."),
    ("goal_name", _TEXT, _of_action("e.goal_name"), "The goal's name."),
    ("promotion_name", _TEXT, _of_action("e.content_name"), "The content's name."),
    ("creative_name", _TEXT, _of_action("e.content_piece"), "The content's piece."),
    ("transaction_id", _TEXT, _of_action("e.order_id"), "The order's number."),
    ("value", _DECIMAL, f"if({_IS_CONVERSION}, e.revenue, if(i.is_action and e.type = 'event', e.event_value, null))",
     "Revenue of the goal, order or cart, in the site's currency; of events their value."),
    ("currency", _TEXT, _only_if(_IS_CONVERSION, "t.currency"), "The site's currency, beside revenue."),
    ("tax", _DECIMAL, _of_action("e.order_tax"), "The order's tax."),
    ("shipping", _DECIMAL, _of_action("e.order_shipping"), "The order's shipping."),
)  # fmt: skip
_VALUES = ((_TEXT, "string_value"), (_INTEGER, "int_value"), (None, "float_value"), (_DECIMAL, "double_value"))
# What GA4 calls float_value is always NULL in its exports.
_VALUE = tuple(
    Column(name, type_ or _DECIMAL, "The value, where it is of that type." if type_ else _NONE)
    for type_, name in _VALUES
)


def _parameter(key: str, kind: ColumnType, expression: str) -> str:
    values = ", ".join(
        f"{expression if type_ is kind else f'cast(null as {type_ or _DECIMAL})'} as {name}" for type_, name in _VALUES
    )
    return f"struct('{key}' as key, struct({values}) as value)"


def _parameters() -> _Field:
    listed = "; ".join(f"{key}: {text}" for key, _, _, text in _PARAMETERS)
    column = Column(
        "event_params",
        ColumnType.STRUCT,
        f"What is known of the event, by key; keys without a value are left out. {listed}",
        repeated=True,
        fields=(
            Column("key", _TEXT, "The parameter's name."),
            Column("value", ColumnType.STRUCT, "Its value, in the field of its type.", fields=_VALUE),
        ),
    )
    structs = ", ".join(_parameter(key, kind, expression) for key, kind, expression, _ in _PARAMETERS)
    empty = {_TEXT: "!= ''"}  # Matomo writes an absent text as '' as well
    there = " or ".join(f"p.value.{name} {empty.get(type_, 'is not null')}" for type_, name in _VALUES if type_)
    return column, f"array(select p from unnest([{structs}]) as p where {there})"


_PROPERTIES: _Field = (
    Column(
        "user_properties",
        ColumnType.STRUCT,
        "Custom dimensions of the visit, by key custom_dimension_N.",
        repeated=True,
        fields=(
            Column("key", _TEXT, "custom_dimension_N."),
            Column(
                "value",
                ColumnType.STRUCT,
                "Its value.",
                fields=(*_VALUE, Column("set_timestamp_micros", _INTEGER, _NONE)),
            ),
        ),
    ),
    "array(select struct(concat('custom_dimension_', cast(d.index as string)) as key, struct(d.value as string_value, "
    "cast(null as int64) as int_value, cast(null as float64) as float_value, cast(null as float64) as double_value, "
    "cast(null as int64) as set_timestamp_micros) as value) from unnest(t.custom_dimensions) as d)",
)

_DEVICE = (
    _text(
        "category",
        "case when t.device_type in ('Smartphone', 'Phablet', 'Feature phone') then 'mobile' "
        "when t.device_type = 'TV' then 'smart tv' else lower(t.device_type) end",
        "desktop, tablet, mobile (Matomo's Smartphone, Phablet and Feature phone), smart tv, or Matomo's device type.",
    ),
    _text("mobile_brand_name", "t.device_brand", "The device's brand."),
    _text("mobile_model_name", "t.device_model", "The device's model."),
    *_empty("mobile_marketing_name", "mobile_os_hardware_model"),
    _text("operating_system", "t.operating_system", "The operating system."),
    _text("operating_system_version", "t.operating_system_version", "Its version."),
    *_empty("vendor_id", "advertising_id"),
    _text("language", "t.language_code", "The browser's language code."),
    *_empty("is_limited_ad_tracking"),
    *_empty("time_zone_offset_seconds", type_=_INTEGER),
    _text("browser", "t.browser", "The browser."),
    _text("browser_version", "t.browser_version", "Its version."),
    _record(
        "web_info",
        "The browser and the host.",
        (
            _text("browser", "t.browser", "The browser."),
            _text("browser_version", "t.browser_version", "Its version."),
            _text("hostname", _HOST.format(_PAGE), "The host of the page's URL."),
        ),
    ),
)
_GEO = (
    _text("city", "t.city", "The city's name."),
    _text("country", "t.country", "The country's English name."),
    _text("continent", "t.continent", "The continent's English name."),
    _text("region", "t.region", "The region's name."),
    *_empty("sub_continent", "metro"),
)
_FIRST_TOUCH = "known in the visitor's first visit only, NULL in later ones."
_TRAFFIC = (
    _text("name", _only_if(_IS_FIRST_VISIT, _CAMPAIGN), f"The campaign of the first visit: {_FIRST_TOUCH}"),
    _text("medium", _only_if(_IS_FIRST_VISIT, _MEDIUM), f"The medium of the first visit: {_FIRST_TOUCH}"),
    _text("source", _only_if(_IS_FIRST_VISIT, _SOURCE), f"The source of the first visit: {_FIRST_TOUCH}"),
)
_COLLECTED = (
    _text("manual_campaign_id", "t.campaign_id", "The campaign's id."),
    _text(
        "manual_campaign_name",
        _only_if(_IS_CAMPAIGN, "coalesce(t.campaign_name, t.referrer_name)"),
        "The campaign's name.",
    ),
    _text("manual_source", "t.campaign_source", "The campaign's source."),
    _text("manual_medium", "t.campaign_medium", "The campaign's medium."),
    _text("manual_term", _only_if(_IS_CAMPAIGN, _TERM), "The campaign's keyword."),
    _text("manual_content", "t.campaign_content", "The campaign's content."),
    *_empty("manual_source_platform", "manual_creative_format", "manual_marketing_tactic", "gclid", "dclid", "srsltid"),
)
_SESSION_SOURCE = (
    _text("campaign_id", "t.campaign_id", "The campaign's id."),
    _text("campaign_name", _CAMPAIGN, "The campaign's name, or (direct), (organic), (referral)."),
    _text("source", _SOURCE, "(direct), the search engine, website, network, or the campaign's source."),
    _text("medium", _MEDIUM, "(none), organic, referral, or the campaign's medium."),
    _text("term", _TERM, "The keyword."),
    _text("content", "t.campaign_content", "The campaign's content."),
    *_empty("source_platform", "creative_format", "marketing_tactic"),
)
_IS_PURCHASE = "(i.is_action and e.type = 'ecommerceOrder')"
_QUANTITY = "(select sum(n.quantity) from unnest(e.items) as n)"
_ECOMMERCE = (
    _field("total_item_quantity", _INTEGER, _only_if(_IS_PURCHASE, _QUANTITY), "Items of the order."),
    *_empty("purchase_revenue_in_usd", type_=_DECIMAL),
    _field("purchase_revenue", _DECIMAL, _only_if(_IS_PURCHASE, "e.revenue"), "Revenue, in the site's currency."),
    *_empty("refund_value_in_usd", "refund_value", "shipping_value_in_usd", type_=_DECIMAL),
    _field("shipping_value", _DECIMAL, _only_if(_IS_PURCHASE, "e.order_shipping"), "Shipping."),
    *_empty("tax_value_in_usd", type_=_DECIMAL),
    _field("tax_value", _DECIMAL, _only_if(_IS_PURCHASE, "e.order_tax"), "Tax."),
    _field("unique_items", _INTEGER, _only_if(_IS_PURCHASE, "array_length(e.items)"), "Different items of the order."),
    _text("transaction_id", _only_if(_IS_PURCHASE, "e.order_id"), "The order's number."),
)


def _items() -> _Field:
    """Return the items of an order or cart, and the product of a product's page as the only item of view_item."""

    def fields(row: str, categories: str, quantity: str) -> tuple[_Field, ...]:
        levels = ("item_category", *(f"item_category{level}" for level in range(2, 6)))
        return (
            _text("item_id", f"{row}.sku", "The SKU."),
            _text("item_name", f"{row}.name", "The name."),
            *_empty("item_brand", "item_variant"),
            *(
                _text(name, f"{categories}[safe_offset({level})]", "One of its categories, in Matomo's order.")
                for level, name in enumerate(levels)
            ),
            *_empty("price_in_usd", type_=_DECIMAL),
            _field("price", _DECIMAL, f"{row}.price", "Price of one, in the site's currency."),
            _field("quantity", _INTEGER, quantity, "How many; NULL of view_item."),
            *_empty("item_revenue_in_usd", type_=_DECIMAL),
            _field(
                "item_revenue",
                _DECIMAL,
                f"if({_IS_PURCHASE}, {row}.price * {quantity}, null)",
                "Price times quantity, of orders.",
            ),
            *_empty("item_refund_in_usd", "item_refund", type_=_DECIMAL),
            *_empty("coupon", "affiliation", "location_id", "item_list_id", "item_list_name", "item_list_index"),
            *_empty("promotion_id", "promotion_name", "creative_name", "creative_slot"),
        )

    ordered = fields("n", "n.categories", "n.quantity")
    viewed = fields("e.product", "e.product.categories", "cast(null as int64)")
    column = Column(
        "items",
        ColumnType.STRUCT,
        "The items of a purchase or an abandoned_cart, and the product of a view_item.",
        repeated=True,
        fields=tuple(column for column, _ in ordered),
    )
    return (
        column,
        f"if(i.is_action, array(select {_struct(ordered)} from unnest(e.items) as n), "
        f"if(i.name = 'view_item', [{_struct(viewed)}], []))",
    )


GA4_EVENTS = View(
    "events",
    "The visits in the shape of Google Analytics 4's export: one row an action or conversion, and first_visit and "
    "session_start before the first of a visit.",
    (
        _field("date", ColumnType.DATE, "t.date", "The site's day; not in GA4. A condition on it prunes partitions."),
        _text("website_id", "t.website_id", "The site; not in GA4."),
        _text("event_date", "format_date('%Y%m%d', t.date)", "The site's day of the visit, as YYYYMMDD."),
        _field("event_timestamp", _INTEGER, f"unix_micros({_AT})", "When it was, in microseconds since 1970 in UTC."),
        _text(
            "event_name",
            "i.name",
            f"{', '.join(_NAMES.values())}, view_promotion, select_promotion, view_item, first_visit, session_start, "
            "or an event's action in snake case.",
        ),
        _parameters(),
        *_empty("event_previous_timestamp", type_=_INTEGER),
        *_empty("event_value_in_usd", type_=_DECIMAL),
        *_empty("event_bundle_sequence_id", "event_server_timestamp_offset", type_=_INTEGER),
        _text("user_id", "t.user_id", "The user ID that the site gave to the visitor."),
        _text("user_pseudo_id", "t.visitor_id", "The visitor, from a cookie, the user ID or the fingerprint."),
        _record(
            "privacy_info",
            "Consent; Matomo keeps none.",
            _empty("analytics_storage", "ads_storage", "uses_transient_token"),
        ),
        _PROPERTIES,
        _field(
            "user_first_touch_timestamp",
            _INTEGER,
            _only_if(_IS_FIRST_VISIT, "unix_micros(t.first_action_at)"),
            f"When the first visit began: {_FIRST_TOUCH}",
        ),
        _record(
            "user_ltv",
            "Lifetime value; Matomo's changes in old visits and is not kept.",
            (*_empty("revenue", type_=_DECIMAL), *_empty("currency")),
        ),
        _record("device", "The device.", _DEVICE),
        _record("geo", "The place.", _GEO),
        _record(
            "app_info", "Of apps; none.", _empty("id", "version", "install_store", "firebase_app_id", "install_source")
        ),
        _record("traffic_source", "What brought the visitor for the first time.", _TRAFFIC),
        _text("stream_id", "t.website_id", "The site."),
        _text("platform", "'WEB'", "WEB."),
        _record(
            "event_dimensions",
            "The host.",
            (_text("hostname", _HOST.format(_PAGE), "The host of the page's URL."),),
        ),
        _record("ecommerce", "The order, of purchases.", _ECOMMERCE),
        _items(),
        _record("collected_traffic_source", "The campaign that the visit came by.", _COLLECTED),
        _field("is_active_user", ColumnType.BOOL, _IS_ENGAGED, "Whether the visit was engaged: see session_engaged."),
        *_empty("batch_event_index", "batch_page_id", "batch_ordering_id", type_=_INTEGER),
        _record(
            "session_traffic_source_last_click",
            "What the visit came by.",
            (_record("manual_campaign", "What the visit came by.", _SESSION_SOURCE),),
        ),
    ),
    unnest="t.actions",
    unnest_within=_EVENT_NAMES,
)
