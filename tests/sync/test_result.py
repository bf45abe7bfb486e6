"""How a run ended, as its callers see it: its verdict, its HTTP status, and whether to deliver the request again."""

from __future__ import annotations

from typing import Any

import pytest

from matomo_fn.sync.result import RunResult, TableResult, Verdict


def result(*, remaining: int = 0, **changes: Any) -> RunResult:
    values: dict[str, Any] = {
        "connector": "shop",
        "run_id": "run1",
        "mode": "incremental",
        "sites": ["1", "2"],
        "first_day": None,
        "last_day": None,
        "tables": {"visitor_country": TableResult(), "visits_summary": TableResult(remaining=remaining)},
        "matomo_errors": [],
        "warehouse_errors": [],
        "warehouse_unavailable": True,
        "token_refused": False,
        "seconds": 1.0,
        "calls": 1,
    }
    return RunResult(**values | changes)


GONE = "site 2 is not there"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (result(), (Verdict.COMPLETE, 200, False)),
        (result(missing=["a day is pending"]), (Verdict.PARTIAL, 200, False)),
        (result(remaining=1), (Verdict.PARTIAL, 200, True)),
        (result(matomo_errors=[GONE], missing_sites=1), (Verdict.FAILED, 502, False)),
        (result(matomo_errors=[GONE], missing_sites=1, remaining=1), (Verdict.FAILED, 502, True)),
        (result(matomo_errors=[GONE, "a report failed"], missing_sites=1), (Verdict.FAILED, 502, True)),
        (result(matomo_errors=["refused"], token_refused=True, remaining=9), (Verdict.FAILED, 400, False)),
        (result(matomo_errors=["a report failed"], warehouse_errors=["busy"]), (Verdict.FAILED, 503, True)),
        (
            result(matomo_errors=["no"], warehouse_errors=["no"], warehouse_unavailable=False),
            (Verdict.FAILED, 500, True),
        ),
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
        "both failed for good",
        "a signal, and slices remain",
        "a signal, and nothing remains",
    ],
)
def test_a_caller_is_told_whose_turn_it_is(found: RunResult, expected: tuple[Verdict, int, bool]) -> None:
    """What only the user can fix is not repeated; the warehouse's failure weighs more than Matomo's."""
    assert (found.verdict, found.http_status, found.may_succeed_later) == expected
