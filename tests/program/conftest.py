"""The dataset on which the queries of the documents are answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import cookbook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.cookbook import Sample


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The demo's Matomo in the weeks of the documents, synced once."""
    with cookbook.synced(tmp_path_factory.mktemp("cookbook")) as synced:
        yield synced
