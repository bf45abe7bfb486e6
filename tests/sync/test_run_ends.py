"""How runs end that cannot do all: a refused token, a report that never works, no time, something unforeseen."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo, Fault, database_down
from matomo_fn.errors import DiskFull
from matomo_fn.verdict import Verdict
from tests.support.local import TODAY, YESTERDAY, ago, local, small_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COUNTRY = "UserCountry.getCountry"
LIVE = "Live.getLastVisitsDetails"
PAIR = ("visits_summary", "visitor_country")
REFUSED = '{"result":"error","message":"Unable to authenticate with the provided token."}'


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A Matomo with two sites."""
    with FakeMatomo(small_world()) as running:
        yield running


# --- a token that is revoked while a run is under way ---------------------------------------------------------


@pytest.mark.parametrize("after", [5, 20])
def test_a_token_that_is_revoked_is_sent_three_times_at_most(tmp_path: Path, after: int) -> None:
    """21 refusals block the address for an hour; here 32 threads would have sent as many."""
    with (
        FakeMatomo(small_world(4)) as matomo,
        local(matomo, tmp_path / "x.duckdb", reports="prebuilt", concurrency=32) as shop,
    ):
        matomo.faults.add(Fault(after=after, status=401, body=REFUSED))
        result = shop.sync()
        assert result.token_refused
        assert matomo.http_requests - after <= 3
        assert result.calls == matomo.http_requests


# --- a report that fails and others that do not ---------------------------------------------------------------


def test_a_report_that_always_fails_is_logged_as_failed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """It is given up after three failures at a site, and after three sites everywhere; the run has the rest."""
    with (
        FakeMatomo(small_world(4)) as matomo,
        local(matomo, tmp_path / "x.duckdb", concurrency=1, backfill_days=25) as shop,
    ):
        matomo.faults.add(database_down(Fault(method=COUNTRY)))
        result = shop.sync()
        tables = result.tables
        assert {name: (table.failed, table.remaining) for name, table in tables.items()} == {
            "visits_summary": (0, 0),
            "visitor_country": (4 * 25, 0),
            "acquisition_referrer": (0, 0),
            "referrers": (0, 0),
        }
        ranges = [call.params["idSite"] for call in matomo.calls if call.method == COUNTRY and not call.in_bulk]
        # Three ranges in all their tries at each of two sites; the first one at the third site is the last of all.
        assert sorted(Counter(ranges).values()) == [5, 15, 15]
        # Nothing else is due: now it is the only report that is requested, and no sign of a server that is down.
        matomo.faults.clear()
        matomo.faults.add(database_down(Fault(method=COUNTRY)))
        assert shop.sync(tables=("visitor_country",)).tables["visitor_country"].remaining == 0
        matomo.faults.clear()
        assert shop.sync().verdict is Verdict.COMPLETE


def test_a_server_that_fails_every_method_is_soon_found_to_be_down(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A bulk call, three of its calls in all their tries, and one for the version: the rest is left to the next run."""
    with local(matomo, tmp_path / "x.duckdb", concurrency=1) as shop:
        matomo.faults.add(database_down(Fault(after=4)))
        result = shop.sync()
        assert "3 calls in a row failed, so the run ends" in result.matomo_errors[0]
        assert matomo.http_requests == 2 + 1 + 3 * 5 + 1
        assert any(table.remaining for table in result.tables.values())


def test_a_budget_that_is_too_small_leaves_no_report_out(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Each run begins where the last one had no more time, also past a report that fails slowly in each."""
    matomo.faults.add(Fault(method="UserCountry.getCountry", status=503, body="down"))
    with local(matomo, tmp_path / "x.duckdb", reports="prebuilt", concurrency=1) as shop:
        everything = {
            source.method for table in shop.connector.catalogue.values() for source in table.sources_of((5, 2))
        }
        reached: set[str] = set()
        for _ in range(40):  # where a run begins is left to chance as long as the report is in its way
            matomo.forget_calls()
            shop.sync(mode="backfill", start_date=YESTERDAY, sites=["1"], calls=12)
            asked = [call.method for call in matomo.calls if "period" in call.params]
            reached |= set(asked)
            if reached >= everything:
                break
    assert reached >= everything


# --- days that Matomo has not processed -----------------------------------------------------------------------


def test_a_pending_day_costs_its_visit_counts_and_one_look_at_the_log(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Its reports come in the same call as its counts, since nothing is known of it then."""
    with local(matomo, tmp_path / "x.duckdb", reports="prebuilt", sites=["1"]) as shop:
        shop.sync()
        matomo.advance(timedelta(days=1))
        matomo.unprocess(1, TODAY)
        matomo.forget_calls()
        result = shop.sync(start_date=TODAY)
        assert {name: table.pending for name, table in result.tables.items()} == dict.fromkeys(result.tables, 1)
        requested = [(call.method, call.in_bulk) for call in matomo.calls if "period" in call.params]
        assert requested[0] == ("VisitsSummary.get", True)
        assert [method for method, in_bulk in requested if not in_bulk] == [LIVE]
        assert sum(call.method == "API.getBulkRequest" for call in matomo.calls) == 1
        matomo.process(1, TODAY)
        assert {table.written for table in shop.sync(start_date=TODAY).tables.values()} == {1}


# --- what waits to be written ---------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone."""


def test_what_waited_for_five_minutes_is_written_before_a_crash(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Small slices do not wait for the buffer to be full, nor for the slice that takes long."""
    seconds = 0.0

    def later(answer: object) -> object:
        nonlocal seconds
        seconds += 301
        return answer

    matomo.faults.add(Fault(method=COUNTRY, site=2, mutate=later))  # site 1 has its turn before
    with local(matomo, tmp_path / "x.duckdb", reports=list(PAIR), concurrency=1) as shop:
        shop.clock = lambda: seconds
        with pytest.raises(Crash):
            shop.sync(before=crash_at_the_second_flush())
        logged = {(table, site) for table, site, _ in shop.states()}
    assert {(table, "1") for table in PAIR} <= logged


def test_five_minutes_begin_again_with_each_flush(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A flush costs BigQuery a load job and a merge for each table: the slices after it wait as those before did."""
    seconds = 0.0

    def later(answer: object) -> object:
        nonlocal seconds
        seconds = 301
        return answer

    matomo.faults.add(Fault(method=COUNTRY, site=1, mutate=later))
    with local(matomo, tmp_path / "x.duckdb", reports=list(PAIR), concurrency=1) as shop:
        shop.clock = lambda: seconds
        assert shop.sync().verdict is Verdict.COMPLETE
        assert shop.watched.count("run", "append_staging__sync_log") == 2


def crash_at_the_second_flush() -> Callable[[str, str], None]:
    """A warehouse that is gone once the log has been appended to."""
    flushed = 0

    def check(_method: str, what: str) -> None:
        nonlocal flushed
        flushed += what.startswith("append")
        if flushed and what.startswith(("load", "merge")):
            raise Crash

    return check


# --- a full disk ----------------------------------------------------------------------------------------------


def test_a_full_disk_costs_the_tables_that_wait_on_it_and_no_others(
    matomo: FakeMatomo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their slices are logged as failed, the sentence says what is full, and the next run writes them."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fill(answer: object) -> object:
        """Let the file that the rows of one table go to be a device that is always full."""
        (folder,) = tmp_path.glob("matomo_fn_*")
        if not (folder / "visitor_country.json.gz").is_symlink():
            (folder / "visitor_country.json.gz").symlink_to("/dev/full")
        return answer

    matomo.faults.add(Fault(method=COUNTRY, mutate=fill))
    with local(matomo, tmp_path / "x.duckdb", reports=list(PAIR), concurrency=1) as shop:
        result = shop.sync()
        assert (result.verdict, result.http_status) == (Verdict.FAILED, 503)
        (sentence,) = result.warehouse_errors
        assert str(sentence).startswith("table visitor_country: the disk of the temporary folder ")
        assert str(sentence).endswith(" is full: free some of it, or name a larger one in TMPDIR")
        assert {name: (table.written, table.failed) for name, table in result.tables.items()} == {
            "visits_summary": (12, 0),
            "visitor_country": (0, 12),
        }
        assert list(tmp_path.glob("matomo_fn_*")) == []
        matomo.faults.clear()
        assert shop.sync().verdict is Verdict.COMPLETE


def test_without_a_folder_for_rows_there_is_a_sentence(
    matomo: FakeMatomo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was fetched, and nothing is written."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with (
        local(matomo, tmp_path / "x.duckdb", reports=list(PAIR)) as shop,
        pytest.raises(DiskFull, match=r"no temporary folder can be created .*name another one in TMPDIR"),
    ):
        shop.sync()


# --- what nobody foresaw --------------------------------------------------------------------------------------


def test_a_status_of_another_version_is_read_as_failed(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The slice is refetched, and the run goes on."""
    with local(matomo, tmp_path / "x.duckdb", reports=["visitor_country"]) as shop:
        shop.sync()
        log = f"`{shop.warehouse.dataset}._sync_log`"
        shop.warehouse.run(f"update {log} set status = 'archived' where date = date '{ago(6)}'", "x")
        matomo.forget_calls()
        assert shop.sync().verdict is Verdict.COMPLETE
        assert (COUNTRY, 1, ago(6)) in shop.asked()


@pytest.mark.parametrize("moment", [10**17, 10**30, -(10**17), 253_402_300_799])
def test_a_time_that_no_calendar_has_costs_its_day_and_no_other(
    matomo: FakeMatomo, tmp_path: Path, moment: int
) -> None:
    """In the visits log, and where that is to tell whether a day is empty; the last second of 9999 is in 10000."""
    site = replace(matomo.world.sites[0], timezone="Pacific/Kiritimati")
    with (
        FakeMatomo(replace(small_world(1), sites=(site,))) as far,
        local(far, tmp_path / "x.duckdb", reports=list(PAIR), visits=True) as shop,
    ):
        far.unprocess(1, ago(3))
        far.faults.add(Fault(method=LIVE, mutate=partial(_with_time, moment), day=ago(3)))
        result = shop.sync()
        assert result.tables["visits"].failed >= 1
        assert result.tables["visits"].remaining == 0
        assert result.tables["visits_summary"].written >= 4
        assert not any("unforeseen" in error for error in result.matomo_errors)


def _with_time(moment: int, answer: object) -> object:
    """The visits log with another time in each visit."""
    assert isinstance(answer, list)
    return [visit | {"lastActionTimestamp": moment} for visit in answer]
