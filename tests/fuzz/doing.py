"""What is done with a warehouse that somebody has changed: a run of any kind, or a look at it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import event
from hypothesis import strategies as st

from matomo_fn.app.audit import run_audit
from matomo_fn.app.history import read_history
from matomo_fn.app.status import read_status
from matomo_fn.config.request import read_request
from tests.fuzz.fuzzing import assert_sentence, nothing_unforeseen, outcome_of
from tests.fuzz.place import SPAN, TABLES, Place

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = ("incremental", "backfill", "full_refresh")
LOOKS = ("plan", "audit", "status", "history")


@dataclass(frozen=True)
class Doing:
    """A mode of a run, or the name of a look, and the tables that it names."""

    what: str
    tables: tuple[str, ...]


DOINGS = st.builds(
    Doing,
    st.sampled_from((*RUNS, *LOOKS)),
    st.lists(st.sampled_from(TABLES), min_size=1, max_size=2, unique=True).map(tuple),
)


def do(place: Place, doing: Doing) -> Any:
    """Do it and return what came of it; whatever is said is in sentences, and nothing is unforeseen."""
    with nothing_unforeseen():
        result = outcome_of(_call(place, doing))
    event(f"{doing.what}: {type(result).__name__} {getattr(result, 'verdict', '')}")
    if isinstance(result, Exception):
        return result
    said = result if isinstance(result, list | tuple) else result.as_dict()
    if isinstance(said, dict):
        for sentence in (*said.get("errors", ()), *said.get("problems", ())):
            assert_sentence(sentence)
    return result


def _call(place: Place, doing: Doing) -> Callable[[], Any]:
    if doing.what in RUNS:
        return partial(place.shop.sync, mode=doing.what, tables=doing.tables, **SPAN)
    match doing.what:
        case "plan":
            return lambda: _PlanDict(place.shop.plan(tables=list(doing.tables)))
        case "audit":
            request = read_request({"connector": "shop", "mode": "audit", "tables": list(doing.tables)})
            return partial(run_audit, place.settings, request)
        case "status":
            return partial(read_status, place.settings, "shop")
        case _:
            return lambda: [each.as_dict() for each in read_history(place.settings, "shop", most=20)]


class _PlanDict:
    """A plan, which is printed where it is wanted."""

    def __init__(self, plan: Any) -> None:
        self.plan = plan

    def as_dict(self) -> dict[str, Any]:
        """Return how much is due."""
        return {"slices": self.plan.slices}
