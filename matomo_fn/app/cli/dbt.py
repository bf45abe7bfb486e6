"""`dbt-sources`: the tables as dbt's sources, a ``sources.yml`` made from the catalogue.

For dbt 1.10.5 and later, which reads ``config`` and the ``arguments`` of a test as they are written here.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import click
import yaml

from matomo_fn.app.cli.options import json_option, secrets_options, take_secrets
from matomo_fn.app.cli.output import exit_codes, print_json
from matomo_fn.catalogue import (
    BUILT_IN,
    REFERENCE_TABLES,
    SYNC_LOG,
    SYNC_RUNS,
    SYNC_STATE,
    SYNC_STATE_DESCRIPTION,
    Column,
    ReferenceTable,
    Schema,
    Table,
    View,
)
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.errors import InputError

# Of the source. Where no schema is named, dbt takes this for one.
SOURCE = "matomo"
# Hours since a table was last written. With a daily run they stay near 24: one that failed passes the first bound,
# two that failed the second.
_WARN_HOURS, _ERROR_HOURS = 36, 60
# What was written last belongs to recent days, so the newest partitions are enough to read. A period that goes on is in
# that of its first day.
_LATELY = 14
_LATELY_OF = {"week": _LATELY + 7, "month": _LATELY + 31, "year": _LATELY + 366}


def dbt_sources(
    tables: Iterable[Table], reference: Iterable[ReferenceTable], database: str | None, schema: str | None
) -> dict[str, Any]:
    """Return the content of a ``sources.yml``: the tables and those of the program itself, with tests and freshness.

    ``database`` (BigQuery's project) and ``schema`` (its dataset) are left to dbt where they are None.
    """
    source: dict[str, Any] = {"name": SOURCE, "description": "Matomo's reports, synced by matomo-fn."}
    if database:
        source["database"] = database
    if schema:
        source["schema"] = schema
    tables = list(tables)
    source["tables"] = [
        *(_table(table) for table in tables),
        *(_view(view) for table in tables for view in table.views),
        *(_reference(table.schema) for table in reference),
        _described(SYNC_LOG),
        _described(SYNC_RUNS) | {"config": _freshness("finished_at")},
        _described(Schema(SYNC_STATE, SYNC_STATE_DESCRIPTION, SYNC_LOG.columns)),
    ]
    return {"version": 2, "sources": [source]}


def to_yaml(value: Mapping[str, Any]) -> str:
    """Return a document as YAML, in the order of its keys and with each text on one line."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=math.inf)


def _table(table: Table) -> dict[str, Any]:
    config: dict[str, Any] = {"loaded_at_field": "_synced_at"}
    # A day without campaigns leaves no row, so only a table with a row every day can be called late. One of a
    # plugin that may be switched off, or of shops alone, may have none at all.
    if table.is_one_row and not table.is_optional:
        config = _freshness("_synced_at", _LATELY_OF.get(table.period.value, _LATELY))
    if table.open is not None and not table.open.is_chosen:
        return _described(table.schema) | {"config": config}  # what else identifies a row, Matomo's answers tell
    return _described(table.schema) | {"config": config, "data_tests": [_key_test(table.schema)]}


def _reference(schema: Schema) -> dict[str, Any]:
    """Return a reference table; it is written when Matomo's settings change, so it is never late."""
    return _described(schema) | {"data_tests": [_key_test(schema)]}


def _key_test(schema: Schema) -> dict[str, Any]:
    return {"unique": {"name": f"{schema.name}_key", "arguments": {"column_name": _key_text(schema)}}}


def _view(view: View) -> dict[str, Any]:
    return _described(Schema(view.name, view.description, tuple(column for column, _ in view.columns)))


def _described(schema: Schema) -> dict[str, Any]:
    columns = [_column(column) for column in schema.columns]
    return {"name": schema.name, "description": schema.description, "columns": columns}


def _column(column: Column) -> dict[str, Any]:
    found = {"name": column.name, "description": column.description, "data_type": column.type_name.lower()}
    return found | ({"data_tests": ["not_null"]} if column.required else {})


def _freshness(field: str, days: int = _LATELY) -> dict[str, Any]:
    return {
        "loaded_at_field": field,
        "freshness": {
            "warn_after": {"count": _WARN_HOURS, "period": "hour"},
            "error_after": {"count": _ERROR_HOURS, "period": "hour"},
            "filter": f"date >= current_date - {days}",
        },
    }


def _key_text(schema: Schema) -> str:
    """Return an expression that is one text for each key; what is NULL counts as a value."""
    parts = (f"coalesce(cast({name} as string), '')" for name in schema.key)
    separator = ", ' | ', "
    return f"concat({separator.join(parts)})"


@click.command("dbt-sources")
@click.argument("connector", required=False)
@click.option("--database", metavar="NAME", help="Project of the tables; without it, that of dbt's profile.")
@click.option(
    "--schema",
    "--dataset",
    "schema",
    metavar="NAME",
    help="Dataset of the tables; without it that of the connector, or none, and dbt looks in matomo.",
)
@json_option
@secrets_options
def dbt_sources_command(
    connector: str | None, database: str | None, schema: str | None, *, as_json: bool, **options: Any
) -> None:
    """Print the tables as dbt's sources.yml.

    With descriptions, types, tests of keys and required columns, and freshness. With a CONNECTOR its tables and its
    dataset; without one every table, which needs no settings.
    """
    with exit_codes(as_json=as_json):
        tables, reference = BUILT_IN, tuple(REFERENCE_TABLES.values())
        if connector is not None:
            read_request({"connector": connector})
            found = find_connector(open_secret_store(take_secrets(options)), connector)
            tables, reference, schema = found.catalogue, found.references, schema or found.dataset_name
        elif any(value is not None for value in options.values()):
            raise InputError("settings are for reading a connector's configuration: name the connector as well")
        document = dbt_sources(tables.values(), reference, database, schema)
        if as_json:
            print_json(document)
        else:
            click.echo(to_yaml(document), nl=False)
