"""Which sites are synced, missing, refused or lost, against a plain account of each site by itself."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import Catalogue
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.site_selection import read_selection
from matomo_fn.errors import InputError
from matomo_fn.sync.scope import Scope, resolve_scope
from tests.support.recordings import Scripted, client_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NUMBERS = ("1", "2", "9", "10", "11", "30")
SOME = st.lists(st.sampled_from(NUMBERS), unique=True)
# Names of sites: every other one is a shop.
NAMES = {number: f"{'Shop' if index % 2 else 'Blog'} {number}" for index, number in enumerate(NUMBERS)}
PATTERNS = {"Shop *": "Shop", "blog*": "Blog"}
RULES = st.lists(st.sampled_from([*NUMBERS, *PATTERNS]), unique=True, max_size=3)


def written(rules: list[str]) -> list[Any]:
    return [{"name": rule} if rule in PATTERNS else rule for rule in rules]


def selects(rules: list[str], number: str) -> bool:
    return number in rules or any(rule in rules and NAMES[number].startswith(kind) for rule, kind in PATTERNS.items())


def outcome(listed: dict[str, bool], selection: Any, wanted: list[str] | None) -> Scope | list[str]:
    """What becomes of a request at a Matomo with these sites, some of which are not set up right."""
    sites = [
        {
            "idsite": number,
            "name": NAMES[number],
            "timezone": "UTC" if is_good else "Middle/Earth",
            "ts_created": "2024-01-01 00:00:00",
        }
        for number, is_good in listed.items()
    ]
    transport = Scripted(lambda method, _: {"value": "5.2.0"} if method.endswith("Version") else sites)
    connector = read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": selection}))
    request = read_request({"connector": "shop", "sites": wanted})
    try:
        return resolve_scope(client_of(transport), connector, request, NOW)
    except InputError as error:
        return list(error.problems)


def named(sentences: Any) -> list[str]:
    """The site that each sentence is about."""
    return [re.findall(r"\bsite (\d+)", sentence)[0] for sentence in sentences if " no site " not in sentence]


@settings(max_examples=120)
@given(st.dictionaries(st.sampled_from(NUMBERS), st.booleans(), min_size=1), RULES, RULES, st.none() | SOME)
def test_each_site_is_synced_missing_or_refused_for_itself(
    listed: dict[str, bool], include: list[str], exclude: list[str], wanted: list[str] | None
) -> None:
    """By the rules that select it, by what Matomo says of it, and by whether the request names it."""
    wanted = wanted or None
    selection = {key: written(rules) for key, rules in (("include", include), ("exclude", exclude)) if rules} or "all"
    if include and all(rule in NUMBERS for rule in include):
        candidates = include  # in the order of the configuration
    else:
        candidates = [number for number in listed if not include or selects(include, number)]
        candidates += [rule for rule in include if rule in NUMBERS and rule not in candidates]
    there = [number for number in candidates if number not in exclude]
    configured = [number for number in there if number not in listed or not selects(exclude, number)]
    good = [number for number in configured if listed.get(number)]
    found = outcome(listed, selection, wanted)
    if not configured and not wanted:
        assert isinstance(found, list)
    elif not good and configured:
        assert isinstance(found, list)
        assert named(found) == configured
    elif wanted and not set(wanted) <= set(good):
        assert isinstance(found, list)
        assert len(found) == len([number for number in wanted if number not in good])
    else:
        assert isinstance(found, Scope)
        assert [window.site.id for window in found.windows] == (wanted or good)
        bad = [] if wanted else [number for number in configured if number not in good]
        assert named(found.missing_sites) == bad
        assert found.sites == set(configured)
        for number in bad:
            assert any(
                sentence.startswith(
                    f"site {number}: Matomo's settings" if number in listed else f"site {number} is not"
                )
                for sentence in found.missing_sites
            )


@given(
    st.dictionaries(st.sampled_from(NUMBERS), st.integers(0, 30), min_size=1),
    st.frozensets(st.sampled_from(NUMBERS)),
    SOME,
)
def test_each_lost_site_is_named_by_number_and_with_its_own_day(
    synced: dict[str, int], listed: frozenset[str], excluded: list[str]
) -> None:
    """Those that were synced, are not excluded, and that Matomo lists no more; the advice excludes all of them."""
    days = {number: date(2026, 1, 31) - timedelta(days=back) for number, back in synced.items()}
    selection = read_selection({"exclude": excluded}) if excluded else read_selection("all")
    scope = Scope(Catalogue([]), (), (5, 2), (), listed=listed, selection=selection)
    lost = [number for number in NUMBERS if number in synced and number not in listed and number not in excluded]
    found = scope.lost_sites(days)
    assert [sentence.split(")")[0] for sentence in found] == [
        f"site {number} (synced until {days[number]}" for number in lost
    ]
    advice = json.dumps({"exclude": [*excluded, *lost]})
    assert all(sentence.endswith(f'set "sites" to {advice}') for sentence in found)
    assert [scope.has_site(number) for number in NUMBERS] == [
        number not in listed and number not in excluded for number in NUMBERS
    ]
