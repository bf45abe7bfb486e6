"""How a run ended, as its callers see it: its verdict, its HTTP status, and whether to deliver the request again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.errors import TokenRefused, WarehouseError, WarehouseUnavailable
from matomo_fn.sync.result import About, Failures, RunResult, TableResult
from matomo_fn.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence


def result(
    *,
    remaining: int = 0,
    gone: Sequence[str] = (),
    missing: Sequence[str] = (),
    stopped_by: str | None = None,
    **failed: Any,
) -> RunResult:
    """A run of two tables, of which one has slices that remain; ``gone`` and ``failed``: its failures."""
    return RunResult(
        about=About(connector="shop", run_id="run1", mode="incremental", sites=["1", "2"]),
        tables={"visitor_country": TableResult(), "visits_summary": TableResult(remaining=remaining)},
        seconds=1,
        calls=1,
        failures=Failures(missing=gone, **failed),
        missing=missing,
        stopped_by=stopped_by,
    )


GONE = "site 2 is not there"
BUSY, BROKEN = WarehouseUnavailable("busy"), WarehouseError("no such column")


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (result(), (Verdict.COMPLETE, 200, False)),
        (result(missing=["a day is pending"]), (Verdict.PARTIAL, 200, False)),
        (result(remaining=1), (Verdict.PARTIAL, 200, True)),
        (result(gone=[GONE]), (Verdict.FAILED, 502, False)),
        (result(gone=[GONE], remaining=1), (Verdict.FAILED, 502, True)),
        (result(gone=[GONE], slices=["a report failed"]), (Verdict.FAILED, 502, True)),
        (result(fatal=TokenRefused("refused"), remaining=9), (Verdict.FAILED, 400, False)),
        (result(slices=["a report failed"], warehouse=[BUSY]), (Verdict.FAILED, 503, True)),
        (result(slices=["a report failed"], warehouse=[BUSY, BROKEN]), (Verdict.FAILED, 500, True)),
        (result(stopped_by="SIGTERM", remaining=1), (Verdict.STOPPED, 503, True)),
        (result(stopped_by="SIGTERM"), (Verdict.COMPLETE, 200, False)),
    ],
    ids=[
        "all is done",
        "a day is pending",
        "time was up",
        "a site is gone",
        "a site is gone and time was up",
        "a site is gone and a report failed",
        "the token is refused",
        "both failed and the warehouse is busy",
        "both failed, the warehouse for good",
        "a signal, and slices remain",
        "a signal, and nothing remains",
    ],
)
def test_a_caller_is_told_whose_turn_it_is(found: RunResult, expected: tuple[Verdict, int, bool]) -> None:
    """What only the user can fix is not repeated; the warehouse's failure weighs more than Matomo's."""
    assert (found.verdict, found.http_status, found.may_succeed_later) == expected
