"""Rows of reports that have no model: visits and actions grouped by value, and metrics by name."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Self
from zlib import crc32

from fake_matomo.metadata import Field, Report
from fake_matomo.php import php_number, quotient
from fake_matomo.tallies import Row, VisitTally
from fake_matomo.visits import TIMINGS, Action, Load, Visit


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a dimension: its label, and the other fields of its row that are not metrics, such as `segment`."""

    label: str
    fields: tuple[tuple[str, object], ...] = ()


class Group:
    """The visits of a row, and its actions if the dimension has action scope."""

    __slots__ = ("_seen", "actions", "tally", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self.tally = VisitTally((value.label,))
        self.actions: list[tuple[Visit, Action]] = []
        self._seen: set[int] = set()

    def add(self, visit: Visit, action: Action | None, source: str) -> None:
        """Count a visit, only once, and one of its actions."""
        if visit.id not in self._seen:
            self._seen.add(visit.id)
            self.tally.add(visit, source, with_goals=True)
        self.tally.sources.add(source)
        if action is not None:
            self.actions.append((visit, action))

    def merge(self, other: Self) -> None:
        """Add everything that another tally has counted."""
        self.tally.merge(other.tally)
        self.actions += other.actions
        self._seen |= other._seen

    @property
    def empty(self) -> bool:
        """Whether it has no visits."""
        return not self._seen

    @property
    def spent(self) -> int:
        """Seconds spent on the actions; Matomo does not measure it for downloads and outlinks."""
        return sum(action.spent for _, action in self.actions if action.kind in ("action", "search"))

    @property
    def exits(self) -> int:
        """The number of visits that ended with one of the actions."""
        return sum(1 for visit, action in self.actions if visit.actions[-1] is action)

    def row(self, fields: Iterable[Field], report: Report, *, all_visits: int, several_days: bool) -> Row:
        """Return the row with the recorded fields and JSON types.

        :param all_visits: visits of the period, for percentages.
        :param several_days: the period is longer than a day: unique counts are sums over days, metrics are numbers.
        """
        own = dict(self.value.fields)
        counted = self.tally.row(self.value.label, text=False, several_days=False)
        row: Row = {}
        daily: Row = {}
        for field in fields:
            name = field.name
            if name == "label":
                row[name] = self.value.label
            elif name in own or name == "idsubdatatable" or not _is_metric(name, report):
                continue
            elif several_days and name in _UNIQUE:
                daily[f"sum_daily_{name}"] = counted[name]
            elif self._has(field, counted, report):
                value = _metric(name, self, counted, report, all_visits)
                row[name] = value if several_days else _typed(value, field, text=len(self.tally.sources) == 1)
        return {**row, **daily, **own}

    def _has(self, field: Field, counted: Row, report: Report) -> bool:
        """Whether the row has the field; fields that accompany `goals` need a conversion."""
        if field.name in _CONVERSIONS and field.name not in report.metrics:
            return field.name in counted
        if field.name == "exit_nb_visits":
            return field.always or self.exits > 0
        return field.always or not self.empty


_CONVERSIONS = frozenset({"goals", "nb_conversions", "revenue"})
_UNIQUE = frozenset({"nb_uniq_visitors", "nb_users"})
_TIMING = re.compile(r"(sum|nb_hits_with|min|max)_time_(" + "|".join(TIMINGS) + ")")

Metric = Callable[[Group, int], object]

_METRICS: Mapping[str, Metric] = {
    "nb_hits": lambda group, _: len(group.actions),
    "nb_impressions": lambda group, _: len(group.actions),
    "nb_interactions": lambda _group, _visits: 0,
    "interaction_rate": lambda _group, _visits: 0,
    "sum_time_spent": lambda group, _: group.spent,
    "exit_nb_visits": lambda group, _: group.exits,
    "exit_rate": lambda group, _: quotient(group.exits, group.tally.visits, 2),
    "avg_time_on_page": lambda group, _: quotient(group.spent, len(group.actions), 0),
    "avg_time_on_dimension": lambda group, _: quotient(group.spent, len(group.actions), 0),
    "nb_pages_per_search": lambda group, _: quotient(len(group.actions), group.tally.visits, 1),
    "nb_visits_percentage": lambda group, visits: quotient(group.tally.visits, visits, 2),
    "nb_actions_per_visit": lambda group, _: quotient(group.tally.actions, group.tally.visits, 1),
    "avg_time_on_site": lambda group, _: quotient(group.tally.length, group.tally.visits, 0),
    "bounce_rate": lambda group, _: quotient(group.tally.bounces, group.tally.visits, 2),
    "conversion_rate": lambda group, _: quotient(group.tally.converted, group.tally.visits, 4),
}


def _is_metric(name: str, report: Report) -> bool:
    known = name in _METRICS or name in report.metrics or name in _TALLIED
    return known or _TIMING.fullmatch(name) is not None


_TALLIED = frozenset(
    {
        "bounce_count",
        "goals",
        "max_actions",
        "nb_actions",
        "nb_conversions",
        "nb_uniq_visitors",
        "nb_users",
        "nb_visits",
        "nb_visits_converted",
        "revenue",
        "sum_visit_length",
    }
)


def _metric(name: str, group: Group, counted: Row, report: Report, all_visits: int) -> object:
    if group.actions and name in ("nb_actions", "nb_conversions"):
        return len(group.actions)
    if timing := _TIMING.fullmatch(name):
        return _timing(timing[1], TIMINGS.index(timing[2]), group)
    if name in _METRICS:
        return _METRICS[name](group, all_visits)
    if name in counted:
        return counted[name]
    return _invented(name, report.metrics.get(name, "number"), group) if name not in _TALLIED else 0


def _timing(what: str, at: int, group: Group) -> object:
    times = [action.detail.times[at] / 1000 for _, action in group.actions if isinstance(action.detail, Load)]
    if what == "nb_hits_with":
        return len(times)
    if what == "sum":
        return php_number(round(sum(times), 4))
    if not times:
        return 0
    return php_number(min(times) if what == "min" else max(times))


def _invented(name: str, kind: str, group: Group) -> object:
    """Return a number for a metric of which only the type is known; the same visits give the same number."""
    share = crc32(f"{name}/{group.value.label}/{group.tally.visits}".encode()) % 1000 / 1000
    if kind == "percent":
        return php_number(round(share, 2))
    if kind == "money":
        return php_number(round(share * 20 * group.tally.visits, 2))
    return int(share * 2 * group.tally.visits)


def _typed(value: object, field: Field, *, text: bool) -> object:
    """Return the value with the recorded type; `text` if the database's sums are passed on as strings."""
    types = field.types.split("/")
    if "str" not in types:
        return value
    numbers = "int" in types or "float" in types
    return str(value) if text or not numbers else value
