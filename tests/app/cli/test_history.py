"""`history` shows the runs, as the log has them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from fake_matomo import Fault
from tests.app.cli.calling import call

if TYPE_CHECKING:
    from tests.support.shop import Shop

SCHEDULED = {"X-CloudScheduler-JobName": "daily", "X-CloudScheduler-ScheduleTime": "2026-01-02T03:04:05Z"}


def test_runs_are_shown_newest_first_with_what_became_of_their_slices(shop: Shop) -> None:
    """When each began and what by, how long it took, slices by status, rows written."""
    first = call(shop.env, "sync", "shop", "--json").json
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", message="no such thing"))
    second = shop.post({"connector": "shop"}, headers=SCHEDULED).get_json()
    found = call(shop.env, "history", "shop", "--json")
    runs = found.json["runs"]
    assert (found.code, found.json["connector"]) == (0, "shop")
    assert [run["run_id"] for run in runs] == [second["run_id"], first["run_id"]]
    assert [run["request"] for run in runs] == ["schedule daily 2026-01-02T03:04:05Z", None]
    assert [run["status"] for run in runs] == ["failed", "complete"]
    assert [{key: run[key] for key in ("written", "unchanged", "pending", "failed", "remaining")} for run in runs] == [
        {"written": 0, "unchanged": 3, "pending": 0, "failed": 3, "remaining": 0},
        {"written": 8, "unchanged": 0, "pending": 0, "failed": 0, "remaining": 0},
    ]
    assert [run["rows"] for run in runs] == [0, sum(table["rows"] for table in first["tables"].values())]
    assert all(0 <= run["seconds"] < 60 for run in runs)
    assert timedelta() <= datetime.now(UTC) - datetime.fromisoformat(runs[0]["started"]) < timedelta(minutes=2)


def test_a_table_has_a_line_for_each_run_and_no_column_of_zeros(shop: Shop) -> None:
    """Of at most so many as are asked for."""
    for _ in range(3):
        call(shop.env, "sync", "shop", "--mode", "full_refresh")
    called = call(shop.env, "history", "shop", "--limit", "2")
    head, *lines = called.out.splitlines()
    assert (called.code, called.err, len(lines)) == (0, "", 2)
    assert head.split() == ["started", "(UTC)", "took", "status", "written", "unchanged", "rows"]
    shop.post({"connector": "shop"}, headers=SCHEDULED)
    assert "schedule daily 2026-" in call(shop.env, "history", "shop").out.splitlines()[1]


def test_a_quiet_run_is_shown(shop: Shop) -> None:
    """It wrote nothing, and is the proof that somebody looked."""
    call(shop.env, "sync", "shop")
    call(shop.env, "sync", "shop")
    newest, _ = call(shop.env, "history", "shop", "--json").json["runs"]
    assert (newest["written"], newest["unchanged"], newest["status"]) == (0, 6, "complete")


def test_a_connector_that_never_ran_has_no_history(shop: Shop) -> None:
    """Said as by `status`."""
    called = call(shop.env, "history", "shop")
    assert (called.code, called.out, called.errors) == (1, "", call(shop.env, "status", "shop").errors)
