"""The view in GA4's shape: twelve questions of Google's pages, answered as the sample Matomo's own visits say.

The answers are computed from the visits as the sample invented them, in plain Python. No table is read for them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import GA4_EVENTS
from tests.support import cookbook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fake_matomo import Visit
    from tests.support.analyzer import Analyzer
    from tests.support.cookbook import Sample

# The sync takes that long.
pytestmark = pytest.mark.long

TEXT = cookbook.GA4_DOCUMENT.read_text(encoding="utf-8")
QUERIES = cookbook.queries(TEXT, level=3)
Rows = list[tuple[Any, ...]]
PRODUCT = "Gant"


@pytest.fixture(scope="module")
def bigquery(analyzer: Callable[[Any], Analyzer]) -> Analyzer:
    """An analyzer that knows the view."""
    return analyzer({"matomo_shop.events": [(c.name, c.type_name, "NULLABLE") for c, _ in GA4_EVENTS.columns]})


def days(sample: Sample, first: date, last: date = cookbook.LAST) -> list[Visit]:
    """The logged visits of some days."""
    return [visit for visit in sample.logged_visits() if first <= visit.day <= last]


def names_of(visit: Visit) -> list[str]:
    """The names of a visit's events that the questions ask for."""
    found = ["session_start"] + ["first_visit"] * (visit.visit_count == 1)
    for action in visit.actions:
        if action.kind == "action":
            found += ["page_view"] + ["view_item"] * (action.page.product is not None)
        elif action.kind == "ecommerceOrder":
            found.append("purchase")
    return found


def by_user(visits: Iterable[Visit]) -> dict[str, list[Visit]]:
    """Visits by their visitor."""
    found = defaultdict(list)
    for visit in visits:
        found[visit.visitor.id].append(visit)
    return dict(found)


def orders(visits: Iterable[Visit]) -> list[tuple[Visit, Any]]:
    """Each order with its visit."""
    return [(visit, action) for visit in visits for action in visit.actions if action.kind == "ecommerceOrder"]


def event_counts(sample: Sample) -> Rows:
    wanted = ("page_view", "session_start", "purchase")
    counts = Counter(
        (f"{visit.day:%Y%m%d}", name)
        for visit in days(sample, date(2026, 11, 9), date(2026, 11, 10))
        for name in names_of(visit)
        if name in wanted
    )
    return sorted((*key, count) for key, count in counts.items())


def users(sample: Sample) -> Rows:
    found: dict[str, dict[str, bool]] = defaultdict(dict)
    for visit in days(sample, date(2026, 11, 9)):
        seen = found[f"{visit.day:%Y%m%d}"]
        seen[visit.visitor.id] = seen.get(visit.visitor.id, False) or visit.visit_count == 1
    return sorted((day, len(seen), sum(seen.values())) for day, seen in found.items())


def transactions(sample: Sample) -> Rows:
    found = defaultdict(list)
    for visit, _ in orders(sample.logged_visits()):
        found[visit.day.replace(day=1)].append(visit.visitor.id)
    return sorted((month, len(ids), len(ids) / len(set(ids))) for month, ids in found.items())


def purchases(sample: Sample) -> Rows:
    return sorted((order.at * 1_000_000, order.detail.revenue) for _, order in orders(days(sample, date(2026, 11, 9))))


def items_viewed(sample: Sample) -> Rows:
    found = defaultdict(set)
    for visit in sample.logged_visits():
        for action in visit.actions:
            if action.kind == "action" and action.page.product is not None:
                found[action.page.product.sku, action.page.product.name].add(visit.visitor.id)
    rows = [(*key, len(visitors)) for key, visitors in found.items()]
    return sorted(rows, key=lambda row: (-row[2], row[0]))[:10]


def pages_by_purchaser(sample: Sample) -> Rows:
    found = defaultdict(list)
    for visits in by_user(days(sample, date(2026, 11, 9))).values():
        names = Counter(name for visit in visits for name in names_of(visit))
        found[names["purchase"] > 0].append(names["page_view"])
    return sorted((kind, len(views), sum(views), sum(views) / len(views)) for kind, views in found.items())


def page_sequence(sample: Sample) -> Rows:
    rows = [
        (visit.visitor.id, action.at * 1_000_000, visit.id, action.url or action.page.url)
        for visit in days(sample, date(2026, 11, 10), date(2026, 11, 10))
        for action in visit.actions
        if action.kind == "action"
    ]
    return sorted(rows, key=lambda row: (row[0], row[2], row[1], row[3]))


def bought_with(sample: Sample) -> Rows:
    found = orders(sample.logged_visits())
    buyers = {visit.visitor.id for visit, order in found for item in order.detail.items if item.product.name == PRODUCT}
    counts: Counter[str] = Counter()
    for visit, order in found:
        if visit.visitor.id in buyers:
            counts.update({item.product.name: item.quantity for item in order.detail.items})
    del counts[PRODUCT]
    return sorted(counts.items(), key=lambda row: (-row[1], row[0]))


def spend(sample: Sample) -> Rows:
    rows = []
    for user, visits in by_user(sample.logged_visits()).items():
        found = orders(visits)
        if found:
            revenue = [order.detail.revenue for _, order in found]
            rows.append((user, len({visit.id for visit, _ in found}), sum(revenue) / len(revenue)))
    return sorted(rows, key=lambda row: (-row[2], row[0]))


def latest_sessions(sample: Sample) -> Rows:
    rows = []
    for user, visits in by_user(days(sample, date(2026, 11, 12))).items():
        last = max(visits, key=lambda visit: (max(action.at for action in visit.actions), visit.id))
        rows.append((user, last.id, last.visit_count))
    return sorted(rows)


def sources(sample: Sample) -> Rows:
    counts: Counter[tuple[str, str]] = Counter()
    for visit in sample.logged_visits():
        referrer = visit.referrer
        counts[
            {
                1: ("(direct)", "(none)"),
                2: (referrer.name.lower(), "organic"),
                3: (referrer.name, "referral"),
                6: ("(not set)", "(not set)"),
                7: (referrer.name.lower(), "referral"),
            }[referrer.type]
        ] += 1
    return sorted(((*key, count) for key, count in counts.items()), key=lambda row: (-row[2], row[0], row[1]))


ANSWERS: dict[str, Callable[[Sample], Rows]] = {
    "How often did each event occur on some days?": event_counts,
    "How many users are there, and how many of them are new?": users,
    "How many transactions does a purchaser make?": transactions,
    "When was each purchase, and what was its value?": purchases,
    "Which items are looked at by most users?": items_viewed,
    "How many pages do purchasers and others view?": pages_by_purchaser,
    "In what sequence are pages viewed?": page_sequence,
    "What else do customers of a product buy?": bought_with,
    "What do purchasers spend in a session?": spend,
    "Which session is each user's latest?": latest_sessions,
    "What brings the sessions?": sources,
}
PARAMETERS = "Which event parameters are there?"


def test_the_page_has_twelve_questions() -> None:
    """Each has one query, and is checked."""
    assert QUERIES.keys() == ANSWERS.keys() | {PARAMETERS}
    assert len(QUERIES) == TEXT.count("```sql") == 12


@pytest.mark.parametrize("question", QUERIES)
def test_bigquery_accepts_each_query(question: str, bigquery: Analyzer) -> None:
    """Columns, fields and types are those of the view, whose names and types are GA4's."""
    bigquery.check(QUERIES[question])


@pytest.mark.parametrize("question", ANSWERS)
def test_each_query_answers_what_matomos_visits_say(question: str, sample: Sample) -> None:
    """The rows, their order and each value."""
    expected = ANSWERS[question](sample)
    rows = sample.ask(QUERIES[question]).rows
    assert len(rows) == len(expected) >= 2
    for found, wanted in zip(rows, expected, strict=True):
        assert found == tuple(pytest.approx(each) if isinstance(each, float) else each for each in wanted)


def test_parameters_stand_on_the_events_that_have_them(sample: Sample) -> None:
    """Of sessions, purchases, conversions and clicks of a week: each once for each event that it belongs to."""
    counts = dict(sample.ask(QUERIES[PARAMETERS]).rows)
    visits = days(sample, date(2026, 11, 9))
    kinds = Counter(action.kind for visit in visits for action in visit.actions)
    events = len(visits) + kinds["ecommerceOrder"] + kinds["goal"] + kinds["outlink"]
    assert counts["ga_session_id"] == counts["ga_session_number"] == counts["session_engaged"] == events
    assert counts["transaction_id"] == kinds["ecommerceOrder"] > 0
    assert counts["goal_id"] == kinds["goal"] > 0
    assert counts["link_url"] == kinds["outlink"] > 0
    assert counts["currency"] == kinds["ecommerceOrder"] + kinds["goal"]


def test_the_answers_in_the_page_are_those_of_the_queries(sample: Sample) -> None:
    """`make docs` writes the first rows below each query."""
    assert cookbook.with_answers(TEXT, sample) == TEXT
