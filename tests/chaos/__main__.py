"""The chaos tests at full size: ``make chaos``, or ``python -m tests.chaos --seed 17``."""

from __future__ import annotations

import argparse
import functools
import os
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from tests.chaos import parts
from tests.chaos.faults import Kind
from tests.chaos.figures import Figures
from tests.chaos.series import compared, refused_token, series
from tests.support import pubsub

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.kills import Undisturbed

SHARES = (0.2, 0.6)
# Kills of runs that write to a DuckDB file, in one part and in several, and to the emulator, 200 together; of the
# function, while it has messages; and runs that Matomo fails, in one series.
KILLS, LARGE_KILLS, BIGQUERY_KILLS, FUNCTION_KILLS, RUNS = 160, 15, 35, 12, 2
# The share of kills that the emulator gets in place of the program.
RESTARTS = 0.3
# Kills of one task, so that several are done side by side. The emulator takes a minute for one.
_KILLS_AT_ONCE, _BIGQUERY_KILLS_AT_ONCE = 20, 7
# Series that are done side by side: with their waits for Matomo most of their time is spent waiting.
_SERIES_AT_ONCE = 12
# Seconds after which no task is begun any more.
_LIMIT = 25 * 60


def main() -> int:
    """Do all of it, print the figures, and return 1 where anything did not hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="", help="what all chances begin with; without it, another one each time")
    parser.add_argument("--scale", type=float, default=1.0, help="how much of the full size, such as 0.1")
    parser.add_argument("--at-once", type=int, default=(os.cpu_count() or 1) + 1, help="tasks with kills side by side")
    parser.add_argument("--only", default="", help="parts whose name has this")
    options = parser.parse_args()
    seed = options.seed or str(time.time_ns() % 1_000_000)
    print(f"seed {seed}: repeat by make chaos SEED={seed}", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="matomo-fn-chaos-") as name, pubsub.started() as server:
        tasks = [task for task in _tasks(Path(name), server, seed, options.scale) if options.only in task[0]]
        found = _done(tasks, Path(name), options.at_once, started)
    seconds = time.monotonic() - started
    _print(found, seconds, seed)
    return 1 if any(figures.problems for figures in found) else 0


def _tasks(
    folder: Path, server: pubsub.Server, seed: str, scale: float
) -> Iterator[tuple[str, Callable[[Path], Figures]]]:
    """Yield the tasks by name; those that take longest come first."""

    def some(number: int) -> int:
        return max(1, round(number * scale))

    for number, kills in enumerate(_cut(some(BIGQUERY_KILLS), _BIGQUERY_KILLS_AT_ONCE), 1):
        yield (
            "kills, BigQuery emulator",
            functools.partial(_bigquery_kills, kills=kills, seed=f"{seed}/bigquery/{number}"),
        )
    yield (
        "kills, DuckDB, many rows",
        lambda place: parts.kills_on_duckdb(
            place, parts.LARGE_WORLD, parts.LARGE_CONFIG, some(LARGE_KILLS), f"{seed}/large"
        ),
    )
    for number, kills in enumerate(_cut(some(KILLS), _KILLS_AT_ONCE), 1):
        yield "kills, DuckDB", functools.partial(_kills, kills=kills, seed=f"{seed}/duckdb/{number}")
    for number in (1, 2):
        yield (
            "messages",
            functools.partial(_messages, server=server, kills=some(FUNCTION_KILLS // 2), seed=f"{seed}/{number}"),
        )
    reference = _Reference(folder)
    for share in SHARES:
        yield "all together", functools.partial(_series, reference, tuple(Kind), share, RUNS * 2, f"{seed}/all")
    for kind in Kind:
        for share in SHARES:
            yield str(kind), functools.partial(_series, reference, (kind,), share, RUNS, f"{seed}/{kind}")
    yield "slow", functools.partial(_slow, f"{seed}/slow")
    for number in range(some(6)):
        yield "refused token", functools.partial(_refused, reference, f"{seed}/{number}")


class _Reference:
    """The undisturbed run that all series have in common; made when the first one needs it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "reference"
        self._lock = threading.Lock()
        self._made: tuple[Undisturbed, frozenset[str]] | None = None

    def get(self) -> tuple[Undisturbed, frozenset[str]]:
        """What it left, and which fields of it are kept as they are."""
        with self._lock:
            if self._made is None:
                with parts.ready(self._folder, parts.FULL_WORLD, parts.CONFIG) as at:
                    at.place.find_raw()
                    self._made = at.expected, at.place.kept_raw
            return self._made


def _kills(folder: Path, kills: int, seed: str) -> Figures:
    return parts.kills_on_duckdb(folder, parts.FULL_WORLD, parts.CONFIG, kills, seed)


def _bigquery_kills(folder: Path, kills: int, seed: str) -> Figures:
    return parts.kills_on_bigquery(folder, parts.WORLD, parts.EMULATOR_CONFIG, kills, seed, RESTARTS)


def _cut(number: int, most: int) -> Iterator[int]:
    """Yield parts of a number, each of ``most`` but for the last one."""
    for done in range(0, number, most):
        yield min(most, number - done)


def _messages(folder: Path, server: pubsub.Server, kills: int, seed: str) -> Figures:
    project = pubsub.PubSub(server, server.new_project())
    return parts.messages(folder, parts.FULL_WORLD, parts.CONFIG, project, kills=kills, most=40, seed=seed)


def _series(
    reference: _Reference, kinds: tuple[Kind, ...], share: float, runs: int, seed: str, folder: Path
) -> Figures:
    expected, raw = reference.get()
    with parts.ready(folder, parts.FULL_WORLD, parts.CONFIG, expected=expected) as at:
        at.place.kept_raw = raw
        figures = series(at.place, at.matomo, expected, kinds, share=share, seed=f"{seed}/{share}", runs=runs)
        return compared(figures, at.place, expected)


def _slow(seed: str, folder: Path) -> Figures:
    """Make runs that may call less often than they would."""
    with parts.ready(folder / "undisturbed", parts.WORLD, parts.SMALL_CONFIG) as at:
        expected = at.expected
    with parts.ready(folder, parts.WORLD, parts.SMALL_CONFIG | parts.SLOW, expected=expected) as at:
        figures = series(at.place, at.matomo, expected, (Kind.ERROR_503,), share=0.2, seed=seed, runs=RUNS)
        figures.part = f"{parts.SLOW['requests_per_minute']} calls a minute"
        return compared(figures, at.place, expected)


def _refused(reference: _Reference, seed: str, folder: Path) -> Figures:
    expected, _ = reference.get()
    with parts.ready(folder, parts.FULL_WORLD, parts.CONFIG, expected=expected) as at:
        return compared(refused_token(at.place, at.matomo, expected, Random(seed), at.place.sync), at.place, expected)


def _done(
    tasks: list[tuple[str, Callable[[Path], Figures]]], folder: Path, at_once: int, started: float
) -> list[Figures]:
    def do(number: int, name: str, task: Callable[[Path], Figures]) -> Figures:
        figures = Figures(name)
        if time.monotonic() - started > _LIMIT:
            figures.problems.append(f"{name}: there was no time for it")
            return figures
        try:
            place = folder / f"{number}"
            place.mkdir()
            return task(place)
        except Exception:  # noqa: BLE001 - the other tasks go on, and this one's end is told
            figures.problems.append(f"{name}: {traceback.format_exc()}")
            return figures.end()

    with ThreadPoolExecutor(at_once) as threads, ThreadPoolExecutor(_SERIES_AT_ONCE) as waiting:
        futures = [
            (threads if task[0].startswith(("kills", "messages")) else waiting).submit(do, number, *task)
            for number, task in enumerate(tasks)
        ]
        found = []
        for future in as_completed(futures):
            figures = future.result()
            found.append(figures)
            state = f"{len(figures.problems)} PROBLEMS" if figures.problems else "holds"
            done = f"{len(found)}/{len(tasks)}"
            print(f"{time.monotonic() - started:6.0f} s {done:>7}  {figures.part}: {state}", flush=True)
            for problem in figures.problems:
                print(f"    {problem[:3000]}", file=sys.stderr, flush=True)
        return found


def _print(found: list[Figures], seconds: float, seed: str) -> None:
    """Print the figures of each part, and of all."""
    together: dict[str, Figures] = {}
    for figures in found:
        together.setdefault(figures.part, Figures(figures.part)).add(figures)
        together[figures.part].seconds += figures.seconds
    kinds = {str(kind) for kind in Kind}
    every: Counter[str] = Counter()
    print("\n| part | figures | seconds | held |\n| --- | --- | ---: | --- |")
    for part, figures in together.items():
        every.update(figures.counts)
        shown = ", ".join(f"{what}: {count:,}" for what, count in figures.counts.items() if what not in kinds)
        faults = sum(count for what, count in figures.counts.items() if what in kinds)
        shown += f", faults: {faults:,}" if faults else ""
        held = "no" if figures.problems else "yes"
        print(f"| {part} | {shown} | {figures.seconds:,.0f} | {held} |")
    print("\n| in all | |\n| --- | ---: |")
    for what, count in sorted(every.items()):
        print(f"| {what} | {count:,} |")
    print(f"| problems | {sum(len(figures.problems) for figures in found):,} |")
    print(f"\nseed {seed}, {seconds:,.0f} s")


if __name__ == "__main__":
    sys.exit(main())
