"""Jobs of BigQuery: states that its documentation describes and the emulator never has, told by a proxy before it."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import PREBUILT
from matomo_fn.deadline import Deadline
from matomo_fn.errors import WarehouseError, WarehouseUnavailable
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.bigquery import BigQueryWarehouse, Options, connect
from matomo_fn.warehouse.bigquery_jobs import labels_of
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.proxy import Answer, Proxy, already_exists, drop, failure, is_job, proxied, unavailable, with_status
from tests.support.warehouses import rows_of, write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.emulator import Emulator
    from tests.support.proxy import Request

SUMMARY = PREBUILT["actions_summary"]
DAY = date(2026, 11, 16)
AT = datetime(2026, 11, 20, tzinfo=UTC)


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """What stands between the client and the emulator; job ids that are taken are answered as BigQuery does."""
    with proxied(emulator.address) as running:
        running.alter(already_exists)
        running.keep_staging()
        yield running


def opened(proxy: Proxy, dataset: str, *, seconds: float = 60, **options: Any) -> BigQueryWarehouse:
    """A warehouse behind the proxy."""
    return BigQueryWarehouse(
        connect("test", proxy.url),
        dataset,
        location="EU",
        run_id=f"{dataset}_r1",
        deadline=Deadline(seconds),
        options=Options(**options),
    )


@pytest.fixture
def warehouse(proxy: Proxy, dataset_name: str) -> Iterator[BigQueryWarehouse]:
    """A dataset with an empty table; what led there is not in the proxy's record."""
    found = opened(proxy, dataset_name)
    found.ensure_dataset()
    ensure_table(found, SUMMARY.schema, "day")
    proxy.requests.clear()
    yield found
    found.close()


def write(warehouse: BigQueryWarehouse, folder: Path) -> None:
    """Replace the slice of a day by one row."""
    rows = [{"date": str(DAY), "website_id": "1", "segment": "", "nb_pageviews": 7}]
    slices = {Slice(Stream(SUMMARY.name, "1"), DAY): 1}
    replace_slices(warehouse, SUMMARY, [write_lines(folder / "rows.gz", rows)], slices, Stamp("r1", 1, AT))


def views(warehouse: BigQueryWarehouse) -> list[int]:
    """The page views of the rows in the table."""
    return [row[3] for row in rows_of(warehouse, SUMMARY)]


def is_merge(request: Request) -> bool:
    """The merge being submitted."""
    return is_job(request) and b"merge `" in request.body


def is_look(name: str) -> Callable[[Request], bool]:
    """A look at a job whose id has a name in it: jobs.get."""
    return lambda request: request.method == "GET" and bool(re.search(f"/jobs/matomo_fn_[^/?]*_{name}", request.path))


def merges(proxy: Proxy) -> list[str]:
    """The ends of the ids of the merges that were submitted, in order."""
    ids = (re.search(rb'"jobId": ?"(matomo_fn_[^"]+)"', each.body) for each in proxy.requests if is_merge(each))
    return [found[1].decode()[-2:] for found in ids if found]


def failed(reason: str, message: str) -> Callable[[Answer], Answer]:
    """An answer about a job that failed."""
    error = {"reason": reason, "message": message}
    return with_status(state="DONE", errorResult=error, errors=[error])


NOT_FOUND = failure(404, "notFound", "Not found: Job test:EU.matomo_fn_x")


# --- found again -------------------------------------------------------------------------------------------


def test_a_404_right_after_a_409_is_tried_again(warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path) -> None:
    """BigQuery says that the job is there and does not find it for a moment: python-bigquery's issue 2134."""
    proxy.alter(drop, when=is_merge, times=1)
    unseen = proxy.alter(lambda _: NOT_FOUND, when=is_look("merge"), times=2)
    write(warehouse, tmp_path)
    assert unseen.used == 2
    assert views(warehouse) == [7]
    assert set(merges(proxy)) == {"_1"}


def test_a_job_that_stays_unseen_is_for_later(proxy: Proxy, dataset_name: str) -> None:
    """It is not submitted under another id: it may be running."""
    warehouse = opened(proxy, dataset_name, seconds=2)
    conflict = failure(409, "duplicate", "Already Exists: Job test:EU.x")
    proxy.alter(lambda _: conflict, when=is_job, passed_on=False)
    proxy.alter(lambda _: NOT_FOUND, when=is_look("x"), passed_on=False)
    with pytest.raises(WarehouseUnavailable):
        warehouse.run("select 1", "x")
    assert {each.path.rpartition("_")[2] for each in proxy.requests if is_look("x")(each)} <= {
        each.path.rpartition("_")[2] for each in proxy.requests if is_look("x")(each) and "_1?" in each.path
    }


def test_a_job_that_is_done_without_an_error_succeeded_whatever_its_result_call_says(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """A statement has no result to wait for: jobs.get tells, and jobs.getQueryResults is not even called."""
    internal = failure(500, "internalError", "An internal error occurred")
    # The look at what stands in the table afterwards is a query: its result has to be read.
    statements = "/queries/matomo_fn_[^/?]*_(load|merge|drop)_"
    proxy.alter(lambda _: internal, when=lambda r: bool(re.search(statements, r.path)), passed_on=False)
    write(warehouse, tmp_path)
    assert proxy.count("GET", statements) == 0
    assert proxy.count("GET", "/queries/matomo_fn_[^/?]*_query_") > 0
    assert merges(proxy) == ["_1"]
    proxy.clear()
    proxy.alter(already_exists)
    assert views(warehouse) == [7]


def test_errors_beside_a_job_that_succeeded_are_no_failure(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """``errors`` has also what was overcome; only ``errorResult`` says that a job failed."""
    warning = {"reason": "backendError", "message": "A worker was replaced."}
    rule = proxy.alter(with_status(state="DONE", errors=[warning]), when=is_merge)
    write(warehouse, tmp_path)
    assert rule.used == 1
    assert merges(proxy) == ["_1"]


# --- tried again -------------------------------------------------------------------------------------------


# Each reason by one of the two ways, since one function judges what either says.
@pytest.mark.parametrize(
    ("told_by", "reason", "message"),
    [
        ("the job", "resourcesExceeded", "Too many DML statements outstanding against table test:d.t, limit is 20."),
        ("HTTP 400", "invalidQuery", "Could not serialize access to table test:d.t due to concurrent update"),
        ("the job", "rateLimitExceeded", "Exceeded rate limits: too many table dml insert operations for this table."),
        ("HTTP 400", "jobRateLimitExceeded", "Exceeded rate limits"),
        (
            "the job",
            "quotaExceeded",
            "Quota exceeded: Your table exceeded quota for imports or query appends per table.",
        ),
        ("the job", "stopped", "Job execution was cancelled: User requested cancellation"),
    ],
)
def test_what_passes_by_itself_is_done_as_another_job(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path, told_by: str, reason: str, message: str
) -> None:
    """Also where the HTTP status is that of a mistake. An id that was never used is used again."""
    if told_by == "the job":
        rule = proxy.alter(failed(reason, message), when=is_merge, times=1)
    else:
        rule = proxy.alter(lambda _: failure(400, reason, message), when=is_merge, times=1, passed_on=False)
    write(warehouse, tmp_path)
    assert rule.used == 1
    assert views(warehouse) == [7]
    assert set(merges(proxy)) == ({"_1", "_2"} if told_by == "the job" else {"_1"})


def test_a_failure_of_the_job_is_not_taken_for_a_failure_of_the_call(
    warehouse: BigQueryWarehouse, proxy: Proxy
) -> None:
    """BackendError of a job is over at once as far as the calls go: one look, then the next job."""
    rule = proxy.alter(failed("backendError", "Error encountered during execution."), when=is_job)
    started = time.monotonic()
    with pytest.raises(WarehouseUnavailable, match="Error encountered"):
        opened(proxy, warehouse.dataset.partition(".")[2], seconds=4).run("select 1", "x")
    assert time.monotonic() - started < 8
    assert 2 <= rule.used <= 5
    assert proxy.count("GET", "/queries/") == 0


# --- given up ----------------------------------------------------------------------------------------------


def test_a_job_given_up_is_cancelled_and_has_a_limit_of_its_own(proxy: Proxy, dataset_name: str) -> None:
    """A merge that nobody waits for any more would delay those of the next run."""
    warehouse = opened(proxy, dataset_name, seconds=2)
    warehouse.ensure_dataset()
    proxy.requests.clear()
    running = with_status(state="RUNNING")
    proxy.alter(running, when=lambda r: is_job(r) or is_look("slow")(r))
    cancelled = proxy.alter(
        lambda _: Answer(200, json.dumps({"kind": "bigquery#jobCancelResponse", "job": {}}).encode()),
        when=lambda r: r.method == "POST" and "/cancel" in r.path,
        passed_on=False,
    )
    started = time.monotonic()
    with pytest.raises(WarehouseUnavailable, match="in time: slow"):
        warehouse.run("select 1", "slow")
    assert time.monotonic() - started < 10
    assert cancelled.used == 1
    (sent,) = (json.loads(each.body) for each in proxy.requests if is_job(each))
    assert 0 < int(sent["configuration"]["jobTimeoutMs"]) <= 2000


def test_a_job_that_cannot_be_cancelled_is_named_in_the_log(
    proxy: Proxy, dataset_name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends by its own limit; what is raised is that it did not finish."""
    warehouse = opened(proxy, dataset_name, seconds=1)
    warehouse.ensure_dataset()
    proxy.alter(with_status(state="RUNNING"), when=lambda r: is_job(r) or is_look("slow")(r))
    proxy.alter(unavailable, when=lambda r: "/cancel" in r.path, passed_on=False)
    with pytest.raises(WarehouseUnavailable, match="in time: slow"):
        warehouse.run("select 1", "slow")
    assert "job_not_cancelled" in capsys.readouterr().out


# --- what a job says of itself -----------------------------------------------------------------------------


def test_jobs_have_labels_and_a_bound_on_what_they_cost(proxy: Proxy, dataset_name: str, tmp_path: Path) -> None:
    """INFORMATION_SCHEMA.JOBS then tells what a connector, a run or a table costs."""
    warehouse = opened(proxy, dataset_name, connector="shop", maximum_bytes_billed=20_000_000)
    warehouse.ensure_dataset()
    ensure_table(warehouse, SUMMARY.schema, "day")
    proxy.requests.clear()
    write(warehouse, tmp_path)
    warehouse.query(f"select count(*) as n from `{warehouse.dataset}.{SUMMARY.name}` t")
    sent = [json.loads(each.body)["configuration"] for each in proxy.requests if is_job(each)]
    assert len(sent) == 4  # load, merge, look; and the query above
    for each in sent:
        labels = each["labels"]
        assert labels["connector"] == "shop"
        assert labels["run"] == f"{dataset_name}_r1"[:63]
        assert labels["table"].startswith(SUMMARY.name)
        if "query" in each:
            assert each["query"]["maximumBytesBilled"] == "20000000"


def test_a_statement_that_would_read_too_much_says_which_key_to_raise(proxy: Proxy, dataset_name: str) -> None:
    """BigQuery refuses it before it reads anything."""
    words = "Query exceeded limit for bytes billed: 20000000. 31457280 or higher required."
    proxy.alter(lambda _: failure(400, "bytesBilledLimitExceeded", words), when=is_job, passed_on=False)
    with pytest.raises(WarehouseError, match=r'or higher required\..* Raise "maximum_bytes_billed"') as caught:
        opened(proxy, dataset_name, maximum_bytes_billed=20_000_000).run("select 1", "x")
    assert not isinstance(caught.value, WarehouseUnavailable)


@pytest.mark.parametrize(
    ("value", "label"), [("20261120T101112_ab12", "20261120t101112_ab12"), ("a.b/C", "a_b_c"), ("x" * 80, "x" * 63)]
)
def test_labels_are_as_bigquery_takes_them(value: str, label: str) -> None:
    """Lower case letters, digits, dashes and underscores, at most 63 of them; nothing empty."""
    assert labels_of(run=value, table="") == {"managed-by": "matomo-fn", "run": label}


# --- rows --------------------------------------------------------------------------------------------------


def loaded(rows: int) -> Callable[[Answer], Answer]:
    """An answer about a load job that is done and tells its rows."""

    def altered(answer: Answer) -> Answer:
        body = json.loads(answer.body)
        statistics = {**body.get("statistics", {}), "load": {"outputRows": str(rows)}}
        return replace(answer, body=json.dumps({**body, "statistics": statistics}).encode())

    return altered


def test_a_load_of_fewer_rows_than_were_sent_is_not_merged(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """What stands in the table stays; the sentence has both numbers."""
    write(warehouse, tmp_path)
    again = opened(proxy, warehouse.dataset.partition(".")[2])
    again._jobs._run_id = "another_run"
    proxy.alter(loaded(0), when=is_look("load"))
    proxy.requests.clear()
    with pytest.raises(WarehouseError, match=r"loaded 0 rows into .* where 1 were sent"):
        write(again, tmp_path)
    assert merges(proxy) == []
    assert views(warehouse) == [7]


def test_a_load_of_as_many_rows_as_were_sent_is_merged(
    warehouse: BigQueryWarehouse, proxy: Proxy, tmp_path: Path
) -> None:
    """The usual case, which the emulator leaves out."""
    rule = proxy.alter(loaded(1), when=is_look("load"))
    write(warehouse, tmp_path)
    assert rule.used >= 1
    assert views(warehouse) == [7]
