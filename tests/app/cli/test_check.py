"""`check` says of each thing whether it is good, and what to fix."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import duckdb
import pytest

from fake_matomo import FakeMatomo, Fault, force_ssl, maintenance, too_many_failed_logins
from tests.app.cli.calling import call
from tests.support.canary import CANARY
from tests.support.shop import DATASET, WORLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from tests.support.emulator import Emulator
    from tests.support.shop import Shop

# What `check` requests besides the reports, and all that `plan` does.
LOOKING = {"API.getMatomoVersion", "SitesManager.getSitesWithAtLeastViewAccess"}
PAGE = "<html><body>Not Found</body></html>"


def yesterday() -> date:
    """At the shop's site."""
    return datetime.now(UTC).astimezone(ZoneInfo("Europe/Paris")).date() - timedelta(days=1)


def test_a_good_connector_has_a_line_for_each_thing(shop: Shop) -> None:
    """Configuration, token, version, site and warehouse are named, and the code is 0."""
    called = call(shop.env, "check", "shop")
    assert (called.code, called.err) == (0, "")
    lines = [line.split(maxsplit=2) for line in called.out.splitlines()]
    assert [line[:2] for line in lines] == [
        ["ok", name] for name in ("configuration", "token", "matomo", "sites", "reports", "warehouse")
    ]
    assert [line[2] for line in lines] == [
        f"{shop.matomo.url} to dataset {DATASET}",
        "Matomo accepts it",
        f"version {shop.matomo.version}",
        "site 1 'Shop', time zone Europe/Paris, since 2021-01-01",
        f"Matomo answers all 2 (site 1, {yesterday()})",
        f"dataset {DATASET}: 0 of 3 tables are there",
    ]


def test_json_says_the_same(shop: Shop) -> None:
    """One document with a status and every check."""
    found = call(shop.env, "check", "shop", "--json").json
    assert found["status"] == "ok"
    assert [(item["check"], item["ok"]) for item in found["checks"]] == [
        (name, True) for name in ("configuration", "token", "matomo", "sites", "reports", "warehouse")
    ]


def test_nothing_is_written_and_each_report_is_requested_once(shop: Shop) -> None:
    """Of one site and one day; a look leaves no trace."""
    files = sorted(shop.warehouse.parent.iterdir())
    call(shop.env, "check", "shop")
    assert sorted(shop.warehouse.parent.iterdir()) == files
    reports = [one for one in shop.matomo.calls if one.method not in LOOKING]
    assert sorted(one.method for one in reports) == ["UserCountry.getCountry", "VisitsSummary.get"]
    assert {one.params["date"].partition(",")[0] for one in reports} == {str(yesterday())}


@pytest.mark.parametrize("command", ["check", "status"])
def test_a_call_that_fails_is_not_repeated(command: str, shop: Shop) -> None:
    """Somebody waits for the answer: `sync` would take 17 seconds of tries to say that a server is down."""
    assert call(shop.env, "sync", "shop").code == 0
    shop.matomo.forget_calls()
    shop.matomo.faults.add(maintenance())
    assert "is in maintenance" in call(shop.env, command, "shop").out
    assert shop.matomo.http_requests == 1


def test_a_deactivated_plugin_is_named_with_the_way_out(shop: Shop) -> None:
    """A sync would fail each of its days; the other tables are good."""
    shop.matomo.deactivate_plugin("UserCountry")
    called = call(shop.env, "check", "shop")
    (line,) = (line for line in called.out.splitlines() if line.startswith("wrong"))
    assert called.code == 1
    assert line.startswith("wrong  reports        table visitor_country: UserCountry.getCountry: Matomo says: ")
    assert line.endswith('activate the plugin UserCountry in Matomo, or leave the table out of "reports"')


@pytest.mark.parametrize("site", [None, 2])
def test_a_visits_log_that_is_switched_off_is_named_with_the_way_out(site: int | None, shop: Shop) -> None:
    """For the whole Matomo, or for one of its sites; with `visits` left out nobody asks."""
    shop.matomo.disable_visitor_log(site)
    shop.configure(reports=["visits_summary"], sites="all")
    assert call(shop.env, "check", "shop").code == 0
    shop.configure(reports=["visits_summary"], sites="all", visits=True)
    called = call(shop.env, "check", "shop")
    wrong = [line for line in called.out.splitlines() if line.startswith("wrong")]
    assert called.code == 1
    assert [line.split(": ")[0] for line in wrong] == [
        f"wrong  visits         site {number}" for number in ((1, 2) if site is None else (2,))
    ]
    assert all(line.endswith('or leave the visits out by "visits": false') for line in wrong)


def test_visits_logs_that_can_be_read_are_one_line(shop: Shop) -> None:
    """However many sites there are."""
    shop.configure(reports=["visits_summary"], sites="all", visits=True)
    called = call(shop.env, "check", "shop")
    assert called.code == 0
    assert "ok     visits         the visits logs of all sites can be read\n" in called.out


def test_a_dataset_of_another_matomo_is_found_before_the_first_sync(shop: Shop) -> None:
    """Its tables tell sites by number alone; `sync` refuses it with the same words."""
    assert call(shop.env, "sync", "shop").code == 0
    with FakeMatomo(WORLD, token=CANARY) as other:
        (shop.secrets / "matomo-blog-token").write_text(CANARY)
        config = {"matomo_url": other.url, "sites": ["1"], "reports": ["visits_summary"], "dataset": DATASET}
        (shop.secrets / "matomo-blog-config").write_text(json.dumps(config))
        checked = call(shop.env, "check", "blog", "--json")
        synced = call(shop.env, "sync", "blog")
    (wrong,) = (item for item in checked.json["checks"] if not item["ok"])
    assert (checked.code, synced.code, wrong["check"]) == (2, 2, "warehouse")
    assert [wrong["detail"]] == synced.errors
    assert "give connector 'blog' a dataset of its own" in wrong["detail"]


def test_a_file_that_cannot_be_written_is_named(shop: Shop) -> None:
    """Neither where its folder would have to be made below a file, nor in a folder that takes no file."""
    below_a_file = shop.secrets / "matomo-shop-config" / "x.duckdb"
    for path in (below_a_file, Path("/proc/x.duckdb")):
        called = call(shop.env, "check", "shop", "--warehouse", f"duckdb:{path}")
        assert called.code == 1
        assert re.search(rf"wrong  warehouse      the DuckDB file {path} cannot be (written|opened) \(", called.out)


def test_the_home_folder_is_put_in_for_a_tilde(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell leaves it as it is behind `duckdb:`; nothing is created that is named so."""
    home = tmp_path / "home"
    (home / "keys").mkdir(parents=True)
    for file in shop.secrets.iterdir():
        (home / "keys" / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    options = ("--secrets", "~/keys", "--warehouse", "duckdb:~/x.duckdb")
    assert call(shop.env, "sync", "shop", *options).code == 0
    assert (home / "x.duckdb").exists()
    assert not (tmp_path / "~").exists()
    assert call(shop.env, "show", "visits_summary", "--warehouse", "duckdb:~/x.duckdb").code == 0
    unknown = call(shop.env, "sync", "shop", "--warehouse", "duckdb:~nobody_of_that_name/x.duckdb")
    assert (unknown.code, len(unknown.errors)) == (2, 1)
    assert "there is no home folder ~nobody_of_that_name" in unknown.errors[0]


@pytest.mark.parametrize("command", ["check", "plan", "sync", "status", "history"])
def test_a_connector_that_is_not_there_is_one_sentence_with_those_that_are(command: str, shop: Shop) -> None:
    """The one that it most resembles first."""
    for name in ("blog", "other"):
        (shop.secrets / f"matomo-{name}-config").write_text("{}")
    path = shop.secrets / "matomo-shpo-config"
    sentence = (
        "there is no connector 'shpo': did you mean 'shop'? There are blog, other, shop "
        f"(there is no file {path}: write the secret matomo-shpo-config into it)"
    )
    called = call(shop.env, command, "shpo")
    assert called.code == 2
    if command == "check":
        assert called.out == f"wrong  connector      {sentence}\n"
    else:
        assert called.errors == [sentence]


def test_the_tables_that_are_there_are_counted(shop: Shop) -> None:
    """After a sync all of them are."""
    assert call(shop.env, "sync", "shop").code == 0
    assert "3 of 3 tables are there" in call(shop.env, "check", "shop").out


def test_every_visible_site_has_a_line_where_all_are_wanted(shop: Shop) -> None:
    """`"sites": "all"` is what the token may see."""
    shop.configure(sites="all")
    assert call(shop.env, "check", "shop").out.count("sites  ") == 2


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is done, the checks that are wrong for it, words of each, and the exit code."""

    do: Callable[[Shop], object]
    checks: tuple[str, ...]
    words: tuple[str, ...]
    code: int


def drop(shop: Shop, *secrets: str) -> None:
    for secret in secrets:
        (shop.secrets / f"matomo-shop-{secret}").unlink()


def clash(shop: Shop) -> None:
    with duckdb.connect(str(shop.warehouse)) as warehouse:
        warehouse.execute(f"create schema {DATASET}; create table {DATASET}.visitor_country (date date, visits text)")


def clash_and_refuse(shop: Shop) -> None:
    clash(shop)
    shop.write("token", "0" * 32)


WRONG = {
    "no configuration": Wrong(lambda s: drop(s, "config"), ("configuration",), ("there is no file",), 2),
    "no secret at all": Wrong(
        lambda s: drop(s, "config", "token"), ("configuration", "token"), ("there is no file", "there is no file"), 2
    ),
    "no JSON": Wrong(lambda s: s.write("config", "{"), ("configuration",), ("is not valid JSON",), 2),
    "two problems of the configuration": Wrong(
        lambda s: s.write("config", '{"matomo_url": "shop", "sites": []}'),
        ("configuration", "configuration"),
        ("'shop' is not a URL", "names no site"),
        2,
    ),
    "an empty token": Wrong(lambda s: s.write("token", "\n"), ("token",), ("is empty",), 2),
    "a refused token": Wrong(lambda s: s.write("token", "0" * 32), ("token",), ("Matomo refused the token",), 2),
    "a blocked address": Wrong(
        lambda s: s.matomo.faults.add(too_many_failed_logins()), ("token",), ("has blocked this address",), 2
    ),
    "a redirect": Wrong(lambda s: s.matomo.faults.add(force_ssl()), ("matomo",), ("Matomo redirects to https://",), 1),
    "another address": Wrong(
        lambda s: s.matomo.faults.add(Fault(status=404, body=PAGE, content_type="text/html")),
        ("matomo",),
        ("there is no Matomo at this address",),
        1,
    ),
    "a firewall": Wrong(
        lambda s: s.matomo.faults.add(Fault(status=403, body=PAGE, content_type="text/html")),
        ("matomo",),
        ("a firewall or the web server",),
        1,
    ),
    "a version that is none": Wrong(
        lambda s: s.matomo.faults.add(Fault(method="API.getMatomoVersion", body="[]")),
        ("matomo",),
        ("answers no version",),
        1,
    ),
    "a site that is not visible": Wrong(
        lambda s: s.configure(sites=["1", "9"]), ("sites",), ("site 9 is not there or the token's user may not",), 1
    ),
    "no visible site": Wrong(
        lambda s: s.matomo.faults.add(Fault(method="SitesManager.*", body="[]")),
        ("sites",),
        ("may see no site at all",),
        2,
    ),
    "a user without any access": Wrong(
        lambda s: s.write("token", s.matomo.add_token("nothing", sites=())),
        ("matomo",),
        ("Give the token's user view access",),
        1,
    ),
    "a table that clashes": Wrong(
        clash, ("warehouse",), ("table visitor_country: column visits is STRING, not INT64",), 1
    ),
    "two things at once": Wrong(
        clash_and_refuse, ("token", "warehouse"), ("Matomo refused the token", "table visitor_country"), 2
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_each_thing_that_is_wrong_is_named(name: str, shop: Shop) -> None:
    """The check is the one that it belongs to, the rest is looked at all the same."""
    case = WRONG[name]
    shop.configure(reports=["visitor_country"])
    case.do(shop)
    found = call(shop.env, "check", "shop", "--json")
    wrong = [item for item in found.json["checks"] if not item["ok"]]
    assert [item["check"] for item in wrong] == list(case.checks)
    for item, words in zip(wrong, case.words, strict=True):
        assert words in item["detail"]
    assert (found.code, found.json["status"]) == (case.code, "failed")
    text = call(shop.env, "check", "shop")
    assert text.code == case.code
    assert [line.split()[1] for line in text.out.splitlines() if line.startswith("wrong")] == list(case.checks)


def test_a_refused_token_is_sent_once(shop: Shop) -> None:
    """21 of them would block the address."""
    shop.write("token", "0" * 32)
    call(shop.env, "check", "shop")
    assert shop.matomo.http_requests == 1


def test_a_file_that_is_open_elsewhere_is_named(shop: Shop) -> None:
    """DuckDB lets one process write at a time."""
    assert call(shop.env, "sync", "shop").code == 0
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(shop.warehouse)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        found = {command: call(shop.env, command, "shop") for command in ("check", "plan", "sync", "status")}
        holder.communicate()
    sentence = f"the DuckDB file {shop.warehouse} is open in another process: close it there, then try again"
    assert f"wrong  warehouse      {sentence}\n" in found["check"].out
    assert {called.code for called in found.values()} == {1}
    assert all(found[command].errors == [sentence] for command in ("plan", "sync", "status"))


def test_missing_google_credentials_are_named(shop: Shop, tmp_path: Path) -> None:
    """It is the user's to log in, and Matomo is looked at nevertheless."""
    nobody = {"HOME": str(tmp_path), "CLOUDSDK_CONFIG": str(tmp_path), "NO_GCE_CHECK": "true"}
    env = shop.env | nobody | {"MATOMO_FN_WAREHOUSE": "bigquery", "GOOGLE_CLOUD_PROJECT": "my-project"}
    found = call(env, "check", "shop", "--json")
    assert found.code == 2
    assert [item["check"] for item in found.json["checks"] if not item["ok"]] == ["warehouse"]
    assert "there are no Google credentials" in found.json["checks"][-1]["detail"]


def test_bigquery_is_looked_at(shop: Shop, emulator: Emulator, dataset_name: str) -> None:
    """A dataset that is not there yet is no fault: the first sync creates it."""
    shop.configure(dataset=dataset_name, reports=["visits_summary"])
    env = shop.env | {
        "MATOMO_FN_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": emulator.project,
        "BIGQUERY_EMULATOR_HOST": emulator.address,
    }
    found = call(env, "check", "shop")
    assert found.code == 0
    assert f"dataset {emulator.project}.{dataset_name}: 0 of 2 tables are there" in found.out


def test_a_dataset_in_bigquery_is_tried_as_a_sync_would(shop: Shop, emulator: Emulator, dataset_name: str) -> None:
    """Whether tables may be created in it, by a dry run that creates none; and whether it is where it should be."""
    env = shop.env | {
        "MATOMO_FN_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": emulator.project,
        "BIGQUERY_EMULATOR_HOST": emulator.address,
    }
    shop.configure(dataset=dataset_name, reports=["visits_summary"], backfill_days=2)
    assert call(env, "sync", "shop").code == 0
    client = emulator.client()
    before = {table.table_id for table in client.list_tables(dataset_name)}
    found = call(env, "check", "shop")
    assert found.code == 0, found.out
    assert {table.table_id for table in client.list_tables(dataset_name)} == before
    client.close()


def test_a_name_that_cannot_be_a_connector_is_refused(shop: Shop) -> None:
    """By `check` and `status` as by every other command."""
    sentence = "request: connector: '../shop' is not a connector name: lower-case letters, digits and hyphens"
    assert call(shop.env, "check", "../shop").out == f"wrong  connector      {sentence}\n"
    for command in ("plan", "sync", "status"):
        called = call(shop.env, command, "../shop")
        assert (called.code, called.errors) == (2, [sentence])


def test_wrong_settings_end_it_before_anything_is_looked_at(shop: Shop) -> None:
    """They are sentences, all of them, and code 2; with --json the same as a document."""
    env = shop.env | {"MATOMO_FN_WAREHOUSE": "parquet", "MATOMO_FN_SECRET": "x"}
    called = call(env, "check", "shop")
    assert (called.code, called.out) == (2, "")
    assert called.errors == [
        "environment: unknown variable MATOMO_FN_SECRET: did you mean 'MATOMO_FN_SECRETS'?",
        "environment: MATOMO_FN_WAREHOUSE: 'parquet' is neither bigquery nor duckdb:PATH",
    ]
    assert call(env, "check", "shop", "--json").json == {"status": "failed", "errors": called.errors}
    assert not shop.matomo.calls


def test_a_site_that_is_missing_is_also_told_by_json(shop: Shop) -> None:
    """The document has the same sentence as the line."""
    shop.configure(sites=["2", "7"])
    found = json.loads(call(shop.env, "check", "shop", "--json").out)
    assert [item["ok"] for item in found["checks"] if item["check"] == "sites"] == [True, False]
