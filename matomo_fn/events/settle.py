"""Settling what is uncertain: Matomo's visits log says which hits it has.

Each hit of a page view, an event or a search carries a ``pv_id`` that its message id makes, and the visits log gives
it back as ``idpageview``. An order has its number. A goal has neither: it is known by its number and second at the
visitor. A cart that is sent again replaces itself, and a ping leaves nothing.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta, tzinfo
from urllib.parse import quote

from matomo_fn.days import ONE_DAY
from matomo_fn.errors import MatomoFatal, ReportRefused
from matomo_fn.events.message import Message
from matomo_fn.events.model import Hit, HitKind
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.visits_log import find_visits

# What a hit is called in the visits log: a kind of action and what identifies it, or, of a goal, its second too.
Mark = tuple[str, ...]

# How many visitors one call asks for: their ids stand in a segment, which is a text of some kilobytes.
_VISITORS = 50
# Days that one call may span: more of them are read by Matomo, even where these visitors had no visit.
_SPAN = timedelta(days=7)
_REPEATABLE = (HitKind.CART, HitKind.PING)
# Matomo takes a page view whose URL has a search for a search, and a search at a site without site search for a page
# view. So the two are one kind here.
_VIEW = "view"
_KINDS = {"action": _VIEW, "search": _VIEW}
_TYPES = {HitKind.PAGE_VIEW: _VIEW, HitKind.EVENT: "event", HitKind.SITE_SEARCH: _VIEW}


class CannotSettle(ReportRefused):
    """Matomo cannot say which hits it has."""


@dataclass(slots=True)
class _Found:
    """What the visits log has: the marks by who made them, those of orders, and who has visits that are cut."""

    marks: set[tuple[str, Mark]] = field(default_factory=set)
    orders: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)


class Settler:
    """Finds hits in the visits log of one site; thread-bound."""

    def __init__(self, client: MatomoClient, site_id: str) -> None:
        self._client = client
        self._site_id = site_id
        self._timezone: tzinfo | None = None

    def settle(self, messages: Sequence[Message]) -> None:
        """Note for each message which of its hits are in Matomo; all others of it are not.

        Raises CannotSettle where the visits log is off, and another MatomoError where it does not answer; then nothing
        is noted. A message whose visit is too long for the visits log stays uncertain, with the reason.
        """
        asked = [(message, at) for message in messages for at in range(len(message.hits))]
        found = self._find([message.hits[at] for message, at in asked if _is_asked(message.hits[at])])
        for message, at in asked:
            hit = message.hits[at]
            if not _is_asked(hit):
                continue
            if self._is_there(found, hit):
                message.done.add(at)
            elif any(who in found.cut for who in _who(hit)):
                message.uncertain.add(at)
                message.reason = (
                    "the visit has more actions than Matomo's visits log shows (visitor_log_maximum_actions_per_visit "
                    "in its config.ini.php)"
                )

    def _find(self, hits: Sequence[Hit]) -> _Found:
        found = _Found()
        if not hits:
            return found
        try:
            for days, segment in self._questions(hits):
                for visit in find_visits(self._client, self._site_id, days, segment):
                    if isinstance(visit, Mapping):
                        _note(found, visit)
        except ReportRefused as error:
            raise CannotSettle(f"Matomo does not say which hits it has: {error}") from None
        return found

    def _questions(self, hits: Iterable[Hit]) -> Iterator[tuple[tuple[date, date], str]]:
        """Yield the days and the visitors of each call, both as few as there are."""
        timezone = self._zone()
        placed = sorted((hit.occurred_at.astimezone(timezone).date(), who) for hit in hits for who in _who(hit))
        first, last, visitors = placed[0][0], placed[0][0], dict[str, None]()
        for day, who in placed:
            if visitors and (day - first > _SPAN or (len(visitors) >= _VISITORS and who not in visitors)):
                yield (first - ONE_DAY, last + ONE_DAY), ",".join(visitors)
                first, visitors = day, {}
            last = day
            visitors[who] = None
        yield (first - ONE_DAY, last + ONE_DAY), ",".join(visitors)

    def _is_there(self, found: _Found, hit: Hit) -> bool:
        if hit.kind is HitKind.ORDER:
            return hit.parameters.get("ec_id", "") in found.orders
        mark = self._mark(hit)
        return any((who, mark) in found.marks for who in _who(hit))

    def _mark(self, hit: Hit) -> Mark:
        if hit.kind is HitKind.GOAL:
            wall = hit.occurred_at.astimezone(self._zone()).replace(tzinfo=UTC)
            return "goal", hit.parameters.get("idgoal", ""), str(int(wall.timestamp()))
        return _TYPES[hit.kind], hit.parameters.get("pv_id", "")

    def _zone(self) -> tzinfo:
        if self._timezone is None:
            site = next((site for site in self._client.sites() if site.id == self._site_id), None)
            if site is None or site.problem:
                raise MatomoFatal(
                    f"site {self._site_id} (events.site) is not among those that the token may see: correct it, or "
                    "give the token's user write access to it"
                )
            self._timezone = site.timezone
        return self._timezone


def _is_asked(hit: Hit) -> bool:
    return hit.kind not in _REPEATABLE


def _who(hit: Hit) -> list[str]:
    """Return the terms of a segment that the hit's visitor may be known by.

    Matomo derives the visitor's id from a user id (enable_userid_overwrites_visitorid), unless it is set up otherwise.
    """
    visitor, user = hit.parameters.get("cid") or hit.parameters.get("_id"), hit.parameters.get("uid")
    terms = [_visitor(visitor.lower())] if visitor else []
    if user:
        # sha1 is Matomo's choice, and protects nothing here.
        hashed = hashlib.sha1(user.encode(), usedforsecurity=False).hexdigest()
        terms += [_user(user), _visitor(hashed[:16])]
    return terms


def _visitor(text: str) -> str:
    return f"visitorId=={text}"


def _user(text: str) -> str:
    # Matomo decodes the whole segment before it splits it at commas, and each value once more.
    return f"userId=={quote(quote(text, safe=''), safe='')}"


def _note(found: _Found, visit: Mapping[str, object]) -> None:
    """Note the actions of a visit under each name of its visitor."""
    visitor, user = visit.get("visitorId"), visit.get("userId")
    names = [_visitor(str(visitor).lower())] if visitor else []
    names += [_user(str(user))] if user else []
    if visit.get("truncatedActionsCount"):
        found.cut.update(names)
    actions = visit.get("actionDetails")
    for action in actions if isinstance(actions, list) else ():
        if not isinstance(action, Mapping):
            continue
        kind = str(action.get("type"))
        if kind == "ecommerceOrder":
            found.orders.add(str(action.get("orderId")))
        elif kind == "goal":
            found.marks.update(
                (name, (kind, str(action.get("goalId")), str(action.get("timestamp")))) for name in names
            )
        elif action.get("idpageview"):
            found.marks.update((name, (_KINDS.get(kind, kind), str(action["idpageview"]))) for name in names)
