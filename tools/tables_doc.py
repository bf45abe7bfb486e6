"""Writes docs/tables.md from the catalogue, so that the document says what the program does."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from matomo_fn.catalogue import (
    BUILT_IN,
    EVENTS_LOG,
    EVENTS_REJECTED,
    REFERENCE_TABLES,
    SYNC_LEASES,
    SYNC_LOG,
    SYNC_QUALITY,
    SYNC_RUNS,
    SYNC_STATE,
    SYNC_STATE_DESCRIPTION,
    Column,
    Schema,
    Source,
    Table,
)

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "tables.md"

_RECORDS = (SYNC_LOG, SYNC_RUNS, SYNC_QUALITY, SYNC_LEASES, EVENTS_LOG, EVENTS_REJECTED)

_HEAD = """\
# Tables

<!-- Made from the catalogue by `make docs`; a change by hand is lost. -->

Every table of the dataset, as the program creates it. Primary keys are declared and, as everywhere in BigQuery, not
enforced. The program checks each slice for double keys before it writes.

What holds for all tables:

- `date` is the site's day, in the site's time zone.
- Tables of [longer periods](segments-and-periods.md#periods) have the same columns. There `date` is the first day.
- A counter that Matomo leaves out is 0. An average, a bound or a text that it leaves out is NULL.
- A day without visits has no rows in a table with dimensions, and one row of zeros in a table without.
- Unique visitors (`users`, `nb_uniq_visitors`) and unique page views are counted within a day. Their sum over days
  counts people several times.
- Lengths are in seconds, amounts of money in the site's currency.
- A reference table (`sites`, `goals` and so on) has no days: it says what Matomo is set up as now. What Matomo no
  longer lists stays, with `_is_deleted`.
- A row with `_is_others` sums up what Matomo's archive cut off. Totals need it, rankings do not.
"""


def document() -> str:
    """Return the text of docs/tables.md."""
    tables = list(BUILT_IN.values())
    references = [table.schema for table in REFERENCE_TABLES.values()]
    lines = [_HEAD, "| table | what | key |", "| --- | --- | --- |"]
    lines += [
        f"| [`{schema.name}`](#{schema.name}) | {_cell(schema.description)} | {_names(schema.key)} |"
        for schema in (*(table.schema for table in tables), *references, *_RECORDS)
    ]
    views = {view.name: view.description for table in tables for view in table.views}
    views[SYNC_STATE] = SYNC_STATE_DESCRIPTION
    lines += [f"| [`{name}`](#{name}) | {_cell(what)} | {_names(())} |" for name, what in views.items()]
    for table in tables:
        section = _section(table.schema, "by day, or by month (`partition_by`)")
        lines += ["", *section, *_sources(table), "", *_columns(table.columns)]
    for table in tables:
        for view in table.views:
            lines += ["", f"## {view.name}", "", f"{view.description} A view of `{table.name}`.", ""]
            lines += _columns(column for column, _ in view.columns)
    for reference in REFERENCE_TABLES.values():
        schema = reference.schema
        filled = f"- Filled from: `{reference.method}`, on each run"
        lines += ["", f"## {schema.name}", "", schema.description, "", f"- Key: {_names(schema.key)}", filled, ""]
        lines += _columns(schema.columns)
    for schema in _RECORDS:
        unit = "by month" if schema in (SYNC_RUNS, SYNC_QUALITY) else "by day"
        lines += ["", *_section(schema, unit), "", *_columns(schema.columns)]
    lines += ["", f"## {SYNC_STATE}", "", f"{SYNC_STATE_DESCRIPTION} A view, with the columns of `{SYNC_LOG.name}`."]
    return "\n".join(lines) + "\n"


def _section(schema: Schema, unit: str) -> Iterator[str]:
    yield f"## {schema.name}"
    yield ""
    yield schema.description
    yield ""
    yield f"- Key: {_names(schema.key)}"
    yield f"- Partitioned by: `date`, {unit}"
    yield f"- Clustered by: {_names(schema.clustering)}"


def _sources(table: Table) -> Iterator[str]:
    yield f"- Filled from: {', '.join(_source(source) for source in table.sources)}"


def _source(source: Source) -> str:
    params = "".join(f"&{name}={value}" for name, value in source.params)
    notes = []
    if source.only:
        notes.append(f"the rows with `{source.only[0]}` {source.only[1]}")
    if source.since > (0, 0):
        notes.append(f"from Matomo {source.since[0]}.{source.since[1]} on")
    return f"`{source.method}{params}`" + (f" ({', '.join(notes)})" if notes else "")


def _columns(columns: Iterable[Column]) -> Iterator[str]:
    yield "| column | type | mode | description |"
    yield "| --- | --- | --- | --- |"
    yield from _rows(columns)


def _rows(columns: Iterable[Column], path: str = "") -> Iterator[str]:
    for column in columns:
        mode = "REPEATED" if column.repeated else "REQUIRED" if column.required else "NULLABLE"
        yield f"| `{path}{column.name}` | {column.type} | {mode} | {_cell(column.description)} |"
        yield from _rows(column.fields, f"{path}{column.name}.")


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> int:
    """Write the document and say so."""
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(document(), encoding="utf-8")
    print(f"written: docs/{DOCUMENT.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
