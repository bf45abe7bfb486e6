"""Visits built from hits, as Matomo's tracker builds them (core/Tracker/Visit.php, VisitorRecognizer, GoalManager)."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import takewhile
from operator import attrgetter
from threading import RLock

from fake_matomo.hits import Hit, Params, RefusedHit
from fake_matomo.pools import DIRECT, Referrer
from fake_matomo.sites import Goal, Site, day_bounds, local_day
from fake_matomo.visits import COUNTED, Action, Order, Sent, Tracked, Visit, Visitor

# [Tracker] visit_standard_length: a visit ends after so many seconds without an action.
VISIT_LENGTH = 1_800
# [Tracker] create_new_visit_after_x_actions.
_ACTIONS_OF_A_VISIT = 10_000
# Where the ids of visits and of rows of actions begin: past those of the modelled traffic.
_FIRST_VISIT, _FIRST_ROW = 5_000_000_000, 1_000_000_000_000
# VisitorDetails of the Actions plugin: a shorter time on a visit's last page is not shown.
_SHORTEST_LAST_VIEW = 10
# log_visit.visit_goal_buyer.
_NO_BUYER, _ORDERED, _CART_OPEN, _ORDERED_AND_CART_OPEN = 0, 1, 2, 3

_CART, _ORDER, _GOAL = "ecommerceAbandonedCart", "ecommerceOrder", "goal"

_last_at = attrgetter("last_at")


class TrackedVisit:
    """A visit that hits are being added to."""

    __slots__ = (
        "actions",
        "built",
        "buyer",
        "client",
        "conversions",
        "converted",
        "day",
        "day_ends",
        "day_starts",
        "duration",
        "first_at",
        "id",
        "interactions",
        "last_at",
        "plan",
        "referrer",
        "since_first",
        "since_last",
        "since_order",
        "site",
        "total_actions",
        "user_id",
        "variables",
        "visit_count",
        "visitor_id",
    )

    def __init__(self, number: int, hit: Hit, known: "TrackedVisit | None", visitor_id: str) -> None:
        self.id, self.site, self.client = number, hit.site, hit.client
        self.visitor_id = visitor_id
        self.user_id = hit.user_id
        self.day = local_day(hit.site.timezone, hit.at)
        self.day_starts, self.day_ends = day_bounds(hit.site.timezone, self.day)
        self.first_at = self.last_at = hit.at
        self.duration = self.total_actions = self.interactions = 0
        self.buyer, self.converted = _NO_BUYER, False
        self.plan: str | None = None
        self.referrer: Referrer = hit.origin.after(None if known is None else known.referrer)
        self.variables: dict[int, tuple[int, str, str]] = {}
        self.actions: list[Action] = []
        self.conversions: list[Action] = []
        self.visit_count = 1
        self.since_first = self.since_last = 0
        self.since_order: int | None = None
        if known is not None:
            self.visit_count = known.visit_count + 1
            self.since_first = max(0, known.since_first + hit.at - known.first_at)
            self.since_last = max(0, hit.at - known.last_at)
            ago = 0 if known.buyer in (_ORDERED, _ORDERED_AND_CART_OPEN) else known.since_order
            self.since_order = None if ago is None else ago + max(0, hit.at - known.first_at)
        self.built: Visit | None = None

    def visit(self) -> Visit:
        """Return the visit so far."""
        if self.built is None:
            self.built = self._build()
        return self.built

    def _build(self) -> Visit:
        client = self.client
        return Visit(
            id=self.id,
            site_id=self.site.id,
            visitor=Visitor(
                id=self.visitor_id,
                user_id=self.user_id,
                fingerprint=client.fingerprint,
                ip=client.ip,
                place=client.place,
                device=client.device,
                plan=self.plan,
            ),
            referrer=self.referrer,
            actions=self._in_order(),
            first_at=self.first_at,
            last_at=self.last_at,
            duration=self.duration,
            total_actions=self.total_actions,
            interactions=self.interactions,
            conversions=tuple(self.conversions),
            visit_count=self.visit_count,
            since_first=self.since_first,
            since_last=self.since_last,
            since_order=self.since_order,
            day=self.day,
            tracked=Tracked(client.local_time, client.plugins, tuple(sorted(self.variables.values())), self.converted),
        )

    def _in_order(self) -> tuple[Action, ...]:
        """Return the actions by time, and page views with the time that was spent on them."""
        found = sorted([*self.conversions, *self.actions], key=_place_in_log)
        return tuple(
            replace(action, spent=self._spent(found, at)) if action.kind == "action" else action
            for at, action in enumerate(found)
        )

    def _spent(self, actions: list[Action], at: int) -> int:
        """Return the seconds until the next page view, or for the last one until the end of the visit."""
        spent = 0
        for action in actions[at + 1 :]:
            if action.sent is None or not action.sent.number:
                continue
            spent += action.sent.since
            if action.kind == "action":
                return spent
        rest = self.duration - (actions[at].at - self.first_at)
        return rest if rest > _SHORTEST_LAST_VIEW else spent


def _place_in_log(action: Action) -> tuple[int, int, str]:
    """Return what actions are sorted by: of one second, conversions come first."""
    return action.at, action.sent.number if action.sent else 0, action.kind


class TrackedVisits:
    """All visits built from hits, and the hits. Thread-safe."""

    def __init__(self) -> None:
        self._lock = RLock()
        # The hits that were tracked, in the order of their arrival, and what was refused with its reason.
        self._hits: list[Hit] = []
        self._hits_of: dict[str | None, list[Hit]] = {}
        self._refused: list[tuple[Params, str]] = []
        self._visits: dict[int, TrackedVisit] = {}
        self._by_visitor: dict[tuple[int, str], list[TrackedVisit]] = {}
        self._by_client: dict[tuple[int, str], list[TrackedVisit]] = {}
        self._by_user: dict[tuple[int, str], dict[int, TrackedVisit]] = {}
        self._by_day: dict[tuple[int, date], dict[int, TrackedVisit]] = {}
        self._sorted: dict[tuple[int, date], tuple[Visit, ...]] = {}
        self._orders: set[tuple[int, str]] = set()
        self._rows = _FIRST_ROW

    def take(self, hits: Iterable[Hit]) -> list[int]:
        """Add hits one after another; return the places of those refused, orders that were stored before."""
        refused = []
        with self._lock:
            for at, hit in enumerate(hits):
                try:
                    self._take(hit)
                except RefusedHit as reason:
                    refused.append(at)
                    self._refused.append((dict(hit.params), str(reason)))
                else:
                    self._hits.append(hit)
                    self._hits_of.setdefault(hit.visitor_id, []).append(hit)
        return refused

    def refuse(self, refused: Iterable[tuple[Params, str]]) -> None:
        """Record hits that could not be read, with the reasons."""
        with self._lock:
            self._refused += refused

    def stored(self, visitor_id: str | None = None) -> list[Hit]:
        """Return the hits that were tracked, in the order of their arrival: all, or those of a visitor."""
        with self._lock:
            return list(self._hits if visitor_id is None else self._hits_of.get(visitor_id, ()))

    def rejected(self) -> list[tuple[Params, str]]:
        """Return the parameters of the hits that were refused, with the reasons."""
        with self._lock:
            return list(self._refused)

    def of_day(self, site: Site, day: date) -> tuple[Visit, ...]:
        """Return the visits of a site's day, by last action."""
        with self._lock:
            key = (site.id, day)
            if key not in self._sorted:
                visits = [one.visit() for one in self._by_day.get(key, {}).values()]
                self._sorted[key] = tuple(sorted(visits, key=lambda visit: (visit.last_at, visit.id)))
            return self._sorted[key]

    def days(self, site: Site) -> list[date]:
        """Return the days of a site that have visits."""
        with self._lock:
            return [day for site_id, day in self._by_day if site_id == site.id]

    def of_people(self, site: Site, day: date, people: Iterable[tuple[str, str]]) -> tuple[Visit, ...]:
        """Return the visits of some visitors on a day: pairs of `visitorId` or `userId` and the id, in lower case."""
        with self._lock:
            found: dict[int, Visit] = {}
            for name, value in people:
                if name == "visitorId":
                    candidates: Iterable[TrackedVisit] = self._by_visitor.get((site.id, value), ())
                else:
                    candidates = self._by_user.get((site.id, value), {}).values()
                found.update((one.id, one.visit()) for one in candidates if one.day == day)
            return tuple(sorted(found.values(), key=lambda visit: (visit.last_at, visit.id)))

    def commerce(self, site: Site, visitor_id: str) -> list[Action]:
        """Return the orders and carts of a visitor, of all visits."""
        with self._lock:
            visits = self._by_visitor.get((site.id, visitor_id), ())
            return [action for one in visits for action in one.conversions if action.kind != _GOAL]

    def _take(self, hit: Hit) -> None:
        known = self._known(hit)
        current = None if known is None or self._begins_visit(hit, known) else known
        if current is not None:
            self._continue(current, hit)
        elif hit.kind == "ping":
            return
        else:
            current = self._begin(hit, known)
        if hit.kind != "ping":
            self._record(current, hit, new=current is not known)

    def _known(self, hit: Hit) -> TrackedVisit | None:
        """Return the latest visit of the hit's visitor: by the visitor's id, else by the client's fingerprint.

        Only `cid` keeps Matomo from taking the visit of another visitor with the same fingerprint, and a user id
        from taking that of another user, but not one without a user (`trust_visitors_cookies=0`).
        """
        until = hit.at + VISIT_LENGTH
        found = None
        if hit.visitor_id is not None:
            found = _latest(self._by_visitor.get((hit.site.id, hit.visitor_id), ()), until)
        if found is None and not hit.forced:
            same = self._by_client.get((hit.site.id, hit.client.fingerprint), ())
            recent = takewhile(lambda one: one.last_at >= hit.at - VISIT_LENGTH, _backwards(same, until))
            found = next((one for one in recent if hit.user_id in (None, one.user_id) or not one.user_id), None)
        return None if found is not None and found.total_actions >= _ACTIONS_OF_A_VISIT else found

    def _begins_visit(self, hit: Hit, known: TrackedVisit) -> bool:
        """Whether the hit begins a visit: after half an hour, after midnight, or with another campaign."""
        if hit.new_visit or known.last_at <= hit.at - VISIT_LENGTH:
            return True
        if not known.day_starts <= hit.at < known.day_ends:
            return True
        if hit.origin.campaign is None or known.referrer.type == DIRECT:
            return False
        return not _same_source(hit.origin.after(known.referrer), known.referrer)

    def _begin(self, hit: Hit, known: TrackedVisit | None) -> TrackedVisit:
        number = _FIRST_VISIT + len(self._visits) + 1
        # Also one that was recognised by its fingerprint and has an id of its own: Matomo takes over the known one.
        visitor_id = known.visitor_id if known is not None else hit.visitor_id or f"{number:016x}"
        visit = TrackedVisit(number, hit, known, visitor_id)
        self._visits[number] = visit
        self._by_day.setdefault((visit.site.id, visit.day), {})[number] = visit
        _add(self._by_visitor.setdefault((visit.site.id, visitor_id), []), visit)
        _add(self._by_client.setdefault((visit.site.id, hit.client.fingerprint), []), visit)
        self._name_user(visit, hit)
        self._describe(visit, hit)
        if hit.kind in (_GOAL, _ORDER):
            visit.converted = True
            if known is not None:
                visit.duration = _bonus(hit)
        return visit

    def _continue(self, visit: TrackedVisit, hit: Hit) -> None:
        """Update the visit, as the tracker does before it records the action."""
        visit.duration = max(0, 1 + hit.at - visit.first_at)
        if hit.kind in (_GOAL, _ORDER):
            visit.duration += _bonus(hit)
            visit.converted = True
        if visit.referrer.type == DIRECT and (origin := hit.origin.after(visit.referrer)).type != DIRECT:
            visit.referrer = origin
        visitor_id = hit.visitor_id
        if visitor_id is not None and visitor_id != visit.visitor_id:
            self._by_visitor[(visit.site.id, visit.visitor_id)].remove(visit)
            visit.visitor_id = visitor_id
            _add(self._by_visitor.setdefault((visit.site.id, visitor_id), []), visit)
        self._name_user(visit, hit)
        self._describe(visit, hit)

    def _name_user(self, visit: TrackedVisit, hit: Hit) -> None:
        if hit.user_id is None:
            return
        if visit.user_id is not None and visit.user_id != hit.user_id:
            self._by_user.get((visit.site.id, visit.user_id.lower()), {}).pop(visit.id, None)
        visit.user_id = hit.user_id
        self._by_user.setdefault((visit.site.id, hit.user_id.lower()), {})[visit.id] = visit

    def _describe(self, visit: TrackedVisit, hit: Hit) -> None:
        if hit.plan is not None:
            visit.plan = hit.plan
        visit.variables.update((one[0], one) for one in hit.visit_variables)
        visit.built = None
        self._sorted.pop((visit.site.id, visit.day), None)

    def _buyer(self, visit: TrackedVisit, hit: Hit) -> None:
        if hit.kind == _ORDER:
            visit.buyer = _ORDERED
        elif hit.kind == _CART:
            ordered = visit.buyer in (_ORDERED, _ORDERED_AND_CART_OPEN)
            visit.buyer = _ORDERED_AND_CART_OPEN if ordered else _CART_OPEN

    def _record(self, visit: TrackedVisit, hit: Hit, *, new: bool) -> None:
        """Add the hit's action to its visit."""
        since = 0 if new else min(max(0, hit.at - visit.last_at), VISIT_LENGTH)
        had_cart = not new and visit.buyer in (_CART_OPEN, _ORDERED_AND_CART_OPEN)
        self._buyer(visit, hit)
        if hit.at > visit.last_at:
            visit.last_at = hit.at
            _sort(self._by_visitor[(visit.site.id, visit.visitor_id)], visit)
            _sort(self._by_client[(visit.site.id, visit.client.fingerprint)], visit)
        if hit.kind == _GOAL:
            self._convert(visit, hit)
        elif hit.kind in (_ORDER, _CART):
            self._buy(visit, hit, had_cart=had_cart)
        else:
            self._act(visit, hit, since)

    def _act(self, visit: TrackedVisit, hit: Hit, since: int) -> None:
        visit.total_actions += hit.kind in COUNTED
        visit.interactions += hit.kind in ("action", "search")
        self._rows += 1
        sent = Sent(self._rows, hit.page_view, since, hit.author, hit.page_variables, None)
        visit.actions.append(Action(hit.kind, hit.at, hit.page, visit.interactions, 0, hit.detail, hit.url, sent))

    def _convert(self, visit: TrackedVisit, hit: Hit) -> None:
        """Store a conversion, unless the visit has converted the goal and may do so only once."""
        goal = hit.detail
        converted = {one.detail.id for one in visit.conversions if isinstance(one.detail, Goal)}
        if isinstance(goal, Goal) and (goal.allow_multiple or goal.id not in converted):
            visit.conversions.append(_conversion(visit, hit))

    def _buy(self, visit: TrackedVisit, hit: Hit, *, had_cart: bool) -> None:
        """Store an order or a cart: either takes the place of the visit's cart.

        :raises RefusedHit: the order's id was stored before; where there is a cart, Matomo only logs that.
        """
        order = hit.detail
        if not isinstance(order, Order):
            return
        seen = order.id is not None and (visit.site.id, order.id) in self._orders
        if seen and had_cart:
            return
        if seen:
            raise RefusedHit(f"the order {order.id} of site {visit.site.id} is stored already")
        cart = next((one for one in visit.conversions if one.kind == _CART), None)
        if cart is not None and had_cart:
            visit.conversions.remove(cart)
        elif cart is not None and order.id is None:
            return
        if order.id is not None:
            self._orders.add((visit.site.id, order.id))
        visit.conversions.append(_conversion(visit, hit))


def _conversion(visit: TrackedVisit, hit: Hit) -> Action:
    """Return the action of a conversion, which is attributed to the campaign that the hit names, or the visit's."""
    sent = Sent(0, None, 0, None, (), hit.referrer or visit.referrer)
    return Action(hit.kind, hit.at, hit.page, visit.interactions, 0, hit.detail, None, sent)


def _bonus(hit: Hit) -> int:
    """Return the seconds that Matomo adds to a visit's duration with a conversion, so that its row changes."""
    return 2 + (hit.detail.id if isinstance(hit.detail, Goal) else 0)


def _same_source(one: Referrer, other: Referrer) -> bool:
    return (one.type, one.name.lower(), (one.keyword or "").lower()) == (
        *(other.type, other.name.lower()),
        (other.keyword or "").lower(),
    )


def _latest(visits: Sequence[TrackedVisit], until: int) -> TrackedVisit | None:
    return next(_backwards(visits, until), None)


def _backwards(visits: Sequence[TrackedVisit], until: int) -> Iterator[TrackedVisit]:
    """Yield the visits whose last action was not later, the latest first."""
    for at in range(bisect_right(visits, until, key=_last_at) - 1, -1, -1):
        yield visits[at]


def _add(visits: list[TrackedVisit], visit: TrackedVisit) -> None:
    visits.append(visit)
    _sort(visits, visit)


def _sort(visits: list[TrackedVisit], visit: TrackedVisit) -> None:
    """Sort by last action, unless the only one that changed is the last of them already."""
    if visits[-1] is not visit or (len(visits) > 1 and visits[-2].last_at > visit.last_at):
        visits.sort(key=_last_at)
