"""JSON by msgspec: for any bytes the values, the texts and the refusals of the standard library's json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn import json_codec
from matomo_fn.errors import InvalidResponse, MatomoError
from matomo_fn.json_codec import (
    Unread,
    UnreadRows,
    UnreadVisit,
    encode_document,
    encode_lines,
    encode_plain,
    has_exponent,
    is_plain,
    largest_of,
)
from matomo_fn.matomo import responses
from matomo_fn.matomo.responses import parse_response
from matomo_fn.matomo.transport import Reply
from matomo_fn.values import encode
from tests.support.recordings import all_recordings

if TYPE_CHECKING:
    from matomo_fn.matomo.responses import Decode

# Numbers and texts as a server may write them, the odd ones among them.
NUMBERS = st.sampled_from([
    "0", "-0", "-0.0", "0.0", "1", "-7", "1.0", "0.1", "1e5", "1E5", "1e-5", "0.00001", "1e16", "1e22", "1e308",
    "1e309", "-1e999", "1e-400", "4.9e-324", "9007199254740993", "9007199254740993.0", "18446744073709551616",
    "-9223372036854775809", "123456789012345678901234567890", "NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1",
    "0x1", "1_0",
]) | st.one_of(st.integers().map(str), st.floats(allow_nan=False, allow_infinity=False).map(repr))  # fmt: skip
TEXTS = st.sampled_from([
    '"\\ud83d"', '"\\ude00"', '"\\ude00\\ud83d"', '"\\ud83d\\ude00"', '"\\u0000"', '"\\/"', '"\\q"', '"\t"', '"\x7f"',
    '"\u2028"', '"é"', '"😀"', '"[{,"', '"\\"]"', '"nb_visits"', '"\\u006eb_visits"', '"', "'a'",
]) | st.text().map(json.dumps) | st.text().map(lambda text: json.dumps(text, ensure_ascii=False))  # fmt: skip
LITERALS = st.sampled_from(["true", "false", "null", "nul", "", "[]", "{}", "[ ]", "undefined"])
BLANKS = st.sampled_from(["", " ", "\n", "\t", "\r", "\u2028", "\x00"])
VALUES = st.recursive(
    NUMBERS | TEXTS | LITERALS,
    lambda inner: (
        st.builds("[{}]".format, st.lists(inner, max_size=4).map(", ".join))
        | st.builds(
            "{{{}}}".format,
            st.lists(
                st.builds("{}:{}".format, st.sampled_from(['"a"', '"b"', '"\\u0061"', "1"]), inner), max_size=4
            ).map(",".join),
        )
    ),
    max_leaves=12,
)
BODIES = st.builds(
    lambda before, text, after, encoding: f"{before}{text}{after}".encode(encoding, "surrogatepass"),
    BLANKS,
    VALUES,
    BLANKS,
    st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le"]),
)


def by_the_library(_body: bytes) -> Any:
    """Refuse everything, so that json reads it."""
    raise msgspec.DecodeError


def outcome(body: bytes, decode: Decode) -> str:
    """What comes of an answer, with the types of its values, or the error's kind and sentence."""
    try:
        value = parse_response(str, "X.y", Reply(200, "application/json", None, "", body), decode)
    except MatomoError as error:
        return f"{type(error).__name__}: {error}"
    return repr(whole(value))


def whole(value: Any) -> Any:
    """A value with its lists of rows read."""
    match value:
        case Unread():
            return value.read()
        case list():
            return [whole(part) for part in value]
        case dict():
            return {key: whole(part) for key, part in value.items()}
    return value


@given(BODIES)
@example(b'{"a":1,"b":2,"a":3}')
@example(b'["' + b"\xed\xa0\x80" + b'"]')
@example(b'["\xff"]')
@example(b'{"\xff":1}')
@example(b"[" + b"1" * 5000 + b"]")
@example(b"1" * 400)
@example(b"[" * 70 + b"]" * 70)
@example(b'<b>Notice</b> in <b>x</b>\n{"a":[1]}')
@example(b'{"a":[1,2')
def test_any_answer_is_what_the_standard_library_makes_of_it(body: bytes) -> None:
    """The same values of the same types in the same order, or the same error with the same sentence."""
    assert outcome(body, json_codec.decode) == outcome(body, by_the_library)


@given(st.lists(VALUES, min_size=1, max_size=4), st.booleans())
@example(['[{"label":"a long label, so that it is left unread, and then a half \\ud83d"}]'], True)  # noqa: FBT003
@example(["[" + " " * 100 + "]", "[" + " " * 100 + '"a"]', '[{"a":"' + "é" * 70 + '"}]'], False)  # noqa: FBT003
def test_an_answer_in_parts_is_the_answer(parts: list[str], is_bulk: bool) -> None:  # noqa: FBT001
    """Of a range of days, of a bulk call, and of a single day; whichever parts are left unread."""
    padded = [part if len(part) > 64 or not part.startswith("[") else f"[{' ' * 60}{part[1:]}" for part in parts]
    days = ",".join(f'"2026-10-{number:02d}":{part}' for number, part in enumerate(padded, 1))
    text = f"[{','.join(padded)},{{{days}}}]" if is_bulk else f"{{{days}}}"
    split = json_codec.split_bulk if is_bulk else json_codec.split_report
    for body in (text.encode(errors="surrogatepass"), padded[0].encode(errors="surrogatepass")):
        assert outcome(body, split) == outcome(body, by_the_library)


@given(st.binary(max_size=60))
def test_no_bytes_are_read_otherwise(body: bytes) -> None:
    """Whatever comes."""
    for decode in (json_codec.decode, json_codec.split_report, json_codec.split_bulk, json_codec.split_visits):
        assert outcome(body, decode) == outcome(body, by_the_library)


def test_every_recorded_answer_is_what_the_standard_library_makes_of_it() -> None:
    """Those of reports also in parts."""
    for recording in all_recordings():
        reply = recording.reply
        for decode in (json_codec.decode, json_codec.split_report, json_codec.split_bulk, json_codec.split_visits):
            found, expected = (responses.read_json(reply.body, each) for each in (decode, by_the_library))
            assert (repr(whole(found[0])), found[1]) == (repr(expected[0]), expected[1]), recording.name


def test_rows_are_left_unread_and_equal_to_their_list() -> None:
    """A day's rows are a part of the answer's bytes; a list without rows is one."""
    rows = [{"label": "x" * 60, "nb_visits": number} for number in range(3)]
    body = json.dumps({"2026-10-01": rows, "2026-10-02": [], "2026-10-03": {"nb_visits": 1}}).encode()
    value = json_codec.split_report(body)
    assert [type(part) for part in value.values()] == [UnreadRows, list, dict]
    assert value == {"2026-10-01": rows, "2026-10-02": [], "2026-10-03": {"nb_visits": 1}}
    assert value["2026-10-01"] != rows[1:]
    assert bytes(largest_of([value, UnreadRows(memoryview(b"[1]"))])) == json.dumps(rows).encode()


def test_a_number_that_python_does_not_read_is_an_error_when_the_rows_are_read() -> None:
    """More than 4,300 digits: the answer is passed over where nobody wants the field, and refused otherwise."""
    value = json_codec.split_report(b'{"2026-10-01":[{"a":' + b"1" * 5000 + b"}]}")
    with pytest.raises(InvalidResponse, match=r"^Matomo's answer cannot be read: Exceeds the limit \(4300 digits\)"):
        value["2026-10-01"].read()


@given(VALUES)
@example('{"idVisit":1,"idVisit":2,"lastActionTimestamp":null,"x":"\\ud83d"}')
@example('{"idVisit":"7"}')
def test_the_place_of_a_visit_is_what_the_visit_says(text: str) -> None:
    """Without what else it has; a page is one of visits, or read at once."""
    body = f"[{text}]".encode(errors="surrogatepass")
    assert outcome(body, json_codec.split_visits) == outcome(body, by_the_library)
    try:
        (visit,) = json_codec.split_visits(body)
    except (*json_codec.REFUSED, ValueError):
        return
    if isinstance(visit, UnreadVisit):
        whole_visit = visit.read()
        for name in ("idVisit", "lastActionTimestamp"):
            assert repr(visit.fields().get(name, "absent")) == repr(whole_visit.get(name, "absent"))


FLOATS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e-5, -1e-5, 1e16, 9.99e15, 0.0001, -0.0])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
in_order = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, sort_keys=True).encode


@given(DOCUMENTS)
def test_a_document_has_the_text_that_json_gives_it(value: object) -> None:
    """With its keys in order; a text decides the hash of its row."""
    assert bytes(encode_document(value)).decode() == in_order(value)
    if not isinstance(value, float) and is_plain(value):
        assert encode_plain(value) == encode(value)


@given(st.lists(st.tuples(FLOATS, st.text(st.characters(exclude_categories=["Cs"]))), min_size=1, max_size=3))
@example([(0.0001, "a"), (9999999999999998.0, "b"), (0.0, "c"), (-0.0, "d")])
def test_lines_have_the_text_that_json_gives_them(rows: list[tuple[float, str]]) -> None:
    """Of floats without an exponent, which are told from the others by their size."""
    line = msgspec.defstruct("line", [("a", Any), ("b", Any)])
    plain = [(number, text) for number, text in rows if not has_exponent(number)]
    assert [("e" in encode(number)) for number, _ in rows] == [has_exponent(number) for number, _ in rows]
    assert encode_lines([line(*row) for row in plain]) == [encode({"a": number, "b": text}) for number, text in plain]
