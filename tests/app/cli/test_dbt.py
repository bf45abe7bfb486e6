"""`dbt-sources` prints what dbt needs to know of the tables."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import yaml

from matomo_fn.app.cli.dbt import to_yaml
from matomo_fn.catalogue import BUILT_IN, PREBUILT, REFERENCE_TABLES, SYNC_LOG, SYNC_RUNS, SYNC_STATE, VISITS
from matomo_fn.warehouse.duckdb import to_duckdb
from tests.app.cli.calling import call
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.support.analyzer import Analyzer
    from tests.support.shop import Shop

VIEWS = [view.name for view in VISITS.views]


@cache
def sources(*options: str) -> dict[str, Any]:
    called = call({}, "dbt-sources", *options)
    assert (called.code, called.err) == (0, "")
    (source,) = yaml.safe_load(called.out)["sources"]
    assert isinstance(source, dict)
    return source


def tables(*options: str) -> dict[str, dict[str, Any]]:
    return {table["name"]: table for table in sources(*options)["tables"]}


def key_text(table: Mapping[str, Any]) -> str:
    (test,) = table["data_tests"]
    return str(test["unique"]["arguments"]["column_name"])


def test_it_needs_neither_connector_nor_settings() -> None:
    """It is about the catalogue: an empty environment will do."""
    assert sources()["name"] == "matomo"


def test_database_and_schema_are_named_where_they_are_given() -> None:
    """`--dataset` is BigQuery's word for dbt's schema."""
    assert not {"database", "schema"} & sources().keys()
    for option in ("--schema", "--dataset"):
        source = sources("--database", "my-project", option, "matomo_shop")
        assert (source["database"], source["schema"]) == ("my-project", "matomo_shop")


def test_a_connector_has_its_tables_and_its_dataset(shop: Shop) -> None:
    """Without visits there is neither their table nor the views of it; what is given as an option wins."""
    own = [*REFERENCE_TABLES, SYNC_LOG.name, SYNC_RUNS.name, SYNC_STATE]
    for visits, more in ((False, []), (True, ["visits", *VIEWS])):
        shop.configure(reports=["visitor_country"], visits=visits, reference_tables=True)
        (source,) = yaml.safe_load(call(shop.env, "dbt-sources", "shop").out)["sources"]
        assert [table["name"] for table in source["tables"]] == ["visitor_country", *more, *own]
        assert (source["schema"], "database" in source) == (DATASET, False)
    named = call(shop.env, "dbt-sources", "shop", "--schema", "other", "--json").json
    assert named["sources"][0]["schema"] == "other"


def test_a_connector_that_cannot_be_read_is_bad_input(shop: Shop) -> None:
    """So are settings that nothing is read with."""
    called = call(shop.env, "dbt-sources", "other")
    assert (called.code, called.out, len(called.errors)) == (2, "", 1)
    called = call({}, "dbt-sources", "--secrets", str(shop.secrets))
    assert (called.code, called.out) == (2, "")
    assert called.errors == ["settings are for reading a connector's configuration: name the connector as well"]


def test_json_is_the_same_document() -> None:
    """For programs that read no YAML."""
    assert call({}, "dbt-sources", "--json").json == yaml.safe_load(call({}, "dbt-sources").out)


def test_every_table_is_there_with_every_column() -> None:
    """Names, descriptions and types are the catalogue's."""
    found = tables()
    assert list(found) == [*BUILT_IN, *VIEWS, *REFERENCE_TABLES, SYNC_LOG.name, SYNC_RUNS.name, SYNC_STATE]
    schemas = {name: table.schema for name, table in BUILT_IN.items()} | {
        SYNC_LOG.name: SYNC_LOG,
        SYNC_RUNS.name: SYNC_RUNS,
    }
    for name, schema in schemas.items():
        assert found[name]["description"] == schema.description
        assert found[name]["columns"] == [
            {"name": column.name, "description": column.description, "data_type": column.type_name.lower()}
            | ({"data_tests": ["not_null"]} if column.required else {})
            for column in schema.columns
        ]


def test_only_what_has_a_row_every_day_can_be_late() -> None:
    """A site without campaigns is no fault of the pipeline."""
    found = tables()
    late = {name for name, table in found.items() if "freshness" in table.get("config", {})}
    assert late == {"visits_summary", "actions_summary", SYNC_RUNS.name}
    assert {table["config"]["loaded_at_field"] for name, table in found.items() if name in PREBUILT} == {"_synced_at"}


@pytest.mark.parametrize("name", PREBUILT)
def test_bigquery_can_run_the_test_of_the_key_and_of_freshness(
    name: str, analyzer: Callable[[Mapping[str, Any]], Analyzer]
) -> None:
    """They are expressions of ours, so they go before the analyzer."""
    columns = [(column.name, str(column.type), "NULLABLE") for column in PREBUILT[name].columns]
    check = analyzer({"p.d.t": columns}).check
    table = tables()[name]
    check(f"select {key_text(table)} as k, count(*) as n from `p.d.t` group by k having count(*) > 1")
    if freshness := table["config"].get("freshness"):
        check(f"select max(_synced_at) as latest from `p.d.t` where {freshness['filter']}")


def test_keys_are_unique_and_freshness_is_found_in_real_tables(shop: Shop) -> None:
    """What dbt would run on synced tables finds each key once, and rows that are fresh."""
    shop.configure(sites="all", backfill_days=3)
    assert call(shop.env, "sync", "shop").code == 0
    with duckdb.connect(str(shop.warehouse), read_only=True) as warehouse:
        for name, table in tables().items():
            if name in PREBUILT:
                query = to_duckdb(f"select count(*), count(distinct {key_text(table)}) from `{DATASET}.{name}`")
                rows, keys = warehouse.execute(query).fetchall()[0]
                assert rows == keys > 0, name
            if freshness := table.get("config", {}).get("freshness"):
                field = table["config"]["loaded_at_field"]
                query = f"select count({field}) from `{DATASET}.{name}` where {freshness['filter']}"
                assert warehouse.execute(to_duckdb(query)).fetchall()[0][0] > 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "null",
        "1",
        "a: b",
        "# no comment",
        "- item",
        "'",
        '"',
        "{}",
        "line\nbreak",
        "\\n",
        "é…🙂",
        "\t",
        " x ",
    ],
)
def test_every_text_comes_back_as_it_was(text: str) -> None:
    """Nothing in a description can be taken for YAML."""
    document = {"version": 2, "texts": [text], "tables": [{"name": text, "inner": {"text": text}}]}
    assert yaml.safe_load(to_yaml(document)) == document
