"""GoogleSQL text of the reference tables: sites, goals and what else a settings page of Matomo has."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from matomo_fn.catalogue import ReferenceTable
from matomo_fn.warehouse.sql import literal, table_name


def reference_state(dataset: str, tables: Iterable[ReferenceTable]) -> str:
    """Return the query for every key of some reference tables, in one statement.

    Columns: table_name, key_1, key_2 ('' where the key is one column), content_hash, is_deleted, connector, and
    row_count: more than 1 where runs that overlapped have inserted the same row.
    """
    parts = []
    for table in tables:
        first, second = (*(f"cast(t.{name} as string)" for name in table.key), "''")[:2]
        parts.append(
            f"select {literal(table.name)} as table_name, {first} as key_1, {second} as key_2, "
            "max(t._content_hash) as content_hash, logical_and(t._is_deleted) as is_deleted, "
            "max(t._connector) as connector, count(*) as row_count "
            f"from {table_name(dataset, table.name)} t group by key_1, key_2"
        )
    return " union all ".join(parts)


def merge_reference(
    dataset: str, table: ReferenceTable, staging: str, *, connector: str, run_id: str, at: datetime
) -> str:
    """Return the statement that brings rows of a reference table up to date from a staging table.

    A staged row with ``_is_deleted`` has a key only: what the table has of it stays and is marked.
    """
    match = " and ".join(f"t.{name} = s.{name}" for name in table.key)
    stamps = {"_connector": literal(connector), "_synced_at": literal(at), "_run_id": literal(run_id)}
    deleted = {"_is_deleted": "true", "_deleted_at": literal(at), **stamps}
    values = {column.name: f"s.{column.name}" for column in table.staged}
    written = values | {"_deleted_at": "cast(null as timestamp)"} | stamps
    updated = {name: value for name, value in written.items() if name not in table.key}
    return (
        f"merge {table_name(dataset, table.name)} t using {table_name(dataset, staging)} s on {match} "
        f"when matched and s._is_deleted then update set {_assignments(deleted)} "
        f"when matched and not s._is_deleted then update set {_assignments(updated)} "
        f"when not matched and not s._is_deleted then insert ({', '.join(written)}) "
        f"values ({', '.join(written.values())})"
    )


def find_one_of_each(dataset: str, table: ReferenceTable, staging: str, first_keys: Iterable[str]) -> str:
    """Return the statement that puts the newest row of each key into a table, of those with a first key column."""
    names = table.schema.column_names
    return (
        f"insert into {table_name(dataset, staging)} ({', '.join(names)}) "
        f"select {', '.join(f'd.{name}' for name in names)} from {table_name(dataset, table.name)} d "
        f"where d.{_has_first_key(table, first_keys)} qualify row_number() over ("
        f"partition by {', '.join(f'd.{name}' for name in table.key)} order by d._synced_at desc, d._run_id desc) = 1"
    )


def keep_one_of_each(dataset: str, table: ReferenceTable, staging: str, first_keys: Iterable[str]) -> str:
    """Return the statement that replaces the rows with a first key column by those of such a table.

    It deletes rows, so BigQuery makes two of them wait for each other.
    """
    names = table.schema.column_names
    return (
        f"merge {table_name(dataset, table.name)} t using {table_name(dataset, staging)} s on false "
        f"when not matched by source and t.{_has_first_key(table, first_keys)} then delete "
        f"when not matched by target then insert ({', '.join(names)}) "
        f"values ({', '.join(f's.{name}' for name in names)})"
    )


def count_reference(dataset: str, table: ReferenceTable) -> str:
    """Return the query for the rows of a reference table: table_name, row_count, deleted_count, last_synced_at."""
    return (
        f"select {literal(table.name)} as table_name, count(*) as row_count, countif(t._is_deleted) as deleted_count, "
        f"max(t._synced_at) as last_synced_at from {table_name(dataset, table.name)} t"
    )


def _has_first_key(table: ReferenceTable, first_keys: Iterable[str]) -> str:
    return f"{table.key[0]} in ({', '.join(map(literal, sorted(first_keys)))})"


def _assignments(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
