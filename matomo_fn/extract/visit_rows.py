"""Parses a visit of Matomo's visits log into a row: the only place that knows how Matomo writes a visit.

A field that has a column is stored there with its type. Icons, texts made for people, copies of columns and lifetime
totals of the visitor are left out. Every other field that carries information is kept as JSON in ``raw``, of the visit
or of the action, so that nothing that Matomo answers is lost.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Any

from matomo_fn.catalogue import VISITS, Column, ColumnType
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.visit_orders import LIFETIME_TOTALS, order_totals
from matomo_fn.json_codec import encode_plain, has_exponent, is_plain
from matomo_fn.values import as_float, as_integer, as_staged_integer, as_text, encode, shown

# Matomo counts them from 1; a longer number is none of its, fits no column, and is kept in raw like any other field.
_DIMENSION = re.compile(r"dimension([0-9]{1,9})")
# What GoogleSQL takes as a TIME. Matomo's database holds others as well: -01:00:00, 838:59:59.
_LOCAL_TIME = re.compile(r"([01]?[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]")
# Matomo's numbers for actions that have no word of their own (core's Piwik\Tracker\Action::TYPE_CONTENT).
_ACTION_TYPES = {13: "content"}

# Icons, texts made for people, and copies of what has a column.
_VISIT_COPIES = {
    "idSite", "serverDate", "visitServerHour", "lastActionDateTime", "serverTimestamp", "serverTimePretty",
    "serverDatePretty", "serverDatePrettyFirstAction", "serverTimePrettyFirstAction", "visitDurationPretty",
    "visitLocalHour", "operatingSystem", "browser", "location", "pluginsIcons", "visitorTypeIcon",
    "visitConvertedIcon", "visitEcommerceStatusIcon", "referrerSearchEngineIcon", "referrerSocialNetworkIcon",
    "deviceTypeIcon", "operatingSystemIcon", "browserIcon", "countryFlag", "actionDetails", "customVariables",
}  # fmt: skip
_ACTION_COPIES = {
    "icon", "iconSVG", "title", "subtitle", "serverTimePretty", "timeSpentPretty", "pageLoadTime", "itemDetails",
}  # fmt: skip
_ITEM_COPIES = {"itemCategory"}
# Ages count from another moment than the visit's own data, so a later answer about the same visit may differ although
# the visit has not changed.
AGES = {
    "daysSinceFirstVisit", "daysSinceLastVisit", "daysSinceLastEcommerceOrder", "secondsSinceFirstVisit",
    "secondsSinceLastVisit", "secondsSinceLastEcommerceOrder",
}  # fmt: skip

# Integers up to here are stored as numbers, further ones as their digits.
_LARGEST = 2**53 - 1
# Shapes of visits and of actions, the fields that one has, whose plans are kept: some dozens, but for a hostile server.
_SHAPES = 1024
# Texts of numbers and times that are remembered.
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class _Put:
    """How one of Matomo's fields becomes a column.

    ``plain`` is the type of values that are stored as they are, integers beyond 53 bits excepted; ``convert`` reads
    the others.
    """

    source: str
    name: str
    plain: type | None
    convert: Callable[[object], Any]
    absent: int | str | None


# A _Put as a tuple: each value of each action passes one.
_Step = tuple[str, str, type | None, Callable[[object], Any], int | str | None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is read of an object with certain fields: its columns, further columns, and the fields without a column.

    ``rest`` has the number of the custom dimension for each field that is one.
    """

    puts: tuple[_Step, ...]
    further: tuple[_Step, ...]
    rest: tuple[tuple[str, int | None], ...]


class _UnusualError(ValueError):
    """A value whose text msgspec may write otherwise than json."""


class _UnreadableError(ValueError):
    """A value that is stored as if it were absent: one odd value does not fail the day of all visits."""


@dataclass(frozen=True, slots=True)
class VisitRow:
    """One visit: ``line`` is what is staged (without the slice's columns), ``stable`` what its hash is made of.

    ``unreadable``: Matomo's fields whose values are stored as if they were absent.
    """

    visit_id: int
    last_action: int
    line: str
    stable: str
    unreadable: tuple[str, ...] = ()


class VisitParser:
    """Parses the visits of one site; ``exclude``: columns to leave out, such as ``user_id`` and ``actions.url``."""

    def __init__(self, timezone: tzinfo, exclude: Collection[str] = ()) -> None:
        self._exclude = frozenset(exclude)
        self._timezone = timezone
        self._fast = _Reading(self._exclude, is_careful=False)
        self._careful = _Reading(self._exclude, is_careful=True)

    def parse(self, visit: object) -> VisitRow:
        """Return the row of one visit; raise InvalidResponse where it cannot be read."""
        if not isinstance(visit, Mapping):
            raise InvalidResponse(f"Live.getLastVisitsDetails answers {shown(visit)} where a visit belongs")
        try:
            try:
                return self._parse(visit, self._fast)
            except (_UnusualError, UnicodeEncodeError):
                return self._parse(visit, self._careful)
        except (ValueError, OverflowError, OSError) as error:  # the latter two of times that no calendar has
            raise InvalidResponse(f"Live.getLastVisitsDetails: visit {shown(visit.get('idVisit'))}: {error}") from None

    def _parse(self, visit: Mapping[str, Any], reading: "_Reading") -> VisitRow:
        for name in ("idVisit", "firstActionTimestamp", "lastActionTimestamp"):
            if visit.get(name) is None:
                raise ValueError(f"there is no {name}")
        unreadable: list[str] = []
        plan = reading.visit.plan(visit)
        row = _take(plan.puts, visit, unreadable)
        ages = _take(plan.further, visit, unreadable)
        raw, dimensions = reading.rest(plan, visit)
        details = _details(visit)
        for name, total in order_totals(details).items():
            if name not in self._exclude:
                row[name] = reading.number(total)
        self._add(row, "custom_dimensions", dimensions)
        self._add(row, "custom_variables", _custom_variables(visit.get("customVariables")))
        self._add(row, "actions", self._actions(visit, details, reading, unreadable))
        self._add(ages, "raw", raw)
        # Encoded once, since most of it is the same in both.
        kept = reading.encode(row)
        line = f"{kept[:-1]},{reading.encode(ages)[1:]}" if ages else kept
        lasting = {} if "raw" in self._exclude else {name: raw[name] for name in raw if name not in AGES}
        stable = kept + reading.encode(lasting)
        return VisitRow(
            as_integer(visit["idVisit"]), as_integer(visit["lastActionTimestamp"]), line, stable, tuple(unreadable)
        )

    def _add(self, row: dict[str, Any], name: str, value: Collection[object]) -> None:
        if value and name not in self._exclude:
            row[name] = value

    def _actions(
        self,
        visit: Mapping[str, Any],
        details: Sequence[Mapping[str, Any]],
        reading: "_Reading",
        unreadable: list[str],
    ) -> list[dict[str, Any]]:
        if "actions" in self._exclude:
            return []
        moments = self._moments(visit, details)
        return [
            self._action_row(action, moment, reading, unreadable)
            for action, moment in zip(details, moments, strict=True)
        ]

    def _action_row(
        self, action: Mapping[str, Any], moment: int | None, reading: "_Reading", unreadable: list[str]
    ) -> dict[str, Any]:
        plan = reading.action.plan(action)
        row = _take(plan.puts, action, unreadable)
        if moment is not None and "actions.occurred_at" not in self._exclude:
            row["occurred_at"] = _timestamp(moment)
        if action.get("itemDetails"):
            items = [self._item_row(item, reading, unreadable) for item in action["itemDetails"]]
            self._add_of_action(row, "items", items)
        if plan.further:
            self._add_of_action(row, "product", _take(plan.further, action, unreadable))
        if plan.rest:
            raw, dimensions = reading.rest(plan, action)
            self._add_of_action(row, "custom_dimensions", dimensions)
            self._add_of_action(row, "raw", raw)
        return row

    def _add_of_action(self, row: dict[str, Any], name: str, value: object) -> None:
        if value and f"actions.{name}" not in self._exclude:
            row[name] = value

    def _item_row(self, item: Mapping[str, Any], reading: "_Reading", unreadable: list[str]) -> dict[str, Any]:
        row = _take(reading.item.plan(item).puts, item, unreadable)
        category = item.get("itemCategory")
        if category and not row.get("categories"):
            row["categories"] = [as_text(category)]
        return row

    def _moments(self, visit: Mapping[str, Any], actions: Sequence[Mapping[str, Any]]) -> list[int | None]:
        """Return when each action was, in true Unix time.

        Matomo gives the site's wall clock written as if it were UTC. In the hour that comes twice when the clock is
        set back, two times have one writing: actions never go back in time, and none lies before the visit's first
        or after its last action, both of which are true.
        """
        first, last = as_integer(visit["firstActionTimestamp"]), as_integer(visit["lastActionTimestamp"])
        moments: list[int | None] = []
        earliest = first
        for action in actions:
            if action.get("timestamp") is None:
                moments.append(None)
                continue
            candidates = _true_times(as_integer(action["timestamp"]), self._timezone)
            if len(candidates) == 1:
                moments.append(candidates[0])
                earliest = max(earliest, candidates[0])
                continue
            fitting = [moment for moment in candidates if earliest <= moment <= last]
            moment = fitting[0] if fitting else min(candidates, key=lambda m: (m < earliest, abs(m - earliest)))
            earliest = max(earliest, moment)
            moments.append(moment)
        return _end_at(moments, actions, last, self._timezone)


def _end_at(
    moments: list[int | None], actions: Sequence[Mapping[str, Any]], last: int, timezone: tzinfo
) -> list[int | None]:
    """Move the actions at the end to the later of two possible times, where only that reaches the visit's end."""
    for index in range(len(moments) - 1, -1, -1):
        moment = moments[index]
        if moment is None:
            continue
        candidates = _true_times(as_integer(actions[index]["timestamp"]), timezone)
        if len(candidates) == 1 or moment == last or candidates[-1] != last:
            break
        moments[index] = last
    return moments


def _true_times(wall: int, timezone: tzinfo) -> list[int]:
    """Return the Unix times, earlier first, at which a site's clock showed a time that is given as if it were UTC."""
    return [wall - offset for offset in _offsets(wall // 60, timezone)]


@lru_cache(maxsize=4096)  # the minutes of two days and more; clocks are changed on whole ones
def _offsets(minute: int, timezone: tzinfo) -> tuple[int, ...]:
    """Return by how many seconds a site's clock may be ahead of UTC in a minute that it shows, the most first."""
    wall = 60 * minute
    local = datetime.fromtimestamp(wall, UTC).replace(tzinfo=timezone)
    return tuple(sorted({wall - int(local.replace(fold=fold).timestamp()) for fold in (0, 1)}, reverse=True))


class _Reading:
    """One way to read visits: as they usually are, or with care for what msgspec writes otherwise than json.

    What is read as usual raises _UnusualError for a value that needs care, and UnicodeEncodeError for text that does.
    """

    def __init__(self, exclude: Collection[str], *, is_careful: bool) -> None:
        known = {column.source for column in VISITS.parsed} | _VISIT_COPIES | LIFETIME_TOTALS
        known_of_action = {column.source for column in _fields("actions")} | _ACTION_COPIES
        known_of_action |= {column.source for column in _fields("actions", "product")}
        # Conversions repeat what the visit was attributed to: what is excluded of the visit is excluded of them.
        known_of_action |= {column.source for column in VISITS.parsed if column.name in exclude}
        puts = _puts(VISITS.parsed, exclude)
        lasting, ages = ([put for put in puts if (put.source in AGES) is are_ages] for are_ages in (False, True))
        of_action = _puts(_fields("actions"), {name.removeprefix("actions.") for name in exclude if "." in name})
        product = _puts(_fields("actions", "product"), ())  # it and the items are excluded as a whole
        item = _puts(_fields("actions", "items"), ())
        self.visit = _Object(lasting, ages, known, is_careful=is_careful)
        self.action = _Object(of_action, product, known_of_action, is_careful=is_careful)
        self.item = _Object(item, (), (), is_careful=is_careful)
        self.encode: Callable[[object], str] = encode if is_careful else encode_plain
        self.number: Callable[[Any], Any] = _as_it_is if is_careful else _plain_number
        self._value: Callable[[Any], Any] = _as_it_is if is_careful else _plain_value

    def rest(self, plan: _Plan, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Return the fields that have no column and are no copies, and the custom dimensions among them as rows."""
        others, dimensions = {}, []
        for name, dimension in plan.rest:
            value = values[name]
            if value is None:
                continue
            if dimension is not None:
                dimensions.append({"index": dimension, "value": as_text(value)})
            else:
                others[name] = value if type(value) is str else self._value(value)
        return others, dimensions


class _Object:
    """The plans for objects of one kind: one for each combination of fields that they have."""

    def __init__(
        self, puts: Sequence[_Put], further: Sequence[_Put], known: Collection[str], *, is_careful: bool
    ) -> None:
        self._puts = puts
        self._further = further
        self._known = frozenset(known)
        self._is_careful = is_careful
        self._plans: dict[tuple[str, ...], _Plan] = {}

    def plan(self, values: Mapping[str, Any]) -> _Plan:
        """Return what is read of an object."""
        shape = tuple(values)
        plan = self._plans.get(shape)
        if plan is None:
            if len(self._plans) >= _SHAPES:
                self._plans.clear()
            rest = [name for name in shape if name not in self._known]
            dimensions = [_DIMENSION.fullmatch(name) for name in rest]
            numbers = [int(match[1]) if match else None for match in dimensions]
            fields = frozenset(shape)
            plan = _Plan(
                self._steps(self._puts, fields),
                self._steps(self._further, fields),
                tuple(zip(rest, numbers, strict=True)),
            )
            self._plans[shape] = plan
        return plan

    def _steps(self, puts: Sequence[_Put], fields: Collection[str]) -> tuple[_Step, ...]:
        steps: list[_Step] = []
        for put in puts:
            if put.source in fields or put.absent is not None:
                convert = _plain_decimal if put.convert is _decimal and not self._is_careful else put.convert
                plain = None if self._is_careful else put.plain
                steps.append((put.source, put.name, plain, convert, put.absent))
        return tuple(steps)


def _take(steps: Sequence[_Step], values: Mapping[str, Any], unreadable: list[str]) -> dict[str, Any]:
    """Return the columns that are read as they are; the fields of unreadable values are appended to a list."""
    row = {}
    for source, name, plain, convert, absent in steps:
        value = values.get(source, absent)
        kind = type(value)
        if kind is plain and (plain is str or -_LARGEST <= value <= _LARGEST):
            row[name] = value
        elif value is not None:
            try:
                row[name] = convert(value)
            except _UnusualError:
                raise
            except _UnreadableError:
                unreadable.append(source)
                if absent is not None:
                    row[name] = convert(absent)
            except ValueError as error:
                raise ValueError(f"{source} {error}") from None
    return row


def _puts(columns: Sequence[Column], exclude: Collection[str]) -> tuple[_Put, ...]:
    """Return how the columns that are read as they are come out of Matomo's fields."""
    puts = []
    for column in columns:
        if not column.source or column.fields or column.name in exclude or column.name in ("raw", "occurred_at"):
            continue
        convert = _list_of_texts if column.repeated else _CONVERTERS[column.type]
        plain = None if column.repeated else _PLAIN.get(column.type)
        if column.source == "type":
            convert = _action_type
        puts.append(_Put(column.source, column.name, plain, convert, column.absent))
    return tuple(puts)


def _as_it_is(value: Any) -> Any:
    return value


def _plain_number(value: Any) -> Any:
    """Return a number, or raise _UnusualError where it has an exponent when json writes it."""
    if type(value) is float and has_exponent(value):
        raise _UnusualError
    return value


def _plain_value(value: Any) -> Any:
    """Return a JSON value; raise _UnusualError where msgspec may write it otherwise than json."""
    if type(value) is int or type(value) is float:
        return _plain_number(value)
    if isinstance(value, dict | list) and not is_plain(value):
        raise _UnusualError
    return value


def _fields(*path: str) -> tuple[Column, ...]:
    columns: Sequence[Column] = VISITS.parsed
    for name in path:
        columns = next(column.fields for column in columns if column.name == name)
    return tuple(columns)


def _custom_variables(values: object) -> list[dict[str, Any]]:
    """Read {"1": {"customVariableName1": …, "customVariableValue1": …}}."""
    if not values:
        return []
    if not isinstance(values, Mapping) or not all(isinstance(value, Mapping) for value in values.values()):
        raise ValueError("customVariables is no object of objects")
    rows = []
    for index, value in values.items():
        name, text = value.get(f"customVariableName{index}"), value.get(f"customVariableValue{index}")
        rows.append({"index": as_integer(index), "name": name and as_text(name), "value": text and as_text(text)})
    return rows


def _details(visit: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return Matomo's actions of a visit; raise ValueError where they or their items are no lists of objects."""
    details = visit.get("actionDetails")
    if details is None:
        return []
    if not _are_objects(details):
        raise ValueError("actionDetails is no list of actions")
    for action in details:
        if action.get("itemDetails") and not _are_objects(action["itemDetails"]):
            raise ValueError("itemDetails is no list of objects")
    return details  # type: ignore[no-any-return]  # the lines above have made sure


def _are_objects(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(value, dict) for value in values)


def _timestamp(seconds: int) -> str:
    return f"{_minute(seconds // 60)}{seconds % 60:02d}Z"


@lru_cache(maxsize=_REMEMBERED)
def _minute(minute: int) -> str:
    """Return a minute as ISO 8601 has it, up to its seconds."""
    return datetime.fromtimestamp(60 * minute, UTC).isoformat()[:17]


def _moment(value: object) -> str:
    seconds = as_integer(value)
    try:
        return _timestamp(seconds)
    except (OverflowError, OSError, ValueError):
        raise ValueError(f"is {seconds}, which is no Unix time") from None


def _integer(value: object) -> int | str:
    if value == "":
        raise _UnreadableError
    return as_staged_integer(value)


def _decimal(value: object) -> float:
    if value == "":
        raise _UnreadableError
    return as_float(value)


def _plain_decimal(value: object) -> Any:
    return _known_decimal(value) if type(value) is str else _plain_number(_decimal(value))


@lru_cache(maxsize=_REMEMBERED)
def _known_decimal(text: str) -> Any:
    return _plain_number(_decimal(text))


def _local_time(value: object) -> str:
    if not isinstance(value, str) or not _LOCAL_TIME.fullmatch(value):
        raise _UnreadableError
    return value


def _truth(value: object) -> bool:
    if value in (True, False, 0, 1, "0", "1"):
        return value in (True, 1, "1")
    raise ValueError(f"is {shown(value)}, not 0 or 1")


def _action_type(value: object) -> str:
    if isinstance(value, int):
        return _ACTION_TYPES.get(value, str(value))
    return as_text(value)


def _list_of_texts(value: object) -> list[str]:
    """Read ["a", "b"], or "a, b" as Matomo writes browser plugins."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list):
        return [as_text(part) for part in value if part is not None]
    raise ValueError(f"is {shown(value)}, not a list of texts")


_PLAIN = {ColumnType.STRING: str, ColumnType.INT64: int}
_CONVERTERS: Mapping[ColumnType, Callable[[object], Any]] = {
    ColumnType.STRING: as_text,
    ColumnType.INT64: _integer,
    ColumnType.FLOAT64: _decimal,
    ColumnType.BOOL: _truth,
    ColumnType.TIME: _local_time,
    ColumnType.TIMESTAMP: _moment,
}
