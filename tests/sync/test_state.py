"""The state: from rows of the log to what is due, and back."""

from __future__ import annotations

import gc
import tracemalloc
from dataclasses import replace
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, SYNC_LOG, SYNC_STATE, Catalogue
from matomo_fn.days import Days
from matomo_fn.errors import InputError, SchemaMismatch
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.outcome import LogEntry, Run, Status
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.local import CREATED, NOW, YESTERDAY, Local, ago, days, local, small_world
from tests.support.warehouses import Watched, states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any


TABLE = PREBUILT["visits_summary"]
OTHER = PREBUILT["visitor_country"]
TABLES = Catalogue([TABLE, OTHER])
SITE = Site("1", "Shop", NOW.tzinfo or NOW.astimezone().tzinfo, CREATED)  # type: ignore[arg-type]  # NOW is in UTC
WINDOW = Window(SITE, ago(6), YESTERDAY, ago(2))
PAST = Window(SITE, ago(20), ago(15), ago(20))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Local]:
    """A connector; its Matomo is not asked."""
    with FakeMatomo(small_world()) as matomo, local(matomo, tmp_path / "x.duckdb") as opened:
        opened.warehouse.ensure_dataset()
        for table in (TABLE, OTHER):
            ensure_table(opened.warehouse, table.schema, "day")
        yield opened


@pytest.fixture
def state(shop: Local) -> SyncState:
    """Its log, ready and empty."""
    found = SyncState(shop.warehouse, shop.connector)
    found.prepare()
    return found


class Log:
    """Appends entries, each call a run and a second later than the one before."""

    def __init__(self, shop: Local, state: SyncState, folder: Path) -> None:
        """Begin with run 1."""
        self._shop = shop
        self._state = state
        self._folder = folder
        self._batch = 0

    def __call__(self, *entries: LogEntry, request_id: str = "") -> None:
        """Append entries; for those that are written the row is put into the table as well."""
        self._batch += 1
        run = Run(f"run{self._batch}", request_id or f"run{self._batch}", NOW)
        at = NOW + timedelta(seconds=self._batch)
        self._state.append(run, entries, self._folder, Stamp(run.id, self._batch, at))


@pytest.fixture
def log(shop: Local, state: SyncState, tmp_path: Path) -> Log:
    """Appends to the log."""
    return Log(shop, state, tmp_path)


def entry(day: date, status: Status = Status.WRITTEN, **changes: Any) -> LogEntry:
    """A row of the log; a slice without rows, so that the table bears it out."""
    table = changes.pop("table", TABLE.name)
    site = changes.pop("site", "1")
    found = LogEntry(
        Slice(Stream(table, site), day), status, 0, "h", has_others=False, is_final=True, written_run_id="run1"
    )
    return replace(found, **changes)


def due(
    state: SyncState, *windows: Window, incremental: bool = True, request_id: str = "now"
) -> tuple[list[date], list[date]]:
    """The days that are open and those that are refetched."""
    seen = windows or (WINDOW,)
    snapshot = state.read(TABLES, seen, incremental=incremental)
    scope = Scope(Catalogue([TABLE]), tuple(seen), (5, 2), ())
    plan = make_plan(scope, snapshot, request_id=request_id)
    found: dict[bool, Days] = {True: Days(), False: Days()}
    for part in plan.due:
        found[part.reason.is_open] |= part.days
    return list(found[True]), list(found[False])


def test_the_log_and_its_view_are_made_once(shop: Local) -> None:
    """The first time says that the log is new; then there is nothing to do."""
    watched = Watched(shop.warehouse)
    state = SyncState(watched, shop.connector)
    assert not state.exists()
    assert state.prepare() is True
    assert state.exists()
    made = [call for call in watched.calls if call[0].startswith("create")]
    assert made == [("create_table", SYNC_LOG.name), ("create_view", SYNC_STATE)]
    assert state.prepare() is False
    assert [call for call in watched.calls if call[0].startswith("create")] == made


def test_a_log_that_somebody_else_made_is_refused(shop: Local) -> None:
    """Nothing is appended to a table that cannot take it."""
    shop.warehouse.run(f"create table `{shop.warehouse.dataset}._sync_log` (date STRING)", "x")
    with pytest.raises(SchemaMismatch, match="column date is STRING, not DATE"):
        SyncState(shop.warehouse, shop.connector).prepare()


def test_of_an_empty_log_everything_is_open(state: SyncState) -> None:
    """Every day of every window, in order."""
    assert due(state) == (list(WINDOW.days), [])


def test_good_days_before_the_trailing_ones_are_settled(state: SyncState, log: Log) -> None:
    """Written or unchanged, it is not asked again; the trailing days are."""
    log(*(entry(day, Status.WRITTEN if day.day % 2 else Status.UNCHANGED) for day in WINDOW.days))
    assert due(state) == ([], [ago(2), ago(1)])


@pytest.mark.parametrize("status", [Status.FAILED, Status.PENDING])
def test_failed_and_pending_days_are_open(state: SyncState, log: Log, status: Status) -> None:
    """Wherever in the window they lie."""
    log(*(entry(day) for day in WINDOW.days))
    log(entry(ago(5), status), entry(ago(1), status))
    assert due(state) == ([ago(5), ago(1)], [ago(2)])


def test_the_newest_row_counts(state: SyncState, log: Log) -> None:
    """A slice that was repaired is settled, one that failed since is not."""
    log(*(entry(day) for day in WINDOW.days))
    log(entry(ago(5), Status.FAILED), entry(ago(4), Status.FAILED))
    log(entry(ago(5)))
    assert due(state)[0] == [ago(4)]


def test_days_that_are_missing_are_open(state: SyncState, log: Log) -> None:
    """A gap in the log is a gap in the table."""
    log(*(entry(day) for day in WINDOW.days if day != ago(4)))
    assert due(state)[0] == [ago(4)]


def test_days_that_were_not_final_are_rechecked(state: SyncState, log: Log) -> None:
    """A day that was asked while it was young is asked once more when it is older."""
    log(*(entry(day, is_final=day != ago(4)) for day in WINDOW.days))
    assert due(state) == ([], [ago(4), ago(2), ago(1)])


def test_open_days_older_than_the_window_are_due_and_settled_ones_are_not(state: SyncState, log: Log) -> None:
    """Of any age, but not before the site was created."""
    log(entry(ago(20), Status.FAILED), entry(ago(19)), entry(ago(18), Status.PENDING), entry(ago(17), Status.FAILED))
    log(entry(ago(17)), entry(CREATED - timedelta(days=1), Status.FAILED), *(entry(day) for day in WINDOW.days))
    assert due(state) == ([ago(20), ago(18)], [ago(2), ago(1)])


def test_an_explicit_window_is_asked_whole_and_nothing_else(state: SyncState, log: Log) -> None:
    """What no good answer is known of comes first."""
    log(*(entry(day) for day in PAST.days if day != ago(17)), entry(ago(10), Status.FAILED))
    assert due(state, PAST, incremental=False) == ([ago(17)], [day for day in PAST.days if day != ago(17)])


def test_what_the_same_request_has_done_is_left_out(state: SyncState, log: Log) -> None:
    """Only what was done well: its failed slices are due."""
    log(entry(ago(20)), entry(ago(19), Status.FAILED), request_id="message 7")
    opened, recheck = due(state, PAST, incremental=False, request_id="message 7")
    assert (ago(20) in opened + recheck, opened) == (False, days(ago(19), ago(15)))
    assert ago(20) in due(state, PAST, incremental=False, request_id="message 8")[1]


def test_tables_and_sites_are_apart(state: SyncState, log: Log) -> None:
    """What is known of one says nothing of another."""
    log(*(entry(day, table=OTHER.name) for day in WINDOW.days), *(entry(day, site="11") for day in WINDOW.days))
    assert due(state) == (list(WINDOW.days), [])


def test_connectors_are_apart(shop: Local, state: SyncState, log: Log, tmp_path: Path) -> None:
    """A log may be shared: each connector sees its own rows."""
    log(*(entry(day) for day in WINDOW.days))
    with local(shop.matomo, tmp_path / "x.duckdb", name="other", dataset=shop.connector.dataset_name) as other:
        assert due(SyncState(other.warehouse, other.connector)) == (list(WINDOW.days), [])
    assert due(state)[0] == []


@pytest.mark.parametrize(
    ("rows", "logged", "run", "intact"),
    [
        (0, 0, "run1", True),
        (2, 2, "run1", True),
        (1, 2, "run1", False),  # somebody deleted one
        (3, 2, "run1", False),
        (2, 2, "run2", False),  # a run wrote them and died before it could say so
        (0, 2, "run1", False),
        (2, 0, "run1", False),
    ],
)
def test_the_log_is_compared_with_the_table(
    shop: Local, state: SyncState, log: Log, rows: int, logged: int, run: str, *, intact: bool
) -> None:
    """A slice is intact where the table has as many rows as the log says, all of the run that it says."""
    name = f"`{shop.warehouse.dataset}.{OTHER.name}`"
    for number in range(rows):
        shop.warehouse.run(
            f"insert into {name} (date, website_id, segment, country, _is_others, _synced_at, _run_id) "
            f"values (date '{ago(1)}', '1', '', 'c{number}', false, timestamp '2026-11-20 00:00:00+00', '{run}')",
            "x",
        )
    log(entry(ago(1), table=OTHER.name, row_count=logged))
    known = state.read(TABLES, [WINDOW], incremental=True).known[Slice(Stream(OTHER.name, "1"), ago(1))]
    assert (known.is_intact, known.row_count, known.content_hash) == (intact, logged, "h")


def test_a_tables_slices_are_invalidated_for_every_connector(
    shop: Local, state: SyncState, log: Log, tmp_path: Path
) -> None:
    """The table is gone for all that fill it; other tables keep their state, and pending slices are not repeated."""
    log(entry(ago(9)), entry(ago(8), Status.PENDING, error="why"), entry(ago(7), Status.FAILED))
    log(entry(ago(9), table=OTHER.name))
    with local(shop.matomo, tmp_path / "x.duckdb", name="b", dataset=shop.connector.dataset_name) as other:
        Log(other, SyncState(other.warehouse, other.connector), tmp_path)(entry(ago(9), site="2"))
    state.invalidate(TABLE.name, run_id="run9", at=NOW + timedelta(hours=1))
    found = {
        key: (row["connector"], row["status"], row["content_hash"], row["run_id"])
        for key, row in states(shop.warehouse).items()
    }
    assert found == {
        (TABLE.name, "1", ago(9)): ("shop", "pending", None, "run9"),
        (TABLE.name, "1", ago(8)): ("shop", "pending", "h", "run1"),
        (TABLE.name, "1", ago(7)): ("shop", "pending", None, "run9"),
        (TABLE.name, "2", ago(9)): ("b", "pending", None, "run9"),
        (OTHER.name, "1", ago(9)): ("shop", "written", "h", "run2"),
    }


def test_a_site_that_another_matomo_fills_is_refused(shop: Local, state: SyncState, log: Log, tmp_path: Path) -> None:
    """By the number of the site, in a table of ours, in the days that are looked at anyway."""
    log(entry(ago(1)))
    with FakeMatomo(small_world()) as second:
        config = {"dataset": shop.connector.dataset_name, "name": "other"}
        with local(second, tmp_path / "x.duckdb", **config) as other:
            foreign = SyncState(other.warehouse, other.connector)
            with pytest.raises(InputError, match="connector 'shop' fills site 1 of dataset"):
                foreign.refuse_foreign([TABLE.name], [WINDOW])
            foreign.refuse_foreign([OTHER.name], [WINDOW])
            foreign.refuse_foreign([TABLE.name], [replace(WINDOW, site=replace(SITE, id="2"))])
    state.refuse_foreign([TABLE.name], [WINDOW])


def test_any_text_of_an_error_is_kept(shop: Local, log: Log) -> None:
    """Quotes, line breaks, half characters: the log takes what Matomo says."""
    log(entry(ago(1), Status.FAILED, error='it\'s "so"\n\\n 😀 \ud83d'))
    assert states(shop.warehouse)[TABLE.name, "1", ago(1)]["error"] == 'it\'s "so"\n\\n 😀 \ufffd'


def test_the_file_of_the_log_is_deleted(log: Log, tmp_path: Path) -> None:
    """On a function the disk is memory."""
    log(entry(ago(1)))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("log_")] == []


def test_of_two_runs_the_later_look_at_the_table_counts_and_not_the_later_log(shop: Local, log: Log) -> None:
    """A run that looked before the other one wrote, and logs after it, does not know what the table has now."""
    day = ago(4)
    log(entry(day, content_hash="new", seen_at=NOW + timedelta(minutes=2)))
    log(entry(day, Status.FAILED, content_hash="old", seen_at=NOW + timedelta(minutes=1)))
    newest = states(shop.warehouse)[TABLE.name, "1", day]
    assert (newest["status"], newest["content_hash"]) == ("written", "new")


def test_of_two_sites_each_has_trailing_days_of_its_own(state: SyncState, log: Log) -> None:
    """Yesterday is another day in Auckland than in New York; what either has is compared, and not taken for missing."""
    west = Window(SITE, ago(6), ago(2), ago(3))
    east = Window(replace(SITE, id="2"), ago(6), ago(1), ago(2))
    log(*(entry(day, site=window.site.id) for window in (west, east) for day in window.days))
    for windows in ((west, east), (east, west)):
        assert due(state, *windows) == ([], [ago(3), ago(2), ago(1)])


def test_the_number_of_queries_does_not_grow(shop: Local, log: Log) -> None:
    """Three queries a run, whatever the number of tables, sites and days, and of rows in the log."""
    sites = [replace(SITE, id=str(number)) for number in range(1, 40)]
    counts = []
    for windows in ([WINDOW], [Window(site, CREATED, YESTERDAY, ago(3)) for site in sites]):
        watched = Watched(DuckDBWarehouse(shop._path, shop.connector.dataset_name))
        SyncState(watched, shop.connector).read(TABLES, windows, incremental=True)
        counts.append(len(watched.calls))
        watched.close()
        log(*(entry(day, site=site.id) for site in sites for day in days(CREATED, YESTERDAY)))
    assert counts == [3, 3]


def test_settled_days_are_held_as_ranges_however_many_there_are(shop: Local, log: Log) -> None:
    """Ten years take no more memory than a month: a function has 1 GiB for all tables and sites together.

    Neither while the log is read nor afterwards: what is taken at the most counts.
    """
    most = {}
    for first in (ago(30), ago(3_650)):
        log(*(entry(day, table=name) for name in TABLES for day in days(first, YESTERDAY)))
        window = Window(replace(SITE, created=first), first, YESTERDAY, ago(3))
        state = SyncState(shop.warehouse, shop.connector)
        scope = Scope(TABLES, (window,), (5, 2), ())
        make_plan(scope, state.read(TABLES, [window], incremental=True))  # what is kept for the next statements
        gc.collect()
        tracemalloc.start()
        snapshot = state.read(TABLES, [window], incremental=True)
        plan = make_plan(scope, snapshot)
        _, most[first] = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert plan.slices == len(TABLES) * 3
    # A set of days, which this once was, took 0.9 MB.
    assert most[ago(3_650)] - most[ago(30)] < 100_000, most


def second_connector(shop: Local, tmp_path: Path, **config: Any) -> Local:
    """Another connector on the same dataset."""
    values = {"name": "other", "dataset": shop.connector.dataset_name, **config}
    return Local(shop.matomo, tmp_path / "x.duckdb", **values)


def test_older_failures_of_another_connector_are_not_ours(
    shop: Local, state: SyncState, log: Log, tmp_path: Path
) -> None:
    """Each connector heals its own slices, also where both fill the same table and site of one dataset."""
    other = second_connector(shop, tmp_path)
    theirs = SyncState(other.warehouse, other.connector)
    Log(other, theirs, tmp_path)(entry(ago(20), Status.FAILED), *(entry(day) for day in WINDOW.days))
    log(entry(ago(18), Status.FAILED))
    assert due(state) == ([ago(18), *WINDOW.days], [])
    assert due(theirs) == ([ago(20)], [ago(2), ago(1)])
    other.close()


@pytest.mark.usefixtures("state")
def test_a_connector_whose_address_changed_is_not_foreign_to_itself(shop: Local, log: Log, tmp_path: Path) -> None:
    """The server moved, or its URL got an s: the rows are its own, and what is settled stays settled."""
    log(*(entry(day) for day in WINDOW.days))
    moved = second_connector(shop, tmp_path, name="shop", matomo_url="https://new.example.com")
    changed = SyncState(moved.warehouse, moved.connector)
    changed.refuse_foreign([TABLE.name], [WINDOW])
    assert due(changed) == ([], [ago(2), ago(1)])
    moved.close()


@pytest.mark.usefixtures("state")
def test_two_connectors_of_one_matomo_may_fill_the_same_table_and_site(shop: Local, log: Log, tmp_path: Path) -> None:
    """They write the same rows; only another Matomo's would be mixed up with them."""
    log(entry(ago(1)))
    other = second_connector(shop, tmp_path)
    SyncState(other.warehouse, other.connector).refuse_foreign([TABLE.name], [WINDOW])
    other.close()


def test_of_two_connectors_that_fill_the_same_slice_each_has_a_state_of_its_own(
    shop: Local, state: SyncState, log: Log, tmp_path: Path
) -> None:
    """In the view, and where the table is dropped: both have lost their rows, whichever of them was logged last."""
    log(entry(ago(2)))
    log(entry(ago(2), content_hash="newer"))
    other = second_connector(shop, tmp_path)
    Log(other, SyncState(other.warehouse, other.connector), tmp_path)(entry(ago(2), Status.FAILED))
    found = f"select s.connector, s.status, s.content_hash from {shop.warehouse.dataset}.{SYNC_STATE} s order by 1"

    def newest() -> list[tuple[Any, ...]]:
        return [(row["connector"], row["status"], row["content_hash"]) for row in shop.warehouse.query(found)]

    assert newest() == [("other", "failed", "h"), ("shop", "written", "newer")]
    state.invalidate(TABLE.name, run_id="run9", at=NOW + timedelta(hours=1))
    assert newest() == [("other", "pending", None), ("shop", "pending", None)]
    other.close()
