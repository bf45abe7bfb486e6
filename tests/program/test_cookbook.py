"""The cookbook: BigQuery accepts each query, and its answer is what the sample Matomo's own visits say.

The answers are computed from the visits as the sample invented them, in plain Python. No table is read for them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import combinations, groupby, pairwise
from statistics import mean
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
import sqlglot
from sqlglot import exp

from fake_matomo import Goal
from fake_matomo.pools import Event, Search
from fake_matomo.visits import Order
from matomo_fn.catalogue import BUILT_IN, SYNC_LOG, SYNC_STATE
from tests.support import cookbook
from tests.support.analyzer import AnalyzerError
from tests.support.cookbook import DAYS, LAST, PURGED_UNTIL, UNPROCESSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from fake_matomo import Visit
    from fake_matomo.visits import Action
    from tests.support.analyzer import Analyzer
    from tests.support.cookbook import Sample

# The sync takes that long.
pytestmark = pytest.mark.long

TEXT = cookbook.DOCUMENT.read_text(encoding="utf-8")
QUERIES = cookbook.queries(TEXT)
PARIS = ZoneInfo("Europe/Paris")
Rows = list[tuple[Any, ...]]

# What Matomo calls the codes of the sample's visits, in English.
CHANNELS = {1: "Direct Entry", 2: "Search Engines", 3: "Websites", 6: "Campaigns", 7: "Social Networks"}
REFERRER_TYPES = {1: "direct", 2: "search", 3: "website", 6: "campaign", 7: "social"}
COUNTRIES = {
    "fr": "France",
    "de": "Germany",
    "us": "United States",
    "gb": "United Kingdom",
    "es": "Spain",
    "in": "India",
    "br": "Brazil",
    "pl": "Poland",
    "ci": "Côte d’Ivoire",
    "": "Unknown",
}
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@pytest.fixture(scope="module")
def bigquery(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows the tables and views of the catalogue."""
    tables = {table.name: table.columns for table in BUILT_IN.values()}
    for table in BUILT_IN.values():
        tables |= {view.name: tuple(column for column, _ in view.columns) for view in table.views}
    tables[SYNC_STATE] = SYNC_LOG.columns
    return analyzer(
        {
            f"matomo_shop.{name}": [(column.name, column.type_name, "NULLABLE") for column in columns]
            for name, columns in tables.items()
        }
    )


# --- the sample's visits ---------------------------------------------------------------------------------------


def week_of(day: date) -> date:
    """The Monday of the day's week."""
    return day - timedelta(days=day.weekday())


def grouped(things: Iterable[Any], key: Callable[[Any], Any]) -> dict[Any, list[Any]]:
    """Things by their key."""
    found = defaultdict(list)
    for thing in things:
        found[key(thing)].append(thing)
    return dict(found)


def ratio(part: float, whole: float) -> float | None:
    """A share, as ``safe_divide`` has it."""
    return part / whole if whole else None


def close(value: Any) -> Any:
    """The value, or anything as near to it as sums of floats in another order are."""
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


def of_kind(visit: Visit, kind: str) -> list[Action]:
    """The visit's actions of a kind."""
    return [action for action in visit.actions if action.kind == kind]


def revenue_of(actions: Iterable[Action]) -> float:
    """The revenue of goals, orders or carts."""
    details = [action.detail for action in actions]
    return sum(detail.revenue for detail in details if isinstance(detail, (Goal, Order)))


def orders_of(visits: Iterable[Visit]) -> list[tuple[Visit, Action]]:
    """Each order with its visit."""
    return [(visit, action) for visit in visits for action in of_kind(visit, "ecommerceOrder")]


def conversions_of(visits: Iterable[Visit]) -> list[Action]:
    """Goals and orders."""
    return [each for visit in visits for kind in ("goal", "ecommerceOrder") for each in of_kind(visit, kind)]


def pages_of(visit: Visit) -> list[str]:
    """The URLs of the visit's page views."""
    return [action.page.url for action in of_kind(visit, "action")]


def converted(visits: Iterable[Visit]) -> int:
    """How many of the visits have a goal or an order."""
    return sum(bool(conversions_of([visit])) for visit in visits)


# --- the answers -----------------------------------------------------------------------------------------------


def channels_by_week(sample: Sample) -> Rows:
    rows = []
    visits = grouped(sample.visits(), lambda visit: (week_of(visit.day), CHANNELS[visit.referrer.type]))
    for (week, channel), found in visits.items():
        rows.append((week, channel, len(found), converted(found), ratio(converted(found), len(found))))
    return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))


def attribution(sample: Sample) -> Rows:
    visits = sample.logged_visits()
    revenue: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
    channels = set()
    for ordered, order in orders_of(visit for visit in visits if visit.day >= date(2026, 10, 26)):
        touches = sorted(
            (
                visit
                for visit in visits
                if visit.visitor.id == ordered.visitor.id and order.at - 28 * 86_400 <= visit.first_at <= order.at
            ),
            key=lambda visit: (visit.first_at, visit.id),
        )
        named = [REFERRER_TYPES[visit.referrer.type] for visit in touches]
        channels |= set(named)
        last_non_direct = next((channel for channel in reversed(named) if channel != "direct"), "direct")
        for place, channel in enumerate((named[0], named[-1], last_non_direct)):
            revenue[channel][place] += revenue_of([order])
    rows = [(channel, *(round(value, 2) for value in revenue[channel])) for channel in channels]
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def funnel(sample: Sample) -> Rows:
    reached = [0, 0, 0]
    for visit in sample.logged_visits():
        step = 0
        for action in visit.actions:
            is_page = action.kind == "action"
            wanted = (
                is_page and action.page.product is not None,
                is_page and action.page.url.endswith("/panier"),
                action.kind == "ecommerceOrder",
            )
            if step < 3 and wanted[step]:
                reached[step] += 1
                step += 1
    names = ("product page", "cart", "order")
    before = [None, *reached[:-1]]
    return [
        (place + 1, names[place], count, count / reached[0], None if previous is None else count / previous)
        for place, (count, previous) in enumerate(zip(reached, before, strict=True))
    ]


def landing_pages(sample: Sample) -> Rows:
    visits = [visit for visit in sample.logged_visits() if pages_of(visit)]
    rows = []
    for page, found in grouped(visits, lambda visit: pages_of(visit)[0].partition("?")[0]).items():
        bounces = sum(visit.total_actions <= 1 for visit in found)
        rows.append((page, len(found), bounces / len(found), converted(found), converted(found) / len(found)))
    return sorted((row for row in rows if row[1] >= 20), key=lambda row: (-row[1], row[0]))


def exit_pages(sample: Sample) -> Rows:
    viewed: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for pages in map(pages_of, sample.visits()):
        viewed.update(set(pages))
        ended.update(pages[-1:])
    rows = [(page, count, ended[page], ended[page] / count) for page, count in viewed.items() if count >= 100]
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def retention(sample: Sample) -> Rows:
    cohorts: dict[date, Counter[int]] = defaultdict(Counter)
    for visits in grouped(sample.logged_visits(), lambda visit: visit.visitor.id).values():
        weeks = sorted({week_of(visit.day) for visit in visits})
        cohorts[weeks[0]].update((week - weeks[0]).days // 7 for week in weeks)
    return [
        (cohort, later, visitors[later], visitors[later] / visitors[0])
        for cohort, visitors in sorted(cohorts.items())
        for later in sorted(visitors)
    ]


def visitor_type(visit: Visit) -> str:
    """What Matomo calls the visitor at this visit."""
    if visit.visit_count == 1:
        return "new"
    return "returning" if visit.since_order is None else "returningCustomer"


def new_and_returning(sample: Sample) -> Rows:
    visits = sample.logged_visits()
    total = revenue_of(order for _, order in orders_of(visits))
    rows = []
    for kind, found in grouped(visits, visitor_type).items():
        orders = [order for _, order in orders_of(found)]
        revenue = revenue_of(orders)
        rows.append((kind, len(found), len(found) / len(visits), len(orders), round(revenue, 2), revenue / total))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def campaigns(sample: Sample) -> Rows:
    from_campaigns = [visit for visit in sample.visits() if visit.referrer.type == 6]
    rows = []
    for campaign, visits in grouped(from_campaigns, lambda visit: visit.referrer.name).items():
        found = conversions_of(visits)
        revenue = revenue_of(found)
        rows.append((campaign, len(visits), len(found), round(revenue, 2), revenue / len(visits)))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def searches_without_result(sample: Sample) -> Rows:
    searches = [
        (visit, action)
        for visit in sample.logged_visits()
        for action in of_kind(visit, "search")
        if isinstance(action.detail, Search) and action.detail.count == 0
    ]
    rows = []
    by_week = grouped(searches, lambda pair: (week_of(pair[0].day), pair[1].detail.keyword))
    for (week, keyword), found in by_week.items():
        last = sum(action is visit.actions[-1] for visit, action in found)
        rows.append((week, keyword, len(found), len({visit.id for visit, _ in found}), last))
    return sorted(rows, key=lambda row: (row[0], -row[2], row[1]))


def time_to_order(sample: Sample) -> Rows:
    ordered = [
        visit
        for visit in sorted(sample.logged_visits(), key=lambda visit: (visit.first_at, visit.id))
        if orders_of([visit]) and visitor_type(visit) != "returningCustomer"
    ]
    firsts = [visits[0] for visits in grouped(ordered, lambda visit: visit.visitor.id).values()]

    def label(visit: Visit) -> str:
        days = visit.since_first // 86_400
        if visit.visit_count == 1:
            return "1. in the first visit"
        return "2. within a week" if days < 7 else "3. within 30 days" if days < 30 else "4. later"

    return [
        (name, len(found), mean(v.visit_count for v in found), round(revenue_of(o for _, o in orders_of(found)), 2))
        for name, found in sorted(grouped(firsts, label).items())
    ]


def pages_before_order(sample: Sample) -> Rows:
    found = [
        (min(10, sum(each.kind == "action" for each in visit.actions[: visit.actions.index(order)])), order)
        for visit, order in orders_of(sample.logged_visits())
    ]
    return [
        (pages, len(orders), len(orders) / len(found), round(revenue_of(order for _, order in orders) / len(orders), 2))
        for pages, orders in sorted(grouped(found, lambda pair: pair[0]).items())
    ]


def events(sample: Sample) -> Rows:
    details = [(visit, action.detail) for visit in sample.visits() for action in of_kind(visit, "event")]
    found = [(visit, event) for visit, event in details if isinstance(event, Event)]
    rows = []
    for category, pairs in grouped(found, lambda pair: pair[1].category).items():
        visits = len({visit.id for visit, _ in pairs})
        value = sum(event.value or 0 for _, event in pairs)
        rows.append((category, len(pairs), visits, len(pairs) / visits, value, value / visits))
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def countries(sample: Sample) -> Rows:
    visits = sample.visits()
    found = Counter(COUNTRIES[visit.visitor.place.code] for visit in visits)
    rows = [(country, count, count / len(visits)) for country, count in found.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))[:5]


def devices(sample: Sample) -> Rows:
    visits = sample.visits()
    average = converted(visits) / len(visits)
    rows = []
    for device, found in grouped(visits, lambda visit: visit.visitor.device.type.capitalize() or "Unknown").items():
        rate = converted(found) / len(found)
        rows.append((device, len(found), rate, rate / average))
    return sorted(rows, key=lambda row: (-row[3], row[0]))


def hours(sample: Sample) -> Rows:
    starts = [datetime.fromtimestamp(visit.first_at, PARIS) for visit in sample.logged_visits()]
    return [
        (hour, len(found), *(sum(start.weekday() == weekday for start in found) for weekday in range(7)))
        for hour, found in sorted(grouped(starts, lambda start: start.hour).items())
    ]


def order_values(sample: Sample) -> Rows:
    revenues: dict[date, list[float]] = {week: [] for week in DAYS[::7]}
    for visit, order in orders_of(sample.logged_visits()):
        revenues[week_of(visit.day)].append(revenue_of([order]))
    weeks = list(revenues)
    rows: Rows = []
    for place, week in enumerate(weeks):
        last_four = [value for each in weeks[max(0, place - 3) : place + 1] for value in revenues[each]]
        rows.append((week, len(revenues[week]), round(mean(revenues[week]), 2), round(mean(last_four), 2)))
    return rows


def bought_together(sample: Sample) -> Rows:
    orders = [order.detail for _, order in orders_of(sample.logged_visits())]
    baskets = [
        sorted({(item.product.sku, item.product.name) for item in order.items})
        for order in orders
        if isinstance(order, Order)
    ]
    single = Counter(sku for basket in baskets for sku, _ in basket)
    pairs = Counter(pair for basket in baskets for pair in combinations(basket, 2))
    rows = [
        (name, other_name, count, count * len(baskets) / (single[sku] * single[other_sku]))
        for ((sku, name), (other_sku, other_name)), count in pairs.items()
    ]
    return sorted(rows, key=lambda row: (-row[2], row[0], row[1]))


def carts(sample: Sample) -> Rows:
    visits = sample.logged_visits()
    ordered = grouped(orders_of(visits), lambda pair: pair[0].visitor.id)
    found = []
    for visit in visits:
        if visit.day > LAST - timedelta(days=7):
            continue
        for cart in of_kind(visit, "ecommerceAbandonedCart"):
            orders = [order.at for _, order in ordered.get(visit.visitor.id, [])]
            is_recovered = any(cart.at <= at <= cart.at + 7 * 86_400 for at in orders)
            found.append((week_of(visit.day), revenue_of([cart]), is_recovered))
    return [
        (
            week,
            len(all_carts),
            round(sum(value for _, value, _ in all_carts), 2),
            sum(is_recovered for _, _, is_recovered in all_carts),
            round(sum(value for _, value, is_recovered in all_carts if is_recovered), 2),
        )
        for week, all_carts in ((week, list(group)) for week, group in groupby(sorted(found), key=lambda each: each[0]))
    ]


def unusual_days(sample: Sample) -> Rows:
    counts = {day: len(sample.matomo.visits(1, day)) for day in DAYS}
    rows = []
    for day, count in counts.items():
        usual = mean(other for each, other in counts.items() if each != day and each.weekday() == day.weekday())
        if abs(count - usual) >= 0.25 * usual:
            rows.append((day, WEEKDAYS[day.weekday()], count, usual, count / usual - 1))
    return rows


def share_cut_off(visits: Sequence[Visit]) -> float:
    """The share of page views beyond Matomo's 500 rows, of which the last one is "Others"."""
    views = [(visit.id, action.page) for visit in visits for action in of_kind(visit, "action")]
    # A folder is one row at the top level. With a page it is the sum of its pages' visits that counts.
    rows = grouped(views, lambda view: view[1].folder or view[1].flat_label)
    if len(rows) <= 500:
        return 0.0
    ranked = sorted(rows.items(), key=lambda row: (-len({(visit, page.url) for visit, page in row[1]}), row[0]))
    return sum(len(found) for _, found in ranked[499:]) / len(views)


def days_in_doubt(sample: Sample) -> Rows:
    rows: Rows = []
    for day in DAYS:
        for site in (1, 2):
            visits = sample.matomo.visits(site, day)
            logged = sum(visit.last_at >= PURGED_UNTIL.timestamp() for visit in visits)
            if (site, day) == UNPROCESSED:
                rows.append((day, str(site), len(cookbook.REPORTS), None, logged, 0.0))
            elif (share := share_cut_off(visits)) > 0 or logged != len(visits):
                rows.append((day, str(site), 0, len(visits), logged, share))
    return rows


ANSWERS: dict[str, Callable[[Sample], Rows]] = {
    "How do visits and conversions develop by channel and week?": channels_by_week,
    "Which channel earns the revenue, by first, last and last non-direct touch?": attribution,
    "How many visits get from a product page to the cart and to an order?": funnel,
    "Which landing pages keep their visitors, and which convert?": landing_pages,
    "On which pages do visits end?": exit_pages,
    "How many of a week's visitors come back in the weeks after?": retention,
    "What do new and returning visitors contribute?": new_and_returning,
    "What does each campaign bring?": campaigns,
    "What do visitors search for and not find?": searches_without_result,
    "How long does it take from the first visit to the first order?": time_to_order,
    "How many pages does a visitor view before an order?": pages_before_order,
    "Which events occur, and what is their value per visit?": events,
    "Which five countries do most visits come from?": countries,
    "Which devices convert better than the average?": devices,
    "At which hours and on which weekdays do visits begin?": hours,
    "How does the average order value develop?": order_values,
    "Which products are bought together?": bought_together,
    "What are abandoned carts worth, and how many are recovered?": carts,
    "On which days were visits unusual?": unusual_days,
    "Which days should not be trusted yet?": days_in_doubt,
}


# --- the rules -------------------------------------------------------------------------------------------------


def test_the_page_has_twenty_questions_with_a_text_and_one_query_each() -> None:
    """Each entry is a question, says what its number means, and has a query; none comes twice."""
    assert len(QUERIES) == TEXT.count("```sql") == 20
    assert QUERIES.keys() == ANSWERS.keys()
    assert len({" ".join(query.split()) for query in QUERIES.values()}) == 20
    for question, below in cookbook.sections(TEXT):
        assert question.endswith("?"), question
        assert below.partition("```")[0].strip().endswith("."), question


@pytest.mark.parametrize("question", QUERIES)
def test_bigquery_accepts_each_query(question: str, bigquery: Analyzer) -> None:
    """Tables, columns and types are those of the catalogue."""
    bigquery.check(QUERIES[question])


@pytest.mark.parametrize("question", QUERIES)
def test_each_query_answers_what_matomos_visits_say(question: str, bigquery: Analyzer, sample: Sample) -> None:
    """The columns, the rows, their order and each value; a column of numbers that are all the same shows nothing."""
    answer = sample.ask(QUERIES[question])
    assert answer.columns == tuple(bigquery.columns(QUERIES[question]))
    expected = ANSWERS[question](sample)
    assert len(answer.rows) == len(expected) >= 3
    for found, wanted in zip(answer.rows, expected, strict=True):
        assert found == tuple(map(close, wanted))
    for name, values in zip(answer.columns, zip(*expected, strict=True), strict=True):
        assert len(set(values)) > 1 or isinstance(values[0], str), name


def test_the_samples_weeks_have_what_the_questions_ask_for(sample: Sample) -> None:
    """A cart that was recovered and one that was not, a later step of the funnel, a closed day, clocks that change."""
    assert 0 < sum(row[3] for row in carts(sample)) < sum(row[1] for row in carts(sample))
    steps = [row[2] for row in funnel(sample)]
    assert all(earlier > later > 0 for earlier, later in pairwise(steps))
    assert all(first != last for _, first, last, _ in attribution(sample)[:3])
    assert 0 in [row[2] for row in unusual_days(sample)]
    offsets = {datetime.fromtimestamp(visit.first_at, PARIS).utcoffset() for visit in sample.logged_visits()}
    assert len(offsets) == 2
    assert 0 < len(sample.logged_visits()) < len(sample.visits())


def reads(query: str) -> Iterator[tuple[str, list[str]]]:
    """Each table that a query reads, with the conditions on its columns in the SELECT that reads it."""
    for select in sqlglot.parse_one(query, read="bigquery").find_all(exp.Select):
        where = select.args.get("where")
        terms = [] if where is None else list(where.this.flatten()) if isinstance(where.this, exp.And) else [where.this]
        source = select.args.get("from_")
        joins = select.args.get("joins") or []
        for table in (part.this for part in (source, *joins) if part is not None):
            if isinstance(table, exp.Table) and table.db:
                yield table.name, [condition for term in terms if (condition := about(table.alias, term))]


def about(alias: str, term: exp.Expr) -> str | None:
    """A condition on columns of one table, without the table's alias; None for another one."""
    if {column.table for column in term.find_all(exp.Column)} != {alias}:
        return None
    return term.sql(dialect="bigquery").replace(f"{alias}.", "")


@pytest.mark.parametrize("question", QUERIES)
def test_each_table_is_filtered_by_literal_days_and_its_site(question: str) -> None:
    """BigQuery reads these partitions only, also where a filter is required; reports are those of all visits."""
    read = list(reads(QUERIES[question]))
    assert len(read) == QUERIES[question].count("`matomo_shop.") > 0
    for name, (first, *others) in read:
        assert re.fullmatch(r"date BETWEEN CAST\('2026-\d\d-\d\d' AS DATE\) AND CAST\('2026-11-\d\d' AS DATE\)", first)
        assert ("segment = ''" in others) == (name in cookbook.REPORTS or name == SYNC_STATE), name
        assert ("website_id = '1'" in others) == (question != "Which days should not be trusted yet?"), name


def test_a_query_about_a_column_that_is_not_there_is_refused(bigquery: Analyzer) -> None:
    """The counter-check: the analyzer knows each column that a query names."""
    query = QUERIES["What does each campaign bring?"]
    with pytest.raises(AnalyzerError, match="campaign_title"):
        bigquery.check(query.replace("c.campaign_name", "c.campaign_title"))


def test_the_answers_in_the_page_are_those_of_the_queries(sample: Sample) -> None:
    """`make docs` writes the first rows below each query."""
    assert cookbook.with_answers(TEXT, sample) == TEXT
