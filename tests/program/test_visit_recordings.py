"""Every recording of the visits log, through client, paging, shaping and DuckDB, beside another reader.

The other reader knows by heart which field belongs where and shares nothing with the program.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import VISITS
from matomo_fn.errors import InvalidResponse, ReportRefused
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.recordings import Recording, Replay, Scripted, all_recordings, client_of
from tests.support.visits import DAY, METHOD, PARIS, ZONES, read_day, rows_of_visits, server_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

Json = Any
_TIMES = {"firstActionTimestamp", "lastActionTimestamp", "idVisit"}


def _answers() -> Iterator[tuple[Recording, Json]]:
    """Every recorded answer of the visits log, those inside a bulk answer too, found by what was asked."""
    for recording in all_recordings():
        if recording.method == METHOD:
            yield recording, json.loads(recording.body)
        elif recording.method == "API.getBulkRequest" and METHOD in json.dumps(dict(recording.params)):
            yield from ((recording, entry) for entry in json.loads(recording.body) if _is_visits(entry))


def _is_visits(value: Json) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict) and "idVisit" in value[0]


ANSWERS = {recording.name: (recording, value) for recording, value in _answers()}
WHOLE = {
    name: value
    for name, (_, value) in ANSWERS.items()
    if _is_visits(value) and all(visit.keys() >= _TIMES for visit in value)
}
# Columns were hidden, so that there is no saying when the visits began, or which they are.
CUT = {name: value for name, (_, value) in ANSWERS.items() if isinstance(value, list) and value and name not in WHOLE}
EMPTY = {name for name, (_, value) in ANSWERS.items() if value == []}
REFUSED = {name for name, (_, value) in ANSWERS.items() if isinstance(value, dict)}

# ---------------------------------------------------------------------------------------------------------------------
# The other reader: Matomo's field, our column, what the value is.


def _whole(value: Json) -> int:
    assert isinstance(value, int) or re.fullmatch(r"\d+", value)
    return int(value)


def _clock(value: Json) -> time:
    return time.fromisoformat(value)


def _moment(value: Json) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=value)


VISIT_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "idVisit": ("visit_id", _whole),
    "visitIp": ("visit_ip", str),
    "visitorId": ("visitor_id", str),
    "fingerprint": ("fingerprint", str),
    "goalConversions": ("goal_conversions", _whole),
    "siteCurrency": ("currency", str),
    "lastActionTimestamp": ("last_action_at", _moment),
    "firstActionTimestamp": ("first_action_at", _moment),
    "userId": ("user_id", str),
    "visitorType": ("visitor_type", str),
    "visitConverted": ("is_converted", lambda value: {0: False, 1: True}[value]),
    "visitCount": ("visit_count", _whole),
    "visitEcommerceStatus": ("ecommerce_status", str),
    "daysSinceFirstVisit": ("days_since_first_visit", _whole),
    "daysSinceLastVisit": ("days_since_last_visit", _whole),
    "daysSinceLastEcommerceOrder": ("days_since_last_order", _whole),
    "visitDuration": ("visit_duration", _whole),
    "searches": ("search_count", _whole),
    "actions": ("action_count", _whole),
    "interactions": ("interaction_count", _whole),
    "events": ("event_count", _whole),
    "truncatedActionsCount": ("truncated_action_count", _whole),
    "referrerType": ("referrer_type", str),
    "referrerName": ("referrer_name", str),
    "referrerKeyword": ("referrer_keyword", str),
    "referrerUrl": ("referrer_url", str),
    "languageCode": ("language_code", str),
    "language": ("language", str),
    "deviceType": ("device_type", str),
    "deviceBrand": ("device_brand", str),
    "deviceModel": ("device_model", str),
    "operatingSystemName": ("operating_system", str),
    "operatingSystemVersion": ("operating_system_version", str),
    "browserName": ("browser", str),
    "browserVersion": ("browser_version", str),
    "continent": ("continent", str),
    "continentCode": ("continent_code", str),
    "country": ("country", str),
    "countryCode": ("country_code", str),
    "region": ("region", str),
    "regionCode": ("region_code", str),
    "city": ("city", str),
    "latitude": ("latitude", float),
    "longitude": ("longitude", float),
    "visitLocalTime": ("visitor_local_time", _clock),
    "resolution": ("resolution", str),
    "plugins": ("browser_plugins", lambda value: value.split(", ") if value else []),
}
# Counters that Matomo leaves out where there is nothing to count.
ZEROS = frozenset({
    "action_count", "interaction_count", "event_count", "search_count", "goal_conversions", "truncated_action_count",
})  # fmt: skip
# Lifetime totals of the visitor, which the row has nowhere.
LIFETIME = frozenset({
    "totalEcommerceRevenue", "totalEcommerceConversions", "totalEcommerceItems",
    "totalAbandonedCartsRevenue", "totalAbandonedCarts", "totalAbandonedCartsItems",
})  # fmt: skip
# The columns of orders and carts, and the type of action that they sum up.
TOTALS = {
    "ecommerceOrder": ("order_count", "order_revenue", "order_items"),
    "ecommerceAbandonedCart": ("abandoned_carts", "abandoned_cart_revenue", "abandoned_cart_items"),
}
ACTION_COLUMNS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "type": ("type", lambda value: "content" if value == 13 else str(value)),
    "url": ("url", str),
    "pageTitle": ("title", str),
    "idpageview": ("pageview_id", str),
    "pageviewPosition": ("pageview_position", _whole),
    "timeSpent": ("time_spent", _whole),
    "pageLoadTimeMilliseconds": ("page_load_ms", _whole),
    "eventCategory": ("event_category", str),
    "eventAction": ("event_action", str),
    "eventName": ("event_name", str),
    "eventValue": ("event_value", float),
    "goalId": ("goal_id", _whole),
    "goalName": ("goal_name", str),
    "revenue": ("revenue", float),
    "siteSearchKeyword": ("search_keyword", str),
    "siteSearchCategory": ("search_category", str),
    "siteSearchCount": ("search_count", _whole),
    "contentName": ("content_name", str),
    "contentPiece": ("content_piece", str),
    "contentTarget": ("content_target", str),
    "contentInteraction": ("content_interaction", str),
    "orderId": ("order_id", str),
    "revenueSubTotal": ("order_subtotal", float),
    "revenueTax": ("order_tax", float),
    "revenueShipping": ("order_shipping", float),
    "revenueDiscount": ("order_discount", float),
}
PRODUCT_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "productViewSku": ("sku", str),
    "productViewName": ("name", str),
    "productViewPrice": ("price", float),
    "productViewCategories": ("categories", list),
}
ITEM_FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "itemSKU": ("sku", str),
    "itemName": ("name", str),
    "categories": ("categories", list),
    "price": ("price", float),
    "quantity": ("quantity", _whole),
}


def _wall(moment: datetime, zone: tzinfo) -> str:
    return f"{moment.astimezone(zone):%H:%M:%S}"


def _long_day(moment: datetime, zone: tzinfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%A, %B} {local.day}, {local.year}"


def _lasting(seconds: int) -> str:
    """A length as Matomo words it for people."""
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} hours {minutes} min"
    return f"{minutes} min {seconds % 60}s" if minutes else f"{seconds}s"


def _icon(value: Json) -> bool:
    return value is None or value == "" or bool(re.fullmatch(r"[\w/.-]+\.(png|svg)", value))


Row = dict[str, Any]
# What is dropped of a visit, and what it is a copy of: each has to say what the row says.
VISIT_COPIES: dict[str, Callable[[Any, Row, Any], bool]] = {
    "idSite": lambda value, row, _: str(value) == row["website_id"],
    "serverDate": lambda value, row, _: value == str(row["last_action_at"].date()),
    "visitServerHour": lambda value, row, _: int(value) == row["last_action_at"].hour,
    "lastActionDateTime": lambda value, row, _: value == f"{row['last_action_at']:%Y-%m-%d %H:%M:%S}",
    "serverTimestamp": lambda value, row, _: _moment(value) == row["last_action_at"],
    "serverTimePretty": lambda value, row, zone: value == _wall(row["last_action_at"], zone),
    "serverDatePretty": lambda value, row, zone: value == _long_day(row["last_action_at"], zone),
    "serverTimePrettyFirstAction": lambda value, row, zone: value == _wall(row["first_action_at"], zone),
    "serverDatePrettyFirstAction": lambda value, row, zone: value == _long_day(row["first_action_at"], zone),
    "visitDurationPretty": lambda value, row, _: value == _lasting(row["visit_duration"]),
    "visitLocalHour": lambda value, row, _: int(value) == row["visitor_local_time"].hour,
    "operatingSystem": lambda value, row, _: (
        value == f"{row['operating_system']} {row['operating_system_version'] or ''}".strip()
    ),
    "browser": lambda value, row, _: value == f"{row['browser']} {row['browser_version'] or ''}".strip(),
    "location": lambda value, row, _: value == ", ".join(filter(None, (row["city"], row["region"], row["country"]))),
    "pluginsIcons": lambda value, row, _: [each["pluginName"] for each in value or []] == row["browser_plugins"],
    "visitorTypeIcon": lambda value, row, _: _icon(value) and (value is None) == (row["visitor_type"] == "new"),
    "visitConvertedIcon": lambda value, row, _: _icon(value) and (value is None) != row["is_converted"],
    "visitEcommerceStatusIcon": lambda value, row, _: (
        _icon(value) and (value is None) == (row["ecommerce_status"] == "none")
    ),
    "referrerSearchEngineIcon": lambda value, _row, _zone: _icon(value),
    "referrerSocialNetworkIcon": lambda value, _row, _zone: _icon(value),
    "deviceTypeIcon": lambda value, _row, _zone: _icon(value),
    "operatingSystemIcon": lambda value, _row, _zone: _icon(value),
    "browserIcon": lambda value, _row, _zone: _icon(value),
    "countryFlag": lambda value, _row, _zone: _icon(value),
    "actionDetails": lambda value, row, _: len(value) == len(row["actions"]),
}
_TITLES = {
    "content": "Content Impression", "download": "Download", "ecommerceAbandonedCart": "Abandoned Cart",
    "event": "Event", "goal": "Goal conversion", "outlink": "Outlink", "search": "Site Search",
}  # fmt: skip


def _title(value: Json, row: Row, _: object) -> bool:
    order = f"Ordered ({row['order_id']})"
    return bool(value == {**_TITLES, "action": row["title"], "ecommerceOrder": order}[row["type"]])


def _subtitle(value: Json, row: Row, _: object) -> bool:
    kind = row["type"]
    if kind == "event":
        return bool(value == f'Category: "{row["event_category"]}\', Action: "{row["event_action"]}"')
    if kind == "search":
        category = f" - Search Category: {row['search_category']}" if row["search_category"] else ""
        found = f" - Search Results Count: {row['search_count']}" if row["search_count"] else ""
        return bool(value == f"{row['search_keyword']}{category}{found}")
    if kind in ("ecommerceOrder", "ecommerceAbandonedCart"):
        money = f"{row['revenue']:.2f}".removesuffix(".00")
        names = ", ".join(item["name"] for item in row["items"])
        return bool(value == f"€{money} revenue - {row['raw']['items']} items: {names})")
    revenue = f" (€{row['revenue']:.2f}".removesuffix(".00") + " revenue)" if row["revenue"] else ""
    copied = {"goal": f"{row['goal_name']}{revenue}", "content": f"{row['content_name']} - {row['content_piece']}"}
    return bool(value == copied.get(kind, row["url"]))


ACTION_COPIES: dict[str, Callable[[Any, Row, Any], bool]] = {
    "icon": lambda value, _row, _zone: _icon(value),
    "iconSVG": lambda value, _row, _zone: _icon(value),
    "title": _title,
    "subtitle": _subtitle,
    "serverTimePretty": lambda value, row, zone: value == _pretty(row["occurred_at"], zone),
    "timeSpentPretty": lambda value, row, _: value == _lasting(row["time_spent"]),
    # Matomo rounds halves up and drops zeros at the end: 1315 ms are 1.32s, 1596 are 1.6s.
    "pageLoadTime": lambda value, row, _: abs(float(value.removesuffix("s")) - row["page_load_ms"] / 1000) <= 0.005001,
    "itemDetails": lambda value, row, _: len(value) == len(row["items"]),
}


def _pretty(moment: datetime, zone: tzinfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%b} {local.day}, {local.year} {local:%H:%M:%S}"


# ---------------------------------------------------------------------------------------------------------------------


def _stored(visits: list[Json], folder: Path) -> list[Row]:
    """The rows that a recording's visits have in the table, each JSON column as its value."""
    warehouse = DuckDBWarehouse(folder / "w.duckdb", "d")
    try:
        warehouse.ensure_dataset()
        ensure_table(warehouse, VISITS.schema, "day")
        reads = {
            slice_: read_day(server_of(part), folder, slice_, zone=ZONES[int(slice_.website_id)])
            for slice_, part in _by_slice(visits).items()
        }
        files = [read.buffer.path for read in reads.values()]
        counts = {slice_: read.row_count for slice_, read in reads.items()}
        replace_slices(warehouse, VISITS, files, counts, Stamp("r", 1, datetime(2026, 11, 20, tzinfo=UTC)))
        rows = [dict(row) for row in rows_of_visits(warehouse)]
    finally:
        warehouse.close()
    for row in rows:
        row["raw"] = json.loads(row["raw"] or "{}")
        row["actions"] = [{**action, "raw": json.loads(action["raw"] or "{}")} for action in row["actions"] or []]
    return rows


def _by_slice(visits: list[Json]) -> dict[Slice, list[Json]]:
    """The visits by site and the site's day of the last action."""
    parts: dict[Slice, list[Json]] = {}
    for visit in visits:
        site = visit.get("idSite", 1)
        day = _moment(visit["lastActionTimestamp"]).astimezone(ZONES[site]).date()
        parts.setdefault(Slice(Stream("visits", str(site)), day), []).append(visit)
    return parts


def _compare(
    said: Mapping[str, Json],
    row: Row,
    columns: Mapping[str, tuple[str, Callable[[Any], Any]]],
    copies: Mapping[str, Callable[[Any, Row, Any], bool]],
    zone: Any,
    zeros: frozenset[str] = frozenset(),
) -> None:
    """Every field said is in its column, a copy of what is, or in raw; every column is said or empty."""
    raw = {}
    filled = set()
    for name, value in said.items():
        if re.fullmatch(r"dimension\d+", name) or name in PRODUCT_FIELDS or name == "timestamp":
            continue
        if name in columns:
            column, read = columns[name]
            filled.add(column)
            expected = None if value is None else read(value)
            assert (row[column], type(row[column])) == (expected, type(expected)), name
        elif name in copies:
            assert copies[name](value, row, zone), f"{name} says {value!r}"
        elif value is not None:
            raw[name] = value
    assert row["raw"] == raw
    for column, _ in columns.values():
        if column not in filled:
            assert row[column] == (0 if column in zeros else None), column


def _struct(fields: Mapping[str, tuple[str, Callable[[Any], Any]]], said: Mapping[str, Json]) -> Row:
    return {name: None if said.get(field) is None else read(said[field]) for field, (name, read) in fields.items()}


def _dimensions(said: Mapping[str, Json]) -> list[Row]:
    found = ((re.fullmatch(r"dimension(\d+)", name), value) for name, value in said.items())
    return [{"index": int(match[1]), "value": str(value)} for match, value in found if match and value is not None]


def _compare_action(said: Mapping[str, Json], row: Row, zone: tzinfo) -> None:
    _compare(said, row, ACTION_COLUMNS, ACTION_COPIES, zone)
    product = _struct(PRODUCT_FIELDS, said) if any(said.get(name) is not None for name in PRODUCT_FIELDS) else None
    assert row["product"] == product
    items = [_struct(ITEM_FIELDS, item) for item in said.get("itemDetails") or []]
    assert [{**item, "categories": item["categories"] or []} for item in row["items"] or []] == items
    for item in said.get("itemDetails") or []:  # the copy of the first of the categories
        assert item.keys() - ITEM_FIELDS.keys() == {"itemCategory"}
        assert item["itemCategory"] == (item["categories"] or [None])[0]
    assert (row["custom_dimensions"] or []) == _dimensions(said)


def _compare_times(visit: Mapping[str, Json], row: Row, zone: tzinfo) -> None:
    """True UTC: what the site's clock showed then is what Matomo shows, and nothing lies outside the visit."""
    moments = [action["occurred_at"] for action in row["actions"]]
    assert moments == sorted(moments)
    for said, moment in zip(visit["actionDetails"], moments, strict=True):
        assert moment.utcoffset() == timedelta(0)
        assert _moment(said["timestamp"]).replace(tzinfo=None) == moment.astimezone(zone).replace(tzinfo=None)
        assert row["first_action_at"] <= moment <= row["last_action_at"]
    assert moments[0] == row["first_action_at"]


def _totals(row: Row) -> list[Json]:
    return [row[column] for columns in TOTALS.values() for column in columns]


def _placed(actions: list[Json]) -> list[Json]:
    """What the visit's own orders and carts come to, by the number of items that Matomo gives for each."""
    found: list[Json] = []
    for kind in TOTALS:
        own = [action for action in actions if action["type"] == kind]
        found += [len(own), round(sum(float(action["revenue"]) for action in own), 2)]
        found.append(sum(_whole(action["items"]) for action in own))
    return found


def test_no_recording_of_the_visits_log_is_left_out() -> None:
    """By what was asked and answered each is whole, cut, empty or refused; and so many are what they were."""
    counts = Counter({"whole": len(WHOLE), "cut": len(CUT), "empty": len(EMPTY), "refused": len(REFUSED)})
    assert WHOLE.keys() | CUT.keys() | EMPTY | REFUSED == ANSWERS.keys()
    assert counts == {"whole": 38, "cut": 8, "empty": 4, "refused": 3}
    recorded = {each.name for each in all_recordings() if each.name.startswith("live_")}
    assert recorded - ANSWERS.keys() == {"live_getMostRecentVisitsDateTime.json"}  # another method's answer


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_field_for_field_a_recorded_visit_is_in_the_table(name: str, tmp_path: Path) -> None:
    """Each field is in its column with its type, in raw, or a proven copy; actions, orders, goals and times too."""
    visits = sorted(WHOLE[name], key=lambda visit: visit["idVisit"])
    rows = _stored(visits, tmp_path)
    assert [row["visit_id"] for row in rows] == [visit["idVisit"] for visit in visits]
    for visit, row in zip(visits, rows, strict=True):
        zone = ZONES[visit.get("idSite", 1)]
        said = {name: value for name, value in visit.items() if name not in LIFETIME | {"customVariables"}}
        row["browser_plugins"] = row["browser_plugins"] or ([] if "plugins" in said else None)
        _compare(said, row, VISIT_COLUMNS, VISIT_COPIES, zone, ZEROS)
        assert (row["custom_dimensions"] or []) == _dimensions(visit)
        assert row["custom_variables"] in (None, [])
        actions = visit.get("actionDetails") or []
        assert _totals(row) == _placed(actions)
        assert len(row["actions"]) == len(actions)
        for action, action_row in zip(actions, row["actions"], strict=True):
            _compare_action(action, action_row, zone)
        if actions:
            _compare_times(visit, row, zone)


def test_the_comparison_covers_every_column() -> None:
    """A column that the other reader does not know would go untested; those of campaigns no recording has."""
    known = {column for column, _ in VISIT_COLUMNS.values()}
    known |= {"custom_dimensions", "custom_variables", "raw", "actions"}
    known |= {column for columns in TOTALS.values() for column in columns}
    unknown = {column.name for column in VISITS.parsed} - known
    assert unknown == {name for name in unknown if name.startswith("campaign_")}
    actions = next(column for column in VISITS.parsed if column.name == "actions")
    known = {column for column, _ in ACTION_COLUMNS.values()}
    assert {field.name for field in actions.fields} - known == {
        "occurred_at", "items", "product", "custom_dimensions", "raw",
    }  # fmt: skip


def test_the_recorded_orders_are_counted_once() -> None:
    """The recordings tell the two apart: the lifetime totals of their visits come to more orders than were placed."""
    visits = {
        visit["idVisit"]: visit
        for visits in WHOLE.values()
        for visit in visits
        if visit.get("actionDetails") and visit.keys() >= LIFETIME
    }
    lifetime = sum(visit["totalEcommerceConversions"] for visit in visits.values())
    placed = sum(_placed(visit["actionDetails"])[0] for visit in visits.values())
    assert lifetime > placed > 0


def test_a_later_order_leaves_an_old_visit_as_it_is(tmp_path: Path) -> None:
    """m53_live_lifetime: two answers about one day, between which a visitor of that day came again and ordered."""
    names = ("m53_live_lifetime_1_before.json", "m53_live_lifetime_2_after.json")
    assert WHOLE[names[0]] != WHOLE[names[1]]
    (slice_,) = _by_slice(WHOLE[names[0]])
    before, after = (read_day(server_of(WHOLE[name]), tmp_path, slice_) for name in names)
    assert before.content_hash == after.content_hash
    assert gzip.decompress(before.buffer.path.read_bytes()) == gzip.decompress(after.buffer.path.read_bytes())


def test_the_recorded_kinds_of_action_are_all_met() -> None:
    """The comparison has met each kind that Matomo has: the recordings hold all nine."""
    kinds = {
        action["type"] for visits in WHOLE.values() for visit in visits for action in visit.get("actionDetails", ())
    }
    assert kinds == {13, "ecommerceOrder", "action", *_TITLES} - {"content"}


@pytest.mark.parametrize("name", sorted(WHOLE | CUT))
def test_the_client_gives_a_page_as_it_was_answered(name: str) -> None:
    """Between Matomo's bytes and the reader of visits nothing is changed."""
    recording, value = ANSWERS[name]
    if recording.method == METHOD:
        page, size = client_of(Replay(recording.reply)).visits_page("1", (DAY, DAY), 500, None)
        assert (page, size) == (value, len(recording.body.encode()))


@pytest.mark.parametrize("name", sorted(EMPTY))
def test_a_day_without_visits_is_a_slice_without_rows(name: str, tmp_path: Path) -> None:
    """An empty list is an answer: no visit was there."""
    assert ANSWERS[name][1] == []
    assert read_day(server_of([]), tmp_path).row_count == 0


@pytest.mark.parametrize("name", sorted(CUT))
def test_visits_without_what_makes_a_visit_are_an_error(name: str, tmp_path: Path) -> None:
    """An answer with hidden columns is refused by the name of the column, not stored as half a visit."""
    missing = next(key for key in ("idVisit", "lastActionTimestamp", "firstActionTimestamp") if key not in CUT[name][0])
    with pytest.raises(InvalidResponse, match=f"(without|there is no) {missing}"):
        read_day(_unsorted_server(CUT[name]), tmp_path)


def _unsorted_server(visits: list[Json]) -> Scripted:
    """A server that answers them as they are where there is nothing to sort by."""
    if all("lastActionTimestamp" in visit and "idVisit" in visit for visit in visits):
        return server_of(visits)
    return Scripted(lambda _method, _form: visits)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_an_error_of_matomo_is_a_refusal(name: str) -> None:
    """The log switched off, and PHP out of memory, are answers on this very call and end no run."""
    with pytest.raises(ReportRefused):
        client_of(Replay(ANSWERS[name][0].reply)).visits_page("1", (DAY, DAY), 500, None)


def test_paris_in_november() -> None:
    """The one constant that the comparison of times stands on, typed by hand: noon in UTC is 13:00 there."""
    assert datetime(2026, 11, 12, 12, tzinfo=UTC).astimezone(PARIS).hour == 13
