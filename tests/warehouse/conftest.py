"""The warehouses' tests have emulators of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import emulator as bigquery_emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A BigQuery emulator of the test's own: each job makes all later ones slower, and a start takes 0.3 s."""
    with bigquery_emulator.started() as running:
        yield running
