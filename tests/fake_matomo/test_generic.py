"""Reports without a model, answered from their metadata and the visits of the day."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fake_matomo import FakeMatomo
from fake_matomo.dimensions import Context, values_of
from fake_matomo.language import Language
from fake_matomo.make_reports import TARGET, made
from fake_matomo.metadata import recorded_reports
from tests.fake_matomo.client import DAY, NOW, fetch, fetch_raw, row, rows, small_world, visits, whole
from tests.fake_matomo.recorded import FOLDER, VIEW, Recording, all_recordings, read, recorded_instance, replay
from tests.fake_matomo.shapes import Comparison

ONE_DAY: dict[str, Any] = {"idSite": 1, "period": "day", "date": DAY}
RANGE = f"{DAY - timedelta(days=2)},{DAY}"
REPORTS = [(report.method, dict(report.parameters)) for report in recorded_reports()]
NAMES = ["_".join([method, *parameters.values()]) for method, parameters in REPORTS]
# Every visit has one value of these dimensions.
PARTITIONS = (
    "DevicesDetection.getBrand",
    "DevicesDetection.getBrowserEngines",
    "DevicesDetection.getBrowserVersions",
    "DevicesDetection.getBrowsers",
    "DevicesDetection.getModel",
    "DevicesDetection.getOsFamilies",
    "DevicesDetection.getOsVersions",
    "Resolution.getConfiguration",
    "Resolution.getResolution",
    "UserCountry.getCity",
    "UserCountry.getContinent",
    "UserCountry.getRegion",
    "UserLanguage.getLanguageCode",
    "VisitTime.getByDayOfWeek",
    "VisitTime.getVisitInformationPerLocalTime",
    "VisitTime.getVisitInformationPerServerTime",
    "VisitorInterest.getNumberOfVisitsByDaysSinceLast",
    "VisitorInterest.getNumberOfVisitsByVisitCount",
    "VisitorInterest.getNumberOfVisitsPerPage",
    "VisitorInterest.getNumberOfVisitsPerVisitDuration",
)
PLUGIN = {
    "category": "Marketing",
    "name": "Ad groups",
    "module": "AdPlugin",
    "action": "getAdGroups",
    "dimension": "Ad group",
    "metrics": {"nb_visits": "Visits", "nb_clicks": "Clicks", "cost": "Cost"},
    "processedMetrics": {"click_rate": "Rate"},
    "metricTypes": {"nb_visits": "number", "nb_clicks": "number", "cost": "money", "click_rate": "percent"},
    "imageGraphUrl": "index.php?token_auth=of-somebody-else",
    "uniqueId": "AdPlugin_getAdGroups",
}


@pytest.fixture(scope="module")
def shop() -> Iterator[FakeMatomo]:
    """Run a shop with enough visits that every report has rows; tests must not change it."""
    with FakeMatomo(small_world(visits_per_day=150)) as matomo:
        yield matomo


def test_what_is_known_of_reports_is_what_was_recorded() -> None:
    """The data file is what `make_reports` makes of the recordings."""
    assert TARGET.read_text("utf-8") == made(FOLDER)


@pytest.mark.parametrize(("method", "parameters"), REPORTS, ids=NAMES)
def test_every_report_has_a_day_a_range_and_longer_periods(
    method: str, parameters: dict[str, str], shop: FakeMatomo
) -> None:
    """None is an error, except for ranges that Matomo refuses; a single day equals the day of a range."""
    request = {"idSite": 1, "filter_limit": -1, "format_metrics": 0, **parameters}
    day = fetch(shop, method, period="day", date=DAY, **request)
    assert day
    assert "result" not in day
    for period, dates in (("week", str(DAY)), ("range", RANGE)):
        longer = fetch(shop, method, period=period, date=dates, **request)
        assert "result" not in longer
        found = longer if isinstance(longer, list) else [longer]
        assert not any("nb_uniq_visitors" in one for one in found if "label" in one)
    days = fetch(shop, method, period="day", date=RANGE, **request)
    if method in ("Referrers.getAll", "VisitTime.getByDayOfWeek"):
        assert days["result"] == "error"
    elif method not in ("DevicesDetection.getType", "Referrers.get", "API.get"):
        # Single days add unused device types; shares of channels are those of all the days.
        assert days[str(DAY)] == day


def test_days_without_visits_are_empty() -> None:
    """In a range, they are an empty list."""
    with FakeMatomo(small_world(no_visits_on=frozenset({DAY}))) as matomo:
        for method, parameters in REPORTS:
            if method in ("Referrers.getAll", "VisitTime.getByDayOfWeek"):
                assert fetch(matomo, method, **ONE_DAY) == []
            elif method != "MultiSites.getAll":
                answer = fetch(matomo, method, **{**ONE_DAY, **parameters, "date": f"{DAY},{DAY}"})
                assert answer == {str(DAY): []}, method


@pytest.mark.parametrize("method", PARTITIONS)
def test_a_dimension_that_every_visit_has_adds_up(method: str, shop: FakeMatomo) -> None:
    """The visits of its rows sum up to those of the day, with and without a segment."""
    for segment in ({}, {"segment": "countryCode==fr"}):
        total = row(shop, "VisitsSummary.get", **segment)["nb_visits"]
        assert total > 0
        assert sum(whole(one["nb_visits"]) for one in rows(shop, method, **segment)) == total


def test_rows_are_those_of_the_visits_log(shop: FakeMatomo) -> None:
    """Each row has as many visits as the log has for its value."""
    found = visits(shop, period="day", date=DAY, filter_limit=-1)
    browsers = {one["label"]: one["nb_visits"] for one in rows(shop, "DevicesDetection.getBrowsers")}
    assert browsers == Counter(visit["browserName"] for visit in found)
    hours = {one["label"]: one["nb_visits"] for one in rows(shop, "VisitTime.getVisitInformationPerServerTime")}
    assert len(hours) == 24
    begun = Counter(visit["serverTimePrettyFirstAction"][:2] for visit in found)
    assert {hour: count for hour, count in hours.items() if count} == begun
    pages = {one["label"]: whole(one["nb_visits"]) for one in rows(shop, "VisitorInterest.getNumberOfVisitsPerPage")}
    assert pages["1 page"] == sum(1 for visit in found if visit["actions"] <= 1)
    assert pages["6-7 pages"] == sum(1 for visit in found if visit["actions"] in (6, 7))


def test_conversions_are_those_of_the_visits_log(shop: FakeMatomo) -> None:
    """This holds for each goal, orders, carts, and all conversions."""
    found = visits(shop, period="day", date=DAY, filter_limit=-1)
    kinds = Counter(action["type"] for visit in found for action in visit["actionDetails"])
    by_goal = {
        goal: row(shop, "Goals.get", idGoal=goal) for goal in (1, 0, "ecommerceOrder", "ecommerceAbandonedCart", 99)
    }
    assert by_goal[1]["nb_conversions"] == kinds["goal"] > 0
    assert by_goal[0]["nb_conversions"] == by_goal["ecommerceOrder"]["nb_conversions"] == kinds["ecommerceOrder"]
    assert by_goal["ecommerceAbandonedCart"]["nb_conversions"] == kinds["ecommerceAbandonedCart"]
    assert not any(by_goal[99][name] for name in by_goal[99] if name.startswith("nb_"))
    every = row(shop, "Goals.get")
    assert every["nb_conversions"] == kinds["goal"] + kinds["ecommerceOrder"]
    for method in ("Goals.getDaysToConversion", "Goals.getVisitsUntilConversion"):
        assert sum(one["nb_conversions"] for one in rows(shop, method)) == every["nb_conversions"]
        assert sum(one["nb_conversions"] for one in rows(shop, method, idGoal=1)) == kinds["goal"]


def test_a_day_of_new_visitors_has_no_columns_of_returning_ones() -> None:
    """In a range, these columns are absent; for a single day they are zeros."""
    with FakeMatomo(small_world(visits_per_day=1)) as matomo:
        days = fetch(matomo, "Goals.get", idSite=1, period="day", date="2026-10-20,2026-11-18")
        for day, answer in days.items():
            (visit,) = matomo.visits(1, date.fromisoformat(day))
            kind, other = ("new", "returning") if visit.visit_count == 1 else ("returning", "new")
            assert f"revenue_{kind}_visit" in answer
            assert f"revenue_{other}_visit" not in answer
            assert row(matomo, "Goals.get", date=day)[f"revenue_{other}_visit"] == 0


def test_shares_of_channels_are_of_all_the_days_of_the_answer(shop: FakeMatomo) -> None:
    """They sum up to 1 over all days, not for each day."""
    names = ("DirectEntry", "SearchEngines", "Campaigns", "SocialNetworks", "Websites")
    request = {"idSite": 1, "period": "day", "format_metrics": 0}
    alone = fetch(shop, "Referrers.get", **request, date=f"{DAY},{DAY}")[str(DAY)]
    assert sum(alone[f"Referrers_visitorsFrom{name}_percent"] for name in names) == pytest.approx(1, abs=0.03)
    days = fetch(shop, "Referrers.get", **request, date=RANGE)
    total = sum(day[f"Referrers_visitorsFrom{name}_percent"] for day in days.values() for name in names)
    assert total == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize(
    "name", ["m53_goals_days_1", "m53_goals_days_all", "m53_goals_days_cart", "m53_goals_days_order"]
)
def test_goals_have_the_recorded_columns(name: str) -> None:
    """Days that have visits in both instances are compared."""
    recording = read(f"{name}.json")
    with recorded_instance() as matomo:
        got = replay(matomo, recording).answer
    assert isinstance(recording.answer, dict)
    assert isinstance(got, dict)
    both = [day for day in recording.answer if recording.answer[day] and got[day]]
    assert both
    for day in both:
        assert Comparison(recording).compare({day: recording.answer[day]}, {day: got[day]}) == []


def test_paging_order_and_columns_are_those_of_every_report(shop: FakeMatomo) -> None:
    """Limits, offsets, sorting, patterns, columns, "Others" and flat rows work as in modelled reports."""
    method = "Resolution.getResolution"
    every = rows(shop, method)
    assert [whole(one["nb_visits"]) for one in every] == sorted(
        (whole(one["nb_visits"]) for one in every), reverse=True
    )
    assert rows(shop, method, filter_limit=2, filter_offset=1) == every[1:3]
    by_label = [one["label"] for one in rows(shop, method, filter_sort_column="label", filter_sort_order="asc")]
    assert by_label == sorted(by_label)
    assert all(one.keys() == {"label", "nb_visits", "segment"} for one in rows(shop, method, showColumns="nb_visits"))
    assert all("nb_actions" not in one for one in rows(shop, method, hideColumns="nb_actions"))
    assert [one["label"] for one in rows(shop, method, filter_pattern="^1920")] == ["1920x1080"]
    assert [one["Resolution_Resolution"] for one in rows(shop, method, flat=1)] == [one["label"] for one in every]
    cut = rows(shop, method, filter_truncate=2)
    assert cut[-1]["label"] == "Others"
    assert sum(whole(one["nb_visits"]) for one in cut) == sum(whole(one["nb_visits"]) for one in every)


def test_a_column_can_be_shown_and_hidden_at_once(shop: FakeMatomo) -> None:
    """Hiding wins, also where one column alone would be a bare value."""
    both = {"showColumns": "nb_visits", "hideColumns": "nb_visits"}
    assert row(shop, "VisitFrequency.get", showColumns="nb_visits_new").keys() == {"value"}
    assert row(shop, "VisitsSummary.get", **both) == {}
    assert all("nb_visits" not in one for one in rows(shop, "DevicesDetection.getBrand", **both))


def test_items_are_those_of_the_orders(shop: FakeMatomo) -> None:
    """Quantities by SKU and name are those of the orders in the log; categories may count a product twice."""
    days = f"{DAY - timedelta(days=5)},{DAY}"
    request = {"idSite": 1, "period": "range", "date": days, "filter_limit": -1}
    found = visits(shop, **{**request, "format_metrics": 0})
    orders = [one for visit in found for one in visit["actionDetails"] if one["type"] == "ecommerceOrder"]
    pieces = sum(whole(item["quantity"]) for one in orders for item in one["itemDetails"])
    for method in ("Goals.getItemsSku", "Goals.getItemsName"):
        assert sum(one.get("quantity", 0) for one in fetch(shop, method, **request)) == pieces > 0
    assert sum(one.get("quantity", 0) for one in fetch(shop, "Goals.getItemsCategory", **request)) >= pieces


def test_content_has_the_metrics_of_its_metadata(shop: FakeMatomo) -> None:
    """It was recorded without rows, so its columns are those of the metadata."""
    days = f"{DAY - timedelta(days=20)},{DAY}"
    request = {"idSite": 1, "period": "range", "date": days, "format_metrics": 0}
    for method, label in (
        ("Contents.getContentNames", "Bannière été"),
        ("Contents.getContentPieces", "/img/banner.jpg"),
    ):
        (found,) = fetch(shop, method, **request)
        assert found["label"] == label
        assert found["nb_impressions"] > 0
        assert found.keys() >= {"nb_interactions", "interaction_rate", "segment"}


def test_all_sites_are_compared_with_the_day_before() -> None:
    """`MultiSites.getAll` has a row for each site that the user may view, `getOne` has the numbers of one."""
    with recorded_instance() as matomo:
        listed = fetch(matomo, "MultiSites.getAll", period="day", date=DAY, format_metrics=0)
        one = fetch(matomo, "MultiSites.getOne", **ONE_DAY, format_metrics=0)
        assert [site["idsite"] for site in listed] == [1, 2]
        today, before = (len(matomo.visits(1, day)) for day in (DAY, DAY - timedelta(days=1)))
        assert (one["nb_visits"], listed[0]["previous_nb_visits"]) == (today, before)
        assert one["visits_evolution"] == pytest.approx(today / before - 1, abs=0.001)
        assert one["visits_evolution_trend"] == (today > before) - (today < before)


def test_answers_depend_on_the_seed_only() -> None:
    """The same seed gives the same bytes, another seed different ones."""
    answers = []
    for seed in (0, 0, 1):
        with FakeMatomo(replace(small_world(), seed=seed)) as matomo:
            answers.append([fetch_raw(matomo, method, **ONE_DAY).body for method in PARTITIONS])
    assert answers[0] == answers[1]
    assert answers[0] != answers[2]


def test_a_report_of_a_plugin_is_answered_from_its_metadata() -> None:
    """Its rows share the visits among them and have its metrics, by their types."""
    with FakeMatomo(small_world()) as matomo:
        assert fetch(matomo, "AdPlugin.getAdGroups", **ONE_DAY)["result"] == "error"
        matomo.add_report(PLUGIN)
        found = rows(matomo, "AdPlugin.getAdGroups", format_metrics=0)
        assert len(found) > 1
        assert all(one["label"].startswith("Ad group") for one in found)
        assert all(one.keys() == {"label", "nb_visits", "nb_clicks", "cost", "click_rate"} for one in found)
        assert sum(one["nb_visits"] for one in found) == len(matomo.visits(1, DAY))
        assert all(isinstance(one["nb_clicks"], int) and 0 <= one["click_rate"] < 1 for one in found)
        assert found == rows(matomo, "AdPlugin.getAdGroups", format_metrics=0)
        assert rows(matomo, "AdPlugin.getAdGroups")[0]["click_rate"].endswith("%")
        entry = fetch(matomo, "API.getMetadata", idSite=1, apiModule="AdPlugin", apiAction="getAdGroups")[0]
        assert matomo.token in entry["imageGraphUrl"]
        assert "of-somebody-else" not in json.dumps(entry)


def test_a_recorded_report_without_a_reader_has_the_recorded_values(shop: FakeMatomo) -> None:
    """Each visit gets one of them, the frequent ones more often."""
    (browsers,) = (report for report in recorded_reports() if report.method == "DevicesDetection.getBrowsers")
    report = replace(browsers, method="DevicesDetection.getSomethingNew")
    context = Context(report, shop.world.sites[0], Language("en"), None, 0, flat=False)
    found = Counter(value.label for visit in shop.visits(1, DAY) for value, _, _ in values_of(visit, context))
    assert found.total() == len(shop.visits(1, DAY))
    assert set(found) <= {row["label"] for row in report.values}
    assert found["Chrome"] > found["Microsoft Edge"]


def _metadata(matomo: FakeMatomo, **params: Any) -> list[dict[str, Any]]:
    answer = fetch(matomo, "API.getReportMetadata", **params)
    assert isinstance(answer, list)
    return answer


def _without_goals_names(entries: Any) -> list[dict[str, Any]]:
    return [{key: value for key, value in entry.items() if key != "name"} for entry in entries]


@pytest.mark.parametrize("name", ["meta_API.getReportMetadata_site1.json", "meta_API.getReportMetadata_hide.json"])
def test_metadata_is_what_was_recorded(name: str) -> None:
    """The entries of a shop, and of a site that is not one, are the recorded ones."""
    recording = read(name)
    with recorded_instance() as matomo:
        got = json.loads(replay(matomo, recording).body.replace(VIEW, "TOKEN"))
    # The goals of the recorded sites have other names.
    assert _without_goals_names(got) == _without_goals_names(recording.answer)


def test_metadata_carries_the_token_of_the_caller(shop: FakeMatomo) -> None:
    """It is in the graph URLs, also inside a bulk request: logging such an answer leaks the token."""
    assert all(f"token_auth={shop.token}&" in entry["imageGraphUrl"] for entry in _metadata(shop, idSite=1))
    (inner,) = fetch(
        shop, "API.getBulkRequest", **{"urls[0]": "method=API.getReportMetadata&idSite=1", "filter_limit": -1}
    )
    assert shop.token in inner[0]["imageGraphUrl"]


def test_metadata_follows_the_goals_of_the_site(shop: FakeMatomo) -> None:
    """There are three reports for each goal, with its name and id."""
    goals = [entry for entry in _metadata(shop, idSite=1) if entry.get("parameters") == {"idGoal": 1}]
    assert {entry["name"] for entry in goals} == {
        "Goal Newsletter",
        "Newsletter - Visits to Conversion",
        "Newsletter - Days to Conversion",
    }
    found = fetch(shop, "API.getMetadata", idSite=1, apiModule="Goals", apiAction="get", idGoal=1)
    assert [entry["uniqueId"] for entry in found] == ["Goals_get_idGoal--1"]


def test_unknown_methods_are_errors(shop: FakeMatomo) -> None:
    """Methods that are not reports are refused, as are missing parameters."""
    assert fetch_raw(shop, "DevicesDetection.getNothing", **ONE_DAY).status == 400
    assert "not enabled" in fetch(shop, "Nothing.get", **ONE_DAY)["message"]
    assert (
        "specify a value for 'idDimension'" in fetch(shop, "CustomDimensions.getCustomDimension", **ONE_DAY)["message"]
    )


def test_every_report_of_the_recordings_is_compared() -> None:
    """There is a recording of a day of each report."""
    recorded: set[str] = {one.name for one in all_recordings() if _is_day(one)}
    wanted = {
        "_".join([method, *(f"{key}-{value}" for key, value in parameters.items())]) for method, parameters in REPORTS
    }
    assert {f"day_{name}.json" for name in wanted} <= recorded


def _is_day(recording: Recording) -> bool:
    return recording.name.startswith("day_")


def test_today_has_what_happened_so_far() -> None:
    """Reports without a model have more visits later in the day."""
    with FakeMatomo(small_world(visits_per_day=100)) as matomo:
        before = rows(matomo, "DevicesDetection.getBrowsers", date=NOW.date())
        matomo.advance(timedelta(hours=6))
        after = rows(matomo, "DevicesDetection.getBrowsers", date=NOW.date())
        assert sum(one["nb_visits"] for one in before) < sum(one["nb_visits"] for one in after)
        assert matomo.now() == datetime(2026, 11, 20, 18, tzinfo=UTC)
