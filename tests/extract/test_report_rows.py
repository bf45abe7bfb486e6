"""From Matomo's JSON to typed rows: what holds for every value, not only for the recorded ones."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Table
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.report_rows import ParsedSlice, is_empty, parse_slice, visits_of
from matomo_fn.values import utf8
from tests.support.recordings import answers_of, read

COUNTRY = PREBUILT["visitor_country"]
COUNTRIES = PREBUILT["countries"]
CHANNELS = PREBUILT["acquisition_channel_type"]
EVENTS = PREBUILT["behaviour_event"]
SUMMARY = PREBUILT["visits_summary"]
REFERRERS = PREBUILT["referrers"]
PAGES = PREBUILT["behaviour_page"]
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LABELS = st.text(min_size=1).filter(lambda text: text != "Others")
NO_INTEGERS = ["", " ", "4.5", "1e3", "12 ", "1,234", "n/a", "0x10", "--1", "1_000", 4.5, True, False, [], {}, [1]]
NO_NUMBERS = ["", " ", "n/a", "1,5", "6 min 13s", "€3", "1_0", "inf", "nan", "5%%", True, False, [], {}]


def shaped(table: Table, answer: object) -> ParsedSlice:
    return parse_slice(table, [(table.sources[0], answer)])


def rows(table: Table, answer: object) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shaped(table, answer).lines]


def only(table: Table, field: str, value: object, column: str, **row: object) -> object:
    """The one cell that a row with one field has."""
    return rows(table, [{"label": "x", "segment": "s", **row, field: value}])[0][column]


# ---- numbers


@given(INT64)
def test_a_counter_is_the_same_int_however_it_is_written(value: int) -> None:
    """As a number, as a string, with a sign and with zeros behind the point; a string where a double is too small."""
    ways: list[object] = [value, str(value), f"{value}.0", f"{value}.000"]
    if value >= 0:
        ways.append(f"+{value}")
    if abs(value) < 2**53:
        ways.append(float(value))
    found = [only(COUNTRY, "nb_visits", way, "visits") for way in ways]
    staged = value if abs(value) < 2**53 else str(value)
    assert found == [staged] * len(ways)
    assert {type(one) for one in found} == {type(staged)}


@given(FINITE)
def test_an_amount_is_the_same_float_however_it_is_written(value: float) -> None:
    """The shortest text that names the float, and the float itself; never a string."""
    found = [only(COUNTRY, "revenue", way, "revenue") for way in (value, repr(value), json.loads(json.dumps(value)))]
    assert found == [value] * 3
    assert {type(one) for one in found} == {float}


@given(st.integers(min_value=-(2**53), max_value=2**53))
def test_a_whole_amount_is_a_float(value: int) -> None:
    """PHP writes 5 for 5.0, and the column is FLOAT64 on every day."""
    for way in (value, str(value)):
        found = only(COUNTRY, "revenue", way, "revenue")
        assert (found, type(found)) == (float(value), float)


@given(
    st.integers(min_value=0, max_value=100_000),
    st.integers(min_value=0, max_value=3),
    st.sampled_from(["", " ", "\u00a0", "\u202f"]),
)
def test_a_percentage_is_the_share_that_format_metrics_0_gives(digits: int, places: int, blank: str) -> None:
    """29% and 0.29 are the same slice, to the last bit of the float."""
    percentage = Decimal(digits).scaleb(-places)
    share = float(percentage / 100)
    texts = {f"{percentage:f}{blank}%": share}
    for text, expected in texts.items():
        summary = rows(SUMMARY, {"nb_visits": 1, "bounce_rate": text})
        assert summary == rows(SUMMARY, {"nb_visits": 1, "bounce_rate": expected})
        assert summary[0]["bounce_rate"] == expected


@pytest.mark.parametrize("value", [*NO_INTEGERS, "12%", math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 1e300])
def test_what_is_no_whole_number_is_no_counter(value: object) -> None:
    """Nothing is rounded, cut or taken for 0; the sentence names report, row and field."""
    with pytest.raises(InvalidResponse, match=r"^UserCountry\.getCountry: row 1 \(\"x\"\): nb_visits is "):
        only(COUNTRY, "nb_visits", value, "visits")


@pytest.mark.parametrize("value", [*NO_NUMBERS, math.nan, math.inf, 10**400, "1e999", -(10**400)])
def test_what_is_no_finite_number_is_no_amount(value: object) -> None:
    """Neither NaN nor infinity can be loaded, and a bool is no 1."""
    with pytest.raises(InvalidResponse, match=r"^UserCountry\.getCountry: row 1 \(\"x\"\): revenue is "):
        only(COUNTRY, "revenue", value, "revenue")


@pytest.mark.parametrize(
    ("field", "column", "absent"),
    [
        ("nb_visits", "nb_visits", 0),
        ("revenue", "revenue", 0.0),
        ("max_actions", "max_actions", None),
        ("goals", "goals", None),
        ("logoHeight", "logoHeight", None),
        ("code", "code", None),
    ],
)
def test_null_is_the_same_as_absent(field: str, column: str, absent: object) -> None:
    """A counter is 0, an amount 0.0, a bound, a text and a document NULL; with the same hash."""
    with_null = shaped(COUNTRIES, [{"label": "x", field: None}])
    assert with_null == shaped(COUNTRIES, [{"label": "x"}])
    value = json.loads(with_null.lines[0])[column]
    assert (value, type(value)) == (absent, type(absent))


@given(st.integers(min_value=0, max_value=10**6))
def test_an_absent_amount_and_one_of_zero_are_the_same_slice(visits: int) -> None:
    """Matomo leaves out revenue where there is none, on one day, and writes 0 on the next."""
    without = shaped(COUNTRY, [{"label": "x", "code": "x", "nb_visits": visits}])
    for zero in (0, 0.0, "0", "0.00"):
        assert shaped(COUNTRY, [{"label": "x", "code": "x", "nb_visits": visits, "revenue": zero}]) == without


# ---- texts


@given(st.text())
def test_a_label_is_kept_sign_for_sign(label: str) -> None:
    """Blanks, quotes, tags, NUL and emoji; only half a surrogate pair cannot be kept."""
    found = only(COUNTRY, "label", label, "country")
    assert found == utf8(label).decode()
    if not any("\ud800" <= sign <= "\udfff" for sign in label):
        assert found == label


@given(st.one_of(INT64, st.floats(allow_nan=False, allow_infinity=False)))
def test_a_label_of_digits_is_a_text(label: float) -> None:
    """PHP turns it into a number, which the column must not be."""
    assert only(COUNTRY, "label", label, "country") == str(label)


@pytest.mark.parametrize("label", [True, False, [], {}, ["a"]])
def test_a_label_of_another_type_is_an_error(label: object) -> None:
    """What it was cannot be told."""
    with pytest.raises(InvalidResponse, match=r"label is .*, not a text"):
        only(COUNTRY, "label", label, "country")


@pytest.mark.parametrize(("url", "stored"), [({"url": ""}, ""), ({"url": None}, "/a"), ({}, "/a")])
def test_another_field_stands_in_for_one_that_is_not_there_and_for_no_other(
    url: dict[str, object], stored: str
) -> None:
    """An empty URL is what Matomo answered."""
    (row,) = rows(PAGES, [{"label": "/a", **url}])
    assert row["page_url"] == stored


@pytest.mark.parametrize("row", [{"nb_visits": 1}, {"label": None, "nb_visits": 1}])
def test_a_row_without_its_label_is_an_error(row: dict[str, object]) -> None:
    """The label is the key."""
    with pytest.raises(InvalidResponse, match="there is no label"):
        rows(COUNTRY, [row])


@pytest.mark.parametrize(
    ("label", "kept"),
    [
        ("a\ud83d", "a\ufffd"),
        ("\ude00b", "\ufffdb"),
        ("\ud83d\ude00", "😀"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("\ud83dz\ud83d", "\ufffdz\ufffd"),
        ("\ufeffa", "\ufeffa"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_half_a_surrogate_pair_becomes_the_sign_for_it(label: str, kept: str) -> None:
    """The cut at 1,024 characters may halve an emoji; nothing beside it changes."""
    assert utf8(label).decode() == kept
    assert only(COUNTRY, "label", label, "country") == kept


@given(st.text(st.characters(), min_size=1))
def test_every_line_can_be_written_as_utf_8(label: str) -> None:
    """Also with half a pair in a label; a document keeps its own."""
    result = shaped(COUNTRIES, [{"label": label, "code": label, "goals": {label: {"revenue": 1}}}])
    assert json.loads(utf8(result.lines[0]))["label"] == utf8(label).decode()


# ---- keys, "Others", the hash


@given(st.lists(LABELS, unique_by=lambda text: utf8(text)), st.randoms())
def test_the_order_of_the_rows_does_not_show(labels: list[str], random: Any) -> None:
    """Matomo sorts by visits, and equal ones as it likes; the same rows are the same slice."""
    answer = [{"label": label, "code": "x", "nb_visits": len(label), "revenue": "1.50"} for label in labels]
    mixed = [dict(sorted(row.items(), key=lambda _: random.random())) for row in answer]
    random.shuffle(mixed)
    assert shaped(COUNTRY, answer) == shaped(COUNTRY, mixed)


@given(st.lists(LABELS, min_size=1, unique_by=lambda text: utf8(text)), st.data())
def test_any_other_value_is_another_slice(labels: list[str], data: st.DataObject) -> None:
    """A counter, a label or a row more changes the hash."""
    answer: list[dict[str, object]] = [{"label": label, "code": "x", "nb_visits": 3} for label in labels]
    before = shaped(COUNTRY, answer).content_hash
    changed = [dict(row) for row in answer]
    changed[data.draw(st.integers(0, len(labels) - 1))]["nb_visits"] = 4
    assert shaped(COUNTRY, changed).content_hash != before
    assert shaped(COUNTRY, answer[1:]).content_hash != before
    assert shaped(CHANNELS, [{**row, "referrer_type": 1} for row in answer]).content_hash != before


@given(
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.one_of(INT64, FINITE, st.none()), max_size=5),
    st.randoms(),
)
def test_the_order_within_a_document_does_not_show(goals: dict[str, object], random: Any) -> None:
    """Goals come in any order; the document keeps their values and types."""
    items = list(goals.items())
    random.shuffle(items)
    first = shaped(COUNTRIES, [{"label": "x", "goals": goals}])
    assert first == shaped(COUNTRIES, [{"label": "x", "goals": dict(items)}])
    assert json.loads(first.lines[0])["goals"] == goals


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_document_with_a_number_that_json_has_not_is_an_error(number: float) -> None:
    """The load would fail for the whole table."""
    with pytest.raises(InvalidResponse, match="goals"):
        rows(COUNTRIES, [{"label": "x", "goals": {"revenue": number}}])


@given(LABELS)
def test_two_rows_of_one_key_are_an_error(label: str) -> None:
    """The merge would store both and no query could tell them apart."""
    row = {"label": label, "segment": "s"}
    with pytest.raises(InvalidResponse, match="Matomo answers two rows for country="):
        rows(COUNTRY, [{**row, "nb_visits": 1}, {**row, "nb_visits": 2}])


def test_two_halves_of_different_pairs_are_one_key() -> None:
    """Both are written as the same sign, so both rows would have one key in the warehouse."""
    with pytest.raises(InvalidResponse, match="two rows"):
        rows(COUNTRY, [{"label": "a\ud83d", "code": "a"}, {"label": "a\ud83e", "code": "b"}])


def test_a_number_and_a_text_of_its_digits_are_one_key() -> None:
    """404 and "404" are the same label."""
    with pytest.raises(InvalidResponse, match="two rows"):
        rows(COUNTRY, [{"label": 404, "code": "a"}, {"label": "404", "code": "b"}])


def test_the_second_dimension_of_a_key_tells_rows_apart() -> None:
    """A website and a campaign may have the same name; the key has both columns, and only those."""
    same = {"label": "x", "url": "u", "segment": "s"}
    assert len(rows(REFERRERS, [{**same, "referer_type": 3}, {**same, "referer_type": 6}])) == 2
    with pytest.raises(InvalidResponse, match="two rows"):
        rows(REFERRERS, [{**same, "referer_type": 3}, {**same, "referer_type": 3, "url": "v"}])


def test_others_of_all_referrers_has_a_channel_in_its_key() -> None:
    """Matomo's row has none, since it sums up several channels; a NULL in a key would compare with nothing."""
    (recorded,) = answers_of(read("m53_getAll_others.json"), REFERRERS.sources[0])
    lines = [json.loads(line) for line in parse_slice(REFERRERS, [(REFERRERS.sources[0], recorded[1])]).lines]
    assert [line["referer_type"] for line in lines if line["_is_others"]] == [0]
    assert all(line["referer_type"] in (1, 2, 3, 6, 7) for line in lines if not line["_is_others"])


def test_the_report_of_languages_says_nothing_of_conversions() -> None:
    """No recorded row has them, visits that converted are counted; 0 would be made up."""
    table = PREBUILT["visitor_language"]
    (recorded,) = answers_of(read("day_UserLanguage.getLanguage.json"), table.sources[0])
    lines = [json.loads(line) for line in parse_slice(table, [(table.sources[0], recorded[1])]).lines]
    assert sum(line["converted_visits"] for line in lines) > 0
    assert {(line["conversions"], line["revenue"]) for line in lines} == {(None, None)}


@pytest.mark.parametrize("metadata", [{"segment": "pageTitle==Others"}, {"url": "https://x/Others"}, {"code": "oo"}])
def test_others_is_told_from_a_row_of_that_very_name(metadata: dict[str, str]) -> None:
    """Both may stand in one report: the genuine one has a segment, a URL or a code, the sum never has."""
    genuine = {"label": "Others", "nb_visits": 1, **metadata}
    rest = {"label": "Others", "nb_visits": 2, "logo": "x.png"}
    result = shaped(COUNTRY, [genuine, rest])
    assert {(row["visits"], row["_is_others"]) for row in map(json.loads, result.lines)} == {(1, False), (2, True)}
    assert result.has_others
    assert not shaped(COUNTRY, [genuine]).has_others
    with pytest.raises(InvalidResponse, match="two rows"):
        rows(COUNTRY, [rest, rest])


@given(st.text().filter(lambda text: text != "Others"))
def test_a_row_of_another_name_is_never_others(label: str) -> None:
    """Also without a segment, as devices of an unknown kind come."""
    assert not shaped(COUNTRY, [{"label": label}]).has_others


@given(st.lists(LABELS, unique_by=lambda text: utf8(text)))
def test_no_row_is_lost_or_made(labels: list[str]) -> None:
    """As many lines as rows, and each label once."""
    found = rows(COUNTRY, [{"label": label} for label in labels])
    assert sorted(row["country"] for row in found) == sorted(utf8(label).decode() for label in labels)


def test_every_line_has_every_column_in_the_order_of_the_table() -> None:
    """The staging table is loaded by them."""
    for table in PREBUILT.values():
        answer = {"nb_visits": 1, "nb_pageviews": 1} if table.is_one_row else [{"label": "x", "referrer_type": 1}]
        assert [list(row) for row in rows(table, answer)] == [[column.name for column in table.parsed]]


# ---- shapes of answers


@pytest.mark.parametrize("answer", [None, 3, "text", True, {"label": "x"}, {}, {"1": []}])
def test_a_report_of_rows_takes_nothing_but_a_list(answer: object) -> None:
    """An object is another question's answer."""
    with pytest.raises(InvalidResponse, match="where a list of rows belongs"):
        rows(COUNTRY, answer)


@pytest.mark.parametrize("row", [None, 3, "text", True, [], ["x"]])
def test_a_row_that_is_no_object_is_an_error(row: object) -> None:
    """The good row before it does not save the day."""
    with pytest.raises(InvalidResponse, match=r"row 2 is .* where an object belongs"):
        rows(COUNTRY, [{"label": "x"}, row])


@pytest.mark.parametrize("answer", [None, 3, "text", True, [1], [{"nb_visits": 1}]])
def test_a_report_of_one_row_takes_nothing_but_an_object_or_an_empty_list(answer: object) -> None:
    """A list with something in it is no report of one row."""
    with pytest.raises(InvalidResponse, match="where an object of numbers belongs"):
        rows(SUMMARY, answer)


@pytest.mark.parametrize("answer", [{}, {"value": 70}, {"1": {"nb_visits": 3}}, {"2026-11": {"nb_visits": 3}}])
def test_an_object_without_any_field_of_the_report_is_an_error(answer: object) -> None:
    """It would pass for a day of zeros: another parse_slice, several sites or other periods."""
    with pytest.raises(InvalidResponse, match="an object without any of its fields"):
        rows(SUMMARY, answer)


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(
            st.lists(inner),
            st.dictionaries(
                st.one_of(
                    st.text(), st.sampled_from(["label", "nb_visits", "revenue", "goals", "code", "referrer_type"])
                ),
                inner,
            ),
        ),
        max_leaves=12,
    ),
    st.sampled_from(sorted(PREBUILT)),
)
def test_whatever_is_answered_ends_in_rows_or_in_an_error_of_the_answer(answer: object, name: str) -> None:
    """No odd value ends the run, or the worker, by an exception of its own."""
    table = PREBUILT[name]
    try:
        found = parse_slice(table, [(source, answer) for source in table.sources[:1]])
    except InvalidResponse as error:
        assert str(error)  # noqa: PT017  # either outcome is fine
    else:
        assert all(set(json.loads(line)) == {column.name for column in table.parsed} for line in found.lines)
    assert is_empty(table, answer) in (True, False)


def test_the_direct_row_alone_is_taken_of_the_channels() -> None:
    """acquisition_referrer has the other channels row by row from their own reports."""
    table = PREBUILT["acquisition_referrer"]
    answer = [
        {"label": name, "referrer_type": number} for number, name in [(1, "Direct Entry"), ("2", "Search Engines")]
    ]
    assert [row["referrer"] for row in rows(table, answer)] == ["Direct Entry"]
    for odd in ([{"label": "x"}], [{"label": "x", "referrer_type": "direct"}]):
        with pytest.raises(InvalidResponse, match="referrer_type"):
            rows(table, odd)


# ---- emptiness


@pytest.mark.parametrize(
    ("answer", "empty"),
    [
        ([], True),
        ([{"label": "x"}], False),
        ({}, False),
        ([[]], False),
        (None, False),
        (0, False),
    ],
)
def test_a_report_of_rows_is_empty_without_rows(answer: object, empty: bool) -> None:  # noqa: FBT001  # a case
    """Rows of zeros are rows."""
    assert is_empty(COUNTRY, answer) is empty


@pytest.mark.parametrize(
    ("answer", "empty"),
    [
        ([], True),
        ({"nb_visits": 0, "bounce_rate": "0%"}, True),
        ({"nb_visits": "0", "bounce_rate": 0.0}, True),
        ({"nb_visits": 1}, False),
        ({"nb_visits": 0, "max_actions": "1"}, False),
        ({"nb_visits": None}, False),
        ({"nb_visits": 10**400}, False),
        ({"nb_visits": "n/a"}, False),
        ({"nb_visits": False}, False),
    ],
)
def test_a_report_of_one_row_is_empty_with_zeros_only(answer: object, empty: bool) -> None:  # noqa: FBT001  # a case
    """In whichever way they are written."""
    assert is_empty(SUMMARY, answer) is empty


@pytest.mark.parametrize(("answer", "visits"), [([], 0), ({"nb_visits": "12"}, 12), ({"nb_visits": 0}, 0)])
def test_the_visits_of_a_day_are_read_from_its_summary(answer: object, visits: int) -> None:
    """An empty list is how a range writes 0."""
    assert visits_of(answer) == visits


@pytest.mark.parametrize("answer", [{}, None, 3, [1], {"nb_visits": None}, {"nb_visits": "n/a"}, {"nb_actions": 0}])
def test_a_summary_that_does_not_say_how_many_visits_is_an_error(answer: object) -> None:
    """It proves nothing about the day."""
    with pytest.raises(InvalidResponse, match=r"VisitsSummary\.get"):
        visits_of(answer)
