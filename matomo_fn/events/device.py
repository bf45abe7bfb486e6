"""What the visitor's call came from: browser, language and screen."""

import re
from collections.abc import Mapping
from typing import Any

from matomo_fn.events.fields import as_list, as_number, as_object, as_text, at
from matomo_fn.events.model import Call
from matomo_fn.events.stored import cut
from matomo_fn.values import encode

_LOCALE = re.compile(r"([A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*)(?:\.[\w-]+)?(?:@\w+)?", re.ASCII)
# What Matomo's own tracker sends (js/piwik.js, detectClientHints). Its reader fails on values of another type, and the
# hit with it (matomo-org/device-detector, ClientHints.php, which is in strict mode).
_HINT_TEXTS = ("model", "platform", "platformVersion", "uaFullVersion", "architecture", "bitness")
_HINT_BRANDS = ("brands", "fullVersionList")
_MOST_BRANDS = 20
_MOST_HINT = 200
# Matomo keeps nine characters of a resolution.
_MOST_PIXELS = 9_999


def device_parameters(call: Call) -> dict[str, str]:
    """Return ua, uadata, lang and res of a call's context, as far as they are there."""
    context = as_object(call.data.get("context"))
    locale = _LOCALE.fullmatch(as_text(context.get("locale")))
    found = {
        "ua": cut(as_text(context.get("userAgent"))),
        "uadata": _client_hints(as_object(context.get("userAgentData"))),
        "lang": locale[1].replace("_", "-") if locale else "",
        "res": _resolution(context),
    }
    return {name: value for name, value in found.items() if value}


def _client_hints(data: Mapping[str, Any]) -> str:
    hints: dict[str, Any] = {
        name: text[:_MOST_HINT]
        for name in _HINT_TEXTS
        if isinstance(data.get(name), str) and (text := as_text(data[name]))
    }
    for name in _HINT_BRANDS:
        brands = [_brand(as_object(brand)) for brand in as_list(data.get(name))[:_MOST_BRANDS]]
        if known := [brand for brand in brands if all(brand.values())]:
            hints[name] = known
    if isinstance(data.get("mobile"), bool):
        hints["mobile"] = data["mobile"]
    return encode(hints) if hints else ""


def _brand(brand: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_text(brand.get(name))[:_MOST_HINT] for name in ("brand", "version")}


def _resolution(context: Mapping[str, Any]) -> str:
    width, height = (as_number(at(context, f"screen.{side}")) for side in ("width", "height"))
    if width is None or height is None or not (1 <= width <= _MOST_PIXELS and 1 <= height <= _MOST_PIXELS):
        return ""
    return f"{int(width)}x{int(height)}"
