"""`discover`: what reports there are, and the configuration of one."""

from collections.abc import Sequence
from typing import Any

import click

from matomo_fn.app.cli.options import connector_argument, json_option, secrets_options, take_secrets
from matomo_fn.app.cli.output import exit_codes, log_to_terminal, print_errors, print_json, print_rows, print_table, say
from matomo_fn.app.discover import Discovered, discover_reports, shown_row, site_count
from matomo_fn.config.request import read_request
from matomo_fn.errors import InputError


@click.command()
@connector_argument
@click.option("--report", metavar="METHOD", help="Only this report, such as Events.getName, with its configuration.")
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="A parameter of the report, such as idGoal=1 or flat=1; repeatable.",
)
@click.option("--columns", is_flag=True, help="The columns of every report too: one call of Matomo and more for each.")
@json_option
@secrets_options
def discover(
    connector: str, report: str | None, parameters: tuple[str, ...], *, columns: bool, as_json: bool, **options: Any
) -> None:
    """List Matomo's reports, or print one's configuration.

    Each report with its category, dimension, metrics and the table that it would be. With --report the entry for
    "custom_reports", with the schema that its newest rows have, and three of them. Nothing is written.
    """
    with exit_codes(as_json=as_json, connector=connector):
        read_request({"connector": connector})
        settings = take_secrets(options)
        log_to_terminal(settings)
        if parameters and report is None:
            raise InputError("--parameter belongs to a report: name it by --report")
        found = discover_reports(settings, connector, report=report, parameters=_read(parameters), columns=columns)
        if as_json:
            print_json({"reports": [each.as_dict() for each in found]})
        elif report is not None:
            _print_one(found[0])
        else:
            _print_all(found, columns=columns)


def _read(parameters: Sequence[str]) -> dict[str, str]:
    found = {}
    for text in parameters:
        name, sign, value = text.partition("=")
        if not (name and sign):
            raise InputError(f"--parameter {text!r} is not NAME=VALUE, such as idGoal=1")
        found[name] = value
    return found


def _print_one(found: Discovered) -> None:
    print_json(found.configuration)
    click.echo()
    if not found.rows:
        click.echo("no rows of the last 31 days", err=True)
    for row in found.rows:
        say(shown_row(row))


def _print_all(found: Sequence[Discovered], *, columns: bool) -> None:
    if columns:
        head = ("report", "field", "column", "type", "identifier")
        rows = [
            (_call(each), column.field, column.column.name, column.column.type_name, "yes" if column.identifier else "")
            for each in found
            for column in each.columns or ()
        ]
        print_table(head, rows)
        print_errors([f"{_call(each)}: {each.problem}" for each in found if each.problem])
        return
    every = site_count(found)
    listed = [
        (
            _call(each),
            (each.metadata.dimension if each.metadata else "") or "(one row)",
            each.table.name,
            each.metadata.category if each.metadata else "",
            "all" if len(each.sites) == every else str(len(each.sites)),
            ", ".join(each.metrics),
        )
        for each in found
    ]
    print_rows(("report", "dimension", "table", "category", "sites", "metrics"), listed)


def _call(found: Discovered) -> str:
    return " ".join((found.spec.method, *(f"{key}={value}" for key, value in found.spec.params)))
