"""The key ``periods``: which tables of weeks, months and years a connector has, and what is said of a bad one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.errors import InputError

EXAMPLES = '["week", "month"], or by table {"visits_summary": ["week", "month"]}'


def connector(**keys: Any) -> Connector:
    values = {"matomo_url": "https://matomo.example.com", "sites": "all", "reports": ["visits_summary", "countries"]}
    return read_connector("shop", json.dumps(values | keys))


@pytest.mark.parametrize(
    ("periods", "tables"),
    [
        (["week"], ["visits_summary", "visits_summary_week", "countries", "countries_week"]),
        (
            {"visits_summary": ["year", "month"]},
            ["visits_summary", "visits_summary_month", "visits_summary_year", "countries"],
        ),
        ({}, ["visits_summary", "countries"]),
    ],
)
def test_each_report_has_a_table_for_each_of_its_periods(periods: Any, tables: list[str]) -> None:
    """Behind the table of days, in the order of their length; a list is for all reports."""
    assert list(connector(periods=periods).tables) == tables


def test_visits_have_no_periods() -> None:
    """They are single visits, whatever the list for all reports says."""
    assert list(connector(periods=["week"], visits=True).tables)[-1] == "visits"


@pytest.mark.parametrize(
    ("periods", "sentences"),
    [
        (
            "week",
            ["periods: has to be a list of periods, such as " + EXAMPLES],
        ),
        (
            7,
            ["periods: has to be a list of periods, such as " + EXAMPLES],
        ),
        ([], ['periods: names no period: list "week", "month" or "year", or leave it out']),
        (["weeks"], ["periods: 'weeks' is no period: did you mean 'week'?"]),
        (
            ["quarter", "hour"],
            [
                "periods: 'quarter' is no period: known are month, week, year",
                "periods: 'hour' is no period: known are month, week, year",
            ],
        ),
        (["day", "week"], ["periods: days are always synced: name week, month or year"]),
        (["range"], ['periods: a range is no period of every report: a custom report has one by "period" and "days"']),
        (
            [1],
            ["periods: [1] is no list of periods, such as " + EXAMPLES],
        ),
        (
            {"visits_summary": "week"},
            ["periods: of table 'visits_summary': \"week\" is no list of periods, such as " + EXAMPLES],
        ),
        (
            {"visits_summary": []},
            ['periods: of table \'visits_summary\': names no period: list "week", "month" or "year", or leave it out'],
        ),
        (
            {"visits_summary": ["daily"]},
            ["periods: of table 'visits_summary': 'daily' is no period: known are month, week, year"],
        ),
        (
            {"visit_summary": ["week"]},
            ["periods: of table 'visit_summary': \"reports\" does not have it: did you mean 'visits_summary'?"],
        ),
        (
            {"behaviour_page": ["week"]},
            ["periods: of table 'behaviour_page': \"reports\" does not have it: known are countries, visits_summary"],
        ),
        (
            {"visits": ["week"]},
            ["periods: of table 'visits': single visits have no periods: group them by their date in a query"],
        ),
        (
            {"visits_summary_week": ["week"]},
            ["periods: of table 'visits_summary_week': \"reports\" does not have it: did you mean 'visits_summary'?"],
        ),
    ],
)
def test_bad_periods_are_told_one_by_one(periods: Any, sentences: list[str]) -> None:
    """What is wrong, where, and what to write."""
    with pytest.raises(InputError) as raised:
        connector(periods=periods)
    assert list(raised.value.sentences) == [f"configuration of connector 'shop': {each}" for each in sentences]


def test_custom_reports_have_periods_too_and_no_name_is_taken_twice() -> None:
    """A table of weeks of a custom report; one that has this name already is another report's."""
    custom = [{"report": "Events.getName"}, {"name": "signups", "report": "Goals.get", "period": "week"}]
    found = connector(reports=["visits_summary"], custom_reports=custom, periods=["month"])
    assert list(found.tables) == [
        "visits_summary",
        "visits_summary_month",
        "events_name",
        "events_name_month",
        "signups",
    ]
    custom = [{"name": "visits_summary_week", "report": "Events.getName"}]
    with pytest.raises(InputError) as raised:
        connector(reports=["visits_summary"], custom_reports=custom, periods={"visits_summary": ["week"]})
    assert list(raised.value.sentences) == [
        "configuration of connector 'shop': periods: 'visits_summary_week' is the name of a custom report: give that "
        "report another one"
    ]
