"""Weighted pools of what visits consist of: places, devices, referrers, products, events."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Place:
    """A visitor's location; one without a code is unknown to Matomo."""

    code: str
    continent: str
    region: str | None
    city: str | None
    latitude: str | None
    longitude: str | None
    language: str


@dataclass(frozen=True, slots=True)
class Device:
    """A visitor's device."""

    type: str
    brand: str
    model: str
    os: str
    os_code: str
    os_version: str
    family: str
    browser: str
    browser_code: str
    browser_version: str
    resolution: str


@dataclass(frozen=True, slots=True)
class Referrer:
    """A visit's referrer; `type` is Matomo's number of the channel."""

    type: int
    name: str = ""
    keyword: str | None = ""
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A product of the shop."""

    sku: str
    name: str
    price: float
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Event:
    """A tracked event."""

    category: str
    action: str
    name: str | None
    value: float | None


@dataclass(frozen=True, slots=True)
class Search:
    """A site search."""

    keyword: str
    category: str
    count: int | None


@dataclass(frozen=True, slots=True)
class Content:
    """A content impression, or an interaction with a content if that has a name."""

    name: str
    piece: str | None
    target: str | None
    interaction: str | None = None


class Pool(Generic[T]):
    """Weighted items, drawn with the caller's random generator."""

    __slots__ = ("_cumulated", "items")

    def __init__(self, weighted: Sequence[tuple[float, T]]) -> None:
        self.items: tuple[T, ...] = tuple(item for _, item in weighted)
        self._cumulated = list(accumulate(weight for weight, _ in weighted))

    def draw(self, rng: Random) -> T:
        """Draw one of the items."""
        return rng.choices(self.items, cum_weights=self._cumulated)[0]


DIRECT, SEARCH, WEBSITE, CAMPAIGN, SOCIAL = 1, 2, 3, 6, 7

PLACES = Pool(
    [
        (30, Place("fr", "eur", "IDF", "Paris", "48.850000", "2.350000", "fr-fr")),
        (22, Place("de", "eur", "NW", "Köln", "50.940000", "6.960000", "de-de")),
        (14, Place("us", "amn", "NY", "New York", "40.710000", "-74.000000", "en-us")),
        (9, Place("gb", "eur", "ENG", "London", "51.500000", "-0.120000", "en-gb")),
        (7, Place("es", "eur", "AN", "Málaga", "36.720000", "-4.420000", "es-es")),
        (5, Place("in", "asi", "MH", "Mumbai", "19.070000", "72.870000", "en-in")),
        (5, Place("br", "ams", "SP", "São Paulo", "-23.550000", "-46.630000", "pt-br")),
        (4, Place("pl", "eur", "10", "Łódź", "51.770000", "19.460000", "pl-pl")),
        (2, Place("ci", "afr", None, "Abidjan", "5.300000", "-4.000000", "fr-ci")),
        (1.5, Place("", "unk", None, None, None, None, "")),
    ]
)

# Places that only changed days have, so that a change shows in every table.
RARE_PLACES = (
    Place("is", "eur", "1", "Reykjavík", "64.140000", "-21.920000", "is-is"),
    Place("jp", "asi", "13", "Tokyo", "35.690000", "139.690000", "ja-jp"),
    Place("ca", "amn", "QC", "Montréal", "45.500000", "-73.570000", "fr-ca"),
)

# The continents of the countries that have a name (language.py).
CONTINENTS = {place.code: place.continent for place in (*PLACES.items, *RARE_PLACES) if place.code} | {
    **dict.fromkeys(("at", "be", "ch", "it", "nl", "pt", "se"), "eur"),
    **dict.fromkeys(("au", "nz"), "oce"),
}

REGIONS = {
    ("fr", "IDF"): "Île-de-France",
    ("de", "NW"): "Nordrhein-Westfalen",
    ("us", "NY"): "New York",
    ("gb", "ENG"): "England",
    ("es", "AN"): "Andalucía",
    ("in", "MH"): "Mahārāshtra",
    ("br", "SP"): "São Paulo",
    ("pl", "10"): "Łódzkie",
    ("is", "1"): "Höfuðborgarsvæði",
    ("jp", "13"): "Tokyo",
    ("ca", "QC"): "Québec",
}

DEVICES = Pool(
    [
        (
            24,
            Device(
                "desktop",
                "Unknown",
                "Generic Desktop",
                "Windows",
                "WIN",
                "10",
                "Blink",
                "Chrome",
                "CH",
                "126.0",
                "1920x1080",
            ),
        ),
        (
            14,
            Device(
                "desktop",
                "Unknown",
                "Generic Desktop",
                "GNU/Linux",
                "LIN",
                "",
                "Gecko",
                "Firefox",
                "FF",
                "127.0",
                "2560x1440",
            ),
        ),
        (
            5,
            Device(
                "desktop",
                "Apple",
                "Generic Desktop",
                "Mac",
                "MAC",
                "10.15",
                "WebKit",
                "Safari",
                "SF",
                "17.4",
                "1680x1050",
            ),
        ),
        (
            2,
            Device(
                "desktop",
                "Unknown",
                "Generic Desktop",
                "Windows",
                "WIN",
                "10",
                "Blink",
                "Microsoft Edge",
                "PS",
                "125.0",
                "1366x768",
            ),
        ),
        (
            15,
            Device(
                "smartphone",
                "Samsung",
                "Galaxy S23 Ultra",
                "Android",
                "AND",
                "14",
                "Blink",
                "Chrome Mobile",
                "CM",
                "125.0",
                "360x800",
            ),
        ),
        (
            12,
            Device(
                "smartphone",
                "Apple",
                "iPhone",
                "iOS",
                "IOS",
                "17.5",
                "WebKit",
                "Mobile Safari",
                "MF",
                "17.5",
                "390x844",
            ),
        ),
        (
            4,
            Device(
                "tablet",
                "Apple",
                "iPad",
                "iOS",
                "IPA",
                "16.6",
                "WebKit",
                "Mobile Safari",
                "MF",
                "16.6",
                "810x1080",
            ),
        ),
        (
            2,
            Device(
                "tv",
                "Unknown",
                "Generic Tv",
                "Tizen",
                "TIZ",
                "6.0",
                "WebKit",
                "Safari",
                "SF",
                "",
                "1920x1080",
            ),
        ),
        (
            1,
            Device("", "Unknown", "Unknown", "Unknown", "UNK", "", "Unknown", "Unknown", "UNK", "", "unknown"),
        ),
    ]
)

DEVICE_TYPES = (
    "camera",
    "car browser",
    "console",
    "desktop",
    "feature phone",
    "peripheral",
    "phablet",
    "portable media player",
    "smart display",
    "smart speaker",
    "smartphone",
    "tablet",
    "tv",
    "wearable",
)

FAMILIES = {
    "Blink": "Blink (Chrome, Opera)",
    "WebKit": "WebKit (Safari)",
    "Gecko": "Gecko (Firefox)",
    "Unknown": "Unknown",
}

# A keyword of None is one that the search engine does not disclose.
REFERRERS = Pool(
    [
        (34, Referrer(DIRECT)),
        (7, Referrer(SEARCH, "Google", None, "https://www.google.fr/")),
        (6, Referrer(SEARCH, "Facebook", None, "https://www.facebook.com/")),
        (5, Referrer(SEARCH, "Bing", "sandales été", "https://www.bing.com/search?q=sandales+%C3%A9t%C3%A9")),
        (2, Referrer(SEARCH, "Bing", "靴", "https://www.bing.com/search?q=%E9%9D%B4")),
        (4, Referrer(SEARCH, "Yahoo! Japan", "靴", "https://search.yahoo.co.jp/search?p=%E9%9D%B4")),
        (3, Referrer(SEARCH, "DuckDuckGo", None, "https://duckduckgo.com/")),
        (
            3,
            Referrer(
                SEARCH,
                "Yandex",
                "платье",
                "https://yandex.ru/search/?text=%D0%BF%D0%BB%D0%B0%D1%82%D1%8C%D0%B5",
            ),
        ),
        (6, Referrer(WEBSITE, "news.example.co.uk", "", "https://news.example.co.uk/a/b/c")),
        (5, Referrer(WEBSITE, "forum.example.de", "", "https://forum.example.de/thread/9")),
        (2, Referrer(WEBSITE, "forum.example.de", "", "https://forum.example.de/thread/12")),
        (3, Referrer(WEBSITE, "blog.example.fr", "", "https://blog.example.fr/mode/été-2026")),
        (2, Referrer(WEBSITE, "www.partner.example.com", "", "https://www.partner.example.com/links?id=7")),
        (3, Referrer(SOCIAL, "LinkedIn", "", "https://www.linkedin.com/feed/")),
        (3, Referrer(SOCIAL, "reddit", "", "https://www.reddit.com/r/fashion/")),
        (4, Referrer(SOCIAL, "Twitter", "", "https://t.co/abc")),
        (5, Referrer(CAMPAIGN, "newsletter_2026-11", "", None)),
        (5, Referrer(CAMPAIGN, "retargeting", "panier", None)),
        (3, Referrer(CAMPAIGN, "brand & co", "boutique", None)),
        (3, Referrer(CAMPAIGN, "soldes d'été 2026", "robe rouge", None)),
    ]
)

SEARCH_ENGINES = {
    "Google": ("http://google.com", "http://google.com/search?q={}"),
    "Facebook": ("http://www.facebook.com", "http://www.facebook.com/search?q={}"),
    "Bing": ("http://bing.com", "http://bing.com/search?q={}"),
    "Yahoo! Japan": ("http://search.yahoo.co.jp", "http://search.yahoo.co.jp/search?p={}"),
    "DuckDuckGo": ("http://duckduckgo.com", "http://duckduckgo.com/?q={}"),
    "Yandex": ("http://yandex.ru", "http://yandex.ru/yandsearch?text={}"),
}

SOCIALS = {
    "LinkedIn": "linkedin.com",
    "reddit": "reddit.com",
    "Twitter": "twitter.com",
    "Facebook": "facebook.com",
    "Instagram": "instagram.com",
    "YouTube": "youtube.com",
}

PRODUCTS = (
    Product("SKU-001", "Robe rouge", 59.0, ("Robes", "Été")),
    Product("SKU-002", 'Sandale "Été"', 79.0, ("Chaussures",)),
    Product("SKU-003", "Chapeau de paille & ruban", 19.95, ("Accessoires", "Été")),
    Product("SKU-004", "Lunettes 🕶", 120.0, ("Accessoires",)),
    Product("SKU/005 x", "Gant", 12.5, ()),
    Product("00042", "Article à zéro de tête", 5.0, ("Divers",)),
)

EVENTS = Pool(
    [
        (8, Event("Vidéo", "play", "Démo", None)),
        (3, Event("Vidéo", "play", None, None)),
        (4, Event("Vidéo", "pause", "Démo", 12.5)),
        (9, Event("A/B test", "variant <b>", "exp-1", None)),
        (5, Event("Scroll", "50%", "accueil", 50.0)),
        (3, Event("Scroll", "100%", "accueil", 100.0)),
        (3, Event("Formulaire", "submit", "contact", 1.0)),
        (2, Event("Formulaire", "error", "e-mail manquant", None)),
        (3, Event("Menu", "open", "principal", None)),
    ]
)

SEARCHES = Pool(
    [
        (4, Search("sandales", "homme", 3)),
        (3, Search("靴", "femme", 3)),
        (3, Search('"exact" <x>', "", 3)),
        (2, Search("robe", "", 12)),
        (1, Search("introuvable", "", 0)),
    ]
)

DOWNLOADS = ("/files/catalogue%202026.pdf", "/files/conditions.pdf")
OUTLINKS = ("https://www.partner.example.com/x?y=1", "https://maps.example.com/?q=K%C3%B6ln")
PLANS = (None, "free", "pro", "entreprise é")
AUTHORS = ("Marc", "Zoé", "Ünal")
