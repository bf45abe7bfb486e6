"""Whatever goes wrong on the way, one quiet run behind it leaves the tables of an undisturbed run.

A small part of what ``make chaos`` does, by a fixed seed.
"""

from __future__ import annotations

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

import pytest

from tests.chaos import parts
from tests.chaos.faults import Kind
from tests.chaos.messages import Function
from tests.chaos.series import compared, refused_token, series

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from tests.chaos.figures import Figures
    from tests.support.pubsub import PubSub

SEED = 17


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_backfill_that_is_killed_again_and_again_comes_out_whole(tmp_path: Path) -> None:
    """Programs that are killed at random moments, SIGKILL and SIGTERM, with reports, pages, titles and visits."""
    figures = parts.kills_on_duckdb(tmp_path, parts.WORLD, parts.SMALL_CONFIG, 3, SEED)
    assert figures.problems == []
    assert figures.counts["kills"] == 3
    assert figures.counts["tables compared"] >= 5


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_backfill_comes_out_whole_when_the_warehouse_is_killed_as_well(tmp_path: Path) -> None:
    """The emulator of BigQuery is killed and restarted on the same data while runs write to it."""
    figures = parts.kills_on_bigquery(tmp_path, parts.WORLD, parts.SMALL_EMULATOR_CONFIG, 1, SEED, 1.0)
    assert figures.problems == []
    assert figures.counts["restarts of the warehouse"] >= 1


@pytest.mark.long
@pytest.mark.timeout(400)
def test_each_fault_of_matomo_costs_nothing_but_time(tmp_path: Path) -> None:
    """Each alone at 20 % or 60 % of the calls, all together at both, and a token that is refused for a while.

    All are runs of one function side by side, each of a connector of its own: most of their time they wait.
    """
    with parts.ready(tmp_path, parts.WORLD, parts.SMALL_CONFIG) as first:
        first.place.find_raw()
        expected, raw = first.expected, first.place.kept_raw
    cases: list[tuple[tuple[Kind, ...], float]] = [
        ((kind,), (0.2, 0.6)[number % 2]) for number, kind in enumerate(Kind)
    ]
    cases += [(tuple(Kind), 0.2), (tuple(Kind), 0.6)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(cases) + 2) as threads:
        function = stack.enter_context(Function(first.place, "sync"))

        def connector(name: str, **config: object) -> parts.Ready:
            known = parts.SMALL_CONFIG | config
            at = stack.enter_context(parts.ready(tmp_path, parts.WORLD, known, expected=expected, name=name))
            at.place.kept_raw = raw
            return at

        def one(at: parts.Ready, kinds: tuple[Kind, ...], share: float, runs: int = 1) -> Future[Figures]:
            sync = functools.partial(function.sync, at.place.name)
            return threads.submit(
                series, at.place, at.matomo, expected, kinds, share=share, seed=SEED, runs=runs, sync=sync
            )

        failing = [connector(f"shop-{number}") for number in range(len(cases))]
        slow, refused = connector("slow", **parts.SLOW), connector("refused")
        futures = [one(at, *case) for at, case in zip(failing, cases, strict=True)]
        futures.append(one(slow, (), 0.0, runs=0))  # its quiet run alone has to wait for a minute
        sync = functools.partial(function.sync, "refused")
        futures.append(threads.submit(refused_token, refused.place, refused.matomo, expected, Random(SEED), sync))
        done = [future.result() for future in futures]
        found = [
            compared(figures, at.place, expected) for figures, at in zip(done, [*failing, slow, refused], strict=True)
        ]
        calls = slow.matomo.calls_of(1)
    assert [problem for figures in found for problem in figures.problems] == []
    for kind in Kind:
        assert sum(figures.counts[str(kind)] for figures in found), f"{kind}: it was not met"
    assert len(calls) > parts.SLOW["requests_per_minute"], "it had no need to wait"


@pytest.mark.long
@pytest.mark.timeout(400)
def test_messages_that_come_twice_and_in_any_order_leave_the_same_tables(tmp_path: Path, pubsub: PubSub) -> None:
    """Requests for parts of a backfill, delivered to functions that are killed while they work on them."""
    figures = parts.messages(tmp_path, parts.WORLD, parts.SMALL_CONFIG, pubsub, kills=1, most=4, seed=SEED)
    assert figures.problems == []
    assert figures.counts["deliveries"] > figures.counts["messages"]
    assert figures.counts["kills"] == 1
