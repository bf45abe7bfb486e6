"""GoogleSQL text of the leases: which run holds which part of a connector's calls to Matomo.

All times are the warehouse's, and what is read are ages: the clocks of those who hold a lease do not count.
"""

from collections.abc import Mapping
from datetime import datetime

from matomo_fn.catalogue import SYNC_LEASES
from matomo_fn.warehouse.sql import literal, table_name

# Days of the table that are read. A row counts for minutes, and one written before midnight also behind it.
_DAYS = 1
Value = str | int | bool | datetime | None
_TIMES = ("date", "written_at", "expires_at")


def insert_lease(dataset: str, row: Mapping[str, Value], seconds: int) -> str:
    """Return the statement that appends a row, which has all columns but its times; it expires after ``seconds``."""
    names = [name for name in SYNC_LEASES.column_names if name not in _TIMES]
    values = [
        "current_date()",
        *(_literal(row[name]) for name in names),
        "current_timestamp()",
        f"timestamp_add(current_timestamp(), interval {seconds} second)",
    ]
    columns = ["date", *names, "written_at", "expires_at"]
    return f"insert into {table_name(dataset, SYNC_LEASES.name)} ({', '.join(columns)}) values ({', '.join(values)})"


def leases_of(dataset: str, connector: str, seconds: int) -> str:
    """Return the query for the rows of a connector's runs that were written in the last ``seconds``.

    Columns: those of the table but for its times, and in milliseconds age_ms, since it was written, and left_ms, until
    it expires.
    """
    names = ", ".join(f"l.{name}" for name in SYNC_LEASES.column_names if name not in (*_TIMES, "connector"))
    return (
        f"select {names}, timestamp_diff(current_timestamp(), l.written_at, millisecond) as age_ms, "
        "timestamp_diff(l.expires_at, current_timestamp(), millisecond) as left_ms "
        f"from {table_name(dataset, SYNC_LEASES.name)} l where l.connector = {literal(connector)} "
        f"and l.date >= date_sub(current_date(), interval {_DAYS} day) "
        f"and l.written_at > timestamp_sub(current_timestamp(), interval {seconds} second)"
    )


def _literal(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else literal(value)
