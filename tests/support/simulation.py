"""Programs that run side by side in a time of their own: one goes on at a time, and time passes where all sleep."""

from __future__ import annotations

import random
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from matomo_fn.errors import WarehouseUnavailable
from matomo_fn.sync.leases import LEASE, Lease
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Seconds of simulated time after which programs that have not ended never will.
FOREVER = 50_000.0


@dataclass(slots=True)
class _Program:
    body: Callable[[], None]
    wake: float
    turn: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


class Simulation:
    """A world with a clock.

    Attributes:
        now: the seconds that have passed.
        chance: decides who goes on first, and how long things take.
    """

    def __init__(self, seed: int) -> None:
        """Begin at a time at which a minute has passed."""
        self.now = 1_000.0
        self.chance = random.Random(seed)  # noqa: S311 - an example is found again by its seed
        self._programs: list[_Program] = []
        self._back = threading.Semaphore(0)
        self._present = threading.local()
        self._errors: list[BaseException] = []

    def clock(self) -> float:
        """Tell the time."""
        return self.now

    def start(self, body: Callable[[], None], at: float | None = None) -> None:
        """Let a program begin at a time; it may be called by another one."""
        program = _Program(body, self.now if at is None else at)
        self._programs.append(program)
        threading.Thread(target=self._run, args=(program,), daemon=True).start()

    def sleep(self, seconds: float) -> None:
        """Let time pass, for the program that calls it."""
        program: _Program = self._present.program
        program.wake = self.now + max(0.0, seconds)
        self._back.release()
        program.turn.acquire()

    def run(self) -> None:
        """Run all programs to their end, and raise the first error of one."""
        while self._programs:
            soonest = min(program.wake for program in self._programs)
            assert soonest < FOREVER, "some programs do not end"
            self.now = max(self.now, soonest)
            self.chance.choice([each for each in self._programs if each.wake == soonest]).turn.release()
            self._back.acquire()
            if self._errors:
                raise self._errors[0]

    def _run(self, program: _Program) -> None:
        program.turn.acquire()
        self._present.program = program
        try:
            program.body()
        except Killed:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the thread of the test
            self._errors.append(error)
        finally:
            self._programs.remove(program)
            self._back.release()


@dataclass(frozen=True, slots=True)
class Row:
    """A lease as the table has it, by the clock of the machine that ran the statement."""

    lease: Lease
    written: float


class LeaseStore:
    """The rows of a table whose statements follow BigQuery's rules, all of which only insert or read.

    What was committed before a statement began it sees, and nothing else. Its clock may be half a second off.
    """

    def __init__(self, world: Simulation, *, is_shared: bool) -> None:
        """Begin empty."""
        self.world = world
        self.is_shared = is_shared
        self.rows: list[Row] = []
        self.reads = 0

    def machine(self) -> float:
        """The time by the clock of some machine of the warehouse."""
        return self.world.now + (self.world.chance.uniform(-0.5, 0.5) if self.is_shared else 0.0)


class SimulatedLeases:
    """The leases as one run sees them.

    Attributes:
        step: passes time within a statement, and ends the run where it is killed.
        slow: the share of statements that take minutes, or fail.
    """

    def __init__(self, store: LeaseStore, step: Callable[[float], None], slow: float = 0.0) -> None:
        """Connect."""
        self.is_shared = store.is_shared
        self.store = store
        self.step = step
        self.slow = slow

    def ensure(self) -> None:
        """There is nothing to make ready."""

    def append(self, lease: Lease) -> None:
        """Insert a row: it is there from its commit on, whatever becomes of the run that waits for it."""
        self._take()
        row = Row(lease, self.store.machine())
        try:
            self._take()
        except Killed:
            if self.store.world.chance.random() < 0.5:
                self.store.rows.append(row)
            raise
        fails = self.store.world.chance.random() < self.slow
        if not fails or self.store.world.chance.random() < 0.5:
            self.store.rows.append(row)
        self._take()
        if fails:
            raise WarehouseUnavailable("BigQuery did not answer in time")

    def read(self) -> Sequence[Lease]:
        """Read what was committed when the statement began."""
        self._take()
        self.store.reads += 1
        now = self.store.machine()
        rows = [
            replace(row.lease, age=now - row.written, left=row.written + LEASE - now)
            for row in self.store.rows
            if now - row.written < 600
        ]
        self._take()
        return rows

    def _take(self) -> None:
        chance = self.store.world.chance
        if not self.is_shared:
            self.step(0.001)
        elif chance.random() < self.slow:
            self.step(chance.uniform(5, 120))
        else:
            self.step(chance.uniform(0, 1.5))
