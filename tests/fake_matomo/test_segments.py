"""Segments of the fake: how they are written, which visits they have, and what stands in for an archive."""

from collections.abc import Iterator
from datetime import date
from urllib.parse import quote

import pytest

from fake_matomo import FakeMatomo
from tests.fake_matomo.client import fetch
from tests.fake_matomo.recorded import recorded_instance

MONDAY = date(2026, 11, 9)
DAYS = "2026-11-09,2026-11-15"
URL = "https://shop.example.org/"


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Run an instance like the recorded one."""
    with recorded_instance() as instance:
        yield instance


def visits(matomo: FakeMatomo, segment: str = "", period: str = "day") -> dict[str, int]:
    """How many visits each period has."""
    found = fetch(matomo, "VisitsSummary.get", idSite=1, period=period, date=DAYS, segment=segment)
    return {key: answer["nb_visits"] if answer else 0 for key, answer in found.items()}


def test_a_value_that_is_encoded_once_twice_or_not_at_all_is_the_same(matomo: FakeMatomo) -> None:
    """As was recorded of Matomo 5.2 and 5.3 (m53_seg_days_combined, bulk_segment_*)."""
    found = [
        visits(matomo, f"countryCode==fr;pageUrl=={value}")
        for value in (URL, quote(URL, ""), quote(quote(URL, ""), ""))
    ]
    assert found[0] == found[1] == found[2]
    assert 0 < sum(found[0].values()) < sum(visits(matomo).values())


def test_a_comma_is_or_and_binds_tighter_than_a_semicolon(matomo: FakeMatomo) -> None:
    """m53_seg_days_combined: France, and (smartphone or that page)."""
    both = visits(matomo, "countryCode==fr;deviceType==smartphone,countryCode==de")
    france = visits(matomo, "countryCode==fr;deviceType==smartphone")
    assert both == france


def test_a_segment_without_an_archive_has_no_visits_in_reports_and_all_in_the_log(matomo: FakeMatomo) -> None:
    """m53_seg_adhoc_not_archived: [] for each day, and no error."""
    segment = "deviceType==smartphone"
    before = visits(matomo, segment)
    matomo.unprocess_segment(segment)
    assert sum(before.values()) > 0
    assert set(visits(matomo, segment).values()) == {0}
    assert set(visits(matomo, segment, "week").values()) == {0}
    live = fetch(
        matomo, "Live.getLastVisitsDetails", idSite=1, period="range", date=DAYS, segment=segment, filter_limit=-1
    )
    assert len(live) == sum(before.values())
    matomo.process_segment(segment)
    assert visits(matomo, segment) == before


def test_a_week_without_an_archive_has_no_visits_while_its_days_have_them(matomo: FakeMatomo) -> None:
    """As a closed week was recorded of which the archive was gone."""
    week = visits(matomo, period="week")
    matomo.unprocess_period(1, "week", MONDAY)
    assert list(visits(matomo, period="week").values()) == [0]
    assert sum(visits(matomo).values()) == sum(week.values()) > 0
    matomo.process_period(1, "week", MONDAY)
    assert visits(matomo, period="week") == week


def test_saved_segments_are_listed_by_name_those_of_one_site_at_that_site_only(matomo: FakeMatomo) -> None:
    """SegmentEditor.getAll without idSite lists all."""
    matomo.save_segment("France", "countryCode==fr")
    matomo.save_segment("Converted", "visitConverted==1", only_site=1)
    assert [one["name"] for one in fetch(matomo, "SegmentEditor.getAll")] == ["Converted", "France"]
    assert [one["name"] for one in fetch(matomo, "SegmentEditor.getAll", idSite=2)] == ["France"]
    matomo.save_segment("France", "countryCode==fr,countryCode==mc")
    assert [one["definition"] for one in fetch(matomo, "SegmentEditor.getAll", idSite=2)] == [
        "countryCode==fr,countryCode==mc"
    ]
