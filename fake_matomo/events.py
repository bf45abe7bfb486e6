"""`Events.getCategory`, `getAction` and `getName`, nested and flat."""

from collections.abc import Iterable
from html import escape
from urllib.parse import quote_plus

from fake_matomo.php import php_number, quotient
from fake_matomo.pools import Event
from fake_matomo.tallies import Row
from fake_matomo.visits import Person, Visit

Key = tuple[str, ...]

# The part of an event that a report groups by, and the part that its subtables group by.
_PARTS = {
    "Events.getCategory": ("category", "action"),
    "Events.getAction": ("action", "name"),
    "Events.getName": ("name", "action"),
}
EVENTS = frozenset(_PARTS)
_UNNAMED = "Event Name not defined"


class EventTally:
    """The events with the same value of one or of both parts."""

    __slots__ = ("events", "key", "named", "parts", "sources", "total", "values", "visitors", "visits")

    def __init__(self, parts: tuple[str, str], key: Key) -> None:
        self.parts, self.key = parts, key
        self.events = 0
        self.named = False
        self.visits: set[int] = set()
        self.visitors: set[Person] = set()
        self.values: list[float] = []
        self.sources: set[Key] = set()

    def add(self, visit: Visit, event: Event) -> None:
        """Count an event."""
        self.events += 1
        self.visits.add(visit.id)
        self.visitors.add((visit.day, visit.visitor.id))
        self.named = self.named or event.name is not None
        # The archive groups by category, action and name: a row of one such group keeps the strings of
        # the database, a row of several was summed and has ints.
        self.sources.add((event.category, event.action, event.name or ""))
        if event.value is not None:
            self.values.append(event.value)

    def row(self, *, flat: bool, number: int, several_days: bool) -> Row:
        """Return the row as Matomo formats it."""
        text = len(self.sources) == 1 and not several_days
        visits, events, valued = len(self.visits), self.events, len(self.values)
        total = sum(self.values)
        row: Row = {"label": " - ".join(self.key)}
        if not several_days:
            row["nb_uniq_visitors"] = len(self.visitors)
        row |= {
            "nb_visits": str(visits) if text else visits,
            "nb_events": str(events) if text else events,
            "nb_events_with_value": str(valued) if text else valued,
            "sum_event_value": php_number(round(total, 2)),
            "min_event_value": php_number(min(self.values)) if self.values else None,
            "max_event_value": php_number(max(self.values)) if self.values else None,
        }
        if several_days:
            row["sum_daily_nb_uniq_visitors"] = len(self.visitors)
        row["avg_event_value"] = quotient(total, valued, 2)
        if flat:
            for part, value in zip(self.parts, self.key, strict=True):
                row[f"Events_Event{part.title()}"] = value
            return row
        if self.key[0] != _UNNAMED:
            row["segment"] = f"event{self.parts[0].title()}=={quote_plus(escape(self.key[0]))}"
        if self.named or "name" not in self.parts[1:]:
            # An action without names has no subtable.
            row["idsubdatatable"] = number
        return row


def event_rows(method: str, visits: Iterable[Visit], *, flat: bool, several_days: bool) -> list[Row]:
    """Return the rows of the report, unsorted."""
    parts = _PARTS[method]
    tallies: dict[Key, EventTally] = {}
    for visit in visits:
        for action in visit.actions:
            event = action.detail
            if action.kind != "event" or not isinstance(event, Event):
                continue
            key = tuple(getattr(event, part) or _UNNAMED for part in parts[: 2 if flat else 1])
            tallies.setdefault(key, EventTally(parts, key)).add(visit, event)
    return [
        found.row(flat=flat, number=number, several_days=several_days)
        for number, found in enumerate(tallies.values(), start=1)
    ]
