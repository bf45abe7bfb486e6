"""Reference tables: kept current by runs, in DuckDB and the emulator; and runs that write them at the same time."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fake_matomo import FakeMatomo, Site, World
from fake_matomo.sites import Goal
from matomo_fn.catalogue import REFERENCE_TABLES
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InputError
from matomo_fn.warehouse.bigquery import BigQueryWarehouse
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.reference import read_reference, write_reference
from matomo_fn.warehouse.tables import Stamp, ensure_table
from tests.support.bigquery_rules import RulesWarehouse, Storage, interleave
from tests.support.local import CREATED, NOW, Local, local
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matomo_fn.warehouse.protocol import Warehouse
    from tests.support.emulator import Emulator

GOALS = REFERENCE_TABLES["goals"]
NAMES = list(REFERENCE_TABLES)
STAMP = Stamp("r1", 0, NOW)


def world() -> World:
    """Two sites, the first with two goals and custom dimensions."""
    goals = (Goal(1, "Newsletter", 2.5), Goal(2, "Contact"))
    return World(
        (
            Site(1, "Shop", created=CREATED, visits_per_day=2, pages=3, ecommerce=True, goals=goals),
            Site(2, "Docs", created=CREATED, visits_per_day=2, pages=3, goals=(Goal(1, "Signup"),)),
        ),
        now=NOW,
    )


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A Matomo that serves those sites, and has a saved segment."""
    with FakeMatomo(world()) as running:
        running.save_segment("Mobile", "deviceType==smartphone")
        yield running


@pytest.fixture
def shop(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    """A connector of one report, which takes all sites."""
    with local(
        matomo, tmp_path / "w.duckdb", reports=["visits_summary"], reference_tables=True, backfill_days=2
    ) as opened:
        yield opened


def change(matomo: FakeMatomo, *sites: Site) -> None:
    """Set the sites of a Matomo up otherwise."""
    matomo.traffic.world = replace(matomo.traffic.world, sites=sites)


def rows(opened: Local, table: str) -> list[dict[str, Any]]:
    """All rows of a reference table, by key."""
    key = ", ".join(f"t.{name}" for name in REFERENCE_TABLES[table].key)
    name = f"{opened.warehouse.dataset}.{table}"
    return [dict(row) for row in opened.warehouse.query(f"select * from `{name}` t order by {key}")]


def done(opened: Local, **request: Any) -> dict[str, tuple[int, int, int]]:
    """Run, and return (rows, written, deleted) by reference table."""
    result = opened.sync(**request).as_dict()
    assert (result["status"], result["errors"]) == ("complete", [])
    return {name: (one["rows"], one["written"], one["deleted"]) for name, one in result["reference_tables"].items()}


def test_a_run_fills_the_tables_and_the_next_one_writes_nothing(shop: Local, matomo: FakeMatomo) -> None:
    """One call for all lists, and no statement that changes a table where nothing changed."""
    matomo.forget_calls()
    assert done(shop) == {"sites": (2, 2, 0), "goals": (3, 3, 0), "custom_dimensions": (3, 3, 0), "segments": (1, 1, 0)}
    bulks = [call for call in matomo.calls if call.method == "API.getBulkRequest"]
    assert len(bulks) == 1
    found = [(row["website_id"], row["goal_id"], row["name"], row["_is_deleted"]) for row in rows(shop, "goals")]
    assert found == [("1", 1, "Newsletter", False), ("1", 2, "Contact", False), ("2", 1, "Signup", False)]
    (segment,) = rows(shop, "segments")
    assert (segment["matomo_url"], segment["name"], segment["website_id"]) == (matomo.url, "Mobile", None)
    before = {name: rows(shop, name) for name in NAMES}
    assert done(shop) == {"sites": (2, 0, 0), "goals": (3, 0, 0), "custom_dimensions": (3, 0, 0), "segments": (1, 0, 0)}
    assert {name: rows(shop, name) for name in NAMES} == before
    changes = [what for method, what in shop.watched.calls if method in ("run", "load", "create_staging")]
    assert not [what for what in changes if any(name in what for name in NAMES)]


def test_what_changed_is_written_and_what_is_gone_is_marked_and_comes_back(shop: Local, matomo: FakeMatomo) -> None:
    """A goal that was deleted keeps what it was; the time is that of the run that found it gone."""
    first, second = matomo.traffic.world.sites
    done(shop)
    change(matomo, replace(first, name="Boutique", goals=(Goal(2, "Contact us"), Goal(3, "New"))), second)
    assert done(shop)["sites"] == (2, 1, 0)
    goals = {(row["website_id"], row["goal_id"]): row for row in rows(shop, "goals")}
    assert {key: (row["name"], row["_is_deleted"]) for key, row in goals.items()} == {
        ("1", 1): ("Newsletter", True),
        ("1", 2): ("Contact us", False),
        ("1", 3): ("New", False),
        ("2", 1): ("Signup", False),
    }
    gone = goals["1", 1]
    assert (gone["revenue"], gone["_run_id"], gone["_deleted_at"]) == (2.5, "run0002", gone["_synced_at"])
    assert goals["2", 1]["_run_id"] == "run0001"
    assert done(shop)["goals"] == (3, 0, 0)
    change(matomo, first, second)
    assert done(shop)["goals"] == (3, 2, 1)
    back = {row["goal_id"]: row for row in rows(shop, "goals") if row["website_id"] == "1"}
    assert (back[1]["_is_deleted"], back[1]["_deleted_at"], back[3]["_is_deleted"]) == (False, None, True)


def test_a_site_that_matomo_no_longer_lists_is_marked_with_its_goals(matomo: FakeMatomo, tmp_path: Path) -> None:
    """One that the configuration no longer selects is not: Matomo has it still."""
    with local(
        matomo, tmp_path / "w.duckdb", reports=["visits_summary"], reference_tables=True, backfill_days=2
    ) as opened:
        done(opened)
    with local(
        matomo, tmp_path / "w.duckdb", reports=["visits_summary"], reference_tables=True, backfill_days=2, sites=["1"]
    ) as opened:
        assert done(opened)["goals"] == (2, 0, 0)
        assert not any(row["_is_deleted"] for name in NAMES for row in rows(opened, name))
        change(matomo, matomo.traffic.world.sites[0])
        assert {name: found[2] for name, found in done(opened).items()} == {
            "sites": 1, "goals": 1, "custom_dimensions": 0, "segments": 0,
        }  # fmt: skip
        assert [(row["website_id"], row["_is_deleted"]) for row in rows(opened, "sites")] == [("1", False), ("2", True)]


def test_only_a_run_of_what_is_due_or_one_that_names_them_refreshes_them(shop: Local) -> None:
    """A backfill is about days; `goals` alone refreshes goals and extracts no report."""
    assert not done(shop, mode="backfill")
    assert not done(shop, tables=("visits_summary",))
    assert done(shop, tables=("goals",)) == {"goals": (3, 3, 0)}
    assert done(shop, tables=("sites",), sites=("2",)) == {"sites": (1, 1, 0)}
    assert done(shop, tables=("goals",), sites=("2",)) == {"goals": (1, 0, 0)}


def test_the_configuration_chooses_the_tables(matomo: FakeMatomo, tmp_path: Path) -> None:
    """One that is not configured cannot be requested, and costs nothing."""
    with local(matomo, tmp_path / "w.duckdb", reports=["visits_summary"], reference_tables=["sites"]) as opened:
        matomo.forget_calls()
        assert done(opened) == {"sites": (2, 2, 0)}
        assert "API.getBulkRequest" not in {call.method for call in matomo.calls}
        assert opened.warehouse.find_table("goals") is None
        with pytest.raises(InputError, match='add it to "reference_tables"'):
            opened.sync(tables=("goals",))


def test_a_list_that_matomo_refuses_is_a_note_and_its_rows_stay(shop: Local, matomo: FakeMatomo) -> None:
    """Such as that of a plugin that was switched off: nothing is marked, the run is complete."""
    done(shop)
    before = rows(shop, "segments")
    matomo.api.inactive_plugins |= {"SegmentEditor", "CustomDimensions"}
    result = shop.sync().as_dict()
    assert (result["status"], result["errors"]) == ("complete", [])
    notes = [note for note in result["notes"] if note.startswith("table ")]
    assert any(note.startswith("table segments is not refreshed: SegmentEditor.getAll: Matomo says") for note in notes)
    assert any("table custom_dimensions of site 1 is not refreshed" in note for note in notes)
    assert rows(shop, "segments") == before
    assert not any(row["_is_deleted"] for row in rows(shop, "custom_dimensions"))


def test_a_table_of_another_shape_fails_alone(shop: Local) -> None:
    """Somebody's own table named `goals` stays as it is; reports and the other tables are written."""
    shop.warehouse.ensure_dataset()
    shop.warehouse.run(f"create table `{shop.warehouse.dataset}.goals` (website_id int64, mine string)", "own")
    result = shop.sync().as_dict()
    assert result["status"] == "failed"
    assert "does not fit: column website_id is INT64" in result["reference_tables"]["goals"]["error"]
    assert result["reference_tables"]["sites"] == {"rows": 2, "written": 2, "deleted": 0}
    assert result["tables"]["visits_summary"]["written"] == 4


def test_another_connectors_rows_are_not_marked(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Two connectors of one Matomo share a dataset; each token sees one site, and neither deletes the other's."""
    both = {"reports": ["visits_summary"], "reference_tables": True, "backfill_days": 2, "dataset": "shared"}
    with local(matomo, tmp_path / "w.duckdb", name="one", sites=["1"], **both) as one:
        done(one)
    matomo.add_token("0123456789abcdef0123456789abcdef", sites=[2])
    change(matomo, matomo.traffic.world.sites[1])  # what a token sees that has access to site 2 alone
    with local(matomo, tmp_path / "w.duckdb", name="two", sites=["2"], **both) as two:
        done(two)
        assert [(row["website_id"], row["_connector"], row["_is_deleted"]) for row in rows(two, "sites")] == [
            ("1", "one", False), ("2", "two", False),
        ]  # fmt: skip


# --- writing: DuckDB, the emulator, and BigQuery's rule -----------------------------------------------------


def staged(number: int, name: str | None, *, is_deleted: bool = False) -> dict[str, Any]:
    """A row of goals as it is staged; one to be marked has its key alone."""
    key = {"website_id": "1", "goal_id": number, "_is_deleted": is_deleted}
    return key if is_deleted else key | {"name": name, "revenue": 1.5, "_content_hash": f"hash of {name}"}


def standing(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    """The rows of goals."""
    table = f"{warehouse.dataset}.goals"
    found = warehouse.query(
        f"select t.goal_id, t.name, t._is_deleted, t._run_id from `{table}` t order by t.goal_id, t._run_id"
    )
    return [tuple(row.values()) for row in found]


@pytest.fixture(params=["duckdb", "bigquery"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Warehouse]:
    """A dataset in a DuckDB file, and one in the emulator."""
    opened: Warehouse
    if request.param == "duckdb":
        opened = DuckDBWarehouse(tmp_path / "w.duckdb", "d")
    else:
        emulator: Emulator = request.getfixturevalue("emulator")
        name = request.getfixturevalue("dataset_name")
        opened = BigQueryWarehouse(emulator.client(), name, location="EU", run_id=name, deadline=Deadline(60))
    opened.ensure_dataset()
    yield opened
    opened.close()


def test_a_merge_inserts_updates_and_marks_in_both_warehouses(warehouse: Warehouse) -> None:
    """By the key; what is marked keeps its columns."""
    for table in REFERENCE_TABLES.values():
        ensure_table(warehouse, table.schema, "day")
    write_reference(warehouse, GOALS, [staged(1, "a"), staged(2, "b")], "shop", STAMP)
    later = Stamp("r2", 0, NOW + timedelta(hours=1))
    write_reference(warehouse, GOALS, [staged(1, "c"), staged(2, None, is_deleted=True), staged(3, "d")], "shop", later)
    assert standing(warehouse) == [(1, "c", False, "r2"), (2, "b", True, "r2"), (3, "d", False, "r2")]
    known = read_reference(warehouse, list(REFERENCE_TABLES.values()))
    assert {name: len(found) for name, found in known.items()} == {**dict.fromkeys(NAMES, 0), "goals": 3}
    assert (known["goals"]["1", "2"].is_deleted, known["goals"]["1", "1"].content_hash) == (True, "hash of c")


def test_rows_that_stand_twice_are_made_one_in_both_warehouses(warehouse: Warehouse) -> None:
    """The newest of each key stays; other keys are as they were."""
    ensure_table(warehouse, GOALS.schema, "day")
    write_reference(warehouse, GOALS, [staged(1, "a"), staged(2, "b")], "shop", STAMP)
    columns = ", ".join(GOALS.schema.column_names)
    copied = columns.replace("_run_id", "'r0'").replace("_synced_at", "timestamp '2020-01-01'")
    table = f"`{warehouse.dataset}.goals`"
    warehouse.run(f"insert into {table} ({columns}) select {copied} from {table} t where t.goal_id = 1", "copy")
    assert len(standing(warehouse)) == 3
    write_reference(warehouse, GOALS, [staged(3, "d")], "shop", Stamp("r3", 0, NOW))
    assert standing(warehouse) == [(1, "a", False, "r1"), (2, "b", False, "r1"), (3, "d", False, "r3")]


def writer(storage: Storage, run_id: str, dies_at: int | None) -> Callable[[Callable[[], None]], None]:
    """A run that writes two goals for the first time, and may be killed before any of its statements."""

    def program(step: Callable[[], None]) -> None:
        left = [dies_at]

        def counted() -> None:
            if left[0] is not None:
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
            step()

        opened = RulesWarehouse(storage, "d", counted)
        try:
            write_reference(opened, GOALS, [staged(1, "a"), staged(2, "b")], "shop", Stamp(run_id, 0, NOW))
        finally:
            opened.close()

    return program


@settings(max_examples=25)
@given(choices=st.lists(st.integers(0, 1), max_size=40), dies_at=st.none() | st.integers(0, 12))
def test_first_writes_at_once_leave_each_key_once(choices: list[int], dies_at: int | None) -> None:
    """In any interleaving of their statements; what one leaves that is killed, the next run finds."""
    storage = Storage()
    opened = RulesWarehouse(storage, "d")
    opened.ensure_dataset()
    ensure_table(opened, GOALS.schema, "day")
    interleave([writer(storage, "r1", dies_at), writer(storage, "r2", None)], iter(choices))
    if dies_at is not None:
        write_reference(opened, GOALS, [staged(1, "a")], "shop", Stamp("r3", 0, datetime(2026, 12, 1, tzinfo=UTC)))
    assert [row[:3] for row in standing(opened)] == [(1, "a", False), (2, "b", False)]
    opened.close()


def test_the_rule_of_bigquery_does_double_first_writes() -> None:
    """Otherwise the test above would show nothing: both merges only insert, and both commit."""
    storage = Storage()
    opened = RulesWarehouse(storage, "d")
    opened.ensure_dataset()
    ensure_table(opened, GOALS.schema, "day")
    interleave([writer(storage, "r1", None), writer(storage, "r2", None)], iter([0, 1] * 30))
    assert {done.job.split("_")[0] for done in storage.executed} == {"merge", "once"}
    opened.close()
