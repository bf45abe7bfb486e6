"""Backfills whose runs are killed at random moments, and begun again until they are done."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.calls import breaches, twice
from tests.chaos.figures import Figures
from tests.chaos.place import GOOD, differences

if TYPE_CHECKING:
    from random import Random

    from tests.chaos.faulty_matomo import FaultyMatomo
    from tests.chaos.place import Contents, Ended, Place, Program
    from tests.chaos.warehouse import DurableEmulator

# Of a kill by SIGTERM, which a platform sends first; the others are SIGKILL.
_TERMS = 0.3
# Seconds after which a run is given up as hung: it waits ten minutes for a job of BigQuery.
_HUNG = 650.0


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A run that nobody disturbed: its rows, how long it took, and its calls of Matomo."""

    contents: Contents
    seconds: float
    calls: int


def undisturbed(place: Place, matomo: FaultyMatomo, *, plain: bool = False) -> Undisturbed:
    """Run a backfill from nothing to its end; raise AssertionError where that alone is not right.

    ``plain``: keep what an emulator of BigQuery gives back as it was.
    """
    run, started = matomo.begin(), time.monotonic()
    ended = place.sync()
    seconds = time.monotonic() - started
    assert (ended.code, ended.problems) == (GOOD, []), ended
    found = place.contents(plain=plain)
    assert all(found[name] for name in place.connector.tables), {name: len(rows) for name, rows in found.items()}
    assert [*place.wrong_slices(), *place.left_behind(), *breaches(matomo.calls_of(run), place.bounds)] == []
    return Undisturbed(found, seconds, len(matomo.calls_of(run)))


def quiet_problems(place: Place, matomo: FaultyMatomo, run: int, expected: Contents) -> list[str]:
    """Return what is not as a quiet run leaves it: what is in the warehouse, and the calls of Matomo."""
    return [*warehouse_problems(place, expected), *breaches(matomo.calls_of(run), place.bounds)]


def warehouse_problems(place: Place, expected: Contents) -> list[str]:
    """Return what is not as a quiet run leaves it: tables, slices, and what is left behind."""
    return [*differences(place.contents(), expected), *place.wrong_slices(), *place.left_behind()]


class Kills:
    """Kills runs of one place.

    ``emulator``: the warehouse where it is no DuckDB file. In place of a share of the kills, ``restarts``, it is killed
    and started again while the run goes on.
    """

    def __init__(
        self,
        place: Place,
        matomo: FaultyMatomo,
        expected: Undisturbed,
        random: Random,
        emulator: DurableEmulator | None = None,
        restarts: float = 0.0,
    ) -> None:
        self._place = place
        self._matomo = matomo
        self._expected = expected
        self._random = random
        self._emulator = emulator
        self._restarts = restarts
        # Of a run from nothing; those behind it are shorter or longer, by what is left and by what else is running.
        self._seconds = expected.seconds

    def backfill(self, kills: int) -> Figures:
        """Kill so many runs of a backfill from nothing, let one run quietly, and compare."""
        figures, runs = Figures("kills"), []
        if self._emulator:
            self._emulator.clear()
        self._place.forget()
        figures.count("backfills")
        for _ in range(kills):
            runs.append(self._matomo.begin())
            started = time.monotonic()
            program = self._place.start()
            ended = self._killed(program, runs[-1], figures)
            figures.count("runs")
            figures.note(f"backfill of seed {self._random!r}", ended.problems)
            if ended.code == GOOD:
                self._seconds = time.monotonic() - started
                break
        runs.append(self._matomo.begin())
        ended = self._place.sync()
        figures.count("runs")
        figures.count("quiet runs")
        calls = self._matomo.calls_of(*runs)
        figures.count("slices requested", len({(call.method, *about) for call in calls for about in call.days}))
        figures.count("slices requested twice", twice(calls))
        figures.count("calls of Matomo", len(calls))
        figures.count("tables compared", len(self._expected.contents))
        problems = [*ended.problems]
        if ended.code != GOOD:
            problems.append(f"the quiet run ended with {ended.code}: {ended.log[-2000:]}")
        problems += quiet_problems(self._place, self._matomo, runs[-1], self._expected.contents)
        for run in runs[:-1]:
            problems += breaches(self._matomo.calls_of(run), self._place.bounds)
        figures.note(f"quiet run after {kills} kills", problems)
        return figures.end()

    def _killed(self, program: Program, run: int, figures: Figures) -> Ended:
        """Kill a run at a random moment, unless it has ended before."""
        if self._emulator and self._random.random() < self._restarts:
            self._wait(program, run)
            if program.popen.poll() is None:
                self._emulator.restart()
                figures.count("restarts of the warehouse")
            return program.wait(_HUNG)
        self._wait(program, run)
        if program.popen.poll() is not None:
            figures.count("runs that ended before their kill")
            return program.wait()
        number = signal.SIGTERM if self._random.random() < _TERMS else signal.SIGKILL
        figures.count("kills")
        figures.count(f"kills by {number.name}")
        program.popen.send_signal(number)
        return program.wait(_HUNG)

    def _wait(self, program: Program, run: int) -> None:
        """Wait for a random moment: of the whole time, at one of the calls, or in the time behind the last one."""
        random, usual = self._random, self._expected
        kind = random.choice(("time", "call", "behind the calls"))
        if kind == "time":
            _wait_or_end(program, random.uniform(0.2, self._seconds))
            return
        calls = usual.calls if kind == "behind the calls" else random.randrange(1, usual.calls + 1)
        limit = time.monotonic() + self._seconds * 2
        quiet = time.monotonic()
        seen = 0
        while program.popen.poll() is None and time.monotonic() < limit:
            made = len(self._matomo.calls_of(run))
            if made != seen:
                seen, quiet = made, time.monotonic()
            if made >= calls or (made and kind != "call" and time.monotonic() - quiet > 0.15):
                break
            threading.Event().wait(0.01)
        _wait_or_end(program, random.uniform(0, 0.05 if kind == "call" else max(0.3, self._seconds / 3)))


def _wait_or_end(program: Program, seconds: float) -> None:
    try:
        program.popen.wait(seconds)
    except subprocess.TimeoutExpired:
        return
