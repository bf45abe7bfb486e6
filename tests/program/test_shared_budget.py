"""Runs of one connector as processes of their own, against one Matomo that notes when it is called."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.catalogue import PREBUILT, SYNC_RUNS
from matomo_fn.config.connector import read_connector
from matomo_fn.deadline import Deadline
from matomo_fn.sync.leases import LeaseTable
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, connect
from matomo_fn.warehouse.tables import ensure_table
from tests.app.cli.calling import COMMAND, environment
from tests.support.canary import CANARY
from tests.support.server import ROOT
from tests.support.shop import WORLD, Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.emulator import Emulator

VERSION = "API.getMatomoVersion"
SECONDS = 100


class Noted:
    """A Matomo that notes when each call came and was answered."""

    def __init__(self, folder: Path) -> None:
        self.starts: list[float] = []
        self.most_at_once = self._at_once = 0
        self._lock = threading.Lock()
        self.matomo = FakeMatomo(WORLD, token=CANARY)
        front = self.matomo._front
        front.serve = self._noting(front.serve)  # type: ignore[assignment, method-assign]
        secrets = folder / "secrets"
        secrets.mkdir()
        self.shop = Shop(self.matomo, secrets, folder / "warehouse.duckdb")

    @contextmanager
    def serving(self, **config: object) -> Iterator[None]:
        """Serve a connector of both sites."""
        with self.matomo:
            self.shop.configure(sites=["1", "2"], **config)
            self.shop.write("token", CANARY)
            yield

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Begin a sync as a process of its own."""
        return subprocess.Popen(
            [*COMMAND, "sync", "shop", "--json", *arguments],
            env=environment(self.shop.env | env),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def most_in_a_minute(self) -> int:
        """The most calls that came in any 60 seconds, less what a busy machine may be late with noting."""
        starts = sorted(self.starts)
        return max(sum(start <= later < start + 58 for later in starts) for start in starts)

    def _noting(self, serve: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def noting(request: Any) -> Any:
            with self._lock:
                self.starts.append(time.monotonic())
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
            try:
                return serve(request)
            finally:
                with self._lock:
                    self._at_once -= 1

        return noting


def make_tables(emulator: Emulator, dataset: str) -> None:
    """Create what two first runs would create at once: to the second the emulator answers 500, and BigQuery 409."""
    connector = read_connector("shop", json.dumps({"matomo_url": "https://shop.example", "sites": "all"}))
    client = connect(emulator.project, emulator.url)
    warehouse = BigQueryWarehouse(client, dataset, location="EU", run_id="made", deadline=Deadline())
    LeaseTable(warehouse, connector).ensure()
    SyncState(warehouse, connector).prepare()
    ensure_table(warehouse, SYNC_RUNS, "month")
    ensure_table(warehouse, connector.schema_of(PREBUILT["visits_summary"]), "day")
    warehouse.close()


def ended(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    """The exit code and the answer of a sync."""
    out, err = process.communicate(timeout=SECONDS)
    assert "Traceback" not in err
    return process.returncode, json.loads(out)


@pytest.mark.timeout(240)
def test_processes_side_by_side_share_the_calls_at_once(tmp_path: Path, emulator: Emulator, dataset_name: str) -> None:
    """Two runs of two sites in BigQuery, begun at once: together never more calls than one may have."""
    noted = Noted(tmp_path)
    make_tables(emulator, dataset_name)
    config = {"concurrency": 2, "reports": ["visits_summary"], "backfill_days": 2, "dataset": dataset_name}
    with noted.serving(**config):
        noted.matomo.faults.add(Fault(delay=0.3))
        env = {
            "MATOMO_FN_WAREHOUSE": "bigquery",
            "GOOGLE_CLOUD_PROJECT": emulator.project,
            "BIGQUERY_EMULATOR_HOST": emulator.url,
        }
        processes = [noted.start("--site", site, **env) for site in ("1", "2")]
        results = [ended(process) for process in processes]
    assert [(code, answer["status"], answer["errors"]) for code, answer in results] == [(0, "complete", [])] * 2
    assert sum(answer["matomo_calls"] for _, answer in results) == len(noted.starts)
    assert noted.most_at_once <= 2
    client = emulator.client()
    rows = client.query_and_wait(f"select run_id, status, slots from `{dataset_name}._sync_leases` order by step")
    newest = {row["run_id"]: (row["status"], row["slots"]) for row in rows}
    assert list(newest.values()) == [("released", "[]")] * 2


def test_processes_one_after_another_share_the_calls_of_a_minute(tmp_path: Path) -> None:
    """In a DuckDB file: the first is killed, the second goes on at once, and the third has what is left."""
    noted = Noted(tmp_path)
    few = {"requests_per_minute": 8, "reports": ["visits_summary"], "backfill_days": 2}
    with noted.serving(**few | {"requests_per_minute": 100}):
        noted.matomo.faults.add(Fault(method=VERSION, times=1, delay=SECONDS))
        killed = noted.start()
        while not noted.starts:
            assert killed.poll() is None
        killed.kill()
        killed.communicate()
        code, answer = ended(noted.start(MATOMO_FN_TIME_BUDGET="60"))
        assert (code, answer["status"]) == (0, "complete")
        assert answer["seconds"] < 30
        made = len(noted.starts)
        noted.shop.configure(sites=["1", "2"], **few | {"requests_per_minute": made + 1})
        code, answer = ended(noted.start(MATOMO_FN_TIME_BUDGET="4"))
    assert code == 1
    assert "requests_per_minute" in str(answer["errors"])
    assert noted.most_in_a_minute() <= made + 1
