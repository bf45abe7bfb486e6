"""Devices, languages and places of hits: what Matomo derives from user agent, client hints and language."""

import ipaddress
import re
from dataclasses import replace
from functools import lru_cache

from fake_matomo.language import COUNTRY_CODES
from fake_matomo.php import decoded_json
from fake_matomo.pools import CONTINENTS, DEVICES, Device, Place

_UNKNOWN = next(device for device in DEVICES.items if not device.type)
_BOT = re.compile(r"bot\b|bot/|crawler|spider|crawling|slurp|facebookexternalhit|pingdom|uptimerobot", re.IGNORECASE)
_VERSION = r"/(\d+(?:\.\d+)?)"
# The browsers by what names them in a user agent, the first that fits: family, name, code.
_BROWSERS = (
    (re.compile("Edg(?:e|A|iOS)?" + _VERSION), "Blink", "Microsoft Edge", "PS"),
    (re.compile("OPR" + _VERSION), "Blink", "Opera", "OP"),
    (re.compile("(?:Firefox|FxiOS)" + _VERSION), "Gecko", "Firefox", "FF"),
    (re.compile("(?:Chrome|CriOS)" + _VERSION), "Blink", "Chrome", "CH"),
    (re.compile("Version" + _VERSION + ".*Safari"), "WebKit", "Safari", "SF"),
)
_SYSTEMS = (
    (re.compile(r"Windows NT (\d+(?:\.\d+)?)"), "Windows", "WIN"),
    (re.compile(r"iPad;.*? OS (\d+[_.]\d+)"), "iOS", "IPA"),
    (re.compile(r"(?:iPhone|iPod).*? OS (\d+[_.]\d+)"), "iOS", "IOS"),
    (re.compile(r"Android (\d+(?:\.\d+)?)"), "Android", "AND"),
    (re.compile(r"Android()"), "Android", "AND"),
    (re.compile(r"Mac OS X (\d+[_.]\d+)"), "Mac", "MAC"),
    (re.compile(r"(?:Linux|X11)()"), "GNU/Linux", "LIN"),
)
_HINTED_SYSTEMS = {
    "Android": ("Android", "AND"),
    "iOS": ("iOS", "IOS"),
    "macOS": ("Mac", "MAC"),
    "Linux": ("GNU/Linux", "LIN"),
    "Windows": ("Windows", "WIN"),
}
_APPLE = frozenset({"MAC", "IOS", "IPA"})
# The language of a country that Matomo infers where a language has no region (LanguageDataProvider).
_COUNTRY_OF = {"de": "de", "en": "us", "es": "es", "fr": "fr", "ja": "jp", "pl": "pl", "pt": "pt", "is": "is"}
_LANGUAGE = re.compile(r"(?:^|,)([a-z]{2,3})(?:-[a-z]{4})?(-[a-z]{2})?")


def is_bot(user_agent: str) -> bool:
    """Whether Matomo does not track the user agent, unless a hit has `bots=1`."""
    return _BOT.search(user_agent) is not None


@lru_cache(maxsize=4096)
def device_of(user_agent: str, hints: str = "", resolution: str = "") -> Device:
    """Return the device of a user agent and its client hints (`uadata`, JSON)."""
    system, os_code, os_version = _system(user_agent)
    family, browser, code, version = _browser(user_agent)
    kind, brand, model = _kind(user_agent, os_code)
    if not system and not browser:
        found = _UNKNOWN
    else:
        phone = kind in ("smartphone", "tablet")
        if phone and code in ("CH", "SF"):
            browser, code = ("Chrome Mobile", "CM") if code == "CH" else ("Mobile Safari", "MF")
        if os_code in ("IOS", "IPA"):
            family = "WebKit"
        found = Device(
            *(kind, brand, model, system or "Unknown", os_code or "UNK", os_version),
            *(family or "Unknown", browser or "Unknown", code or "UNK", version, "unknown"),
        )
    found = _hinted(found, hints)
    return replace(found, resolution=resolution[:18] or "unknown")


def _system(user_agent: str) -> tuple[str, str, str]:
    for pattern, name, code in _SYSTEMS:
        if match := pattern.search(user_agent):
            return name, code, match[1].replace("_", ".").removesuffix(".0" if code in ("WIN", "AND") else "\0")
    return "", "", ""


def _browser(user_agent: str) -> tuple[str, str, str, str]:
    for pattern, family, name, code in _BROWSERS:
        if match := pattern.search(user_agent):
            return family, name, code, match[1]
    return "", "", "", ""


def _kind(user_agent: str, os_code: str) -> tuple[str, str, str]:
    brand = "Apple" if os_code in _APPLE else "Unknown"
    if os_code == "IPA":
        return "tablet", brand, "iPad"
    if os_code == "IOS":
        return "smartphone", brand, "iPhone"
    if os_code == "AND":
        kind = "smartphone" if "Mobile" in user_agent else "tablet"
        samsung = re.search(r"; (SM-[A-Z0-9]+|SAMSUNG [^;)]+)", user_agent)
        return kind, "Samsung" if samsung else "Unknown", samsung[1] if samsung else f"Generic {kind.title()}"
    return ("desktop", brand, "Generic Desktop") if os_code else ("", "Unknown", "Unknown")


def _hinted(device: Device, hints: str) -> Device:
    """Return the device with what its browser says by client hints instead of in its user agent."""
    given = decoded_json(hints) if hints else None
    if not isinstance(given, dict):
        return device
    system = _HINTED_SYSTEMS.get(str(given.get("platform", "")))
    if system is not None:
        device = replace(device, os=system[0], os_code=system[1])
    if version := str(given.get("platformVersion") or ""):
        device = replace(device, os_version=".".join(version.split(".")[:2]).removesuffix(".0"))
    if model := str(given.get("model") or ""):
        device = replace(device, model=model)
    if given.get("mobile") is True and device.type in ("", "desktop"):
        device = replace(device, type="smartphone")
    return device


@lru_cache(maxsize=1024)
def language_and_place(lang: str, country: str = "") -> Place:
    """Return the place that Matomo guesses from the browser's language, or the one that a hit states.

    A country that the fake has no name for is unknown.
    """
    text = re.sub(r"\s+|;q=[0-9.]+", "", lang.lower().replace("_", "-"))[:20]
    match = _LANGUAGE.search(text)
    spoken = f"{match[1]}{match[2] or ''}" if match else ""
    if country:
        code = country.lower()
    elif match and re.match(r"[a-z]{2,3}(?:,|$)", text) and match[1] in _COUNTRY_OF:
        code = _COUNTRY_OF[match[1]]
    else:
        code = next((one for one in re.findall(r"-([a-z]{2})\b", text) if one in COUNTRY_CODES), "")
    if code not in COUNTRY_CODES:
        code = ""
    return Place(code, CONTINENTS.get(code, "unk"), None, None, None, None, spoken)


@lru_cache(maxsize=16_384)
def masked_ip(text: str) -> str:
    """Return an address without its last two bytes, as Matomo keeps it by default; 0.0.0.0 if it is none."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - an address that is shown, not one to listen on
    bits = 16 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False).network_address)
