"""The two entry points behind the Functions Framework: statuses, the summary's shape, deliveries of a message."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any
from unittest import mock

import duckdb
import pytest

from fake_matomo import Fault, maintenance
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.clock import Clock, budget_by
from tests.support.ports import LOCAL, free_ports
from tests.support.server import serving
from tests.support.shop import DATASET, Shop, log_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse

REQUEST = {
    "connector": "shop",
    "start_date": "2024-03-05",
    "end_date": "2024-03-06",
    "tables": ["visits_summary", "visitor_country"],
}
LOG = (DATASET, "_sync_log")
# So that all tries of a call are made without waiting.
AT_ONCE = {"Retry-After": "0"}
COUNTRIES = "UserCountry.getCountry"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """A connector that works, and an empty warehouse."""
    with shop.running(tmp_path) as running:
        yield running


# ---- an audit


def test_an_audit_over_http_answers_what_differs_and_warns(place: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a schedule can run it and an alert can see it; a message runs the same audit, and none needs a token."""
    assert place.post(REQUEST).status_code == 200
    (place.secrets / "matomo-shop-token").unlink()
    audit = {"connector": "shop", "mode": "audit"}
    assert place.post(audit).get_json()["status"] == "consistent"
    with duckdb.connect(str(place.warehouse)) as connection:
        connection.execute(f"delete from {DATASET}.visitor_country where date = '2024-03-05'")
    capsys.readouterr()
    found = place.post(audit | {"dry_run": True})
    assert (found.status_code, found.get_json()["status"], found.get_json()["marked_pending"]) == (200, "different", 0)
    (event,) = [line for line in log_lines(capsys.readouterr().out) if line["message"] == "audit_finished"]
    assert (event["severity"], event["slices"]) == ("WARNING", 1)
    assert event["differences"][0].startswith("visitor_country of site 1, 2024-03-05: another number of rows")
    data = base64.b64encode(json.dumps(audit).encode()).decode()
    message = {"message": {"data": data, "messageId": "7"}, "subscription": "projects/p/subscriptions/s"}
    with mock.patch.dict("os.environ", place.env):
        assert shop.events().post("/", json=message).status_code == 200
    statuses = [row["status"] for row in place.contents()[LOG] if row["table_name"] == "visitor_country"]
    assert sorted(statuses) == ["pending", "written", "written"]


@pytest.mark.parametrize("more", [{"start_date": "2024-03-05"}, {"sites": ["1"]}, {"tables": ["visitor_contry"]}])
def test_an_audit_of_less_than_all_days_and_sites_is_refused(place: Shop, more: dict[str, Any]) -> None:
    """Nor is a misspelt table taken for none."""
    answer = place.post({"connector": "shop", "mode": "audit", **more})
    assert answer.status_code == 400
    assert answer.get_json()["errors"]


# ---- HTTP


def test_the_summary_says_what_was_done_with_each_table(place: Shop) -> None:
    """Per table days, rows, and slices by what became of them; of the run its id, days, calls and seconds."""
    answer = place.post(REQUEST)
    summary = answer.get_json()
    rows = {name: len(place.contents()[(DATASET, name)]) for name in ("visits_summary", "visitor_country")}
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert {name: {**table, "seconds": 0} for name, table in summary.pop("tables").items()} == {
        name: {
            "days": 2,
            "rows": rows[name],
            "written": 2,
            "unchanged": 0,
            "pending": 0,
            "failed": 0,
            "remaining": 0,
            "seconds": 0,
        }
        for name in rows
    }
    (run_id,) = {row["run_id"] for row in place.contents()[LOG]}
    assert summary.pop("seconds") >= 0
    assert summary == {
        "status": "complete",
        "connector": "shop",
        "run_id": run_id,
        "mode": "incremental",
        "sites": ["1"],
        "first_day": "2024-03-05",
        "last_day": "2024-03-06",
        # How far the tables reach is asked of no run about days that its request named.
        "newest_day": None,
        "days_late": None,
        "oldest_pending_day": None,
        "days_pending": None,
        # Nor are the reference tables.
        "reference_tables": {},
        "changed_slices": 0,
        "changed": [],
        # The days are older than the trailing ones, which alone are checked.
        "quality": None,
        "errors": [],
        "missing": [],
        "notes": [],
        # Version, sites, and both reports in one call.
        "matomo_calls": 3,
    }


def test_a_second_run_finds_everything_unchanged(place: Shop) -> None:
    """Asked again, compared, and not written."""
    place.post(REQUEST)
    tables = place.post(REQUEST).get_json()["tables"]
    assert {(table["written"], table["unchanged"], table["rows"]) for table in tables.values()} == {(0, 2, 0)}


def test_what_is_left_pending_and_failed_is_counted_apart(place: Shop) -> None:
    """A day that Matomo has not processed is pending and no error, in every table; a refused one is failed."""
    place.matomo.unprocess(1, date(2024, 3, 5))
    place.matomo.faults.add(Fault(method=COUNTRIES, day=date(2024, 3, 6), message="no"))
    summary = place.post(REQUEST).get_json()
    assert {key: summary["tables"]["visits_summary"][key] for key in ("written", "pending", "failed")} == {
        "written": 1,
        "pending": 1,
        "failed": 0,
    }
    assert summary["missing"] == [
        "visitor_country and visits_summary of site 1 on 2024-03-05: Matomo has visits of that day but has not "
        "processed its reports yet"
    ]
    assert {key: summary["tables"]["visitor_country"][key] for key in ("pending", "failed")} == {
        "pending": 1,
        "failed": 1,
    }
    assert len(summary["errors"]) == 1


def test_a_dry_run_tells_the_plan_and_leaves_no_trace(place: Shop) -> None:
    """Not even the warehouse's file; of Matomo only the version and the sites are asked."""
    answer = place.post({**REQUEST, "dry_run": True})
    each = {"slices": 2, "open": 2, "reasons": {"missing": 2}, "first_day": "2024-03-05", "last_day": "2024-03-06"}
    assert answer.status_code == 200
    assert answer.get_json() == {
        "status": "planned",
        "connector": "shop",
        "dataset": DATASET,
        "mode": "incremental",
        "sites": ["1"],
        "tables": {"visits_summary": each, "visitor_country": each},
        "reference_tables": [],
        "slices": 4,
        # Of the run: both reports at once.
        "matomo_calls": 1,
        "problems": [],
    }
    assert not place.warehouse.exists()
    assert {call.method.partition(".")[0] for call in place.matomo.calls} == {"API", "SitesManager"}


@pytest.mark.parametrize(
    ("request_", "env", "fault", "status"),
    [
        ({}, {}, None, 200),
        ({"tables": []}, {}, None, 400),
        ({}, {"MATOMO_FN_LOG_FORMAT": "x"}, None, 400),
        ({}, {}, Fault(status=503, headers=AT_ONCE, body="down"), 502),
        ({}, {"MATOMO_FN_WAREHOUSE": "duckdb:/"}, None, 500),
    ],
)
def test_the_status_says_whose_turn_it_is(
    place: Shop, request_: dict[str, Any], env: dict[str, str], fault: Fault | None, status: int
) -> None:
    """400 the caller's, 502 Matomo's, 500 the warehouse's."""
    if fault:
        place.matomo.faults.add(fault)
    with mock.patch.dict("os.environ", place.env | env):
        assert shop.http().post("/", json={**REQUEST, **request_}).status_code == status


def test_a_bigquery_that_does_not_answer_is_503(place: Shop) -> None:
    """A later attempt may do; within the time that the run has."""
    (port,) = free_ports(1)
    answer = place.post(
        REQUEST,
        MATOMO_FN_WAREHOUSE="bigquery",
        GOOGLE_CLOUD_PROJECT="test",
        BIGQUERY_EMULATOR_HOST=f"{LOCAL}:{port}",
        MATOMO_FN_TIME_BUDGET="1",
    )
    assert answer.status_code == 503
    (sentence,) = answer.get_json()["errors"]
    assert sentence.startswith("BigQuery ")


def test_another_method_than_post_and_get_is_405(place: Shop) -> None:
    """GET is the page (tests/app/report/test_serve.py); no other one starts a run either."""
    with mock.patch.dict("os.environ", place.env):
        answer = shop.http().put("/", json=REQUEST)
    assert answer.status_code == 405
    assert place.matomo.http_requests == 0


def test_a_pending_day_is_partial_and_is_not_repeated_at_once(place: Shop) -> None:
    """200 over HTTP, and the message is taken: Matomo processes days by a schedule of its own, within hours."""
    place.matomo.unprocess(1, date(2024, 3, 5))
    answer = place.post(REQUEST)
    assert (answer.status_code, answer.get_json()["status"]) == (200, "partial")
    assert len(answer.get_json()["missing"]) == 1
    assert binary(place, REQUEST).status_code == 200


def test_what_remains_is_delivered_again(place: Shop) -> None:
    """Another delivery goes on where this one stopped."""
    place.configure(page_rows=1000)  # reports that are paged share no call
    clock = Clock()
    place.matomo.faults.add(Fault(method="VisitsSummary.get", mutate=clock.taking(38), times=1))
    with budget_by(clock):
        answer = binary(place, REQUEST, MATOMO_FN_TIME_BUDGET="50")
    assert answer.status_code == 503
    assert "the run is partial: slices remain" in answer.text


EARLY = {
    "no JSON": ("{", None, 400),
    "an unknown connector": ({"connector": "shpo"}, "shpo", 400),
    "an unknown field": ({"connector": "shop", "day": 1}, None, 400),
    "a refused token": ({"connector": "shop"}, "shop", 400),
}


@pytest.mark.parametrize("case", EARLY)
def test_a_failure_is_one_error_line_with_run_and_connector(
    case: str, place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """In the answer as in the log, however early it came."""
    place.matomo.tokens.remove(CANARY)
    request, connector, status = EARLY[case]
    body = request if isinstance(request, str) else json.dumps(request)
    with mock.patch.dict("os.environ", place.env):
        answer = shop.http().post("/", data=body)
    (line,) = log_lines(capfd.readouterr().out)
    assert (answer.status_code, line["severity"]) == (status, "ERROR")
    assert answer.get_json()["connector"] == line.get("connector") == connector
    assert answer.get_json()["run_id"] == line["run_id"]
    assert answer.get_json()["errors"] == line.get("errors", line.get("problems"))


SCHEDULER = {"X-CloudScheduler-JobName": "daily", "X-CloudScheduler-ScheduleTime": "2026-01-02T03:04:05Z"}


def test_the_schedulers_second_attempt_goes_on_where_the_first_stopped(place: Shop) -> None:
    """Job and time are the same, so what the first attempt wrote is not asked again; at another time it is."""
    place.matomo.faults.add(Fault(method=COUNTRIES, message="no"))
    assert place.post(REQUEST, headers=SCHEDULER).status_code == 502
    place.matomo.faults.clear()
    place.matomo.forget_calls()
    second = place.post(REQUEST, headers=SCHEDULER).get_json()
    assert {name: table["days"] for name, table in second["tables"].items()} == {
        "visits_summary": 0,
        "visitor_country": 2,
    }
    assert "VisitsSummary.get" not in {call.method for call in place.matomo.calls}
    assert {row["request_id"] for row in place.contents()[LOG]} == {"schedule daily 2026-01-02T03:04:05Z"}
    place.post(REQUEST, headers={**SCHEDULER, "X-CloudScheduler-ScheduleTime": "2026-01-03T03:04:05Z"})
    assert "VisitsSummary.get" in {call.method for call in place.matomo.calls}


def test_a_caller_without_schedule_is_a_request_of_its_own(place: Shop) -> None:
    """Each run then has its own id for the request."""
    place.post(REQUEST)
    place.post(REQUEST)
    log = place.contents()[LOG]
    assert len({row["request_id"] for row in log}) == 2
    assert all(row["request_id"] == row["run_id"] for row in log)


def test_several_requests_at_once_are_served(place: Shop) -> None:
    """Gunicorn runs several threads: a real server with threads, two runs, the same tables as after one."""
    import concurrent.futures
    import urllib.request

    with serving("sync", env=place.env) as url:

        def post(_: int) -> Any:
            body = json.dumps(REQUEST).encode()
            with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:
                return json.load(answer)

        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(post, range(2)))
    assert {answer["status"] for answer in answers} == {"complete"}
    assert len({answer["run_id"] for answer in answers}) == 2
    assert len(place.contents()[(DATASET, "visits_summary")]) == 2


# ---- Pub/Sub


def message(request: object, *, message_id: str = "42") -> dict[str, Any]:
    text = request if isinstance(request, str) else json.dumps(request)
    data = base64.b64encode(text.encode()).decode()
    return {"message": {"data": data, "messageId": message_id}, "subscription": "projects/p/subscriptions/s"}


def event(message_id: str) -> dict[str, str]:
    return {
        "id": message_id,
        "type": "google.cloud.pubsub.topic.v1.messagePublished",
        "source": "//pubsub.googleapis.com/projects/p/topics/t",
        "specversion": "1.0",
    }


def binary(place: Shop, request: object, *, message_id: str = "42", **env: str) -> TestResponse:
    headers = {f"ce-{name}": value for name, value in event(message_id).items()}
    with mock.patch.dict("os.environ", place.env | env):
        return shop.events().post("/", json=message(request, message_id=message_id), headers=headers)


def structured(place: Shop, request: object, *, message_id: str = "42") -> TestResponse:
    body = {**event(message_id), "datacontenttype": "application/json", "data": message(request)}
    headers = {"Content-Type": "application/cloudevents+json"}
    with mock.patch.dict("os.environ", place.env):
        return shop.events().post("/", data=json.dumps(body), headers=headers)


def raw_push(place: Shop, request: object, *, message_id: str = "42", attempt: int = 0) -> TestResponse:
    body = message(request, message_id=message_id) | ({"deliveryAttempt": attempt} if attempt else {})
    body["message"] |= {"publishTime": "2026-01-02T03:04:05.678Z", "attributes": {}}
    with mock.patch.dict("os.environ", place.env):
        return shop.events().post("/projects/p/topics/t?pubsub_trigger=true", json=body)


@pytest.mark.parametrize("deliver", [binary, structured, raw_push])
def test_a_message_is_taken_in_each_form(place: Shop, deliver: Any) -> None:
    """Binary and structured CloudEvents, and Pub/Sub's own push; the id of the message is that of the request."""
    assert deliver(place, REQUEST).status_code == 200
    assert {row["request_id"] for row in place.contents()[LOG]} == {"message 42"}
    assert len(place.contents()[(DATASET, "visits_summary")]) == 2


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (
            "{connector",
            "message is not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2)",
        ),
        ("", 'message is empty: it has to be a JSON object such as {"connector": "shop"}'),
        ({"connector": "shop", "mode": "x"}, None),
    ],
)
def test_a_message_that_can_never_succeed_is_taken_and_logged(
    place: Shop, capfd: pytest.CaptureFixture[str], request_: object, problem: str | None
) -> None:
    """Delivered again it would fail again, for days."""
    assert binary(place, request_).status_code == 200
    output = capfd.readouterr()
    (line,) = log_lines(output.out)
    assert (line["severity"], line["message"], line["message_id"]) == ("ERROR", "message_refused", "42")
    modes = "'incremental', 'intraday', 'sweep', 'backfill', 'full_refresh', 'audit', 'reconcile' or 'deliver'"
    expected = problem or f'request: mode has to be {modes}, not "x"'
    assert line["problems"] == [expected]
    assert "Traceback" not in output.err
    assert not place.warehouse.exists()


@pytest.mark.parametrize("data", [{"message": {"data": "!"}}, {"message": []}, {"x": 1}, [], 3])
def test_an_event_that_is_no_message_is_taken_and_logged(
    place: Shop, capfd: pytest.CaptureFixture[str], data: object
) -> None:
    """Whatever it is, a sentence and no traceback."""
    headers = {f"ce-{name}": value for name, value in event("1").items()}
    with mock.patch.dict("os.environ", place.env):
        assert shop.events().post("/", json=data, headers=headers).status_code == 200
    output = capfd.readouterr()
    (line,) = log_lines(output.out)
    assert line["problems"] in (["the event is not a Pub/Sub message"], ["the message's data is not base64"])
    assert "Traceback" not in output.err


def test_a_refused_token_is_not_tried_again(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """21 refusals block the address for an hour: the message is taken, the error logged, the token nowhere."""
    place.matomo.tokens.remove(CANARY)
    assert binary(place, REQUEST).status_code == 200
    output = capfd.readouterr()
    (line,) = log_lines(output.out)
    assert (line["message"], line["severity"], line["message_id"]) == ("run_finished", "ERROR", "42")
    assert place.matomo.http_requests == 1
    assert_absent(out=output.out, err=output.err, warehouse=place.warehouse)


def test_a_matomo_that_is_down_is_tried_again(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """No 2xx, so Pub/Sub delivers again; the reason stands in the log, in a line and no traceback."""
    place.matomo.faults.add(replace(maintenance(), headers=AT_ONCE))
    answer = binary(place, REQUEST)
    output = capfd.readouterr()
    reason = "API.getMatomoVersion: Matomo is in maintenance or overloaded (HTTP 503)"
    assert answer.status_code == 503
    assert reason in answer.text
    (line,) = (line for line in log_lines(output.out) if line["severity"] == "ERROR")
    assert (line["message"], line["errors"], line["message_id"]) == ("run_finished", [reason], "42")
    assert "Traceback" not in output.out + output.err + answer.text


def test_the_second_delivery_goes_on_where_the_first_stopped(place: Shop) -> None:
    """What the first wrote is not asked again; another message with the same words is a new request."""
    place.matomo.faults.add(Fault(method=COUNTRIES, message="no", times=3))
    assert binary(place, REQUEST).status_code == 503
    place.matomo.forget_calls()
    assert binary(place, REQUEST).status_code == 200
    assert "VisitsSummary.get" not in {call.method for call in place.matomo.calls}
    written = [row["status"] for row in place.contents()[LOG]].count("written")
    assert written == 4
    assert binary(place, REQUEST, message_id="43").status_code == 200
    assert "VisitsSummary.get" in {call.method for call in place.matomo.calls}


def test_a_dry_run_by_message_logs_the_plan(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """There is nobody to answer to."""
    assert binary(place, {**REQUEST, "dry_run": True}).status_code == 200
    (line,) = log_lines(capfd.readouterr().out)
    assert (line["message"], line["slices"]) == ("plan", 4)
    assert not place.warehouse.exists()
