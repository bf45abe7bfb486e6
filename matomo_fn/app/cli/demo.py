"""`demo`: a sample Matomo on this machine, two syncs into a DuckDB file, and a first look at the data."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import click

import matomo_fn
from matomo_fn.app.cli.output import exit_codes, print_errors, print_rows, print_table
from matomo_fn.app.cli.program import own_command
from matomo_fn.app.cli.progress import progress_bar
from matomo_fn.app.logs import configure_logs
from matomo_fn.app.wiring import new_run, run_sync
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import config_secret, token_secret
from matomo_fn.config.settings import read_settings
from matomo_fn.errors import InputError, MatomoFnError, Stopped
from matomo_fn.warehouse.duckdb_reader import DuckDBReader

CONNECTOR = "demo"
# Two of the five sites that the sample has: a shop with goals and orders, and a smaller one without.
SITES = ("1", "2")
INTERRUPTED = 130  # what a shell has for a program that Ctrl-C ended

# The file that says that a folder is the demo's, and keeps it out of git.
_MARK = ".gitignore"
_MARK_TEXT = "# Created by `matomo-fn demo`, which replaces its files here each time.\n*\n"
_LISTENING = re.compile(r"fake Matomo at (?P<url>\S+) token (?P<token>\S+)")
_LOOKS = {
    "Visits of the last seven days, by site": """
        select date, website_id, nb_visits as visits, nb_uniq_visitors as visitors, nb_actions as actions
        from visits_summary where date > (select max(date) from visits_summary) - 7 order by 1 desc, 2""",
    "Countries": """
        select country, sum(visits) as visits, sum(conversions) as conversions
        from visitor_country group by country order by 2 desc, 1 limit 5""",
    "Channels": """
        select channel_type as channel, sum(visits) as visits, sum(conversions) as conversions
        from acquisition_channel_type group by 1 order by 2 desc, 1""",
}


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("matomo-demo"),
    show_default=True,
    help="Where the demo's files go; an earlier demo's are replaced.",
)
@click.option(
    "--days", type=click.IntRange(1, 1000), default=365, show_default=True, metavar="N", help="Days of history."
)
def demo(folder: Path, days: int) -> None:
    """Sync a sample Matomo and look at the data.

    Syncs a year of two sites into a DuckDB file, twice, and shows the numbers. Everything runs on this machine: no
    account, no network, nothing to configure.
    """
    with exit_codes(as_json=False):
        files = DemoFiles(folder)
        files.prepare()
        try:
            with _sample_matomo(files, days) as (url, token):
                _say(f"a sample Matomo answers at {url}")
                files.write_connector(url, token, days)
                is_good = _sync_twice(files, days)
            _look(files)
        except KeyboardInterrupt:
            click.echo(f"\nstopped; what was written stays in {folder}, and the next demo starts over", err=True)
            raise SystemExit(INTERRUPTED) from None
    _print_farewell(files)
    if not is_good:
        raise SystemExit(1)


class DemoFiles:
    """The files of a demo, all of them in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets = folder / "secrets"
        self.warehouse = folder / "matomo.duckdb"
        self.log = folder / "sync.log"
        self._config = self.secrets / config_secret(CONNECTOR)
        self._token = self.secrets / token_secret(CONNECTOR)

    def prepare(self) -> None:
        """Make the folder, without the files of an earlier demo; refuse one that belongs to something else."""
        mark = self.folder / _MARK
        try:
            if self.folder.is_dir() and any(self.folder.iterdir()):
                if not (mark.is_file() and mark.read_text(encoding="utf-8") == _MARK_TEXT):
                    raise InputError(f"{self.folder} is not empty and no earlier demo's: name another by --folder")
                database_log = self.warehouse.with_name(f"{self.warehouse.name}.wal")
                for path in (self.warehouse, database_log, self.log, self._config, self._token):
                    path.unlink(missing_ok=True)
            self.secrets.mkdir(parents=True, exist_ok=True)
            mark.write_text(_MARK_TEXT, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it has another program's files"
            raise InputError(f"{self.folder} cannot be used ({reason}): name another by --folder") from None

    def write_connector(self, url: str, token: str, days: int) -> None:
        """Write the two secrets of the connector."""
        config = {"matomo_url": url, "sites": SITES, "backfill_days": days, "requests_per_minute": 6000}
        self._config.write_text(json.dumps(config, indent=2), encoding="utf-8")
        self._token.write_text(token, encoding="utf-8")


@contextmanager
def _sample_matomo(files: DemoFiles, days: int) -> Iterator[tuple[str, str]]:
    """Run the sample Matomo; give its address and its token.

    It is a program of its own, so that it is reached as any Matomo is, and this package imports nothing of it. It
    ends when its standard input does, which the end of the block closes, and the end of a demo that is killed.
    """
    command = [sys.executable, "-m", "fake_matomo", "--port", "0", "--days", str(days), "--until-eof"]
    with (
        files.log.open("w", encoding="utf-8") as log,
        # Of the folder that this package was imported from, so that nothing in the user's folder is taken for it. In a
        # session of its own, so that Ctrl-C stops the sync first.
        subprocess.Popen(
            command,
            cwd=Path(matomo_fn.__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        first_line = process.stdout.readline() if process.stdout else ""
        listening = _LISTENING.match(first_line)
        if listening is None:
            raise MatomoFnError(f"the sample Matomo did not start; {files.log} says why")
        yield listening["url"], listening["token"]


def _sync_twice(files: DemoFiles, days: int) -> bool:
    """Sync and show what was written; sync again and show what was. Return whether both are complete."""
    _say(f"first sync: {len(SITES)} sites, {days} days (its log: {files.log})")
    first = _sync(files)
    _print_tables(files, first)
    _say("second sync: fetches the last days again and writes what changed")
    second = _sync(files)
    written, unchanged = (sum(table[key] for table in second["tables"].values()) for key in ("written", "unchanged"))
    click.echo(f"   {written} slices written, {unchanged} unchanged, {second['seconds']:.1f} seconds")
    print_errors([*first["errors"], *second["errors"]])
    return bool(first["status"] == second["status"] == "complete")


def _sync(files: DemoFiles) -> dict[str, Any]:
    # An empty environment: the variables of the user's own connector are not the demo's.
    settings = read_settings({}, {"secrets": str(files.secrets), "warehouse": f"duckdb:{files.warehouse}"})
    with files.log.open("a", encoding="utf-8") as log, progress_bar(as_json=False) as progress:
        configure_logs("json", log)
        try:
            result = run_sync(settings, read_request({"connector": CONNECTOR}), new_run(), progress)
        except Stopped:
            raise KeyboardInterrupt from None
    if result.stopped_by:
        raise KeyboardInterrupt  # which was Ctrl-C's, and ends the demo as well
    return result.as_dict()


def _print_tables(files: DemoFiles, result: dict[str, Any]) -> None:
    with DuckDBReader(files.warehouse) as reader:
        rows = [(name, *reader.summary(name), table["seconds"]) for name, table in result["tables"].items()]
    print_table(("table", "rows", "first day", "last day", "seconds"), rows)
    click.echo(f"   {result['matomo_calls']} calls to Matomo, {result['seconds']:.1f} seconds")


def _look(files: DemoFiles) -> None:
    with DuckDBReader(files.warehouse) as reader:
        for title, statement in _LOOKS.items():
            _say(title)
            found = reader.query(statement)
            print_rows(found.columns, found.rows)


def _print_farewell(files: DemoFiles) -> None:
    program = own_command()
    click.echo(f"""
Look at the data:
  export MATOMO_FN_SECRETS={quote(str(files.secrets))}
  export MATOMO_FN_WAREHOUSE={quote(f"duckdb:{files.warehouse}")}
  {program} show
  {program} show visitor_country
  {program} query "select date, nb_visits from visits_summary limit 5"
  {program} status {CONNECTOR}
  {program} report {CONNECTOR}

Sync your own Matomo:
  {program} connect shop --url https://matomo.example.com
  export MATOMO_FN_SECRETS=secrets
  export MATOMO_FN_WAREHOUSE=duckdb:matomo.duckdb
  {program} check shop
  {program} sync shop""")


def _say(text: str) -> None:
    click.echo(f"-- {text}")
