"""The whole job: functions_framework over HTTP, the real BigQuery client, the emulator; DuckDB by the same job."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TOKEN, FakeMatomo, Goal, Site, World
from matomo_fn.catalogue import PREBUILT
from matomo_fn.deadline import Deadline
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.canary import assert_absent
from tests.support.server import serving
from tests.support.warehouses import contents, duplicates, stamps, states

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy

# By the real clock, which the function asks; two days back, so that midnight does not matter.
LAST = datetime.now(UTC).date() - timedelta(days=3)
FIRST = LAST - timedelta(days=1)
WINDOW = {"connector": "shop", "start_date": str(FIRST), "end_date": str(LAST)}
WORLD = World(
    (
        Site(1, "Été & “Co”", "Europe/Paris", ecommerce=True, goals=(Goal(1, "Newsletter", 2.5),), visits_per_day=25),
        Site(2, "Docs", "Asia/Kolkata", visits_per_day=6, pages=8),
    )
)

# A job of the emulator takes longer the more tables there are and the more jobs there were before it, so two of it
# have half of the tables each.
NAMES = list(PREBUILT)
SHARES = [NAMES[: len(NAMES) // 2], NAMES[len(NAMES) // 2 :]]
# The tables that are looked at after a change.
CHANGED = ["behaviour_page", "acquisition_referrer", "visits_summary"]


class Job:
    """The function as it answers HTTP, writing to one warehouse."""

    def __init__(self, url: str, warehouse: Warehouse) -> None:
        """Know both ends."""
        self.warehouse = warehouse
        self._url = url

    def post(self, **request: Any) -> tuple[int, dict[str, Any]]:
        """Send a request and return the status and the answer."""
        body = json.dumps(WINDOW | request).encode()
        sent = urllib.request.Request(self._url, body, {"Content-Type": "application/json"}, method="POST")
        try:
            with urllib.request.urlopen(sent) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def sync(self, **request: Any) -> dict[str, Any]:
        """Run to the end."""
        status, answer = self.post(**request)
        assert (status, answer["status"], answer["errors"]) == (200, "complete", []), answer
        return answer

    def contents(self, tables: Iterable[str]) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of some tables."""
        return contents(self.warehouse, tables)


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A shop and a site without one."""
    with FakeMatomo(WORLD) as running:
        yield running


@pytest.fixture
def secrets(matomo: FakeMatomo, tmp_path: Path, dataset_name: str) -> Path:
    """A folder with the connector's two secrets."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    config = {"matomo_url": matomo.url, "sites": "all", "dataset": dataset_name}
    (folder / "matomo-shop-config").write_text(json.dumps(config))
    (folder / "matomo-shop-token").write_text(TOKEN + "\n")
    return folder


@pytest.fixture
def bigquery(secrets: Path, proxied_emulator: Proxy, emulator: Emulator, dataset_name: str) -> Iterator[Job]:
    """The function with BigQuery's client and the emulator."""
    env = {
        "MATOMO_FN_SECRETS": str(secrets),
        "GOOGLE_CLOUD_PROJECT": "test",
        "BIGQUERY_EMULATOR_HOST": proxied_emulator.url,
    }
    warehouse = BigQueryWarehouse(emulator.client(), dataset_name, location="EU", run_id="test", deadline=Deadline(60))
    with serving("sync", env=env) as url:
        yield Job(url, warehouse)
    warehouse.close()


def in_duckdb(secrets: Path, path: Path, dataset: str, tables: list[str]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some tables after the same job with DuckDB."""
    env = {"MATOMO_FN_SECRETS": str(secrets), "MATOMO_FN_WAREHOUSE": f"duckdb:{path}", "BIGQUERY_EMULATOR_HOST": ""}
    with ExitStack() as stack:
        url = stack.enter_context(serving("sync", env=env))
        warehouse = DuckDBWarehouse(path, dataset)
        stack.callback(warehouse.close)
        job = Job(url, warehouse)
        job.sync(tables=tables)
        return job.contents(tables)


def statuses(job: Job) -> Mapping[str, int]:
    """How many slices have which status."""
    found: dict[str, int] = {}
    for row in states(job.warehouse).values():
        found[row["status"]] = found.get(row["status"], 0) + 1
    return found


def jobs(proxy: Proxy) -> list[str]:
    """The statements and loads that were handed in, but for those of the log, of the runs and of their leases."""
    sent = []
    for each in proxy.requests:
        if each.method == "POST" and each.path.split("?")[0].endswith("/jobs"):
            configuration = json.loads(each.body)["configuration"]
            text = json.dumps(configuration)
            if not any(table in text for table in ("_sync_log", "_sync_runs", "_sync_leases")):
                sent.append(text[:200])
    return sent


def only(rows: Mapping[str, list[tuple[Any, ...]]], *, but: tuple[date, str]) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of all slices but one."""
    return {table: [row for row in found if (row[0], row[1]) != but] for table, found in rows.items()}


@pytest.mark.long
@pytest.mark.timeout(400)  # the emulator computes most of the time: more than 120 s where six others want the CPU
@pytest.mark.parametrize("tables", SHARES, ids=["one share of the tables", "the other"])
def test_the_whole_job_in_bigquery_and_in_duckdb(
    bigquery: Job, proxied_emulator: Proxy, secrets: Path, tmp_path: Path, dataset_name: str, tables: list[str]
) -> None:
    """Every table with the right columns and the rows of DuckDB; the second run writes nothing."""
    # The first run: both sites, two days.
    answer = bigquery.sync(tables=tables)
    # One for each table, and those of the log, the runs and the checks of quality.
    assert proxied_emulator.count("DELETE", "/tables/_staging_") == len(tables) + 3
    assert answer["quality"]["checks"] > 0
    assert answer["quality"]["findings"] == []
    assert proxied_emulator.staging_left() == set()
    first = bigquery.contents(tables)
    for table in (PREBUILT[name] for name in tables):
        found = bigquery.warehouse.find_table(table.name)
        assert found is not None
        assert [(c.name, c.type_name, c.required) for c in found.columns] == [
            (c.name, c.type_name, c.required) for c in table.columns
        ]
        assert found.partition_by == "day"
        assert answer["tables"][table.name]["written"] == 4
        assert answer["tables"][table.name]["rows"] == len(first[table.name]) > 0
    assert statuses(bigquery) == {"written": 4 * len(tables)}
    assert first == in_duckdb(secrets, tmp_path / "first.duckdb", dataset_name, tables)

    # The second run: nothing is different, so nothing is written.
    proxied_emulator.requests.clear()
    answer = bigquery.sync(tables=tables)
    assert {table["unchanged"] for table in answer["tables"].values()} == {4}
    assert {table["written"] for table in answer["tables"].values()} == {0}
    assert jobs(proxied_emulator) == []
    assert statuses(bigquery) == {"unchanged": 4 * len(tables)}
    sent = b"".join(request.body + request.path.encode() for request in proxied_emulator.requests)
    assert_absent(TOKEN, wire=sent)


def pages(matomo: FakeMatomo) -> set[str]:
    """The URLs of the last day's page views on site 1."""
    visits = matomo.visits(1, LAST)
    return {action.page.url for visit in visits for action in visit.actions if action.kind == "action"}


@pytest.mark.long
def test_a_day_that_changed_is_replaced_and_nothing_else(
    matomo: FakeMatomo, bigquery: Job, proxied_emulator: Proxy, secrets: Path, tmp_path: Path, dataset_name: str
) -> None:
    """A day of one site is another one in Matomo: rows are replaced, rows that vanished are gone."""
    bigquery.sync(tables=CHANGED)
    first = bigquery.contents(CHANGED)
    viewed = pages(matomo)
    while not viewed - pages(matomo):  # which days these are depends on today, and a change may add pages only
        matomo.change(1, LAST)
    run = bigquery.sync(tables=CHANGED)["run_id"]
    changed = bigquery.contents(CHANGED)
    assert changed == in_duckdb(secrets, tmp_path / "changed.duckdb", dataset_name, CHANGED)
    before, after = ({row[3] for row in rows["behaviour_page"] if row[:2] == (LAST, "1")} for rows in (first, changed))
    assert before - after, "no page vanished: the test shows less than it says"
    for name in CHANGED:
        # The other day, and the other site's days, are not even written.
        written = {(day, site): by for day, site, by in stamps(bigquery.warehouse, name)}
        assert {key for key, by in written.items() if by == run} == {(LAST, "1")}
        assert written.keys() == {(FIRST, "1"), (LAST, "1"), (FIRST, "2"), (LAST, "2")}
        assert only(changed, but=(LAST, "1"))[name] == only(first, but=(LAST, "1"))[name]
    assert duplicates(bigquery.warehouse, CHANGED) == []
    sent = b"".join(request.body + request.path.encode() for request in proxied_emulator.requests)
    assert_absent(TOKEN, wire=sent)


@pytest.mark.long
def test_a_day_that_is_not_processed_keeps_its_rows_in_bigquery(matomo: FakeMatomo, bigquery: Job) -> None:
    """It is pending, what was there stays, and once it is processed it is written."""
    tables = ["visits_summary", "visitor_country"]
    bigquery.sync(tables=tables)
    before = contents(bigquery.warehouse, tables)
    matomo.change(2, FIRST)
    matomo.unprocess(2, FIRST)
    status, answer = bigquery.post(tables=tables)
    assert (status, answer["status"], answer["errors"]) == (200, "partial", []), answer
    assert [answer["tables"][table]["pending"] for table in tables] == [1, 1]
    assert contents(bigquery.warehouse, tables) == before
    assert statuses(bigquery) == {"unchanged": 6, "pending": 2}
    matomo.process(2, FIRST)
    answer = bigquery.sync(tables=tables)
    assert [answer["tables"][table]["written"] for table in tables] == [1, 1]
    after = contents(bigquery.warehouse, tables)
    assert after != before
    assert only(after, but=(FIRST, "2")) == only(before, but=(FIRST, "2"))


def test_a_dry_run_writes_nothing(bigquery: Job, proxied_emulator: Proxy) -> None:
    """The answer is the plan; no dataset is made."""
    status, answer = bigquery.post(dry_run=True)
    assert (status, answer["status"], answer["slices"]) == (200, "planned", 4 * len(PREBUILT))
    assert {request.method for request in proxied_emulator.requests} == {"GET"}


def test_a_table_that_does_not_fit_is_status_500_with_its_sentence(bigquery: Job, emulator: Emulator) -> None:
    """The other table is written; the one that somebody else made is not touched."""
    bigquery.warehouse.ensure_dataset()
    name = f"{bigquery.warehouse.dataset}.visitor_country"
    emulator.client().query_and_wait(f"create table `{name}` (date STRING)")
    status, answer = bigquery.post(tables=["visits_summary", "visitor_country"], sites=["2"])
    assert status == 500
    assert "column date is STRING, not DATE" in answer["errors"][0]
    assert answer["tables"]["visits_summary"]["written"] == 2
    assert [field.name for field in emulator.client().get_table(name).schema] == ["date"]
