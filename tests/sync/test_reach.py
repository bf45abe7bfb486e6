"""How far the tables reach after a run: what the alert about late data counts."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.sync.reach import Reach
from tests.support.local import YESTERDAY, Local, ago, local

if TYPE_CHECKING:
    from pathlib import Path

COUNTRY = "UserCountry.getCountry"
UP_TO_DATE = Reach(YESTERDAY, 0)


def test_a_run_that_has_everything_is_not_late_and_neither_is_one_that_finds_nothing_new(shop: Local) -> None:
    assert shop.sync().reach == UP_TO_DATE
    assert shop.sync().reach == UP_TO_DATE


def test_the_table_and_site_that_is_furthest_behind_counts(matomo: FakeMatomo, shop: Local) -> None:
    """Also where the run is about days that are known: what a table had it keeps, and a new day is missing in one."""
    shop.sync()
    matomo.advance(timedelta(days=2))
    matomo.faults.add(Fault(method=COUNTRY, message="Something broke"))
    assert shop.sync().reach == Reach(YESTERDAY, 2)
    matomo.faults.clear()
    assert shop.sync().reach == Reach(YESTERDAY + timedelta(days=2), 0)


def test_a_first_run_that_writes_nothing_of_a_table_lacks_the_whole_window(matomo: FakeMatomo, shop: Local) -> None:
    matomo.faults.add(Fault(method=COUNTRY, message="Something broke"))
    assert shop.sync().reach == Reach(None, 6)


def test_a_hole_before_the_newest_day_is_not_late(matomo: FakeMatomo, shop: Local) -> None:
    """It is pending, and counted from the last ended day: yesterday is 0, the day before 1."""
    matomo.unprocess(1, ago(4))
    assert shop.sync().reach == Reach(YESTERDAY, 0, ago(4), 3)


def test_the_oldest_pending_day_counts(matomo: FakeMatomo, shop: Local) -> None:
    """Of all sites, and in whichever order they are logged."""
    matomo.unprocess(1, ago(5))
    matomo.unprocess(1, ago(2))
    matomo.unprocess(2, ago(3))
    reach = shop.sync().reach
    assert (reach.oldest_pending_day, reach.days_pending) == (ago(5), 4)


def test_yesterday_pending_is_late_by_one_day_and_pending_for_none(matomo: FakeMatomo, shop: Local) -> None:
    matomo.unprocess(2, YESTERDAY)
    assert shop.sync().reach == Reach(ago(2), 1, YESTERDAY, 0)


def test_a_day_that_became_pending_again_keeps_its_rows_and_is_told(matomo: FakeMatomo, shop: Local) -> None:
    shop.sync()
    matomo.unprocess(1, ago(2))
    assert shop.sync().reach == Reach(YESTERDAY, 0, ago(2), 1)


def test_a_run_cut_off_by_its_time_is_late_by_what_it_left(shop: Local) -> None:
    """The next one takes it."""
    result = shop.sync(calls=2)
    assert result.tables["visitor_country"].remaining > 0
    assert result.reach == Reach(None, 6)
    assert shop.sync().reach == UP_TO_DATE


def test_the_present_day_of_a_site_is_neither_newest_nor_missing(matomo: FakeMatomo, tmp_path: Path) -> None:
    with local(matomo, tmp_path / "today.duckdb", reports=["visits_summary"], visits={"intraday": True}) as shop:
        assert shop.sync().reach == UP_TO_DATE
        assert shop.sync().reach == UP_TO_DATE


def test_yesterday_is_missing_although_the_present_day_is_there(matomo: FakeMatomo, tmp_path: Path) -> None:
    matomo.faults.add(Fault(method="Live.getLastVisitsDetails", day=YESTERDAY, message="Something broke"))
    with local(matomo, tmp_path / "today.duckdb", reports=["visits_summary"], visits={"intraday": True}) as shop:
        assert shop.sync().reach == Reach(ago(2), 1)


def test_a_table_that_cannot_be_written_is_late_and_no_other_one_speaks_for_it(shop: Local) -> None:
    """It has a column of another type, so the run leaves it as it is."""
    shop.warehouse.ensure_dataset()
    shop.warehouse.run(f"create table `{shop.warehouse.dataset}`.visitor_country (date string)", "clash")
    result = shop.sync()
    assert result.tables["visitor_country"].error
    assert result.reach == Reach(None, 6)


def test_a_request_about_named_days_says_nothing(shop: Local) -> None:
    """A backfill of old years is complete without a newest day, so it must not silence the alert."""
    assert shop.sync(mode="backfill", start_date=ago(6), end_date=YESTERDAY).reach == Reach()


@pytest.mark.parametrize("part", [{"tables": ["visits_summary"]}, {"sites": ["1"]}])
def test_a_request_about_a_part_says_nothing(matomo: FakeMatomo, shop: Local, part: dict[str, Any]) -> None:
    """It cannot speak for the rest, which may be late."""
    assert shop.sync(**part).reach == Reach()
    matomo.faults.add(Fault(method=COUNTRY, message="Something broke"))
    assert shop.sync().reach.days_late == 6


def test_a_visits_log_that_is_switched_off_is_not_late(matomo: FakeMatomo, tmp_path: Path) -> None:
    """It is a choice of the site's owner, and would be late for ever."""
    matomo.disable_visitor_log()
    with local(matomo, tmp_path / "off.duckdb", reports=["visits_summary"], visits=True) as shop:
        assert shop.sync().reach == UP_TO_DATE


def test_the_answer_and_the_log_line_have_it_as_json(matomo: FakeMatomo, shop: Local) -> None:
    matomo.unprocess(1, ago(4))
    answer = json.loads(json.dumps(shop.sync().as_dict()))
    told = {name: answer[name] for name in ("newest_day", "days_late", "oldest_pending_day", "days_pending")}
    assert told == {
        "newest_day": str(YESTERDAY),
        "days_late": 0,
        "oldest_pending_day": str(ago(4)),
        "days_pending": 3,
    }
