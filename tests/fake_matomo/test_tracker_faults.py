"""Faults of the tracker, before and after it stores the hits."""

from collections.abc import Iterator
from http.client import BadStatusLine, HTTPException
from time import monotonic
from typing import Any

import pytest

from fake_matomo import TRACKER, FakeMatomo, Fault, database_down, maintenance, rate_limited
from fake_matomo.faults import HTML
from tests.fake_matomo.client import fetch_raw, small_world
from tests.fake_matomo.sending import hit, post


@pytest.fixture
def shop() -> Iterator[FakeMatomo]:
    """Run a shop without modelled traffic."""
    with FakeMatomo(small_world(visits_per_day=0)) as matomo:
        yield matomo


def outcome(matomo: FakeMatomo, *hits: str) -> int | str:
    """Send hits in bulk and return the status, or what became of the connection."""
    try:
        return post(matomo, list(hits or (hit(),))).status
    except (ConnectionError, HTTPException) as error:
        return type(error).__name__


@pytest.mark.parametrize("taken", [False, True])
@pytest.mark.parametrize(
    "effect", [{"status": 500}, {"status": 503}, {"status": 502, "content_type": HTML}, {"reset": True}]
)
def test_a_call_fails_before_or_after_its_hits_are_stored(
    shop: FakeMatomo, effect: dict[str, Any], *, taken: bool
) -> None:
    """The answer is the same."""
    shop.faults.add(Fault(method=TRACKER, times=1, taken=taken, **effect))
    assert outcome(shop) == effect.get("status", "ConnectionResetError")
    assert len(shop.hits) == taken
    assert outcome(shop) == 200


def test_a_share_of_the_calls_fails_by_the_seed(shop: FakeMatomo) -> None:
    """About as many as the share says, the same with the same seed, and others with another one."""

    def failed(seed: int) -> list[int]:
        shop.faults.clear()
        shop.faults.add(Fault(method=TRACKER, share=0.2, seed=seed, status=503))
        return [at for at in range(200) if outcome(shop) == 503]

    first = failed(1)
    assert 25 <= len(first) <= 55
    assert failed(1) == first
    other = failed(2)
    assert other != first
    assert len(shop.hits) == 600 - 2 * len(first) - len(other)


def test_shares_of_several_faults_add_up(shop: FakeMatomo) -> None:
    """A call that the first fault spares may meet the second."""
    shop.faults.add(Fault(method=TRACKER, share=0.3, seed=1, status=500))
    shop.faults.add(Fault(method=TRACKER, share=0.3, seed=2, status=502, taken=True))
    outcomes = [outcome(shop) for _ in range(100)]
    assert {500, 502, 200} == set(outcomes)
    assert len(shop.hits) == 100 - outcomes.count(500)


def test_rate_limits_have_their_header(shop: FakeMatomo) -> None:
    """429 with Retry-After."""
    shop.faults.add(rate_limited(Fault(method=TRACKER, times=1), retry_after="7"))
    assert outcome(shop) == 429
    assert shop.hits == []


def test_a_database_that_is_down(shop: FakeMatomo) -> None:
    """400 for a single hit (down_database_unreachable_tracker), a 500 for a bulk request, and nothing is stored."""
    shop.faults.add(database_down(Fault(method=TRACKER)))
    answer = post(shop, [hit()])
    assert (answer.status, answer.body) == (500, '{"status":"error","tracked":0,"invalid":0}')
    assert shop.hits == []


def test_faults_of_the_api_are_not_the_trackers(shop: FakeMatomo) -> None:
    """The tracker goes on in maintenance mode (down_maintenance_mode_tracker); the other way round it is the same."""
    shop.faults.add(maintenance())
    assert outcome(shop) == 200
    shop.faults.clear()
    shop.faults.add(Fault(method=TRACKER, status=503))
    assert fetch_raw(shop, "API.getMatomoVersion").status == 200


def test_faults_can_be_of_a_site_or_of_bulk_requests(shop: FakeMatomo) -> None:
    """Of a site if one of the hits is of it."""
    shop.faults.add(Fault(method=TRACKER, site=2, status=500))
    assert outcome(shop) == 200
    assert outcome(shop, hit(), hit(idsite=2)) == 500
    shop.faults.clear()
    shop.faults.add(Fault(method=TRACKER, in_bulk=False, status=500))
    assert outcome(shop) == 200


def test_a_time_out_after_the_hits_were_stored(shop: FakeMatomo) -> None:
    """The answer never comes: the hits are there while the client waits, and it learns of nothing."""
    shop.faults.add(Fault(method=TRACKER, delay=0.2, reset=True, taken=True))
    begun = monotonic()
    assert outcome(shop) in ("ConnectionResetError", BadStatusLine.__name__)
    assert monotonic() - begun >= 0.2
    assert len(shop.hits) == 1


def test_a_slow_tracker_answers_all_the_same(shop: FakeMatomo) -> None:
    """A delay without any other effect."""
    shop.faults.add(Fault(method=TRACKER, delay=0.05))
    assert outcome(shop) == 200
    assert len(shop.hits) == 1


def test_an_answer_can_be_cut_off(shop: FakeMatomo) -> None:
    """The hits are stored, the count of them does not arrive."""
    shop.faults.add(Fault(method=TRACKER, cut=10))
    assert outcome(shop) == "IncompleteRead"
    assert len(shop.hits) == 1
