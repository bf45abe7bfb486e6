"""What the command line prints: tables for people, JSON for programs, progress where somebody watches."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from matomo_fn.app.logs import configure_logs
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError, MatomoFnError
from matomo_fn.sync.run import Progress, no_progress

FAILED, BAD_INPUT = 1, 2


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns: numbers to the right, everything else to the left, nothing as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
    right = [all(isinstance(value, int | float | None) for value in column) for column in zip(*rows, strict=True)]
    for line in ([*head], *cells):
        padded = (
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(line, widths, right or [False] * len(head), strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def print_errors(sentences: Sequence[str]) -> None:
    """Print sentences to the terminal's error stream."""
    for sentence in sentences:
        click.echo(f"error: {sentence}", err=True)


@contextmanager
def exit_codes(*, as_json: bool) -> Iterator[None]:
    """Turn foreseeable errors into sentences and exit codes: 2 for bad input, 1 for everything else."""
    try:
        yield
    except MatomoFnError as error:
        if as_json:
            print_json({"status": "failed", "errors": list(error.sentences)})
        else:
            print_errors(error.sentences)
        raise SystemExit(BAD_INPUT if isinstance(error, InputError) else FAILED) from None


def log_to_terminal(settings: Settings) -> None:
    """Send log lines to the error stream, which leaves standard output to the result.

    Where a person watches, only what is wrong: the progress bar tells the rest.
    """
    level = logging.WARNING if sys.stderr.isatty() and settings.log_format == "auto" else logging.INFO
    configure_logs(settings.log_format, sys.stderr, level)


@contextmanager
def progress_bar(*, as_json: bool) -> Iterator[Progress]:
    """Give what shows a run's progress: a bar on a terminal, nothing elsewhere."""
    if as_json or not sys.stderr.isatty():
        yield no_progress
        return
    with click.progressbar(length=1, label="slices", file=sys.stderr, show_pos=True) as bar:

        def show(done: int, total: int) -> None:
            bar.length = total
            bar.update(done - bar.pos)

        yield show
