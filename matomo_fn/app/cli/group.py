"""`matomo-fn` itself: its help, its version, and which module has each command.

A command is imported when it is called, with what it needs. Help and version need nothing but this module.
"""

from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

import click

from matomo_fn import __version__


class _Place(NamedTuple):
    """Where a command is, and the first sentence of its help."""

    module: str
    name: str
    help: str


COMMANDS = {
    "check": _Place("check", "check", "See whether a connector can work, and what to fix."),
    "connect": _Place("connect", "connect", "Write a connector's configuration and token into files."),
    "connectors": _Place("connectors", "connectors_command", "List the connectors that have secrets."),
    "dbt-sources": _Place("dbt", "dbt_sources_command", "Print the tables as dbt's sources.yml."),
    "deliver": _Place("deliver", "deliver", "Send Segment's calls to Matomo, once each."),
    "demo": _Place("demo", "demo", "Sync a sample Matomo and look at the data."),
    "discover": _Place("discover", "discover", "List Matomo's reports, or print one's configuration."),
    "history": _Place("status", "history", "Show the runs of a connector, the newest first."),
    "plan": _Place("commands", "plan", "Show what a sync would request and write; do nothing of it."),
    "query": _Place("look", "query", "Query the tables of a DuckDB file."),
    "reconcile": _Place("reconcile", "reconcile", "Compare the tables with Matomo's own totals."),
    "report": _Place("report", "report", "Write a page about a connector: its days, visits, runs and checks."),
    "show": _Place("look", "show", "Show a table of a DuckDB file."),
    "status": _Place("status", "status", "Show how complete the tables are, by table and site."),
    "sync": _Place("commands", "sync", "Sync what is due, or a window of days."),
}


class _Commands(click.Group):
    """Commands that are imported when they are looked up; the list of them imports none.

    https://click.palletsprojects.com/en/stable/complex/#lazily-loading-subcommands
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click passes it
        """Return the names, sorted."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the same
        """Return a command, or None where there is none of that name."""
        return find_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names with the first sentences."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


def find_command(name: str) -> click.Command:
    """Return a command, which is imported with all that it needs."""
    place = COMMANDS[name]
    command: click.Command = getattr(import_module(f"matomo_fn.app.cli.{place.module}"), place.name)
    return command


def import_command(arguments: Sequence[str]) -> bool:
    """Import the command that the arguments of the program name; return whether they name one."""
    is_named = bool(arguments) and arguments[0] in COMMANDS
    if is_named:
        find_command(arguments[0])
    return is_named


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
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
