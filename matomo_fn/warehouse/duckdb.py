"""The embedded warehouse for local runs: a DuckDB file, the dataset being a schema in it.

It runs the statements that BigQuery runs, turned into its dialect by sqlglot. duckdb and sqlglot are not part of
what is deployed.
"""

import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import sqlglot
from sqlglot import exp

from matomo_fn.catalogue import Schema
from matomo_fn.errors import DiskFull, WarehouseError, WarehouseUnavailable
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable, PartitionBy

# Two runs of one process that replace a slice at the same moment are both blind to the other's rows, and DuckDB
# finds no conflict: the slice would stand there twice. So they take turns. Other processes cannot open the file.
_TURN = threading.Lock()
# What `merge … on false` becomes. DuckDB looks at every pair of rows under a constant condition, 60,000 against as many
# in 7.5 seconds; an equality is hashed, 0.05 seconds. Sites are numbers, so this one never holds either.
_NEVER = "t.website_id = 'no site ' || s.website_id"


def to_duckdb(statement: str) -> str:
    """Return a GoogleSQL statement in DuckDB's dialect; the project in a table's name is left out."""
    parsed = sqlglot.parse_one(statement, read="bigquery")
    for table in parsed.find_all(exp.Table):
        table.set("catalog", None)
    # Of an array GoogleSQL's offset counts from 0 and DuckDB's ordinality from 1; sqlglot takes the one for the other.
    offsets = {unnest.args["offset"].name for unnest in parsed.find_all(exp.Unnest) if unnest.args.get("offset")}
    for column in [column for column in parsed.find_all(exp.Column) if column.name in offsets]:
        column.replace(exp.paren(column.copy() - 1))
    if isinstance(parsed, exp.Merge) and parsed.args["on"] == exp.false():
        parsed.set("on", sqlglot.parse_one(_NEVER, read="duckdb"))
    return parsed.sql(dialect="duckdb")


class DuckDBWarehouse:
    """A schema of a DuckDB file; with ``create=False`` a file that is not there is not made but taken as empty."""

    parallel = 1

    def __init__(self, path: Path, dataset: str, *, create: bool = True) -> None:
        self.dataset = dataset
        self._path = path
        try:
            if create:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = duckdb.connect(str(path) if create or path.exists() else ":memory:")
            self._connection.execute("set timezone = 'UTC'")
        except duckdb.IOException as error:
            if "could not set lock" in str(error).lower():
                raise WarehouseUnavailable(
                    f"the DuckDB file {path} is open in another process: close it there, then try again"
                ) from None
            raise _cannot_be_opened(path, error) from None
        except (duckdb.Error, OSError) as error:
            raise _cannot_be_opened(path, error) from None

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
        """Create the schema if it is not there."""
        self._execute(f'create schema if not exists "{self.dataset}"')

    def find_table(self, name: str) -> FoundTable | None:
        """Return what a table or view looks like, or None where there is neither."""
        found = self._rows(
            "select t.table_type, c.column_name, c.data_type, c.is_nullable from information_schema.tables t "
            "join information_schema.columns c using (table_catalog, table_schema, table_name) "
            "where t.table_schema = ? and t.table_name = ? order by c.ordinal_position",
            [self.dataset, name],
        )
        if not found:
            return None
        columns = tuple(
            FoundColumn(row["column_name"], _google_type(row["data_type"]), row["is_nullable"] == "NO") for row in found
        )
        return FoundTable(columns, is_view=found[0]["table_type"] == "VIEW")

    def create_table(self, schema: Schema, partition_by: PartitionBy) -> None:
        """Create a table; DuckDB has no partitions."""
        self._execute(to_duckdb(sql.create_table(self.dataset, schema)))

    def create_view(self, name: str, query: str, description: str) -> None:
        """Create a view, or make it anew; DuckDB's has no description."""
        self._execute(to_duckdb(sql.create_view(self.dataset, name, query)))

    def create_staging(self, schema: Schema) -> None:
        """Create a staging table; here it is a table like others."""
        self.create_table(schema, "day")

    def load(self, schema: Schema, files: Sequence[Path], job: str) -> None:
        """Fill a staging table from files of newline-delimited JSON."""
        names = ", ".join(schema.column_names)
        columns = ", ".join(f"{column.name}: '{_duckdb_type(column.type_name)}'" for column in schema.columns)
        self._execute(
            f'insert into "{self.dataset}"."{schema.name}" ({names}) select {names} from read_json(?, '
            f"format = 'newline_delimited', compression = 'gzip', columns = {{{columns}}}, "
            "maximum_object_size = 100000000)",
            [[str(file) for file in files]],
        )

    def run(self, statement: str, job: str) -> None:
        """Run a GoogleSQL statement that changes something."""
        self._execute(to_duckdb(statement))

    def query(self, statement: str) -> Sequence[Mapping[str, Any]]:
        """Return the rows of a GoogleSQL query."""
        return self._rows(to_duckdb(statement), [])

    def close(self) -> None:
        """Close the file."""
        with _TURN:
            self._connection.close()

    def _execute(self, statement: str, parameters: Sequence[object] = ()) -> None:
        self._rows(statement, parameters)

    def _rows(self, statement: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        try:
            with _TURN:
                return self._fetch(statement, parameters)
        except duckdb.Error as error:
            raise self._translated(error) from None

    def _translated(self, error: duckdb.Error) -> WarehouseError:
        if _is_full(error):
            return _disk_full(self._path)
        if isinstance(error, duckdb.TransactionException):
            return WarehouseUnavailable(f"the DuckDB file {self._path} is busy: {_first_line(error)}")
        return WarehouseError(f"the DuckDB file {self._path}: {_first_line(error)}")

    def _fetch(self, statement: str, parameters: Sequence[object]) -> list[dict[str, Any]]:
        result = self._connection.execute(statement, parameters)
        names = [column[0] for column in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _is_full(error: Exception) -> bool:
    return "no space left" in str(error).lower()


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(f"the disk of the DuckDB file {path} is full: free some of it, or move the file to a larger one")


def _cannot_be_opened(path: Path, error: Exception) -> WarehouseError:
    if _is_full(error):
        return _disk_full(path)
    return WarehouseError(
        f"the DuckDB file {path} cannot be opened ({_first_line(error)}): name another one in MATOMO_FN_WAREHOUSE"
    )


def _duckdb_type(name: str) -> str:
    return exp.DataType.build(name, dialect="bigquery").sql(dialect="duckdb")


def _google_type(name: str) -> str:
    return exp.DataType.build(name, dialect="duckdb").sql(dialect="bigquery").replace("`", "")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
