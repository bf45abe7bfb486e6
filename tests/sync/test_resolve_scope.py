"""What a request is about, once Matomo has told of its sites: sites that differ, and sites that are not there."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.errors import InputError
from matomo_fn.sync.scope import Scope, resolve_scope
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def a_site(number: int, **changes: str) -> dict[str, Any]:
    return {
        "idsite": str(number),
        "name": f"Site {number}",
        "timezone": "UTC",
        "ts_created": "2024-01-01 00:00:00",
        **changes,
    }


def scope_of(listed: list[dict[str, Any]], request: Mapping[str, Any] | None = None, **config: Any) -> Scope:
    """What a request is about at a Matomo that lists some sites."""
    transport = Scripted(lambda method, _: {"value": "5.2.0"} if method.endswith("Version") else listed)
    values = {"matomo_url": "https://m.example.com", "sites": "all", "backfill_days": 10, **config}
    connector = read_connector("shop", json.dumps(values))
    return resolve_scope(client_of(transport), connector, read_request({"connector": "shop", **(request or {})}), NOW)


def spans(scope: Scope) -> dict[str, tuple[date, date]]:
    return {window.site.id: (window.first, window.last) for window in scope.windows}


def test_an_explicit_window_leaves_the_present_day_out_also_where_it_has_no_end() -> None:
    """Whoever names days names them all: no table, intraday or not, gets another one."""
    for request in ({"start_date": "2026-11-18"}, {"start_date": "2026-11-18", "end_date": "2026-11-19"}):
        scope = scope_of([a_site(1)], request, visits={"intraday": True})
        assert spans(scope) == {"1": (date(2026, 11, 18), date(2026, 11, 19))}
        assert [window.open_day for window in scope.windows] == [None]
    assert [window.open_day for window in scope_of([a_site(1)]).windows] == [NOW.date()]


def test_a_site_that_is_there_is_synced_where_another_configured_one_is_missing() -> None:
    """Named in the request, it is all that the request is about; otherwise the missing one is a sentence."""
    named = scope_of([a_site(1)], {"sites": ["1"]}, sites=["1", "2"])
    assert (list(spans(named)), named.missing_sites) == (["1"], ())
    both = scope_of([a_site(1)], sites=["1", "2"])
    assert list(spans(both)) == ["1"]
    (sentence,) = both.missing_sites
    assert sentence.startswith("site 2 is not there or the token's user may not see it")


def test_a_requested_table_whose_report_matomo_does_not_tell_is_not_said_to_be_unknown() -> None:
    """The configuration has it: the sentence is Matomo's, and the run goes on with the others."""

    def answer(method: str, _form: Mapping[str, str]) -> object:
        if method == "API.getReportMetadata":
            return {"result": "error", "message": "broken"}
        return {"value": "5.2.0"} if method.endswith("Version") else [a_site(1)]

    values = {"matomo_url": "https://m.example.com", "sites": "all", "reports": ["visits_summary", "Thing.getOne"]}
    connector = read_connector("shop", json.dumps(values))
    request = read_request({"connector": "shop", "tables": ["visits_summary", "thing_one"]})
    found = resolve_scope(client_of(Scripted(answer)), connector, request, NOW)
    assert list(found.tables) == ["visits_summary"]
    (sentence,) = found.refused_tables
    assert sentence.startswith("table thing_one: ")
    assert "broken" in sentence


def test_a_missing_site_that_the_request_names_is_refused() -> None:
    """Nothing is done of a request that cannot be done as it was meant."""
    with pytest.raises(InputError, match="site 2 is not there"):
        scope_of([a_site(1)], {"sites": ["1", "2"]}, sites=["1", "2"])


def test_of_two_sites_each_begins_with_its_own_creation() -> None:
    """A window from before one of them existed is cut for that one alone; one that ends before leaves it out."""
    sites = [a_site(1), a_site(2, ts_created="2026-11-15 08:00:00")]
    window = {"start_date": "2026-11-10", "end_date": "2026-11-16"}
    assert spans(scope_of(sites, window)) == {
        "1": (date(2026, 11, 10), date(2026, 11, 16)),
        "2": (date(2026, 11, 15), date(2026, 11, 16)),
    }
    before = {"start_date": "2026-11-10", "end_date": "2026-11-12"}
    assert spans(scope_of(sites, before)) == {"1": (date(2026, 11, 10), date(2026, 11, 12))}


def test_under_all_a_site_with_an_unreadable_time_zone_is_named_and_the_others_are_synced() -> None:
    """Its days cannot be told, so nothing of it is requested."""
    scope = scope_of([a_site(1), a_site(2, timezone="Middle/Earth"), a_site(3)])
    assert list(spans(scope)) == ["1", "3"]
    (sentence,) = scope.missing_sites
    assert sentence == 'site 2: Matomo\'s settings of the site cannot be read: there is no time zone "Middle/Earth"'


def test_a_synced_site_that_matomo_no_longer_lists_is_lost_unless_it_is_excluded() -> None:
    """Whoever excludes a site knows that it is gone; the advice keeps what is excluded already."""
    last = date(2026, 11, 19)
    scope = scope_of([a_site(1)], sites={"exclude": ["3"]})
    (sentence,) = scope.lost_sites({"1": last, "2": last, "3": last})
    assert sentence.startswith("site 2 (synced until 2026-11-19) is no longer among the sites")
    assert sentence.endswith('set "sites" to {"exclude": ["3", "2"]}')


@pytest.mark.parametrize("request_", [{"sites": ["1"]}, {"start_date": "2026-11-18"}], ids=["sites", "days"])
def test_a_request_about_some_sites_or_days_says_nothing_of_other_sites(request_: dict[str, Any]) -> None:
    """A site that is lost is told by the runs about everything."""
    scope = scope_of([a_site(1)], request_)
    assert scope.lost_sites({"1": date(2026, 11, 19), "2": date(2026, 11, 19)}) == ()


def test_a_table_that_the_connector_does_not_have_is_refused_before_matomo_is_called() -> None:
    """The names are the connector's own; a misspelt one costs no call."""
    transport = Scripted(lambda *_: pytest.fail("Matomo was called"))
    connector = read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": "all"}))
    request = read_request({"connector": "shop", "tables": ["visitor_contry", "visits_summary"]})
    with pytest.raises(InputError) as raised:
        resolve_scope(client_of(transport), connector, request, NOW)
    assert raised.value.problems == (
        "request: connector 'shop' does not have table 'visitor_contry': did you mean 'visitor_country'?",
    )


def test_sites_that_are_selected_by_a_pattern_are_those_of_each_run() -> None:
    """A site that is added is picked up; one that was synced and is gone is named, with a configuration to paste."""
    rules = {"include": [{"name": "Site *"}], "exclude": [{"group": "internal"}]}
    first = scope_of([a_site(1), a_site(2, group="internal"), a_site(3, name="Blog")], sites=rules)
    assert (list(spans(first)), first.missing_sites) == (["1"], ())
    assert [first.has_site(site) for site in ("1", "2", "3", "9")] == [True, False, False, True]
    later = scope_of([a_site(2, group="internal"), a_site(4)], sites=rules)
    assert list(spans(later)) == ["4"]
    (sentence,) = later.lost_sites({"1": date(2026, 11, 18), "4": date(2026, 11, 19)})
    assert sentence.startswith("site 1 (synced until 2026-11-18) is no longer among the sites")
    assert sentence.endswith(json.dumps(rules | {"exclude": [{"group": "internal"}, "1"]}))


def test_a_pattern_that_matches_no_site_is_missing_and_the_others_are_synced() -> None:
    """A run of which a part was misspelt is not complete."""
    scope = scope_of([a_site(1)], sites=["1", {"group": "Retail"}])
    assert list(spans(scope)) == ["1"]
    (sentence,) = scope.missing_sites
    assert sentence.startswith("\"sites\": no site has the group 'Retail'")
    assert scope_of([a_site(1)], {"sites": ["1"]}, sites=["1", {"group": "Retail"}]).missing_sites == ()


@pytest.mark.parametrize(
    ("sites", "sentence"),
    [
        ([{"name": "Shop*"}], "\"sites\": no site has the name 'Shop*'"),
        ({"exclude": ["1"]}, '"sites" excludes every site that the token\'s user may see: 1'),
        ({"exclude": [{"name": "Site*"}]}, '"sites" excludes every site that the token\'s user may see: 1'),
    ],
)
def test_a_configuration_that_selects_no_site_is_refused(sites: object, sentence: str) -> None:
    """There is nothing to sync, which nobody wants."""
    with pytest.raises(InputError) as raised:
        scope_of([a_site(1)], sites=sites)
    assert raised.value.problems[0].startswith(sentence)


def test_a_site_that_is_not_set_up_right_is_missing_and_not_lost() -> None:
    """Matomo lists it, so that advice to exclude it would be wrong; it counts as configured."""
    scope = scope_of([a_site(1), a_site(2, timezone="Middle/Earth")])
    synced = dict.fromkeys(("1", "2", "3"), date(2026, 11, 1))
    assert [sentence.split(" (")[0] for sentence in scope.lost_sites(synced)] == ["site 3"]
    assert [scope.has_site(number) for number in ("1", "2", "3")] == [True, True, True]


def test_days_that_no_site_has_are_refused_with_the_days_of_each() -> None:
    """Of those that the request is about, by their own creation and present day."""
    sites = [
        a_site(1, ts_created="2026-11-15 00:00:00"),
        a_site(2, ts_created="2026-11-16 00:00:00", timezone="Pacific/Kiritimati"),
        a_site(3),
    ]
    request = {"start_date": "2026-11-01", "end_date": "2026-11-10", "sites": ["1", "2"]}
    with pytest.raises(InputError) as raised:
        scope_of(sites, request)
    assert raised.value.problems == (
        "request: there is no day from 2026-11-01 to 2026-11-10 that a site has "
        "(site 1: 2026-11-15 to 2026-11-20, site 2: 2026-11-16 to 2026-11-21)",
    )
