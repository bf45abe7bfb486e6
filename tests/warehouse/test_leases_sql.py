"""The statements of the leases: before GoogleSQL's analyzer, in DuckDB, and in BigQuery's emulator."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from matomo_fn.catalogue import SYNC_LEASES
from matomo_fn.deadline import Deadline
from matomo_fn.matomo.rate_limit import Share, Used
from matomo_fn.sync.leases import LEASE, Lease, LeaseTable, Step
from matomo_fn.warehouse import leases_sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, connect
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.analyzer import AnalyzerError
from tests.sync.test_overlap import CONNECTOR
from tests.warehouse.test_sql import ODD_TEXTS, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.analyzer import Analyzer
    from tests.support.emulator import Emulator

DATASET = "my-project.matomo_shop"
STARTED = datetime(2026, 11, 20, 3, 4, 5, 678, tzinfo=UTC)
ROW: Mapping[str, leases_sql.Value] = {
    "connector": "shop",
    "run_id": "r1",
    "step": 1,
    "status": "held",
    "slots": "[0, 1]",
    "used": "{}",
    "calls_ahead": None,
    "limits": "[4, 300, 170]",
    "is_shard": False,
    "started_at": STARTED,
}
STATEMENTS: Mapping[str, Callable[[], list[str]]] = {
    "insert_lease": lambda: (
        [
            leases_sql.insert_lease(DATASET, {**ROW, "run_id": text, "calls_ahead": 3, "is_shard": True}, 90)
            for text in ODD_TEXTS
        ]
        + [leases_sql.insert_lease(DATASET, ROW, 90)]
    ),
    "leases_of": lambda: [leases_sql.leases_of(DATASET, text, 600) for text in ODD_TEXTS],
}


@pytest.fixture
def duckdb(tmp_path: Path) -> Iterator[Warehouse]:
    opened = DuckDBWarehouse(tmp_path / "m.duckdb", "matomo_shop")
    yield opened
    opened.close()


@pytest.fixture
def bigquery(emulator: Emulator, dataset_name: str) -> Iterator[Warehouse]:
    client = connect(emulator.project, emulator.url)
    opened = BigQueryWarehouse(client, dataset_name, location="EU", run_id="r1", deadline=Deadline())
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def googlesql(analyzer: Callable[[object], Analyzer]) -> Analyzer:
    """An analyzer that knows the table."""
    return analyzer({f"{DATASET}.{SYNC_LEASES.name}": listed(SYNC_LEASES.columns)})


def test_every_statement_of_the_module_is_under_test() -> None:
    """One that is added has to be added here."""
    functions = inspect.getmembers(leases_sql, inspect.isfunction)
    public = {name for name, each in functions if each.__module__ == leases_sql.__name__ and name[0] != "_"}
    assert public == STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_googlesql_takes_every_statement(googlesql: Analyzer, name: str) -> None:
    """Names, types and texts; each is one statement."""
    for statement in STATEMENTS[name]():
        googlesql.check(statement)


def test_the_analyzer_would_find_a_wrong_column(googlesql: Analyzer) -> None:
    """So the test above can fail."""
    with pytest.raises(AnalyzerError):
        googlesql.check(leases_sql.leases_of(DATASET, "shop", 600).replace("l.expires_at", "l.expires"))


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_a_lease_comes_back_as_it_was_written(kind: str, request: pytest.FixtureRequest) -> None:
    """With its age, and what is left of it; another connector's is another budget."""
    warehouse = request.getfixturevalue(kind)
    table = LeaseTable(warehouse, CONNECTOR)
    table.ensure()
    other = CONNECTOR.model_copy(update={"name": "blog"})
    used = {0: Used((0.0, 3.0, 3.0), (3.0,)), 2: Used((59.0,), ())}
    limits = Share(4, 300, 170)
    held = Lease("it's", 1, Step.HELD, limits, is_shard=False, started_at=STARTED, slots=(1, 3), used=used)
    released = Lease("run2", 7, Step.RELEASED, limits, is_shard=True, started_at=STARTED, calls_ahead=16)
    table.append(held)
    table.append(released)
    LeaseTable(warehouse, other).append(held)
    found = {lease.run_id: lease for lease in table.read()}
    assert found.keys() == {"it's", "run2"}
    for lease in (held, released):
        read = found[lease.run_id]
        assert 0 <= read.age < 60
        assert read.age + read.left == pytest.approx(LEASE, abs=0.01)
        names = [name for name in Lease.__slots__ if name not in ("age", "left")]
        assert [getattr(read, name) for name in names] == [getattr(lease, name) for name in names]


def test_calls_are_never_taken_for_older_than_they_are(duckdb: Warehouse) -> None:
    """They are noted by whole seconds, which are rounded to the present."""
    table = LeaseTable(duckdb, CONNECTOR)
    table.ensure()
    used = {0: Used((0.99, 12.5, 59.999), (12.5,))}
    table.append(Lease("r", 1, Step.RELEASED, Share(4, 300, 170), is_shard=False, started_at=STARTED, used=used))
    (lease,) = table.read()
    assert lease.used == {0: Used((0.0, 12.0, 59.0), (12.0,))}
