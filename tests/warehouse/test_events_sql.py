"""The statements of the log of deliveries: before GoogleSQL's analyzer, in DuckDB, and in BigQuery's emulator."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import EVENTS_LOG, EVENTS_REJECTED
from matomo_fn.deadline import Deadline
from matomo_fn.warehouse import events_sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, connect
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.analyzer import AnalyzerError
from tests.warehouse.test_sql import ODD_TEXTS, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.catalogue import Schema
    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.analyzer import Analyzer
    from tests.support.emulator import Emulator

DATASET = "my-project.matomo_shop"
NOW = datetime(2026, 11, 20, 3, 4, 5, 678, tzinfo=UTC)
SINCE = date(2026, 11, 6)
# One MB as BigQuery counts it: https://cloud.google.com/bigquery/quotas#query_jobs
MOST = 1024 * 1024


def row(message: str, status: str = "sending", batch: str = "b1", **more: Any) -> dict[str, Any]:
    """A row of the log."""
    return {
        "date": NOW.date(),
        "connector": "shop",
        "message_id": message,
        "batch_id": batch,
        "status": status,
        "logged_at": NOW,
        "valid_until": NOW + timedelta(minutes=5) if status == "sending" else None,
        "kind": "event, goal",
        "visitor": "a1",
        "occurred_at": NOW,
        "error": None,
        **more,
    }


def refused(message: str, call: str) -> dict[str, Any]:
    """A row of the rejected calls."""
    return {
        "date": NOW.date(),
        "connector": "shop",
        "message_id": message,
        "batch_id": "b1",
        "logged_at": NOW,
        "reason": f"it is {message}",
        "call": call,
    }


STATEMENTS: Mapping[str, Callable[[], list[str]]] = {
    "insert_rows": lambda: [
        *events_sql.insert_rows(DATASET, EVENTS_LOG, [row(text, error=text) for text in ODD_TEXTS]),
        *events_sql.insert_rows(DATASET, EVENTS_REJECTED, [refused(text, text) for text in ODD_TEXTS]),
    ],
    "steps_of": lambda: [
        *events_sql.steps_of(DATASET, "shop", list(ODD_TEXTS), SINCE),
        *events_sql.steps_of(DATASET, ODD_TEXTS[2], ["m1"], SINCE),
    ],
    "deliveries_of": lambda: [events_sql.deliveries_of(DATASET, text, SINCE, NOW, NOW) for text in ODD_TEXTS],
}


def make(warehouse: Warehouse) -> Warehouse:
    """A dataset with both tables."""
    warehouse.ensure_dataset()
    warehouse.create_table(EVENTS_LOG, "day")
    warehouse.create_table(EVENTS_REJECTED, "day")
    return warehouse


@pytest.fixture
def duckdb(tmp_path: Path) -> Iterator[Warehouse]:
    opened = DuckDBWarehouse(tmp_path / "m.duckdb", "matomo_shop")
    yield make(opened)
    opened.close()


@pytest.fixture
def bigquery(emulator: Emulator, dataset_name: str) -> Iterator[Warehouse]:
    client = connect(emulator.project, emulator.url)
    opened = BigQueryWarehouse(client, dataset_name, location="EU", run_id="r1", deadline=Deadline())
    yield make(opened)
    opened.close()


@pytest.fixture(scope="module")
def googlesql(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows both tables."""
    return analyzer({f"{DATASET}.{each.name}": listed(each.columns) for each in (EVENTS_LOG, EVENTS_REJECTED)})


def insert(warehouse: Warehouse, schema: Schema, rows: list[dict[str, Any]]) -> None:
    for number, statement in enumerate(events_sql.insert_rows(warehouse.dataset, schema, rows)):
        warehouse.run(statement, f"insert{number}")


def test_every_statement_of_the_module_is_under_test() -> None:
    """One that is added has to be added here."""
    functions = inspect.getmembers(events_sql, inspect.isfunction)
    public = {name for name, each in functions if each.__module__ == events_sql.__name__ and name[0] != "_"}
    assert public == {*STATEMENTS, "first_kept"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_googlesql_takes_every_statement(googlesql: Analyzer, name: str) -> None:
    """Names, types and texts; each is one statement."""
    for statement in STATEMENTS[name]():
        googlesql.check(statement)


def test_the_analyzer_would_find_a_wrong_column(googlesql: Analyzer) -> None:
    """So the test above can fail."""
    (statement,) = events_sql.insert_rows(DATASET, EVENTS_LOG, [row("m1")])
    with pytest.raises(AnalyzerError):
        googlesql.check(statement.replace("as valid_until", "as valid_until, 1"))


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_rows_come_back_as_they_were_written(kind: str, request: pytest.FixtureRequest) -> None:
    """Odd texts, times and NULL, in both tables."""
    warehouse = request.getfixturevalue(kind)
    texts = [text for text in ODD_TEXTS if text and "\0" not in text]
    insert(warehouse, EVENTS_LOG, [row(text, visitor=text, error=None) for text in texts])
    insert(warehouse, EVENTS_REJECTED, [refused(text, json.dumps({"name": text})) for text in texts])
    names = ", ".join(EVENTS_LOG.column_names)
    found = warehouse.query(f"select {names} from `{warehouse.dataset}._events_log`")
    assert sorted(each["message_id"] for each in found) == sorted(texts)
    for each in found:
        assert {**each} == row(each["message_id"], visitor=each["message_id"])
    calls = warehouse.query(f"select message_id, call from `{warehouse.dataset}._events_rejected`")
    assert {each["message_id"]: json.loads(each["call"])["name"] for each in calls} == {text: text for text in texts}


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_the_steps_of_some_messages_are_found_and_no_others(kind: str, request: pytest.FixtureRequest) -> None:
    """Of the connector, since a day."""
    warehouse = request.getfixturevalue(kind)
    insert(
        warehouse,
        EVENTS_LOG,
        [
            row("m1"),
            row("m1", "sent"),
            row("m2", batch="b2"),
            row("m1", connector="blog"),
            row("m3"),
            row("m2", date=SINCE - timedelta(days=1), batch="old"),
        ],
    )
    (statement,) = events_sql.steps_of(warehouse.dataset, "shop", ["m1", "m2", "it's"], SINCE)
    found = sorted(
        (each["message_id"], each["batch_id"], each["status"], each["logged_at"], each["valid_until"])
        for each in warehouse.query(statement)
    )
    until = NOW + timedelta(minutes=5)
    assert found == [
        ("m1", "b1", "sending", NOW, until),
        ("m1", "b1", "sent", NOW, None),
        ("m2", "b2", "sending", NOW, until),
    ]


@pytest.mark.parametrize("kind", ["duckdb", "bigquery"])
def test_how_deliveries_stand_counts_messages(kind: str, request: pytest.FixtureRequest) -> None:
    """Uncertain is what a batch began whose time is over, and neither it nor another one finished."""
    warehouse = request.getfixturevalue(kind)
    past = NOW - timedelta(minutes=1)
    insert(
        warehouse,
        EVENTS_LOG,
        [
            row("sent", valid_until=past),
            row("sent", "sent"),
            row("later", valid_until=past),
            row("later", "sent", batch="b2"),
            row("given back", valid_until=past),
            row("given back", "not_sent"),
            row("open", valid_until=past),
            row("open", valid_until=past, batch="b2"),
            row("open", "not_sent", batch="b3"),
            row("under way"),
            row("no answer"),
            row("no answer", error="no answer", valid_until=past),
            row("bad", "rejected", logged_at=NOW + timedelta(seconds=1)),
            row("old and bad", "rejected", logged_at=NOW - timedelta(days=8)),
        ],
    )
    (found,) = warehouse.query(events_sql.deliveries_of(warehouse.dataset, "shop", SINCE, NOW, NOW - timedelta(days=7)))
    assert dict(found) == {"last_logged": NOW + timedelta(seconds=1), "uncertain": 2, "rejected": 1}


@pytest.mark.parametrize("sign", ["\\", '"', "'", "\n", "\x01", "\U0001f600", "\ud800", "é"])
def test_no_statement_is_longer_than_bigquery_takes(sign: str) -> None:
    """Whatever the rows have in them."""
    rows = [refused(f"m{number}", sign * (60_000 * number)) for number in range(7)]
    statements = list(events_sql.insert_rows(DATASET, EVENTS_REJECTED, rows))
    assert all(len(statement.encode()) < MOST for statement in statements)
    assert sum(statement.count('{"date"') for statement in statements) == len(rows)


def test_many_ids_take_several_queries() -> None:
    """None of them longer than BigQuery takes."""
    queries = list(events_sql.steps_of(DATASET, "shop", [f"m{number}" * 40 for number in range(5_000)], SINCE))
    assert len(queries) > 1
    assert all(len(query.encode()) < MOST for query in queries)
