"""What the command line prints: tables for people, JSON for programs, sentences for errors."""

import io
import json
import logging
import sys
import textwrap
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, time
from shutil import get_terminal_size
from typing import Any, TextIO, cast

import click

from matomo_fn.app.cli.progress import LinesAboveBar
from matomo_fn.app.logs import configure_logs
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError, MatomoFnError, TokenRefused
from matomo_fn.redaction import redact, redact_value
from matomo_fn.values import printable

FAILED, BAD_INPUT = 1, 2
# What a terminal has in place of the log line of a signal. Short enough to stand in one line.
_SENTENCES = {"run_stopping": "stopping: what was fetched is being written. Ctrl-C again ends at once."}


def say(text: str, *, is_error: bool = False) -> None:
    """Print a line that may have a text of Matomo's in it: without the token and what a terminal would obey."""
    click.echo(printable(redact(text)), err=is_error)


def print_json(value: object) -> None:
    """Print one JSON document; days and times are ISO 8601, other types that JSON does not have are text."""
    click.echo(json.dumps(redact_value(value), ensure_ascii=False, indent=2, default=_plain))


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, date | time) else str(value)


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]], *, quiet: Collection[str] = ()) -> None:
    """Print rows in columns: numbers to the right, everything else to the left, nothing as a dash.

    ``quiet`` columns are left out where all their values are 0 or nothing. Where the table is wider than the terminal
    (80 where there is none), columns are left out from the end and named on the error stream.
    """
    kept = [
        index for index, name in enumerate(head) if name not in quiet or any(row[index] for row in rows) or not rows
    ]
    head, rows = [head[index] for index in kept], [[row[index] for index in kept] for row in rows]
    _print_fitting(head, _columns(head, rows, [[_cell(value) for value in row] for row in rows]))


def print_rows(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print what a query found, as many columns as the terminal is wide (80 where there is none) and whole numbers.

    Long texts are cut. The columns that do not fit are named on the error stream.
    """
    _print_fitting(head, _columns(head, rows, [[_exact_cell(value) for value in row] for row in rows]))


def _print_fitting(head: Sequence[str], columns: Sequence[Sequence[str]]) -> None:
    """Print as many columns as the terminal is wide."""
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
        count = len(head) - fitting
        what = "1 more column does" if count == 1 else f"{count} more columns do"
        print_sentence(f"{what} not fit here: {names}. --json prints all.", err=True)


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


def print_errors(sentences: Sequence[str], label: str = "error") -> None:
    """Print sentences to the terminal's error stream."""
    for sentence in sentences:
        print_sentence(f"{label}: {sentence}", err=True)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as "1 call" or "2 calls"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_sentence(text: str, *, indent: int = 2, err: bool = False) -> None:
    """Print a sentence, on a terminal in lines of its width; elsewhere in one line, which can be searched."""
    text = printable(redact(text))
    stream = sys.stderr if err else sys.stdout
    if stream.isatty():
        width = max(40, get_terminal_size().columns)
        text = "\n".join(
            textwrap.wrap(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
        )
    click.echo(text, err=err)


@contextmanager
def exit_codes(*, as_json: bool, **known: str) -> Iterator[None]:
    """Turn foreseeable errors into sentences and exit codes: 2 for what the user has to fix, 1 for everything else.

    ``known`` stands in the JSON document of a failure: the connector, the run.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # half a surrogate pair is in no encoding
    try:
        yield
    except MatomoFnError as error:
        if as_json:
            print_json({"status": "failed", **known, "errors": list(error.sentences)})
        else:
            print_errors(error.sentences)
        raise SystemExit(BAD_INPUT if is_input(error) else FAILED) from None


def is_input(error: Exception) -> bool:
    """Return whether the user has to fix what they gave: request, configuration, settings, secret or token."""
    return isinstance(error, InputError | TokenRefused)


def log_to_terminal(settings: Settings) -> None:
    """Send log lines to the error stream, which leaves standard output to the result.

    On a terminal only warnings are shown, above the progress bar, and not the end of the run: the table and the
    sentences of the result tell that.
    """
    is_watched = sys.stderr.isatty() and settings.log_format == "auto"
    level = logging.WARNING if is_watched else logging.INFO
    stream = cast("TextIO", LinesAboveBar(sys.stderr))
    if is_watched:
        configure_logs(
            settings.log_format, stream, level, without=["run_finished", "deliver_finished"], sentences=_SENTENCES
        )
    else:
        configure_logs(settings.log_format, stream, level)
