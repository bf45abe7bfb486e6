"""Faults on demand, tokens, refused calls, and HTTP."""

import gzip
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from http.client import HTTPConnection, IncompleteRead, RemoteDisconnected
from time import monotonic
from typing import Any

import pytest

from fake_matomo import (
    FakeMatomo,
    Fault,
    database_down,
    html_page,
    maintenance,
    out_of_memory,
    rate_limited,
    too_many_failed_logins,
    upgrade_required,
)
from tests.fake_matomo.client import DAY, fetch, fetch_raw, row, small_world, visits
from tests.fake_matomo.exchanges import exchange
from tests.fake_matomo.recorded import read

SUMMARY: dict[str, Any] = {"idSite": 1, "period": "day", "date": DAY}


@pytest.mark.parametrize(
    ("fault", "recording"),
    [
        (maintenance(), "down_maintenance_mode_params_in_url.json"),
        (upgrade_required(), "down_upgrade_required_params_in_url.json"),
        (out_of_memory(), "down_php_out_of_memory_params_in_url.json"),
        (database_down(), "down_database_unreachable_params_in_url.json"),
        (too_many_failed_logins(), "bruteforce_blocked_good_token.json"),
    ],
)
def test_known_faults_have_the_recorded_bodies(fault: Fault, recording: str) -> None:
    """Status and body are the recorded ones."""
    recorded = read(recording)
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(fault)
        got = fetch_raw(matomo, "VisitsSummary.get", **SUMMARY)
    assert (got.status, got.body) == (recorded.status, recorded.body)


def test_a_fault_applies_to_the_calls_that_it_names() -> None:
    """Method, site and day must match; other calls succeed."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(out_of_memory(Fault(method=r"UserCountry\..*", site=1, day=DAY)))
        assert fetch_raw(matomo, "UserCountry.getCountry", **SUMMARY).status == 500
        week = {**SUMMARY, "date": f"{DAY - timedelta(days=3)},{DAY + timedelta(days=3)}"}
        assert fetch_raw(matomo, "UserCountry.getCountry", **week).status == 500
        assert fetch_raw(matomo, "UserCountry.getCountry", **{**SUMMARY, "date": date(2026, 11, 1)}).status == 200
        assert fetch_raw(matomo, "VisitsSummary.get", **SUMMARY).status == 200
        matomo.faults.clear()
        assert fetch_raw(matomo, "UserCountry.getCountry", **SUMMARY).status == 200


def test_a_fault_can_start_late_and_end() -> None:
    """`after` calls succeed, the next `times` fail, the rest succeed."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(rate_limited(Fault(after=1, times=2), retry_after="7"))
        assert [fetch_raw(matomo, "VisitsSummary.get", **SUMMARY).status for _ in range(5)] == [200, 429, 429, 200, 200]


def test_an_answer_can_be_cut_off() -> None:
    """Fewer bytes are sent than announced."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(Fault(cut=10))
        with pytest.raises(IncompleteRead):
            fetch_raw(matomo, "VisitsSummary.get", **SUMMARY)


def test_a_connection_can_be_reset() -> None:
    """No answer at all."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(Fault(reset=True))
        with pytest.raises((ConnectionResetError, RemoteDisconnected)):
            fetch_raw(matomo, "VisitsSummary.get", **SUMMARY)


def test_a_notice_can_precede_the_json() -> None:
    """The body is a PHP notice, then the answer."""
    with FakeMatomo(small_world()) as matomo:
        right = fetch_raw(matomo, "VisitsSummary.get", **SUMMARY).body
        matomo.faults.add(Fault(notice=True))
        got = fetch_raw(matomo, "VisitsSummary.get", **SUMMARY)
        assert got.body.startswith("<br />\n<b>Notice</b>")
        assert got.body.endswith(right)


def test_a_page_can_replace_the_json() -> None:
    """The body is HTML, with status 200."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(html_page())
        got = fetch_raw(matomo, "VisitsSummary.get", **SUMMARY)
        assert (got.status, got.content_type) == (200, "text/html")


def test_an_answer_can_be_mutated() -> None:
    """A function changes the decoded answer."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(Fault(method="UserCountry.getCountry", mutate=lambda rows: [rows, rows]))
        answer = fetch(matomo, "UserCountry.getCountry", **SUMMARY)
        assert answer[0] == answer[1]


def test_a_late_answer_delays_neither_others_nor_the_stop() -> None:
    """A delay concerns one connection only, and ends when the server stops."""
    started = monotonic()
    with ThreadPoolExecutor(1) as pool:
        with FakeMatomo(small_world()) as matomo:
            matomo.faults.add(Fault(method="UserCountry.getCountry", delay=60))
            late = pool.submit(fetch_raw, matomo, "UserCountry.getCountry", **SUMMARY)
            while not any(call.method == "UserCountry.getCountry" for call in matomo.calls):
                pass
            assert fetch_raw(matomo, "VisitsSummary.get", **SUMMARY).status == 200
        late.exception(timeout=10)
    assert monotonic() - started < 10


def _bulk(matomo: FakeMatomo) -> Any:
    urls = {
        f"urls[{at}]": f"method={method}&idSite=1&period=day&date={DAY}"
        for at, method in enumerate(("VisitsSummary.get", "UserCountry.getCountry"))
    }
    return fetch(matomo, "API.getBulkRequest", **urls)


def test_a_fault_inside_a_bulk_request_affects_one_entry() -> None:
    """The other entries are correct."""
    with FakeMatomo(small_world()) as matomo:
        right = _bulk(matomo)
        matomo.faults.add(out_of_memory(Fault(method="UserCountry.getCountry", in_bulk=True)))
        wrong = _bulk(matomo)
        assert wrong[0] == right[0]
        assert wrong[1]["result"] == "error"
        assert fetch_raw(matomo, "UserCountry.getCountry", **SUMMARY).status == 200


def test_a_page_inside_a_bulk_request_replaces_the_response() -> None:
    """A fault of the whole HTTP response replaces all entries."""
    with FakeMatomo(small_world()) as matomo:
        matomo.faults.add(maintenance(Fault(method="UserCountry.getCountry", in_bulk=True)))
        urls: dict[str, Any] = {"urls[0]": f"method=UserCountry.getCountry&idSite=1&period=day&date={DAY}"}
        assert fetch_raw(matomo, "API.getBulkRequest", **urls).status == 503


def test_21_bad_tokens_block_the_address_for_an_hour() -> None:
    """A valid token is refused as well, until the hour is over."""
    with FakeMatomo(small_world()) as matomo:
        query = {"module": "API", "format": "json", "method": "API.getMatomoVersion"}
        bad = [exchange(matomo, "POST", query, {"token_auth": "bad"}).status for _ in range(22)]
        assert bad == [401] * 21 + [500]
        assert fetch_raw(matomo, "API.getMatomoVersion").status == 500
        matomo.advance(timedelta(minutes=61))
        assert fetch_raw(matomo, "API.getMatomoVersion").status == 200


def test_calls_are_recorded_without_the_token() -> None:
    """Method, parameters, whether in a bulk request, and the number of the HTTP request, without the token."""
    with FakeMatomo(small_world()) as matomo:
        _bulk(matomo)
        fetch_raw(matomo, "VisitsSummary.get", **SUMMARY, headers={"User-Agent": "me/1", "Accept-Language": "fr"})
        calls = matomo.calls
        assert [(call.method, call.in_bulk, call.http) for call in calls] == [
            ("API.getBulkRequest", False, 1),
            ("VisitsSummary.get", True, 1),
            ("UserCountry.getCountry", True, 1),
            ("VisitsSummary.get", False, 2),
        ]
        assert matomo.token not in repr(calls)
        assert matomo.http_requests == 2
        assert (calls[-1].user_agent, calls[-1].accept_language, calls[-1].token_in_url) == ("me/1", "fr", False)
        exchange(matomo, "GET", {"module": "API", "token_auth": matomo.token}, {})
        assert matomo.calls[-1].token_in_url
        assert matomo.token not in repr(matomo.calls)


def test_other_reports_can_refuse_ranges() -> None:
    """They answer HTTP 200 and an error, as Referrers.getAll does."""
    with FakeMatomo(small_world()) as matomo:
        matomo.refuse_ranges("Events.getCategory")
        answer = fetch(matomo, "Events.getCategory", idSite=1, period="day", date=f"{DAY},{DAY}")
        assert answer == {
            "result": "error",
            "message": "Events.getCategory with multiple sites or dates is not supported (yet).",
        }
        assert isinstance(fetch(matomo, "Events.getCategory", **SUMMARY), list)


def test_a_plugin_can_be_deactivated() -> None:
    """Its methods answer as those of a plugin that does not exist."""
    with FakeMatomo(small_world()) as matomo:
        matomo.deactivate_plugin("Events")
        answer = fetch(matomo, "Events.getCategory", **SUMMARY)
        assert "The plugin Events is not enabled." in json.dumps(answer)


def test_matomo_can_be_mounted_below_a_path() -> None:
    """Any other path is not found, as in WordPress."""
    with FakeMatomo(small_world(), mount="/wp-content/plugins/matomo/app") as matomo:
        assert matomo.url.endswith("/wp-content/plugins/matomo/app/")
        assert whole_visits(matomo) > 0
        got = exchange(matomo, "GET", {}, {}, path="/index.php")
        assert (got.status, got.content_type) == (404, "text/html; charset=utf-8")


def whole_visits(matomo: FakeMatomo) -> int:
    return int(str(row(matomo, "VisitsSummary.get")["nb_visits"]))


def test_a_user_sees_only_their_sites() -> None:
    """One site without access fails the whole call."""
    with FakeMatomo(small_world()) as matomo:
        token = matomo.add_token("f" * 32, sites=())
        query = {"module": "API", "format": "json", "method": "VisitsSummary.get"}
        got = exchange(matomo, "POST", query, {"token_auth": token, "idSite": "1", "period": "day", "date": str(DAY)})
        assert got.status == 401


def test_connections_are_kept_open() -> None:
    """HTTP/1.1 allows several requests on one connection."""
    with FakeMatomo(small_world()) as matomo:
        host, port = matomo.url.removeprefix("http://").rstrip("/").split(":")
        connection = HTTPConnection(host, int(port), timeout=10)
        for _ in range(3):
            connection.request("GET", "/index.php?module=API&method=API.getMatomoVersion&format=json")
            response = connection.getresponse()
            response.read()
            assert not response.will_close
        connection.close()


def test_concurrent_clients_get_the_same_answers() -> None:
    """Answers do not depend on the number of clients."""
    with FakeMatomo(small_world()) as matomo, ThreadPoolExecutor(8) as pool:
        days = [DAY - timedelta(days=at) for at in range(8)] * 2
        answers = list(pool.map(lambda day: fetch(matomo, "UserCountry.getCountry", **{**SUMMARY, "date": day}), days))
        assert answers[:8] == answers[8:]
        assert len(visits(matomo, period="day", date=DAY)) == whole_visits(matomo)


def test_php_drops_fields_past_a_thousand() -> None:
    """If the token comes last, the call is anonymous."""
    with FakeMatomo(small_world()) as matomo:
        query = {"module": "API", "format": "json", "method": "API.getMatomoVersion"}
        many = {f"urls[{at}]": "" for at in range(1000)}
        assert exchange(matomo, "POST", query, {"token_auth": matomo.token, **many}).status == 200
        assert exchange(matomo, "POST", query, {**many, "token_auth": matomo.token}).status == 401


def test_urls_of_a_bulk_request_need_no_numbers() -> None:
    """`urls[]` is numbered automatically, as in PHP."""
    with FakeMatomo(small_world()) as matomo:
        query = {"module": "API", "format": "json", "method": "API.getBulkRequest"}
        form = f"token_auth={matomo.token}&urls[]=method%3DAPI.getMatomoVersion&urls[]=method%3DAPI.getPiwikVersion"
        assert exchange(matomo, "POST", query, form).answer == [{"value": "5.2.0"}] * 2


def test_answers_are_compressed_for_clients_that_accept_it() -> None:
    """The encoding is gzip."""
    with FakeMatomo(small_world(), compress=True) as matomo:
        request = urllib.request.Request(
            f"{matomo.url}index.php?module=API&format=json&method=UserCountry.getCountry"
            f"&idSite=1&period=day&date={DAY}&token_auth={matomo.token}",
            headers={"Accept-Encoding": "gzip"},
        )
        with urllib.request.urlopen(request) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert json.loads(gzip.decompress(response.read())) == fetch(matomo, "UserCountry.getCountry", **SUMMARY)
