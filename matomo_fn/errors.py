"""The one tree of errors, cut by what the caller must do.

::

    MatomoFnError
    ├── InputError                 the user fixes the request, configuration, settings or secret (400, exit 2)
    │   ├── UnknownConnector       no secret describes the connector, but others are there
    │   └── SecretMissing          a secret or its file may not or cannot be read
    │       └── SecretNotFound     it is not there
    ├── UnforeseenError            a fault of this program; the log has its class and place (500)
    ├── SecretsUnavailable         Secret Manager did not answer; the same request may succeed later (503)
    ├── BudgetTaken                other runs hold all calls to Matomo; the same request may succeed later (503)
    ├── MatomoError                Matomo failed (502)
    │   ├── MatomoFatal            no further call to this Matomo can succeed: the run ends
    │   │   ├── OutOfTime          the run's time for requests is up
    │   │   ├── Stopped            the run was told to stop
    │   │   └── TokenRefused       never tried again: 21 refusals block the address for an hour
    │   ├── MatomoUnavailable      down, slow or over its limits, also after retries; later may do
    │   │   ├── NotAnswered        the call had a part of the time only; a smaller one may be answered
    │   │   ├── NotTaken           hits that certainly did not reach Matomo: they may be sent again
    │   │   │   └── CallTooLarge   because there are too many of them in one call
    │   │   └── AnswerLost         hits that Matomo may have: they may not be sent again before it was asked
    │   ├── ReportRefused          Matomo understood the call and refused it (API error in the body)
    │   │   ├── SegmentRefused     because of the segment: no call with it can succeed
    │   │   └── SegmentUnprocessed the segment has no archive of these days
    │   └── InvalidResponse            the answer is not what this report answers; nothing of it is written
    └── WarehouseError             the warehouse failed (500)
        ├── SchemaMismatch             a table exists with other columns; it stays untouched
        └── WarehouseUnavailable   later may do (503)
            └── DiskFull           the disk that rows wait on, or that the file of the warehouse is on

No message carries a secret: the transport, which alone knows the token, cleans what it passes on.
"""

from collections.abc import Sequence


class MatomoFnError(Exception):
    """Anything foreseeable that this program reports to its user as a sentence."""

    @property
    def sentences(self) -> tuple[str, ...]:
        """What a user is told: a sentence for each thing that is wrong."""
        return (str(self),)


class InputError(MatomoFnError):
    """What the user gave cannot work; ``problems`` has a sentence for each reason."""

    def __init__(self, problems: Sequence[str] | str) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("; ".join(self.problems))

    @property
    def sentences(self) -> tuple[str, ...]:
        """The problems, one by one."""
        return self.problems


class UnknownConnector(InputError):
    """There is no connector of that name, but there are others."""


class SecretMissing(InputError):
    """A secret does not exist or may not be read."""


class SecretNotFound(SecretMissing):
    """A secret does not exist."""


class UnforeseenError(MatomoFnError):
    """Something that should not be able to happen, in words that can be shown."""


class SecretsUnavailable(MatomoFnError):
    """Secret Manager could not be reached in time."""


class BudgetTaken(MatomoFnError):
    """Other runs of the connector hold all the calls to Matomo that it may make at once."""


class MatomoError(MatomoFnError):
    """Matomo did not do what it was asked."""


class MatomoFatal(MatomoError):
    """No further call to this Matomo can succeed in this run."""


class TokenRefused(MatomoFatal):
    """Matomo refused the token; a retry would bring the address closer to being blocked."""


class OutOfTime(MatomoFatal):
    """The run's time for requests is up; what was not requested remains for the next run."""


class Stopped(MatomoFatal):
    """The run was told to stop, or ended on another thread; what was not requested remains for the next run."""


class MatomoUnavailable(MatomoError):
    """Matomo is down, too slow or over its limits; ``retry_after`` are the seconds that it asked to wait."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        self.retry_after = retry_after
        super().__init__(message)


class NotAnswered(MatomoUnavailable):
    """No answer came in the part of the time that a call had; a smaller one may be answered."""


class NotTaken(MatomoUnavailable):
    """Hits did certainly not reach Matomo."""


class CallTooLarge(NotTaken):
    """The server takes no call of that size."""


class AnswerLost(MatomoUnavailable):
    """Hits were sent, and whether Matomo took them is not known."""


class ReportRefused(MatomoError):
    """Matomo answered the call with an error of its API."""


class SegmentRefused(ReportRefused):
    """Matomo does not take the segment of a call, of whatever report and day."""


class SegmentUnprocessed(ReportRefused):
    """Matomo says that it has not processed the segment, in the place of an empty answer."""


class InvalidResponse(MatomoError):
    """The answer has another shape or other types than this report has."""


class QueueUnavailable(MatomoFnError):
    """The queue of events could not be reached, or did not take what it was given."""


class WarehouseError(MatomoFnError):
    """The warehouse did not do what it was asked."""


class SchemaMismatch(WarehouseError):
    """A table of that name exists and cannot take the rows."""


class WarehouseUnavailable(WarehouseError):
    """The warehouse did not answer in time, or asked to come back later."""


class DiskFull(WarehouseUnavailable):
    """There is no room on a disk of this machine."""
