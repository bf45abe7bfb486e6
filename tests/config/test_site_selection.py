"""Which sites a configuration selects of those that Matomo lists."""

from __future__ import annotations

import json
from datetime import UTC, date
from typing import TYPE_CHECKING

import pytest

from matomo_fn.config.connector import read_connector
from matomo_fn.errors import InputError
from matomo_fn.sites import Site

if TYPE_CHECKING:
    from matomo_fn.config.site_selection import SiteSelection

LISTED = (
    Site("1", "Shop Paris", UTC, date(2024, 1, 1), group="Retail", type="website"),
    Site("2", "shop berlin", UTC, date(2024, 1, 1), group="Retail", type="website"),
    Site("3", "Blog", UTC, date(2024, 1, 1), group="", type="website"),
    Site("4", "App (test)", UTC, date(2024, 1, 1), group="Apps", type="mobileapp"),
    Site("10", "Shop [old]", UTC, date(2024, 1, 1), group="retail", type="intranet"),
)


def selection(sites: object) -> SiteSelection:
    return read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": sites})).sites


@pytest.mark.parametrize(
    ("written", "chosen"),
    [
        ("all", "1 2 3 4 10"),
        ([1, 2], "1 2"),
        (["2", 1, "2"], "2 1"),
        (["7", "1"], "7 1"),
        ({"exclude": ["3", 10]}, "1 2 4"),
        ({"include": ["3", 10]}, "3 10"),
        ({"include": [{"name": "Shop *"}]}, "1 2 10"),
        ({"include": [{"name": "shop *"}], "exclude": [{"type": "intranet"}]}, "1 2"),
        ({"include": [{"group": "RETAIL"}, "3"]}, "1 2 3 10"),
        ([{"group": "apps"}, {"name": "?log"}], "3 4"),
        ({"include": [{"group": "apps"}, "7"]}, "4 7"),
        ({"include": [{"type": "website"}], "exclude": ["1", {"name": "b*"}]}, "2"),
        ({"include": ["1", "2"], "exclude": ["1"]}, "2"),
        ({"exclude": [{"name": "*(test)*"}]}, "1 2 3 10"),
        ({"include": [{"name": "Shop [[]old]"}]}, "10"),
    ],
)
def test_sites_are_selected_by_what_matomo_says_of_them(written: object, chosen: str) -> None:
    """In the order of a list of ids, otherwise in Matomo's; an id that is named is chosen although it is not listed."""
    assert selection(written).choose(LISTED) == tuple(chosen.split())


@pytest.mark.parametrize(
    ("written", "takes_new"),
    [
        ("all", True),
        (["1"], False),
        ({"include": ["1"], "exclude": [{"name": "x"}]}, False),
        ({"exclude": ["1"]}, True),
        (["1", {"name": "Shop*"}], True),
    ],
)
def test_only_a_list_of_ids_takes_no_new_site(written: object, *, takes_new: bool) -> None:
    """A pattern may match a site that is added tomorrow."""
    assert selection(written).takes_new_sites is takes_new


def test_where_only_ids_are_known_patterns_decide_nothing() -> None:
    """Matomo does not answer, and the log has ids alone: a site is left out where its id says so."""
    assert selection({"include": ["7", {"name": "Shop*"}], "exclude": ["3"]}).known(["3", "4"]) == ("7", "4")
    assert selection(["1", "2"]).known(["2", "3"]) == ("1", "2")
    assert selection("all").known(["2", "3"]) == ("2", "3")


def test_a_pattern_that_no_site_matches_is_named_with_what_there_is() -> None:
    """It may be misspelt: one that excludes would let in what was to stay out."""
    written = {"include": [{"group": "Retial"}, {"name": "B*"}, "99"], "exclude": [{"type": "mobile"}]}
    seen = "the sites that the token's user may see have"
    assert selection(written).unmatched(LISTED) == (
        f"\"sites\": no site has the group 'Retial' that \"include\" names: {seen} 'Apps', 'Retail', 'retail'",
        f"\"sites\": no site has the type 'mobile' that \"exclude\" names: {seen} 'intranet', 'mobileapp', 'website'",
    )
    (sentence,) = selection([{"group": "x"}]).unmatched(LISTED[2:3])
    assert sentence.endswith("the sites that the token's user may see have no group")


def test_the_configuration_without_some_sites_keeps_its_rules() -> None:
    """The advice about a site that is gone can be pasted."""
    written = {"include": [{"name": "Shop É*"}, "7"], "exclude": [{"group": "x"}]}
    changed = json.loads(selection(written).without(["3"]))
    assert changed == written | {"exclude": [{"group": "x"}, "3"]}
    assert json.loads(selection("all").without(["3", "4"])) == {"exclude": ["3", "4"]}
    assert selection(changed).exclude[-1].pattern == "3"


def test_a_selection_is_as_good_as_its_text() -> None:
    """A connector can be validated once more from its own values."""
    found = selection({"exclude": ["3"]})
    assert selection(json.loads(found.without([]))) == found


NO_ID = 'is not a site id, which is a whole number such as 1, nor a pattern such as {"name": "Shop *"}'
ONE_KEY = 'has to have one key, name or group or type, such as {"name": "Shop *"}'
PROBLEMS: dict[str, tuple[object, list[str]]] = {
    "a word": ("ALL", ['sites: \'ALL\' is neither "all" nor a list of site ids, such as ["1", "2"]']),
    "a number": (1, ['sites: has to be a list of site ids and patterns, such as ["1", {"name": "Shop *"}]']),
    "no site": ([], ['sites: names no site: list at least one, or set it to "all"']),
    "an empty object": ({}, ['sites: has to have "include" or "exclude", or be "all"']),
    "several": (["one", "2", "x"], [f"sites: {name!r} {NO_ID}" for name in ("one", "x")]),
    **{
        repr(value): ([value], [f"sites: {value!r} {NO_ID}"])
        for value in (0, -1, "01", 1.0, True, None, [1], "1 ", "1;2")
    },
    "no excluded site": ({"exclude": []}, ["sites.exclude: names no site: list at least one, or leave it out"]),
    "no included site": ({"include": []}, ["sites.include: names no site: list at least one, or leave it out"]),
    "a misspelt key": (
        {"exclud": ["1"]},
        ["sites: unknown key 'exclud': did you mean 'exclude'?"],
    ),
    "an included object": (
        {"include": {"name": "x"}},
        ['sites.include: has to be a list of site ids and patterns, such as ["1", {"name": "Shop *"}]'],
    ),
    "a rule without a key": ([{}], [f"sites: {{}} {ONE_KEY}"]),
    "a rule with two keys": (
        {"exclude": [{"name": "x", "group": "y"}]},
        [f'sites.exclude: {{"name": "x", "group": "y"}} {ONE_KEY}'],
    ),
    "an unknown criterion": ([{"nmae": "x"}], ["sites: sites cannot be selected by 'nmae': did you mean 'name'?"]),
    "a pattern that is no text": (
        [{"name": 1}, {"group": " "}],
        [
            'sites: {"name": 1}: name has to be a text such as "Shop *"',
            'sites: {"group": " "}: group has to be a text such as "Shop *"',
        ],
    ),
}


@pytest.mark.parametrize(("written", "sentences"), PROBLEMS.values(), ids=PROBLEMS)
def test_what_selects_no_site_is_refused_with_a_sentence(written: object, sentences: list[str]) -> None:
    """Every problem, each with what to write instead."""
    with pytest.raises(InputError) as raised:
        selection(written)
    assert raised.value.problems == tuple(f"configuration of connector 'shop': {sentence}" for sentence in sentences)
