"""The table against the sample Matomo while traffic arrives: nothing lost, nothing twice, each visit in its day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Site, World
from tests.support.visits import METHOD, LocalVisits, truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def site(zone: str, first: date, *, visits: float = 40, number: int = 1) -> Site:
    """A site with a few pages full of visits a day."""
    return Site(number, "Shop", zone, created=first, visits_per_day=visits, pages=5, ecommerce=True)


def world(zone: str, now: datetime, days: int = 4, *, visits: float = 40) -> World:
    """One site whose first day was a few days ago."""
    return World((site(zone, now.date() - timedelta(days=days), visits=visits),), now=now)


def busy(matomo: FakeMatomo) -> Callable[[int], None]:
    """Between any two pages a visit arrives, and another goes on that was read already, or will be."""

    def happen(number: int) -> None:
        matomo.advance(SECOND)
        matomo.arrive(1)
        matomo.advance(SECOND)
        today = matomo.now().astimezone(UTC).date()
        known = matomo.visits(1, today)
        if known:
            matomo.extend(1, known[number * 7 % len(known)])

    return happen


# The day that is looked at: it began before the first sync, is over before the last, and traffic arrives in it.
DAYS = {
    "UTC": ("UTC", date(2026, 11, 18), datetime(2026, 11, 18, 18, tzinfo=UTC)),
    "Paris, 25 hours": ("Europe/Paris", date(2026, 10, 25), datetime(2026, 10, 25, 20, tzinfo=UTC)),
    "New York, 23 hours": ("America/New_York", date(2026, 3, 8), datetime(2026, 3, 8, 22, tzinfo=UTC)),
}


# Each zone, and both ways of reading in days of one offset and in days of two.
@pytest.mark.parametrize(
    ("zone", "day", "now", "intraday"),
    [
        (*DAYS["UTC"], False),
        (*DAYS["UTC"], True),
        (*DAYS["Paris, 25 hours"], True),
        (*DAYS["New York, 23 hours"], False),
    ],
    ids=["UTC-closed days", "UTC-intraday", "Paris, 25 hours-intraday", "New York, 23 hours-closed days"],
)
def test_after_a_day_has_closed_the_table_has_exactly_what_the_server_has(
    zone: str, day: date, now: datetime, *, intraday: bool, tmp_path: Path
) -> None:
    """The set of (visit, last action), after syncs during which visits arrive and go on, in pages of seven."""
    with FakeMatomo(world(zone, now)) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb", visits={"intraday": intraday})
        local.between = busy(matomo)
        local.sync()
        matomo.advance(timedelta(hours=2))
        local.sync()
        matomo.advance(timedelta(hours=9))  # over midnight
        result = local.sync()
        assert result.http_status == 200, result.as_dict()
        assert len(matomo.visits(1, day)) > 30
        days = [day - timedelta(days=back) for back in range(4)]
        standing = local.standing()
        assert [row for row in standing if row[1] in days] == truth(matomo, [1], days)
        assert len({row[2] for row in standing}) == len(standing)
        actions = {row["visit_id"]: row["action_count"] for row in local.rows() if row["date"] == day}
        assert actions == {visit.id: visit.total_actions for visit in matomo.visits(1, day)}
        local.close()


@pytest.mark.parametrize(("zone", "day", "now"), DAYS.values(), ids=DAYS)
def test_traffic_while_a_closed_day_is_read_takes_visits_off_it_and_loses_none(
    zone: str, day: date, now: datetime, tmp_path: Path
) -> None:
    """A visit of yesterday that goes on now is today's: it leaves yesterday, wherever the reading is."""
    with FakeMatomo(world(zone, now + timedelta(days=1), visits=40)) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb", backfill_days=2)
        went_on = set()

        def happen(number: int) -> None:
            matomo.advance(SECOND)
            visits = matomo.visits(1, day)
            if 1 <= number < 6:
                went_on.add(matomo.extend(1, visits[(number * 11) % len(visits)]).id)

        local.between = happen
        local.sync()
        first_look = {row[2] for row in local.standing() if row[1] == day}
        assert {visit.id for visit in matomo.visits(1, day)} <= first_look
        local.between = lambda _: None
        matomo.advance(timedelta(days=1))
        local.sync()
        assert went_on
        days = [day - timedelta(days=1), day, day + timedelta(days=1)]
        assert [row for row in local.standing() if row[1] in days[1:]] == truth(matomo, [1], days[1:])
        assert went_on <= {row[2] for row in local.standing() if row[1] == days[2]}
        local.close()


def test_only_keyset_paging_is_asked(tmp_path: Path) -> None:
    """The sample has Matomo's bug of offsets; nothing ever asks by one, also where quiet days share a page."""
    with FakeMatomo(world("Europe/Paris", datetime(2026, 10, 27, 12, tzinfo=UTC))) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb")
        local.sync()
        calls = [call.params for call in matomo.calls if call.method == METHOD]
        assert len(calls) > 20
        spans = [params["date"].split(",") for params in calls]
        assert any(first < last for first, last in spans)
        for params in calls:
            assert "filter_offset" not in params
            assert params["filter_sort_order"] == "asc"
        local.close()


# --- over midnight ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [{}, {"start_date": date(2026, 11, 20), "end_date": date(2026, 11, 20)}])
def test_a_visit_that_went_on_over_midnight_stands_once_in_its_new_day(window: dict[str, Any], tmp_path: Path) -> None:
    """Also where only the new day is synced: the old one is not read again, but the visit is taken off it."""
    with FakeMatomo(world("UTC", datetime(2026, 11, 20, 0, 10, tzinfo=UTC))) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb")
        local.sync()
        yesterday, today = date(2026, 11, 19), date(2026, 11, 20)
        late = matomo.visits(1, yesterday)[-1]
        assert [row[1] for row in local.standing() if row[2] == late.id] == [yesterday]
        matomo.extend(1, late)
        matomo.advance(timedelta(days=1))
        local.sync(**window)
        assert [row[1] for row in local.standing() if row[2] == late.id] == [today]
        assert local.standing() == truth(matomo, [1], [today - timedelta(days=back) for back in range(5)])
        matomo.advance(timedelta(days=1))
        local.sync()  # yesterday's slice had one row more when it was written: it is read and written anew
        days = [today - timedelta(days=back) for back in range(-1, 5)]
        assert local.standing() == truth(matomo, [1], days)
        assert local.states()["visits", "1", yesterday]["row_count"] == len(matomo.visits(1, yesterday))
        local.close()


def test_a_visit_that_moves_two_days_on_is_taken_off_as_well(tmp_path: Path) -> None:
    """A visit that goes on all the time may be written on a day, and next be seen two days later."""
    with FakeMatomo(world("UTC", datetime(2026, 11, 19, 0, 10, tzinfo=UTC))) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb")
        local.sync()
        late = matomo.visits(1, date(2026, 11, 18))[-1]
        matomo.advance(timedelta(days=1))
        matomo.extend(1, late)
        matomo.advance(timedelta(days=1))
        day = date(2026, 11, 20)
        local.sync(start_date=day, end_date=day)
        assert [row[1] for row in local.standing() if row[2] == late.id] == [day]
        local.close()


# --- the present day --------------------------------------------------------------------------------------

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def test_intraday_takes_visits_whose_last_action_is_older_than_an_hour(tmp_path: Path) -> None:
    """The others may still go on; when the day is over all of it is replaced."""
    with FakeMatomo(world("UTC", NOON)) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb", visits={"intraday": True})
        matomo.arrive(1, 3)
        local.sync()
        today = NOON.date()
        over = [row for row in truth(matomo, [1], [today]) if row[3] <= NOON - timedelta(hours=1)]
        assert 0 < len(over) < len(truth(matomo, [1], [today]))
        assert [row for row in local.standing() if row[1] == today] == over
        state = local.states()["visits", "1", today]
        assert (state["status"], state["is_final"], state["visits_difference"]) == ("written", False, None)
        matomo.advance(timedelta(days=1))
        local.sync()
        whole = truth(matomo, [1], [today])
        assert [row for row in local.standing() if row[1] == today] == whole
        assert len(whole) > len(over)
        local.close()


def test_without_intraday_the_present_day_is_left_alone(tmp_path: Path) -> None:
    """The table ends with yesterday; reports never have the present day either."""
    with FakeMatomo(world("UTC", NOON)) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb")
        local.sync()
        assert max(row[1] for row in local.standing()) == NOON.date() - timedelta(days=1)
        intraday = LocalVisits(matomo, tmp_path / "i.duckdb", visits={"intraday": True})
        intraday.sync()
        assert max(row[1] for row in intraday.standing()) == NOON.date()
        assert max(day for table, _, day in intraday.states() if table == "visits_summary") < NOON.date()
        intraday.close()
        local.close()


def test_intraday_goes_by_the_day_of_the_site(tmp_path: Path) -> None:
    """At noon in UTC it is tomorrow in Auckland and still early in New York."""
    sites = tuple(
        replace(site(zone, date(2026, 11, 17)), id=number)
        for number, zone in enumerate(("Pacific/Auckland", "America/New_York"), 1)
    )
    with FakeMatomo(World(sites, now=NOON)) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb", visits={"intraday": True})
        local.sync()
        newest = {number: max(row[1] for row in local.standing() if row[0] == number) for number in "12"}
        assert newest["2"] == date(2026, 11, 20)
        assert ("visits", "1", date(2026, 11, 21)) in local.states()
        for row in local.standing():
            assert row[3] <= NOON - timedelta(hours=1)
        local.close()
