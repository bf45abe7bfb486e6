"""`discover` lists what a Matomo can report, and prints the configuration of one report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.app.cli.calling import call

if TYPE_CHECKING:
    from tests.support.shop import Shop


def test_every_report_is_listed_with_its_table(shop: Shop) -> None:
    """Category, dimension and metrics as Matomo has them; the table as `reports` would name it."""
    found = call(shop.env | {"COLUMNS": "200"}, "discover", "shop")
    assert (found.code, found.out.splitlines()[0].split()[:2]) == (0, ["report", "dimension"])
    listed = {line.split()[0]: line for line in found.out.splitlines()[1:]}
    assert listed["Events.getName"].split()[1:4] == ["Event", "Name", "events_name"]
    narrow = call(shop.env | {"COLUMNS": "80"}, "discover", "shop")
    assert [line.split() for line in narrow.out.splitlines() if "getName " in line] == [
        ["Events.getName", "Event", "Name"]
    ]
    reports = call(shop.env, "discover", "shop", "--json").json["reports"]
    events = next(report for report in reports if report["report"] == "Events.getName")
    assert events | {"metrics": []} == {
        "report": "Events.getName",
        "parameters": {},
        "name": "Event Names",
        "category": "Actions",
        "dimension": "Event Name",
        "metrics": [],
        "table": "events_name",
        "sites": ["1"],
    }
    assert "nb_events" in events["metrics"]
    assert "token" not in json.dumps(reports).lower()


def test_one_report_is_printed_as_the_entry_that_makes_its_table(shop: Shop) -> None:
    """Which the configuration takes as it is; the rows are three of the newest."""
    found = call(shop.env, "discover", "shop", "--report", "Events.getName", "--parameter", "flat=1")
    entry, end = json.JSONDecoder().raw_decode(found.out)
    rows = [json.loads(line) for line in found.out[end:].strip().splitlines()]
    assert (found.code, entry["report"], entry["flat"]) == (0, "Events.getName", True)
    assert entry["schema"]["label"] == {"type": "STRING", "identifier": True, "description": "Event Name."}
    assert entry["schema"]["nb_events"]["type"] == "INT64"
    assert 0 < len(rows) <= 3
    assert all(row.keys() <= {"_is_others", "segment_definition", *entry["schema"]} for row in rows)
    config = shop.secrets / "matomo-shop-config"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"custom_reports": [entry]}))
    synced = call(shop.env, "sync", "shop", "--table", "events_name", "--json").json
    assert (synced["status"], list(synced["tables"])) == ("complete", ["events_name"])


def test_columns_are_those_that_the_newest_rows_have(shop: Shop) -> None:
    (report,) = call(shop.env, "discover", "shop", "--report", "UserCountry.getCountry", "--json").json["reports"]
    columns = {column["field"]: column for column in report["columns"]}
    assert columns["code"] == {
        "field": "code",
        "column": "code",
        "type": "STRING",
        "identifier": False,
        "description": "Matomo's code.",
    }
    assert columns["segment"]["column"] == "segment_definition"
    assert (columns["label"]["identifier"], columns["nb_visits"]["type"]) == (True, "INT64")
    assert "logo" not in columns


def test_what_is_asked_for_wrongly_is_a_sentence(shop: Shop) -> None:
    for arguments, sentence in (
        (["--report", "Events.getNames"], "Matomo has no report Events.getNames"),
        (["--report", "Events"], "report: report: 'Events' is not a method of Matomo's reports such as Events.getName"),
        (["--parameter", "idGoal=1"], "--parameter belongs to a report: name it by --report"),
        (["--report", "Goals.get", "--parameter", "idGoal"], "--parameter 'idGoal' is not NAME=VALUE"),
        (["--report", "Goals.get", "--parameter", "idSite=1"], "'idSite' cannot be set here"),
    ):
        found = call(shop.env, "discover", "shop", *arguments)
        assert found.code == 2
        assert any(sentence in error for error in found.errors), found.err
