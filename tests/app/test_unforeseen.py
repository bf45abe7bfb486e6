"""What nobody foresaw, and what was once not foreseen: every request ends with a sentence and `run_finished`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from fake_matomo import Fault
from matomo_fn.app import wiring
from tests.app.cli.calling import call, run
from tests.app.test_handlers import binary, raw_push
from tests.support import shop
from tests.support.server import deployed
from tests.support.shop import DATASET, Shop, log_lines
from tests.support.wire import WireServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNTRIES = "UserCountry.getCountry"
VERSION = "API.getMatomoVersion"
LIVE = "Live.getLastVisitsDetails"
HALF = "\ud83d"  # half of 😀, as a text that was cut at so many UTF-16 units ends with
REQUEST = {
    "connector": "shop",
    "start_date": "2024-03-05",
    "end_date": "2024-03-06",
    "tables": ["visits_summary", "visitor_country"],
}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Shop]:
    """A connector that works, and an empty warehouse."""
    with shop.running(tmp_path) as running:
        yield running


def finished(output: str) -> list[dict[str, Any]]:
    """The lines that tell the end of a run."""
    return [line for line in log_lines(output) if line["message"] == "run_finished"]


# ---- half a surrogate pair


def half_in_an_error(place: Shop) -> None:
    place.matomo.faults.add(Fault(method=COUNTRIES, message=f"Something broke {HALF}"))


def half_in_a_label(place: Shop) -> None:
    def cut(rows: object) -> object:
        assert isinstance(rows, dict)
        return {day: [row | {"label": f"{row['label']}{HALF}"} for row in found] for day, found in rows.items()}

    place.matomo.faults.add(Fault(method=COUNTRIES, mutate=cut))


def half_in_a_visit(place: Shop) -> None:
    def cut(visits: object) -> object:
        assert isinstance(visits, list)
        return [visit | {"referrerName": HALF, "visitorId": HALF} for visit in visits]

    place.configure(reports=REQUEST["tables"], visits=True)
    place.matomo.faults.add(Fault(method=LIVE, mutate=cut))


def half_in_a_field_that_is_no_number(place: Shop) -> None:
    def cut(rows: object) -> object:
        assert isinstance(rows, dict)
        return {day: [row | {"nb_visits": HALF} for row in found] for day, found in rows.items()}

    place.matomo.faults.add(Fault(method=COUNTRIES, mutate=cut))


@pytest.mark.parametrize(
    "break_it", [half_in_an_error, half_in_a_label, half_in_a_visit, half_in_a_field_that_is_no_number]
)
def test_half_a_surrogate_pair_from_matomo_is_logged_stored_and_answered(
    place: Shop, break_it: Callable[[Shop], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """By HTTP, by Pub/Sub and on a terminal: each run has its end, and what is stored is UTF-8."""
    place.configure(reports=REQUEST["tables"])
    break_it(place)
    request = {name: value for name, value in REQUEST.items() if name != "tables"}
    response = place.post(request)
    assert response.get_json()["status"] in ("complete", "failed")
    assert json.loads(response.get_data().decode())["run_id"]
    assert raw_push(place, request).status_code in (200, 503)
    output = capfd.readouterr()
    assert len(finished(output.out)) == 2
    assert "Traceback" not in output.err
    assert "unforeseen" not in output.out
    # One program of its own: its streams are the same for all.
    terminal = run if break_it is half_in_an_error else call
    called = terminal(place.env, "sync", "shop", "--start-date", "2024-03-05", "--end-date", "2024-03-05", "--json")
    assert called.json["run_id"]
    assert len([line for line in called.logged if line["message"] == "run_finished"]) == 1
    assert place.contents()[(DATASET, "_sync_log")]


def test_half_a_surrogate_pair_is_logged_by_the_deployed_program(place: Shop) -> None:
    """Its standard output takes nothing but UTF-8."""
    half_in_an_error(place)
    place.configure()
    with deployed("sync", env=place.env) as program:
        request = urllib.request.Request(program.url, json.dumps(REQUEST).encode())
        with pytest.raises(urllib.error.HTTPError) as failed, urllib.request.urlopen(request):
            pass
        assert (failed.value.code, json.load(failed.value)["status"]) == (502, "failed")
        failed.value.close()
        output = program.output
    assert len(finished("\n".join(line for line in output.splitlines() if line.startswith("{")))) == 1
    assert "Traceback" not in output


@pytest.mark.parametrize("field", ["connector", "start_date", "tables", "sites", "mode", "other"])
def test_half_a_surrogate_pair_in_a_request_is_a_sentence(
    place: Shop, field: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Over HTTP it is 400; over Pub/Sub the message is taken as done, since it can never succeed."""
    request = REQUEST | {field: [HALF] if field in ("tables", "sites") else HALF}
    response = place.post(request)
    assert response.status_code == 400
    assert json.loads(response.get_data().decode())["errors"]
    assert binary(place, request).status_code == 200
    output = capfd.readouterr()
    ends = [line["message"] for line in log_lines(output.out) if line["severity"] == "ERROR"]
    # Which tables there are, the connector knows: a run has begun then, and ends.
    assert ends == (["run_finished"] * 2 if field == "tables" else ["request_refused", "message_refused"])
    assert "Traceback" not in output.err


@pytest.mark.parametrize("key", ["matomo_url", "dataset", "location", "sites", "reports", "other"])
def test_half_a_surrogate_pair_in_a_configuration_is_a_sentence(
    place: Shop, key: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """On every way in."""
    place.configure(**{key: [HALF] if key in ("sites", "reports") else HALF})
    assert place.post(REQUEST).status_code == 400
    assert binary(place, REQUEST).status_code == 200
    assert "Traceback" not in capfd.readouterr().err
    # The streams of a real program are the same for every key.
    called = (run if key == "other" else call)(place.env, "sync", "shop")
    assert (called.code, bool(called.errors)) == (2, True)


# ---- odd servers


@pytest.mark.parametrize("version", ["9" * 5000, f"{'9' * 5000}.1.0", f"5.{'9' * 5000}"])
def test_a_version_of_thousands_of_digits_is_an_error_of_the_answer(place: Shop, version: str) -> None:
    """It is no version, and the sentence repeats its beginning alone."""
    place.matomo.faults.add(Fault(method=VERSION, mutate=lambda _: {"value": version}))
    response = place.post(REQUEST)
    assert response.status_code == 502
    (sentence,) = response.get_json()["errors"]
    assert sentence.startswith("API.getMatomoVersion answers '")
    assert len(sentence) < 200


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[]",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n[]",
        answer(b"\xff\xfe"),
    ],
)
def test_an_answer_that_is_no_http_is_a_failure_of_matomo(place: Shop, sent: bytes) -> None:
    """Such as a chunk of a negative size."""
    with WireServer(sent) as server:
        place.configure(matomo_url=server.url)
        response = place.post(REQUEST, MATOMO_FN_TIME_BUDGET="1")
    assert response.status_code == 502
    (sentence,) = response.get_json()["errors"]
    assert "unforeseen" not in sentence


@pytest.mark.parametrize("url", ["http://a..b.com/", "http://.a.com/", f"http://{'a' * 64}.com/"])
def test_an_address_with_an_impossible_name_is_a_sentence(place: Shop, url: str) -> None:
    """The look-up refuses it before it goes out, in a program of its own: here a guard stands before every look-up."""
    place.configure(matomo_url=url)
    called = run(place.env | {"MATOMO_FN_TIME_BUDGET": "1"}, "sync", "shop")
    assert called.code in (1, 2)
    (sentence,) = called.errors
    assert "unforeseen" not in sentence


# ---- what is still not foreseen


@pytest.fixture
def _broken() -> Iterator[None]:
    """A program with a fault: it stands in for all that are not known."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError("a value of somebody's")

    with mock.patch.object(wiring, "sync", broken):
        yield


@pytest.mark.usefixtures("_broken")
def test_a_fault_of_the_program_is_a_sentence_with_class_and_place(
    place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Status 500, one line that says where, and one that the run has ended; no value, no traceback."""
    response = place.post(REQUEST)
    assert response.status_code == 500
    (sentence,) = response.get_json()["errors"]
    assert sentence.startswith("unforeseen ZeroDivisionError at ")
    output = capfd.readouterr()
    lines = log_lines(output.out)
    assert [line["message"] for line in lines] == ["unforeseen_error", "run_finished"]
    assert (lines[0]["kind"], lines[1]["status"], lines[1]["errors"]) == ("ZeroDivisionError", "failed", [sentence])
    assert "somebody" not in output.out + output.err + response.text


@pytest.mark.usefixtures("_broken")
def test_a_fault_of_the_program_is_logged_for_a_person_as_well(place: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    """As text: the line, and below it the places on the way to the fault."""
    assert place.post(REQUEST, MATOMO_FN_LOG_FORMAT="text").status_code == 500
    lines = capfd.readouterr().out.splitlines()
    (at,) = (number for number, line in enumerate(lines) if "kind=ZeroDivisionError" in line)
    assert "unforeseen_error" in lines[at]
    assert lines[at + 1].startswith("matomo_fn.app.")
    assert "run_finished" in lines[-1]


@pytest.mark.usefixtures("_broken")
def test_a_message_that_meets_a_fault_is_delivered_as_often_as_its_subscription_allows(
    place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """With a dead letter policy Pub/Sub sends how often it has delivered, and ends it; without one the program does."""
    assert raw_push(place, REQUEST).status_code == 200
    assert raw_push(place, REQUEST, attempt=3).status_code == 503
    messages = [line["message"] for line in log_lines(capfd.readouterr().out)]
    assert messages == ["unforeseen_error", "run_finished"] * 2
