"""Handing a request on as messages: in shards where it is too large for one run, and what a run had no time for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matomo_fn.config.connector import Connector
from matomo_fn.config.request import Part, SyncRequest
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.plan import Plan
from matomo_fn.sync.split import Shard

_COUNTS = ("slices", "matomo_calls")


@dataclass(frozen=True, slots=True)
class HandedOn:
    """A part of a request that is handed on, its slices, and the calls that they take, as estimated."""

    part: Part
    slices: int
    calls: int

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "HandedOn":
        """Return what `as_dict` has made a dictionary of."""
        part = {name: value for name, value in values.items() if name not in _COUNTS}
        return cls(Part.model_validate(part), *(values[name] for name in _COUNTS))

    def as_dict(self) -> dict[str, Any]:
        """Return the part with its counts as JSON has it."""
        return {**self.part.as_json(), "slices": self.slices, "matomo_calls": self.calls}


@dataclass(frozen=True, slots=True)
class FanOut:
    """How requests are handed on.

    ``publish`` raises QueueUnavailable. ``own_calls``: those that this run has time for, as estimated; None for any
    number. ``shard_calls``: those of a run that a message starts.
    """

    publish: Callable[[Sequence[SyncRequest]], None]
    own_calls: int | None
    shard_calls: int


def calls_within(seconds: float, connector: Connector, seconds_per_call: float) -> int:
    """Return how many calls to Matomo some seconds have room for, by the connector's bounds; at least 1."""
    by_rate = seconds * connector.requests_per_minute / 60
    return max(1, int(min(by_rate, seconds * connector.concurrency / seconds_per_call)))


def shards_of(plan: Plan, request: SyncRequest, run: Run, fan_out: FanOut) -> tuple[HandedOn, ...]:
    """Return the shards of a request that is too large for this run; none where the run does it itself.

    A shard is not cut again, and a rebuild not at all: it is one run's, since it takes the place of a table as a whole.
    """
    if request.part or request.rebuilds or fan_out.own_calls is None or plan.calls <= fan_out.own_calls:
        return ()
    shards = plan.split(fan_out.shard_calls)
    if len(shards) == 1 and fan_out.own_calls:
        return ()
    return tuple(
        HandedOn(
            Part.model_validate({"request_id": run.request_id, "number": number, "count": len(shards), **_what(shard)}),
            shard.slices,
            shard.calls,
        )
        for number, shard in enumerate(shards, 1)
    )


def _what(shard: Shard) -> dict[str, Any]:
    values = shard.as_dict()
    return {name: values[name] for name in ("tables", "sites", "since", "before")}


def rest_of(request: SyncRequest, run: Run, slices: int, calls: int) -> HandedOn:
    """Return what a run had no time for; it knows by the log what of its part is done."""
    part = request.part or Part(request_id=run.request_id)
    return HandedOn(part.model_copy(update={"continuation": part.continuation + 1}), slices, calls)


def requests_for(request: SyncRequest, parts: Sequence[HandedOn]) -> list[SyncRequest]:
    """Return the requests that are published for parts of one."""
    return [request.model_copy(update={"part": each.part}) for each in parts]
