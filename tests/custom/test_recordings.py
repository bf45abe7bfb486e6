"""Every recorded report becomes a table by what `discover` prints of it, and no other word of anybody."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.app.discover import Discovery
from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.request import read_request
from matomo_fn.deadline import Deadline
from matomo_fn.sync.audit import audit
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.run import sync
from matomo_fn.sync.session import Session
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.emulator import connect
from tests.support.recorded_matomo import DAY, Call, RecordedMatomo, call_of, recorded_reports
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from matomo_fn.sync.result import RunResult
    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.proxy import Proxy

NOW = datetime(2026, 11, 13, 12, tzinfo=UTC)
OWN = {"date", "website_id", "segment", "_is_others", "_synced_at", "_run_id"}
# What nobody needs in a table: icons, and the archive's numbers of sub tables.
PRESENTATION = {"logo", "logoHeight", "idsubdatatable"}
# Reports of ten different shapes: one row, labels, codes, several identifiers, goals in rows, floats, shares, money.
TEN_SHAPES = [
    "custom_visits_summary",
    "user_country_city",
    "actions_page_urls",
    "custom_referrers",
    "referrers_all",
    "events_name",
    "goals_id_goal_ecommerce_order",
    "goals_items_sku",
    "device_plugins_plugin",
    "visit_time_visit_information_per_server_time",
]


def configured(reports: Iterable[Mapping[str, Any]] = (), **more: Any) -> Connector:
    values = {
        "matomo_url": "https://matomo.example.com",
        "sites": ["1"],
        "reports": ["visits_summary"],
        "custom_reports": list(reports),
        "reference_tables": False,  # tests/sync/test_reference.py has them
        "concurrency": 2,
    }
    return read_connector("shop", json.dumps(values | more))


def entries() -> dict[str, dict[str, Any]]:
    """What `discover --report` prints for each report that the instance lists, by the table's name."""
    client = client_of(Scripted(RecordedMatomo()))
    discovery = Discovery(client, configured(), NOW)
    found = [discovery.with_columns(report, is_needed=True) for report in discovery.every()]
    return {report.table.name: json.loads(json.dumps(report.configuration)) for report in found}


@pytest.fixture(scope="module")
def discovered() -> dict[str, dict[str, Any]]:
    return entries()


def run(
    warehouse: Warehouse,
    connector: Connector,
    matomo: RecordedMatomo | None = None,
    name: str = "r1",
    **request: Any,
) -> RunResult:
    """Sync the recorded day."""
    client = client_of(Scripted(matomo or RecordedMatomo()))
    session = Session(connector, client, warehouse, Deadline(), 64 << 20, lambda: NOW)
    return sync(session, read_request({"connector": "shop"} | request), Run(name, name, NOW))


@pytest.fixture(scope="module")
def synced(
    discovered: dict[str, dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[DuckDBWarehouse, RunResult]]:
    """All reports in one DuckDB file."""
    warehouse = DuckDBWarehouse(tmp_path_factory.mktemp("recorded") / "a.duckdb", "matomo_shop")
    result = run(warehouse, configured(discovered.values()))
    yield warehouse, result
    warehouse.close()


def test_every_report_of_the_instance_is_discovered_and_written(
    discovered: dict[str, Any], synced: tuple[DuckDBWarehouse, RunResult]
) -> None:
    """All of those that the metadata lists, which are all that were recorded."""
    calls = {call_of(entry["report"], entry.get("parameters", {})) for entry in discovered.values()}
    assert calls == set(recorded_reports())
    assert len(discovered) == len(calls)
    _, result = synced
    assert (result.as_dict()["status"], result.as_dict()["errors"]) == ("complete", [])
    assert {name: table.written for name, table in result.tables.items()} == dict.fromkeys(
        ["visits_summary", *discovered], 1
    )


CALLS = sorted(recorded_reports())


@pytest.mark.parametrize("call", CALLS, ids=[" ".join((m, *(f"{k}={v}" for k, v in p))) for m, p in CALLS])
def test_a_table_has_what_a_reader_of_the_recording_would_write_down(
    call: Call, discovered: dict[str, dict[str, Any]], synced: tuple[DuckDBWarehouse, RunResult]
) -> None:
    """Each field of each row as a number or a text, in a column of its name, and each row once."""
    name, entry = next(
        (name, entry)
        for name, entry in discovered.items()
        if call_of(entry["report"], entry.get("parameters", {})) == call
    )
    answer = json.loads(recorded_reports()[call].body)
    rows = synced[0].query(f"select * from {name} t")
    assert_rows_are(rows, [answer] if isinstance(answer, dict) else answer, entry)


def test_the_same_tables_again_are_unchanged(
    discovered: dict[str, Any], synced: tuple[DuckDBWarehouse, RunResult]
) -> None:
    """Whatever the order in which threads learn the columns."""
    again = run(synced[0], configured(discovered.values()), name="r2")
    assert {name: table.unchanged for name, table in again.tables.items()} == dict.fromkeys(
        ["visits_summary", *discovered], 1
    )


# A job of the emulator takes longer the more tables there are, so two of it have half of the shapes each.
@pytest.mark.parametrize("names", [TEN_SHAPES[:5], TEN_SHAPES[5:]], ids=["five of them", "the others"])
def test_ten_shapes_through_the_emulator(
    discovered: dict[str, dict[str, Any]], proxied_emulator: Proxy, names: list[str]
) -> None:
    """By the real client of BigQuery: tables by the API, rows by load jobs, MERGE."""
    with connect(proxied_emulator.url) as client:
        warehouse = BigQueryWarehouse(client, "recorded", location="EU", run_id="r1", deadline=Deadline())
        chosen = {name: discovered[name] for name in names}
        result = run(warehouse, configured(chosen.values()))
        assert (result.as_dict()["status"], result.as_dict()["errors"]) == ("complete", [])
        assert proxied_emulator.staging_left() == set()
        for name, entry in chosen.items():
            # Structs in arrays reach the client in a form that it cannot read (the emulator's own).
            found = warehouse.find_table(name)
            assert found is not None
            plain = [column.name for column in found.columns if not column.fields]
            rows = warehouse.query(
                f"select {', '.join(f't.{column}' for column in plain)} from `{warehouse.dataset}.{name}` t"
            )
            answer = json.loads(recorded_reports()[call_of(entry["report"], entry.get("parameters", {}))].body)
            raw = [answer] if isinstance(answer, dict) else answer
            assert_rows_are(rows, [{k: v for k, v in row.items() if k != "goals"} for row in raw], entry)


def test_without_a_schema_the_rows_are_the_same(
    discovered: dict[str, dict[str, Any]], synced: tuple[DuckDBWarehouse, RunResult], tmp_path: Path
) -> None:
    """`report` and parameters alone are enough: types and identifiers come from the metadata and the values."""
    bare = [{key: value for key, value in entry.items() if key != "schema"} for entry in discovered.values()]
    warehouse = DuckDBWarehouse(tmp_path / "b.duckdb", "matomo_shop")
    try:
        assert run(warehouse, configured(bare)).as_dict()["errors"] == []
        for name in discovered:
            ours, theirs = (table.query(f"select * from {name}") for table in (warehouse, synced[0]))
            assert sorted(map(comparable, ours)) == sorted(map(comparable, theirs)), name
    finally:
        warehouse.close()


def comparable(row: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in sorted(row.items()) if k not in ("_synced_at", "_run_id")}, default=str)


def assert_rows_are(rows: Iterable[Mapping[str, Any]], raw: list[dict[str, Any]], entry: Mapping[str, Any]) -> None:
    """Compare rows of a table with those of a recording, cell for cell and in both directions."""
    schema = entry.get("schema", {})
    names = {field: config.get("name", field) for field, config in schema.items()} | {"goals": "goals"}
    keys = [names[field] for field, config in schema.items() if config.get("identifier")]
    rows = list(rows)
    assert len(rows) == len(raw)
    assert {str(row["date"]) for row in rows} <= {str(DAY)}
    found = {tuple(row[key] for key in keys): row for row in rows}
    assert len(found) == len(rows)  # the key is unique
    fields = {field for row in raw for field, value in row.items() if value not in (None, "")} - PRESENTATION
    for one in rows:
        assert {name for name, value in one.items() if value not in (None, "", 0, [])} - OWN <= {
            names[f] for f in fields
        }
    for row in raw:
        key = tuple(
            str(row.get(f, "")) if schema[f]["type"] == "STRING" else int(row.get(f, 0))
            for f in schema
            if schema[f].get("identifier")
        )
        for field in fields & row.keys():
            assert_cell(found[key][names[field]], row[field], f"{field} of {key}")


def assert_cell(cell: Any, raw: Any, where: str) -> None:
    """Compare one cell: a number that Matomo writes as a text is a number, and 21% is 0.21."""
    if isinstance(raw, dict):
        expected = {key.removeprefix("idgoal="): value for key, value in raw.items()}
        assert {goal["goal_id"]: goal["conversions"] for goal in cell} == {
            key: value.get("nb_conversions") for key, value in expected.items()
        }, where
        assert {goal["goal_id"]: goal["revenue"] for goal in cell} == {
            key: value.get("revenue") for key, value in expected.items()
        }, where
    elif raw in (None, ""):
        assert cell in (None, ""), where
    elif isinstance(cell, str):
        assert cell == str(raw), where
    elif isinstance(raw, str) and raw.endswith("%"):
        assert cell == pytest.approx(float(raw.rstrip("%\u202f\xa0 ")) / 100), where
    else:
        assert re.fullmatch(r"-?[\d.]+(e-?\d+)?", str(raw)), where
        assert (type(cell) in (int, float), cell) == (True, pytest.approx(float(raw))), where


def test_a_rebuild_through_the_emulator(discovered: dict[str, dict[str, Any]], proxied_emulator: Proxy) -> None:
    """The statement that replaces the table is BigQuery's own; the description and the key come back by the API."""
    name = "user_country_country"
    with connect(proxied_emulator.url) as client:
        connector = configured([discovered[name]])
        results, contents, described = [], [], []
        rebuilding: dict[str, Any] = {"mode": "full_refresh", "tables": [name]}
        for run_id, request in (("r1", {}), ("r2", rebuilding)):
            warehouse = BigQueryWarehouse(client, "recorded", location="EU", run_id=run_id, deadline=Deadline())
            results.append(run(warehouse, connector, name=run_id, **request).as_dict())
            query = (
                f"select t.label, t.code, t.nb_visits, t._run_id from `{warehouse.dataset}.{name}` t order by t.label"
            )
            contents.append(warehouse.query(query))
            table = client.get_table(f"{warehouse.dataset}.{name}")
            described.append((table.description, [(field.name, field.description) for field in table.schema]))
        assert [result["errors"] for result in results] == [[], []]
        assert [{**row, "_run_id": "r2"} for row in contents[0]] == contents[1]
        assert {row["_run_id"] for row in contents[1]} == {"r2"}
        assert described[0] == described[1]


def test_the_audit_finds_nothing_to_say_and_a_row_that_stands_twice(
    discovered: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Of tables that it knows by the configuration and the warehouse alone, also where labels are the same."""
    connector = configured(discovered[name] | {"schema": {}} for name in TEN_SHAPES)
    warehouse = DuckDBWarehouse(tmp_path / "audit.duckdb", "matomo_shop")
    try:
        run(warehouse, connector)
        state = SyncState(warehouse, connector)
        tables = tables_as_found(warehouse, connector.catalogue)
        assert audit(warehouse, state, tables, Run("a1", "a1", NOW), NOW, mark=False).is_consistent
        doubled = "actions_page_urls"
        warehouse.run(f"insert into {doubled} select t.* from {doubled} t where t.label = 'produits'", "double")
        found = audit(warehouse, state, tables, Run("a2", "a2", NOW), NOW, mark=False).findings
        assert len(found) == 1
        assert run(warehouse, connector, name="r2").tables[doubled].written == 1
        assert run(warehouse, connector, name="r3").tables[doubled].unchanged == 1
    finally:
        warehouse.close()
