"""A segment: where it is, by which definition, and what the log tells that definition by."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.segments import EVERY_VISIT, Segment

SITES = st.dictionaries(st.sampled_from("123"), st.sampled_from(["a==1", "b==2", ""]), max_size=3)


@given(SITES, SITES, st.sampled_from(["", "c==3"]), st.sampled_from(["", "c==3"]))
def test_two_segments_have_one_hash_where_they_are_the_same_at_each_site(
    one: dict[str, str], other: dict[str, str], definition: str, another: str
) -> None:
    """In whichever order Matomo lists the sites: otherwise everything would be refetched."""
    hashed = Segment("s", definition, of_sites=one).hash
    orders = [dict(items) for items in permutations(one.items())]
    assert {Segment("s", definition, of_sites=each).hash for each in orders} == {hashed}
    is_same = (definition, one) == (another, other)
    assert (Segment("s", another, of_sites=other).hash == hashed) == is_same
    assert EVERY_VISIT.hash is None


@given(SITES, st.none() | st.frozensets(st.sampled_from("ab")), st.sampled_from("ab"), st.sampled_from("1234"))
def test_a_segment_is_where_its_tables_and_its_sites_are(
    of_sites: dict[str, str], tables: frozenset[str] | None, table: str, site: str
) -> None:
    """Without any of its own at every site, otherwise at those alone, by their definitions."""
    segment = Segment("s", "c==3", tables, of_sites)
    assert segment.has(table, site) == ((tables is None or table in tables) and (not of_sites or site in of_sites))
    assert segment.at(site) == of_sites.get(site, "c==3")
