"""The visits log, and the ways in which it loses visits."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fake_matomo import FakeMatomo
from tests.fake_matomo.client import DAY, NOW, fetch, ids, row, small_world, visits, whole

MONTH = "2026-10-20,2026-11-18"


def test_actions_have_the_wall_clock_of_the_site() -> None:
    """`timestamp` of an action is the site's local time as if it were UTC; those of the visit are true Unix times."""
    with FakeMatomo(small_world()) as matomo:
        zone = ZoneInfo("Europe/Paris")
        for visit in visits(matomo, period="day", date=DAY):
            last = datetime.fromtimestamp(whole(visit["lastActionTimestamp"]), UTC)
            actions = visit["actionDetails"]
            assert isinstance(actions, list)
            wall = datetime.fromtimestamp(actions[-1]["timestamp"], UTC).replace(tzinfo=None)
            assert wall == last.astimezone(zone).replace(tzinfo=None)
            assert visit["lastActionDateTime"] == f"{last:%Y-%m-%d %H:%M:%S}"
            assert visit["serverTimestamp"] == visit["lastActionTimestamp"]


def test_order_is_newest_first_by_default() -> None:
    """`filter_sort_order=asc` reverses it."""
    with FakeMatomo(small_world()) as matomo:
        newest = visits(matomo, period="day", date=DAY, filter_limit=-1)
        oldest = visits(matomo, period="day", date=DAY, filter_limit=-1, filter_sort_order="asc")
        times = [whole(visit["lastActionTimestamp"]) for visit in newest]
        assert times == sorted(times, reverse=True)
        assert ids(oldest) == ids(newest)[::-1]


def test_the_minimum_is_strictly_exceeded_by_the_last_action() -> None:
    """`minTimestamp` applies to the last action and is exclusive."""
    with FakeMatomo(small_world()) as matomo:
        every = visits(matomo, period="day", date=DAY, filter_limit=-1)
        at = whole(every[5]["lastActionTimestamp"])
        after = visits(matomo, period="day", date=DAY, filter_limit=-1, minTimestamp=at)
        assert ids(after) == [
            one for one, visit in zip(ids(every), every, strict=True) if whole(visit["lastActionTimestamp"]) > at
        ]


def test_offsets_within_a_day_are_complete() -> None:
    """All pages of a day together have all of its visits."""
    with FakeMatomo(small_world()) as matomo:
        every = ids(visits(matomo, period="day", date=DAY, filter_limit=-1))
        pages = [visits(matomo, period="day", date=DAY, filter_limit=5, filter_offset=at) for at in range(0, 40, 5)]
        assert [one for page in pages for one in ids(page)] == every


def test_offsets_over_a_month_lose_visits() -> None:
    """The first pages are correct; then a window with more visits than a page is skipped, and visits are lost."""
    with FakeMatomo(small_world(visits_per_day=50)) as matomo:
        every = ids(visits(matomo, period="range", date=MONTH, filter_limit=-1, showColumns="idVisit"))
        found: list[int] = []
        for offset in range(0, len(every) + 100, 100):
            page = visits(
                matomo, period="range", date=MONTH, filter_limit=100, filter_offset=offset, showColumns="idVisit"
            )
            if not page:
                break
            found += ids(page)
        assert found[:300] == every[:300]
        assert len(set(found)) < len(every)
        # The last week but the newest day was skipped whole, and but a hundred of its visits were subtracted.
        newest = len(matomo.visits(1, date(2026, 11, 18)))
        week = sum(len(matomo.visits(1, date(2026, 11, 18) - timedelta(days=at))) for at in range(1, 8))
        assert len(every) - len(set(found)) == week - 100
        assert newest < 100 < week


@pytest.mark.parametrize("limit", [7, 100])
def test_keyset_paging_is_complete(limit: int) -> None:
    """Oldest first, from the last timestamp seen, without visits already seen, nothing is lost."""
    with FakeMatomo(small_world()) as matomo:
        start = int(datetime(2026, 10, 20, tzinfo=UTC).timestamp())
        every = {
            one.id
            for at in range(60)
            for one in matomo.visits(1, date(2026, 10, 1) + timedelta(days=at))
            if one.last_at > start
        }
        seen: dict[int, None] = {}
        while page := [
            visit
            for visit in visits(
                matomo,
                minTimestamp=start,
                filter_sort_order="asc",
                filter_limit=limit,
                showColumns="idVisit,lastActionTimestamp",
            )
            if whole(visit["idVisit"]) not in seen
        ]:
            seen.update(dict.fromkeys(ids(page)))
            start = whole(page[-1]["lastActionTimestamp"]) - 1
        assert set(seen) == every


def test_a_day_of_25_hours_is_split_too() -> None:
    """It is longer than a day, so an offset can lose visits of its first hour."""
    with FakeMatomo(small_world(visits_per_day=300)) as matomo:
        day = date(2026, 10, 25)
        every = ids(visits(matomo, period="day", date=day, filter_limit=-1))
        found: list[int] = []
        for offset in range(0, len(every), 10):
            found += ids(visits(matomo, period="day", date=day, filter_limit=10, filter_offset=offset))
        assert set(found) < set(every)


def test_today_by_day_includes_yesterday() -> None:
    """`period=day` with today's date starts a day earlier, a range does not."""
    with FakeMatomo(small_world()) as matomo:
        today, yesterday = NOW.date(), NOW.date() - timedelta(days=1)
        both = {visit.id for day in (yesterday, today) for visit in matomo.visits(1, day)}
        alone = {visit.id for visit in matomo.visits(1, today)}
        assert set(ids(visits(matomo, period="day", date=today, filter_limit=-1))) == both
        assert set(ids(visits(matomo, period="day", date="today", filter_limit=-1))) == both
        assert set(ids(visits(matomo, period="range", date=f"{today},{today}", filter_limit=-1))) == alone


def test_visits_arrive_between_pages() -> None:
    """Newest first, a new visit moves the last one of a page to the next page."""
    with FakeMatomo(small_world()) as matomo:
        today = f"{NOW.date()},{NOW.date()}"
        first = visits(matomo, period="range", date=today, filter_limit=5)
        (new,) = matomo.arrive(1)
        second = visits(matomo, period="range", date=today, filter_limit=5, filter_offset=5)
        assert ids(second)[0] == ids(first)[-1]
        assert ids(visits(matomo, filter_limit=1)) == [new.id]
        assert row(matomo, "VisitsSummary.get", date=NOW.date())["nb_visits"] == len(matomo.visits(1, NOW.date()))


def test_an_extended_visit_moves_to_the_end() -> None:
    """Oldest first, a visit with another action makes the next page skip one."""
    with FakeMatomo(small_world()) as matomo:
        today = f"{NOW.date()},{NOW.date()}"
        asc = {"period": "range", "date": today, "filter_sort_order": "asc"}
        every = ids(visits(matomo, **asc, filter_limit=-1))
        matomo.extend(1, every[0])
        second = ids(visits(matomo, **asc, filter_limit=2, filter_offset=2))
        assert second == every[3:5]
        assert ids(visits(matomo, **asc, filter_limit=-1)) == [*every[1:], every[0]]


def test_an_extended_visit_may_move_to_another_day() -> None:
    """A visit of yesterday that continues today leaves yesterday, in the log and in the reports."""
    with FakeMatomo(small_world()) as matomo:
        today, yesterday = NOW.date(), NOW.date() - timedelta(days=1)
        visit = matomo.visits(1, yesterday)[-1]
        before = [row(matomo, "VisitsSummary.get", date=day)["nb_visits"] for day in (yesterday, today)]
        longer = matomo.extend(1, visit)
        after = [row(matomo, "VisitsSummary.get", date=day)["nb_visits"] for day in (yesterday, today)]
        assert after == [whole(before[0]) - 1, whole(before[1]) + 1]
        assert longer.id == visit.id
        assert len(longer.actions) == len(visit.actions) + 1
        # And again: it is found where it went.
        assert len(matomo.extend(1, visit.id).actions) == len(visit.actions) + 2


def test_columns_can_be_shown_and_hidden() -> None:
    """`showColumns` and `hideColumns` apply to the fields of visits."""
    with FakeMatomo(small_world()) as matomo:
        assert visits(matomo, period="day", date=DAY, filter_limit=1, showColumns="idVisit")[0].keys() == {"idVisit"}
        assert "actionDetails" not in visits(matomo, period="day", date=DAY, hideColumns="actionDetails")[0]
        assert visits(matomo, period="day", date=DAY, doNotFetchActions=1)[0]["actionDetails"] == []


def test_a_segment_selects_visits() -> None:
    """The same expression applies to reports and to the log."""
    with FakeMatomo(small_world()) as matomo:
        expression = "countryCode==fr,countryCode==de;actions>1"
        found = visits(matomo, period="day", date=DAY, segment=expression, filter_limit=-1)
        assert found
        assert {visit["countryCode"] for visit in found} <= {"fr", "de"}
        assert all(whole(visit["actions"]) > 1 for visit in found)
        assert row(matomo, "VisitsSummary.get", segment=expression)["nb_visits"] == len(found)


def test_a_long_visit_is_cut_at_500_actions() -> None:
    """`truncatedActionsCount` counts the rest."""
    with FakeMatomo(small_world(visits_per_day=1, pages=700, every_page_daily=True)) as matomo:
        (visit,) = visits(matomo, period="day", date=DAY)
        (truth,) = matomo.visits(1, DAY)
        actions = visit["actionDetails"]
        assert isinstance(actions, list)
        assert len(actions) == 500
        assert visit["truncatedActionsCount"] == len(truth.actions) - 500


def test_the_visits_log_can_be_disabled() -> None:
    """It can be disabled for all sites or for one; reports still work."""
    with FakeMatomo(small_world()) as matomo:
        matomo.disable_visitor_log(1)
        answer = fetch(matomo, "Live.getLastVisitsDetails", idSite=1)
        assert isinstance(answer, dict)
        assert answer["result"] == "error"
        assert whole(row(matomo, "VisitsSummary.get")["nb_visits"]) > 0
