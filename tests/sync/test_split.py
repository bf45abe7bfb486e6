"""Cutting a plan into shards: together they are the plan, no slice is in two, and each fits a run."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import BUILT_IN, PREBUILT, VISITS, Catalogue
from matomo_fn.catalogue.periods import table_of
from matomo_fn.config.request import Part
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.sync.outcome import KnownSlice, Status
from matomo_fn.sync.plan import Due, Plan, estimated_calls, group_tables, make_plan, phases_of
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.split import balanced
from matomo_fn.sync.state import Snapshot

if TYPE_CHECKING:
    from matomo_fn.slices import Slice
    from matomo_fn.sync.split import Shard

FIRST = date(2025, 1, 1)
COUNTRY = PREBUILT["visitor_country"]
TABLES = (
    PREBUILT["visits_summary"],
    COUNTRY,
    PREBUILT["countries"],
    table_of(COUNTRY, Period.WEEK),
    table_of(COUNTRY, Period.MONTH),
    PREBUILT["referrers"],
    PREBUILT["behaviour_page"],
    VISITS,
)


def windows(sites: int, days: int) -> tuple[Window, ...]:
    last = FIRST + timedelta(days=days - 1)
    return tuple(Window(Site(str(n), "", UTC, FIRST), FIRST, last, FIRST) for n in range(1, sites + 1))


class Drawn:
    """A plan, whose own text would be longer than hypothesis shows."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def __repr__(self) -> str:
        return f"{list(self.plan.scope.tables)} {self.plan.scope.windows} {list(self.plan.known.items())[:5]}"


@st.composite
def plans(draw: st.DrawFn) -> Drawn:
    """Some tables and sites over some days, of which some are known."""
    tables = draw(st.lists(st.sampled_from(TABLES), unique=True, min_size=1, max_size=8))
    segments = (Segment("mobile", "a==b"),) if draw(st.booleans()) else ()
    wide = windows(draw(st.integers(1, 4)), draw(st.integers(1, 90)))
    narrow = tuple(replace(w, first=w.first + timedelta(days=draw(st.integers(0, 9)))) for w in wide)
    found = tuple(window for window in narrow if window.first <= window.last)
    scope = Scope(Catalogue(tables), found or wide, (5, 2), (), segments=segments)
    known: dict[Slice, KnownSlice] = {}
    for _, stream in scope.streams():
        dates = list(stream.period.dates(stream.period.whole(scope.windows[0].days)))
        for day in draw(st.lists(st.sampled_from(dates), max_size=3)):
            status = draw(st.sampled_from(list(Status)))
            known[stream.slice(day)] = KnownSlice(status, 1, "h", "r", "this request", is_intact=True)
    return Drawn(make_plan(scope, Snapshot({}, known), request_id="this request"))


def due_of(plan: Plan, shard: Shard) -> list[Due]:
    """What of a plan is a shard's."""
    found = []
    for due in plan.due:
        if due.stream.table in shard.tables and due.stream.website_id in shard.sites:
            days = due.stream.period.within(due.days, shard.since, shard.before)
            found += [replace(due, days=days)] if days else []
    return found


def stretch(shard: Shard) -> dict[str, object]:
    """The dates of a shard as a message has them."""
    return {name: shard.as_dict()[name] for name in ("since", "before")}


def slices_of(due: list[Due] | tuple[Due, ...]) -> Counter[Slice]:
    return Counter(slice_ for each in due for slice_ in each.stream.slices(each.days))


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 60))
def test_the_shards_are_the_plan_and_each_fits_or_is_one_piece(data: st.DataObject, most: int) -> None:
    """One piece: the slices of one date of a site and of tables that stay together."""
    plan = data.draw(plans()).plan
    shards = plan.split(most)
    parts = [due_of(plan, shard) for shard in shards]
    assert sum((slices_of(part) for part in parts), Counter()) == slices_of(plan.due)
    for shard, part in zip(shards, parts, strict=True):
        assert part
        calls = estimated_calls([job for phase in phases_of(plan.scope, part) for job in phase], plan.scope.version)
        dates = {slice_.date for slice_ in slices_of(part)}
        assert calls <= most or (len(shard.sites) == 1 and len(dates) == 1)
        assert shard.slices == slices_of(part).total()
        # The same of the shard as a run plans it.
        names = {each.stream.table for each in part}
        for group in group_tables([plan.scope.tables[name] for name in names], plan.scope.version):
            assert {table.name for table in group} <= set(shard.tables)


@settings(max_examples=20, deadline=None)
@given(st.data(), st.integers(1, 60))
def test_a_run_of_each_shard_plans_what_is_the_shards(data: st.DataObject, most: int) -> None:
    """By the part of the request that a message has: all of them together are due what was due, each once."""
    plan = data.draw(plans()).plan
    found: Counter[Slice] = Counter()
    for number, shard in enumerate(plan.split(most), 1):
        part = Part.model_validate({"request_id": "r", "number": number, "count": number, **stretch(shard)})
        scope = plan.scope
        sites = tuple(window for window in scope.windows if window.site.id in shard.sites)
        narrowed = replace(scope, tables=scope.tables.select(shard.tables), windows=sites, part=part)
        again = make_plan(narrowed, Snapshot({}, plan.known), request_id="this request")
        # What another delivery has done is known to both; the rest is due as before.
        wanted = slices_of(due_of(plan, shard))
        found += Counter({slice_: n for slice_, n in slices_of(again.due).items() if slice_ in wanted})
        assert not (wanted - slices_of(again.due))
    assert found == slices_of(plan.due)


def test_pages_stay_with_the_visits_that_bring_their_titles() -> None:
    """Two runs at once would each find the other's rows missing."""
    tables = Catalogue([PREBUILT["behaviour_page"], COUNTRY, VISITS])
    plan = make_plan(Scope(tables, windows(1, 60), (5, 2), ()), Snapshot())
    together = [shard.tables for shard in plan.split(20) if "visits" in shard.tables]
    assert len(together) > 1
    assert all("behaviour_page" in names for names in together)


def test_the_stretches_of_one_site_and_table_cover_all_time() -> None:
    """So that a day that ends meanwhile, or one that is open since long ago, belongs to one of them."""
    plan = make_plan(Scope(Catalogue([VISITS]), windows(1, 60), (5, 2), ()), Snapshot())
    shards = plan.split(15)
    assert len(shards) == 4
    assert [shard.since for shard in shards] == [None, *(shard.before for shard in shards[:-1])]
    assert shards[-1].before is None


def test_two_years_of_an_agency_are_cut_quickly_into_few_shards() -> None:
    """200 sites, 20 tables and their visits: about as many shards as there are times a run's calls."""
    names = [name for name, table in BUILT_IN.items() if not table.is_log][:20]
    tables = Catalogue([*(BUILT_IN[name] for name in names), VISITS])
    plan = make_plan(Scope(tables, windows(200, 730), (5, 2), ()), Snapshot())
    most = 1_800
    began = time.process_time()
    shards = plan.split(most)
    assert time.process_time() - began < 3
    assert sum(shard.slices for shard in shards) == plan.slices == 200 * 21 * 730
    assert max(shard.calls for shard in shards) <= most
    assert len(shards) <= 1.5 * plan.calls / most


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(1, 60))
def test_parts_have_everything_once_and_as_much_as_fits(weights: list[int], most: int) -> None:
    parts = balanced(weights, most)
    assert [number for part in parts for number in part] == list(range(len(weights)))
    assert all(sum(weights[number] for number in part) <= most or len(part) == 1 for part in parts)
