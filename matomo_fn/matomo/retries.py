"""The retry policy of calls to Matomo: how long to wait for the next try, and what is logged of it."""

import structlog
from tenacity import RetryCallState, wait_exponential_jitter

from matomo_fn.errors import MatomoUnavailable
from matomo_fn.matomo.rate_limit import RateLimit

log = structlog.get_logger()

# Tries of one call, with 1, 2, 4, 8 seconds (and up to a second more) between them: an overloaded server gets
# quiet, a restart or a short maintenance is outlasted, and a run that is bound to fail does so within a minute.
ATTEMPTS = 5
# Seconds that a server may ask to wait: past that the slices are left to a later run.
LONGEST_RETRY_AFTER = 300.0
_exponential = wait_exponential_jitter(initial=1.0)


def wait(state: RetryCallState) -> float:
    """Return the seconds to the next try: what the server asked for, or exponentially more with some chance in it."""
    seconds = _retry_after(state)
    return _exponential(state) if seconds is None else seconds


def hold(rate_limit: RateLimit, state: RetryCallState) -> None:
    """Let no call start before the server wants one, in any thread, also behind the last try of a call."""
    seconds = _retry_after(state)
    if seconds and seconds <= LONGEST_RETRY_AFTER:
        rate_limit.hold(seconds)


def note_failure(state: RetryCallState) -> None:
    """Log a try that failed and is followed by another one."""
    log.warning(
        "matomo_call_failed",
        attempt=state.attempt_number,
        wait=round(state.upcoming_sleep, 1),
        error=str(state.outcome.exception() if state.outcome else None),
    )


def _retry_after(state: RetryCallState) -> float | None:
    """Return the seconds that the server asked to wait, or None where it did not."""
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, MatomoUnavailable) else None
