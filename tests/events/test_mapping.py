"""Calls become hits: Segment's own examples, what all hits of a call share, and calls for somebody else.

https://segment.com/docs/connections/destinations/catalog/matomo/ and the tests of its source,
segmentio/analytics.js-integrations, integrations/piwik.
"""

from __future__ import annotations

from typing import Any

import pytest

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from matomo_fn.events.model import Hit, HitKind, Mapped
from matomo_fn.events.pageview_id import pageview_id
from tests.events.mapping_examples import CALL, PAGE, USER_ID, VARIABLES, Json, track


def mapped(call: Json, **config: Any) -> Mapped:
    return map_call(read_call({**CALL, **call}), EventsConfig.model_validate({"site": "1", **config}))


def only_hit(call: Json, **config: Any) -> Hit:
    (hit,) = mapped(call, **config).hits
    return hit


def of_event(hit: Hit) -> dict[str, str]:
    return {name: value for name, value in hit.parameters.items() if name.startswith("e_")}


def test_page() -> None:
    """analytics.page() triggers trackPageView."""
    hit = only_hit({"type": "page", "context": {"page": PAGE}})
    assert (hit.kind, hit.parameters["url"]) == (HitKind.PAGE_VIEW, PAGE["url"])


@pytest.mark.parametrize(
    ("call", "title"),
    [
        ({"properties": {"title": "own"}, "context": {"page": PAGE}, "name": "n"}, "own"),
        ({"context": {"page": PAGE}, "name": "n"}, PAGE["title"]),
        ({"name": "n", "category": "c", "properties": {"path": "/p"}}, "c n"),
        ({"properties": {"name": "n"}}, "n"),
        ({"category": "c"}, "c"),
        ({"properties": {"path": "/p"}, "context": {"page": {"path": "/q"}}}, "/p"),
        ({"context": {"page": {"path": "/q"}}}, "/q"),
        ({"context": {"page": {"url": "https://e.com/"}}}, None),
    ],
)
def test_a_page_is_called_by_the_first_name_that_it_has(call: Json, title: str | None) -> None:
    """One with a URL needs none."""
    assert only_hit({"type": "page", **call}).parameters.get("action_name") == title


def test_identify() -> None:
    """analytics.identify('97980cfea0067') sends the userId to Matomo."""
    hit = only_hit({"type": "identify", "userId": USER_ID})
    assert (hit.kind, hit.parameters["uid"], hit.parameters["ping"]) == (HitKind.PING, USER_ID, "1")


def test_identify_of_an_anonymous_visitor_sets_dimensions() -> None:
    """There is something to set without a user id too."""
    hit = only_hit({"type": "identify", "traits": {"plan": "pro"}}, dimensions={"traits.plan": 1})
    assert (hit.kind, hit.parameters["dimension1"]) == (HitKind.PING, "pro")
    assert "uid" not in hit.parameters


def test_a_user_id_that_is_a_number_is_its_digits() -> None:
    """analytics.identify(5000) sends '5000'."""
    assert only_hit({"type": "identify", "userId": 5000}).parameters["uid"] == "5000"


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, {"e_c": "All", "e_a": "Logged In"}),
        (
            {"category": "Account", "label": "Premium", "value": 30},
            {"e_c": "Account", "e_a": "Logged In", "e_n": "Premium", "e_v": "30"},
        ),
        ({"revenue": 5}, {"e_c": "All", "e_a": "Logged In", "e_v": "5"}),
        ({"value": 2, "revenue": 5}, {"e_c": "All", "e_a": "Logged In", "e_v": "2"}),
        ({"value": 0, "revenue": 5}, {"e_c": "All", "e_a": "Logged In", "e_v": "0"}),
        ({"value": "$3.50"}, {"e_c": "All", "e_a": "Logged In", "e_v": "3.5"}),
        ({"name": "Form"}, {"e_c": "All", "e_a": "Logged In", "e_n": "Form"}),
        ({"label": "Top", "name": "Form"}, {"e_c": "All", "e_a": "Logged In", "e_n": "Top"}),
        ({"category": "  ", "label": None, "value": True}, {"e_c": "All", "e_a": "Logged In"}),
    ],
)
def test_track(properties: Json, expected: Json) -> None:
    """The category is that of the properties, or All; the value is value, else revenue."""
    hit = only_hit(track("Logged In", properties))
    assert hit.kind == HitKind.EVENT
    assert of_event(hit) == expected


@pytest.mark.parametrize(
    ("event", "properties", "revenue"),
    [
        ("goal", {}, None),
        ("Goal", {"revenue": 10}, "10"),
        ("goal", {"total": 20}, None),
        ("goal", {"revenue": "ten"}, None),
    ],
)
def test_a_goal_is_a_conversion_beside_the_event(event: str, properties: Json, revenue: str | None) -> None:
    """The event comes first, so that the conversion finds the visit; both are found by the same pv_id."""
    first, second = mapped(track(event, properties), goals={"goal": 2}).hits
    assert (first.kind, second.kind) == (HitKind.EVENT, HitKind.GOAL)
    assert (second.parameters["idgoal"], second.parameters.get("revenue")) == ("2", revenue)
    assert "idgoal" not in first.parameters
    assert "e_a" not in second.parameters
    assert first.parameters["pv_id"] == second.parameters["pv_id"]


def test_a_completed_order_can_be_a_goal_too() -> None:
    """Its revenue is the total, as in Segment's test, "should send .total()"."""
    order, goal = mapped(track("Completed Order", {"total": 20}), goals={"completed order": 10}).hits
    assert (order.kind, goal.kind) == (HitKind.ORDER, HitKind.GOAL)
    assert (goal.parameters["idgoal"], goal.parameters["revenue"]) == ("10", "20")


def test_a_goal_is_found_by_its_exact_name_first() -> None:
    """Two goals may differ in case only."""
    for event, number in (("goal", "1"), ("Goal", "2")):
        _, goal = mapped(track(event), goals={"goal": 1, "Goal": 2}).hits
        assert goal.parameters["idgoal"] == number


def test_only_actions_have_custom_variables() -> None:
    """They are of the scope "page": a ping, an order and a conversion have none."""
    variables = {"integrations": {"Piwik": {"customVars": VARIABLES}}}
    event, goal = mapped({**track("Buy"), **variables}, goals={"Buy": 1}).hits
    assert "cvar" in event.parameters
    assert "cvar" not in goal.parameters
    assert "cvar" not in only_hit({**track("Order Completed"), **variables}).parameters
    assert "cvar" not in only_hit({"type": "identify", "userId": "u", **variables}).parameters


@pytest.mark.parametrize(
    "given",
    [
        {"UserId": "6116"},
        {"UserId": {"Not": "aNumber"}},
        {"UserId": ""},
        {"1": ["name"]},
        {"1": ["name", "value", "more"]},
        {"1": ["", "value"]},
        {"1": ["name", None]},
        {"0": ["name", "value"]},
        "UserId",
    ],
)
def test_custom_variables_in_a_wrong_format_are_left_out(given: Any) -> None:
    """Segment's tests, "shouldn't send custom variables that get passed in the wrong format", and a few more."""
    hit = only_hit(track("event", integrations={"Piwik": {"customVars": given}}))
    assert "cvar" not in hit.parameters


def test_custom_variables_of_integrations_come_before_those_of_the_context() -> None:
    """What names the destination is meant for it; the present name comes before the old one."""
    places = {
        "integrations": {"Matomo": {"customVars": {"1": ["a", "1"]}}, "Piwik": {"customVars": {"1": ["a", "2"]}}},
        "context": {"Matomo": {"customVars": {"1": ["a", "3"]}}},
    }
    assert only_hit({**track("event"), **places}).parameters["cvar"] == '{"1":["a","1"]}'
    del places["integrations"]["Matomo"]
    assert only_hit({**track("event"), **places}).parameters["cvar"] == '{"1":["a","2"]}'


@pytest.mark.parametrize(("limit", "slots"), [(0, 0), (5, 5), (10, 7)])
def test_there_are_custom_variables_up_to_the_limit(limit: int, slots: int) -> None:
    """Of seven, those with a slot within it."""
    given = {str(slot): [f"name{slot}", slot] for slot in range(1, 8)}
    hit = only_hit(track("event", integrations={"Piwik": {"customVars": given}}), custom_variable_limit=limit)
    assert hit.parameters.get("cvar", "").count("name") == slots


def test_dimensions_and_custom_variables_have_as_many_characters_as_matomo_keeps() -> None:
    """What it would cut anyway is not sent: 250 of a dimension, 200 of a name and of a value."""
    hit = only_hit(
        track("event", {"a": "ä" * 300}, integrations={"Matomo": {"customVars": {"1": ["n" * 300, "ä" * 300]}}}),
        dimensions={"properties.a": 4},
    )
    assert hit.parameters["dimension4"] == "ä" * 250
    assert hit.parameters["cvar"] == f'{{"1":["{"n" * 200}","{"ä" * 200}"]}}'


@pytest.mark.parametrize(
    ("integrations", "wanted"),
    [
        ({}, True),
        ({"All": True}, True),
        ({"All": False}, False),
        ({"all": False}, False),
        ({"All": False, "Matomo": True}, True),
        ({"All": False, "Piwik": {"customVars": {}}}, True),
        ({"All": False, "Mixpanel": True}, False),
        ({"Matomo": False}, False),
        ({"Piwik": False}, False),
        ({"All": True, "Piwik": False}, False),
        ({"Matomo": None}, True),
        ({"All": False, "Matomo": None}, False),
        ({"Mixpanel": False}, True),
    ],
)
def test_integrations_say_whether_a_call_is_for_matomo(integrations: Json, wanted: bool) -> None:  # noqa: FBT001
    """https://segment.com/docs/guides/filtering-data/#filtering-with-the-integrations-object."""
    found = mapped(track("Logged In", integrations=integrations))
    assert bool(found.hits) == wanted
    assert found.skipped == ("" if wanted else "integrations turns Matomo off")


def test_all_hits_of_a_call_have_its_visitor_time_and_id() -> None:
    """What settles an uncertain delivery is on each of them."""
    hits = mapped({**track("Buy"), "userId": "u", "context": {"page": PAGE}}, goals={"Buy": 1}).hits
    shared = ("idsite", "rec", "_id", "cid", "uid", "cdt", "pv_id", "url")
    first, second = ({name: hit.parameters[name] for name in shared} for hit in hits)
    assert first == second
    assert {hit.occurred_at.isoformat() for hit in hits} == {"2026-11-21T04:08:31+00:00"}


def test_the_time_of_a_hit_is_its_cdt() -> None:
    """Whole seconds: the visits log has no others."""
    hit = only_hit({**track("Buy"), "timestamp": "2026-01-01T00:00:00.999Z"})
    assert hit.parameters["cdt"] == "2026-01-01 00:00:00"
    assert hit.occurred_at.isoformat() == "2026-01-01T00:00:00+00:00"


def test_the_id_of_a_page_view_is_stable_and_spread() -> None:
    """Six characters that Matomo's tracker uses too; of 10,000 messages of a visit, hardly two are the same."""
    assert pageview_id("022bb90c-bbac-11e4-8dfc-aa07a5b093db") == "R9g0ja"
    found = [pageview_id(f"message-{number}") for number in range(10_000)]
    assert all(len(one) == 6 and one.isascii() and one.isalnum() for one in found)
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("character", "kept"), [("a", 1024), ("&", 204), ('"', 170), ("<", 256), (">", 256), ("😀", 256)]
)
def test_a_long_text_is_cut_as_matomo_stores_it(character: str, kept: int) -> None:
    """It stores 1,024 bytes of HTML: & as &amp;, quotes as &quot;, brackets as &lt; and &gt;."""
    assert only_hit(track(character * 2_000)).parameters["e_a"] == character * kept


@pytest.mark.parametrize(
    ("call", "url"),
    [
        ({"name": "Home"}, "https://app/Home"),
        ({"name": "Home/Top?", "context": {"app": {"name": "My Shop"}}}, "https://My-Shop/Home%2FTop%3F"),
        ({"name": "Home", "context": {"app": {"namespace": "../.."}}}, "https://app/Home"),
        ({"name": "Home", "properties": {"url": "https://m.example.com/home"}}, "https://m.example.com/home"),
        ({"category": "Start"}, "https://app/Start"),
        ({"name": "Home", "context": {"campaign": {"name": "tps"}}}, "https://app/Home?utm_campaign=tps"),
    ],
)
def test_a_screen_has_a_url_of_its_names(call: Json, url: str) -> None:
    """Or its own, where it has one."""
    assert only_hit({"type": "screen", **call}).parameters["url"] == url
