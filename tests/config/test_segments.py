"""The key ``segments``: names and definitions, and what is said of bad ones."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.errors import InputError

NAME = "a name has lower-case letters, digits and underscores, a letter first, 64 at most"
NONE = 'has no definition: write one such as "deviceType==smartphone"; all visits need no segment'
CONDITION = (
    "is no condition such as deviceType==smartphone: a name, one of == != <= >= < > =@ !@ =^ =$, and a value, without "
    "spaces between; ; joins two by and, a comma by or"
)


def connector(segments: Any, **keys: Any) -> Connector:
    values = {"matomo_url": "https://matomo.example.com", "sites": "all", "reports": ["visits_summary", "countries"]}
    return read_connector("shop", json.dumps(values | keys | {"segments": segments}))


@pytest.mark.parametrize(
    ("written", "definition"),
    [
        ("deviceType==smartphone", "deviceType==smartphone"),
        ("  countryCode==fr;actions>=5,events>0 ", "countryCode==fr;actions>=5,events>0"),
        ("pageUrl=@https%3A%2F%2Fshop.example.org%2Fa%3Bb", "pageUrl=@https%3A%2F%2Fshop.example.org%2Fa%3Bb"),
        ("pageTitle==one\\,two", "pageTitle==one\\,two"),
        ("referrerName=^", "referrerName=^"),
        ("deviceType%3D%3Dsmartphone", "deviceType==smartphone"),
        ("pageUrl%253D%253Dhttps%25253A%25252F%25252Fa.example", "pageUrl==https%3A%2F%2Fa.example"),
        ("dimension1!=café", "dimension1!=café"),
    ],
)
def test_a_definition_is_taken_as_it_is_or_as_a_url_of_matomos_has_it(written: str, definition: str) -> None:
    """Values keep their encoding: Matomo reads them alike, encoded or not."""
    assert connector({"a": written}).segments["a"].definition == definition


def test_a_saved_segment_is_named_behind_a_prefix() -> None:
    """Its name is Matomo's, with whatever characters."""
    found = connector({"back": 'saved: Combined & "spécial" '}).segments["back"]
    assert (found.saved, found.definition) == ('Combined & "spécial"', "")


def test_a_segment_may_be_of_some_reports_and_these_stand_for_their_periods() -> None:
    """A table of longer periods may be named alone."""
    segments = {
        "a": {"definition": "actions>1", "reports": ["countries"]},
        "b": {"definition": "saved:B", "reports": ["visits_summary_week"]},
        "c": "actions>2",
    }
    found = connector(segments, periods=["week"], visits=True)
    assert {table.name: found.segments_of(table) for table in found.catalogue.values()} == {
        "visits_summary": ("", "c"),
        "visits_summary_week": ("", "b", "c"),
        "countries": ("", "a", "c"),
        "countries_week": ("", "a", "c"),
        "visits": ("",),
    }


@pytest.mark.parametrize(
    ("segments", "sentences"),
    [
        ([], ['has to be an object of names and definitions, such as {"mobile": "deviceType==smartphone"}']),
        ("mobile", ['has to be an object of names and definitions, such as {"mobile": "deviceType==smartphone"}']),
        (
            {"": "actions>1"},
            ["segment '': the empty name stands for all visits, which every table has: give it another one"],
        ),
        ({"Mobile": "actions>1"}, [f"segment 'Mobile': {NAME}"]),
        ({"1st": "actions>1", "new-ones": "actions>1"}, [f"segment '1st': {NAME}", f"segment 'new-ones': {NAME}"]),
        ({"a" * 65: "actions>1"}, [f"segment {'a' * 65!r}: {NAME}"]),
        ({"x'; drop table y": "actions>1"}, [f'segment "x\'; drop table y": {NAME}']),
        (
            {"a": 7},
            ['segment \'a\': has to be a definition such as "deviceType==smartphone", or an object with "definition"'],
        ),
        ({"a": ""}, [f"segment 'a': {NONE}"]),
        ({"a": "   "}, [f"segment 'a': {NONE}"]),
        ({"a": "deviceType"}, [f"segment 'a': 'deviceType' {CONDITION}"]),
        ({"a": "deviceType=smartphone"}, [f"segment 'a': 'deviceType=smartphone' {CONDITION}"]),
        ({"a": "deviceType == smartphone"}, [f"segment 'a': 'deviceType == smartphone' {CONDITION}"]),
        ({"a": "actions>1;;events>0"}, [f"segment 'a': '' {CONDITION}"]),
        ({"a": "actions>1 and events>0;x"}, [f"segment 'a': 'x' {CONDITION}"]),
        ({"a": "segment=actions>1"}, ["segment 'a': write the definition without \"segment=\""]),
        (
            {"a": "actions>1\nevents>0"},
            ["segment 'a': its definition has a line break or another character that cannot be printed"],
        ),
        (
            {"a": "actions>" + "1" * 4_000},
            ["segment 'a': its definition has 4008 characters: Matomo is sent 4000 at most"],
        ),
        ({"a": "saved:"}, ["segment 'a': names no saved segment: write \"saved:\" and its name in Matomo"]),
        ({"a": {}}, ['segment \'a\': "definition" is missing, or is no text such as "deviceType==smartphone"']),
        (
            {"a": {"definition": "actions>1", "report": ["countries"]}},
            ["segment 'a': unknown key 'report': did you mean 'reports'?"],
        ),
        (
            {"a": {"definition": "actions>1", "reports": "countries"}},
            ["segment 'a': \"reports\" has to be a list of tables; leave it out for all"],
        ),
        (
            {"a": {"definition": "actions>1", "reports": []}},
            ["segment 'a': \"reports\" has to be a list of tables; leave it out for all"],
        ),
        (
            {"a": {"definition": "actions>1", "reports": ["country"]}},
            ["segment 'a': \"reports\" of the configuration does not have 'country': did you mean 'countries'?"],
        ),
        (
            {"a": {"definition": "actions>1", "reports": ["visits"]}},
            ["segment 'a': visits have no segments: filter them in a query"],
        ),
    ],
)
def test_bad_segments_are_told_one_by_one(segments: Any, sentences: list[str]) -> None:
    """What is wrong, of which segment, and what to write."""
    with pytest.raises(InputError) as raised:
        connector(segments)
    assert list(raised.value.sentences) == [
        f"configuration of connector 'shop': segments: {each}" for each in sentences
    ]


def test_two_equal_names_are_refused() -> None:
    """Nobody can tell which one was meant."""
    text = '{"matomo_url": "https://m.example", "sites": "all", "segments": {"a": "actions>1", "a": "actions>2"}}'
    with pytest.raises(InputError, match='the key "a" stands there more than once'):
        read_connector("shop", text)


def test_a_custom_report_has_the_segments_that_it_names() -> None:
    """Which the connector has to have; none where its list is empty."""
    custom = [
        {"name": "one", "report": "Events.getName", "segments": ["a"]},
        {"name": "none", "report": "Events.getName", "segments": []},
        {"name": "every", "report": "Events.getName"},
    ]
    found = connector({"a": "actions>1", "b": "actions>2"}, reports=["countries"], custom_reports=custom)
    assert {table.name: found.segments_of(table) for table in found.catalogue.values()} == {
        "countries": ("", "a", "b"),
        "one": ("", "a"),
        "none": ("",),
        "every": ("", "a", "b"),
    }
    with pytest.raises(InputError) as raised:
        connector({"b": "actions>2"}, custom_reports=custom[:1])
    assert list(raised.value.sentences) == [
        "configuration of connector 'shop': custom_reports: table 'one': \"segments\" of the configuration does not "
        "have 'a': known are b"
    ]


def test_every_table_that_a_segment_names_wrongly_is_told() -> None:
    """Of each segment, by its own name; those of longer periods are there where the configuration has them."""
    segments = {
        "one": {"definition": "a==b", "reports": ["visits_sumary", "visits_summary", "visitor_contry"]},
        "two": {"definition": "a==b", "reports": ["visits", "visits_summary_month"]},
    }
    with pytest.raises(InputError) as raised:
        connector(segments, reports=["visits_summary", "visitor_country"], periods=["week"])
    told = re.findall(r"segment '(\w+)': (?:visits have|.*? does not have '(\w+)')", "\n".join(raised.value.problems))
    assert told == [("one", "visits_sumary"), ("one", "visitor_contry"), ("two", ""), ("two", "visits_summary_month")]
