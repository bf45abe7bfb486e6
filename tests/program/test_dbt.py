"""The dbt package: what it builds on the sample Matomo's visits, and that BigQuery accepts what it compiles to.

The numbers are computed from the visits as the sample invented them, in plain Python. No table is read for them.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import matomo_fn
from fake_matomo import Goal
from fake_matomo.visits import Order
from matomo_fn.catalogue import BUILT_IN, REFERENCE_TABLES, SYNC_LOG
from tests.support import dbt
from tests.support.dbt_build import CHANGED, DATASET, MARTS, ODD, SITES, UNTOUCHED, VANISHED, built_once
from tools import dbt_package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from fake_matomo import Visit
    from fake_matomo.visits import Action
    from tests.support.analyzer import Analyzer
    from tests.support.analyzer import Column as AnalyzerColumn
    from tests.support.dbt_build import Built, Table

# dbt starts, reads the models three times and builds them six times: half a minute, on a busy machine more.
pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

INCREMENTAL = {"sessions", "conversions", "funnel", "product_revenue"}
CHANNELS = {1: "direct", 2: "search", 3: "website", 6: "campaign", 7: "social"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """What was built, once for all workers of the run."""
    base = tmp_path_factory.getbasetemp()
    with built_once((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "dbt") as found:
        yield found


# --- the sample's visits ---------------------------------------------------------------------------------------


def of_kind(visit: Visit, *kinds: str) -> list[Action]:
    """The visit's actions of some kinds."""
    return [action for action in visit.actions if action.kind in kinds]


def conversions_of(visit: Visit) -> list[Action]:
    """Goals and orders."""
    return of_kind(visit, "goal", "ecommerceOrder")


def revenue_of(actions: Iterable[Action]) -> float:
    """The revenue of goals and orders."""
    return sum(action.detail.revenue for action in actions if isinstance(action.detail, (Goal, Order)))


def channel_of(visit: Visit) -> str:
    """Its channel by the name that the visits log has."""
    return CHANNELS[visit.referrer.type]


def week_of(day: date) -> date:
    """The Monday of the day's week."""
    return day - timedelta(days=day.weekday())


def totals(visits: Iterable[tuple[tuple[Any, ...], tuple[float, ...]]]) -> Table:
    """The sums of values by their keys."""
    found: dict[tuple[Any, ...], list[float]] = {}
    for key, values in visits:
        sums = found.setdefault(key, [0] * len(values))
        for place, value in enumerate(values):
            sums[place] += value
    return {key: tuple(map(pytest.approx, values)) for key, values in found.items()}


# --- the numbers -----------------------------------------------------------------------------------------------


def test_sessions_are_matomos_visits(built: Built) -> None:
    """By site, day and channel: visits, pages, bounces, conversions, revenue and pieces, in the site's own days."""
    found = built.table(
        f"""select website_id, date, channel, count(*), sum(page_views), countif(is_bounce), sum(goal_conversions),
        sum(orders), sum(conversions), sum(revenue), sum(items)
        from analytics.matomo__sessions where date != '{ODD}' group by website_id, date, channel"""
    )
    assert found == totals(
        (
            (str(visit.site_id), visit.day, channel_of(visit)),
            (
                1,
                len(of_kind(visit, "action")),
                visit.total_actions <= 1,
                len(of_kind(visit, "goal")),
                len(of_kind(visit, "ecommerceOrder")),
                len(conversions_of(visit)),
                revenue_of(conversions_of(visit)),
                sum(o.detail.quantity for o in of_kind(visit, "ecommerceOrder") if isinstance(o.detail, Order)),
            ),
        )
        for visit in built.visits()
    )
    assert {site for site, _, _ in found} == {"1", "4", "5"}


def test_channels_have_what_each_model_gives_them(built: Built) -> None:
    """The touches of the visitor in the 30 days before each conversion, the visit that converted among them."""
    visits = built.visits()
    by_visitor = defaultdict(list)
    for visit in visits:
        by_visitor[visit.site_id, visit.visitor.id].append(visit)
    rows = []
    for visit in visits:
        for action in conversions_of(visit):
            touches = sorted(
                (
                    each
                    for each in by_visitor[visit.site_id, visit.visitor.id]
                    if each is visit or action.at - 30 * 86_400 <= each.first_at <= action.at
                ),
                key=lambda each: (each.first_at, each.id),
            )
            channels = [channel_of(each) for each in touches]
            last_non_direct = next((channel for channel in reversed(channels) if channel != "direct"), "direct")
            kind = "goal" if action.kind == "goal" else "order"
            for model, channel in (
                ("first", channels[0]),
                ("last", channels[-1]),
                ("last_non_direct", last_non_direct),
            ):
                rows.append(((str(visit.site_id), model, channel, kind), (1, revenue_of([action]))))
    found = built.table(
        f"""select website_id, attribution_model, channel, conversion_type, sum(conversions), sum(revenue)
        from analytics.matomo__channel_attribution where date != '{ODD}'
        group by website_id, attribution_model, channel, conversion_type"""
    )
    assert found == totals(rows)
    by_model = [{k: v for k, v in found.items() if k[1] == m} for m in ("first", "last", "last_non_direct")]
    assert len({str(sorted((k[0], k[2], k[3], v) for k, v in each.items())) for each in by_model}) == 3


def test_landing_pages_have_the_visits_that_began_there(built: Built) -> None:
    """The first page view's URL without its query, and what became of the visits."""
    found = built.table(
        f"""select website_id, landing_page, sum(sessions), sum(bounces), sum(conversions), sum(converted_sessions),
        sum(revenue) from analytics.matomo__landing_pages where date != '{ODD}' group by website_id, landing_page"""
    )
    rows = []
    for visit in built.visits():
        pages = of_kind(visit, "action")
        page = pages[0].page.url.partition("?")[0].partition("#")[0] if pages else "(not set)"
        converted = conversions_of(visit)
        values = (1, visit.total_actions <= 1, len(converted), bool(converted), revenue_of(converted))
        rows.append(((str(visit.site_id), page), values))
    assert found == totals(rows)


def test_the_funnel_counts_steps_in_their_order(built: Built) -> None:
    """Each step once the one before was reached in the same visit; also a step that nobody reached has its rows."""
    rows = []
    for visit in built.visits():
        step = 0
        for action in visit.actions:
            is_page = action.kind == "action"
            wanted = (is_page, is_page and action.page.product is not None, action.kind == "ecommerceOrder")
            if step < len(wanted) and wanted[step]:
                step += 1
        for number, name in enumerate(("page view", "product page", "order"), 1):
            rows.append(((str(visit.site_id), visit.day, number, name), (1, step >= number)))
    found = built.table(
        f"""select website_id, date, step_number, step, sum(all_sessions), sum(sessions)
        from analytics.matomo__funnel where date != '{ODD}' group by website_id, date, step_number, step"""
    )
    assert found == totals(rows)


def test_retention_follows_the_visitors_of_a_week(built: Built) -> None:
    """Weeks begin on Monday; each later week of the site has a row, also where nobody returned."""
    weeks = defaultdict(set)
    for visit in built.visits():
        weeks[visit.site_id, visit.visitor.id].add(week_of(visit.day))
    every = {site: {week for (at, _), seen in weeks.items() if at == site for week in seen} for site in SITES}
    rows = []
    for (site, _), seen in weeks.items():
        for week in every[site]:
            if week >= min(seen):
                later = (week - min(seen)).days // 7
                rows.append(((str(site), min(seen), week, later), (1, week in seen)))
    found = built.table(
        """select website_id, cohort_week, week, weeks_later, sum(cohort_visitors), sum(visitors)
        from analytics.matomo__retention group by website_id, cohort_week, week, weeks_later"""
    )
    assert found == totals(rows)
    assert {key[3] for key in found} == {0, 1, 2}


def test_revenue_is_that_of_goals_and_orders(built: Built) -> None:
    """By site, day and channel, with the parts of the orders."""
    rows = []
    for visit in built.visits():
        orders = [order.detail for order in of_kind(visit, "ecommerceOrder") if isinstance(order.detail, Order)]
        values = (
            1,
            revenue_of(of_kind(visit, "goal")),
            sum(order.revenue for order in orders),
            *(sum(getattr(order, part) for order in orders) for part in ("subtotal", "tax", "shipping", "discount")),
        )
        rows.append(((str(visit.site_id), visit.day, channel_of(visit)), values))
    found = built.table(
        f"""select website_id, date, channel, sum(sessions), sum(goal_revenue), sum(order_revenue), sum(order_subtotal),
        sum(order_tax), sum(order_shipping), sum(order_discount)
        from analytics.matomo__revenue where date != '{ODD}' group by website_id, date, channel"""
    )
    assert found == totals(rows)


def test_products_have_what_was_ordered_of_them(built: Built) -> None:
    """By site, day and SKU: orders, pieces, and prices times quantities."""
    rows = []
    for visit in built.visits():
        for order in of_kind(visit, "ecommerceOrder"):
            assert isinstance(order.detail, Order)
            skus = Counter(item.product.sku for item in order.detail.items)
            for item in order.detail.items:
                assert skus[item.product.sku] == 1
                key = (str(visit.site_id), visit.day, item.product.sku, item.product.name)
                rows.append((key, (1, item.quantity, item.product.price * item.quantity)))
    found = built.table(
        f"""select website_id, date, sku, product_name, sum(orders), sum(quantity), sum(revenue)
        from analytics.matomo__product_revenue where date != '{ODD}' group by website_id, date, sku, product_name"""
    )
    assert found == totals(rows)


# --- the builds ------------------------------------------------------------------------------------------------


def test_a_connector_without_visits_has_the_models_of_reports(built: Built) -> None:
    """The variable leaves out every model that needs visits, and its tests."""
    answer = built.answers["reports"]
    assert answer.success, answer.text
    names = ("channels", "goals", "sites", "visits_summary")
    assert answer.nodes.keys() == {f"model.matomo.stg_matomo__{name}" for name in names}


def test_a_table_that_is_not_there_is_an_error_that_says_what_to_do(built: Built) -> None:
    """The table, the variable of the dataset, the connector's key, and the variable to do without it."""
    answer = built.answers["missing"]
    assert not answer.success
    statuses = {name.removeprefix("model.matomo."): node["status"] for name, node in answer.nodes.items()}
    staged = ("visits", "visit_actions", "conversions", "order_items")
    assert {name for name, status in statuses.items() if status == "error"} == {f"stg_matomo__{n}" for n in staged}
    assert {statuses[f"matomo__{mart}"] for mart in MARTS} == {"skipped"}
    assert statuses["stg_matomo__visits_summary"] == "success"
    table = '"matomo"."matomo_shop"."visits"'
    assert f"There is no table {table}. Is the variable matomo_schema (matomo_shop) the connector's" in answer.text
    assert 'synced by a connector with "visits": true.' in answer.text
    assert "set the variable matomo_visits to false." in answer.text


def test_models_are_built_on_empty_tables(built: Built) -> None:
    """A connector that has just begun, or whose sites have no visits."""
    assert built.answers["empty"].success, built.answers["empty"].text
    assert built.answers["first"].success, built.answers["first"].text


def test_all_tests_of_the_package_pass(built: Built) -> None:
    """On what the incremental builds have left, without a warning."""
    answer = built.answers["second"]
    assert answer.success, answer.text
    statuses = Counter((name.partition(".")[0], node["status"]) for name, node in answer.nodes.items())
    assert set(statuses) == {("model", "success"), ("test", "pass")}
    assert statuses["model", "success"] == 16
    assert statuses["test", "pass"] > 60
    assert answer.text.strip() == ""


def test_only_days_that_were_written_are_built_again(built: Built) -> None:
    """What stands before the earliest of them is not touched; a changed day is replaced, and a vanished one is gone."""
    rows = built.connection.execute(
        "select distinct date from analytics.matomo__sessions where city = 'kept'"
    ).fetchall()
    assert rows == [(UNTOUCHED,)]
    for mart in ("sessions", "conversions", "funnel", "product_revenue", "revenue", "landing_pages"):
        dates = {day for (day,) in built.connection.execute(f"select date from analytics.matomo__{mart}").fetchall()}
        assert {UNTOUCHED, CHANGED} <= dates
        assert VANISHED not in dates


def test_odd_visits_are_sessions_too(built: Built) -> None:
    """Without actions, channel, visitor, revenue or time a visit still counts, and its conversions count as 0."""
    rows = built.connection.execute(
        f"""select visit_id, channel, page_views, is_bounce, conversions, revenue, landing_page is null
        from analytics.matomo__sessions where date = '{ODD}' order by visit_id"""
    ).fetchall()
    assert [row[2:6] for row in rows[:2]] == [(0, True, 0, 0), (0, False, 0, 0)]
    assert rows[1][1] == "unknown"
    assert [row[6] for row in rows[:2]] == [True, True]
    assert rows[2][4] > 0
    assert rows[2][5] == 0
    found = built.connection.execute(
        f"""select attribution_model, sum(conversions), sum(revenue) from analytics.matomo__channel_attribution
        where date = '{ODD}' group by attribution_model"""
    ).fetchall()
    assert len(found) == 3


# --- the documentation -----------------------------------------------------------------------------------------


def test_every_model_and_column_is_described(built: Built) -> None:
    """The columns that a model has are those that are described, and no others."""
    assert built.answers["docs"].success, built.answers["docs"].text
    models = {
        name: node
        for name, node in built.manifest["nodes"].items()
        if node["resource_type"] == "model" and node["package_name"] == "matomo"
    }
    assert len(models) == 16
    for name, node in models.items():
        assert node["description"].strip(), name
        columns = built.catalog["nodes"][name]["columns"]
        assert list(node["columns"]) == list(columns), name
        assert all(column["description"].strip() for column in node["columns"].values()), name


def test_the_readme_has_the_variables_and_models() -> None:
    """With their defaults, and the version is the program's."""
    text = (dbt.PACKAGE / "README.md").read_text(encoding="utf-8")
    project = yaml.safe_load((dbt.PACKAGE / "dbt_project.yml").read_text(encoding="utf-8"))
    assert project["version"] == matomo_fn.__version__
    rows = dict(re.findall(r"^\| `(matomo_\w+)` \| (.+?) \|", text.partition("## Variables")[2], re.MULTILINE))
    steps = ", ".join(step["name"] for step in project["vars"].pop("matomo_funnel_steps"))
    assert rows.pop("matomo_funnel_steps") == steps
    assert rows.pop("matomo_database") == "that of the profile"
    shown = {"": '`""`', True: "`true`"}
    assert rows == {name: shown.get(value, f"`{value}`") for name, value in project["vars"].items()}
    marts = re.findall(r"^\| `matomo__(\w+)` \|.*\| (by days|in full) \|$", text, re.MULTILINE)
    assert [mart for mart, _ in marts] == list(MARTS)
    assert {mart for mart, how in marts if how == "by days"} == INCREMENTAL


def test_the_sources_are_those_of_the_catalogue() -> None:
    """`make docs` writes them."""
    assert dbt_package.SOURCES.read_text(encoding="utf-8") == dbt_package.sources_yaml()
    assert dbt_package.COLUMNS.read_text(encoding="utf-8") == dbt_package.columns_markdown()


# --- BigQuery --------------------------------------------------------------------------------------------------


def source_tables() -> dict[str, list[AnalyzerColumn]]:
    """The tables and views that the package reads, as BigQuery has them."""
    schemas = {table.name: table.columns for table in BUILT_IN.values()}
    for table in BUILT_IN.values():
        schemas |= {view.name: tuple(column for column, _ in view.columns) for view in table.views}
    schemas |= {name: table.schema.columns for name, table in REFERENCE_TABLES.items()}
    schemas[SYNC_LOG.name] = SYNC_LOG.columns
    return {
        f"{dbt.PROJECT}.{DATASET}.{table['name']}": [(c.name, c.type_name, "NULLABLE") for c in schemas[table["name"]]]
        for table in dbt_package.sources()["sources"][0]["tables"]
    }


def test_bigquery_accepts_what_is_compiled(
    built: Built, analyzer: Callable[[Mapping[str, Iterable[AnalyzerColumn]]], Analyzer]
) -> None:
    """Models on the tables of the models before them, with their partitions and clusters, and all tests."""
    nodes = built.compiled
    tables = source_tables()
    waiting = {name: node for name, node in nodes.items() if node["resource_type"] == "model"}
    while waiting:
        ready = {name: node for name, node in waiting.items() if not waiting.keys() & set(node["depends_on"]["nodes"])}
        bigquery = analyzer(tables)
        for name, node in ready.items():
            del waiting[name]
            query = quoted(node["compiled_code"])
            if node["name"].startswith("vanished_"):
                assert query.strip().startswith("delete from")
                bigquery.check(query)
                continue
            bigquery.check(create_statement(node, query))
            tables[f"{dbt.PROJECT}.{dbt.SCHEMA}.{node['name']}"] = bigquery.table_of(query)
    bigquery = analyzer(tables)
    tests = [node for node in nodes.values() if node["resource_type"] == "test"]
    assert len(tests) > 60
    for node in tests:
        bigquery.check(quoted(node["compiled_code"]))


def test_bigquery_prunes_partitions_of_incremental_builds(built: Built) -> None:
    """Marts are partitioned by a date and clustered; an incremental build replaces partitions, by a literal date."""
    incremental = set()
    for mart in MARTS:
        node = built.compiled[f"model.matomo.matomo__{mart}"]
        config = node["config"]
        assert config["partition_by"]["data_type"] == "date"
        assert config["cluster_by"][0] == "website_id"
        if config["materialized"] == "incremental":
            incremental.add(mart)
            assert config["incremental_strategy"] == "insert_overwrite"
            assert ".date >= date '" in node["compiled_code"]
    assert incremental == INCREMENTAL


def quoted(statement: str) -> str:
    """The statement with each name of a table as one identifier, which is how the analyzer knows it."""
    return re.sub(r"`([^`]+)`\.`([^`]+)`\.`([^`]+)`", r"`\1.\2.\3`", statement)


def create_statement(node: Mapping[str, Any], query: str) -> str:
    """What dbt runs to create the model in BigQuery for the first time."""
    name, config = f"`{dbt.PROJECT}.{dbt.SCHEMA}.{node['name']}`", node["config"]
    if config["materialized"] == "view":
        return f"create or replace view {name} as {query}"
    options = ""
    if partition := config.get("partition_by"):
        field, granularity = partition["field"], partition["granularity"]
        options += f"partition by {field if granularity == 'day' else f'date_trunc({field}, {granularity})'} "
    if cluster := config.get("cluster_by"):
        options += f"cluster by {', '.join(cluster)} "
    return f"create or replace table {name} {options}as ({query})"
