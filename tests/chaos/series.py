"""Backfills from a Matomo that misbehaves for a share of its calls, and one quiet run behind them."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from tests.chaos.calls import breaches
from tests.chaos.faults import Faults, Kind
from tests.chaos.figures import Figures
from tests.chaos.kills import warehouse_problems
from tests.chaos.place import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.chaos.faulty_matomo import FaultyMatomo
    from tests.chaos.kills import Undisturbed
    from tests.chaos.place import Ended, Place

# What every run begins with. Where a refusal is not tried again, most runs would come to nothing more.
_FIRST_CALLS = frozenset({"API.getMatomoVersion", "SitesManager.getSitesWithAtLeastViewAccess"})
# Seconds of a call while Matomo misbehaves, so that one without an answer costs no more, and behind that.
IMPATIENT, PATIENT = 2, 60


def series(
    place: Place,
    matomo: FaultyMatomo,
    expected: Undisturbed,
    kinds: Sequence[Kind],
    *,
    share: float,
    seed: object,
    runs: int,
    sync: Callable[[], Ended] | None = None,
) -> Figures:
    """Make so many runs while a share of the calls fails, then a quiet one; what it left is for `compared`.

    The first of the runs may fail in its very first calls, the others do not. ``sync`` makes a run; without it, a
    program of its own does. More than six parameters: they are what a series is, by name.
    """
    sync = sync or place.sync
    figures, random = (
        Figures(f"{' + '.join(kinds) if len(kinds) < 3 else 'all together'} at {share:.0%}"),
        Random(f"{seed}"),
    )
    place.configure(timeout_seconds=IMPATIENT)
    days = [(int(row[1]), row[0]) for row in expected.contents["visits_summary"]]
    for number in range(runs):
        faults = Faults(
            tuple(kinds), share, f"{seed}/{number}", _FIRST_CALLS if number else frozenset(), place.kept_raw
        )
        if Kind.UNARCHIVED in kinds:
            faults.met[Kind.UNARCHIVED] += matomo.unarchive(share, random, days)
        run = matomo.begin(faults)
        ended = sync()
        figures.count("runs")
        calls = matomo.calls_of(run)
        figures.count("calls of Matomo", len(calls))
        for kind, times in faults.met.items():
            figures.count(str(kind), times)
        figures.note(f"run {number + 1}", [*ended.problems, *breaches(calls, place.bounds)])
    place.configure(timeout_seconds=PATIENT)
    matomo.unarchive(0, random, days)
    _quiet_run(figures, place, matomo, sync)
    return figures.end()


def refused_token(
    place: Place, matomo: FaultyMatomo, expected: Undisturbed, random: Random, sync: Callable[[], Ended]
) -> Figures:
    """Refuse the token from a random call of a run on, and in the run behind it; then take it, in a quiet run."""
    figures = Figures("refused token")
    first = random.randrange(1, expected.calls + 1)
    for attempt, refused_from in (("run in which it is revoked", first), ("run behind it", 1)):
        run = matomo.begin()
        matomo.refuse_from = refused_from
        ended = sync()
        figures.count("runs")
        refused = sum(call.refused for call in matomo.calls_of(run))
        figures.count("refused calls", refused)
        problems = [] if refused else ["no call was refused"]
        figures.note(attempt, [*problems, *ended.problems, *breaches(matomo.calls_of(run), place.bounds)])
    matomo.refuse_from = 0
    _quiet_run(figures, place, matomo, sync)
    return figures.end()


def compared(figures: Figures, place: Place, expected: Undisturbed) -> Figures:
    """Compare what a quiet run left with what an undisturbed one leaves."""
    figures.count("tables compared", len(expected.contents))
    figures.note("quiet run", warehouse_problems(place, expected.contents))
    return figures.end()


def _quiet_run(figures: Figures, place: Place, matomo: FaultyMatomo, sync: Callable[[], Ended]) -> None:
    run = matomo.begin()
    ended = sync()
    figures.count("runs")
    figures.count("quiet runs")
    figures.count("calls of Matomo", len(matomo.calls_of(run)))
    problems = [] if ended.code == GOOD else [f"the quiet run ended with {ended.code}: {ended.log[-2000:]}"]
    figures.note("quiet run", [*problems, *ended.problems, *breaches(matomo.calls_of(run), place.bounds)])
