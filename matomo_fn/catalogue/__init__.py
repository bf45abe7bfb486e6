"""The catalogue: every table that can land in the dataset, as data."""

from matomo_fn.catalogue.marketing import MARKETING, PAGES
from matomo_fn.catalogue.model import (
    IS_OTHERS,
    SLICE_COLUMNS,
    STAMP_COLUMNS,
    Column,
    ColumnType,
    Schema,
    Source,
    Table,
)
from matomo_fn.catalogue.records import SYNC_LOG, SYNC_STATE, SYNC_STATE_DESCRIPTION
from matomo_fn.catalogue.summary import SUMMARY
from matomo_fn.catalogue.visits import (
    ACTION_FIELDS,
    EXCLUDABLE,
    PAGE_TITLES,
    VISIT_ACTIONS,
    VISIT_ACTIONS_DESCRIPTION,
    VISIT_ACTIONS_OF_VISIT,
    VISITS,
    visit_actions_columns,
)

PREBUILT: dict[str, Table] = {table.name: table for table in (*MARKETING, *SUMMARY)}
# Every table that a request can name.
TABLES: dict[str, Table] = PREBUILT | {VISITS.name: VISITS}

__all__ = [
    "ACTION_FIELDS",
    "EXCLUDABLE",
    "IS_OTHERS",
    "PAGES",
    "PAGE_TITLES",
    "PREBUILT",
    "SLICE_COLUMNS",
    "STAMP_COLUMNS",
    "SYNC_LOG",
    "SYNC_STATE",
    "SYNC_STATE_DESCRIPTION",
    "TABLES",
    "VISITS",
    "VISIT_ACTIONS",
    "VISIT_ACTIONS_DESCRIPTION",
    "VISIT_ACTIONS_OF_VISIT",
    "Column",
    "ColumnType",
    "Schema",
    "Source",
    "Table",
    "visit_actions_columns",
]
