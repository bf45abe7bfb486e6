"""Sending hits to Matomo's tracking API in bulk, and what its answers mean.

Matomo answers 200 with counts, also to a token that it does not know. It tells which hits it refused to super users
only (BulkTracking/Tracker/Handler.php). A hit that fails for another reason, such as a lock of the database, stands in
no count, and an error undoes the whole call only where the database has transactions. So counts are believed where
they account for every hit, and for nothing else.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeGuard

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from matomo_fn.deadline import Deadline
from matomo_fn.errors import AnswerLost, CallTooLarge, MatomoFatal, NotTaken, OutOfTime, Stopped
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.responses import read_json
from matomo_fn.matomo.retries import ATTEMPTS, hold, note_failure, wait
from matomo_fn.matomo.transport import TRACKER, Reply, TrackingTransport
from matomo_fn.values import utf8

# Seconds that a call of hits needs to be worth its risk: one that is cut off costs a question to Matomo.
LEAST_SECONDS = 10.0
# Statuses of a web server or a firewall that passes nothing on to Matomo, which itself answers none of them in bulk.
_REFUSED = {
    401: "wants a password",
    403: "refuses the call",
    404: "has no matomo.php",
    405: "takes no POST",
    410: "has no matomo.php",
}
_TOO_LARGE = (413, 431)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the hits of a call; ``refused``: their positions, or None where Matomo only says how many."""

    tracked: int
    invalid: int
    refused: tuple[int, ...] | None


class Tracker:
    """Matomo's tracking API; ``calls`` counts HTTP calls, tries included. One call at a time is up to the caller."""

    def __init__(
        self,
        transport: TrackingTransport,
        rate_limit: RateLimit,
        deadline: Deadline,
        *,
        timeout: float,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._rate_limit = rate_limit
        self._deadline = deadline
        self._least = min(timeout, LEAST_SECONDS)
        self._attempts = attempts
        self._sleep = sleep or deadline.pause
        self.calls = 0

    def send(self, hits: Sequence[Mapping[str, str]], time_left: Callable[[], float]) -> Taken:
        """Send hits in one call, and return what became of them.

        ``time_left``: seconds until which no call may be out. Raises NotTaken, after as many tries as there is time
        for, or MatomoFatal, where Matomo certainly has none of them; AnswerLost where it may have them.
        """
        retrying = Retrying(
            retry=lambda state: retry_if_exception_type(NotTaken)(state) and not _is_too_large(state),
            stop=lambda state: stop_after_attempt(self._attempts)(state) or self._is_too_late(state, time_left),
            wait=wait,
            sleep=self._sleep,
            after=partial(hold, self._rate_limit),
            before_sleep=note_failure,
            reraise=True,
        )
        body = {"requests": [{name: utf8(value).decode() for name, value in hit.items()} for hit in hits]}
        taken: Taken = retrying(self._try, body, time_left)
        return taken

    def check(self) -> None:
        """Raise a MatomoError where Matomo takes no hits at present; it costs next to nothing, since none is sent."""
        self.send([], self._deadline.time_for_requests)

    def _try(self, body: Mapping[str, Any], time_left: Callable[[], float]) -> Taken:
        if not self._rate_limit.wait(min(self._deadline.time_for_requests(), time_left())):
            raise OutOfTime(f"{TRACKER}: requests_per_minute allows no call in the time that is left")
        if self._deadline.is_stopped:
            raise Stopped(f"{TRACKER}: the run has ended")
        seconds = time_left()
        if min(seconds, self._deadline.time_for_requests()) < self._least:
            raise OutOfTime(f"{TRACKER}: the time for requests is up")
        self.calls += 1
        reply = self._transport.track(body, seconds)
        return _read(self._transport.redact, reply, len(body["requests"]))

    def _is_too_late(self, state: RetryCallState, time_left: Callable[[], float]) -> bool:
        return state.upcoming_sleep + self._least > min(self._deadline.time_for_requests(), time_left())


def _is_too_large(state: RetryCallState) -> bool:
    return state.outcome is not None and isinstance(state.outcome.exception(), CallTooLarge)


def _read(redact: Callable[[str], str], reply: Reply, sent: int) -> Taken:
    """Return what an answer says of so many hits, or raise what it means."""
    if 300 <= reply.status < 400:
        raise MatomoFatal(
            f"Matomo redirects to {redact(reply.location)}: set matomo_url to the address that it redirects to, "
            "without matomo.php"
        )
    if reply.status in _REFUSED:
        raise MatomoFatal(
            f"{TRACKER}: the web server in front of Matomo {_REFUSED[reply.status]} (HTTP {reply.status}): let this "
            "program's address and its User-Agent through, or check matomo_url"
        )
    if reply.status == 429:
        raise NotTaken(f"{TRACKER}: Matomo limits how often it is called (HTTP 429)", retry_after=reply.retry_after)
    if reply.status in _TOO_LARGE:
        raise CallTooLarge(f"{TRACKER}: the server takes no call of that size (HTTP {reply.status})")
    value, is_json = read_json(reply.body)
    counts = _counts(value) if is_json and reply.status == 200 else None
    if counts is None:
        raise AnswerLost(
            f"{TRACKER}: the answer has no counts of hits (HTTP {reply.status}): {_excerpt(redact, reply)}"
        )
    tracked, invalid, refused = counts
    if sent and (tracked, invalid) == (0, 0):
        raise MatomoFatal(
            f"{TRACKER}: Matomo took none of {sent} hits and refused none: tracking is switched off "
            "(record_statistics in its config.ini.php), or something between here and there changes what is sent"
        )
    if tracked + invalid != sent or (refused is not None and len(set(refused)) != invalid):
        raise AnswerLost(f"{TRACKER}: Matomo accounts for {tracked} tracked and {invalid} invalid of {sent} hits")
    return Taken(tracked, invalid, () if invalid == 0 else refused)


def _counts(value: object) -> tuple[int, int, tuple[int, ...] | None] | None:
    """Return how many hits were tracked and refused, and which, or None where the answer does not say so."""
    if not isinstance(value, dict) or value.get("status") != "success":
        return None
    tracked, invalid, refused = value.get("tracked"), value.get("invalid"), value.get("invalid_indices")
    if not (_is_count(tracked) and _is_count(invalid)):
        return None
    if refused is None:
        return tracked, invalid, None
    if not (isinstance(refused, list) and all(_is_count(index) and index < tracked + invalid for index in refused)):
        return None
    return tracked, invalid, tuple(refused)


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _excerpt(redact: Callable[[str], str], reply: Reply) -> str:
    text = redact(reply.body[:20_000].decode(errors="replace"))[:2_000]
    return repr(" ".join(text.split())[:80])
