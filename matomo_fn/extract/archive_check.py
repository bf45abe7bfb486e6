"""Tells an empty day from one that Matomo has not archived yet: it answers both with zeros."""

import threading
from collections.abc import Iterable, Mapping
from datetime import date

from matomo_fn.catalogue import VISIT_COUNTS
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.extract.report_rows import visits_of
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sites import Site

# Calls to the visits log for one range of days: where archiving has stopped for months, every day has visits and
# would cost a call. The days beyond are pending as well; a later run checks them.
_MAX_PROBES = 31

NOT_PROCESSED = "Matomo has visits of that day but has not processed its reports yet"
NOT_CHECKED = "Matomo has not processed days before it; whether this one has visits was not checked"


class ArchiveCheck:
    """What is known about the days of one site in one run; thread-safe.

    ``believe_zeros_until``: the last day whose zeros are believed where the visits log cannot be read. A run extracts
    the visit counts first and notes them here, so that most days need no further call.
    """

    def __init__(self, client: MatomoClient, site: Site, believe_zeros_until: date) -> None:
        self._client = client
        self._site = site
        self._believe_zeros_until = believe_zeros_until
        self._pending: dict[date, str | None] = {}
        self._visits: dict[date, int] = {}
        self._errors: dict[date, MatomoError] = {}
        self._lock = threading.Lock()

    def note(self, answers: Mapping[date, object]) -> None:
        """Store answers of VisitsSummary.get; a day whose answer is an error is requested again if it is needed."""
        with self._lock:
            self._note(answers)

    def pending_reasons(self, days: Iterable[date]) -> dict[date, str | None]:
        """Return for each day why its empty answer is not believed, or None where it is."""
        wanted = Days.of(days)
        with self._lock:
            self._fetch(wanted)
            zeros = Days.of(day for day in wanted if self._visits.get(day) == 0 and day not in self._pending)
            for first, last in zeros.ranges:
                self._pending.update(self._check_visits_log(first, last))
            return {day: self._reason(day) for day in wanted}

    def known_pending(self, days: Iterable[date]) -> dict[date, str]:
        """Return why days are pending, of those that are known to be; nothing is requested."""
        with self._lock:
            found = {day: self._pending.get(day) for day in days}
        return {day: reason for day, reason in found.items() if reason is not None}

    def visits(self, days: Iterable[date]) -> dict[date, int | None]:
        """Return how many visits VisitsSummary.get counts for each day; None where it could not tell."""
        wanted = Days.of(days)
        with self._lock:
            self._fetch(wanted)
            return {day: self._visits.get(day) for day in wanted}

    def known_visits(self, days: Iterable[date]) -> dict[date, int]:
        """Return what VisitsSummary.get counts for the days of which that is known, without a call."""
        with self._lock:
            return {day: self._visits[day] for day in days if day in self._visits}

    def _reason(self, day: date) -> str | None:
        if day in self._errors:
            return f"whether the day is empty is not known: {self._errors[day]}"
        return self._pending.get(day)

    def _fetch(self, days: Days) -> None:
        """Request the visit counts of the days that are not known."""
        for first, last in Days.of(day for day in days if day not in self._visits).ranges:
            self._note(self._client.report(VISIT_COUNTS, self._site.id, Days.between(first, last)).days)

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
        """Return why days that the summary calls empty are pending, by what the visits log has."""
        reasons: dict[date, str | None] = {}
        for _ in range(_MAX_PROBES):
            try:
                found = self._client.first_visit_day(self._site, first, last)
            except MatomoFatal:
                raise
            except MatomoError as error:
                return reasons | self._without_visits_log(first, last, error)
            reasons.update(dict.fromkeys(Days.between(first, last if found is None else found - ONE_DAY)))
            if found is None:
                return reasons
            reasons[found] = NOT_PROCESSED
            first = found + ONE_DAY
            if first > last:
                return reasons
        return reasons | dict.fromkeys(Days.between(first, last), NOT_CHECKED)

    def _without_visits_log(self, first: date, last: date, error: MatomoError) -> dict[date, str | None]:
        reason = f"the day is recent and empty, and the visits log cannot tell whether Matomo has processed it: {error}"
        return {day: None if day <= self._believe_zeros_until else reason for day in Days.between(first, last)}
