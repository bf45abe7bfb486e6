"""What stays of a slice and what is held back: slices, tables and rows of settings that differ in what is known."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, REFERENCE_TABLES, VISITS, Catalogue
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.periods import Period
from matomo_fn.sites import Site
from matomo_fn.slices import Stream
from matomo_fn.sync.audit import audit
from matomo_fn.sync.load import Loader
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Run, Status, is_news
from matomo_fn.sync.plan import Reason
from matomo_fn.sync.purged import kept_rows, purged_visits
from matomo_fn.sync.reference import reference_scope, sync_reference
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.write import Writer
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.reference import read_reference, write_reference
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.local import NOW, Local, ago, local, small_world
from tests.support.recordings import Scripted, client_of
from tests.support.visits import a_visit
from tests.support.warehouses import states

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DAY = date(2026, 10, 1)
SLICE = VISITS.stream("1").slice(DAY)
RUN = Run("run9", "run9", NOW)
COUNTS = st.integers(0, 6)


def known_slice(status: Status = Status.WRITTEN, **changes: Any) -> KnownSlice:
    values: dict[str, Any] = {
        "row_count": 1,
        "content_hash": "h",
        "written_run_id": "r",
        "request_id": "",
        "is_intact": True,
    }
    return KnownSlice(status, **(values | changes))


@given(
    COUNTS,
    COUNTS,
    COUNTS,
    st.none() | COUNTS,
    st.booleans(),
    st.sampled_from([None, "h"]),
    st.booleans(),
    st.booleans(),
)
def test_visits_are_kept_exactly_where_matomo_counts_more_than_it_answers(
    read: int,
    keys: int,
    rows: int,
    counted: int | None,
    is_intact: bool,  # noqa: FBT001 - drawn
    content_hash: str | None,
    is_final: bool,  # noqa: FBT001
    is_old: bool,  # noqa: FBT001
) -> None:
    """The table's keys count, whatever the log says of its rows; the difference is that of what stays."""
    known = known_slice(row_count=rows, found_keys=keys, is_intact=is_intact, content_hash=content_hash)
    content = ParsedSlice(("{}",) * read, "other", has_others=False)
    more = None if counted is None else read - counted
    today = DAY + timedelta(days=28 if is_old else 27)
    extracted = Extracted(SLICE, content, visits_difference=more)
    found = purged_visits(VISITS, extracted, known, is_final=is_final, today=today)
    loses = read < keys
    if counted is None:
        assert (found is not None) == (loses and (read == 0 or is_final))
        if found:
            assert (found.difference, found.is_whole) == (None, False)
    elif read == counted == 0:
        assert (found is not None) == (loses and is_old)
        if found:
            assert found.is_whole == (is_intact and content_hash is not None)
    else:
        assert (found is not None) == (loses and counted > read)
        if found:
            assert found.difference == keys - counted
            assert found.is_whole == (is_intact and (content_hash is not None or keys >= counted))


@pytest.mark.parametrize("period", [Period.DAY, Period.WEEK, Period.MONTH, Period.rolling(7)])
def test_rows_may_be_the_last_copy_from_28_days_after_the_first_day_that_they_are_about(period: Period) -> None:
    """Of a slice that has rows, by the log or in the table; not where the segment they are of is another one now."""
    slice_ = Stream("t", "1", "", period).slice(DAY)
    first, _ = period.span(DAY)
    old, young = first + timedelta(days=28), first + timedelta(days=27)
    for rows, keys, error, today in product(
        (0, 1), (0, 1), (None, "x: the definition of the segment has changed"), (old, young)
    ):
        known = {slice_: known_slice(row_count=rows, found_keys=keys, error=error)}
        found = kept_rows(known, slice_, today)
        assert (found is not None) == (bool(rows or keys) and error is None and today == old)
        assert kept_rows(known, Stream("t", "2", "", period).slice(DAY), today) is None


def test_what_is_news_of_a_slice_that_was_not_written() -> None:
    """Another status, or anything else that the log has not said; written and unchanged are the same here."""
    changes: dict[str, Any] = {"is_final": True, "has_others": True, "visits_difference": 2, "error": "why"}
    base = {"is_final": False, "has_others": False, "visits_difference": None, "error": None}
    for before, now in product(Status, (Status.UNCHANGED, Status.PENDING, Status.FAILED)):
        is_same = before is now or (before is Status.WRITTEN and now is Status.UNCHANGED)
        for said, says in product([{}, *({key: value} for key, value in changes.items())], repeat=2):
            entry = LogEntry(SLICE, now, 1, "h", written_run_id="r", **(base | says))
            known = known_slice(before, **(base | said))
            assert is_news(entry, known) == (not is_same or said != says)
            assert is_news(entry, UNKNOWN)


# ---- with a warehouse

NAMES = ("visitor_device_type", "visitor_country")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Local]:
    """A connector of two tables and the visits, which are kept for ten days; log and tables are ready."""
    config: dict[str, Any] = {"reports": list(NAMES), "visits": {"retention_days": 10}, "reference_tables": True}
    with FakeMatomo(small_world()) as matomo, local(matomo, tmp_path / "x.duckdb", **config) as opened:
        opened.warehouse.ensure_dataset()
        SyncState(opened.warehouse, opened.connector).prepare()
        for table in opened.connector.catalogue.values():
            ensure_table(opened.warehouse, table.schema, "day")
        yield opened


def test_of_two_tables_that_are_held_back_each_is_logged_by_itself(shop: Local, tmp_path: Path) -> None:
    """What is logged of the first says nothing of the second, which is logged when its own turn comes."""
    writer = Writer(
        Loader(shop.warehouse, {}, ()),
        SyncState(shop.warehouse, shop.connector),
        RUN,
        tmp_path,
        buffer_bytes=10**8,
        now=shop.now,
    )
    writer.hold(NAMES)
    logged = {name: PREBUILT[name].stream("1").slice(ago(1)) for name in NAMES}
    for name, slice_ in logged.items():
        entry = LogEntry(slice_, Status.FAILED, 0, None, has_others=False, is_final=False, written_run_id=None)
        writer.add(PREBUILT[name], entry, None)
    writer.flush()
    assert states(shop.warehouse) == {}
    for number, name in enumerate(NAMES, 1):
        assert [entry.slice for entry in writer.held(name)] == [logged[name]]
        writer.log_held(name)
        assert writer.held(name) == []
        assert {table for table, _, _ in states(shop.warehouse)} == set(NAMES[:number])


def test_what_is_amended_is_logged_beside_what_was_extracted(shop: Local, tmp_path: Path) -> None:
    """A late difference of one day, and an entry of another: both, and what is no news of neither."""
    state = SyncState(shop.warehouse, shop.connector)
    writer = Writer(Loader(shop.warehouse, {}, ()), state, RUN, tmp_path, buffer_bytes=10**8, now=shop.now)
    entries = [
        LogEntry(VISITS.stream("1").slice(ago(back)), Status.UNCHANGED, 0, "h", has_others=False, is_final=False,
                 written_run_id=None, is_news=back % 2 == 1)
        for back in (1, 2, 3, 4)
    ]  # fmt: skip
    for entry in entries[:2]:
        writer.add(VISITS, entry, None)
    for entry in entries[2:]:
        writer.amend(entry)
    writer.flush()
    assert {day for _, _, day in states(shop.warehouse)} == {ago(1), ago(3)}


def test_days_that_a_table_keeps_are_audited_from_the_first_one_on(shop: Local, tmp_path: Path) -> None:
    """Those before have been deleted rightly; a table that keeps all is audited of all time."""
    state = SyncState(shop.warehouse, shop.connector)
    kept_from = shop.connector.kept_from(VISITS, NOW.date())
    assert kept_from is not None
    days = [kept_from + timedelta(days=offset) for offset in (-1, 0, 1)]
    tables = Catalogue([VISITS, PREBUILT["visitor_country"]])
    slices = [table.stream("1").slice(day) for table in tables.values() for day in days]
    entries = [
        LogEntry(each, Status.WRITTEN, 2, "h", has_others=False, is_final=True, written_run_id="r") for each in slices
    ]
    state.append(RUN, entries, tmp_path, Stamp("run9", 1, NOW))
    found = audit(shop.warehouse, state, tables, Run("audit", "audit", NOW), NOW)
    assert {each.slice for each in found.differences} == set(slices) - {VISITS.stream("1").slice(days[0])}
    assert found.marked == 5


GOALS = REFERENCE_TABLES["goals"]
SITES = [Site(number, "", UTC, DAY, problem="broken" if number == "3" else "") for number in ("1", "2", "3")]


@pytest.fixture(scope="module")
def goals(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBWarehouse]:
    """A warehouse with goals of sites that are there, broken, not selected, gone, and of another connector."""
    with ExitStack() as stack:
        opened = DuckDBWarehouse(tmp_path_factory.mktemp("goals") / "w.duckdb", "d")
        stack.callback(opened.close)
        opened.ensure_dataset()
        yield opened


@pytest.mark.parametrize(
    ("wanted", "refused", "gone"),
    [
        (None, "", {"1", "9"}),
        (None, "1", {"9"}),
        (["1"], "", {"1"}),
        (["2"], "", set()),
        (["1", "2"], "1", set()),
    ],
)
def test_exactly_the_rows_that_are_known_to_be_gone_are_marked(
    goals: DuckDBWarehouse, wanted: list[str] | None, refused: str, gone: set[str]
) -> None:
    """Where their list was read, or where all sites were and theirs is none of them; and only this connector's."""
    goals.run("drop table if exists d.goals", "drop")
    ensure_table(goals, GOALS.schema, "day")

    def staged(sites: str, goal: int) -> list[Mapping[str, Any]]:
        keys = [{"website_id": site, "goal_id": goal} for site in sites]
        return [{**key, "name": "old", "_content_hash": "h", "_is_deleted": False} for key in keys]

    write_reference(goals, GOALS, staged("1239", 7), "shop", Stamp("r1", 0, NOW))
    write_reference(goals, GOALS, staged("129", 8), "other", Stamp("r2", 0, NOW))

    def answer(_method: str, form: Mapping[str, str]) -> object:
        sites = [part.split("idSite=")[1].split("&")[0] for key, part in form.items() if key.startswith("urls")]
        assert "3" not in sites
        error = {"result": "error", "message": "no"}
        return [
            error if site == refused else [{"idgoal": "5", "name": f"of {site}"}] if site == "2" else []
            for site in sites
        ]

    values = {"matomo_url": "https://m.example.com", "sites": "all", "reference_tables": ["goals"]}
    connector = read_connector("shop", json.dumps(values))
    request = read_request({"connector": "shop", "sites": wanted, "tables": ["goals"]})
    scope = reference_scope(connector, request, SITES, ["1", "2", "3"])
    outcome = sync_reference(client_of(Scripted(answer)), goals, connector, scope, Stamp("r3", 0, NOW))
    known = read_reference(goals, [GOALS])["goals"]
    listed = wanted is None or "2" in wanted
    assert {key[0] for key, row in known.items() if row.is_deleted} == gone | ({"2"} if listed else set())
    assert all(key[1] == "7" for key, row in known.items() if row.is_deleted)
    assert (("2", "5") in known) == listed
    result = outcome.tables["goals"]
    assert (result.rows, result.written, result.deleted) == (int(listed), int(listed), len(gone) + listed)
    assert ["of site 1" in note for note in outcome.notes] == [True] * bool(refused)
    if listed:  # what is gone comes back as it was

        def again(_method: str, form: Mapping[str, str]) -> object:
            answers = {"1": [{"idgoal": "7", "name": "a"}], "2": []}
            sites = [part.split("idSite=")[1].split("&")[0] for key, part in form.items() if key.startswith("urls")]
            return [answers[site] for site in sites]

        request = read_request({"connector": "shop", "tables": ["goals"], "sites": ["1", "2"]})
        scope = reference_scope(connector, request, SITES, ["1", "2"])
        for written in (1, 0):
            outcome = sync_reference(
                client_of(Scripted(again)), goals, connector, scope, Stamp(f"r{5 - written}", 0, NOW)
            )
            assert outcome.tables["goals"].written == written
        back = read_reference(goals, [GOALS])["goals"]
        assert (back["1", "7"].is_deleted, back["2", "5"].is_deleted) == (False, True)


def test_a_key_that_stands_twice_is_deleted_where_both_rows_are_and_becomes_one_row(goals: DuckDBWarehouse) -> None:
    """As after two runs at once, of which one saw the goal and the other did not; of each site by itself."""
    goals.run("drop table if exists d.goals", "drop")
    ensure_table(goals, GOALS.schema, "day")
    rows = [
        {"website_id": site, "goal_id": 7, "name": "old", "_content_hash": "h", "_is_deleted": False} for site in "123"
    ]
    write_reference(goals, GOALS, rows, "shop", Stamp("r1", 0, NOW))
    goals.run("update d.goals set _is_deleted = true where website_id = '3'", "update")
    for site in ("2", "3"):
        copied = f"select * replace (true as _is_deleted) from d.goals where website_id = '{site}'"
        goals.run(f"insert into d.goals {copied}", f"copy{site}")
    known = read_reference(goals, [GOALS])["goals"]
    assert {site: (row.copies, row.is_deleted) for (site, _), row in known.items()} == {
        "1": (1, False),
        "2": (2, False),
        "3": (2, True),
    }
    write_reference(goals, GOALS, rows[:1], "shop", Stamp("r2", 0, NOW + timedelta(seconds=1)))
    assert {key: row.copies for key, row in read_reference(goals, [GOALS])["goals"].items()} == dict.fromkeys(known, 1)


def test_a_run_for_what_is_due_reads_all_reference_tables_and_others_those_that_they_name() -> None:
    """Days and backfills are about reports."""
    values = {"matomo_url": "https://m.example.com", "sites": "all"}
    connector = read_connector("shop", json.dumps(values))

    def names(**request: Any) -> list[str]:
        found = reference_scope(connector, read_request({"connector": "shop", **request}), SITES, ["1"])
        assert [site.id for site in found.sites] == ["1"]
        assert found.is_whole
        return [table.name for table in found.tables]

    assert names() == list(REFERENCE_TABLES)
    for request in ({"start_date": "2026-01-01"}, {"mode": "backfill"}, {"mode": "full_refresh"}):
        assert names(**request) == []
        assert names(**request, tables=["sites", "goals"]) == [
            name for name in REFERENCE_TABLES if name in ("sites", "goals")
        ]
    assert names(tables=["visits_summary"]) == []


def test_a_run_of_sites_of_different_age_tells_the_days_of_all(tmp_path: Path) -> None:
    """From the first day of the oldest to the last of the furthest; how late they are only where it was about all."""
    world = small_world()
    old, young = world.sites
    sites = replace(old, created=ago(4)), replace(young, created=ago(2), timezone="Pacific/Kiritimati")
    with (
        FakeMatomo(replace(world, sites=sites)) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=["visits_summary"]) as shop,
    ):
        about = shop.sync().about
        assert (about.sites, about.first_day, about.last_day) == (["1", "2"], ago(4), ago(0))
        late = [
            shop.sync(**request).reach.days_late
            for request in ({}, {"sites": ("2",)}, {"tables": ("visits_summary",)}, {"start_date": ago(1)})
        ]
        assert late == [0, None, None, None]


def test_a_named_window_is_refetched_also_where_it_is_settled(tmp_path: Path) -> None:
    """And a table is synced alone where the one that it shares titles with is not there yet."""
    with (
        FakeMatomo(small_world(1)) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=["visits_summary", "behaviour_page"], visits=True) as shop,
    ):
        window: dict[str, Any] = {"start_date": str(ago(6)), "end_date": str(ago(5))}
        pages = shop.sync(tables=("behaviour_page",), **window)
        assert (pages.warehouse_errors, pages.tables["behaviour_page"].written) == ([], 2)
        reasons = {
            name: [(found.reason, found.slices) for found in shop.plan(tables=["behaviour_page"], **request).due]
            for name, request in (("window", window), ("due", {}), ("all", {"mode": "backfill"}))
        }
        missing, refetched = (Reason.MISSING, 4), (Reason.REFETCH, 2)
        assert reasons == {"window": [refetched], "due": [missing], "all": [missing, refetched]}


def test_a_visit_that_moved_within_one_batch_is_no_row_of_its_first_day(shop: Local, tmp_path: Path) -> None:
    """The log has what the table then has, so that the next run looks at that day again."""
    writer = Writer(
        Loader(shop.warehouse, {}, ()),
        SyncState(shop.warehouse, shop.connector),
        RUN,
        tmp_path,
        buffer_bytes=10**8,
        now=shop.now,
    )
    first, second = ago(3), ago(2)
    for day, visits in ((first, (1, 2)), (second, (2, 3, 4))):
        moment = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp())
        lines = tuple(VisitParser(UTC).parse(a_visit(number, moment)).line for number in visits)
        content = ParsedSlice(lines, f"hash of {day}", has_others=False)
        slice_ = VISITS.stream("1").slice(day)
        entry = LogEntry(slice_, Status.WRITTEN, len(visits), content.content_hash, has_others=False, is_final=True,
                         written_run_id=RUN.id)  # fmt: skip
        writer.add(VISITS, entry, content)
    found = {entry.slice.date: entry for entry in writer.flush().entries if entry.status is Status.WRITTEN}
    logged = {day: (row["row_count"], row["content_hash"]) for (_, _, day), row in states(shop.warehouse).items()}
    assert logged == {first: (1, None), second: (3, f"hash of {second}")}
    assert (found[second].is_final, [entry.is_final for day, entry in found.items() if day == first]) in (
        (True, [False]),
        (True, []),
    )
