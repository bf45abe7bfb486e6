"""The same request to several connectors: one after the other, each with its share of the time."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from matomo_fn.config.request import SeveralRequests, SyncRequest
from matomo_fn.config.settings import Settings
from matomo_fn.errors import MatomoFnError, Stopped, UnforeseenError
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.verdict import Verdict

Outcome = TypeVar("Outcome")

# The statuses that an answer can have, the gravest last.
_GRAVITY = (
    *("planned", "consistent", str(Verdict.COMPLETE)),
    *("different", str(Verdict.HANDED_ON), str(Verdict.PARTIAL), str(Verdict.STOPPED), str(Verdict.FAILED)),
)


def for_each(
    settings: Settings,
    requests: SeveralRequests,
    do: Callable[[Settings, SyncRequest], Outcome],
    is_stopped: Callable[[Outcome], bool],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[SyncRequest, Outcome | MatomoFnError]]:
    """Yield what came of each request, or the error that ended it: one that fails does not keep the others.

    The time budget is shared: each connector has an equal part of what remains, so that what a short run leaves is for
    those behind it, and one that takes long does not take the time of the others. After an outcome that ``is_stopped``,
    by a signal, none is begun.
    """
    ends = clock() + settings.time_budget
    ended = False
    for index, request in enumerate(requests.each):
        if ended:
            yield request, Stopped("stopped before it began")
            continue
        share = settings
        if settings.time_budget:
            seconds = (ends - clock()) / (len(requests.each) - index)
            share = settings.model_copy(update={"time_budget": max(1, int(seconds))})
        try:
            outcome = do(share, request)
        except MatomoFnError as error:
            ended = isinstance(error, Stopped)
            yield request, error
        except Exception as error:  # noqa: BLE001 - it costs this connector, and the others go on
            yield request, UnforeseenError(note_unforeseen(error, connector=request.connector))
        else:
            ended = is_stopped(outcome)
            yield request, outcome


def combined(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the answers of several connectors, by name, as one, with the gravest status of all."""
    gravest = max((answer["status"] for answer in answers.values()), key=_GRAVITY.index)
    return {"status": gravest, "connectors": dict(answers)}
