"""The schedule of a run: which days of which jobs are requested next, and which of them go together into one call.

Nothing is known of a report before its first answer, so few days are requested first. The bytes that come back decide
how many days the next call takes, and how many reports: what is small is requested together.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from matomo_fn.days import Days
from matomo_fn.extract.jobs import FIRST_CHUNK, LONGEST_CHUNK, TARGET_ANSWER, Job
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK, Answered
from matomo_fn.periods import Period
from matomo_fn.slices import Slice

# Bytes of an answer for reports that are requested together. Less than for one (TARGET_ANSWER), so that the work of few
# sites is enough for all threads.
_TARGET_TOGETHER = 2 * 1024 * 1024
# A report whose next answer is expected to have so many bytes is requested by several threads at once. A smaller one
# waits for its answer instead, since the next call can then take more days.
_LARGE = 1024 * 1024
# How many times as many days are requested next at most, unless all of them are expected to have no more than some
# bytes: the rows of days differ. After a range that failed it is found out carefully how many days the server can do.
_GROWTH, _GROWTH_AFTER_FAILURE = 12, 2
_SMALL = 1024 * 1024
# Bytes of a report's period, before its first answer: of one row, of a report of pages, of any other.
_ONE_ROW, _PAGES, _ROWS = 600, 100_000, 20_000
# Seconds of a bulk call that are many: it runs its calls one after another, and servers end what takes a minute.
_SLOW = 15.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Days of a job that are requested at once, one after another without a gap."""

    job: Job
    days: Days

    @property
    def slices(self) -> Iterator[Slice]:
        """The slices of all tables of the job on these days."""
        return replace(self.job, days=self.days).slices


@dataclass(frozen=True, slots=True)
class Task:
    """What a worker thread does next: chunks of one site, segment and kind of period that go into one call.

    ``pending``: days that need no request, since they are known to be pending, with the reasons.
    """

    chunks: tuple[Chunk, ...]
    pending: tuple[tuple[Job, Mapping[date, str]], ...] = ()

    @property
    def slices(self) -> Iterator[Slice]:
        """Every slice that comes of the task."""
        for job, reasons in self.pending:
            yield from Chunk(job, job.period.covered(reasons)).slices
        for chunk in self.chunks:
            yield from chunk.slices

    @property
    def jobs(self) -> tuple[Job, ...]:
        """The jobs that it is a part of; there is one at least."""
        return (*(chunk.job for chunk in self.chunks), *(job for job, _ in self.pending))


class Schedule:
    """Hands out the jobs of a run as tasks, site by site; thread-safe.

    The visit counts of a site come first, the first of them in one call with the first days of its other reports. Until
    all are there nothing else of the site is handed out, and no rolling window as long as any counts are missing.
    ``known_pending`` returns why days of a job are pending, of those that are known to be, and ``first_chunk`` how many
    of its periods are requested first. ``together``: how many calls
    of Matomo's API one HTTP call may have.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        version: tuple[int, int],
        *,
        known_pending: Callable[[Job], Mapping[date, str]] = lambda _: {},
        first_chunk: Callable[[Job], int] = lambda _: FIRST_CHUNK,
        may_continue: Callable[[], bool] = lambda: True,
        together: int = MOST_CALLS_IN_BULK,
    ) -> None:
        self._known_pending = known_pending
        self._may_continue = may_continue
        self._changed = threading.Condition()
        self._groups: dict[object, _Group] = {}
        self._of_job: dict[int, _Progress] = {}  # by the job's id: its hash would be that of all columns of its tables
        self._out: dict[int, _Out] = {}
        jobs = tuple(jobs)
        # The place of a site among others is that of its reports: the visit counts come with them.
        for job in sorted(jobs, key=lambda job: job.brings_visit_counts(version)):
            progress = _Progress(job, version, first_chunk)
            self._of_job[id(job)] = progress
            self._groups.setdefault(_key(job), _Group(together)).add(progress)
        self._counting = sum(group.is_counting for group in self._groups.values())

    def take(self) -> Task | None:
        """Return the next task, and None where there is none any more; waits for what other threads find out."""
        with self._changed:
            while self._may_continue():
                task = self._next()
                if task is not None or not self._out:
                    return task
                self._changed.wait()
        return None

    def note(self, task: Task, answers: Sequence[Sequence[Answered]], seconds: float) -> None:
        """Take note of the answers to the chunks of a task, and how long they took.

        What comes next of the same reports may be requested from then on, while these answers are parsed.
        """
        with self._changed:
            out = self._out[id(task)]
            out.is_answered = True
            out.group.took(seconds, len(task.chunks))
            for chunk, answered in zip(task.chunks, answers, strict=True):
                progress = self._of_job[id(chunk.job)]
                progress.note(chunk.days, answered)
                progress.out -= not progress.counts_visits
            self._changed.notify_all()

    def finish(self, task: Task) -> None:
        """Take note that a task is done, whatever became of it."""
        with self._changed:
            out = self._out.pop(id(task))
            was_counting = out.group.is_counting
            for chunk in task.chunks:
                progress = self._of_job[id(chunk.job)]
                progress.out -= progress.counts_visits or not out.is_answered
            self._counting -= was_counting and not out.group.is_counting
            self._changed.notify_all()

    def _next(self) -> Task | None:
        done = []
        found = None
        for key, group in self._groups.items():
            if group.is_done:
                if not group.is_out:
                    done.append(key)
                continue
            found = self._of(group)
            if found is not None:
                break
        for key in done:
            del self._groups[key]
        return found

    def _of(self, group: "_Group") -> Task | None:
        """Return the next task of a group, or of the one whose visit counts it waits for."""
        needed = self._groups.get(group.waits_for)
        if needed is not None and needed.is_counting:
            group = needed
        elif group.is_rolling and self._counting:
            return None
        task = group.take(self._known_pending)
        if task is not None:
            self._out[id(task)] = _Out(group)
        return task


class _Progress:
    """How far a job has got: what remains, and what its answers say of the next ones."""

    def __init__(self, job: Job, version: tuple[int, int], first_chunk: Callable[[Job], int]) -> None:
        self.job = job
        self.remaining = job.days
        self.out = 0
        self.counts_visits = job.brings_visit_counts(version)
        sources = {source.call: source for table in job.tables for source in table.sources_of(version)}.values()
        self._ranges = sum(source.ranges and not job.period.is_rolling for source in sources)
        self._singles = len(sources) - self._ranges
        self._of_period = float(sum(_expected(job, source.method) for source in sources))
        self._is_known = False
        self._growth = _GROWTH
        is_small = all(table.is_one_row for table in job.tables)
        self._chunk = LONGEST_CHUNK if is_small else first_chunk(job)

    @property
    def is_free(self) -> bool:
        """Whether days of it may be requested now."""
        if not self.remaining:
            return False
        return not self.out or (self._is_known and self.size_of(self.next_days()) >= _LARGE)

    def next_days(self) -> Days:
        """Return the days that are requested next."""
        most = self._chunk if not self._singles else min(self._chunk, MOST_CALLS_IN_BULK // self._singles)
        return self.job.period.newest(self.remaining, most)

    def size_of(self, days: Days) -> float:
        """Return about how many bytes the answers for some days have."""
        return self._of_period * self.job.period.count(days)

    def calls_of(self, days: Days) -> int:
        """Return how many calls of Matomo's API some days take."""
        return self._ranges + self._singles * self.job.period.count(days)

    def note(self, days: Days, answers: Sequence[Answered]) -> None:
        """Take note of what came back for some days."""
        count = self.job.period.count(days)
        if any(answered.split for answered in answers):
            self._growth = _GROWTH_AFTER_FAILURE
            self._chunk = max(1, count // 4)
            return
        size = sum(answered.size for answered in answers)
        fitting = int(count * TARGET_ANSWER // max(1, size))
        small = int(count * _SMALL // max(1, size)) if self._growth == _GROWTH else 0
        self._of_period, self._is_known = size / count, True
        self._chunk = max(1, min(fitting, max(self._growth * count, small), LONGEST_CHUNK))


@dataclass(slots=True)
class _Out:
    """A task that a thread works on."""

    group: "_Group"
    is_answered: bool = False


@dataclass(slots=True)
class _Group:
    """The jobs whose days can be requested together."""

    together: int
    members: list[_Progress] = field(default_factory=list)
    has_begun: bool = False

    def add(self, progress: _Progress) -> None:
        """Add a job; what counts visits comes first."""
        self.members.insert(0 if progress.counts_visits else len(self.members), progress)

    @property
    def is_done(self) -> bool:
        """Whether everything has been handed out."""
        return not any(progress.remaining for progress in self.members)

    @property
    def is_out(self) -> bool:
        """Whether some of it is being requested."""
        return any(progress.out for progress in self.members)

    @property
    def is_counting(self) -> bool:
        """Whether visit counts are missing."""
        return any(each.counts_visits and (each.remaining or each.out) for each in self.members)

    @property
    def is_rolling(self) -> bool:
        """Whether its periods are rolling windows."""
        return self.members[0].job.period.is_rolling

    @property
    def waits_for(self) -> object:
        """The key of the group whose visit counts have to be there first."""
        job = self.members[0].job
        return _counts_key(job) if job.is_log or job.period.is_rolling else None

    def take(self, known_pending: Callable[[Job], Mapping[date, str]]) -> Task | None:
        """Return what is requested next; None where that depends on what is being requested."""
        if any(each.counts_visits and each.out for each in self.members):
            return None
        if self.members[0].job.is_log:
            progress = next(each for each in self.members if each.remaining)
            days, progress.remaining = progress.remaining, Days()
            progress.out += 1
            return Task((Chunk(progress.job, days),))
        chunks: list[Chunk] = []
        pending: list[tuple[Job, Mapping[date, str]]] = []
        size, calls = 0.0, 0
        # With the first visit counts come the newest days of all reports, with further ones nothing: where older days
        # turn out to be pending, no report of them is requested.
        counting = [each for each in self.members if each.counts_visits and each.remaining]
        newest = max(each.remaining.last for each in self.members if each.remaining)
        for progress in counting if counting and self.has_begun else self.members:
            if not progress.is_free or (counting and not progress.counts_visits and progress.remaining.last < newest):
                continue
            if not progress.counts_visits:
                pending += _cut_pending(progress, known_pending)
                if not progress.remaining:
                    continue
            days = progress.next_days()
            more, further = progress.size_of(days), progress.calls_of(days)
            if chunks and (size + more > _TARGET_TOGETHER or calls + further > self.together):
                continue
            size, calls = size + more, calls + further
            progress.remaining = progress.remaining - days
            progress.out += 1
            chunks.append(Chunk(progress.job, days))
        self.has_begun = True
        return Task(tuple(chunks), tuple(pending)) if chunks or pending else None

    def took(self, seconds: float, chunks: int) -> None:
        """Take note of how long a call with so many chunks took; next time there are fewer where that was long."""
        if seconds > _SLOW and chunks > 1:
            self.together = max(1, self.together // 2)


def _cut_pending(
    progress: _Progress, known_pending: Callable[[Job], Mapping[date, str]]
) -> Iterator[tuple[Job, Mapping[date, str]]]:
    """Take the days that are known to be pending out of what remains of a job, and yield them with the reasons."""
    job = progress.job
    reasons = {day: reason for day, reason in known_pending(job).items() if day in progress.remaining}
    if reasons:
        progress.remaining = progress.remaining - job.period.covered(reasons)
        yield job, reasons


def _key(job: Job) -> object:
    return job.site.id, job.segment, job.period, job.is_log


def _counts_key(job: Job) -> object:
    return job.site.id, job.segment, Period.DAY, False


def _expected(job: Job, method: str) -> int:
    if all(table.is_one_row for table in job.tables):
        return _ONE_ROW
    return _PAGES if method.startswith("Actions.") else _ROWS
