"""A case of bad input: what differs from a request that works, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from tests.support.canary import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.shop import Shop

BEFORE, FIRST, SECOND = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
# What is asked for unless a case says otherwise.
REQUEST = {
    "connector": "shop",
    "start_date": str(FIRST),
    "end_date": str(SECOND),
    "tables": ["visits_summary", "visitor_country"],
}
TABLES = "actions_summary, behaviour_event, behaviour_page, countries, landing_page, marketing_campaigns, referrers"

# A slice: table, site, day. Among what was logged: its status.
Piece = tuple[str, str, date]
GOOD = "written"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is wrong.

    First what differs from a request that works: ``config`` (keys; None takes one out) or the whole secret as
    text, the ``token`` secret (None: no file), ``env`` (None: not set), ``request`` (keys) or the whole
    ``body``, ``method``, and ``wrong``, which does it to Matomo, files or the warehouse.

    Then what comes of it: HTTP status, the ``errors`` of the answer, the slices ``written``, and the slices
    ``logged`` as failed or pending. ``<url>``, ``<secrets>``, ``<file>`` and so on stand for what differs by run.
    """

    name: str
    status: int
    errors: tuple[str, ...]
    config: Mapping[str, Any] | str | bytes | None = field(default_factory=dict)
    token: str | bytes | None = CANARY
    env: Mapping[str, str | None] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    method: str = "POST"
    wrong: Callable[[Shop], object] | None = None
    written: tuple[Piece, ...] = ()
    logged: tuple[tuple[str, Piece], ...] = ()


def slices(table: str, *days: date, site: str = "1") -> tuple[Piece, ...]:
    return tuple((table, site, day) for day in days)


def failed(*slices: Piece) -> tuple[tuple[str, Piece], ...]:
    return tuple(("failed", slice_) for slice_ in slices)


SUMMARY_SLICES = slices("visits_summary", FIRST, SECOND)
COUNTRY_SLICES = slices("visitor_country", FIRST, SECOND)
EVERYTHING = SUMMARY_SLICES + COUNTRY_SLICES


def sees(*sites: int) -> Callable[[Shop], None]:
    return lambda place: place.matomo.tokens.add(CANARY, sites=sites)
