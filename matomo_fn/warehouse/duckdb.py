"""The embedded warehouse for local runs: a DuckDB file, the dataset being a schema in it.

It runs the statements that BigQuery runs, turned into its dialect by sqlglot. duckdb and sqlglot are not part of
what is deployed.
"""

import functools
import os
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from matomo_fn.catalogue import Schema
from matomo_fn.errors import DiskFull, InputError, WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.protocol import STAGING_PREFIX, FoundColumn, FoundTable, PartitionBy
from matomo_fn.warehouse.schemas import merged_type

# Two runs of one process that replace a slice at the same moment are both blind to the other's rows, and DuckDB
# finds no conflict: the slice would stand there twice. So they take turns. Other processes cannot open the file.
_TURN = threading.Lock()
# What `merge … on false` becomes. DuckDB looks at every pair of rows under a constant condition, 60,000 against as many
# in 7.5 seconds; an equality is hashed, 0.05 seconds. Sites are numbers, so this one never holds either.
_NEVER = "t.website_id = 'no site ' || s.website_id"
# BigQuery's NUMERIC; DuckDB would take three digits behind the point.
_NUMERIC = exp.DataType.build("decimal(38, 9)", dialect="duckdb")
# Connections of this process that are open, by file and dataset: without another one, the staging tables that are there
# are left from runs that were killed, since other processes cannot open the file.
_OPEN: Counter[tuple[str, str]] = Counter()
# The types whose values can lie outside of Python's calendar.
_DAYS = frozenset({"DATE", "TIMESTAMP WITH TIME ZONE"})
# Rows of a result that are in memory at once.
_PAGE_ROWS = 1_000
# Megabytes that DuckDB keeps in memory; by itself it would take four fifths of the machine's memory. What does not fit
# waits on disk, beside the file, and a statement that cannot be run so is run without the limit. With one thread, since
# most statements are small: handing them to others takes longer than running them.
_MEMORY_MB = 128
_LIMITED = f"set memory_limit = '{_MEMORY_MB}MB'; set threads = 1"
_UNLIMITED = "reset memory_limit; reset threads"
# Bytes of a row, at most: the least that DuckDB can be told, and the largest row that BigQuery takes. It reserves twice
# as many for each file that it reads, so a load is repeated with the larger number where the smaller does not do.
_ROW_BYTES, _MOST_ROW_BYTES = 1 << 24, 100_000_000
# What DuckDB calls the files in which it keeps what does not fit into memory, in a folder beside its own file.
_SPILLED = "duckdb_temp_*"
_HERE = "database_name = current_database() and lower(schema_name) = lower(?)"
# Translated statements that are kept, and the most characters that one of them has.
_REMEMBERED, _REMEMBERED_SIZE = 1024, 4096


def to_duckdb(statement: str, dataset: str | None = None) -> str:
    """Return a GoogleSQL statement in DuckDB's dialect; the project in a table's name is left out.

    So is ``dataset``, for a connection that uses it. With it the name would be ambiguous in a file that is named like
    the dataset. The names in a view are looked up in the view's own schema, whatever the file is named or attached as.
    """
    return (_remembered if len(statement) <= _REMEMBERED_SIZE else _translated)(statement, dataset)


def _translated(statement: str, dataset: str | None) -> str:
    parsed = sqlglot.parse_one(statement, read="bigquery")
    for table in parsed.find_all(exp.Table):
        table.set("catalog", None)
        if table.db == dataset:
            table.set("db", None)
    for kind in [each for each in parsed.find_all(exp.DataType) if each.is_type(exp.DType.DECIMAL)]:
        kind.replace(_NUMERIC.copy())
    # Of an array GoogleSQL's offset counts from 0 and DuckDB's ordinality from 1; sqlglot takes the one for the other.
    offsets = {unnest.args["offset"].name for unnest in parsed.find_all(exp.Unnest) if unnest.args.get("offset")}
    for column in [column for column in parsed.find_all(exp.Column) if column.name in offsets]:
        column.replace(exp.paren(column.copy() - 1))
    if isinstance(parsed, exp.Merge) and parsed.args["on"] == exp.false():
        parsed.set("on", sqlglot.parse_one(_NEVER, read="duckdb"))
    return parsed.transform(_list_of_array, copy=False).sql(dialect="duckdb", copy=False)


# A process that goes on sends the same statements again, such as the query for the state of a day. Those with the time
# or the id of a run never come twice.
_remembered = functools.lru_cache(_REMEMBERED)(_translated)


def _list_of_array(node: exp.Expr) -> exp.Expr:
    """Return `array(select x from unnest(a) as e where c)` as functions of a list: a tenth of a subquery's time."""
    match node:
        case exp.Array(
            expressions=[
                exp.Select(
                    expressions=[wanted], args={"from_": exp.From(this=exp.Unnest(expressions=[array]) as source)}
                )
            ]
        ) if not {"joins", "group", "order", "limit"} & {name for name, arg in node.expressions[0].args.items() if arg}:
            element = exp.to_identifier(source.args["alias"].columns[0].name)
            where = node.expressions[0].args.get("where")
            kept = (
                exp.func("list_filter", array, exp.Lambda(this=where.this, expressions=[element])) if where else array
            )
            return exp.func("list_transform", kept, exp.Lambda(this=wanted.unalias(), expressions=[element]))
    return node


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _NotInCatalog(WarehouseError):
    """There is no such table, view or schema."""


class _RowTooLarge(WarehouseError):
    """A row of a file has more bytes than the statement allows."""


class DuckDBWarehouse:
    """A schema of a DuckDB file; with ``create=False`` a file that is not there is not made but taken as empty."""

    parallel = 1
    is_shared = False  # DuckDB locks the file

    def __init__(self, path: Path, dataset: str, *, create: bool = True) -> None:
        self.dataset = dataset
        self._path = path
        self._schema = ""
        self._comments: dict[str, dict[str, str]] = {}
        self._looked_for_left = False
        self._key = (os.path.realpath(path), dataset.lower())
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            # In turn with those that close: DuckDB cannot open a file in the moment in which its last user lets it go.
            with _TURN:
                self._connection = duckdb.connect(str(path) if create or path.exists() else ":memory:")
                self._connection.execute("set timezone = 'UTC'")
                self._connection.execute(_LIMITED)
                if create and not any(number for (file, _), number in _OPEN.items() if file == self._key[0]):
                    _delete_spilled(path)
                _OPEN[self._key] += 1
        except duckdb.IOException as error:
            if "could not set lock" in str(error).lower():
                raise WarehouseUnavailable(
                    f"the DuckDB file {path} is open in another process: close it there, then try again"
                ) from None
            raise _cannot_be_opened(path, error) from None
        except (duckdb.Error, OSError) as error:
            raise _cannot_be_opened(path, error) from None
        self._is_open = True

    def check_writable(self) -> None:
        """Raise WarehouseError where the file, or the log that DuckDB keeps beside it, could not be written."""
        folder = next(parent for parent in self._path.absolute().parents if parent.exists())
        try:
            with tempfile.TemporaryFile(dir=folder):
                pass
            if self._path.exists():
                with self._path.open("r+b"):
                    pass
        except OSError as error:
            raise WarehouseError(
                f"the DuckDB file {self._path} cannot be written ({folder}: {error.strerror}): name another one in "
                "MATOMO_FN_WAREHOUSE"
            ) from None

    def ensure_dataset(self) -> None:
        """Create the schema if it is not there, and drop what killed runs left in it."""
        self._execute(f"create schema if not exists {_quoted(self.dataset)}")
        if not self._looked_for_left:
            self._looked_for_left = True
            self._drop_left_behind()

    def dataset_warnings(self) -> Sequence[str]:
        """Return nothing: in DuckDB nothing expires by itself."""
        return ()

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""
        schema = self._schema_in_use()
        if not schema:
            return None
        views = f"from duckdb_views() where {_HERE} and view_name = ?"
        # Of one table: the views of the catalog look at all columns of all tables, and take several times as long.
        try:
            rows = self._rows(
                'select cid, name, type, "notnull", false as is_view from pragma_table_info(?) '
                f"union all select -1, '', '', false, true {views}",
                [f"{schema}.{_quoted(name)}", self.dataset, name],
            )
        except _NotInCatalog:
            # A view is there also when what it reads is gone.
            is_view = bool(self._rows(f"select 1 {views}", [self.dataset, name]))
            return FoundTable((), is_view=True) if is_view else None
        columns = sorted((row for row in rows if not row["is_view"]), key=itemgetter("cid"))
        return FoundTable(
            tuple(_found_column(row["name"], row["type"], is_required=row["notnull"]) for row in columns),
            is_view=len(columns) < len(rows),
        )

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; DuckDB has no partitions."""
        self._in_one_step([to_duckdb(sql.create_table(self.dataset, schema), self.dataset), *_comments(schema, {})])

    def update_table(self, schema: Schema, found: FoundTable) -> None:
        """Bring a table up to date, all in one transaction, and delete the rows that are older than it keeps."""
        known = {column.name.lower(): column for column in found.columns}
        statements = []
        for column in schema.columns:
            existing = known.get(column.name.lower())
            name = _quoted(schema.name), _quoted(column.name)
            if existing is None:
                statements.append(
                    "alter table {} add column {} {}".format(*name, _duckdb_type(sql.column_type(column)))
                )
                continue
            if (merged := merged_type(column, existing)) != existing.type_name:
                # DuckDB takes a STRUCT for another one field by field by their names, and a new field as NULL.
                statements.append("alter table {} alter column {} type {}".format(*name, _duckdb_type(merged)))
            if existing.required and not column.required:
                statements.append("alter table {} alter column {} drop not null".format(*name))
        self._in_one_step([*statements, *_comments(schema, self._found_comments(schema.name))])
        if schema.retention_days is not None:
            self._execute(
                f"delete from {_quoted(schema.name)} where date <= current_date - ?::integer", [schema.retention_days]
            )

    def replace_table(self, schema: Schema, found: FoundTable, source: str) -> None:
        """Drop the table, create it with the rows of the other one, and drop that: all in one transaction."""
        names = ", ".join(map(_quoted, schema.column_names))
        target, origin = _quoted(schema.name), _quoted(source)
        self._in_one_step(
            [
                f"drop table {target}",
                to_duckdb(sql.create_table(self.dataset, schema), self.dataset),
                f"insert into {target} ({names}) select {names} from {origin}",
                f"drop table {origin}",
                *_comments(schema, {}),
            ]
        )

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view."""
        schema = Schema(name, description, (), partitioned=False)
        statement = to_duckdb(sql.create_view(self.dataset, name, query), self.dataset)
        self._in_one_step([statement, *_comments(schema, {}, kind="view")])

    def update_view(self, schema: Schema, query: str, found: FoundTable) -> None:
        """Replace a view in one step where its query differs, and describe it where it is not described so.

        DuckDB keeps its own wording of a query. So it is compared with the wording of the wanted one.
        """
        (wording,) = self._rows(
            f"select sql, json_deserialize_sql(json_serialize_sql(?)) as wanted from duckdb_views() where {_HERE} "
            "and view_name = ?",
            [to_duckdb(query, self.dataset), self.dataset, schema.name],
        )
        if wording["sql"].partition(" AS ")[2].rstrip(";") == wording["wanted"].rstrip(";"):
            self._in_one_step(_comments(schema, self._found_comments(schema.name), kind="view"))
        else:
            statement = to_duckdb(sql.create_view(self.dataset, schema.name, query), self.dataset)
            self._in_one_step([statement, *_comments(schema, {}, kind="view")])

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table; nobody reads a description of what is dropped in a moment."""
        self._execute(to_duckdb(sql.create_table(self.dataset, schema), self.dataset))

    def drop_table(self, name: str) -> None:
        """Drop a table; one that is not there is fine."""
        self._execute(f"drop table if exists {_quoted(name)}")

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table from files of newline-delimited JSON."""
        names = ", ".join(schema.column_names)
        columns = ", ".join(f"{column.name}: '{_duckdb_type(column.type_name)}'" for column in schema.columns)
        statement = (
            f"insert into {_quoted(schema.name)} ({names}) select {names} from read_json(?, "
            f"format = 'newline_delimited', compression = 'gzip', columns = {{{columns}}}, maximum_object_size = ?)"
        )
        paths = [str(file) for file in files]
        try:
            self._execute(statement, [paths, _ROW_BYTES])
        except _RowTooLarge:  # nothing is inserted then
            self._execute(statement, [paths, _MOST_ROW_BYTES])

    def run(self, statement: str, job: str) -> None:
        """Run a GoogleSQL statement that changes something."""
        self._execute(to_duckdb(statement, self.dataset))

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a GoogleSQL query."""
        return self._rows(to_duckdb(statement, self.dataset), [])

    def rows(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a GoogleSQL query, of a snapshot that later statements do not change."""
        try:
            yield from self._pages(to_duckdb(statement, self.dataset))
        except duckdb.Error as error:
            raise self._translated(error) from None

    def stream(self, statement: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a GoogleSQL query, of a snapshot that later statements do not change."""
        try:
            if not isinstance(sqlglot.parse_one(statement, read="bigquery"), exp.Query):
                raise InputError("the query may only read: begin it with select")
            query = to_duckdb(statement, self.dataset)
        except sqlglot.errors.SqlglotError as error:
            raise InputError(f"the query cannot be read as GoogleSQL: {_first_line(error)}") from None
        try:
            yield from self._pages(query)
        except duckdb.Error as error:
            raise InputError(f"query: {error}") from None

    def close(self) -> None:
        """Close the file."""
        with _TURN:
            self._connection.close()
            if self._is_open:
                _OPEN[self._key] -= 1
            self._is_open = False

    def _pages(self, query: str) -> Iterator[Mapping[str, Any]]:
        """Yield the rows of a query in DuckDB's dialect, by a connection of its own."""
        (place,) = self._rows("select current_database() as file, current_schema() as dataset", [])
        with _TURN:
            cursor = self._connection.cursor()
        try:
            cursor.execute("set timezone = 'UTC'")
            cursor.execute(f"use {_quoted(place['file'])}.{_quoted(place['dataset'])}")
            cursor.execute(_UNLIMITED)  # it cannot be run once more where rows of it have been read
            result = cursor.execute(query)
            names = [column[0] for column in result.description or ()]
            while rows := result.fetchmany(_PAGE_ROWS):
                yield from (dict(zip(names, row, strict=True)) for row in rows)
        finally:
            # Who stops reading early may leave this to the garbage collector, after the warehouse was closed.
            if self._is_open:
                cursor.execute(_LIMITED)
            cursor.close()

    def _drop_left_behind(self) -> None:
        """Drop the staging tables of runs that were killed: in BigQuery they expire, in a file they would stay."""
        left = self._rows(
            f"select table_name from duckdb_tables() where {_HERE} and starts_with(table_name, ?)",
            [self.dataset, STAGING_PREFIX],
        )
        if left and _OPEN[self._key] == 1:
            self._in_one_step([f"drop table if exists {_quoted(row['table_name'])}" for row in left])

    def _in_one_step(self, statements: Sequence[str]) -> None:
        """Run statements in one transaction, or none of them where one fails."""
        if statements:
            try:
                self._execute("; ".join(("begin", *statements, "commit")))
            except WarehouseError:
                with suppress(WarehouseError):  # there is no transaction where the commit itself failed
                    self._execute("rollback")
                raise

    def _found_comments(self, name: str) -> Mapping[str, str]:
        """Return the comments of the columns of a table or view by name, and its own under the empty name.

        Those of all are read at once and each is used once: DuckDB looks at all columns of all tables for one as well,
        and a run asks for one after the other.
        """
        if name.lower() not in self._comments:
            rows = self._rows(
                f"select table_name as owner, '' as name, comment from duckdb_tables() where {_HERE} "
                f"union all select view_name, '', comment from duckdb_views() where {_HERE} "
                f"union all select table_name, column_name, comment from duckdb_columns() where {_HERE}",
                [self.dataset] * 3,
            )
            self._comments = {}
            for row in rows:
                self._comments.setdefault(row["owner"].lower(), {})[row["name"].lower()] = row["comment"]
        return self._comments.pop(name.lower(), {})

    def _schema_in_use(self) -> str:
        """Return the schema with its database, in quotes; the empty string where it is not there."""
        if not self._schema:
            self._execute("select 1")
        return self._schema

    def _use_schema(self) -> None:
        """Look up tables in the dataset from now on, if it is there; another connection may create it later."""
        there = f"select database_name, schema_name from duckdb_schemas() where {_HERE}"
        for row in self._fetch(there, [self.dataset]):
            schema = ".".join(_quoted(name) for name in row.values())
            self._fetch(f"use {schema}", [])
            self._schema = schema

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        self._rows(statement, parameters)

    def _rows(self, statement: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        try:
            with _TURN:
                if not self._schema:
                    self._use_schema()
                try:
                    return self._fetch(statement, parameters)
                except duckdb.OutOfMemoryException:
                    return self._fetch_unlimited(statement, parameters)
        except duckdb.Error as error:
            raise self._translated(error) from None

    def _fetch_unlimited(self, statement: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        """Run a statement once more that did not fit into the memory that DuckDB may take: it has changed nothing."""
        with suppress(duckdb.TransactionException):  # there is one only where the statement began it
            self._connection.rollback()
        self._connection.execute(_UNLIMITED)
        try:
            return self._fetch(statement, parameters)
        finally:
            self._connection.execute(_LIMITED)

    def _translated(self, error: duckdb.Error) -> WarehouseError:
        if _is_full(error):
            return _disk_full(self._path)
        if isinstance(error, duckdb.TransactionException):
            return WarehouseUnavailable(f"the DuckDB file {self._path} is busy: {_first_line(error)}")
        if isinstance(error, duckdb.CatalogException):
            return _NotInCatalog(f"the DuckDB file {self._path}: {_first_line(error)}")
        if isinstance(error, duckdb.InvalidInputException) and "maximum_object_size" in str(error):
            return _RowTooLarge(f"the DuckDB file {self._path}: {_first_line(error)}")
        return WarehouseError(f"the DuckDB file {self._path}: {_first_line(error)}")

    def _fetch(self, statement: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        result = self._connection.execute(statement, parameters)
        columns = result.description or ()
        rows = result.fetchall()
        for index, column in enumerate(columns):
            if str(column[1]) in _DAYS and (far := next((row[index] for row in rows if _is_far(row[index])), None)):
                raise WarehouseError(
                    f"the DuckDB file {self._path}: column {column[0]} has {far}, outside of the years 1 to 9999: "
                    "correct or delete that row"
                )
        names = [column[0] for column in columns]
        return [dict(zip(names, row, strict=True)) for row in rows]


def _is_far(value: object) -> bool:
    """Return whether a day or time is none of Python's calendar, such as infinity; BigQuery has no such ones."""
    return isinstance(value, str) or (isinstance(value, datetime) and value.tzinfo is None)


def _is_full(error: Exception) -> bool:
    return "no space left" in str(error).lower()


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(f"the disk of the DuckDB file {path} is full: free some of it, or move the file to a larger one")


def _delete_spilled(path: Path) -> None:
    """Delete what a killed process did not keep in memory: nobody else can have the file open.

    DuckDB does it itself as soon as it has to write there again, which may be never.
    """
    folder = path.with_name(f"{path.name}.tmp")
    with suppress(OSError):  # as before, it stays where it cannot be deleted
        for left in folder.glob(_SPILLED):
            left.unlink()
        folder.rmdir()


def _cannot_be_opened(path: Path, error: Exception) -> WarehouseError:
    if _is_full(error):
        return _disk_full(path)
    return WarehouseError(
        f"the DuckDB file {path} cannot be opened ({_first_line(error)}): name another one in MATOMO_FN_WAREHOUSE"
    )


@functools.cache
def _duckdb_type(name: str) -> str:
    kind = exp.DataType.build(name, dialect="bigquery")
    return (_NUMERIC if kind.is_type(exp.DType.DECIMAL) else kind).sql(dialect="duckdb")


def _comments(schema: Schema, found: Mapping[str, str], kind: str = "table") -> list[str]:
    """Return the statements that describe a table or view and its columns, where they are not described so."""
    name = _quoted(schema.name)
    wanted = {"": (f"{kind} {name}", schema.description)}
    for column in schema.columns:
        wanted[column.name.lower()] = (f"column {name}.{_quoted(column.name)}", column.description)
    return [
        "comment on {} is '{}'".format(what, text.replace("'", "''"))
        for key, (what, text) in wanted.items()
        if found.get(key) != text
    ]


@functools.cache
def _found_column(name: str, data_type: str, *, is_required: bool = False) -> FoundColumn:
    """Return a column by DuckDB's name of its type."""
    kind = exp.DataType.build(data_type, dialect="duckdb")
    element = kind.expressions[0] if kind.is_type(exp.DType.ARRAY, exp.DType.LIST) else kind
    fields: tuple[FoundColumn, ...] = ()
    if element.is_type(exp.DType.STRUCT):
        fields = tuple(
            _found_column(part.this.name, part.args["kind"].sql(dialect="duckdb")) for part in element.expressions
        )
    return FoundColumn(name, _google_type(data_type), is_required, fields)


@functools.cache
def _google_type(name: str) -> str:
    if exp.DataType.build(name, dialect="duckdb") == _NUMERIC:
        return "NUMERIC"
    return exp.DataType.build(name, dialect="duckdb").sql(dialect="bigquery").replace("`", "")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
