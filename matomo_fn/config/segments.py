"""The key ``segments`` of a configuration: names for parts of the visits, and how Matomo selects these."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from matomo_fn.catalogue import VISITS, Catalogue
from matomo_fn.config.validation import Problems, suggestion

# A name stands in the column ``segment`` and is typed into queries: it is written as a column's name is.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# What stands before the name of a segment that is saved in Matomo.
SAVED = "saved:"
# Characters of a definition: it is sent with each call.
_LONGEST = 4_000
# Matomo's operators (developer.matomo.org, "Segmentation in the API"), the longer ones first.
_CONDITION = re.compile(r"[A-Za-z][A-Za-z0-9_.]*(==|!=|<=|>=|=@|!@|=\^|=\$|<|>)")
# Conditions are joined by ; (and) and , (or); a backslash takes either for itself.
_JOINT = re.compile(r"(?<!\\)[;,]")
_EXAMPLE = '{"mobile": "deviceType==smartphone"}'


@dataclass(frozen=True, slots=True)
class SegmentConfig:
    """One segment: its ``definition``, or the name under which Matomo has it ``saved``.

    ``reports``: the tables that have rows of it, None for all.
    """

    definition: str = ""
    saved: str = ""
    reports: tuple[str, ...] | None = None

    def tables_of(self, catalogue: Catalogue) -> frozenset[str] | None:
        """Return the names of the tables that have the segment, those of longer periods with their reports."""
        if self.reports is None:
            return None
        return frozenset(
            table.name
            for table in catalogue.values()
            if table.name in self.reports or table.name.removesuffix(f"_{table.period}") in self.reports
        )


def read_segments(value: Any) -> Mapping[str, SegmentConfig]:
    """Return the segments by name; raise ValueError or Problems with a sentence for everything that is wrong."""
    if not isinstance(value, dict):
        raise ValueError(f"has to be an object of names and definitions, such as {_EXAMPLE}")
    found, problems = {}, []
    for name, item in value.items():
        try:
            _check_name(name)
            found[name] = _segment(item)
        except ValueError as error:
            sentences = error.sentences if isinstance(error, Problems) else (str(error),)
            problems += [f"segment {name!r}: {sentence}" for sentence in sentences]
    if problems:
        raise Problems(problems)
    return found


def segment_problems(segments: Mapping[str, SegmentConfig], tables: Iterable[str]) -> list[str]:
    """Return a sentence for each table that a segment names and that the configuration does not sync."""
    names = [name for name in tables if name != VISITS.name]
    return [
        f"segment {segment!r}: visits have no segments: filter them in a query"
        if name == VISITS.name
        else f'segment {segment!r}: "reports" of the configuration does not have {name!r}: {suggestion(name, names)}'
        for segment, config in segments.items()
        for name in config.reports or ()
        if name not in names
    ]


def _check_name(name: str) -> None:
    if not name:
        raise ValueError("the empty name stands for all visits, which every table has: give it another one")
    if not _NAME.fullmatch(name):
        raise ValueError("a name has lower-case letters, digits and underscores, a letter first, 64 at most")


def _segment(value: Any) -> SegmentConfig:
    if isinstance(value, str):
        return _defined(value, None)
    if not isinstance(value, dict):
        raise ValueError('has to be a definition such as "deviceType==smartphone", or an object with "definition"')
    unknown = [key for key in value if key not in ("definition", "reports")]
    if unknown:
        raise Problems(f"unknown key {key!r}: {suggestion(key, ('definition', 'reports'))}" for key in unknown)
    if not isinstance(value.get("definition"), str):
        raise ValueError('"definition" is missing, or is no text such as "deviceType==smartphone"')
    return _defined(value["definition"], _reports(value.get("reports")))


def _reports(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError('"reports" has to be a list of tables; leave it out for all')
    return tuple(dict.fromkeys(value))


def _defined(text: str, reports: tuple[str, ...] | None) -> SegmentConfig:
    """Return a segment by what a user wrote, which may have been copied from a URL of Matomo's."""
    text = text.strip()
    if text.startswith(SAVED):
        saved = text.removeprefix(SAVED).strip()
        if not saved:
            raise ValueError(f'names no saved segment: write "{SAVED}" and its name in Matomo')
        return SegmentConfig(saved=saved, reports=reports)
    while not _CONDITION.match(text) and unquote(text) != text:
        text = unquote(text)
    _check_definition(text)
    return SegmentConfig(text, reports=reports)


def _check_definition(text: str) -> None:
    if not text:
        raise ValueError('has no definition: write one such as "deviceType==smartphone"; all visits need no segment')
    if len(text) > _LONGEST:
        raise ValueError(f"its definition has {len(text)} characters: Matomo is sent {_LONGEST} at most")
    if not text.isprintable():
        raise ValueError("its definition has a line break or another character that cannot be printed")
    if text.startswith("segment="):
        raise ValueError('write the definition without "segment="')
    wrong = [part for part in _JOINT.split(text) if not _CONDITION.match(part)]
    if wrong:
        raise Problems(
            f"{part!r} is no condition such as deviceType==smartphone: a name, one of == != <= >= < > =@ !@ =^ =$, and "
            "a value, without spaces between; ; joins two by and, a comma by or"
            for part in wrong
        )
