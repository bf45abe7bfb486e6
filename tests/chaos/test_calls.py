"""The rules that calls of Matomo are held to, by calls that break them."""

from __future__ import annotations

import pytest

from tests.chaos.calls import Bounds, Noted, breaches, days_of, twice

BOUNDS = Bounds(at_once=2, per_minute=3, timeout=10)


def call(started: float, ended: float, **more: object) -> Noted:
    return Noted(1, "VisitsSummary.get", (("1", "", "2024-01-01"),), started, ended, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calls", "sentence"),
    [
        ([call(0, 3), call(1, 4), call(2, 5)], "3 calls were out at once, where 2 are allowed"),
        ([call(at, at + 1) for at in (0, 20, 40, 59)], "4 calls in a minute, where 3 are allowed"),
        ([call(at, at + 1, refused=True) for at in (0, 70, 140, 210)], "a refused token was sent 4 times"),
        (
            [call(0, 1, wait=5.0), call(4, 5)],
            "VisitsSummary.get came 3.00 s after Matomo had asked to wait 5 s",
        ),
    ],
)
def test_a_broken_rule_is_told(calls: list[Noted], sentence: str) -> None:
    """Each of them, and nothing else with it."""
    assert breaches(calls, BOUNDS) == [sentence]


def test_calls_that_keep_the_rules_are_no_breach() -> None:
    """As many at once and a minute as are allowed; a call that was given up is not out any more."""
    calls = [call(0, 300), call(1, 3), call(11, 12), call(61, 62), call(62, 63)]
    assert breaches(calls, BOUNDS) == []


def test_a_slice_that_is_requested_three_times_counts_twice() -> None:
    """Alone, in a range, and inside of a bulk request."""
    alone = {"method": "VisitsSummary.get", "idSite": "1", "date": "2024-01-02"}
    ranged = {"method": "VisitsSummary.get", "idSite": "1", "date": "2024-01-01,2024-01-03"}
    bulk = {"urls[0]": "method=VisitsSummary.get&idSite=1&date=2024-01-02,2024-01-02"}
    calls = [Noted(1, "VisitsSummary.get", tuple(days_of(params)), 0.0) for params in (alone, ranged, bulk)]
    assert [len(each.days) for each in calls] == [1, 3, 1]
    assert twice(calls) == 2
