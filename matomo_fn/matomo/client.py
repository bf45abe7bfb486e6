"""What the program asks of a Matomo, and how it asks so that the answer means one thing only."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlencode

import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from matomo_fn.catalogue import Source
from matomo_fn.deadline import Deadline
from matomo_fn.errors import InvalidResponse, MatomoError, MatomoFatal, MatomoUnavailable, OutOfTime
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.responses import error_of, parse_response
from matomo_fn.matomo.transport import Transport
from matomo_fn.sites import Site, read_timezone

log = structlog.get_logger()

# Tries of one call, with 1, 2, 4, 8 seconds (and up to a second more) between them: an overloaded server gets
# quiet, a restart or a short maintenance is outlasted, and a run that is bound to fail does so within a minute.
ATTEMPTS = 5
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0
# Seconds that a server may ask to wait: past that the slices are left to a later run.
_LONGEST_RETRY_AFTER = 300.0
# Calls in a row that failed after all their tries: then the server is down, and the rest waits for the next run.
_DOWN_AFTER = 3
# Pages of one day's report: a guard against a server that ignores filter_offset.
_MAX_PAGES = 10_000

# Days in one bulk call of a report that refuses ranges: 20 save most of the time that can be saved, and PHP reads
# some 1,000 form fields at most.
BULK_DAYS = 20

# How old databases write that a site's creation is not known.
_NO_DATE = "0000-00-00"
# Labels in English, numbers as numbers, and (Matomo 6) no column of percentages beside each metric.
_ALWAYS = {"language": "en", "format_metrics": "0", "percent_of_total": "0"}


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back for some days: for each its answer or its error; and the bytes of all.

    ``split``: the days had to be asked one by one, since the range failed.
    """

    days: Mapping[date, object]
    size: int
    split: bool = False


class MatomoClient:
    """A Matomo's API; thread-safe. ``calls`` counts HTTP calls, tries included.

    Methods raise MatomoFatal (TokenRefused among them), which ends the run, or another MatomoError.
    """

    def __init__(
        self,
        transport: Transport,
        rate_limit: RateLimit,
        deadline: Deadline,
        *,
        page_rows: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = transport
        self._rate_limit = rate_limit
        self._deadline = deadline
        self._page_rows = page_rows
        self._sleep = sleep
        self._lock = threading.Lock()
        self._failed_in_a_row = 0
        self.calls = 0

    def version(self) -> tuple[int, int]:
        """Return Matomo's major and minor version."""
        text = self.version_text()
        major, _, rest = text.partition(".")
        minor = rest.partition(".")[0]
        if not (major.isdecimal() and minor.isdecimal()):
            raise InvalidResponse(f"API.getMatomoVersion answers {text[:40]!r}, which is no version")
        return int(major), int(minor)

    def version_text(self) -> str:
        """Return Matomo's version as it says it, such as 5.2.0."""
        value, _ = self._call("API.getMatomoVersion", {})
        text = value.get("value") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InvalidResponse("API.getMatomoVersion answers no version")
        return text

    def sites(self) -> list[Site]:
        """Return the sites that the token may see; one that is not set up right has its ``problem``."""
        method = "SitesManager.getSitesWithAtLeastViewAccess"
        value, _ = self._call(method, {"filter_limit": "-1"})
        if not isinstance(value, list):
            raise InvalidResponse(f"{method} answers no list of sites")
        return [_read_site(method, item) for item in value]

    def report(self, source: Source, site_id: str, days: Sequence[date]) -> Answered:
        """Return a report's answer for each of some consecutive days.

        A day's answer is what Matomo gives for it, or the MatomoError that took its place. A range that fails is
        asked day by day, so that one bad day costs one day.
        """
        if source.ranges:
            try:
                return self._range(source, site_id, days)
            except MatomoFatal:
                raise
            except MatomoError as error:
                if len(days) == 1:
                    return Answered({days[0]: error}, 0)
                log.info(
                    "range_asked_by_days",
                    method=source.method,
                    site=site_id,
                    days=len(days),
                    error=str(error),
                )
        if self._page_rows:
            return _joined((self._one_day(source, site_id, day) for day in days), split=source.ranges)
        return _joined((self._bulk(source, site_id, part) for part in _parts(days, BULK_DAYS)), split=source.ranges)

    def first_visit_day(self, site: Site, first: date, last: date) -> date | None:
        """Return the first day from ``first`` to ``last`` that has a visit in the visits log, or None.

        The log needs no archive, so it tells a day without visits from one that Matomo has not processed yet.
        """
        method = "Live.getLastVisitsDetails"
        form = {
            "idSite": site.id,
            "period": "range",  # period=day with today's date would bring yesterday's visits as well
            "date": f"{first},{last}",
            "filter_limit": "1",
            "filter_sort_order": "asc",
            "doNotFetchActions": "1",
            "showColumns": "idVisit,lastActionTimestamp",
        }
        value, _ = self._call(method, form)
        if value == []:
            return None
        try:
            moment = datetime.fromtimestamp(int(value[0]["lastActionTimestamp"]), UTC)
        except (TypeError, KeyError, IndexError, ValueError, OverflowError):
            raise InvalidResponse(f"{method} answers no list of visits") from None
        day = moment.astimezone(site.timezone).date()
        if not first <= day <= last:
            raise InvalidResponse(f"{method} answers a visit of {day} when asked for {first} to {last}")
        return day

    def visits_page(self, site_id: str, day: date, limit: int, after: int | None) -> tuple[list[object], int]:
        """Return at most ``limit`` visits of a site's day, oldest last action first, and the bytes that they had.

        ``after``: only visits whose last action is later than that Unix time.
        """
        method = "Live.getLastVisitsDetails"
        form = {
            "idSite": site_id,
            "period": "range",  # period=day with today's date would bring yesterday's visits as well
            "date": f"{day},{day}",
            "filter_limit": str(limit),
            "filter_sort_order": "asc",
            **_ALWAYS,
        }
        if after is not None:
            form["minTimestamp"] = str(after)
        value, size = self._call(method, form)
        if not isinstance(value, list):
            raise InvalidResponse(f"{method} answers no list of visits")
        return value, size

    def _range(self, source: Source, site_id: str, days: Sequence[date]) -> Answered:
        """Ask for days as a range, one day as ``D,D``, so that the answer never depends on how many there are."""
        span = f"{days[0]},{days[-1]}"
        keys = [str(day) for day in days]
        found: dict[date, list[object]] = {day: [] for day in days}
        size = 0
        for page in range(_MAX_PAGES):
            value, read = self._call(source.method, self._form(source, site_id, span, page))
            size += read
            if not isinstance(value, dict) or set(value) != set(keys):
                raise InvalidResponse(f"{source.method} of site {site_id} does not answer the days {span} one by one")
            answers = {day: value[key] for day, key in zip(days, keys, strict=True)}
            if not self._page_rows or not all(isinstance(answer, list) for answer in answers.values()):
                return Answered(answers, size)
            if not self._add_page(found, answers, page, self._page_rows):
                return Answered(found, size)
        raise InvalidResponse(f"{source.method} of site {site_id} does not end after {_MAX_PAGES} pages")

    def _one_day(self, source: Source, site_id: str, day: date) -> Answered:
        """Ask for one day with paging; its error takes the place of the answer."""
        try:
            if source.ranges:
                return self._range(source, site_id, [day])
            return self._single(source, site_id, day)
        except MatomoFatal:
            raise
        except MatomoError as error:
            return Answered({day: error}, 0)

    def _single(self, source: Source, site_id: str, day: date) -> Answered:
        """Ask for a single day, for a report that refuses ranges."""
        found: dict[date, list[object]] = {day: []}
        size = 0
        for page in range(_MAX_PAGES):
            value, read = self._call(source.method, self._form(source, site_id, str(day), page))
            size += read
            if not self._page_rows or not isinstance(value, list):
                return Answered({day: value}, size)
            if not self._add_page(found, {day: value}, page, self._page_rows):
                return Answered(found, size)
        raise InvalidResponse(f"{source.method} of site {site_id} does not end after {_MAX_PAGES} pages")

    def _add_page(self, found: Mapping[date, list[object]], answers: Mapping[date, Any], page: int, limit: int) -> bool:
        """Add a page's rows to each day and return whether any day may have more."""
        more = False
        for day, rows in answers.items():
            if page and rows and rows == found[day][-len(rows) :]:
                raise InvalidResponse(
                    f"page {page + 1} of {day} repeats the one before: the server ignores filter_offset"
                )
            found[day].extend(rows)
            more = more or len(rows) >= limit
        return more

    def _bulk(self, source: Source, site_id: str, days: Sequence[date]) -> Answered:
        """Ask for days each on its own, in one HTTP call; a day's error takes the place of its answer."""
        form = {"filter_limit": "-1"}  # of the list of answers, which is cut to 100 without it
        for index, day in enumerate(days):
            span = f"{day},{day}" if source.ranges else str(day)
            form[f"urls[{index}]"] = urlencode({"method": source.method, **self._form(source, site_id, span, 0)})
        try:
            value, size = self._call("API.getBulkRequest", form)
            if not isinstance(value, list) or len(value) != len(days):
                raise InvalidResponse(f"API.getBulkRequest does not answer each of {len(days)} calls")
        except MatomoFatal:
            raise
        except MatomoError as error:
            if len(days) == 1:
                return Answered({days[0]: error}, 0)
            log.info("bulk_asked_one_by_one", method=source.method, site=site_id, days=len(days), error=str(error))
            return _joined((self._bulk(source, site_id, [day]) for day in days), split=True)
        return Answered({day: self._entry(source, day, entry) for day, entry in zip(days, value, strict=True)}, size)

    def _entry(self, source: Source, day: date, entry: object) -> object:
        error = error_of(self._transport, source.method, entry)
        if error is not None:
            return error
        if not source.ranges:
            return entry
        if not isinstance(entry, dict) or set(entry) != {str(day)}:
            return InvalidResponse(f"{source.method} does not answer the day {day} that it was asked for")
        return entry[str(day)]

    def _form(self, source: Source, site_id: str, span: str, page: int) -> dict[str, str]:
        limit = {"filter_limit": "-1"}
        if self._page_rows:
            limit = {"filter_limit": str(self._page_rows), "filter_offset": str(page * self._page_rows)}
        return {"idSite": site_id, "period": "day", "date": span, **_ALWAYS, **limit, **dict(source.params)}

    def _call(self, method: str, form: Mapping[str, str]) -> tuple[Any, int]:
        """Return the JSON value of a call and the bytes that it had, after as many tries as it takes."""
        retrying = Retrying(
            retry=retry_if_exception_type(MatomoUnavailable),
            stop=lambda state: stop_after_attempt(ATTEMPTS)(state) or self._is_too_late(state),
            wait=_wait,
            sleep=self._sleep,
            before_sleep=self._before_sleep,
            reraise=True,
        )
        try:
            answer: tuple[Any, int] = retrying(self._try, method, form)
        except MatomoUnavailable as error:
            with self._lock:
                self._failed_in_a_row += 1
                down = self._failed_in_a_row >= _DOWN_AFTER
            if down:
                raise MatomoFatal(f"{error}; {_DOWN_AFTER} calls in a row failed, so the run ends") from None
            raise
        with self._lock:
            self._failed_in_a_row = 0
        return answer

    def _try(self, method: str, form: Mapping[str, str]) -> tuple[Any, int]:
        if not self._rate_limit.wait(self._deadline.remaining()):
            raise OutOfTime(f"{method}: the time is up before requests_per_minute allows another call")
        with self._lock:
            self.calls += 1
        reply = self._transport.post(method, form)
        return parse_response(self._transport, method, reply), len(reply.body)

    def _is_too_late(self, state: RetryCallState) -> bool:
        return state.upcoming_sleep > min(_LONGEST_RETRY_AFTER, self._deadline.remaining())

    def _before_sleep(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.warning(
            "matomo_call_failed",
            attempt=state.attempt_number,
            wait=round(state.upcoming_sleep, 1),
            error=str(error),
        )
        if isinstance(error, MatomoUnavailable) and error.retry_after:
            self._rate_limit.hold(error.retry_after)


def _wait(state: RetryCallState) -> float:
    """Return the seconds to the next try: what the server asked for, or exponentially more with some chance in it."""
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, MatomoUnavailable) and error.retry_after is not None:
        return error.retry_after
    return wait_exponential_jitter(initial=_FIRST_WAIT, max=_LONGEST_WAIT)(state)


def _read_site(method: str, item: object) -> Site:
    if not isinstance(item, dict) or not {"idsite", "timezone", "ts_created"} <= item.keys():
        raise InvalidResponse(f"{method} answers a site without idsite, timezone or ts_created")
    key, name, written = str(item["idsite"]), str(item.get("name", "")), str(item["ts_created"])
    try:
        timezone = read_timezone(str(item["timezone"]))
        if written.startswith(_NO_DATE):
            return Site(key, name, timezone, date.min)
        created = datetime.fromisoformat(written).replace(tzinfo=UTC).astimezone(timezone)
    except (ValueError, OverflowError) as error:
        return Site(key, name, UTC, date.min, problem=f"Matomo's settings of the site cannot be read: {error}")
    return Site(key, name, timezone, created.date())


def _parts(days: Sequence[date], size: int) -> Iterator[Sequence[date]]:
    for start in range(0, len(days), size):
        yield days[start : start + size]


def _joined(answers: Iterable[Answered], *, split: bool) -> Answered:
    days: dict[date, object] = {}
    size = 0
    for answered in answers:
        days.update(answered.days)
        size += answered.size
    return Answered(days, size, split)
