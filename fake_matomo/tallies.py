"""Tallies of visits, and the rows with Matomo's fields made from them."""

from collections.abc import Callable
from typing import Self

from fake_matomo.php import php_number
from fake_matomo.visits import Action, Order, Person, Visit

Row = dict[str, object]
# Formats a counter, as a string or as an int.
Number = Callable[[int], object]
# What distinguishes rows: the label, and more if labels are not unique.
Key = tuple[object, ...]


class GoalTally:
    """The conversions of a goal, or of orders or carts, in a row."""

    __slots__ = ("conversions", "items", "orders", "revenue", "sums", "visits")

    def __init__(self) -> None:
        self.conversions = 0
        self.visits: set[int] = set()
        self.revenue = 0.0
        self.items = 0
        self.orders = False
        self.sums = [0.0, 0.0, 0.0, 0.0]

    def add(self, visit_id: int, action: Action) -> None:
        """Count a conversion."""
        self.conversions += 1
        self.visits.add(visit_id)
        detail = action.detail
        if isinstance(detail, Order):
            self.revenue += detail.revenue
            self.items += detail.quantity
            if action.kind == "ecommerceOrder":
                self.orders = True
                amounts = (detail.subtotal, detail.tax, detail.shipping, detail.discount)
                self.sums = [have + more for have, more in zip(self.sums, amounts, strict=True)]
        else:
            self.revenue += conversion_revenue(action)

    def row(self, key: str) -> Row:
        """Return the entry in the row's `goals`."""
        row: Row = {
            "nb_conversions": self.conversions,
            "nb_visits_converted": len(self.visits),
            "revenue": php_number(round(self.revenue, 2)),
        }
        if key == "idgoal=ecommerceOrder":
            names = ("revenue_subtotal", "revenue_tax", "revenue_shipping", "revenue_discount")
            row.update({name: php_number(round(amount, 2)) for name, amount in zip(names, self.sums, strict=True)})
        if key.startswith("idgoal=ecommerce"):
            row["items"] = self.items
        return row


def conversion_revenue(action: Action) -> float:
    """Return the revenue of a conversion."""
    detail = action.detail
    revenue = getattr(detail, "revenue", 0.0)
    return float(revenue)


def goal_key(action: Action) -> str:
    """Return the key of a conversion in `goals`."""
    if action.kind == "goal":
        return f"idgoal={getattr(action.detail, 'id', 0)}"
    return f"idgoal={action.kind}"


class VisitTally:
    """The visits of a row."""

    __slots__ = (
        "actions",
        "bounces",
        "converted",
        "goals",
        "key",
        "length",
        "max_actions",
        "sources",
        "users",
        "visitors",
        "visits",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.visits = self.actions = self.max_actions = self.length = self.bounces = self.converted = 0
        self.visitors: set[Person] = set()
        self.users: set[Person] = set()
        self.goals: dict[str, GoalTally] = {}
        self.sources: set[str] = set()

    def add(self, visit: Visit, source: str, *, with_goals: bool) -> None:
        """Count a visit; `source` is the database value that became this row."""
        visitor, total = visit.visitor, visit.total_actions
        self.visits += 1
        self.actions += total
        self.length += visit.duration
        if total > self.max_actions:
            self.max_actions = total
        if total <= 1:
            self.bounces += 1
        self.visitors.add((visit.day, visitor.id))
        if visitor.user_id:
            self.users.add((visit.day, visitor.user_id))
        self.sources.add(source)
        if visit.conversions:
            self.converted += visit.converted
            if with_goals:
                for action in visit.conversions:
                    self.goals.setdefault(goal_key(action), GoalTally()).add(visit.id, action)

    def merge(self, other: Self) -> None:
        """Add everything that another tally has counted."""
        self.visits += other.visits
        self.actions += other.actions
        self.length += other.length
        self.max_actions = max(self.max_actions, other.max_actions)
        self.bounces += other.bounces
        self.converted += other.converted
        self.visitors |= other.visitors
        self.users |= other.users
        self.sources |= other.sources
        for key, goal in other.goals.items():
            mine = self.goals.setdefault(key, GoalTally())
            mine.conversions += goal.conversions
            mine.visits |= goal.visits
            mine.revenue += goal.revenue
            mine.items += goal.items
            mine.sums = [have + more for have, more in zip(mine.sums, goal.sums, strict=True)]

    def row(self, label: str, *, text: bool, several_days: bool) -> Row:
        """Return the row's label and metrics; `text` if the database's sums are passed on as strings."""
        number: Number = str if text and not several_days else int
        row: Row = {"label": label}
        if not several_days:
            row["nb_uniq_visitors"] = len(self.visitors)
        row["nb_visits"] = self.visits
        row["nb_actions"] = number(self.actions)
        if not several_days:
            row["nb_users"] = len(self.users)
        row["max_actions"] = self.max_actions
        row["sum_visit_length"] = number(self.length)
        row["bounce_count"] = number(self.bounces)
        row["nb_visits_converted"] = number(self.converted)
        if self.goals:
            row["goals"] = {key: goal.row(key) for key, goal in self.goals.items()}
            real = [goal for key, goal in self.goals.items() if key != "idgoal=ecommerceAbandonedCart"]
            row["nb_conversions"] = sum(goal.conversions for goal in real)
            row["revenue"] = php_number(round(sum(goal.revenue for goal in real), 2))
        if several_days:
            row["sum_daily_nb_uniq_visitors"] = len(self.visitors)
            row["sum_daily_nb_users"] = len(self.users)
        return row
