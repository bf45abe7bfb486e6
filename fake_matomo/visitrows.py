"""A visit as in `Live.getLastVisitsDetails`."""

from collections.abc import Iterable
from datetime import UTC, datetime

from fake_matomo.language import CHANNEL_CODES, Language
from fake_matomo.php import php_number, pretty_seconds
from fake_matomo.pools import FAMILIES, REGIONS, SEARCH, SEARCH_ENGINES, SOCIAL, SOCIALS, Referrer
from fake_matomo.sites import Site, zone
from fake_matomo.tallies import Row
from fake_matomo.visits import Action, Order, Variables, Visit

_ICONS = "plugins/Morpheus/icons/dist/"
_IMAGES = "plugins/Morpheus/images/"
_DAY = 86_400


def visit_row(visit: Visit, site: Site, language: Language, *, actions: list[Row], commerce: Iterable[Action]) -> Row:
    """Return the visit as Matomo formats it, with the given actions.

    :param commerce: all orders and abandoned carts of the visitor: Matomo's `total…` fields are of all their visits.
    """
    row = _identity(visit, actions)
    row |= _moment(visit, site)
    row |= _status(visit)
    row |= _origin(visit.referrer, language)
    row |= _device(visit, language)
    row |= _commerce(commerce)
    row["events"] = visit.count("event")
    row |= _place(visit, language)
    row |= {
        "visitLocalTime": visit.local_time,
        "visitLocalHour": str(int(visit.local_time[:2])),
        "daysSinceLastVisit": visit.since_last // _DAY,
        "secondsSinceLastVisit": visit.since_last,
        "resolution": visit.visitor.device.resolution,
        "plugins": ", ".join(visit.plugins),
        "pluginsIcons": [{"pluginIcon": False, "pluginName": name} for name in visit.plugins] or None,
        "dimension1": visit.visitor.plan,
    }
    if visit.tracked is not None and visit.tracked.variables:
        # Matomo has the field where its plugin for custom variables is active, which it was not when recorded.
        row["customVariables"] = variables_row(visit.tracked.variables, "customVariable")
    return row


def variables_row(variables: Variables, prefix: str) -> Row:
    """Return custom variables by slot, as Matomo names their fields."""
    return {str(slot): {f"{prefix}Name{slot}": name, f"{prefix}Value{slot}": value} for slot, name, value in variables}


def _identity(visit: Visit, actions: list[Row]) -> Row:
    return {
        "idSite": visit.site_id,
        "idVisit": visit.id,
        "visitIp": visit.visitor.ip,
        "visitorId": visit.visitor.id,
        "fingerprint": visit.visitor.fingerprint,
        "actionDetails": actions,
        "goalConversions": visit.count("goal"),
    }


def _moment(visit: Visit, site: Site) -> Row:
    """Return the times: `serverDate` and the like are in UTC, the pretty ones in the site's time zone."""
    tz = zone(site.timezone)
    last_utc = datetime.fromtimestamp(visit.last_at, UTC)
    last, first = last_utc.astimezone(tz), datetime.fromtimestamp(visit.first_at, tz)
    return {
        "siteCurrency": site.currency,
        "siteCurrencySymbol": site.currency_symbol,
        "serverDate": f"{last_utc:%Y-%m-%d}",
        "visitServerHour": str(last_utc.hour),
        "lastActionTimestamp": visit.last_at,
        "lastActionDateTime": f"{last_utc:%Y-%m-%d %H:%M:%S}",
        "siteName": site.name,
        "serverTimestamp": visit.last_at,
        "firstActionTimestamp": visit.first_at,
        "serverTimePretty": f"{last:%H:%M:%S}",
        "serverDatePretty": _pretty_day(last),
        "serverDatePrettyFirstAction": _pretty_day(first),
        "serverTimePrettyFirstAction": f"{first:%H:%M:%S}",
    }


def _pretty_day(at: datetime) -> str:
    return f"{at:%A}, {at:%B} {at.day}, {at.year}"


def _status(visit: Visit) -> Row:
    returning = visit.visit_count > 1
    customer = returning and visit.since_order is not None
    kinds = {action.kind for action in visit.conversions}
    ordered, left = "ecommerceOrder" in kinds, "ecommerceAbandonedCart" in kinds
    # An order takes over the cart of its visit: one that is left was filled after it.
    status = "orderedThenAbandonedCart" if ordered and left else "ordered" if ordered else "none"
    if left and not ordered:
        status = "abandonedCart"
    icon = "ecommerceOrder.svg" if ordered else "ecommerceAbandonedCart.svg" if left else None
    since_order = 0 if ordered else visit.since_order
    return {
        "userId": visit.visitor.user_id,
        "visitorType": "returningCustomer" if customer else "returning" if returning else "new",
        "visitorTypeIcon": "plugins/Live/images/returningVisitor.png" if returning else None,
        "visitConverted": int(visit.converted),
        "visitConvertedIcon": f"{_IMAGES}goal.svg" if visit.converted else None,
        "visitCount": visit.visit_count,
        "visitEcommerceStatus": status,
        "visitEcommerceStatusIcon": f"{_IMAGES}{icon}" if icon else None,
        "daysSinceFirstVisit": visit.since_first // _DAY,
        "secondsSinceFirstVisit": visit.since_first,
        "daysSinceLastEcommerceOrder": (since_order or 0) // _DAY,
        "secondsSinceLastEcommerceOrder": since_order,
        "visitDuration": visit.duration,
        "visitDurationPretty": pretty_seconds(visit.duration),
        "searches": visit.count("search"),
        "actions": visit.total_actions,
        "interactions": visit.interactions,
    }


def _origin(referrer: Referrer, language: Language) -> Row:
    engine = SEARCH_ENGINES[referrer.name][0] if referrer.type == SEARCH else None
    network = SOCIALS[referrer.name] if referrer.type == SOCIAL else None
    return {
        "referrerType": CHANNEL_CODES[referrer.type],
        "referrerTypeName": language.channel(referrer.type),
        "referrerName": referrer.name,
        "referrerKeyword": language.keyword_not_defined if referrer.keyword is None else referrer.keyword,
        "referrerKeywordPosition": None,
        "referrerUrl": referrer.url,
        "referrerSearchEngineUrl": engine,
        "referrerSearchEngineIcon": f"{_ICONS}searchEngines/xx.png" if engine else None,
        "referrerSocialNetworkUrl": network,
        "referrerSocialNetworkIcon": f"{_ICONS}socials/xx.png" if network else None,
    }


def _device(visit: Visit, language: Language) -> Row:
    device, spoken = visit.visitor.device, visit.visitor.place.language
    kind = device.type.replace(" ", "_") or "unknown"
    return {
        "languageCode": spoken,
        "language": f"Language code {spoken}" if spoken else language.unknown,
        "deviceType": language.device_type(device.type),
        "deviceTypeIcon": f"{_ICONS}devices/{kind}.png",
        "deviceBrand": device.brand,
        "deviceModel": device.model,
        "operatingSystem": f"{device.os} {device.os_version}".strip(),
        "operatingSystemName": device.os,
        "operatingSystemIcon": f"{_ICONS}os/UNK.png",
        "operatingSystemCode": device.os_code,
        "operatingSystemVersion": device.os_version,
        "browserFamily": device.family,
        "browserFamilyDescription": FAMILIES[device.family],
        "browser": f"{device.browser} {device.browser_version}".strip(),
        "browserName": device.browser,
        "browserIcon": f"{_ICONS}browsers/UNK.png",
        "browserCode": device.browser_code,
        "browserVersion": device.browser_version,
    }


def _commerce(actions: Iterable[Action]) -> Row:
    """Return orders and carts: the number of items is a string, or the number 0 if there are none."""
    orders: list[Order] = []
    carts: list[Order] = []
    for action in actions:
        if isinstance(action.detail, Order):
            (orders if action.kind == "ecommerceOrder" else carts).append(action.detail)
    return {
        "totalEcommerceRevenue": _revenue(orders),
        "totalEcommerceConversions": len(orders),
        "totalEcommerceItems": _quantity(orders),
        "totalAbandonedCartsRevenue": _revenue(carts),
        "totalAbandonedCarts": len(carts),
        "totalAbandonedCartsItems": _quantity(carts),
    }


def _revenue(orders: list[Order]) -> object:
    return php_number(round(sum(order.revenue for order in orders), 2))


def _quantity(orders: list[Order]) -> object:
    return str(sum(order.quantity for order in orders)) if orders else 0


def _place(visit: Visit, language: Language) -> Row:
    place = visit.visitor.place
    country = language.country(place.code)
    region = REGIONS.get((place.code, place.region)) if place.region else None
    return {
        "continent": language.continent(place.continent),
        "continentCode": place.continent,
        "country": country,
        "countryCode": place.code or "xx",
        "countryFlag": f"{_ICONS}flags/xx.png",
        "region": region,
        "regionCode": place.region,
        "city": place.city,
        "location": ", ".join(part for part in (place.city, region, country) if part),
        "latitude": place.latitude,
        "longitude": place.longitude,
    }
