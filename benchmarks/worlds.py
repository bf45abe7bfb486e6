"""The sites that the benchmarks ask for, and how a connector is told of them."""

import json
from datetime import date
from pathlib import Path

from fake_matomo import Site, World
from matomo_fn.config.settings import Settings

CONNECTOR = "bench"
# Rows of a page report in a day: Matomo's archive keeps 500 of the root.
PAGES = 500


def wide_world(sites: int, pages: int = PAGES) -> World:
    """Return sites that see each of their pages every day."""
    return World(
        tuple(
            Site(
                number,
                f"Wide {number}",
                created=date(2021, 1, 1),
                visits_per_day=60,
                pages=pages,
                ecommerce=True,
                every_page_daily=True,
            )
            for number in range(1, sites + 1)
        )
    )


def settings_for(folder: Path, url: str, token: str, **config: object) -> Settings:
    """Return the settings of a run into a DuckDB file of the folder, its connector's secrets written there.

    ``config`` overrides the connector's configuration. The rate_limit is out of the way: it would be what is measured.
    """
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    values = {"matomo_url": url, "sites": "all", "requests_per_minute": 60_000, **config}
    (secrets / f"matomo-{CONNECTOR}-config").write_text(json.dumps(values))
    (secrets / f"matomo-{CONNECTOR}-token").write_text(token)
    return Settings(secrets=str(secrets), warehouse=f"duckdb:{folder / 'bench.duckdb'}")
