"""Visits that Matomo has deleted since they were synced: whatever refetches the day, the rows of the table stay."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import fake_matomo
from fake_matomo import FakeMatomo, Fault, World
from matomo_fn.catalogue import VISITS
from matomo_fn.sync.audit import audit
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.state import SyncState
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from tests.support.local import copied
from tests.support.visits import METHOD, LocalVisits, truth
from tests.support.warehouses import Killed, death_before

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from matomo_fn.sync.audit import AuditResult
    from matomo_fn.sync.result import RunResult

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = NOW.date() - timedelta(days=5)
DAYS = [FIRST + timedelta(days=number) for number in range(5)]
# Not refetched by a daily run; the next two are still there after the purge, the last one is trailing.
OLD = DAYS[1]
WORLD = World(
    tuple(
        fake_matomo.Site(number, f"Site {number}", zone, created=FIRST, visits_per_day=9, pages=3)
        for number, zone in ((1, "UTC"), (2, "Asia/Kolkata"))
    ),
    now=NOW,
)
KEPT = "Matomo's visits log has fewer visits than the table and than VisitsSummary counts"
ADVICE = 'for what Matomo has now, sync these days with mode full_refresh and tables ["visits"]'


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two sites of five days."""
    with FakeMatomo(WORLD) as running:
        yield running


CONFIG: dict[str, Any] = {"page": None, "trailing_days": 1}


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a connector whose days are all synced."""
    path = tmp_path_factory.mktemp("synced") / "w.duckdb"
    with FakeMatomo(WORLD) as running:
        opened = LocalVisits(running, path, **CONFIG)
        assert opened.sync().verdict is Verdict.COMPLETE
        opened.close()
    return path


@pytest.fixture
def local(matomo: FakeMatomo, synced: Path, tmp_path: Path) -> Iterator[LocalVisits]:
    """A connector that refetches yesterday only, whose days are all synced."""
    with copied(synced, LocalVisits, matomo, tmp_path / "w.duckdb", **CONFIG) as opened:
        yield opened


def purge(matomo: FakeMatomo, before: date, *, hour: int = 0) -> None:
    """Delete the visits before a time of day in UTC."""
    matomo.purge_visits(datetime.combine(before, time(hour), UTC))


def change(local: LocalVisits, statement: str) -> None:
    """Change rows behind the program's back; TABLE stands for the table's name."""
    local.warehouse.run(statement.replace("TABLE", sql.table_name(local.warehouse.dataset, VISITS.name)), "change")


def damage(local: LocalVisits, day: date = OLD) -> None:
    """Delete a visit of site 1, and double another one."""
    names = ", ".join(f"t.{column.name}" for column in VISITS.columns)
    of_day = f"from TABLE t where t.date = date '{day}' and t.website_id = '1' and t.visit_id = "
    edge = f"(select {{}}(u.visit_id) from TABLE u where u.date = date '{day}' and u.website_id = '1')"
    change(local, f"insert into TABLE ({names.replace('t.', '')}) select {names} {of_day}{edge.format('max')}")
    change(local, f"delete {of_day}{edge.format('min')}")


def audited(local: LocalVisits) -> AuditResult:
    """Audit all tables, and mark what differs."""
    run = Run("audit1", "audit1", local.now())
    state = SyncState(local.warehouse, local.connector)
    return audit(local.warehouse, state, local.connector.catalogue, run, run.started_at)


def state_of(local: LocalVisits, day: date = OLD, site: str = "1") -> Mapping[str, Any]:
    """The newest row of the log about a day of visits."""
    return local.states()["visits", site, day]


def log_rows(local: LocalVisits) -> int:
    """How many rows the log has of the visits."""
    name = sql.table_name(local.warehouse.dataset, "_sync_log")
    (row,) = local.warehouse.query(f"select count(*) as times from {name} l where l.table_name = 'visits'")
    return int(row["times"])


def backfill(local: LocalVisits, **request: Any) -> RunResult:
    """Refetch every day."""
    values: dict[str, Any] = {"mode": "backfill", "start_date": FIRST, "end_date": DAYS[-1]}
    return local.sync(**values | request)


def test_a_backfill_keeps_the_visits_that_matomo_no_longer_has(local: LocalVisits, matomo: FakeMatomo) -> None:
    """The rows are whole, so the days are unchanged and final, and the run is complete; a note names them."""
    before = local.standing()
    purge(matomo, DAYS[3])
    result = backfill(local)
    assert local.standing() == before
    assert result.verdict is Verdict.COMPLETE
    assert (result.tables["visits"].unchanged, result.tables["visits"].written) == (10, 0)
    # Midnight at site 2 is at 18:30 UTC, so the purge ended within its next day.
    assert [note.partition(": ")[0] for note in result.notes] == [
        f"visits of site 1 on {FIRST} to {DAYS[2]}",
        f"visits of site 2 on {FIRST} to {DAYS[3]}",
    ]
    assert all(KEPT in note and note.endswith(ADVICE) for note in result.notes)
    rows = [state_of(local, day) for day in DAYS]
    assert {(row["status"], row["visits_difference"], row["error"]) for row in rows} == {("unchanged", 0, None)}
    assert all(row["is_final"] for row in rows)
    assert audited(local).is_consistent


def test_a_day_of_which_some_visits_are_left_keeps_all(local: LocalVisits, matomo: FakeMatomo) -> None:
    """Matomo deletes up to a midnight in UTC, which is in the middle of a day elsewhere."""
    before = local.standing()
    purge(matomo, OLD, hour=12)
    left = [visit for visit in matomo.visits(1, OLD) if visit.last_at >= matomo.api.live.purged_until]
    assert 0 < len(left) < len(matomo.visits(1, OLD))
    assert backfill(local).verdict is Verdict.COMPLETE
    assert local.standing() == before


def test_a_trailing_day_keeps_its_visits(local: LocalVisits, matomo: FakeMatomo) -> None:
    """However soon Matomo deletes them; the next daily run has nothing more to log."""
    before = local.standing()
    purge(matomo, NOW.date())
    result = local.sync()
    assert local.standing() == before
    assert result.verdict is Verdict.COMPLETE
    assert [note.partition(": ")[0] for note in result.notes] == [f"visits of sites 1 and 2 on {DAYS[-1]}"]
    rows = log_rows(local)
    local.sync()
    assert log_rows(local) == rows


def test_a_day_that_the_audit_marks_keeps_its_rows_and_says_what_to_do(local: LocalVisits, matomo: FakeMatomo) -> None:
    """They are not whole and cannot be had any more: pending, and partial, until somebody decides.

    Until then each run requests the day once more, and appends nothing.
    """
    damage(local)
    before = local.standing()
    purge(matomo, DAYS[2])
    assert [(finding.kind, list(finding.days)) for finding in audited(local).findings] == [
        ("rows that stand twice", [OLD])
    ]
    result = local.sync()
    assert local.standing() == before
    assert result.verdict is Verdict.PARTIAL
    (missing,) = result.missing
    assert missing.startswith(f"visits of site 1 on {OLD}: {KEPT}")
    assert "the rows of the table are not as a run has written them: they are kept; restore them from a copy" in missing
    assert missing.endswith(ADVICE)
    row = state_of(local)
    assert (row["status"], row["row_count"], row["error"]) == (
        "pending",
        len(matomo.visits(1, OLD)),
        f"visits of site 1 on {OLD}{missing.removeprefix(f'visits of site 1 on {OLD}')}",
    )
    rows = log_rows(local)
    matomo.forget_calls()
    assert local.sync().verdict is Verdict.PARTIAL
    assert log_rows(local) == rows
    assert sum(call.method == METHOD and call.params["date"] == f"{OLD},{OLD}" for call in matomo.calls) <= 2
    assert local.standing() == before
    assert backfill(local).verdict is Verdict.PARTIAL
    assert local.standing() == before


def test_a_request_that_names_the_table_gets_what_matomo_has(local: LocalVisits, matomo: FakeMatomo) -> None:
    """With full_refresh, as the sentence says; full_refresh alone keeps the rows, since it may be meant for reports."""
    damage(local)
    before = local.standing()
    purge(matomo, DAYS[2])
    audited(local)
    window = {"start_date": OLD, "end_date": OLD, "sites": ["1"]}
    assert backfill(local, mode="full_refresh", **window).verdict is Verdict.PARTIAL
    assert local.standing() == before
    assert backfill(local, mode="full_refresh", tables=["visits"], **window).verdict is Verdict.COMPLETE
    assert local.standing() == [row for row in before if (row[0], row[1]) != ("1", OLD)]
    row = state_of(local)
    assert (row["status"], row["row_count"], row["visits_difference"]) == ("written", 0, -len(matomo.visits(1, OLD)))
    assert audited(local).is_consistent


def test_rows_that_no_log_row_speaks_of_are_taken_as_whole_if_they_are_as_many_as_the_summary_counts(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """A run that died before it logged, and the visits are gone: its rows are the only copy, and nothing is missing."""
    local = LocalVisits(matomo, tmp_path / "w.duckdb", **CONFIG)
    with pytest.raises(Killed):
        local.sync(before=death_before("load_staging__sync_log"))
    before = local.standing()
    assert before == truth(matomo, [1, 2], DAYS)
    assert audited(local).marked
    purge(matomo, NOW.date())
    assert local.sync().verdict is Verdict.COMPLETE
    assert local.standing() == before
    assert audited(local).is_consistent
    local.close()


def test_where_rows_were_deleted_from_such_a_day_it_is_pending(local: LocalVisits, matomo: FakeMatomo) -> None:
    """The audit has logged how many are left, but that is not how many there were."""
    change(
        local,
        f"delete from TABLE t where t.date = date '{OLD}' and t.website_id = '1' and t.visit_id = "
        f"(select min(u.visit_id) from TABLE u where u.date = date '{OLD}' and u.website_id = '1')",
    )
    before = local.standing()
    purge(matomo, DAYS[2])
    assert audited(local).marked == 1
    assert local.sync().verdict is Verdict.PARTIAL
    assert local.standing() == before
    assert state_of(local)["status"] == "pending"


def test_what_matomo_has_is_written_where_the_table_has_less(local: LocalVisits, matomo: FakeMatomo) -> None:
    """Somebody deleted all rows of the day, and Matomo some visits of it: the others are better than none."""
    change(local, f"delete from TABLE t where t.date = date '{OLD}' and t.website_id = '1'")
    purge(matomo, OLD, hour=12)
    audited(local)
    assert local.sync().tables["visits"].written == 1
    left = [visit.id for visit in matomo.visits(1, OLD) if visit.last_at >= matomo.api.live.purged_until]
    assert [row[2] for row in local.standing() if (row[0], row[1]) == ("1", OLD)] == sorted(left)
    assert state_of(local)["visits_difference"] == len(left) - len(matomo.visits(1, OLD))


def test_visits_that_the_summary_does_not_count_either_leave_the_table(local: LocalVisits, matomo: FakeMatomo) -> None:
    """They were deleted one by one and the day archived again: then they are to be gone here as well."""
    matomo.change(1, OLD, to_empty=True)
    assert backfill(local).verdict is Verdict.COMPLETE
    assert [row for row in local.standing() if (row[0], row[1]) == ("1", OLD)] == []
    assert state_of(local)["visits_difference"] == 0


def test_where_the_summary_cannot_be_had_the_day_is_pending(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Nobody can say whether the visits are gone for a reason that concerns the table."""
    local = LocalVisits(matomo, tmp_path / "w.duckdb", reports=["visitor_country"], **CONFIG)
    local.sync()
    before = local.standing()
    purge(matomo, DAYS[2])
    matomo.faults.add(Fault(method="VisitsSummary.get", message="Something is wrong."))
    result = backfill(local)
    assert local.standing() == before
    assert result.verdict is Verdict.PARTIAL
    assert any("how many VisitsSummary counts is not known" in sentence for sentence in result.missing)
    matomo.faults.clear()
    assert local.sync().verdict is Verdict.COMPLETE
    assert local.standing() == before
    local.close()


def test_the_world_of_these_tests_keeps_the_reports_of_what_it_deletes(local: LocalVisits, matomo: FakeMatomo) -> None:
    """As Matomo does: the summary counts what the log no longer has."""
    before = local.contents(["visits_summary"])
    purge(matomo, NOW.date())
    backfill(local, tables=["visits_summary"])
    assert local.contents(["visits_summary"]) == before
