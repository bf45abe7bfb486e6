"""`MultiSites.getAll` and `MultiSites.getOne`: each site's period compared with the one before."""

from collections.abc import Sequence
from datetime import date, timedelta

from fake_matomo.dates import Span
from fake_matomo.php import php_number, quotient
from fake_matomo.sites import Site
from fake_matomo.summaries import conversions_of
from fake_matomo.tallies import Row, conversion_revenue
from fake_matomo.visits import Visit

MULTI_SITES = frozenset({"MultiSites.getAll", "MultiSites.getOne"})

_COUNTED = ("visits", "actions", "pageviews", "revenue")


def before(span: Span) -> Span:
    """Return as many days right before the period."""
    days = len(span.days())
    start, end = span.start - timedelta(days=days), span.start - timedelta(days=1)
    return Span(start, end, str(start))


def site_row(visits: Sequence[Visit], earlier: Sequence[Visit]) -> Row:
    """Return the row of `getOne`."""
    now, then = _numbers(visits), _numbers(earlier)
    row: Row = {"nb_visits": now["visits"], "nb_actions": now["actions"]}
    for name in _COUNTED:
        ratio = _evolution(now[name], then[name])
        row |= {f"{name}_evolution": ratio, f"{name}_evolution_trend": (ratio > 0) - (ratio < 0)}
    return row | {"nb_pageviews": now["pageviews"], "revenue": php_number(now["revenue"])}


def listed_row(site: Site, visits: Sequence[Visit], earlier: Sequence[Visit], period: str, first: date) -> Row:
    """Return a site's row of `getAll`; `first` is the first day of the period before."""
    row, then = site_row(visits, earlier), _numbers(earlier)
    names = ("nb_visits", "nb_actions", "nb_pageviews", "revenue")
    counted = {name: row.pop(name) for name in names}
    return {
        "label": site.name,
        **counted,
        **row,
        "idsite": site.id,
        "ratio": 1,
        "currencySymbol": site.currency_symbol,
        "previous_nb_visits": then["visits"],
        "periodName": period,
        "previousRange": f"{first:%a}, {first:%b} {first.day}",
        "previous_nb_actions": then["actions"],
        "previous_Actions_nb_pageviews": then["pageviews"],
        "previous_Goal_revenue": php_number(then["revenue"]),
        "group": "",
        "main_url": site.main_url,
    }


def _numbers(visits: Sequence[Visit]) -> dict[str, float]:
    revenue = sum(conversion_revenue(action) for visit in visits for action in conversions_of(visit, None))
    return {
        "visits": len(visits),
        "actions": sum(visit.total_actions for visit in visits),
        "pageviews": sum(visit.count("action") for visit in visits),
        "revenue": round(revenue, 2),
    }


def _evolution(now: float, then: float) -> float:
    if not then:
        return 1 if now else 0
    return quotient(now - then, then, 3)
