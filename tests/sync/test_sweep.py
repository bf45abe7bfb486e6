"""Sweeps: what Matomo has changed of final days is found, written and named once; unchanged days cost nothing."""

from __future__ import annotations

import tempfile
from collections import Counter
from datetime import UTC, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fake_matomo
from fake_matomo import FakeMatomo, Fault, World
from matomo_fn.catalogue import PREBUILT
from matomo_fn.config.request import read_request
from matomo_fn.errors import InputError
from matomo_fn.verdict import Verdict
from matomo_fn.warehouse import sql
from tests.support.local import NOW, Local, ago, copied, local, small_world
from tests.support.warehouses import Killed, death_before
from tests.sync.test_run_properties import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

TABLES = ["visits_summary", "visitor_country", "referrers"]
COUNTRY = "visitor_country"
LIVE = "Live.getLastVisitsDetails"
# Final for long: no daily run looks at it.
OLD = ago(20)
CONFIG: dict[str, Any] = {"reports": TABLES, "backfill_days": 30}


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two sites of thirty days."""
    with FakeMatomo(small_world()) as running:
        yield running


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a connector whose thirty days are synced."""
    path = tmp_path_factory.mktemp("synced") / "x.duckdb"
    with FakeMatomo(small_world()) as running, local(running, path, **CONFIG) as opened:
        assert opened.sync().verdict is Verdict.COMPLETE
    return path


@pytest.fixture
def shop(matomo: FakeMatomo, synced: Path, tmp_path: Path) -> Iterator[Local]:
    """That connector, with a copy of the file."""
    with copied(synced, Local, matomo, tmp_path / "x.duckdb", **CONFIG) as opened:
        yield opened


def fresh(shop: Local, **config: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of a full sync of the same Matomo into an empty file."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local(shop.matomo, Path(folder) / "fresh.duckdb", **CONFIG | config) as other,
    ):
        assert other.sync().verdict is Verdict.COMPLETE
        return other.contents()


def log_rows(shop: Local) -> int:
    """How many rows the log has."""
    table = sql.table_name(shop.warehouse.dataset, "_sync_log")
    return int(shop.warehouse.query(f"select count(*) as row_count from {table} l")[0]["row_count"])


def written(result: Any) -> int:
    """How many slices a run wrote."""
    return sum(table.written for table in result.tables.values())


def changed_days(result: Any) -> set[tuple[str, str, date]]:
    """What a run reports as changed: (table, site, day)."""
    return {(one.stream.table, one.stream.website_id, day) for one in result.changes.each for day in one.dates}


# --- what is found ---------------------------------------------------------------------------------------------------


def test_a_sweep_writes_and_names_what_changed_and_nothing_else(shop: Local) -> None:
    """A daily run does not see it; the sweep reports table, site, day and rows before and now, as the log has them."""
    before = Counter((row[1], row[0]) for row in shop.contents()[COUNTRY])
    shop.matomo.change(1, OLD)
    assert written(shop.sync()) == 0
    result = shop.sync(mode="sweep")
    assert (result.verdict, written(result)) == (Verdict.COMPLETE, len(TABLES))
    assert changed_days(result) == {(table, "1", OLD) for table in TABLES}
    assert shop.contents() == fresh(shop)
    after = Counter((row[1], row[0]) for row in shop.contents()[COUNTRY])
    (told,) = [each for each in result.as_dict()["changed"] if each["table"] == COUNTRY]
    assert told == {
        "table": COUNTRY, "website_id": "1", "segment": "", "days": [[str(OLD), str(OLD)]], "slices": 1,
        "rows_before": before["1", OLD], "rows": after["1", OLD],
    }  # fmt: skip
    assert result.as_dict()["changed_slices"] == len(TABLES)
    state = shop.states()[COUNTRY, "1", OLD]
    assert (state["replaced_rows"], state["row_count"]) == (before["1", OLD], after["1", OLD])
    runs = sql.table_name(shop.warehouse.dataset, "_sync_runs")
    recorded = shop.warehouse.query(f"select r.mode, r.changed from {runs} r order by r.started_at")
    assert [(row["mode"], row["changed"]) for row in recorded] == [("incremental", 0), ("incremental", 0), ("sweep", 3)]


def test_what_a_sweep_changed_is_reported_once(shop: Local) -> None:
    """The next sweep finds the new rows."""
    shop.matomo.change(1, OLD)
    assert changed_days(shop.sync(mode="sweep"))
    again = shop.sync(mode="sweep")
    assert (changed_days(again), written(again)) == (set(), 0)


def test_a_sweep_of_unchanged_days_writes_and_logs_nothing(shop: Local) -> None:
    """Neither a table nor the log grows: the run itself is recorded, and its audit found nothing."""
    rows = log_rows(shop)
    result = shop.sync(mode="sweep")
    assert (result.verdict, written(result), result.changes.slices) == (Verdict.COMPLETE, 0, 0)
    assert sum(table.unchanged for table in result.tables.values()) == 2 * 30 * len(TABLES)
    assert log_rows(shop) == rows
    assert result.audit is not None
    assert result.audit.is_consistent
    assert [change for change in shop.watched.changes() if "_sync_runs" not in change] == []


def test_the_window_is_that_of_the_request(shop: Local) -> None:
    """By days, by dates, or by default thirty days; a day beyond it is left alone."""
    shop.matomo.change(1, OLD)
    assert changed_days(shop.sync(mode="sweep", days=19)) == set()
    assert changed_days(shop.sync(mode="sweep", start_date=ago(19), end_date=ago(2))) == set()
    assert changed_days(shop.sync(mode="sweep", start_date=OLD, end_date=OLD, tables=[COUNTRY])) == {
        (COUNTRY, "1", OLD)
    }
    assert changed_days(shop.sync(mode="sweep", days=20)) == {(name, "1", OLD) for name in TABLES if name != COUNTRY}


def test_changes_of_days_that_daily_runs_refetch_are_no_findings(shop: Local) -> None:
    """They are written, and not reported: each daily run would have found them."""
    shop.matomo.change(1, ago(1))
    result = shop.sync(mode="sweep")
    assert (written(result), changed_days(result)) == (len(TABLES), set())


def test_a_backfill_names_what_matomo_had_changed_too(shop: Local) -> None:
    """Whatever run finds that a final day has changed says so."""
    shop.matomo.change(2, OLD)
    result = shop.sync(mode="backfill", tables=[COUNTRY])
    assert changed_days(result) == {(COUNTRY, "2", OLD)}


def test_a_sweep_brings_no_days_that_the_tables_would_not_have(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Of the days before backfill_days only those that somebody synced; of the others it fills what is missing."""
    with local(matomo, tmp_path / "x.duckdb", reports=[COUNTRY], backfill_days=6) as shop:
        shop.sync(start_date=OLD, end_date=OLD)
        matomo.change(1, OLD)
        result = shop.sync(mode="sweep", days=25)
        assert changed_days(result) == {(COUNTRY, "1", OLD)}
        days = {day for _, _, day in shop.states()}
        assert days == {OLD, *(ago(back) for back in range(1, 7))}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"days": 30}, 'days is how far a sweep or reconcile looks back, and the mode is "incremental": leave it out'),
        (
            {"mode": "sweep", "days": 30, "start_date": str(OLD)},
            'mode "sweep" has one window: give days, or start_date and end_',
        ),
        (
            {"mode": "intraday", "start_date": str(OLD)},
            'mode "intraday" is about the present day of each site: leave out',
        ),
        ({"mode": "sweep", "days": 0}, "days"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused(fields: dict[str, Any], problem: str) -> None:
    """By a sentence that says what to leave out."""
    with pytest.raises(InputError) as caught:
        read_request({"connector": "shop", **fields})
    assert problem in str(caught.value)


# --- what it costs ---------------------------------------------------------------------------------------------------


def test_thirty_days_of_twelve_tables_take_about_a_call_a_table_and_site(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The tables tell how small the answers are, so each report comes in one range; two calls where it refuses them."""
    reports = [name for name in PREBUILT if name != "acquisition_referrer"]  # which takes four reports
    with local(matomo, tmp_path / "x.duckdb", reports=reports, backfill_days=30) as shop:
        shop.sync()
        matomo.forget_calls()
        assert shop.sync(mode="sweep").changes.slices == 0
        asked = Counter(call.method for call in matomo.calls if "period" in call.params)
        http = matomo.http_requests
    ranges = {method: count for method, count in asked.items() if method != "Referrers.getAll"}
    assert set(ranges.values()) == {2}  # one a site
    assert http <= 2 * (len(ranges) + 2) + 2  # Referrers.getAll: thirty days by bulk calls of twenty; version and sites


# --- the audit, failures, and where it is cut off --------------------------------------------------------------------


def test_what_the_audit_finds_is_written_by_the_same_sweep(shop: Local) -> None:
    """Also where it lies before the window; it is in the audit's findings and no change of Matomo's."""
    before = shop.contents()
    table = sql.table_name(shop.warehouse.dataset, COUNTRY)
    shop.warehouse.run(f"delete from {table} t where t.date = date '{OLD}' and t.website_id = '1'", "damage")
    result = shop.sync(mode="sweep", days=10)
    assert result.audit is not None
    assert [(found.table, found.website_id, list(found.days)) for found in result.audit.findings] == [
        (COUNTRY, "1", [OLD])
    ]
    assert result.as_dict()["audit"]["status"] == "different"
    assert (result.verdict, written(result), changed_days(result)) == (Verdict.COMPLETE, 1, set())
    assert shop.contents() == before


def test_a_change_whose_sweep_died_before_it_was_logged_is_reported_by_the_next(shop: Local) -> None:
    """The rows are there already, and of a run that the log does not name."""
    shop.matomo.change(1, OLD)
    with pytest.raises(Killed):
        shop.sync(mode="sweep", before=death_before("load_staging__sync_log"))
    result = shop.sync(mode="sweep")
    assert changed_days(result) == {(table, "1", OLD) for table in TABLES}
    assert shop.contents() == fresh(shop)
    again = shop.sync(mode="sweep")
    assert (changed_days(again), written(again)) == (set(), 0)
    assert again.audit is not None
    assert again.audit.is_consistent


def test_days_that_could_not_be_fetched_stay_final(shop: Local) -> None:
    """The run fails and says so; neither status nor a daily run take the rows for missing."""
    shop.matomo.faults.add(Fault(method="UserCountry.getCountry", message="Something broke"))
    result = shop.sync(mode="sweep")
    assert result.verdict is Verdict.FAILED
    assert shop.states()[COUNTRY, "1", OLD]["status"] == "written"
    shop.matomo.faults.clear()
    shop.matomo.forget_calls()
    shop.sync()
    assert min(day for _, _, day in shop.asked()) == ago(3)


def test_a_sweep_that_is_cut_off_goes_on_where_it_stopped(shop: Local) -> None:
    """Delivered again, the same request leaves out what it had found unchanged: each slice is handled once."""
    handled, result = 0, shop.sync(mode="incremental")
    for _ in range(8):
        result = shop.sync(mode="sweep", calls=4, request_id="message 7")
        assert written(result) == 0
        handled += sum(table.unchanged for table in result.tables.values())
        if result.verdict is Verdict.COMPLETE:
            break
    assert (result.verdict, handled) == (Verdict.COMPLETE, 2 * 30 * len(TABLES))
    assert handled > sum(table.unchanged for table in result.tables.values())


# --- visits, purged days, segments and periods -----------------------------------------------------------------------

VISITS: dict[str, Any] = {"reports": ["visits_summary"], "visits": True, "backfill_days": 10}
DAY = ago(9)


def live_days(matomo: FakeMatomo) -> set[str]:
    """The days whose visits were read."""
    return {
        call.params["date"] for call in matomo.calls if call.method == LIVE and "doNotFetchActions" not in call.params
    }


@pytest.mark.parametrize("reports", [["visits_summary"], [COUNTRY]])
def test_visits_are_read_again_where_the_summary_has_changed(
    matomo: FakeMatomo, tmp_path: Path, reports: list[str]
) -> None:
    """A visit that came late is found by the counts alone; of no other final day are visits read."""
    with local(matomo, tmp_path / "x.duckdb", **VISITS | {"reports": reports}, sites=["1"]) as shop:
        shop.sync()
        matomo.arrive_late(1, DAY)
        matomo.forget_calls()
        result = shop.sync(mode="sweep")
        assert ("visits", "1", DAY) in changed_days(result)
        trailing = {f"{ago(back)},{ago(back)}" for back in (1, 2)}
        assert {day.split(",")[0] for day in live_days(matomo)} <= {str(DAY), *(day.split(",")[0] for day in trailing)}
        assert shop.contents() == fresh(shop, **VISITS | {"reports": reports}, sites=["1"])


def test_visits_whose_number_is_the_same_are_read_where_their_actions_are_not(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """As many visits as before, and a summary that differs: the rows of visits_summary tell."""
    with local(matomo, tmp_path / "x.duckdb", **VISITS, sites=["1"]) as shop:
        shop.sync()
        count = len(matomo.visits(1, DAY))
        while True:
            matomo.change(1, DAY)
            if len(matomo.visits(1, DAY)) == count:
                break
        assert ("visits", "1", DAY) in changed_days(shop.sync(mode="sweep"))
        assert shop.contents() == fresh(shop, **VISITS, sites=["1"])


def test_visits_are_read_by_the_next_sweep_where_one_was_cut_off_before_them(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """The counts are the new ones by then, and as many as before: the log knows that the visits were not read."""
    with local(matomo, tmp_path / "x.duckdb", **VISITS, sites=["1"], concurrency=1) as shop:
        shop.sync()
        count = len(matomo.visits(1, DAY))
        while True:
            matomo.change(1, DAY)
            if len(matomo.visits(1, DAY)) == count:
                break
        matomo.faults.add(Fault(method=LIVE, message="Something broke"))
        assert shop.sync(mode="sweep").verdict is Verdict.FAILED
        assert shop.states()["visits", "1", DAY]["status"] == "pending"
        matomo.faults.clear()
        assert shop.sync(mode="sweep").verdict is Verdict.COMPLETE
        assert shop.contents() == fresh(shop, **VISITS, sites=["1"])
        assert shop.states()["visits", "1", DAY]["status"] == "written"


OLD_WORLD = World(
    (fake_matomo.Site(1, "Site", "UTC", created=ago(40), visits_per_day=3, pages=3),),
    now=NOW,
)


def test_a_sweep_does_not_empty_what_matomo_has_deleted(tmp_path: Path) -> None:
    """Reports and visits by its settings for old data: the rows stay, nothing is reported as changed or read again."""
    config = {"reports": ["visits_summary", COUNTRY], "visits": True, "backfill_days": 35}
    with FakeMatomo(OLD_WORLD) as matomo, local(matomo, tmp_path / "x.duckdb", **config) as shop:
        shop.sync()
        before = shop.contents()
        matomo.purge_reports(ago(32), keep_basic_metrics=False)
        matomo.purge_visits(datetime.combine(ago(20), time(), UTC))
        matomo.forget_calls()
        result = shop.sync(mode="sweep", days=35)
        assert shop.contents() == before
        assert (result.verdict, changed_days(result)) == (Verdict.COMPLETE, set())
        assert len(live_days(matomo)) <= 3  # the trailing days
        assert any("Matomo has no reports of that time any more" in note for note in result.notes)


def test_segments_periods_and_custom_reports_are_swept(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A day that changes changes its segments, its week and its month."""
    config: dict[str, Any] = {
        "reports": ["visits_summary", COUNTRY],
        "custom_reports": [{"report": "DevicesDetection.getBrowsers", "name": "browsers"}],
        "segments": {"mobile": "deviceType==smartphone"},
        "periods": {"visits_summary": ["week", "month"]},
        "backfill_days": 21,
        "sites": ["1"],
    }
    with local(matomo, tmp_path / "x.duckdb", **config) as shop:
        shop.sync()
        matomo.change(1, OLD)
        result = shop.sync(mode="sweep")
        assert shop.contents() == fresh(shop, **config)
        tables = {name for name, _, _ in changed_days(result)}
        assert {"visits_summary", COUNTRY, "browsers", "visits_summary_week"} <= tables
        assert "mobile" in {change.stream.segment for change in result.changes.each}
        assert written(shop.sync(mode="sweep")) == 0


# --- any history -----------------------------------------------------------------------------------------------------

events = st.tuples(st.sampled_from(["change", "late", "empty", "damage"]), st.integers(1, 2), st.integers(4, 8))


@pytest.mark.long
@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(events, min_size=1, max_size=5), st.booleans())
def test_after_a_sweep_the_tables_are_those_of_a_fresh_sync(history: list[tuple[str, int, int]], killed: bool) -> None:  # noqa: FBT001 - drawn
    """Whatever happened to final days in Matomo or to the tables, and also where a sweep before was cut off."""
    config: dict[str, Any] = {"reports": ["visits_summary", COUNTRY], "backfill_days": 8, "visits": True}
    with (
        FakeMatomo(small_world()) as matomo,
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        local(matomo, Path(folder) / "x.duckdb", **config) as shop,
    ):
        shop.sync()
        for kind, site, back in history:
            match kind:
                case "damage":
                    table = sql.table_name(shop.warehouse.dataset, COUNTRY)
                    chosen = f"t.date = date '{ago(back)}' and t.website_id = '{site}'"
                    shop.warehouse.run(f"delete from {table} t where {chosen}", "damage")
                case "late":
                    matomo.arrive_late(site, ago(back))
                case _:
                    matomo.change(site, ago(back), to_empty=kind == "empty")
        if killed:
            shop.sync(mode="sweep", calls=4)
        result = shop.sync(mode="sweep")
        assert result.verdict is Verdict.COMPLETE
        assert shop.contents() == fresh(shop, **config)
        assert shop.duplicates() == []
        assert written(shop.sync(mode="sweep")) == 0
