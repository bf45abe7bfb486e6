"""The parts of the chaos tests, from a world and its configuration to figures, of any size."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from random import Random
from typing import TYPE_CHECKING, Any

from fake_matomo import Goal, Site, World
from tests.chaos.faulty_matomo import FaultyMatomo
from tests.chaos.figures import Figures
from tests.chaos.kills import Kills, Undisturbed, undisturbed
from tests.chaos.messages import deliver
from tests.chaos.place import Place
from tests.chaos.warehouse import DurableEmulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.support.pubsub import PubSub

_SHOP = Site(1, "Été & “Co”", "Europe/Paris", visits_per_day=5, pages=5, ecommerce=True, goals=(Goal(1, "News", 2.5),))
_DOCS = Site(2, "Docs", "Asia/Kolkata", visits_per_day=4, pages=5)
WORLD = World((_SHOP, _DOCS))
# More sites, and so more calls.
FULL_WORLD = World((_SHOP, _DOCS, *(replace(_DOCS, id=number, name=f"Docs {number}") for number in (3, 4, 5))))
# So many rows that they are written in several parts, since the buffer is as small as it can be.
LARGE_WORLD = World((replace(_SHOP, visits_per_day=50, pages=40), replace(_DOCS, visits_per_day=30, pages=40)))

# A report of one row that counts visits, one that takes ranges, one of several calls, one that does not take ranges,
# pages, whose titles come from visits, and visits.
_CONFIG: dict[str, Any] = {
    "visits": True,
    "trailing_days": 2,
    "backfill_days": 8,
    "concurrency": 3,
    "timeout_seconds": 60,
}
CONFIG = _CONFIG | {
    "reports": ["visits_summary", "visitor_country", "acquisition_referrer", "referrers", "behaviour_page"],
}
# Two weeks, of which one at least is whole.
LARGE_CONFIG = _CONFIG | {
    "reports": ["visits_summary", "visitor_country", "behaviour_page"],
    "segments": {"phones": "deviceType==smartphone"},
    "periods": ["week"],
    "backfill_days": 14,
    "reference_tables": False,
}
SMALL_CONFIG = _CONFIG | {
    "reports": ["visits_summary", "visitor_country", "behaviour_page"],
    "backfill_days": 4,
    "reference_tables": ["sites"],
}
# Each statement costs the emulator of BigQuery a good part of a second, and more with each table.
EMULATOR_CONFIG = _CONFIG | {
    "reports": ["visits_summary", "visitor_country"],
    "backfill_days": 3,
    "reference_tables": False,
}
SMALL_EMULATOR_CONFIG = EMULATOR_CONFIG | {"visits": False, "backfill_days": 2}
# Fewer calls a minute than a backfill of ``SMALL_CONFIG`` makes, so that it has to wait.
SLOW = {"requests_per_minute": 5}
# How many times longer a run with the emulator takes than one with DuckDB, about.
_SLOWER = 3.0


@dataclass(frozen=True, slots=True)
class Ready:
    """A connector whose backfill was run once without a fault."""

    place: Place
    matomo: FaultyMatomo
    expected: Undisturbed


@contextlib.contextmanager
def ready(
    folder: Path,
    world: World,
    config: Mapping[str, Any],
    emulator: str = "",
    *,
    plain: bool = False,
    expected: Undisturbed | None = None,
    name: str = "shop",
) -> Iterator[Ready]:
    """Make a connector ready, with what an undisturbed run leaves unless that is known."""
    with FaultyMatomo(world) as matomo:
        place = Place(folder, matomo.url, config, emulator, name)
        expected = expected or undisturbed(place, matomo, plain=plain)
        yield Ready(place, matomo, expected)


def kills_on_duckdb(folder: Path, world: World, config: Mapping[str, Any], kills: int, seed: object) -> Figures:
    """Kill so many runs, a few a backfill."""
    with ready(folder, world, config) as at:
        return _kills(Figures("kills, DuckDB"), Kills(at.place, at.matomo, at.expected, Random(f"{seed}")), kills, seed)


def kills_on_bigquery(
    folder: Path, world: World, config: Mapping[str, Any], kills: int, seed: object, restarts: float
) -> Figures:
    """Kill so many runs, and the warehouse, for a share of them, in their place; compare with what DuckDB has."""
    with ready(folder / "undisturbed", world, config, plain=True) as at:
        expected = replace(at.expected, seconds=at.expected.seconds * _SLOWER)
    with DurableEmulator(folder) as emulator, ready(folder, world, config, emulator.url, expected=expected) as at:
        driver = Kills(at.place, at.matomo, expected, Random(f"{seed}"), emulator, restarts)
        return _kills(Figures("kills, BigQuery emulator"), driver, kills, seed)


def _kills(figures: Figures, driver: Kills, kills: int, seed: object) -> Figures:
    random = Random(f"{seed}/backfills")
    while (left := kills - figures.counts["kills"] - figures.counts["restarts of the warehouse"]) > 0:
        figures.add(driver.backfill(min(random.randrange(3, 8), left)))
        if figures.problems:
            break
    return figures.end()


def messages(
    folder: Path, world: World, config: Mapping[str, Any], pubsub: PubSub, *, kills: int, most: int, seed: object
) -> Figures:
    """Deliver the messages of a backfill to functions that are killed; parameters: as `deliver` has them."""
    with ready(folder, world, config) as at:
        at.place.forget()
        return deliver(at.place, at.matomo, pubsub, at.expected, Random(f"{seed}"), kills=kills, most=most)
