"""The tests' own ground is tested: what is meant to catch a mistake catches it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import io
import json
import socket
import urllib.request
import uuid
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from google.api_core import exceptions as google_errors
from google.cloud import bigquery

from tests.support import canary, network, server
from tests.support import emulator as emulators
from tests.support import proxy as proxies
from tests.support.analyzer import Analyzer, AnalyzerError
from tests.support.canary import CANARY
from tests.support.network import OutsideConnectionError
from tools import build_emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from google.api_core.retry import Retry

    from tests.support.emulator import Emulator
    from tests.support.proxy import Proxy

T = "test.d.visitor_country"
S = "test.d.staging"
COLUMNS = [
    ("date", "DATE", "REQUIRED"),
    ("website_id", "STRING", "REQUIRED"),
    ("visits", "INTEGER", "NULLABLE"),
    ("rate", "FLOAT", "NULLABLE"),
    ("is_new", "BOOLEAN", "NULLABLE"),
    ("synced_at", "TIMESTAMP", "NULLABLE"),
    ("extra", "JSON", "NULLABLE"),
    ("goals", "STRUCT<id STRING, revenue FLOAT64>", "REPEATED"),
    ("labels", "ARRAY<STRING>", "NULLABLE"),
]
MERGE = f"""
merge `{T}` t
using `{S}` s
on false
when not matched by source
  and t.date in (date '2026-11-18', date '2026-11-19') and t.website_id = '1'
  then delete
when not matched by target then
  insert (date, website_id, visits) values (s.date, s.website_id, s.visits)
"""


# --- the analyzer -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sql(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows two tables with the same columns."""
    return analyzer({T: COLUMNS, S: COLUMNS})


@pytest.mark.parametrize(
    "statement",
    [
        MERGE,
        f"select date, visits / 2 as half, goals[safe_offset(0)].revenue from `{T}` where is_new",
        f"select t.date, g.id from `{T}` t, unnest(t.goals) as g where g.revenue > 1.5",
        f"select * from `{T}` qualify row_number() over (partition by date order by synced_at desc) = 1",
        "select d from unnest(generate_date_array(date '2026-01-01', date '2026-01-31')) as d",
        "select x.a, x.b from unnest([struct('a' as a, date '2026-01-01' as b), struct('c', null)]) as x",
        f"with a as (select date from `{T}`), b as (select date from `{S}`) select * from a union all select * from b",
        f"select json_value(extra, '$.a'), timestamp '2026-01-01 00:00:00+00' < synced_at from `{T}`",
        "create table `test.d.new` (date date not null options (description = 'the day'), extra json, "
        "goals array<struct<id string, revenue float64>>, primary key (date) not enforced) "
        "partition by date cluster by date options (description = 'x')",
        f"create table if not exists `test.d.new` as select * from `{T}`",
        f"create view `test.d.view` as select date, sum(visits) as visits from `{T}` group by date",
        f"create or replace view `test.d.view` options (description = 'x') as select date from `{T}`",
        f"alter table `{T}` add column if not exists city string options (description = 'x')",
        f"alter table `{T}` add column more array<struct<a string, b int64>>",
        f"drop table if exists `{T}`",
        f"truncate table `{S}`",
        f"insert into `{T}` (date, website_id, visits) select date, website_id, visits from `{S}`",
        f"insert into `{T}` (date, website_id) values (date '2026-01-01', '1'), (date '2026-01-02', '1')",
        f"delete from `{T}` where date = date '2026-01-01'",
        f"update `{T}` set visits = 1 where website_id = @site;",
    ],
)
def test_the_analyzer_accepts_what_bigquery_accepts(sql: Analyzer, statement: str) -> None:
    """Every kind of statement that the project may write passes."""
    sql.check(statement)


@pytest.mark.parametrize(
    ("statement", "complaint"),
    [
        (f"select nope from `{T}`", "Unrecognized name: nope"),
        ("select 1 from `test.d.missing`", "Table not found: `test.d.missing`"),
        (f"select visits + website_id from `{T}`", "No matching signature for operator +"),
        (f"select 1 from `{T}` where date = 20260101", "No matching signature for operator ="),
        (f"select date, visits from `{T}` group by date", "neither grouped nor aggregated"),
        (f"select g.nope from `{T}` t, unnest(t.goals) as g", "nope"),
        (f"select goals.id from `{T}`", "Cannot access field id on a value with type ARRAY"),
        ("select 1 as at", "Unexpected keyword AT"),
        (f"select qualify from `{T}`", "Unexpected keyword QUALIFY"),
        ("select cast('1' as int32)", "Type not found: int32"),
        ("select no_such_function(1)", "Function not found"),
        ("selec 1", "Syntax error"),
        ("select 1; select 2", "Expected end of input"),
        (
            MERGE.replace("s.visits", "s.website_id"),
            "type STRING which cannot be inserted into column visits",
        ),
        (MERGE.replace("insert (date,", "insert (nope,"), "nope"),
        (MERGE.replace(", visits)", ")"), "Inserted row has wrong column count"),
        (f"insert into `{T}` (date, website_id) select website_id, date from `{S}`", "cannot be inserted"),
        (f"create view `test.d.v` as select sum(website_id) as x from `{T}`", "No matching signature"),
        ("create table `test.d.new` (a strin)", "Type not found: strin"),
        ("create table `test.d.new` (a string, a string)", "Duplicate column name a"),
        (f"alter table `{T}` add column visits int64", "Column already exists: visits"),
        ("alter table `test.d.missing` add column x int64", "Table not found"),
    ],
)
def test_the_analyzer_finds_what_bigquery_refuses(sql: Analyzer, statement: str, complaint: str) -> None:
    """A wrong name, type or word is found, and the message says which."""
    with pytest.raises(AnalyzerError) as caught:
        sql.check(statement)
    assert complaint in str(caught.value)


def test_the_analyzer_names_the_columns_of_a_query(sql: Analyzer) -> None:
    """What a view gives can be compared with what its description says."""
    assert sql.columns(f"select date, sum(visits) as visits from `{T}` group by date") == ["date", "visits"]


# --- the emulator and the proxy ---------------------------------------------------------------------------


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
    with pytest.raises(pytest.fail.Exception, match="run: make emulator"), emulators.started():
        pass


def test_the_emulators_build_does_not_mind_the_callers_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What decides over the program is in the repository, the rest of Go's settings stays."""
    monkeypatch.setenv("GOFLAGS", "-mod=vendor")
    monkeypatch.setenv("GOOS", "plan9")
    monkeypatch.setenv("GOPROXY", "https://proxy.invalid")
    env = build_emulator.environment()
    assert "GOOS" not in env
    assert (env["GOFLAGS"], env["CGO_ENABLED"]) == ("-mod=readonly", "0")
    assert env["GOPROXY"] == "https://proxy.invalid"


# --- the function's server --------------------------------------------------------------------------------


FUNCTION = """
import os
import sys

import flask


def answer(request: flask.Request) -> str:
    print("asked", file=sys.stderr)
    return os.environ.get("GREETING", "none") + request.get_data(as_text=True)
"""


@pytest.fixture
def function(tmp_path: Path) -> Path:
    """A file with an entry point."""
    source = tmp_path / "main.py"
    source.write_text(FUNCTION, encoding="utf-8")
    return source


def post(url: str, body: bytes) -> str:
    """Send a body and return the answer's."""
    request = urllib.request.Request(url, data=body, method="POST")
    with urllib.request.urlopen(request, timeout=10) as response:
        assert response.status == HTTPStatus.OK
        text: str = response.read().decode()
    return text


def test_a_function_is_served_in_this_process(function: Path) -> None:
    """It reads the environment that it was given."""
    with server.serving("answer", source=function, env={"GREETING": "hello "}) as url:
        assert post(url, b"you") == "hello you"


def test_a_function_is_served_as_a_program(function: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has its own environment only, and what it writes can be read."""
    monkeypatch.setenv("GREETING", "from outside")
    with server.deployed("answer", source=function, env={}) as program:
        assert post(program.url, b"") == "none"
        assert "asked" in program.output
    assert not program.process.is_alive()


def test_a_program_that_does_not_start_says_why(function: Path) -> None:
    """The failure carries its last words."""
    with (
        pytest.raises(RuntimeError, match="no_such_function"),
        server.deployed("no_such_function", source=function, env={}),
    ):
        pass


# --- the canary -------------------------------------------------------------------------------------------


HIDING_PLACES = {
    "plain": f'{{"token_auth": "{CANARY}"}}',
    "upper case": CANARY.upper(),
    "hexadecimal": CANARY.encode().hex(),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 of a text around it": base64.b64encode(f"ab token={CANARY}&x".encode()).decode(),
    "url-safe base64 of a text around it": base64.urlsafe_b64encode(f"?token={CANARY}ÿ".encode()).decode(),
    "a Pub/Sub message": base64.b64encode(json.dumps({"t": CANARY}).encode()).decode(),
}


@pytest.mark.parametrize("text", HIDING_PLACES.values(), ids=HIDING_PLACES)
def test_the_canary_is_found_in_every_form(text: str, tmp_path: Path) -> None:
    """In a text, in bytes, in a file, in a compressed file; the failure does not show it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain.log").write_text(f"x{text}y", encoding="utf-8")
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "buffer.gz").write_bytes(gzip.compress(f"x{text}y".encode()))
    places: list[str | bytes | Path] = [text, text.encode(), tmp_path / "deep", tmp_path / "packed"]
    for place in places:
        with pytest.raises(pytest.fail.Exception, match="the token stands in somewhere") as caught:
            canary.assert_absent(somewhere=place)
        assert canary.find(str(caught.value)) is None


def test_a_token_with_signs_is_found_url_encoded() -> None:
    """Other secrets than Matomo's may hold signs that a url changes."""
    assert canary.find("a=b%2Fc%3D%3d&x", token="b/c==") == "url-encoded"


def test_a_name_of_a_file_is_searched_too(tmp_path: Path) -> None:
    """A token in a file's name is found and not shown."""
    (tmp_path / CANARY).touch()
    with pytest.raises(pytest.fail.Exception, match="a file's name in buffer") as caught:
        canary.assert_absent(buffer=tmp_path)
    assert canary.find(str(caught.value)) is None


def test_what_is_clean_passes(tmp_path: Path) -> None:
    """No false alarm, and a place that is not there is an error and not a pass."""
    (tmp_path / "a").write_bytes(b"\x1f\x8bno gzip after all")
    canary.assert_absent(text="nothing", raw=b"\xff\xfe", folder=tmp_path, file=tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        canary.assert_absent(gone=tmp_path / "gone")


# --- the guard --------------------------------------------------------------------------------------------


def test_no_test_reaches_another_machine(nothing_outside: list[str]) -> None:
    """Neither by address nor by name, and no error that the code under test could take for a fault."""
    with socket.socket() as tcp:
        with pytest.raises(OutsideConnectionError):
            tcp.connect(("192.0.2.1", 80))
        with pytest.raises(OutsideConnectionError):
            tcp.connect_ex(("192.0.2.1", 80))
    with pytest.raises(OutsideConnectionError):
        socket.create_connection(("example.com", 80))
    assert not issubclass(OutsideConnectionError, OSError)
    assert nothing_outside == ["192.0.2.1", "192.0.2.1", "example.com"]
    nothing_outside.clear()


def test_an_unknown_host_is_unknown() -> None:
    """``.invalid`` names are answered as a name server would."""
    with pytest.raises(socket.gaierror):
        socket.create_connection(("matomo.invalid", 80))


def test_this_machine_can_be_reached(tmp_path: Path) -> None:
    """TCP, sockets in a folder, and asyncio work."""

    async def talk() -> bytes:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        said = b""
        path = str(tmp_path / "socket")
        async with (
            await asyncio.start_server(echo, "127.0.0.1", 0) as tcp,
            await asyncio.start_unix_server(echo, path),
        ):
            port = tcp.sockets[0].getsockname()[1]
            for streams in (
                await asyncio.open_connection("localhost", port),
                await asyncio.open_unix_connection(path),
            ):
                reader, writer = streams
                writer.write(b"hi\n")
                said += await reader.readline()
                writer.close()
                await writer.wait_closed()
        return said

    assert asyncio.run(talk()) == b"hi\nhi\n"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("localhost", True),
        (None, True),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_what_counts_as_this_machine(host: str | None, *, expected: bool) -> None:
    """Loopback addresses and nothing else."""
    assert network.is_local(host) is expected
