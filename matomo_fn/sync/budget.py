"""The budget of a connector towards Matomo, which its runs share: each holds a lease on the part that it uses.

The budget is divided into slots, each with its part of the calls at once and a minute. No warehouse has locks. So a
run first writes which slots it takes, and only then reads who else has written that. Of two runs with the same slot at
least one finds the other's row, and gives the slot back; both may, and try again after a while that chance makes
different.

A lease ends by itself. Its run writes it again in time, or starts no call any more. What a run gives back it gives with
the calls of the last minute, so that no slot brings its calls twice within one.
"""

import math
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import sub
from time import monotonic

import structlog

from matomo_fn.deadline import Deadline
from matomo_fn.errors import BudgetTaken, Stopped, WarehouseError, WarehouseUnavailable
from matomo_fn.matomo.rate_limit import MINUTE, RateLimit, Share, Used
from matomo_fn.sync.leases import HOLD, LEASE, SKEW, Lease, Leases, Standing, Step, standing

log = structlog.get_logger()

# Seconds that a run waits for a slot. Behind a run that died it takes a lease until its slots can be had, and a minute
# until they may be called.
PATIENCE = 180.0
# Seconds between two looks at what others want, and after one that has something left to do.
LOOK_EVERY, LOOK_AGAIN = 20.0, 5.0
# Seconds between two tries of a run that waits, at least and at most, and several times as long as a try takes. Where
# runs get into each other's way, the first of them tries again at once, and the others wait longer with each try.
_LEAST_WAIT, _LONGEST_WAIT, _TIMES, _MOST_TRIES = 0.5, 10.0, 4.0, 4
# Calls of each slot that are noted ahead at first, where a run that is killed is taken to have made all of them. Each
# further note doubles them.
_AHEAD = 16

# The runs of this process.
_RUNNING: set[str] = set()


@dataclass(frozen=True, slots=True)
class Claimant:
    """A run that wants to call Matomo; ``most_slots``: of a shard, how many slots it keeps while others want some."""

    run_id: str
    started_at: datetime
    most_slots: int | None = None

    @property
    def is_shard(self) -> bool:
        """Whether it is one of several parts of a request."""
        return self.most_slots is not None


class Budget:
    """What one run holds of its connector's budget; the rate limit has its slots. Thread-safe.

    ``pause`` sleeps, and returns whether the budget is still wanted; ``chance`` gives a number below 1.
    """

    def __init__(
        self,
        leases: Leases,
        rate_limit: RateLimit,
        limits: Share,
        claimant: Claimant,
        pause: Callable[[float], bool],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._leases = leases
        self._rate_limit = rate_limit
        self._limits = limits
        self._slots = limits.split()
        self._claimant = claimant
        self._pause = pause
        self._chance = chance
        self._clock = rate_limit.clock
        self._lock = threading.RLock()
        self._number = 0
        self._step = Step.RELEASED
        self._granted: list[int] = []
        # The slots that are still held and no longer called, and the calls of slots that are no longer called.
        self._given: set[int] = set()
        self._made: dict[int, Used] = {}
        self._ahead: int | None = None if leases.is_shared else _AHEAD
        self._sent = self._noted_waiting = -math.inf
        if not leases.is_shared:
            rate_limit.extend = self._extend

    @property
    def slots(self) -> tuple[int, ...]:
        """The slots that the run may use."""
        return tuple(sorted(self._granted))

    def acquire(self, patience: float = PATIENCE) -> None:
        """Hold at least one slot.

        Raises BudgetTaken where there is none for so many seconds, Stopped where it is no longer wanted, and
        WarehouseError.
        """
        _RUNNING.add(self._claimant.run_id)
        self._leases.ensure()
        began = self._clock()
        end = began + patience
        self._noted_waiting = -math.inf
        tries = 0
        # A run that is alone needs no look before it claims. A shard is not alone.
        found = self._read() if self._claimant.is_shard else None
        while True:
            wanted = self._choose(found)
            if wanted:
                found = self._claim(wanted)
                if self._granted:
                    return
                tries = min(tries + 1, _MOST_TRIES)
            self._note_waiting(found, claimed=bool(wanted))
            seconds = _TIMES * (self._clock() - began)
            if wanted:
                seconds *= self._rank(found) * 2 ** (tries - 1)
            seconds = min(max(_LEAST_WAIT, seconds), _LONGEST_WAIT) * (0.5 + self._chance())
            if self._clock() + seconds > end:
                self._write(Step.RELEASED, [])
                raise BudgetTaken(_taken(found, patience))
            if not self._pause(seconds):
                raise Stopped("the run has ended before it could call Matomo")
            began = self._clock()
            found = self._read()

    def look(self) -> float:
        """Write the lease again, give slots to those who wait for one, and take what nobody holds.

        Return the seconds until the next look. Raises WarehouseError where that could not be done: calls go on until
        the lease ends. Raises BudgetTaken where the lease had ended, and others have the slots.
        """
        with self._lock:
            if not self._granted:  # the last look could not get any
                self.acquire()
                return LOOK_EVERY
            found = self._read()
            for slot in self._excess(found):
                self._give(slot)
            if self._ahead is not None:
                self._ahead = _AHEAD
            more = [] if self._given or found.waiting else self._choose(found, grows=True)
            if more:
                self._claim(more)
            else:
                # A slot is given up when no more calls are out than the others have.
                is_free = self._rate_limit.out <= self._rate_limit.concurrency
                self._write(Step.HELD, self._granted if is_free else [*self._granted, *self._given])
            if self._ahead is not None:
                self._rate_limit.allow(self._ahead)
            if not self._granted:
                self.acquire()
            return LOOK_AGAIN if self._given else LOOK_EVERY

    def release(self) -> None:
        """Give everything back; what cannot be written ends by itself."""
        with self._lock:
            for slot in list(self._granted):
                self._give(slot)
            try:
                if self._step is not Step.RELEASED:
                    self._write(Step.RELEASED, [])
            except WarehouseError as error:
                log.warning("budget_not_released", error=str(error))
            finally:
                _RUNNING.discard(self._claimant.run_id)

    def _choose(self, found: Standing | None, *, grows: bool = False) -> list[int]:
        """Return the slots to take, by how the others stand, or, where that is not known, all."""
        every = range(len(self._slots))
        if found is None:
            return list(every)
        free = [slot for slot in every if slot not in found.taken and slot not in self._granted]
        most = self._claimant.most_slots
        if most is None:
            return free[: math.ceil(len(free) / (1 + len(found.waiting)))]
        if found.ordinary_waits:
            return []
        if not grows and len(self._slots) > 1:
            free = [slot for slot in free if slot]  # the first is for runs that are no shards
        by_chance = sorted(free, key=lambda _: self._chance())
        return by_chance[: 1 if grows else most]

    def _excess(self, found: Standing) -> list[int]:
        """Return the slots that others should have: half of them, or, of a shard, those beyond its own."""
        if not found.waiting or self._given:
            return []
        most = self._claimant.most_slots
        if most is None:
            return sorted(self._granted)[math.ceil(len(self._granted) / 2) :]
        return sorted(self._granted)[: max(0, len(self._granted) - most)]

    def _rank(self, found: Standing | None) -> int:
        """Return how many others should try before this run, where they have got into each other's way."""
        own = self._claimant.started_at, self._claimant.run_id
        others = (*found.holders, *found.waiting) if found else ()
        return sum((lease.started_at, lease.run_id) < own for lease in others)

    def _give(self, slot: int) -> None:
        """Start no further call of a slot."""
        self._granted.remove(slot)
        self._made[slot] = Used.joined([self._made.get(slot, Used()), self._rate_limit.withdraw(slot)])
        self._given.add(slot)

    def _claim(self, wanted: Sequence[int]) -> Standing:
        """Write that slots are taken, read, and keep those that nobody else has."""
        self._write(Step.HELD, [*self._granted, *wanted])
        found = self._read()
        yields = self._claimant.is_shard and found.ordinary_waits
        mine = [] if yields else [slot for slot in wanted if slot not in found.taken]
        for slot in mine:
            latest = self._clock() + (SKEW if self._leases.is_shared else 0.0)
            others = found.used[slot].mapped(partial(sub, latest))
            used = Used.joined([self._made.get(slot, Used()), others])
            self._rate_limit.grant(slot, self._slots[slot], used, self._ahead)
            self._granted.append(slot)
        if len(mine) < len(wanted) and self._granted:
            self._write(Step.HELD, self._granted)
        return found

    def _own(self, slot: int, now: float) -> Used:
        """Return when this run called a slot in the last minute, in seconds ago."""
        present = self._rate_limit.used(slot) if slot in self._granted else Used()
        made = Used.joined([self._made.get(slot, Used()), present])
        return made.mapped(partial(sub, now), keep=lambda ago: ago < MINUTE)

    def _note_waiting(self, found: Standing | None, *, claimed: bool) -> None:
        """Write that the run waits, as long as it does, for those who hold slots to see; it holds no claim then."""
        now = self._clock()
        if self._noted_waiting == -math.inf:
            log.warning("run_waits", runs=[lease.run_id for lease in found.holders] if found else [])
        elif not claimed and now - self._noted_waiting < LEASE / 2:
            return
        self._noted_waiting = now
        self._write(Step.WAITING, [])

    def _extend(self) -> None:
        """Note more calls ahead, twice as many as before, so that a run of many calls does so a few times."""
        with self._lock:
            if self._ahead is None or not self._granted:
                return
            self._ahead *= 2
            try:
                self._write(Step.HELD, [*self._granted, *self._given])
            except WarehouseError as error:  # only a run that is killed would be taken for a quieter one
                log.warning("calls_not_noted", error=str(error))
            self._rate_limit.allow(self._ahead)

    def _read(self) -> Standing:
        return standing(
            self._leases.read(),
            self._claimant.run_id,
            self._limits,
            is_shared=self._leases.is_shared,
            running=_RUNNING,
        )

    def _write(self, step: Step, slots: Sequence[int]) -> None:
        """Write a row, and call as long as it holds."""
        now = self._clock()
        # Of what it holds in a shared warehouse, all calls are reckoned with.
        noted = [slot for slot in range(len(self._slots)) if not (self._leases.is_shared and slot in slots)]
        used = {slot: own for slot in noted if (own := self._own(slot, now))}
        self._number += 1
        self._leases.append(
            Lease(
                self._claimant.run_id,
                self._number,
                step,
                self._limits,
                self._claimant.is_shard,
                self._claimant.started_at,
                tuple(sorted(slots)),
                used,
                self._ahead,
            )
        )
        self._step = step
        self._given.intersection_update(slots)
        if self._leases.is_shared:
            self._renewed(now)

    def _renewed(self, sent: float) -> None:
        """Call for as long as a row holds that was sent at a time, if it came before the one before ended.

        Otherwise others may have taken the run for gone, and its slots: it has to claim them again.
        """
        if self._granted and self._clock() > self._sent + LEASE - SKEW:
            log.warning("budget_lost", slots=len(self._granted))
            for slot in list(self._granted):
                self._give(slot)
            self._given.clear()
        self._sent = sent
        self._rate_limit.valid_until = sent + HOLD


def _taken(found: Standing | None, patience: float) -> str:
    """Return who has what a run waited for."""
    holders = found.holders if found else ()
    runs = ", ".join(f"{lease.run_id} (since {lease.started_at:%Y-%m-%d %H:%M} UTC)" for lease in holders)
    return (
        f"other runs of the connector hold all the calls to Matomo that its concurrency allows, for more than "
        f"{patience:.0f} seconds: {runs or 'none of them long enough to be named'}. Nothing was requested or written. "
        "Run again when one of them has ended, or raise concurrency"
    )


@contextmanager
def held(budget: Budget, deadline: Deadline, wake: threading.Event) -> Iterator[None]:
    """Hold a budget until the block ends, written again in time by a thread of its own.

    ``wake``: is set when nobody needs the budget any more, which ends the waits of its ``pause``.
    """
    keeper = threading.Thread(target=_keep, args=(budget, deadline, wake), name="budget", daemon=True)
    with deadline.on_stop(wake.set):
        try:
            try:
                budget.acquire(min(PATIENCE, deadline.time_for_requests() / 2))
            except WarehouseUnavailable as error:
                raise (Stopped(str(error)) if deadline.interrupted_by else error) from None
            keeper.start()
            yield
        finally:
            wake.set()
            if keeper.ident is not None:
                keeper.join()
            with deadline.logging():
                budget.release()


def _keep(budget: Budget, deadline: Deadline, ended: threading.Event) -> None:
    """Look after a budget until it is no longer wanted."""
    seconds, failing_since = LOOK_EVERY, None
    while not ended.wait(seconds):
        try:
            seconds = budget.look()
        except BudgetTaken as error:
            log.warning("budget_lost", error=str(error))
            deadline.stop()
            return
        except Stopped:
            return
        except WarehouseError as error:
            now = monotonic()
            failing_since = failing_since or now
            log.warning("budget_not_renewed", error=str(error))
            if now - failing_since > PATIENCE:
                deadline.stop()
                return
            seconds = LOOK_AGAIN
        else:
            failing_since = None
