"""Lists of settings as rows: the recordings, cell for cell, and what is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from matomo_fn.catalogue import REFERENCE_TABLES
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.reference_rows import parse_reference
from tests.support.recordings import read

GOALS, SITES = REFERENCE_TABLES["goals"], REFERENCE_TABLES["sites"]
# Who did what, and what would help an attacker.
PRIVATE = {"login", "creator_login", "excluded_ips", "excluded_user_agents", "email", "token_auth", "hash"}


def rows(table: str, recording: str, **constants: str) -> list[dict[str, Any]]:
    """The rows of a recorded list."""
    parsed = parse_reference(REFERENCE_TABLES[table], json.loads(read(f"{recording}.json").body), constants)
    return [dict(row.values) for row in parsed]


def moment(text: str) -> str:
    """A time as it is staged."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat()


def test_goals_are_read_from_a_list_and_from_an_object() -> None:
    """Matomo 5.2 answered the one, another 5.2 and 5.3 the other; what a manual goal has no pattern for is NULL."""
    newsletter = {
        "website_id": "1",
        "goal_id": 1,
        "name": "Newsletter sign-up",
        "description": "signed up",
        "match_attribute": "url",
        "pattern": "/newsletter/thanks",
        "pattern_type": "contains",
        "is_case_sensitive": False,
        "allows_multiple": False,
        "revenue": 2.5,
        "uses_event_value": False,
    }
    contact = newsletter | {
        "goal_id": 2,
        "name": "Contact, “form”",
        "description": "",
        "match_attribute": "manually",
        "pattern": None,
        "pattern_type": None,
        "is_case_sensitive": None,
        "allows_multiple": True,
        "revenue": 0.0,
    }
    assert rows("goals", "meta_Goals.getGoals", website_id="1") == [newsletter, contact]
    found = rows("goals", "m53_goals_getGoals", website_id="1")
    assert [(row["goal_id"], row["name"], row["uses_event_value"]) for row in found] == [
        (1, "Newsletter é", False),
        (2, "Contact", False),
        (3, "Scrolled", True),
    ]
    assert rows("goals", "meta_Goals.getGoals_none", website_id="3") == []


def test_sites_are_those_of_the_recording() -> None:
    """Each column is a field of Matomo's, flags as true or false, the creation in UTC."""
    shop, docs = rows("sites", "sites_getSitesWithAtLeastViewAccess")
    assert shop == {
        "website_id": "1",
        "name": "Boutique Été & Co",
        "main_url": "https://shop.example.org",
        "site_group": "",
        "type": "website",
        "time_zone": "Europe/Paris",
        "currency": "EUR",
        "currency_name": "Euro",
        "created_at": moment("2026-10-06 00:00:00"),
        "has_ecommerce": True,
        "has_site_search": True,
        "search_parameters": "q,s",
        "search_category_parameters": "cat",
    }
    assert (docs["website_id"], docs["name"], docs["has_ecommerce"]) == ("2", 'Docs "UTC"', False)


def test_custom_dimensions_and_segments_are_those_of_the_recordings() -> None:
    """Also a dimension that is switched off; a segment of all sites has no site."""
    found = rows("custom_dimensions", "meta_CustomDimensions.getConfigured_view", website_id="1")
    assert [
        (row["dimension_id"], row["name"], row["scope"], row["scope_index"], row["is_active"]) for row in found
    ] == [
        (1, "Plan", "visit", 1, True),
        (2, "Author", "action", 1, True),
        (3, "Abo-Art", "visit", 2, False),
    ]
    body = json.loads(read("m53_seg_getAll.json").body)
    segments = rows("segments", "m53_seg_getAll", matomo_url="https://matomo.example/")
    for row, item in zip(segments, body, strict=True):
        assert row == {
            "matomo_url": "https://matomo.example/",
            "segment_id": item["idsegment"],
            "name": item["name"],
            "definition": item["definition"],
            "website_id": str(item["enable_only_idsite"]) if item["enable_only_idsite"] else None,
            "is_archived": bool(item["auto_archive"]),
            "is_shared": bool(item["enable_all_users"]),
            "created_at": moment(item["ts_created"]),
            "edited_at": item["ts_last_edit"] and moment(item["ts_last_edit"]),
        }


@pytest.mark.parametrize("table", REFERENCE_TABLES.values(), ids=REFERENCE_TABLES)
def test_nothing_private_is_a_column(table: Any) -> None:
    """Logins, e-mail addresses and excluded IP addresses stay in Matomo; each column says where it is from."""
    assert not {column.source for column in table.columns} & PRIVATE
    for column in table.columns:
        assert column.description.endswith(f"Matomo's {column.source}.") or column.name == "matomo_url"
    assert set(table.key) == {column.name for column in table.columns if column.required}


def test_what_matomo_marks_as_deleted_is_not_listed() -> None:
    """A segment that is deleted stays in Matomo's table with a mark."""
    goal = {"idgoal": 1, "name": "a", "deleted": 1}
    assert parse_reference(GOALS, [goal], {"website_id": "1"}) == []
    assert len(parse_reference(GOALS, [goal | {"deleted": "0"}], {"website_id": "1"})) == 1


def test_the_hash_changes_with_the_content_and_not_with_its_form() -> None:
    """A number that PHP writes as a text is the same number."""
    (one,) = parse_reference(GOALS, [{"idgoal": 1, "name": "a", "revenue": 5}], {"website_id": "1"})
    (same,) = parse_reference(GOALS, {"1": {"revenue": "5", "name": "a", "idgoal": "1"}}, {"website_id": "1"})
    (other,) = parse_reference(GOALS, [{"idgoal": 1, "name": "b", "revenue": 5}], {"website_id": "1"})
    assert one == same
    assert one.content_hash != other.content_hash


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("text", "answers no list of objects"),
        (["text"], "answers no list of objects"),
        ([{"name": "no number"}], "row 1: idgoal is missing"),
        ([{"idgoal": 1}, {"idgoal": "x"}], 'row 2: idgoal is "x", not a whole number'),
        ([{"idgoal": 1, "allow_multiple": "maybe"}], 'allow_multiple is "maybe", not true or false'),
        ([{"idgoal": 1}, {"idgoal": "1"}], 'answers two rows for "1", "1"'),
    ],
)
def test_what_cannot_be_read_is_refused(answer: object, message: str) -> None:
    """With method, row and field."""
    with pytest.raises(InvalidResponse, match=message):
        parse_reference(GOALS, answer, {"website_id": "1"})


def test_a_site_without_a_creation_date_has_none() -> None:
    """Old databases write 0000-00-00."""
    (row,) = parse_reference(SITES, [{"idsite": 1, "ts_created": "0000-00-00 00:00:00"}])
    assert row.values["created_at"] is None


@pytest.mark.parametrize("bad", range(4))
def test_an_error_names_the_row_by_its_place_in_the_answer(bad: int) -> None:
    """Those that are deleted are counted with the others, and not read."""
    answer = [{"idgoal": number, "name": "a", "deleted": "0" if number % 2 else "1"} for number in range(4)]
    answer[bad]["idgoal"] = "x"
    if bad % 2:
        with pytest.raises(InvalidResponse, match=f"row {bad + 1}: idgoal"):
            parse_reference(GOALS, answer, {"website_id": "1"})
    else:
        assert [row.key for row in parse_reference(GOALS, answer, {"website_id": "1"})] == [("1", "1"), ("1", "3")]
