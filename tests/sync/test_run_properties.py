"""Any history of runs, cut off or not, in any order and two at once, ends in the tables of one run of the union."""

from __future__ import annotations

import itertools
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fake_matomo import FakeMatomo, Fault
from matomo_fn.errors import WarehouseError, WarehouseUnavailable
from matomo_fn.verdict import Verdict
from tests.support.local import Local, ago, days, local, small_world
from tests.support.warehouses import Death, Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from matomo_fn.sync.result import RunResult

TABLES = ("visits_summary", "visitor_country", "referrers")
METHODS = ("VisitsSummary.get", "UserCountry.getCountry", "Referrers.getAll")
FIRST, LAST = 6, 1
DAYS = days(ago(FIRST), ago(LAST))
UNION: dict[str, Any] = {"start_date": ago(FIRST), "end_date": ago(LAST)}


@dataclass(frozen=True)
class Cut:
    """How a run is cut off: killed before its n-th change, out of time after n calls, or failed in one merge."""

    kind: str = "none"
    at: int = 0

    def arguments(self) -> dict[str, Any]:
        """What to give to ``Local.sync``."""
        if self.kind == "killed":
            return {"before": Death(self.at)}
        if self.kind == "merge fails":
            return {"before": failing_merge(self.at)}
        return {"calls": 2 + self.at} if self.kind == "out of time" else {}


@dataclass(frozen=True)
class Step:
    """One run, and what happens in Matomo before it."""

    first: int = FIRST
    last: int = LAST
    tables: tuple[str, ...] = TABLES
    sites: tuple[str, ...] = ("1", "2")
    mode: str = "incremental"
    window: bool = True
    cut: Cut = Cut()
    buffer_bytes: int = 10**8
    change: tuple[int, int] | None = None
    unprocess: tuple[int, int] | None = None
    fault: tuple[str, int] | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The request's fields."""
        window = {"start_date": ago(self.first), "end_date": ago(self.last)} if self.window else {}
        return {"tables": self.tables, "sites": self.sites, "mode": self.mode, **window}


def failing_merge(number: int) -> Callable[[str, str], None]:
    """A warehouse whose n-th merge fails, for good or for now."""
    merges = itertools.count(1)

    def check(_method: str, what: str) -> None:
        if what.startswith("merge") and next(merges) == number:
            raise (WarehouseError, WarehouseUnavailable)[number % 2]("no")

    return check


def some(values: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    """One or more of the values, in any order."""
    return st.lists(st.sampled_from(values), min_size=1, unique=True).map(tuple)


cuts = st.one_of(
    st.just(Cut()),
    st.builds(Cut, st.just("killed"), st.integers(1, 17)),
    st.builds(Cut, st.just("out of time"), st.integers(1, 5)),
    st.builds(Cut, st.just("merge fails"), st.integers(1, 3)),
)
windows = st.tuples(st.integers(LAST, FIRST), st.integers(LAST, FIRST)).map(lambda pair: (max(pair), min(pair)))
site_days = st.tuples(st.integers(1, 2), st.integers(LAST, FIRST))


@st.composite
def steps(draw: st.DrawFn, *, whole: bool = False) -> Step:
    """Any run; ``whole``: one that comes to its end, in a Matomo that does not change."""
    first, last = draw(windows)
    known = Step(
        first,
        last,
        draw(some(TABLES)),
        draw(some(("1", "2"))),
        draw(st.sampled_from(["incremental", "backfill", "full_refresh"])),
        draw(st.booleans()),
        buffer_bytes=draw(st.sampled_from([1, 2000, 10**8])),
    )
    if whole:
        return known
    return Step(
        **{
            name: getattr(known, name)
            for name in ("first", "last", "tables", "sites", "mode", "window", "buffer_bytes")
        },
        cut=draw(cuts),
        change=draw(st.none() | site_days),
        unprocess=draw(st.none() | site_days),
        fault=draw(st.none() | st.tuples(st.sampled_from(METHODS), st.integers(LAST, FIRST))),
    )


@contextmanager
def connected(**config: Any) -> Iterator[Local]:
    """A small Matomo and an empty file; no line of log for each of the many runs."""
    with (
        FakeMatomo(small_world()) as matomo,
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        local(matomo, Path(folder) / "x.duckdb", reports=list(TABLES), **config) as opened,
    ):
        yield opened


@contextmanager
def quiet() -> Iterator[None]:
    """Log nothing."""
    before = structlog.get_config()
    structlog.configure(processors=[drop_event])
    try:
        yield
    finally:
        structlog.configure(**before)


def drop_event(*_: object) -> Any:
    """Drop every event."""
    raise structlog.DropEvent


def run(shop: Local, step: Step) -> RunResult | None:
    """Let happen what happens before, and run; None where the run was killed or the log could not be written."""
    matomo = shop.matomo
    if step.change:
        matomo.change(step.change[0], ago(step.change[1]))
    if step.unprocess:
        matomo.unprocess(step.unprocess[0], ago(step.unprocess[1]))
    if step.fault:
        matomo.faults.add(Fault(method=step.fault[0], day=ago(step.fault[1]), message="Something broke"))
    try:
        return shop.sync(buffer_bytes=step.buffer_bytes, **step.cut.arguments(), **step.request)
    except (Killed, WarehouseError):
        return None
    finally:
        matomo.faults.clear()
        for site in (1, 2):
            for day in DAYS:
                matomo.process(site, day)


def reference(shop: Local) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of one run of the union into an empty file."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local(shop.matomo, Path(folder) / "fresh.duckdb", reports=list(TABLES)) as other,
    ):
        assert other.sync(**UNION).verdict is Verdict.COMPLETE
        return other.contents()


KILLED_BETWEEN_MERGE_AND_LOG = Step(cut=Cut("killed", 16))
KILLED_BETWEEN_LOAD_AND_MERGE = Step(cut=Cut("killed", 8), change=(1, 2))


@pytest.mark.long
@settings(max_examples=7, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps(), min_size=1, max_size=3), st.sampled_from(["incremental", "backfill", "full_refresh"]))
@example([KILLED_BETWEEN_MERGE_AND_LOG, KILLED_BETWEEN_LOAD_AND_MERGE], "incremental")
@example([Step(), Step(unprocess=(1, 2), change=(1, 2)), Step(window=False, cut=Cut("merge fails", 2))], "backfill")
def test_any_runs_and_then_one_of_the_union_end_in_the_tables_of_one_run(history: list[Step], mode: str) -> None:
    """Cut off, failing, pending, days that change: afterwards one whole run of the union makes everything right."""
    with connected() as shop:
        for step in history:
            run(shop, step)
            assert shop.duplicates() == []
        assert shop.sync(mode=mode, **UNION).verdict is Verdict.COMPLETE
        assert shop.contents() == reference(shop)
        assert shop.duplicates() == []
        assert {row["status"] for row in shop.states().values()} <= {"written", "unchanged"}
        again = shop.sync(**UNION)
        assert sum(table.written for table in again.tables.values()) == 0


@pytest.mark.long
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(steps(whole=True), min_size=1, max_size=4))
def test_runs_that_come_to_their_end_add_up_to_their_union(history: list[Step]) -> None:
    """Overlapping windows in any order: the tables have exactly the slices that were asked, each as one run has it."""
    covered = set()
    with connected() as shop:
        for step in history:
            result = run(shop, step)
            assert result is not None
            assert result.verdict is Verdict.COMPLETE
            # Without a window: the backfill, all six days.
            wanted = days(ago(step.first), ago(step.last)) if step.window else DAYS
            covered |= {(table, site, day) for table in step.tables for site in step.sites for day in wanted}
        expected = {
            table: [row for row in rows if (table, row[1], row[0]) in covered]
            for table, rows in reference(shop).items()
        }
        assert shop.contents() == expected


@pytest.mark.long
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(cuts, st.booleans()), min_size=1, max_size=3))
def test_daily_runs_heal_what_was_cut_off(history: list[tuple[Cut, bool]]) -> None:
    """Without any explicit window: however the runs before ended, one daily run that is not cut off completes them."""
    with connected() as shop:
        for cut, rewrite in history:
            run(shop, Step(cut=cut, window=False, mode="full_refresh" if rewrite else "incremental"))
            assert shop.duplicates() == []
        assert shop.sync().verdict is Verdict.COMPLETE
        assert shop.contents() == reference(shop)


@pytest.mark.long
@settings(max_examples=3, suppress_health_check=[HealthCheck.too_slow])
@given(first=steps(whole=True), second=steps(whole=True), together=st.booleans())
@example(first=Step(), second=Step(), together=True)
@example(first=Step(), second=Step(mode="full_refresh", buffer_bytes=1), together=False)
def test_two_runs_at_once_leave_no_duplicates_and_are_healed(first: Step, second: Step, *, together: bool) -> None:
    """Two runs into one file at the same time, as after a timeout; ``together``: they begin to merge in one moment."""
    meeting = threading.Barrier(2)

    def meet(_method: str, what: str) -> None:
        if what.startswith("merge") and together and not meeting.broken:
            try:
                meeting.wait(0.5)
            except threading.BrokenBarrierError:
                return

    with connected() as shop:
        shop.sync(**UNION, sites=("1",))
        for site in (1, 2):
            shop.matomo.change(site, ago(2))
        with ThreadPoolExecutor(2) as pool:
            runs = [
                pool.submit(shop.sync, before=meet, buffer_bytes=step.buffer_bytes, **step.request)
                for step in (first, second)
            ]
            for future in runs:
                assert future.result().verdict is Verdict.COMPLETE
        assert shop.duplicates() == []
        shop.sync(**UNION)
        assert shop.contents() == reference(shop)
        assert shop.duplicates() == []
