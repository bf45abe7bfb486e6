"""Compares answers of the fake with the recordings and FIELDS.md.

Numbers differ, as does the traffic. Fields, JSON types and the format of strings must not.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from tests.fake_matomo.recorded import FOLDER, Recording, all_recordings, inner_params

# Answers are keyed by sites, days and periods; goals by their number.
_KEYED = re.compile(r"\d+|\d{4}-\d\d(-\d\d)?(,\d{4}-\d\d-\d\d)?")
_GOAL = re.compile(r"idgoal=\d+")

# Strings that a reader parses or a person reads: a number, a percentage, a duration, a moment.
_LOOKS = {
    "number": r"-?\d+(\.\d+)?",
    "percent": r"-?[\d.,]+%",
    "percent, no-break space": r"[\d.,]+\u00a0%",
    "seconds": r"\d+(\.\d+)?s",
    "duration": r"(\d+ (days|hours|min) ?)+(\d+s)?",
    "clock": r"\d\d:\d\d:\d\d",
    "moment": r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d",
    "date": r"\d{4}-\d\d-\d\d",
}
# The label of what a limit cut off, and the name of its rows among the modes.
_OTHERS = ("Others", "Autres")
OTHERS = "others"

# Free text can look like anything, so its look says nothing.
_FREE = frozenset({"label", "Events_EventAction", "regionCode", "title", "subtitle", "timeSpentPretty"})
_TEXT_ONLY = frozenset({"visitDurationPretty", "pageLoadTime"})

# Fields whose type depends on format_metrics: FIELDS.md was made with format_metrics=0.
_FORMATTED = re.compile(r"bounce_rate|exit_rate|avg_.*")


def kind_of(name: str, value: object) -> str:
    """Return the JSON type of a value, and the format of a string; ints and floats are one type."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    if name in _FREE or name in _TEXT_ONLY:
        return "string"
    look = next((look for look, rule in _LOOKS.items() if re.fullmatch(rule, str(value))), None)
    return f"string: {look}" if look else "string"


@dataclass(slots=True)
class Fields:
    """The known fields of a kind of object."""

    kinds: dict[str, set[str]] = field(default_factory=dict)
    always: set[str] | None = None
    inner: dict[str, "Fields"] = field(default_factory=dict)

    def learn(self, row: Mapping[str, object]) -> None:
        """Learn the fields of another object."""
        keys = {_general(key) for key in row}
        self.always = keys if self.always is None else self.always & keys
        for key, value in row.items():
            key = _general(key)
            self.kinds.setdefault(key, set()).add(kind_of(key, value))
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, dict):
                    name = _inner_name(key, one)
                    self.inner.setdefault(name, Fields()).learn(one)


def _general(key: str) -> str:
    return _GOAL.sub("idgoal=N", key)


def _inner_name(key: str, value: Mapping[str, object]) -> str:
    # Each type of action has fields of its own.
    return f"{key} {value['type']}" if key == "actionDetails" and "type" in value else key


def rows_of(answer: object) -> Iterator[Mapping[str, object]]:
    """Yield the rows in lists, days, sites and bulk answers."""
    if isinstance(answer, list):
        for one in answer:
            yield from rows_of(one)
    elif isinstance(answer, dict):
        if answer and all(_KEYED.fullmatch(key) for key in answer):
            for one in answer.values():
                yield from rows_of(one)
        elif answer.get("result") != "error" and set(answer) != {"value"}:
            yield answer


def mode_of(params: Mapping[str, str]) -> tuple[str, ...]:
    """Return what determines the fields of an answer: requests of the same mode have the same fields."""
    several = "several days" if params.get("period") in ("week", "month", "year", "range") else "day"
    method = params.get("method", "")
    live = method.startswith("Live.")
    return (
        method,
        "flat" if params.get("flat") == "1" and not live else "",
        params.get("format_metrics") or "",
        params.get("showColumns") or params.get("columns") or "",
        params.get("hideColumns") or "",
        params.get("hideIdSubDatable") or "",
        "" if live else several,
        "fr" if params.get("language") == "fr" else "",
    )


@cache
def _learned() -> Mapping[tuple[str, ...], Fields]:
    known: dict[tuple[str, ...], Fields] = {}
    for recording in all_recordings():
        if recording.is_json and recording.status == 200 and recording.method != "API.getBulkRequest":
            _learn(known, recording.params, recording.answer)
        elif recording.is_json and recording.status == 200 and isinstance(recording.answer, list):
            for params, answer in zip(inner_params(recording), recording.answer, strict=False):
                _learn(known, params, answer)
    return known


def _learn(known: dict[tuple[str, ...], Fields], params: Mapping[str, str], answer: object) -> None:
    mode = mode_of(params)
    for row in rows_of(answer):
        # What was cut off is added up in a row of its own, where text has become numbers.
        others = (OTHERS,) if row.get("label") in _OTHERS else ()
        known.setdefault(others + mode, Fields()).learn(row)


_HEADING = re.compile(r"## (?P<title>.+)")
_LINE = re.compile(r"\| `(?P<name>[^`]+)` \| (?P<types>[^|]+) \| (?P<in>[^|]+) \|")
_WORDS = {"int": "number", "float": "number"}


@dataclass(frozen=True, slots=True)
class Documented:
    """A section of FIELDS.md: the types of each field, and which fields every row has."""

    kinds: Mapping[str, frozenset[str]]
    always: frozenset[str]


@cache
def documented() -> Mapping[str, Documented]:
    """Return FIELDS.md by the titles of its sections."""
    sections: dict[str, dict[str, tuple[frozenset[str], bool]]] = {}
    current: dict[str, tuple[frozenset[str], bool]] = {}
    for line in (FOLDER / "FIELDS.md").read_text("utf-8").splitlines():
        if heading := _HEADING.match(line):
            current = sections.setdefault(heading["title"], {})
        elif match := _LINE.match(line):
            words = (part.split()[0] for part in match["types"].split("/"))
            kinds = frozenset(_WORDS.get(word, word) for word in words)
            current[match["name"]] = kinds, match["in"].strip() == "all"
    return {
        title: Documented(
            {name: kinds for name, (kinds, _) in fields.items()},
            frozenset(name for name, (_, always) in fields.items() if always),
        )
        for title, fields in sections.items()
    }


def section_of(params: Mapping[str, str]) -> Documented | None:
    """Return the section of FIELDS.md for a request; it covers single days and all columns only."""
    method = params.get("method", "")
    if any(params.get(name) for name in ("showColumns", "columns", "hideColumns", "hideIdSubDatable")):
        return None
    if method == "Live.getLastVisitsDetails":
        return documented()["Live.getLastVisitsDetails: visit"]
    if params.get("period") != "day":
        return None
    title = f"{method} flat=1" if params.get("flat") == "1" else method
    return documented().get(title)


# Reports of some of the rows of another one, with too few recorded rows to tell which fields are optional.
_LIKE = {
    f"Actions.get{which}": f"Actions.getPage{kind}"
    for kind in ("Titles", "Urls")
    for which in (f"EntryPage{kind}", f"ExitPage{kind}", f"Page{kind}FollowingSiteSearch")
}


class Comparison:
    """Compares an answer of the fake with a recording; `differences` are sentences."""

    def __init__(self, recording: Recording, params: Mapping[str, str] | None = None) -> None:
        self.recording = recording
        self.params = params or recording.params
        self.fields = _learned().get(mode_of(self.params), Fields())
        self.others = _learned().get((OTHERS, *mode_of(self.params)), Fields())
        self.section = section_of(self.params)
        self.differences: list[str] = []

    def compare(self, recorded: object, served: object, at: str = "answer") -> list[str]:
        """Return the differences."""
        if kind_of("", recorded) != kind_of("", served):
            self._say(at, f"is {_short(served)} where {_short(recorded)} was recorded")
        elif isinstance(recorded, list) and isinstance(served, list):
            self._lists(recorded, served, at)
        elif isinstance(recorded, dict) and isinstance(served, dict):
            self._objects(recorded, served, at)
        return self.differences

    def _lists(self, recorded: list[object], served: list[object], at: str) -> None:
        if bool(recorded) != bool(served):
            self._say(at, f"has {len(served)} entries, {len(recorded)} were recorded")
        limit = self.params.get("filter_limit", "")
        cut = limit.isdigit() and self.params.get("filter_offset", "0") == "0"
        if cut and len(recorded) == int(limit) != len(served):
            self._say(at, f"has {len(served)} entries for filter_limit={limit}")
        for number, one in enumerate(served):
            if not isinstance(one, dict):
                if recorded and kind_of("", one) != kind_of("", recorded[0]):
                    self._say(f"{at}[{number}]", f"is {_short(one)}")
            elif "type" not in one or "actionDetails" in one:
                self._row(one, f"{at}[{number}]")

    def _objects(self, recorded: dict[str, object], served: dict[str, object], at: str) -> None:
        if recorded and all(_KEYED.fullmatch(key) for key in recorded):
            self._keys(set(recorded), set(served), at)
            for key in recorded.keys() & served.keys():
                self.compare(recorded[key], served[key], f"{at}[{key}]")
        elif recorded.get("result") == "error" or "value" in recorded:
            self._plain(recorded, served, at)
        else:
            self._keys(set(recorded), set(served), at)
            self._row(served, at)

    def _plain(self, recorded: dict[str, object], served: dict[str, object], at: str) -> None:
        self._keys(set(recorded), set(served), at)
        for key, value in recorded.items():
            if "message" in recorded and served.get(key) != value:
                self._say(at, f"says {served.get(key)!r}, recorded is {value!r}")
            elif kind_of(key, served.get(key)) != kind_of(key, value):
                self._say(at, f"has {key}={served.get(key)!r}, recorded is {value!r}")

    def _row(self, row: Mapping[str, object], at: str) -> None:
        known = set(self.fields.kinds) | set(self.others.kinds) | set(self.section.kinds if self.section else ())
        if not known:
            self._say(at, "is a row of a kind that was never recorded")
            return
        always = self._always()
        # "Others" and device types that nobody used have but some of the fields.
        if row.get("label") not in _OTHERS and not (row.get("nb_visits") == 0 and "label" in row):
            for key in sorted(always - set(row)):
                self._say(at, f"lacks {key}")
        for key in row:
            if key in known:
                self._value(row, key, at)
            else:
                self._say(at, f"has {key}, which was never recorded")

    def _always(self) -> set[str]:
        """Return the fields that every row has, by FIELDS.md or else by all recorded rows of the mode."""
        if self.section:
            return set(self.section.always)
        seen = set(self.fields.always or ())
        if "goals" in seen:
            # By chance, since a row has these only if one of its visits converted.
            seen -= {"goals", "nb_conversions", "revenue"}
        method = self.params.get("method", "")
        usual = documented().get(_LIKE.get(method, method))
        return {key for key in seen if not usual or key in usual.always or key not in usual.kinds}

    def _value(self, row: Mapping[str, object], key: str, at: str) -> None:
        value = row[key]
        allowed = set(self.fields.kinds.get(key, ()))
        if self.section and (not _FORMATTED.fullmatch(key) or self.params.get("format_metrics") == "0"):
            documented_kinds = self.section.kinds.get(key, frozenset())
            # FIELDS.md knows types, not looks; a look that no recording of the mode shows is no difference.
            allowed |= documented_kinds if key not in self.fields.kinds else documented_kinds - {"string"}
            if "string" in documented_kinds and not any(kind.startswith("string") for kind in allowed):
                allowed.add("string")
        if row.get("label") in _OTHERS:
            allowed |= self.others.kinds.get(key, set())
            if key.startswith("entry_"):
                # In the recorded "Others" one page alone had entries, so that its counters stayed strings.
                allowed.add("number")
        kind = kind_of(key, value)
        if kind not in allowed and not ("string" in allowed and kind.startswith("string")):
            self._say(at, f"has {key}={_short(value)}, a {kind}; recorded is {' or '.join(sorted(allowed))}")
        if key == "goals" and isinstance(value, dict):
            self._goals(value, at)
        if isinstance(value, list) and key == "actionDetails":
            for number, action in enumerate(value):
                self._action(action, f"{at}.actionDetails[{number}]")

    def _goals(self, goals: Mapping[str, Mapping[str, object]], at: str) -> None:
        known = _goal_fields(self.params.get("method", ""))
        for key, goal in goals.items():
            fields = known.get(_general(key))
            if fields is None:
                self._say(at, f"has goals of {key}, which were never recorded")
                continue
            for name in sorted(set(goal) - set(fields.kinds)):
                self._say(at, f"has goals.{key}.{name}, which was never recorded")
            for name in sorted((fields.always or set()) - set(goal)):
                self._say(at, f"lacks goals.{key}.{name}")
            for name, value in goal.items():
                if kind_of(name, value) != "number":
                    self._say(at, f"has goals.{key}.{name}={value!r}, which is no number")

    def _action(self, action: Mapping[str, object], at: str) -> None:
        section = documented()[f"Live.getLastVisitsDetails: actionDetails of type {action['type']}"]
        for key in sorted(section.always - set(action)):
            self._say(at, f"lacks {key}")
        for key, value in action.items():
            if key not in section.kinds:
                self._say(at, f"has {key}, which was never recorded")
            elif kind_of(key, value).split(":")[0] not in section.kinds[key]:
                self._say(at, f"has {key}={value!r}; recorded is {' or '.join(sorted(section.kinds[key]))}")
            elif key == "itemDetails" and isinstance(value, list):
                self._items(value, at)

    def _items(self, items: Iterable[Mapping[str, object]], at: str) -> None:
        section = documented()["Live.getLastVisitsDetails: itemDetails of an order or cart"]
        for item in items:
            self._keys(set(section.kinds), set(item), f"{at}.itemDetails")
            for key, value in item.items():
                if kind_of(key, value).split(":")[0] not in section.kinds.get(key, frozenset()):
                    self._say(at, f"has an item with {key}={value!r}")

    def _keys(self, recorded: set[str], served: set[str], at: str) -> None:
        for key in sorted(recorded - served):
            self._say(at, f"lacks {key}")
        for key in sorted(served - recorded):
            self._say(at, f"has {key}, which was not recorded")

    def _say(self, at: str, what: str) -> None:
        self.differences.append(f"{at} {what}")


@cache
def _goal_fields(method: str) -> Mapping[str, Fields]:
    """Return the fields in `goals` by goal: those of page reports differ from all others."""
    known: dict[str, Fields] = {}
    for recording in all_recordings():
        same = (recording.method in _PAGES) == (method in _PAGES)
        if not recording.is_json or recording.status != 200 or not same:
            continue
        for row in rows_of(recording.answer):
            goals = row.get("goals")
            for key, goal in goals.items() if isinstance(goals, dict) else ():
                known.setdefault(_general(key), Fields()).learn(goal)
    return known


_PAGES = {"Actions.getPageUrls", "Actions.getPageTitles"}


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 80 else f"{text[:77]}..."
