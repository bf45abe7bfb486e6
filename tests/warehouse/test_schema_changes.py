"""Tables and views of an older version, or changed by somebody else, are brought up to date without losing a row."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import bigquery

from matomo_fn.catalogue import PREBUILT, VISIT_ACTIONS, VISITS, Column, ColumnType, Schema
from matomo_fn.deadline import Deadline
from matomo_fn.errors import SchemaMismatch
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, connect
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.schemas import schema_mismatches, staged_like
from matomo_fn.warehouse.tables import Stamp, ensure_table, ensure_view
from tests.support.analyzer import Analyzer, AnalyzerError
from tests.support.nested_loads import nested_loads
from tests.support.proxy import Answer, failure
from tests.support.warehouses import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy, Request

COUNTRIES = PREBUILT["countries"]
DAY = date(2026, 11, 16)
OLD_DAY = date(2024, 1, 1)
AT = datetime(2026, 11, 20, tzinfo=UTC)
# Fields that a table of an older version does not have.
NEW = {"search_count", "quantity", "order_tax"}


def older(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns as another version could have had them: nested fields in the opposite order, some of them missing."""
    return tuple(
        replace(column, fields=tuple(reversed(older([field for field in column.fields if field.name not in NEW]))))
        for column in columns
    )


OLDER = replace(VISITS.schema, columns=older(VISITS.columns))


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """What stands between the client and the emulator, and carries out loads of nested rows."""
    with nested_loads(emulator) as running:
        yield running


@pytest.fixture
def in_bigquery(proxy: Proxy, dataset_name: str) -> Iterator[BigQueryWarehouse]:
    """An empty dataset behind the proxy."""
    warehouse = BigQueryWarehouse(
        connect("test", proxy.url), dataset_name, location="EU", run_id=f"{dataset_name}_r1", deadline=Deadline(60)
    )
    warehouse.ensure_dataset()
    yield warehouse
    warehouse.close()


@pytest.fixture
def in_duckdb(tmp_path: Path) -> Iterator[DuckDBWarehouse]:
    """An empty dataset in a file."""
    warehouse = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    warehouse.ensure_dataset()
    yield warehouse
    warehouse.close()


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """An empty dataset in each warehouse."""
    found: Warehouse = request.getfixturevalue(f"in_{request.param}")
    return found


def visit(day: date, number: int, *fields: str) -> dict[str, Any]:
    """A visit with one action and one item, each text field with its own name as the value."""
    action = {name: name for name in ("type", "url", "title", "event_name", "goal_name", "order_id")}
    item = {"sku": "sku", "name": "name", "price": 2.5, "categories": ["c"]}
    more = {"search_count": 3, "order_tax": 1.5} if "search_count" in fields else {}
    return {
        "date": str(day),
        "website_id": "1",
        "visit_id": number,
        "first_action_at": f"{day}T10:00:00Z",
        "last_action_at": f"{day}T10:05:00Z",
        "actions": [{**action, **more, "items": [{**item, **({"quantity": 4} if "quantity" in fields else {})}]}],
        "custom_dimensions": [{"index": 2, "value": "red"}],
    }


def write(warehouse: Warehouse, folder: Path, row: dict[str, Any], batch: int) -> None:
    """Replace the day of a visit by it."""
    path = write_lines(folder / f"{batch}.gz", [row])
    slices = {Slice(Stream(VISITS.name, "1"), date.fromisoformat(row["date"])): 1}
    replace_slices(warehouse, VISITS, [path], slices, Stamp("r1", batch, AT))


def values(warehouse: Warehouse, more: str = "") -> list[dict[str, Any]]:
    """What the nested columns of the visits have, each value asked for by its name."""
    statement = (
        "select v.visit_id, a.type, a.url, a.title, a.event_name, a.goal_name, a.order_id, i.sku, i.name, i.price, "
        f"d.index as dimension, d.value{more} from {sql.table_name(warehouse.dataset, VISITS.name)} v, "
        "unnest(v.actions) a, unnest(a.items) i, unnest(v.custom_dimensions) d order by v.visit_id"
    )
    return [dict(row) for row in warehouse.query(statement)]


def expected(number: int, **more: Any) -> dict[str, Any]:
    """The same of a visit that ``visit`` makes."""
    names = {name: name for name in ("type", "url", "title", "event_name", "goal_name", "order_id", "sku", "name")}
    return {"visit_id": number, **names, "price": 2.5, "dimension": 2, "value": "red", **more}


def patches(proxy: Proxy) -> list[dict[str, Any]]:
    """What was sent to change tables and views."""
    return [json.loads(each.body) for each in proxy.requests if each.method == "PATCH"]


def is_patch(request: Request) -> bool:
    """A change of a table or view."""
    return request.method == "PATCH"


# --- nested columns ----------------------------------------------------------------------------------------


def test_new_nested_fields_are_added_and_no_visit_is_lost(in_duckdb: DuckDBWarehouse, tmp_path: Path) -> None:
    """Visits that Matomo has purged stay, with NULL in what is new; later ones have values there."""
    in_duckdb.create_table(OLDER, "day")
    write(in_duckdb, tmp_path, visit(OLD_DAY, 1), 1)
    assert ensure_table(in_duckdb, VISITS.schema, "day") is False
    write(in_duckdb, tmp_path, visit(DAY, 2, "search_count", "quantity"), 2)
    assert values(in_duckdb, ", a.search_count, a.order_tax, i.quantity") == [
        expected(1, search_count=None, order_tax=None, quantity=None),
        expected(2, search_count=3, order_tax=1.5, quantity=4),
    ]
    before = in_duckdb.find_table(VISITS.name)
    ensure_table(in_duckdb, VISITS.schema, "day")
    assert in_duckdb.find_table(VISITS.name) == before


def test_values_go_into_the_fields_of_their_names_whatever_the_order(warehouse: Warehouse, tmp_path: Path) -> None:
    """A STRUCT is written to another field by field in their order: swapped texts would not even be an error."""
    in_other_order = replace(VISITS.schema, columns=older_in_order_only(VISITS.columns))
    warehouse.create_table(in_other_order, "day")
    assert ensure_table(warehouse, VISITS.schema, "day") is False
    write(warehouse, tmp_path, visit(DAY, 2, "search_count", "quantity"), 1)
    assert values(warehouse, ", a.search_count, i.quantity") == [expected(2, search_count=3, quantity=4)]


def older_in_order_only(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Columns with all nested fields in the opposite order."""
    return tuple(replace(column, fields=tuple(reversed(older_in_order_only(column.fields)))) for column in columns)


def test_a_nested_field_that_the_program_does_not_know_stays_empty(warehouse: Warehouse, tmp_path: Path) -> None:
    """Somebody else's, or one of a later version: rows are written beside it."""
    own = Column("note", ColumnType.STRING, "A user's own.")
    columns = tuple(replace(c, fields=(own, *c.fields)) if c.name == "actions" else c for c in VISITS.columns)
    warehouse.create_table(replace(VISITS.schema, columns=columns), "day")
    ensure_table(warehouse, VISITS.schema, "day")
    write(warehouse, tmp_path, visit(DAY, 2), 1)
    assert values(warehouse, ", a.note") == [expected(2, note=None)]


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (Column("url", ColumnType.INT64, "x"), "column actions.url is INT64, not STRING"),
        (Column("items", ColumnType.STRING, "x"), "column actions.items is STRING, not ARRAY<STRUCT<"),
    ],
)
def test_a_nested_field_of_another_type_is_refused_by_its_path(
    warehouse: Warehouse, field: Column, reason: str
) -> None:
    """The table stays as it is."""
    columns = tuple(
        replace(c, fields=tuple(field if part.name == field.name else part for part in c.fields))
        if c.name == "actions"
        else c
        for c in VISITS.columns
    )
    warehouse.create_table(replace(VISITS.schema, columns=columns), "day")
    before = warehouse.find_table(VISITS.name)
    with pytest.raises(SchemaMismatch) as caught:
        ensure_table(warehouse, VISITS.schema, "day")
    assert reason in str(caught.value)
    assert warehouse.find_table(VISITS.name) == before


@pytest.mark.parametrize("path", ["", "actions.", "actions.items."], ids=["column", "field", "field of a field"])
def test_what_is_required_and_filled_by_nothing_is_refused_by_its_path(path: str) -> None:
    """BigQuery would refuse each row, however deep it stands."""
    own = FoundColumn("note", "STRING", required=True)

    def added(found: tuple[FoundColumn, ...], names: list[str]) -> tuple[FoundColumn, ...]:
        if not names:
            return (*found, own)
        return tuple(replace(c, fields=added(c.fields, names[1:])) if c.name == names[0] else c for c in found)

    columns = added(found_fields(VISITS.columns), path.split(".")[:-1])
    problems = schema_mismatches(VISITS.schema, FoundTable(columns, "day"), ["day"])
    assert problems == [f"column {path}note is required and nothing fills it"]


def test_the_analyzer_takes_the_merge_only_where_the_order_of_the_fields_is_the_tables() -> None:
    """What the staging table is like decides; by another order types meet that do not fit, or worse, that do."""
    target = older_in_order_only(VISITS.columns)
    as_found = tuple(FoundColumn(c.name, c.type_name, c.required, found_fields(c.fields)) for c in target)
    statement = sql.replace_slices(
        "p.d", VISITS, "s", [Slice(Stream(VISITS.name, "1"), DAY)], run_id="r1", synced_at=AT
    )
    for staged, fits in ((staged_like(VISITS.staged, as_found), True), (VISITS.staged, False)):
        analyzer = Analyzer({"p.d.visits": listed(target), "p.d.s": listed(staged)})
        if fits:
            analyzer.check(statement)
        else:
            with pytest.raises(AnalyzerError, match=r"(?i)type|coerc"):
                analyzer.check(statement)


def found_fields(fields: Sequence[Column]) -> tuple[FoundColumn, ...]:
    """Nested fields as a table has them."""
    return tuple(FoundColumn(each.name, each.type_name, each.required, found_fields(each.fields)) for each in fields)


def listed(columns: Sequence[Column]) -> list[tuple[str, str, str]]:
    """Columns as the analyzer wants them."""
    return [(column.name, column.type_name, "NULLABLE") for column in columns]


def test_bigquery_gets_new_nested_fields_behind_the_others_by_one_patch(
    in_bigquery: BigQueryWarehouse, proxy: Proxy
) -> None:
    """All that a table lacks is one change, a new column is nullable; where nothing is missing nothing is sent."""
    columns = tuple(column for column in OLDER.columns if column.name not in {"currency", "user_id"})
    in_bigquery.create_table(replace(OLDER, columns=columns), "day")
    proxy.requests.clear()
    ensure_table(in_bigquery, VISITS.schema, "day")
    (sent,) = patches(proxy)
    assert list(sent) == ["schema"]
    fields = {field["name"]: field for field in sent["schema"]["fields"]}
    assert [field["name"] for field in sent["schema"]["fields"]][-2:] == ["user_id", "currency"]
    assert fields["currency"]["mode"] == "NULLABLE"
    (actions,) = (column for column in OLDER.columns if column.name == "actions")
    names = [field["name"] for field in fields["actions"]["fields"]]
    assert names[: len(actions.fields)] == [field.name for field in actions.fields]
    assert set(names[len(actions.fields) :]) == {"search_count", "order_tax"}
    (items,) = (field for field in fields["actions"]["fields"] if field["name"] == "items")
    assert [field["name"] for field in items["fields"]][-1] == "quantity"
    ensure_table(in_bigquery, VISITS.schema, "day")
    assert len(patches(proxy)) == 1


# --- descriptions, labels, keys, clustering ----------------------------------------------------------------


def test_bigquery_gets_descriptions_labels_key_and_clustering_and_keeps_what_is_others(
    in_bigquery: BigQueryWarehouse, proxy: Proxy, emulator: Emulator
) -> None:
    """One patch with all of it; a user's labels, columns and policy tags stay."""
    client = emulator.client()
    tag = "projects/p/locations/eu/taxonomies/1/policyTags/2"
    fields = [
        bigquery.SchemaField(c.name, c.type, "REQUIRED" if c.required else "NULLABLE", description="Old.")
        for c in COUNTRIES.columns
    ]
    fields[3] = bigquery.SchemaField.from_api_repr({**fields[3].to_api_repr(), "policyTags": {"names": [tag]}})
    table = bigquery.Table(
        f"{in_bigquery.dataset}.countries", schema=[*fields, bigquery.SchemaField("own", "GEOGRAPHY")]
    )
    table.time_partitioning = bigquery.TimePartitioning("DAY", field="date")
    table.clustering_fields = ["label"]
    table.labels = {"team": "web"}
    client.create_table(table)
    ensure_table(in_bigquery, COUNTRIES.schema, "day")
    (sent,) = patches(proxy)
    assert sorted(sent) == ["clustering", "description", "labels", "schema", "tableConstraints"]
    found = client.get_table(f"{in_bigquery.dataset}.countries")
    assert found.description == COUNTRIES.description
    assert found.labels == {"team": "web", "managed-by": "matomo-fn"}
    assert found.clustering_fields == list(COUNTRIES.schema.clustering)
    assert sent["tableConstraints"]["primaryKey"] == {"columns": list(COUNTRIES.key)}
    described = {field["name"]: field for field in sent["schema"]["fields"]}
    assert all(described[c.name]["description"] == c.description for c in COUNTRIES.columns)
    assert described["own"]["type"] == "GEOGRAPHY"
    assert described[COUNTRIES.columns[3].name]["policyTags"] == {"names": [tag]}
    ensure_table(in_bigquery, COUNTRIES.schema, "day")
    assert len(patches(proxy)) == 1


def test_a_table_that_somebody_changes_at_the_same_time_is_read_again(
    in_bigquery: BigQueryWarehouse, proxy: Proxy
) -> None:
    """The patch holds only for the table as it was read, so the other's new column is not taken away."""

    def with_etag(answer: Answer) -> Answer:
        return replace(answer, body=json.dumps({**json.loads(answer.body), "etag": "v1"}).encode())

    in_bigquery.create_table(replace(COUNTRIES.schema, description="Old."), "day")
    proxy.alter(with_etag, when=lambda r: r.method == "GET" and r.path.split("?")[0].endswith("/tables/countries"))
    outdated = failure(412, "conditionNotMet", "Precondition Failed")
    refused = proxy.alter(lambda _: outdated, when=is_patch, times=1, passed_on=False)
    proxy.requests.clear()
    ensure_table(in_bigquery, COUNTRIES.schema, "day")
    assert refused.used == 1
    assert [(r.method, r.headers.get("If-Match")) for r in proxy.requests] == [
        ("GET", None),
        ("PATCH", "v1"),
        ("GET", None),
        ("PATCH", "v1"),
    ]


def test_duckdb_describes_tables_views_and_columns_and_keeps_them_up_to_date(in_duckdb: DuckDBWarehouse) -> None:
    """As comments, which `describe` and every client show."""
    old = tuple(replace(column, description="Old, it's said.") for column in COUNTRIES.columns[:-1])
    in_duckdb.create_table(replace(COUNTRIES.schema, columns=old, description="Old."), "day")
    ensure_table(in_duckdb, COUNTRIES.schema, "day")
    view = Schema("v", "The view.", (COUNTRIES.columns[0],), partitioned=False)
    for description in ("Old.", "The view."):
        query = f"select t.date from {sql.table_name('d', 'countries')} t"
        ensure_view(in_duckdb, replace(view, description=description), query)
    columns = in_duckdb._rows("select table_name, column_name, comment from duckdb_columns() where not internal", [])
    found = {(row["table_name"], row["column_name"]): row["comment"] for row in columns}
    assert {name: text for (table, name), text in found.items() if table == "countries"} == {
        column.name: column.description for column in COUNTRIES.columns
    }
    assert found["v", "date"] == COUNTRIES.columns[0].description
    rows = in_duckdb._rows("select comment from duckdb_tables() union all select comment from duckdb_views()", [])
    assert {COUNTRIES.description, "The view."} <= {row["comment"] for row in rows}


def test_a_change_that_fails_changes_nothing(in_duckdb: DuckDBWarehouse) -> None:
    """All statements of an update are one transaction, and the connection works afterwards."""
    in_duckdb.create_table(replace(COUNTRIES.schema, columns=COUNTRIES.columns[:4]), "day")
    before = in_duckdb.find_table("countries")
    assert before is not None
    twice = (Column(name, ColumnType.STRING, "Its name is there.") for name in ("note", "Note"))
    wrong = (*COUNTRIES.columns[:5], *twice)
    with pytest.raises(Exception, match=r"w\.duckdb"):
        in_duckdb.update_table(replace(COUNTRIES.schema, columns=wrong), before)
    assert in_duckdb.find_table("countries") == before
    ensure_table(in_duckdb, COUNTRIES.schema, "day")


# --- views -------------------------------------------------------------------------------------------------


def test_bigquery_gets_a_views_query_and_descriptions_in_place(in_bigquery: BigQueryWarehouse, proxy: Proxy) -> None:
    """It is never dropped: who may read it, and which datasets trust it, is kept. A second time nothing is sent."""
    ensure_table(in_bigquery, VISITS.schema, "day")
    query = sql.view_query(in_bigquery.dataset, VISITS.name, VISIT_ACTIONS)
    in_bigquery.create_view(VISIT_ACTIONS.name, f"{query} where t.date > '2020-01-01'", "Old.")
    proxy.requests.clear()
    ensure_view(in_bigquery, VISIT_ACTIONS.schema, query)
    first, second = patches(proxy)
    assert first == {
        "view": {"query": query, "useLegacySql": False},
        "description": VISIT_ACTIONS.description,
    }
    described = {field["name"]: field.get("description") for field in second["schema"]["fields"]}
    assert described == {column.name: column.description for column, _ in VISIT_ACTIONS.columns}
    assert proxy.count("DELETE", ".") == 0
    ensure_view(in_bigquery, VISIT_ACTIONS.schema, query)
    assert len(patches(proxy)) == 2


def test_a_new_view_of_bigquery_has_descriptions(in_bigquery: BigQueryWarehouse, emulator: Emulator) -> None:
    """Its own, and those of its columns."""
    ensure_table(in_bigquery, VISITS.schema, "day")
    ensure_view(in_bigquery, VISIT_ACTIONS.schema, sql.view_query(in_bigquery.dataset, VISITS.name, VISIT_ACTIONS))
    view = emulator.client().get_table(f"{in_bigquery.dataset}.{VISIT_ACTIONS.name}")
    assert view.description == VISIT_ACTIONS.description
    assert view.labels == {"managed-by": "matomo-fn"}
    assert [field.description for field in view.schema] == [c.description for c, _ in VISIT_ACTIONS.columns]
