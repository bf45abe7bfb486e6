"""The `totalEcommerce…` and `totalAbandonedCarts…` fields of a visit are totals of its visitor."""

from collections import Counter, defaultdict
from datetime import timedelta

import pytest

from fake_matomo import FakeMatomo
from tests.fake_matomo.client import DAY, NOW, row, rows, small_world, visits, whole

WEEK = f"{DAY - timedelta(days=6)},{DAY}"
TOTALS = {
    "totalAbandonedCarts",
    "totalAbandonedCartsItems",
    "totalAbandonedCartsRevenue",
    "totalEcommerceConversions",
    "totalEcommerceItems",
    "totalEcommerceRevenue",
}


def test_totals_are_those_of_all_visits_of_the_visitor() -> None:
    """So they add up to more orders than were placed, as those of a real Matomo do."""
    with FakeMatomo(small_world(visits_per_day=60)) as matomo:
        found = visits(matomo, period="range", date=WEEK, filter_limit=-1)
        around = visits(
            matomo, period="range", date=f"{DAY - timedelta(days=20)},{DAY + timedelta(days=8)}", filter_limit=-1
        )
    placed = Counter(
        visit["visitorId"] for visit in around for one in visit["actionDetails"] if one["type"] == "ecommerceOrder"
    )
    own = [sum(1 for one in visit["actionDetails"] if one["type"] == "ecommerceOrder") for visit in found]
    totals = [visit["totalEcommerceConversions"] for visit in found]
    assert sum(totals) > sum(own) > 0
    assert all(
        orders <= total <= placed[visit["visitorId"]] for visit, orders, total in zip(found, own, totals, strict=True)
    )
    by_visitor = defaultdict(set)
    for visit, total in zip(found, totals, strict=True):
        by_visitor[visit["visitorId"]].add(total)
    assert any(len(seen) == 1 and seen != {0} for seen in by_visitor.values())


@pytest.mark.parametrize("days", [1, 200])
def test_an_old_visit_changes_when_its_visitor_orders_again(days: int) -> None:
    """Three fields of the old visit change and no others; the reports of its day stay as they are."""
    day = NOW.date() - timedelta(days=days)
    with FakeMatomo(small_world()) as matomo:
        old = next(visit for visit in matomo.visits(1, day) if not visit.conversions)
        segment = f"visitId=={old.id}"
        (before,) = visits(matomo, period="range", date=f"{day},{day}", segment=segment)
        items, summary = rows(matomo, "Goals.getItemsSku", date=day), row(matomo, "Goals.get", date=day)
        new = matomo.order(1, old)
        (after,) = visits(matomo, period="range", date=f"{day},{day}", segment=segment)
        assert after["totalEcommerceConversions"] == before["totalEcommerceConversions"] + 1
        assert whole(after["totalEcommerceItems"]) > whole(before["totalEcommerceItems"])
        assert {name for name in after if after[name] != before[name]} == {
            "totalEcommerceConversions",
            "totalEcommerceItems",
            "totalEcommerceRevenue",
        }
        assert items == rows(matomo, "Goals.getItemsSku", date=day)
        assert summary == row(matomo, "Goals.get", date=day)
        (placed,) = visits(matomo, period="range", date=f"{NOW.date()},{NOW.date()}", segment=f"visitId=={new.id}")
        assert placed["visitorId"] == after["visitorId"]
        assert placed["visitEcommerceStatus"] == "ordered"
        assert placed["visitorType"].startswith("returning")


def test_a_site_without_a_shop_has_no_totals() -> None:
    """The fields are there, and zero."""
    with FakeMatomo(small_world(ecommerce=False)) as matomo:
        for visit in visits(matomo, period="range", date=WEEK, filter_limit=-1):
            assert visit.keys() >= TOTALS
            assert not any(visit[name] for name in TOTALS)
