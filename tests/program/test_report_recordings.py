"""Every recording of a report in the catalogue, from the bytes to the rows: nothing dropped, invented or mistyped."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import EXTENDED, PREBUILT, Column, ColumnType, Source, Table
from matomo_fn.errors import InvalidResponse, MatomoError
from matomo_fn.extract.report_rows import ParsedSlice, parse_slice
from tests.support.recordings import Recording, all_recordings, answers_of, error_of, read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# ---------------------------------------------------------------------------------------------------------------------
# The other reader: the published tables written down once more, as (column, Matomo's field, kind). It shares nothing
# with the parser and the catalogue: numbers are read by Decimal. A table that is not written down here is read by
# what the catalogue says of its columns, so that adding one needs no line in this file.

ENGAGEMENT = [
    ("visits", "nb_visits", "count"),
    ("users", "nb_uniq_visitors", "count"),
    ("actions", "nb_actions", "count"),
    ("bounces", "bounce_count", "count"),
    ("conversions", "nb_conversions", "count"),
    ("converted_visits", "nb_visits_converted", "count"),
    ("total_visit_length", "sum_visit_length", "count"),
    ("revenue", "revenue", "amount"),
]
ROW_METRICS = [
    ("nb_uniq_visitors", "nb_uniq_visitors", "count"),
    ("nb_visits", "nb_visits", "count"),
    ("nb_actions", "nb_actions", "count"),
    ("nb_users", "nb_users", "count"),
    ("max_actions", "max_actions", "bound"),
    ("sum_visit_length", "sum_visit_length", "count"),
    ("bounce_count", "bounce_count", "count"),
    ("nb_visits_converted", "nb_visits_converted", "count"),
]
CONVERSIONS = [
    ("nb_conversions", "nb_conversions", "count"),
    ("revenue", "revenue", "amount"),
    ("goals", "goals", "document"),
]
OTHERS = [("_is_others", "", "others")]
EXPECTED: dict[str, list[tuple[str, str, str]]] = {
    "visitor_country": [("country", "label", "text"), ("country_code", "code", "text"), *ENGAGEMENT, *OTHERS],
    "visitor_device_type": [("device_type", "label", "text"), *ENGAGEMENT, *OTHERS],
    "visitor_language": [
        ("language", "label", "text"),
        *ENGAGEMENT[:4],
        ("conversions", "nb_conversions", "bound"),
        *ENGAGEMENT[5:7],
        ("revenue", "revenue", "average"),
        *OTHERS,
    ],
    "behaviour_page": [
        ("page_url", "url|label", "text"),
        ("page_title", "", "nothing"),
        ("pageviews", "nb_hits", "count"),
        ("unique_pageviews", "nb_visits", "count"),
        ("entrances", "entry_nb_visits", "count"),
        ("entry_actions", "entry_nb_actions", "count"),
        ("entry_bounces", "entry_bounce_count", "count"),
        ("exits", "exit_nb_visits", "count"),
        ("total_time_spent", "sum_time_spent", "count"),
        ("visits_following_search", "nb_hits_following_search", "count"),
        *OTHERS,
    ],
    "behaviour_event": [
        ("event_category", "label", "text"),
        ("events", "nb_events", "count"),
        ("unique_events", "nb_visits", "count"),
        ("events_with_value", "nb_events_with_value", "count"),
        ("event_value_sum", "sum_event_value", "amount"),
        ("event_value_avg", "avg_event_value", "average"),
        *OTHERS,
    ],
    "acquisition_campaign": [("campaign_name", "label", "text"), *ENGAGEMENT, *OTHERS],
    "acquisition_channel_type": [
        ("channel_type", "label", "text"),
        ("channel_type_id", "referrer_type", "bound"),
        *ENGAGEMENT,
        *OTHERS,
    ],
    "acquisition_referrer": [
        ("referrer", "label", "text"),
        ("referrer_type", "", "channel"),
        ("referrer_url", "url", "text"),
        *ENGAGEMENT,
        *OTHERS,
    ],
    "visits_summary": [
        *ROW_METRICS,
        ("bounce_rate", "bounce_rate", "average"),
        ("nb_actions_per_visit", "nb_actions_per_visit", "average"),
        ("avg_time_on_site", "avg_time_on_site", "average"),
    ],
    "actions_summary": [
        ("nb_pageviews", "nb_pageviews", "count"),
        ("nb_uniq_pageviews", "nb_uniq_pageviews", "count"),
        ("nb_downloads", "nb_downloads", "count"),
        ("nb_uniq_downloads", "nb_uniq_downloads", "count"),
        ("nb_outlinks", "nb_outlinks", "count"),
        ("nb_uniq_outlinks", "nb_uniq_outlinks", "count"),
        ("nb_searches", "nb_searches", "count"),
        ("nb_keywords", "nb_keywords", "count"),
    ],
    "referrers": [
        ("label", "label", "text"),
        ("referer_type", "referer_type", "count"),
        ("url", "url", "text"),
        ("logo", "logo", "text"),
        ("segment_definition", "segment", "text"),
        *ROW_METRICS,
        *CONVERSIONS,
        *OTHERS,
    ],
    "countries": [
        ("label", "label", "text"),
        ("code", "code", "text"),
        ("logo", "logo", "text"),
        ("logoHeight", "logoHeight", "bound"),
        ("segment_definition", "segment", "text"),
        *ROW_METRICS,
        *CONVERSIONS,
        *OTHERS,
    ],
}
CHANNELS = {
    "Referrers.getReferrerType": "Direct Entry",
    "Referrers.getSearchEngines": "Search Engines",
    "Referrers.getWebsites": "Websites",
    "Referrers.getSocials": "Social Networks",
    "Referrers.getCampaigns": "Campaigns",
}

# Fields that no column takes, and why.
_ROW = "engagement as QUANTI's tables have it: no such column"
_PAGE = "not among the published columns of behaviour_page"
_SEGMENT = "how to ask for these visits; kept where the summary tables have it"
_ICON = "the path of an icon"
_SUB = "the number of a sub table, which changes from day to day"
_FLAT = "only with flat=1, which the catalogue does not use for this report; a part of the label"
_LONG = "only on rows of weeks, months and ranges"
_ENGAGED = {"nb_users": _ROW, "max_actions": _ROW, "goals": _ROW, "segment": _SEGMENT}
_EXPANDED = {"idsubdatatable": _SUB, "subtable": "only with expanded=1"}
_TIMINGS = ("network", "server", "transfer", "dom_processing", "dom_completion", "on_load")
NOT_KEPT: dict[str, dict[str, str]] = {
    "VisitsSummary.get": {},
    "Actions.get": {},
    "UserCountry.getCountry": {
        "UserCountry_Country": _FLAT,
        "sum_daily_nb_uniq_visitors": _LONG,
        "sum_daily_nb_users": _LONG,
    },
    "DevicesDetection.getType": {**_ENGAGED, "logo": _ICON, "DevicesDetection_DeviceType": _FLAT},
    "UserLanguage.getLanguage": {
        "nb_users": _ROW,
        "max_actions": _ROW,
        "segment": _SEGMENT,
        "UserLanguage_Language": _FLAT,
    },
    "Actions.getPageUrls": {
        **{f"{kind}_time_{part}": _PAGE for kind in ("min", "max", "avg", "sum") for part in _TIMINGS},
        **{f"nb_hits_with_time_{part}": _PAGE for part in _TIMINGS},
        "avg_page_load_time": _PAGE,
        "avg_time_on_page": "total_time_spent / pageviews",
        "bounce_rate": "entry_bounces / entrances",
        "exit_rate": "exits / unique_pageviews",
        "nb_uniq_visitors": _PAGE,
        "entry_nb_uniq_visitors": _PAGE,
        "exit_nb_uniq_visitors": _PAGE,
        "entry_sum_visit_length": _PAGE,
        "goals": "never asked for: showColumns does not name it",
        "segment": _SEGMENT,
        "Actions_PageUrl": "the path of the URL that page_url has whole",
        "is_aggregate": "only with include_aggregate_rows=1",
        **_EXPANDED,
    },
    "Events.getCategory": {
        "nb_uniq_visitors": "not among the published columns of behaviour_event",
        "min_event_value": "not among the published columns of behaviour_event",
        "max_event_value": "not among the published columns of behaviour_event",
        "segment": _SEGMENT,
        "Events_EventCategory": _FLAT,
        "Events_EventAction": _FLAT,
        "is_aggregate": "only with include_aggregate_rows=1",
        **_EXPANDED,
    },
    "Referrers.getCampaigns": {**_ENGAGED, **_EXPANDED, "Referrers_Campaign": _FLAT, "Referrers_Keyword": _FLAT},
    "Referrers.getReferrerType": {**_ENGAGED, **_EXPANDED},
    "Referrers.getSearchEngines": {
        **_ENGAGED,
        "logo": _ICON,
        "idsubdatatable": _SUB,
        "Referrers_SearchEngine": _FLAT,
        "Referrers_Keyword": _FLAT,
    },
    "Referrers.getWebsites": {
        **_ENGAGED,
        **_EXPANDED,
        "Referrers_Website": _FLAT,
        "Referrers_WebsitePage": _FLAT,
    },
    "Referrers.getSocials": {
        "nb_users": _ROW,
        "max_actions": _ROW,
        "segment": _SEGMENT,
        "logo": _ICON,
        "idsubdatatable": _SUB,
        "Referrers_SocialNetwork": _FLAT,
        "Referrers_WebsitePage": _FLAT,
    },
    "Referrers.getAll": {"Referrers_Referrer": _FLAT, "is_summary": "flat=1 only: _is_others says it"},
}


def kind_of(column: Column) -> str:
    """The kind of a column of a table that is not written down here."""
    if column.type is ColumnType.BOOL:
        return "others"
    if column.type is ColumnType.INT64:
        return "bound" if column.absent is None else "count"
    if column.type is ColumnType.FLOAT64:
        return "average" if column.absent is None else "amount"
    return "document" if column.type is ColumnType.JSON else "text"


def expected_columns(table: Table) -> list[tuple[str, str, str]]:
    """The columns of a table as (column, Matomo's field, kind); fields that may stand in for one another by ``|``."""
    return EXPECTED.get(table.name) or [
        (column.name, f"{column.source}|{column.fallback}".strip("|"), kind_of(column)) for column in table.parsed
    ]


def plain(value: Any) -> Any:
    """A document of JSON with floats again where Decimal was read."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def number(value: Any) -> Decimal:
    """What a person reads: the number itself, or the share that a percentage stands for."""
    text = str(value)
    return Decimal(text[:-1].strip()) / 100 if text.endswith("%") else Decimal(text)


def cell(row: dict[str, Any], field: str, kind: str, method: str) -> Any:
    """One cell as a person would write it down, with its type."""
    fields = [name for name in field.split("|") if row.get(name) is not None]
    value = row[fields[0]] if fields else None
    if kind == "others":
        return row.get("label") == "Others" and "segment" not in row
    if kind == "channel":
        return CHANNELS[method]
    if kind == "nothing":
        return None
    if value is None:
        return {"count": 0, "amount": 0.0}.get(kind)
    if kind in ("count", "bound"):
        assert number(value) == int(number(value))
        return int(number(value))
    if kind in ("amount", "average"):
        return float(number(value))
    return plain(value)


def read_by_hand(table: Table, source: Source, answer: Any) -> list[dict[str, Any]]:
    """The rows of one day that a reader of the answer would write down."""
    columns = expected_columns(table)
    if table.is_one_row and answer == []:
        answer = {field: 0 for _, field, _ in columns}
    rows = answer if isinstance(answer, list) else [answer]
    if (table.name, source.method) == ("acquisition_referrer", "Referrers.getReferrerType"):
        rows = [row for row in rows if row["label"] == "Direct Entry"]
    return [{name: cell(row, field, kind, source.method) for name, field, kind in columns} for row in rows]


def typed(rows: list[dict[str, Any]]) -> list[list[tuple[str, str, str]]]:
    """Rows in a form that compares names, types and values of cells, without an order among rows."""

    def one(name: str, value: Any) -> tuple[str, str, str]:
        shown = json.dumps(value, sort_keys=True) if isinstance(value, dict | list) else repr(value)
        return name, type(value).__name__, shown

    return sorted([one(name, value) for name, value in row.items()] for row in rows)


# ---------------------------------------------------------------------------------------------------------------------
# What the client and the shaping make of them.


def uses(method: str) -> Iterator[tuple[Table, Source]]:
    """Every table that takes rows of a method, with its source; what is summed up by goal has tests of its own."""
    for table in EXTENDED.values():
        for source in table.sources:
            if source.method == method and not source.by_goal:
                yield table, source


CATALOGUE_METHODS = {source.method for table in EXTENDED.values() for source in table.sources}
# Recordings of other periods than days, and of segments: test_period_recordings.py compares them.
OF_PERIODS = ("m53_weeks_", "m53_months_", "m53_years_", "m53_week_", "m53_range_", "m53_seg_")
RECORDED = {
    one.name: one for one in all_recordings() if one.method in CATALOGUE_METHODS and not one.name.startswith(OF_PERIODS)
}


def shaped_days(recording: Recording, table: Table, source: Source) -> list[ParsedSlice]:
    """The rows of each recorded day; raises the error that stands in the place of a day."""
    days = []
    for _, answer in answers_of(recording, source):
        if isinstance(answer, MatomoError):
            raise answer
        days.append(parse_slice(table, [(source, answer)]))
    return days


def rows_of(shaped: ParsedSlice) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shaped.lines]


# Recordings that give rows: how many on each day. (acquisition_referrer takes one row of getReferrerType.)
ROWS: dict[str, tuple[int, ...]] = {
    "accept_language_header.json": (3,),
    "accept_language_number_format.json": (1,),
    "aggregate_rows_getCategory_flat.json": (13,),
    "aggregate_rows_getPageUrls_flat.json": (597,),
    "before_creation_day.json": (1,),
    "before_creation_days.json": (0, 0, 0),
    "columns_VisitsSummary.get_two.json": (1,),
    "date_today_site_in_paris.json": (1,),
    "date_yesterday_site_in_paris.json": (1,),
    "daterange_one_day.json": (10,),
    "day_Actions.get.json": (1,),
    "day_Actions.getPageUrls.json": (17,),
    "day_DevicesDetection.getType.json": (14,),
    "day_Events.getCategory.json": (5,),
    "day_Referrers.getAll.json": (14,),
    "day_Referrers.getCampaigns.json": (3,),
    "day_Referrers.getReferrerType.json": (5,),
    "day_Referrers.getSearchEngines.json": (6,),
    "day_Referrers.getSocials.json": (3,),
    "day_Referrers.getWebsites.json": (4,),
    "day_UserCountry.getCountry.json": (10,),
    "day_UserLanguage.getLanguage.json": (7,),
    "day_VisitsSummary.get.json": (1,),
    "days_Actions.get.json": (1, 1, 1, 1, 1, 1),
    "days_DevicesDetection.getType.json": (3, 4, 0, 0, 4, 5),
    "days_Events.getCategory.json": (5, 5, 0, 0, 4, 5),
    "days_Referrers.getCampaigns.json": (1, 3, 0, 0, 4, 3),
    "days_Referrers.getReferrerType.json": (5, 5, 0, 0, 5, 5),
    "days_UserCountry.getCountry.json": (9, 9, 0, 0, 10, 10),
    "days_VisitsSummary.get.json": (1, 1, 1, 1, 1, 1),
    "days_VisitsSummary.get_format0.json": (1, 1, 1, 1, 1, 1),
    "days_flat_Actions.getPageUrls.json": (24, 24, 0, 0, 24, 23),
    "days_flat_Events.getCategory.json": (6, 7, 0, 0, 7, 7),
    "days_limit_applies_per_day.json": (2, 2, 0, 0, 2, 2),
    "days_offset_per_day.json": (4, 4, 0, 0, 5, 5),
    "emptyday_Actions.get.json": (1,),
    "emptyday_DevicesDetection.getType.json": (0,),
    "emptyday_UserCountry.getCountry.json": (0,),
    "emptyday_VisitsSummary.get.json": (1,),
    "error_bad_date_feb30.json": (1,),
    "error_bad_segment_view_denied.json": (1,),
    "error_filter_limit_-5.json": (10,),
    "error_filter_limit_text.json": (10,),
    "error_multipart.json": (1,),
    "error_range_reversed.json": (1,),
    "expanded_Actions.getPageUrls.json": (17,),
    "expanded_Events.getCategory.json": (5,),
    "expanded_Referrers.getCampaigns.json": (3,),
    "expanded_Referrers.getReferrerType.json": (5,),
    "expanded_Referrers.getWebsites.json": (4,),
    "flat_Actions.getPageUrls.json": (25,),
    "flat_DevicesDetection.getType.json": (14,),
    "flat_Events.getCategory.json": (8,),
    "flat_Referrers.getAll.json": (14,),
    "m53_cols_urls_full.json": (30, 30),
    "m53_cols_urls_show.json": (30, 30),
    "m53_getAll_others.json": (17,),
    "m53_late_1_before.json": (1,),
    "m53_late_2_after_tracking.json": (1,),
    "m53_late_3_after_core_archive.json": (1,),
    "flat_Referrers.getCampaigns.json": (3,),
    "flat_Referrers.getReferrerType.json": (5,),
    "flat_Referrers.getSearchEngines.json": (6,),
    "flat_Referrers.getSocials.json": (3,),
    "flat_Referrers.getWebsites.json": (4,),
    "flat_UserCountry.getCountry.json": (10,),
    "flat_UserLanguage.getLanguage.json": (7,),
    "flat_dimensions_getCategory.json": (8,),
    "flat_dimensions_getWebsites.json": (4,),
    "format_metrics-0_Actions.getPageUrls.json": (25,),
    "format_metrics-0_Events.getCategory.json": (5,),
    "format_metrics-0_UserCountry.getCountry.json": (10,),
    "format_metrics-0_VisitsSummary.get.json": (1,),
    "format_metrics-1_Actions.getPageUrls.json": (25,),
    "format_metrics-1_Events.getCategory.json": (5,),
    "format_metrics-1_UserCountry.getCountry.json": (10,),
    "format_metrics-all_Actions.getPageUrls.json": (25,),
    "format_metrics-all_Events.getCategory.json": (5,),
    "format_metrics-all_UserCountry.getCountry.json": (10,),
    "future_day_country.json": (0,),
    "future_day_summary.json": (1,),
    "future_days.json": (1, 1, 1),
    "hideColumnsRecursively_getPageUrls.json": (2,),
    "hideColumns_UserCountry.getCountry.json": (10,),
    "hideIdSubDatable_getCategory.json": (5,),
    "keep_totals_row.json": (10,),
    "labels_filter_pattern.json": (1,),
    "language_fr_VisitsSummary.json": (1,),
    "language_fr_getCountry.json": (10,),
    "language_fr_getType.json": (14,),
    "language_param_beats_header.json": (3,),
    "last7_VisitsSummary.get.json": (1, 1, 1, 1, 1, 1, 1),
    "late_1_before.json": (1,),
    "late_2_after_tracking.json": (1,),
    "late_3_after_core_archive.json": (1,),
    "late_4_browser_before.json": (1,),
    "late_5_browser_after_tracking.json": (1,),
    "late_6_browser_today.json": (1,),
    "late_7_browser_today_after_tracking.json": (1,),
    "limit_-1_getPageUrls_flat.json": (572,),
    "limit_0_getPageUrls_flat.json": (0,),
    "limit_50_offset_0.json": (50,),
    "limit_50_offset_50.json": (50,),
    "limit_50_offset_5000_past_end.json": (0,),
    "limit_default_config_5.json": (5,),
    "limit_default_getPageUrls_flat.json": (100,),
    "month_VisitsSummary.get.json": (1,),
    "periodrange_UserCountry.getCountry.json": (11,),
    "periodrange_VisitsSummary.get.json": (1,),
    "pivotBy_none_translateColumnNames.json": (1,),
    "previous7_VisitsSummary.get.json": (1, 1, 1, 1, 1, 1, 1),
    "range_into_future.json": (1, 1, 1, 1, 1, 1, 1, 1),
    "range_to_today.json": (1, 1, 1, 1),
    "range_to_yesterday.json": (1, 1, 1),
    "segment_complex.json": (8,),
    "segment_day.json": (1,),
    "segment_days.json": (1, 1, 1, 1, 1, 1),
    "segment_nothing_matches.json": (1,),
    "segment_nothing_matches_table.json": (0,),
    "showColumns_UserCountry.getCountry.json": (10,),
    "showColumns_missing.json": (10,),
    "site3_days.json": (1, 1, 1, 1, 1, 1),
    "site3_never_visited_day.json": (0,),
    "site3_never_visited_summary.json": (1,),
    "sort_getCountry.json": (10,),
    "spike_nested_getPageUrls.json": (18,),
    "token_get_ok.json": (1,),
    "token_post_params_in_url.json": (1,),
    "token_secure_post_ok.json": (1,),
    "truncate_10_getPageUrls_flat.json": (11,),
    "truncate_3_getCountry.json": (4,),
    "unprocessed_no_archive_daterange_UserCountry.getCountry.json": (0, 0, 0),
    "unprocessed_no_archive_daterange_VisitsSummary.get.json": (1, 1, 1),
    "unprocessed_no_archive_day_Actions.get.json": (1,),
    "unprocessed_no_archive_day_UserCountry.getCountry.json": (0,),
    "unprocessed_no_archive_day_VisitsSummary.get.json": (1,),
    "unprocessed_no_archive_range_VisitsSummary.get.json": (1,),
    "unprocessed_no_archive_segment_day.json": (1,),
    "unprocessed_no_archive_week.json": (1,),
    "unprocessed_segment_enforced_daterange.json": (0, 0),
    "unprocessed_segment_enforced_day.json": (1,),
    "unprocessed_segment_enforced_getCountry.json": (0,),
    "unprocessed_today_VisitsSummary.get.json": (1,),
    "week_UserCountry.getCountry.json": (11,),
}

_NO_FIELDS = (InvalidResponse, "VisitsSummary.get answers an object without any of its fields")
_NO_LIST = (InvalidResponse, "UserCountry.getCountry answers an object where a list of rows belongs")
_PRETTY = (InvalidResponse, 'VisitsSummary.get: row 1 (no label): avg_time_on_site is "6 min 13s", not a number')

# Recordings whose answer is neither an error of Matomo nor rows of the report: our error, and how it begins.
REFUSED: dict[str, tuple[type[MatomoError], str]] = {
    "columns_VisitsSummary.get_one.json": _NO_FIELDS,
    "days_one_column_VisitsSummary.get.json": (
        InvalidResponse,
        "VisitsSummary.get answers 36 where an object of numbers belongs",
    ),
    "format_metrics-1_VisitsSummary.get.json": _PRETTY,
    "format_metrics-all_VisitsSummary.get.json": _PRETTY,
    "format_metrics-1_Goals.getItemsSku.json": (InvalidResponse, 'Goals.getItemsSku: row 1 ("SKU-002"): '),
    "format_metrics-all_Goals.getItemsSku.json": (InvalidResponse, 'Goals.getItemsSku: row 1 ("SKU-002"): '),
    "months_VisitsSummary.get.json": _NO_FIELDS,
    "showColumns_label_VisitsSummary.get.json": _NO_FIELDS,
    "sites_1-2_day_UserCountry.getCountry.json": _NO_LIST,
    "sites_1-2_day_VisitsSummary.get.json": _NO_FIELDS,
    "sites_1-2_days_UserCountry.getCountry.json": _NO_LIST,
    "sites_1-2_days_VisitsSummary.get.json": _NO_FIELDS,
    "sites_all_super.json": _NO_FIELDS,
    "sites_all_view1.json": _NO_FIELDS,
    "sites_all_view12.json": _NO_FIELDS,
    "weeks_VisitsSummary.get.json": _NO_FIELDS,
}
# The method of a table that is written down here, whose recordings have to be in one of the lists.
WRITTEN_DOWN = {source.method for table in PREBUILT.values() if table.name in EXPECTED for source in table.sources}
# Recordings that are an error whatever was asked; which one and what it says, tests/matomo/test_responses.py has.
ERRORS = [name for name, recording in RECORDED.items() if error_of(recording)]


def counted(recording: Recording) -> tuple[int, ...]:
    """How many rows each day of a recording has; of a table that is written down here, as counted by hand."""
    if recording.method in WRITTEN_DOWN:
        return ROWS[recording.name]
    value = json.loads(recording.body)
    answers = list(value.values()) if recording.days else [value]
    return tuple(len(answer) if isinstance(answer, list) and answer else int(answer != []) for answer in answers)


def _uses(names: Iterable[str]) -> list[Any]:
    return [
        pytest.param(name, table, source, id=f"{name.removesuffix('.json')}-{table.name}")
        for name in names
        for table, source in uses(read(name).method)
    ]


def test_every_recording_of_a_method_that_is_written_down_has_its_expectation() -> None:
    """No recording is left out in silence: each either gives rows or an error."""
    expected = [*ROWS, *(name for name in (*REFUSED, *ERRORS) if read(name).method in WRITTEN_DOWN)]
    assert sorted(expected) == sorted(name for name, one in RECORDED.items() if one.method in WRITTEN_DOWN)


def test_every_method_but_the_one_that_the_recorded_version_lacks_is_recorded() -> None:
    """AI assistants are of Matomo 5.5 and the recordings of 5.2; every other method has recordings with rows."""
    with_rows = {read(name).method for name, counts in ROWS.items() if any(counts)}
    assert WRITTEN_DOWN - with_rows == {"Referrers.getAIAssistants"}


def test_the_tables_have_exactly_the_columns_that_the_other_reader_expects() -> None:
    """No column of a published table is outside the comparison of the cells, and no such table is gone."""
    assert {name: [c.name for c in PREBUILT[name].parsed] for name in EXPECTED} == {
        name: [column for column, _, _ in columns] for name, columns in EXPECTED.items()
    }


@pytest.mark.parametrize(("name", "table", "source"), _uses(sorted(RECORDED.keys() - {*REFUSED, *ERRORS})))
def test_cell_for_cell_a_recording_gives_the_rows_that_a_reader_would_write_down(
    name: str, table: Table, source: Source
) -> None:
    """No value is dropped, invented or left a string that is a number: cells are compared with their types."""
    recording = read(name)
    value = json.loads(recording.body, parse_float=Decimal)
    answers = list(value.values()) if recording.days else [value]
    shaped = shaped_days(recording, table, source)
    counts = counted(recording)
    assert len(shaped) == len(answers) == len(counts)
    for got, answer, count in zip(shaped, answers, counts, strict=True):
        expected = read_by_hand(table, source, answer)
        assert typed(rows_of(got)) == typed(expected)
        assert len(got.lines) == (1 if table.is_one_row else min(count, 1) if source.only else count)
        assert got.has_others == any(row.get("_is_others") for row in expected)


@pytest.mark.parametrize(("name", "table", "source"), _uses(REFUSED))
def test_a_recording_that_is_no_answer_of_the_report_gives_an_error_and_no_row(
    name: str, table: Table, source: Source
) -> None:
    """Other formats, several sites, other periods and formatted numbers end in a sentence that says why."""
    kind, sentence = REFUSED[name]
    with pytest.raises(MatomoError) as raised:
        shaped_days(read(name), table, source)
    assert type(raised.value) is kind
    assert str(raised.value).startswith(sentence)


@pytest.mark.parametrize(("name", "table", "source"), _uses(ERRORS))
def test_an_error_of_matomo_ends_the_report_as_it_is_and_gives_no_row(name: str, table: Table, source: Source) -> None:
    """Between the answer and the rows no error loses its kind or its sentence, and none becomes an empty day."""
    found = error_of(read(name))
    with pytest.raises(MatomoError) as raised:
        shaped_days(read(name), table, source)
    assert (type(raised.value), str(raised.value)) == (type(found), str(found))


def _rows_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every row of an answer, under whatever days it stands."""
    if isinstance(value, list):
        yield from (row for row in value if isinstance(row, dict))
    elif isinstance(value, dict):
        inner = list(value.values())
        if inner and all(isinstance(item, list | dict) for item in inner):
            for item in inner:
                yield from _rows_in(item)
        else:
            yield value


@pytest.mark.parametrize("method", sorted(NOT_KEPT))
def test_every_recorded_field_stands_in_a_column_or_is_left_out_for_a_reason(method: str) -> None:
    """What is not kept is known field by field; a reason for a field that never comes, or is kept, is a mistake."""
    seen = {
        field
        for name in ROWS
        if read(name).method == method
        for row in _rows_in(json.loads(read(name).body))
        for field in row
    }
    kept = {
        field
        for table, _ in uses(method)
        for _, fields, _ in expected_columns(table)
        for field in fields.split("|")
        if field
    }
    assert seen - kept == NOT_KEPT[method].keys()
    assert all(NOT_KEPT[method].values())


# ---------------------------------------------------------------------------------------------------------------------
# Typed out by hand from the files.


def _day(name: str, table: str, day: int = 0, *, method: str = "") -> list[dict[str, Any]]:
    recording = read(f"{name}.json")
    source = next(s for _, s in uses(method or recording.method) if s in PREBUILT[table].sources)
    return rows_of(shaped_days(recording, PREBUILT[table], source)[day])


def _row(name: str, table: str, day: int = 0, **key: object) -> dict[str, Any]:
    found = [row for row in _day(name, table, day) if key.items() <= row.items()]
    assert len(found) == 1
    return found[0]


def test_france_on_the_first_of_november() -> None:
    """days_UserCountry.getCountry, 2026-11-01: strings are ints, the revenue of one goal is a float."""
    assert _row("days_UserCountry.getCountry", "visitor_country", country_code="fr") == {
        "country": "France",
        "country_code": "fr",
        "visits": 13,
        "users": 13,
        "actions": 57,
        "bounces": 1,
        "conversions": 1,
        "converted_visits": 1,
        "total_visit_length": 4289,
        "revenue": 2.5,
        "_is_others": False,
    }
    assert _row("days_UserCountry.getCountry", "countries", code="fr") == {
        "label": "France",
        "code": "fr",
        "logo": "plugins/Morpheus/icons/dist/flags/xx.png",
        "logoHeight": 16,
        "segment_definition": "countryCode==fr",
        "nb_uniq_visitors": 13,
        "nb_visits": 13,
        "nb_actions": 57,
        "nb_users": 5,
        "max_actions": 9,
        "sum_visit_length": 4289,
        "bounce_count": 1,
        "nb_visits_converted": 1,
        "nb_conversions": 1,
        "revenue": 2.5,
        "goals": {"idgoal=1": {"nb_conversions": 1, "nb_visits_converted": 1, "revenue": 2.5}},
        "_is_others": False,
    }


def test_germany_has_no_conversions() -> None:
    """The second row of the same day has no goals, nb_conversions and revenue: 0, 0.0 and no document."""
    row = _row("days_UserCountry.getCountry", "countries", code="de")
    assert (row["nb_visits"], row["nb_actions"], row["nb_conversions"], row["goals"]) == (6, 36, 0, None)
    assert repr(row["revenue"]) == "0.0"


def test_the_other_countries_of_a_truncated_report() -> None:
    """truncate_3_getCountry: Matomo's "Others" is marked, has no code, and is a row like any other beside that."""
    assert _row("truncate_3_getCountry", "visitor_country", _is_others=True) == {
        "country": "Others",
        "country_code": None,
        "visits": 33,
        "users": 33,
        "actions": 507,
        "bounces": 1,
        "conversions": 3,
        "converted_visits": 3,
        "total_visit_length": 50137,
        "revenue": 38.25,
        "_is_others": True,
    }
    assert [row["country"] for row in _day("truncate_3_getCountry", "visitor_country")] == [
        "France",
        "Germany",
        "Others",
        "United States",
    ]


def test_the_other_pages_of_a_truncated_report() -> None:
    """truncate_10_getPageUrls_flat: "Others" has no URL, so its label stands for it."""
    assert _row("truncate_10_getPageUrls_flat", "behaviour_page", _is_others=True) == {
        "page_url": "Others",
        "page_title": None,
        "pageviews": 964,
        "unique_pageviews": 957,
        "entrances": 0,
        "entry_actions": 0,
        "entry_bounces": 0,
        "exits": 0,
        "total_time_spent": 0,
        "visits_following_search": 0,
        "_is_others": True,
    }


def test_the_summary_of_a_day_with_a_percentage() -> None:
    """days_VisitsSummary.get, 2026-11-01: "11%" is 0.11."""
    assert _day("days_VisitsSummary.get", "visits_summary") == [
        {
            "nb_uniq_visitors": 36,
            "nb_visits": 36,
            "nb_actions": 155,
            "nb_users": 9,
            "max_actions": 17,
            "sum_visit_length": 12614,
            "bounce_count": 4,
            "nb_visits_converted": 4,
            "bounce_rate": 0.11,
            "nb_actions_per_visit": 4.3,
            "avg_time_on_site": 350.0,
        }
    ]


def test_percent_strings_and_shares_are_the_same_slice() -> None:
    """days_VisitsSummary.get ("29%") and days_VisitsSummary.get_format0 (0.29) have the same rows and hashes."""
    table, source = next(uses("VisitsSummary.get"))
    formatted = shaped_days(read("days_VisitsSummary.get.json"), table, source)
    raw = shaped_days(read("days_VisitsSummary.get_format0.json"), table, source)
    assert formatted == raw
    assert len({one.content_hash for one in raw}) == 5  # of six days two are empty


@pytest.mark.parametrize("method", ["VisitsSummary.get", "Actions.get"])
def test_an_empty_day_is_the_same_in_range_form_and_in_single_form(method: str) -> None:
    """[] and an object of zeros give one row of zeros with the same hash: a slice does not depend on the form."""
    table, source = next(uses(method))
    in_range = shaped_days(read(f"days_{method}.json"), table, source)[2]
    assert [in_range] == shaped_days(read(f"emptyday_{method}.json"), table, source)
    assert [list(row.values()) for row in rows_of(in_range)] == [[0] * len(table.metrics)]


def test_an_event_with_a_fractional_value() -> None:
    """days_Events.getCategory, 2026-11-02: the counters are ints here and strings in the first row of 11-01."""
    assert _row("days_Events.getCategory", "behaviour_event", 1, event_category="Vidéo") == {
        "event_category": "Vidéo",
        "events": 12,
        "unique_events": 12,
        "events_with_value": 4,
        "event_value_sum": 50.0,
        "event_value_avg": 12.5,
        "_is_others": False,
    }
    assert _row("days_Events.getCategory", "behaviour_event", 0, event_category="A/B test") == {
        "event_category": "A/B test",
        "events": 7,
        "unique_events": 6,
        "events_with_value": 0,
        "event_value_sum": 0.0,
        "event_value_avg": 0.0,
        "_is_others": False,
    }


def test_direct_entries_are_a_channel_and_a_referrer() -> None:
    """day_Referrers.getReferrerType: one row feeds acquisition_channel_type and acquisition_referrer."""
    engagement = {
        "visits": 24,
        "users": 23,
        "actions": 121,
        "bounces": 3,
        "conversions": 3,
        "converted_visits": 2,
        "total_visit_length": 10566,
        "revenue": 398.95,
        "_is_others": False,
    }
    direct = {"channel_type": "Direct Entry", "channel_type_id": 1}
    assert _row("day_Referrers.getReferrerType", "acquisition_channel_type", channel_type_id=1) == direct | engagement
    referrer = {"referrer": "Direct Entry", "referrer_type": "Direct Entry", "referrer_url": None}
    assert _day("day_Referrers.getReferrerType", "acquisition_referrer") == [referrer | engagement]


def test_a_search_engine_has_its_url() -> None:
    """day_Referrers.getSearchEngines: the channel is a constant, the URL Matomo's."""
    assert _row("day_Referrers.getSearchEngines", "acquisition_referrer", referrer="Facebook") == {
        "referrer": "Facebook",
        "referrer_type": "Search Engines",
        "referrer_url": "http://www.facebook.com",
        "visits": 5,
        "users": 5,
        "actions": 10,
        "bounces": 1,
        "conversions": 1,
        "converted_visits": 1,
        "total_visit_length": 456,
        "revenue": 0.0,
        "_is_others": False,
    }


def test_a_referrer_of_the_summary_group() -> None:
    """day_Referrers.getAll: Matomo's own names, the segment under segment_definition."""
    assert _row("day_Referrers.getAll", "referrers", label="LinkedIn") == {
        "label": "LinkedIn",
        "referer_type": 7,
        "url": "linkedin.com",
        "logo": "plugins/Morpheus/icons/dist/socials/xx.png",
        "segment_definition": "referrerType==social;referrerName==LinkedIn",
        "nb_uniq_visitors": 3,
        "nb_visits": 3,
        "nb_actions": 8,
        "nb_users": 0,
        "max_actions": 4,
        "sum_visit_length": 751,
        "bounce_count": 1,
        "nb_visits_converted": 0,
        "nb_conversions": 0,
        "revenue": 0.0,
        "goals": None,
        "_is_others": False,
    }


def test_a_page_has_its_url_and_counters_that_came_as_strings() -> None:
    """flat_Actions.getPageUrls, the first row."""
    assert _row("flat_Actions.getPageUrls", "behaviour_page", page_url="https://shop.example.org/dir/") == {
        "page_url": "https://shop.example.org/dir/",
        "page_title": None,
        "pageviews": 22,
        "unique_pageviews": 19,
        "entrances": 8,
        "entry_actions": 32,
        "entry_bounces": 1,
        "exits": 4,
        "total_time_spent": 1538,
        "visits_following_search": 1,
        "_is_others": False,
    }


def test_pages_have_the_same_rows_whether_all_fields_are_requested_or_those_of_the_table() -> None:
    """A third of the bytes, and `showColumns` loses nothing of what it names."""
    table = PREBUILT["behaviour_page"]
    source = table.sources[0]
    full, shown = (read(f"m53_cols_urls_{kind}.json") for kind in ("full", "show"))
    assert set(dict(source.params)["showColumns"].split(",")) <= set(shown.params["showColumns"].split(","))
    assert shaped_days(full, table, source) == shaped_days(shown, table, source)
    assert len(shown.body) < len(full.body) / 2
