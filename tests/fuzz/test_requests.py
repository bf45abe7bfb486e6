"""Whatever is posted to the function, and whatever Pub/Sub delivers: an answer in sentences, or what was wanted."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from matomo_fn.redaction import protect
from tests.fuzz.fuzzing import (
    ODD_TEXTS,
    assert_sentence,
    documents,
    edited,
    edits,
    encoded,
    fuzzed,
    patched,
    patches,
)
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.shop import Shop, log_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

DRY: dict[str, Any] = {"connector": "shop", "tables": ["visits_summary"], "sites": ["1"], "dry_run": True}
VALID = [
    {**DRY, "start_date": "2024-03-05", "end_date": "2024-03-06", "mode": "backfill"},
    {**DRY, "connector": ["shop", "blog"]},
    {**DRY, "connector": "all", "mode": "full_refresh"},
    {"connector": "shop", "mode": "audit", "tables": ["visits_summary"]},
    {"connector": "shop", "mode": "deliver"},
    {"connector": "all", "mode": "deliver"},
]
BODIES = st.one_of(
    st.builds(lambda value, changes: encoded(edited(value, changes)), st.sampled_from(VALID), edits),
    st.builds(lambda value, changes: encoded(edited(value, changes)), st.sampled_from(VALID), edits),
    documents.map(encoded),
    st.builds(lambda value, pieces: patched(encoded(value), pieces), st.sampled_from(VALID), patches),
    st.binary(max_size=60),
)
HEADER_TEXTS = st.sampled_from(
    [text for text in ODD_TEXTS if text.isascii() and text.isprintable() and len(text) < 500]
    + ["105445aa7843bc8bf206b12000100000/1;o=1", "x" * 5_000, "projects/p/jobs/j", "2026-11-20T00:00:00Z", "\xe9"]
)
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            *(
                "X-Cloud-Trace-Context",
                "X-CloudScheduler-JobName",
                "X-CloudScheduler-ScheduleTime",
            ),
            *(
                "Content-Type",
                "traceparent",
                "User-Agent",
                "X-Forwarded-For",
                "Content-Encoding",
                "Accept",
            ),
            *("Ce-Id",),
        ]
    ),
    HEADER_TEXTS,
    max_size=3,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A connector with a day in its table, and one with a broken configuration."""
    with shop.running(tmp_path_factory.mktemp("requests")) as running, mock.patch.dict("os.environ", running.env):
        day = {"start_date": "2024-03-04", "end_date": "2024-03-04"}
        assert shop.http().post("/", json={"connector": "shop", "tables": ["visits_summary"], **day}).status_code == 200
        (running.secrets / "matomo-blog-config").write_text("{")
        yield running


def checked_output(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """The lines that were logged: each an object, none with the token, a traceback, or what nobody foresaw."""
    said = capfd.readouterr()
    assert_absent(out=said.out, err=said.err)
    assert "Traceback" not in said.out + said.err
    assert "unforeseen" not in said.out
    return log_lines(said.out)


def is_sync(body: bytes) -> bool:
    """Whether a body wants a run, which takes some thirty times as long: one is tried in test_table_states."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(value, dict) and value.get("dry_run") is not True and value.get("mode") not in ("audit", "deliver")
    )


@fuzzed(15)
@given(
    method=st.sampled_from(["POST"] * 9 + ["GET", "PUT", "DELETE", "OPTIONS", "HEAD", "ODD"]),
    path=st.sampled_from(["/"] * 6 + ["/x", "/%00", "/sync?connector=shop", "/?a=%zz", "/collect", "/Collect/shop"]),
    headers=HEADERS,
    body=BODIES,
)
def test_a_request_is_answered_in_sentences(
    place: Shop, capfd: pytest.CaptureFixture[str], method: str, path: str, headers: dict[str, str], body: bytes
) -> None:
    if is_sync(body):
        body = encoded({**json.loads(body), "dry_run": True})
    protect(CANARY)  # as any request before this one has done
    with mock.patch.dict("os.environ", place.env):
        answer = shop.http().open(path, method=method, headers=headers, data=body)
    lines = checked_output(capfd)
    event(str(answer.status_code))
    assert_absent(answer=answer.get_data())
    if method == "HEAD":
        return
    if method == "GET" and answer.status_code == 200:  # a page; only collecting answers otherwise
        assert answer.get_data(as_text=True).startswith("<!doctype html>")
        return
    found = json.loads(answer.get_data())
    each = list(found["connectors"].values()) if "connectors" in found else [found]
    for one in each:
        for sentence in one.get("errors", ()):
            assert_sentence(sentence)
    assert answer.status_code in (200, 400, 404, 405, 500)
    if answer.status_code != 200:
        assert any(one.get("errors") for one in each)
        assert lines or answer.status_code == 405


def enveloped(body: bytes) -> dict[str, Any]:
    """A push of Pub/Sub as the trigger makes a CloudEvent of it."""
    data = base64.b64encode(body).decode()
    message = {"@type": "type.googleapis.com/google.pubsub.v1.PubsubMessage", "data": data, "messageId": "1"}
    return {"message": {**message, "attributes": {"a": "b"}}, "subscription": "projects/p/subscriptions/s"}


CE = {
    "ce-id": "1",
    "ce-source": "//pubsub.googleapis.com/projects/p/topics/t",
    "ce-specversion": "1.0",
    "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
    "content-type": "application/json",
}


@fuzzed(15)
@given(
    body=BODIES,
    changes=st.none() | st.none() | edits,
    attempt=st.sampled_from([None, 1, "x", None]),
    identifier=st.sampled_from(["1", "2", "é", "x" * 2_000, CANARY]),
)
def test_a_message_is_done_or_refused_and_never_delivered_for_ever(
    place: Shop,
    capfd: pytest.CaptureFixture[str],
    body: bytes,
    changes: list[Any] | None,
    attempt: Any,
    identifier: str,
) -> None:
    """204 or 200 take a message as done; 503 has it delivered once more, which only a failure for now deserves."""
    if is_sync(body):
        body = encoded({**json.loads(body), "dry_run": True})
    envelope: Any = enveloped(body)
    if changes is not None:
        envelope = edited(envelope, changes)
    if attempt is not None and isinstance(envelope, dict):
        envelope["deliveryAttempt"] = attempt
    protect(CANARY)  # as any message before this one has done
    headers = {**CE, "ce-id": identifier.encode("ascii", "replace").decode()}
    with mock.patch.dict("os.environ", place.env):
        answer = shop.events().post("/", data=encoded(envelope), headers=headers)
    lines = checked_output(capfd)
    event(str(answer.status_code))
    assert_absent(answer=answer.get_data())
    assert answer.status_code in (200, 204, 503)
    if answer.status_code == 503:
        assert lines
