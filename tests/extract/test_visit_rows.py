"""Rows of visits: fields whose place in Matomo's answer says something."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn.catalogue import VISITS
from matomo_fn.days import Days
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.extract.visits import extract_visits
from matomo_fn.sites import Site
from tests.support.recordings import Scripted, client_of
from tests.support.visits import a_visit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DAY = date(2026, 11, 12)
NOON = int(datetime(2026, 11, 12, 12, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("slot", [1, 3, 5])
def test_a_custom_variable_keeps_its_slot(slot: int) -> None:
    """The slot is the number in its fields' names, not its position in the answer."""
    variables = {str(slot): {f"customVariableName{slot}": "plan", f"customVariableValue{slot}": "pro"}}
    row = json.loads(VisitParser(UTC).parse(a_visit(1, NOON, customVariables=variables)).line)
    assert row["custom_variables"] == [{"index": slot, "name": "plan", "value": "pro"}]


def test_custom_variables_of_several_slots_stand_in_their_order() -> None:
    """Slot 2 may be empty."""
    variables = {
        str(slot): {f"customVariableName{slot}": f"n{slot}", f"customVariableValue{slot}": f"v{slot}"}
        for slot in (1, 3)
    }
    row = json.loads(VisitParser(UTC).parse(a_visit(1, NOON, customVariables=variables)).line)
    assert [(each["index"], each["value"]) for each in row["custom_variables"]] == [(1, "v1"), (3, "v3")]


def test_the_age_of_a_visit_is_stored_and_does_not_make_it_look_changed() -> None:
    """It counts from another moment than the visit's own data; any other field that changes is a change."""
    first, later, other = (
        VisitParser(UTC).parse(a_visit(1, NOON, daysSinceFirstVisit=days, secondsSinceFirstVisit=days * 86400, x=x))
        for days, x in ((1, "a"), (2, "a"), (1, "b"))
    )
    row = json.loads(later.line)
    assert (row["days_since_first_visit"], row["raw"]) == (2, {"secondsSinceFirstVisit": 2 * 86400, "x": "a"})
    assert first.stable == later.stable
    assert first.stable != other.stable


@pytest.mark.parametrize(
    ("visits", "summary", "difference"),
    [
        (2, {"nb_visits": "2"}, 0),
        (2, {"nb_visits": 1}, 1),
        (0, {"nb_visits": 3}, -3),
        (0, {"nb_visits": 0}, 0),
        (0, [], 0),
        (2, {"nb_visits": 0}, None),
        (2, [], None),
    ],
)
def test_the_difference_is_judged_where_the_day_is_processed(
    visits: int, summary: Any, difference: int | None, tmp_path: Path
) -> None:
    """Where the summary counts nothing and the log has visits, Matomo has not processed the day yet."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "VisitsSummary.get":
            return {str(DAY): summary}
        found = [a_visit(number, NOON + number) for number in range(visits)]
        return [visit for visit in found if visit["lastActionTimestamp"] > int(form.get("minTimestamp", 0))]

    client, site = client_of(Scripted(answer)), Site("1", "Shop", UTC, date(2020, 1, 1))
    context = ExtractContext(
        client,
        (5, 2),
        ArchiveChecks(client, 3, datetime(2026, 11, 21, tzinfo=UTC)),
        lambda: True,
        OwnBuffers(tmp_path, 10**12),
        datetime(2026, 11, 21, tzinfo=UTC),
    )
    (slice_,) = extract_visits(context, Job(site, (VISITS,), Days.of([DAY])))
    assert slice_.visits_difference == difference


# How any field of a visit may be written: as Matomo does, and as it should not.
ODD = st.sampled_from([
    "0", "1", "-7", "1.5", "1e-5", "1e16", "9007199254740992", "99999999999999999999", "null", "true", "false", '""',
    '"0"', '"12"', '"1.50"', '"0.00001"', '"1e22"', '"21%"', '"x"', '"é"', '"\\ud83d"', '"cookie,flash"',
    '"12:30:59"', '"-01:00:00"', "{}", "[]", "[1e-5]", '["a",null]', '{"a":{"b":1e16}}', '{"a":"\\ud83d"}',
    "1763000000",
])  # fmt: skip
_SOURCES = sorted({column.source for column in VISITS.parsed if column.source and not column.fields})
_ACTIONS = next(column.fields for column in VISITS.parsed if column.name == "actions")
_WITHIN = [field for column in _ACTIONS if column.name in ("items", "product") for field in column.fields]
_OF_ACTIONS = sorted({column.source for column in (*_ACTIONS, *_WITHIN) if column.source and not column.fields})
OBJECTS = st.dictionaries(st.sampled_from([*_SOURCES, *_OF_ACTIONS, "dimension1", "dimension0123456789", "x"]), ODD)


@given(OBJECTS, st.lists(OBJECTS, max_size=3), OBJECTS, st.sampled_from([(), ("actions.url", "raw", "user_id")]))
@example({"latitude": "0.00001"}, [], {}, ())
@example({"x": "1e-5", "userId": '"\\ud83d"'}, [{"eventValue": "1e16"}], {"price": "0.00001"}, ())
def test_a_visit_has_the_text_that_json_gives_it(
    fields: dict[str, str], actions: list[dict[str, str]], item: dict[str, str], exclude: tuple[str, ...]
) -> None:
    """Whatever its fields have: the same row and hash as with the standard library, or the same sentence."""
    visit = {"idVisit": 1, "firstActionTimestamp": NOON, "lastActionTimestamp": NOON + 60, **_read(fields)}
    visit["actionDetails"] = [{"timestamp": NOON, **_read(action)} for action in actions]
    if actions:
        visit["actionDetails"][0]["itemDetails"] = [_read(item)]
    careful = VisitParser(UTC, exclude)
    careful._fast = careful._careful
    assert _outcome(VisitParser(UTC, exclude), visit) == _outcome(careful, visit)


def test_a_usual_visit_needs_no_care() -> None:
    """Or nothing would be gained: numbers as texts, amounts, orders, and fields that have no column."""
    visit = a_visit(1, NOON, latitude="51.500000", x={"n": [1, "a"]}, y=1.5, userId="é")
    visit["actionDetails"] = [{"type": "ecommerceOrder", "revenue": "12.50", "timestamp": NOON, "items": 1}]
    parser = VisitParser(UTC)
    parser._careful = None  # type: ignore[assignment]  # it is not asked
    assert json.loads(parser.parse(visit).line)["order_revenue"] == 12.5


def _read(fields: Mapping[str, str]) -> dict[str, Any]:
    return {name: json.loads(value) for name, value in fields.items()}


def _outcome(parser: VisitParser, visit: object) -> object:
    try:
        return parser.parse(visit)
    except InvalidResponse as error:
        return str(error)
