"""The address of the page that a call is about, with its campaign: the parameters url and urlref."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from matomo_fn.events.fields import as_object, as_text, at, first_text
from matomo_fn.events.model import Call, CallType

# What Matomo takes for a URL (core/UrlHelper.php, isLookLikeUrl), with a scheme and a host.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#]+[^\s]*")
# page_maximum_length: Matomo cuts the rest off, and with it what stands last in the query.
_MOST_BYTES = 1_024
# A campaign's fields, the parameter that each becomes, and those that say the same in a URL already: campaign_var_name
# and campaign_keyword_var_name in Matomo's config/global.ini.php, and the names of its MarketingCampaignsReporting.
_CAMPAIGN = {
    "name": ("utm_campaign", "mtm_campaign", "mtm_cpn", "matomo_campaign", "pk_campaign", "pk_cpn", "piwik_campaign"),
    "source": ("utm_source", "mtm_source", "pk_source"),
    "medium": ("utm_medium", "mtm_medium", "pk_medium"),
    "term": ("utm_term", "mtm_keyword", "mtm_kwd", "matomo_kwd", "pk_keyword", "pk_kwd", "piwik_kwd"),
    "content": ("utm_content", "mtm_content", "pk_content"),
}
# Matomo's columns of campaigns have 255 characters.
_CAMPAIGN_CHARACTERS = 200


def is_url(text: str) -> bool:
    """Return whether Matomo takes a text for a URL, and parsers do not fail on it."""
    if not _URL.fullmatch(text):
        return False
    try:
        return bool(urlsplit(text).netloc)
    except ValueError:  # such as of an open bracket in the host
        return False


def page_parameters(call: Call) -> dict[str, str]:
    """Return url and urlref of the page of a call, and the campaign as the visitor's conversions remember it."""
    data = call.data
    own = call.type in (CallType.PAGE, CallType.SCREEN)  # only there are the properties those of the page
    paths = ("properties", "context.page") if own else ("context.page",)
    found = {
        "url": page_url(data, *(f"{path}.url" for path in paths)),
        "urlref": _first_url(data, *(f"{path}.referrer" for path in paths)),
        "_rcn": _campaign_text(data, "name"),
        "_rck": _campaign_text(data, "term"),
    }
    return {name: value for name, value in found.items() if value}


def page_url(data: Mapping[str, Any], *paths: str) -> str:
    """Return the first URL at some paths, with page.search and the campaign of the call in its query, or ''."""
    url = _first_url(data, *paths)
    if not url:
        return ""
    address, hash_sign, fragment = url.partition("#")
    search = first_text(data, "properties.search", "context.page.search").lstrip("?")
    if "?" not in address and search and not re.search(r"[\s#]", search):
        address = f"{address}?{search}"
    kept = _cut(address)
    return _with_campaign(kept, hash_sign + fragment if kept == address else "", data)


def screen_url(data: Mapping[str, Any], name: str) -> str:
    """Return the URL of an app's screen, as Matomo's own mobile trackers make it: the app's package and the name."""
    host = re.sub(r"[^\w.-]", "-", first_text(data, "context.app.namespace", "context.app.name"), flags=re.ASCII)
    parts = [part for part in (as_text(data.get("category")), name) if part]
    path = "/".join(quote(part, safe="") for part in parts)
    return _with_campaign(_cut(f"https://{host.strip('.-') or 'app'}/{path}"), "", data)


def _first_url(data: Mapping[str, Any], *paths: str) -> str:
    return next((text for path in paths if is_url(text := as_text(at(data, path)))), "")


def _with_campaign(address: str, fragment: str, data: Mapping[str, Any]) -> str:
    """Return an address with the campaign's parameters that it has not, as far as Matomo keeps them."""
    try:
        known = {name for name, _ in parse_qsl(urlsplit(address).query)}
    except ValueError:  # more parameters than parse_qsl reads
        known = set()
    for field, names in _CAMPAIGN.items():
        value = _campaign_text(data, field)
        if value and known.isdisjoint(names):
            longer = f"{address}{'&' if '?' in address else '?'}{urlencode({names[0]: value})}"
            address = longer if len(longer.encode()) <= _MOST_BYTES else address
    whole = address + fragment
    return whole if len(whole.encode()) <= _MOST_BYTES else address


def _campaign_text(data: Mapping[str, Any], field: str) -> str:
    campaign = as_object(at(data, "context.campaign"))
    return as_text(campaign.get(field))[:_CAMPAIGN_CHARACTERS].rstrip()


def _cut(address: str) -> str:
    """Return an address that Matomo keeps whole: one that is too long loses its query, then the end of its path."""
    if len(address.encode()) > _MOST_BYTES:
        address = address.partition("?")[0]
    if len(address.encode()) > _MOST_BYTES:
        address = address.encode()[:_MOST_BYTES].decode(errors="ignore")
        # No half of an escaped byte.
        address = re.sub(r"%[0-9A-Fa-f]?$", "", address)
    return address
