"""Collecting over HTTP: what is signed and right is published, the rest gets a sentence, strangers learn nothing."""

from __future__ import annotations

import http.client
import json
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from matomo_fn.app import collector
from matomo_fn.app.collect import CollectRequest, handle_collect
from matomo_fn.config.secret_manager import SecretManagerStore
from matomo_fn.events import pubsub as pubsub_module
from matomo_fn.events.calls import MOST_BATCH_BYTES
from tests.support import pubsub as emulators
from tests.support import secretmanager
from tests.support.canary import CANARY, assert_absent
from tests.support.collecting import SECRET, Collecting, event, prepared, sign
from tests.support.ports import LOCAL
from tests.support.secretmanager import Failure, SecretManager
from tests.support.server import deployed, serving
from tests.support.shop import log_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.pubsub import PubSub

WRONG = "the signature is missing or wrong: X-Signature has to be the HMAC of the body by the shared secret"
NOWHERE = "there is no connector that collects events at this path: POST to /collect/CONNECTOR"
LATER = "events cannot be collected at the moment: send the request again"


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_kept", {})


@pytest.fixture
def place(tmp_path: Path, pubsub: PubSub) -> Collecting:
    """A connector that collects."""
    return prepared(tmp_path, pubsub)


@pytest.fixture(autouse=True)
def secrets_stay(capsys: pytest.CaptureFixture[str]) -> Any:
    """Neither the token nor the signature's secret is in any output of any of these tests."""
    yield
    logged(capsys)


def logged(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    said = capsys.readouterr()
    for secret in (CANARY, SECRET):
        assert_absent(secret, out=said.out, err=said.err)
    return log_lines(said.out)


# ---- what is published


def test_one_call_is_published(place: Collecting, capsys: pytest.CaptureFixture[str]) -> None:
    answer = place.post(event(1))
    assert answer.status_code == 200
    assert answer.get_json() == {"status": "published", "connector": "shop", "published": 1, "errors": []}
    (line,) = logged(capsys)
    assert line.items() >= {"severity": "INFO", "message": "events_collected", "connector": "shop"}.items()
    assert (line["calls"], line["published"], line["refused"]) == (1, 1, 0)
    assert place.events() == ["event 1"]


def test_a_batch_is_published_in_order_within_each_visitor(place: Collecting) -> None:
    batch = [event(number, f"visitor {number % 3}") for number in range(60)]
    assert place.post({"batch": batch}).get_json()["published"] == 60
    published = place.events()
    assert len(published) == 60
    for visitor in range(3):
        mine = [number for number in (int(name.split()[1]) for name in published) if number % 3 == visitor]
        assert mine == list(range(visitor, 60, 3))


def test_the_bad_calls_of_a_batch_are_named_by_index_and_the_good_ones_published(
    place: Collecting, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = place.post({"batch": [event(1), {"type": "trak"}, event(2), 7]})
    assert answer.status_code == 400
    found = answer.get_json()
    assert (found["status"], found["published"]) == ("partial", 2)
    assert [each.split(":")[0] for each in found["errors"]] == ["call 1"] * (len(found["errors"]) - 1) + ["call 3"]
    assert "did you mean 'track'?" in found["errors"][0]
    assert found["errors"][-1] == "call 3: a call has to be a JSON object, not a number"
    (line,) = logged(capsys)
    assert (line["severity"], line["calls"], line["published"], line["refused"]) == ("WARNING", 4, 2, 2)
    assert place.events() == ["event 1", "event 2"]


def test_a_call_that_is_wrong_is_refused_with_a_sentence(place: Collecting) -> None:
    answer = place.post({"type": "track", "event": "Signed Up", "userId": "7"})
    assert answer.status_code == 400
    assert answer.get_json()["status"] == "refused"
    assert any("messageId is missing" in each for each in answer.get_json()["errors"])
    assert place.events() == []


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is not valid JSON: "),
        (b"{", "the body is not valid JSON: "),
        (b"\xff", "the body is not UTF-8 text"),
        (b"[" * 100_000, "the body is nested too deeply"),
        (b"[]", "the body has to be a call, or an object with a list of calls as batch, not a list"),
        (b'{"batch": []}', "batch has no calls"),
    ],
)
def test_a_body_that_holds_no_calls_is_refused_with_a_sentence(
    place: Collecting, capsys: pytest.CaptureFixture[str], body: bytes, sentence: str
) -> None:
    answer = place.post(body)
    assert answer.status_code == 400
    assert answer.get_json()["errors"][0].startswith(sentence)
    (line,) = logged(capsys)
    assert line.items() >= {"message": "collect_refused", "status": 400, "connector": "shop"}.items()


def test_of_endless_problems_a_thousand_are_told(place: Collecting) -> None:
    answer = place.post({"batch": [0] * 100_000})
    assert len(answer.get_json()["errors"]) == 1_001
    assert answer.get_json()["errors"][-1] == "and 99000 more problems"


def test_the_same_request_again_is_taken_again(place: Collecting) -> None:
    """A signature has no time in it. What comes twice has one messageId, by which it is delivered once."""
    assert [place.post(event(1)).status_code for _ in range(2)] == [200, 200]
    assert place.events() == ["event 1", "event 1"]


# ---- signatures


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "0" * 40,
        sign(b"another body"),
        sign(json.dumps(event(1)).encode(), "another secret of a stranger"),
        sign(json.dumps(event(1)).encode(), algorithm="sha256"),
        sign(json.dumps(event(1)).encode())[:-1],
        "sha1=" + sign(json.dumps(event(1)).encode()),
        "\u00e9" * 40,
        "x" * 100_000,
    ],
    ids=[
        "none",
        "zeros",
        "of another body",
        "by another secret",
        "by SHA-256",
        "short",
        "prefixed",
        "no ASCII",
        "long",
    ],
)
def test_without_the_right_signature_nothing_is_published_and_the_answer_is_always_the_same(
    place: Collecting, signature: str
) -> None:
    answer = place.post(event(1), signature=signature)
    assert (answer.status_code, answer.get_json()) == (401, {"status": "failed", "errors": [WRONG]})
    assert place.events() == []


def test_capital_letters_in_a_signature_are_the_same_digits(place: Collecting) -> None:
    body = json.dumps(event(1)).encode()
    assert place.post(body, signature=f" {sign(body).upper()} ").status_code == 200


def test_sha256_is_taken_where_the_configuration_says_so_and_then_sha1_is_not(place: Collecting) -> None:
    place.configure({"site": "1", "signature": "sha256"})
    body = json.dumps(event(1)).encode()
    assert place.post(body).status_code == 401
    assert place.post(body, signature=sign(body, algorithm="sha256")).status_code == 200


def test_while_a_secret_is_being_changed_both_are_good(place: Collecting) -> None:
    """The secret has two lines then, also with the line breaks of Windows."""
    new = "the new shared secret of 2027"
    place.write("signature", f"{new}\r\n{SECRET}\r\n")
    body = json.dumps(event(1)).encode()
    assert [place.post(body, signature=sign(body, secret)).status_code for secret in (new, SECRET)] == [200, 200]
    assert place.post(body, signature=sign(body, f"{new}\r\n{SECRET}")).status_code == 401


@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        ("", "is empty: put the shared secret of Segment's webhook into it"),
        (" \n", "has white space around the shared secret"),
        ("short", "is too short: it has to have 16 characters or more"),
        (f"{SECRET}\n\n", "has white space around the shared secret"),
        (f'"{SECRET}"', "has quotes around the shared secret"),
        ("\n".join([SECRET] * 3), "has 3 lines: it can have two, the new secret and the old one"),
        (None, "write the secret matomo-shop-signature into it"),
    ],
)
def test_a_secret_that_cannot_be_one_is_in_the_log_and_not_in_the_answer(
    place: Collecting, capsys: pytest.CaptureFixture[str], secret: str | None, problem: str
) -> None:
    """503, so that Segment sends the events again when it is right."""
    if secret is None:
        (place.secrets / "matomo-shop-signature").unlink()
    else:
        place.write("signature", secret)
    answer = place.post(event(1))
    assert (answer.status_code, answer.get_json()) == (503, {"status": "failed", "errors": [LATER]})
    (line,) = logged(capsys)
    assert (line["severity"], line["message"]) == ("ERROR", "collect_failed")
    assert problem in line["errors"][0]
    place.write("signature", SECRET)
    assert place.post(event(1)).status_code == 200


def test_a_call_that_repeats_the_secret_is_answered_without_it(place: Collecting) -> None:
    """And with the token, which this function does not read, and so cannot repeat."""
    answer = place.post({"batch": [{"type": SECRET}, {"type": "track", SECRET: float("nan"), "messageId": SECRET}]})
    assert answer.status_code == 400
    assert_absent(SECRET, answer=answer.get_data())
    assert "***" in answer.get_data(as_text=True)


def test_the_token_is_not_read(place: Collecting) -> None:
    (place.secrets / "matomo-shop-token").unlink()
    assert place.post(event(1)).status_code == 200


# ---- connectors and paths


@pytest.mark.parametrize("path", ["/collect/shop", "/shop", "/shop/", "/x/collect/shop", "/collect/sh%6Fp"])
def test_the_connector_is_the_last_part_of_the_path(place: Collecting, path: str) -> None:
    assert place.post(event(1), path=path).status_code == 200


@pytest.mark.parametrize("path", ["/", "/collect/", "/collect", "/other", "/Shop", "/..%2Fshop%00", "/" + "a" * 5_000])
def test_another_path_is_nowhere(place: Collecting, path: str) -> None:
    answer = place.post(event(1), path=path)
    assert (answer.status_code, answer.get_json()) == (404, {"status": "failed", "errors": [NOWHERE]})


def test_a_connector_without_events_is_told_from_none_by_nobody(place: Collecting) -> None:
    place.configure(None)
    assert place.post(event(1)).get_json() == place.post(event(1), path="/collect/other").get_json()


def test_a_connector_that_is_not_named_in_the_settings_is_not_looked_for(place: Collecting) -> None:
    assert place.post(event(1), MATOMO_FN_CONNECTORS="blog").status_code == 404
    assert place.post(event(1), MATOMO_FN_CONNECTORS="blog,shop").status_code == 200


def test_the_entry_point_of_syncs_collects_below_collect_only(place: Collecting) -> None:
    assert place.post(event(1), target="sync").status_code == 200
    assert place.post(event(1), target="sync", path="/shop").status_code == 400  # a request to sync, and none
    assert place.events() == ["event 1"]


def test_other_methods_get_an_answer_too(place: Collecting) -> None:
    with serving("collect", env=place.env) as url:
        answers = {}
        for method, path in (
            ("GET", "/"),
            ("HEAD", "/"),
            ("GET", "/collect/"),
            ("GET", "/collect/shop"),
            ("PUT", "/"),
            ("OPTIONS", "/a"),
        ):
            connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
            connection.request(method, path)
            answer = connection.getresponse()
            answers[method, path] = answer.status
            assert answer.headers["Allow"] == "POST"
            answer.read()
            connection.close()
    assert list(answers.values()) == [200, 200, 200, 405, 405, 204]


# ---- sizes


def padded(size: int) -> bytes:
    """A batch of exactly so many bytes."""
    body = json.dumps({"batch": [event(1)], "padding": ""}).encode()
    return json.dumps({"batch": [event(1)], "padding": "x" * (size - len(body))}).encode()


def test_a_batch_can_have_500_kilobytes_and_no_byte_more(place: Collecting) -> None:
    assert place.post(padded(MOST_BATCH_BYTES)).status_code == 200
    answer = place.post(padded(MOST_BATCH_BYTES + 1))
    assert answer.status_code == 413
    assert answer.get_json()["errors"][0] == "the body is too large: a request can have 512000 bytes; send several"
    assert place.events() == ["event 1"]


def request(place: Collecting, read: Any, **headers: str) -> tuple[int, Any]:
    env = pytest.MonkeyPatch()
    with env.context() as patch:
        for name, value in place.env.items():
            patch.setenv(name, value)
        return handle_collect(CollectRequest("POST", "/shop", {"X-Signature": "0" * 40, **headers}, read))


def test_of_a_body_that_is_too_large_no_more_is_read_than_tells_it(place: Collecting) -> None:
    """Nothing where its length is told before; and of an unsigned one nothing at all."""
    asked: list[int] = []

    def read(most: int) -> bytes:
        asked.append(most)
        return b"x" * min(most, 100_000)

    assert request(place, read, **{"Content-Length": "512001"})[0] == 413
    assert request(place, read, **{"Content-Length": "9" * 5_000})[0] == 413
    assert request(place, read, **{"X-Signature": ""})[0] == 401
    assert asked == []
    assert request(place, read)[0] == 413
    assert asked == [512_001, 412_001, 312_001, 212_001, 112_001, 12_001]


def test_a_body_that_breaks_off_is_no_fault_of_the_program(
    place: Collecting, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(_most: int) -> bytes:
        raise ConnectionResetError

    status, answer = request(place, read)
    assert (status, answer["errors"]) == (400, ["the body ended before it was whole: send the request again"])
    (line,) = logged(capsys)
    assert (line["message"], line["kind"]) == ("collect_refused", "ConnectionResetError")


def test_an_endless_body_over_http_is_answered_before_it_ends(place: Collecting) -> None:
    """The framework would read all of it before it answers. The answer is there while the sender goes on."""
    with serving("collect", env=place.env) as url, socket.create_connection((LOCAL, urlsplit(url).port)) as sender:
        sender.settimeout(30)
        head = "POST /shop HTTP/1.1\r\nHost: x\r\nX-Signature: " + "0" * 40 + "\r\nContent-Length: 900000000\r\n\r\n"
        sender.sendall(head.encode() + b"x" * 1_000)
        answer = sender.recv(65_536)
    assert b" 413 " in answer.splitlines()[0]


def test_the_deployed_program_collects_and_refuses(place: Collecting) -> None:
    """The Functions Framework with gunicorn: a signed batch, one in chunks, a chunked one that is too large."""
    with deployed("collect", env=place.env) as program:
        connection = http.client.HTTPConnection(urlsplit(program.url).netloc, timeout=60)

        def post(body: bytes, *, chunked: bool, signature: str | None = None) -> int:
            parts = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
            headers = {"X-Signature": signature or sign(body)}
            connection.request(
                "POST", "/collect/shop", iter(parts) if chunked else body, headers, encode_chunked=chunked
            )
            answer = connection.getresponse()
            answer.read()
            return answer.status

        assert post(json.dumps({"batch": [event(1), event(2)]}).encode(), chunked=False) == 200
        assert post(padded(400_000), chunked=True) == 200
        assert post(padded(2_000_000), chunked=True) == 413
        connection.close()  # the rest of the body is on its way
        assert post(padded(1_000), chunked=False, signature="0" * 40) == 401
        connection.close()
        for secret in (CANARY, SECRET):
            assert_absent(secret, output=program.output)
        assert "Traceback" not in program.output
    assert place.events() == ["event 1", "event 2", "event 1"]


# ---- what fails


def test_where_pubsub_is_gone_the_answer_is_503_within_a_bounded_time(
    place: Collecting, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shorter than webhooks commonly wait for an answer."""
    assert pubsub_module.PUBLISH_SECONDS < 5
    monkeypatch.setattr(pubsub_module, "PUBLISH_SECONDS", 1.0)
    with emulators.started() as server:
        address = server.address
        server.kill()
    start = time.monotonic()
    answer = place.post({"batch": [event(1), event(2, "ben"), {}]}, PUBSUB_EMULATOR_HOST=address)
    assert time.monotonic() - start < 6
    found = answer.get_json()
    assert (answer.status_code, found["status"], found["published"], found["errors"][0]) == (503, "failed", 0, LATER)
    (line,) = logged(capsys)
    assert (line["severity"], line["published"], line["refused"]) == ("ERROR", 0, 1)
    assert line["errors"] == [f"Pub/Sub failed for {place.pubsub.topic()}: ServiceUnavailable"]


def test_where_pubsub_takes_a_part_the_whole_is_sent_again(place: Collecting) -> None:
    place.pubsub.fail("Publish", "PERMISSION_DENIED")
    batch = {"batch": [event(1), event(2, "ben")]}
    answer = place.post(batch)
    assert (answer.status_code, answer.get_json()["published"]) == (503, 1)
    assert place.post(batch).status_code == 200
    published = place.events()
    assert (set(published), len(published)) == ({"event 1", "event 2"}, 3)


def test_a_topic_that_is_missing_is_named_in_the_log_alone(
    place: Collecting, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = place.post(event(1), GOOGLE_CLOUD_PROJECT="another-project")
    assert (answer.status_code, answer.get_json()["errors"]) == (503, [LATER])
    (line,) = logged(capsys)
    assert line["errors"][0].startswith("there is no projects/another-project/topics/matomo-shop-events: ")


def test_without_a_project_it_is_in_the_log_what_to_set(place: Collecting, capsys: pytest.CaptureFixture[str]) -> None:
    answer = place.post(event(1), GOOGLE_CLOUD_PROJECT="")
    assert (answer.status_code, answer.get_json()["errors"]) == (503, [LATER])
    assert "GOOGLE_CLOUD_PROJECT is not set" in logged(capsys)[0]["errors"][0]


def test_a_configuration_that_is_wrong_is_told_to_the_log_alone(
    place: Collecting, capsys: pytest.CaptureFixture[str]
) -> None:
    place.configure({"site": "one"})
    answer = place.post(event(1))
    assert (answer.status_code, answer.get_json()["errors"]) == (503, [LATER])
    assert "events.site: has to be the id of a site" in logged(capsys)[0]["errors"][0]


def test_what_nobody_foresaw_is_told_by_class_and_place(
    place: Collecting, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_values: object, **_named: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("matomo_fn.app.collect.read_batch", fails)
    answer = place.post(event(1))
    assert answer.status_code == 500
    assert answer.get_json()["errors"][0].startswith("unforeseen RuntimeError at ")
    assert [line["message"] for line in logged(capsys)] == ["unforeseen_error"]


# ---- what is kept


@pytest.fixture
def manager(place: Collecting, monkeypatch: pytest.MonkeyPatch) -> Iterator[SecretManager]:
    """A Secret Manager with the connector's secrets, in place of the folder."""
    with secretmanager.started() as running:
        for path in place.secrets.iterdir():
            running.versions[f"{path.name}/versions/latest"] = path.read_bytes()
        store = SecretManagerStore(secretmanager.PROJECT, {}, client=running.client())
        monkeypatch.setattr(collector, "open_secret_store", lambda _settings: store)
        yield running


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which secrets are kept; a test moves it."""
    moment = [1_000.0]
    monkeypatch.setattr(collector, "time", SimpleNamespace(monotonic=lambda: moment[0]))
    return moment


def test_two_secrets_are_read_in_five_minutes_and_never_the_token(
    place: Collecting, manager: SecretManager, now: list[float]
) -> None:
    """So a connector goes on as it was for that long after it has changed, and no longer."""
    assert [place.post(event(number)).status_code for number in range(5)] == [200] * 5
    assert [path.rpartition("/secrets/")[2].partition("/")[0] for path in manager.asked] == [
        "matomo-shop-config",
        "matomo-shop-signature",
    ]
    manager.versions["matomo-shop-signature/versions/latest"] = b"another secret of Segment"
    now[0] += 299
    assert place.post(event(1)).status_code == 200
    now[0] += 2
    assert place.post(event(1)).status_code == 401


def test_while_secret_manager_does_not_answer_what_was_read_before_counts(
    place: Collecting, manager: SecretManager, now: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is asked again half a minute later."""
    assert place.post(event(1)).status_code == 200
    now[0] += 301
    manager.failures = [Failure(500, "Internal error.")]
    capsys.readouterr()
    assert [place.post(event(number)).status_code for number in (2, 3)] == [200, 200]
    assert [line["message"] for line in logged(capsys)] == ["secrets_kept", "events_collected", "events_collected"]
    asked = len(manager.asked)
    now[0] += 31
    assert place.post(event(4)).status_code == 200
    assert len(manager.asked) == asked + 2


def test_where_secret_manager_never_answered_the_request_is_for_later(
    place: Collecting, manager: SecretManager, capsys: pytest.CaptureFixture[str]
) -> None:
    manager.failures = [Failure(500, "Internal error.")]
    assert place.post(event(1)).status_code == 503
    (line,) = logged(capsys)
    assert line["errors"][0].startswith("Secret Manager did not give ")
    assert place.post(event(1)).status_code == 200


def test_a_name_that_is_no_connector_is_remembered_too_but_not_without_end(
    place: Collecting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "_MOST_KEPT", 3)
    for name in "abcdef":
        assert place.post(event(1), path=f"/{name}").status_code == 404
    assert list(collector._kept) == ["d", "e", "f"]
