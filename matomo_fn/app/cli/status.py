"""`status` and `history`: how complete the tables are, and what the runs did."""

from typing import Any

import click

from matomo_fn.app.audit import run_audit
from matomo_fn.app.cli.calendar import CHOICES
from matomo_fn.app.cli.options import connector_argument, json_option, settings_options, take_settings
from matomo_fn.app.cli.output import FAILED, exit_codes, log_to_terminal, print_json
from matomo_fn.app.cli.results import print_audit, print_history, print_status
from matomo_fn.app.history import read_history, read_requests
from matomo_fn.app.status import read_status
from matomo_fn.config.request import read_request


@click.command()
@connector_argument
@click.option(
    "--verify",
    is_flag=True,
    help="Compare the log with the rows of the tables, over all time, and mark what differs for the next sync.",
)
@click.option(
    "--calendar",
    type=click.Choice(CHOICES),
    default="all",
    show_default=True,
    help="Draw the days of the last year: once, for each table, each site, each of both, or not.",
)
@json_option
@settings_options
def status(connector: str, *, verify: bool, calendar: str, as_json: bool, **options: Any) -> None:
    """Show how complete the tables are, by table and site.

    Compares what the runs have logged with what the configuration asks for, and names what is missing.
    """
    with exit_codes(as_json=as_json, connector=connector):
        settings = take_settings(options)
        log_to_terminal(settings)
        verified = run_audit(settings, read_request({"connector": connector, "mode": "audit"})) if verify else None
        found = read_status(settings, connector)
        if as_json:
            audited = {"audit": verified.as_dict()} if verified else {}
            print_json(found.as_dict() | audited)
        else:
            print_status(found, calendar)
        if verified and not as_json:
            print_audit(verified)
        if not found.is_good or (verified and not verified.is_consistent):
            raise SystemExit(FAILED)


@click.command()
@connector_argument
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="RUNS", help="At most so many runs."
)
@json_option
@settings_options
def history(connector: str, limit: int, *, as_json: bool, **options: Any) -> None:
    """Show the runs of a connector, the newest first.

    When each started and what by, how long it took, and what became of its slices.
    """
    with exit_codes(as_json=as_json, connector=connector):
        settings = take_settings(options)
        log_to_terminal(settings)
        found, requests = read_history(settings, connector, most=limit), read_requests(settings, connector)
        if as_json:
            in_parts = {"requests": [request.as_dict() for request in requests]} if requests else {}
            print_json({"connector": connector, "runs": [run.as_dict() for run in found], **in_parts})
        else:
            print_history(found, requests)
