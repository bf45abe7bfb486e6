"""Runs that overlap, on a warehouse with BigQuery's rule: statements that only insert commit beside each other."""

from __future__ import annotations

import itertools
import json
import os
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Catalogue
from matomo_fn.config.connector import read_connector
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.sites import Site
from matomo_fn.sync.audit import AuditResult, audit
from matomo_fn.sync.load import Loader
from matomo_fn.sync.outcome import UNKNOWN, Run, outcome_of
from matomo_fn.sync.plan import make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.write import Writer
from matomo_fn.warehouse.tables import ensure_table
from tests.support.bigquery_rules import RulesWarehouse, Storage, interleave, no_step
from tests.support.local import NOW, TODAY, ago
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from matomo_fn.slices import Slice

CONNECTOR = read_connector("shop", json.dumps({"matomo_url": "https://shop.example", "sites": ["1", "2"]}))
TABLE = PREBUILT["visitor_device_type"]
SITES = ("1", "2")
DAYS = 3
# Each takes 0.3 s: `INTERLEAVINGS=1000 pytest tests/sync/test_overlap.py --timeout=0` looks further than every run of
# the tests has to.
INTERLEAVINGS = int(os.environ.get("INTERLEAVINGS", "25"))
NOTHING = -1  # the revision of a table that nobody has written to


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop_event])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop_event(*_: object) -> Any:
    raise structlog.DropEvent


def labels(slice_: Slice, revision: int) -> tuple[str, ...]:
    """The devices that a revision of Matomo's data has on a day: none on one of three days, two on another."""
    if revision == NOTHING:
        return ()
    count = (slice_.date.toordinal() + revision) % 3
    return tuple(f"{'ABC'[number]}{revision}" for number in range(count))


def parsed(slice_: Slice, revision: int) -> ParsedSlice:
    """The same as it is written."""
    found = labels(slice_, revision)
    lines = tuple(json.dumps({"device_type": label, "visits": 1, "_is_others": False}) for label in found)
    return ParsedSlice(lines, f"hash of {found}", has_others=False)


@dataclass
class World:
    """A dataset, and the runs that write to it."""

    folder: Path
    storage: Storage = field(default_factory=Storage)
    runs: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def connect(self, step: Callable[[], None] = no_step) -> RulesWarehouse:
        """Open the dataset."""
        return RulesWarehouse(self.storage, CONNECTOR.dataset_name, step)

    def now(self) -> datetime:
        """A time that goes on where the dataset changes."""
        return NOW + timedelta(seconds=self.storage.commits)

    def clear(self) -> None:
        """Begin again, with empty tables: creating them takes longer than a run."""
        self.storage.empty(CONNECTOR.dataset_name)
        self.runs = itertools.count(1)

    def prepare(self) -> None:
        """Create log and table."""
        warehouse = self.connect()
        warehouse.ensure_dataset()
        SyncState(warehouse, CONNECTOR).prepare()
        ensure_table(warehouse, TABLE.schema, "day")
        warehouse.close()

    def run(
        self,
        revision: int = 0,
        step: Callable[[], None] = no_step,
        *,
        oldest: int = DAYS,
        newest: int = 1,
        again: bool = True,
    ) -> bool:
        """Write what is due of a window, as a run does, from a Matomo whose data has a revision.

        ``again``: also the days that are settled. Return whether every slice was written.
        """
        name = f"run{next(self.runs)}"
        run = Run(name, name, self.now())
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        warehouse = self.connect(step)
        state = SyncState(warehouse, CONNECTOR)
        since = ago(oldest if again else newest)
        windows = [Window(Site(site, site, UTC, ago(30)), ago(oldest), ago(newest), since) for site in SITES]
        tables = Catalogue([TABLE])
        try:
            plan = make_plan(Scope(tables, tuple(windows), (5, 3), ()), state.read(tables, windows, incremental=True))
            loader = Loader(warehouse, plan.known, ())
            writer = Writer(loader, state, run, folder, buffer_bytes=10**6, now=self.now)
            for slice_ in [due.stream.slice(day) for due in plan.due for day in due.days]:
                extracted = Extracted(slice_, parsed(slice_, revision))
                known = plan.known.get(slice_, UNKNOWN)
                entry = outcome_of(extracted, known, run, is_final=slice_.date < TODAY, rewrite=False)
                writer.add(TABLE, entry, extracted.content)
            return not writer.flush().errors
        finally:
            warehouse.close()

    def audit(self, *, mark: bool = True) -> AuditResult:
        """Compare log and table."""
        warehouse = self.connect()
        name = f"audit{next(self.runs)}"
        try:
            state = SyncState(warehouse, CONNECTOR)
            return audit(warehouse, state, Catalogue([TABLE]), Run(name, name, self.now()), self.now(), mark=mark)
        finally:
            warehouse.close()

    def rows(self) -> dict[tuple[str, Any], list[str]]:
        """The labels that stand in the table, by site and day."""
        warehouse = self.connect()
        found: dict[tuple[str, Any], list[str]] = {}
        for row in warehouse.query(
            f"select t.website_id, t.date, t.device_type from `{warehouse.dataset}.{TABLE.name}` t order by 3"
        ):
            found.setdefault((row["website_id"], row["date"]), []).append(row["device_type"])
        warehouse.close()
        return found


def expected(revision: int) -> dict[tuple[str, Any], list[str]]:
    """What one run of a revision writes."""
    slices = [TABLE.stream(site).slice(ago(day)) for site in SITES for day in range(1, DAYS + 1)]
    return {(s.website_id, s.date): list(labels(s, revision)) for s in slices if labels(s, revision)}


def damaged(world: World, revisions: Iterable[int]) -> set[tuple[str, Any]]:
    """The slices that are not as one run of one of the revisions writes them."""
    rows = world.rows()
    slices = [TABLE.stream(site).slice(ago(day)) for site in SITES for day in range(1, DAYS + 1)]
    return {
        (slice_.website_id, slice_.date)
        for slice_ in slices
        if rows.get((slice_.website_id, slice_.date), []) not in [list(labels(slice_, each)) for each in revisions]
    }


@dataclass(frozen=True)
class Overlapping:
    """One of several runs at once: what its Matomo has, its window, and before which of its steps it dies."""

    revision: int = 0
    oldest: int = DAYS
    newest: int = 1
    dies_at: int | None = None

    def program(self, world: World, ended_well: list[bool]) -> Callable[[Callable[[], None]], None]:
        """What to interleave."""

        def run(step: Callable[[], None]) -> None:
            steps = itertools.count(1)

            def counted() -> None:
                step()
                if self.dies_at is not None and next(steps) >= self.dies_at:
                    raise Killed

            ended_well.append(False)
            number = len(ended_well) - 1
            ended_well[number] = world.run(self.revision, counted, oldest=self.oldest, newest=self.newest)

        return run


@st.composite
def overlapping(draw: st.DrawFn) -> list[Overlapping]:
    """Two to four runs of windows that overlap, one of which may die."""
    runs = []
    for _ in range(draw(st.integers(2, 4))):
        newest = draw(st.integers(1, 2))
        runs.append(Overlapping(draw(st.integers(0, 1)), draw(st.integers(newest, DAYS)), newest))
    if draw(st.booleans()):
        runs[0] = replace(runs[0], dies_at=draw(st.integers(1, 20)))
    return runs


@pytest.fixture(scope="module")
def empty_world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A dataset with empty tables; one for all examples."""
    world = World(tmp_path_factory.mktemp("buffers"))
    world.prepare()
    return world


@pytest.mark.long
@settings(max_examples=INTERLEAVINGS, suppress_health_check=[HealthCheck.too_slow])
@given(
    runs=overlapping(),
    earlier=st.booleans(),
    choices=st.lists(st.integers(0, 3), max_size=60),
)
def test_runs_at_once_leave_whole_slices_or_the_audit_names_them(
    empty_world: World, runs: list[Overlapping], choices: list[int], *, earlier: bool
) -> None:
    """First and later runs, in any interleaving of their statements, one of them dying at any of them.

    Where all end well the table is as one run leaves it and the log tells the truth; otherwise the audit names what is
    wrong, and the next run, which would not look at those days by itself, heals it.
    """
    world = empty_world
    world.clear()
    ended_well: list[bool] = []
    with quiet():
        if earlier:
            world.run(2)
        interleave([run.program(world, ended_well) for run in runs], iter(choices))
        revisions = {0, 1} | ({2} if earlier else set())
        broken = damaged(world, revisions | {NOTHING})
        found = world.audit()
        if all(ended_well):
            assert not broken
            assert found.is_consistent
        assert broken <= {(each.slice.website_id, each.slice.date) for each in found.differences}
        assert world.run(0, again=False)
        assert not damaged(world, revisions)
        assert world.audit().is_consistent


def test_two_first_runs_at_once_leave_each_row_once(tmp_path: Path) -> None:
    """Both find the table empty, so both only insert, and BigQuery commits both."""
    world = World(tmp_path)
    world.prepare()
    ended_well: list[bool] = []
    interleave([Overlapping().program(world, ended_well) for _ in range(2)], iter(()))
    assert world.rows() == expected(0)
