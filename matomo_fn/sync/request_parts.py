"""The parts of a request that a run hands on, or that an earlier delivery of the same message has handed on."""

from collections.abc import Sequence

import structlog

from matomo_fn.config.request import SyncRequest
from matomo_fn.errors import QueueUnavailable
from matomo_fn.sync.hand_on import HandedOn, requests_for, rest_of, shards_of
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.plan import Plan, estimated_calls
from matomo_fn.sync.result import Tally
from matomo_fn.sync.runs import RunRecords
from matomo_fn.sync.session import Session

log = structlog.get_logger()


class RequestParts:
    """Hands on what one run has no time for; nothing where the session has no topic for it.

    Attributes:
        handed_on: what was.
        problems: a sentence for what was not, though there was no time for it.
    """

    def __init__(self, session: Session, request: SyncRequest, run: Run, records: RunRecords, tally: Tally) -> None:
        self._session = session
        self._request = request
        self._run = run
        self._records = records
        self._tally = tally
        self.handed_on: Sequence[HandedOn] = ()
        self.problems: list[str] = []

    def was_handed_on(self) -> bool:
        """Return whether an earlier delivery of the same message has handed on what it is about.

        Where that one may not have come to its end, the same messages are published again.
        """
        earlier = self._records.earlier()
        if earlier is None:
            return False
        fan_out = self._session.fan_out
        if not earlier.is_published:
            if fan_out is None:
                return False
            fan_out.publish(requests_for(self._request, earlier.parts))
        self.handed_on = earlier.parts
        return True

    def hand_out(self, plan: Plan) -> bool:
        """Publish a plan that is too large for this run in shards, and return whether it is.

        The shards are recorded before: where publishing fails, the next delivery publishes the very same.
        """
        session = self._session
        if session.fan_out is None:
            return False
        shards = shards_of(plan, self._request, self._run, session.fan_out)
        if not shards:
            return False
        self._tally.expect(plan)
        self._records.hand_on(shards, session.now())
        session.fan_out.publish(requests_for(self._request, shards))
        self._hand_on(shards)
        return True

    def hand_on_rest(self, plan: Plan) -> None:
        """Publish what there was no time for as a message, where the run got somewhere.

        One that did nothing would be followed by others without end. So its own message is delivered again, as often as
        the subscription has it.
        """
        fan_out, remaining = self._session.fan_out, self._tally.remaining
        if fan_out is None or not remaining or self._request.rebuilds:
            return
        if not self._tally.good:
            self.problems.append(
                f"no slice was done in the time of this run, so that nothing is handed on: {remaining} slices remain"
            )
            return
        earlier = self._records.earlier()
        if earlier is not None:
            self._hand_on(earlier.parts)  # another delivery of the same message has
            return
        calls = estimated_calls([job for phase in plan.phases for job in phase], plan.scope.version)
        rest = rest_of(self._request, self._run, remaining, calls * remaining // max(1, plan.slices))
        try:
            fan_out.publish(requests_for(self._request, [rest]))
        except QueueUnavailable as error:
            log.warning("rest_not_handed_on", error=str(error))
            self.problems.append(f"{remaining} slices remain, and were not handed on: {error}")
            return
        self._hand_on([rest])

    def _hand_on(self, parts: Sequence[HandedOn]) -> None:
        self.handed_on = parts
        self._tally.hand_on()
