"""The commands: each reads its options, calls what does the work, and prints what comes back."""

from collections.abc import Iterable, Sequence
from typing import Any

import click

from matomo_fn import __version__
from matomo_fn.app.audit import run_audit
from matomo_fn.app.check import check_connector
from matomo_fn.app.cli.connect import connect
from matomo_fn.app.cli.connectors import list_connectors
from matomo_fn.app.cli.dbt import dbt_sources, to_yaml
from matomo_fn.app.cli.demo import demo
from matomo_fn.app.cli.look import query, show
from matomo_fn.app.cli.options import (
    connector_argument,
    json_option,
    request_options,
    secrets_options,
    settings_options,
    take_request,
    take_secrets,
    take_settings,
)
from matomo_fn.app.cli.output import (
    BAD_INPUT,
    FAILED,
    exit_codes,
    log_to_terminal,
    print_errors,
    print_json,
    print_table,
    progress_bar,
    say,
)
from matomo_fn.app.status import TableStatus, read_status
from matomo_fn.app.wiring import make_plan, new_run, run_sync
from matomo_fn.catalogue import BUILT_IN
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import config_secret, open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError
from matomo_fn.sync.audit import AuditResult
from matomo_fn.sync.result import PlanResult, RunResult, Verdict

_HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(context_settings=_HELP)
@click.version_option(__version__, prog_name="matomo-fn")
def cli() -> None:
    """Keep Matomo's reports in BigQuery (or a DuckDB file): complete, typed, safe to run again.

    CONNECTOR names one Matomo and one dataset: the secrets matomo-CONNECTOR-config (JSON) and matomo-CONNECTOR-token,
    in Secret Manager or as files of a folder.

    \b
    A first look, with files and without Google:
      matomo-fn connect shop --url https://matomo.example.com
      export MATOMO_FN_SECRETS=secrets MATOMO_FN_WAREHOUSE=duckdb:matomo.duckdb
      matomo-fn check shop
      matomo-fn sync shop
      matomo-fn show visits_summary

    `matomo-fn demo` shows all of it with a sample Matomo.

    Exit codes: 0 all is done, 1 something failed or remains, 2 the input has to be fixed.
    """  # noqa: D301 - the character \b is how click is told to leave a paragraph's lines alone


@cli.command()
@connector_argument
@json_option
@settings_options
def check(connector: str, *, as_json: bool, **options: Any) -> None:
    """See whether a connector can work, and what to fix.

    Looks at the configuration, the token, Matomo's version, the sites that the token may see, and the warehouse.
    Writes nothing.
    """
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        checks = check_connector(settings, connector)
        if as_json:
            good = all(item.is_good for item in checks)
            print_json({"status": "ok" if good else "failed", "checks": [item.as_dict() for item in checks]})
        else:
            for item in checks:
                say(f"{'ok   ' if item.is_good else 'wrong'}  {item.name:<13}  {item.detail}")
        if any(item.is_input and not item.is_good for item in checks):
            raise SystemExit(BAD_INPUT)
        if not all(item.is_good for item in checks):
            raise SystemExit(FAILED)


@cli.command()
@connector_argument
@request_options
@json_option
@settings_options
def plan(connector: str, *, as_json: bool, **options: Any) -> None:
    """Show what a sync would ask and write; do nothing of it."""
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        found = make_plan(settings, take_request(connector, options))
        if as_json:
            print_json(found.as_dict())
        else:
            _print_plan(found)
        if found.problems:
            raise SystemExit(FAILED)


@cli.command()
@connector_argument
@request_options
@json_option
@settings_options
def sync(connector: str, *, as_json: bool, **options: Any) -> None:
    """Sync what is due, or a window of days.

    Asks Matomo, compares with what is there, and writes what changed.
    """
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        request = take_request(connector, options)
        with progress_bar(as_json=as_json) as progress:
            result = run_sync(settings, request, new_run(), progress)
        if as_json:
            print_json(result.as_dict())
        else:
            _print_result(result)
        if result.verdict is not Verdict.COMPLETE:
            raise SystemExit(FAILED)


@cli.command()
@connector_argument
@click.option(
    "--verify",
    is_flag=True,
    help="Compare the log with the rows of the tables, over all time, and mark what differs for the next sync.",
)
@json_option
@settings_options
def status(connector: str, *, verify: bool, as_json: bool, **options: Any) -> None:
    """Show how complete the tables are, by table and site."""
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        verified = run_audit(settings, read_request({"connector": connector, "mode": "audit"})) if verify else None
        found = read_status(settings, connector)
        if as_json:
            audited = {"audit": verified.as_dict()} if verified else {}
            print_json({"connector": connector, "tables": [item.as_dict() for item in found], **audited})
        elif not found:
            click.echo(f"connector {connector!r} has not synced anything yet")
        else:
            _print_status(found)
        if verified and not as_json:
            _print_audit(verified)
        if not all(item.is_good for item in found) or (verified and not verified.is_consistent):
            raise SystemExit(FAILED)


@cli.command("connectors")
@json_option
@secrets_options
def connectors_command(*, as_json: bool, **options: Any) -> None:
    """List the connectors that have secrets.

    Each with its Matomo and its dataset. Tokens are not read.
    """
    with exit_codes(as_json=as_json):
        settings = take_secrets(options)
        found = list_connectors(open_secret_store(settings))
        if as_json:
            print_json({"connectors": [item.as_dict() for item in found]})
        elif found:
            print_table(("connector", "Matomo", "dataset"), [(i.name, i.matomo_url, i.dataset) for i in found])
            print_errors([problem for item in found for problem in item.problems])
        else:
            click.echo(f"there is no secret matomo-NAME-config in {_place_of_secrets(settings)}")
        if any(item.problems for item in found):
            raise SystemExit(BAD_INPUT)


@cli.command("dbt-sources")
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
        tables: Iterable[str] = BUILT_IN
        if connector is not None:
            read_request({"connector": connector})
            secrets = open_secret_store(take_secrets(options))
            found = read_connector(connector, secrets.read(config_secret(connector)))
            tables, schema = found.tables, schema or found.dataset_name
        elif any(value is not None for value in options.values()):
            raise InputError("settings are for reading a connector's configuration: name the connector as well")
        document = dbt_sources([BUILT_IN[name] for name in tables], database, schema)
        if as_json:
            print_json(document)
        else:
            click.echo(to_yaml(document), nl=False)


for command in (connect, demo, query, show):
    cli.add_command(command)


def _place_of_secrets(settings: Settings) -> str:
    return f"project {settings.project}" if settings.secrets == "secret-manager" else settings.secrets


def _print_plan(found: PlanResult) -> None:
    head = ("table", "first day", "last day", "slices", "open")
    rows = [(name, item.first_day, item.last_day, item.slices, item.open) for name, item in found.tables.items()]
    print_table(head, rows)
    click.echo(
        f"\n{found.plan.slices} slices of {len(found.sites)} site(s), about {found.plan.calls} calls to Matomo, "
        f"into {found.dataset}. Open slices are in no table yet; the others are refetched, and written if changed."
    )
    print_errors(found.problems)


def _print_result(result: RunResult) -> None:
    head = ("table", "days", "rows", "written", "unchanged", "pending", "failed", "remaining", "seconds")
    rows = [(name, *(item.as_dict()[key] for key in head[1:])) for name, item in result.tables.items()]
    print_table(head, rows)
    click.echo(f"\n{result.verdict}: {result.calls} calls to Matomo, {result.seconds:.1f} seconds, run {result.run_id}")
    for note in result.as_dict()["notes"]:
        say(f"note: {note}")
    print_errors(result.as_dict()["errors"])


def _print_audit(found: AuditResult) -> None:
    if found.is_consistent:
        click.echo("log and tables agree")
        return
    for finding in found.findings:
        click.echo(finding.sentence)
    click.echo(f"{len(found.differences)} slices differ from the log: the next sync refetches and rewrites them")


def _print_status(found: Sequence[TableStatus]) -> None:
    head = (
        "table",
        "site",
        "first day",
        "last day",
        "days",
        "gaps",
        "rows",
        "pending",
        "failed",
        "visits off by",
        "last run",
    )
    rows = [
        (
            item.table,
            item.website_id,
            item.first_day,
            item.last_day,
            item.days,
            item.gaps,
            item.rows,
            item.pending,
            item.failed,
            item.visits_difference,
            item.last_run.isoformat(sep=" ", timespec="minutes"),
        )
        for item in found
    ]
    print_table(head, rows)
    print_errors(sorted({item.last_error for item in found if item.last_error and not item.is_good}))
