"""Bad input, as a table: what is wrong, and the exact words that the user reads.

Each case goes the whole way: the Functions Framework, a sample Matomo over HTTP, secrets in a folder, a DuckDB
file that an earlier run has filled.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from google.cloud import bigquery

from tests.program.bad_inputs.case import (
    BEFORE,
    EVERYTHING,
    REQUEST,
    Case,
    Piece,
)
from tests.program.bad_inputs.configuration import CONFIGURATION
from tests.program.bad_inputs.environment import ENVIRONMENT
from tests.program.bad_inputs.matomo import MATOMO
from tests.program.bad_inputs.requests import REQUESTS
from tests.program.bad_inputs.secrets import SECRETS
from tests.program.bad_inputs.warehouse import CLASH, WAREHOUSE
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.shop import DATASET, Shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from werkzeug.test import TestResponse

    from tests.support.emulator import Emulator

CASES = {
    "configuration": CONFIGURATION,
    "request": REQUESTS,
    "environment": ENVIRONMENT,
    "secrets": SECRETS,
    "Matomo": MATOMO,
    "warehouse": WAREHOUSE,
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that a run of the day before has filled."""
    with shop.running(tmp_path_factory.mktemp("filled")) as place, mock.patch.dict("os.environ", place.env):
        request = {**REQUEST, "start_date": str(BEFORE), "end_date": str(BEFORE)}
        assert shop.http().post("/", json=request).status_code == 200
    return place.warehouse


@pytest.fixture
def place(tmp_path: Path, filled: Path) -> Iterator[Shop]:
    """A sample Matomo and everything else that a run needs, with that day in the warehouse."""
    with shop.running(tmp_path) as running:
        shutil.copy(filled, running.warehouse)
        yield running


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{part}: {case.name}") for part, cases in CASES.items() for case in cases]
)
def test_bad_input_is_answered_in_sentences_and_leaves_nothing_half_written(
    case: Case, place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Status and sentences are these very ones; the warehouse has what the case says in addition, else nothing."""
    url = place.matomo.url
    spoil(case, place, url)
    before = kept(place.warehouse)
    answer = post(case, place, url)
    output = "".join(capfd.readouterr())
    assert (answer.status_code, sentences(answer, place, url)) == (case.status, case.errors)
    assert "Traceback" not in output + answer.text
    assert_absent(answer=answer.text, output=output, warehouse=place.warehouse)
    assert changes(before, place.warehouse) == (set(case.written), sorted(case.logged))


def test_a_file_that_another_process_has_open_is_named_and_can_wait(
    place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """DuckDB lets one process write: 503, so that a scheduler tries again, and the file is as it was."""
    before = kept(place.warehouse)
    with another_process(place.warehouse):
        answer = post(Case("locked", 503, ()), place, place.matomo.url)
    output = "".join(capfd.readouterr())
    assert answer.status_code == 503
    assert sentences(answer, place, place.matomo.url) == (
        "the DuckDB file <file> is open in another process: close it there, then try again",
    )
    assert "Traceback" not in output + answer.text
    assert are_same(before, place.warehouse)
    assert post(Case("free again", 200, ()), place, place.matomo.url).status_code == 200


def test_a_dataset_of_bigquery_in_another_location_stays_empty(
    place: Shop, emulator: Emulator, dataset_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No job could reach it, and none is tried."""
    with emulator.client() as client:
        dataset = bigquery.Dataset(f"{emulator.project}.{dataset_name}")
        dataset.location = "US"
        client.create_dataset(dataset)
        case = on_bigquery(emulator, dataset_name)
        spoil(case, place, place.matomo.url)
        answer = post(case, place, place.matomo.url)
        assert (answer.status_code, sentences(answer, place, "-")) == (
            500,
            (
                f'dataset test.{dataset_name} is in US, but the connector\'s location is EU: set "location" to '
                '"US", or give the connector another dataset',
            ),
        )
        assert list(client.list_tables(dataset_name)) == []
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_table_of_bigquery_with_other_partitions_stays_as_it_is(
    place: Shop, emulator: Emulator, dataset_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Partitions cannot be changed afterwards: the table is refused, the other one written."""
    with emulator.client() as client:
        dataset = bigquery.Dataset(f"{emulator.project}.{dataset_name}")
        dataset.location = "EU"
        client.create_dataset(dataset)
        name = f"{emulator.project}.{dataset_name}.visitor_country"
        table = bigquery.Table(name, schema=[bigquery.SchemaField("date", "DATE")])
        table.time_partitioning = bigquery.TimePartitioning(type_="MONTH", field="date")
        client.create_table(table)
        case = on_bigquery(emulator, dataset_name)
        spoil(case, place, place.matomo.url)
        answer = post(case, place, place.matomo.url)
        assert (answer.status_code, sentences(answer, place, "-")) == (
            500,
            (
                f"table {name} exists and does not fit: it is partitioned by month, not by day of the column date. "
                f"{CLASH}",
            ),
        )
        assert len(client.get_table(name).schema) == 1
        found = {each.table_id for each in client.list_tables(dataset_name)}
        records = {"_sync_leases", "_sync_log", "_sync_runs", "_sync_state"}
        assert found == {*records, "visitor_country", "visits_summary"}
        rows = client.query_and_wait(f"select distinct table_name, status from `{dataset_name}._sync_log`")
        assert [tuple(row.values()) for row in rows] == [("visits_summary", "written")]
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert_absent(answer=answer.text, output=output)


def on_bigquery(emulator: Emulator, dataset: str) -> Case:
    """A request that is right, for a dataset of the emulator."""
    env = {
        "MATOMO_FN_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": emulator.project,
        "BIGQUERY_EMULATOR_HOST": emulator.address,
    }
    return Case("on BigQuery", 500, (), config={"dataset": dataset}, env=env)


def test_two_connectors_may_share_a_dataset_of_one_matomo(place: Shop) -> None:
    """The counter-check of the case with two Matomos: with one, both connectors' sites stand side by side."""
    config = json.dumps({"matomo_url": place.matomo.url, "sites": ["2"], "dataset": DATASET})
    (place.secrets / "matomo-docs-config").write_text(config)
    (place.secrets / "matomo-docs-token").write_text(CANARY)
    before = kept(place.warehouse)
    case = Case("both", 200, (), request={"connector": "docs"})
    assert post(case, place, place.matomo.url).status_code == 200
    written = {(table, "2", day) for table, _, day in EVERYTHING}
    assert changes(before, place.warehouse) == (written, [])


def test_a_request_without_anything_wrong_writes_what_it_asks_for(place: Shop) -> None:
    """The counter-check of all cases: 200, no errors, four slices."""
    before = kept(place.warehouse)
    answer = post(Case("right", 200, ()), place, place.matomo.url)
    assert (answer.status_code, sentences(answer, place, "")) == (200, ())
    assert changes(before, place.warehouse) == (set(EVERYTHING), [])


def test_the_table_has_more_than_forty_cases_and_each_says_what_the_user_reads() -> None:
    """The issue asks for forty, of six kinds; a case without a sentence is one that works all the same."""
    cases = [case for part in CASES.values() for case in part]
    assert len(cases) > 40
    assert all(bool(case.errors) == (case.status != 200) for case in cases)


@contextmanager
def another_process(file: Path) -> Iterator[None]:
    """A process that has a DuckDB file open."""
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        process.communicate()


def spoil(case: Case, place: Shop, url: str) -> None:
    """Make everything as the case has it."""
    if isinstance(case.config, str | bytes):
        place.write("config", case.config)
    elif case.config is None:
        (place.secrets / "matomo-shop-config").unlink()
    else:
        values = {"matomo_url": url, "sites": ["1"], **case.config}
        text = json.dumps({key: value for key, value in values.items() if value is not None})
        place.write("config", filled_in(text, place, url))
    if case.token is None:
        (place.secrets / "matomo-shop-token").unlink()
    else:
        place.write("token", case.token)
    if case.wrong:
        case.wrong(place)


def post(case: Case, place: Shop, url: str) -> TestResponse:
    env = {**place.env, **{name: value for name, value in case.env.items() if value is not None}}
    for name, value in case.env.items():
        if value is None:
            del env[name]
    env = {name: filled_in(value, place, url) for name, value in env.items()}
    request = {key: value for key, value in {**REQUEST, **case.request}.items() if value is not None}
    body = json.dumps(request).encode() if case.body is None else case.body
    with mock.patch.dict("os.environ", env):
        return shop.http().open("/", method=case.method, data=body)


def markers(place: Shop, url: str) -> dict[str, str]:
    return {
        "<url>": url,
        "<host>": url.removeprefix("http://").rstrip("/"),
        "<secrets>": str(place.secrets),
        "<file>": str(place.warehouse),
    }


def filled_in(text: str, place: Shop, url: str) -> str:
    for marker, value in markers(place, url).items():
        text = text.replace(marker, value)
    return text


def sentences(answer: TestResponse, place: Shop, url: str) -> tuple[str, ...]:
    """The errors of an answer, with markers in place of what differs from run to run."""
    found = []
    for sentence in answer.get_json()["errors"]:
        text = sentence
        for marker, value in markers(place, url).items():
            text = text.replace(value, marker)
        found.append(re.sub(r"(?<=2021-01-01 to )\d{4}-\d\d-\d\d", "<today>", text))
    return tuple(found)


def kept(file: Path) -> Path:
    """Put a copy of the warehouse, or of what stands in its place, aside."""
    aside = file.with_name("before")
    if file.is_dir():
        shutil.copytree(file, aside)
    else:
        shutil.copy(file, aside)
    return aside


def are_same(one: Path, other: Path) -> bool:
    """Whether two warehouses do not differ in a byte."""
    if one.is_dir() and other.is_dir():
        return not list(one.iterdir()) + list(other.iterdir())
    return one.read_bytes() == other.read_bytes() and not other.with_name(f"{other.name}.wal").exists()


def changes(earlier: Path, later: Path) -> tuple[set[Piece], list[tuple[str, Piece]]]:
    """Return the slices whose rows are others than before, and those that were logged without being written.

    A table or view that has come or gone, a row of the log that changed, a stamp that moved: all are refused. Of the
    run itself, whatever became of it, there is one row more in the record of runs, if it got as far as to a plan. Who
    was about to call Matomo is no part of what was synced.
    """
    if are_same(earlier, later):
        return set(), []
    before, after = shop.contents(earlier), shop.contents(later)
    for content in (before, after):
        content.pop((DATASET, "_sync_leases"), None)
    if before == after:
        return set(), []
    tables = (DATASET, "visits_summary"), (DATASET, "visitor_country")
    old, new = (by_slice({table: content.get(table, []) for table in tables}) for content in (before, after))
    others = [{key: rows for key, rows in content.items() if key not in tables} for content in (before, after)]
    log = [content.pop((DATASET, "_sync_log"), []) for content in others]
    runs = [content.pop((DATASET, "_sync_runs"), []) for content in others]
    for content in others:
        content.pop((DATASET, "_sync_state"), None)
    assert others[0] == others[1]
    assert set(before) == set(after)
    assert [row for row in log[1] if row in log[0]] == log[0]
    assert [row for row in runs[1] if row in runs[0]] == runs[0]
    assert len(runs[1]) == len(runs[0]) + 1
    added = [
        (row["status"], (row["table_name"], row["website_id"], row["date"])) for row in log[1] if row not in log[0]
    ]
    written = {slice_ for slice_ in old.keys() | new.keys() if old.get(slice_) != new.get(slice_)}
    assert {slice_ for status, slice_ in added if status == "written"} == written
    return written, sorted((status, slice_) for status, slice_ in added if status != "written")


def by_slice(content: shop.Contents) -> dict[Piece, list[dict[str, Any]]]:
    found: dict[Piece, list[dict[str, Any]]] = {}
    for (_, table), rows in content.items():
        for row in rows:
            found.setdefault((table, row.get("website_id", ""), row.get("date", BEFORE)), []).append(row)
    return found
