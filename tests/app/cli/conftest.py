"""A connector to call the command line for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import shop as shops

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """Two reports of one site of the last four days, and a token that is the canary; nothing synced yet."""
    with shops.running(tmp_path) as shop:
        shop.configure(reports=["visits_summary", "visitor_country"], backfill_days=4, concurrency=1)
        yield shop
