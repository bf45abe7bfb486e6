"""From a schema to BigQuery's table and back, and what of a table that exists has to change. Nothing is sent here."""

from collections.abc import Sequence
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery.table import PrimaryKey, TableConstraints

from matomo_fn.catalogue import Column, Schema
from matomo_fn.warehouse.protocol import FoundColumn, FoundTable, PartitionBy

_MS_PER_DAY = 24 * 60 * 60 * 1000
# The days by which the rows of a month's partition differ in age: the partition goes as a whole.
_MONTH = 31
LABELS = {"managed-by": "matomo-fn"}
# The API answers with the names of legacy SQL.
_SHORT_NAMES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}


def staging_table(dataset: str, schema: Schema, kms_key: str) -> bigquery.Table:
    """Return a table with nothing but columns, description, label and key."""
    table = bigquery.Table(f"{dataset}.{schema.name}", schema=schema_fields(schema.columns))
    table.description = schema.description
    table.labels = dict(LABELS)
    if kms_key:
        table.encryption_configuration = bigquery.EncryptionConfiguration(kms_key)
    return table


def new_table(dataset: str, schema: Schema, partition_by: PartitionBy, kms_key: str) -> bigquery.Table:
    """Return a table as it is created."""
    table = staging_table(dataset, schema, kms_key)
    if schema.partitioned:
        table.time_partitioning = bigquery.TimePartitioning(
            type_=partition_by.upper(), field="date", expiration_ms=_expiration(schema, partition_by)
        )
        if schema.require_partition_filter is not None:
            table.require_partition_filter = schema.require_partition_filter
    if schema.clustering:
        table.clustering_fields = list(schema.clustering)
    if schema.key:
        table.table_constraints = TableConstraints(PrimaryKey(list(schema.key)), None)
    return table


def schema_fields(columns: Sequence[Column]) -> list[bigquery.SchemaField]:
    """Return columns as the API has them."""
    return [_field(column) for column in columns]


def found_table(table: bigquery.Table, kms_key: str) -> FoundTable:
    """Return what a table or view looks like."""
    columns = tuple(_found_column(field) for field in table.schema)
    if table.table_type != "TABLE":
        return FoundTable(columns, is_view=True, native=table)
    problems = []
    if kms_key and table.encryption_configuration is None:
        problems.append(
            f"it is not encrypted by {kms_key}: copy it over itself by `bq cp -f --destination_kms_key={kms_key} "
            f"{table.project}:{table.dataset_id}.{table.table_id} {table.project}:{table.dataset_id}.{table.table_id}`"
        )
    return FoundTable(columns, _partition_of(table), problems=tuple(problems), warnings=_warnings(table), native=table)


def update_table(table: bigquery.Table, schema: Schema, kms_key: str) -> list[str]:
    """Change a table's description to what it should be and return the names of the properties that changed."""
    wanted = _differing(
        table,
        {
            "schema": _merged_fields(table.schema, schema.columns),
            "description": schema.description,
            "labels": {**table.labels, **LABELS},
            "clustering_fields": list(schema.clustering) or None,
        },
    )
    if schema.key and _key_of(table) != list(schema.key):
        foreign = table.table_constraints.foreign_keys if table.table_constraints else None
        wanted["table_constraints"] = TableConstraints(PrimaryKey(list(schema.key)), foreign)
    if schema.partitioned and table.time_partitioning is not None:
        if schema.require_partition_filter not in (None, bool(table.require_partition_filter)):
            wanted["require_partition_filter"] = schema.require_partition_filter
        expiration = _expiration(schema, str(table.time_partitioning.type_))
        if expiration not in (None, table.time_partitioning.expiration_ms):
            wanted["time_partitioning"] = bigquery.TimePartitioning(
                type_=table.time_partitioning.type_, field=table.time_partitioning.field, expiration_ms=expiration
            )
    if kms_key and (table.encryption_configuration or bigquery.EncryptionConfiguration()).kms_key_name != kms_key:
        wanted["encryption_configuration"] = bigquery.EncryptionConfiguration(kms_key)
    return _set(table, wanted)


def table_clauses(table: bigquery.Table, schema: Schema) -> str:
    """Return the clauses of ``create table`` that give another table the partitions and options of a table."""
    clauses, options = [], []
    partitioning = table.time_partitioning
    if partitioning is not None:
        unit = str(partitioning.type_).lower()
        clauses.append("partition by date" if unit == "day" else f"partition by date_trunc(date, {unit})")
        options.append(f"require_partition_filter = {str(bool(table.require_partition_filter)).lower()}")
        if partitioning.expiration_ms:
            options.append(f"partition_expiration_days = {partitioning.expiration_ms / _MS_PER_DAY:g}")
    if schema.clustering:
        clauses.append(f"cluster by {', '.join(schema.clustering)}")
    if table.encryption_configuration is not None:
        options.append(f"kms_key_name = '{table.encryption_configuration.kms_key_name}'")
    if options:
        clauses.append(f"options ({', '.join(options)})")
    return " ".join(clauses)


def update_view(view: bigquery.Table, schema: Schema, query: str) -> list[str]:
    """Change a view's query, description and labels to what they should be; return the properties that changed."""
    wanted = {"view_query": query, "description": schema.description, "labels": {**view.labels, **LABELS}}
    return _set(view, _differing(view, wanted))


def describe_columns(view: bigquery.Table, schema: Schema) -> list[str]:
    """Change the descriptions of a view's columns; return the properties that changed.

    Apart from the query: its columns are known once BigQuery has taken it.
    """
    described = {column.name.lower(): column for column in schema.columns}
    fields = [
        _described(field, described[field.name.lower()]) if field.name.lower() in described else field
        for field in view.schema
    ]
    return _set(view, _differing(view, {"schema": fields}))


def dataset_warnings(dataset: bigquery.Dataset) -> list[str]:
    """Return a sentence for each default of a dataset that makes tables or partitions expire."""
    name = f"{dataset.project}.{dataset.dataset_id}"
    found = [
        (dataset.default_table_expiration_ms, "new tables are deleted", "default_table_expiration"),
        (dataset.default_partition_expiration_ms, "the days of new tables are deleted", "default_partition_expiration"),
    ]
    return [
        f"dataset {name} has a default expiration: {what} after {_days(milliseconds)}, and a sync does not bring them "
        f"back. Take it away by `bq update --{option}=0 {dataset.project}:{dataset.dataset_id}`; tables that exist "
        "keep theirs"
        for milliseconds, what, option in found
        if milliseconds
    ]


def _warnings(table: bigquery.Table) -> tuple[str, ...]:
    sentences = []
    if table.expires is not None:
        sentences.append(
            f"table {table.table_id} is deleted on {table.expires:%Y-%m-%d}: take the expiration away by "
            f"`bq update --expiration=0 {table.project}:{table.dataset_id}.{table.table_id}`"
        )
    partitioning = table.time_partitioning
    if partitioning is not None and partitioning.expiration_ms:
        sentences.append(f"table {table.table_id} keeps its days for {_days(partitioning.expiration_ms)}")
    return tuple(sentences)


def _days(milliseconds: int) -> str:
    days = milliseconds / _MS_PER_DAY
    return f"{days:g} {'day' if days == 1 else 'days'}"


def _set(table: bigquery.Table, wanted: dict[str, Any]) -> list[str]:
    """Set properties, and return their names."""
    for name, value in wanted.items():
        setattr(table, name, value)
    return list(wanted)


def _differing(table: bigquery.Table, wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if getattr(table, name) != value}


def _merged_fields(found: Sequence[bigquery.SchemaField], columns: Sequence[Column]) -> list[bigquery.SchemaField]:
    """Return the fields of a table, brought up to date, with those that it lacks behind them."""
    wanted = {column.name.lower(): column for column in columns}
    fields = []
    for field in found:
        column = wanted.pop(field.name.lower(), None)
        fields.append(field if column is None else _described(_widened(field, column), column))
    return [*fields, *(_added(column) for column in wanted.values())]


def _widened(field: bigquery.SchemaField, column: Column) -> bigquery.SchemaField:
    """Return a field that is required only if the column is, and has all the column's fields."""
    resource = {**field.to_api_repr()}  # a copy: the field hands out its own
    if field.mode == "REQUIRED" and not column.required:
        resource["mode"] = "NULLABLE"
    if field.fields and column.fields:
        resource["fields"] = [part.to_api_repr() for part in _merged_fields(field.fields, column.fields)]
    return bigquery.SchemaField.from_api_repr(resource)


def _described(field: bigquery.SchemaField, column: Column) -> bigquery.SchemaField:
    """Return a field with the column's description; what else it has, such as policy tags, stays."""
    resource = {**field.to_api_repr(), "description": column.description}
    return bigquery.SchemaField.from_api_repr(resource)


def _added(column: Column) -> bigquery.SchemaField:
    """Return a field for a table that has rows: it cannot be required, nor can its parts."""
    resource = {**_field(column).to_api_repr()}
    if resource["mode"] == "REQUIRED":
        resource["mode"] = "NULLABLE"
    if column.fields:
        resource["fields"] = [_added(part).to_api_repr() for part in column.fields]
    return bigquery.SchemaField.from_api_repr(resource)


def _field(column: Column) -> bigquery.SchemaField:
    mode = "REPEATED" if column.repeated else "REQUIRED" if column.required else "NULLABLE"
    fields = [_field(field) for field in column.fields]
    type_name = "RECORD" if fields else str(column.type)  # the API's older name, which the emulator wants
    return bigquery.SchemaField(column.name, type_name, mode, description=column.description, fields=fields)


def _found_column(field: bigquery.SchemaField) -> FoundColumn:
    fields = tuple(_found_column(part) for part in field.fields)
    return FoundColumn(field.name, _type_name(field), field.mode == "REQUIRED", fields)


def _type_name(field: bigquery.SchemaField) -> str:
    name = _SHORT_NAMES.get(field.field_type, field.field_type)
    if field.fields:
        name = f"STRUCT<{', '.join(f'{part.name} {_type_name(part)}' for part in field.fields)}>"
    return f"ARRAY<{name}>" if field.mode == "REPEATED" else name


def _partition_of(table: bigquery.Table) -> str:
    partitioning = table.time_partitioning
    if partitioning is None:
        return "nothing" if table.range_partitioning is None else "ranges of numbers"
    unit = str(partitioning.type_).lower()
    return unit if partitioning.field == "date" else f"{unit} of {partitioning.field or 'ingestion'}"


def _expiration(schema: Schema, partition_by: str) -> int | None:
    """Return the milliseconds after its first day at which a partition expires, once its last day is old enough."""
    if schema.retention_days is None:
        return None
    days = schema.retention_days + (_MONTH if partition_by.upper() == "MONTH" else 0)
    return days * _MS_PER_DAY


def _key_of(table: bigquery.Table) -> list[str]:
    constraints = table.table_constraints
    return list(constraints.primary_key.columns) if constraints and constraints.primary_key else []
