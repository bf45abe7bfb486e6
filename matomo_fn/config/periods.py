"""The key ``periods`` of a configuration: of which tables there are weeks, months and years besides days."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from matomo_fn.catalogue import VISITS, Catalogue, Table, table_of
from matomo_fn.config.validation import Problems, suggestion
from matomo_fn.periods import LONGER, Period

_BY_NAME = {period.value: period for period in LONGER}
_EXAMPLES = '["week", "month"], or by table {"visits_summary": ["week", "month"]}'

# The periods of each table, by its name; those of every report under the empty name.
Periods = Mapping[str, tuple[Period, ...]]
_EVERY_REPORT = ""


def read_periods(value: Any) -> Periods:
    """Return the periods by table; raise ValueError or Problems with a sentence for everything that is wrong."""
    if isinstance(value, list):
        return {_EVERY_REPORT: _periods(value)}
    if not isinstance(value, dict):
        raise ValueError(f"has to be a list of periods, such as {_EXAMPLES}")
    found, problems = {}, []
    for name, periods in value.items():
        try:
            found[name] = _periods(periods)
        except Problems as error:
            problems += [f"of table {name!r}: {sentence}" for sentence in error.sentences]
    if problems:
        raise Problems(problems)
    return found


def period_problems(periods: Periods, tables: Catalogue) -> list[str]:
    """Return a sentence for each table of a configuration's periods that it does not sync, or has already."""
    names = list(tables)
    reports_only = [name for name in names if name != VISITS.name]
    added = [each.name for table in tables.values() for each in _longer(table, periods)]
    return [
        *(f"{name!r} is the name of a custom report: give that report another one" for name in added if name in names),
        *_unknown(periods, names, reports_only),
    ]


def _unknown(periods: Periods, names: Collection[str], reports_only: Collection[str]) -> list[str]:
    return [
        "of table 'visits': single visits have no periods: group them by their date in a query"
        if name == VISITS.name
        else f'of table {name!r}: "reports" does not have it: {suggestion(name, reports_only)}'
        for name in periods
        if name != _EVERY_REPORT and (name == VISITS.name or name not in names)
    ]


def with_periods(tables: Catalogue, periods: Periods) -> Catalogue:
    """Return the tables, each followed by those of its longer periods."""
    found = []
    for table in tables.values():
        found += [table, *_longer(table, periods)]
    return Catalogue(found)


def _longer(table: Table, periods: Periods) -> list[Table]:
    """Return the tables of longer periods of a table of days."""
    if table.is_log or not table.period.is_day:
        return []
    return [table_of(table, period) for period in periods.get(table.name, periods.get(_EVERY_REPORT, ()))]


def _periods(value: Any) -> tuple[Period, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Problems([f"{json.dumps(value)} is no list of periods, such as {_EXAMPLES}"])
    if not value:
        raise Problems(['names no period: list "week", "month" or "year", or leave it out'])
    problems = [_problem(name) for name in value if name not in _BY_NAME]
    if problems:
        raise Problems(problems)
    return tuple(period for name, period in _BY_NAME.items() if name in value)


def _problem(name: str) -> str:
    match name:
        case "day":
            return "days are always synced: name week, month or year"
        case "range":
            return 'a range is no period of every report: a custom report has one by "period" and "days"'
        case _:
            return f"{name!r} is no period: {suggestion(name, _BY_NAME)}"
