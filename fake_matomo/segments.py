"""Segments: predicates of visits, from expressions such as `countryCode==fr;actions>1`."""

import re
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import unquote_plus

from fake_matomo.errors import ApiError
from fake_matomo.language import CHANNEL_CODES
from fake_matomo.visits import Visit

Test = Callable[[Visit], bool]
Values = Callable[[Visit], Iterable[object]]

_OPERATOR = re.compile(r"^([A-Za-z0-9_.]+?)(==|!=|>=|<=|=@|!@|=\^|=\$|>|<)(.*)$", re.DOTALL)


def _pages(visit: Visit) -> Iterable[object]:
    return (action.page.url for action in visit.actions if action.kind == "action")


def _titles(visit: Visit) -> Iterable[object]:
    return (action.page.title for action in visit.actions if action.kind == "action")


def _events(field: str) -> Values:
    def values(visit: Visit) -> Iterable[object]:
        return (getattr(action.detail, field) for action in visit.actions if action.kind == "event")

    return values


def _commerce(visit: Visit) -> str:
    kinds = {action.kind for action in visit.conversions}
    ordered, left = "ecommerceOrder" in kinds, "ecommerceAbandonedCart" in kinds
    if ordered and left:
        return "orderedThenAbandonedCart"
    return "ordered" if ordered else "abandonedCart" if left else "none"


_DIMENSIONS: Mapping[str, Values] = {
    "countryCode": lambda visit: [visit.visitor.place.code or "xx"],
    "regionCode": lambda visit: [visit.visitor.place.region or "xx"],
    "city": lambda visit: [visit.visitor.place.city or ""],
    "continentCode": lambda visit: [visit.visitor.place.continent],
    "languageCode": lambda visit: [visit.visitor.place.language or "xx"],
    "deviceType": lambda visit: [visit.visitor.device.type],
    "deviceBrand": lambda visit: [visit.visitor.device.brand],
    "browserCode": lambda visit: [visit.visitor.device.browser_code],
    "operatingSystemCode": lambda visit: [visit.visitor.device.os_code],
    "resolution": lambda visit: [visit.visitor.device.resolution],
    "visitConverted": lambda visit: [int(visit.converted)],
    "visitEcommerceStatus": lambda visit: [_commerce(visit)],
    "visitId": lambda visit: [visit.id],
    "visitorId": lambda visit: [visit.visitor.id],
    "userId": lambda visit: [visit.visitor.user_id or ""],
    "visitIp": lambda visit: [visit.visitor.ip],
    "visitCount": lambda visit: [visit.visit_count],
    "visitorType": lambda visit: ["new" if visit.visit_count == 1 else "returning"],
    "visitDuration": lambda visit: [visit.duration],
    "actions": lambda visit: [visit.total_actions],
    "interactions": lambda visit: [visit.interactions],
    "events": lambda visit: [visit.count("event")],
    "searches": lambda visit: [visit.count("search")],
    "referrerType": lambda visit: [CHANNEL_CODES[visit.referrer.type]],
    "referrerName": lambda visit: [visit.referrer.name],
    "referrerKeyword": lambda visit: [visit.referrer.keyword or ""],
    "pageUrl": _pages,
    "pageTitle": _titles,
    "eventCategory": _events("category"),
    "eventAction": _events("action"),
    "eventName": _events("name"),
}


def parse_segment(text: str) -> Test:
    """Parse a segment into a predicate of visits; `,` is OR and binds tighter than `;`, which is AND.

    Matomo decodes the whole expression before it splits it, and each value again: a `,`, `;` or `+` of a value has to
    be encoded twice.
    """
    try:
        return _parsed(unquote_plus(text))
    except ApiError:
        return _parsed(text)


def people_of(text: str) -> frozenset[tuple[str, str]] | None:
    """Return the visitors and users that the visits of a segment are of, or None if it does not say.

    They are pairs of `visitorId` or `userId` and the id, in lower case.
    """
    for group in unquote_plus(text).split(";"):
        people = [_person(part) for part in group.split(",")]
        if all(people):
            return frozenset(one for one in people if one)
    return None


def _person(text: str) -> tuple[str, str] | None:
    match = _OPERATOR.match(text)
    if not match or match[1] not in ("visitorId", "userId") or match[2] != "==" or not match[3]:
        return None
    return match[1], unquote_plus(match[3]).lower()


def _parsed(text: str) -> Test:
    groups = [[_condition(part) for part in group.split(",")] for group in text.split(";")]
    return lambda visit: all(any(test(visit) for test in group) for group in groups)


def _condition(text: str) -> Test:
    match = _OPERATOR.match(text)
    if not match:
        raise ApiError(f"The segment condition '{text}' is not valid.")
    name, operator, value = match[1], match[2], unquote_plus(match[3])
    values = _DIMENSIONS.get(name)
    if values is None:
        raise ApiError(f"Segment '{name}' is not a supported segment.")
    if operator == "!=":
        return lambda visit: not any(_compare(one, "==", value) for one in values(visit))
    if operator == "!@":
        return lambda visit: not any(_compare(one, "=@", value) for one in values(visit))
    return lambda visit: any(_compare(one, operator, value) for one in values(visit))


def _compare(have: object, operator: str, want: str) -> bool:
    if operator in (">", "<", ">=", "<="):
        try:
            left, right = float(str(have)), float(want)
        except ValueError:
            return False
        return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]
    text, value = str(have).lower(), want.lower()
    if operator == "==":
        return text == value
    if operator == "=@":
        return value in text
    return text.startswith(value) if operator == "=^" else text.endswith(value)
