"""The leases of a connector: what each run has written of its calls to Matomo, and what follows from it for the others.

Times are ages by the warehouse's clock: what a run reads is a little older than the row says, so nothing is ever taken
for older than it is.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import chain
from operator import add
from typing import Any, Protocol

from matomo_fn.catalogue import SYNC_LEASES
from matomo_fn.config.connector import Connector
from matomo_fn.matomo.rate_limit import MINUTE, Share, Used
from matomo_fn.warehouse import leases_sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import ensure_table

# Seconds after which a row holds no longer, and after which its run starts no call any more unless it has written
# another one. Half a minute is between them, for the calls that are out to end.
LEASE, HOLD = 90, 60
# Seconds that two clocks of the warehouse's machines may be apart.
SKEW = 1.0
# Seconds of the table that count: a lease, and the minute of calls behind its end.
_READ = 600


class Step(StrEnum):
    """What a run writes."""

    HELD = "held"
    WAITING = "waiting"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Lease:
    """A row: what a run holds from here on.

    ``used``: when the run called slots in the last minute, in seconds ago; in a shared warehouse, those that it does
    not hold. ``calls_ahead``: how many calls of each slot it may make before its next row; None for any number. ``age``
    and ``left``: seconds since the row was written and until it expires, when it was read.
    """

    run_id: str
    number: int
    step: Step
    limits: Share
    is_shard: bool
    started_at: datetime
    slots: tuple[int, ...] = ()
    used: Mapping[int, Used] = field(default_factory=dict)
    calls_ahead: int | None = None
    age: float = 0.0
    left: float = float(LEASE)


class Leases(Protocol):
    """Where leases are written and read; ``is_shared``: other processes may have it open at the same time."""

    is_shared: bool

    def ensure(self) -> None:
        """Make the place ready."""

    def append(self, lease: Lease) -> None:
        """Write a row."""

    def read(self) -> Sequence[Lease]:
        """Return the rows that still count, in any order."""


class LeaseTable:
    """The leases of a connector in its warehouse."""

    def __init__(self, warehouse: Warehouse, connector: Connector) -> None:
        self.is_shared = warehouse.is_shared
        self._warehouse = warehouse
        self._connector = connector
        self._is_ready = False

    def ensure(self) -> None:
        """Make the table ready, once."""
        if not self._is_ready:
            self._warehouse.ensure_dataset()
            ensure_table(self._warehouse, SYNC_LEASES, "day")
            self._is_ready = True

    def append(self, lease: Lease) -> None:
        """Write a row."""
        limits = lease.limits
        row: dict[str, leases_sql.Value] = {
            "connector": self._connector.name,
            "run_id": lease.run_id,
            "step": lease.number,
            "status": str(lease.step),
            "slots": json.dumps(lease.slots),
            "used": json.dumps(
                {slot: [_buckets(used.calls), _buckets(used.live)] for slot, used in lease.used.items()}
            ),
            "calls_ahead": lease.calls_ahead,
            "limits": json.dumps([limits.concurrency, limits.per_minute, limits.live_per_minute]),
            "is_shard": lease.is_shard,
            "started_at": lease.started_at,
        }
        statement = leases_sql.insert_lease(self._warehouse.dataset, row, LEASE)
        self._warehouse.run(statement, f"lease_{lease.run_id}_{lease.number}")

    def read(self) -> Sequence[Lease]:
        """Return the rows that still count."""
        query = leases_sql.leases_of(self._warehouse.dataset, self._connector.name, _READ)
        return [_lease(row) for row in self._warehouse.query(query)]


def _buckets(ages: Iterable[float]) -> list[tuple[int, int]]:
    """Return ages by whole seconds, rounded down, since a call may be taken for younger but not for older."""
    return sorted(Counter(max(0, int(age)) for age in ages).items())


def _lease(row: Mapping[str, Any]) -> Lease:
    return Lease(
        row["run_id"],
        row["step"],
        Step(row["status"]),
        Share(*json.loads(row["limits"])),
        row["is_shard"],
        row["started_at"],
        tuple(json.loads(row["slots"])),
        {int(slot): Used(*map(_ages, kinds)) for slot, kinds in json.loads(row["used"]).items()},
        row["calls_ahead"],
        row["age_ms"] / 1000,
        row["left_ms"] / 1000,
    )


def _ages(buckets: Iterable[tuple[int, int]]) -> tuple[float, ...]:
    return tuple(chain.from_iterable([float(age)] * count for age, count in buckets))


@dataclass(frozen=True, slots=True)
class Standing:
    """How the other runs of a connector stand.

    ``taken``: the slots that cannot be had. ``used``: when slots were called, in seconds ago. ``holders`` and
    ``waiting``: the newest rows of the runs that hold something, and of those that wait.
    """

    taken: frozenset[int]
    used: Mapping[int, Used]
    holders: tuple[Lease, ...]
    waiting: tuple[Lease, ...]

    @property
    def ordinary_waits(self) -> bool:
        """Whether one waits that is no shard."""
        return any(not lease.is_shard for lease in self.waiting)


def standing(
    rows: Collection[Lease], run_id: str, limits: Share, *, is_shared: bool, running: Collection[str] = ()
) -> Standing:
    """Return how the others stand, for a run that divides ``limits``.

    ``running``: the runs of this process. Where the warehouse is not shared, there are no others: nobody else can have
    it open.
    """
    newest: dict[str, Lease] = {}
    for row in rows:
        if row.run_id not in newest or row.number > newest[row.run_id].number:
            newest[row.run_id] = row
    others = [row for name, row in newest.items() if name != run_id]
    alive = [row for row in others if (row.left > 0 if is_shared else row.run_id in running)]
    holders = tuple(row for row in alive if row.step is Step.HELD)
    count = len(limits.split())
    taken: set[int] = set()
    for row in holders:
        # One that divides other limits, since the configuration has changed, is waited for.
        taken.update(row.slots if row.limits == limits else range(count))
    used = _used(others, limits, holders, is_shared=is_shared)
    return Standing(frozenset(taken), used, holders, tuple(row for row in alive if row.step is Step.WAITING))


def _used(others: Iterable[Lease], limits: Share, holders: Collection[Lease], *, is_shared: bool) -> Mapping[int, Used]:
    """Return when others called each slot: what they noted, and what those that are gone may have called."""
    parts: dict[tuple[Share, int], list[Used]] = {}
    for row in others:
        noted = [(slot, used.mapped(partial(add, row.age))) for slot, used in row.used.items()]
        if row.step is Step.HELD and row not in holders:
            sizes = row.limits.split()
            noted += [(slot, _worst(row, sizes[slot], is_shared=is_shared)) for slot in row.slots]
        for slot, used in noted:
            parts.setdefault((row.limits, slot), []).append(used.mapped(float, keep=lambda ago: ago < MINUTE))
    found = {slot: Used.joined(each) for (divided, slot), each in parts.items() if divided == limits}
    others_used = [used for (divided, _), each in parts.items() if divided != limits for used in each]
    spread = _spread(Used.joined(others_used), len(limits.split()))
    return {slot: Used.joined([found.get(slot, Used()), each]) for slot, each in enumerate(spread)}


def _worst(dead: Lease, size: Share, *, is_shared: bool) -> Used:
    """Return the calls that a run which is gone may have made of a slot beyond those that it noted."""
    if is_shared:  # up to the moment in which it stopped by itself
        ago, calls = (LEASE - HOLD) - dead.left, size.per_minute
    else:  # nobody knows when it was killed
        ago, calls = 0.0, size.per_minute if dead.calls_ahead is None else min(dead.calls_ahead, size.per_minute)
    return Used((ago,) * calls, (ago,) * min(calls, size.live_per_minute))


def _spread(used: Used, count: int) -> list[Used]:
    """Return calls of slots that are divided otherwise, as evenly as can be over the present ones."""
    return [
        Used(tuple(sorted(used.calls)[slot::count]), tuple(sorted(used.live)[slot::count])) for slot in range(count)
    ]
