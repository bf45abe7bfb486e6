"""Whatever a report answers becomes rows that a warehouse takes, or an InvalidResponse; never anything else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import ColumnType
from matomo_fn.catalogue.custom import Metric, ReportMetadata, ReportSpec, custom_table
from matomo_fn.catalogue.fields import GOALS
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.matomo.metadata import read_metadata

if TYPE_CHECKING:
    from matomo_fn.extract.report_rows import ParsedSlice

FIELDS = [
    "label",
    "url",
    "nb_visits",
    "colour",
    "Colour",
    "segment",
    "group",
    "goals",
    "code",
    "9",
    "revenue",
    "\ud83d é",
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["12", "0.5", "21%", "", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=8), inner, max_size=2),
    max_leaves=4,
)
rows = st.lists(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=5), values, max_size=6), max_size=4)
labelled: st.SearchStrategy[Any] = rows.map(
    lambda found: [{"label": str(index), **row} for index, row in enumerate(found)]
)
BIGQUERY_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")


def columns(*, is_one_row: bool = False, is_flat: bool = False) -> OpenColumns:
    return OpenColumns(custom_table(ReportSpec("Plugin.getThings", is_flat=is_flat), is_one_row=is_one_row), {})


def parse(known: OpenColumns, answer: Any) -> ParsedSlice:
    return known.parse([(known.table.sources[0], answer)])


@given(st.lists(rows | labelled | values, max_size=3), st.sampled_from(("rows", "one row", "flat rows")))
def test_an_answer_gives_rows_of_the_table_or_an_error(answers: list[Any], shape: str) -> None:
    """Columns have names that BigQuery takes, each once, and what was parsed is parsed the same again."""
    known = columns(is_one_row=shape == "one row", is_flat=shape == "flat rows")
    for answer in answers:
        try:
            parsed = parse(known, answer)
        except InvalidResponse:
            continue
        names = [column.name for column in known.table.columns]
        assert len({name.lower() for name in names}) == len(names)
        assert all(BIGQUERY_NAME.fullmatch(name) for name in names)
        for column in known.table.columns:
            assert len(column.description.encode()) <= 4 * 1_024
        for line in parsed.lines:
            row = json.loads(line)
            assert row.keys() <= set(names)
            assert None not in row.values()
        assert parse(known, answer).content_hash == parsed.content_hash


@given(labelled, labelled)
def test_what_other_answers_have_changes_no_slice_that_fits_their_types(first: list[Any], second: list[Any]) -> None:
    """Of two answers with the same types each has the same hash, whichever came before it."""
    alone, together = columns(), columns()
    try:
        parse(together, first)
        types = {column.source: column.type for column in together.table.metrics}
        expected = parse(alone, second)
    except InvalidResponse:
        return
    if all(types.get(column.source, column.type) is column.type for column in alone.table.metrics):
        try:
            found = parse(together, second)
        except InvalidResponse:  # fields of both that would be one column
            return
        assert found.content_hash == expected.content_hash


@pytest.mark.parametrize(
    ("raw", "kind", "value"),
    [
        ([1, 2], ColumnType.INT64, 2),
        ([1, 2.5], ColumnType.FLOAT64, 2.5),
        ([2.5, 1], ColumnType.FLOAT64, 1),
        ([0.5, 1, 2.5], ColumnType.FLOAT64, 2.5),
        ([1, 2.0], ColumnType.FLOAT64, 2),
        ([1, "2"], ColumnType.STRING, "2"),
        (["007"], ColumnType.STRING, "007"),
        ([True, False], ColumnType.BOOL, False),
        ([None, {"a": 1}], ColumnType.JSON, {"a": 1}),
        ([[1], "x"], ColumnType.JSON, "x"),
        ([2**64], ColumnType.FLOAT64, 18446744073709551616),
    ],
)
def test_the_type_of_a_field_that_nobody_knows_is_that_of_its_values(
    raw: list[Any], kind: ColumnType, value: Any
) -> None:
    known = columns()
    parsed = parse(known, [{"label": str(index), "thing": one} for index, one in enumerate(raw)])
    assert next(column.type for column in known.table.metrics) is kind
    assert json.loads(parsed.lines[-1])["thing"] == value


@pytest.mark.parametrize(
    ("raw", "problem"), [([True, -1], "thing is -1, not true or false"), ([10**400], "thing is 1000")]
)
def test_values_that_no_type_has_are_refused(raw: list[Any], problem: str) -> None:
    with pytest.raises(InvalidResponse, match=problem):
        parse(columns(), [{"label": str(index), "thing": one} for index, one in enumerate(raw)])


def test_a_name_that_promises_a_number_is_believed_as_long_as_the_first_values_are_numbers() -> None:
    """A plugin may call a text nb_something."""
    known = columns()
    parse(known, [{"label": "a", "nb_stars": "many", "nb_visits": "3"}])
    assert {column.name: column.type for column in known.table.metrics} == {
        "nb_stars": ColumnType.STRING,
        "nb_visits": ColumnType.INT64,
    }


@pytest.mark.parametrize("value", [[], ["a"], {"a": 1}])
def test_a_list_or_an_object_tells_no_rows_apart(value: object) -> None:
    """BigQuery compares no JSON: two rows that differ in it alone are refused, by a sentence."""
    rows = [{"label": "a", "nb_visits": 1}, {"label": "a", "nb_visits": 2, "url": value}]
    for known in (columns(), columns(is_flat=True)):
        with pytest.raises(InvalidResponse, match='answers two rows for label="a"'):
            parse(known, rows)
        found = [*rows, {"label": "a", "nb_visits": 3, "url": value}]
        with pytest.raises(InvalidResponse, match="answers two rows"):
            parse(known, found)
    chosen = OpenColumns(custom_table(ReportSpec("A.get", identifiers=("label", "url"))), {})
    with pytest.raises(InvalidResponse, match="url identifies the rows of table a, and is a list or an object"):
        parse(chosen, rows)


def test_a_row_without_a_label_says_what_to_do() -> None:
    with pytest.raises(InvalidResponse, match='name the fields that identify a row in the "schema"'):
        parse(columns(), [{"idgoal": 1, "name": "Newsletter"}])


@pytest.mark.parametrize("answer", [{"label": "x"}, 3, "x", None, [3], {"2026-11-01": []}])
def test_an_answer_of_another_shape_is_refused(answer: Any) -> None:
    with pytest.raises(InvalidResponse, match="where a"):
        parse(columns(), answer)


@pytest.mark.parametrize("answer", [[{"nb_visits": 1}], None, True, {"1": {"nb_visits": 1}, "2": []}, {}])
def test_an_answer_that_is_not_one_row_is_refused(answer: Any) -> None:
    with pytest.raises(InvalidResponse, match="where one object of numbers belongs"):
        parse(columns(is_one_row=True), answer)


def test_a_day_without_visits_has_a_row_of_zeros_where_the_counters_are_known() -> None:
    metadata = ReportMetadata(
        "A.get", (), "A", "B", "", "", (Metric("nb_visits", "Visits"), Metric("rate", "Rate", is_processed=True))
    )
    known = OpenColumns(custom_table(ReportSpec("A.get"), metadata=metadata), {})
    assert parse(known, []).lines == ('{"nb_visits":0}',)
    assert parse(columns(is_one_row=True), []).lines == ()


@pytest.mark.parametrize("value", [3, None, {}, "x", [3], [{}], [{"module": 1, "action": "get"}]])
def test_metadata_of_another_shape_is_refused(value: Any) -> None:
    with pytest.raises(InvalidResponse, match=r"API\.getReportMetadata"):
        read_metadata(value)


def test_metadata_is_read_as_text_and_each_report_once() -> None:
    """HTML, PHP's empty objects and false, sub tables, and texts that no warehouse would take."""
    entry = {
        "module": "A",
        "action": "getB",
        "name": "It &amp; <b>that</b>",
        "category": False,
        "dimension": "Half \ud83d pair",
        "metrics": {"nb": "Num\nber"},
        "metricsDocumentation": [],
        "parameters": {"idGoal": 3},
        "imageGraphUrl": "index.php?token_auth=secret",
    }
    (found,) = read_metadata([entry, entry, {**entry, "isSubtableReport": True}])
    assert (found.title, found.category, found.dimension) == ("It & that", "", "Half \ufffd pair")
    assert (found.params, found.metrics) == ((("idGoal", "3"),), (Metric("nb", "Num ber"),))
    assert "secret" not in repr(found)


def test_metrics_that_rows_have_by_their_goals_are_known_with_their_kinds() -> None:
    """Each once; a ratio is told from a number."""
    entry = {
        "module": "A",
        "action": "getB",
        "metrics": {"nb_visits": "Visits"},
        "metricTypes": {"nb_visits": "number"},
        "metricsGoal": {"nb_visits": "Again", "revenue": "Revenue"},
        "processedMetricsGoal": {"conversion_rate": "Rate"},
        "metricTypesGoal": {"revenue": "money", "conversion_rate": "percent"},
    }
    (found,) = read_metadata([entry])
    assert [(each.name, each.title, each.kind, each.is_processed) for each in found.metrics] == [
        ("nb_visits", "Visits", "number", False),
        ("revenue", "Revenue", "money", False),
        ("conversion_rate", "Rate", "percent", True),
    ]


def test_a_field_whose_name_no_warehouse_takes_has_a_column_and_a_description() -> None:
    known = columns()
    parse(known, [{"label": "a", "\ud83d\n" + "x" * 400: 1}])
    (column,) = known.table.metrics
    assert BIGQUERY_NAME.fullmatch(column.name)
    assert column.description.startswith("Matomo's \\ud83d\\nxxx")
    assert len(column.description) < 150


@given(st.lists(st.sampled_from(["1", "2", "9", "10", "11", "ecommerceOrder", "ecommerceAbandonedCart"]), unique=True))
def test_goals_stand_in_the_order_of_their_numbers_whatever_the_order_of_the_answer(goals: list[str]) -> None:
    """Otherwise a day would look changed; those of the shop come behind. Each has its own numbers."""
    numbers = {f"idgoal={goal}": {"nb_conversions": index} for index, goal in enumerate(goals)}
    lines = [
        parse(columns(), [{"label": "a", "nb_visits": 1, "goals": {key: numbers[key] for key in keys}}]).lines
        for keys in (list(numbers), list(reversed(numbers)))
    ]
    assert lines[0] == lines[1]
    found = json.loads(lines[0][0]).get("goals", [])
    conversions = next(field.name for field in GOALS.fields if field.source == "nb_conversions")
    plain = sorted((goal for goal in goals if goal.isdecimal()), key=int)
    expected = [*plain, *sorted(goal for goal in goals if not goal.isdecimal())]
    assert [(each["goal_id"], each[conversions]) for each in found] == [(goal, goals.index(goal)) for goal in expected]
