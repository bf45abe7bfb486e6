"""One-row reports that have no model: every metric of some visits, by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fake_matomo.metadata import Report
from fake_matomo.php import php_number, quotient
from fake_matomo.pools import CAMPAIGN, DIRECT, SEARCH, SOCIAL, WEBSITE
from fake_matomo.summaries import actions_summary, conversions_of, visits_summary
from fake_matomo.tallies import Row, conversion_revenue
from fake_matomo.visits import TIMINGS, Load, Order, Visit

_CHANNELS = {
    "SearchEngines": SEARCH,
    "SocialNetworks": SOCIAL,
    "DirectEntry": DIRECT,
    "Websites": WEBSITE,
    "Campaigns": CAMPAIGN,
}
# The phases of a page load as `API.get` spells them; `servery` is Matomo's typo.
_PHASES = ("network", "servery", "transfer", "domprocessing", "domcompletion", "onload")


@dataclass(frozen=True, slots=True)
class Totals:
    """The visits of a period, and the number of visits of the whole answer, which `…_percent` is relative to."""

    visits: Sequence[Visit]
    all_visits: int
    goal: str | None
    # Whether unique visitors and users are counted, and whether the answer has several periods.
    unique: bool
    part: bool


def one_row(report: Report, totals: Totals) -> Row:
    """Return the report's row.

    :raises LookupError: a field that the fake does not compute.
    """
    numbers = dict(_numbers(totals))
    absent = tuple(_absent_kinds(totals))
    row: Row = {}
    for field in report.fields:
        if field.name.startswith(("nb_uniq_visitors", "nb_users")) and not totals.unique:
            continue
        if field.name.endswith(absent):
            continue
        if field.name not in numbers:
            raise LookupError(f"{report.method} has a field {field.name} that the fake does not compute")
        row[field.name] = numbers[field.name]
    return row


def _absent_kinds(totals: Totals) -> Iterator[str]:
    """Return the suffix of the columns that a day in a range lacks: it had no new, or no returning, visits."""
    kinds = {visit.visit_count == 1 for visit in totals.visits}
    if totals.part and len(kinds) == 1:
        yield "_returning_visit" if True in kinds else "_new_visit"


def _numbers(totals: Totals) -> Iterator[tuple[str, object]]:
    new = [visit for visit in totals.visits if visit.visit_count == 1]
    returning = [visit for visit in totals.visits if visit.visit_count > 1]
    yield from visits_summary(totals.visits).items()
    yield from actions_summary(totals.visits).items()
    yield from _conversions(totals.visits, totals.goal).items()
    yield from _referrers(totals)
    yield from _performance(totals.visits)
    for kind, visits in (("new", new), ("returning", returning)):
        for name, value in visits_summary(visits).items():
            yield f"{name}_{kind}", value
        for name, value in _conversions(visits, totals.goal).items():
            yield f"{name}_{kind}_visit", value


def _conversions(visits: Sequence[Visit], goal: str | None) -> Row:
    found = [(visit.id, action) for visit in visits for action in conversions_of(visit, goal)]
    orders = [action.detail for _, action in found if isinstance(action.detail, Order)]
    revenue = sum(conversion_revenue(action) for _, action in found)
    converted = len({visit_id for visit_id, _ in found})
    row: Row = {
        "nb_conversions": len(found),
        "nb_visits_converted": converted,
        "revenue": php_number(round(revenue, 2)),
        "items": sum(order.quantity for order in orders),
        "avg_order_revenue": quotient(revenue, len(found), 2),
        "conversion_rate": quotient(converted, len(visits), 4),
    }
    for name in ("subtotal", "tax", "shipping", "discount"):
        row[f"revenue_{name}"] = php_number(round(sum(getattr(order, name) for order in orders), 2))
    return row


def _referrers(totals: Totals) -> Iterator[tuple[str, object]]:
    referrers = [visit.referrer for visit in totals.visits]
    for name, channel in _CHANNELS.items():
        count = sum(1 for referrer in referrers if referrer.type == channel)
        yield f"Referrers_visitorsFrom{name}", count
        yield f"Referrers_visitorsFrom{name}_percent", quotient(count, totals.all_visits, 2)
        yield f"Referrers_distinct{name}", len({one.name for one in referrers if one.type == channel})
    yield "Referrers_distinctKeywords", len({one.keyword or "" for one in referrers if one.type == SEARCH})
    yield "Referrers_distinctWebsitesUrls", len({one.url for one in referrers if one.type == WEBSITE})


def _performance(visits: Sequence[Visit]) -> Iterator[tuple[str, object]]:
    actions = (action for visit in visits for action in visit.actions)
    loads = [action.detail.times for action in actions if isinstance(action.detail, Load)]
    whole = 0.0
    for at, (timing, phase) in enumerate(zip(TIMINGS, _PHASES, strict=True)):
        seconds = sum(times[at] for times in loads) / 1000
        whole += seconds
        yield f"PagePerformance_{phase}_time", php_number(round(seconds, 3))
        yield f"PagePerformance_{phase.removesuffix('y') if phase == 'servery' else phase}_hits", len(loads)
        yield f"avg_time_{timing}", quotient(seconds, len(loads), 2)
    yield "PagePerformance_pageload_time", php_number(round(whole, 3))
    yield "PagePerformance_pageload_hits", len(loads)
    yield "avg_page_load_time", quotient(whole, len(loads), 2)
