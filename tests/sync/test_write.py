"""Writing: whole slices from the buffers to the tables, in batches that bound memory and statements."""

from __future__ import annotations

import random
import tempfile
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT
from matomo_fn.errors import WarehouseError
from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.load import Loader
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, Run, Status, outcome_of
from matomo_fn.sync.result import Tally
from matomo_fn.sync.state import SyncState
from matomo_fn.sync.write import MAX_SLICES, Writer
from matomo_fn.warehouse.tables import ensure_table
from tests.support.local import NOW, TODAY, ago, local, small_world
from tests.support.warehouses import Killed, Watched, death_before, rows_of, stamps, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.support.local import Local

NAME = "visitor_device_type"
TABLE = PREBUILT[NAME]
RUN = Run("run9", "message 9", NOW)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Local]:
    """A connector whose table and log are ready."""
    with (
        FakeMatomo(small_world()) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=[NAME, "visitor_country"]) as opened,
    ):
        opened.warehouse.ensure_dataset()
        SyncState(opened.warehouse, opened.connector).prepare()
        for name in opened.connector.reports:
            ensure_table(opened.warehouse, PREBUILT[name].schema, "day")
        yield opened


class Load:
    """A writer with what it needs; ``watched`` is the warehouse that it writes to."""

    def __init__(
        self,
        shop: Local,
        folder: Path,
        *,
        known: Mapping[Slice, KnownSlice] | None = None,
        rewrite: bool = False,
        buffer_bytes: int = 10**8,
        before: Callable[[str, str], None] | None = None,
    ) -> None:
        """Make it."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.watched = Watched(shop.warehouse, before)
        self.results = Tally(shop.connector.reports)
        self.errors: list[WarehouseError] = []
        self._known = known or {}
        self._rewrite = rewrite
        state = SyncState(self.watched, shop.connector)
        loader = Loader(self.watched, self._known, ())
        self.writer = Writer(loader, state, RUN, folder, buffer_bytes=buffer_bytes, now=shop.now)

    def add(self, extracted: Extracted) -> None:
        """Give it a slice, as a run does."""
        slice_ = extracted.slice
        known = self._known.get(slice_, UNKNOWN)
        entry = outcome_of(extracted, known, RUN, is_final=slice_.date < ago(3), rewrite=self._rewrite)
        self.writer.add(PREBUILT[slice_.table], entry, extracted.content)
        if self.writer.is_full:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        loaded = self.writer.flush()
        self.results.logged(loaded.entries)
        self.errors += loaded.errors

    @property
    def merges(self) -> int:
        """How many merges there were."""
        return self.watched.count("run", "merge")


def slice_(day: int = 1, site: str = "1", table: str = NAME) -> Slice:
    """A slice, so many days ago."""
    return Slice(Stream(table, site), ago(day))


def parsed(*labels: str, content_hash: str = "h1") -> ParsedSlice:
    """Rows with these labels."""
    lines = tuple(f'{{"device_type":"{label}","visits":1,"_is_others":false}}' for label in labels)
    return ParsedSlice(lines, content_hash, has_others=False)


def parsed_country() -> ParsedSlice:
    """One row of visitor_country."""
    line = '{"country":"France","country_code":"fr","visits":1,"_is_others":false}'
    return ParsedSlice((line,), "h", has_others=False)


def known(content_hash: str = "h1", *, intact: bool = True, status: Status = Status.WRITTEN) -> KnownSlice:
    """What the log says of a slice."""
    return KnownSlice(status, 2, content_hash, "run1", "message 1", intact)


def test_a_changed_slice_is_written_and_an_equal_one_is_not_loaded(shop: Local, tmp_path: Path) -> None:
    """Equal means the hash of the log, of rows that are still there; it is counted, and no news for the log."""
    load = Load(shop, tmp_path / "f", known={slice_(1): known("h1"), slice_(2): known("old")})
    load.add(Extracted(slice_(1), parsed("Desktop", "Tablet")))
    load.add(Extracted(slice_(2), parsed("Desktop")))
    load.flush()
    assert stamps(shop.warehouse, NAME) == {(ago(2), "1", "run9")}
    found = {
        day: (row["status"], row["row_count"], row["written_run_id"])
        for (_, _, day), row in states(shop.warehouse).items()
    }
    assert found == {ago(2): ("written", 1, "run9")}
    assert (load.results.tables[NAME].unchanged, load.results.tables[NAME].written, load.results.tables[NAME].rows) == (
        1,
        1,
        1,
    )


@pytest.mark.parametrize("rewrite", [True, False])
def test_an_equal_slice_is_written_where_its_rows_are_gone_or_a_refresh_asks_for_it(
    shop: Local, tmp_path: Path, *, rewrite: bool
) -> None:
    """The log is believed only as far as the table bears it out."""
    load = Load(shop, tmp_path / "f", known={slice_(): known(intact=rewrite)}, rewrite=rewrite)
    load.add(Extracted(slice_(), parsed("Desktop")))
    load.flush()
    assert load.results.tables[NAME].written == 1


def test_pending_and_failed_slices_keep_what_the_log_knows_of_the_table(shop: Local, tmp_path: Path) -> None:
    """Rows, hash and run of the table's rows are carried on, with the reason; nothing is loaded."""
    load = Load(shop, tmp_path / "f", known={slice_(1): known(), slice_(2): known()})
    load.add(Extracted(slice_(1), None, pending="not processed"))
    load.add(Extracted(slice_(2), None, error="no answer"))
    load.add(Extracted(slice_(3), None, error="no answer either"))
    load.flush()
    assert load.watched.changes() == []
    found = {
        day: tuple(row[name] for name in ("status", "row_count", "content_hash", "written_run_id", "error"))
        for (_, _, day), row in states(shop.warehouse).items()
    }
    assert found == {
        ago(1): ("pending", 2, "h1", "run1", f"{NAME} of site 1 on {ago(1)}: not processed"),
        ago(2): ("failed", 2, "h1", "run1", "no answer"),
        ago(3): ("failed", 0, None, None, "no answer either"),
    }


def test_all_days_and_sites_of_a_table_are_one_load_and_one_merge(shop: Local, tmp_path: Path) -> None:
    """Whatever their number, and as much for the log."""
    load = Load(shop, tmp_path / "f")
    for day in range(1, 21):
        for site in ("1", "2"):
            for table in (NAME, "visitor_country"):
                load.add(Extracted(slice_(day, site, table), ParsedSlice((), "h", has_others=False)))
    load.flush()
    assert (load.watched.count("load"), load.merges, load.watched.count("run", "append")) == (3, 2, 1)
    assert load.watched.count("drop_table") == 3
    assert load.results.tables[NAME].written == 40


def test_a_full_buffer_is_written_and_the_run_goes_on(shop: Local, tmp_path: Path) -> None:
    """What one flush writes is logged before the next one begins; no file is left, and the disk is bounded."""
    load = Load(shop, tmp_path / "f", buffer_bytes=1000)
    largest = 0
    for day in range(1, 31):
        load.add(Extracted(slice_(day), parsed("Desktop", "Tablet")))
        largest = max(largest, sum(path.stat().st_size for path in load.folder.iterdir()))
    load.flush()
    assert load.merges == load.watched.count("run", "append")
    assert 5 <= load.merges <= 10
    assert largest < 2000
    assert list(load.folder.iterdir()) == []
    assert len(rows_of(shop.warehouse, TABLE)) == 60
    assert len(states(shop.warehouse)) == 30
    steps = [f"{method} {what}".split("_staging")[0] for method, what in load.watched.calls]
    changes = [step for step in steps if step in {"run merge", "run append", "drop_table "}]
    assert changes == ["run merge", "drop_table ", "run append", "drop_table "] * load.merges


def test_a_flush_with_nothing_to_write_asks_nothing(shop: Local, tmp_path: Path) -> None:
    """No slice, no statement."""
    load = Load(shop, tmp_path / "f")
    load.flush()
    assert load.watched.calls == []


def test_slices_of_a_batch_are_bounded(shop: Local, tmp_path: Path) -> None:
    """Also slices that bring no rows fill a batch: the statement and the memory have bounds."""
    load = Load(shop, tmp_path / "f")
    for number in range(MAX_SLICES):
        assert load.watched.calls == []
        load.add(Extracted(Slice(Stream(NAME, str(number)), TODAY), None, pending="later"))
    assert load.watched.count("run", "append") == 1


def test_a_table_that_fails_is_logged_as_failed_and_the_others_are_written(shop: Local, tmp_path: Path) -> None:
    """The error names the table; its staging table and its file are gone."""

    def check(_method: str, what: str) -> None:
        if what.startswith(f"load_staging_{NAME}"):
            raise WarehouseError("no")

    load = Load(shop, tmp_path / "f", known={slice_(): known("old")}, before=check)
    load.add(Extracted(slice_(), parsed("Desktop")))
    load.add(Extracted(slice_(1, "1", "visitor_country"), ParsedSlice((), "h", has_others=False)))
    load.flush()
    assert [str(error) for error in load.errors] == [f"table {NAME}: no"]
    found = {table: (row["status"], row["content_hash"]) for (table, _, _), row in states(shop.warehouse).items()}
    assert found == {NAME: ("failed", "old"), "visitor_country": ("written", "h")}
    assert (load.results.tables[NAME].failed, load.results.tables[NAME].written) == (1, 0)
    assert list(load.folder.iterdir()) == []


def test_a_disk_that_is_full_while_rows_are_added_costs_that_table(shop: Local, tmp_path: Path) -> None:
    """What waited of it is logged as failed at once, with what was known of it; the others are written."""
    load = Load(shop, tmp_path / "b", known={slice_(2): known()})
    load.add(Extracted(slice_(3, table="visitor_country"), parsed_country()))
    (tmp_path / "b" / f"{NAME}.json.gz").symlink_to("/dev/full")
    load.add(Extracted(slice_(1), parsed("desktop")))
    label = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz", k=1_000_000))  # noqa: S311 - no secret
    load.add(Extracted(slice_(2), parsed(label, content_hash="h2")))
    tables = load.results.tables
    assert (tables[NAME].failed, tables[NAME].written, tables["visitor_country"].written) == (2, 0, 1)
    assert [str(error).partition(": the disk")[0] for error in load.errors] == [f"table {NAME}"]
    logged = states(shop.warehouse)
    assert [logged[NAME, "1", ago(day)]["written_run_id"] for day in (1, 2)] == [None, "run1"]
    load.add(Extracted(slice_(1), parsed("desktop")))
    assert not load.writer.is_full
    load.flush()
    assert tables[NAME].written == 1
    assert len(load.errors) == 1  # told once, however many flushes follow


def test_an_entry_of_a_slice_that_was_not_extracted_is_logged_where_nothing_else_waits(
    shop: Local, tmp_path: Path
) -> None:
    """It is not counted among what the run has handled."""
    load = Load(shop, tmp_path / "b")
    entry = outcome_of(Extracted(slice_(), parsed("desktop")), UNKNOWN, RUN, is_final=True, rewrite=False)
    load.writer.amend(replace(entry, visits_difference=3))
    load.flush()
    assert states(shop.warehouse)[NAME, "1", ago(1)]["visits_difference"] == 3
    assert load.results.tables[NAME].written == 0


def test_what_is_discarded_is_not_written(shop: Local, tmp_path: Path) -> None:
    """A run that ends by an error leaves no file and no half of a batch."""
    load = Load(shop, tmp_path / "f")
    load.add(Extracted(slice_(), parsed("Desktop")))
    assert list(load.folder.iterdir()) != []
    load.writer.discard()
    load.flush()
    assert list(load.folder.iterdir()) == []
    assert load.watched.calls == []


@pytest.mark.parametrize("buffer_bytes", [1, 700, 3000, 10**8])
def test_flushing_midway_ends_in_the_same_tables(
    buffer_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However small the buffer, a whole run writes the same rows and the same states, and leaves no file behind."""
    buffers = tmp_path / "buffers"
    buffers.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(buffers))
    found = []
    merges = 0
    with FakeMatomo(small_world()) as matomo:
        for name, size in (("whole", 10**8), ("parts", buffer_bytes)):
            with local(matomo, tmp_path / f"{name}.duckdb", reports=[NAME], backfill_days=4) as shop:
                result = shop.sync(buffer_bytes=size)
                statuses = {key: (row["status"], row["content_hash"]) for key, row in shop.states().items()}
                found.append((shop.contents(), statuses, result.tables[NAME].written, result.tables[NAME].rows))
                merges = shop.watched.count("run", "merge")
    assert found[0] == found[1]
    assert (merges > 1) == (buffer_bytes < 3000)
    assert list(buffers.iterdir()) == []


def test_a_killed_run_loses_at_most_what_is_in_the_buffer(tmp_path: Path) -> None:
    """What was flushed before is logged: the next run asks only for the rest."""
    with (
        FakeMatomo(small_world()) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=[NAME], trailing_days=1, concurrency=1) as shop,
    ):
        with pytest.raises(Killed):
            shop.sync(buffer_bytes=1, before=death_before(f"merge_staging_{NAME}_run0001_5"))
        done = {(site, day) for _, site, day in shop.states()}
        assert len(done) == 4
        matomo.forget_calls()
        shop.sync()
        yesterday = TODAY - timedelta(days=1)
        asked = {(str(site), day) for method, site, day in shop.asked() if method == "DevicesDetection.getType"}
        assert asked & done <= {("1", yesterday), ("2", yesterday)}
        assert len(shop.states()) == 12
