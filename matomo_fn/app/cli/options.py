"""The options that commands share: every setting of the process, and every field of a request."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from matomo_fn.catalogue import BUILT_IN, REFERENCE_TABLES
from matomo_fn.config.connectors import every_connector
from matomo_fn.config.request import SWEEP_DAYS, SeveralRequests, SyncRequest, read_request, read_requests
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import VARIABLES, Settings, settings_from_environment
from matomo_fn.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

connector_argument = click.argument("connector")
# Without the names behind "all", which are the arguments on a command line, and without what only events need.
_OF_SETTINGS = tuple(name for name in VARIABLES if name not in ("connectors", "pubsub_emulator"))
_OF_SECRETS = ("secrets", "secret_versions", "project")
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON document.")


def settings_options(command: Command) -> Command:
    """Add an option for each setting that a sync has; it wins over the environment variable.

    The connectors behind "all" and the Pub/Sub emulator have none.
    """
    return _options_of(command, _OF_SETTINGS)


def secrets_options(command: Command) -> Command:
    """Add the settings of a command that reads secrets and opens no warehouse."""
    return _options_of(command, _OF_SECRETS)


def _options_of(command: Command, fields: Collection[str]) -> Command:
    for field in reversed(list(fields)):
        description = Settings.model_fields[field].description
        name = f"--{field.replace('_', '-')}"
        help_text = f"{description} [{VARIABLES[field]}]"
        command = click.option(name, field, metavar="VALUE", help=help_text)(command)
    return command


def file_options(command: Command) -> Command:
    """Add the options of a command that reads a DuckDB file and nothing else."""
    field, variable = "warehouse", VARIABLES["warehouse"]
    warehouse = click.option("--warehouse", field, metavar="VALUE", help=f"The file, as duckdb:PATH. [{variable}]")
    dataset = click.option(
        "--dataset", metavar="NAME", help="The dataset to look in; not needed where the file has only one."
    )
    return warehouse(dataset(command))


def request_options(command: Command) -> Command:
    """Add an option for each field of a request."""
    options = [
        click.option("--start-date", metavar="DAY", help="First day, such as 2026-01-31; without it, what is due."),
        click.option("--end-date", metavar="DAY", help="Last day; without it, yesterday at the site."),
        click.option(
            "--table",
            "tables",
            multiple=True,
            metavar="NAME",
            help=f"Only this table; repeatable: {', '.join([*BUILT_IN, *REFERENCE_TABLES])}.",
        ),
        click.option(
            "--days", type=int, metavar="DAYS", help=f"How many days a sweep looks back; without it {SWEEP_DAYS}."
        ),
        click.option("--site", "sites", multiple=True, metavar="ID", help="Only this site; repeatable."),
        click.option(
            "--mode",
            metavar="MODE",
            help="incremental (what is due; the default), intraday (the present day), sweep (what the tables have of "
            "the last days: what Matomo has changed is written and named), backfill (every day of the window, by "
            "default the last backfill_days) or full_refresh (the same, and written even where nothing changed; a "
            "report that --table names is rebuilt).",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def take_settings(options: dict[str, Any]) -> Settings:
    """Return the settings that environment and options make; their options are taken out."""
    given = {field: options.pop(field) for field in _OF_SETTINGS}
    return settings_from_environment({field: value for field, value in given.items() if value is not None})


def take_secrets(options: dict[str, Any]) -> Settings:
    """Return the settings for reading secrets; one need not say where the tables are."""
    given = {field: options[field] for field in _OF_SECRETS}
    no_warehouse = {"warehouse": "duckdb:none"}
    return settings_from_environment(
        {field: value for field, value in given.items() if value is not None} | no_warehouse
    )


def take_file(warehouse: str | None) -> Path:
    """Return the DuckDB file that the option or the environment names."""
    # Reading a file needs neither secrets nor a project, so these are not required.
    overrides = {"secrets": ".", "secret_versions": "", "project": "none"}
    settings = settings_from_environment(overrides | ({"warehouse": warehouse} if warehouse else {}))
    if settings.duckdb_path is None:
        raise InputError(
            "this command looks at a DuckDB file: name it by --warehouse duckdb:PATH or MATOMO_FN_WAREHOUSE "
            "(tables in BigQuery are queried by `bq query` or in the console)"
        )
    return settings.duckdb_path


def take_requests(
    connectors: Sequence[str], options: dict[str, Any], settings: Settings
) -> SyncRequest | SeveralRequests:
    """Return the request that the options make, or several where there are several connectors or "all"."""
    values = _request_values(options, connectors)
    written = connectors[0] if len(connectors) == 1 else list(connectors)
    return read_requests(
        {"connector": written, **values}, lambda: every_connector(open_secret_store(settings), settings.connectors)
    )


def take_request(connector: str, options: dict[str, Any]) -> SyncRequest:
    """Return the request that the options make."""
    return read_request({"connector": connector, **_request_values(options, [connector])})


def _request_values(options: dict[str, Any], connectors: Sequence[str]) -> dict[str, Any]:
    # An empty text is kept and refused: it is what an unset variable of a shell leaves, and would mean another window.
    given = {name: value for name, value in options.items() if value not in (None, ())}
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
    if values.get("mode") == "reconcile":
        raise InputError(f"a reconciliation is a command of its own: matomo-fn reconcile {connectors[0]}")
    if values.get("mode") == "audit":
        raise InputError(f"an audit is a command of its own: matomo-fn status {connectors[0]} --verify")
    if values.get("mode") == "deliver":
        raise InputError(f"a delivery is a command of its own: matomo-fn deliver {connectors[0]}")
    return values
