"""The calendar of days in characters: a month a line, in colour on a terminal that has colour."""

import os
import sys
from collections import Counter
from datetime import timedelta
from itertools import groupby

import click

from matomo_fn.app.cli.output import say
from matomo_fn.app.day_calendar import DAYS, NONE, STATES, Calendar
from matomo_fn.slices import Stream

# What `--calendar` takes: one calendar for everything, or one for each table, site, or both.
CHOICES = ("all", "table", "site", "each", "none")
_COLOURS = {
    "none": "bright_black",
    "empty": "cyan",
    "unchanged": "green",
    "written": "green",
    "open": "blue",
    "pending": "yellow",
    "missing": "magenta",
    "quality": "bright_red",
    "failed": "red",
}
# Where in a line the days begin.
_DAYS_FROM = 9
_COLOUR_OF = {state.code: _COLOURS[state.name] for state in STATES}
_SIGNS = str.maketrans({state.code: state.sign for state in STATES})


def print_calendar(calendar: Calendar, by: str) -> None:
    """Print the last year, a month a line; of several tables or sites the gravest state of each day.

    ``by``: one of CHOICES. What the signs mean stands below, as far as they occur.
    """
    groups = _groups(calendar, by)
    is_coloured = has_colour()
    seen: Counter[str] = Counter()
    for title, streams in groups.items():
        line = calendar.gravest(streams)
        seen.update(line)
        click.echo()
        say(title)
        for month in _months(calendar, line):
            click.echo(_coloured(month) if is_coloured else month.translate(_SIGNS))
    click.echo()
    for state in reversed(STATES):
        if seen[state.code] and state.code != NONE:
            shown = click.style(state.sign, fg=_COLOUR_OF[state.code]) if is_coloured else state.sign
            click.echo(f"{shown} {state.name} ({seen[state.code]}): {state.meaning}")


def has_colour() -> bool:
    """Return whether standard output is a terminal with colours, and nobody has set NO_COLOR (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _groups(calendar: Calendar, by: str) -> dict[str, list[Stream]]:
    found: dict[str, list[Stream]] = {}
    for stream in sorted(calendar.lines):
        title = {
            "all": "all tables and sites",
            "table": stream.table,
            "site": f"site {stream.website_id}",
            "each": stream.described.removesuffix(","),
        }[by]
        found.setdefault(title, []).append(stream)
    return found


def _months(calendar: Calendar, line: str) -> list[str]:
    """Return a line for each month: its name, and a code for each of its days; before the first one, blanks.

    Months before the first day of which anything is known are left out.
    """
    months: dict[str, str] = {}
    for index in range(DAYS):
        day = calendar.first + timedelta(days=index)
        months.setdefault(f"{day:%Y-%m}", " " * (day.day - 1))
        months[f"{day:%Y-%m}"] += line[index]
    names = list(months)
    while len(names) > 1 and not months[names[0]].strip(f" {NONE}"):
        del names[0]
    return [f"{name:<{_DAYS_FROM}}{months[name]}" for name in names]


def _coloured(month: str) -> str:
    """Return a month with the codes of its days as signs, each run of equal ones in its colour."""
    name, days = month[:_DAYS_FROM], month[_DAYS_FROM:]
    parts = [name]
    for code, same in groupby(days):
        signs = "".join(same).translate(_SIGNS)
        parts.append(signs if code == " " else click.style(signs, fg=_COLOUR_OF[code]))
    return "".join(parts)
