"""Deliveries of the same messages that overlap, on a warehouse without locks, with some of them killed."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_matomo import TRACKER, FakeMatomo, Fault
from matomo_fn.errors import WarehouseUnavailable
from matomo_fn.verdict import Verdict
from tests.support.bigquery_rules import RulesWarehouse, Storage, interleave
from tests.support.deliveries import Place, call, small_world
from tests.support.warehouses import Killed
from tests.sync.test_overlap import quiet

if TYPE_CHECKING:
    from collections.abc import Callable

DATASET = "matomo_shop"
# `INTERLEAVINGS=1000 pytest tests/events/test_deliver_overlap.py --timeout=0` looks further than every run has to.
INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "12"))
CALLS = [call(number, visitor=number % 3) for number in range(6)]
IDS = [each["messageId"] for each in CALLS]


def dying(step: Callable[[], None], at: int | None) -> Callable[[], None]:
    """Kill the process at its n-th step; what is dead stays dead."""
    steps = itertools.count(1)

    def taken() -> None:
        step()
        if at is not None and next(steps) >= at:
            raise Killed

    return taken


@settings(max_examples=INTERLEAVINGS, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    choices=st.lists(st.integers(0, 3), max_size=80),
    deaths=st.lists(st.none() | st.integers(1, 16), min_size=2, max_size=4),
    lost=st.integers(0, 3),
    hits_per_call=st.sampled_from([1, 2, 10]),
)
def test_overlapping_deliveries_send_each_hit_once(
    choices: list[int], deaths: list[int | None], lost: int, hits_per_call: int
) -> None:
    """However their statements and calls fall, whoever dies, and whatever answers are lost: never twice, never none."""
    with quiet(), FakeMatomo(small_world()) as matomo:
        storage = Storage()
        place = Place(matomo, config={"hits_per_call": hits_per_call})
        RulesWarehouse(storage, DATASET).ensure_dataset()
        matomo.faults.add(Fault(method=TRACKER, reset=True, taken=True, times=lost, share=0.5, seed=len(choices)))

        def delivery(at: int | None) -> Callable[[Callable[[], None]], None]:
            def program(step: Callable[[], None]) -> None:
                taken = dying(step, at)
                warehouse = RulesWarehouse(storage, DATASET, taken)
                place.deliver(CALLS, warehouse, step=taken, waits=False, batch=4)

            return program

        interleave([delivery(at) for at in deaths], iter(choices))
        most = place.counts()
        assert set(most.values()) <= {1}, most
        last = RulesWarehouse(storage, DATASET)
        results = []
        for _ in range(3):  # the first may end by three answers in a row that are lost
            place.clock.wait(1_000)
            results.append(place.deliver(CALLS, last))
        result = results[-1]
        assert place.counts() == Counter(IDS)
        assert (result.verdict, result.tally.already_sent) == (Verdict.COMPLETE, len(CALLS))
        for visitor in range(3):
            of_visitor = [name for name in place.labels if int(name[1:]) % 3 == visitor]
            assert of_visitor == sorted(of_visitor, key=lambda name: int(name[1:])), place.labels


def test_two_deliveries_that_claim_at_once_both_leave_it() -> None:
    """Each finds the other's claim, and says that it sent nothing: then a later one need not wait."""
    with FakeMatomo(small_world()) as matomo:
        storage = Storage()
        place = Place(matomo)
        RulesWarehouse(storage, DATASET).ensure_dataset()
        place.deliver([], RulesWarehouse(storage, DATASET))

        def program(step: Callable[[], None]) -> None:
            place.deliver(CALLS, RulesWarehouse(storage, DATASET, step), step=step, waits=False)

        interleave([program, program], itertools.cycle([0, 1]))
        assert place.labels == []
        assert place.deliver(CALLS, RulesWarehouse(storage, DATASET)).tally.sent == len(CALLS)


def test_a_warehouse_that_fails_behind_the_calls_leaves_nothing_sent_twice() -> None:
    """What was sent and could not be logged is found in Matomo by the next delivery."""
    with FakeMatomo(small_world()) as matomo:
        storage = Storage()
        place = Place(matomo)
        warehouse = RulesWarehouse(storage, DATASET)
        warehouse.ensure_dataset()

        def fail() -> None:
            if matomo.hits:
                raise WarehouseUnavailable("BigQuery cannot log now")

        result = place.deliver(CALLS, RulesWarehouse(storage, DATASET, fail))
        assert (result.http_status, result.tally.uncertain) == (503, 0)
        assert result.tally.remaining == len(CALLS)
        place.clock.wait(1_000)
        assert place.deliver(CALLS, warehouse).tally.sent == len(CALLS)
        assert place.counts() == Counter(IDS)
