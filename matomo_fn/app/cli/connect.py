"""`connect`: writes a connector's two secrets as files, without the token in the shell's history or on the screen."""

import json
import os
import sys
from pathlib import Path
from shlex import quote

import click

from matomo_fn.app.cli.options import connector_argument
from matomo_fn.app.cli.output import exit_codes
from matomo_fn.app.cli.program import own_command
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.secret_store import config_secret, token_of, token_secret
from matomo_fn.errors import InputError


@click.command()
@connector_argument
@click.option("--url", required=True, metavar="URL", help="Address of Matomo, such as https://matomo.example.com.")
@click.option("--site", "sites", multiple=True, metavar="ID", help="Only this site; repeatable. Without it, all.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    default=Path("secrets"),
    show_default=True,
    help="Folder of the two files; made if it is not there.",
)
def connect(connector: str, url: str, sites: tuple[str, ...], folder: Path) -> None:
    """Write a connector's configuration and token into files.

    Asks for the token without showing it, or reads it from standard input where that is no terminal. Files that are
    there already are left as they are.
    """
    with exit_codes(as_json=False):
        read_request({"connector": connector})
        config = json.dumps({"matomo_url": url, "sites": list(sites) or "all"}, indent=2)
        read_connector(connector, config)
        files = {folder / config_secret(connector): config, folder / token_secret(connector): ""}
        if existing := [path for path in files if path.exists()]:
            raise InputError([f"{path} is there already: edit it, or delete it first" for path in existing])
        files[folder / token_secret(connector)] = _ask_for_token(connector)
        _write(folder, files)
    click.echo(f"written: {' and '.join(map(str, files))}")
    click.echo(f"""
Next:
  export MATOMO_FN_SECRETS={quote(str(folder))} MATOMO_FN_WAREHOUSE=duckdb:matomo.duckdb
  {own_command()} check {connector}""")


def _ask_for_token(connector: str) -> str:
    is_person = sys.stdin.isatty()
    text = click.prompt("Token (not shown)", hide_input=True, err=True) if is_person else sys.stdin.read()
    return token_of(text, token_secret(connector)).reveal()


def _write(folder: Path, files: dict[Path, str]) -> None:
    """Write all files or none."""
    written: list[Path] = []
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True)
            (folder / ".gitignore").write_text("# A token has no place in a repository.\n*\n")
        for path, text in files.items():
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                written.append(path)
                file.write(f"{text}\n")
    except OSError as error:
        for path in written:
            path.unlink()
        raise InputError(f"{folder} cannot be written to: {error.strerror}: name another folder by --folder") from None
