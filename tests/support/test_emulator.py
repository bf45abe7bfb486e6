"""The emulator and the proxy before it: what is loaded can be asked for, and faults come where they are wanted."""

from __future__ import annotations

import gzip
import io
import uuid
from typing import IO, TYPE_CHECKING, cast

import pytest
from google.api_core import exceptions as google_errors
from google.cloud import bigquery

from tests.support import emulator as emulators
from tests.support import proxy as proxies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.api_core.retry import Retry

    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy


@pytest.fixture
def proxy(emulator: Emulator) -> Iterator[Proxy]:
    """A proxy in front of the emulator."""
    with proxies.proxied(emulator.address) as running:
        yield running


@pytest.fixture
def client(proxy: Proxy) -> Iterator[bigquery.Client]:
    """The real client, through the proxy."""
    connected = emulators.connect(proxy.url)
    yield connected
    connected.close()


@pytest.fixture
def retry() -> Retry:
    """The client's own rules for trying again, ended after a second."""
    return bigquery.DEFAULT_RETRY.with_timeout(1).with_delay(initial=0.01, maximum=0.1)


def load(client: bigquery.Client, table: str, job_id: str) -> bigquery.LoadJob:
    """Load one row as the warehouse does: streamed, with a schema and a job id of one's own."""
    rows = gzip.compress(b'{"date":"2026-11-20","visits":3}\n')
    config = bigquery.LoadJobConfig(
        schema=[bigquery.SchemaField("date", "DATE"), bigquery.SchemaField("visits", "INT64")],
        source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        write_disposition=bigquery.WriteDisposition.WRITE_TRUNCATE,
    )
    with gzip.open(io.BytesIO(rows)) as stream:
        return client.load_table_from_file(
            cast("IO[bytes]", stream), table, job_id=job_id, job_config=config, num_retries=0, timeout=10
        )


def test_what_is_loaded_can_be_asked_for(
    client: bigquery.Client, proxy: Proxy, dataset_name: str, retry: Retry
) -> None:
    """A resumable upload goes through the proxy as a whole, and the record shows it."""
    client.create_dataset(dataset_name, retry=retry, timeout=5)
    job = load(client, f"test.{dataset_name}.t", uuid.uuid4().hex)
    job.reload(retry=retry, timeout=5)
    job.result(retry=retry, timeout=5)
    rows = client.query_and_wait(
        f"select visits from `test.{dataset_name}.t`",
        retry=retry,
        job_retry=None,  # type: ignore[arg-type]  # None means: a failed job is not run once more
        api_timeout=5,
    )
    assert [row.visits for row in rows] == [3]
    assert proxy.count("POST", r"^/upload/.*/jobs") == 1
    assert proxy.count("PUT", r"^/upload/.*/jobs") == 1
    assert next(each.size for each in proxy.requests if each.method == "PUT") > 0


def test_a_job_id_used_twice_can_be_bigquerys_409(
    client: bigquery.Client, proxy: Proxy, dataset_name: str, retry: Retry
) -> None:
    """The emulator's 500 becomes the conflict that BigQuery documents."""
    client.create_dataset(dataset_name, retry=retry, timeout=5)
    job_id = uuid.uuid4().hex
    load(client, f"test.{dataset_name}.t", job_id)
    with pytest.raises(google_errors.InternalServerError):
        load(client, f"test.{dataset_name}.t", job_id)
    rule = proxy.alter(proxies.already_exists, when=proxies.is_job)
    with pytest.raises(google_errors.Conflict, match="Already Exists"):
        load(client, f"test.{dataset_name}.t", job_id)
    assert rule.used == 1


@pytest.mark.parametrize("change", [proxies.unavailable, proxies.drop])
@pytest.mark.parametrize("passed_on", [True, False])
def test_a_fault_can_come_before_or_after_the_deed(
    client: bigquery.Client,
    proxy: Proxy,
    dataset_name: str,
    retry: Retry,
    change: Callable[[proxies.Answer], proxies.Answer | None],
    *,
    passed_on: bool,
) -> None:
    """An answer is lost once, with the dataset made or not made; the client's second attempt tells which."""
    proxy.alter(change, times=1, passed_on=passed_on)
    proxy.alter(proxies.already_exists)
    if passed_on:
        with pytest.raises(google_errors.Conflict):
            client.create_dataset(dataset_name, retry=retry, timeout=5)
    else:
        client.create_dataset(dataset_name, retry=retry, timeout=5)
    assert proxy.count("POST", "/datasets") == 2


def test_a_missing_emulator_is_a_failure_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests of the warehouse are never skipped."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match="run: make programs"), emulators.started():
        pass
