"""Tells an empty day from one that Matomo has not archived yet: it answers both with zeros."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum, auto

from matomo_fn.catalogue import VISIT_COUNTS, Source
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.extract.report_rows import visits_of
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.responses import AccessRefused, PluginOff, VisitsLogOff
from matomo_fn.periods import Period
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.sites import Site

# Calls to the visits log for one range of days: where archiving has stopped for months, every day has visits and
# would cost a call. The days beyond are pending as well; a later run checks them.
_MAX_PROBES = 31

# Not a reason to be pending, and no sentence for people: of the present day nothing is counted yet.
UNCOUNTED = "no visit of the present day is counted yet"
# Of days; of other periods in their words.
NOT_PROCESSED = "Matomo has visits of that day but has not processed its reports yet"
NOT_CHECKED = "Matomo has not processed days before it; whether this one has visits was not checked"
# Where Matomo refuses the visits log by these, it does so on every day. Any other error may be of this very call.
_NO_VISITS_LOG = (VisitsLogOff, PluginOff, AccessRefused)
_RECENT = "the day is recent and empty, and the visits log cannot tell whether Matomo has processed it"
# What such a sentence says besides of a segment, which has archives of its own.
_NO_ARCHIVE = "; segment {} may have no archive: `check` says how to have it archived"
# A report with a row for every visit, of which some have an unknown country. It is kept in an archive's blobs, which
# Matomo's setting for old reports deletes even where it keeps the visit counts.
_EVERY_VISIT = Source("UserCountry.getCountry")


class Reported(Enum):
    """What Matomo still has of a period."""

    REPORTS = auto()
    COUNTS = auto()  # visits are counted, and a report that has them all has none
    NOTHING = auto()  # no visits are counted


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose empty answers are judged: those of a site, a segment and a kind of period."""

    site: Site
    segment: Segment = EVERY_VISIT
    period: Period = Period.DAY

    @property
    def definition(self) -> str:
        """The segment's definition at the site."""
        return self.segment.at(self.site.id)

    @property
    def not_processed(self) -> str:
        """Why a period is pending whose visits the visits log has."""
        return self._of(NOT_PROCESSED) + self._no_archive

    @property
    def not_checked(self) -> str:
        """Why a period is pending that comes after too many others."""
        return self._of(NOT_CHECKED) + self._no_archive

    @property
    def in_doubt(self) -> str:
        """Why a recent period is pending whose visits log cannot be read."""
        return self._of(_RECENT)

    @property
    def not_known(self) -> str:
        """Why a period is pending that Matomo failed to answer for."""
        return f"whether the {self.period} is empty is not known"

    @property
    def _no_archive(self) -> str:
        return _NO_ARCHIVE.format(self.segment.name) if self.segment.name else ""

    def _of(self, sentence: str) -> str:
        return sentence.replace("day", "window" if self.period.is_rolling else self.period.value)


class ArchiveCheck:
    """What is known in one run about the periods of one kind of a site and segment; thread-safe.

    Periods are named by their dates. ``today``: the site's day. ``believe_zeros_until``: the last day whose zeros are
    believed where there is no visits log to read. A run extracts the visit counts first and notes them here, so that
    most periods need no further call.
    """

    def __init__(self, client: MatomoClient, subject: Subject, today: date, believe_zeros_until: date) -> None:
        self._client = client
        self._subject = subject
        self._today = today
        self._believe_zeros_until = believe_zeros_until
        self._pending: dict[date, str | None] = {}
        self._visits: dict[date, int] = {}
        self._errors: dict[date, MatomoError] = {}
        self._reported: dict[date, Reported | MatomoError] = {}
        self._lock = threading.Lock()

    def note(self, answers: Mapping[date, object]) -> None:
        """Store answers of VisitsSummary.get; a period whose answer is an error is requested again if it is needed."""
        with self._lock:
            self._note(answers)

    def pending_reasons(self, dates: Iterable[date]) -> dict[date, str | None]:
        """Return for each period why its empty answer is not believed, or None where it is.

        Of the present day `UNCOUNTED`, unless visits of it are counted: whether nobody has come yet, or Matomo has
        processed nothing yet, makes no difference, since the day is fetched again.
        """
        wanted = sorted(dates)
        with self._lock:
            self._fetch(wanted)
            for day in wanted:
                if self._is_present(day) and not self._visits.get(day):
                    self._pending[day] = UNCOUNTED
            zeros = [day for day in wanted if self._visits.get(day) == 0 and day not in self._pending]
            for first, last in self._subject.period.covered(zeros).ranges:
                self._pending.update(self._check_visits_log(first, last))
            return {day: self._reason(day) for day in wanted}

    def known_pending(self, dates: Iterable[date]) -> dict[date, str]:
        """Return why periods are pending, of those that are known to be; nothing is requested.

        Of the present day where no visit is counted: why it is not requested (`UNCOUNTED`).
        """
        with self._lock:
            found = {day: self._pending.get(day) for day in dates}
            found |= {day: UNCOUNTED for day in found if self._is_present(day) and self._visits.get(day) == 0}
        return {day: reason for day, reason in found.items() if reason is not None}

    def visits(self, dates: Iterable[date]) -> dict[date, int | None]:
        """Return how many visits VisitsSummary.get counts for each period; None where it could not tell."""
        wanted = sorted(dates)
        with self._lock:
            self._fetch(wanted)
            return {day: self._visits.get(day) for day in wanted}

    def reported(self, dates: Iterable[date]) -> dict[date, Reported | MatomoError]:
        """Return what Matomo still has of each period, or the error for which that is not known."""
        wanted = sorted(dates)
        with self._lock:
            self._fetch(wanted)
            self._fetch_reported(day for day in wanted if self._visits.get(day) and day not in self._reported)
            return {day: self._errors.get(day) or self._reported.get(day, Reported.NOTHING) for day in wanted}

    def known_visits(self, dates: Iterable[date]) -> dict[date, int]:
        """Return what VisitsSummary.get counts for the periods of which that is known, without a call."""
        with self._lock:
            return {day: self._visits[day] for day in dates if day in self._visits}

    def _is_present(self, day: date) -> bool:
        return self._subject.period.is_day and day >= self._today

    def _reason(self, day: date) -> str | None:
        if day in self._errors and self._pending.get(day) != UNCOUNTED:
            return f"{self._subject.not_known}: {self._errors[day]}"
        return self._pending.get(day)

    def _fetch(self, dates: Iterable[date]) -> None:
        """Request the visit counts of the periods that are not known."""
        subject = self._subject
        for days in subject.period.covered(day for day in dates if day not in self._visits).ranges:
            answered = self._client.report(
                VISIT_COUNTS, subject.site.id, Days((days,)), subject.period, subject.definition
            )
            self._note(answered.days)

    def _fetch_reported(self, dates: Iterable[date]) -> None:
        subject = self._subject
        for days in subject.period.covered(dates).ranges:
            answered = self._client.report(
                _EVERY_VISIT, subject.site.id, Days((days,)), subject.period, subject.definition
            )
            for day, answer in answered.days.items():
                rows = Reported.REPORTS if answer else Reported.COUNTS
                self._reported[day] = answer if isinstance(answer, MatomoError) else rows

    def _note(self, answers: Mapping[date, object]) -> None:
        for day, answer in answers.items():
            try:
                if isinstance(answer, MatomoError):
                    raise answer
                self._visits[day] = visits_of(answer)
                self._errors.pop(day, None)
            except MatomoError as error:
                self._errors[day] = error

    def _check_visits_log(self, first: date, last: date) -> dict[date, str | None]:
        """Return why periods that the summary calls empty are pending, by what the visits log has.

        The periods are those that cover the days from ``first`` to ``last``.
        """
        reasons: dict[date, str | None] = {}
        for _ in range(_MAX_PROBES):
            try:
                found = self._first_visit_day(first, last)
            except MatomoFatal:
                raise
            except MatomoError as error:
                return reasons | self._without_visits_log(first, last, error)
            if found is None:
                return reasons | self._each(first, last, None)
            begin, end = self._with_day(found)
            reasons.update(self._each(first, begin - ONE_DAY, None))
            reasons.update(self._each(max(first, begin), min(end, last), self._subject.not_processed))
            first = end + ONE_DAY
            if first > last:
                return reasons
        return reasons | self._each(first, last, self._subject.not_checked)

    def _first_visit_day(self, first: date, last: date) -> date | None:
        """Return the first day with a visit of the periods that cover some days, none of them after today."""
        begin, _ = self._subject.period.span(first)
        return self._client.first_visit_day(
            self._subject.site, begin, max(begin, min(last, self._today)), self._subject.definition
        )

    def _with_day(self, day: date) -> tuple[date, date]:
        """Return which days are covered by the periods that a visit of a day belongs to."""
        period = self._subject.period
        if period.is_rolling:
            return day, day + timedelta(days=period.days - 1)
        first = period.first_day(day)
        return first, period.last_day(first)

    def _each(self, first: date, last: date, reason: str | None) -> dict[date, str | None]:
        return dict.fromkeys(self._subject.period.dates(Days.between(first, last)), reason)

    def _without_visits_log(self, first: date, last: date, error: MatomoError) -> dict[date, str | None]:
        period = self._subject.period
        if not isinstance(error, _NO_VISITS_LOG):
            return self._each(first, last, f"{self._subject.not_known}: {error}")
        reason = f"{self._subject.in_doubt}: {error}"
        return {
            day: None if period.last_day(day) <= self._believe_zeros_until else reason
            for day in period.dates(Days.between(first, last))
        }


class ArchiveChecks:
    """The archive checks of a run: one for each site, segment and kind of period that is looked at; thread-safe.

    ``trailing_days``: for how many days past days change. ``now``: the run's time of day.
    """

    def __init__(self, client: MatomoClient, trailing_days: int, now: datetime) -> None:
        self._client = client
        self._trailing = timedelta(days=trailing_days + 1)
        self._now = now
        self._checks: dict[Subject, ArchiveCheck] = {}
        self._lock = threading.Lock()

    def of(self, site: Site, segment: Segment = EVERY_VISIT, period: Period = Period.DAY) -> ArchiveCheck:
        """Return the check of a site, segment and kind of period."""
        subject = Subject(site, segment, period)
        today = site.today(self._now)
        with self._lock:
            if subject not in self._checks:
                self._checks[subject] = ArchiveCheck(self._client, subject, today, today - self._trailing)
            return self._checks[subject]
