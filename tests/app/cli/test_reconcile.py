"""`reconcile` and what `status` and the function say of it: findings, exit codes, clear errors."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest import mock

import duckdb
import pytest

from tests.app.cli.calling import call
from tests.support import shop as places
from tests.support.shop import DATASET, log_lines

if TYPE_CHECKING:
    from tests.support.shop import Shop

TABLES = ["visits_summary", "visitor_country"]


@pytest.fixture
def place(shop: Shop) -> Shop:
    """A connector whose four days are synced."""
    shop.configure(reports=TABLES, backfill_days=4)
    assert call(shop.env, "sync", "shop").code == 0
    return shop


def old_day() -> str:
    """A synced day that is final, whatever the hour and the site's time zone."""
    return str((datetime.now(UTC) - timedelta(days=3)).date())


def add_visits(place: Shop) -> None:
    """Change a value by hand."""
    with duckdb.connect(str(place.warehouse)) as connection:
        connection.execute(f"update {DATASET}.visitor_country set visits = visits + 1 where date = '{old_day()}'")


def test_the_exit_code_says_whether_something_differs(place: Shop) -> None:
    """0 and counts where nothing does; 1 and a sentence with table, site, day, check and reason otherwise."""
    called = call(place.env, "reconcile", "shop", "--days", "3")
    assert called.code == 0, called.err
    assert "reconciled: " in called.out
    assert " 0 explained, 0 differ" in called.out
    add_visits(place)
    called = call(place.env, "reconcile", "shop", "--days", "3")
    text = " ".join(called.out.split())
    assert called.code == 1
    assert f"visitor_country of site 1, {old_day()}: summed_visits differs (value_changed)" in text
    assert "with mode full_refresh" in text
    found = call(place.env, "reconcile", "shop", "--start-date", old_day(), "--end-date", old_day(), "--json")
    assert (found.code, found.json["status"], found.json["differs"]) == (1, "different", 2)
    assert {finding["table"] for finding in found.json["findings"]} == {"visitor_country"}
    assert found.json["sample"]["of"] == 1


def test_status_sums_up_what_the_checks_last_said(place: Shop) -> None:
    """Until the rows are written again: then it holds no more."""
    add_visits(place)
    assert call(place.env, "reconcile", "shop", "--days", "3").code == 1
    told = " ".join(call(place.env, "status", "shop").out.split())
    assert "visitor_country, 1 slice of 1 site" in told
    assert "summed_visits differs (value_changed)" in told
    quality = call(place.env, "status", "shop", "--json").json["quality"]
    assert (quality["differs"], quality["explained"]) == (2, 0)
    assert {(found["check"], found["reason"]) for found in quality["findings"]} == {
        ("summed_visits", "value_changed"),
        ("refetched_rows", "value_changed"),
    }
    rewritten = ("--mode", "full_refresh", "--start-date", old_day(), "--end-date", old_day())
    assert call(place.env, "sync", "shop", *rewritten).code == 0
    assert call(place.env, "status", "shop", "--json").json["quality"]["differs"] == 0


def test_the_function_reconciles_over_http_and_by_message(place: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """The answer has the findings, and one line of the log raises the alert: WARNING, with how many differ."""
    add_visits(place)
    capsys.readouterr()
    request = {"connector": "shop", "mode": "reconcile", "days": 3}
    answer = place.post(request)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "different")
    data = base64.b64encode(json.dumps(request).encode()).decode()
    message = {"message": {"data": data, "messageId": "7"}, "subscription": "projects/p/subscriptions/s"}
    with mock.patch.dict("os.environ", place.env):
        assert places.events().post("/", json=message).status_code == 200
    events = [line for line in log_lines(capsys.readouterr().out) if line["message"] == "quality_checked"]
    assert [(event["severity"], event["connector"], event["differs"]) for event in events] == [
        ("WARNING", "shop", 2)
    ] * 2


BAD = [
    (("--start-date", "2026-02-30"), "there is no day '2026-02-30'"),
    (("--end-date", "2026-02-20"), "end_date is given without start_date"),
    (("--days", "3", "--start-date", "2026-02-20"), 'mode "reconcile" has one window'),
    (("--days", "0"), "days"),
    (("--sample-days", "-1"), "sample_days"),
    (("--table", "visitor_contry"), "visitor_country"),
    (("--site", "7"), "site 7"),
    (("--start-date", "2999-01-01"), "there is no day"),
]


def test_bad_input_is_a_sentence(place: Shop) -> None:
    """With exit code 2, and nothing is written but who may call Matomo."""
    before = place.contents()
    for arguments, sentence in BAD:
        called = call(place.env, "reconcile", "shop", *arguments)
        assert (called.code, sentence in called.err) == (2, True), called.err
    after = place.contents()
    after[DATASET, "_sync_leases"] = before[DATASET, "_sync_leases"]
    assert after == before


def test_what_never_was_synced_cannot_be_reconciled(shop: Shop) -> None:
    """The place that was looked at is named, and nothing is created."""
    called = call(shop.env, "reconcile", "shop")
    assert called.code != 0
    assert "has never been synced here" in called.err
    assert not shop.warehouse.exists()


def test_it_is_no_mode_of_sync(place: Shop) -> None:
    """The message names the command."""
    called = call(place.env, "sync", "shop", "--mode", "reconcile")
    assert called.code == 2
    assert "matomo-fn reconcile shop" in called.err
