"""Whatever is posted is published or gets a sentence: no fault, no traceback, and no secret in any output.

`make fuzz` looks further than `make test`. A body that fails is printed by hypothesis, with what repeats it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.app import collector
from tests.fuzz.fuzzing import fuzzed
from tests.support.canary import CANARY, assert_absent
from tests.support.collecting import SECRET, Collecting, event, prepared, sign
from tests.support.pubsub import PubSub, Server
from tests.support.shop import log_lines

if TYPE_CHECKING:
    from pathlib import Path

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [CANARY, SECRET, "track", "page", "", "\x00", "\ud800", "2026-11-20T10:00:00Z", "9" * 400, 10**400]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [
        *("type", "event", "messageId", "anonymousId", "userId", "timestamp", "sentAt", "originalTimestamp"),
        *("receivedAt", "properties", "traits", "context", "integrations", "batch", "writeKey", SECRET),
    ]
)
# A call that is right but for some keys.
CALLS = st.builds(
    lambda number, changes: {key: value for key, value in (event(number) | changes).items() if value != "absent"},
    st.integers(0, 99),
    st.dictionaries(KEYS, VALUES | st.just("absent"), max_size=2),
)
BATCHES = st.builds(
    lambda calls, more: {"batch": calls, **more},
    st.lists(CALLS | VALUES, max_size=5) | VALUES,
    st.dictionaries(st.sampled_from(["sentAt", "context", "integrations", "writeKey"]), VALUES, max_size=2),
)
JSON = st.one_of(CALLS, BATCHES, VALUES).map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass"))
# JSON that broke on its way, in one place.
BROKEN = st.builds(
    lambda body, place, part: body[: place % (len(body) + 1)] + part + body[(place + 1) % (len(body) + 1) :],
    JSON,
    st.integers(0, 10_000),
    st.binary(max_size=3),
)
BODY = st.one_of(JSON, JSON, BROKEN, st.binary(max_size=200))
# Most are signed, since the others are all refused in the same way.
SIGNATURE = st.sampled_from(["right", "right", "right", "right", "wrong", "none", "sha256"])
PATH = st.sampled_from(["/collect/shop"] * 8 + ["/", "/collect/", "/other", "/collect/shop/x", "/%00", "/shop?x=1"])


@pytest.fixture(scope="module")
def place(pubsub_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Collecting:
    """One connector for all bodies."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    return prepared(folder, PubSub(pubsub_server, pubsub_server.new_project()))


@fuzzed(150)
@given(body=BODY, signature=SIGNATURE, path=PATH)
def test_a_body_is_published_or_refused_with_a_sentence(
    place: Collecting, capfd: pytest.CaptureFixture[str], body: bytes, signature: str, path: str
) -> None:
    collector._kept.clear()
    before = place.pubsub.unacknowledged()
    right = sign(body)
    signatures = {"right": right, "wrong": right[::-1], "none": "", "sha256": sign(body, algorithm="sha256")}
    answer = place.post(body, path=path, signature=signatures[signature])
    published = place.pubsub.unacknowledged() - before
    found: dict[str, Any] = json.loads(answer.get_data())
    said = capfd.readouterr()
    for secret in (CANARY, SECRET):
        assert_absent(secret, out=said.out, err=said.err)
    assert_absent(SECRET, answer=answer.get_data())
    assert "Traceback" not in said.out + said.err
    assert len(log_lines(said.out)) == 1
    assert answer.status_code in (200, 400, 401, 404)
    assert (answer.status_code == 200) == (not found["errors"])
    assert all(isinstance(sentence, str) and len(sentence) < 2_000 for sentence in found["errors"])
    assert published == found.get("published", 0)
    if answer.status_code == 200:
        assert published > 0
    if signature != "right" and signatures[signature] != right:
        assert published == 0
        assert answer.status_code in (401, 404)
