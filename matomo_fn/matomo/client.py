"""The calls of Matomo's API that the program makes, worded so that each answer means one thing only."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt

from matomo_fn.catalogue import REFERENCE_TABLES, Source
from matomo_fn.catalogue.custom import ReportMetadata
from matomo_fn.days import Days, Range
from matomo_fn.deadline import Deadline
from matomo_fn.errors import (
    InvalidResponse,
    MatomoError,
    MatomoFatal,
    MatomoUnavailable,
    NotAnswered,
    OutOfTime,
    ReportRefused,
    SegmentRefused,
)
from matomo_fn.json_codec import REFUSED, decode, largest_of, split_bulk, split_report, split_visits
from matomo_fn.matomo.answer_memory import AnswerMemory, memory_of
from matomo_fn.matomo.gate import Gate
from matomo_fn.matomo.health import GIVE_UP_AFTER, Health, Subject, subject_of
from matomo_fn.matomo.limits import MOST_SITES, refuse_long_list
from matomo_fn.matomo.metadata import METADATA, read_metadata
from matomo_fn.matomo.rate_limit import RateLimit, live_calls
from matomo_fn.matomo.reports import ALWAYS, BULK, Answered, ReportQuery, ReportReader
from matomo_fn.matomo.responses import Decode, PluginOff, parse_response
from matomo_fn.matomo.retries import ATTEMPTS, LONGEST_RETRY_AFTER, hold, note_failure, wait
from matomo_fn.matomo.settings_lists import Wanted, read_lists
from matomo_fn.matomo.transport import Transport
from matomo_fn.periods import Period
from matomo_fn.sites import SITE_ID, Site, read_timezone
from matomo_fn.values import shown

# Tries of a call for several reports, which is cut into smaller ones where it fails.
_ATTEMPTS_TOGETHER = 2
# Its share of the time that remains: sixteen reports, one of which never answers, leave a third of it for that one.
_SHARE_TOGETHER = 0.25
_VERSION = "API.getMatomoVersion"
_NUMBERS = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})(?![0-9]).*", re.DOTALL)
# How old databases write that a site's creation is not known.
_NO_DATE = "0000-00-00"
# Characters of a site's name that are kept: it is shown by `check` and nothing else. Matomo's column has 90.
_LONGEST_NAME = 90

# What of a site's settings is kept: the rest is not for a table.
_SETTINGS = tuple(column.source for column in REFERENCE_TABLES["sites"].columns)

# Bytes of an answer that is judged before the gate opens for the next call, as every refusal of a token is; a larger
# one may have to wait for memory first.
_SMALL_ANSWER = 64 * 1024


class MatomoClient:
    """A Matomo's API; thread-safe. ``calls`` counts HTTP calls, tries included; a call is tried ``attempts`` times.

    ``memory`` bounds parsed answers.

    Methods raise MatomoFatal (TokenRefused among them), which ends the run, or another MatomoError. The first
    MatomoFatal stops the deadline, and no call goes out after it. ``sleep`` is that of the tries: the deadline's own,
    which ends when the run is stopped.
    """

    def __init__(
        self,
        transport: Transport,
        rate_limit: RateLimit,
        deadline: Deadline,
        *,
        page_rows: int | None = None,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._transport = transport
        self._redact = transport.redact
        self._rate_limit = rate_limit
        self._deadline = deadline
        # Whether several reports may be requested in one call: pages of one cannot be told from its end there.
        self.joins_reports = not page_rows
        # The rows of pages are joined, so they are read at once.
        call = self.call if page_rows else self._call_report
        self._reports = ReportReader(call, transport.redact, page_rows, call_together=self._call_together)
        self._attempts = attempts
        self._sleep = sleep or deadline.pause
        self._lock = threading.Lock()
        self._gate = Gate(deadline, rate_limit)
        self._health = Health()
        self._refused_segments: dict[tuple[str, str], SegmentRefused] = {}
        self._plugins_off: dict[str, PluginOff] = {}
        self.memory = AnswerMemory()
        self.calls = 0

    def version(self) -> tuple[int, int]:
        """Return Matomo's major and minor version."""
        text = self.version_text()
        numbers = _NUMBERS.fullmatch(text)
        if not numbers:
            raise InvalidResponse(f"{_VERSION} answers {text[:40]!r}, which is no version")
        return int(numbers[1]), int(numbers[2])

    def version_text(self) -> str:
        """Return Matomo's version as it says it, such as 5.2.0."""
        value, _ = self.call(_VERSION, {})
        text = value.get("value") if isinstance(value, dict) else value
        if not isinstance(text, str):
            raise InvalidResponse(f"{_VERSION} answers no version")
        return text

    def sites(self) -> list[Site]:
        """Return the sites that the token may see, each once; one that is not set up right has its ``problem``."""
        method = "SitesManager.getSitesWithAtLeastViewAccess"
        value, _ = self.call(method, {"filter_limit": "-1"})
        if not isinstance(value, list):
            raise InvalidResponse(f"{method} answers no list of sites")
        refuse_long_list(method, value, MOST_SITES)
        return _each_once([_read_site(method, item) for item in value])

    def report_metadata(self, site_id: str) -> list[ReportMetadata]:
        """Return what Matomo says of each report of a site."""
        value, _ = self.call(METADATA, {"idSite": site_id, "language": "en", "filter_limit": "-1"})
        return read_metadata(value)

    def settings_lists(self, wanted: Sequence[Wanted]) -> dict[Wanted, object]:
        """Return the lists of settings of some methods and sites, each its answer or the MatomoError in its place."""
        return read_lists(self.call, self._redact, wanted)

    def report(
        self, source: Source, site_id: str, days: Days, period: Period = Period.DAY, segment: str = ""
    ) -> Answered:
        """Return a report's answer for each of some consecutive periods, by their dates; ``days`` are all days of them.

        A period's answer is what Matomo gives for it, or the MatomoError that took its place. ``segment``: the
        definition of the visits' segment. One that Matomo refused at the site is not sent again.
        """
        (answered,) = self.reports([(ReportQuery(source, site_id, period, segment), days)])
        return answered

    def reports(self, wanted: Sequence[tuple[ReportQuery, Days]]) -> list[Answered]:
        """Return the answers of several reports, each as `report` returns it, by one HTTP call where all goes well."""
        found = {position: self._known_error(query, days) for position, (query, days) in enumerate(wanted)}
        open_ = [position for position, answered in found.items() if answered is None]
        for position, answered in zip(
            open_, self._reports.read_together([wanted[position] for position in open_]), strict=True
        ):
            query, days = wanted[position]
            self._note(query, answered)
            # One refusal of a segment is enough: what was requested with it has the same one.
            refused = any(isinstance(answer, SegmentRefused) for answer in answered.days.values())
            found[position] = (self._known_error(query, days) if refused else None) or answered
        return [answered for answered in found.values() if answered is not None]

    def _known_error(self, query: ReportQuery, days: Days) -> Answered | None:
        """Return the error that a report is known to answer, without a request."""
        error: MatomoError | None = self._refused_segments.get((query.site_id, query.segment))
        if error is None:
            try:
                self._health.check(Subject(query.method, query.site_id, query.segment))
            except MatomoUnavailable as failed:
                error = failed
        error = error or self._plugins_off.get(_plugin(query))
        return None if error is None else Answered(dict.fromkeys(query.period.dates(days), error), 0)

    def _note(self, query: ReportQuery, answered: Answered) -> None:
        """Take note of what an answer says of the ones to come."""
        for answer in answered.days.values():
            if isinstance(answer, SegmentRefused):
                self._refused_segments.setdefault((query.site_id, query.segment), answer)
            elif isinstance(answer, PluginOff):
                self._plugins_off[_plugin(query)] = answer
        if not all(isinstance(answer, MatomoError) for answer in answered.days.values()):
            self._health.succeeded(Subject(query.method, query.site_id, query.segment))

    def first_visit_day(self, site: Site, first: date, last: date, segment: str = "") -> date | None:
        """Return the first day from ``first`` to ``last`` that has a visit in the visits log, or None.

        The log needs no archive, so it tells a day without visits from one that Matomo has not processed yet.
        ``segment``: the definition of the segment that the visit is in.
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
            "language": "en",  # of the error where the visits log is switched off
            **({"segment": segment} if segment else {}),
        }
        value, _ = self.call(method, form)
        if value == []:
            return None
        try:
            moment = datetime.fromtimestamp(int(value[0]["lastActionTimestamp"]), UTC)
            day = moment.astimezone(site.timezone).date()
        except (TypeError, KeyError, IndexError, ValueError, OverflowError, OSError):
            raise InvalidResponse(f"{method} answers no list of visits") from None
        if not first <= day <= last:
            raise InvalidResponse(f"{method} answers a visit of {day} when asked for {first} to {last}")
        return day

    def visits_page(self, site_id: str, days: Range, limit: int, after: int | None) -> tuple[list[object], int]:
        """Return at most ``limit`` visits of a site's days, oldest last action first, and the bytes that they had.

        ``after``: only visits whose last action is later than that Unix time.
        """
        return self._visits({"idSite": site_id, "date": f"{days[0]},{days[1]}"}, limit, after)

    def visits_of(
        self, site_id: str, days: Range, segment: str, limit: int, after: int | None
    ) -> tuple[list[object], int]:
        """Return the visits of a segment on a site's days as ``visits_page`` does, with the fields of their actions."""
        form = {
            "idSite": site_id,
            "date": f"{days[0]},{days[1]}",
            "segment": segment,
            "showColumns": "idVisit,visitorId,userId,lastActionTimestamp,actionDetails,truncatedActionsCount",
        }
        return self._visits(form, limit, after)

    def writable_sites(self) -> set[str]:
        """Return the ids of the sites that the token may write to: its user has write or admin access."""
        found: set[str] = set()
        # Of sites with write access the first one leaves out those with more, and the second those with no more.
        for method in ("SitesManager.getSitesIdWithAdminAccess", "SitesManager.getSitesIdWithWriteAccess"):
            value, _ = self.call(method, {"filter_limit": "-1"})
            if not isinstance(value, list):
                raise InvalidResponse(f"{method} answers no list of sites")
            refuse_long_list(method, value, MOST_SITES)
            found.update(map(str, value))
        return found

    def _visits(self, form: Mapping[str, str], limit: int, after: int | None) -> tuple[list[object], int]:
        method = "Live.getLastVisitsDetails"
        form = {
            **form,
            "period": "range",  # period=day with today's date would bring yesterday's visits as well
            "filter_limit": str(limit),
            "filter_sort_order": "asc",
            **ALWAYS,
        }
        if after is not None:
            form["minTimestamp"] = str(after)
        value, size = self.call(method, form, split_visits)
        if not isinstance(value, list):
            raise InvalidResponse(f"{method} answers no list of visits")
        return value, size

    def _call_report(self, method: str, form: Mapping[str, str]) -> tuple[Any, int]:
        """Return what ``call`` does, with lists of rows as UnreadRows."""
        return self.call(method, form, split_bulk if method == BULK else split_report)

    def call(self, method: str, form: Mapping[str, str], decode: Decode = decode) -> tuple[Any, int]:
        """Return the JSON value of a call and the bytes that it had, after as many tries as it takes."""
        subject = subject_of(method, form)
        self._health.check(subject)
        try:
            answer: tuple[Any, int] = self._retrying(self._attempts)(self._try, method, form, decode)
        except MatomoUnavailable as error:
            self._refuse_late(method, error)
            if self._health.failed(subject) and self._is_down(method):
                self._deadline.stop()
                raise MatomoFatal(f"{error}; {GIVE_UP_AFTER} calls in a row failed, so the run ends") from None
            raise
        if subject.method != method and _has_only_errors(answer[0]):
            self._health.answered()  # a range that fails is requested in bulk next: each of its days fails then
        else:
            self._health.succeeded(subject)
        return answer

    def _call_together(self, method: str, form: Mapping[str, str]) -> tuple[Any, int]:
        """Return what `call` returns, of a call that is cut into smaller ones where it fails.

        So it is tried less often, and says nothing of a report, a site or the server before the smaller ones do. It
        gets a part of the time only: one of its reports may never answer, and the others are requested without it then.
        """
        retrying = self._retrying(min(_ATTEMPTS_TOGETHER, self._attempts))
        try:
            answer: tuple[Any, int] = retrying(self._try, method, form, split_bulk, _SHARE_TOGETHER)
        except MatomoUnavailable as error:
            self._refuse_late(method, error)
            raise
        self._health.answered()
        return answer

    def _retrying(self, attempts: int) -> Retrying:
        return Retrying(
            retry=retry_if_exception(_is_worth_another_try),
            stop=lambda state: stop_after_attempt(attempts)(state) or self._is_too_late(state),
            wait=wait,
            sleep=self._sleep,
            after=partial(hold, self._rate_limit),
            before_sleep=note_failure,
            reraise=True,
        )

    def _refuse_late(self, method: str, error: MatomoUnavailable) -> None:
        """Raise OutOfTime where the time for requests ended while a call failed."""
        if self._deadline.is_over:
            raise OutOfTime(f"{method}: the time for requests is up: {error}") from None

    def _is_down(self, method: str) -> bool:
        """Return whether Matomo does not even say its version, which costs it next to nothing."""
        if method != _VERSION:
            try:
                self._try(_VERSION, {})
            except MatomoUnavailable:
                return True
            self._health.succeeded(Subject(_VERSION))
            return False
        return True

    def _try(
        self, method: str, form: Mapping[str, str], decode: Decode = decode, share: float | None = None
    ) -> tuple[Any, int]:
        """Make a call once; ``share``: of the time for requests that remains, how much it may take, if not all."""
        live = live_calls(method, form)
        if live > self._rate_limit.live_per_minute > 0:
            raise ReportRefused(
                f"{method}: it has {live} Live calls, and live_requests_per_minute allows "
                f"{self._rate_limit.live_per_minute} in a minute"
            )
        with self._gate.passing(live):
            with self._lock:
                self.calls += 1
            with self._deadline.within(share * self._deadline.time_for_requests()) if share else nullcontext():
                reply = self._transport.post(method, form)
            if len(reply.body) <= _SMALL_ANSWER:
                return parse_response(self._transport.redact, method, reply, decode), len(reply.body)
        bounded = partial(self._decode_within_memory, decode)
        return parse_response(self._transport.redact, method, reply, bounded), len(reply.body)

    def _decode_within_memory(self, decode: Decode, body: bytes) -> Any:
        """Decode a large answer once there is room for what is made of it."""
        if decode in (split_bulk, split_report, split_visits):
            try:
                value = decode(body)
            except REFUSED:
                self.memory.take(memory_of(body))
                raise
            largest = bytes(largest_of(value)) or body
            self.memory.take(2 * len(body) + memory_of(largest))  # the rows that are made of it take as much again
            return value
        self.memory.take(memory_of(body))
        return decode(body)

    def _is_too_late(self, state: RetryCallState) -> bool:
        return state.upcoming_sleep > min(LONGEST_RETRY_AFTER, self._deadline.time_for_requests())


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, MatomoUnavailable) and not isinstance(error, NotAnswered)


def _plugin(query: ReportQuery) -> str:
    return query.method.partition(".")[0]


def _has_only_errors(value: object) -> bool:
    """Return whether a bulk answer is nothing but errors."""
    return isinstance(value, list) and all(
        isinstance(entry, dict) and entry.get("result") == "error" for entry in value
    )


def _read_site(method: str, item: object) -> Site:
    if not isinstance(item, dict) or not {"idsite", "timezone", "ts_created"} <= item.keys():
        raise InvalidResponse(f"{method} answers a site without idsite, timezone or ts_created")
    key, written = _site_id(item["idsite"]), str(item["ts_created"])
    name, group, kind = (str(item.get(field) or "")[:_LONGEST_NAME] for field in ("name", "group", "type"))
    settings = {field: item[field] for field in _SETTINGS if field in item}
    site = Site(key, name, UTC, date.min, group=group, type=kind, settings=settings)
    if not SITE_ID.fullmatch(key):
        problem = "Matomo answers that as its id, where a whole number such as 1 belongs"
        return replace(site, id=shown(item["idsite"]), problem=problem)
    try:
        timezone = read_timezone(str(item["timezone"]))
        if written.startswith(_NO_DATE):
            return replace(site, timezone=timezone)
        created = datetime.fromisoformat(written).replace(tzinfo=UTC).astimezone(timezone)
    except (ValueError, OverflowError) as error:
        return replace(site, problem=f"Matomo's settings of the site cannot be read: {error}")
    return replace(site, timezone=timezone, created=created.date())


def _site_id(value: object) -> str:
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""


def _each_once(sites: Sequence[Site]) -> list[Site]:
    """Return each site once; one that is listed with different settings has a problem, since one of them is wrong."""
    found: dict[str, Site] = {}
    for site in sites:
        first = found.setdefault(site.id, site)
        if first != site and not first.problem:
            found[site.id] = replace(first, problem="Matomo lists it more than once, with different settings")
    return list(found.values())
