"""What is redacted: a secret in every spelling, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from datetime import date
from time import process_time
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn import redaction
from matomo_fn.redaction import Secret, redact, redact_rows, redact_value
from tests.support.canary import CANARY, find

if TYPE_CHECKING:
    from collections.abc import Callable

# Matomo for WordPress takes a user's name and an application password; the signs are those that encodings touch.
WORDPRESS = "jörg@shop & co:aB3d EFgh/1jkL+mn=P"
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "percent": lambda text: quote(text, safe=""),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "form": quote_plus,
    "html": html.escape,
    "json": lambda text: json.dumps(text)[1:-1],
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
}
ENCODINGS: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "reversed": lambda text: text[::-1],
    "hexadecimal": lambda text: text.encode().hex(),
    "hexadecimal with blanks": lambda text: text.encode().hex(" ").upper(),
    "codes of C": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "codes of a shell": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()),
    "codes of JavaScript": lambda text: "".join(f"\\u{ord(sign):04x}" for sign in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 in a text": lambda text: base64.b64encode(f"a token={text}&".encode()).decode(),
    "url-safe base64 in a text": lambda text: base64.urlsafe_b64encode(f"?t={text}ÿ".encode()).decode(),
    "split by blanks": " ".join,
    "split by signs": "-".join,
    "split over lines": lambda text: "\n".join(text[start : start + 11] for start in range(0, len(text), 11)),
    "first half": lambda text: text[: len(text) // 2],
    "second half": lambda text: text[len(text) // 2 :],
    "list": lambda text: json.dumps([text[:16], text[16:]]),
}


@pytest.mark.parametrize("token", [CANARY, WORDPRESS], ids=["matomo", "wordpress"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_nothing_of_a_secret_is_left_whatever_a_server_makes_of_it(encoding: str, token: str) -> None:
    """Who holds the token can write it in many ways; what a reader could turn back is redacted."""
    written = ENCODINGS[encoding](token)
    cleaned = Secret(token).redact(f"look: {written} :thus")
    assert find(cleaned, token) is None
    assert "***" in cleaned
    assert cleaned.startswith("look: ")
    assert cleaned.endswith(":thus")


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(), st.sampled_from(sorted(SPELLINGS)))
def test_no_text_is_changed_but_for_the_secret(token: str, text: str, spelling: str) -> None:
    """A text without the secret stays as it is; with it, the secret is gone whatever its signs are."""
    secret = Secret(f"~{token}~~~")
    other = text.replace("~", "")
    if len(token) < 8:  # a piece of eight signs may stand there by Hypothesis's chance
        assert secret.redact(other) == other
    assert secret.redact(f"<{SPELLINGS[spelling](f'~{token}~~~')}>") == "<***>"


@given(st.text(st.characters(min_codepoint=33, exclude_categories=["Cs"]), min_size=8, max_size=20), st.text())
def test_rows_stay_json(token: str, label: str) -> None:
    """A row that repeats the secret is a row all the same, with the same columns."""
    secret = Secret(f"~{token}")
    row = {"label": f"{label}~{token}{label}", "n": 3, "list": [1, f"~{token}"]}
    cleaned = json.loads(secret.redact_rows(json.dumps(row, ensure_ascii=False)))
    assert list(cleaned) == ["label", "n", "list"]
    assert (cleaned["n"], cleaned["list"]) == (3, [1, "***"])
    assert f"~{token}" not in cleaned["label"]


def test_a_row_keeps_what_only_resembles_the_secret() -> None:
    """A row has to be what Matomo answered; a piece of a token is a label like any other."""
    row = json.dumps({"label": CANARY[:20]})
    assert Secret(CANARY).redact_rows(row) == row


def test_a_number_that_repeats_the_secret_stays_a_number() -> None:
    """Rows that are no JSON would fail the whole load."""
    row = '{"n":123456789012345,"s":"x123456789012345"}'
    assert json.loads(Secret("123456789012345").redact_rows(row)) == {"n": 0, "s": "x0"}


def test_what_one_thread_protects_is_redacted_everywhere() -> None:
    """A secret is protected for the process: no caller has to pass on what redacts it."""
    redaction.protect(CANARY)
    assert redact(f"a {CANARY} b") == "a *** b"
    assert redact_rows(f'{{"a":"{CANARY}"}}') == '{"a":"***"}'
    value = {"a": [1, 2.5, None, True, CANARY], CANARY: {"day": date(2026, 11, 1)}, "e": ValueError(CANARY)}
    assert redact_value(value) == {
        "a": [1, 2.5, None, True, "***"], "***": {"day": date(2026, 11, 1)}, "e": "***",
    }  # fmt: skip


def test_of_many_secrets_the_newest_are_protected() -> None:
    """An instance that lives long sees tokens rotate: what is sent now is what can be echoed."""
    tokens = [hashlib.sha256(bytes([number])).hexdigest()[:32] for number in range(130)]
    for token in tokens:
        redaction.protect(token)
    redaction.protect(tokens[0])
    assert [redact(f"a {token} b") for token in (tokens[-1], tokens[0])] == ["a *** b"] * 2
    assert len(redaction._secrets) == 100


def test_a_secret_has_no_representation() -> None:
    """What redacts it does not show it."""
    assert repr(redaction.protect(CANARY)) == "Secret(***)"


@pytest.mark.parametrize("part", ["\\", "%25", "&#0", "&#x0", "\\u0"])
def test_a_text_that_only_begins_like_an_encoded_secret_is_searched_once(part: str) -> None:
    """Of thousands of backslashes each was searched to the end: hours, in which no thread could go on."""
    started = process_time()
    Secret(CANARY).redact(part * (100_000 // len(part)))
    assert process_time() - started < 2
