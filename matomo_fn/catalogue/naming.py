"""The written rules by which Matomo's methods become names of tables, and its fields names of columns."""

import re
from collections.abc import Iterable
from hashlib import sha256

from matomo_fn.catalogue.model import IS_OTHERS, SLICE_COLUMNS, STAMP_COLUMNS

# Characters of a column's name: https://cloud.google.com/bigquery/docs/schemas#column_names
LONGEST_COLUMN = 300
# Characters of a table's name. BigQuery takes 1,024; staging tables add the run to it, and people have to read it.
LONGEST_TABLE = 128
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+")
_NO_NAME = re.compile(r"[^A-Za-z0-9_]")
_HASH = 8  # characters of a hash that keeps a shortened name apart from others
# https://cloud.google.com/bigquery/docs/schemas#column_names
_PREFIXES = ("_table_", "_file_", "_partition", "_row_timestamp", "__root__", "_colidentifier", "_change_")
# https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical#reserved_keywords, and what DuckDB reserves
# beyond it (duckdb_keywords()): statements name columns without quotes.
_WORDS_OF_GOOGLESQL = (
    "all and any array as asc assert_rows_modified at between by case cast collate contains create cross cube current "
    "default define desc distinct else end enum escape except exclude exists extract false fetch following for from "
    "full group grouping groups hash having if ignore in inner intersect interval into is join lateral left like limit "
    "lookup merge natural new no not null nulls of on or order outer over partition preceding proto qualify range "
    "recursive respect right rollup rows select set some struct tablesample then to treat true unbounded union unnest "
    "using when where window with within"
)
_WORDS_OF_DUCKDB = (
    "analyse analyze asymmetric both check column constraint deferrable describe do foreign initially lambda leading "
    "offset only pivot pivot_longer pivot_wider placing primary references returning show summarize symmetric table "
    "trailing unique unpivot variadic"
)
RESERVED = frozenset((*_WORDS_OF_GOOGLESQL.split(" "), *_WORDS_OF_DUCKDB.split(" ")))
# The columns that every table has; Matomo's `segment` is called as in the tables that are built in.
_OWN = {column.name for column in (*SLICE_COLUMNS, IS_OTHERS, *STAMP_COLUMNS)}
_RENAMED = {"segment": "segment_definition"}


def column_name(field: str) -> str:
    """Return the name of a field's column: the field's own, as far as BigQuery takes it.

    Characters other than letters, digits and underscores become underscores. A name that begins with a digit, or as
    BigQuery reserves it, gets ``field_`` in front. A reserved word or the name of one of the program's own columns
    gets an underscore behind it. A name that is too long is cut and ends with a hash of the field.
    """
    name = _RENAMED.get(field) or _NO_NAME.sub("_", field) or "_"
    if name[0].isdigit() or not name.strip("_") or name.lower().startswith(_PREFIXES):
        name = f"field_{name}"
    if name.lower() in RESERVED or name.lower() in _OWN:
        name = f"{name}_"
    return _shortened(name, field, LONGEST_COLUMN)


def table_name(method: str, params: Iterable[tuple[str, str]] = (), period: str = "day") -> str:
    """Return the name of the table of a report: `Events.getName` is ``events_name``.

    Module and action in snake case, the action without its ``get``; then each parameter with its value, and the kind of
    period where it is not a day.
    """
    module, _, action = method.partition(".")
    parts = [*_words(module), *_words(action.removeprefix("get"))]
    for key, value in params:
        parts += [*_words(key), *_words(value)]
    if period != "day":
        parts.append(period)
    name = "_".join(parts)
    return _shortened(name, name, LONGEST_TABLE)


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(text)]


def _shortened(name: str, origin: str, longest: int) -> str:
    if len(name) <= longest:
        return name
    digest = sha256(origin.encode(errors="surrogatepass")).hexdigest()[:_HASH]
    return f"{name[: longest - _HASH - 1]}_{digest}"
