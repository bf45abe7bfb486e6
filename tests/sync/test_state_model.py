"""What a run knows from the log, against the newest row of each slice: of all kinds of slices, in one log."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, SYNC_LOG, Catalogue
from matomo_fn.catalogue.periods import table_of
from matomo_fn.errors import InputError
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Run, Status
from matomo_fn.sync.plan import Reason, make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import Snapshot, SyncState
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.local import NOW, Local, ago, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from matomo_fn.slices import Slice

DAILY = PREBUILT["visitor_country"]
TABLES = Catalogue([DAILY, table_of(DAILY, Period.WEEK), table_of(DAILY, Period.MONTH)])
MOBILE, FRENCH = Segment("mobile", "a==b"), Segment("french", "c==d", of_sites={"2": "c==d"})
# The second site is younger, and its day has begun already.
OLD = Window(Site("1", "", UTC, ago(60)), ago(20), ago(2), ago(4))
YOUNG = Window(Site("2", "", UTC, ago(35)), ago(10), ago(1), ago(2))
SCOPE = Scope(TABLES, (OLD, YOUNG), (5, 2), (), segments=(MOBILE, FRENCH))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Local, Local]]:
    """Two connectors with one log; their Matomo is not asked."""
    path = tmp_path_factory.mktemp("state") / "x.duckdb"
    with FakeMatomo(small_world()) as matomo, local(matomo, path, dataset="both") as shop:
        shop.warehouse.ensure_dataset()
        for table in TABLES.values():
            ensure_table(shop.warehouse, table.schema, "day")
        SyncState(shop.warehouse, shop.connector).prepare()
        with local(matomo, path, name="other", dataset="both") as other:
            yield shop, other


@pytest.fixture
def connectors(opened: tuple[Local, Local]) -> tuple[Local, Local]:
    """Them, with an empty log."""
    opened[0].warehouse.run(f"delete from `{opened[0].warehouse.dataset}.{SYNC_LOG.name}` where true", "empty")
    return opened


def state_of(shop: Local, *segments: Segment) -> SyncState:
    return SyncState(shop.warehouse, shop.connector, segments or (MOBILE, FRENCH))


def entry(slice_: Slice, status: Status, *, is_final: bool = True) -> LogEntry:
    """A row of the log; of no rows, so that the table bears it out."""
    return LogEntry(slice_, status, 0, "h", has_others=False, is_final=is_final, written_run_id="r")


def some_entries(choose: random.Random) -> list[LogEntry]:
    """Entries of slices of the last forty days, most of them good and final, in gaps and stretches."""
    found = []
    for _, stream in SCOPE.streams():
        dates = sorted({stream.period.first_day(ago(back)) for back in range(40)})
        for day in dates:
            status = choose.choices(
                [Status.WRITTEN, Status.UNCHANGED, Status.PENDING, Status.FAILED, None], [9, 3, 1, 1, 2]
            )
            if status[0] is not None:
                found.append(entry(stream.slice(day), status[0], is_final=choose.random() < 0.9))
    return found


def write(shop: Local, entries: list[LogEntry], folder: Path, number: int, *segments: Segment) -> None:
    """Log entries, each run a second after the one before."""
    stamp = Stamp(f"run{number}", number, NOW + timedelta(seconds=number))
    state_of(shop, *segments).append(Run(stamp.run_id, stamp.run_id, NOW), entries, folder, stamp)


def expected_due(newest: Mapping[Slice, LogEntry]) -> Counter[tuple[Slice, Reason]]:
    """Why each slice is due, by its own newest row."""
    found: Counter[tuple[Slice, Reason]] = Counter()
    for window, stream in SCOPE.streams():
        for first in sorted({stream.period.first_day(ago(back)) for back in range(1, 41)}):
            slice_ = stream.slice(first)
            known = newest.get(slice_)
            overlaps = first <= window.last and slice_.last_day >= window.first
            if known is None:
                if overlaps:
                    found[slice_, Reason.MISSING] += 1
            elif not known.status.is_good:
                if overlaps or (first < window.first and slice_.last_day >= window.site.created):
                    found[slice_, Reason(str(known.status))] += 1
            elif overlaps and (not known.is_final or slice_.last_day >= window.recheck_from):
                found[slice_, Reason.REFETCH] += 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_what_is_due_follows_from_the_newest_row_of_each_slice(
    connectors: tuple[Local, Local], tmp_path: Path, seed: int
) -> None:
    """Of this connector; of each site by its own window, of each table by its own periods."""
    choose = random.Random(seed)  # noqa: S311 - it makes up a log
    shop, other = connectors
    older, newer, foreign = (some_entries(choose) for _ in range(3))
    newer = [each for each in newer if choose.random() < 0.3]
    write(shop, older, tmp_path, 1)
    write(shop, newer, tmp_path, 2)
    write(other, foreign, tmp_path, 3)
    newest = {each.slice: each for each in (*older, *newer)}
    snapshot = state_of(shop).read(TABLES, SCOPE.windows, incremental=True)
    due = make_plan(SCOPE, snapshot).due
    assert Counter((slice_, found.reason) for found in due for slice_ in found.stream.slices(found.days)) == (
        expected_due(newest)
    )


def test_each_row_of_the_log_has_the_hash_of_its_own_segment(connectors: tuple[Local, Local], tmp_path: Path) -> None:
    """And none for all visits."""
    shop, _ = connectors
    stream = DAILY.stream("2")
    segments = {"": None, "mobile": MOBILE.hash, "french": FRENCH.hash}
    streams = [replace(stream, segment=name) for name in segments]
    write(shop, [entry(each.slice(ago(1)), Status.WRITTEN) for each in streams], tmp_path, 1)
    rows = shop.warehouse.query(f"select l.segment, l.segment_hash from `{shop.warehouse.dataset}._sync_log` l")
    assert {row["segment"]: row["segment_hash"] for row in rows} == segments


@pytest.mark.parametrize("day", [OLD.first - timedelta(days=1), OLD.first, YOUNG.first, YOUNG.last])
@pytest.mark.parametrize("changed", [MOBILE, FRENCH])
def test_a_segment_has_changed_where_any_day_of_any_window_has_another_definition(
    connectors: tuple[Local, Local], tmp_path: Path, day: date, changed: Segment
) -> None:
    """The one whose definition differs, and not the one beside it; the newest row of a slice counts."""
    shop, other = connectors
    now = [replace(each, definition="e==f") if each is changed else each for each in (MOBILE, FRENCH)]
    streams = [DAILY.stream("2", name) for name in ("", "mobile", "french")]
    written = [entry(stream.slice(day), Status.WRITTEN) for stream in streams]
    write(shop, written, tmp_path, 1)
    write(other, written, tmp_path, 2, *now)
    state = state_of(shop, *now)
    assert state.changed_segments(SCOPE.windows) == ([changed.name] if day >= OLD.first else [])
    state.invalidate_segment(changed.name, Run("run3", "run3", NOW + timedelta(seconds=3)))
    assert state.changed_segments(SCOPE.windows) == []
    rows = shop.warehouse.query(
        f"select s.connector, s.segment, s.status from `{shop.warehouse.dataset}._sync_state` s where s.run_id = 'run3'"
    )
    assert [tuple(row.values()) for row in rows] == [("shop", changed.name, "pending")]


@pytest.mark.parametrize("site", ["1", "2", "3"])
@pytest.mark.parametrize("other_matomo", [True, False])
@pytest.mark.parametrize("day", [OLD.recheck_from, YOUNG.last])
def test_what_another_connector_fills_is_refused_at_any_site_of_ours(
    connectors: tuple[Local, Local], tmp_path: Path, site: str, day: date, *, other_matomo: bool
) -> None:
    """From another Matomo, or a segment by another definition; at a site that is not ours it is its own business."""
    shop, other = connectors
    slices = [DAILY.stream(site, segment).slice(day) for segment in ("", "mobile")]
    config = other.connector
    try:
        if other_matomo:
            other.connector = config.model_copy(update={"matomo_url": "https://elsewhere.example.com/"})
        write(other, [entry(each, Status.WRITTEN) for each in slices], tmp_path, 1, replace(MOBILE, definition="x==y"))
    finally:
        other.connector = config
    problems: list[str] = []
    state = state_of(shop)
    for refuse in (partial(state.refuse_foreign, TABLES), state.refuse_other_definitions):
        try:
            refuse(SCOPE.windows)
        except InputError as error:
            problems += error.problems
    if site == "3":
        assert problems == []
    else:
        assert len(problems) == 1 + other_matomo
        assert all(f"site {site} " in problem and problem.startswith("connector 'other'") for problem in problems)


def test_our_own_later_row_of_another_site_excuses_no_other_definition(
    connectors: tuple[Local, Local], tmp_path: Path
) -> None:
    """Of two connectors that disagree about a site, the one that logged last of that very site may go on."""
    shop, other = connectors
    write(
        other,
        [entry(DAILY.stream("1", "mobile").slice(ago(2)), Status.WRITTEN)],
        tmp_path,
        1,
        replace(MOBILE, definition="x==y"),
    )
    write(shop, [entry(DAILY.stream("2", "mobile").slice(ago(2)), Status.WRITTEN)], tmp_path, 2)
    with pytest.raises(InputError, match="fills segment mobile of site 1 "):
        state_of(shop).refuse_other_definitions(SCOPE.windows)
    write(shop, [entry(DAILY.stream("1", "mobile").slice(ago(3)), Status.WRITTEN)], tmp_path, 3)
    state_of(shop).refuse_other_definitions(SCOPE.windows)


def test_a_changed_segment_makes_its_own_slices_pending_and_no_others() -> None:
    """In a dry run, where nothing is marked: settled ones, known ones, and of these all visits stay as they are."""
    streams = [DAILY.stream("1", name) for name in ("", "mobile", "french")]
    known = {
        stream.slice(ago(back)): KnownSlice(status, 1, "h", "r", "", is_intact=True)
        for stream in streams
        for back, status in ((1, Status.WRITTEN), (2, Status.FAILED))
    }
    settled = {stream: stream.period.covered([ago(3), ago(4)]) for stream in streams}
    changed = Snapshot(settled, known).with_changed(["french"])
    assert set(changed.settled) == {stream for stream in streams if stream.segment != "french"}
    for stream in streams:
        expected = {ago(1): Status.WRITTEN, ago(2): Status.FAILED}
        if stream.segment == "french":
            expected = dict.fromkeys((ago(1), ago(2), ago(3), ago(4)), Status.PENDING)
        assert {each.date: state.status for each, state in changed.known.items() if each.stream == stream} == expected
