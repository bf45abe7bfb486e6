"""How a run or a delivery ended, in the word that its answer has."""

from enum import StrEnum


class Verdict(StrEnum):
    """How it ended."""

    COMPLETE = "complete"  # everything that was due is done
    HANDED_ON = "handed_on"  # nothing failed, and messages take what remains
    PARTIAL = "partial"  # nothing failed, but something is pending, rejected or remains
    STOPPED = "stopped"  # a signal ended it, and something remains
    FAILED = "failed"
