"""Reports of days with hits: they count the visits that the log shows."""

from collections import Counter
from collections.abc import Iterator
from datetime import date
from random import Random
from typing import Any

import pytest

from fake_matomo import FakeMatomo, Goal
from tests.fake_matomo.client import fetch, row, rows, small_world, visits, whole
from tests.fake_matomo.recorded import read
from tests.fake_matomo.sending import OF_EACH_KIND, hit, send

DAY = date(2026, 11, 18)
REFERRERS = (None, "https://www.bing.com/?q=shoes", "https://t.co/x", "https://news.example.com/a")
CAMPAIGN = "?utm_campaign=c&utm_term=k"


def many_hits(count: int) -> list[str]:
    """Return hits of every kind on one day of the site, of forty visitors from several places."""
    rng = Random(3)  # noqa: S311 - made-up hits
    found = []
    for number in range(count):
        visitor = rng.randrange(40)
        params: dict[str, Any] = dict(OF_EACH_KIND[number % len(OF_EACH_KIND)])
        if "ec_id" in params:
            params["ec_id"] = f"CMD-{number}"
        found.append(
            hit(
                cdt=f"{DAY} {6 + number * 12 // count:02}:{rng.randrange(60):02}:{number % 60:02}",
                cid=f"{visitor:016x}",
                cip=f"81.2.{visitor}.1",
                uid=f"user-{visitor}" if visitor % 5 == 0 else None,
                lang=("fr-fr", "de", "en-gb,en", None)[visitor % 4],
                urlref=(None, "https://www.bing.com/?q=shoes", "https://t.co/x", "https://news.example.com/a")[
                    visitor % 4
                ],
                url=f"https://shop.example.org/p/{number % 7}"
                + ("?utm_campaign=c&utm_term=k" if visitor % 9 == 8 else ""),
                dimension1=("free", "pro")[visitor % 2],
                dimension2="Zoé" if number % 3 else None,
                **params,
            )
        )
    return found


@pytest.fixture(scope="module")
def busy() -> Iterator[FakeMatomo]:
    """Run a shop with modelled traffic and 600 hits."""
    with FakeMatomo(small_world(goals=(Goal(1, "Newsletter", 2.5), Goal(2, "Contact")))) as matomo:
        hits = many_hits(600)
        assert send(matomo, *hits) == [600, 0]
        yield matomo


def test_the_summary_counts_the_visits_of_the_log(busy: FakeMatomo) -> None:
    """Visits, visitors, users, actions and time of the modelled visits and of those of hits."""
    found = visits(busy, period="range", date=f"{DAY},{DAY}", filter_limit=-1)
    summary = row(busy, "VisitsSummary.get", date=DAY)
    assert summary["nb_visits"] == len(found) > 60
    assert summary["nb_uniq_visitors"] == len({visit["visitorId"] for visit in found})
    assert summary["nb_users"] == len({visit["userId"] for visit in found} - {None})
    assert summary["nb_actions"] == sum(whole(visit["actions"]) for visit in found)
    assert summary["sum_visit_length"] == sum(whole(visit["visitDuration"]) for visit in found)
    assert summary["nb_visits_converted"] == sum(visit["visitConverted"] for visit in found)


@pytest.mark.parametrize(
    "method",
    [
        "UserCountry.getCountry",
        "DevicesDetection.getType",
        "UserLanguage.getLanguage",
        "Referrers.getReferrerType",
        "VisitTime.getVisitInformationPerLocalTime",
    ],
)
def test_reports_of_visits_sum_up_to_them(busy: FakeMatomo, method: str) -> None:
    """Each visit is in one of their rows."""
    summary = row(busy, "VisitsSummary.get", date=DAY)
    assert sum(whole(one["nb_visits"]) for one in rows(busy, method, date=DAY)) == summary["nb_visits"]


def test_reports_of_actions_sum_up_to_those_of_the_log(busy: FakeMatomo) -> None:
    """Page views, events, downloads, outlinks and searches."""
    found = visits(busy, period="range", date=f"{DAY},{DAY}", filter_limit=-1)
    kinds = Counter(action["type"] for visit in found for action in visit["actionDetails"])
    assert sum(whole(one["nb_hits"]) for one in rows(busy, "Actions.getPageUrls", flat=1, date=DAY)) == kinds["action"]
    assert sum(whole(one["nb_hits"]) for one in rows(busy, "Actions.getPageTitles", date=DAY)) == kinds["action"]
    assert sum(whole(one["nb_events"]) for one in rows(busy, "Events.getCategory", date=DAY)) == kinds["event"]
    summary = row(busy, "Actions.get", date=DAY)
    assert (summary["nb_downloads"], summary["nb_outlinks"]) == (kinds["download"], kinds["outlink"])
    assert summary["nb_searches"] == kinds["search"]
    orders = row(busy, "Goals.get", date=DAY, idGoal="ecommerceOrder")
    assert orders["nb_conversions"] == kinds["ecommerceOrder"] >= 40


def test_a_campaign_with_and_without_keywords_is_one_row(busy: FakeMatomo) -> None:
    """Which has a subtable, as there is a keyword; flat, it is two."""
    send(busy, hit(cdt=f"{DAY} 05:00:00", cid="f" * 16, url="https://shop.example.org/?utm_campaign=c"))
    (one,) = [one for one in rows(busy, "Referrers.getCampaigns", date=DAY) if one["label"] == "c"]
    assert "idsubdatatable" in one
    flat = [one["label"] for one in rows(busy, "Referrers.getCampaigns", date=DAY, flat=1)]
    assert {"c", "c - k"} <= set(flat)


@pytest.mark.long
def test_every_report_can_be_made_of_a_day_with_hits(busy: FakeMatomo) -> None:
    """Flat and not, in a day and in a week: none of them fails at what hits have and modelled visits do not."""
    listed = fetch(busy, "API.getReportMetadata", idSite=1, period="day", date=DAY)
    for entry in listed:
        method = f"{entry['module']}.{entry['action']}"
        for asked in ({"flat": 1}, {"flat": 0}, {"period": "week"}):
            params = {"idSite": 1, "period": "day", "date": DAY, **entry.get("parameters", {}), **asked}
            answer = fetch(busy, method, **params)
            assert not (isinstance(answer, dict) and answer.get("result") == "error"), (method, asked, answer)


def test_a_day_without_an_archive_has_its_hits_in_the_log_only(busy: FakeMatomo) -> None:
    """Until it is archived."""
    day = date(2026, 11, 10)
    send(busy, hit(cdt=f"{day} 10:00:00", cid="e" * 16))
    before = row(busy, "VisitsSummary.get", date=day)["nb_visits"]
    busy.unprocess(1, day)
    assert row(busy, "VisitsSummary.get", date=day)["nb_visits"] == 0
    assert visits(busy, period="day", date=day, segment=f"visitorId=={'e' * 16}")
    busy.process(1, day)
    assert row(busy, "VisitsSummary.get", date=day)["nb_visits"] == before


def test_hits_of_a_time_before_the_site_are_in_the_log_only() -> None:
    """Reports of it are empty, as those of any day before the site was made."""
    made, before = date(2026, 11, 10), date(2026, 11, 3)
    with FakeMatomo(small_world(visits_per_day=0, created=made)) as matomo:
        assert send(matomo, hit(cdt=f"{before} 10:00:00"), hit(cdt=f"{made} 10:00:00")) == [2, 0]
        assert [row(matomo, "VisitsSummary.get", date=day)["nb_visits"] for day in (before, made)] == [0, 1]
        for asked in ({"period": "range", "date": f"{before},{made}"}, {}, {"minTimestamp": 1}):
            assert len(visits(matomo, **asked)) == 2


def test_late_hits_can_wait_for_the_next_archive() -> None:
    """m53_late_*: the day's reports stay as they were until it is archived again, the log has the visit at once."""
    recorded = [
        read(f"m53_late_{name}.json").answer for name in ("1_before", "2_after_tracking", "3_after_core_archive")
    ]
    assert recorded[0] == recorded[1] != recorded[2]
    day = date(2026, 11, 12)
    with FakeMatomo(small_world()) as matomo:
        matomo.archives_hits = False
        before = row(matomo, "VisitsSummary.get", date=day)
        assert send(matomo, hit(cdt=f"{day} 10:00:00"), hit(cdt=f"{day} 10:01:00"), hit()) == [3, 0]
        assert row(matomo, "VisitsSummary.get", date=day) == before
        assert visits(matomo, period="day", date=day, segment="visitorId==53a0000000000002")
        matomo.process(1, day)
        after = row(matomo, "VisitsSummary.get", date=day)
        assert (after["nb_visits"], after["nb_actions"]) == (before["nb_visits"] + 1, before["nb_actions"] + 2)
        today = visits(matomo, period="day", date="today", segment="visitorId==53a0000000000002")
        assert len(today) == 1
        assert row(matomo, "VisitsSummary.get", date="2026-11-20")["nb_visits"] == len(
            matomo.visits(1, date(2026, 11, 20))
        )
