"""Calls of BigQuery's client: how long each may take, what is tried again, and its errors as the program's.

The client retries by itself, so nothing is wrapped around a call. What may pass by itself is decided here and nowhere
else, for calls and for jobs.
"""

import concurrent.futures
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import requests
from google.api_core import exceptions
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.cloud import bigquery

from matomo_fn.daemon_threads import DaemonThreads
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError, WarehouseError, WarehouseUnavailable

# Seconds for one HTTP exchange, and for one call with the client's own retries.
_HTTP_TIMEOUT = 60.0
_CALL_SECONDS = 60.0
# https://cloud.google.com/bigquery/docs/error-messages; "stopped" is a job that was cancelled, here by a run that gave
# it up, and "timeout" one that took longer than it may.
_TRANSIENT_REASONS = {
    "backendError",
    "internalError",
    "jobBackendError",
    "jobInternalError",
    "jobRateLimitExceeded",
    "quotaExceeded",
    "rateLimitExceeded",
    "stopped",
    "tableUnavailable",
    "timeout",
}
# Their reason is invalidQuery or resourcesExceeded, and their HTTP status 400, as those of mistakes are.
_TRANSIENT_WORDS = (
    "Could not serialize access",  # two mutating statements on one table; the service tried three times itself
    "Too many DML statements outstanding",  # two run, twenty wait
    "Exceeded rate limits",
    "Quota exceeded",
)

Result = TypeVar("Result")


class NotFound(WarehouseError):
    """There is no such thing."""


class Conflict(WarehouseError):
    """There is such a thing already."""


class Outdated(WarehouseError):
    """Somebody else changed it since it was read."""


class Calls:
    """Calls about one dataset, within a run's deadline.

    They run on daemon threads: after an interruption the run does not wait for an answer that does not come.
    """

    def __init__(self, dataset: str, deadline: Deadline) -> None:
        self._dataset = dataset
        self._deadline = deadline
        self._threads = DaemonThreads("bigquery")

    def limit(self, seconds: float) -> float:
        """Return the seconds that something may take, at most ``seconds``."""
        return self._deadline.limit(seconds)

    def pause(self, seconds: float) -> None:
        """Sleep, but not past an interruption of the run."""
        self._deadline.pause_writing(seconds)

    def limits(self, seconds: float = _CALL_SECONDS) -> dict[str, Any]:
        """Return the arguments ``retry`` and ``timeout`` of a call of the client, which takes so long at most."""
        allowed = max(0.001, self._deadline.limit(seconds))
        return {"retry": bigquery.DEFAULT_RETRY.with_timeout(allowed), "timeout": min(allowed, _HTTP_TIMEOUT)}

    def call(self, what: str, call: Callable[[], Result], *, at_least: float = 0.0) -> Result:
        """Return what a call of the client returns, its errors turned into the program's.

        After an interruption of the run it has the time that is left for writing, and ``at_least`` so many seconds.
        """
        if self._deadline.remaining() + at_least <= 0:
            raise self._interrupted(what)
        try:
            with self._threads.running(call) as answer:
                self._deadline.wait_for(answer, at_least)
                if not answer.done():
                    raise self._interrupted(what)
                return answer.result()
        except exceptions.Conflict as error:
            raise Conflict(str(error)) from None
        except exceptions.PreconditionFailed as error:
            raise Outdated(str(error)) from None
        except exceptions.NotFound as error:
            raise NotFound(f"BigQuery cannot {what}: {_message(error.message)}") from None
        except exceptions.GoogleAPICallError as error:
            raise self._translated(what, error) from None
        except (exceptions.RetryError, concurrent.futures.TimeoutError):
            raise WarehouseUnavailable(f"BigQuery did not answer in time: {what}") from None
        except DefaultCredentialsError:
            raise InputError("there are no Google credentials: run `gcloud auth application-default login`") from None
        except (requests.exceptions.RequestException, GoogleAuthError, OSError) as error:
            raise WarehouseUnavailable(f"BigQuery could not be reached ({type(error).__name__}): {what}") from None

    def _interrupted(self, what: str) -> WarehouseUnavailable:
        return WarehouseUnavailable(f"BigQuery had no time after {self._deadline.interrupted_by}: {what}")

    def failure(self, what: str, reason: str, message: str) -> WarehouseError:
        """Return the error of a job that failed, by what its status says."""
        if _is_transient([reason], message):
            return WarehouseUnavailable(f"BigQuery cannot {what} now: {_message(message)}")
        if reason == "accessDenied":
            return self._denied(what, message)
        return WarehouseError(f"BigQuery cannot {what}: {_message(message)}{_advice(reason)}")

    def _translated(self, what: str, error: exceptions.GoogleAPICallError) -> WarehouseError:
        reasons = [str(item.get("reason")) for item in error.errors if isinstance(item, Mapping)]
        message = str(error.message)
        if isinstance(error, exceptions.ServerError | exceptions.TooManyRequests) or _is_transient(reasons, message):
            return WarehouseUnavailable(f"BigQuery cannot {what} now: {_message(message)}")
        if isinstance(error, exceptions.Forbidden):
            return self._denied(what, message)
        return WarehouseError(f"BigQuery cannot {what}: {_message(message)}{_advice(*reasons)}")

    def _denied(self, what: str, message: str) -> WarehouseError:
        return WarehouseError(
            f"BigQuery does not allow to {what}: {_message(message)} The service account needs "
            "roles/bigquery.jobUser on the project and roles/bigquery.dataEditor on dataset "
            f"{self._dataset}"
        )


def _is_transient(reasons: Iterable[str], message: str) -> bool:
    return not _TRANSIENT_REASONS.isdisjoint(reasons) or any(words in message for words in _TRANSIENT_WORDS)


def _advice(*reasons: str) -> str:
    if "bytesBilledLimitExceeded" in reasons:
        return ' Raise "maximum_bytes_billed" in the configuration, or sync fewer days at once'
    return ""


def _message(text: str) -> str:
    return " ".join(text.split())[:500]
