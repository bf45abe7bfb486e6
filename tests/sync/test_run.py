"""Runs on a sample Matomo and DuckDB: which days are asked when, and what every kind of trouble leaves behind."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault, database_down, too_many_failed_logins
from matomo_fn.errors import InputError, SchemaMismatch, WarehouseError, WarehouseUnavailable
from matomo_fn.verdict import Verdict
from tests.support.local import (
    CREATED,
    TODAY,
    YESTERDAY,
    Local,
    ago,
    days,
    days_asked,
    local,
    of_sites,
    small_world,
)
from tests.support.warehouses import Death, Killed, death_before, stamps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from matomo_fn.sync.result import RunResult

COUNTRY = "UserCountry.getCountry"
ONE = ("visitor_country",)
PAIR = ("visits_summary", "visitor_country")
WINDOW = days(ago(6), YESTERDAY)
TRAILING = days(ago(3), YESTERDAY)


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A Matomo with two sites."""
    with FakeMatomo(small_world()) as running:
        yield running


@pytest.fixture
def shop(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    """A connector with one table: six days of backfill, three trailing."""
    with local(matomo, tmp_path / "shop.duckdb", reports=list(ONE)) as opened:
        yield opened


@pytest.fixture
def pair(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    """A connector with two tables."""
    with local(matomo, tmp_path / "pair.duckdb", reports=list(PAIR)) as opened:
        yield opened


@pytest.fixture
def full(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    """A connector with four tables."""
    with local(matomo, tmp_path / "full.duckdb") as opened:
        yield opened


def ask(connector: Local, **request: Any) -> tuple[RunResult, list[date]]:
    """Run, and return the days of site 1 that Matomo was asked for."""
    connector.matomo.forget_calls()
    result = connector.sync(**request)
    return result, days_asked(connector.matomo, COUNTRY)


def fresh(matomo: FakeMatomo, tmp_path: Path, reports: tuple[str, ...], **request: Any) -> dict[str, list[Any]]:
    """What one run into an empty file writes."""
    with local(matomo, tmp_path / f"fresh{len(list(tmp_path.iterdir()))}.duckdb", reports=list(reports)) as other:
        assert other.sync(**request).verdict is Verdict.COMPLETE
        return other.contents()


def statuses(connector: Local, site: str = "1") -> dict[date, str]:
    """The newest status of each day of visitor_country."""
    return {
        day: row["status"]
        for (table, number, day), row in sorted(connector.states().items())
        if (table, number) == ("visitor_country", site)
    }


# --- which days are asked ----------------------------------------------------------------------------------


def test_the_first_run_asks_for_the_backfill(shop: Local) -> None:
    """The last ``backfill_days`` days up to yesterday, for every site; all of them are written."""
    result, asked = ask(shop)
    assert asked == WINDOW
    assert days_asked(shop.matomo, COUNTRY, 2) == WINDOW
    assert result.tables["visitor_country"].written == 2 * len(WINDOW)
    assert {row[0] for row in shop.contents()["visitor_country"]} == set(WINDOW)


def test_no_day_before_the_sites_creation_is_asked(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Matomo has nothing there."""
    with local(matomo, tmp_path / "x.duckdb", reports=list(ONE), backfill_days=365) as shop:
        _, asked = ask(shop)
    assert asked == days(CREATED, YESTERDAY)


def test_a_later_run_asks_for_the_trailing_days_and_writes_nothing_that_is_the_same(shop: Local) -> None:
    """Late hits show in the last ``trailing_days``; equal answers are not loaded."""
    shop.sync()
    before = shop.contents(), stamps(shop.warehouse, "visitor_country")
    result, asked = ask(shop)
    assert asked == TRAILING
    assert result.verdict is Verdict.COMPLETE
    assert result.tables["visitor_country"].unchanged == 2 * len(TRAILING)
    assert shop.watched.changes() == []
    assert (shop.contents(), stamps(shop.warehouse, "visitor_country")) == before


def test_the_window_moves_with_the_sites_day(matomo: FakeMatomo, shop: Local) -> None:
    """At 20:00 UTC it is tomorrow in Kolkata, so yesterday is another day there."""
    matomo.advance(timedelta(hours=8))
    ask(shop)
    assert days_asked(matomo, COUNTRY, 1)[-1] == YESTERDAY
    assert days_asked(matomo, COUNTRY, 2)[-1] == TODAY


def test_days_without_runs_are_filled_in(matomo: FakeMatomo, shop: Local) -> None:
    """After two days without a run the next one asks what nobody asked, besides the trailing days."""
    shop.sync()
    matomo.advance(timedelta(days=2))
    _, asked = ask(shop)
    # The 18th and 19th were not final yet; the 20th and 21st are new.
    assert asked == days(ago(2), TODAY + timedelta(days=1))
    assert shop.duplicates() == []


def test_a_gap_of_two_weeks_is_filled(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Nothing is lost as long as the gap lies within the backfill."""
    with local(matomo, tmp_path / "x.duckdb", reports=list(ONE), backfill_days=25) as shop:
        shop.sync()
        matomo.advance(timedelta(days=14))
        result, asked = ask(shop)
        assert asked == days(ago(2), TODAY + timedelta(days=13))
        assert result.verdict is Verdict.COMPLETE
        assert {row[0] for row in shop.contents()["visitor_country"]} >= set(days(ago(25), TODAY + timedelta(days=13)))
        assert ask(shop)[1] == days(TODAY + timedelta(days=11), TODAY + timedelta(days=13))


def test_a_day_synced_while_it_was_today_is_asked_again(matomo: FakeMatomo, shop: Local) -> None:
    """Today's rows are of half a day; the days that follow ask it again until it lies behind the trailing days."""
    shop.sync()
    shop.sync(start_date=TODAY, end_date=TODAY)
    assert statuses(shop)[TODAY] == "written"
    matomo.arrive(1, 5)
    matomo.advance(timedelta(days=1))
    result, asked = ask(shop)
    assert TODAY in asked
    assert result.tables["visitor_country"].written >= 1
    matomo.advance(timedelta(days=4))
    assert TODAY in ask(shop)[1]
    assert TODAY not in ask(shop)[1]


def test_an_explicit_window_wins(shop: Local) -> None:
    """Its days are asked, known or not, inside the backfill or before it, and no others."""
    shop.sync()
    assert ask(shop, start_date=ago(10), end_date=ago(5))[1] == days(ago(10), ago(5))
    assert ask(shop, start_date=ago(2))[1] == days(ago(2), YESTERDAY)
    assert ask(shop, start_date=ago(12), end_date=ago(12), mode="backfill")[1] == [ago(12)]


def test_a_window_without_a_day_of_any_site_is_refused(shop: Local) -> None:
    """Days to come, or before every site's creation."""
    with pytest.raises(InputError, match="there is no day"):
        shop.sync(start_date=TODAY + timedelta(days=2))
    with pytest.raises(InputError, match="there is no day"):
        shop.sync(start_date=CREATED - timedelta(days=9), end_date=CREATED - timedelta(days=8))


def test_tables_and_sites_of_a_request_are_the_only_ones_synced(full: Local) -> None:
    """What is not named is neither asked nor written."""
    full.sync(tables=("visitor_country", "referrers"), sites=("2",))
    assert {(method, site) for method, site, _ in full.asked()} == {(COUNTRY, 2), ("Referrers.getAll", 2)}
    assert {table for table, _, _ in full.states()} == {"visitor_country", "referrers"}
    assert of_sites(full.contents(), "1") == {table: [] for table in full.connector.tables}


def test_a_backfill_asks_every_day_and_writes_only_what_changed(matomo: FakeMatomo, shop: Local) -> None:
    """History is swept without being rewritten."""
    shop.sync()
    matomo.change(1, ago(6))
    result, asked = ask(shop, mode="backfill")
    assert asked == WINDOW
    assert (result.tables["visitor_country"].written, result.tables["visitor_country"].unchanged) == (1, 11)


def test_a_full_refresh_writes_every_day_anew(shop: Local) -> None:
    """The rows are the same and all of them carry the new run's id."""
    shop.sync()
    before = shop.contents()
    result, asked = ask(shop, mode="full_refresh")
    assert asked == WINDOW
    assert result.tables["visitor_country"].written == 2 * len(WINDOW)
    assert shop.contents() == before
    assert {run for _, _, run in stamps(shop.warehouse, "visitor_country")} == {"run0002"}


def test_a_change_older_than_the_trailing_days_is_left_to_a_backfill(matomo: FakeMatomo, shop: Local) -> None:
    """A daily run does not ask for what is settled."""
    shop.sync()
    before = shop.contents()
    matomo.change(1, ago(5))
    shop.sync()
    assert shop.contents() == before
    shop.sync(mode="backfill")
    assert shop.contents() != before


def test_a_day_that_changed_is_replaced_and_no_other(matomo: FakeMatomo, shop: Local) -> None:
    """Another day's and another site's rows keep the run that wrote them."""
    shop.sync()
    matomo.change(1, ago(2))
    result = shop.sync()
    assert result.tables["visitor_country"].written == 1
    written = {(day, site) for day, site, run in stamps(shop.warehouse, "visitor_country") if run == "run0002"}
    assert written == {(ago(2), "1")}


# --- what is failed, pending or missing is asked again ------------------------------------------------------


def test_one_bad_day_fails_one_slice_and_is_asked_again(matomo: FakeMatomo, shop: Local, tmp_path: Path) -> None:
    """The other days are written; the sentence and the log name the slice; the next run repairs it."""
    matomo.faults.add(Fault(method=COUNTRY, site=1, day=ago(5), message="Something broke"))
    result = shop.sync()
    assert (result.verdict, result.http_status) == (Verdict.FAILED, 502)
    assert any("visitor_country of site 1" in sentence and str(ago(5)) in sentence for sentence in result.matomo_errors)
    assert result.tables["visitor_country"].failed == 1
    assert [day for day, status in statuses(shop).items() if status == "failed"] == [ago(5)]
    assert "Something broke" in shop.states()["visitor_country", "1", ago(5)]["error"]
    matomo.faults.clear()
    assert ask(shop)[1] == [ago(5), *TRAILING]
    assert shop.contents() == fresh(matomo, tmp_path, ONE)


def test_a_failed_day_older_than_the_window_is_asked_again(matomo: FakeMatomo, shop: Local) -> None:
    """A day of an explicit backfill that failed is not forgotten by the daily runs."""
    shop.sync()
    matomo.faults.add(Fault(method=COUNTRY, site=1, day=ago(20), message="Something broke"))
    assert shop.sync(start_date=ago(21), end_date=ago(19)).verdict is Verdict.FAILED
    matomo.faults.clear()
    assert ask(shop)[1] == [ago(20), *TRAILING]
    assert ask(shop)[1] == TRAILING
    assert {row[0] for row in shop.contents()["visitor_country"] if row[1] == "1"} >= set(days(ago(21), ago(19)))


def test_a_failure_keeps_the_rows_that_were_there(matomo: FakeMatomo, shop: Local) -> None:
    """Rows are never replaced by an answer that is an error."""
    shop.sync()
    before = shop.contents()
    matomo.faults.add(Fault(method=COUNTRY, message="Something broke"))
    result = shop.sync(mode="full_refresh")
    assert result.tables["visitor_country"].failed == 2 * len(WINDOW)
    assert shop.contents() == before
    matomo.faults.clear()
    assert ask(shop)[1] == WINDOW
    assert shop.contents() == before


def test_an_unprocessed_day_does_not_wipe_a_day_that_was_there(matomo: FakeMatomo, full: Local) -> None:
    """The day is pending, its rows stay, and once it is processed it is written, once."""
    full.sync()
    before = full.contents()
    matomo.change(1, ago(2))
    matomo.unprocess(1, ago(2))
    result = full.sync()
    assert result.verdict is Verdict.PARTIAL
    assert {name: table.pending for name, table in result.tables.items()} == dict.fromkeys(result.tables, 1)
    assert full.contents() == before
    state = full.states()["visitor_country", "1", ago(2)]
    assert (state["status"], state["row_count"] > 0, state["written_run_id"]) == ("pending", True, "run0001")
    matomo.process(1, ago(2))
    again = full.sync()
    assert {name: (table.pending, table.written) for name, table in again.tables.items()} == dict.fromkeys(
        again.tables, (0, 1)
    )
    assert full.contents() != before
    assert full.sync().tables["visitor_country"].written == 0
    assert full.duplicates() == []


def test_a_day_that_was_never_processed_has_no_rows_until_it_is(
    matomo: FakeMatomo, pair: Local, tmp_path: Path
) -> None:
    """Also where it lies before the trailing days, and also the one-row tables: zeros are not written.

    Until it is, its visit counts alone are requested.
    """
    matomo.unprocess(1, ago(5))
    pair.sync()
    assert all(row[:2] != (ago(5), "1") for rows in pair.contents().values() for row in rows)
    assert statuses(pair)[ago(5)] == "pending"
    assert ask(pair)[1] == TRAILING
    assert days_asked(matomo, "VisitsSummary.get") == [ago(5), *TRAILING]
    matomo.process(1, ago(5))
    pair.sync()
    assert pair.contents() == fresh(matomo, tmp_path, pair.connector.tables)
    assert ask(pair)[1] == TRAILING


def test_an_empty_day_is_written_as_one(matomo: FakeMatomo, full: Local) -> None:
    """Neither the summary nor the visits log has visits: rows that were there go, the one-row table has zeros."""
    full.sync()
    matomo.change(1, ago(2), to_empty=True)
    result = full.sync()
    assert {table.pending for table in result.tables.values()} == {0}
    left = {table: [row for row in rows if row[:2] == (ago(2), "1")] for table, rows in full.contents().items()}
    assert {table: len(rows) for table, rows in left.items()} == {
        "visits_summary": 1,
        "visitor_country": 0,
        "acquisition_referrer": 0,
        "referrers": 0,
    }
    assert left["visits_summary"][0][4] == 0


def test_without_a_visits_log_zeros_of_recent_days_wait(matomo: FakeMatomo, shop: Local) -> None:
    """Nothing can tell an empty day from an unprocessed one: it is believed once the trailing days have passed it."""
    shop.sync()
    before = shop.contents()
    matomo.disable_visitor_log()
    matomo.unprocess(1, YESTERDAY)
    shop.sync()
    assert statuses(shop)[YESTERDAY] == "pending"
    assert shop.contents() == before
    matomo.advance(timedelta(days=2))
    shop.sync()
    assert statuses(shop)[YESTERDAY] == "pending"  # the last of three trailing days
    matomo.advance(timedelta(days=1))
    shop.sync()
    assert statuses(shop)[YESTERDAY] == "written"
    assert shop.contents() != before


# --- somebody touched the tables ----------------------------------------------------------------------------


def test_a_table_that_was_dropped_is_filled_again_completely(matomo: FakeMatomo, full: Local) -> None:
    """Also days before the window, which only an older request had synced; the other tables are left alone."""
    full.sync(start_date=ago(15), end_date=ago(14))
    full.sync()
    before = full.contents()
    full.warehouse.run(f"drop table `{full.warehouse.dataset}.visitor_country`", "drop")
    _, asked = ask(full)
    assert asked == [ago(15), ago(14), *WINDOW]
    assert days_asked(matomo, "Referrers.getAll") == TRAILING
    assert full.contents() == before
    assert ask(full)[1] == TRAILING


def test_rows_deleted_by_hand_come_back(shop: Local) -> None:
    """Within the trailing days the table is compared with what the log says of it."""
    shop.sync()
    before = shop.contents()
    name = f"`{shop.warehouse.dataset}.visitor_country`"
    shop.warehouse.run(f"delete from {name} where date = date '{ago(2)}'", "delete")
    shop.warehouse.run(f"delete from {name} where date = date '{ago(3)}' and website_id = '1'", "delete")
    result = shop.sync()
    assert result.tables["visitor_country"].written == 3
    assert shop.contents() == before


def test_a_table_that_does_not_fit_is_refused_and_the_others_are_written(pair: Local) -> None:
    """Status 500, a sentence, the table untouched; once it is out of the way the next run fills it."""
    pair.warehouse.ensure_dataset()
    name = f"`{pair.warehouse.dataset}.visitor_country`"
    pair.warehouse.run(f"create table {name} (date STRING)", "x")
    result = pair.sync()
    assert (result.verdict, result.http_status) == (Verdict.FAILED, 500)
    assert "column date is STRING, not DATE" in result.warehouse_errors[0]
    assert result.tables["visitor_country"].error == result.warehouse_errors[0]
    assert result.tables["visits_summary"].written == 2 * len(WINDOW)
    assert (COUNTRY, 1, YESTERDAY) not in pair.asked()
    pair.warehouse.run(f"drop table {name}", "x")
    again = pair.sync()
    assert again.verdict is Verdict.COMPLETE
    assert again.tables["visitor_country"].written == 2 * len(WINDOW)


# --- runs that end before they are done ---------------------------------------------------------------------


def break_merge_of(table: str, error: type[WarehouseError] = WarehouseError) -> Callable[[str, str], None]:
    """A warehouse in which one table's merge fails."""

    def check(method: str, what: str) -> None:
        if method == "run" and what.startswith(f"merge_staging_{table}_"):
            raise error("the table is on fire")

    return check


@pytest.mark.parametrize(
    ("error", "status"), [(WarehouseError, 500), (SchemaMismatch, 500), (WarehouseUnavailable, 503)]
)
def test_a_table_that_fails_in_the_warehouse_does_not_stop_the_others(
    pair: Local, error: type[WarehouseError], status: int
) -> None:
    """Its slices are logged as failed, the staging table is dropped, and the next run repairs it."""
    result = pair.sync(before=break_merge_of("visitor_country", error))
    assert (result.verdict, result.http_status) == (Verdict.FAILED, status)
    assert result.warehouse_errors == ["table visitor_country: the table is on fire"]
    assert result.tables["visitor_country"].failed == 2 * len(WINDOW)
    assert result.tables["visits_summary"].written == 2 * len(WINDOW)
    assert set(statuses(pair).values()) == {"failed"}
    assert pair.contents()["visitor_country"] == []
    assert pair.staging() == []
    again = pair.sync()
    assert again.verdict is Verdict.COMPLETE
    assert again.tables["visitor_country"].written == 2 * len(WINDOW)


def test_a_merge_that_fails_keeps_the_rows_and_the_knowledge_of_them(matomo: FakeMatomo, pair: Local) -> None:
    """What the log said of the slices before still holds: unchanged ones need no write afterwards."""
    pair.sync()
    matomo.change(1, ago(2))
    pair.sync(before=break_merge_of("visitor_country"))
    state = pair.states()["visitor_country", "1", ago(2)]
    assert (state["status"], state["written_run_id"]) == ("failed", "run0001")
    assert pair.sync().tables["visitor_country"].written == 1
    assert pair.sync().tables["visitor_country"].written == 0


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("load", "load_staging_visitor_country"),
        ("run", "merge_staging_visitor_country"),
        ("drop_table", "_staging_visitor_country"),
        ("run", "append"),
    ],
)
def test_a_run_that_is_killed_is_healed_by_the_next(
    matomo: FakeMatomo, pair: Local, tmp_path: Path, method: str, what: str
) -> None:
    """Before the load, between load and merge, between merge and log: the next run ends in the right tables."""
    pair.sync()
    for site in (1, 2):
        matomo.change(site, ago(2))
    with pytest.raises(Killed):
        pair.sync(before=death_before(what, method))
    assert pair.duplicates() == []
    pair.sync()
    assert pair.contents() == fresh(matomo, tmp_path, pair.connector.tables)
    assert pair.duplicates() == []


@pytest.mark.long
def test_a_first_run_can_be_killed_before_any_statement(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Dataset, log, view, tables, loads, merges, drops, log: whatever is there, the next run goes on with it."""
    expected = fresh(matomo, tmp_path, PAIR, start_date=ago(2))
    statement, killed = 0, True
    while killed:
        statement += 1
        with local(matomo, tmp_path / f"killed{statement}.duckdb", reports=list(PAIR)) as shop:
            try:
                shop.sync(before=Death(statement), start_date=ago(2))
                killed = False
            except Killed:
                assert shop.duplicates() == []
                shop.sync(start_date=ago(2))
            assert shop.contents() == expected, f"killed before statement {statement}"
    assert statement == 23


def test_out_of_time_a_run_says_what_is_left_and_the_next_one_does_it(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The answer is partial, with status 200; what was asked is written, and later runs finish, one after the other."""
    with local(matomo, tmp_path / "x.duckdb", concurrency=1) as shop:
        result = shop.sync(calls=3)
        slices = 2 * len(WINDOW)
        assert (result.verdict, result.http_status, result.matomo_errors) == (Verdict.PARTIAL, 200, [])
        done = sum(table.written for table in result.tables.values())
        left = sum(table.remaining for table in result.tables.values())
        assert 0 < done < 4 * slices
        assert done + left == 4 * slices
        assert len(shop.states()) == done
        assert shop.sync(calls=4).verdict is Verdict.PARTIAL
        assert len(shop.states()) > done
        assert shop.sync().verdict is Verdict.COMPLETE
        assert shop.contents() == fresh(matomo, tmp_path, shop.connector.tables)


def test_a_request_that_is_cut_off_again_and_again_comes_to_its_end(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Each delivery of a message goes on where the one before ran out of time, and asks nothing twice."""
    with local(matomo, tmp_path / "x.duckdb", reports=list(PAIR), concurrency=1) as shop:
        verdicts = [shop.sync(calls=3, request_id="message 7").verdict for _ in range(4)]
        assert verdicts == [*[Verdict.PARTIAL] * 3, Verdict.COMPLETE]
        names = ("idSite", "date")
        asked = [(call.method, *map(call.params.get, names)) for call in matomo.calls if "period" in call.params]
        assert len(asked) == len(set(asked)) == 2 * 3  # six days of counts, and four and two of countries
        assert shop.contents() == fresh(matomo, tmp_path, PAIR)


def test_a_request_that_is_delivered_again_skips_what_is_done(shop: Local) -> None:
    """The same request id goes on where the run before stopped; another request asks again."""
    assert shop.sync(request_id="message 7", mode="backfill", sites=("1",)).verdict is Verdict.COMPLETE
    _, asked = ask(shop, request_id="message 7", mode="backfill")
    assert asked == []
    assert days_asked(shop.matomo, COUNTRY, 2) == WINDOW
    assert ask(shop, request_id="message 8", mode="backfill")[1] == WINDOW


def test_a_request_for_days_is_about_no_other_days_and_goes_on_where_it_stopped(
    matomo: FakeMatomo, shop: Local
) -> None:
    """What failed before them is left to other runs; what has not changed is logged, so that it counts as done."""
    matomo.faults.add(Fault(method=COUNTRY, day=ago(5), message="Something broke"))
    shop.sync(sites=("1",))
    matomo.faults.clear()
    for expected in (TRAILING, []):
        result, asked = ask(shop, request_id="message 7", sites=("1",), start_date=TRAILING[0])
        assert (asked, result.tables["visitor_country"].unchanged) == (expected, len(expected))
    assert ask(shop, sites=("1",))[1] == [ago(5), *TRAILING]


def test_a_request_that_is_delivered_again_repeats_what_failed(matomo: FakeMatomo, shop: Local) -> None:
    """Done means that the table has it: failed slices are asked again."""
    matomo.faults.add(Fault(method=COUNTRY, site=1, day=ago(2), message="Something broke"))
    shop.sync(request_id="message 7")
    matomo.faults.clear()
    assert ask(shop, request_id="message 7")[1] == [ago(2)]


@pytest.mark.parametrize(("end", "status"), [(too_many_failed_logins, 400), (database_down, 502)])
def test_what_was_done_before_matomo_gave_up_is_kept(
    matomo: FakeMatomo, tmp_path: Path, end: Callable[[Fault], Fault], status: int
) -> None:
    """A blocked address or a server that is down ends the run: it says so, and the next one does the rest."""
    with local(matomo, tmp_path / "x.duckdb", concurrency=1) as shop:
        matomo.faults.add(end(Fault(method=r".*", after=14)))
        result = shop.sync()
        assert (result.verdict, result.http_status) == (Verdict.FAILED, status)
        assert result.matomo_errors
        written = sum(table.written for table in result.tables.values())
        assert written == sum(row["status"] == "written" for row in shop.states().values()) > 0
        matomo.faults.clear()
        assert shop.sync().verdict is Verdict.COMPLETE
        assert shop.contents() == fresh(matomo, tmp_path, shop.connector.tables)


def test_a_log_that_cannot_be_written_is_an_error_and_is_healed(
    matomo: FakeMatomo, pair: Local, tmp_path: Path
) -> None:
    """The rows stand in the tables but nobody knows: the next run writes them once more, not twice."""

    def check(_method: str, what: str) -> None:
        if what.startswith("append"):
            raise WarehouseUnavailable("the log is not there just now")

    with pytest.raises(WarehouseUnavailable):
        pair.sync(before=check)
    assert pair.states() == {}
    pair.sync()
    assert pair.contents() == fresh(matomo, tmp_path, pair.connector.tables)
    assert pair.duplicates() == []


# --- connectors that share a dataset --------------------------------------------------------------------------


def test_two_connectors_of_one_matomo_may_share_tables(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Each has sites of its own; a table that was dropped is filled again for both."""
    path = tmp_path / "shared.duckdb"
    with (
        local(matomo, path, name="one", dataset="d", sites=["1"], reports=list(ONE)) as first,
        local(matomo, path, name="two", dataset="d", sites=["2"], reports=list(ONE)) as second,
    ):
        first.sync()
        second.sync()
        before = first.contents()
        assert {row[1] for row in before["visitor_country"]} == {"1", "2"}
        first.warehouse.run("drop table `d.visitor_country`", "drop")
        first.sync()
        second.sync()
        assert first.contents() == before


def test_another_matomos_sites_of_the_same_number_are_refused(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Tables tell sites by number alone, so two instances in one dataset would overwrite each other."""
    path = tmp_path / "shared.duckdb"
    with FakeMatomo(small_world(seed=1)) as other, local(matomo, path, name="one", dataset="d") as first:
        first.sync()
        before = first.contents()
        with (
            local(other, path, name="two", dataset="d") as second,
            pytest.raises(InputError, match="dataset of its own"),
        ):
            second.sync()
        assert first.contents() == before


# --- what a run costs -------------------------------------------------------------------------------------------


def cost(matomo: FakeMatomo, path: Path, backfill_days: int) -> list[tuple[int, int, int, int]]:
    """(loads, statements, queries, look-ups) of a first run, and of a second after every trailing day changed."""
    with local(matomo, path, backfill_days=backfill_days) as shop:
        found = []
        for _ in range(2):
            shop.sync()
            found.append(tuple(shop.watched.count(method) for method in ("load", "run", "query", "find_table")))
            for site in matomo.world.sites:
                for day in TRAILING:
                    matomo.change(site.id, day)
        return found  # type: ignore[return-value]  # tuples of four


def test_a_runs_loads_and_statements_do_not_grow_with_days_and_sites(tmp_path: Path) -> None:
    """One load and one merge a table, and one of each for the log and for the record of runs."""
    costs = []
    for index, (sites, backfill) in enumerate([(1, 3), (4, 25)]):
        with FakeMatomo(small_world(sites)) as matomo:
            costs.append(cost(matomo, tmp_path / f"{index}.duckdb", backfill))
    few, many = costs
    assert few == many
    tables = 4
    assert [(loads, runs) for loads, runs, _, _ in few] == [(tables + 2, tables + 2)] * 2


def test_a_run_in_which_nothing_changed_adds_one_row_its_own(pair: Local) -> None:
    """Equal answers cost one load and one statement; the log, which every later run reads, does not grow."""
    pair.sync()
    pair.sync()
    assert (pair.watched.count("load"), pair.watched.count("run")) == (1, 1)
    assert pair.watched.count("load", "load_staging__sync_runs") == 1
    dataset = pair.warehouse.dataset
    (log,) = pair.warehouse.query(f"select countif(l.run_id = 'run0002') as news from `{dataset}._sync_log` l")
    assert log["news"] == 0
    runs = pair.warehouse.query(f"select r.* from `{dataset}._sync_runs` r order by r.started_at")
    assert [(row["run_id"], row["written"], row["unchanged"]) for row in runs] == [
        ("run0001", len(pair.states()), 0),
        ("run0002", 0, runs[1]["unchanged"]),
    ]
    assert runs[1]["unchanged"] > 0
