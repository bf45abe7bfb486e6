"""Writes what the dbt package has of the catalogue: its sources, and the descriptions of their columns."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from matomo_fn.app.cli.dbt import dbt_sources, to_yaml
from matomo_fn.catalogue import BUILT_IN, REFERENCE_TABLES

PACKAGE = Path(__file__).resolve().parent.parent / "dbt"
SOURCES = PACKAGE / "models" / "staging" / "sources.yml"
COLUMNS = PACKAGE / "models" / "staging" / "columns.md"

# The tables that the package reads, and the variable that switches each off. dbt runs the tests of a source wherever
# the package is installed, so tables that a connector may well not have are not among them.
_SWITCHES = {
    "visits": "matomo_visits",
    "visit_actions": "matomo_visits",
    "conversions": "matomo_visits",
    "order_items": "matomo_visits",
    "visits_summary": "matomo_reports",
    "acquisition_channel_type": "matomo_reports",
    "sites": "matomo_reference_tables",
    "goals": "matomo_reference_tables",
    "_sync_log": "matomo_visits",
}
_HEAD = "# Made from the catalogue by `make docs`; a change by hand is lost.\n"
_COLUMNS_HEAD = """\
The descriptions of the sources' columns, for the models that pass them on.
Made from the catalogue by `make docs`; a change by hand is lost.
"""


def sources() -> dict[str, Any]:
    """Return the package's ``sources.yml``: what `dbt-sources` prints of its tables, each behind its variable."""
    document = dbt_sources(BUILT_IN.values(), REFERENCE_TABLES.values(), None, "{{ var('matomo_schema') }}")
    (source,) = document["sources"]
    source["database"] = "{{ var('matomo_database', target.database) }}"
    found = {table["name"]: table for table in source["tables"]}
    source["tables"] = [_switched(found[name], switch) for name, switch in _SWITCHES.items()]
    return document


def sources_yaml() -> str:
    """Return the text of ``sources.yml``."""
    return _HEAD + to_yaml(sources())


def columns_markdown() -> str:
    """Return the text of ``columns.md``: a block ``TABLE__COLUMN`` for each column of the sources."""
    return "\n".join([_COLUMNS_HEAD, *_blocks(sources())])


def _switched(table: Mapping[str, Any], switch: str) -> dict[str, Any]:
    config = {"enabled": f"{{{{ var('{switch}') }}}}"} | table.get("config", {})
    # A required column is never NULL in BigQuery, which refuses it. So nobody pays for a test of it.
    columns = [{key: column[key] for key in ("name", "description", "data_type")} for column in table["columns"]]
    return {**table, "config": config, "columns": columns}


def _blocks(document: Mapping[str, Any]) -> Iterator[str]:
    for table in document["sources"][0]["tables"]:
        for column in table["columns"]:
            name = f"{table['name']}__{column['name']}"
            yield f"{{% docs {name} %}}\n{column['description']}\n{{% enddocs %}}\n"


def main() -> None:
    """Write both files."""
    SOURCES.write_text(sources_yaml(), encoding="utf-8")
    COLUMNS.write_text(columns_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
