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
from matomo_fn.extract.archive_check import SUMMARY, Evidence
from matomo_fn.extract.jobs import FIRST_CHUNK, Job
from matomo_fn.extract.report_rows import ParsedSlice, is_empty, shape
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.extract.visits import VisitsOfDay
from matomo_fn.matomo.client import Answered, MatomoClient
from matomo_fn.matomo.visits_log import VisitsLogOff
from matomo_fn.slices import Slice, runs_of_days
from matomo_fn.warehouse.buffer import BufferedSlice

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
    shaped: ParsedSlice | BufferedSlice | None
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
        parser = VisitParser(job.site.timezone, self._visits.exclude)
        reader = VisitsOfDay(self._client, job.site, parser, self._visits.folder, self._may_go_on)
        days = sorted(job.days, reverse=True)
        over = [day for day in days if job.site.today(self._visits.now) > day]
        counted: Mapping[date, int | None] = {}
        for position, day in enumerate(days):
            if not self._may_go_on():
                return
            slice_ = Slice(VISITS.name, job.site.id, job.segment, day)
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
                yield Extracted(slice_, None, error=f"visits of site {job.site.id} on {day}: {error}")
                continue
            if read is None:
                return
            counted = counted or evidence.visits(over)  # all at once, and not before the log is known to be readable
            count = counted.get(day)
            difference = None if count is None else read.row_count - count
            yield Extracted(slice_, read, seconds=time.monotonic() - started, visits_difference=difference)

    def _run_reports(self, job: Job, evidence: Evidence) -> Iterator[Extracted]:
        remaining = list(job.days)
        chunk = FIRST_CHUNK
        while remaining and self._may_go_on():
            days = _last_run(remaining, chunk)
            remaining = remaining[: -len(days)]
            started = time.monotonic()
            answers = self._ask(job, days)
            slices = list(self._slices(job, days, answers, evidence))
            seconds = (time.monotonic() - started) / len(slices)
            chunk = _next_chunk(len(days), answers.values())
            del answers  # parsed they are large, and the slices may wait for their turn to be written
            for slice_ in slices:
                yield Extracted(slice_.slice, slice_.shaped, slice_.pending, slice_.error, seconds)

    def _ask(self, job: Job, days: Sequence[date]) -> dict[object, Answered]:
        """Ask each call of the job's tables once."""
        answers: dict[object, Answered] = {}
        for table in job.tables:
            for source in table.sources_of(self._version):
                if source.call not in answers:
                    answers[source.call] = self._client.report(source, job.site.id, days)
        return answers

    def _slices(
        self, job: Job, days: Sequence[date], answers: Mapping[object, Answered], evidence: Evidence
    ) -> Iterator[Extracted]:
        if SUMMARY.call in answers:
            evidence.learn(answers[SUMMARY.call].days)
        slices = []
        empty = set()
        for table in job.tables:
            sources = table.sources_of(self._version)
            for day in days:
                found = [(source, answers[source.call].days[day]) for source in sources]
                slice_ = _shape(job, table, day, found)
                slices.append(slice_)
                if slice_.shaped and all(is_empty(table, answer) for _, answer in found):
                    empty.add(slice_.slice)
        doubts = evidence.doubts({slice_.date for slice_ in empty})
        for slice_ in slices:
            doubt = doubts.get(slice_.slice.date) if slice_.slice in empty else None
            yield Extracted(slice_.slice, None, pending=doubt) if doubt else slice_


def _shape(job: Job, table: Table, day: date, found: Sequence[tuple[Source, object]]) -> Extracted:
    slice_ = Slice(table.name, job.site.id, job.segment, day)
    try:
        for _, answer in found:
            if isinstance(answer, MatomoError):
                raise answer
        return Extracted(slice_, shape(table, found))
    except MatomoError as error:
        return Extracted(slice_, None, error=f"{table.name} of site {job.site.id} on {day}: {error}")


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
