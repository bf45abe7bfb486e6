"""Replacing slices while others do, on a warehouse with BigQuery's rule: visits that move, and titles of pages."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import BUILT_IN, PREBUILT, VISITS
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse.replacement import replace_slices
from matomo_fn.warehouse.tables import Stamp, ensure_table
from matomo_fn.warehouse.titles import fill_page_titles
from tests.support.bigquery_rules import RulesWarehouse, Storage, interleave
from tests.support.warehouses import write_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matomo_fn.catalogue import Column, Table
    from matomo_fn.warehouse.replacement import Found

DAY = date(2026, 11, 12)
NEXT = DAY + timedelta(days=1)
AT = datetime(2026, 11, 20, 3, tzinfo=UTC)
PAGES = BUILT_IN["behaviour_page"]
COUNTRIES = PREBUILT["visitor_country"]
URL = "https://shop.example/"

choices = st.lists(st.integers(0, 1), max_size=30)
interleavings = settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Dataset:
    """A dataset with the tables, and what writes to it."""

    def __init__(self, folder: Path) -> None:
        """Create the tables."""
        self.storage = Storage()
        self.folder = folder
        self._files = itertools.count(1)
        warehouse = self.connect()
        warehouse.ensure_dataset()
        for table in (VISITS, PAGES, COUNTRIES):
            ensure_table(warehouse, table.schema, "day")
        self.warehouse = warehouse

    def connect(self, step: Callable[[], None] = lambda: None) -> RulesWarehouse:
        """Open the dataset."""
        return RulesWarehouse(self.storage, "d", step)

    def write(
        self, warehouse: RulesWarehouse, table: Table, day: date, run: str, *rows: dict[str, Any], expected: int = -1
    ) -> Found:
        """Replace a day of site 1 by rows, which lack the slice's own columns."""
        slice_ = Slice(Stream(table.name, "1"), day)
        own = {"date": str(day), "website_id": "1", "segment": ""}
        filled = [{**{c.name: _required(c) for c in table.parsed if c.required}, **own, **row} for row in rows]
        path = write_lines(self.folder / f"{next(self._files)}.gz", filled)
        count = len(rows) if expected < 0 else expected
        return replace_slices(warehouse, table, [path], {slice_: count}, Stamp(run, next(self._files), AT), lambda: AT)

    def visits(self) -> list[tuple[date, int]]:
        """Which visit stands on which day."""
        rows = self.warehouse.query("select t.date, t.visit_id from `d.visits` t order by t.visit_id, t.date")
        return [(row["date"], row["visit_id"]) for row in rows]


def _required(column: Column) -> object:
    values = {"STRING": "", "BOOL": False, "INT64": 0, "FLOAT64": 0.0, "TIMESTAMP": AT.isoformat()}
    return values[column.type]


@pytest.fixture
def dataset(tmp_path: Path) -> Iterator[Dataset]:
    """Empty tables; no line of log for each statement."""
    opened = Dataset(tmp_path)
    before = structlog.get_config()
    structlog.configure(processors=[_drop_event])
    yield opened
    structlog.configure(**before)
    opened.warehouse.close()


def _drop_event(*_: object) -> Any:
    raise structlog.DropEvent


@interleavings
@given(choices=choices)
def test_a_visit_that_moved_stands_on_its_last_day_only(dataset: Dataset, choices: list[int]) -> None:
    """One run writes the day before midnight from an older answer, the other one the day after it, at the same time."""
    dataset.storage.empty("d")

    def older(step: Callable[[], None]) -> None:
        dataset.write(dataset.connect(step), VISITS, DAY, "older", {"visit_id": 7}, {"visit_id": 8})

    def newer(step: Callable[[], None]) -> None:
        dataset.write(dataset.connect(step), VISITS, NEXT, "newer", {"visit_id": 7})

    interleave([older, newer], iter(choices))
    assert dataset.visits() == [(NEXT, 7), (DAY, 8)]


def test_a_day_that_lost_visits_is_returned_with_what_it_has(dataset: Dataset) -> None:
    """So that the log can tell; a day that lost none is not."""
    dataset.write(dataset.warehouse, VISITS, DAY, "r1", {"visit_id": 7}, {"visit_id": 8})
    found = dataset.write(dataset.warehouse, VISITS, NEXT, "r2", {"visit_id": 7})
    assert {slice_.date: (each.row_count, each.run_id) for slice_, each in found.items()} == {
        NEXT: (1, "r2"),
        DAY: (1, "r1"),
    }
    found = dataset.write(dataset.warehouse, VISITS, NEXT, "r3", {"visit_id": 7})
    assert {slice_.date for slice_ in found} == {NEXT}


def test_visits_of_two_sites_with_the_same_number_are_two_visits(dataset: Dataset, tmp_path: Path) -> None:
    """Neither has moved: a site's visits say nothing of another one's, also where both are written at once."""
    stamps = {column.name: _required(column) for column in VISITS.parsed if column.required}
    places = (("1", DAY), ("2", NEXT))
    rows = [{**stamps, "date": str(day), "website_id": site, "visit_id": 7} for site, day in places]
    expected = {Slice(Stream(VISITS.name, site), day): 1 for site, day in places}
    path = write_lines(tmp_path / "two_sites.gz", rows)
    found = replace_slices(dataset.warehouse, VISITS, [path], expected, Stamp("r1", 1, AT), lambda: AT)
    assert {slice_: each.row_count for slice_, each in found.items()} == expected
    assert dataset.visits() == [(DAY, 7), (NEXT, 7)]


@interleavings
@given(choices=choices)
def test_pages_have_the_titles_of_the_visits_that_stand(dataset: Dataset, choices: list[int]) -> None:
    """Two runs write pages and visits of a day whose title has changed between them, and both set titles."""
    dataset.storage.empty("d")

    def program(title: str) -> Callable[[Callable[[], None]], None]:
        def run(step: Callable[[], None]) -> None:
            warehouse = dataset.connect(step)
            action = {"type": "action", "url": URL, "title": title}
            dataset.write(warehouse, PAGES, DAY, title, {"page_url": URL})
            dataset.write(warehouse, VISITS, DAY, title, {"visit_id": 7, "actions": [action]})
            slices = {Slice(Stream(PAGES.name, "1"), DAY), Slice(Stream(VISITS.name, "1"), DAY)}
            fill_page_titles(warehouse, PAGES, slices, Stamp(title, 1, AT))

        return run

    interleave([program("before"), program("after")], iter(choices))
    (visit,) = dataset.warehouse.query("select v._run_id as run from `d.visits` v")
    (page,) = dataset.warehouse.query(f"select p.page_title as title from `d.{PAGES.name}` p")
    assert page["title"] == visit["run"]


def test_a_slice_whose_rows_do_not_arrive_is_written_again_and_told_as_it_is(dataset: Dataset) -> None:
    """A wrong number of rows is no success; the writing again has an end."""
    found = dataset.write(dataset.warehouse, COUNTRIES, DAY, "r1", {"country": "France"}, expected=2)
    (standing,) = found.values()
    assert (standing.row_count, standing.run_id) == (1, "r1")
    jobs = [executed.job.split("_")[0] for executed in dataset.storage.executed]
    assert jobs == ["merge", *(f"repair{number}" for number in range(1, 6))]


def test_a_slice_whose_rows_are_doubled_behind_the_merge_is_written_again(dataset: Dataset) -> None:
    """Also where as many others are gone, and the rows are all of one run, of this one or of another."""
    for run in ("r1", "r2"):

        def step(run: str = run) -> None:
            if len(dataset.storage.executed) == 1:  # behind the merge, before the look
                name = f"d.{COUNTRIES.name}"
                dataset.storage.anchor.execute(f"update {name} set country = 'France', _run_id = '{run}'")

        dataset.storage.empty("d")
        found = dataset.write(dataset.connect(step), COUNTRIES, DAY, "r1", {"country": "France"}, {"country": "Spain"})
        (standing,) = found.values()
        assert (standing.row_count, standing.key_count, standing.run_id, standing.is_mixed) == (2, 2, "r1", False)
        assert [executed.job.split("_")[0] for executed in dataset.storage.executed] == ["merge", "repair1"]


@pytest.mark.parametrize("other", ["r0", "r2"])
def test_only_the_slice_of_which_another_run_has_some_rows_is_written_again(dataset: Dataset, other: str) -> None:
    """Whichever run's name comes first; the other slices of the batch are not touched, nor inserted once more."""
    name = f"d.{COUNTRIES.name}"

    def step() -> None:
        if len(dataset.storage.executed) == 1:  # behind the merge, before the look
            changed = f"update {name} set _run_id = '{other}' where date = '{DAY}' and country = 'France'"
            dataset.storage.anchor.execute(changed)

    required = {column.name: _required(column) for column in COUNTRIES.parsed if column.required}
    days = {DAY: ("France", "Spain"), NEXT: ("France", "Italy", "Spain")}
    staged = [
        {**required, "date": str(day), "website_id": "1", "segment": "", "country": country}
        for day, countries in days.items()
        for country in countries
    ]
    path = write_lines(dataset.folder / "batch.gz", staged)
    expected = {COUNTRIES.stream("1").slice(day): len(countries) for day, countries in days.items()}
    found = replace_slices(dataset.connect(step), COUNTRIES, [path], expected, Stamp("r1", 1, AT), lambda: AT)
    assert {slice_.date: (each.row_count, each.run_id) for slice_, each in found.items()} == {
        DAY: (2, "r1"),
        NEXT: (3, "r1"),
    }
    rows = dataset.warehouse.query(f"select t.date, t.country from `{name}` t order by t.date, t.country")
    assert [tuple(row.values()) for row in rows] == [(day, each) for day, every in days.items() for each in every]
    assert [executed.job.split("_")[0] for executed in dataset.storage.executed] == ["merge", "repair1"]


def test_a_slice_of_which_nothing_arrives_is_written_again_and_told_as_empty(dataset: Dataset) -> None:
    """No rows are nobody's rows: another run that deleted them is no success of this one."""
    found = dataset.write(dataset.warehouse, COUNTRIES, DAY, "r1", expected=1)
    assert [(standing.row_count, standing.run_id) for standing in found.values()] == [(0, None)]
    jobs = [executed.job.split("_")[0] for executed in dataset.storage.executed]
    assert jobs == ["merge", *(f"repair{number}" for number in range(1, 6))]


def test_a_merge_that_nobody_disturbs_is_one_statement(dataset: Dataset) -> None:
    """And one look; nothing is written again."""
    found = dataset.write(dataset.warehouse, COUNTRIES, DAY, "r1", {"country": "France"})
    assert [standing.row_count for standing in found.values()] == [1]
    assert [executed.job.split("_")[0] for executed in dataset.storage.executed] == ["merge"]
