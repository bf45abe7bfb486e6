"""Every statement about visits before the GoogleSQL analyzer, and in DuckDB's dialect."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from matomo_fn.catalogue import (
    BUILT_IN,
    PAGE_TITLES,
    SYNC_LOG,
    VISIT_ACTIONS,
    VISITS,
    Schema,
)
from matomo_fn.days import Days
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse import log_sql, sql
from matomo_fn.warehouse.duckdb import to_duckdb
from tests.support.analyzer import Analyzer, AnalyzerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tests.support.analyzer import Column

DATASET = "test.shop"
PAGES = BUILT_IN["behaviour_page"]
VIEW = sql.view_query(DATASET, VISITS.name, VISIT_ACTIONS)
DAY = date(2026, 11, 12)
SLICES = [Slice(Stream("visits", site), DAY - timedelta(days=back)) for site in ("1", "2") for back in (0, 1, 5)]
STAGING = Schema("_staging_visits_r_1", "Rows.", VISITS.staged, partitioned=False)
TITLES = Schema("_staging_titles_r_1", "Titles.", PAGE_TITLES, partitioned=False)


def columns(schema: Schema) -> list[Column]:
    """A schema as the analyzer wants it; an array is an array by its type."""
    return [(c.name, c.type_name, "REQUIRED" if c.required else "NULLABLE") for c in schema.columns]


@pytest.fixture(scope="module")
def googlesql(analyzer: Callable[[Mapping[str, Iterable[Column]]], Analyzer]) -> Analyzer:
    """The analyzer with the tables that visits have to do with."""
    schemas = [VISITS.schema, PAGES.schema, SYNC_LOG, STAGING, TITLES]
    return analyzer({f"{DATASET}.{schema.name}": columns(schema) for schema in schemas})


def statements() -> dict[str, str]:
    """Every statement that names the visits, by what it does."""
    at = datetime(2026, 11, 20, 12, tzinfo=UTC)
    return {
        "create": sql.create_table(DATASET, VISITS.schema),
        "create staging": sql.create_table(DATASET, STAGING),
        "create titles": sql.create_table(DATASET, TITLES),
        "replace": sql.replace_slices(DATASET, VISITS, STAGING.name, SLICES, run_id="r", synced_at=at),
        "find moved": sql.moved_visits(DATASET, VISITS, SLICES),
        "moved": sql.delete_visits(DATASET, VISITS, {slice_: [7, 8] for slice_ in SLICES}),
        "find titles": sql.find_page_titles(DATASET, PAGES, TITLES.name, SLICES),
        "set titles": sql.set_page_titles(DATASET, PAGES, TITLES.name, SLICES),
        "view": VIEW,
        "create view": sql.create_view(DATASET, VISIT_ACTIONS.name, VIEW),
        "known": log_sql.known_slices(DATASET, "c", [VISITS, PAGES], log_sql.Span(DAY, DAY, Days.of([DAY]))),
        "status": log_sql.status_of(DATASET, "c", {VISITS.name: DAY}),
        "invalidate": log_sql.invalidate_slices(DATASET, VISITS.name, (DAY, DAY), run_id="r", at=at, reason="gone"),
        "append": sql.append_rows(DATASET, SYNC_LOG, SYNC_LOG.name, (DAY, DAY)),
    }


@pytest.mark.parametrize("name", statements())
def test_bigquery_would_take_every_statement_about_visits(name: str, googlesql: Analyzer) -> None:
    """Names, nested types and syntax hold before the real GoogleSQL analyzer; DuckDB's dialect has a form of it."""
    googlesql.check(statements()[name])
    assert to_duckdb(statements()[name])


def test_the_view_has_its_columns_in_their_order(googlesql: Analyzer) -> None:
    """What a run compares an existing view with is what the query gives; no name is there twice."""
    names = list(VISIT_ACTIONS.column_names)
    assert googlesql.columns(VIEW) == names
    assert len(set(names)) == len(names)


def test_a_field_of_an_action_that_is_not_there_is_refused(googlesql: Analyzer) -> None:
    """So the analyzer does look into the nested types."""
    with pytest.raises(AnalyzerError, match="titel"):
        googlesql.check(VIEW.replace("e.title", "e.titel"))
    with pytest.raises(AnalyzerError, match="item"):
        googlesql.check(f"select i.skuu from `{DATASET}.visits` v, unnest(v.actions) a, unnest(a.items) i")


def test_analysts_reach_items_products_and_raw(googlesql: Analyzer) -> None:
    """The queries that the nested columns are for."""
    googlesql.check(
        f"select v.visit_id, i.sku, i.price * i.quantity as value, c from `{DATASET}.visits` v, unnest(v.actions) a, "
        "unnest(a.items) i, unnest(i.categories) c where a.type = 'ecommerceOrder'"
    )
    googlesql.check(
        f"select a.product.sku, json_value(a.raw, '$.pageId'), (select value from unnest(v.custom_dimensions) "
        f"where index = 1) as plan from `{DATASET}.visits` v, unnest(v.actions) a where a.product is not null"
    )


def test_moved_visits_are_looked_for_around_the_days_that_were_written() -> None:
    """From two days before each slice to two days after it, by literal dates; sites apart."""
    statement = sql.moved_visits(DATASET, VISITS, [Slice(Stream("visits", "1"), DAY)])
    for alias in "en":
        assert (
            f"{alias}.date between date '2026-11-10' and date '2026-11-14' and {alias}.website_id in ('1')" in statement
        )
    delete = sql.delete_visits(DATASET, VISITS, {Slice(Stream("visits", "1"), DAY): [7, 8]})
    assert delete.endswith(
        "where t.date between date '2026-11-12' and date '2026-11-12' "
        "and ((t.date = date '2026-11-12' and t.website_id = '1' and t.visit_id in (7, 8)))"
    )


def test_no_statement_reads_visits_without_naming_literal_days() -> None:
    """Only literals prune partitions: a whole log would be paid for otherwise."""
    for name in ("replace", "find moved", "moved", "find titles", "known"):
        statement = statements()[name]
        aliases = {"replace": "t", "find moved": "e", "moved": "t", "find titles": "v", "known": "t"}
        assert f"{aliases[name]}.date in (date '" in statement or f"{aliases[name]}.date between date '" in statement
    assert "p.date in (date '" in statements()["find titles"] or "p.date between date '" in statements()["find titles"]
