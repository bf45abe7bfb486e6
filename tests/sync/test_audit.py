"""The audit: the log against the tables, over all time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import BUILT_IN
from matomo_fn.sync.audit import AuditResult, audit
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.state import SyncState
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from tests.support.local import ago, local, small_world
from tests.support.warehouses import Killed, death_before, states

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.local import Local

TABLE = "visitor_country"
# Settled: no run looks at it by itself any more.
OLD = ago(5)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Local]:
    """A connector whose six days are synced and, but for yesterday, settled."""
    with (
        FakeMatomo(small_world()) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=["visits_summary", TABLE], trailing_days=1) as opened,
    ):
        assert opened.sync().verdict is Verdict.COMPLETE
        yield opened


def audited(shop: Local, *, mark: bool = True) -> AuditResult:
    """Audit all tables of the connector."""
    run = Run("audit1", "audit1", shop.now())
    state = SyncState(shop.warehouse, shop.connector)
    return audit(shop.warehouse, state, shop.connector.catalogue, run, run.started_at, mark=mark)


def change(shop: Local, statement: str) -> None:
    """Change rows of the table behind the program's back; TABLE stands for the table's name."""
    name = sql.table_name(shop.warehouse.dataset, TABLE)
    shop.warehouse.run(statement.replace("TABLE", name), "change")


def rows_of_old(shop: Local) -> list[Any]:
    """The rows of the old day of site 1."""
    return [row for row in shop.contents()[TABLE] if (row[0], row[1]) == (OLD, "1")]


COLUMNS = [column.name for column in BUILT_IN[TABLE].columns]
INSERT = f"insert into TABLE ({', '.join(COLUMNS)}) select "
OURS = ", ".join(f"t.{name}" for name in COLUMNS)
OTHERS = OURS.replace("t._run_id", "'run9'")
OF_OLD = f"from TABLE t where t.date = date '{OLD}' and t.website_id = '1'"
EDGE = "t.country = (select {}(u.country) from TABLE u where u.date = t.date and u.website_id = t.website_id)"
DAMAGES = {
    "rows of several runs": [f"{INSERT} {OTHERS} {OF_OLD}"],
    "another number of rows": [f"{INSERT} {OURS} {OF_OLD}"],
    "rows of another run": [f"update TABLE t set _run_id = 'run9' where t.date = date '{OLD}' and t.website_id = '1'"],
    "rows that stand twice": [
        f"{INSERT} {OURS} {OF_OLD} and {EDGE.format('min')}",
        f"delete {OF_OLD} and {EDGE.format('max')}",
    ],
}


def test_after_good_runs_log_and_tables_agree(shop: Local) -> None:
    """Written, unchanged, pending and failed slices: what the log says of each is what the table has."""
    shop.matomo.unprocess(1, ago(1))
    shop.matomo.change(2, ago(1))
    shop.sync()
    found = audited(shop)
    assert (found.is_consistent, found.differences, found.marked) == (True, [], 0)
    assert found.as_dict()["status"] == "consistent"


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_differs_is_named_and_healed_by_the_next_run(shop: Local, kind: str) -> None:
    """A daily run does not look at old days by itself; after the audit it rewrites the one that differs."""
    before = shop.contents()
    rows = len(rows_of_old(shop))
    for statement in DAMAGES[kind]:
        change(shop, statement)
    if kind == "rows that stand twice":
        assert len(rows_of_old(shop)) == rows > len(set(rows_of_old(shop)))
    assert shop.sync().tables[TABLE].written == 0
    (finding,) = audited(shop).findings
    assert (finding.table, finding.website_id, list(finding.days), finding.kind) == (TABLE, "1", [OLD], kind)
    assert finding.sentence.startswith(f"{TABLE} of site 1, {OLD}: {kind}; rows expected by the log: ")
    assert "run0001" in finding.sentence
    different = f", {rows - 1} of them with a key of their own"
    assert finding.sentence.endswith(different) == (kind == "rows that stand twice")
    assert shop.sync().tables[TABLE].written == 1
    assert shop.contents() == before
    assert audited(shop).is_consistent


def test_a_backfill_rewrites_a_day_with_one_row_gone_and_another_one_twice(shop: Local) -> None:
    """Its rows are as many as before, and Matomo's answer is the same: that alone does not make it unchanged."""
    before = shop.contents()
    for statement in DAMAGES["rows that stand twice"]:
        change(shop, statement)
    result = shop.sync(mode="backfill", start_date=OLD, end_date=OLD)
    assert (result.tables[TABLE].written, result.tables[TABLE].unchanged) == (1, 1)
    assert shop.contents() == before


def test_a_daily_run_rewrites_such_a_day_where_it_refetches_it_anyway(shop: Local) -> None:
    """Yesterday is one of the trailing days, so no audit is needed."""
    before = shop.contents()
    for statement in DAMAGES["rows that stand twice"]:
        change(shop, statement.replace(str(OLD), str(ago(1))))
    assert shop.contents() != before
    assert shop.sync().tables[TABLE].written == 1
    assert shop.contents() == before


def test_rows_that_somebody_deleted_are_named(shop: Local) -> None:
    """With what the log expects; the pending row tells what the table has."""
    change(shop, f"delete from TABLE t where t.date = date '{OLD}' and t.website_id = '1'")
    (finding,) = audited(shop).findings
    assert (finding.kind, finding.found_rows, finding.found_runs) == ("another number of rows", 0, ())
    row = states(shop.warehouse)[TABLE, "1", OLD]
    assert (row["status"], row["row_count"], row["content_hash"], row["written_run_id"]) == ("pending", 0, None, None)
    assert row["error"] == "the audit found another number of rows: the next run refetches and rewrites the day"


def test_rows_of_a_run_that_died_before_it_logged_are_named(tmp_path: Path) -> None:
    """They have no log row at all."""
    with (
        FakeMatomo(small_world()) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports=[TABLE]) as shop,
    ):
        with pytest.raises(Killed):
            shop.sync(before=death_before("load_staging__sync_log"))
        found = audited(shop)
        assert {finding.kind for finding in found.findings} == {"rows without a log row"}
        assert {(f.website_id, f.found_runs) for f in found.findings} == {("1", ("run0001",)), ("2", ("run0001",))}
        assert "rows expected by the log: none, found: " in found.findings[0].sentence
        shop.sync()
        assert audited(shop).is_consistent


def test_a_table_that_is_gone_is_named(shop: Local) -> None:
    """Every slice that the log has rows of."""
    before = shop.contents()
    change(shop, "drop table TABLE")
    assert {finding.found_rows for finding in audited(shop).findings} == {0}
    shop.sync()
    assert shop.contents() == before


def test_nothing_is_marked_twice_or_without_being_asked(shop: Local) -> None:
    """What is pending is due anyway; a look alone appends nothing."""
    change(shop, *DAMAGES["another number of rows"])
    assert (len(audited(shop, mark=False).differences), audited(shop, mark=False).marked) == (1, 0)
    assert (audited(shop).marked, audited(shop).marked) == (1, 0)
    change(shop, *DAMAGES["rows of several runs"])
    again = audited(shop)
    assert (len(again.differences), again.marked) == (1, 0)


def test_the_slices_of_another_connector_are_its_own_business(shop: Local, tmp_path: Path) -> None:
    """Two connectors of one Matomo may share a dataset."""
    with local(
        shop.matomo, tmp_path / "x.duckdb", name="other", dataset="matomo_shop", sites=["1"], reports=[TABLE]
    ) as other:
        time = shop.now()
        while other.now() < time:
            pass  # each has a clock of its own, and what is seen later counts
        other.sync(mode="full_refresh")
        change(shop, f"delete from TABLE t where t.date = date '{OLD}'")
        assert [finding.website_id for finding in audited(shop).findings] == ["2"]
        assert [finding.website_id for finding in audited(other).findings] == ["1"]


@pytest.mark.parametrize("other", ["a run that sorts first", "zz, which sorts last"])
@pytest.mark.parametrize("which", ["min", "max"])
def test_rows_of_a_second_run_are_found_whichever_its_name_is(shop: Local, other: str, which: str) -> None:
    """As many rows as the log says, each with a key of its own, and one of them of a run that the log does not name."""
    of_old = f"t.date = date '{OLD}' and t.website_id = '1'"
    edge = f"(select {which}(u.country) from TABLE u where u.date = date '{OLD}' and u.website_id = '1')"
    assert len(rows_of_old(shop)) > 1
    change(shop, f"update TABLE t set _run_id = '{other}' where {of_old} and t.country = {edge}")
    (found,) = audited(shop, mark=False).differences
    assert (found.slice.date, found.kind, len(found.found_runs)) == (OLD, "rows of several runs", 2)
    assert other in found.found_runs
