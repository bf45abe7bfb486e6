"""Tallies of page views, by page or title, and of the conversions that followed."""

from typing import Self

from fake_matomo.pages import Page
from fake_matomo.php import php_number, php_round, quotient
from fake_matomo.tallies import Row, conversion_revenue, goal_key
from fake_matomo.visits import Action, Load, Person, Visit

# Milliseconds of the six phases, in the order of TIMINGS.
Times = tuple[int, int, int, int, int, int]


class PageGoal:
    """The conversions of a goal that followed a view of a page."""

    __slots__ = (
        "attributed",
        "conversions",
        "entries",
        "pages_before",
        "revenue",
        "revenue_attributed",
        "revenue_entry",
    )

    def __init__(self) -> None:
        self.conversions = self.pages_before = self.entries = 0
        self.revenue = self.attributed = self.revenue_attributed = self.revenue_entry = 0.0

    def row(self, key: str, total: int, entry_visits: int) -> Row:
        """Return the entry in the row's `goals`; `total` is the number of the day's conversions of the goal."""
        row: Row = {"nb_conversions": self.conversions, "revenue": php_number(round(self.revenue, 2))}
        rate = quotient(self.conversions, total, 2)
        if key == "idgoal=ecommerceAbandonedCart":
            return row | {"nb_conversions_page_uniq": self.conversions, "nb_conversions_page_rate": rate}
        row |= {
            "nb_conv_pages_before": self.pages_before,
            "nb_conversions_attrib": php_round(self.attributed, 4),
            "nb_conversions_page_rate": rate,
            "nb_conversions_page_uniq": self.conversions,
            "revenue_attrib": php_round(self.revenue_attributed, 2),
        }
        if self.entries:
            row |= {
                "revenue_entry": php_number(round(self.revenue_entry, 2)),
                "nb_conversions_entry_rate": quotient(self.entries, entry_visits, 3),
                "revenue_per_entry": quotient(self.revenue_entry, entry_visits, 3),
                "nb_conversions_entry": self.entries,
            }
        return row


class PageTally:
    """The views of a page, a title, or a folder."""

    __slots__ = (
        "entry_actions",
        "entry_bounces",
        "entry_length",
        "entry_visitors",
        "entry_visits",
        "exit_visitors",
        "exit_visits",
        "goals",
        "hits",
        "loads",
        "page",
        "searched",
        "spent",
        "visitors",
        "visits",
    )

    def __init__(self, page: Page) -> None:
        self.page = page
        self.hits = self.spent = self.searched = 0
        self.visits: set[int] = set()
        self.visitors: set[Person] = set()
        self.loads: list[Times] = []
        self.entry_visits = self.entry_actions = self.entry_length = self.entry_bounces = self.exit_visits = 0
        self.entry_visitors: set[Person] = set()
        self.exit_visitors: set[Person] = set()
        self.goals: dict[str, PageGoal] = {}

    def merge(self, other: Self) -> None:
        """Add everything that another tally has counted."""
        self.hits += other.hits
        self.spent += other.spent
        self.searched += other.searched
        self.visits |= other.visits
        self.visitors |= other.visitors
        self.loads += other.loads
        self.entry_visits += other.entry_visits
        self.entry_actions += other.entry_actions
        self.entry_length += other.entry_length
        self.entry_bounces += other.entry_bounces
        self.exit_visits += other.exit_visits
        self.entry_visitors |= other.entry_visitors
        self.exit_visitors |= other.exit_visitors
        for key, goal in other.goals.items():
            mine = self.goals.setdefault(key, PageGoal())
            mine.conversions += goal.conversions
            mine.pages_before += goal.pages_before
            mine.entries += goal.entries
            mine.revenue += goal.revenue
            mine.attributed += goal.attributed
            mine.revenue_attributed += goal.revenue_attributed
            mine.revenue_entry += goal.revenue_entry


class PageReport:
    """The page views of some visits, by row."""

    def __init__(self, *, by_title: bool) -> None:
        self.by_title = by_title
        self.rows: dict[str, PageTally] = {}
        self.totals: dict[str, int] = {}

    def add(self, visit: Visit) -> None:
        """Count the page views of a visit."""
        person = (visit.day, visit.visitor.id)
        first = last = None
        after_search = False
        for action in visit.actions:
            if action.kind == "search":
                after_search = True
            if action.kind != "action":
                continue
            row = self._row(action.page)
            row.hits += 1
            row.spent += action.spent
            row.visits.add(visit.id)
            row.visitors.add(person)
            if isinstance(action.detail, Load):
                row.loads.append(action.detail.times)
            if after_search:
                row.searched += 1
                after_search = False
            first = first or row
            last = row
        if first is not None and last is not None:
            first.entry_visits += 1
            first.entry_actions += visit.total_actions
            first.entry_length += visit.duration
            first.entry_bounces += visit.total_actions <= 1
            first.entry_visitors.add(person)
            last.exit_visits += 1
            last.exit_visitors.add(person)
        for conversion in visit.conversions:
            self._convert(visit, conversion)

    def _row(self, page: Page) -> PageTally:
        key = page.title if self.by_title else page.url
        found = self.rows.get(key)
        if found is None:
            found = self.rows[key] = PageTally(page)
        return found

    def _convert(self, visit: Visit, conversion: Action) -> None:
        key, revenue = goal_key(conversion), conversion_revenue(conversion)
        self.totals[key] = self.totals.get(key, 0) + 1
        seen = [one.page for one in visit.actions if one.kind == "action" and one.at <= conversion.at]
        share = 1 / len(seen) if seen else 0.0
        for page in dict.fromkeys(seen):
            goal = self._row(page).goals.setdefault(key, PageGoal())
            goal.conversions += 1
            goal.revenue += revenue
            goal.pages_before += len(seen)
            goal.attributed += share
            goal.revenue_attributed += revenue * share
            if page is seen[0]:
                goal.entries += 1
                goal.revenue_entry += revenue
