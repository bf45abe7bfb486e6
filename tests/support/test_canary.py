"""The search for the canary finds it wherever and however it hides."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING

import pytest

from tests.support import canary
from tests.support.canary import CANARY

if TYPE_CHECKING:
    from pathlib import Path


HIDING_PLACES = {
    "plain": f'{{"token_auth": "{CANARY}"}}',
    "upper case": CANARY.upper(),
    "hexadecimal": CANARY.encode().hex(),
    "base64": base64.b64encode(CANARY.encode()).decode(),
    "base64 of a text around it": base64.b64encode(f"ab token={CANARY}&x".encode()).decode(),
    "url-safe base64 of a text around it": base64.urlsafe_b64encode(f"?token={CANARY}ÿ".encode()).decode(),
    "split by blanks": " ".join(CANARY),
    "split over lines": "\n".join((CANARY[:11], CANARY[11:22], CANARY[22:])),
    "its second half": f"...{CANARY[16:]}",
    "reversed and split": "-".join(reversed(CANARY)),
    "codes": ", ".join(f"0x{ord(sign):02X}" for sign in CANARY),
    "codes of a shell": "".join(f"\\x{ord(sign):02x}" for sign in CANARY),
    "a Pub/Sub message": base64.b64encode(json.dumps({"t": CANARY}).encode()).decode(),
}


@pytest.mark.parametrize("text", HIDING_PLACES.values(), ids=HIDING_PLACES)
def test_the_canary_is_found_in_every_form(text: str, tmp_path: Path) -> None:
    """In a text, in bytes, in a file, in a compressed file; the failure does not show it."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "plain.log").write_text(f"x{text}y", encoding="utf-8")
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "buffer.gz").write_bytes(gzip.compress(f"x{text}y".encode()))
    places: list[str | bytes | Path] = [text, text.encode(), tmp_path / "deep", tmp_path / "packed"]
    for place in places:
        with pytest.raises(pytest.fail.Exception, match="the token stands in somewhere") as caught:
            canary.assert_absent(somewhere=place)
        assert canary.find(str(caught.value)) is None


def test_a_token_with_signs_is_found_url_encoded() -> None:
    """Other secrets than Matomo's may hold signs that a url changes."""
    assert canary.find("a=b%2Fc%3D%3d&x", token="b/c==") == "url-encoded"


def test_a_name_of_a_file_is_searched_too(tmp_path: Path) -> None:
    """A token in a file's name is found and not shown."""
    (tmp_path / CANARY).touch()
    with pytest.raises(pytest.fail.Exception, match="a file's name in buffer") as caught:
        canary.assert_absent(buffer=tmp_path)
    assert canary.find(str(caught.value)) is None


def test_what_is_clean_passes(tmp_path: Path) -> None:
    """No false alarm, and a place that is not there is an error and not a pass."""
    (tmp_path / "a").write_bytes(b"\x1f\x8bno gzip after all")
    canary.assert_absent(text="nothing", raw=b"\xff\xfe", folder=tmp_path, file=tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        canary.assert_absent(gone=tmp_path / "gone")
