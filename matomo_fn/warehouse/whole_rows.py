"""Rows of the program's own tables as its runs write them: somebody may have changed them by hand."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from matomo_fn.errors import WarehouseError


def whole_rows(rows: Iterable[Mapping[str, Any]], table: str, required: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a table; raise WarehouseError at one that lacks a value that every run writes."""
    names = tuple(required)
    for row in rows:
        lacking = [name for name in names if row[name] is None]
        if lacking:
            raise WarehouseError(
                f"table {table} has rows that no run has written: {', '.join(lacking)} is NULL. Delete those rows: "
                "what they spoke of is refetched"
            )
        yield row
