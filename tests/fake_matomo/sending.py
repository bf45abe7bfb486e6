"""Hits sent to the fake's tracker, on their own and in bulk."""

import json
from typing import Any
from urllib.parse import urlencode

from fake_matomo import TRACKER, FakeMatomo
from tests.fake_matomo.exchanges import Exchanged, exchange

AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0"
VISITOR = "53a0000000000002"
ITEM = ["SKU-001", 'Sandale "Été"', ["Chaussures", "Été"], 39.9, 2]

# The hits of the visit in m53_live_pv_id, ten seconds from each other.
OF_EACH_KIND: tuple[dict[str, Any], ...] = (
    {"action_name": "pv_id page"},
    {"e_c": "Cat", "e_a": "Act", "e_n": "Name", "e_v": 2.5, "ca": 1},
    {"download": "https://shop.example.org/f.pdf"},
    {"link": "https://other.example.com/"},
    {"search": "shoes", "search_cat": "women", "search_count": 3},
    {"idgoal": 2, "revenue": 7},
    {"c_n": "Banner", "c_p": "b.jpg", "c_t": "https://shop.example.org/"},
    {"idgoal": 0, "revenue": 79.8, "ec_items": json.dumps([ITEM])},
    {"idgoal": 0, "ec_id": "CMD-53-2", "revenue": 79.8, "ec_st": 79.8, "ec_items": json.dumps([ITEM])},
    {"action_name": "product view", "_pks": ITEM[0], "_pkn": ITEM[1], "_pkp": 39.9, "_pkc": '["Chaussures"]'},
    {"action_name": "no pv_id", "pv_id": ""},
    {"idgoal": 0, "revenue": 39.9, "ec_items": json.dumps([ITEM])},
)


def hit(**params: Any) -> str:
    """Return the query of a hit, by default a page view of a visitor from France."""
    given: dict[str, Any] = {
        "idsite": 1,
        "rec": 1,
        "_id": VISITOR,
        "cip": "81.2.69.142",
        "url": "https://shop.example.org/pv-id",
        "pv_id": "abc123",
        "ua": AGENT,
        "lang": "fr-fr",
        "res": "1920x1080",
        "cookie": 1,
        **params,
    }
    return "?" + urlencode({name: value for name, value in given.items() if value is not None})


def hits_of_each_kind(begin: str = "2026-11-20 13") -> list[str]:
    """Return the hits of the recorded visit, which begins with that hour in UTC."""
    return [hit(cdt=f"{begin}:{at // 6:02}:{at % 6}0", **params) for at, params in enumerate(OF_EACH_KIND)]


def post(matomo: FakeMatomo, hits: list[Any], token: str | None = None, **body: Any) -> Exchanged:
    """Send hits in bulk, with the instance's own token unless another one is given."""
    text = json.dumps({"requests": hits, "token_auth": matomo.token if token is None else token, **body})
    return exchange(matomo, "POST", {}, text, {"Content-Type": "application/json"}, f"{matomo.mount}/{TRACKER}")


def send(matomo: FakeMatomo, *hits: str) -> list[int]:
    """Send hits in bulk and return the number of those tracked and of those invalid."""
    answer = json.loads(post(matomo, list(hits)).body)
    return [answer["tracked"], answer["invalid"]]
