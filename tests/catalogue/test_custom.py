"""What fields and names are by rule, without any Matomo."""

from __future__ import annotations

import pytest

from matomo_fn.catalogue import ColumnType
from matomo_fn.catalogue.custom import Metric, ReportMetadata, ReportSpec, custom_table, new_column, with_columns
from matomo_fn.catalogue.fields import declared_type, is_presentation
from matomo_fn.catalogue.naming import LONGEST_COLUMN, LONGEST_TABLE, column_name, table_name

INT64, FLOAT64, STRING = ColumnType.INT64, ColumnType.FLOAT64, ColumnType.STRING


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("nb_visits", INT64),
        ("sum_daily_nb_uniq_visitors", INT64),
        ("sum_daily_entry_nb_uniq_visitors", INT64),
        ("entry_nb_actions", INT64),
        ("bounce_count_new", INT64),
        ("sum_time_spent", INT64),
        ("max_actions_returning", INT64),
        ("nb_actions_per_visit", FLOAT64),
        ("nb_visits_percentage", FLOAT64),
        ("nb_visits_percent_of_total", FLOAT64),  # Matomo 6
        ("Referrers_visitorsFromDirectEntry_percent", FLOAT64),
        ("bounce_rate_returning", FLOAT64),
        ("conversion_rate_new_visit", FLOAT64),
        ("avg_time_on_site", FLOAT64),
        ("min_time_network", FLOAT64),
        ("revenue_subtotal_new_visit", FLOAT64),
        ("sum_event_value", FLOAT64),
        ("visits_evolution", FLOAT64),
        ("label", STRING),
        ("code", STRING),
        ("Events_EventAction", STRING),
        ("city_name", STRING),
        ("main_url", STRING),
        ("colour", None),
        ("Referrers_visitorsFromCampaigns", None),
    ],
)
def test_a_field_has_the_same_type_in_each_report(field: str, kind: ColumnType | None) -> None:
    """None: the metadata or the values tell."""
    assert declared_type(field) is kind


def test_icons_are_presentation_and_nothing_else_is() -> None:
    assert all(
        map(is_presentation, ("logo", "logoHeight", "idsubdatatable", "browserIcon", "imageGraphUrl", "is_summary"))
    )
    assert not any(map(is_presentation, ("label", "logotype", "iconic", "segment", "url")))


@pytest.mark.parametrize(
    ("field", "column"),
    [
        ("nb_visits", "nb_visits"),
        ("Events_EventName", "Events_EventName"),
        ("segment", "segment_definition"),
        ("group", "group_"),
        ("Select", "Select_"),
        ("table", "table_"),  # reserved by DuckDB
        ("date", "date_"),
        ("_run_id", "_run_id_"),
        ("_TABLE_SUFFIX", "field__TABLE_SUFFIX"),
        ("9_lives", "field_9_lives"),
        ("a-b c", "a_b_c"),
        ("%", "field__"),
        ("é", "field__"),
    ],
)
def test_a_column_is_called_like_its_field_as_far_as_bigquery_takes_it(field: str, column: str) -> None:
    assert column_name(field) == column


def test_long_names_are_cut_and_stay_apart() -> None:
    first, second = column_name("a" * 400 + "1"), column_name("a" * 400 + "2")
    assert len(first) == len(second) == LONGEST_COLUMN
    assert first != second
    assert len(table_name("Goals.get", [("idGoal", "x" * 300)])) == LONGEST_TABLE


@pytest.mark.parametrize(
    ("method", "params", "period", "name"),
    [
        ("Events.getName", (), "day", "events_name"),
        ("VisitsSummary.get", (), "day", "visits_summary"),
        ("Actions.getPageUrlsFollowingSiteSearch", (), "day", "actions_page_urls_following_site_search"),
        ("Goals.getItemsSku", (), "week", "goals_items_sku_week"),
        ("Goals.get", (("idGoal", "ecommerceOrder"),), "day", "goals_id_goal_ecommerce_order"),
        ("API.get", (), "day", "api"),
    ],
)
def test_a_table_is_called_after_its_method(
    method: str, params: tuple[tuple[str, str], ...], period: str, name: str
) -> None:
    assert table_name(method, params, period) == name


def test_the_metadata_gives_types_and_texts_to_what_names_do_not_tell() -> None:
    """Of a processed metric a number need not be whole; a text of Matomo's is cut to what BigQuery takes."""
    metrics = (
        Metric("hits_of_it", "Hits", "How often. " * 200, "number"),
        Metric("speed", "Speed", "", "number", is_processed=True),
        Metric("price_paid", "Price", "What was paid.", "money"),
    )
    metadata = ReportMetadata("Plugin.getThings", (), "Things", "Actions", "Thing", "All things.", metrics)
    table = custom_table(ReportSpec("Plugin.getThings"), metadata=metadata)
    assert table.open is not None
    found = [new_column(table.open, metric.name) for metric in metrics]
    assert [column.type for column in found] == [INT64, FLOAT64, FLOAT64]
    assert [len(found[0].description), found[1].description, found[2].description] == [
        1_024,
        "Speed. Matomo's speed.",
        "Price: What was paid. Matomo's price_paid.",
    ]
    assert table.description == "Actions, Things. All things. Matomo's Plugin.getThings."


@pytest.mark.parametrize(
    ("names", "ranges"),
    [(["visits_percent"], False), (["nb_visits", "visits_percentage", "nb_hits"], False), (["nb_visits"], True)],
)
def test_a_report_with_shares_is_requested_day_by_day(names: list[str], *, ranges: bool) -> None:
    """Its shares are of all days of the answer; one among counts is enough."""
    metadata = ReportMetadata("A.get", (), "A", "B", "", "", tuple(Metric(name, "Visits") for name in names))
    assert custom_table(ReportSpec("A.get"), metadata=metadata).sources[0].ranges == ranges
    assert custom_table(ReportSpec("A.get")).sources[0].ranges


def test_fields_are_all_that_matomo_is_asked_for_unless_the_answer_would_change_its_shape() -> None:
    """A report of one row with one field is answered as a bare number."""
    two, one = ReportSpec("A.getB", fields=("label", "nb_visits")), ReportSpec("A.get", fields=("nb_visits",))
    assert custom_table(two).sources[0].params == (("showColumns", "label,nb_visits"),)
    assert custom_table(one, is_one_row=True).sources[0].params == ()
    assert custom_table(one).sources[0].params == (("showColumns", "nb_visits"),)


def test_the_key_of_a_table_that_is_there_is_what_may_tell_its_rows_apart() -> None:
    table = custom_table(ReportSpec("Actions.getPageUrls"))
    found = with_columns(table, ["date", "label", "url", "Events_EventName", "nb_visits", "_is_others"])
    assert found.key == ("date", "website_id", "segment", "label", "url", "Events_EventName", "_is_others")
    assert with_columns(table, ["date", "nb_visits"]).key == ("date", "website_id", "segment")


def test_all_identifiers_that_a_configuration_chooses_are_the_key() -> None:
    """Those that the program knows of a report may not be in it: of them the label alone is, before any row."""
    chosen = custom_table(ReportSpec("Events.getName", identifiers=("label", "url", "code")))
    assert chosen.key == ("date", "website_id", "segment", "label", "url", "code", "_is_others")
    known = custom_table(ReportSpec("Actions.getPageUrls"))
    assert known.key == ("date", "website_id", "segment", "label", "_is_others")
