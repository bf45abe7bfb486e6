"""What a part of the chaos tests counts, and what it found wrong."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Figures:
    """Counts by name, in the order in which they were first counted; ``problems``: a sentence for what did not hold."""

    part: str
    counts: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def count(self, what: str, by: int = 1) -> None:
        """Count something."""
        self.counts[what] += by

    def note(self, where: str, problems: list[str]) -> None:
        """Keep what was found wrong, with where."""
        self.problems += [f"{self.part}, {where}: {problem}" for problem in problems]

    def add(self, other: Figures) -> None:
        """Add what another part of the same kind has counted and found."""
        self.counts.update(other.counts)
        self.problems += other.problems

    def end(self) -> Figures:
        """Note how long it took."""
        self.seconds = time.monotonic() - self.started
        return self
