"""The one-row reports `VisitsSummary.get` and `Actions.get`, and the conversions of a visit."""

from collections.abc import Sequence

from fake_matomo.php import quotient
from fake_matomo.pools import Search
from fake_matomo.sites import Goal
from fake_matomo.tallies import Row
from fake_matomo.visits import Action, Visit


def visits_summary(visits: Sequence[Visit], *, people: bool = True) -> Row:
    """Return `VisitsSummary.get`; `period=range` has no `people`, that is unique visitors and users."""
    count = len(visits)
    actions = sum(visit.total_actions for visit in visits)
    bounces = sum(1 for visit in visits if visit.total_actions <= 1)
    length = sum(visit.duration for visit in visits)
    row: Row = {}
    if people:
        row["nb_uniq_visitors"] = len({visit.visitor.id for visit in visits})
        row["nb_users"] = len({visit.visitor.user_id for visit in visits} - {None})
    row["nb_visits"] = count
    row["nb_actions"] = actions
    row["nb_visits_converted"] = sum(1 for visit in visits if visit.converted)
    row["bounce_count"] = bounces
    row["sum_visit_length"] = length
    row["max_actions"] = max((visit.total_actions for visit in visits), default=0)
    row["bounce_rate"] = quotient(bounces, count, 2)
    row["nb_actions_per_visit"] = quotient(actions, count, 1)
    row["avg_time_on_site"] = quotient(length, count, 0)
    return row


def actions_summary(visits: Sequence[Visit]) -> Row:
    """Return `Actions.get`; "uniq" counts a page, file or link once per visit."""
    counts = {"action": 0, "download": 0, "outlink": 0, "search": 0}
    unique = {"action": 0, "download": 0, "outlink": 0}
    keywords: set[str] = set()
    for visit in visits:
        seen: dict[str, set[str]] = {"action": set(), "download": set(), "outlink": set()}
        for action in visit.actions:
            if action.kind in counts:
                counts[action.kind] += 1
            if action.kind in seen:
                seen[action.kind].add(action.url or action.page.url)
            if isinstance(action.detail, Search):
                keywords.add(action.detail.keyword)
        for kind, urls in seen.items():
            unique[kind] += len(urls)
    return {
        "nb_pageviews": counts["action"],
        "nb_uniq_pageviews": unique["action"],
        "nb_downloads": counts["download"],
        "nb_uniq_downloads": unique["download"],
        "nb_outlinks": counts["outlink"],
        "nb_uniq_outlinks": unique["outlink"],
        "nb_searches": counts["search"],
        "nb_keywords": len(keywords),
    }


# Values of `idGoal` besides a goal's id; 0 is Matomo's id of orders.
_ORDER, _CART = frozenset({"ecommerceOrder", "0"}), "ecommerceAbandonedCart"


def conversions_of(visit: Visit, goal: str | None) -> list[Action]:
    """Return the visit's conversions of a goal; without one, all goals and orders, but no abandoned carts."""
    if goal is None:
        return [action for action in visit.conversions if action.kind != _CART]
    if goal in _ORDER:
        return [action for action in visit.conversions if action.kind == "ecommerceOrder"]
    if goal == _CART:
        return [action for action in visit.conversions if action.kind == _CART]
    return [action for action in visit.conversions if isinstance(action.detail, Goal) and str(action.detail.id) == goal]
