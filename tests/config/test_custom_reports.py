"""Bad custom reports: each has the sentence that its author needs, and nothing of the connector is taken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matomo_fn.catalogue import ColumnType
from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.errors import InputError

EVENTS = "Events.getName"


def connector(**config: Any) -> Connector:
    values = {"matomo_url": "https://matomo.example.com", "sites": "all"}
    return read_connector("shop", json.dumps(values | config))


def problems(**config: Any) -> list[str]:
    with pytest.raises(InputError) as caught:
        connector(**config)
    prefix = "configuration of connector 'shop': "
    assert all(problem.startswith(prefix) for problem in caught.value.problems)
    return [problem.removeprefix(prefix) for problem in caught.value.problems]


def schema(**fields: Any) -> dict[str, Any]:
    return {"report": EVENTS, "schema": fields}


REPORT = "custom_reports.0"
BAD: list[tuple[Any, str]] = [
    ({}, f"{REPORT}.report is missing"),
    ({"report": 3}, f"{REPORT}.report has to be a string, not 3"),
    ({"report": ""}, f"{REPORT}.report: '' is not a method of Matomo's reports such as Events.getName"),
    ({"report": "Events"}, f"{REPORT}.report: 'Events' is not a method of Matomo's reports such as Events.getName"),
    ({"report": "events.getName"}, f"{REPORT}.report: 'events.getName' is not a method"),
    ({"report": "Events.getName&x=1"}, f"{REPORT}.report: 'Events.getName&x=1' is not a method"),
    ({"report": "SitesManager.deleteSite"}, f"{REPORT}.report: SitesManager.deleteSite is no report: methods of rep"),
    ({"report": "API.getBulkRequest"}, f"{REPORT}.report: API.getBulkRequest is no report: it is a call of several"),
    ({"report": "Live.getLastVisitsDetails"}, 'is no report: visits are synced by "visits": true'),
    (
        {"report": EVENTS, "metrics": "x"},
        f"unknown key '{REPORT}.metrics': known are days, description, fields, flat, name, parameters",
    ),
    ({"report": EVENTS, "Flat": "1"}, f"unknown key '{REPORT}.Flat': did you mean 'flat'?"),
    ({"report": EVENTS, "flat": "yes"}, f'{REPORT}.flat: has to be true or false (or "1" or "0"), not \'yes\''),
    ({"report": EVENTS, "flat": 2}, f'{REPORT}.flat: has to be true or false (or "1" or "0"), not 2'),
    ({"report": EVENTS, "fields": 3}, f'{REPORT}.fields: has to be a list of fields, such as ["label", "nb_visits"]'),
    ({"report": EVENTS, "fields": ""}, f"{REPORT}.fields: names no field: list at least one, or leave it out for all"),
    ({"report": EVENTS, "fields": []}, f"{REPORT}.fields: names no field: list at least one, or leave it out for all"),
    ({"report": EVENTS, "fields": "label,,nb_events"}, f"{REPORT}.fields: '' is not the name of a field"),
    ({"report": EVENTS, "fields": ["nb events"]}, f"{REPORT}.fields: 'nb events' is not the name of a field"),
    ({"report": EVENTS, "fields": ["label", 3]}, f"{REPORT}.fields: has to be a list of fields"),
    (
        {"report": EVENTS, "parameters": "idGoal=1"},
        f'{REPORT}.parameters: has to be an object, such as {{"idGoal": "3"',
    ),
    ({"report": EVENTS, "parameters": {"idSite": 1}}, "'idSite' cannot be set here: sites are those of \"sites\""),
    ({"report": EVENTS, "parameters": {"date": "today"}}, "'date' cannot be set here: days are those of the request"),
    ({"report": EVENTS, "parameters": {"period": "week"}}, "'period' cannot be set here: set \"period\" beside"),
    ({"report": EVENTS, "parameters": {"flat": 1}}, '\'flat\' cannot be set here: set "flat": true beside "report"'),
    (
        {"report": EVENTS, "parameters": {"token_auth": "x"}},
        "'token_auth' cannot be set here: the token belongs in the",
    ),
    ({"report": EVENTS, "parameters": {"filter_limit": 5}}, "'filter_limit' cannot be set here: every row is read"),
    ({"report": EVENTS, "parameters": {"a&b": 1}}, f"{REPORT}.parameters: 'a&b' is not the name of a parameter"),
    ({"report": EVENTS, "parameters": {"idGoal": [1]}}, f"{REPORT}.parameters: idGoal has to be a text or a number"),
    ({"report": EVENTS, "period": "hour"}, f"{REPORT}.period: 'hour' is no kind of period"),
    ({"report": EVENTS, "period": 7}, f"{REPORT}.period has to be a string, not 7"),
    ({"report": EVENTS, "days": 28}, f'{REPORT}: "days" and "period": "range" belong together'),
    ({"report": EVENTS, "days": 0}, f"{REPORT}.days has to be 1 or more, not 0"),
    ({"report": EVENTS, "segments": "mobile"}, f"{REPORT}.segments: has to be a list of the names of segments"),
    ({"report": EVENTS, "name": "Signups"}, f"{REPORT}.name: 'Signups' is not a table's name: lower-case letters"),
    ({"report": EVENTS, "name": "_sync_log"}, f"{REPORT}.name: '_sync_log' is not a table's name"),
    ({"report": EVENTS, "name": "a" * 129}, "has 129 characters: 128 are the most"),
    ({"report": EVENTS, "name": "visits"}, "custom_reports: Events.getName: 'visits' is a table that is built in"),
    ({"report": EVENTS, "name": "visit_actions"}, "Events.getName: 'visit_actions' is a view: give the report another"),
    ({"report": EVENTS, "description": "x" * 16_385}, f"{REPORT}.description: String should have at most 16384 char"),
    ({"report": EVENTS, "schema": ["label"]}, f"{REPORT}.schema: has to be an object of fields, such as"),
    ({"report": EVENTS, "schema": {"label": "STRING"}}, f"{REPORT}.schema: has to be an object of fields, such as"),
    (schema(label={"type": "VARCHAR"}), f"{REPORT}.schema.label.type: there is no type 'VARCHAR' for fields"),
    (schema(label={"type": "STRIN"}), "there is no type 'STRIN' for fields: did you mean 'STRING'?"),
    (schema(label={"typ": "STRING"}), f"unknown key '{REPORT}.schema.label.typ': did you mean 'type'?"),
    (schema(label={"identifier": "yes"}), f'{REPORT}.schema.label.identifier has to be true or false, not "yes"'),
    (schema(label={"type": "FLOAT", "identifier": True}), "a field that identifies rows has to be STRING or INTEGER"),
    (schema(label={"mode": "REPEATED"}), f"{REPORT}.schema.label.mode has to be 'NULLABLE' or 'REQUIRED'"),
    (schema(label={"name": "select"}), f"{REPORT}.schema.label.name: 'select' is reserved: 'select_' would do"),
    (schema(label={"name": "date"}), f"{REPORT}.schema.label.name: 'date' is reserved: 'date_' would do"),
    (schema(label={"name": "a-b"}), f"{REPORT}.schema.label.name: 'a-b' is not a column's name"),
    (schema(label={"name": "x"}, url={"name": "X"}), "schema: fields 'label' and 'url' would both be column 'x'"),
    ({"report": EVENTS, "fields": "label", "schema": {"url": {}}}, "schema.url: 'url' is not in \"fields\": add it"),
]


@pytest.mark.parametrize(("report", "sentence"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_a_bad_report_is_refused_by_a_sentence(report: dict[str, Any], sentence: str) -> None:
    """Which key, what is wrong with it, and what would do."""
    found = problems(custom_reports=[report])
    assert any(sentence in problem for problem in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"custom_reports": {"report": EVENTS}}, "custom_reports: has to be a list of reports, such as"),
        ({"custom_reports": [EVENTS]}, 'custom_reports: "Events.getName" is not a report such as {"report": "Even'),
        ({"reports": "al"}, 'reports: \'al\' is none of "prebuilt", "extended"'),
        ({"reports": ["Events.names"]}, "reports: Events.names is no report: methods of reports begin with get"),
        ({"reports": ["visits"]}, 'reports: visits are no report: set "visits" to true'),
        ({"reports": ["visitor_countri"]}, "there is no table 'visitor_countri': did you mean 'visitor_country'?"),
        (
            {"reports": [EVENTS], "custom_reports": [{"report": EVENTS, "flat": True}]},
            "Events.getName and Events.getName would both be table 'events_name': give one of them another \"name\"",
        ),
        (
            {"custom_reports": [{"report": "Goals.get", "name": "x"}, {"report": EVENTS, "name": "x"}]},
            "Goals.get and Events.getName would both be table 'x'",
        ),
    ],
)
def test_a_bad_list_of_reports_is_refused_by_a_sentence(config: dict[str, Any], sentence: str) -> None:
    (found,) = problems(**config)
    assert sentence in found, found


def test_every_problem_of_every_report_is_told_at_once() -> None:
    found = problems(custom_reports=[{"report": "x"}, {"report": EVENTS, "flat": 7, "fields": ""}], reports="nothing")
    assert len(found) == 4


def test_the_examples_of_the_documentation_are_taken_as_they_are() -> None:
    """Of the issue and of QUANTI: texts for what is true or a list."""
    found = connector(
        reports=["visitor_country", "Events.getName"],
        segments={"mobile": "deviceType==smartphone"},
        custom_reports=[
            {"report": EVENTS, "name": "events", "flat": "1", "fields": "label,nb_events,sum_event_value"},
            {
                "name": "signups",
                "report": "Goals.get",
                "parameters": {"idGoal": "3"},
                "segments": ["mobile"],
                "schema": {
                    "label": {"type": "STRING", "identifier": True, "name": "goal"},
                    "revenue": {"type": "NUMERIC"},
                },
                "description": "Sign-ups of the newsletter.",
            },
            {"report": "Goals.get", "parameters": {"idGoal": 1, "cleanup": False}},
        ],
    )
    assert found.tables == ("visitor_country", "events_name", "events", "signups", "goals_id_goal_1_cleanup_0")
    signups = found.catalogue["signups"]
    assert signups.sources[0].params == (("idGoal", "3"),)
    assert [(column.name, column.type) for column in signups.dimensions] == [("goal", ColumnType.STRING)]
    assert [(column.name, column.type) for column in signups.metrics] == [("revenue", ColumnType.NUMERIC)]
    assert (signups.segments, signups.description) == (("mobile",), "Sign-ups of the newsletter.")
    assert found.catalogue["events"].sources[0].params == (
        ("flat", "1"),
        ("showColumns", "label,nb_events,sum_event_value"),
    )


def test_a_table_is_named_after_its_method_unless_a_table_that_is_built_in_has_the_name() -> None:
    found = connector(
        custom_reports=[{"report": "VisitsSummary.get"}, {"report": "Referrers.get"}], reports=["countries"]
    )
    assert found.tables == ("countries", "custom_visits_summary", "custom_referrers")


def test_every_field_that_is_described_and_not_requested_is_told() -> None:
    """Whatever stands before it; a report of weeks has no months of its own."""
    report = {"report": "Events.getName", "fields": ["nb_events"]}
    described = {name: {"type": "INTEGER"} for name in ("nb_events", "nb_visits", "sum_value")}
    found = problems(custom_reports=[report | {"schema": described}])
    assert [name in sentence for name, sentence in zip(("'nb_visits'", "'sum_value'"), found, strict=True)] == [
        True
    ] * 2
    weekly = connector(
        reports=["visits_summary"],
        custom_reports=[{"report": "Events.getName", "name": "weekly", "period": "week"}],
        periods=["month"],
    )
    assert weekly.tables == ("visits_summary", "visits_summary_month", "weekly")


def test_a_report_can_be_named_events_where_visits_are_not_synced() -> None:
    """With visits it is the view in the shape of Google Analytics 4's export."""
    reports = [{"report": EVENTS, "name": "events"}]
    assert "events" in connector(custom_reports=reports).tables
    with pytest.raises(InputError, match="'events' is a view of the visits: give the report another name"):
        connector(custom_reports=reports, visits=True)
