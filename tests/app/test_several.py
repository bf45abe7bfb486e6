"""The same request to several connectors: each alone, one after the other, with its share of the time."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from fake_matomo import Fault, maintenance
from matomo_fn.app.logs import configure_logs
from matomo_fn.app.several import combined, for_each
from matomo_fn.config.request import SeveralRequests, SyncRequest, read_requests
from matomo_fn.config.settings import Settings, read_settings
from matomo_fn.errors import InputError, MatomoFnError, Stopped, UnforeseenError
from tests.app.cli.calling import call
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.shop import Shop

WINDOW = {"start_date": "2024-03-05", "end_date": "2024-03-06", "tables": ["visits_summary"]}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """Two connectors of one Matomo, each with a dataset and a site of its own."""
    with shop.running(tmp_path) as running:
        config = {"matomo_url": running.matomo.url, "sites": ["2"]}
        (running.secrets / "matomo-blog-config").write_text(json.dumps(config))
        (running.secrets / "matomo-blog-token").write_text(CANARY)
        yield running


def requests(*names: str) -> SeveralRequests:
    found = read_requests({"connector": list(names)}, list)
    assert isinstance(found, SeveralRequests)
    return found


def settings(folder: Path, **more: str) -> Settings:
    return read_settings({"MATOMO_FN_SECRETS": str(folder), "MATOMO_FN_WAREHOUSE": "duckdb:x", **more})


def rows(place: Shop, dataset: str) -> set[tuple[str, str]]:
    found = place.contents().get((dataset, "visits_summary"), [])
    return {(str(row["date"]), row["website_id"]) for row in found}


DAYS = ("2024-03-05", "2024-03-06")
SCHEDULER = {"X-CloudScheduler-JobName": "daily", "X-CloudScheduler-ScheduleTime": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("connector", "env"),
    [
        (["blog", "shop", "blog"], {}),
        ("all", {}),
        ("all", {"MATOMO_FN_CONNECTORS": "shop, blog"}),
    ],
)
def test_each_connector_is_synced_and_answered_by_name(place: Shop, connector: object, env: dict[str, str]) -> None:
    """Each once, in a run of its own."""
    with mock.patch.dict("os.environ", env):
        answer = place.post({"connector": connector, **WINDOW})
    found = answer.get_json()
    assert (answer.status_code, found["status"]) == (200, "complete")
    assert set(found["connectors"]) == {"shop", "blog"}
    assert {one["connector"] for one in found["connectors"].values()} == {"shop", "blog"}
    assert len({one["run_id"] for one in found["connectors"].values()}) == 2
    assert rows(place, "matomo_shop") == {(day, "1") for day in DAYS}
    assert rows(place, "matomo_blog") == {(day, "2") for day in DAYS}


def test_all_is_what_the_settings_name_and_nothing_else(place: Shop) -> None:
    """A function that may not list secrets knows its connectors by the variable."""
    found = place.post({"connector": "all", **WINDOW}, MATOMO_FN_CONNECTORS="blog").get_json()
    assert set(found["connectors"]) == {"blog"}
    assert rows(place, "matomo_shop") == set()


def test_a_connector_that_cannot_work_does_not_keep_the_others(place: Shop) -> None:
    """Its answer has the sentences, and the status of the whole is the gravest."""
    (place.secrets / "matomo-blog-config").write_text("{")
    answer = place.post({"connector": ["blog", "shop"], **WINDOW})
    found = answer.get_json()
    assert (answer.status_code, found["status"]) == (400, "failed")
    assert found["connectors"]["shop"]["status"] == "complete"
    (sentence,) = found["connectors"]["blog"]["errors"]
    assert "is not valid JSON" in sentence
    assert rows(place, "matomo_shop") == {(day, "1") for day in DAYS}


def test_the_schedulers_second_attempt_goes_on_where_each_connector_stopped(place: Shop) -> None:
    """What the first attempt wrote for one connector is not requested again because another one failed."""
    place.matomo.faults.add(Fault(method="VisitsSummary.get", site=2, message="no"))
    assert place.post({"connector": "all", **WINDOW}, headers=SCHEDULER).status_code == 502
    place.matomo.faults.clear()
    second = place.post({"connector": "all", **WINDOW}, headers=SCHEDULER).get_json()["connectors"]
    assert {name: one["tables"]["visits_summary"]["days"] for name, one in second.items()} == {"shop": 0, "blog": 2}


def test_plans_and_audits_of_several_connectors_are_answered_too(place: Shop) -> None:
    """Nothing is requested or written by them."""
    planned = place.post({"connector": "all", **WINDOW, "dry_run": True}).get_json()
    assert (planned["status"], set(planned["connectors"])) == ("planned", {"shop", "blog"})
    assert not place.warehouse.exists()
    place.post({"connector": "all", **WINDOW})
    audited = place.post({"connector": "all", "mode": "audit"}).get_json()
    assert (audited["status"], audited["connectors"]["blog"]["status"]) == ("consistent", "consistent")


@pytest.mark.parametrize(
    ("connector", "sentence"),
    [
        ([], 'request: connector: names no connector: list at least one, or set it to "all"'),
        ([1], 'request: connector: has to be a name, a list of names, or "all"'),
        (
            ["shop", "All"],
            "request: connector: 'All' is not a connector name: lower-case letters, digits and hyphens",
        ),
        (["shop", "all"], "request: connector: 'all' stands for every connector: no connector can have that name"),
    ],
)
def test_what_names_no_connectors_is_refused(place: Shop, connector: object, sentence: str) -> None:
    """Before anything is done for one of them."""
    answer = place.post({"connector": connector, **WINDOW})
    assert (answer.status_code, answer.get_json()["errors"]) == (400, [sentence])
    assert not place.warehouse.exists()


def test_all_of_no_connectors_is_refused(tmp_path: Path, place: Shop) -> None:
    """An empty folder is more likely a mistake than a wish."""
    empty = tmp_path / "empty"
    empty.mkdir()
    answer = place.post({"connector": "all"}, MATOMO_FN_SECRETS=str(empty))
    assert answer.status_code == 400
    assert answer.get_json()["errors"] == [
        'there is no connector: "all" stands for those that have a secret matomo-NAME-config'
    ]


def deliver(place: Shop, request: object) -> int:
    data = base64.b64encode(json.dumps(request).encode()).decode()
    message = {"message": {"data": data, "messageId": "7"}, "subscription": "projects/p/subscriptions/s"}
    with mock.patch.dict("os.environ", place.env):
        return shop.events().post("/", json=message).status_code


def test_a_message_is_delivered_again_for_the_one_that_may_get_further(
    place: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other one is not synced a second time."""
    place.matomo.faults.add(maintenance(Fault(site=2, headers={"Retry-After": "0"})))
    request = {"connector": "all", **WINDOW}
    assert deliver(place, request) == 503
    assert rows(place, "matomo_shop") == {(day, "1") for day in DAYS}
    place.matomo.faults.clear()
    capsys.readouterr()
    assert deliver(place, request) == 200
    assert rows(place, "matomo_blog") == {(day, "2") for day in DAYS}
    ended = [line for line in shop.log_lines(capsys.readouterr().out) if line["message"] == "run_finished"]
    assert {line["connector"]: line["tables"].get("visits_summary", {}).get("written", 0) for line in ended} == {
        "blog": 2,
        "shop": 0,
    }


def test_what_a_short_run_leaves_of_the_time_is_for_those_behind_it(tmp_path: Path) -> None:
    """Ninety seconds for three: thirty each, and more for the third where the second takes ten."""
    clock = Clock()
    shares: list[tuple[str, int]] = []
    takes = {"a": 30, "b": 10, "c": 50}

    def do(share: Settings, request: SyncRequest) -> str:
        shares.append((request.connector, share.time_budget))
        clock.taking(takes[request.connector])(None)
        return request.connector

    given = settings(tmp_path, MATOMO_FN_TIME_BUDGET="90")
    assert len(list(for_each(given, requests("a", "b", "c"), do, lambda _: False, clock))) == 3
    assert shares == [("a", 30), ("b", 30), ("c", 50)]
    shares.clear()
    list(for_each(settings(tmp_path), requests("a", "b"), do, lambda _: False, clock))
    assert shares == [("a", 0), ("b", 0)]  # no end


@pytest.mark.parametrize("error", [Stopped("stopped by SIGTERM"), None])
def test_after_a_signal_no_further_connector_is_begun(tmp_path: Path, error: Stopped | None) -> None:
    """Whether the signal came before the run had anything or after."""
    begun = []

    def do(_: Settings, request: SyncRequest) -> str:
        begun.append(request.connector)
        if request.connector == "b" and error:
            raise error
        return request.connector

    found = list(for_each(settings(tmp_path), requests("a", "b", "c"), do, lambda outcome: outcome == "b"))
    assert begun == ["a", "b"]
    last = found[-1][1]
    assert isinstance(last, Stopped)
    assert str(last) == "stopped before it began"


def test_what_nobody_foresaw_costs_one_connector(tmp_path: Path) -> None:
    """The others go on, and the error says where it was."""
    configure_logs("json")

    def do(_: Settings, request: SyncRequest) -> str:
        if request.connector == "a":
            raise ZeroDivisionError
        if request.connector == "b":
            raise InputError("wrong")
        return "good"

    outcomes = [outcome for _, outcome in for_each(settings(tmp_path), requests("a", "b", "c"), do, lambda _: False)]
    assert [type(outcome) for outcome in outcomes] == [UnforeseenError, InputError, str]
    assert isinstance(outcomes[0], MatomoFnError)


def test_the_gravest_status_is_that_of_all() -> None:
    """Failed weighs more than stopped, that more than partial."""
    order = ["complete", "partial", "stopped", "failed"]
    for index, status in enumerate(order):
        answers: dict[str, dict[str, Any]] = {name: {"status": name} for name in order[: index + 1]}
        assert combined(answers)["status"] == status


def test_the_command_syncs_several_and_tells_each(place: Shop) -> None:
    """A heading and a table for each; as JSON one document; the gravest exit code."""
    window = ("--start-date", "2024-03-05", "--end-date", "2024-03-06", "--table", "visits_summary")
    called = call(place.env, "sync", "shop", "blog", *window)
    assert called.code == 0, called.err
    assert called.out.index("\nshop:\n") < called.out.index("\nblog:\n")
    assert called.out.endswith("\n2 complete\n")
    (place.secrets / "matomo-blog-token").unlink()
    again = call(place.env, "sync", "all", *window, "--json")
    assert again.code == 2
    assert again.json["status"] == "failed"
    assert {name: answer["status"] for name, answer in again.json["connectors"].items()} == {
        "blog": "failed",
        "shop": "complete",
    }
    told = call(place.env, "sync", "all", *window)
    assert told.errors == [
        f"there is no file {place.secrets}/matomo-blog-token: write the secret matomo-blog-token into it"
    ]
    assert told.out.endswith("\n1 complete, 1 failed\n")
    assert_absent(out=called.out + again.out + told.out, err=called.err + again.err + told.err)
