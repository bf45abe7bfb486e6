"""Which calls keep failing: a report of one site, a report of every site, or the whole server."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from matomo_fn.errors import MatomoUnavailable

# Calls in a row that failed in all their tries: then a report of a site is not requested again in this run, or, where
# they were of anything, the server may be down.
GIVE_UP_AFTER = 3
# Sites at which a report failed and none at which it had an answer: then it is requested of no site any more.
_SITES = 3


@dataclass(frozen=True, slots=True)
class Subject:
    """What a call is about: a method of Matomo's API, and a site and the definition of a segment where it has them.

    A segment whose archives are made on demand may take too long where the report itself does not.
    """

    method: str
    site_id: str = ""
    segment: str = ""


def subject_of(method: str, form: Mapping[str, str]) -> Subject:
    """Return what a call is about; a bulk request is about what its first call is, since all are of one report."""
    if "urls[0]" in form:
        inner = parse_qs(form["urls[0]"])
        method = inner.get("method", [method])[0]
        return Subject(method, inner.get("idSite", [""])[0], inner.get("segment", [""])[0])
    return Subject(method, form.get("idSite", ""), form.get("segment", ""))


class Health:
    """Counts the failures of calls, each of which was tried as often as it may be; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._failures: dict[Subject, int] = {}
        self._failing_sites: dict[tuple[str, str], set[str]] = {}  # by method and segment
        self._answered: set[tuple[str, str]] = set()

    def check(self, subject: Subject) -> None:
        """Raise MatomoUnavailable where a call would only fail once more, and keep others from their turn."""
        with self._lock:
            if self._failures.get(subject, 0) >= GIVE_UP_AFTER:
                raise MatomoUnavailable(
                    f"{subject.method} failed {GIVE_UP_AFTER} times in a row for site {subject.site_id}: it is not "
                    "requested again in this run"
                )
            sites = len(self._failing_sites.get((subject.method, subject.segment), ()))
            if sites >= _SITES and (subject.method, subject.segment) not in self._answered:
                raise MatomoUnavailable(
                    f"{subject.method} failed for each of {sites} sites: it is not requested again in this run"
                )

    def answered(self) -> None:
        """Take note of an answer that has nothing but errors: the server is there."""
        with self._lock:
            self._in_a_row = 0

    def succeeded(self, subject: Subject) -> None:
        """Take note of an answer."""
        with self._lock:
            self._in_a_row = 0
            self._failures.pop(subject, None)
            self._answered.add((subject.method, subject.segment))

    def failed(self, subject: Subject) -> bool:
        """Take note of a failure, and return whether so many calls in a row have failed that the server may be down."""
        with self._lock:
            self._in_a_row += 1
            self._failures[subject] = self._failures.get(subject, 0) + 1
            self._failing_sites.setdefault((subject.method, subject.segment), set()).add(subject.site_id)
            return self._in_a_row >= GIVE_UP_AFTER
