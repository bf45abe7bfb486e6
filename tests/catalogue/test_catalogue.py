"""The catalogue as data: what has to hold for every table, the ones to come included."""

from __future__ import annotations

import re

import pytest

from matomo_fn.catalogue import (
    EXTENDED,
    IS_OTHERS,
    PREBUILT,
    SLICE_COLUMNS,
    STAMP_COLUMNS,
    SYNC_LOG,
    ColumnType,
    Source,
    Table,
)

# The published tables, written down once more; what is added to them needs no line here.
NAMES = [
    "visitor_country",
    "visitor_device_type",
    "visitor_language",
    "behaviour_page",
    "behaviour_event",
    "acquisition_campaign",
    "acquisition_channel_type",
    "acquisition_referrer",
    "visits_summary",
    "actions_summary",
    "referrers",
    "countries",
]
KEYS = {
    "visitor_country": ["country"],
    "visitor_device_type": ["device_type"],
    "visitor_language": ["language"],
    "behaviour_page": ["page_url"],
    "behaviour_event": ["event_category"],
    "acquisition_campaign": ["campaign_name"],
    "acquisition_channel_type": ["channel_type"],
    "acquisition_referrer": ["referrer", "referrer_type"],
    "visits_summary": [],
    "actions_summary": [],
    "referrers": ["label", "referer_type"],
    "countries": ["label"],
}
every_table = pytest.mark.parametrize("table", EXTENDED.values(), ids=EXTENDED)


def test_the_prebuilt_tables_are_those_of_the_catalogue() -> None:
    """The published ones are there, marketing tables first, then the summary tables, among whatever was added."""
    assert [name for name in PREBUILT if name in NAMES] == NAMES
    assert [table.name for table in PREBUILT.values()] == list(PREBUILT)


@every_table
def test_every_table_has_the_slice_first_and_the_stamps_last(table: Table) -> None:
    """In the order that the documentation gives."""
    names = [column.name for column in table.columns]
    others = [] if table.is_one_row else ["_is_others"]
    assert names[:3] == ["date", "website_id", "segment"]
    assert names[-2 - len(others) :] == [*others, "_synced_at", "_run_id"]
    assert len(set(names)) == len(names)
    assert table.columns == (*table.staged, *STAMP_COLUMNS)
    assert table.staged == (*SLICE_COLUMNS, *table.parsed)


@every_table
def test_the_key_is_the_slice_and_the_dimensions_that_identify_a_row(table: Table) -> None:
    """And _is_others, which alone tells Matomo's sum from a row of that name."""
    others = [] if table.is_one_row else ["_is_others"]
    dimensions = KEYS.get(table.name, [column.name for column in table.dimensions[: table.key_dimensions]])
    assert list(table.key) == ["date", "website_id", "segment", *dimensions, *others]
    assert set(table.key) <= {column.name for column in table.columns}


@every_table
def test_every_column_comes_from_somewhere(table: Table) -> None:
    """From a field, or a constant of each source; page_title comes with the visits."""
    for column in (*table.dimensions, *table.metrics):
        constants = [column.name in dict(source.constants) for source in table.sources]
        assert column.source or all(constants) or (table.name, column.name) == ("behaviour_page", "page_title")
        assert not (column.source and any(constants))


@every_table
def test_counts_and_amounts_are_0_where_absent_and_the_rest_is_null(table: Table) -> None:
    """An average or a bound of nothing is not 0, and a dimension is no number of things."""
    for column in table.parsed:
        if column.absent == "":
            assert column.type is ColumnType.STRING
            assert column.name in table.key
        elif column.absent is not None:
            assert column.absent == 0
            assert column.type in (ColumnType.INT64, ColumnType.FLOAT64)
            assert column in table.metrics or (table.name, column.name) == ("referrers", "referer_type")
    nulls = {column.name for column in table.metrics if column.absent is None}
    never = {"conversions", "revenue"} if table.name == "visitor_language" else set()
    assert nulls - never <= {
        "max_actions",
        "goals",
        "event_value_avg",
        "bounce_rate",
        "nb_actions_per_visit",
        "avg_time_on_site",
        "pages_per_search",
        "average_price",
        "average_quantity",
        *(column.name for column in EXTENDED["page_performance"].metrics),
    }


@every_table
def test_every_column_and_table_is_described_in_a_sentence(table: Table) -> None:
    """The descriptions stand in BigQuery; a column of Matomo's says which field it is."""
    assert table.description
    for column in table.columns:
        assert re.fullmatch(r"[A-Z].+\.", column.description.strip(), re.DOTALL), column
        if column.source:
            assert f"Matomo's {column.source}" in column.description


@every_table
def test_the_schema_is_clustered_by_the_site_and_the_leading_dimension(table: Table) -> None:
    """At most four cluster columns are allowed, and they have to be columns."""
    clustering = table.schema.clustering
    assert clustering == ("website_id", *(column.name for column in table.dimensions[:1]))
    assert set(clustering) <= set(table.schema.column_names)
    assert table.schema.partitioned
    assert (table.schema.name, table.schema.key) == (table.name, table.key)


@every_table
def test_names_are_those_that_bigquery_takes(table: Table) -> None:
    """Letters, digits and underscores; no prefix that BigQuery keeps for itself."""
    for name in (table.name, *(column.name for column in table.columns)):
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,299}", name)
        assert not re.match(r"_(TABLE_|FILE_|PARTITION|ROW_TIMESTAMP|COLIDENTIFIER)", name, re.IGNORECASE)


@every_table
def test_key_columns_are_required(table: Table) -> None:
    """A NULL in a key compares with nothing."""
    required = {column.name for column in table.columns if column.required}
    assert set(table.key) <= required
    assert IS_OTHERS.required


@every_table
def test_a_table_has_no_two_sources_of_one_call(table: Table) -> None:
    """The same rows would come twice."""
    assert len({source.call for source in table.sources}) == len(table.sources)


def test_a_call_is_a_method_and_its_parameters() -> None:
    """How its rows are read makes no other call."""
    assert Source("A.b", constants=(("c", "d"),), only=("x", 1)).call == Source("A.b").call
    assert Source("A.b", (("flat", "1"),)).call != Source("A.b").call


def test_only_the_report_that_refuses_ranges_is_requested_day_by_day() -> None:
    """days_Referrers.getAll: "with multiple sites or dates is not supported"."""
    alone = {source.method for table in EXTENDED.values() for source in table.sources if not source.ranges}
    assert alone == {"Referrers.getAll"}


def test_the_log_has_a_slice_in_every_row() -> None:
    """Partitioned by the slice's own day, so that a daily run costs the same in its tenth year."""
    assert SYNC_LOG.partitioned
    assert {"date", "connector", "table_name", "website_id", "segment", "status"} <= set(SYNC_LOG.column_names)


def test_no_table_of_the_catalogue_takes_a_name_of_the_projects_own() -> None:
    """Names with an underscore in front are for record keeping and staging."""
    assert not [name for name in EXTENDED if name.startswith("_")]
