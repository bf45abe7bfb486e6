"""Whether an empty answer is an empty day: Matomo answers a day that it has not processed yet with zeros as well."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from matomo_fn.catalogue import PREBUILT
from matomo_fn.errors import MatomoError, MatomoFatal
from matomo_fn.extract.report_rows import visits_of
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.sites import Site
from matomo_fn.slices import ONE_DAY, days_between, runs_of_days

# Questions to the visits log for one stretch of days: where archiving stands still for months, each of them has
# visits and each would cost a call. Days beyond are pending as well, and asked for by a later run.
_MAX_PROBES = 31
# The report that says how many visits a day had.
SUMMARY = PREBUILT["visits_summary"].sources[0]

NOT_PROCESSED = "Matomo has visits of that day but has not processed its reports yet"
NOT_CHECKED = "Matomo has not processed days before it; whether this one has visits was not asked"


class Evidence:
    """What is known of the days of one site in one run; thread-safe.

    ``believe_zeros_until``: the last day whose zeros are believed where the visits log cannot be read.
    """

    def __init__(self, client: MatomoClient, site: Site, believe_zeros_until: date) -> None:
        self._client = client
        self._site = site
        self._believe_zeros_until = believe_zeros_until
        self._doubts: dict[date, str | None] = {}
        self._visits: dict[date, int] = {}
        self._errors: dict[date, MatomoError] = {}
        self._expected: set[date] = set()
        self._changed = threading.Condition()

    def expect(self, days: Iterable[date]) -> None:
        """Announce days that are about to be learned, so that nobody asks for their summary a second time."""
        with self._changed:
            self._expected.update(days)

    def learn(self, answers: Mapping[date, object]) -> None:
        """Take note of answers of VisitsSummary.get that were got anyway; days that are errors are asked once more."""
        with self._changed:
            self._note(answers)
        self.settle(answers)

    def settle(self, days: Iterable[date]) -> None:
        """Take back the announcement of days: they are learned, or will not be."""
        with self._changed:
            self._expected.difference_update(days)
            self._changed.notify_all()

    def doubts(self, days: Iterable[date]) -> dict[date, str | None]:
        """Return for each day why its emptiness is not to be believed, or None where it is."""
        wanted = sorted(days)
        with self._changed:
            self._fetch(wanted)
            zeros = [day for day in wanted if self._visits.get(day) == 0 and day not in self._doubts]
            for first, last in runs_of_days(zeros):
                self._doubts.update(self._ask_visits_log(first, last))
            return {day: self._doubt(day) for day in wanted}

    def visits(self, days: Iterable[date]) -> dict[date, int | None]:
        """Return how many visits VisitsSummary.get counts for each day; None where it could not tell."""
        wanted = sorted(days)
        with self._changed:
            self._fetch(wanted)
            return {day: self._visits.get(day) for day in wanted}

    def _doubt(self, day: date) -> str | None:
        if day in self._errors:
            return f"whether the day is empty is not known: {self._errors[day]}"
        return self._doubts.get(day)

    def _fetch(self, days: Sequence[date]) -> None:
        """Ask for the summaries of the days that are not known, once nobody else is about to learn them."""
        self._changed.wait_for(lambda: self._expected.isdisjoint(days))
        for first, last in runs_of_days(day for day in days if day not in self._visits):
            self._note(self._client.report(SUMMARY, self._site.id, list(days_between(first, last))).days)

    def _note(self, answers: Mapping[date, object]) -> None:
        for day, answer in answers.items():
            try:
                if isinstance(answer, MatomoError):
                    raise answer
                self._visits[day] = visits_of(answer)
                self._errors.pop(day, None)
            except MatomoError as error:
                self._errors[day] = error

    def _ask_visits_log(self, first: date, last: date) -> dict[date, str | None]:
        """Return the doubts about days that the summary calls empty, by what the visits log has."""
        doubts: dict[date, str | None] = {}
        for _ in range(_MAX_PROBES):
            try:
                found = self._client.first_visit_day(self._site, first, last)
            except MatomoFatal:
                raise
            except MatomoError as error:
                return doubts | self._without_visits_log(first, last, error)
            doubts.update(dict.fromkeys(days_between(first, last if found is None else found - ONE_DAY)))
            if found is None:
                return doubts
            doubts[found] = NOT_PROCESSED
            first = found + ONE_DAY
            if first > last:
                return doubts
        return doubts | dict.fromkeys(days_between(first, last), NOT_CHECKED)

    def _without_visits_log(self, first: date, last: date, error: MatomoError) -> dict[date, str | None]:
        reason = f"the day is recent and empty, and the visits log cannot tell whether Matomo has processed it: {error}"
        return {day: None if day <= self._believe_zeros_until else reason for day in days_between(first, last)}
