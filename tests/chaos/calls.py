"""What a Matomo saw of the calls that were made to it, and the rules that they have to keep."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tests.chaos.faults import Kind

_MINUTE = 60.0
# Seconds by which a call may arrive later than it was sent, and so two of them seem nearer than they are.
_ON_THE_WAY = 0.5
# As many calls may be out before the first one of them can have been refused.
_UNPROVEN = 3
# Seconds that a client has to read that it should wait, before it is expected to: a busy machine lets it wait itself.
_READING = 1.5


@dataclass
class Noted:
    """A call as Matomo saw it, by the seconds of a clock that only grows.

    Attributes:
        run: what was running then; whose bounds hold together, see ``breaches``.
        method: of the API; of a bulk request that of its first call.
        days: (site, segment, day) of what it is about.
        started: when it had come.
        ended: when the last byte of the answer was about to leave, or the client hung up.
        fault: what went wrong.
        refused: whether its token was.
        wait: seconds that the client was asked to wait.
    """

    run: int
    method: str
    days: tuple[tuple[str, str, str], ...]
    started: float
    ended: float = 0.0
    fault: Kind | None = None
    refused: bool = False
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a connector allows: calls at once, calls in a minute, and the seconds after which a call is given up."""

    at_once: int
    per_minute: int
    timeout: float


def breaches(calls: Sequence[Noted], bounds: Bounds) -> list[str]:
    """Return a sentence for each rule that the calls of a run broke.

    The calls are those of one run, or of several that have their bounds in common.
    """
    found = []
    if (most := most_at_once(calls, bounds.timeout)) > bounds.at_once:
        found.append(f"{most} calls were out at once, where {bounds.at_once} are allowed")
    if (most := most_in_a_minute(calls)) > bounds.per_minute:
        found.append(f"{most} calls in a minute, where {bounds.per_minute} are allowed")
    if (most := sum(call.refused for call in calls)) > _UNPROVEN:
        found.append(f"a refused token was sent {most} times")
    found += [
        f"{call.method} came {call.started - asked.ended:.2f} s after Matomo had asked to wait {asked.wait:g} s"
        for asked in calls
        for call in calls
        if asked.wait and asked.ended + _READING < call.started < asked.ended + asked.wait - 0.1
    ]
    return found


def most_at_once(calls: Sequence[Noted], timeout: float) -> int:
    """Return how many calls were out at once at most.

    A client gives a call up no later than ``timeout`` after it was sent, which is before it came. When the server reads
    it, and notices that it was given up, depends on how busy the machine is: it counts for half of that time.
    """
    steps = []
    for call in calls:
        steps += [(call.started, 1), (min(call.ended, call.started + timeout / 2), -1)]
    most = out = 0
    for _, step in sorted(steps):
        out += step
        most = max(most, out)
    return most


def most_in_a_minute(calls: Sequence[Noted]) -> int:
    """Return how many calls began within a minute at most."""
    starts = sorted(call.started for call in calls)
    first = most = 0
    for last, start in enumerate(starts):
        while start - starts[first] >= _MINUTE - _ON_THE_WAY:
            first += 1
        most = max(most, last - first + 1)
    return most


def twice(calls: Sequence[Noted]) -> int:
    """Return how many slices were requested more than once: how often beyond the first time, in sum."""
    times = Counter((call.method, *about) for call in calls for about in call.days)
    return sum(count - 1 for count in times.values())


def days_of(params: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield (site, segment, day) of what a call is about, also of those inside a bulk request."""
    for name, value in params.items():
        if name.startswith("urls["):
            yield from days_of({key: values[0] for key, values in parse_qs(value).items()})
    first, _, last = params.get("date", "").partition(",")
    if "idSite" not in params or not first:
        return
    day, end = date.fromisoformat(first), date.fromisoformat(last or first)
    while day <= end:
        yield params["idSite"], params.get("segment", ""), str(day)
        day += timedelta(days=1)


def method_of(params: Mapping[str, str]) -> str:
    """Return the method of a call; of a bulk request, that of its first call."""
    if "urls[0]" in params:
        return parse_qs(params["urls[0]"]).get("method", [""])[0]
    return params.get("method", "")
