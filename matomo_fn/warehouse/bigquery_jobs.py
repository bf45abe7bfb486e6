"""BigQuery's jobs: submitted under an id of their own, found again, waited for, tried again, cancelled.

A job's state comes from ``jobs.get`` alone. The client would wait by ``jobs.getQueryResults``, which turns a job's
failure into an HTTP error, cannot be told from a failure of the call, and is retried like one.
"""

import re
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import structlog
from google.cloud import bigquery
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from matomo_fn.errors import WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse.bigquery_calls import Calls, Conflict, NotFound

log = structlog.get_logger()

# Seconds for a job to finish, with all its tries. A merge of a day takes some seconds; past two others on its table it
# queues.
JOB_SECONDS = 600.0
# Tries of a job with transient failures, with 1, 2, 4 and 8 seconds (and some chance) between them. One is
# spent where an earlier run of that id left a failed job behind.
_ATTEMPTS = 5
# Seconds between two looks at a job, at first and at most.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
# Seconds for cancelling a job that is given up, also past the deadline; and of those, how many also where the run was
# interrupted and its time is up.
_CANCEL_SECONDS = 5.0
_LAST_CANCEL_SECONDS = 1.0
# Seconds for a job to become visible after BigQuery has said that it is there.
_VISIBLE_SECONDS = 30.0
_DONE = "DONE"
_NOT_IN_LABELS = re.compile(r"[^a-z0-9_-]")

Job = bigquery.LoadJob | bigquery.QueryJob
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Work:
    """What a job does.

    ``name`` and ``digest`` make its id: the same work has the same id within a run. ``submit`` takes the id and the
    milliseconds after which BigQuery is to end the job.
    """

    name: str
    digest: str
    submit: Callable[[str, int], Job]


class _JobFailed(WarehouseUnavailable):
    """A job had a transient failure; its id is used up."""


@dataclass(slots=True)
class _Attempts:
    """Where the tries of one piece of work have got to."""

    calls: Calls
    end: float
    number: int = 1
    job: Job | None = None

    def remaining(self) -> float:
        """Return the seconds for all that is still to do; an interruption of the run cuts them short."""
        return self.calls.limit(self.end - time.monotonic())


class Jobs:
    """The jobs of one run in one location; ``run_id`` stands in their ids."""

    def __init__(self, client: bigquery.Client, calls: Calls, *, location: str, run_id: str) -> None:
        self._client = client
        self._calls = calls
        self._location = location
        self._run_id = run_id

    def run(self, work: Work) -> Job:
        """Run a job to its end and return it; after a transient failure, as a new job.

        Raises WarehouseUnavailable where the time is up. The job is then cancelled.
        """
        attempts = _Attempts(self._calls, time.monotonic() + self._calls.limit(JOB_SECONDS))

        def is_over(state: RetryCallState) -> bool:
            return state.attempt_number >= _ATTEMPTS or state.upcoming_sleep >= attempts.remaining()

        retrying = Retrying(
            retry=retry_if_exception_type(WarehouseUnavailable),
            stop=is_over,
            wait=wait_exponential_jitter(initial=1, max=30),
            sleep=self._calls.pause,
            reraise=True,
        )
        try:
            return retrying(self._attempt, work, attempts)
        except WarehouseUnavailable:
            if attempts.job is not None and attempts.job.state != _DONE:
                self._cancel(attempts.job)
            raise

    def _attempt(self, work: Work, attempts: _Attempts) -> Job:
        job_id = f"matomo_fn_{self._run_id}_{work.name}_{work.digest[:16]}_{attempts.number}"
        job = attempts.job = self._start(job_id, work, attempts)
        self._wait(job, work.name, attempts)
        if job.error_result:
            attempts.number += 1
            raise self._failure(work.name, job)
        return job

    def _start(self, job_id: str, work: Work, attempts: _Attempts) -> Job:
        """Submit a job, or find the one of that id that an earlier try submitted."""
        milliseconds = max(1, int(attempts.remaining() * 1000))
        try:
            return self._calls.call(work.name, lambda: work.submit(job_id, milliseconds))
        except Conflict:
            found = self._look(
                work.name,
                attempts,
                lambda limits: self._client.get_job(job_id, location=self._location, **limits),
            )
            return cast("Job", found)

    def _wait(self, job: Job, name: str, attempts: _Attempts) -> None:
        """Look at a job until it is done.

        A load at least once: the answer to an upload has no numbers, and the emulator's no state, which the client
        takes for a job that is done.
        """
        is_looked_at = not isinstance(job, bigquery.LoadJob)
        pause = _FIRST_PAUSE if is_looked_at else 0.0
        while job.state != _DONE or not is_looked_at:
            if attempts.remaining() <= 0:
                raise WarehouseUnavailable(f"BigQuery did not finish in time: {name}")
            self._calls.pause(min(pause, max(0.0, attempts.remaining())))
            self._look(name, attempts, lambda limits: job.reload(**limits))
            is_looked_at = True
            pause = min(max(pause, _FIRST_PAUSE) * 1.5, _LONGEST_PAUSE)

    def _look(self, name: str, attempts: _Attempts, get: Callable[[dict[str, Any]], Result]) -> Result:
        """Return what ``jobs.get`` gives; a 404 is tried again, since the job is known to be there.

        https://github.com/googleapis/python-bigquery/issues/2134
        """
        retrying = Retrying(
            retry=retry_if_exception_type(NotFound),
            stop=stop_after_delay(min(_VISIBLE_SECONDS, attempts.remaining())),
            wait=wait_exponential_jitter(multiplier=0.2, max=4, jitter=0.1),
            sleep=self._calls.pause,
            reraise=True,
        )
        try:
            return retrying(
                lambda: self._calls.call(name, lambda: get(self._calls.limits(max(1.0, attempts.remaining()))))
            )
        except NotFound as error:
            raise WarehouseUnavailable(f"BigQuery does not find a job that it has: {error}") from None

    def _failure(self, name: str, job: Job) -> WarehouseError:
        result = job.error_result
        error = self._calls.failure(name, str(result.get("reason", "")), str(result.get("message", "")))
        return _JobFailed(str(error)) if isinstance(error, WarehouseUnavailable) else error

    def _cancel(self, job: Job) -> None:
        """Cancel a job that is given up; where that fails, it ends by its own time limit."""
        job_id = job.job_id
        try:
            self._calls.call(
                "cancel a job",
                lambda: job.cancel(retry=None, timeout=_CANCEL_SECONDS),
                at_least=_LAST_CANCEL_SECONDS,
            )
            log.warning("job_cancelled", job=job_id)
        except WarehouseError as error:
            log.warning("job_not_cancelled", job=job_id, error=str(error))


def labels_of(**values: str) -> dict[str, str]:
    """Return labels as BigQuery takes them: lower case, at most 63 characters, none empty."""
    labels = {"managed-by": "matomo-fn"}
    for name, value in values.items():
        if value:
            labels[name] = _NOT_IN_LABELS.sub("_", value.lower())[:63]
    return labels


def unique_digest() -> str:
    """Return a digest that no other work has, for a query, which may be run twice."""
    return uuid.uuid4().hex
