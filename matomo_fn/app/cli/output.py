"""What the command line prints: tables for people, JSON for programs, progress where somebody watches."""

import io
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from shutil import get_terminal_size
from typing import Any

import click

from matomo_fn.app.logs import configure_logs
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError, MatomoFnError
from matomo_fn.redaction import redact, redact_value
from matomo_fn.sync.run import Progress, no_progress
from matomo_fn.values import printable

FAILED, BAD_INPUT = 1, 2


def say(text: str, *, is_error: bool = False) -> None:
    """Print a line that may have a text of Matomo's in it: without the token and what a terminal would obey."""
    click.echo(printable(redact(text)), err=is_error)


def print_json(value: object) -> None:
    """Print one JSON document; days and times are ISO 8601, other types that JSON does not have are text."""
    click.echo(json.dumps(redact_value(value), ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | time) else str(value)


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows in columns: numbers to the right, everything else to the left, nothing as a dash."""
    cells = [[_cell(value) for value in row] for row in rows]
    _print_columns(_columns(head, rows, cells))


def print_rows(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print what a query found, as many columns as the terminal is wide (80 where there is none) and whole numbers.

    Long texts are cut. The columns that do not fit are named on the error stream.
    """
    cells = [[_exact_cell(value) for value in row] for row in rows]
    columns = _columns(head, rows, cells)
    terminal = get_terminal_size().columns
    used, fitting = -_GAP, 0
    for column in columns:
        used += _GAP + len(column[0])
        if used > terminal and fitting:
            break
        fitting += 1
    _print_columns(columns[:fitting])
    if fitting < len(head):
        names = ", ".join(head[fitting:])
        click.echo(f"{len(head) - fitting} more columns do not fit here: {names}. --json prints all.", err=True)


_GAP = 2
# Characters of a text in a table. A country, a campaign or a path fits; of a long URL its beginning.
_LONGEST_CELL = 40


def _columns(head: Sequence[str], rows: Sequence[Sequence[Any]], cells: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return each column as its padded lines, the head first."""
    found = []
    for index, name in enumerate(head):
        lines = [name, *(row[index] for row in cells)]
        width = max(map(len, lines))
        is_number = bool(rows) and all(isinstance(row[index], int | float | None) for row in rows)
        found.append([line.rjust(width) if is_number else line.ljust(width) for line in lines])
    return found


def _print_columns(columns: Sequence[Sequence[str]]) -> None:
    for line in zip(*columns, strict=True):
        say((" " * _GAP).join(line).rstrip())


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else printable(redact(str(value)))


def _exact_cell(value: Any) -> str:
    if value is None:
        return "-"
    text = printable(redact(str(value)))  # escaped before the width is taken
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"


def print_errors(sentences: Sequence[str]) -> None:
    """Print sentences to the terminal's error stream."""
    for sentence in sentences:
        say(f"error: {sentence}", is_error=True)


@contextmanager
def exit_codes(*, as_json: bool) -> Iterator[None]:
    """Turn foreseeable errors into sentences and exit codes: 2 for bad input, 1 for everything else."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # half a surrogate pair is in no encoding
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
