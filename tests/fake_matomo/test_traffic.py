"""Traffic: deterministic, the same in reports and in the visits log, and changeable."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from fake_matomo import FakeMatomo, World, default_world
from fake_matomo.sites import day_bounds
from tests.fake_matomo.client import DAY, NOW, fetch, fetch_raw, ids, row, rows, small_world, visits, whole

REPORTS = (
    "UserCountry.getCountry",
    "DevicesDetection.getType",
    "UserLanguage.getLanguage",
    "Referrers.getReferrerType",
)
METHODS = (
    "VisitsSummary.get",
    "Actions.get",
    *REPORTS,
    "Actions.getPageUrls",
    "Actions.getPageTitles",
    "Events.getCategory",
    "Referrers.getCampaigns",
)


def test_the_same_world_gives_the_same_bytes() -> None:
    """Everything is determined by the seed."""
    answers = []
    for _ in range(2):
        with FakeMatomo(small_world()) as matomo:
            answers.append(
                [fetch_raw(matomo, method, idSite=1, period="day", date=DAY).body for method in METHODS]
                + [fetch_raw(matomo, "Live.getLastVisitsDetails", idSite=1, period="day", date=DAY).body]
            )
    assert answers[0] == answers[1]


def test_another_seed_gives_other_traffic() -> None:
    """Another seed gives other rows."""
    with FakeMatomo(small_world()) as one, FakeMatomo(replace(small_world(), seed=1)) as other:
        assert rows(one, "UserCountry.getCountry") != rows(other, "UserCountry.getCountry")


@pytest.mark.parametrize("day", [date(2026, 11, 12) - timedelta(days=at) for at in range(0, 30, 5)])
def test_reports_and_the_visits_log_have_the_same_visits(day: date) -> None:
    """Every report sums up to the visits of the site's day in the log."""
    with FakeMatomo(small_world()) as matomo:
        found = visits(matomo, period="day", date=day, filter_limit=-1)
        summary = row(matomo, "VisitsSummary.get", date=day)
        assert summary["nb_visits"] == len(found)
        assert summary["nb_actions"] == sum(whole(visit["actions"]) for visit in found)
        assert summary["sum_visit_length"] == sum(whole(visit["visitDuration"]) for visit in found)
        for method in REPORTS:
            assert sum(whole(one["nb_visits"]) for one in rows(matomo, method, date=day)) == len(found), method
        by_country = Counter(visit["country"] for visit in found)
        assert {
            one["label"]: one["nb_visits"] for one in rows(matomo, "UserCountry.getCountry", date=day)
        } == by_country


def test_page_views_and_events_add_up_to_the_log() -> None:
    """The page views and events of reports are the actions of the log."""
    with FakeMatomo(small_world()) as matomo:
        kinds = Counter(
            action["type"]
            for visit in visits(matomo, period="day", date=DAY, filter_limit=-1)
            for action in visit["actionDetails"]
        )
        assert sum(whole(one["nb_hits"]) for one in rows(matomo, "Actions.getPageUrls", flat=1)) == kinds["action"]
        assert sum(whole(one["nb_hits"]) for one in rows(matomo, "Actions.getPageUrls")) == kinds["action"]
        assert sum(whole(one["nb_hits"]) for one in rows(matomo, "Actions.getPageTitles")) == kinds["action"]
        assert sum(whole(one["nb_events"]) for one in rows(matomo, "Events.getCategory")) == kinds["event"]
        assert row(matomo, "Actions.get")["nb_pageviews"] == kinds["action"]


@pytest.mark.parametrize(
    ("timezone", "day", "hours"),
    [
        ("Europe/Paris", date(2026, 10, 25), 25),
        ("Europe/Paris", date(2026, 3, 29), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("America/New_York", date(2026, 3, 8), 23),
    ],
)
def test_days_of_clock_changes_have_23_or_25_hours(timezone: str, day: date, hours: int) -> None:
    """A visit belongs to the site's day of its last action, also on these days."""
    with FakeMatomo(small_world(timezone=timezone)) as matomo:
        start, end = day_bounds(timezone, day)
        assert end - start == hours * 3600
        found = matomo.visits(1, day)
        assert found
        assert all(start <= visit.last_at < end for visit in found)
        assert row(matomo, "VisitsSummary.get", date=day)["nb_visits"] == len(found)


def test_the_repeated_hour_has_visits() -> None:
    """Two visits of the same local hour are an hour apart when clocks are turned back."""
    with FakeMatomo(small_world()) as matomo:
        start, _ = day_bounds("Europe/Paris", date(2026, 10, 25))
        begun = {(visit.first_at - start) // 3600 for visit in matomo.visits(1, date(2026, 10, 25))}
        assert {2, 3} <= begun


def test_some_visits_begin_on_the_day_before() -> None:
    """Visits over midnight belong to the later day."""
    with FakeMatomo(small_world()) as matomo:
        days = [DAY - timedelta(days=at) for at in range(10)]
        assert any(
            visit.first_at < day_bounds("Europe/Paris", day)[0] <= visit.last_at
            for day in days
            for visit in matomo.visits(1, day)
        )


def test_an_unprocessed_day_is_empty_in_reports_but_not_in_the_log() -> None:
    """In reports, a day without an archive looks like one without visits."""
    with FakeMatomo(small_world()) as matomo:
        before = row(matomo, "VisitsSummary.get")
        matomo.unprocess(1, DAY)
        assert row(matomo, "VisitsSummary.get")["nb_visits"] == 0
        assert fetch(matomo, "VisitsSummary.get", idSite=1, period="day", date=f"{DAY},{DAY}") == {str(DAY): []}
        assert rows(matomo, "UserCountry.getCountry") == []
        assert len(visits(matomo, period="day", date=DAY)) == before["nb_visits"]
        matomo.process(1, DAY)
        assert row(matomo, "VisitsSummary.get") == before


@pytest.mark.parametrize(
    "method", [*REPORTS[:3], "Actions.getPageUrls", "Referrers.getCampaigns", "Events.getCategory"]
)
def test_a_changed_day_has_other_rows(method: str) -> None:
    """Rows are added, numbers change, and every change is a different one."""
    with FakeMatomo(small_world()) as matomo:
        seen = [rows(matomo, method, flat=1)]
        for _ in range(3):
            matomo.change(1, DAY)
            seen.append(rows(matomo, method, flat=1))
        assert all(one != other for at, one in enumerate(seen) for other in seen[:at])
    labels = [{one["label"] for one in answer} for answer in seen]
    if method not in ("DevicesDetection.getType",):
        assert labels[1] - labels[0], "no row appeared"


def test_rows_of_a_changed_day_vanish() -> None:
    """At least one country is missing."""
    with FakeMatomo(small_world()) as matomo:
        before = {one["label"] for one in rows(matomo, "UserCountry.getCountry")}
        matomo.change(1, DAY)
        assert before - {one["label"] for one in rows(matomo, "UserCountry.getCountry")}


def test_a_change_leaves_other_days_alone() -> None:
    """Only the given day changes, also in the log."""
    with FakeMatomo(small_world()) as matomo:
        neighbour = DAY + timedelta(days=1)
        before = [visits(matomo, period="day", date=day) for day in (DAY, neighbour)]
        matomo.change(1, DAY)
        after = [visits(matomo, period="day", date=day) for day in (DAY, neighbour)]
        assert after[0] != before[0]
        assert after[1] == before[1]
        assert set(ids(after[0])) & set(ids(before[0])), "visits that stayed keep their numbers"


def test_a_day_can_become_empty() -> None:
    """It has no visits in the reports and in the log."""
    with FakeMatomo(small_world()) as matomo:
        matomo.change(1, DAY, to_empty=True)
        assert row(matomo, "VisitsSummary.get")["nb_visits"] == 0
        assert visits(matomo, period="day", date=DAY) == []


def test_the_future_and_the_time_before_the_site_are_empty() -> None:
    """The answers are empty, without an error."""
    with FakeMatomo(small_world(created=date(2026, 11, 1))) as matomo:
        for day in (date(2026, 10, 31), date(2026, 11, 21), date(2027, 1, 1)):
            assert rows(matomo, "UserCountry.getCountry", date=day) == []
            assert visits(matomo, period="day", date=f"{day},{day}") == []
        assert rows(matomo, "UserCountry.getCountry", date=date(2026, 11, 1)) != []


def test_today_grows() -> None:
    """Today has the visits so far, and later more."""
    with FakeMatomo(small_world(visits_per_day=100)) as matomo:
        today = NOW.date()
        early = row(matomo, "VisitsSummary.get", date=today)["nb_visits"]
        matomo.advance(timedelta(hours=6))
        late = row(matomo, "VisitsSummary.get", date=today)["nb_visits"]
        assert 0 < whole(early) < whole(late)


def test_deleted_reports_answer_nothing_until_their_day_is_archived_again() -> None:
    """As after the ReportsPurger: the basic metrics stay where they are to be kept, and the raw visits in any case."""
    before = DAY + timedelta(days=1)
    with FakeMatomo(small_world()) as matomo:
        whole = row(matomo, "VisitsSummary.get")
        matomo.purge_reports(before)
        assert rows(matomo, "UserCountry.getCountry") == []
        assert set(row(matomo, "Actions.get").values()) == {0}
        assert row(matomo, "VisitsSummary.get") == whole
        matomo.purge_reports(before, keep_basic_metrics=False)
        assert row(matomo, "VisitsSummary.get")["nb_visits"] == 0
        assert len(matomo.visits(1, DAY)) == whole["nb_visits"]
        matomo.process(1, DAY)
        assert row(matomo, "VisitsSummary.get") == whole
        assert rows(matomo, "UserCountry.getCountry")


def test_a_busy_day_has_others() -> None:
    """Of more than 500 rows the archive keeps 499, and a row "Others" without a segment."""
    with FakeMatomo(default_world(NOW)) as matomo:
        day = date(2026, 11, 13)
        titles = rows(matomo, "Actions.getPageTitles", date=day)
        assert len(titles) == 500
        assert titles[-1]["label"] == "Others"
        assert "segment" not in titles[-1]
        flat = rows(matomo, "Actions.getPageUrls", date=day, flat=1, idSite=2)
        assert [one["label"] for one in flat].count("Others") == 1
        assert rows(matomo, "Actions.getPageTitles", date=day, language="fr")[-1]["label"] == "Autres"
        # Folders keep the rows of the root few: nothing is cut.
        assert len(rows(matomo, "Actions.getPageUrls", date=day, flat=1)) > 500


def test_every_page_has_views_on_every_day_of_a_large_site() -> None:
    """A large site has all its pages in each report."""
    with FakeMatomo(small_world(pages=500, every_page_daily=True)) as matomo:
        for day in (DAY, DAY - timedelta(days=1)):
            assert len(rows(matomo, "Actions.getPageUrls", date=day, flat=1)) == 500


def test_the_default_world_has_sites_of_every_kind() -> None:
    """Several time zones, a shop, goals, a site without visits, and years of history."""
    world = default_world(datetime(2026, 11, 21, tzinfo=UTC))
    assert len({site.timezone for site in world.sites}) == len(world.sites) >= 5
    assert any(site.ecommerce for site in world.sites)
    assert any(site.visits_per_day == 0 for site in world.sites)
    assert min(site.created for site in world.sites) < date(2022, 1, 1)
    assert all(site.no_visits_on for site in world.sites if site.visits_per_day)


def test_the_world_without_a_moment_has_the_real_clock() -> None:
    """`now=None` means the real clock."""
    with FakeMatomo(World(sites=small_world().sites)) as matomo:
        assert abs(matomo.now() - datetime.now(UTC)) < timedelta(minutes=1)
