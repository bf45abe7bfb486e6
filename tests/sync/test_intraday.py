"""The present day of reports: replaced from hour to hour, open until it has ended; never late, missing or pending."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.app.status import read_status
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError
from matomo_fn.verdict import Verdict
from tests.support.local import TODAY, YESTERDAY, Local, ago, copied, local, small_world
from tests.support.shop import running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

TABLES = ["visits_summary", "visitor_country", "referrers"]
MORNING = datetime(2026, 11, 20, 9, tzinfo=UTC)
NIGHT = datetime(2026, 11, 20, 0, 5, tzinfo=UTC)
CONFIG: dict[str, Any] = {"reports": TABLES, "sites": ["1"], "intraday": True}


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """A site in UTC and one ahead of it, in the morning."""
    with FakeMatomo(small_world(now=MORNING)) as opened:
        yield opened


@pytest.fixture(scope="module")
def synced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a connector of the first site whose closed days are synced."""
    path = tmp_path_factory.mktemp("synced") / "x.duckdb"
    with FakeMatomo(small_world(now=MORNING)) as running_matomo, local(running_matomo, path, **CONFIG) as opened:
        assert opened.sync(end_date=YESTERDAY, start_date=ago(6)).verdict is Verdict.COMPLETE
    return path


@pytest.fixture
def shop(matomo: FakeMatomo, synced: Path, tmp_path: Path) -> Iterator[Local]:
    """That connector, with a copy of the file."""
    with copied(synced, Local, matomo, tmp_path / "x.duckdb", **CONFIG) as opened:
        yield opened


def visits_on(shop: Local, day: date, site: str = "1") -> list[int]:
    """The visits that visits_summary has of a day: none, or one number."""
    columns = [column.name for column in shop.connector.catalogue["visits_summary"].columns]
    rows = [dict(zip(columns, row, strict=False)) for row in shop.contents(["visits_summary"])["visits_summary"]]
    return [row["nb_visits"] for row in rows if (row["date"], row["website_id"]) == (day, site)]


def state(shop: Local, day: date = TODAY, table: str = "visitor_country") -> Mapping[str, Any]:
    """The newest row of the log about a day of site 1."""
    return shop.states()[table, "1", day]


def requested(matomo: FakeMatomo) -> dict[str, list[str]]:
    """The dates that were requested of each report."""
    found: dict[str, list[str]] = {}
    for call in matomo.calls:
        if "period" in call.params:
            found.setdefault(call.method, []).append(call.params["date"])
    return found


def test_the_present_day_follows_matomo_from_hour_to_hour(shop: Local, matomo: FakeMatomo) -> None:
    """Each run replaces the day, and marks it as open; what did not change is not written again."""
    seen = []
    for _ in range(3):
        result = shop.sync(mode="intraday")
        assert result.verdict is Verdict.COMPLETE
        seen.append(visits_on(shop, TODAY)[0])
        assert seen[-1] == len(matomo.visits(1, TODAY))
        assert (state(shop)["is_open"], state(shop)["is_final"]) == (True, False)
        matomo.arrive(1, 2)
        matomo.advance(timedelta(hours=1))
    assert seen == sorted(set(seen))
    shop.sync(mode="intraday")
    assert sum(table.written for table in shop.sync(mode="intraday").tables.values()) == 0


def test_an_hourly_run_requests_nothing_but_the_present_day(shop: Local, matomo: FakeMatomo) -> None:
    """All reports of a site in one call, and two for version and sites: the trailing days are the daily run's."""
    shop.sync(mode="intraday")
    assert {dates[0].split(",")[0] for dates in requested(matomo).values()} == {str(TODAY)}
    assert {len(dates) for dates in requested(matomo).values()} == {1}
    assert matomo.http_requests == 1 + 2


def test_the_first_run_of_a_new_day_closes_the_one_before(shop: Local, matomo: FakeMatomo) -> None:
    """It is requested along with the new day, once, and is then a closed day like any other."""
    shop.sync(mode="intraday")
    matomo.advance(timedelta(hours=20))
    matomo.arrive(1)
    tomorrow = TODAY + timedelta(days=1)
    shop.sync(mode="intraday")
    assert visits_on(shop, TODAY) == [len(matomo.visits(1, TODAY))]
    assert (state(shop)["is_open"], state(shop)["status"]) == (False, "written")
    assert state(shop, tomorrow)["is_open"] is True
    matomo.forget_calls()
    shop.sync(mode="intraday")
    assert requested(matomo)["UserCountry.getCountry"] == [f"{tomorrow},{tomorrow}"]


def test_a_closed_day_whose_numbers_are_the_same_is_no_longer_open(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Nothing is written; the log learns that the day has ended."""
    with local(matomo, tmp_path / "x.duckdb", **CONFIG) as shop:
        matomo.advance(timedelta(hours=14, minutes=59))
        shop.sync(mode="intraday")
        matomo.advance(timedelta(hours=4))
        result = shop.sync()
        assert state(shop)["is_open"] is False
        assert result.tables["visitor_country"].failed == 0
        assert state(shop)["status"] in ("unchanged", "written")


@pytest.mark.parametrize("request_fields", [{"mode": "intraday"}, {}])
def test_a_present_day_without_visits_has_no_rows_and_is_not_pending(
    tmp_path: Path, request_fields: dict[str, Any]
) -> None:
    """Neither the table nor the log has anything of it, and the visits log is not looked at."""
    with (
        FakeMatomo(small_world(now=NIGHT)) as matomo,
        local(matomo, tmp_path / "x.duckdb", **CONFIG) as shop,
    ):
        matomo.change(1, TODAY, to_empty=True)
        result = shop.sync(**request_fields)
        assert (result.verdict, result.missing, result.notes) == (Verdict.COMPLETE, [], [])
        assert visits_on(shop, TODAY) == []
        assert not any(day == TODAY for _, _, day in shop.states())
        assert sum(table.pending + table.failed for table in result.tables.values()) == 0
        assert not any(call.method.startswith("Live.") for call in matomo.calls)


def test_a_present_day_that_matomo_has_not_processed_is_no_news(shop: Local, matomo: FakeMatomo) -> None:
    """Its visits are there and its reports are not: without rows there are none, and rows from before stay."""
    matomo.unprocess(1, TODAY)
    assert shop.sync(mode="intraday").verdict is Verdict.COMPLETE
    assert visits_on(shop, TODAY) == []
    matomo.process(1, TODAY)
    shop.sync(mode="intraday")
    before = shop.contents()
    assert visits_on(shop, TODAY)
    matomo.unprocess(1, TODAY)
    result = shop.sync(mode="intraday")
    assert (result.verdict, result.tables["visitor_country"].unchanged) == (Verdict.COMPLETE, 1)
    assert shop.contents() == before
    assert state(shop)["status"] == "written"


def test_a_daily_run_takes_the_present_day_along(shop: Local, matomo: FakeMatomo) -> None:
    """In the call of the trailing days; how late the data is goes by the last day that has ended."""
    result = shop.sync()
    assert requested(matomo)["UserCountry.getCountry"] == [f"{ago(3)},{TODAY}"]
    assert visits_on(shop, TODAY) == [len(matomo.visits(1, TODAY))]
    assert (result.reach.newest_day, result.reach.days_late, result.reach.days_pending) == (YESTERDAY, 0, None)


def test_an_hourly_run_says_nothing_of_how_late_the_data_is(shop: Local) -> None:
    """It looks at the present day alone, so an alert about late days neither comes nor goes by it."""
    assert set(shop.sync(mode="intraday").reach.as_dict().values()) == {None}


def test_a_present_day_that_failed_is_requested_by_the_next_run(shop: Local, matomo: FakeMatomo) -> None:
    """The run fails, and the next one writes it."""
    matomo.faults.add(Fault(method="UserCountry.getCountry", message="Something broke"))
    assert shop.sync(mode="intraday").verdict is Verdict.FAILED
    matomo.faults.clear()
    assert shop.sync(mode="intraday").verdict is Verdict.COMPLETE
    assert state(shop)["status"] == "written"


def test_a_day_that_was_only_seen_open_is_fetched_however_much_later(shop: Local, matomo: FakeMatomo) -> None:
    """The hourly runs stopped, and no daily run came for days: it is no trailing day any more."""
    shop.sync(mode="intraday")
    matomo.advance(timedelta(days=5))
    shop.sync()
    assert visits_on(shop, TODAY) == [len(matomo.visits(1, TODAY))]
    assert state(shop)["is_open"] is False


def test_sites_have_their_own_present_day(matomo: FakeMatomo, tmp_path: Path) -> None:
    """At 20:00 UTC it is tomorrow in Kolkata."""
    with local(matomo, tmp_path / "x.duckdb", **CONFIG | {"sites": "all"}) as shop:
        matomo.advance(timedelta(hours=11))
        tomorrow = TODAY + timedelta(days=1)
        matomo.arrive(2, 3)
        shop.sync(mode="intraday")
        assert {(site, day) for table, site, day in shop.states() if table == "visitor_country"} == {
            ("1", TODAY),
            ("2", tomorrow),
        }


def test_some_tables_segments_and_longer_periods(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A list names the tables; they have the present day of segments too, and longer periods are the daily run's."""
    config = CONFIG | {
        "intraday": ["visits_summary"],
        "periods": ["week"],
        "segments": {"mobile": "deviceType==smartphone"},
        "visits": True,
    }
    with local(matomo, tmp_path / "x.duckdb", **config) as shop:
        matomo.arrive(1, 5)
        result = shop.sync(mode="intraday")
        assert list(result.tables) == ["visits_summary"]
        assert requested(matomo) == {"VisitsSummary.get": [f"{TODAY},{TODAY}"] * 2}
        segments = Counter(row[2] for row in shop.contents(["visits_summary"])["visits_summary"])
        assert segments[""] == 1


def test_visits_and_reports_have_the_present_day_with_one_key(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Visits those whose last action is more than an hour ago; their own key does the same for them alone."""
    with local(matomo, tmp_path / "x.duckdb", **CONFIG | {"visits": True}) as shop:
        assert set(shop.sync(mode="intraday").tables) == {*TABLES, "visits"}
        assert state(shop, TODAY, "visits")["is_open"] is True
    with local(matomo, tmp_path / "y.duckdb", **CONFIG | {"visits": {"intraday": True}, "intraday": False}) as shop:
        assert list(shop.sync(mode="intraday").tables) == ["visits"]


@pytest.mark.parametrize(
    ("intraday", "tables", "problem"),
    [
        (False, None, 'has no table with the present day: set "intraday"'),
        (["visits_summary"], ["visitor_country"], "has table 'visitor_country' without the present day: set"),
        (True, ["visits_summary_week"], "has table 'visits_summary_week' without the present day: set"),
    ],
)
def test_what_has_no_present_day_is_refused(
    matomo: FakeMatomo, tmp_path: Path, intraday: object, tables: list[str] | None, problem: str
) -> None:
    """By a sentence that names the key to set."""
    config = CONFIG | {"intraday": intraday, "periods": ["week"]}
    with (
        local(matomo, tmp_path / "x.duckdb", **config) as shop,
        pytest.raises(InputError, match="present day") as caught,
    ):
        shop.sync(mode="intraday", tables=tables)
    assert problem in str(caught.value)


def test_status_leaves_the_present_day_out_and_names_a_day_that_was_only_seen_open(tmp_path: Path) -> None:
    """Complete while the day goes on; once it has ended, it is missing until a run has fetched it."""
    with running(tmp_path) as shop:
        shop.configure(reports=["visits_summary"], intraday=True, backfill_days=3)
        shop.matomo.arrive(1, 2)
        assert shop.post({"connector": "shop"}).get_json()["status"] == "complete"
        settings = Settings(secrets=str(shop.secrets), warehouse=f"duckdb:{shop.warehouse}")
        found = read_status(settings, "shop")
        assert (found.is_good, found.problems) == (True, [])
        (table,) = found.tables
        today = shop.matomo.traffic.today(shop.matomo.world.sites[0])
        assert table.last_day == today
        assert (table.days, table.missing, table.open) == (4, 0, 0)
        yesterday = today - timedelta(days=1)
        with duckdb.connect(str(shop.warehouse)) as connection:
            connection.execute("update matomo_shop._sync_log set is_open = true where date = ?", [yesterday])
        found = read_status(settings, "shop")
        assert found.problems[0] == (
            f"visits_summary of site 1 on {yesterday}: fetched before they had ended, and not since"
        )
        assert (found.is_good, found.tables[0].missing, found.tables[0].open) == (False, 1, 1)
