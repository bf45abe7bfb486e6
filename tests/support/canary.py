"""A token that must not turn up anywhere, and the search for it in every form it could hide in."""

from __future__ import annotations

import base64
import gzip
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

# Shaped like one of Matomo's: 32 hexadecimal digits.
CANARY = "0ca9a12e0ca9a12edeadbeefca9a12e0"
# Letters and digits in a row that tell enough of the token to be it, whatever stands between them.
PIECE = 12
NO_SIGN = re.compile(rb"[^0-9a-z\x80-\xff]+")
GZIP = b"\x1f\x8b"


def forms(token: str) -> dict[str, bytes]:
    """What to look for, lower case, by the name of the form."""
    raw = token.encode()
    found = {
        "plain": raw,
        "url-encoded": quote(token, safe="").encode(),
        "form-encoded": quote_plus(token).encode(),
        "hexadecimal": raw.hex().encode(),
        "reversed": raw[::-1],
    }
    # Within a longer text base64 has one of three looks, by what stands before the token; the characters
    # at the ends are mixed with their neighbours and left out.
    for shift in range(3):
        for name, encode in (("base64", base64.b64encode), ("url-safe base64", base64.urlsafe_b64encode)):
            encoded = encode(b"\0" * shift + raw)
            start = -(-shift * 8 // 6)
            found[f"{name} at offset {shift}"] = encoded[start : (shift + len(raw)) * 8 // 6]
    return found


def find(data: str | bytes, token: str = CANARY) -> str | None:
    """The form in which the token stands in the data, also within gzip, or None."""
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    lower = raw.lower()
    for name, form in forms(token).items():
        # Base64 minds the case; the other forms may have been written in either.
        if form in raw or ("base64" not in name and form.lower() in lower):
            return name
    squeezed = NO_SIGN.sub(b"", lower)
    for name, form in (
        *forms(token).items(),
        ("hexadecimal", _codes(token, "0x")),
        ("hexadecimal", _codes(token, "x")),
    ):
        piece = piece_in(squeezed, NO_SIGN.sub(b"", form.lower()))
        if piece and "base64" not in name:
            return f"{name}, in pieces"
    if raw.startswith(GZIP):
        try:
            return find(gzip.decompress(raw), token)
        except (OSError, EOFError):
            return None
    return None


def _codes(token: str, before: str) -> bytes:
    return "".join(f"{before}{byte:02x}" for byte in token.encode()).encode()


def piece_in(squeezed: bytes, form: bytes) -> bool:
    """Whether a piece of a form stands in bytes that are letters and digits only."""
    return any(form[start : start + PIECE] in squeezed for start in range(len(form) - PIECE + 1))


def assert_absent(token: str = CANARY, **places: str | bytes | Path) -> None:
    """Fail if the token stands in a text, in bytes, in a file or anywhere below a folder.

    The failure says where and in which form, and does not show the token. Name each place:
    ``assert_absent(stderr=process.stderr, buffer=tmp_path)``.
    """
    for name, place in places.items():
        for where, data in contents(name, place):
            if form := find(data, token):
                pytest.fail(f"the token stands in {where} ({form})", pytrace=False)


def contents(name: str, place: str | bytes | Path) -> list[tuple[str, str | bytes]]:
    """What there is to search in a place; of a folder the names of the files too."""
    if not isinstance(place, Path):
        return [(name, place)]
    files = sorted(each for each in place.rglob("*") if each.is_file()) if place.is_dir() else [place]
    if not place.exists():
        message = f"{name}: there is no {place}"
        raise FileNotFoundError(message)
    found: list[tuple[str, str | bytes]] = []
    for each in files:
        relative = str(each.relative_to(place)) if each != place else each.name
        found.append((f"a file's name in {name}", relative))
        found.append((f"{name}: {relative if find(relative) is None else 'that file'}", each.read_bytes()))
    return found
