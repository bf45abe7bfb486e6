"""Reading a DuckDB file that syncs have filled: for people and their queries, in DuckDB's own dialect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from matomo_fn.config.validation import suggestion
from matomo_fn.errors import InputError, WarehouseUnavailable

# The file's name among DuckDB's catalogs. By itself it would be the name of the file, and a file named like its
# dataset (matomo_shop.duckdb) would make `matomo_shop.visits_summary` ambiguous.
_CATALOG = "duckdb_file"


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query found: the names of the columns, and rows of as many values."""

    columns: tuple[str, ...]
    rows: Sequence[tuple[Any, ...]]

    def as_dicts(self) -> list[dict[str, Any]]:
        """Return each row by column name; raise InputError where two columns share one."""
        if len(set(self.columns)) < len(self.columns):
            double = next(name for name in self.columns if self.columns.count(name) > 1)
            raise InputError(f"two columns are named {double!r}: give each its own name with AS")
        return [dict(zip(self.columns, map(_finite, row), strict=True)) for row in self.rows]


class DuckDBReader:
    """A DuckDB file, opened to be read: a query can write neither to it nor to any other file.

    ``dataset`` is where tables without a schema are looked up; the file's only dataset if it is None.
    """

    def __init__(self, path: Path, dataset: str | None = None) -> None:
        if not path.is_file():
            raise InputError(
                f"there is no DuckDB file {path}: run a sync first, or name another in MATOMO_FN_WAREHOUSE"
            )
        self._path = path
        self._connection = duckdb.connect(":memory:")
        try:
            self._connection.execute("set timezone = 'UTC'")
            self._connection.execute(f"attach {_literal(str(path))} as {_CATALOG} (read_only)")
            self.dataset = self._choose(dataset)
            self._connection.execute(f'use {_CATALOG}."{self.dataset}"' if self.dataset else f"use {_CATALOG}")
            # From here on no other file can be read or written; DuckDB does not let a statement take this back.
            self._connection.execute("set enable_external_access = false")
        except duckdb.Error as error:
            self.close()
            if "could not set lock" in str(error).lower():
                raise WarehouseUnavailable(
                    f"the DuckDB file {path} is open in another process: close it there, then try again"
                ) from None
            raise InputError(f"{path} cannot be read as a DuckDB file: {_first_line(error)}") from None
        except InputError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def __enter__(self) -> "DuckDBReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def datasets(self) -> list[str]:
        """Return the datasets of the file, by name."""
        found = self._connection.execute(
            "select distinct table_schema from information_schema.tables where table_catalog = ? order by 1", [_CATALOG]
        )
        return [name for (name,) in found.fetchall()]

    def tables(self) -> list[str]:
        """Return the tables and views of the dataset, by name."""
        found = self._connection.execute(
            "select table_name from information_schema.tables where table_catalog = ? and table_schema = ? "
            "order by starts_with(table_name, '_'), table_name",
            [_CATALOG, self._one_dataset()],
        )
        return [name for (name,) in found.fetchall()]

    def query(self, statement: str) -> Rows:
        """Return what one statement finds; raise InputError with DuckDB's message where it cannot run."""
        try:
            if len(self._connection.extract_statements(statement)) != 1:
                raise InputError("give one statement, such as: select count(*) from visits_summary")
            result = self._connection.execute(statement)
            columns = tuple(column[0] for column in result.description or ())
            return Rows(columns, result.fetchall())
        except duckdb.Error as error:
            raise InputError(f"query: {error}") from None

    def newest_rows(self, table: str, limit: int) -> Rows:
        """Return rows of a table, those of the newest days first."""
        newest_first = 'order by "date" desc' if "date" in self._columns(table) else ""
        return self.query(f'select * from "{table}" {newest_first} limit {limit}')

    def summary(self, table: str) -> tuple[int, Any, Any]:
        """Return how many rows a table has, and the first and last day of them; None where it has no days."""
        days = 'min("date"), max("date")' if "date" in self._columns(table) else "null, null"
        ((rows, first, last),) = self.query(f'select count(*), {days} from "{table}"').rows
        return rows, first, last

    def _columns(self, table: str) -> tuple[str, ...]:
        tables = self.tables()
        if table not in tables:
            raise InputError(f"there is no table {table!r} in {self._path}: {suggestion(table, tables)}")
        return self.query(f'select * from "{table}" limit 0').columns

    def _choose(self, dataset: str | None) -> str | None:
        found = self.datasets()
        if dataset is not None and dataset not in found:
            raise InputError(f"there is no dataset {dataset!r} in {self._path}: {suggestion(dataset, found)}")
        return dataset or (found[0] if len(found) == 1 else None)

    def _one_dataset(self) -> str:
        if self.dataset:
            return self.dataset
        found = self.datasets()
        if not found:
            raise InputError(f"there are no tables in {self._path}: run a sync first")
        raise InputError(f"{self._path} has several datasets: name one with --dataset: {', '.join(found)}")


def _finite(value: Any) -> Any:
    """Return a value that JSON has: it knows no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
