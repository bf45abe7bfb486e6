"""A sample Matomo and a small connector of it, for the tests of runs that need no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from fake_matomo import FakeMatomo
from tests.support.local import Local, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    with FakeMatomo(small_world()) as running:
        yield running


@pytest.fixture
def shop(matomo: FakeMatomo, tmp_path: Path) -> Iterator[Local]:
    """Two tables of two sites: six days of backfill, three trailing."""
    with local(matomo, tmp_path / "shop.duckdb", reports=["visits_summary", "visitor_country"]) as opened:
        yield opened
