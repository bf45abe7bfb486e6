"""`sync` does the job and tells what it did; what is wrong is a sentence and an exit code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import duckdb
import pytest

from fake_matomo import Fault
from tests.app.cli.calling import call
from tests.support.canary import assert_absent
from tests.support.clock import Clock, budget_by
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.shop import Shop


def test_a_sync_tells_what_it_did(shop: Shop) -> None:
    """A line a table, a line for the whole, code 0, no sentence of an error."""
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, reference_tables=True)
    called = call(shop.env, "sync", "shop")
    head, first, second, empty, *reference, _, last = called.out.splitlines()
    tables = [first, second]
    assert (called.code, called.errors, empty) == (0, [], "")
    assert head.split() == ["table", "written", "unchanged", "rows", "days", "seconds"]
    found = {line.split()[0]: line.split()[1:] for line in tables}
    assert found["visits_summary"][:-1] == ["4", "0", "4", "4"]
    assert found["visitor_country"][:2] == ["4", "0"]
    assert all(len(line[-1].partition(".")[2]) == 2 for line in found.values())
    assert reference[0].split() == ["reference", "table", "rows", "written", "deleted"]
    assert reference[1].split() == ["sites", "1", "1", "0"]
    assert last.startswith("complete: ")


def test_json_is_the_answer_of_the_function(shop: Shop) -> None:
    """One document on standard output, the same as over HTTP."""
    found = call(shop.env, "sync", "shop", "--json").json
    answer = shop.post({"connector": "shop"}).get_json()
    assert list(found) == list(answer)
    assert (found["status"], found["sites"], found["errors"]) == ("complete", ["1"], [])
    assert found["tables"]["visits_summary"]["written"] == 4


def test_a_second_sync_writes_nothing(shop: Shop) -> None:
    """The trailing days are asked again and are the same."""
    call(shop.env, "sync", "shop")
    found = call(shop.env, "sync", "shop", "--json").json
    assert {name: (table["written"], table["unchanged"]) for name, table in found["tables"].items()} == {
        "visitor_country": (0, 3),
        "visits_summary": (0, 3),
    }


@pytest.mark.parametrize(("mode", "written", "unchanged"), [("backfill", 0, 4), ("full_refresh", 4, 0)])
def test_modes_ask_every_day(mode: str, written: int, unchanged: int, shop: Shop) -> None:
    """A backfill compares, a full refresh writes all the same."""
    call(shop.env, "sync", "shop")
    found = call(shop.env, "sync", "shop", "--mode", mode, "--json").json
    table = found["tables"]["visits_summary"]
    assert (found["mode"], table["written"], table["unchanged"]) == (mode, written, unchanged)


def test_options_narrow_the_sync(shop: Shop) -> None:
    """Two tables, one of two sites, a window."""
    shop.configure(sites="all", reports=["visits_summary", "visitor_country", "countries"])
    options = ("--table", "visits_summary", "--table", "countries", "--site", "2")
    window = ("--start-date", "2024-03-01", "--end-date", "2024-03-02")
    found = call(shop.env, "sync", "shop", "--json", *options, *window).json
    assert (found["sites"], found["first_day"], found["last_day"]) == (["2"], "2024-03-01", "2024-03-02")
    assert {name: table["written"] for name, table in found["tables"].items()} == {"visits_summary": 2, "countries": 2}


def test_a_report_that_fails_is_a_sentence_and_code_1(shop: Shop) -> None:
    """The other report is written."""
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", message="no such thing"))
    called = call(shop.env, "sync", "shop")
    assert called.code == 1
    assert len(called.errors) == 4
    assert all("UserCountry.getCountry: Matomo says: no such thing" in sentence for sentence in called.errors)
    assert "\nfailed: " in called.out
    assert len(shop.contents()[DATASET, "visits_summary"]) == 4
    found = call(shop.env, "sync", "shop", "--json")
    assert (found.code, found.json["status"]) == (1, "failed")
    assert sorted(found.json["errors"]) == sorted(called.errors)


def test_a_site_that_is_not_visible_does_not_keep_the_others(shop: Shop) -> None:
    """It is named, and the code is 1."""
    shop.configure(sites=["1", "9"], reports=["visits_summary"], backfill_days=2)
    found = call(shop.env, "sync", "shop", "--json")
    assert (found.code, found.json["tables"]["visits_summary"]["written"]) == (1, 2)
    assert found.json["errors"][0].startswith("site 9 is not there")


def test_a_refused_token_is_one_call_and_code_2(shop: Shop) -> None:
    """Nothing is made in the warehouse for it."""
    shop.write("token", "0" * 32)
    called = call(shop.env, "sync", "shop")
    assert called.code == 2
    assert called.errors == [
        "Matomo refused the token: it is wrong, expired or revoked. Put a valid one into the token secret"
    ]
    assert shop.matomo.http_requests == 1


def test_a_table_that_clashes_stays_as_it_is(shop: Shop) -> None:
    """The sentence says what to do, the other table is written, the code is 1."""
    with duckdb.connect(str(shop.warehouse)) as warehouse:
        warehouse.execute(f"create schema {DATASET}; create table {DATASET}.visitor_country (date date, visits text)")
    called = call(shop.env, "sync", "shop")
    assert called.code == 1
    assert called.errors == [
        f"table {DATASET}.visitor_country exists and does not fit: column visits is STRING, not INT64. It was left as "
        "it is: rename or drop it, or give the connector another dataset"
    ]
    assert shop.contents()[DATASET, "visitor_country"] == []
    assert len(shop.contents()[DATASET, "visits_summary"]) == 4


def test_a_run_whose_time_is_up_says_what_is_left(shop: Shop) -> None:
    """What it has is written; it is no failure, but code 1, since something is left."""
    shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1, page_rows=1000)
    # Reports that are paged share no call. A quarter of the time is kept for writing, and the first takes more than the
    # rest.
    clock = Clock()
    shop.matomo.faults.add(Fault(method="VisitsSummary.get", mutate=clock.taking(38), times=1))
    with budget_by(clock):
        found = call(shop.env, "sync", "shop", "--time-budget", "50", "--json")
    assert (found.code, found.json["status"], found.json["errors"]) == (1, "partial", [])
    assert {name: (table["written"], table["remaining"]) for name, table in found.json["tables"].items()} == {
        "visits_summary": (4, 0),
        "visitor_country": (0, 4),
    }
    assert found.json["missing"] == [
        f"visitor_country of site 1 on {found.json['first_day']} to {found.json['last_day']}: the run ended before "
        "these days were requested; the next one takes them"
    ]
    rest = call(shop.env, "sync", "shop", "--json")
    assert (rest.code, rest.json["tables"]["visitor_country"]["written"]) == (0, 4)


BAD = {
    ("--start-date", "yesterday"): "request: start_date: 'yesterday' is not a day such as 2026-01-31",
    ("--start-date", ""): "request: start_date: '' is not a day such as 2026-01-31",
    ("--start-date", "2026-02-30"): "request: start_date: there is no day '2026-02-30'",
    ("--end-date", "2026-02-03"): "request: end_date is given without start_date: give both, or start_date alone",
    (
        "--start-date",
        "2026-02-03",
        "--end-date",
        "2026-02-02",
    ): "request: start_date 2026-02-03 lies after end_date 2026-02-02",
    (
        "--mode",
        "append",
    ): "request: mode has to be 'incremental', 'intraday', 'sweep', 'backfill', 'full_refresh', 'audit', "
    "'reconcile' or 'deliver', not \"append\"",
    (
        "--mode",
        "",
    ): "request: mode has to be 'incremental', 'intraday', 'sweep', 'backfill', 'full_refresh', 'audit', "
    "'reconcile' or 'deliver', not \"\"",
    ("--site", "one"): "request: sites: 'one' is not a site id: it has to be a whole number such as 1",
    ("--site", ""): "request: sites: '' is not a site id: it has to be a whole number such as 1",
    ("--table", "visitor_countries"): (
        "request: connector 'shop' does not have table 'visitor_countries': did you mean 'visitor_country'?"
    ),
    ("--table", "countries"): (
        "request: connector 'shop' does not have table 'countries': add it to \"reports\" in its configuration, which "
        "has visitor_country, visits_summary"
    ),
    ("--table", "visits"): (
        "request: connector 'shop' does not have table 'visits': set \"visits\": true in its configuration"
    ),
    ("--site", "2"): "request: connector 'shop' does not have site 2: it has 1",
    ("--time-budget", "soon"): 'environment: MATOMO_FN_TIME_BUDGET has to be a whole number, not "soon"',
    ("--buffer-megabytes", "0"): "environment: MATOMO_FN_BUFFER_MEGABYTES has to be 1 or more, not 0",
    ("--log-format", "xml"): "environment: MATOMO_FN_LOG_FORMAT has to be 'auto', 'json' or 'text', not \"xml\"",
    ("--secrets", "/nowhere"): (
        "environment: MATOMO_FN_SECRETS: '/nowhere' is neither secret-manager nor a folder that exists"
    ),
}


@pytest.mark.parametrize("options", BAD, ids=" ".join)
def test_bad_options_are_a_sentence_and_code_2(options: tuple[str, ...], shop: Shop) -> None:
    """In text on the error stream, with --json as a document; of tables only that of who may call Matomo is made."""
    called = call(shop.env, "sync", "shop", *options)
    assert (called.code, called.out, called.errors) == (2, "", [BAD[options]])
    as_json = call(shop.env, "sync", "shop", "--json", *options)
    answer = as_json.json
    assert re.fullmatch(r"\d{8}T\d{6}_[0-9a-f]{8}", answer.pop("run_id"))
    assert (as_json.code, answer) == (2, {"status": "failed", "connector": "shop", "errors": [BAD[options]]})
    assert as_json.errors == []
    assert not shop.warehouse.exists() or shop.contents().keys() <= {(DATASET, "_sync_leases")}


@pytest.mark.parametrize(
    "arguments", [("sync",), ("plan", "shop", "more"), ("sync", "shop", "--since", "x"), ("pull",)]
)
def test_a_call_that_is_no_command_says_how_to_get_help(arguments: tuple[str, ...], shop: Shop) -> None:
    """Code 2, as for all bad input."""
    called = call(shop.env, *arguments)
    assert (called.code, called.out) == (2, "")
    assert "Try '" in called.err
    assert "--help" in called.err


def test_a_dry_run_is_pointed_at_plan(shop: Shop) -> None:
    """A request over HTTP has `dry_run`; here it is a command."""
    called = call(shop.env, "sync", "shop", "--dry-run")
    assert (called.code, called.out) == (2, "")
    assert "Error: a dry run is a command of its own: plan, with the same options" in called.err


def test_one_failure_is_one_error_line(shop: Shop) -> None:
    """With the run and the connector, whatever failed."""
    shop.write("token", "0" * 32)
    called = call(shop.env, "sync", "shop", "--json")
    (line,) = (line for line in called.logged if line["severity"] == "ERROR")
    assert (line["message"], line["connector"], line["run_id"]) == ("run_finished", "shop", called.json["run_id"])


def test_options_win_over_the_environment(shop: Shop, tmp_path: Path) -> None:
    """Every setting can be given for one call."""
    env = {"MATOMO_FN_SECRETS": "/nowhere", "MATOMO_FN_WAREHOUSE": "nothing", "MATOMO_FN_LOG_FORMAT": "xml"}
    other = tmp_path / "other.duckdb"
    options = ("--secrets", str(shop.secrets), "--warehouse", f"duckdb:{other}", "--log-format", "text")
    called = call(env, "sync", "shop", *options)
    assert called.code == 0
    assert other.exists()
    assert not shop.warehouse.exists()
    assert called.logged == []
    assert "run_finished" in called.err


def test_the_token_is_in_no_file_of_a_sync(shop: Shop, tmp_path: Path) -> None:
    """Neither where all goes well nor where Matomo repeats it in an error."""
    repeating = Fault(method="VisitsSummary.get", message=f"bad token_auth={shop.matomo.token}", times=1)
    shop.matomo.faults.add(repeating)
    call(shop.env, "sync", "shop")
    call(shop.env, "sync", "shop")
    (shop.secrets / "matomo-shop-token").unlink()
    assert_absent(folder=tmp_path)
