"""The cache of invented visits, the changes that tests make to them, and the visits of hits beside them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from random import Random
from threading import RLock

from fake_matomo.pages import pages_of
from fake_matomo.pools import REFERRERS
from fake_matomo.sites import Site, World, local_day, zone
from fake_matomo.tracked_visits import TrackedVisits
from fake_matomo.traffic import (
    ARRIVED_FROM,
    VisitBuilder,
    first_id,
    moved,
    new_visitor,
    reassembled,
    visits_of,
)
from fake_matomo.visits import Action, Load, Visit

# Visitors and users by the names of their segments: ("visitorId", "…"), ("userId", "…"), in lower case.
People = frozenset[tuple[str, str]]

# Days around a visit whose orders and carts count as those of its visitor. A real Matomo counts all of them, which here
# would require years of generated visits for a single one.
_COMMERCE_DAYS = 14

# Maximum number of cached actions, about 200 bytes each: a year of two sites with sixty visits a day.
_ACTIONS_KEPT = 400_000


class Traffic:
    """The visits of every site and day. Thread-safe."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._skew = timedelta(0)
        self._lock = RLock()
        self._days: OrderedDict[tuple[int, date, int], tuple[Visit, ...]] = OrderedDict()
        self._kept = 0
        self._revisions: dict[tuple[int, date], int] = {}
        self._empty: set[tuple[int, date]] = set()
        self._gone: set[int] = set()
        self._added: dict[tuple[int, date], list[Visit]] = {}
        self._arrivals = 0
        # The visits that hits brought, beside the modelled ones.
        self.tracked = TrackedVisits()

    def now(self) -> datetime:
        """Return the time of the world's clock, in UTC."""
        return (self.world.now or datetime.now(UTC)).astimezone(UTC) + self._skew

    def advance(self, by: timedelta) -> None:
        """Advance the clock."""
        with self._lock:
            self._skew += by

    def today(self, site: Site) -> date:
        """Return the current day in the site's time zone."""
        return local_day(site.timezone, int(self.now().timestamp()))

    def first_day(self, site: Site) -> date:
        """Return the first day of which there may be visits: hits may be of a time before the site was made."""
        return min((site.created, *self.tracked.days(site)))

    def visits(self, site: Site, day: date, people: People | None = None) -> tuple[Visit, ...]:
        """Return the visits so far of a site's day, by last action; only those of `people`, if they are given."""
        modelled = self._modelled(site, day)
        if people is None:
            tracked = self.tracked.of_day(site, day)
        else:
            modelled = tuple(
                visit
                for visit in modelled
                if ("visitorId", visit.visitor.id) in people
                or ("userId", (visit.visitor.user_id or "").lower()) in people
            )
            tracked = self.tracked.of_people(site, day, people)
        if not tracked or not modelled:
            return tracked or modelled
        return tuple(sorted((*modelled, *tracked), key=lambda visit: (visit.last_at, visit.id)))

    def _modelled(self, site: Site, day: date) -> tuple[Visit, ...]:
        with self._lock:
            key = (site.id, day)
            today = self.today(site)
            if day > today:
                return ()
            visits = () if key in self._empty else self._invented(site, day, self._revisions.get(key, 0))
            added = self._added.get(key, ())
            if self._gone:
                visits = tuple(visit for visit in visits if visit.id not in self._gone)
            if day == today:
                now = int(self.now().timestamp())
                visits = tuple(visit for visit in visits if visit.last_at <= now)
            if added:
                visits = tuple(sorted((*visits, *added), key=lambda visit: (visit.last_at, visit.id)))
            return visits

    def commerce(self, site: Site, visit: Visit) -> list[Action]:
        """Return the orders and abandoned carts of the visit's visitor so far, in this and in other visits.

        Those of two weeks around the visit count, and those of visits that a test added, whenever they happened.
        """
        tracked = self.tracked.commerce(site, visit.visitor.id)
        if not site.ecommerce:
            return tracked
        with self._lock:
            around = [visit.day + timedelta(days=by) for by in range(-_COMMERCE_DAYS, _COMMERCE_DAYS + 1)]
            added = [day for site_id, day in self._added if site_id == site.id]
            return tracked + [
                action
                for day in dict.fromkeys([*around, *added])
                for action in self._commerce_of_day(site, day).get(visit.visitor.id, ())
            ]

    def _commerce_of_day(self, site: Site, day: date) -> Mapping[str, tuple[Action, ...]]:
        """Return orders and carts by visitor; from what is cached for all instances, unless a test changed the day."""
        key = (site.id, day)
        changed = key in self._revisions or key in self._empty or key in self._added or bool(self._gone)
        if changed or day >= self.today(site):
            return by_visitor(self._modelled(site, day))
        return commerce_of(self.world.seed, site, day)

    def change(self, site: Site, day: date, *, to_empty: bool = False) -> None:
        """Replace the day's visits by its next revision, or by none."""
        with self._lock:
            key = (site.id, day)
            self._added.pop(key, None)
            if to_empty:
                self._empty.add(key)
                return
            self._empty.discard(key)
            self._revisions[key] = self._revisions.get(key, 0) + 1

    def arrive(self, site: Site, count: int) -> tuple[Visit, ...]:
        """Add visits of one page view each that happen now."""
        with self._lock:
            now = int(self.now().timestamp())
            return tuple(self._arrive_one(site, now) for _ in range(count))

    def arrive_late(self, site: Site, day: date, count: int) -> tuple[Visit, ...]:
        """Add visits of one page view each to a past day, as late hits do, which have the day archived again."""
        with self._lock:
            noon = int(datetime.combine(day, time(12), zone(site.timezone)).timestamp())
            return tuple(self._arrive_one(site, noon + self._arrivals % 3600) for _ in range(count))

    def extend(self, site: Site, visit: Visit | int) -> Visit:
        """Add a page view that happens now; the visit moves to today, the day of its last action."""
        with self._lock:
            old = visit if isinstance(visit, Visit) else self._find(site, visit)
            if old.tracked is not None:
                raise LookupError(f"the visit {old.id} is one of hits: extend it by a hit")
            now = max(int(self.now().timestamp()), old.last_at + 1)
            day = local_day(site.timezone, now)
            before, last = old.actions[:-1], old.actions[-1]
            waited = replace(last, spent=now - last.at)
            page = pages_of(site)[old.id % len(pages_of(site))]
            seen = Action("action", now, page, last.position + 1, 0, Load((20, 300, 80, 400, 300, 20)))
            new = reassembled(old, (*before, waited, seen), day)
            self._remove(old)
            self._added.setdefault((site.id, day), []).append(new)
            return new

    def order(self, site: Site, visit: Visit) -> Visit:
        """Add a visit that happens now, in which the visitor of another visit places an order."""
        with self._lock:
            now = int(self.now().timestamp())
            self._arrivals += 1
            day = local_day(site.timezone, now)
            rng = Random(f"{self.world.seed}/{site.id}/order/{self._arrivals}")
            builder = VisitBuilder(site, rng, now - 60)
            builder.see(pages_of(site)[0])
            builder.order(day, self._arrivals)
            made = builder.visit(
                first_id(site, day) + ARRIVED_FROM + self._arrivals,
                visit.visitor,
                visit.referrer,
                day,
                visit_count=visit.visit_count + 1,
                since_first=visit.since_first + max(0, now - visit.first_at),
                since_last=max(0, now - visit.last_at),
                since_order=None,
            )
            made = moved(made, now - made.last_at)
            self._added.setdefault((site.id, day), []).append(made)
            return made

    def _arrive_one(self, site: Site, now: int) -> Visit:
        self._arrivals += 1
        rng = Random(f"{self.world.seed}/{site.id}/arrival/{self._arrivals}")
        day = local_day(site.timezone, now)
        builder = VisitBuilder(site, rng, now)
        builder.see(rng.choice(pages_of(site)[:20]))
        visit = builder.visit(
            first_id(site, day) + ARRIVED_FROM + self._arrivals,
            new_visitor(rng),
            REFERRERS.draw(rng),
            day,
            visit_count=1,
            since_first=0,
            since_last=0,
            since_order=None,
        )
        visit = moved(visit, now - visit.last_at)
        self._added.setdefault((site.id, day), []).append(visit)
        return visit

    def _remove(self, visit: Visit) -> None:
        self._gone.add(visit.id)
        for added in self._added.values():
            added[:] = [one for one in added if one.id != visit.id]

    def _find(self, site: Site, visit_id: int) -> Visit:
        for (site_id, _), added in self._added.items():
            for visit in added:
                if site_id == site.id and visit.id == visit_id:
                    return visit
        day = date(2020, 1, 1) + timedelta(days=visit_id // 1_000_000)
        for visit in self.visits(site, day):
            if visit.id == visit_id:
                return visit
        raise LookupError(f"site {site.id} has no visit {visit_id}")

    def _invented(self, site: Site, day: date, revision: int) -> tuple[Visit, ...]:
        key = (site.id, day, revision)
        found = self._days.get(key)
        if found is not None:
            self._days.move_to_end(key)
            return found
        visits = visits_of(self.world, site, day, revision)
        self._days[key] = visits
        self._kept += _weight(visits)
        while self._kept > _ACTIONS_KEPT and len(self._days) > 1:
            _, dropped = self._days.popitem(last=False)
            self._kept -= _weight(dropped)
        return visits


@lru_cache(maxsize=8192)
def commerce_of(seed: int, site: Site, day: date) -> Mapping[str, tuple[Action, ...]]:
    """Return the orders and abandoned carts of a day that no test changed, by visitor."""
    return by_visitor(visits_of(World((site,), seed=seed), site, day))


def by_visitor(visits: Iterable[Visit]) -> dict[str, tuple[Action, ...]]:
    """Return the orders and abandoned carts of some visits by visitor."""
    found: dict[str, tuple[Action, ...]] = {}
    for visit in visits:
        commerce = tuple(action for action in visit.conversions if action.kind != "goal")
        if commerce:
            found[visit.visitor.id] = found.get(visit.visitor.id, ()) + commerce
    return found


def _weight(visits: Iterable[Visit]) -> int:
    return 1 + sum(len(visit.actions) for visit in visits)
