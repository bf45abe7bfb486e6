"""In which order the jobs of a plan run, and where among them a run begins.

The order is the same in each run, and a run that has no time for all of them remembers the first job that it did not
reach: the next one begins there and goes round. So a budget that is too small leaves nothing out for ever, whatever
fails slowly: with time for k of n jobs, each is reached within n / k runs. Where all were begun, the next run begins
with one of those that were cut off, by chance.
"""

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from itertools import groupby
from typing import TypeAlias

from matomo_fn.days import Days
from matomo_fn.deadline import Deadline
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.schedule import Schedule, Task
from matomo_fn.sync.scope import Scope

# Where a job stands: behind the visit counts or not, segment, site and table, and the latest days first.
_Place: TypeAlias = tuple[bool, int, int, int, int]


def in_phases(jobs: Iterable[Job], scope: Scope, begin_with: str | None = None) -> tuple[tuple[Job, ...], ...]:
    """Return the jobs in phases: the visit counts, then the rest; all visits before segments, the latest days first.

    ``begin_with``: the job that the last run did not reach, as `job_id` has it. The order goes round from there; then
    there is a third phase where that lies among the rest. One that is not there any more is passed over.
    """
    order = _Order(scope)
    ordered = sorted(jobs, key=order.place)
    first = order.position(ordered, begin_with) if begin_with else 0
    round_ = [*ordered[first:], *ordered[:first]]
    return tuple(tuple(phase) for _, phase in groupby(round_, key=lambda job: job.brings_visit_counts(scope.version)))


def job_id(job: Job, jobs: Iterable[Job]) -> str:
    """Return what a later run finds a job by, whatever became of the others: site, table, segment and last day.

    ``jobs``: all of the run. The one with the latest days of its table has no day: the next run may know later ones.
    """
    key = _key(job)
    latest = max(each.days.last for each in jobs if _key(each) == key)
    return json.dumps([*key, None if job.days.last == latest else str(job.days.last)])


def _key(job: Job) -> tuple[str, str, str]:
    return job.site.id, job.tables[0].name, job.segment.name


class Reached:
    """Extracts tasks, by several threads, and knows which jobs a run has come to."""

    def __init__(self, extract: Callable[[Task, Schedule], Iterator[Extracted]], deadline: Deadline) -> None:
        self._extract = extract
        self._deadline = deadline
        self._days: dict[int, Days] = {}  # by the job's id: its hash would be that of all columns of its tables
        self._lock = threading.Lock()

    def __call__(self, task: Task, schedule: Schedule) -> Iterator[Extracted]:
        """Yield the slices of a task."""
        if not self._deadline.allows_requests():
            return
        for job in task.jobs:
            self._note(job, Days())
        yield from self._extract(task, schedule)
        if self._deadline.allows_requests():
            for chunk in task.chunks:
                self._note(chunk.job, chunk.days)
            for job, reasons in task.pending:
                self._note(job, job.period.covered(reasons))

    def next_job(self, phases: Iterable[Sequence[Job]]) -> str | None:
        """Return the first job that was not begun, else one that was cut off; None where all have ended.

        Of several that were cut off, one by chance: they may share a call that one of them makes fail, which is cut
        into halves until the time is over, and any fixed place could be the same half each time.
        """
        jobs = [job for phase in phases for job in phase]
        waiting = [job for job in jobs if id(job) not in self._days][:1]
        waiting = waiting or [job for job in jobs if job.days - self._days[id(job)]]
        return job_id(random.choice(waiting), jobs) if waiting else None  # noqa: S311 - chance, not a secret

    def _note(self, job: Job, days: Days) -> None:
        with self._lock:
            self._days[id(job)] = self._days.get(id(job), Days()) | days


class _Order:
    def __init__(self, scope: Scope) -> None:
        self._version = scope.version
        self._segments = {name: n for n, name in enumerate(("", *(segment.name for segment in scope.segments)))}
        self._sites = {window.site.id: number for number, window in enumerate(scope.windows)}
        self._tables = {name: number for number, name in enumerate(scope.tables)}

    def place(self, job: Job) -> _Place:
        site, table, segment = _key(job)
        rest = not job.brings_visit_counts(self._version)
        return rest, self._segments[segment], self._sites[site], self._tables[table], -job.days.last.toordinal()

    def position(self, ordered: Sequence[Job], begin_with: str) -> int:
        """Return where a job stands, or the next one where it is not there any more."""
        site, table, segment, day = json.loads(begin_with)
        key = (site, table, segment)
        for number, job in enumerate(ordered):
            if _key(job) == key and (day is None or job.days.first <= date.fromisoformat(day)):
                return number
        if site not in self._sites or table not in self._tables or segment not in self._segments:
            return 0
        behind = (self._segments[segment], self._sites[site], self._tables[table])
        is_first = [job for job in ordered if job.tables[0].name == table]
        rest = not is_first[0].brings_visit_counts(self._version) if is_first else True
        return next((n for n, job in enumerate(ordered) if self.place(job)[:4] > (rest, *behind)), 0)
