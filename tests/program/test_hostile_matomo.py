"""A Matomo that somebody else has taken over: what it answers harms neither the tables nor the token.

Each case goes the whole way: the Functions Framework, a sample Matomo over HTTP, secrets in a folder, a DuckDB file.
"""

from __future__ import annotations

import base64
import json
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import Fault
from tests.app.cli.calling import call
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.shop import DATASET, Shop, log_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

VERSION, SITES = "API.getMatomoVersion", "SitesManager.getSitesWithAtLeastViewAccess"
COUNTRIES, PAGES, SUMMARY, EVENTS = (
    "UserCountry.getCountry", "Actions.getPageUrls", "VisitsSummary.get", "Events.getCategory",
)  # fmt: skip
REQUEST = {
    "connector": "shop",
    "start_date": "2024-03-05",
    "end_date": "2024-03-06",
    "tables": ["visits_summary", "visitor_country", "behaviour_page", "behaviour_event"],
}
ECHOES = {
    "plain": CANARY,
    "split": " ".join(CANARY),
    "codes": ", ".join(f"0x{byte:02x}" for byte in CANARY.encode()),
    "base64": base64.b64encode(f"t={CANARY}".encode()).decode(),
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    with shop.running(tmp_path) as running:
        yield running


def everywhere(place: Shop, answer: dict[str, Any], output: str) -> None:
    """The token stands in no answer, log line, or row of any table."""
    contents = place.contents() if place.warehouse.exists() else {}
    assert_absent(answer=json.dumps(answer), output=output, tables=repr(contents))


def changed(field: str, value: object) -> Callable[[object], object]:
    """Put a value into a field of each row of each day."""

    def mutate(answer: object) -> object:
        if isinstance(answer, dict) and not any(isinstance(rows, list | dict) for rows in answer.values()):
            return {**answer, field: value}
        assert isinstance(answer, dict)
        days = {day: rows if isinstance(rows, list) else [rows] for day, rows in answer.items()}
        found = {day: [{**row, field: value} for row in rows[:1]] for day, rows in days.items()}
        return {day: rows if isinstance(answer[day], list) else rows[0] for day, rows in found.items()}

    return mutate


@pytest.mark.parametrize("echo", ECHOES)
def test_the_token_is_nowhere_whatever_a_report_makes_of_it(
    place: Shop, capfd: pytest.CaptureFixture[str], echo: str
) -> None:
    """In a label, a number, an error and a page of HTML; a label that repeats it whole is stored without it."""
    text = ECHOES[echo]
    for fault in (
        Fault(method=COUNTRIES, mutate=changed("label", f"{CANARY} land")),
        Fault(method=SUMMARY, mutate=changed("nb_visits", text)),
        Fault(method=EVENTS, message=f"token {text}"),
        Fault(method=PAGES, status=400, body=f"<p>{text}</p>", content_type="text/html"),
    ):
        place.matomo.faults.add(fault)
    answer = place.post(REQUEST).get_json()
    failed = {name: table["failed"] for name, table in answer["tables"].items()}
    assert failed == {"visits_summary": 2, "visitor_country": 0, "behaviour_page": 2, "behaviour_event": 2}
    rows = place.contents()[(DATASET, "visitor_country")]
    assert len(rows) == 2
    assert all("*** land" in row.values() for row in rows)
    everywhere(place, answer, capfd.readouterr().out)


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize(
    ("method", "value"),
    [
        (VERSION, lambda text: {"value": text}),
        (SITES, lambda text: [{"idsite": "1", "name": text, "timezone": text, "ts_created": text}]),
        (SITES, lambda text: [{"idsite": text, "name": text, "timezone": "UTC", "ts_created": "2024-01-01 00:00:00"}]),
    ],
    ids=["version", "time zone", "id"],
)
def test_the_token_is_nowhere_whatever_matomo_calls_itself(
    place: Shop, capfd: pytest.CaptureFixture[str], method: str, value: Callable[[str], object], echo: str
) -> None:
    """Neither in the answer of the function nor in what `check` prints."""
    place.matomo.faults.add(Fault(method=method, mutate=lambda _: value(ECHOES[echo])))
    answer = place.post(REQUEST).get_json()
    assert answer["status"] == "failed"
    everywhere(place, answer, capfd.readouterr().out)
    checked = call(place.env, "check", "shop")  # which looks for the canary in both streams
    assert checked.code != 0 or method == VERSION


@pytest.mark.parametrize("key", ['2","zz":"', "4\\", "1' or '1'='1", CANARY])
def test_a_site_with_an_odd_id_is_named_and_the_others_are_synced(
    place: Shop, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    """It put columns into rows, or failed all tables."""
    place.configure(sites="all")
    place.matomo.faults.add(Fault(method=SITES, mutate=lambda sites: [*sites, {**sites[0], "idsite": key}]))  # type: ignore[misc,index]  # a list
    answer = place.post(REQUEST).get_json()
    shown = "***" if key == CANARY else key
    assert answer["errors"] == [
        f"site {json.dumps(shown)}: Matomo answers that as its id, where a whole number such as 1 belongs"
    ]
    assert answer["sites"] == ["1", "2"]
    assert {table["written"] for table in answer["tables"].values()} == {4}
    everywhere(place, answer, capfd.readouterr().out)


def test_a_site_that_is_listed_twice_is_synced_once(place: Shop) -> None:
    """Every row stood in the tables twice, and the run was complete."""
    place.configure(sites="all")
    assert place.post(REQUEST).get_json()["status"] == "complete"
    once = place.contents()
    place.warehouse.unlink()
    place.matomo.faults.add(Fault(method=SITES, mutate=lambda sites: [*sites, *sites]))  # type: ignore[misc]  # a list
    assert place.post(REQUEST).get_json()["status"] == "complete"
    twice = place.contents()
    for table in REQUEST["tables"]:
        assert [_key(row) for row in twice[(DATASET, table)]] == [_key(row) for row in once[(DATASET, table)]]


def _key(row: dict[str, Any]) -> list[object]:
    return [value for name, value in sorted(row.items()) if not name.startswith("_") and "synced" not in name]


def test_a_visit_that_is_answered_for_every_day_stands_on_none(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """A server that ignores the date had it stand on each, and the run was complete."""
    place.configure(visits=True)
    visit = place.matomo.visits(1, date(2024, 3, 1))[0]
    fields = {"idVisit": visit.id, "firstActionTimestamp": visit.last_at, "lastActionTimestamp": visit.last_at}
    place.matomo.faults.add(
        Fault(method=r"Live\.getLastVisitsDetails", mutate=lambda visits: visits and [{**visits[0], **fields}])  # type: ignore[index]
    )
    answer = place.post({**REQUEST, "tables": ["visits"]}).get_json()
    assert (answer["status"], answer["tables"]["visits"]["failed"]) == ("failed", 2)
    assert "answers visit" in answer["errors"][0]
    assert place.contents()[(DATASET, "visits")] == []
    assert log_lines(capfd.readouterr().out)[-1]["status"] == "failed"
