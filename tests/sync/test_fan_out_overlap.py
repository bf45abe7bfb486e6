"""Deliveries of one request that overlap, on a warehouse with BigQuery's rule: inserts commit side by side."""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING, Any

from fake_matomo import FakeMatomo
from matomo_fn.config.request import read_request
from matomo_fn.sync.hand_on import FanOut
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.verdict import Verdict
from tests.support.bigquery_rules import RulesWarehouse, Storage, interleave, no_step
from tests.support.local import SPOOL_BYTES, YESTERDAY, ago, local, small_world
from tests.support.warehouses import contents, duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from matomo_fn.config.request import SyncRequest
    from matomo_fn.sync.result import RunResult
    from tests.support.local import Local

# `FAN_OUTS=50 pytest tests/sync/test_fan_out_overlap.py --timeout=0` looks further than every run of the tests has to.
SEEDS = range(int(os.environ.get("FAN_OUTS", "1")))
DAYS = 3 if len(SEEDS) == 1 else 6
DELIVERIES, AT_ONCE = 10, 4
TABLES = ["visits_summary", "visitor_country"]
WINDOW: dict[str, Any] = {"mode": "backfill", "start_date": str(ago(DAYS)), "end_date": str(YESTERDAY)}
REQUEST = {"connector": "shop", **WINDOW}


class Deliveries:
    """Messages that wait, and the runs that take them from several processes at once."""

    def __init__(self, place: Local, seed: int) -> None:
        self._place = place
        self._random = random.Random(seed)  # noqa: S311
        self._numbers = itertools.count(1)
        self.storage = Storage()
        self.waiting = [read_request(REQUEST)] * DELIVERIES
        self.results: list[RunResult] = []

    def publish(self, requests: Sequence[SyncRequest]) -> None:
        """Take shards, each of them twice."""
        self.waiting += [*requests, *requests]

    def process(self, step: Callable[[], None]) -> None:
        """Do what waits, in any order, until nothing does."""
        while self.waiting:
            self.deliver(self.waiting.pop(self._random.randrange(len(self.waiting))), step)

    def deliver(self, request: SyncRequest, step: Callable[[], None]) -> None:
        """Run what one message asks for."""
        connector = self._place.connector
        warehouse = RulesWarehouse(self.storage, connector.dataset_name, step)
        client, deadline = self._place.client()
        fan_out = FanOut(self.publish, 1, 2)
        session = Session(connector, client, warehouse, deadline, SPOOL_BYTES, self._place.now, lambda: 0.0, fan_out)
        run = Run(f"run{next(self._numbers):04}", "message 1", self._place.now())
        try:
            self.results.append(sync(session, request, run))
        finally:
            warehouse.close()


def any_of(programs: int, seed: int) -> Iterator[int]:
    """Which program goes on, without end."""
    chance = random.Random(seed)  # noqa: S311
    while True:
        yield chance.randrange(programs)


def tables(warehouse: RulesWarehouse) -> dict[str, list[Any]]:
    found = contents(warehouse, TABLES)
    assert duplicates(warehouse, TABLES) == []
    return found


def test_ten_deliveries_and_their_shards_in_any_order_leave_the_tables_of_one_run(tmp_path: Path) -> None:
    """Four processes at once, each statement of theirs between any of the others'; nothing fails."""
    with (
        FakeMatomo(small_world()) as matomo,
        local(matomo, tmp_path / "w.duckdb", reports=TABLES, concurrency=1) as place,
    ):
        assert place.sync(**WINDOW).verdict is Verdict.COMPLETE
        expected = place.contents(TABLES)
        for seed in SEEDS:
            deliveries = Deliveries(place, seed)
            first = RulesWarehouse(deliveries.storage, place.connector.dataset_name, no_step)
            first.ensure_dataset()
            interleave([deliveries.process] * AT_ONCE, any_of(AT_ONCE, seed))
            assert {result.verdict for result in deliveries.results} == {Verdict.HANDED_ON, Verdict.COMPLETE}
            assert len(deliveries.results) > DELIVERIES
            assert tables(first) == expected
            first.close()
