"""GoogleSQL text of the log of deliveries.

Rows are inserted by statements and not loaded: BigQuery allows 1,500 load jobs a day and table, and a delivery a minute
writes thrice that. The rows of a statement stand in it as one JSON text, which is parsed a hundred times faster than
as many rows of literals.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta

from matomo_fn.catalogue import EVENTS_LOG, Column, ColumnType, Schema
from matomo_fn.values import encode
from matomo_fn.warehouse.sql import literal, table_name

# Bytes of the JSON text of one statement as a literal, and of one text in it: of a longer one the end is left out. A
# statement has at most 1 MB: https://cloud.google.com/bigquery/quotas#query_jobs
_MOST_BYTES, _LONGEST_TEXT = 900_000, 800_000
_HARMLESS = 100_000  # characters, each of which takes at most eight bytes
_VALUES = {
    ColumnType.DATE: "cast({} as date)",
    ColumnType.TIMESTAMP: "cast({} as timestamp)",
    ColumnType.STRING: "{}",
}

Row = Mapping[str, str | date | datetime | None]


def insert_rows(dataset: str, schema: Schema, rows: Iterable[Row]) -> Iterator[str]:
    """Yield the statements that append rows; times have to know their time zone. Columns that a row lacks are NULL."""
    names = ", ".join(schema.column_names)
    values = ", ".join(_value(column) for column in schema.columns)
    for text in _packed([encode(_plain(row)) for row in rows]):
        yield (
            f"insert into {table_name(dataset, schema.name)} ({names}) select {values} "
            f"from unnest(json_query_array({literal(text)}, '$')) as r"
        )


def steps_of(dataset: str, connector: str, messages: Sequence[str], since: date) -> Iterator[str]:
    """Yield the queries for what the log has of some messages since a day.

    Columns: message_id, batch_id, status, logged_at, valid_until.
    """
    for text in _packed([encode(_clean(message)) for message in messages]):
        yield (
            "select l.message_id, l.batch_id, l.status, l.logged_at, l.valid_until "
            f"from {table_name(dataset, EVENTS_LOG.name)} l "
            f"where l.connector = {literal(connector)} and l.date >= {literal(since)} and l.message_id in "
            f"(select json_value(i, '$') from unnest(json_query_array({literal(text)}, '$')) as i)"
        )


def deliveries_of(dataset: str, connector: str, since: date, now: datetime, rejected_since: datetime) -> str:
    """Return the query for how the deliveries of a connector stand.

    Columns: last_logged, uncertain (messages that a batch began to send, whose time is over, and did not say how that
    ended), rejected (messages that were rejected after a time).
    """
    return (
        "select max(m.last_logged) as last_logged, countif(m.is_open and not m.is_done) as uncertain, "
        f"countif(m.rejected_at >= {literal(rejected_since)}) as rejected from ("
        "select b.message_id, max(b.last_logged) as last_logged, logical_or(b.is_done) as is_done, "
        f"logical_or(not b.is_closed and (b.is_lost or b.last_valid < {literal(now)})) as is_open, "
        "max(b.rejected_at) as rejected_at from ("
        "select l.message_id, l.batch_id, max(l.logged_at) as last_logged, max(l.valid_until) as last_valid, "
        "countif(l.status != 'sending') > 0 as is_closed, countif(l.error is not null) > 0 as is_lost, "
        "countif(l.status in ('sent', 'rejected', 'skipped')) > 0 as is_done, "
        "max(if(l.status = 'rejected', l.logged_at, null)) as rejected_at "
        f"from {table_name(dataset, EVENTS_LOG.name)} l "
        f"where l.connector = {literal(connector)} and l.date >= {literal(since)} "
        "group by l.message_id, l.batch_id) b group by b.message_id) m"
    )


def first_kept(now: datetime, dedupe_days: int) -> date:
    """Return the first day of the log that is looked at."""
    return now.date() - timedelta(days=dedupe_days)


def _value(column: Column) -> str:
    return _VALUES[column.type].format(f"json_value(r, '$.{column.name}')") + f" as {column.name}"


def _plain(row: Row) -> dict[str, str]:
    """Return a row's values as texts, without those that are NULL."""
    return {name: _text(value) for name, value in row.items() if value is not None}


def _text(value: str | date | datetime) -> str:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="microseconds")
    return str(value) if isinstance(value, date) else _clean(value)


def _clean(text: str) -> str:
    """Return a text without halves of surrogate pairs and NUL, and no longer than a statement takes."""
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\0", "\ufffd")
    while len(text) > _HARMLESS and len(literal(encode(text)).encode()) > _LONGEST_TEXT:
        text = text[: len(text) * 3 // 4]
    return text


def _packed(texts: Sequence[str]) -> Iterator[str]:
    """Yield JSON lists of JSON texts, in order, each list no longer than a statement takes."""
    part: list[str] = []
    size = 0
    for text in texts:
        length = len(literal(text).encode()) + 1
        if part and size + length > _MOST_BYTES:
            yield f"[{','.join(part)}]"
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield f"[{','.join(part)}]"
