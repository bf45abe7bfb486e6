"""Values of dimensions, read from visits and actions, for the reports that have no model."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from html import escape
from urllib.parse import quote, quote_plus, unquote
from zlib import crc32

from fake_matomo.actionrows import author_of
from fake_matomo.groups import Value
from fake_matomo.language import Language
from fake_matomo.metadata import Report
from fake_matomo.pools import FAMILIES, REGIONS, SEARCH, Content, Place, Search
from fake_matomo.sites import Site, zone
from fake_matomo.summaries import conversions_of
from fake_matomo.tables import ICONS
from fake_matomo.tallies import Row
from fake_matomo.visits import Action, Visit

_DAY = 86_400
_NOT_SET = "(not set)"


@dataclass(frozen=True, slots=True)
class Context:
    """What the values depend on, besides the visit."""

    report: Report
    site: Site
    language: Language
    goal: str | None
    seed: int
    flat: bool


# A value, the action that has it if the dimension has action scope, and the database value behind it.
Occurrence = tuple[Value, Action | None, str]
Reader = Callable[[Visit, Context], Iterable[Occurrence]]
OfVisit = Callable[[Visit, Context], Value | None]


def values_of(visit: Visit, context: Context) -> Iterable[Occurrence]:
    """Return the values of the report's dimension for a visit and its actions."""
    reader = _READERS.get(context.report.method)
    return reader(visit, context) if reader else [(_drawn(visit, context), None, "")]


def constant_values(context: Context, day: date) -> tuple[Value, ...]:
    """Return the values of a report that has the same rows every day, in their order."""
    if not context.report.constant_rows:
        return ()
    if context.report.method == _SERVER_TIME:
        return _server_hours(context.site.timezone, day)
    return tuple(_recorded(row) for row in context.report.values)


def _recorded(row: Row) -> Value:
    fields = tuple((key, value) for key, value in row.items() if key not in ("label", "weight"))
    return Value(str(row["label"]), fields)


def _drawn(visit: Visit, context: Context) -> Value:
    """Return a recorded value, weighted by its visits; without recorded values, one of three made-up values."""
    drawn = crc32(f"{context.seed}/{context.report.method}/{visit.site_id}/{visit.id}".encode())
    rows = context.report.values
    if not rows:
        return Value(f"{context.report.dimension} {drawn % 3 + 1}")
    remaining = drawn % max(1, sum(int(str(row["weight"])) for row in rows))
    for row in rows:
        remaining -= int(str(row["weight"]))
        if remaining < 0:
            return _recorded(row)
    return _recorded(rows[0])


def _one(value: OfVisit, source: Callable[[Visit], str] = lambda _: "") -> Reader:
    def read(visit: Visit, context: Context) -> Iterator[Occurrence]:
        found = value(visit, context)
        if found is not None:
            yield found, None, source(visit)

    return read


def _segment(name: str, value: str) -> tuple[str, str]:
    return "segment", f"{name}=={quote_plus(value)}"


def _flag() -> tuple[str, str]:
    return "logo", f"{ICONS}flags/xx.png"


def _region_name(place: Place, language: Language) -> str:
    return REGIONS.get((place.code, place.region or ""), language.unknown)


def _continent(visit: Visit, context: Context) -> Value:
    name = context.language.continent(visit.visitor.place.continent)
    return Value(name, (("code", name),))


def _region(visit: Visit, context: Context) -> Value:
    place, language = visit.visitor.place, context.language
    if not place.region:
        unknown = {"region": "xx", "country": "xx", "country_name": language.unknown, "region_name": language.unknown}
        return Value(language.unknown, (*unknown.items(), _flag()))
    name, country = _region_name(place, language), language.country(place.code)
    return Value(
        f"{name}, {country}",
        (
            ("segment", f"regionCode=={place.region};countryCode=={place.code}"),
            ("region", place.region),
            ("country", place.code),
            ("country_name", country),
            ("region_name", name),
            _flag(),
        ),
    )


def _city(visit: Visit, context: Context) -> Value:
    place, language = visit.visitor.place, context.language
    if not place.city:
        unknown = language.unknown
        names = {"city_name": unknown, "city": "xx", "region": "xx", "country": "xx"}
        return Value(unknown, (*names.items(), ("country_name", unknown), ("region_name", unknown), _flag()))
    region, country = _region_name(place, language), language.country(place.code)
    parts = (place.city, region if place.region else "", country)
    segment = f"city=={quote_plus(place.city)};regionCode=={place.region or ''};countryCode=={place.code}"
    return Value(
        ", ".join(part for part in parts if part),
        (
            ("lat", float(place.latitude or 0)),
            ("long", float(place.longitude or 0)),
            ("segment", segment),
            ("city_name", place.city),
            ("region", place.region or "xx"),
            ("country", place.code),
            ("country_name", country),
            ("region_name", region),
            _flag(),
        ),
    )


def _language_code(visit: Visit, context: Context) -> Value:
    code = visit.visitor.place.language
    spoken, _, country = code.partition("-")
    if not code:
        return Value(f"{context.language.unknown} (xx)", (_segment("languageCode", "xx"),))
    name = context.language.spoken(spoken)
    if country and country != spoken:
        return Value(f"{name} - {context.language.country(country)} ({code})", (_segment("languageCode", code),))
    return Value(f"{name} ({spoken})", (_segment("languageCode", spoken),))


def _model(visit: Visit, _asking: Context) -> Value:
    device = visit.visitor.device
    label = device.model if device.brand == "Unknown" else f"{device.brand} - {device.model}"
    model = device.model.lower() if device.model.startswith("Generic") else device.model
    return Value(label, (("segment", f"deviceBrand=={quote_plus(device.brand)};deviceModel=={quote_plus(model)}"),))


def _brand(visit: Visit, _asking: Context) -> Value:
    brand = visit.visitor.device.brand
    return Value(brand, (("logo", f"{ICONS}brand/unk.png"), _segment("deviceBrand", brand)))


def _system_version(visit: Visit, _asking: Context) -> Value:
    device = visit.visitor.device
    segment = f"operatingSystemCode=={device.os_code};operatingSystemVersion=={device.os_version}"
    label = f"{device.os} {device.os_version}".strip()
    return Value(label, (("segment", segment), ("logo", f"{ICONS}os/UNK.png")))


def _system_family(visit: Visit, _asking: Context) -> Value:
    return Value(visit.visitor.device.os, (("logo", f"{ICONS}os/UNK.png"),))


def _browser(visit: Visit, _asking: Context) -> Value:
    device = visit.visitor.device
    segment = ("segment", f"browserCode=={device.browser_code}")
    return Value(device.browser, (("logo", f"{ICONS}browsers/UNK.png"), segment))


def _browser_version(visit: Visit, _asking: Context) -> Value:
    device = visit.visitor.device
    segment = f"browserCode=={device.browser_code};browserVersion=={device.browser_version}"
    label = f"{device.browser} {device.browser_version}".strip()
    return Value(label, (("segment", segment), ("logo", f"{ICONS}browsers/UNK.png")))


def _engine(visit: Visit, _asking: Context) -> Value:
    family = visit.visitor.device.family
    return Value(FAMILIES[family], (("segment", f"browserEngine=={family}"),))


def _resolution(visit: Visit, _asking: Context) -> Value:
    return Value(visit.visitor.device.resolution, (_segment("resolution", visit.visitor.device.resolution),))


def _configuration(visit: Visit, _asking: Context) -> Value:
    device = visit.visitor.device
    return Value(f"{device.os} / {device.browser} / {device.resolution}")


def _user(visit: Visit, _asking: Context) -> Value | None:
    visitor = visit.visitor
    if not visitor.user_id:
        return None
    return Value(visitor.user_id, (("idvisitor", visitor.id), _segment("userId", visitor.user_id)))


def _keyword(visit: Visit, context: Context) -> Value | None:
    referrer = visit.referrer
    if referrer.type != SEARCH:
        return None
    keyword = referrer.keyword or ""
    if context.flat:
        label = f"{keyword} - {referrer.name}"
        fields = {
            "url": "https://matomo.org/faq/general/faq_144" if not keyword else str(referrer.url),
            "logo": f"{ICONS}searchEngines/xx.png",
            "Referrers_Keyword": keyword,
            "Referrers_SearchEngine": referrer.name,
        }
        return Value(label, tuple(fields.items()))
    segment = ("segment", f"referrerType==search;referrerKeyword=={quote_plus(keyword)}")
    return Value(keyword or context.language.keyword_not_defined, (segment, _sub_table(keyword)))


def _sub_table(key: str) -> tuple[str, int]:
    return "idsubdatatable", 1 + sum(map(ord, key)) % 97


def _local_hour(visit: Visit, _asking: Context) -> Value:
    hour = int(visit.local_time[:2])
    return Value(f"{hour:02}", (("segment", f"visitLocalHour=={hour}"),))


_SERVER_TIME = "VisitTime.getVisitInformationPerServerTime"


@lru_cache(maxsize=512)
def _server_hours(timezone: str, day: date) -> tuple[Value, ...]:
    """Return the hours of the site's day; their segments are in UTC, by the offset at noon."""
    noon = datetime.combine(day, time(12), zone(timezone)).utcoffset()
    offset = int(noon.total_seconds() // 3600) if noon else 0
    return tuple(
        Value(f"{hour:02}", (("segment", f"visitStartServerHour=={(hour - offset) % 24}"),)) for hour in range(24)
    )


def _site_hour(visit: Visit, context: Context) -> Value:
    hour = datetime.fromtimestamp(visit.first_at, zone(context.site.timezone)).hour
    return _server_hours(context.site.timezone, visit.day)[hour]


def _weekday(visit: Visit, context: Context) -> Value:
    return constant_values(context, visit.day)[visit.day.weekday()]


def _plugin(visit: Visit, context: Context) -> Value | None:
    return constant_values(context, visit.day)[0] if "cookie" in visit.plugins else None


_RANGE = re.compile(r"(\d+)(?:\D(\d+))?(\+)?")


def bucket(values: Iterable[Value], number: int) -> Value:
    """Return the value whose label, such as `1 visit`, `9-14 days`, `2-4 min`, `201+ visits`, contains the number."""
    last = None
    for value in values:
        match = _RANGE.match(value.label)
        if match is None:
            continue
        last = value
        unit = 60 if value.label.endswith("min") else 1
        top = int(match[2] or match[1]) * unit
        if not match[3] and number <= top:
            return value
    if last is None:
        raise LookupError(f"no value holds {number}")
    return last


def _in_buckets(number: Callable[[Visit], int]) -> OfVisit:
    return lambda visit, context: bucket(constant_values(context, visit.day), number(visit))


def _days_since_last(visit: Visit, context: Context) -> Value:
    values = constant_values(context, visit.day)
    return values[0] if visit.visit_count == 1 else bucket(values, visit.since_last // _DAY)


def _conversions(number: Callable[[Visit], int]) -> Reader:
    def read(visit: Visit, context: Context) -> Iterator[Occurrence]:
        for action in conversions_of(visit, context.goal):
            yield bucket(constant_values(context, visit.day), number(visit)), action, ""

    return read


def _searches(value: Callable[[Search], Value | None]) -> Reader:
    def read(visit: Visit, _asking: Context) -> Iterator[Occurrence]:
        for action in visit.actions:
            found = value(action.detail) if isinstance(action.detail, Search) else None
            if found is not None:
                yield found, action, found.label

    return read


def _search_keyword(search: Search) -> Value:
    text = escape(search.keyword).replace("&#x27;", "&#039;")
    return Value(search.keyword, (_segment("siteSearchKeyword", text),))


def _search_without_result(search: Search) -> Value | None:
    return _search_keyword(search) if search.count == 0 else None


def _search_category(search: Search) -> Value | None:
    return Value(search.category, (_segment("siteSearchCategory", search.category),)) if search.category else None


def _links(kind: str, column: str, segment: str) -> Reader:
    def read(visit: Visit, context: Context) -> Iterator[Occurrence]:
        for action in visit.actions:
            if action.kind != kind or not action.url:
                continue
            address = action.url.partition("://")[2]
            host = address.partition("/")[0]
            value = Value(host, (_sub_table(host),))
            if context.flat:
                encoded = quote(quote(action.url, safe=""), safe="")
                fields = (("url", action.url), (column, address), ("segment", f"{segment}=={encoded}"))
                value = Value(unquote(address), fields)
            yield value, action, action.url

    return read


def _contents(field: str) -> Reader:
    def read(visit: Visit, _asking: Context) -> Iterator[Occurrence]:
        for action in visit.actions:
            if isinstance(action.detail, Content):
                text = str(getattr(action.detail, field) or f"Content {field.title()} not defined")
                yield Value(text, (_segment(f"content{field.title()}", text), _sub_table(text))), action, text

    return read


def _custom_dimension(visit: Visit, context: Context) -> Iterator[Occurrence]:
    if context.report.parameters.get("idDimension") == "1":
        plan = visit.visitor.plan
        if plan:
            yield Value(plan, (_segment("dimension1", plan),)), None, plan
        return
    authors = [author_of(action, number, context.site) for number, action in enumerate(visit.actions)]
    if not any(authors):
        return
    for action, author in zip(visit.actions, authors, strict=True):
        if action.kind == "action":
            yield _author(author or _NOT_SET, action, context), action, author or _NOT_SET


def _author(author: str, action: Action, context: Context) -> Value:
    segment = _segment("dimension2", author)
    if not context.flat:
        return Value(author, (segment, _sub_table(author)))
    address = action.page.url.partition("://")[2]
    label = f"{author} - {unquote(address)}"
    encoded = quote(address, safe="")
    fields = {
        "segment": f"{segment[1]};actionUrl=${encoded}",
        "url": encoded,
        "CustomDimension_CustomDimension2": f"{author} - {address}",
    }
    return Value(label, tuple(fields.items()))


_READERS: Mapping[str, Reader] = {
    "Actions.getDownloads": _links("download", "Actions_DownloadUrl", "downloadUrl"),
    "Actions.getOutlinks": _links("outlink", "Actions_ClickedUrl", "outlinkUrl"),
    "Actions.getSiteSearchCategories": _searches(_search_category),
    "Actions.getSiteSearchKeywords": _searches(_search_keyword),
    "Actions.getSiteSearchNoResultKeywords": _searches(_search_without_result),
    "Contents.getContentNames": _contents("name"),
    "Contents.getContentPieces": _contents("piece"),
    "CustomDimensions.getCustomDimension": _custom_dimension,
    "DevicePlugins.getPlugin": _one(_plugin),
    "DevicesDetection.getBrand": _one(_brand),
    "DevicesDetection.getBrowserEngines": _one(_engine),
    "DevicesDetection.getBrowserVersions": _one(_browser_version),
    "DevicesDetection.getBrowsers": _one(_browser),
    "DevicesDetection.getModel": _one(_model),
    "DevicesDetection.getOsFamilies": _one(_system_family, lambda visit: visit.visitor.device.os_code),
    "DevicesDetection.getOsVersions": _one(_system_version),
    "Goals.getDaysToConversion": _conversions(lambda visit: visit.since_first // _DAY),
    "Goals.getVisitsUntilConversion": _conversions(lambda visit: visit.visit_count),
    "Referrers.getKeywords": _one(_keyword),
    "Resolution.getConfiguration": _one(_configuration),
    "Resolution.getResolution": _one(_resolution),
    "UserCountry.getCity": _one(_city),
    "UserCountry.getContinent": _one(_continent, lambda visit: visit.visitor.place.code),
    "UserCountry.getRegion": _one(_region, lambda visit: visit.visitor.place.code),
    "UserId.getUsers": _one(_user),
    "UserLanguage.getLanguageCode": _one(_language_code),
    "VisitTime.getByDayOfWeek": _one(_weekday),
    "VisitTime.getVisitInformationPerLocalTime": _one(_local_hour),
    "VisitTime.getVisitInformationPerServerTime": _one(_site_hour),
    "VisitorInterest.getNumberOfVisitsByDaysSinceLast": _one(_days_since_last),
    "VisitorInterest.getNumberOfVisitsByVisitCount": _one(_in_buckets(lambda visit: visit.visit_count)),
    "VisitorInterest.getNumberOfVisitsPerPage": _one(_in_buckets(lambda visit: visit.total_actions)),
    "VisitorInterest.getNumberOfVisitsPerVisitDuration": _one(_in_buckets(lambda visit: visit.duration)),
}
