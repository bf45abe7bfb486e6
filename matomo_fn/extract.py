"""Asking Matomo for the days of a job and shaping the answers, slice by slice."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from threading import Event

from matomo_fn.catalogue import Source, Table
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoError
from matomo_fn.evidence import SUMMARY, Evidence
from matomo_fn.matomo.client import Answered, MatomoClient
from matomo_fn.plan import FIRST_CHUNK, Job, Slice, runs_of_days, sources_of
from matomo_fn.rows import Shaped, is_empty, shape

# Bytes that one answer should have: large enough that the call's own cost does not show, small enough that four
# of them, parsed, take less than 200 MB.
_TARGET_ANSWER = 4 * 1024 * 1024
_LONGEST_CHUNK = 366


@dataclass(frozen=True, slots=True)
class Extracted:
    """What Matomo's answer makes of one slice: rows, or the reason why there are none to be trusted.

    ``seconds`` is the slice's share of the time that its calls took.
    """

    slice: Slice
    shaped: Shaped | None
    pending: str | None = None
    error: str | None = None
    seconds: float = 0.0


class Extraction:
    """Runs jobs; several at once may share one, each in its own thread."""

    def __init__(self, client: MatomoClient, version: tuple[int, int], deadline: Deadline, stop: Event) -> None:
        self._client = client
        self._version = version
        self._deadline = deadline
        self._stop = stop

    def run(self, job: Job, evidence: Evidence) -> Iterator[Extracted]:
        """Yield each slice of a job, the newest days first; end early where the time is up or the run is stopped."""
        remaining = list(job.days)
        chunk = FIRST_CHUNK
        while remaining and not self._stop.is_set() and self._deadline.allows_asking():
            days = _last_run(remaining, chunk)
            remaining = remaining[: -len(days)]
            started = time.monotonic()
            answers = self._ask(job, days)
            pieces = list(self._slices(job, days, answers, evidence))
            seconds = (time.monotonic() - started) / len(pieces)
            for piece in pieces:
                yield Extracted(piece.slice, piece.shaped, piece.pending, piece.error, seconds)
            chunk = _next_chunk(len(days), answers.values())

    def _ask(self, job: Job, days: Sequence[date]) -> dict[object, Answered]:
        """Ask each call of the job's tables once."""
        answers: dict[object, Answered] = {}
        for table in job.tables:
            for source in sources_of(table, self._version):
                if source.call not in answers:
                    answers[source.call] = self._client.report(source, job.site.id, days)
        return answers

    def _slices(
        self, job: Job, days: Sequence[date], answers: Mapping[object, Answered], evidence: Evidence
    ) -> Iterator[Extracted]:
        if SUMMARY.call in answers:
            evidence.learn(answers[SUMMARY.call].days)
        pieces = []
        empty = set()
        for table in job.tables:
            sources = sources_of(table, self._version)
            for day in days:
                found = [(source, answers[source.call].days[day]) for source in sources]
                piece = _shape(job, table, day, found)
                pieces.append(piece)
                if piece.shaped and all(is_empty(table, answer) for _, answer in found):
                    empty.add(piece.slice)
        doubts = evidence.doubts({piece.date for piece in empty})
        for piece in pieces:
            doubt = doubts.get(piece.slice.date) if piece.slice in empty else None
            yield Extracted(piece.slice, None, pending=doubt) if doubt else piece


def _shape(job: Job, table: Table, day: date, found: Sequence[tuple[Source, object]]) -> Extracted:
    piece = Slice(table.name, job.site.id, job.segment, day)
    try:
        for _, answer in found:
            if isinstance(answer, MatomoError):
                raise answer
        return Extracted(piece, shape(table, found))
    except MatomoError as error:
        return Extracted(piece, None, error=f"{table.name} of site {job.site.id} on {day}: {error}")


def _last_run(days: Sequence[date], most: int) -> Sequence[date]:
    """Return the newest consecutive days, at most so many."""
    first, last = runs_of_days(days)[-1]
    length = min(most, (last - first).days + 1)
    return days[-length:]


def _next_chunk(days: int, answers: Collection[Answered]) -> int:
    """Return how many days to ask next, by the bytes that the last answers had."""
    if any(answered.split for answered in answers):
        return max(1, days // 4)
    largest = max(answered.size for answered in answers)
    fitting = days * _TARGET_ANSWER // max(1, largest)
    return max(1, min(fitting, 2 * days, _LONGEST_CHUNK))
