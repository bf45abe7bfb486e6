"""What is BigQuery's own: how tables are laid out, jobs that are found again, errors and deadlines."""

from __future__ import annotations

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from google.cloud import bigquery

from matomo_fn.catalogue import PREBUILT, SYNC_LOG
from matomo_fn.deadline import Deadline
from matomo_fn.errors import SchemaMismatch, WarehouseError, WarehouseUnavailable
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, connect
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.proxy import Answer, Proxy, already_exists, drop, failure, is_job, proxied, unavailable
from tests.support.warehouses import rows_of, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Request

SUMMARY = PREBUILT["actions_summary"]
COUNTRIES = PREBUILT["countries"]
DAY = date(2026, 11, 16)
AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """What stands between the client and the emulator; job ids that are taken are answered as BigQuery does."""
    with proxied(emulator.address) as running:
        running.alter(already_exists)
        yield running


def opened(proxy: Proxy, dataset: str, *, seconds: float = 60, location: str = "EU", run: str = "r1") -> Any:
    """A warehouse behind the proxy; its jobs' ids carry the dataset."""
    return BigQueryWarehouse(
        connect("test", proxy.url),
        dataset,
        location=location,
        run_id=f"{dataset}_{run}",
        deadline=Deadline(seconds),
    )


@pytest.fixture
def warehouse(proxy: Proxy, dataset_name: str) -> Iterator[BigQueryWarehouse]:
    """A dataset with an empty table; what led there is not in the proxy's record."""
    found: BigQueryWarehouse = opened(proxy, dataset_name)
    found.ensure_dataset()
    ensure_table(found, SUMMARY.schema, "day")
    proxy.requests.clear()
    yield found
    found.close()


def write(warehouse: BigQueryWarehouse, folder: Path, views: int = 7) -> None:
    """Replace the slice of a day by one row."""
    rows = [{"date": str(DAY), "website_id": "1", "segment": "", "nb_pageviews": views}]
    path = write_lines(folder / "rows.gz", rows)
    slices = {Slice(Stream(SUMMARY.name, "1"), DAY): 1}
    replace_slices(warehouse, SUMMARY, [path], slices, Stamp("r1", 1, AT))


def views(warehouse: BigQueryWarehouse) -> list[int]:
    """The page views of the rows in the table."""
    return [row[3] for row in rows_of(warehouse, SUMMARY)]


def jobs(proxy: Proxy) -> list[str]:
    """The ids of the jobs that change something, in the order handed in, each as often as it was.

    Queries are left out: each has an id of its own.
    """
    ids = (re.search(rb'"jobId": ?"(matomo_fn_[^"]+)"', each.body) for each in proxy.requests if is_job(each))
    return [found[1].decode() for found in ids if found and b"_query_" not in found[1]]


def is_merge(request: Request) -> bool:
    """The merge being handed in."""
    return is_job(request) and b"merge `" in request.body


def is_load(request: Request) -> bool:
    """A part of the load job's upload."""
    return request.path.startswith("/upload/")


# --- datasets and tables -----------------------------------------------------------------------------------


def test_the_dataset_is_created_in_the_connectors_location(proxy: Proxy, emulator: Emulator, dataset_name: str) -> None:
    """A dataset that is not there is made; a second time nothing is."""
    warehouse = opened(proxy, dataset_name, location="europe-west1")
    warehouse.ensure_dataset()
    warehouse.ensure_dataset()
    found = emulator.client().get_dataset(dataset_name)
    assert found.location == "europe-west1"
    assert "matomo-fn" in str(found.description)
    assert proxy.count("POST", "/datasets") == 1


def test_a_dataset_in_another_location_is_refused(proxy: Proxy, emulator: Emulator, dataset_name: str) -> None:
    """Jobs of one location cannot reach another one; the sentence says what to change."""
    dataset = bigquery.Dataset(f"test.{dataset_name}")
    dataset.location = "US"
    emulator.client().create_dataset(dataset)
    with pytest.raises(WarehouseError, match='is in US, but the connector\'s location is EU: set "location" to "US"'):
        opened(proxy, dataset_name).ensure_dataset()
    opened(proxy, dataset_name, location="us").ensure_dataset()


def test_a_dataset_that_another_run_made_first_will_do(proxy: Proxy, dataset_name: str) -> None:
    """Two runs may begin at the same moment."""
    warehouse = opened(proxy, dataset_name)
    conflict = failure(409, "duplicate", f"Already Exists: Dataset test:{dataset_name}")
    rule = proxy.alter(lambda _: conflict, when=lambda r: r.method == "POST" and r.path.endswith("/datasets"))
    proxy.alter(lambda _: conflict, when=lambda r: r.method == "POST" and "/datasets?" in r.path)
    warehouse.ensure_dataset()
    assert rule.used + proxy.count("POST", "/datasets") >= 1


@pytest.mark.parametrize("partition_by", ["day", "month"])
def test_tables_are_laid_out_for_cheap_queries(
    warehouse: BigQueryWarehouse, emulator: Emulator, partition_by: Any
) -> None:
    """Partitioned by date, clustered by site and dimension, with the key, descriptions and a label."""
    ensure_table(warehouse, COUNTRIES.schema, partition_by)
    table = emulator.client().get_table(f"{warehouse.dataset}.countries")
    assert table.time_partitioning is not None
    assert (table.time_partitioning.type_, table.time_partitioning.field) == (partition_by.upper(), "date")
    assert table.time_partitioning.expiration_ms is None
    assert table.expires is None
    assert table.clustering_fields == ["website_id", "label"]
    assert table.table_constraints is not None
    assert table.table_constraints.primary_key is not None
    assert table.table_constraints.primary_key.columns == list(COUNTRIES.key)
    assert table.description == COUNTRIES.description
    assert table.labels == {"managed-by": "matomo-fn"}
    assert [field.description for field in table.schema] == [column.description for column in COUNTRIES.columns]


def test_every_table_fits_bigquerys_limits() -> None:
    """At most 4 clustering columns and 16 key columns, all of them there; a description on everything."""
    for schema in (*(table.schema for table in PREBUILT.values()), SYNC_LOG):
        assert 1 <= len(schema.clustering) <= 4
        assert len(schema.key) <= 16
        assert {*schema.clustering, *schema.key} <= set(schema.column_names)
        assert all(column.description and len(column.description) <= 1024 for column in schema.columns)
        assert schema.description
        assert len(schema.description) <= 16_384


@pytest.mark.parametrize(
    ("partitioning", "words"),
    [
        (None, "it is partitioned by nothing, not by day"),
        (bigquery.TimePartitioning("MONTH", field="date"), "it is partitioned by month, not by day"),
        (bigquery.TimePartitioning("DAY", field="_synced_at"), "it is partitioned by day of _synced_at, not by day"),
        (bigquery.TimePartitioning("DAY"), "it is partitioned by day of ingestion, not by day"),
    ],
)
def test_a_table_with_other_partitions_is_refused(
    warehouse: BigQueryWarehouse, emulator: Emulator, partitioning: bigquery.TimePartitioning | None, words: str
) -> None:
    """Every merge would read the whole of it, or it cannot be what the program made: it stays untouched."""
    fields = [bigquery.SchemaField(c.name, c.type, "REQUIRED" if c.required else "NULLABLE") for c in COUNTRIES.columns]
    table = bigquery.Table(f"{warehouse.dataset}.countries", schema=fields)
    table.time_partitioning = partitioning
    emulator.client().create_table(table)
    with pytest.raises(SchemaMismatch, match=words):
        ensure_table(warehouse, COUNTRIES.schema, "day")


def test_a_column_of_a_type_that_the_program_does_not_know_is_named_in_bigquerys_words(
    warehouse: BigQueryWarehouse, emulator: Emulator
) -> None:
    """BIGNUMERIC and arrays are told as they are."""
    fields = [bigquery.SchemaField(c.name, c.type, "REQUIRED" if c.required else "NULLABLE") for c in COUNTRIES.columns]
    odd = (bigquery.SchemaField("revenue", "BIGNUMERIC"), bigquery.SchemaField("logo", "STRING", "REPEATED"))
    kinds = {field.name: field for field in odd}
    table = bigquery.Table(f"{warehouse.dataset}.countries", schema=[kinds.get(f.name, f) for f in fields])
    emulator.client().create_table(table)
    with pytest.raises(SchemaMismatch) as caught:
        ensure_table(warehouse, COUNTRIES.schema, "day")
    assert "column revenue is BIGNUMERIC, not FLOAT64" in str(caught.value)
    assert "column logo is ARRAY<STRING>, not STRING" in str(caught.value)


def test_a_staging_table_expires_by_itself(warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path) -> None:
    """What a killed run leaves behind is gone a day later, and carries the label; nothing else expires."""
    write(warehouse, tmp_path)
    created = [
        json.loads(r.body) for r in proxy.requests if r.method == "POST" and r.path.split("?")[0].endswith("/tables")
    ]
    (staging,) = created
    assert staging["tableReference"]["tableId"] == "_staging_actions_summary_r1_1"
    expires = datetime.fromtimestamp(int(staging["expirationTime"]) / 1000, UTC)
    assert timedelta(hours=23) < expires - datetime.now(UTC) <= timedelta(days=1)
    assert staging["labels"] == {"managed-by": "matomo-fn"}
    assert "timePartitioning" not in staging


def test_a_staging_table_is_dropped_by_a_call_and_not_by_a_job(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """A call is free and quick; one whose answer was lost is tried again, and a table that is gone is fine."""
    rule = proxy.alter(unavailable, when=lambda r: r.method == "DELETE", times=1)
    write(warehouse, tmp_path)
    assert rule.used == 1
    deletes = [each.path for each in proxy.requests if each.method == "DELETE"]
    assert [path.split("?")[0].rpartition("/")[2] for path in deletes] == ["_staging_actions_summary_r1_1"] * 2
    assert not [each for each in proxy.requests if is_job(each) and b"drop table" in each.body]
    assert warehouse.find_table("_staging_actions_summary_r1_1") is None
    warehouse.drop_table("_staging_actions_summary_r1_1")


def test_rows_are_loaded_with_a_schema_and_without_leniency(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """No autodetection, no bad records, no unknown values, plain text, and only into a table that is there."""
    write(warehouse, tmp_path)
    upload = next(each for each in proxy.requests if is_load(each) and each.method == "POST")
    load = json.loads(upload.body)["configuration"]["load"]
    assert [field["name"] for field in load["schema"]["fields"]] == [column.name for column in SUMMARY.staged]
    assert load["sourceFormat"] == "NEWLINE_DELIMITED_JSON"
    assert load["createDisposition"] == "CREATE_NEVER"
    assert load["writeDisposition"] == "WRITE_TRUNCATE"
    assert not load.get("autodetect")
    assert not load.get("ignoreUnknownValues")
    assert int(load.get("maxBadRecords") or 0) == 0
    content = b"".join(each.body for each in proxy.requests if is_load(each) and each.method == "PUT")
    assert content == b'{"date": "2026-11-16", "website_id": "1", "segment": "", "nb_pageviews": 7}\n'


# --- jobs --------------------------------------------------------------------------------------------------


def test_the_id_of_a_job_comes_from_run_table_and_content(
    warehouse: BigQueryWarehouse, proxy: Proxy, dataset_name: str, tmp_path: Path
) -> None:
    """One load and one merge, each with an id that is made of what it does; other rows make other ids."""
    write(warehouse, tmp_path)
    first = jobs(proxy)
    prefix = f"matomo_fn_{dataset_name}_r1"
    names = ["load_staging", "merge_staging"]
    assert [
        bool(re.fullmatch(f"{prefix}_{name}_actions_summary_r1_1_[0-9a-f]{{16}}_1", job))
        for name, job in zip(names, first, strict=True)
    ] == [True] * 2
    proxy.requests.clear()
    write(opened(proxy, dataset_name, run="r2"), tmp_path, views=8)
    second = [job.replace("_r2_", "_r1_") for job in jobs(proxy)]
    assert second[0] != first[0]
    assert second[1] == first[1]


@pytest.mark.parametrize("lost", [is_merge, lambda r: is_load(r) and r.method == "PUT"], ids=["merge", "load"])
def test_a_job_whose_answer_was_lost_is_found_again_and_not_done_twice(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path, lost: Any
) -> None:
    """The work was done and the connection broke: the same id is handed in, "already exists" means attach."""
    rule = proxy.alter(drop, when=lost, times=1)
    write(warehouse, tmp_path)
    assert rule.used == 1
    assert views(warehouse) == [7]
    handed_in = jobs(proxy)
    assert len(handed_in) == 3
    assert len(set(handed_in)) == 2
    assert all(job.endswith("_1") for job in handed_in)


def test_a_run_that_is_repeated_with_the_same_id_doubles_nothing(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """All its jobs are there already: it attaches to each of them and the rows stand once."""
    write(warehouse, tmp_path)
    write(warehouse, tmp_path)
    assert views(warehouse) == [7]
    assert len(set(jobs(proxy)[:2])) == len(set(jobs(proxy))) == 2


@pytest.mark.parametrize("reached", [True, False], ids=["answer lost", "not done"])
def test_a_service_that_is_unavailable_for_a_moment_is_asked_again(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path, *, reached: bool
) -> None:
    """A 503, whether the job was taken or not, ends in the rows standing there once."""
    rule = proxy.alter(unavailable, when=is_merge, times=1, passed_on=reached)
    write(warehouse, tmp_path)
    assert rule.used == 1
    assert views(warehouse) == [7]


def test_a_job_that_failed_by_no_fault_of_its_own_is_done_as_a_new_one(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """The id of a failed job is used up, so the next try has the next number."""

    def failed(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        error = {"reason": "backendError", "message": "Error encountered during execution. Retrying may solve it."}
        body["status"] = {"state": "DONE", "errorResult": error, "errors": [error]}
        return replace(answer, body=json.dumps(body).encode())

    # The work was done, as far as the emulator knows: a merge may be done twice.
    rule = proxy.alter(failed, when=is_merge, times=1)
    write(warehouse, tmp_path)
    assert rule.used == 1
    assert views(warehouse) == [7]
    merges = [job for job in jobs(proxy) if "_merge_" in job]
    assert [job[-2:] for job in merges] == ["_1", "_2"]
    assert merges[0][:-2] == merges[1][:-2]


def test_a_job_that_failed_by_its_own_fault_is_not_tried_again(warehouse: BigQueryWarehouse, proxy: Proxy) -> None:
    """A statement that BigQuery refuses is refused once, with its words."""
    words = "Unrecognized name: nope at [1:8]"
    proxy.alter(lambda _: failure(400, "invalidQuery", words), when=is_job, passed_on=False)
    with pytest.raises(WarehouseError, match=re.escape(words)) as caught:
        warehouse.run("select nope", "wrong")
    assert not isinstance(caught.value, WarehouseUnavailable)
    assert len(jobs(proxy)) == 1


@pytest.mark.parametrize(
    ("status", "reason", "message"),
    [
        (400, "invalidQuery", "Could not serialize access to table d.t due to concurrent update"),
        (403, "rateLimitExceeded", "Exceeded rate limits: too many table update operations for this table"),
        (403, "quotaExceeded", "Quota exceeded: too many DML statements outstanding against the table"),
        (503, "backendError", "Error encountered during execution"),
    ],
)
def test_what_may_pass_by_itself_is_for_later(
    proxy: Proxy, dataset_name: str, status: int, reason: str, message: str
) -> None:
    """Conflicts, limits and outages are told from mistakes: the caller is asked to come back."""
    warehouse = opened(proxy, dataset_name, seconds=0.5)
    proxy.alter(lambda _: failure(status, reason, message), passed_on=False)
    with pytest.raises(WarehouseUnavailable):
        warehouse.run("select 1", "x")


@pytest.mark.parametrize("method", ["find_table", "drop_table", "run", "query", "ensure_dataset"])
def test_a_missing_permission_is_said_with_the_roles_that_give_it(proxy: Proxy, dataset_name: str, method: str) -> None:
    """Whoever set up the service account reads what to grant, and where."""
    warehouse = opened(proxy, dataset_name)
    denied = failure(403, "accessDenied", "Access Denied: Project test: User does not have bigquery.jobs.create")
    proxy.alter(lambda _: denied, passed_on=False)
    calls = {
        "find_table": lambda: warehouse.find_table("t"),
        "drop_table": lambda: warehouse.drop_table("t"),
        "run": lambda: warehouse.run("select 1", "x"),
        "query": lambda: warehouse.query("select 1"),
        "ensure_dataset": warehouse.ensure_dataset,
    }
    with pytest.raises(WarehouseError, match=r"bigquery\.jobs\.create") as caught:
        calls[method]()
    assert not isinstance(caught.value, WarehouseUnavailable)
    assert "roles/bigquery.jobUser on the project" in str(caught.value)
    assert f"roles/bigquery.dataEditor on dataset test.{dataset_name}" in str(caught.value)
    assert len(proxy.requests) == 1


# --- deadlines ---------------------------------------------------------------------------------------------

CALLS = [
    "ensure_dataset",
    "find_table",
    "create_table",
    "create_view",
    "create_staging",
    "drop_table",
    "load",
    "run",
    "query",
]


def call_of(warehouse: BigQueryWarehouse, method: str, folder: Path) -> None:
    """Call a method of a warehouse that will not get an answer."""
    arguments: dict[str, tuple[Any, ...]] = {
        "find_table": ("t",),
        "create_table": (SUMMARY.schema, "day"),
        "create_view": ("v", "select 1 as a", "x"),
        "create_staging": (SUMMARY.schema,),
        "drop_table": ("t",),
        "load": (SUMMARY.schema, [write_lines(folder / "x.gz", [{"date": "2026-11-16"}])], "x"),
        "run": ("select 1", "x"),
        "query": ("select 1",),
    }
    getattr(warehouse, method)(*arguments.get(method, ()))


def test_a_server_that_fails_for_ever_ends_every_call_at_the_deadline(
    proxy: Proxy, dataset_name: str, tmp_path: Path
) -> None:
    """Without a deadline of its own the client would try for ten minutes; all calls side by side, to save time."""
    proxy.alter(lambda _: failure(500, "internalError", "An internal error occurred"), passed_on=False)

    def seconds(method: str) -> float:
        started = time.monotonic()
        with pytest.raises(WarehouseUnavailable):
            call_of(opened(proxy, dataset_name, seconds=1), method, tmp_path)
        return time.monotonic() - started

    with ThreadPoolExecutor(len(CALLS)) as pool:
        taken = dict(zip(CALLS, pool.map(seconds, CALLS), strict=True))
    assert max(taken.values()) < 15, taken


def test_a_server_that_never_answers_ends_every_call_at_the_deadline(tmp_path: Path) -> None:
    """It takes the connection and stays silent."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"

        def seconds(method: str) -> float:
            started = time.monotonic()
            warehouse = BigQueryWarehouse(connect("test", url), "d", location="EU", run_id="r1", deadline=Deadline(1))
            with pytest.raises(WarehouseUnavailable):
                call_of(warehouse, method, tmp_path)
            warehouse.close()
            return time.monotonic() - started

        with ThreadPoolExecutor(len(CALLS)) as pool:
            taken = dict(zip(CALLS, pool.map(seconds, CALLS), strict=True))
    assert max(taken.values()) < 15, taken


def test_a_server_that_is_not_there_is_for_later(dataset_name: str) -> None:
    """Nobody listens: the sentence says that BigQuery could not be reached."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    warehouse = BigQueryWarehouse(
        connect("test", f"http://127.0.0.1:{port}"), dataset_name, location="EU", run_id="r1", deadline=Deadline(0.5)
    )
    with pytest.raises(WarehouseUnavailable, match=r"BigQuery (could not be reached|did not answer in time)"):
        warehouse.find_table("t")
