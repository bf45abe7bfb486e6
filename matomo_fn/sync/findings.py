"""Sentences about the slices of a run: what failed, what was left out, and what could not be read."""

from collections import Counter

from matomo_fn.extract.extracted import Extracted

# Failed slices that a result names one by one; all of them stand in _sync_log.
_NAMED_FAILURES = 20


class Findings:
    """Collects what the result reports about slices, each sentence once."""

    def __init__(self) -> None:
        self._failed: list[str] = []
        self._refused_segments: dict[str, None] = {}
        self._left_out: dict[str, None] = {}
        self._unreadable: Counter[str] = Counter()

    def note(self, extracted: Extracted) -> None:
        """Record what a slice brought."""
        if extracted.refused_segment:
            self._refused_segments[extracted.refused_segment] = None
        elif extracted.error:
            self._failed.append(extracted.error)
        if extracted.skipped:
            self._left_out[extracted.skipped] = None
        else:
            self._unreadable.update(extracted.unreadable)

    @property
    def refused_segments(self) -> tuple[str, ...]:
        """A sentence for each segment that Matomo refused."""
        return tuple(self._refused_segments)

    @property
    def failures(self) -> list[str]:
        """A sentence for each of the first slices that failed, and one for the rest."""
        rest = len(self._failed) - _NAMED_FAILURES
        more = [f"and {rest} more slices failed: _sync_log names them"] if rest > 0 else []
        return [*self._failed[:_NAMED_FAILURES], *more]

    @property
    def left_out(self) -> tuple[str, ...]:
        """A sentence for each thing that was left out and is no failure."""
        return tuple(self._left_out)

    @property
    def unreadable(self) -> list[str]:
        """A sentence for each column of which values could not be read."""
        return [
            f"{name} of visits had no readable value {count} times: it is stored as if it were absent"
            for name, count in sorted(self._unreadable.items())
        ]
