"""What the fields of Matomo's reports are by their names alone, the same in every report."""

import re

from matomo_fn.catalogue.model import Column, ColumnType

# Icons, and numbers that the archive gives to sub tables: they change with each archiving and say nothing.
_PRESENTATION = re.compile(
    r"logo|logoHeight|logoWidth|icon|\w+Icon|\w+IconSVG|iconSVG|imageGraph\w*|idsubdatatable|is_summary"
)
_TEXT = re.compile(r"label|url|code|segment|region|country|city|\w+_name|group|main_url|[A-Z]\w*_[A-Z]\w*(?<!_percent)")
# Checked in this order: averages and shares of counters are named like counters.
_DECIMAL = re.compile(
    r"avg_\w+|\w+_(rate|percent|percentage|percent_of_total|evolution)|\w+_per_\w+|\w*rate_(new|returning)\w*|\w*revenue\w*|"
    r"(bounce|conversion)_rate\w*|nb_\w+_(attrib|rate|percentage)|(min|max|sum)_event_value|(min|max)_time_\w+|"
    r"sum_time_(network|server|transfer|dom_processing|dom_completion|on_load|generation)|lat|long|latitude|longitude|"
    r"price|avg_price|ratio"
)
_WHOLE = re.compile(
    r"((entry|exit|sum_daily|previous|Actions|goal|\d+)_)*(nb|sum_daily_nb)_\w+|\w*bounce_count\w*|max_actions\w*|"
    r"(entry_)?sum_visit_length\w*|sum_time_spent|quantity|orders|items|hits|idsite|idgoal|refer+er_type|day_of_week|"
    r"value"
)
_FLAT = re.compile(r"[A-Z][A-Za-z0-9]*_[A-Z][A-Za-z0-9]*")

# Which of a report's rows stand for several hosts, regions or channels is told by these, where labels are the same.
FURTHER_IDENTIFIERS = (
    "url",
    "code",
    "referer_type",
    "referrer_type",
    "region",
    "country",
    "city_name",
    "idsite",
    "idvisitor",
    "day_of_week",
    "segment",
)

_GOAL = (
    ("conversions", "nb_conversions", ColumnType.INT64, "Conversions."),
    ("visits_converted", "nb_visits_converted", ColumnType.INT64, "Visits with a conversion."),
    ("revenue", "revenue", ColumnType.FLOAT64, "Revenue, in the site's currency."),
    ("revenue_subtotal", "revenue_subtotal", ColumnType.FLOAT64, "Of orders: the revenue of the items."),
    ("revenue_tax", "revenue_tax", ColumnType.FLOAT64, "Of orders: taxes."),
    ("revenue_shipping", "revenue_shipping", ColumnType.FLOAT64, "Of orders: shipping."),
    ("revenue_discount", "revenue_discount", ColumnType.FLOAT64, "Of orders: discounts."),
    ("items", "items", ColumnType.INT64, "Of orders and carts: items."),
    ("conversions_page_uniq", "nb_conversions_page_uniq", ColumnType.INT64, "Of pages: visits that saw it before."),
    ("conversion_pages_before", "nb_conv_pages_before", ColumnType.INT64, "Of pages: pages seen before conversions."),
    ("conversions_attrib", "nb_conversions_attrib", ColumnType.FLOAT64, "Of pages: the page's share of conversions."),
    ("revenue_attrib", "revenue_attrib", ColumnType.FLOAT64, "Of pages: the page's share of revenue."),
    ("conversions_page_rate", "nb_conversions_page_rate", ColumnType.FLOAT64, "Of pages: how often it came before."),
    (
        "conversions_entry",
        "nb_conversions_entry",
        ColumnType.INT64,
        "Of pages: conversions of visits begun there.",
    ),
    ("revenue_entry", "revenue_entry", ColumnType.FLOAT64, "Of pages: revenue of visits begun there."),
    ("conversions_entry_rate", "nb_conversions_entry_rate", ColumnType.FLOAT64, "Of pages: conversions by entries."),
    ("revenue_per_entry", "revenue_per_entry", ColumnType.FLOAT64, "Of pages: revenue by entries."),
)
GOAL_ID = "goal_id"
OTHER_NUMBERS = "other"
# The numbers of each goal, order and cart, as Matomo's `goals` has them.
GOALS = Column(
    "goals",
    ColumnType.STRUCT,
    "The numbers by goal. Matomo's goals.",
    source="goals",
    repeated=True,
    fields=(
        Column(GOAL_ID, ColumnType.STRING, "The goal: its number, ecommerceOrder or ecommerceAbandonedCart."),
        *(Column(name, kind, f"{text} Matomo's {source}.", source=source) for name, source, kind, text in _GOAL),
        Column(OTHER_NUMBERS, ColumnType.JSON, "What else Matomo answers of the goal."),
    ),
)


def is_presentation(field: str) -> bool:
    """Return whether a field is an icon, or a number that means nothing outside of Matomo."""
    return _PRESENTATION.fullmatch(field) is not None


def is_flat_dimension(field: str) -> bool:
    """Return whether a field is one that ``flat=1`` adds for a dimension, such as Events_EventAction."""
    return _FLAT.fullmatch(field) is not None


def declared_type(field: str) -> ColumnType | None:
    """Return the type of a field by its name, or None where values have to tell."""
    if _DECIMAL.fullmatch(field):
        return ColumnType.FLOAT64
    if _WHOLE.fullmatch(field):
        return ColumnType.INT64
    return ColumnType.STRING if _TEXT.fullmatch(field) else None
