"""Functions that build columns, so that a table of the catalogue reads like its documentation."""

from matomo_fn.catalogue.model import Column, ColumnType


def text(name: str, source: str, description: str, *, fallback: str = "", required: bool = False) -> Column:
    """Return a STRING column; ``required`` for the dimensions of a key."""
    origin = f"{source}, or {fallback} where there is none" if fallback else source
    return Column(
        name,
        ColumnType.STRING,
        f"{description} Matomo's {origin}." if source else description,
        source=source,
        fallback=fallback,
        required=required,
    )


def count(name: str, source: str, description: str) -> Column:
    """Return an INT64 column of something counted (or summed up in whole units): absent means 0."""
    return Column(name, ColumnType.INT64, f"{description} Matomo's {source}.", source=source, absent=0)


def amount(name: str, source: str, description: str) -> Column:
    """Return a FLOAT64 column of something summed up: absent means 0."""
    return Column(name, ColumnType.FLOAT64, f"{description} Matomo's {source}.", source=source, absent=0)


def bound(name: str, source: str, description: str) -> Column:
    """Return an INT64 column of a minimum or maximum: absent means NULL."""
    return Column(name, ColumnType.INT64, f"{description} Matomo's {source}.", source=source)


def average(name: str, source: str, description: str) -> Column:
    """Return a FLOAT64 column of an average or a ratio: absent means NULL."""
    return Column(name, ColumnType.FLOAT64, f"{description} Matomo's {source}.", source=source)


def number(name: str, source: str, description: str) -> Column:
    """Return an INT64 column of a code: absent means NULL."""
    return Column(name, ColumnType.INT64, f"{description} Matomo's {source}.", source=source)


def document(name: str, source: str, description: str) -> Column:
    """Return a JSON column that keeps what Matomo answered."""
    return Column(name, ColumnType.JSON, f"{description} Matomo's {source}.", source=source)
