"""What a delivery did, as its caller sees it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matomo_fn.errors import (
    MatomoError,
    MatomoFnError,
    QueueUnavailable,
    TokenRefused,
    WarehouseError,
    WarehouseUnavailable,
)
from matomo_fn.verdict import Verdict

# Sentences on single messages that an answer has; a log line shows no more either.
_MOST_SENTENCES = 20


@dataclass(slots=True)
class Tally:
    """Counts messages by what became of them; ``pulled`` is the sum of all others.

    ``already_sent``: dealt with by an earlier delivery, or another time in this one. ``uncertain``: may be in Matomo.
    ``remaining``: given back to the queue. ``hits``: that Matomo took.
    """

    pulled: int = 0
    sent: int = 0
    already_sent: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    rejected: int = 0
    uncertain: int = 0
    remaining: int = 0
    hits: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResult:
    """What a delivery did.

    ``failures``: the errors that ended it. ``problems``: sentences on messages that were rejected or are uncertain.
    ``calls``: to Matomo. ``stopped_by``: the signal that told it to end, if one did.
    """

    connector: str
    run_id: str
    tally: Tally
    calls: int
    seconds: float
    failures: Sequence[MatomoFnError] = ()
    problems: Sequence[str] = ()
    stopped_by: str | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether all that waited is in Matomo, something is left, or something failed."""
        tally = self.tally
        if self.stopped_by and (tally.remaining or tally.uncertain):
            return Verdict.STOPPED
        if self.failures:
            return Verdict.FAILED
        return Verdict.PARTIAL if tally.remaining or tally.uncertain or tally.rejected else Verdict.COMPLETE

    @property
    def token_refused(self) -> bool:
        """Whether Matomo refused the token."""
        return any(isinstance(error, TokenRefused) for error in self.failures)

    @property
    def matomo_failed(self) -> bool:
        """Whether it ended since Matomo did not take hits, or did not answer."""
        return any(isinstance(error, MatomoError) for error in self.failures)

    @property
    def is_stopped(self) -> bool:
        """Whether a signal ended it."""
        return self.stopped_by is not None

    @property
    def http_status(self) -> int:
        """The status of an HTTP answer; of a partial delivery 200, since the next one comes by itself."""
        if self.token_refused:
            return 400
        warehouse = [error for error in self.failures if isinstance(error, WarehouseError)]
        if warehouse:
            return 503 if all(isinstance(error, WarehouseUnavailable) for error in warehouse) else 500
        if any(isinstance(error, QueueUnavailable) for error in self.failures):
            return 503
        if any(isinstance(error, MatomoError) for error in self.failures):
            return 502
        return 503 if self.verdict is Verdict.STOPPED else 200

    @property
    def errors(self) -> list[str]:
        """Sentences on all that is wrong, those on single messages last."""
        sentences = list(dict.fromkeys(str(error) for error in self.failures))
        more = len(self.problems) - _MOST_SENTENCES
        return [*sentences, *self.problems[:_MOST_SENTENCES], *([f"and {more} more such messages"] if more > 0 else [])]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        tally = self.tally
        return {
            "status": str(self.verdict),
            "connector": self.connector,
            "run_id": self.run_id,
            "pulled": tally.pulled,
            "sent": tally.sent,
            "already_sent": tally.already_sent,
            "skipped": dict(sorted(tally.skipped.items())),
            "rejected": tally.rejected,
            "uncertain": tally.uncertain,
            "remaining": tally.remaining,
            "hits": tally.hits,
            "matomo_calls": self.calls,
            "seconds": round(self.seconds, 2),
            "errors": self.errors,
        }
