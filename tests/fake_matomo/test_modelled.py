"""The answers of modelled reports and the visits log are the same, byte for byte, from version to version."""

from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest

from fake_matomo import FakeMatomo, default_world
from tests.fake_matomo.client import ask_raw

# Of the answers before other reports were answered from their metadata. A digest changes only with a deliberate
# change of the demo's tables.
DIGESTS = {
    "Actions.get": "27751da5a37754e7",
    "Actions.getPageTitles": "cc90badc3c63791d",
    "Actions.getPageUrls": "299c7e24d77dee38",
    "DevicesDetection.getType": "9a36447b63f24ae7",
    "Events.getCategory": "b39f5ac42db46ebf",
    "Live.getLastVisitsDetails": "e12a3ed49c3eed0a",
    "Referrers.getAll": "9ba29bbb32679650",
    "Referrers.getCampaigns": "a2264290a3f3a4f7",
    "Referrers.getReferrerType": "c54a3536049ebe9a",
    "Referrers.getSearchEngines": "14ffbae7512801c0",
    "Referrers.getSocials": "6c1e29a519f7b666",
    "Referrers.getWebsites": "b8c01417eb9080c2",
    "UserCountry.getCountry": "fea699b53d419609",
    "UserLanguage.getLanguage": "e3c86eef75abee6a",
    "VisitsSummary.get": "007cc6b2da74a845",
    "VisitsSummary.getVisits": "b59e63a77c9123aa",
}

REQUESTS: tuple[dict[str, Any], ...] = (
    {"idSite": 1, "period": "day", "date": "2026-11-11,2026-11-12"},
    {"idSite": 1, "period": "day", "date": "2026-11-12", "flat": 1, "format_metrics": 0},
    {"idSite": 4, "period": "week", "date": "2026-11-12", "filter_limit": -1, "hideColumns": "goals"},
    {"idSite": 2, "period": "day", "date": "2026-11-12", "filter_truncate": 2, "language": "fr"},
)


@pytest.fixture(scope="module")
def demo() -> Iterator[FakeMatomo]:
    """Run the instance of the demo."""
    with FakeMatomo(default_world(datetime(2026, 11, 20, 12, tzinfo=UTC))) as matomo:
        yield matomo


@pytest.mark.parametrize("method", DIGESTS)
def test_modelled_answers_stay_as_they_are(method: str, demo: FakeMatomo) -> None:
    """The demo's tables depend on them."""
    digest = sha256()
    for request in REQUESTS:
        digest.update(ask_raw(demo, method, **request).body.encode())
    assert digest.hexdigest()[:16] == DIGESTS[method]
