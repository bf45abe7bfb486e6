"""Reading reports for many days by as few calls as Matomo allows: ranges first, then bulk, then one by one."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from urllib.parse import urlencode

import structlog

from matomo_fn.catalogue import Source
from matomo_fn.days import Days
from matomo_fn.errors import (
    InvalidResponse,
    MatomoError,
    MatomoFatal,
    ReportRefused,
    SegmentRefused,
    SegmentUnprocessed,
)
from matomo_fn.json_codec import Unread
from matomo_fn.matomo.responses import PluginOff, error_of
from matomo_fn.periods import Period

log = structlog.get_logger()

# Calls of Matomo's API in one HTTP call. PHP reads some 1,000 form fields at most, and Matomo runs the calls one after
# another: some sixty take it about a second, and most of what can be saved is saved.
MOST_CALLS_IN_BULK = 60
# Of days of a range that failed: one of them may take long.
BULK_DAYS = 20
BULK = "API.getBulkRequest"
# Pages of one day's report: a guard against a server that ignores filter_offset.
_MAX_PAGES = 10_000
# How reports refuse ranges of days (recordings days_VisitTime.getByDayOfWeek, days_Referrers.getAll); a plugin's may.
_NO_RANGES = re.compile(r"multiple (sites or )?dates", re.IGNORECASE)
# Labels in English, numbers as numbers, and (Matomo 6) no column of percentages beside each metric.
ALWAYS: Mapping[str, str] = {"language": "en", "format_metrics": "0", "percent_of_total": "0"}

# Makes one call of the API and returns its JSON value and the bytes that it had.
Call = Callable[[str, Mapping[str, str]], tuple[Any, int]]
# Characters by which the answers in one bulk answer are told apart: those of a day's first row, and of a name.
_OF_VALUE = 12


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """Which report of which site, by which kind of period, and of which visits (a segment's definition, or all)."""

    source: Source
    site_id: str
    period: Period = Period.DAY
    segment: str = ""

    @property
    def method(self) -> str:
        """The method of Matomo's API."""
        return self.source.method

    @property
    def takes_ranges(self) -> bool:
        """Whether many periods can be requested in one call, which answers them by their keys."""
        return self.source.ranges and not self.period.is_rolling


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back for some periods: for the date of each its answer or its error; and the bytes of all.

    ``split``: the periods had to be requested one by one, since the range failed.
    """

    days: Mapping[date, object]
    size: int
    split: bool = False


class ReportReader:
    """Reads reports by a function that makes calls; ``redact`` removes the token from a text of Matomo's.

    ``call_together``: makes a call that can be cut into smaller ones, and so need not be tried as often.
    ``page_rows``: rows of one call, where answers have to be paged.
    """

    def __init__(
        self, call: Call, redact: Callable[[str], str], page_rows: int | None, *, call_together: Call | None = None
    ) -> None:
        self._call = call
        self._call_together = call_together or call
        self._redact = redact
        self._page_rows = page_rows

    def read(self, query: ReportQuery, days: Days) -> Answered:
        """Return the answer for each of some consecutive periods; ``days`` are all days of them.

        A range that fails is requested period by period, so that one bad day costs one day.
        """
        ranges = query.takes_ranges
        if ranges:
            try:
                return self._range(query, days)
            except MatomoFatal:
                raise
            except (PluginOff, SegmentRefused) as error:  # it is refused for every day
                return Answered(dict.fromkeys(query.period.dates(days), error), 0)
            except SegmentUnprocessed:  # as other Matomos answer it: the archive check tells it from no visits
                return Answered({day: [] for day in query.period.dates(days)}, 0)
            except MatomoError as error:
                if isinstance(error, ReportRefused) and _NO_RANGES.search(str(error)):
                    return self.read(replace(query, source=replace(query.source, ranges=False)), days)
                if query.period.count(days) == 1:
                    return Answered({days.first: error}, 0)
                log.info(
                    "range_split_into_days",
                    method=query.method,
                    site=query.site_id,
                    days=len(days),
                    error=str(error),
                )
        if self._page_rows:
            return _joined((self._paged_day(query, day) for day in query.period.dates(days)), split=ranges)
        most = BULK_DAYS if ranges else MOST_CALLS_IN_BULK
        return _joined((self._bulk(query, part) for part in query.period.parts(days, most)), split=ranges)

    def read_together(self, wanted: Sequence[tuple[ReportQuery, Days]]) -> list[Answered]:
        """Return the answers of several reports, requested in one HTTP call, each as `read` returns it.

        A call that fails is cut into halves. What answers an error, or not what was requested, is read on its own: so
        what becomes of it does not depend on the company that it was in.
        """
        if len(wanted) < 2 or self._page_rows:
            return [self.read(query, days) for query, days in wanted]
        try:
            return list(self._together(wanted))
        except MatomoFatal:
            raise
        except MatomoError as error:
            log.info("bulk_halved", reports=len(wanted), site=wanted[0][0].site_id, error=str(error))
            half = len(wanted) // 2
            return [*self.read_together(wanted[:half]), *self.read_together(wanted[half:])]

    def _together(self, wanted: Sequence[tuple[ReportQuery, Days]]) -> Iterator[Answered]:
        parts = [list(_spans(query, days)) for query, days in wanted]
        forms = [
            {"method": query.method, **self._form(query, span, 0)}
            for (query, _), spans in zip(wanted, parts, strict=True)
            for span in spans
        ]
        value, size = self._bulk_call(self._call_together, forms)
        entries = iter(zip(value, _shares(value, size), strict=True))
        # All are taken before any is read on its own: an error of the bulk call as a whole comes to nobody else.
        taken = [[next(entries) for _ in spans] for spans in parts]
        for (query, days), found in zip(wanted, taken, strict=True):
            read = sum(share for _, share in found)
            yield self._of_entries(query, days, [entry for entry, _ in found], read)

    def _of_entries(self, query: ReportQuery, days: Days, entries: Sequence[object], size: int) -> Answered:
        """Return what the entries of a bulk answer say of a report."""
        dates = list(query.period.dates(days))
        if not query.takes_ranges:
            return Answered(
                {day: self._entry(query, day, entry) for day, entry in zip(dates, entries, strict=True)}, size
            )
        (entry,) = entries
        error = error_of(self._redact, query.method, entry)
        if isinstance(error, PluginOff | SegmentRefused):
            return Answered(dict.fromkeys(dates, error), 0)
        if isinstance(error, SegmentUnprocessed):
            return Answered({day: [] for day in dates}, 0)
        keys = {query.period.key(day): day for day in dates}
        if not isinstance(entry, dict) or entry.keys() != keys.keys():
            return self.read(query, days)
        return Answered({day: entry[key] for key, day in keys.items()}, size)

    def _bulk_call(self, call: Call, forms: Sequence[Mapping[str, str]]) -> tuple[list[object], int]:
        """Return the answers of calls that are made by one HTTP call, and the bytes of all."""
        form = {"filter_limit": "-1"}  # of the list of answers, which is cut to 100 without it
        form |= {f"urls[{index}]": urlencode(inner) for index, inner in enumerate(forms)}
        value, size = call(BULK, form)
        if not isinstance(value, list) or len(value) != len(forms):
            raise InvalidResponse(f"{BULK} does not answer each of {len(forms)} calls")
        return value, size

    def _range(self, query: ReportQuery, days: Days) -> Answered:
        """Request periods as a range, one as ``D,D``, so that the answer never depends on how many there are."""
        span = f"{days.first},{days.last}"
        keys = {query.period.key(day): day for day in query.period.dates(days)}
        found: dict[date, list[object]] = {day: [] for day in keys.values()}
        size = 0
        for page in range(_MAX_PAGES):
            value, read = self._call(query.method, self._form(query, span, page))
            size += read
            if not isinstance(value, dict) or value.keys() != keys.keys():
                raise InvalidResponse(
                    f"{query.method} of site {query.site_id} does not answer the {query.period}s {span} one by one"
                )
            answers = {day: value[key] for key, day in keys.items()}
            if not self._page_rows or not all(isinstance(answer, list) for answer in answers.values()):
                return Answered(answers, size)
            if not _add_page(found, answers, page, self._page_rows):
                return Answered(found, size)
        raise InvalidResponse(f"{query.method} of site {query.site_id} does not end after {_MAX_PAGES} pages")

    def _paged_day(self, query: ReportQuery, day: date) -> Answered:
        """Request one period with paging; its error takes the place of the answer."""
        try:
            if query.takes_ranges:
                return self._range(query, query.period.covered([day]))
            return self._single(query, day)
        except MatomoFatal:
            raise
        except SegmentUnprocessed:
            return Answered({day: []}, 0)
        except MatomoError as error:
            return Answered({day: error}, 0)

    def _single(self, query: ReportQuery, day: date) -> Answered:
        """Request a single period, for a report that refuses ranges and for windows."""
        found: dict[date, list[object]] = {day: []}
        size = 0
        for page in range(_MAX_PAGES):
            value, read = self._call(query.method, self._form(query, _date(query, day), page))
            size += read
            if not self._page_rows or not isinstance(value, list):
                return Answered({day: value}, size)
            if not _add_page(found, {day: value}, page, self._page_rows):
                return Answered(found, size)
        raise InvalidResponse(f"{query.method} of site {query.site_id} does not end after {_MAX_PAGES} pages")

    def _bulk(self, query: ReportQuery, days: Days) -> Answered:
        """Request periods each on its own, in one HTTP call; a period's error takes the place of its answer."""
        dates = list(query.period.dates(days))
        forms = [{"method": query.method, **self._form(query, _date(query, day), 0)} for day in dates]
        try:
            value, size = self._bulk_call(self._call, forms)
        except MatomoFatal:
            raise
        except MatomoError as error:
            if len(dates) == 1:
                return Answered({days.first: error}, 0)
            log.info(
                "bulk_split_into_days",
                method=query.method,
                site=query.site_id,
                days=len(dates),
                error=str(error),
            )
            return _joined((self._bulk(query, query.period.covered([day])) for day in dates), split=True)
        return Answered({day: self._entry(query, day, entry) for day, entry in zip(dates, value, strict=True)}, size)

    def _entry(self, query: ReportQuery, day: date, entry: object) -> object:
        error = error_of(self._redact, query.method, entry)
        if error is not None:
            return [] if isinstance(error, SegmentUnprocessed) else error
        if not query.takes_ranges:
            return entry
        key = query.period.key(day)
        if not isinstance(entry, dict) or set(entry) != {key}:
            return InvalidResponse(f"{query.method} does not answer the {query.period} {key} that was requested")
        return entry[key]

    def _form(self, query: ReportQuery, span: str, page: int) -> dict[str, str]:
        limit = {"filter_limit": "-1"}
        if self._page_rows:
            limit = {"filter_limit": str(self._page_rows), "filter_offset": str(page * self._page_rows)}
        scope = {"idSite": query.site_id, "period": query.period.value, "date": span}
        segment = {"segment": query.segment} if query.segment else {}
        return {**scope, **ALWAYS, **limit, **dict(query.source.params), **segment}


def _date(query: ReportQuery, day: date) -> str:
    """Return Matomo's parameter ``date`` for one period; a report that refuses ranges takes a day of the period."""
    if not query.takes_ranges and not query.period.is_rolling:
        return str(day)
    first, last = query.period.span(day)
    return f"{first},{last}"


def _spans(query: ReportQuery, days: Days) -> Iterator[str]:
    """Yield Matomo's parameter ``date`` of each call that some consecutive periods take."""
    if query.takes_ranges:
        yield f"{days.first},{days.last}"
    else:
        for day in query.period.dates(days):
            yield _date(query, day)


def _shares(entries: Sequence[object], size: int) -> list[int]:
    """Return about how many bytes of a bulk answer each entry had: by the rows of each, and the length of its first."""
    weights = [_weight(entry) for entry in entries]
    whole = sum(weights) or 1
    return [size * weight // whole for weight in weights]


def _weight(value: object) -> int:
    if isinstance(value, Unread):
        return value.text.nbytes
    if isinstance(value, list):
        return _OF_VALUE + (len(value) * len(repr(value[0])) if value else 0)
    if isinstance(value, dict):
        return _OF_VALUE * (1 + len(value)) + sum(map(_weight, value.values()))
    return _OF_VALUE


def _add_page(found: Mapping[date, list[object]], answers: Mapping[date, Any], page: int, limit: int) -> bool:
    """Add a page's rows to each day and return whether any day may have more."""
    more = False
    for day, rows in answers.items():
        if page and rows and rows == found[day][-len(rows) :]:
            raise InvalidResponse(f"page {page + 1} of {day} repeats the one before: the server ignores filter_offset")
        found[day].extend(rows)
        more = more or len(rows) >= limit
    return more


def _joined(answers: Iterable[Answered], *, split: bool) -> Answered:
    days: dict[date, object] = {}
    size = 0
    for answered in answers:
        days.update(answered.days)
        size += answered.size
    return Answered(days, size, split)
