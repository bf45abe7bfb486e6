"""`report`: a connector's page, written to a file."""

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from matomo_fn.app.cli.options import connector_argument, settings_options, take_settings
from matomo_fn.app.cli.output import exit_codes, log_to_terminal, print_sentence
from matomo_fn.app.report.facts import read_facts
from matomo_fn.app.report.page import render
from matomo_fn.errors import InputError
from matomo_fn.values import utf8


@click.command()
@connector_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=True),
    metavar="FILE",
    help="Where the page goes; without it CONNECTOR.html in this folder, and - is standard output.",
)
@settings_options
def report(connector: str, output: Path | None, **options: Any) -> None:
    """Write a page about a connector: its days, visits, runs and checks.

    One HTML file that needs nothing but a browser. It has numbers of days, sites and channels, and nothing personal.
    """
    with exit_codes(as_json=False):
        settings = take_settings(options)
        log_to_terminal(settings)
        page = utf8(render(read_facts(settings, connector)))
        if str(output) == "-":
            sys.stdout.buffer.write(page)
            return
        path = output or Path(f"{connector}.html")
        _write(path, page)
        print_sentence(f"{path}: {len(page) / 1000:,.0f} kB", indent=0)


def _write(path: Path, page: bytes) -> None:
    """Write a file whole or not at all: one that is there stays as it is until then."""
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
            temporary = Path(file.name)
            file.write(page)
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with contextlib.suppress(OSError):  # why it could not be written is what has to be said
                temporary.unlink()
        raise InputError(f"the page cannot be written to {path}: {error.strerror}. Name another file with -o") from None


def _umask() -> int:
    """Return the mask of the permissions that new files do not get; only setting it tells."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
