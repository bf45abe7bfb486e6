"""Reconciliation: what differs from Matomo is found with its reason, and nothing else is."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, time
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault, Goal, Site, World
from matomo_fn.config.request import read_request
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.reconcile import reconcile
from matomo_fn.sync.session import Session
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.local import CREATED, NOW, SPOOL_BYTES, Local, ago, local
from tests.support.warehouses import Watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date
    from pathlib import Path

    from matomo_fn.sync.quality_result import QualityResult

COUNTRY, CHANNEL, LIVE = "visitor_country", "acquisition_channel_type", "Live.getLastVisitsDetails"
CONFIG: dict[str, Any] = {
    "reports": ["visits_summary", COUNTRY, CHANNEL, "behaviour_page"],
    "visits": True,
    "backfill_days": 7,
}
WORLD = World(
    tuple(
        Site(
            number,
            f"Site {number}",
            created=CREATED,
            visits_per_day=8,
            pages=5,
            ecommerce=True,
            goals=(Goal(1, "Read", 2.5),),
        )
        for number in (1, 2)
    ),
    now=NOW,
)
EXPLAINED = {
    *("pending", "late_archive", "row_limit", "unique_counts", "part_of_visits", "visits_log_off", "report_off"),
    *("visits_purged", "reports_purged", "visits_truncated"),
}
Found = set[tuple[str, str, str]]


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a connector whose seven days are synced from an undisturbed Matomo."""
    path = tmp_path_factory.mktemp("synced") / "x.duckdb"
    with FakeMatomo(WORLD) as running, local(running, path, **CONFIG) as opened:
        assert opened.sync().verdict is Verdict.COMPLETE
    return path


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two shops."""
    with FakeMatomo(WORLD) as running:
        yield running


@pytest.fixture
def shop(matomo: FakeMatomo, synced: Path, tmp_path: Path) -> Iterator[Local]:
    """A connector of it, with a copy of the file."""
    path = tmp_path / "x.duckdb"
    shutil.copyfile(synced, path)
    with local(matomo, path, **CONFIG) as opened:
        opened.take_over()
        yield opened


def reconciled(
    shop: Local, path: Path, *, sample_days: int = 100, run_id: str = "check1", **request: Any
) -> QualityResult:
    """Compare a connector's tables with its Matomo."""
    client, deadline = shop.client()
    warehouse = Watched(DuckDBWarehouse(path, shop.connector.dataset_name))
    session = Session(shop.connector, client, warehouse, deadline, SPOOL_BYTES, shop.now, shop.clock)
    values = {"connector": "shop", "mode": "reconcile", "sample_days": sample_days, **request}
    try:
        return reconcile(session, read_request(values), Run(run_id, run_id, shop.now()))
    finally:
        warehouse.close()


def found_by(result: QualityResult) -> dict[tuple[str, date], Found]:
    """What was found, by site and day: (table, check, reason)."""
    found: dict[tuple[str, date], Found] = {}
    for finding in result.findings:
        for day in finding.days:
            told = (finding.stream.table, str(finding.check), str(finding.reason))
            found.setdefault((finding.stream.website_id, day), set()).add(told)
    return found


def by_hand(shop: Local, site: int, day: date, statement: str) -> None:
    """Change a table; ``{}`` in the statement become the dataset, and the condition on a site and day."""
    condition = f"t.website_id = '{site}' and t.date = date '{day}'"
    shop.warehouse.run(statement.format(shop.warehouse.dataset, condition), "by_hand")


def quality_rows(shop: Local) -> list[dict[str, Any]]:
    """The rows of the table of findings."""
    table = sql.table_name(shop.warehouse.dataset, "_sync_quality")
    return [
        dict(row)
        for row in shop.warehouse.query(
            f"select q.* from {table} q order by q.date, q.website_id, q.table_name, q.check_name"
        )
    ]


def with_others(answer: Any) -> Any:
    """Cut the countries of a day to one row and Others, as Matomo's row limit does."""
    if str(ago(6)) not in answer:
        return answer
    rows = answer[str(ago(6))]
    numbers = ("nb_visits", "nb_actions", "nb_uniq_visitors", "bounce_count", "sum_visit_length")
    others = {name: sum(int(row.get(name, 0)) for row in rows[1:]) for name in numbers}
    return answer | {str(ago(6)): [rows[0], {"label": "Others", **others}]}


def truncated(answer: Any) -> Any:
    """Leave the last actions out of a visit of a day, as Matomo does of very long ones."""
    for visit in answer:
        if visit["serverDate"] == str(ago(5)) and len(visit["actionDetails"]) > 2:
            visit["actionDetails"] = visit["actionDetails"][:-1]
            visit["truncatedActionsCount"] = 1
            break
    return answer


# --- what is found ---------------------------------------------------------------------------------------------------


def test_nothing_is_found_of_an_undisturbed_sample(shop: Local, tmp_path: Path) -> None:
    """All checks are ok, of all tables, sites and days; reports that count a visit in several rows are told apart."""
    result = reconciled(shop, tmp_path / "x.duckdb")
    assert (result.findings, result.errors, result.status) == ([], [], "reconciled")
    assert result.counts()["differs"] == result.counts()["explained"] == 0
    assert result.sample is not None
    assert result.sample.days == result.sample.of == 14
    rows = quality_rows(shop)
    assert {row["check_name"] for row in rows} == {
        "pending_day", "logged_rows", "refetched_rows", "summed_visits", "others_share", "exported_visits",
        "exported_actions", "truncated_visits", "conversions", "revenue",
    }  # fmt: skip
    assert {row["verdict"] for row in rows if row["table_name"] != "behaviour_page"} == {"ok"}
    assert {row["reason"] for row in rows} == {None, "unique_counts"}
    assert sum(row["expected"] for row in rows if row["check_name"] == "conversions") > 0


def test_eight_disturbances_are_found_by_name_and_nothing_else_is(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Each stands at its table, site and day with its reason, whether Matomo or somebody at the warehouse did it."""
    path = tmp_path / "x.duckdb"
    with local(matomo, path, **CONFIG) as shop:
        matomo.unprocess(2, ago(1))  # a day that is not archived
        matomo.faults.add(Fault(method="UserCountry.getCountry", site=1, mutate=with_others))  # Others
        matomo.faults.add(Fault(method=LIVE, site=1, mutate=truncated))  # truncated visits
        shop.sync()
        matomo.purge_visits(datetime.combine(ago(6), time(), UTC))  # purged visits
        matomo.change(1, ago(4))  # a changed day
        matomo.change(2, ago(2))  # the same, while it is fetched again by itself
        by_hand(shop, 2, ago(6), f"delete from `{{}}.{CHANNEL}` t where {{}} and t.channel_type = 'Direct Entry'")
        by_hand(
            shop, 2, ago(5), f"insert into `{{0}}.{CHANNEL}` select t.* from `{{0}}.{CHANNEL}` t where {{1}} limit 1"
        )
        by_hand(
            shop, 2, ago(4), f"update `{{}}.{CHANNEL}` t set visits = visits + 1 where {{}} and t.channel_type_id = 1"
        )
        result = reconciled(shop, path)
    found = found_by(result)
    changed = {
        *((name, "summed_visits") for name in ("visits_summary", COUNTRY, CHANNEL)),
        *((name, "refetched_rows") for name in (*CONFIG["reports"], "visits")),
        *(("visits", check) for check in ("exported_visits", "exported_actions")),
    }
    of_money = {("visits", "conversions"), ("visits", "revenue")}
    of_visits = {("visits", "exported_visits"), ("visits", "exported_actions"), *of_money}
    of_rows = {"logged_rows", "summed_visits", "refetched_rows"}
    assert found == {
        ("1", ago(7)): {("visits", "refetched_rows", "visits_purged")},
        ("2", ago(7)): {("visits", "refetched_rows", "visits_purged")},
        ("1", ago(6)): {(COUNTRY, "others_share", "row_limit")},
        ("1", ago(5)): {("visits", "truncated_visits", "visits_truncated")},
        ("1", ago(4)): {(name, check, "changed_day") for name, check in changed},
        ("2", ago(6)): {(CHANNEL, check, "row_missing") for check in of_rows},
        ("2", ago(5)): {(CHANNEL, check, "row_doubled") for check in of_rows},
        ("2", ago(4)): {(CHANNEL, check, "value_changed") for check in of_rows - {"logged_rows"}},
        ("2", ago(2)): {(name, check, "late_archive") for name, check in changed | of_money},
        ("2", ago(1)): {
            *((name, "pending_day", "pending") for name in CONFIG["reports"]),
            *((name, check, "pending") for name, check in of_visits),
        },
    }  # fmt: skip
    assert result.status == "different"
    assert {str(finding.verdict) for finding in result.findings if str(finding.reason) in EXPLAINED} == {"explained"}
    assert {str(finding.verdict) for finding in result.findings if str(finding.reason) not in EXPLAINED} == {"differs"}


def test_a_sync_checks_what_it_has_without_a_call_more(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The trailing days are checked by what was fetched and what the tables have; a quiet run checks nothing."""
    matomo.unprocess(2, ago(1))
    with local(matomo, tmp_path / "without.duckdb", **CONFIG) as other:
        calls = other.sync().calls
    with local(matomo, tmp_path / "x.duckdb", **CONFIG, quality_checks=True) as shop:
        first = shop.sync()
        assert first.calls == calls
        assert first.quality is not None
        pending = {(name, "pending_day", "pending") for name in CONFIG["reports"]}
        late = {("visits", "exported_visits", "pending"), ("visits", "exported_actions", "pending")}
        assert pending <= found_by(first.quality)["2", ago(1)] <= pending | late
        assert found_by(first.quality).keys() == {("2", ago(1))}
        assert {row["date"] for row in quality_rows(shop)} == {ago(1), ago(2), ago(3)}
        assert shop.sync().quality is None
        matomo.process(2, ago(1))
        again = shop.sync().quality
        assert again is not None
        assert again.findings == []
        rows = quality_rows(shop)
        assert {row["verdict"] for row in rows if row["check_name"] == "pending_day"} == {"ok"}
        keys = [(row["date"], row["check_name"], row["table_name"], row["website_id"]) for row in rows]
        assert len(keys) == len(set(keys))


def test_a_check_that_is_made_again_replaces_its_row(shop: Local, tmp_path: Path) -> None:
    """Also where it said something else, and where a sync has written the day again since."""
    path = tmp_path / "x.duckdb"
    by_hand(shop, 2, ago(2), f"delete from `{{}}.{CHANNEL}` t where {{}} and t.channel_type = 'Direct Entry'")
    window: dict[str, Any] = {"start_date": str(ago(2)), "end_date": str(ago(2)), "sites": ["2"]}
    assert reconciled(shop, path, **window).status == "different"
    before = quality_rows(shop)
    assert {row["verdict"] for row in before if row["table_name"] == CHANNEL} == {"ok", "differs"}
    assert shop.sync().verdict is Verdict.COMPLETE
    assert reconciled(shop, path, run_id="check2", **window).findings == []
    after = quality_rows(shop)
    assert len(after) == len(before)
    assert {row["run_id"] for row in after} == {"check2"}
    assert {row["verdict"] for row in after if row["table_name"] == CHANNEL} == {"ok"}


def test_a_sweep_settles_what_was_said_of_a_day_that_matomo_changed(
    matomo: FakeMatomo, synced: Path, tmp_path: Path
) -> None:
    """It writes the day and checks it, without further calls: nothing differs in the table of findings any more."""
    path = tmp_path / "x.duckdb"
    shutil.copyfile(synced, path)
    with local(matomo, path, **CONFIG, quality_checks=True) as shop:
        shop.take_over()
        matomo.change(1, ago(5))
        window: dict[str, Any] = {"start_date": str(ago(5)), "end_date": str(ago(5)), "sites": ["1"]}
        found = reconciled(shop, path, **window)
        assert {str(finding.reason) for finding in found.findings} == {"changed_day"}
        swept = shop.sync(mode="sweep", days=7)
        assert swept.quality is not None
        assert swept.quality.findings == []
        assert {row["verdict"] for row in quality_rows(shop) if row["table_name"] != "behaviour_page"} == {"ok"}


def test_a_seed_chooses_the_same_sample_again(shop: Local, tmp_path: Path) -> None:
    """A sample of none costs one call for the totals of all sites and days."""
    path = tmp_path / "x.duckdb"
    shop.matomo.forget_calls()
    result = reconciled(shop, path, sample_days=0)
    reports = [call.method for call in shop.matomo.calls if call.method in ("VisitsSummary.get", "Goals.get")]
    assert sorted(reports) == ["Goals.get"] * 2 + ["VisitsSummary.get"] * 2
    assert not [call for call in shop.matomo.calls if call.method == LIVE]
    assert (result.findings, result.sample and result.sample.days) == ([], 0)
    chosen: list[set[tuple[str, date]]] = []
    for number in (3, 3, 4):
        reconciled(shop, path, sample_days=3, seed=number, run_id=f"seed{len(chosen)}")
        rows = [row for row in quality_rows(shop) if row["check_name"] == "refetched_rows"]
        chosen.append({(row["website_id"], row["date"]) for row in rows if row["run_id"] == f"seed{len(chosen)}"})
    assert chosen[0] == chosen[1] != chosen[2]
    assert len(chosen[0]) == 3


def test_a_visits_log_that_is_off_is_a_known_reason(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Of a site without it no visits are missing."""
    path = tmp_path / "x.duckdb"
    matomo.disable_visitor_log(1)
    with local(matomo, path, **CONFIG | {"backfill_days": 2}) as shop:
        shop.sync()
        result = reconciled(shop, path, days=2, sample_days=0)
    assert found_by(result) == {("1", ago(day)): {("visits", "pending_day", "visits_log_off")} for day in (1, 2)}
    assert result.status == "reconciled"


def test_days_that_no_run_has_synced_are_named(shop: Local, tmp_path: Path) -> None:
    """They differ: the tables lack them."""
    result = reconciled(shop, tmp_path / "x.duckdb", start_date=str(ago(9)), end_date=str(ago(7)), sample_days=0)
    days = {("1", ago(9)), ("1", ago(8)), ("2", ago(9)), ("2", ago(8))}
    assert found_by(result).keys() == days
    assert {(str(found.check), str(found.reason)) for found in result.findings} == {("pending_day", "missing")}
    assert result.status == "different"
