"""SecretStore in a folder, and the token."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from matomo_fn.config.secret_store import FolderSecretStore, config_secret, open_secret_store, read_token, token_secret
from matomo_fn.config.settings import read_settings
from matomo_fn.config.token import Token
from matomo_fn.errors import InputError, SecretMissing
from tests.support.canary import CANARY, find

if TYPE_CHECKING:
    from pathlib import Path

QUOTED = "the secret matomo-shop-token has quotes around the token: it has to be the token alone"
SPACED = "the secret matomo-shop-token has white space around the token: it has to be the token alone"


def test_a_connector_names_its_two_secrets() -> None:
    """By these names a user creates them, in Secret Manager as in a folder."""
    assert (config_secret("shop"), token_secret("shop")) == ("matomo-shop-config", "matomo-shop-token")


def test_the_settings_name_the_folder(tmp_path: Path) -> None:
    """A local run reads files."""
    (tmp_path / "matomo-shop-config").write_text("{}", encoding="utf-8")
    settings = read_settings({"MATOMO_FN_SECRETS": str(tmp_path), "MATOMO_FN_WAREHOUSE": "duckdb:x"})
    assert open_secret_store(settings).read("matomo-shop-config") == "{}"


@pytest.mark.parametrize("content", [CANARY, f"{CANARY}\n", f"{CANARY}\r\n", f"\ufeff{CANARY}\n"])
def test_a_line_break_behind_a_token_and_a_mark_before_it_do_no_harm(tmp_path: Path, content: str) -> None:
    """Editors and pipes put them there."""
    (tmp_path / "matomo-shop-token").write_bytes(content.encode())
    assert read_token(FolderSecretStore(tmp_path), "shop").reveal() == CANARY


def test_a_wordpress_token_has_spaces_in_it(tmp_path: Path) -> None:
    """Matomo for WordPress takes a user's name and an application password."""
    (tmp_path / "matomo-shop-token").write_text("sync:abcd EFGH 1234", encoding="utf-8")
    assert read_token(FolderSecretStore(tmp_path), "shop").reveal() == "sync:abcd EFGH 1234"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "the secret matomo-shop-token is empty: put the Matomo token into it"),
        (" \n\n", "the secret matomo-shop-token is empty: put the Matomo token into it"),
        ("a\nb", "the secret matomo-shop-token has more than one line: it has to be the token alone"),
        ("a\rb", "the secret matomo-shop-token has more than one line: it has to be the token alone"),
        *((f"{mark}{CANARY}{mark}", QUOTED) for mark in "\"'`"),
        (f"\u201c{CANARY}\u201d\n", QUOTED),
        (f"\u2018{CANARY}\u2019", QUOTED),
        (f'"{CANARY}', QUOTED),
        (f"{CANARY}'", QUOTED),
        (f" {CANARY}", SPACED),
        (f"{CANARY} \n", SPACED),
        (f"\t{CANARY}", SPACED),
        (f"{CANARY}\n\n", SPACED),
        (f'" {CANARY} "', QUOTED),
        (f"\u00a0{CANARY}", SPACED),
    ],
)
def test_what_is_no_token_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    """Before Matomo is asked: 21 refused tokens block the address."""
    (tmp_path / "matomo-shop-token").write_bytes(content.encode())
    with pytest.raises(InputError) as raised:
        read_token(FolderSecretStore(tmp_path), "shop")
    assert raised.value.problems == (sentence,)
    assert find(str(raised.value)) is None


def test_a_file_that_cannot_be_read_is_a_missing_secret(tmp_path: Path) -> None:
    """The sentence names the file and what to do, or what the system says."""
    secrets = FolderSecretStore(tmp_path)
    with pytest.raises(SecretMissing) as raised:
        secrets.read("x")
    assert str(raised.value) == f"there is no file {tmp_path}/x: write the secret x into it"
    (tmp_path / "x").mkdir()
    with pytest.raises(SecretMissing) as raised:
        secrets.read("x")
    assert str(raised.value) == f"the file {tmp_path}/x cannot be read: Is a directory"


def test_a_token_does_not_show_itself() -> None:
    """Not by repr, str, format, nor within another object; only by reveal."""
    token = Token(CANARY)
    for text in (repr(token), str(token), f"{token}", f"{token!r}", repr([token])):
        assert find(text) is None
    assert token.reveal() == CANARY
    assert not hasattr(token, "__dict__")
