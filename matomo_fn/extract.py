"""Asking Matomo for the days of a job and shaping the answers, slice by slice."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from threading import Event

from matomo_fn.catalogue import VISITS, Source, Table
from matomo_fn.deadline import Deadline
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.evidence import SUMMARY, Evidence
from matomo_fn.extract_visits import VisitsOfDay
from matomo_fn.matomo.client import Answered, MatomoClient
from matomo_fn.matomo.visits_log import VisitsLogOff
from matomo_fn.plan import FIRST_CHUNK, Job, Slice, runs_of_days, sources_of
from matomo_fn.rows import Shaped, is_empty, shape
from matomo_fn.spool import SpooledSlice
from matomo_fn.visit_rows import VisitShaper

# Bytes that one answer should have, from the second of a report on: large enough that the call's own cost does not
# show, small enough that four of them, parsed, take less than 200 MB.
_TARGET_ANSWER = 4 * 1024 * 1024
_LONGEST_CHUNK = 366


@dataclass(frozen=True, slots=True)
class Extracted:
    """What Matomo's answer makes of one slice: rows, or the reason why there are none to be trusted.

    ``seconds`` is the slice's share of the time that its calls took. ``skipped``: the slice cannot be had and that
    is no failure, since the visits log is switched off. ``visits_difference``: visits read more than the summary
    counts.
    """

    slice: Slice
    shaped: Shaped | SpooledSlice | None
    pending: str | None = None
    error: str | None = None
    seconds: float = 0.0
    skipped: str | None = None
    visits_difference: int | None = None


@dataclass(frozen=True, slots=True)
class VisitsOptions:
    """How visits are read: columns to leave out, the folder that takes their rows, and the run's time of day."""

    exclude: tuple[str, ...]
    folder: Path
    now: datetime


class Extraction:
    """Runs jobs; several at once may share one, each in its own thread."""

    def __init__(
        self,
        client: MatomoClient,
        version: tuple[int, int],
        deadline: Deadline,
        stop: Event,
        visits: VisitsOptions,
    ) -> None:
        self._client = client
        self._version = version
        self._deadline = deadline
        self._stop = stop
        self._visits = visits

    def run(self, job: Job, evidence: Evidence) -> Iterator[Extracted]:
        """Yield each slice of a job, the newest days first; end early where the time is up or the run is stopped."""
        if VISITS in job.tables:
            return self._run_visits(job, evidence)
        return self._run_reports(job, evidence)

    def _may_go_on(self) -> bool:
        return not self._stop.is_set() and self._deadline.allows_asking()

    def _run_visits(self, job: Job, evidence: Evidence) -> Iterator[Extracted]:
        shaper = VisitShaper(job.site.timezone, self._visits.exclude)
        reader = VisitsOfDay(self._client, job.site, shaper, self._visits.folder, self._may_go_on)
        days = sorted(job.days, reverse=True)
        over = [day for day in days if job.site.today(self._visits.now) > day]
        counted: Mapping[date, int | None] = {}
        for position, day in enumerate(days):
            if not self._may_go_on():
                return
            piece = Slice(VISITS.name, job.site.id, job.segment, day)
            started = time.monotonic()
            try:
                read = reader.read(day, self._visits.now)
            except VisitsLogOff as error:
                reason = f"visits of site {job.site.id} are not synced: {error}"
                yield from (
                    Extracted(Slice(VISITS.name, job.site.id, job.segment, rest), None, skipped=reason)
                    for rest in days[position:]
                )
                return
            except MatomoFatal:
                raise
            except MatomoError as error:
                yield Extracted(piece, None, error=f"visits of site {job.site.id} on {day}: {error}")
                continue
            if read is None:
                return
            counted = counted or evidence.visits(over)  # all at once, and not before the log is known to be readable
            count = counted.get(day)
            difference = None if count is None else read.row_count - count
            yield Extracted(piece, read, seconds=time.monotonic() - started, visits_difference=difference)

    def _run_reports(self, job: Job, evidence: Evidence) -> Iterator[Extracted]:
        remaining = list(job.days)
        chunk = FIRST_CHUNK
        while remaining and self._may_go_on():
            days = _last_run(remaining, chunk)
            remaining = remaining[: -len(days)]
            started = time.monotonic()
            answers = self._ask(job, days)
            pieces = list(self._slices(job, days, answers, evidence))
            seconds = (time.monotonic() - started) / len(pieces)
            chunk = _next_chunk(len(days), answers.values())
            del answers  # parsed they are large, and the slices may wait for their turn to be written
            for piece in pieces:
                yield Extracted(piece.slice, piece.shaped, piece.pending, piece.error, seconds)

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
