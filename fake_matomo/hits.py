"""A tracking request, read as Matomo's tracker reads it (core/Tracker/Request.php of 5.2 and its plugins)."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import md5, sha1
from math import isfinite
from sys import intern
from urllib.parse import parse_qsl, unquote_plus

from fake_matomo.clients import device_of, is_bot, language_and_place, masked_ip
from fake_matomo.pages import Page, page_of_hit
from fake_matomo.php import decoded_json, split_url
from fake_matomo.pools import Content, Device, Event, Place, Product, Referrer, Search
from fake_matomo.referral import (
    URL_LENGTH,
    Origin,
    campaign_of_hit,
    cleaned_url,
    looks_like_url,
    named_campaign,
    origin_of,
)
from fake_matomo.sites import Site, World, local_day
from fake_matomo.visits import Detail, Item, Order, Variables

Params = dict[str, str]

# The length of a visitor's id in hex digits, and of the id of a page view.
ID_LENGTH = 16
PAGE_VIEW_LENGTH = 6
# [Tracker] tracking_requests_require_authentication_when_custom_timestamp_newer_than, seconds.
_RECENT = 86_400
# Request::isTimestampValid: anything older is recorded at the present time, like anything in the future.
_OLDEST = 20 * 365 * 86_400
_DIMENSION_LENGTH, _USER_LENGTH, _VARIABLE_LENGTH, _CATEGORY_LENGTH = 250, 200, 200, 200
_VARIABLES = 5
_CATEGORIES = 5
_RESTRICTED = ("city", "region", "country", "lat", "long")
_PLUGINS = ("fla", "java", "qt", "realp", "pdf", "wma", "ag", "cookie")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
# No more digits than a 64-bit number has.
_INT = re.compile(r"[+-]?[0-9]{1,18}")
_HEX = re.compile(r"[0-9a-fA-F]{16}")
# The site search's parameters of a site that has none of its own.
_KEYWORDS = ("q", "query", "s", "search", "searchword", "k", "keyword")


class RefusedHit(Exception):
    """Matomo does not take the hit: it is `invalid` in a bulk request, and a 400 on its own."""


class FailedHit(Exception):
    """Matomo fails at the hit: the whole bulk request is answered with 500, and nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class Client:
    """What a visit takes over from its first hit, and by what a visitor without a known id is recognised.

    `local_time` is the time of day at the visitor's.
    """

    ip: str
    device: Device
    place: Place
    plugins: tuple[str, ...]
    local_time: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A hit that Matomo takes.

    `at` is its time in Unix seconds. `kind` is the type of its action as in the visits log, or "ping". `url` is that
    of a download or an outlink. `forced` says that the visitor was named by `cid`, `referrer` is what a conversion
    is attributed to by `_rcn`. `params` is what was sent, without the token.
    """

    site: Site
    params: Mapping[str, str]
    at: int
    kind: str
    detail: Detail
    page: Page
    url: str | None
    visitor_id: str | None
    forced: bool
    user_id: str | None
    page_view: str
    origin: Origin
    referrer: Referrer | None
    plan: str | None
    author: str | None
    visit_variables: Variables
    page_variables: Variables
    client: Client

    @property
    def new_visit(self) -> bool:
        """Whether it begins a visit in any case."""
        return _int(self.params, "new_visit", 0) != 0


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends hits, and when: `may_write` says whether its token has write access to a site."""

    world: World
    now: int
    may_write: Callable[[Site], bool]
    ip: str
    user_agent: str
    accept_language: str


def params_of(value: object) -> Params:
    """Return the parameters of a hit in a bulk request: a URL's query, or an object."""
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.partition("#")[0].partition("?")[2].split("&") if part)
        # Names, and many values, are the same in hundreds of thousands of hits that are kept.
        return {intern(_decoded(name)): intern(_decoded(text)) for name, _, text in pairs}
    if not isinstance(value, Mapping):
        return {}
    return {str(name): text for name, one in value.items() if (text := _text_of(one)) is not None}


def _decoded(text: str) -> str:
    """Decode a part of a query; most parts are not encoded, and there are millions of them."""
    return unquote_plus(text) if "%" in text or "+" in text else text


def _text_of(value: object) -> str | None:
    """Return a JSON value as text; Matomo takes null and booleans for missing."""
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return None
    return json.dumps(value)


def read_hit(params: Params, sender: Sender) -> Hit | None:
    """Return the hit, or None for one that Matomo acknowledges and does not record.

    :raises RefusedHit: an unknown site or goal, or something that needs a token with write access.
    :raises FailedHit: `ca=1` without an action of a plugin.
    """
    site = _site(params, sender.world)
    if any(params.get(name) for name in _RESTRICTED) and not sender.may_write(site):
        raise RefusedHit("a location needs a token with write access")
    at = _time(params, site, sender)
    ip = params.get("cip", "")
    if ip and not sender.may_write(site):
        raise RefusedHit("cip needs a token with write access")
    user_agent = params.get("ua") or sender.user_agent
    if not _int(params, "rec", 0) or (is_bot(user_agent) and not _int(params, "bots", 0)):
        return None
    kind, detail, url = _action(params, site)
    visitor_id, forced = _visitor(params)
    campaign = params.get("_rcn", "")
    return Hit(
        site=site,
        params={name: value for name, value in params.items() if name != "token_auth"},
        at=at,
        kind=kind,
        detail=detail,
        page=_page(params, site),
        url=url,
        visitor_id=visitor_id,
        forced=forced,
        user_id=params.get("uid", "")[:_USER_LENGTH] or None,
        page_view=params.get("pv_id", "")[:PAGE_VIEW_LENGTH],
        origin=_origin(params, site),
        referrer=campaign_of_hit(campaign, params.get("_rck", "")) if campaign else None,
        plan=_dimension(params, "dimension1", site),
        author=_dimension(params, "dimension2", site),
        visit_variables=_variables(params.get("_cvar", "")),
        page_variables=_variables(params.get("cvar", "")),
        client=_client(params, ip or sender.ip, user_agent, sender.accept_language, site, at),
    )


def _site(params: Params, world: World) -> Site:
    site = world.site(_int(params, "idsite", 0))
    if site is None:
        raise RefusedHit(f"there is no site {params.get('idsite', 0)}")
    return site


def _time(params: Params, site: Site, sender: Sender) -> int:
    """Return the time of a hit: the present one where the given one is missing, invalid or in the future."""
    given = params.get("cdt", "")
    offset = abs(_int(params, "cdo", 0))
    if not given and not offset:
        return sender.now
    at = (_timestamp(given) if given else sender.now) - offset
    if at > sender.now or at <= sender.now - _OLDEST:
        return sender.now
    if sender.now - at >= _RECENT and not sender.may_write(site):
        raise RefusedHit("a cdt of more than a day ago needs a token with write access")
    return at


@lru_cache(maxsize=4096)
def _timestamp(text: str) -> int:
    """Return a Unix time, given as such or as a date and time in UTC; 0 if it is neither."""
    number = _number(text)
    if number is not None:
        return int(number)
    try:
        moment = datetime.fromisoformat(text.strip().removesuffix(" UTC"))
    except ValueError:
        return 0
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _visitor(params: Params) -> tuple[str | None, bool]:
    """Return the visitor's id and whether it is forced: by user id, by `cid`, else by `_id`."""
    if user := params.get("uid", ""):
        return user_hash(user), False
    if forced := params.get("cid", ""):
        if len(forced) != ID_LENGTH:
            raise RefusedHit(f"cid {forced} has not {ID_LENGTH} characters")
        return _hex(forced), True
    given = params.get("_id", "")
    return (_hex(given[:ID_LENGTH]) if len(given) >= ID_LENGTH else None), False


def user_hash(user_id: str) -> str:
    """Return the visitor id that Matomo derives from a user id (`enable_userid_overwrites_visitorid`)."""
    return sha1(user_id.encode(), usedforsecurity=False).hexdigest()[:ID_LENGTH]


def _hex(text: str) -> str | None:
    return text.lower() if _HEX.fullmatch(text) else None


def _action(params: Params, site: Site) -> tuple[str, Detail, str | None]:
    """Return the kind of a hit's only action, its detail, and the URL that it links to.

    Of several actions in one hit Matomo takes the last of: page view, search, content, event, outlink, download. A
    goal, an order or a cart takes the place of any of them, and a ping of all.
    """
    goal_id = _int(params, "idgoal", -1)
    commerce = _commerce(params) if goal_id == 0 else None
    goal = _goal(params, site, goal_id) if goal_id > 0 else None
    link = _link(params)
    event = None if link else _event(params)
    if link is None and event is None:
        kind, detail = _content_or_search(params, site)
        if kind == "action" and _int(params, "ca", 0):
            raise FailedHit("the hit is for a plugin that is not active")
    else:
        kind, detail = ("event", event) if link is None else (link[0], None)
    if _int(params, "ping", 0) == 1:
        return "ping", None, None
    if goal is not None:
        return "goal", goal, None
    if commerce is not None:
        return commerce
    return kind, detail, link[1] if link else None


def _link(params: Params) -> tuple[str, str] | None:
    for kind, name in (("download", "download"), ("outlink", "link")):
        if text := params.get(name, ""):
            return kind, (_clean(text) if looks_like_url(text.strip()) else "")
    return None


def _event(params: Params) -> Event | None:
    category, action = params.get("e_c", ""), params.get("e_a", "")
    if not category or not action:
        return None
    for name, text in (("e_c", category), ("e_a", action)):
        if not text.strip():
            raise RefusedHit(f"{name} is blank")
    return Event(_clean(category), _clean(action), _clean(params.get("e_n", "")) or None, _float(params, "e_v"))


def _content_or_search(params: Params, site: Site) -> tuple[str, Detail]:
    if content := params.get("c_n", ""):
        if not content.strip():
            raise RefusedHit("c_n is blank")
        piece, target, interaction = (_clean(params.get(name, "")) or None for name in ("c_p", "c_t", "c_i"))
        return "content", Content(_clean(content), piece, target, interaction)
    search = _search(params, site)
    return ("action", None) if search is None else ("search", search)


def _search(params: Params, site: Site) -> Search | None:
    """Return the site search, given as such or by the parameters of the page's URL."""
    keyword, category = params.get("search", "").strip(), params.get("search_cat", "").strip()
    count = params.get("search_count", "")
    if not keyword and "=" in params.get("url", ""):
        query = {name.lower(): value for name, value in parse_qsl(split_url(params["url"]).query)}
        of_site = site.described()
        names = [name for name in str(of_site["sitesearch_keyword_parameters"]).split(",") if name]
        keyword = next((text for name in names or _KEYWORDS if (text := query.get(name, "").strip())), "")
        category = query.get(str(of_site["sitesearch_category_parameters"]), "").strip()
        count = query.get("search_count", "")
    if not keyword:
        return None
    hits = int(count) if _INT.fullmatch(count) and int(count) >= 0 else None
    return Search(_clean(keyword), category[:_CATEGORY_LENGTH], hits)


def _goal(params: Params, site: Site, goal_id: int) -> Detail:
    goal = next((one for one in site.goals if one.id == goal_id), None)
    if goal is None:
        raise RefusedHit(f"site {site.id} has no goal {goal_id}")
    revenue = _float(params, "revenue")
    return goal if revenue is None else replace(goal, revenue=round(revenue, 2))


def _commerce(params: Params) -> tuple[str, Detail, None]:
    """Return the order or, without an id, the cart of a hit; its detail is None if the items are no list."""
    order_id = params.get("ec_id", "")
    is_order = order_id not in ("", "0")
    kind = "ecommerceOrder" if is_order else "ecommerceAbandonedCart"
    items = _items(params.get("ec_items", ""))
    if items is None:
        return kind, None, None
    amounts = [round(_float(params, name) or 0.0, 2) for name in ("ec_st", "ec_tx", "ec_sh", "ec_dt", "revenue")]
    return kind, Order(order_id if is_order else None, items, *amounts), None


def _items(text: str) -> tuple[Item, ...] | None:
    """Return the items of an order or a cart, each `[sku, name, category or categories, price, quantity]`."""
    given = decoded_json(text) if text else None
    if not given:
        return ()
    if not isinstance(given, list):
        return None
    found: dict[str, Item] = {}
    for one in given:
        fields = [*one, *[None] * 5][:5] if isinstance(one, list) else [None] * 5
        sku, name, category, price, quantity = fields
        if not sku:
            continue
        product = Product(_name(sku), _name(name), round(_number(price) or 0.0, 2), _categories(category))
        found.setdefault(product.sku, Item(product, int(_number(quantity) or 1)))
    return tuple(found.values())


def _name(value: object) -> str:
    parts = value if isinstance(value, list) else [value]
    return _clean(",".join(str(part) for part in parts if part not in (None, False)))


def _categories(value: object) -> tuple[str, ...]:
    names: Iterable[object] = value if isinstance(value, list) else [value]
    return tuple(text for name in names if (text := _name(name)))[:_CATEGORIES]


def _page(params: Params, site: Site) -> Page:
    title = _clean(params.get("action_name", ""))
    return page_of_hit(site, cleaned_url(params.get("url", "")), title, _product(params))


def _product(params: Params) -> Product | None:
    """Return the product or category that a hit is a view of; `_pkc` is a name or a JSON list of names."""
    sku, name, category = params.get("_pks", ""), params.get("_pkn", ""), params.get("_pkc", "")
    price = _float(params, "_pkp")
    if not sku and not name and not category and price is None:
        return None
    categories: object = category
    if category.startswith('["'):
        categories = decoded_json(category) or ""
    return Product(_clean(sku), _clean(name), price or 0.0, _categories(categories))


def _origin(params: Params, site: Site) -> Origin:
    origin = origin_of(params.get("url", ""), params.get("urlref", ""), _host(site.main_url))
    campaign = named_campaign(params)
    return origin if campaign is None else replace(origin, campaign=campaign)


@lru_cache(maxsize=64)
def _host(url: str) -> str:
    return (split_url(url).hostname or "").lower()


def _dimension(params: Params, name: str, site: Site) -> str | None:
    """Return a custom dimension's value if it was sent: an empty one overwrites, too."""
    value = params.get(name)
    return value.strip()[:_DIMENSION_LENGTH] if value is not None and site.has_custom_dimensions else None


def _variables(text: str) -> Variables:
    """Return custom variables: `{"1": ["name", "value"]}`; Matomo ignores what it cannot read."""
    given = decoded_json(text) if text else None
    if not isinstance(given, dict):
        return ()
    found = []
    for slot, pair in given.items():
        known = _INT.fullmatch(slot) and 1 <= int(slot) <= _VARIABLES
        if known and isinstance(pair, list) and len(pair) == 2 and _name(pair[0]):
            found.append((int(slot), _name(pair[0])[:_VARIABLE_LENGTH], _name(pair[1])[:_VARIABLE_LENGTH]))
    return tuple(sorted(found))


def _client(params: Params, ip: str, user_agent: str, accept_language: str, site: Site, at: int) -> Client:
    """Return the client, whose fingerprint is another one each day of the site."""
    language = params.get("lang") or accept_language
    device = device_of(user_agent, params.get("uadata", ""), params.get("res", ""))
    plugins = tuple(name for name in _PLUGINS if _int(params, name, 0))
    return Client(
        masked_ip(ip),
        device,
        language_and_place(language, params.get("country", "")),
        plugins,
        _local_time(params, at),
        _fingerprint((device.os_code, device.browser_code, device.browser_version, *plugins, ip, language), site, at),
    )


def _fingerprint(parts: tuple[str, ...], site: Site, at: int) -> str:
    text = "/".join((*parts, str(site.id), str(local_day(site.timezone, at))))
    return md5(text.encode(), usedforsecurity=False).hexdigest()[:ID_LENGTH]


def _local_time(params: Params, at: int) -> str:
    if "h" not in params and "m" not in params and "s" not in params:
        seconds = at % 86_400
        return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    now = datetime.fromtimestamp(at, UTC)
    parts = (
        (_int(params, "h", now.hour), 23),
        (_int(params, "m", now.minute), 59),
        (_int(params, "s", now.second), 59),
    )
    return ":".join(f"{value if 0 <= value <= most else 0:02}" for value, most in parts)


def _clean(text: str) -> str:
    return text.strip().replace("\n", "").replace("\r", "").replace("\0", "")[:URL_LENGTH]


def _int(params: Params | Mapping[str, str], name: str, default: int) -> int:
    text = params.get(name)
    if not text:
        return default
    return int(text) if _INT.fullmatch(text) else default


def _float(params: Params, name: str) -> float | None:
    text = params.get(name)
    return _number(text) if text else None


def _number(value: object) -> float | None:
    if isinstance(value, str):
        text = value.replace(",", ".")
        number = float(text) if _FLOAT.fullmatch(text) else None
    else:
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    return number if number is not None and isfinite(number) else None
