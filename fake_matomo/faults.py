"""Faults on demand: what goes wrong, with which calls, and how often."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from random import Random
from threading import Lock

from fake_matomo.errors import MAINTENANCE_PAGE

# Changes the decoded answer.
Mutation = Callable[[object], object]

# The method of calls of the tracker, matomo.php: only a fault that names it applies to them.
TRACKER = "matomo.php"

JSON = "application/json; charset=utf-8"
HTML = "text/html; charset=utf-8"

NOTICE = (
    "<br />\n<b>Notice</b>:  Undefined index: idvisit in <b>/var/www/matomo/core/Db.php</b> on line <b>42</b><br />\n"
)


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the calls that it applies to: API calls, and those of the tracker if `method` is `TRACKER`.

    The first group of fields selects the calls; all conditions must hold. `method` is a name or a regular
    expression for the full name, `day` is one of the requested days, `segment` its definition, `in_bulk` is True for
    calls inside a bulk request, False for calls on their own; the first `after` matching calls succeed, of the next
    `times` the `share` fails that the `seed` chooses. A call of the tracker has the sites of its hits, no day and no
    segment, and is in a bulk if it brings one.

    The second group is the effect. `status` and `body` replace the answer, `message` is a Matomo error, as JSON
    or as its HTML page, depending on where the parameters were sent. `delay` in seconds, without the others, only
    delays the answer. `cut` sends that many bytes less than announced and closes the connection, `reset` resets
    it, `notice` puts a PHP notice before the JSON, `mutate` changes the decoded answer, `to_https` redirects as
    `force_ssl` does. Inside a bulk request, JSON, messages and mutations affect only the call's entry, everything
    else the whole response. The tracker stores no hits before it fails, unless they are `taken`: then it stores them
    at once, also if the answer is delayed or never comes.
    """

    method: str | None = None
    site: int | None = None
    day: date | None = None
    in_bulk: bool | None = None
    segment: str | None = None
    after: int = 0
    times: int | None = None
    share: float = 1.0
    seed: int = 0

    status: int | None = None
    body: str | None = None
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str | None = None
    delay: float = 0.0
    cut: int = 0
    reset: bool = False
    notice: bool = False
    mutate: Mutation | None = None
    to_https: bool = False
    taken: bool = False

    @property
    def whole(self) -> bool:
        """Whether it affects the whole HTTP response, even if it matched a call inside a bulk request."""
        page = self.body is not None and self.content_type != JSON
        bare = self.status is not None and self.body is None and self.message is None
        return self.reset or self.cut > 0 or self.notice or self.to_https or page or bare

    @property
    def replaces(self) -> bool:
        """Whether it replaces the answer."""
        return self.reset or self.status is not None or self.body is not None or self.message is not None

    def entry(self, answer: object) -> object:
        """Return the faulty form of an entry of a bulk answer."""
        if self.message is not None:
            return {"result": "error", "message": self.message}
        if self.body is not None and not self.whole:
            return json.loads(self.body)
        return self.mutate(answer) if self.mutate else answer

    def matches(self, call: "FaultyCall") -> bool:
        """Whether the fault applies to such a call, however often it was applied already."""
        if self.method is None and call.method == TRACKER:
            return False
        if self.method is not None and not re.fullmatch(self.method, call.method):
            return False
        if self.site is not None and self.site not in call.sites:
            return False
        if self.segment is not None and self.segment != call.segment:
            return False
        if self.day is not None and not (call.days and call.days[0] <= self.day <= call.days[1]):
            return False
        return self.in_bulk is None or self.in_bulk == call.in_bulk

    def chooses(self, number: int) -> bool:
        """Whether the fault applies to that one of the calls that match it, the first being 1."""
        if number <= self.after or (self.times is not None and number > self.after + self.times):
            return False
        return self.share >= 1 or Random(f"{self.seed}/{number}").random() < self.share


@dataclass(frozen=True, slots=True)
class FaultyCall:
    """What a fault is chosen by: a call's method, sites, first and last day, segment, and whether it is in a bulk."""

    method: str
    sites: frozenset[int]
    days: tuple[date, date] | None
    segment: str
    in_bulk: bool


class Faults:
    """The active faults. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._faults: list[tuple[Fault, list[int]]] = []

    def add(self, fault: Fault) -> None:
        """Activate a fault; if several match a call, the one added first applies."""
        with self._lock:
            self._faults.append((fault, [0]))

    def clear(self) -> None:
        """Deactivate all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, call: FaultyCall) -> Fault | None:
        """Return the fault that applies to this call; each matching call counts towards `after` and `times`."""
        with self._lock:
            for fault, met in self._faults:
                if not fault.matches(call):
                    continue
                met[0] += 1
                if fault.chooses(met[0]):
                    return fault
        return None


def maintenance(when: Fault | None = None) -> Fault:
    """`maintenance_mode=1` (down_maintenance_mode_post)."""
    return replace(when or Fault(), status=503, body=MAINTENANCE_PAGE, content_type="text/html; charset=UTF-8")


def upgrade_required(when: Fault | None = None) -> Fault:
    """The database needs an upgrade (down_upgrade_required_post)."""
    return _error(
        when,
        503,
        "Database Upgrade Required. Your Matomo database is out-of-date, and must be upgraded before you can continue.",
    )


def out_of_memory(when: Fault | None = None) -> Fault:
    """PHP ran out of memory (down_php_out_of_memory_post)."""
    return _error(when, 500, "Allowed memory size of 20971520 bytes exhausted (tried to allocate 2097152 bytes)")


def database_down(when: Fault | None = None) -> Fault:
    """The database is unreachable (down_database_unreachable_*): JSON or HTML, the tracker's 400 or 500 in bulk."""
    return replace(when or Fault(), status=500, message="SQLSTATE[HY000] [2002] Connection refused")


def too_many_failed_logins(when: Fault | None = None) -> Fault:
    """The address is blocked (bruteforce_blocked_*): JSON or HTML."""
    return replace(
        when or Fault(),
        status=500,
        message="Too many failed logins. Please wait and try logging in again later.",
    )


def force_ssl(when: Fault | None = None) -> Fault:
    """`force_ssl=1`, requested over HTTP (redirect_force_ssl_post)."""
    return replace(when or Fault(), status=302, body="", content_type="text/html; charset=UTF-8", to_https=True)


def rate_limited(when: Fault | None = None, *, retry_after: str | None = None) -> Fault:
    """Too many requests, as on Matomo Cloud; `Retry-After` is not guaranteed."""
    page = "<html>\n<head><title>429 Too Many Requests</title></head>\n<body>\n</body>\n</html>\n"
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    return replace(when or Fault(), status=429, body=page, content_type="text/html", headers=headers)


def html_page(when: Fault | None = None) -> Fault:
    """An HTML page of a proxy instead of JSON, with status 200."""
    page = "<!DOCTYPE html>\n<html><head><title>Please log in</title></head><body></body></html>\n"
    return replace(when or Fault(), status=200, body=page, content_type="text/html")


def _error(when: Fault | None, status: int, message: str) -> Fault:
    body = f'{{"result":"error","message":"{message}"}}'
    return replace(when or Fault(), status=status, body=body)
