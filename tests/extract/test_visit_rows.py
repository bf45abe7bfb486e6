"""Rows of visits: fields whose place in Matomo's answer says something."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import VISITS
from matomo_fn.days import Days
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
