"""What must not leave the process: secrets that a server was sent, in whatever spelling it echoes them.

A hostile Matomo can repeat the token in a label, a number, its version, or an error. So redaction happens where
something is emitted or stored: log lines, answers, the terminal, ``_sync_log``, rows. As with the masks of CI systems,
a secret is protected for the whole process from the moment that something can send it, so that no thread and no
caller can forget it.
"""

import base64
import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import date, time
from typing import Any
from urllib.parse import quote, quote_plus

MASK = "***"
# Letters and digits of a secret in a row that are taken for a piece of it: by chance, 8 of a token of 32 hexadecimal
# digits stand in a text of a million characters with a probability of less than one in a hundred.
_PIECE = 8
# Secrets that are protected at once, the newest: an instance that lives long may see some rotate.
_MOST_SECRETS = 100
_SIGN = re.compile(r"[^\W_]")
_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


class Secret:
    """A text that is redacted: whole in the spellings of URLs, forms, HTML and JSON, and by its pieces.

    Pieces are found as they are, backwards, in hexadecimal and in base64, whatever stands between their signs.
    """

    __slots__ = ("_exact", "_pieces", "_row_forms", "_spelled")

    def __init__(self, text: str) -> None:
        self._spelled = re.compile("".join(map(_spellings, text)), re.IGNORECASE)
        raw = text.encode(errors="surrogatepass")
        encoded = tuple(_base64(raw))
        codes = [f"{byte:02x}" for byte in raw]
        plain = (text, text[::-1], *(before + before.join(codes) for before in ("", "x", "0x", "u00")))
        self._pieces = {piece for form in plain for piece in _windows(_squeezed(form).translate(_LOWER))}
        self._exact = {piece for form in encoded for piece in _windows(_squeezed(form))}
        self._row_forms = _row_forms(text, ("".join(codes), *encoded) if len(raw) >= _PIECE else ())

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def redact(self, text: str) -> str:
        """Return a text in which nothing of the secret is left but pieces of fewer than eight signs."""
        return self._without_pieces(self._spelled.sub(MASK, text))

    def redact_rows(self, text: str) -> str:
        """Return JSON rows without the whole secret, in any of its spellings; nothing else of them changes."""
        for form in self._row_forms:
            if form in text:
                text = text.replace(form, "0" if form.isdecimal() else MASK)  # within a number it has to stay one
        return text

    def _without_pieces(self, text: str) -> str:
        places = [match.start() for match in _SIGN.finditer(text)]
        exact = "".join([text[place] for place in places])
        lower = exact.translate(_LOWER)
        parts, done = [], 0
        for index in range(len(places) - _PIECE + 1):
            end = index + _PIECE
            if lower[index:end] in self._pieces or exact[index:end] in self._exact:
                if places[index] >= done:  # not within the piece before
                    parts.append(f"{text[done : places[index]]}{MASK}")
                done = places[end - 1] + 1
        return "".join([*parts, text[done:]])


_lock = threading.Lock()
_secrets: dict[str, Secret] = {}


def protect(text: str) -> Secret:
    """Protect a secret from now on, in the whole process, and return what redacts it."""
    global _secrets
    with _lock:
        secret = _secrets.get(text) or Secret(text)
        others = {name: kept for name, kept in _secrets.items() if name != text}
        _secrets = dict([*others.items(), (text, secret)][-_MOST_SECRETS:])
    return secret


def redact(text: str) -> str:
    """Return a text without the secrets that are protected."""
    for secret in _secrets.values():
        text = secret.redact(text)
    return text


def redact_rows(text: str) -> str:
    """Return JSON rows without any whole secret; pieces are left, since a row has to be what Matomo answered."""
    for secret in _secrets.values():
        text = secret.redact_rows(text)
    return text


def redact_value(value: Any) -> Any:
    """Return a JSON value, or one that becomes a text there, without the secrets that are protected."""
    match value:
        case None | bool() | date() | time():
            return value
        case str():
            return redact(value)
        case int() | float():
            text = str(value)
            return value if redact(text) == text else MASK
        case Mapping():
            return {redact(str(key)): redact_value(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [redact_value(item) for item in value]
        case _:
            return redact(str(value))


def _spellings(sign: str) -> str:
    """Return a pattern of the ways in which one sign of a secret may be written."""
    code = ord(sign)
    percent = "".join(f"%(?:25)*{byte:02x}" for byte in sign.encode(errors="surrogatepass"))
    ways = {re.escape(sign), percent, re.escape(json.dumps(sign)[1:-1]), re.escape(html.escape(sign))}
    # At most eight backslashes (JSON within JSON within JSON): a search through thousands would take hours.
    unicode = rf"\\{{1,8}}u0{{0,4}}{code:04x}" if code < 0x10000 else re.escape(sign)
    ways |= {f"&#0{{0,8}}{code};", f"&#x0{{0,8}}{code:x};", unicode}
    ways |= set({" ": (r"\+", "%(?:25)*2b"), "/": (r"\\/",)}.get(sign, ()))
    return f"(?:{'|'.join(sorted(ways))})"


def _base64(raw: bytes) -> Iterator[str]:
    """Yield how a secret looks in base64 within a longer text: one of three looks, by what stands before it.

    The characters at the ends are mixed with their neighbours and left out.
    """
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(b"\0" * shift + raw)
            yield encoded[-(-shift * 8 // 6) : (shift + len(raw)) * 8 // 6].decode()


def _windows(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(len(text) - _PIECE + 1))


def _squeezed(text: str) -> str:
    return "".join(_SIGN.findall(text))


def _row_forms(text: str, encoded: tuple[str, ...]) -> tuple[str, ...]:
    """Return the finite spellings of a secret as they stand in JSON, the longest first."""
    percent = {quote(text, safe=safe, errors="replace") for safe in ("", "/", "/:@&=+")} | {
        quote_plus(text, errors="replace")
    }
    small = {re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), form) for form in percent}
    plain = {text, text.upper(), text.lower(), html.escape(text), *percent, *small, *encoded}
    plain |= {form.upper() for form in encoded[:1]}
    return tuple(sorted({json.dumps(form, ensure_ascii=False)[1:-1] for form in plain}, key=len, reverse=True))
