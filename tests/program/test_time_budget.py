"""A time budget that is too short for Matomo: what was fetched is in BigQuery all the same."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TOKEN, FakeMatomo, Fault
from matomo_fn.deadline import Deadline
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from tests.support.clock import Clock, budget_by
from tests.support.emulator import PROJECT
from tests.support.local import small_world
from tests.support.server import serving
from tests.support.warehouses import states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy

COUNTRY = "UserCountry.getCountry"
SUMMARY = "VisitsSummary.get"
BUDGET = 18  # seconds; a quarter of them is kept for writing
TABLES = ["visits_summary", "visitor_country"]


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A Matomo with one site."""
    with FakeMatomo(small_world(1)) as running:
        yield running


@pytest.fixture
def env(matomo: FakeMatomo, proxied_emulator: Proxy, dataset_name: str, tmp_path: Path) -> dict[str, str]:
    """The environment of a function that writes to the emulator within the budget."""
    config = {"matomo_url": matomo.url, "sites": "all", "dataset": dataset_name, "reports": TABLES, "concurrency": 1}
    config |= {"page_rows": 1000}  # so that each report has a call of its own; test_together has those that are joined
    (tmp_path / "matomo-shop-config").write_text(json.dumps(config))
    (tmp_path / "matomo-shop-token").write_text(TOKEN)
    return {
        "MATOMO_FN_SECRETS": str(tmp_path),
        "MATOMO_FN_TIME_BUDGET": str(BUDGET),
        "GOOGLE_CLOUD_PROJECT": PROJECT,
        "BIGQUERY_EMULATOR_HOST": proxied_emulator.url,
    }


def run(env: dict[str, str], matomo: FakeMatomo) -> tuple[int, dict[str, Any]]:
    """Sync two days."""
    import urllib.error
    import urllib.request

    day = matomo.now().date().isoformat()[:8]
    request = {"connector": "shop", "start_date": f"{day}17", "end_date": f"{day}18"}
    with serving("sync", env=env) as url:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode())) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)


def logged(emulator: Emulator, dataset: str) -> dict[str, list[str]]:
    """The statuses in the log, by table."""
    warehouse = BigQueryWarehouse(emulator.client(), dataset, location="EU", run_id="look", deadline=Deadline(60))
    found: dict[str, list[str]] = {}
    for (table, _, _), row in sorted(states(warehouse).items()):
        found.setdefault(table, []).append(row["status"])
    warehouse.close()
    return found


@pytest.mark.long
def test_a_report_that_never_answers_costs_no_other_report_its_rows(
    matomo: FakeMatomo, env: dict[str, str], emulator: Emulator, dataset_name: str
) -> None:
    """Its call ends when the time for requests does; even where the budget is over by then, the rest is written."""
    clock, free = Clock(), threading.Event()

    def never(answer: object) -> object:
        clock.taking(BUDGET)(answer)
        free.wait()
        return answer

    # Of the 13.5 seconds for requests 0.2 remain when the report is requested.
    matomo.faults.add(Fault(method=SUMMARY, mutate=clock.taking(13.3)))
    matomo.faults.add(Fault(method=COUNTRY, mutate=never))
    try:
        with budget_by(clock):
            status, answer = run(env, matomo)
    finally:
        free.set()
    assert (status, answer["status"], answer["errors"]) == (200, "partial", [])
    assert {name: (table["written"], table["remaining"]) for name, table in answer["tables"].items()} == {
        "visits_summary": (2, 0),
        "visitor_country": (0, 2),
    }
    assert logged(emulator, dataset_name) == {"visits_summary": ["written"] * 2}
    matomo.faults.clear()
    with budget_by(Clock()):
        assert run(env, matomo)[1]["status"] == "complete"
    assert set(logged(emulator, dataset_name)) == set(TABLES)


@pytest.mark.long
def test_a_report_that_takes_all_of_the_budget_is_written(
    matomo: FakeMatomo, env: dict[str, str], emulator: Emulator, dataset_name: str
) -> None:
    """17 of 18 seconds, or all 18 and more: what came is written in the time that is kept for that."""
    for seconds in (17, 19):
        clock = Clock()
        matomo.faults.add(Fault(method=COUNTRY, mutate=clock.taking(seconds)))
        with budget_by(clock):
            status, answer = run(env | {"MATOMO_FN_LOG_FORMAT": "json"}, matomo)
        assert (status, answer["errors"]) == (200, [])
        assert answer["tables"]["visitor_country"]["remaining"] == 0
        matomo.faults.clear()
    assert {status for found in logged(emulator, dataset_name).values() for status in found} <= {"written", "unchanged"}
    assert set(logged(emulator, dataset_name)) == set(TABLES)
