"""Which reports count each visit once, by what a real Matomo answered."""

from __future__ import annotations

import json

import pytest

from matomo_fn.catalogue import EXTENDED, VISITS, Adds, Source, Table, adds, visits_column
from tests.support import recordings

DAY = [name for name in recordings.FOLDER.glob("day_*.json") if name.stem.count("_") == 1]
# That day the site had as many plugins as visits, by chance.
BY_CHANCE = {"DevicePlugins.getPlugin", "VisitTime.getByDayOfWeek"}


def recorded_visits(method: str) -> int | None:
    """What the visits of all rows of a report add up to on the recorded day; None of a report without rows."""
    body = json.loads(recordings.read(f"day_{method}.json").body)
    if isinstance(body, dict):
        return body.get("nb_visits")
    if not body or "nb_visits" not in body[0]:
        return None
    return sum(int(row.get("nb_visits", 0)) for row in body)


@pytest.mark.parametrize("method", sorted({path.stem.removeprefix("day_") for path in DAY} - BY_CHANCE))
def test_rows_add_up_as_they_did_in_a_recording(method: str) -> None:
    """Equal, fewer or more than VisitsSummary.get counted."""
    found, visits = recorded_visits(method), recorded_visits("VisitsSummary.get")
    assert visits == 70
    match adds(Table("x", "", (Source(method),), ())):
        case Adds.UP:
            assert found == visits
        case Adds.PART:
            assert found is not None
            assert found <= visits
        case Adds.MORE:
            assert found != visits


def test_the_referrers_of_all_channels_add_up() -> None:
    """Direct visits, search engines, websites, networks and campaigns: each visit came by one of them."""
    assert adds(EXTENDED["acquisition_referrer"]) is Adds.UP
    methods = ("getSearchEngines", "getWebsites", "getSocials", "getCampaigns")
    referred = sum(recorded_visits(f"Referrers.{method}") or 0 for method in methods)
    channels = json.loads(recordings.read("day_Referrers.getReferrerType.json").body)
    direct = sum(int(row["nb_visits"]) for row in channels if int(row["referrer_type"]) == 1)
    assert direct + referred == 70


def test_a_report_that_leaves_rows_out_does_not_add_up() -> None:
    """Where its parameters say so; what only chooses columns leaves none out."""
    country = Source("UserCountry.getCountry")
    assert adds(Table("x", "", (country,), ())) is Adds.UP
    for parameter, expected in ((("filter_pattern", "Fr"), Adds.PART), (("hideColumns", "goals"), Adds.UP)):
        assert adds(Table("x", "", (Source(country.method, (parameter,)),), ())) is expected


def test_visits_are_counted_by_their_rows() -> None:
    """The tables of reports name the column, whatever it is called."""
    assert (adds(VISITS), visits_column(VISITS)) == (Adds.UP, None)
    assert visits_column(EXTENDED["visits_summary"]) == "nb_visits"
    assert visits_column(EXTENDED["visitor_country"]) == "visits"
