"""Asks the sample in the recommended form: method in the URL, token in the body alone.

Decoded JSON is `Any` here: what is in it is what the tests are about.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from fake_matomo import FakeMatomo, Goal, Site, World
from tests.fake_matomo.recorded import Exchanged, exchange

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 12)


def small_world(**site: Any) -> World:
    """One shop in Paris, twenty visits a day."""
    shop: dict[str, Any] = {
        "id": 1,
        "name": "Shop",
        "timezone": "Europe/Paris",
        "visits_per_day": 20,
        "ecommerce": True,
        "goals": (Goal(1, "Newsletter", 2.5),),
        "main_url": "https://shop.example.org",
        **site,
    }
    return World(sites=(Site(**shop),), now=NOW)


def ask_raw(matomo: FakeMatomo, method: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Exchanged:
    """The answer as it came."""
    query = {"module": "API", "format": "json", "method": method}
    form = {"token_auth": matomo.token, **{name: str(value) for name, value in params.items()}}
    path = f"{matomo.mount}/index.php"
    return exchange(matomo, "POST", query, form, headers, path)


def ask(matomo: FakeMatomo, method: str, **params: Any) -> Any:
    """The decoded answer."""
    return json.loads(ask_raw(matomo, method, **params).body)


def rows(matomo: FakeMatomo, method: str, **params: Any) -> list[dict[str, Any]]:
    """The rows of a report of one day of site 1, all of them."""
    answer = ask(matomo, method, **{"idSite": 1, "period": "day", "date": DAY, "filter_limit": -1, **params})
    assert isinstance(answer, list)
    return answer


def row(matomo: FakeMatomo, method: str, **params: Any) -> dict[str, Any]:
    """The answer of a report of one row, of one day of site 1."""
    answer = ask(matomo, method, **{"idSite": 1, "period": "day", "date": DAY, **params})
    assert isinstance(answer, dict)
    return answer


def visits(matomo: FakeMatomo, **params: Any) -> list[dict[str, Any]]:
    """Visits of the log of site 1."""
    answer = ask(matomo, "Live.getLastVisitsDetails", **{"idSite": 1, **params})
    assert isinstance(answer, list)
    return answer


def whole(value: object) -> int:
    """A counter, whether it came as a number or as text."""
    return int(str(value))


def ids(found: list[dict[str, Any]]) -> list[int]:
    """The numbers of visits."""
    return [whole(visit["idVisit"]) for visit in found]
