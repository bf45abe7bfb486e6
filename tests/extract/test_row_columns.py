"""Rows read column by column: the same lines, hash and sentence as row by row, whatever is in them."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Source, Table
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.report_rows import parse_days, parse_slice
from matomo_fn.extract.row_columns import column_reader
from matomo_fn.json_codec import UnreadRows

TABLES = [PREBUILT[name] for name in ("visitor_country", "behaviour_page", "countries", "behaviour_event")]
# How a field of any kind may be written; most are read by some column and refused by another.
FIELDS = st.sampled_from([
    "0", "1", "-1", "-0", "1.0", "1.5", "1e3", "1e-5", "0.00001", "1e16", "-1e16", "9007199254740991",
    "9007199254740992", "99999999999999999999", "1e999", "null", "true", '"0"', '"1"', '"-0"', '"+1"', '"007"',
    '"1.0"', '"1.000"', '"1e3"', '"1e16"', '"0.00001"', '"21%"', '""', '"null"', '"nan"', '"x"', '"Others"',
    '"a\\":0.0000"', '"\\ud83d"', '"\\ud83d\\ude00"', '"é"', "{}", "[]", '{"b":1,"a":[1e-5]}',
    '{"idgoal=1":{"revenue":1.5}}', "[null]",
])  # fmt: skip
PLAIN = st.sampled_from(["0", "3", '"4"', "12.5", '"x"', "null"])


def named(table: Table) -> list[str]:
    """The fields of Matomo that decide about a row of a table."""
    columns = [name for column in table.parsed for name in (column.source, column.fallback) if name]
    return list(dict.fromkeys((*columns, "label", "segment", "url", "code", "other")))


@st.composite
def rows_of(draw: st.DrawFn, values: st.SearchStrategy[str]) -> tuple[Table, str]:
    table = draw(st.sampled_from(TABLES))
    fields = st.lists(st.tuples(st.sampled_from(named(table)), values), max_size=8)
    labels = st.sampled_from(['"label":"a"', '"label":"b"', '"label":"Others"', '"label":7', '"x":1'])
    row = st.builds(
        lambda label, found: "{" + ",".join((label, *(f"{json.dumps(name)}:{value}" for name, value in found))) + "}",
        labels,
        fields,
    )
    return table, f"[{','.join(draw(st.lists(row | values, min_size=1, max_size=3)))}]"


def outcome(table: Table, answer: object) -> object:
    try:
        return parse_slice(table, [(table.sources[0], answer)])
    except InvalidResponse as error:
        return str(error)


def check(table: Table, text: str) -> None:
    body = text.encode()
    assert outcome(table, UnreadRows(memoryview(body))) == outcome(table, json.loads(body))


@given(rows_of(FIELDS))
@example((TABLES[0], '[{"label":"a","revenue":0.00001}]'))
@example((TABLES[0], '[{"label":"a","revenue":"-0"},{"label":"b","revenue":1e16}]'))
@example((TABLES[0], '[{"label":"a","nb_visits":"1e3"}]'))
@example((TABLES[1], '[{"label":"Others","url":null},{"label":"Others"},{"label":"a","url":"a"},{"label":"a"}]'))
@example((TABLES[2], '[{"label":"a","goals":{"b":1,"a":{"d":1e-5,"c":"é"}}}]'))
def test_rows_read_by_column_are_those_read_by_row(case: tuple[Table, str]) -> None:
    """With odd values in any field: the same rows, or the same sentence."""
    check(*case)


@given(rows_of(PLAIN))
def test_usual_rows_are_those_read_by_row(case: tuple[Table, str]) -> None:
    """With the values that Matomo writes."""
    check(*case)


@given(st.data())
def test_days_read_together_are_those_read_one_by_one(data: st.DataObject) -> None:
    """Small and large ones, of the usual kind and odd ones: each day has its own rows, or is left to be read alone."""
    table, first = data.draw(rows_of(PLAIN))
    texts = [first, *data.draw(st.lists(rows_of(PLAIN | FIELDS).map(lambda case: case[1]), max_size=4)), "[]"]
    bodies = [(text[:1] + data.draw(st.sampled_from(["", " " * 30_000])) + text[1:]).encode() for text in texts]
    answers: dict[date, object] = {
        date(2026, 10, 1) + timedelta(days=number): UnreadRows(memoryview(body)) if body.lstrip(b"[ ") != b"]" else []
        for number, body in enumerate(bodies)
    }
    found = parse_days(table, table.sources[0], answers)
    assert found == {day: outcome(table, answers[day]) for day in found}


def test_usual_days_are_read_together() -> None:
    """All but the one with a value that is written oddly, and those beside it: these are read one by one."""
    table = PREBUILT["visitor_country"]
    days = [date(2026, 10, 1) + timedelta(days=number) for number in range(4)]
    plain = b'[{"label":"a","nb_visits":1}]'

    def read(odd: bytes, *, size: int) -> set[date]:
        answers = {day: UnreadRows(memoryview(plain + b" " * size)) for day in days}
        answers[days[2]] = UnreadRows(memoryview(odd + b" " * size))
        return set(parse_days(table, table.sources[0], answers))

    assert read(plain, size=0) == set(days)
    assert read(b'[{"label":"a","nb_visits":"x"}]', size=0) == set()
    assert read(b'[{"label":"a","nb_visits":"x"}]', size=40_000) == {*days} - {days[2]}
    assert read(b'[{"label":"a","code":"a"},{"label":"a","code":"a"}]', size=0) == {*days} - {days[2]}


def test_usual_rows_are_read_by_column() -> None:
    """Numbers as numbers and as texts, absent and null fields, "Others": or nothing would be gained."""
    table = PREBUILT["behaviour_page"]
    rows = [
        {"label": "/a", "url": "https://x/a", "nb_visits": 1, "nb_hits": "2", "entry_bounce_count": None},
        {"label": "/b", "nb_hits": 3, "segment": "pageUrl==x"},
        {"label": "Others", "nb_visits": 7, "nb_hits": "8"},
    ]
    reader = column_reader(table, table.sources[0])
    assert reader is not None
    read = reader.lines([UnreadRows(memoryview(json.dumps(rows).encode()))])
    assert read is not None
    (found,) = read
    assert [json.loads(line)["_is_others"] for line in found.lines] == [False, False, True]
    assert len(found.keys) == 3


@pytest.mark.parametrize(
    ("table", "source"),
    [
        (PREBUILT["visits_summary"], PREBUILT["visits_summary"].sources[0]),
        (PREBUILT["visitor_country"], Source("A.get", only=("type", 1))),
        (PREBUILT["visitor_country"], Source("A.get", by_goal="goals")),
    ],
    ids=["one row", "some rows", "goals"],
)
def test_reports_that_take_more_than_their_rows_are_read_by_row(table: Table, source: Source) -> None:
    """Of one row, of some of the rows, or of what stands in them."""
    assert column_reader(table, source) is None


def test_rows_of_several_sources_share_their_keys() -> None:
    """Two reports with one key are refused, as two rows of one report are; an empty one adds nothing."""
    table = PREBUILT["visitor_country"]
    source = table.sources[0]
    first, second = ([{"label": label, "code": label, "nb_visits": 1}] for label in ("a", "b"))

    def unread(rows: Any) -> UnreadRows:
        return UnreadRows(memoryview(json.dumps(rows).encode()))

    both = [(source, first), (source, []), (source, second)]
    assert parse_slice(table, [(s, unread(rows) if rows else rows) for s, rows in both]) == parse_slice(table, both)
    with pytest.raises(InvalidResponse, match="Matomo answers two rows for country=") as raised:
        parse_slice(table, [(source, unread(first)), (source, unread(first))])
    with pytest.raises(InvalidResponse) as expected:
        parse_slice(table, [(source, first), (source, first)])
    assert str(raised.value) == str(expected.value)
