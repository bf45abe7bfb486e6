"""Settling: which hits Matomo's visits log has."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TRACKER, FakeMatomo, Fault, Site, World
from fake_matomo.sites import Goal
from matomo_fn.events.model import HitKind
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.deliveries import NOW, ZONE, Place, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOAL = Goal(1, "Sign-up", allow_multiple=True)
ITEMS = [{"product_id": "S1", "name": "Shoe", "price": 10, "quantity": 2}]
DAY = 86_400
# A call of each kind of hit, each by a visitor of its own and some days apart.
OF_EACH_KIND: dict[HitKind, dict[str, Any]] = {
    HitKind.PAGE_VIEW: {"kind": "page", "properties": {"title": "Home", "url": "https://shop.example/"}},
    HitKind.EVENT: {"event": "Played", "properties": {"label": "m2"}},
    HitKind.SITE_SEARCH: {"event": "Products Searched", "properties": {"query": "shoes"}},
    HitKind.GOAL: {"event": "Signed Up", "properties": {"revenue": 5}},
    HitKind.ORDER: {"event": "Order Completed", "properties": {"order_id": "O1", "total": 20, "products": ITEMS}},
    HitKind.CART: {"event": "Cart Viewed", "properties": {"products": ITEMS}},
    HitKind.PING: {"kind": "identify", "userId": "u1", "traits": {}},
}


@pytest.fixture
def place() -> Iterator[Place]:
    created = (NOW - timedelta(days=60)).date()
    site = Site(1, "Shop", ZONE, created=created, visits_per_day=0, ecommerce=True, goals=(GOAL,))
    with FakeMatomo(World((site,), now=NOW)) as matomo:
        yield Place(matomo, config={"goals": {"Signed Up": 1}})


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    opened = DuckDBWarehouse(tmp_path / "m.duckdb", "matomo_shop")
    yield opened
    opened.close()


def kinds(place: Place) -> Counter[str]:
    return Counter(hit.kind for hit in place.matomo.hits)


@pytest.mark.parametrize("taken", [True, False])
def test_each_kind_of_hit_is_settled(place: Place, warehouse: DuckDBWarehouse, *, taken: bool) -> None:
    """What the visits log shows is sent once; a cart and a ping may be sent again, since that changes nothing."""
    calls = [
        call(number, visitor=number, ago=600 + 9 * DAY * number, **more)
        for number, more in enumerate(OF_EACH_KIND.values())
    ]
    place.matomo.faults.add(Fault(method=TRACKER, reset=True, taken=taken, times=1))
    assert place.deliver(calls, warehouse).tally.sent == len(calls)
    again = 2 if taken else 1
    assert kinds(place) == {
        "action": 1,
        "event": 2,  # that of the conversion is one too
        "search": 1,
        "goal": 1,
        "ecommerceOrder": 1,
        "ecommerceAbandonedCart": again,
        "ping": again,
    }


def test_a_goal_is_told_from_others_of_its_visitor_by_its_second(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Only those that Matomo has are left out, also where the site is ahead of UTC and the day has just begun there."""
    # 22:59:58 to 23:00:03 in UTC, around midnight in Paris.
    seconds = (NOW - NOW.replace(day=19, hour=22, minute=59, second=58)).total_seconds()
    calls = [call(number, ago=seconds, event="Signed Up") for number in range(6)]
    place.config["hits_per_call"] = 4
    place.matomo.faults.add(Fault(method=TRACKER, reset=True, taken=True, times=1))
    assert place.deliver(calls, warehouse).verdict is Verdict.COMPLETE
    goals = [hit.at for hit in place.matomo.hits if hit.kind == "goal"]
    assert len(set(goals)) == len(goals) == 6


def test_many_visitors_are_asked_for_by_few_calls(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Fifty a call; and none where nothing is uncertain."""
    calls = [call(number, visitor=number) for number in range(200)]
    place.matomo.faults.add(Fault(method=TRACKER, reset=True, taken=True, times=1))
    result = place.deliver(calls, warehouse)
    assert result.tally.sent == 200
    asked = [each for each in place.matomo.calls if each.method == "Live.getLastVisitsDetails"]
    assert len(asked) == 4 * 2  # a page that is not full is looked behind
    assert all(each.params["date"] == "2026-11-19,2026-11-21" for each in asked)
    assert result.calls == 1 + 1 + len(asked)  # the sites, for the time zone


def test_a_visit_that_is_too_long_for_the_visits_log_stays_uncertain(place: Place, warehouse: DuckDBWarehouse) -> None:
    """Of its hits those that are shown are known, the others are not sent again."""
    place.config |= {"hits_per_call": 1_000}
    calls: list[dict[str, Any]] = [call(number, ago=3_000) for number in range(520)]
    place.matomo.faults.add(Fault(method=TRACKER, reset=True, taken=True, times=1))
    result = place.deliver(calls, warehouse)
    assert (result.tally.sent, result.tally.uncertain) == (500, 20)
    assert "more actions than Matomo's visits log shows" in result.errors[1]
    assert set(place.counts().values()) == {1}
