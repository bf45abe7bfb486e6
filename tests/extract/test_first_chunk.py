"""The first range of a report is as wide as the rows of the tables let expect."""

from __future__ import annotations

from datetime import UTC, date, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import BUILT_IN
from matomo_fn.days import Days
from matomo_fn.extract.first_chunk import first_chunk
from matomo_fn.extract.jobs import FIRST_CHUNK, LONGEST_CHUNK, Job
from matomo_fn.matomo.reports import BULK_DAYS
from matomo_fn.sites import Site

if TYPE_CHECKING:
    from matomo_fn.slices import Slice

LAST = date(2026, 11, 19)
SITE = Site("1", "Site", UTC, date(2020, 1, 1))


def chunk(table: str, days: int, rows: dict[date, int]) -> int:
    """The first chunk of the newest days of a table of which some rows are known."""

    def known_rows(slice_: Slice) -> int | None:
        return rows.get(slice_.date)

    context: Any = SimpleNamespace(version=(5, 2), known_rows=known_rows)
    job = Job(SITE, (BUILT_IN[table],), Days.between(LAST - timedelta(days=days - 1), LAST))
    return first_chunk(context, job)


def known(days: int, rows: int, newest: int = 0) -> dict[date, int]:
    """As many rows on each of some days, but not on the newest."""
    return {LAST - timedelta(days=back): rows for back in range(newest, days)}


@pytest.mark.parametrize(
    ("table", "days", "rows", "expected"),
    [
        ("visitor_country", 365, {}, FIRST_CHUNK),
        ("visitor_country", 365, known(3, 5), FIRST_CHUNK),
        ("visits_summary", 730, known(730, 1), LONGEST_CHUNK),
        ("visitor_country", 30, known(30, 60, newest=1), 69),
        ("behaviour_page", 365, known(365, 500), 8),
        ("behaviour_page", 365, known(365, 50_000), FIRST_CHUNK),
        ("behaviour_page", 365, known(365, 5) | {LAST - timedelta(days=9): 600}, 6),
        ("referrers", 365, known(365, 5), BULK_DAYS),
        ("visitor_country", 2, known(2, 0), LONGEST_CHUNK),
    ],
    ids=[
        "unknown",
        "hardly known",
        "one row",
        "the newest missing",
        "pages",
        "huge",
        "one large day",
        "no ranges",
        "empty",
    ],
)
def test_what_is_known_decides(table: str, days: int, rows: dict[date, int], expected: int) -> None:
    """By the largest day that is known; a few days where less is known, and never more than one answer should have."""
    assert chunk(table, days, rows) == expected
