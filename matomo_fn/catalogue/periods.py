"""Tables of longer periods: what a table of days becomes where a slice is a week, month or year."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from matomo_fn.catalogue.model import Column, ColumnType, Table
from matomo_fn.periods import Period

# What Matomo counts for each period by itself, or not at all. Rows of longer periods have the sum of the days' counts
# in the place of each (recordings m53_weeks_*, m53_months_*); reports of one row have the count itself for weeks and
# months.
_UNIQUE = ("nb_uniq_visitors", "nb_users", "entry_nb_uniq_visitors", "exit_nb_uniq_visitors")
# How the built-in descriptions speak of the day that a slice is.
_PHRASES = ("The day's", "the day's", "of the day", "that day", "a day")


@lru_cache(maxsize=1024)
def table_of(table: Table, period: Period) -> Table:
    """Return the table of longer periods that belongs to a table of days, such as ``visits_summary_week``.

    Its rows are keyed by the first day of the period. Titles of pages and views are of days alone.
    """
    dimensions = [column for column in table.dimensions if not (table.titles_from and column.name == "page_title")]
    return replace(
        table,
        name=f"{table.name}_{period}",
        description=_of(table.description, period),
        period=period,
        dimensions=tuple(replace(column, description=_of(column.description, period)) for column in dimensions),
        metrics=tuple(column for metric in table.metrics for column in _metrics(table, metric, period)),
        views=(),
        titles_from="",
    )


def _metrics(table: Table, column: Column, period: Period) -> Iterator[Column]:
    """Yield what a column becomes: unique counts are NULL where Matomo has none, beside the sum of the days' counts."""
    if column.source not in _UNIQUE:
        yield replace(column, description=_of(column.description, period))
        return
    what = "visitors" if column.source.endswith("visitors") else "user IDs"
    if table.is_one_row:
        missing = "NULL, unless this Matomo is set to count them" if period == Period.YEAR else "NULL where it does not"
        description = f"Different {what} of the {period}, as Matomo counts them for the whole {period}; {missing}."
        yield replace(column, absent=None, description=f"{description} Matomo's {column.source}.")
        return
    description = f"NULL: of a {period} Matomo does not count the different {what} of a row. Matomo's {column.source}."
    yield replace(column, absent=None, description=description)
    source = f"sum_daily_{column.source}"
    yield Column(
        f"sum_daily_{column.name}",
        ColumnType.INT64,
        f"The different {what} of each day, summed up: who came on several days is counted on each. Matomo's {source}.",
        source=source,
        absent=0,
    )


def _of(description: str, period: Period) -> str:
    for phrase in _PHRASES:
        description = description.replace(f"{phrase} ", f"{phrase} ".replace("day", period.value))
        description = description.replace(f"{phrase},", f"{phrase},".replace("day", period.value))
        description = description.replace(f"{phrase};", f"{phrase};".replace("day", period.value))
        description = description.replace(f"{phrase}.", f"{phrase}.".replace("day", period.value))
    return description
