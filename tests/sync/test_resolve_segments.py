"""Which definition a saved segment has at each site, against a plain search through what Matomo has saved."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.config.connector import read_connector
from matomo_fn.sync.segments import resolve_segments
from tests.support.recordings import Scripted, client_of

SAVED = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["Phones", "Buyers"]),
            "definition": st.sampled_from(["a==1", "b==2"]),
            "enable_only_idsite": st.sampled_from(["0", 1, "2", ""]),
            "deleted": st.sampled_from(["0", 0, "", 1, "1"]),
        }
    ),
    max_size=5,
)
DEFINED = {"own": "c==3", "phones": "saved:Phones", "buyers": "saved:Buyers"}


def found_in(saved: list[dict[str, Any]], name: str) -> dict[str, set[str]]:
    """The definitions of the segments of a name that are not deleted, by their sites; '' is all."""
    found: dict[str, set[str]] = {}
    for one in saved:
        if one["name"] == name and str(one["deleted"]) in ("", "0"):
            site = str(one["enable_only_idsite"])
            found.setdefault("" if site == "0" else site, set()).add(one["definition"])
    return found


@given(SAVED)
def test_each_saved_segment_is_told_by_its_name_its_sites_and_whether_it_is_deleted(
    saved: list[dict[str, Any]],
) -> None:
    """One of all sites counts everywhere, wherever it stands; two definitions for the same sites are a problem.

    A segment that cannot be had costs no other one.
    """
    config = {"matomo_url": "https://m.example.com", "sites": "all", "segments": DEFINED}
    client = client_of(Scripted(lambda _method, _form: saved))
    segments, problems = resolve_segments(client, read_connector("shop", json.dumps(config)))
    by_name = {segment.name: segment for segment in segments}
    assert by_name["own"].at("1") == "c==3"
    for name, title in (("phones", "Phones"), ("buyers", "Buyers")):
        expected = found_in(saved, title)
        is_clear = bool(expected) and all(len(definitions) == 1 for definitions in expected.values())
        assert (name in by_name) == is_clear
        assert [problem.startswith(f"segment {name}: ") for problem in problems].count(True) == (not is_clear)
        if not is_clear:
            continue
        of_all = expected.get("")
        for site in ("1", "2", "3"):
            wanted = of_all or expected.get(site)
            assert by_name[name].has("visits_summary", site) == (wanted is not None)
            if wanted:
                assert {by_name[name].at(site)} == wanted
