"""What a reconciliation found, as its caller sees it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import structlog

from matomo_fn.days import Days
from matomo_fn.slices import Stream
from matomo_fn.sync.quality import Check, Quality, QualityVerdict, Reason

log = structlog.get_logger()

# Findings that an answer names one by one, and a line of the log; all of them stand in _sync_quality.
_NAMED, _LOGGED = 200, 20


@dataclass(frozen=True, slots=True)
class Sample:
    """How many of the site-days were refetched, and the seed that chose them."""

    days: int
    of: int
    seed: int

    def as_dict(self) -> dict[str, int]:
        """Return the sample as JSON has it."""
        return {"days": self.days, "of": self.of, "seed": self.seed}


@dataclass(slots=True)
class QualityFinding:
    """Days of one stream on which a check came to the same: their sums, and the sentence of the first of them."""

    stream: Stream
    check: Check
    verdict: QualityVerdict
    reason: Reason | None
    detail: str
    days: list[date] = field(default_factory=list)
    expected: float | None = None
    found: float | None = None

    def add(self, quality: Quality) -> None:
        """Take in one day."""
        self.days.append(quality.slice.date)
        self.expected = _sum(self.expected, quality.expected)
        self.found = _sum(self.found, quality.found)

    @property
    def _days(self) -> Days:
        return self.stream.period.covered(self.days)

    @property
    def sentence(self) -> str:
        """What was found, for people."""
        ranges = self._days.ranges
        told = ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in ranges[:3])
        more = f" and {len(ranges) - 3} more stretches of days" if len(ranges) > 3 else ""
        numbers = (
            ""
            if self.expected is None or self.found is None
            else f", expected {self.expected:.12g}, found {self.found:.12g}"
        )
        where = self.stream.described.removesuffix(",")
        return f"{where}, {told}{more}: {self.check} {self.verdict} ({self.reason}){numbers}: {self.detail}"

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as JSON has it."""
        return {
            "check": str(self.check),
            "table": self.stream.table,
            "website_id": self.stream.website_id,
            "segment": self.stream.segment,
            "days": [[str(first), str(last)] for first, last in self._days.ranges],
            "expected": self.expected,
            "found": self.found,
            "verdict": str(self.verdict),
            "reason": self.reason and str(self.reason),
            "detail": self.detail,
        }


@dataclass(slots=True)
class QualityResult:
    """What was compared, and what was found.

    ``sample``: None where nothing was refetched. ``errors``: sentences on what could not be compared.
    """

    connector: str
    run_id: str
    sites: Sequence[str] = ()
    tables: Sequence[str] = ()
    first_day: date | None = None
    last_day: date | None = None
    sample: Sample | None = None
    errors: list[str] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    verdicts: Counter[QualityVerdict] = field(default_factory=Counter)
    standing: int = 0
    _findings: dict[tuple[object, ...], QualityFinding] = field(default_factory=dict)

    def add(self, found: Iterable[Quality]) -> None:
        """Count what checks say, and keep what is a finding."""
        for quality in found:
            if quality.verdict is not QualityVerdict.OK and not quality.is_finding:
                self.standing += 1
                continue
            self.verdicts[quality.verdict] += 1
            if quality.is_finding:
                key = (quality.slice.stream, quality.check, quality.verdict, quality.reason)
                new = QualityFinding(*key, quality.detail)
                self._findings.setdefault(key, new).add(quality)

    @property
    def findings(self) -> list[QualityFinding]:
        """What is not ok, by stream, check and reason: what differs first."""
        return sorted(self._findings.values(), key=lambda found: found.verdict is not QualityVerdict.DIFFERS)

    @property
    def status(self) -> str:
        """In a word: different, failed where something could not be compared, or reconciled."""
        if self.verdicts[QualityVerdict.DIFFERS]:
            return "different"
        return "failed" if self.errors else "reconciled"

    @property
    def is_good(self) -> bool:
        """Whether everything was compared, and what differs is explained."""
        return self.status == "reconciled"

    def counts(self) -> dict[str, int]:
        """Return how many checks came to each verdict."""
        counts = {str(verdict): self.verdicts[verdict] for verdict in QualityVerdict}
        return {"checks": sum(counts.values()), **counts, "do_not_add_up": self.standing}

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON has it."""
        findings = self.findings
        return {
            "status": self.status,
            "connector": self.connector,
            "run_id": self.run_id,
            "sites": list(self.sites),
            "tables": list(self.tables),
            "first_day": self.first_day and str(self.first_day),
            "last_day": self.last_day and str(self.last_day),
            **self.counts(),
            "findings": [finding.as_dict() for finding in findings[:_NAMED]],
            "findings_left_out": max(0, len(findings) - _NAMED),
            "sample": self.sample and self.sample.as_dict(),
            "errors": list(self.errors),
            "matomo_calls": self.calls,
            "seconds": round(self.seconds, 2),
        }

    def summary(self) -> dict[str, Any]:
        """Return the counts and the first findings as sentences, as the answer of a sync and a log line have them."""
        return {**self.counts(), "findings": [finding.sentence for finding in self.findings[:_LOGGED]]}


def log_quality(result: QualityResult) -> None:
    """Log what came of the checks in one line: a WARNING where something differs or could not be compared."""
    tell = log.info if result.is_good else log.warning
    tell("quality_checked", connector=result.connector, status=result.status, **result.summary(), errors=result.errors)


def _sum(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return round(one + other, 6)
