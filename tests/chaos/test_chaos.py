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
def test_each_fault_of_matomo_costs_nothing_but_time(tmp_path: Path) -> None:
    """Some alone at 60 % of the calls, all together at 20 and 60 %, and a token that is refused for a while.

    All are runs of one function side by side, each of a connector of its own: most of their time they wait.
    """
    with parts.ready(tmp_path, parts.WORLD, parts.SMALL_CONFIG) as first:
        first.place.find_raw()
        expected, raw = first.expected, first.place.kept_raw
    # Every sixth kind alone: ``make chaos`` has all, at both shares.
    cases: list[tuple[tuple[Kind, ...], float]] = [((kind,), 0.6) for kind in list(Kind)[::6]]
    cases += [(tuple(Kind), 0.2), (tuple(Kind), 0.6)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(cases) + 1) as threads:
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
        refused = connector("refused")
        futures = [one(at, *case) for at, case in zip(failing, cases, strict=True)]
        sync = functools.partial(function.sync, "refused")
        futures.append(threads.submit(refused_token, refused.place, refused.matomo, expected, Random(SEED), sync))
        done = [future.result() for future in futures]
        found = [compared(figures, at.place, expected) for figures, at in zip(done, [*failing, refused], strict=True)]
    assert [problem for figures in found for problem in figures.problems] == []
    for kinds, _ in cases:
        for kind in kinds if len(kinds) == 1 else ():
            assert sum(figures.counts[str(kind)] for figures in found), f"{kind}: it was not met"
