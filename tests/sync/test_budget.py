"""The budget that the runs of a connector share, at every moment of simulated time: some die, statements fail."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from matomo_fn.errors import BudgetTaken, Stopped, WarehouseError
from matomo_fn.matomo.rate_limit import RateLimit, Share
from matomo_fn.sync import budget as module
from matomo_fn.sync.budget import LOOK_AGAIN, LOOK_EVERY, Budget, Claimant
from matomo_fn.sync.leases import HOLD, LEASE
from tests.support.simulation import LeaseStore, SimulatedLeases, Simulation
from tests.support.warehouses import Killed
from tests.sync.test_overlap import quiet

if TYPE_CHECKING:
    from collections.abc import Iterable

# `INTERLEAVINGS=10000 pytest tests/sync/test_budget.py --timeout=0` looks further than every run of the tests has to.
INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "90"))
STARTED = datetime(2026, 11, 22, tzinfo=UTC)
names = count(1)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of Matomo, as the server sees it."""

    start: float
    end: float
    live: bool


@dataclass(frozen=True)
class Sync:
    """One run: when it begins, its calls, how long each takes, and before which of its steps it is killed.

    Attributes:
        most_slots: of a shard.
    """

    begins: float
    calls: int
    seconds: float = 1.0
    live: float = 0.3
    most_slots: int | None = None
    dies_at: int | None = None


@dataclass
class World:
    """A Matomo, a table of leases, and the runs of a connector."""

    limits: Share
    seed: int
    is_shared: bool = True
    slow: float = 0.0
    calls: list[Call] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)
    waits_of: dict[int, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.time = Simulation(self.seed)
        self.store = LeaseStore(self.time, is_shared=self.is_shared)

    def run(self, syncs: Iterable[Sync]) -> None:
        """Let all runs come to their end; one without a slot is begun again, as Pub/Sub would."""
        with quiet():
            for number, sync in enumerate(syncs):
                process = Process(self, sync, number)
                self.time.start(process.main, self.time.now + sync.begins)
            self.time.run()

    def check(self) -> None:
        """Look at every moment."""
        moments = sorted([(call.start, 1) for call in self.calls] + [(call.end, -1) for call in self.calls])
        out = 0
        for _, change in moments:
            out += change
            assert out <= self.limits.concurrency
        for kind, most in ((self.calls, self.limits.per_minute), (self.live, self.limits.live_per_minute)):
            starts = sorted(call.start for call in kind)
            for first, later in zip(starts, starts[most:], strict=False):
                assert later - first >= 60 - 1e-6

    @property
    def live(self) -> list[Call]:
        """The calls of the visits log."""
        return [call for call in self.calls if call.live]


class Process:
    """A run in a process of its own, which the clock or a kill ends."""

    def __init__(self, world: World, sync: Sync, number: int) -> None:
        self.world, self.sync, self.number = world, sync, number
        self.steps = count(1)
        self.is_dead = self.is_over = False
        self.keeps = False
        self.out: list[tuple[float, float, bool]] = []
        self.name = ""

    def main(self) -> None:
        """Sync, again and again until there was a slot."""
        while True:
            try:
                self.once()
            except BudgetTaken as error:
                self.world.refused.append(str(error))
                self.sleep(self.world.time.chance.uniform(10, 60))
            except WarehouseError:
                self.sleep(self.world.time.chance.uniform(10, 60))
            else:
                return

    def once(self) -> None:
        """Hold slots, call Matomo, and give them back."""
        time = self.world.time
        self.name = f"run{next(names)}"
        self.is_over = False
        limit = RateLimit(clock=time.clock)
        claimant = Claimant(self.name, STARTED, self.sync.most_slots)
        leases = SimulatedLeases(self.world.store, self.sleep, self.world.slow)
        budget = Budget(leases, limit, self.world.limits, claimant, self.pause, time.chance.random)
        began = time.now
        try:
            budget.acquire()
            self.keeps = True
            time.start(lambda: self.keeper(budget))
            self.call(limit, began)
        finally:
            self.is_over = True
            if not self.is_dead:
                while self.keeps:
                    self.sleep(0.5)
                budget.release()

    def call(self, limit: RateLimit, began: float) -> None:
        """Make the calls, as many at once as the limit allows."""
        time, left = self.world.time, self.sync.calls
        while left or self.out:
            for call in [call for call in self.out if call[1] <= time.now]:
                self.world.calls.append(Call(call[0], time.now, call[2]))
                self.out.remove(call)
                limit.done()
            live = time.chance.random() < self.sync.live
            limit.prepare(live)
            if left and limit.out < limit.concurrency and limit.take(live):
                if left == self.sync.calls:
                    self.world.waited.append(time.now - began)
                    self.world.waits_of[self.number] = time.now - began
                left -= 1
                self.out.append((time.now, time.now + self.sync.seconds * time.chance.uniform(0.1, 1), live))
                continue
            until = [end - time.now for _, end, _ in self.out]
            if left and (limit.out < limit.concurrency or not self.out):
                until.append(limit.delay(live))
            if until:
                self.sleep(max(0.001, min(until)))
        self.world.finished.append(self.number)

    def keeper(self, budget: Budget) -> None:
        """Look after the lease, as a thread of the run does."""
        try:
            seconds = LOOK_EVERY
            while self.pause(seconds):
                try:
                    seconds = budget.look()
                except (WarehouseError, BudgetTaken, Stopped):
                    seconds = LOOK_AGAIN
        finally:
            self.keeps = False

    def pause(self, seconds: float) -> bool:
        """Sleep until the run is over."""
        end = self.world.time.now + seconds
        while not self.is_over and self.world.time.now < end:
            self.sleep(min(2.0, end - self.world.time.now))
        return not self.is_over

    def sleep(self, seconds: float) -> None:
        """Let time pass, or die; the calls that are out end with the process."""
        if self.is_dead:
            raise Killed
        if self.sync.dies_at is not None and next(self.steps) >= self.sync.dies_at:
            self.is_dead = True
            module._RUNNING.discard(self.name)
            self.world.calls += [Call(start, self.world.time.now, live) for start, _, live in self.out]
            raise Killed
        self.world.time.sleep(seconds)
        if self.is_dead:
            raise Killed


limits = st.builds(
    lambda concurrency, rate, live: Share(concurrency, rate, min(rate, live)),
    st.integers(1, 6),
    st.integers(1, 40),
    st.integers(1, 20),
)
syncs = st.builds(
    Sync,
    begins=st.one_of(st.just(0.0), st.floats(0, 120)),
    calls=st.integers(1, 40),
    seconds=st.sampled_from([0.1, 2.0, 20.0]),
    live=st.sampled_from([0.0, 0.3, 1.0]),
    most_slots=st.sampled_from([None, None, 1, 2]),
    dies_at=st.one_of(st.none(), st.integers(1, 60)),
)


@pytest.mark.long
@settings(max_examples=INTERLEAVINGS, phases=set(Phase) - {Phase.shrink, Phase.explain})
@given(
    limits=limits,
    runs=st.lists(syncs, min_size=2, max_size=5),
    slow=st.sampled_from([0.0, 0.0, 0.03, 0.1]),
    seed=st.integers(0, 2**32),
)
def test_runs_that_share_a_budget_keep_it_at_every_moment(
    limits: Share, runs: list[Sync], slow: float, seed: int
) -> None:
    """Runs, shards and kills in any order, statements that are slow or fail: the limits hold, and everybody ends."""
    world = World(limits, seed, slow=slow)
    world.run(runs)
    world.check()
    assert {number for number, run in enumerate(runs) if run.dies_at is None} <= set(world.finished)


@settings(max_examples=INTERLEAVINGS // 6)
@given(limits=limits, runs=st.lists(syncs, min_size=2, max_size=5), seed=st.integers(0, 2**32))
def test_runs_of_one_process_share_a_budget_too(limits: Share, runs: list[Sync], seed: int) -> None:
    """As the requests of a local server, whose file no other process can open: no lease of theirs ends by time."""
    world = World(limits, seed, is_shared=False)
    world.run([replace(run, dies_at=None) for run in runs])
    world.check()
    assert set(world.finished) == set(range(len(runs)))


def in_turn(world: World, syncs: list[Sync]) -> None:
    """Let runs begin one after another, each when the one before has ended or was killed, and so many seconds later."""

    def body() -> None:
        for number, sync in enumerate(syncs):
            world.time.sleep(sync.begins)
            with suppress(Killed):
                Process(world, sync, number).main()

    with quiet():
        world.time.start(body)
        world.time.run()


@settings(max_examples=INTERLEAVINGS // 3)
@given(
    limits=limits,
    runs=st.lists(syncs, min_size=2, max_size=4),
    is_shared=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_runs_one_after_another_keep_the_limits_together(
    limits: Share, runs: list[Sync], seed: int, *, is_shared: bool
) -> None:
    """Also where the one before was killed, in a file of one process as in a warehouse of many."""
    world = World(limits, seed, is_shared=is_shared)
    in_turn(world, runs)
    world.check()
    assert {number for number, run in enumerate(runs) if run.dies_at is None} <= set(world.finished)


WHOLE = Share(4, 300, 170)


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_run_waits_behind_another_one_only_where_the_rate_requires_it(*, is_shared: bool) -> None:
    """Four times 70 calls fit into a minute of 300, and of the fifth run only 20."""
    world = World(WHOLE, 1, is_shared=is_shared)
    in_turn(world, [Sync(0, 70, 0.1, live=0) for _ in range(5)])
    world.check()
    assert max(world.waited) < 15  # statements of a shared warehouse take up to three seconds
    assert sum(call.start < world.calls[0].start + 60 for call in world.calls) == 300
    assert len(world.calls) == 350


@pytest.mark.parametrize("dies_at", [5, 40, 100])
def test_a_killed_run_does_not_make_the_next_one_of_the_same_machine_wait(dies_at: int) -> None:
    """Nobody else can have its file open, so its lease ends with it. Its calls count, and some that it noted ahead."""
    world = World(WHOLE, 1, is_shared=False)
    in_turn(world, [Sync(0, 100, 1.0, live=0, dies_at=dies_at), Sync(0, 100, 1.0, live=0)])
    world.check()
    assert world.finished == [1]
    assert world.waited[-1] < 1


@pytest.mark.parametrize("seed", range(2))
def test_the_slots_of_a_run_that_died_come_back(seed: int) -> None:
    """In a warehouse of many machines when its lease has ended, and a minute behind its last call that could be."""
    world = World(WHOLE, seed)
    world.run([Sync(0, 500, 5.0, dies_at=30), Sync(60, 10)])
    world.check()
    assert world.finished == [1]
    assert LEASE - 60 < world.waits_of[1] < HOLD + 15
    assert not world.refused


@pytest.mark.parametrize("seed", range(2))
def test_an_ordinary_run_does_not_wait_behind_shards(seed: int) -> None:
    """Eight shards want four slots all the time; one is left to runs that are no shards, or given back to them."""
    world = World(WHOLE, seed)
    shards = [Sync(number, 150, 10.0, most_slots=1) for number in range(8)]
    world.run([*shards, Sync(200, 5)])
    world.check()
    assert set(world.finished) == set(range(9))
    assert world.finished[0] == 8 or world.waits_of[8] < LOOK_EVERY + 30


@pytest.mark.parametrize("seed", range(2))
def test_a_run_gives_half_of_its_slots_to_one_that_waits(seed: int) -> None:
    """A daily run does not wait for the end of a backfill, and the backfill has all slots again afterwards."""
    world = World(WHOLE, seed)
    world.run([Sync(0, 1_500, 2.0), Sync(30, 5)])
    world.check()
    assert world.finished == [1, 0]
    assert world.waits_of[1] < LOOK_EVERY + 30


def test_a_run_without_a_slot_says_who_has_them() -> None:
    """One slot is not divided: the other run ends in order after a while, and a later one has it."""
    world = World(Share(1, 300, 170), 3)
    world.run([Sync(0, 200, 2.0), Sync(5, 5)])
    world.check()
    assert world.finished == [0, 1]
    assert all("other runs of the connector hold all the calls" in sentence for sentence in world.refused)
    assert all("(since 2026-11-22 00:00 UTC)" in sentence for sentence in world.refused)
    assert world.refused


def test_a_run_alone_takes_three_statements() -> None:
    """It writes and reads before its first call, and writes behind its last one."""
    world = World(WHOLE, 1)
    world.run([Sync(0, 40, 1.0)])
    assert [row.lease.step for row in world.store.rows] == ["held", "released"]
    assert world.store.reads == 1
