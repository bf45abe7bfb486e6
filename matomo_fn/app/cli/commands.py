"""The commands: each reads its options, calls what does the work, and prints what comes back."""

from typing import Any

import click

from matomo_fn import __version__
from matomo_fn.app.audit import run_audit
from matomo_fn.app.check import check_connector
from matomo_fn.app.cli.connect import connect
from matomo_fn.app.cli.connectors import list_connectors
from matomo_fn.app.cli.dbt import dbt_sources, to_yaml
from matomo_fn.app.cli.deliver import deliver
from matomo_fn.app.cli.demo import demo
from matomo_fn.app.cli.discover import discover
from matomo_fn.app.cli.look import query, show
from matomo_fn.app.cli.options import (
    connector_argument,
    json_option,
    request_options,
    secrets_options,
    settings_options,
    take_request,
    take_requests,
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
    print_sentence,
    print_table,
)
from matomo_fn.app.cli.progress import progress_bar
from matomo_fn.app.cli.results import print_audit, print_history, print_plan, print_result, print_status
from matomo_fn.app.cli.several import exit_code_of, sync_several
from matomo_fn.app.fan_out import Handing
from matomo_fn.app.history import read_history, read_requests
from matomo_fn.app.status import read_status
from matomo_fn.app.wiring import make_plan, new_run, run_sync
from matomo_fn.catalogue import BUILT_IN, REFERENCE_TABLES
from matomo_fn.config.connectors import find_connector
from matomo_fn.config.request import SeveralRequests, read_request
from matomo_fn.config.secret_store import open_secret_store
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError

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

    Exit codes: 0 all is done, 1 something failed or is missing, 2 the input or the token has to be fixed.
    """  # noqa: D301 - the character \b is how click is told to leave a paragraph's lines alone


@cli.command()
@connector_argument
@json_option
@settings_options
def check(connector: str, *, as_json: bool, **options: Any) -> None:
    """See whether a connector can work, and what to fix.

    Looks at the configuration, the token, Matomo's version, the sites that the token may see, whether Matomo answers
    each report (for one site and yesterday) and has visits logs, and whether the warehouse can be written to. Writes
    nothing.
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
                print_sentence(f"{'ok   ' if item.is_good else 'wrong'}  {item.name:<13}  {item.detail}", indent=22)
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
    """Show what a sync would request and write; do nothing of it."""
    with exit_codes(as_json=as_json):
        settings = take_settings(options)
        log_to_terminal(settings)
        found = make_plan(settings, take_request(connector, options))
        if as_json:
            print_json(found.as_dict())
        else:
            print_plan(found)
        if found.problems:
            raise SystemExit(FAILED)


class _SyncCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Point at `plan` where a dry run is wanted."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name == "--dry-run":
                raise click.UsageError("a dry run is a command of its own: plan, with the same options", ctx) from None
            raise


@cli.command(cls=_SyncCommand)
@click.argument("names", metavar="CONNECTOR...", nargs=-1, required=True)
@request_options
@click.option(
    "--detach", is_flag=True, help="Publish the request in shards, for the function to sync, and do not wait for it."
)
@json_option
@settings_options
def sync(names: tuple[str, ...], *, detach: bool, as_json: bool, **options: Any) -> None:
    """Sync what is due, or a window of days.

    Requests reports from Matomo, compares them with what the tables have, and writes what changed. Several connectors
    are synced one after the other; `all` is every one.
    """
    run = new_run()
    with exit_codes(as_json=as_json, connector=",".join(names), run_id=run.id):
        settings = take_settings(options)
        log_to_terminal(settings)
        request = take_requests(names, options, settings)
        handing = Handing.EVERYTHING if detach else Handing.NOTHING
        if isinstance(request, SeveralRequests):
            raise SystemExit(sync_several(settings, request, handing, as_json=as_json))
        with progress_bar(as_json=as_json) as progress:
            result = run_sync(settings, request, run, progress, handing=handing)
        if as_json:
            print_json(result.as_dict())
        else:
            print_result(result)
        raise SystemExit(exit_code_of(result))


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
            print_status(found)
        if verified and not as_json:
            print_audit(verified)
        if not found.is_good or (verified and not verified.is_consistent):
            raise SystemExit(FAILED)


@cli.command()
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


for command in (connect, deliver, demo, discover, query, show):
    cli.add_command(command)


def _place_of_secrets(settings: Settings) -> str:
    return f"project {settings.project}" if settings.secrets == "secret-manager" else settings.secrets
