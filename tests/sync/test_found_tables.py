"""Which tables the reports of sites make that differ in what Matomo lists for them."""

from __future__ import annotations

import json
from datetime import UTC, date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.sites import Site
from matomo_fn.sync.custom_tables import FoundTables, find_tables
from tests.support.recordings import Scripted, client_of

SITES = {Site(number, "", UTC, date(2020, 1, 1)): date(2026, 1, 1) for number in ("1", "2", "3")}


def report(action: str, title: str = "", **params: str) -> dict[str, Any]:
    found = {"module": "Thing", "action": action, "name": title or action, "category": "C", "dimension": "D"}
    return {**found, "metrics": {"nb_visits": "Visits"}, **({"parameters": params} if params else {})}


def connector(**config: Any) -> Connector:
    return read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": "all", **config}))


def found(listed: dict[str, Any], wanted: list[str] | None = None, **config: Any) -> tuple[FoundTables, list[str]]:
    """The tables, and the sites whose metadata was requested."""
    transport = Scripted(lambda _method, form: listed[form["idSite"]])
    tables = find_tables(client_of(transport), connector(**config), SITES, wanted)
    return tables, [form["idSite"] for _, form in transport.asked]


ACTIONS = ("getOne", "getTwo", "getThree")


@settings(max_examples=40)
@given(st.tuples(*[st.frozensets(st.sampled_from(ACTIONS))] * 3))
def test_a_report_of_all_is_requested_of_exactly_the_sites_that_have_it(have: tuple[frozenset[str], ...]) -> None:
    """Of two out of three as well; a report that each of them has belongs to any site."""
    listed = {site: [report(action) for action in sorted(each)] for site, each in zip("123", have, strict=True)}
    tables, asked = found(listed, reports="all")
    assert asked == ["1", "2", "3"]
    for action in ACTIONS:
        sites = [site for site, each in zip("123", have, strict=True) if action in each]
        table = tables.tables.get(f"thing_{action.removeprefix('get').lower()}")
        assert (table is not None) == bool(sites)
        if table is not None:
            assert [site for site in "123" if table.has_site(site)] == sites


@pytest.mark.parametrize("at", ["1", "2", "3"])
def test_a_named_report_is_found_at_whichever_site_has_it(at: str) -> None:
    """No further site is asked; its parameters are those that the configuration sets."""
    listed = {site: [report("getOther")] for site in "123"}
    listed[at].append(report("getOne", "Mine"))
    tables, asked = found(listed, reports=["Thing.getOne"])
    assert (asked, tables.problems) == ([site for site in "123" if site <= at], ())
    assert "Mine" in tables.tables["thing_one"].description


@pytest.mark.parametrize("at", ["1", "2", "3"])
def test_a_report_that_needs_parameters_at_any_site_says_which(at: str) -> None:
    """Also where the last site that was looked at does not have it at all."""
    listed = {site: [report("getOther")] for site in "123"}
    listed[at].append(report("getOne", "First", idThing="7"))
    tables, _ = found(listed, reports=["Thing.getOne", "Thing.getOther"])
    assert tables.problems == (
        'table thing_one: Thing.getOne needs parameters: set them, such as "parameters": {"idThing": "7"} (First)',
    )
    assert list(tables.tables) == ["thing_other"]


def test_of_the_entries_of_a_method_the_one_with_most_of_its_parameters_is_its_own() -> None:
    """In whichever order Matomo lists them; one with another value is another report."""
    entries = [report("getOne", "All"), report("getOne", "Seven", idThing="7"), report("getOne", "Eight", idThing="8")]
    custom = [{"report": "Thing.getOne", "name": "mine", "parameters": {"idThing": "7"}}]
    for listed in (entries, entries[::-1]):
        tables, _ = found(dict.fromkeys("123", listed), reports=["visits_summary"], custom_reports=custom)
        assert "Seven" in tables.tables["mine"].description


def test_a_site_whose_reports_cannot_be_had_costs_the_tables_that_need_them() -> None:
    """What an earlier site has told is known; what is built in needs none of it."""
    refused = {"result": "error", "message": "no"}
    listed = {"1": [report("getOne")], "2": refused, "3": [report("getTwo")]}
    tables, asked = found(listed, reports=["visits_summary", "Thing.getOne", "Thing.getTwo"])
    assert (list(tables.tables), asked) == (["visits_summary", "thing_one"], ["1", "2"])
    (problem,) = tables.problems
    assert problem.startswith("table thing_two: ")


def test_only_what_is_wanted_is_found_with_its_own_periods() -> None:
    """A table of weeks needs that of days, which is not wanted itself."""
    listed = {site: [report("getOne"), report("getTwo")] for site in "123"}
    config = {
        "reports": ["visits_summary", "Thing.getOne", "Thing.getTwo"],
        "periods": {"thing_two": ["week", "month"]},
    }
    tables, _ = found(listed, ["thing_two_week"], **config)
    assert list(tables.tables) == ["thing_two_week"]
    tables, asked = found(listed, ["visits_summary"], **config)
    assert (list(tables.tables), asked) == (["visits_summary"], [])
