"""The catalogue: every table that can land in the dataset, as data."""

from matomo_fn.catalogue.marketing import MARKETING
from matomo_fn.catalogue.model import (
    IS_OTHERS,
    SLICE_COLUMNS,
    STAMP_COLUMNS,
    Column,
    Kind,
    Schema,
    Source,
    Table,
)
from matomo_fn.catalogue.records import SYNC_LOG, SYNC_STATE, SYNC_STATE_DESCRIPTION
from matomo_fn.catalogue.summary import SUMMARY

PREBUILT: dict[str, Table] = {table.name: table for table in (*MARKETING, *SUMMARY)}

__all__ = [
    "IS_OTHERS",
    "PREBUILT",
    "SLICE_COLUMNS",
    "STAMP_COLUMNS",
    "SYNC_LOG",
    "SYNC_STATE",
    "SYNC_STATE_DESCRIPTION",
    "Column",
    "Kind",
    "Schema",
    "Source",
    "Table",
]
