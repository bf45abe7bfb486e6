"""How often Matomo may be called: it is somebody's production server."""

import heapq
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Self

from matomo_fn.config.connector import Connector

MINUTE = 60.0
# Seconds between two looks at a limit that nothing of its own moves, such as one that has ended or has to be noted.
_LOOK_EVERY = 0.25
# Matomo Cloud counts what has "method=live" in it: https://matomo.org/faq/troubleshooting/matomo-cloud-api-usage-limits
_LIVE = "live."
_BULK_ENTRY = "method=live."


def live_calls(method: str, form: Mapping[str, str]) -> int:
    """Return how many calls of Matomo's ``Live`` methods a call is: those inside a bulk call count each."""
    inside = sum(name.startswith("urls[") and _BULK_ENTRY in value.lower() for name, value in form.items())
    return inside + method.lower().startswith(_LIVE)


@dataclass(frozen=True, slots=True)
class Share:
    """So many calls at once, so many in any 60 seconds, and of these so many of the ``Live`` methods."""

    concurrency: int
    per_minute: int
    live_per_minute: int

    @classmethod
    def of(cls, connector: Connector) -> Self:
        """Return what a connector allows in all."""
        return cls(connector.concurrency, connector.requests_per_minute, connector.live_calls_per_minute)

    def split(self) -> tuple["Share", ...]:
        """Return the slots that it consists of: as many as possible, each with one call of every kind at least."""
        count = min(self.concurrency, self.per_minute, self.live_per_minute)
        return tuple(
            Share(*(part * (slot + 1) // count - part * slot // count for part in self._parts)) for slot in range(count)
        )

    @property
    def _parts(self) -> tuple[int, int, int]:
        return self.concurrency, self.per_minute, self.live_per_minute


# All that one slot without a bound of its own has.
_UNBOUND = sys.maxsize


@dataclass(frozen=True, slots=True)
class Used:
    """When the calls of a slot were made, as times of the clock or as seconds ago; ``live``: those of ``Live``."""

    calls: tuple[float, ...] = ()
    live: tuple[float, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable["Used"]) -> "Used":
        """Return the calls of several."""
        known = list(parts)
        calls, live = (chain.from_iterable(each) for each in ([p.calls for p in known], [p.live for p in known]))
        return cls(tuple(calls), tuple(live))

    def mapped(self, convert: Callable[[float], float], *, keep: Callable[[float], bool] = lambda _: True) -> "Used":
        """Return the times converted, those that are kept."""
        calls, live = (tuple(at for at in map(convert, times) if keep(at)) for times in (self.calls, self.live))
        return Used(calls, live)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.calls or self.live)


class _Places:
    """The calls of one kind that a slot may make: a place is used once in 60 seconds, and there are ``size`` of them.

    ``times``: when each was used last. ``made``: when they were used from here, in the last minute.
    ``ahead``: how many calls it may still make before that has to be noted somewhere.
    """

    __slots__ = ("ahead", "made", "size", "times")

    def __init__(self, size: int, times: Iterable[float], ahead: float) -> None:
        self.size = size
        self.times = heapq.nlargest(min(size, sys.maxsize), times)
        heapq.heapify(self.times)
        self.made: deque[float] = deque()
        self.ahead = ahead

    def ready(self, number: int) -> Iterator[float]:
        """Yield when the first places, so many at most, can be used, in order; minus infinity is a free one."""
        free = min(number, self.size - len(self.times))
        yield from (-math.inf for _ in range(free))
        yield from (time + MINUTE for time in heapq.nsmallest(number - free, self.times))

    def use(self, start: float) -> None:
        if len(self.times) == self.size or (self.times and self.times[0] + MINUTE <= start):
            heapq.heapreplace(self.times, start)
        else:
            heapq.heappush(self.times, start)
        self.made.append(start)
        while self.made[0] <= start - MINUTE:
            self.made.popleft()
        self.ahead -= 1


class _Kind:
    """The places of one kind of calls in all slots."""

    def __init__(self) -> None:
        self.slots: dict[int, _Places] = {}

    def ready(self, number: int, *, noted: bool) -> float:
        """Return when so many calls can be made; ``noted``: by what is noted ahead of them. Infinite: never."""
        if not number:
            return -math.inf
        times = [
            time
            for places in self.slots.values()
            for time in islice(places.ready(number), int(min(number, places.ahead)) if noted else number)
        ]
        return heapq.nsmallest(number, times)[-1] if len(times) >= number else math.inf

    def use(self, number: int, start: float) -> None:
        for _ in range(number):
            # Evenly, so that no slot comes to the end of what is noted long before the others.
            able = [places for places in self.slots.values() if places.ahead >= 1]
            next_one = min(able, key=lambda places: (max(start, next(places.ready(1))), -places.ahead))
            next_one.use(start)


class RateLimit:
    """At most ``per_minute`` calls in any 60 seconds, and none while the server has asked to wait; thread-safe.

    It consists of slots, whose shares add up: one for all where ``per_minute`` is given, otherwise those that are
    granted. No 60 seconds have more calls than the slots allow, also where a slot comes from somebody else who used it
    before. ``clock`` gives seconds that only grow. ``sleep`` may return early, when nobody needs the call any more.

    ``valid_until``: from then on no call may start. ``extend``: is called where more calls are made than are noted
    ahead.
    """

    def __init__(
        self,
        per_minute: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.clock = clock
        self.sleep = sleep
        self.valid_until = math.inf
        self.extend: Callable[[], None] | None = None
        self.out = 0
        self._shares: dict[int, Share] = {}
        self._calls, self._live = _Kind(), _Kind()
        self._held_until = 0.0
        self._lock = threading.Lock()
        if per_minute is not None:
            self.grant(0, Share(_UNBOUND, per_minute, per_minute))

    @classmethod
    def whole(cls, share: Share, sleep: Callable[[float], None] = time.sleep) -> Self:
        """Return a limit that has all of a share, for one who need not divide it."""
        limit = cls(sleep=sleep)
        limit.grant(0, share)
        return limit

    @property
    def concurrency(self) -> int:
        """How many calls may be out at once."""
        return sum(share.concurrency for share in list(self._shares.values()))

    @property
    def live_per_minute(self) -> int:
        """How many ``Live`` calls one minute may have."""
        return sum(share.live_per_minute for share in list(self._shares.values()))

    def grant(self, slot: int, share: Share, used: Used | None = None, ahead: int | None = None) -> None:
        """Add a slot; ``used``: when it was called before; ``ahead``: how many calls of it are noted ahead."""
        used = used or Used()
        most = math.inf if ahead is None else ahead
        with self._lock:
            self._calls.slots[slot] = _Places(share.per_minute, used.calls, most)
            self._live.slots[slot] = _Places(share.live_per_minute, used.live, most)
            self._shares[slot] = share

    def withdraw(self, slot: int) -> Used:
        """Take a slot away and return when it was called from here in the last minute; calls that are out stay out."""
        with self._lock:
            used = self._used(slot)
            del self._shares[slot], self._calls.slots[slot], self._live.slots[slot]
            return used

    def used(self, slot: int) -> Used:
        """Return when a slot was called from here in the last minute."""
        with self._lock:
            return self._used(slot)

    def allow(self, ahead: float) -> None:
        """Note that each slot may make so many calls from here on."""
        with self._lock:
            for kind in (self._calls, self._live):
                for places in kind.slots.values():
                    places.ahead = ahead

    def delay(self, live: int = 0) -> float:
        """Return the seconds until a call may start; 0 where it may now. ``live``: how many ``Live`` calls it is."""
        with self._lock:
            return self._delay(live)

    def take(self, live: int = 0) -> bool:
        """Count a call that starts now, or return False where it may not."""
        with self._lock:
            if self._delay(live) > 0:
                return False
            now = self.clock()
            self._calls.use(1, now)
            self._live.use(live, now)
            self.out += 1
            return True

    def done(self) -> None:
        """Count the end of a call."""
        with self._lock:
            self.out -= 1

    def prepare(self, live: int = 0) -> None:
        """Have more calls noted ahead, where that is all that keeps a call from starting; this may take a while."""
        if self.extend is not None:
            with self._lock:
                now = self.clock()
                lacks = self._ready(live, noted=True) > now >= self._ready(live, noted=False)
            if lacks:
                self.extend()

    def wait(self, most: float = math.inf, live: int = 0) -> bool:
        """Return True as soon as one more call may start, which is counted.

        For one who makes one call at a time. Return False at once, and count nothing, where that would be in more than
        ``most`` seconds; True, uncounted, where the sleep was cut short.
        """
        end = self.clock() + most
        while True:
            self.prepare(live)
            if self.take(live):
                self.done()
                return True
            now, seconds = self.clock(), self.delay(live)
            if now + seconds > end:
                return False
            self.sleep(seconds)
            if self.clock() < now + seconds / 2:
                return True  # it was cut short

    def hold(self, seconds: float) -> None:
        """Let no call start before that many seconds have passed: the server is over its limits."""
        with self._lock:
            self._held_until = max(self._held_until, self.clock() + seconds)

    def _delay(self, live: int) -> float:
        now = self.clock()
        if now >= self.valid_until or not self._shares:
            return _LOOK_EVERY
        start = max(self._held_until, self._ready(live, noted=False))
        if start > now:
            return start - now
        return 0.0 if self._ready(live, noted=True) <= now else _LOOK_EVERY

    def _ready(self, live: int, *, noted: bool) -> float:
        return max(self._calls.ready(1, noted=noted), self._live.ready(live, noted=noted))

    def _used(self, slot: int) -> Used:
        since = self.clock() - MINUTE
        calls, live = self._calls.slots[slot].made, self._live.slots[slot].made
        return Used(tuple(at for at in calls if at > since), tuple(at for at in live if at > since))
