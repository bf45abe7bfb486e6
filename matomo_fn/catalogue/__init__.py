"""The catalogue: every table that can land in the dataset, as data."""

from matomo_fn.catalogue.events import EVENTS_LOG, EVENTS_REJECTED
from matomo_fn.catalogue.ga4 import GA4_EVENTS
from matomo_fn.catalogue.leases import SYNC_LEASES
from matomo_fn.catalogue.model import (
    IS_OTHERS,
    SLICE_COLUMNS,
    STAMP_COLUMNS,
    WIDER,
    Catalogue,
    Column,
    ColumnType,
    Extraction,
    OpenFields,
    Schema,
    Source,
    Table,
    View,
)
from matomo_fn.catalogue.periods import table_of
from matomo_fn.catalogue.prebuilt import BUILT_IN, EXTENDED, PREBUILT, REPORT_SETS, VISIT_COUNTS
from matomo_fn.catalogue.quality import SYNC_QUALITY, Adds, adds, visits_column
from matomo_fn.catalogue.records import SYNC_LOG, SYNC_RUNS, SYNC_STATE, SYNC_STATE_DESCRIPTION
from matomo_fn.catalogue.reference import IS_DELETED, REFERENCE_STAMPS, REFERENCE_TABLES, ReferenceTable
from matomo_fn.catalogue.visits import (
    ACTION_FIELDS,
    CONVERSIONS,
    EXCLUDABLE,
    ORDER_ITEMS,
    PAGE_TITLES,
    TITLE_SOURCES,
    VISIT_ACTIONS,
    VISITS,
)

__all__ = [
    "ACTION_FIELDS",
    "BUILT_IN",
    "CONVERSIONS",
    "EVENTS_LOG",
    "EVENTS_REJECTED",
    "EXCLUDABLE",
    "EXTENDED",
    "GA4_EVENTS",
    "IS_DELETED",
    "IS_OTHERS",
    "ORDER_ITEMS",
    "PAGE_TITLES",
    "PREBUILT",
    "REFERENCE_STAMPS",
    "REFERENCE_TABLES",
    "REPORT_SETS",
    "SLICE_COLUMNS",
    "STAMP_COLUMNS",
    "SYNC_LEASES",
    "SYNC_LOG",
    "SYNC_QUALITY",
    "SYNC_RUNS",
    "SYNC_STATE",
    "SYNC_STATE_DESCRIPTION",
    "TITLE_SOURCES",
    "VISITS",
    "VISIT_ACTIONS",
    "VISIT_COUNTS",
    "WIDER",
    "Adds",
    "Catalogue",
    "Column",
    "ColumnType",
    "Extraction",
    "OpenFields",
    "ReferenceTable",
    "Schema",
    "Source",
    "Table",
    "View",
    "adds",
    "table_of",
    "visits_column",
]
