"""Requests in the recommended form: method in the URL, token in the body only.

Decoded JSON is `Any`: its contents are what the tests check.
"""

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from fake_matomo import FakeMatomo, Goal, Site, World
from tests.fake_matomo.exchanges import Exchanged, exchange

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
DAY = date(2026, 11, 12)


def small_world(**site: Any) -> World:
    """Return a world of one shop in Paris with twenty visits a day."""
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


def fetch_raw(matomo: FakeMatomo, method: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Exchanged:
    """Return the raw answer."""
    query = {"module": "API", "format": "json", "method": method}
    form = {"token_auth": matomo.token, **{name: str(value) for name, value in params.items()}}
    path = f"{matomo.mount}/index.php"
    return exchange(matomo, "POST", query, form, headers, path)


def fetch(matomo: FakeMatomo, method: str, **params: Any) -> Any:
    """Return the decoded answer."""
    return json.loads(fetch_raw(matomo, method, **params).body)


def rows(matomo: FakeMatomo, method: str, **params: Any) -> list[dict[str, Any]]:
    """Return all rows of a report, by default of one day of site 1."""
    answer = fetch(matomo, method, **{"idSite": 1, "period": "day", "date": DAY, "filter_limit": -1, **params})
    assert isinstance(answer, list)
    return answer


def row(matomo: FakeMatomo, method: str, **params: Any) -> dict[str, Any]:
    """Return the answer of a one-row report, by default of one day of site 1."""
    answer = fetch(matomo, method, **{"idSite": 1, "period": "day", "date": DAY, **params})
    assert isinstance(answer, dict)
    return answer


def visits(matomo: FakeMatomo, **params: Any) -> list[dict[str, Any]]:
    """Return visits from the log of site 1."""
    answer = fetch(matomo, "Live.getLastVisitsDetails", **{"idSite": 1, **params})
    assert isinstance(answer, list)
    return answer


def whole(value: object) -> int:
    """Return a counter as an int, whether it is a number or a string."""
    return int(str(value))


def ids(found: list[dict[str, Any]]) -> list[int]:
    """Return the ids of visits."""
    return [whole(visit["idVisit"]) for visit in found]
