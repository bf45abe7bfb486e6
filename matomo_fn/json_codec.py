"""JSON by msgspec: the values and the texts that the standard library's json gives, in a third of its time.

msgspec refuses some of what json reads (halves of surrogate pairs, numbers beyond a double, other encodings than
UTF-8) and writes some floats otherwise (0.00001 for 1e-05). So what it refuses is left to json, and a text is only
taken from it where json writes the same: the hash of a row must not depend on the library.
"""

import codecs
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from matomo_fn.errors import InvalidResponse

# What msgspec raises for bytes that it does not read.
REFUSED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
# Floats nearer to 0, or from here on, have an exponent where json writes them (float.__repr__).
LEAST_PLAIN, WITH_EXPONENT = 0.0001, 1e16
# A float that json may write otherwise; what looks like one may also stand in a text.
_MAYBE_EXPONENT = re.compile(rb"[0-9]e-?[0-9]|(?<![0-9])0\.0000")
_CHUNK = 64 * 1024  # bytes that are looked at at once
_SPACE = b" \t\n\r"  # what JSON allows between values
_SHORT = 64  # bytes of a list that may as well be read at once
_LIST, _OBJECT = b"[{"  # what they begin with

_decoder = msgspec.json.Decoder()
_object = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_place = msgspec.json.Decoder(
    msgspec.defstruct("Place", [(name, Any, msgspec.UNSET) for name in ("idVisit", "lastActionTimestamp")], gc=False)
)
_any = msgspec.json.Decoder(msgspec.Raw)
_encoder = msgspec.json.Encoder()
_sorted = msgspec.json.Encoder(order="sorted")
# The text of a value by json itself, the keys of its objects in order.
sorted_by_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


def decode(text: bytes | memoryview) -> Any:
    """Return the value of a JSON text, as json.loads does; raise one of REFUSED for what may be JSON all the same."""
    return _decoder.decode(text)


def encode_document(value: object) -> msgspec.Raw:
    """Return the text of a value that ``decode`` gave, the keys of its objects in order, as a part of a longer text."""
    text = _sorted.encode(value)
    if _MAYBE_EXPONENT.search(text):
        text = sorted_by_json(value).encode()
    return msgspec.Raw(text)


def encode_plain(value: object) -> str:
    """Return a value without odd floats as one compact JSON text, as json writes it.

    Raises UnicodeEncodeError where a text has half a surrogate pair.
    """
    return _encoder.encode(value).decode()


def is_plain(value: object) -> bool:
    """Return whether msgspec surely writes an object or a list as json does."""
    return not _MAYBE_EXPONENT.search(_encoder.encode(value))


def has_exponent(number: float) -> bool:
    """Return whether json writes a float with an exponent, which msgspec does not, or otherwise."""
    return not LEAST_PLAIN <= abs(number) < WITH_EXPONENT and number != 0


def encode_lines(rows: list[msgspec.Struct]) -> list[str]:
    """Return each row as a JSON object, as json writes it; no float may have an exponent."""
    return _encoder.encode_lines(rows).decode().split("\n")[:-1]


class Unread:
    """A part of an answer as Matomo sent it, parsed when it is needed; it is equal to the value that it stands for."""

    __slots__ = ("text",)

    def __init__(self, text: memoryview) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return bool(self.read() == (other.read() if isinstance(other, Unread) else other))

    __hash__ = None  # type: ignore[assignment]  # as a list and an object have none

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text.nbytes} bytes)"

    def read(self) -> Any:
        """Return the value; raise InvalidResponse where it has a number that Python does not read."""
        try:
            return _decoder.decode(self.text)
        except REFUSED:
            try:
                return json.loads(bytes(self.text))
            except ValueError as error:
                raise InvalidResponse(f"Matomo's answer cannot be read: {error}") from None


class UnreadRows(Unread):
    """The rows of a report: a list that is not empty.

    So an answer of many days takes the memory of its bytes and of one day.
    """

    __slots__ = ()


class UnreadVisit(Unread):
    """A visit of the visits log: an object. So a page of visits takes the memory of its bytes and of one visit."""

    __slots__ = ()

    def fields(self) -> dict[str, Any]:
        """Return of the visit only what tells its place in the log."""
        try:
            place = msgspec.structs.asdict(_place.decode(self.text))
        except REFUSED:
            return dict(self.read())
        return {name: value for name, value in place.items() if value is not msgspec.UNSET}


def split_report(body: bytes) -> Any:
    """Return the value of an answer of a report whose lists of rows are UnreadRows.

    That is one list of rows, or an object that has one for each day. Raises one of REFUSED for what has to be read as
    a whole, since it is no JSON or may be none.
    """
    _check_utf8(body)
    return _split(memoryview(body.lstrip(_SPACE)))


def split_bulk(body: bytes) -> Any:
    """Return the value of an answer of API.getBulkRequest, each entry as ``split_report`` does."""
    _check_utf8(body)
    if not body.lstrip(_SPACE).startswith(b"["):
        return _decoder.decode(body)
    return [_split(memoryview(raw)) for raw in _list.decode(body)]


def split_visits(body: bytes) -> Any:
    """Return the value of a page of the visits log, whose visits are UnreadVisits; raise as ``split_report`` does."""
    _check_utf8(body)
    if not body.lstrip(_SPACE).startswith(b"["):
        return _decoder.decode(body)
    return [_visit(memoryview(raw)) for raw in _list.decode(body)]


def largest_of(value: object) -> memoryview:
    """Return the bytes of the largest part of a split value that is unread."""
    found = [memoryview(b"")]
    waiting = [value]
    while waiting:
        match waiting.pop():
            case Unread(text=text):
                found.append(text)
            case Mapping() as parts:
                waiting += parts.values()
            case list() as parts:
                waiting += parts
    return max(found, key=len)


def _split(text: memoryview) -> Any:
    if bytes(text[:1]) == b"{":
        return {key: _rows(memoryview(raw)) for key, raw in _object.decode(text).items()}
    return _rows(memoryview(_any.decode(text)))


def _rows(text: memoryview) -> Any:
    is_list = len(text) > _SHORT and text[0] == _LIST
    if is_list and (text[1] == _OBJECT or bytes(text[1:_SHORT]).lstrip(_SPACE)[:1] not in (b"", b"]")):
        return UnreadRows(text)
    return _decoder.decode(text)


def _visit(text: memoryview) -> Any:
    return UnreadVisit(text) if bytes(text[:1]) == b"{" else _decoder.decode(text)


def _check_utf8(body: bytes) -> None:
    """Raise UnicodeDecodeError for what is not UTF-8: msgspec does not look at the texts that it passes over."""
    if not body.isascii():
        decoder = codecs.getincrementaldecoder("utf-8")()
        for start in range(0, len(body), _CHUNK):
            decoder.decode(body[start : start + _CHUNK], start + _CHUNK >= len(body))
