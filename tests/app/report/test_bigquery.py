"""The page out of BigQuery, by its emulator: the statements of the page, and the types of what they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.app.cli.calling import call
from tests.app.report.test_facts import data_of
from tests.support import shop as shops

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.support.proxy import Proxy

TABLES = ["visits_summary", "visitor_country", "acquisition_channel_type"]


def test_the_page_of_bigquery_is_that_of_duckdb(tmp_path: Path, proxied_emulator: Proxy) -> None:
    """Days, visits, channels, Others and sites of the same days of the same Matomo."""
    bigquery = {
        "MATOMO_FN_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": "test",
        "BIGQUERY_EMULATOR_HOST": proxied_emulator.url,
    }
    pages: list[dict[str, Any]] = []
    with shops.running(tmp_path) as shop:
        shop.configure(sites="all", reports=TABLES, backfill_days=2, reference_tables=["sites"])
        for env in (shop.env, shop.env | bigquery):
            assert call(env, "sync", "shop").code == 0
            assert call(env, "report", "shop", "-o", str(tmp_path / "page.html")).code == 0
            pages.append(data_of((tmp_path / "page.html").read_text()))
    one, other = pages
    for part in ("first", "tables", "sites", "lines", "visits", "channels"):
        assert one[part] == other[part], part
    assert sorted(one["others"]) == sorted(other["others"])
    assert one["channels"]
    assert one["lines"] == ["363.2w"]
