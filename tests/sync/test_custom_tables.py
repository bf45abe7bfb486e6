"""Which tables a run has: found once, at its start, by what Matomo says of its reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import TOKEN, FakeMatomo, Fault, Goal, Site, World
from matomo_fn.catalogue import PREBUILT
from matomo_fn.catalogue.custom import NOT_DAILY
from matomo_fn.errors import InputError
from tests.support.canary import assert_absent
from tests.support.local import CREATED, NOW, local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

METADATA = "API.getReportMetadata"
SHOP = Site(1, "Shop", created=CREATED, visits_per_day=3, pages=4, ecommerce=True, goals=(Goal(1, "Newsletter", 2.5),))
DOCS = Site(2, "Docs", created=CREATED, visits_per_day=2, pages=4)


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    with FakeMatomo(World((SHOP, DOCS), now=NOW)) as running:
        yield running


def opened(matomo: FakeMatomo, tmp_path: Path, **config: Any) -> Any:
    return local(matomo, tmp_path / "shop.duckdb", **({"backfill_days": 1} | config))


def calls(matomo: FakeMatomo, method: str) -> int:
    return sum(call.method == method for call in matomo.calls)


def test_one_call_of_the_metadata_is_enough_for_the_reports_that_a_configuration_names(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    with opened(matomo, tmp_path, reports=["Events.getName", "Actions.get", "UserCountry.getCity"]) as shop:
        assert shop.sync().as_dict()["errors"] == []
        assert calls(matomo, METADATA) == 1


def test_prebuilt_tables_need_no_metadata(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Nor does a request for some of them, of a connector that has custom reports too."""
    with opened(matomo, tmp_path, reports=["visits_summary", "Events.getName"]) as shop:
        shop.sync(tables=("visits_summary",))
        assert calls(matomo, METADATA) == 0


def test_all_is_every_report_of_each_site_and_names_what_it_leaves_out(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A report that only one site has is requested of that site, so that no slice fails each time."""
    with opened(
        matomo, tmp_path, reports="all", custom_reports=[{"report": "Events.getName", "name": "names"}]
    ) as shop:
        result = shop.sync()
        assert result.as_dict()["errors"] == []
        assert set(PREBUILT) < result.tables.keys()
        assert {
            "events_name",
            "names",
            "actions_page_urls",
            "goals_items_sku",
            "goals_id_goal_1",
        } < result.tables.keys()
        assert all(table.written for table in result.tables.values())
        assert result.tables["events_name"].written == 2
        assert (result.tables["goals_items_sku"].written, result.tables["goals_id_goal_1"].written) == (1, 1)
        assert [note.partition(" ")[0] for note in result.notes] == list(NOT_DAILY)
        assert calls(matomo, METADATA) == 2
        assert shop.sync().as_dict()["status"] == "complete"


def test_a_table_of_all_can_be_requested_by_its_name(matomo: FakeMatomo, tmp_path: Path) -> None:
    with opened(matomo, tmp_path, reports="all") as shop:
        assert list(shop.sync(tables=("goals_items_sku", "visits_summary")).tables) == [
            "visits_summary",
            "goals_items_sku",
        ]
        with pytest.raises(InputError, match="does not have table 'goal_items_sku': did you mean 'goals_items_sku'"):
            shop.sync(tables=("goal_items_sku",))


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        (
            {"report": "Nothing.getIt"},
            "table nothing_it: Nothing.getIt: Matomo says: The plugin Nothing is not enabled",
        ),
        ({"report": "Events.getNames"}, "table events_names: Events.getNames: Matomo says: The method 'getNames'"),
        (
            {"report": "CustomDimensions.getCustomDimension"},
            "table custom_dimensions_custom_dimension: CustomDimensions.getCustomDimension needs parameters: set them, "
            'such as "parameters": {"idDimension": "1"}',
        ),
    ],
)
def test_a_report_that_matomo_does_not_have_fails_alone(
    matomo: FakeMatomo, tmp_path: Path, report: dict[str, Any], sentence: str
) -> None:
    """By a sentence that says what is wrong; the other tables are written."""
    with opened(
        matomo, tmp_path, reports=["visits_summary"], custom_reports=[report, {"report": "Events.getName"}]
    ) as shop:
        result = shop.sync()
        (error,) = result.as_dict()["errors"]
        assert error.startswith(sentence), error
        assert result.as_dict()["status"] == "failed"
        assert {name: table.written for name, table in result.tables.items()} == {"visits_summary": 2, "events_name": 2}


def test_metadata_that_cannot_be_had_costs_the_tables_that_need_it(matomo: FakeMatomo, tmp_path: Path) -> None:
    """It is requested as often as any call, and not once more for each table."""
    matomo.faults.add(Fault(method=METADATA, message="Something broke"))
    with opened(matomo, tmp_path, reports=["visits_summary", "Events.getName", "Actions.get"]) as shop:
        result = shop.sync()
        assert result.tables["visits_summary"].written == 2
        assert [error.partition(":")[0] for error in result.as_dict()["errors"]] == [
            "table events_name",
            "table actions",
        ]
        assert calls(matomo, METADATA) <= 5


def test_a_method_that_is_in_no_metadata_is_asked_how_it_answers(matomo: FakeMatomo, tmp_path: Path) -> None:
    """A single number a day is a table of one column."""
    with opened(
        matomo, tmp_path, reports=["visits_summary"], custom_reports=[{"report": "VisitsSummary.getVisits"}]
    ) as shop:
        assert shop.sync().as_dict()["errors"] == []
        found = shop.warehouse.query(
            "select v.value, s.nb_visits from visits_summary_visits v join visits_summary s using (date, website_id)"
        )
        assert len(found) == 2
        assert all(row["value"] == row["nb_visits"] for row in found)


def test_the_token_that_the_metadata_repeats_is_in_no_file_and_no_log(
    matomo: FakeMatomo, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`imageGraphUrl` has it in each entry."""
    with opened(matomo, tmp_path, reports=["visits_summary", "Events.getName", "UserCountry.getCity"]) as shop:
        assert len(shop.sync().tables) == 3
    assert calls(matomo, METADATA) == 1
    out = capsys.readouterr()
    assert_absent(TOKEN, out=out.out, err=out.err, file=tmp_path)


def test_a_matomo_that_lists_what_is_no_report_is_not_believed(matomo: FakeMatomo, tmp_path: Path) -> None:
    """Nothing but methods that get something is requested, and with no parameter that the program sets."""

    def evil(answer: Any) -> Any:
        first = answer[0]
        return [
            *answer[:5],  # enough of those that are reports
            {**first, "module": "SitesManager", "action": "deleteSite"},
            {**first, "module": "Events", "action": "getName", "parameters": {"idSite": "all"}},
        ]

    matomo.faults.add(Fault(method=METADATA, mutate=evil))
    with opened(matomo, tmp_path, reports="all") as shop:
        result = shop.sync()
        assert "SitesManager.deleteSite is left out: no report has such a name or such parameters" in result.notes
        assert result.as_dict()["errors"] == []
    assert calls(matomo, "SitesManager.deleteSite") == 0


def test_custom_reports_have_segments_periods_and_rolling_windows_of_their_own(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """A second run finds all of it unchanged, and a full refresh rebuilds it."""
    reports = [
        {"report": "UserCountry.getCountry", "period": "week", "name": "weekly"},
        {"report": "VisitsSummary.get", "period": "range", "days": 7, "name": "rolling", "segments": []},
        {"report": "Events.getName", "segments": ["mobile"]},
    ]
    config = {
        "sites": ["1"],
        "reports": ["visits_summary"],
        "custom_reports": reports,
        "segments": {"mobile": "deviceType==smartphone", "desktop": "deviceType==desktop"},
        "periods": ["month"],
        "backfill_days": 14,
    }
    with opened(matomo, tmp_path, **config) as shop:
        first = shop.sync()
        assert (first.as_dict()["status"], first.as_dict()["errors"]) == ("complete", [])
        # Weeks are those of three segments (all visits among them), the rolling window has none, events have two.
        written = {name: table.written for name, table in first.tables.items()}
        assert written | {"visits_summary": 0, "visits_summary_month": 0} == {
            "visits_summary": 0,
            "visits_summary_month": 0,
            "weekly": 9,
            "rolling": 14,
            "events_name": 28,
            "events_name_month": 2,
        }
        again = shop.sync()
        assert {name: table.written for name, table in again.tables.items()} == dict.fromkeys(written, 0)
        rebuilt = shop.sync(mode="full_refresh", tables=("weekly", "rolling"))
        assert (rebuilt.as_dict()["errors"], rebuilt.tables["weekly"].written) == ([], 9)
        assert shop.sync().tables["weekly"].written == 0
