"""Reports that Matomo has deleted since they were synced: whatever refetches the days, the rows of the tables stay."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import fake_matomo
from fake_matomo import FakeMatomo, Fault, World
from matomo_fn.sync.audit import audit
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.state import SyncState
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from tests.support.local import NOW, Local, ago, copied
from tests.support.local import local as local_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from matomo_fn.sync.result import RunResult

# Days so old that Matomo may have deleted their reports; those of the first three are deleted.
FIRST, LAST = ago(35), ago(31)
KEPT_FROM = ago(32)
PURGED = [ago(35), ago(34), ago(33)]
WORLD = World(
    tuple(
        fake_matomo.Site(number, f"Site {number}", zone, created=ago(40), visits_per_day=9, pages=3)
        for number, zone in ((1, "UTC"), (2, "Asia/Kolkata"))
    ),
    now=NOW,
)
# Two of one row a day, of which a purge keeps one by default; one from several reports; one that takes single days.
TABLES = ("visits_summary", "actions_summary", "visitor_country", "acquisition_referrer", "referrers")
# Some numbers that a purge keeps by default, and one that it deletes, in one row.
MIXED = {"report": "API.get", "name": "mixed", "fields": "nb_visits,nb_pageviews"}
CONFIG: dict[str, Any] = {"reports": list(TABLES), "custom_reports": [MIXED], "visits": True}
GONE = "Matomo has no reports of that time any more"
ADVICE = "for what Matomo has now, sync it with mode full_refresh and name the tables"
COUNTRIES = "UserCountry.getCountry"


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two sites of forty days."""
    with FakeMatomo(WORLD) as running:
        yield running


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a connector whose old days are all synced, with their visits."""
    path = tmp_path_factory.mktemp("synced") / "w.duckdb"
    with FakeMatomo(WORLD) as running, local_of(running, path, **CONFIG) as opened:
        assert refetch(opened).verdict is Verdict.COMPLETE
    return path


@pytest.fixture
def local(matomo: FakeMatomo, synced: Path, tmp_path: Path) -> Iterator[Local]:
    """That connector, with a copy of the file."""
    with copied(synced, Local, matomo, tmp_path / "w.duckdb", **CONFIG) as opened:
        yield opened


def refetch(local: Local, **request: Any) -> RunResult:
    """Backfill the old days."""
    values: dict[str, Any] = {"mode": "backfill", "start_date": FIRST, "end_date": LAST}
    return local.sync(**values | request)


def standing(local: Local) -> dict[str, Any]:
    """The rows of all tables."""
    query = "select t.website_id, t.date, t.nb_visits, t.nb_pageviews from TABLE t order by 1, 2"
    mixed = local.warehouse.query(query.replace("TABLE", sql.table_name(local.warehouse.dataset, "mixed")))
    return {**local.contents([*TABLES, "visits"]), "mixed": [tuple(row.values()) for row in mixed]}


def rows_on(local: Local, table: str, day: date) -> int:
    """How many rows of site 1 a table has on a day."""
    name = sql.table_name(local.warehouse.dataset, table)
    query = f"select count(*) as times from {name} t where t.website_id = '1' and t.date = {sql.literal(day)}"
    return int(local.warehouse.query(query)[0]["times"])


def change(local: Local, statement: str, table: str) -> None:
    """Change rows behind the program's back; TABLE stands for the table's name."""
    local.warehouse.run(statement.replace("TABLE", sql.table_name(local.warehouse.dataset, table)), "change")


def mark_what_differs(local: Local) -> int:
    """Audit all tables and return how many slices are marked."""
    run = Run("audit1", "audit1", local.now())
    state = SyncState(local.warehouse, local.connector)
    tables = tables_as_found(local.warehouse, local.connector.catalogue)
    return audit(local.warehouse, state, tables, run, run.started_at).marked


def state_of(local: Local, table: str, day: date = FIRST) -> Mapping[str, Any]:
    """The newest row of the log about a day of a table."""
    return local.states()[table, "1", day]


def calls_of(matomo: FakeMatomo, method: str) -> int:
    """How often a method was called, also within bulk calls."""
    return sum(call.method == method for call in matomo.calls)


def emptied(answer: object) -> object:
    """Take the rows out of an answer, keyed by days or not."""
    return {key: [] for key in answer} if isinstance(answer, dict) else []


def purge_visits(matomo: FakeMatomo) -> None:
    """Delete all visits of the old days, as a shorter retention of raw data does."""
    matomo.purge_visits(datetime.combine(ago(20), time(), UTC))


# Each setting in one of the two modes: what Matomo keeps does not depend on what the run asks for.
@pytest.mark.parametrize(
    ("left", "request_fields"),
    [
        ("basic metrics", {}),
        ("basic metrics and visits", {"mode": "full_refresh"}),
        ("visits", {}),
        ("nothing", {"mode": "full_refresh"}),
    ],
    ids=["basic metrics-backfill", "basic metrics and visits-full_refresh", "visits-backfill", "nothing-full_refresh"],
)
def test_a_refetch_keeps_the_rows_of_deleted_reports(
    local: Local, matomo: FakeMatomo, left: str, request_fields: dict[str, str]
) -> None:
    """Whatever the setting keeps, with or without the raw visits: the run is complete, and a note names the days."""
    before = standing(local)
    matomo.purge_reports(KEPT_FROM, keep_basic_metrics="basic metrics" in left)
    if "visits" not in left:
        purge_visits(matomo)
    result = refetch(local, **request_fields)
    assert standing(local) == before
    assert (result.verdict, result.missing) == (Verdict.COMPLETE, [])
    (note,) = [note for note in result.notes if GONE in note]
    assert note.startswith(
        f"acquisition_referrer, actions_summary, mixed and {2 if 'basic metrics' in left else 3} more tables"
    )
    assert f" of sites 1 and 2 on {PURGED[0]} to {PURGED[-1]}: " in note
    assert note.endswith(ADVICE)
    assert mark_what_differs(local) == 0


def test_a_day_that_stays_in_matomo_is_written_as_ever(local: Local, matomo: FakeMatomo) -> None:
    """Of the same range: the rows of the kept days follow Matomo."""
    matomo.purge_reports(KEPT_FROM)
    matomo.change(1, LAST)
    assert refetch(local).tables["visitor_country"].written == 1


def test_a_daily_run_requests_such_days_no_more(local: Local, matomo: FakeMatomo) -> None:
    """They are unchanged and final: nothing is open that each run would look at."""
    matomo.purge_reports(KEPT_FROM, keep_basic_metrics=False)
    refetch(local)
    rows = {(table, day): state_of(local, table, day) for table in TABLES for day in PURGED}
    assert {(row["status"], row["is_final"], row["error"]) for row in rows.values()} == {("unchanged", True, None)}
    matomo.forget_calls()
    local.sync()
    assert not {day for _, _, day in local.asked()} & set(PURGED)


def test_a_day_that_is_archived_again_is_written(local: Local, matomo: FakeMatomo) -> None:
    """Its raw visits were there, so what Matomo answers now is what there is: also that a report has no rows left."""
    matomo.purge_reports(KEPT_FROM)
    matomo.change(1, FIRST)
    matomo.process(1, FIRST)
    matomo.faults.add(Fault(method="Referrers.getAll", site=1, day=FIRST, mutate=emptied))
    result = refetch(local)
    assert result.tables["visitor_country"].written == 1
    assert result.tables["actions_summary"].written == 1
    assert rows_on(local, "referrers", FIRST) == 0
    (note,) = [note for note in result.notes if GONE in note and " of site 1 on " in note]
    assert f" of site 1 on {PURGED[1]} to {PURGED[-1]}: " in note


def test_a_report_that_lost_all_its_rows_on_a_day_with_others_is_emptied(local: Local, matomo: FakeMatomo) -> None:
    """As where the visits of a person were deleted on request: the countries prove that the day's reports are there."""
    assert rows_on(local, "referrers", FIRST) > 0
    for method in ("Referrers.getAll", "Actions.get"):
        matomo.faults.add(Fault(method=method, mutate=emptied))
    refetch(local, tables=["referrers", "actions_summary"], start_date=FIRST, end_date=FIRST, sites=["1"])
    assert rows_on(local, "referrers", FIRST) == 0
    assert state_of(local, "actions_summary")["status"] == "written"


def test_a_recent_day_without_visits_is_emptied(local: Local, matomo: FakeMatomo) -> None:
    """Matomo deletes no report of the last weeks, so zeros that the visits log confirms are believed."""
    local.sync()
    day = ago(5)
    assert rows_on(local, "visitor_country", day) > 0
    matomo.change(1, day, to_empty=True)
    refetch(local, start_date=day, end_date=day)
    assert rows_on(local, "visitor_country", day) == 0
    assert rows_on(local, "visits", day) == 0


def test_a_request_that_names_the_tables_gets_what_matomo_has(local: Local, matomo: FakeMatomo) -> None:
    """With full_refresh, as the note says; a table that is not named keeps its rows."""
    matomo.purge_reports(KEPT_FROM, keep_basic_metrics=False)
    purge_visits(matomo)
    result = refetch(local, mode="full_refresh", tables=["visitor_country"])
    assert result.verdict is Verdict.COMPLETE
    assert [rows_on(local, "visitor_country", day) > 0 for day in (*PURGED, KEPT_FROM)] == [False, False, False, True]
    assert rows_on(local, "referrers", FIRST) > 0


def test_even_such_a_request_waits_for_a_day_that_is_not_processed(local: Local, matomo: FakeMatomo) -> None:
    """The visits are there and Matomo counts none: what it answers is no answer yet."""
    matomo.purge_reports(KEPT_FROM, keep_basic_metrics=False)
    before = standing(local)
    result = refetch(local, mode="full_refresh", tables=["visitor_country"], end_date=PURGED[-1])
    assert result.verdict is Verdict.PARTIAL
    assert standing(local) == before


def test_damaged_rows_of_deleted_reports_stay_and_are_named(local: Local, matomo: FakeMatomo) -> None:
    """The audit finds them, nothing better can be had: pending, with what to do."""
    change(local, f"delete from TABLE t where t.website_id = '1' and t.date = {sql.literal(FIRST)} and t.visits = "
           f"(select max(u.visits) from TABLE u where u.website_id = '1' and u.date = {sql.literal(FIRST)})",
           "visitor_country")  # fmt: skip
    assert mark_what_differs(local) == 1
    matomo.purge_reports(KEPT_FROM)
    before = standing(local)
    result = local.sync()
    assert result.verdict is Verdict.PARTIAL
    (missing,) = result.missing
    assert missing.startswith(f"visitor_country of site 1 on {FIRST}: {GONE}")
    assert "restore them from a copy" in missing
    assert missing.endswith(ADVICE)
    rows = standing(local)["visitor_country"]
    assert [row for row in rows if row in before["visitor_country"]] == before["visitor_country"]
    assert state_of(local, "visitor_country")["status"] == "pending"


def test_a_failed_day_of_deleted_reports_becomes_unchanged(local: Local, matomo: FakeMatomo) -> None:
    """Matomo failed in a backfill and has deleted the reports before the next run: the table's rows are as written."""
    matomo.faults.add(Fault(method=COUNTRIES, message="Something is wrong."))
    refetch(local, tables=["visitor_country"])
    assert state_of(local, "visitor_country")["status"] == "failed"
    matomo.faults.clear()
    matomo.purge_reports(KEPT_FROM)
    before = standing(local)["visitor_country"]
    result = local.sync(tables=["visitor_country"])
    assert [row for row in standing(local)["visitor_country"] if row in before] == before
    assert result.missing == []
    assert state_of(local, "visitor_country")["status"] == "unchanged"


def test_doubled_zeros_of_an_empty_day_are_healed(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A report of one row has zeros on an empty day: doubled they tell nothing of a purge, and are written again."""
    matomo.change(1, FIRST, to_empty=True)
    local = Local(matomo, tmp_path / "w.duckdb", reports=["visits_summary"])
    refetch(local)
    columns = ", ".join(column.name for column in local.connector.catalogue["visits_summary"].columns)
    chosen = f"from TABLE t where t.website_id = '1' and t.date = {sql.literal(FIRST)}"
    change(local, f"insert into TABLE ({columns}) select {columns} {chosen}", "visits_summary")
    assert mark_what_differs(local) == 1
    assert local.sync().verdict is Verdict.COMPLETE
    assert rows_on(local, "visits_summary", FIRST) == 1
    local.close()


def test_where_the_countries_cannot_be_had_the_day_is_pending(local: Local, matomo: FakeMatomo) -> None:
    """Nobody can say whether the reports are gone for good."""
    matomo.purge_reports(KEPT_FROM)
    matomo.faults.add(Fault(method=COUNTRIES, message="Something is wrong."))
    before = standing(local)
    result = refetch(local, tables=["referrers"])
    assert standing(local) == before
    assert result.verdict is Verdict.PARTIAL
    assert all("whether Matomo has deleted its reports is not known: " in sentence for sentence in result.missing)


def test_a_refetch_of_days_that_are_as_before_asks_nothing_more(local: Local, matomo: FakeMatomo) -> None:
    """The countries are requested once more only where an answer would take something out of a table."""
    refetch(local, tables=["visits_summary", "actions_summary"])
    assert calls_of(matomo, COUNTRIES) == 0
    matomo.purge_reports(KEPT_FROM)
    refetch(local, tables=["visits_summary", "actions_summary"])
    assert calls_of(matomo, COUNTRIES) == 2  # one for each site: the tables tell how small the answers are


def test_segments_are_looked_at_with_their_own_archives(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The rows of a segment stay as well; those of another definition are replaced."""
    config: dict[str, Any] = {"reports": ["visits_summary", "visitor_country"], "sites": ["1"]}
    local = Local(matomo, tmp_path / "w.duckdb", segments={"some": "deviceType==desktop"}, **config)
    refetch(local)
    before = local.contents(["visits_summary", "visitor_country"])
    matomo.purge_reports(KEPT_FROM, keep_basic_metrics=False)
    purge_visits(matomo)
    assert refetch(local).verdict is Verdict.COMPLETE
    assert local.contents(["visits_summary", "visitor_country"]) == before
    local.close()
    matomo.advance(timedelta(minutes=1))
    changed = Local(matomo, tmp_path / "w.duckdb", segments={"some": "deviceType==car+browser"}, **config)
    assert refetch(changed).verdict is Verdict.COMPLETE
    rows = changed.contents(["visitor_country"])["visitor_country"]
    assert {row for row in rows if "some" in row} == set()
    changed.close()
