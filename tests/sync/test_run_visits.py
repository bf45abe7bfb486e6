"""Whole runs that sync visits: cut off, killed, two at once, twice, refused, and checked against the summary."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, date, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fake_matomo import FakeMatomo, Fault, out_of_memory
from matomo_fn.app.status import read_status
from matomo_fn.catalogue import BUILT_IN, VISITS
from matomo_fn.config.settings import Settings
from matomo_fn.days import Days
from matomo_fn.errors import MatomoUnavailable, OutOfTime, WarehouseError
from matomo_fn.sites import Site as PlannedSite
from matomo_fn.sync.plan import jobs_for
from matomo_fn.warehouse.tables import ensure_table
from tests.support.shop import running
from tests.support.visits import DAYS, METHOD, WORLD, LocalVisits, truth
from tests.support.warehouses import Death, Killed, death_before, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SLICES = 2 * len(DAYS)
PAGES = "behaviour_page"
REPORTS = ["visits_summary", PAGES]


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two sites of two days."""
    with FakeMatomo(WORLD) as running_matomo:
        yield running_matomo


@pytest.fixture
def local(matomo: FakeMatomo, tmp_path: Path) -> Iterator[LocalVisits]:
    """A connector of both, with pages of seven visits."""
    opened = LocalVisits(matomo, tmp_path / "w.duckdb", reports=REPORTS)
    yield opened
    opened.close()


def content(local: LocalVisits) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of all tables of the connector, but for the stamps."""
    return {name: rows_of(local.warehouse, BUILT_IN[name]) for name in local.connector.tables}


@cache
def reference() -> dict[str, list[tuple[Any, ...]]]:
    """What an undisturbed run leaves."""
    with FakeMatomo(WORLD) as matomo, tempfile.TemporaryDirectory() as folder:
        local = LocalVisits(matomo, Path(folder) / "w.duckdb", page=None, reports=REPORTS)
        assert local.sync().http_status == 200
        try:
            return content(local)
        finally:
            local.close()


# --- cut off, killed, two at once -------------------------------------------------------------------------


@pytest.mark.long
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_runs_cut_off_anywhere_and_started_again_end_in_the_same_tables(data: st.DataObject) -> None:
    """Cut by the time budget after any call, by an error of any page, or killed before any change; in small buffers."""
    with FakeMatomo(WORLD) as matomo, tempfile.TemporaryDirectory() as folder:
        local = LocalVisits(matomo, Path(folder) / "w.duckdb", page=data.draw(st.integers(3, 20)), reports=REPORTS)
        for _ in range(data.draw(st.integers(1, 2))):
            buffer_bytes = data.draw(st.sampled_from([1, 20_000, 64 * 1024 * 1024]))
            how = data.draw(st.sampled_from(["calls", "page", "death"]))
            at = data.draw(st.integers(1, 25))
            if how == "calls":
                with suppress(OutOfTime):  # before the sites are known
                    local.sync(calls=at, buffer_bytes=buffer_bytes)
            elif how == "page":
                local.between = _broken_at(at)
                local.sync(buffer_bytes=buffer_bytes)
            else:
                _killed(local, Death(at), buffer_bytes)
            local.between = lambda _: None
            _no_visit_twice(local)
        local.sync(request_id="the last")
        assert content(local) == reference()
        assert {state["status"] for state in local.states().values()} <= {"written", "unchanged"}
        local.close()


def _broken_at(page: int) -> Any:
    def check(number: int) -> None:
        if number == page:
            raise MatomoUnavailable("the connection broke off")

    return check


def _killed(local: LocalVisits, death: Any, buffer_bytes: int = 64 * 1024 * 1024) -> None:
    try:
        local.sync(before=death, buffer_bytes=buffer_bytes)
    except Killed:
        return


def _no_visit_twice(local: LocalVisits) -> None:
    if local.warehouse.find_table("visits"):
        found = [row[2] for row in local.standing()]
        assert len(set(found)) == len(found)


@pytest.mark.parametrize("buffer_bytes", [1, 64 * 1024 * 1024])
def test_two_runs_at_once_end_in_the_same_tables(local: LocalVisits, buffer_bytes: int) -> None:
    """Whichever writes a slice last, its rows stand there once."""
    local.warehouse.ensure_dataset()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(local.sync, buffer_bytes=buffer_bytes) for _ in range(2)]
        assert [run.result().http_status for run in runs] == [200, 200]
    assert content(local) == reference()
    local.sync(request_id="after both")
    assert content(local) == reference()


def test_a_run_that_dies_before_the_titles_writes_them_with_the_next(local: LocalVisits) -> None:
    """Pages and visits have been merged and the log has not: the next run does both once more."""
    _killed(local, death_before("find_staging_titles"))
    assert all(row[4] is None for row in content(local)[PAGES])
    local.sync()
    assert content(local) == reference()


def test_titles_that_could_not_be_written_are_written_with_the_next_run(local: LocalVisits) -> None:
    """The run has failed and says so; the slices are not taken for done, although their rows are there."""

    def break_titles(method: str, what: str) -> None:
        if method == "run" and what.startswith("set_staging_titles"):
            raise WarehouseError("no")

    result = local.sync(before=break_titles)
    assert result.warehouse_errors == [f"titles of table {PAGES}: no"]
    assert {state["status"] for (table, _, _), state in local.states().items() if table != "visits_summary"} == {
        "failed"
    }
    assert (result.tables["visits"].written, result.tables["visits"].failed) == (0, SLICES)
    assert local.sync().http_status == 200
    assert content(local) == reference()


def test_titles_that_fail_do_not_hide_why_pages_could_not_be_written(local: LocalVisits) -> None:
    """Each slice is logged with its own error; that of the titles stands at the visits alone, not at other tables."""

    def breaks(method: str, what: str) -> None:
        for start in (f"merge_staging_{PAGES}", "find_staging_titles"):
            if method == "run" and what.startswith(start):
                raise WarehouseError(f"no {start}")

    result = local.sync(before=breaks, sites=("2",), start_date=DAYS[0])
    assert result.warehouse_errors == [
        f"table {PAGES}: no merge_staging_{PAGES}",
        f"titles of table {PAGES}: no find_staging_titles",
    ]
    said = {(table, state["error"].rpartition(": ")[2]) for (table, _, _), state in local.states().items()
            if state["error"]}  # fmt: skip
    assert said == {(PAGES, f"no merge_staging_{PAGES}"), ("visits", "no find_staging_titles")}


# --- twice ------------------------------------------------------------------------------------------------


def test_the_same_days_synced_twice_write_nothing_the_second_time(local: LocalVisits) -> None:
    """Every slice is unchanged, and no statement changes a table."""
    assert local.sync().tables["visits"].written == SLICES
    result = local.sync(start_date=DAYS[-1])
    assert (result.tables["visits"].unchanged, result.tables["visits"].written) == (SLICES, 0)
    assert local.watched.changes() == []


AGES = (
    "daysSinceFirstVisit", "daysSinceLastVisit", "daysSinceLastEcommerceOrder", "secondsSinceFirstVisit",
    "secondsSinceLastVisit", "secondsSinceLastEcommerceOrder",
)  # fmt: skip


def _older(answer: object) -> object:
    """The answer of a day later: what is counted up to the moment of asking has grown."""
    assert isinstance(answer, list)
    grown = 86_401
    return [
        {**visit, **{name: (visit.get(name) or 0) + (grown if name.startswith("seconds") else 1) for name in AGES}}
        for visit in answer
    ]


def test_how_long_ago_something_was_does_not_make_a_slice_look_changed(local: LocalVisits, matomo: FakeMatomo) -> None:
    """All six ages differ between two answers about the same visits; the first answer's stay in the table."""
    local.sync()
    before = content(local)
    matomo.faults.add(Fault(method=METHOD, mutate=_older))
    result = local.sync(start_date=DAYS[-1])
    assert (result.tables["visits"].unchanged, result.tables["visits"].written) == (SLICES, 0)
    assert local.watched.changes() == []
    assert content(local) == before


def test_anything_else_that_differs_makes_a_slice_changed(local: LocalVisits, matomo: FakeMatomo) -> None:
    """A value in raw, in a column or in an action: the slice is written anew, with the new ages."""
    local.sync()

    def change(answer: object) -> object:
        assert isinstance(answer, list)
        of_day = {visit.id for visit in matomo.visits(2, DAYS[0])}  # days may share a page
        return [{**visit, "siteName": "renamed"} if int(visit["idVisit"]) in of_day else visit for visit in answer]

    matomo.faults.add(Fault(method=METHOD, day=DAYS[0], site=2, mutate=lambda answer: change(_older(answer))))
    result = local.sync(start_date=DAYS[-1])
    assert (result.tables["visits"].unchanged, result.tables["visits"].written) == (SLICES - 1, 1)
    ages = {
        row["days_since_first_visit"] for row in local.rows() if row["website_id"] == "2" and row["date"] == DAYS[0]
    }
    assert 0 not in ages


# --- the log that cannot be had ---------------------------------------------------------------------------


def test_a_visits_log_that_is_switched_off_is_one_note_and_no_failure(local: LocalVisits, matomo: FakeMatomo) -> None:
    """The other site's visits and all reports are synced; the state has nothing of the days that cannot be had."""
    matomo.disable_visitor_log(1)
    result = local.sync()
    assert (result.http_status, result.as_dict()["status"], result.as_dict()["errors"]) == (200, "complete", [])
    assert len(result.notes) == 1
    assert result.notes[0].startswith("visits of site 1 are not synced: Live.getLastVisitsDetails: Matomo says: Visits")
    assert result.as_dict()["notes"] == list(result.notes)
    visits = result.tables["visits"]
    assert (visits.written, visits.failed, visits.pending, visits.remaining) == (len(DAYS), 0, 0, 0)
    assert not any(table == "visits" and site == "1" for table, site, _ in local.states())
    assert local.standing() == truth(matomo, [2], DAYS)
    asked = [call for call in matomo.calls if call.method == METHOD and call.params["idSite"] == "1"]
    assert len([call for call in asked if "doNotFetchActions" not in call.params]) == 1


def test_a_refused_visits_log_is_a_note_too(local: LocalVisits, matomo: FakeMatomo) -> None:
    """The token's user may see reports but not the log."""
    words = "You can't access this resource as it requires 'view' access for the website id = 2."
    matomo.faults.add(Fault(method=METHOD, site=2, status=401, message=words))
    result = local.sync()
    assert result.http_status == 200
    assert len(result.notes) == 1
    assert "visits of site 2 are not synced: Matomo says: You can't access" in result.notes[0]


def test_visits_that_are_there_stay_when_the_log_is_switched_off(local: LocalVisits, matomo: FakeMatomo) -> None:
    """What the table has is not touched, and comes up to date when the log is switched on again."""
    local.sync()
    before = local.standing()
    matomo.disable_visitor_log()
    assert local.sync().http_status == 200
    assert local.standing() == before


def test_out_of_memory_the_day_is_read_in_smaller_pages(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Two refusals cost two calls and no slice: pages of a quarter, then of the least; other days have larger ones."""
    matomo.faults.add(out_of_memory(Fault(method=METHOD, times=2)))
    local = LocalVisits(matomo, tmp_path / "w.duckdb", page=None, reports=REPORTS, concurrency=1)
    result = local.sync()
    assert result.http_status == 200, result.as_dict()
    assert content(local) == reference()
    asked = [int(call.params["filter_limit"]) for call in matomo.calls if call.method == METHOD]
    assert asked == [32, 8, *[4] * 11, 20]
    local.close()


def test_a_visit_that_keeps_moving_fails_its_slice_by_a_sentence(local: LocalVisits, matomo: FakeMatomo) -> None:
    """The others are written, and the run says which day of which site is left to the next one."""
    first = matomo.visits(1, DAYS[0])[0]
    last = max(visit.last_at for visit in matomo.visits(1, DAYS[0])) + 1

    def moving(answer: object) -> object:
        assert isinstance(answer, list)
        end = {"idVisit": first.id, "firstActionTimestamp": 1, "lastActionTimestamp": last}
        return [*answer, end] if answer else answer

    # The first visit of the day comes once more, at its end, in each reading.
    matomo.faults.add(Fault(method=METHOD, site=1, day=DAYS[0], mutate=moving))
    local.page = None
    result = local.sync()
    assert result.http_status == 502
    assert result.as_dict()["errors"] == [
        f"visits of site 1 on {DAYS[0]}: visits of {DAYS[0]} gained actions in each of 3 readings: "
        "the next run tries again"
    ]
    state = local.states()["visits", "1", DAYS[0]]
    assert (state["status"], state["row_count"], state["error"]) == ("failed", 0, result.as_dict()["errors"][0])
    assert result.tables["visits"].written == SLICES - 1
    matomo.faults.clear()
    assert local.sync().http_status == 200
    assert content(local) == reference()


def test_a_run_stopped_in_the_middle_of_a_day_leaves_that_day_and_says_so(local: LocalVisits) -> None:
    """Days that were read whole are written; the others are left for the next run."""
    result = local.sync(calls=10)
    visits = result.tables["visits"]
    assert result.as_dict()["status"] == "partial"
    assert visits.remaining > 0
    assert visits.written + visits.remaining == SLICES
    assert {row[1] for row in local.standing()} < set(DAYS) or visits.written
    local.sync()
    assert content(local) == reference()


def test_a_full_refresh_of_the_visits_that_runs_out_of_time_keeps_the_days_that_it_wrote(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """They are written in their place: visits are too many for a second copy, which another table is rebuilt in."""
    local = LocalVisits(matomo, tmp_path / "w.duckdb", page=None, sites=["1"], concurrency=1)
    local.warehouse.ensure_dataset()
    ensure_table(local.warehouse, VISITS.schema, "day")
    result = local.sync(mode="full_refresh", tables=("visits",), calls=4)
    visits = result.tables["visits"]
    assert (result.warehouse_errors, visits.written, visits.remaining) == ([], 1, 1)
    assert {state["row_count"] for state in local.states().values()} == {len(local.standing())} != {0}
    local.close()


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.timeout(30)
def test_visits_that_are_switched_on_later_wait_for_no_summary_behind_them(
    matomo: FakeMatomo, tmp_path: Path, concurrency: int
) -> None:
    """The summaries of the trailing days are asked again, and before the visits that are compared with them."""
    path = tmp_path / "w.duckdb"
    first = LocalVisits(matomo, path, reports=REPORTS, visits=False, concurrency=concurrency)
    first.sync(request_id="first")
    first.close()
    local = LocalVisits(matomo, path, reports=REPORTS, concurrency=concurrency)
    assert local.sync(request_id="second").http_status == 200
    assert content(local) == reference()
    local.close()


# --- the cross-check --------------------------------------------------------------------------------------


def _two_more(answer: object) -> object:
    assert isinstance(answer, dict)
    return {day: value | {"nb_visits": value["nb_visits"] + 2} if value else value for day, value in answer.items()}


@pytest.mark.parametrize("reports", [REPORTS, [PAGES]], ids=["with the summary", "without"])
def test_the_number_of_visits_is_compared_with_the_summarys(
    matomo: FakeMatomo, tmp_path: Path, reports: list[str]
) -> None:
    """Zero where both agree; where Matomo's archive counts more, by how many the log has fewer."""
    local = LocalVisits(matomo, tmp_path / "w.duckdb", reports=reports)
    local.sync()
    states = local.states()
    assert {states["visits", site, day]["visits_difference"] for site in "12" for day in DAYS} == {0}
    assert {state["visits_difference"] for key, state in states.items() if key[0] != "visits"} <= {None}
    matomo.faults.add(Fault(method="VisitsSummary.get", site=1, mutate=_two_more))
    result = local.sync(start_date=DAYS[-1])
    assert result.http_status == 200
    states = local.states()
    assert {states["visits", "1", day]["visits_difference"] for day in DAYS} == {-2}
    assert {states["visits", "2", day]["visits_difference"] for day in DAYS} == {0}
    assert result.tables["visits"].unchanged == SLICES
    local.close()


def test_the_summary_is_asked_once_for_all_days_of_a_job(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The days of two sites are two calls, whether the summary is a table of the connector or not."""
    for reports, calls in ((REPORTS, 2), ([PAGES], 2)):
        matomo.forget_calls()
        local = LocalVisits(matomo, tmp_path / f"{len(reports)}.duckdb", reports=reports)
        local.sync()
        assert sum(call.method == "VisitsSummary.get" for call in matomo.calls) == calls
        local.close()


def test_a_summary_that_cannot_be_had_leaves_the_difference_open(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The visits are written all the same."""
    matomo.faults.add(Fault(method="VisitsSummary.get", message="Something is wrong."))
    local = LocalVisits(matomo, tmp_path / "w.duckdb", reports=["visitor_country"])
    local.sync()
    states = local.states()
    assert {states["visits", "1", day]["visits_difference"] for day in DAYS} == {None}
    assert local.standing() == truth(matomo, [1, 2], DAYS)
    local.close()


def test_status_shows_by_how_much_the_days_differ(tmp_path: Path) -> None:
    """Summed up over the days of each site, whichever way they differ; nothing for the other tables."""
    with running(tmp_path) as shop:
        shop.configure(sites="all", visits=True, reports=["visits_summary"], backfill_days=5)
        shop.matomo.faults.add(Fault(method="VisitsSummary.get", site=2, mutate=_two_more))
        assert shop.post({"connector": "shop"}).status_code == 200
        settings_of = Settings(secrets=str(shop.secrets), warehouse=f"duckdb:{shop.warehouse}")
        found = {(row.stream.table, row.stream.website_id): row for row in read_status(settings_of, "shop").tables}
        counted = [
            value
            for value in shop.contents()["matomo_shop", "_sync_state"]
            if value["table_name"] == "visits" and value["website_id"] == "2"
        ]
        assert found["visits", "1"].visits_difference == 0
        assert found["visits", "2"].visits_difference == 2 * sum(value["row_count"] > 0 for value in counted) > 0
        assert found["visits_summary", "2"].visits_difference is None
        assert found["visits", "2"].as_dict()["visits_difference"] == found["visits", "2"].visits_difference


# --- a year -----------------------------------------------------------------------------------------------


def test_a_year_is_asked_day_by_day_in_shares_that_several_threads_take() -> None:
    """Jobs of at most 31 days, the newest share first, every day in exactly one."""
    days = [date(2026, 11, 19) - timedelta(days=back) for back in range(365)]
    planned = PlannedSite("1", "Shop", UTC, days[-1])
    jobs = jobs_for({VISITS.stream("1"): Days.of(days)}, [planned], [VISITS], (5, 2))
    assert len(jobs) == 12
    assert max(len(job.days) for job in jobs) == 31
    assert sorted(day for job in jobs for day in job.days) == sorted(days)
    assert [job.days.last for job in jobs] == sorted((job.days.last for job in jobs), reverse=True)
