"""The generator of visits: the same seed, site, day and revision always give the same visits."""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from itertools import accumulate
from random import Random

from fake_matomo import pools
from fake_matomo.pages import EVERYDAY_PAGES, Page, changed_page, pages_of
from fake_matomo.pools import CAMPAIGN, Event, Place, Referrer
from fake_matomo.sites import Site, World, day_bounds
from fake_matomo.visits import CONVERSIONS, COUNTED, Action, Detail, Item, Load, Order, Visit, Visitor

# A visit's id encodes day, site and a running number, so that no other day has to be generated first.
_FIRST_DAY = date(2020, 1, 1).toordinal()
_IDS_A_DAY = 1_000_000
_IDS_A_SITE = 10_000
# Where the running numbers start of visits of changed days, and of visits that arrive during a test.
_CHANGED_FROM = 4_000
ARRIVED_FROM = 8_000

# Page views of a visit: a fifth have one, few have more than ten.
_LENGTHS = tuple(accumulate((22, 16, 14, 11, 9, 7, 5, 4, 3, 3, 2, 2, 1, 1, 1)))
# One in four page views has no timings, as with browsers that do not report them.
_LOADS_SEED, _LOADS = 7, 512


@lru_cache(maxsize=1)
def _loads() -> tuple[Load, ...]:
    """Return a stock of page loads: drawing one is much cheaper than six random numbers for each page view."""
    rng = Random(_LOADS_SEED)
    return tuple(_load(rng) for _ in range(_LOADS))


def _load(rng: Random) -> Load:
    network, server, transfer = rng.randint(6, 80), rng.randint(40, 600), rng.randint(1, 200)
    processing, completion, on_load = rng.randint(50, 900), rng.randint(20, 900), rng.randint(1, 50)
    return Load((network, server, transfer, processing, completion, on_load))


@lru_cache(maxsize=64)
def _page_weights(site: Site) -> list[float]:
    count = min(EVERYDAY_PAGES, len(pages_of(site)))
    return list(accumulate(1 / (2 + rank) ** 0.7 for rank in range(count)))


def new_visitor(rng: Random, place: Place | None = None) -> Visitor:
    """Return a visitor who was never on the site before."""
    named = rng.random() < 0.08
    return Visitor(
        id=f"{rng.getrandbits(64):016x}",
        user_id=f"user-{rng.randrange(1000, 9999)}@example.com" if named else None,
        fingerprint=f"{rng.getrandbits(64):016x}",
        ip=f"{rng.randrange(11, 99)}.{rng.randrange(256)}.0.0",
        place=place or pools.PLACES.draw(rng),
        device=pools.DEVICES.draw(rng),
        plan=rng.choice(pools.PLANS),
    )


@lru_cache(maxsize=8192)
def _known_visitor(seed: int, site_id: int, number: int) -> Visitor:
    rng = Random(f"{seed}/{site_id}/visitor/{number}")
    known = new_visitor(rng)
    return Visitor(
        id=known.id,
        user_id=f"user-{number}@example.com" if rng.random() < 0.6 else None,
        fingerprint=known.fingerprint,
        ip=known.ip,
        place=known.place,
        device=known.device,
        plan=known.plan,
    )


def first_id(site: Site, day: date) -> int:
    """Return the number below the id of the day's first visit."""
    return (day.toordinal() - _FIRST_DAY) * _IDS_A_DAY + site.id * _IDS_A_SITE


def visits_of(world: World, site: Site, day: date, revision: int = 0) -> tuple[Visit, ...]:
    """Return the visits whose last action is on that day of the site, oldest first.

    Revision 0 is the original. In any other, about a third of its visits are gone, others are new, and there is
    a new country, page, campaign and event.
    """
    if day < site.created or day in site.no_visits_on:
        return ()
    visits = _Day(world, site, day, 0).visits(first_id(site, day) + 1)
    if revision:
        kept = _kept(world, site, day, revision, visits)
        changed = _Day(world, site, day, revision)
        visits = kept + changed.visits(first_id(site, day) + _CHANGED_FROM + 100 * (revision % 40))
    return tuple(sorted(visits, key=lambda visit: (visit.last_at, visit.id)))


def _kept(world: World, site: Site, day: date, revision: int, visits: Sequence[Visit]) -> list[Visit]:
    rng = Random(f"{world.seed}/{site.id}/{day}/kept/{revision}")
    # Without the day's rarest country, the country report loses at least one row.
    codes = [visit.visitor.place.code for visit in visits]
    gone = min(set(codes), key=lambda code: (codes.count(code), code), default="")
    return [visit for visit in visits if rng.random() < 0.7 and visit.visitor.place.code != gone]


class _Day:
    """Generates the visits of a site's day from one seed."""

    def __init__(self, world: World, site: Site, day: date, revision: int) -> None:
        self.world, self.site, self.day, self.revision = world, site, day, revision
        self.rng = Random(f"{world.seed}/{site.id}/{day}/{revision}")
        self.start, self.end = day_bounds(site.timezone, day)
        self.known = max(8, int(site.visits_per_day * 4))

    def visits(self, number: int) -> list[Visit]:
        """Return the visits, numbered from there on."""
        count = self._count()
        decks = self._decks(count)
        return [self._visit(number + index, index, decks[index]) for index in range(count)]

    def _count(self) -> int:
        rng, expected = self.rng, self.site.visits_per_day
        if expected <= 0:
            return 0
        if self.revision:
            return max(2, round(expected * rng.uniform(0.2, 0.45)))
        weekday = 0.75 if self.day.weekday() >= 5 else 1.0
        busy = 1.3 if self.day in self.site.busy_on else 1.0
        return max(1, round(expected * weekday * busy * rng.uniform(0.8, 1.2)))

    def _decks(self, count: int) -> list[Sequence[Page]]:
        """Return the pages of each visit; on a day with views of all pages, each is dealt once."""
        pages, rng = pages_of(self.site), self.rng
        if self.revision == 0 and (self.site.every_page_daily or self.day in self.site.busy_on):
            deck = list(pages)
            rng.shuffle(deck)
            share = -(-len(deck) // count)
            # On a busy day the everyday pages have more views, so that rows differ in their counts.
            return [deck[at * share : (at + 1) * share] or [pages[0]] for at in range(count)]
        weights = _page_weights(self.site)
        head = pages[: len(weights)]
        lengths = rng.choices(range(1, len(_LENGTHS) + 1), cum_weights=_LENGTHS, k=count)
        return [rng.choices(head, cum_weights=weights, k=length) for length in lengths]

    def _visitor(self, index: int) -> tuple[Visitor, int]:
        rng = self.rng
        if self.revision and index == 0:
            return new_visitor(rng, pools.RARE_PLACES[self.revision % len(pools.RARE_PLACES)]), 1
        if rng.random() < 0.62:
            return new_visitor(rng), 1
        known = _known_visitor(self.world.seed, self.site.id, rng.randrange(self.known))
        return known, rng.randrange(2, 14)

    def _begin(self, index: int) -> int:
        length = self.end - self.start
        if index < 2 and length != 86_400:
            # The clocks change at 2 or 3 o'clock: one visit on either side of it.
            return self.start + 9_000 + index * 3_600
        return self.start + int(self.rng.triangular(0, length, length * 0.6))

    def _visit(self, number: int, index: int, deck: Sequence[Page]) -> Visit:
        rng, site = self.rng, self.site
        visitor, visit_count = self._visitor(index)
        referrer = pools.REFERRERS.draw(rng)
        if self.revision and index == 0:
            referrer = Referrer(CAMPAIGN, f"relance {self.revision}", "rappel", None)
            deck = [changed_page(site, self.revision), *deck]
        builder = VisitBuilder(site, rng, self._begin(index))
        for page in deck:
            builder.see(page)
        if self.revision and index == 0:
            builder.add("event", Event("Révision", "vue", f"r{self.revision}", float(self.revision)))
        builder.convert(self.day, number)
        seconds_ago = 0 if visit_count == 1 else rng.randrange(3_600, 30 * 86_400)
        visit = builder.visit(
            number,
            visitor,
            referrer,
            self.day,
            visit_count=visit_count,
            since_first=seconds_ago + (rng.randrange(40 * 86_400) if visit_count > 2 else 0),
            since_last=seconds_ago,
            since_order=seconds_ago if visit_count > 1 and site.ecommerce and rng.random() < 0.2 else None,
        )
        if index % 31 == 3 and len(visit.actions) > 1:
            # This visit starts before midnight: its last action is in the first minutes of the day.
            return moved(visit, self.start + rng.randrange(30) - visit.last_at)
        return moved(visit, min(0, self.end - 1 - visit.last_at))


class VisitBuilder:
    """Builds a visit, action by action."""

    def __init__(self, site: Site, rng: Random, begin: int) -> None:
        self.site, self.rng, self.at = site, rng, begin
        self.position = 0
        self.page = pages_of(site)[0]
        self.drafts: list[tuple[str, int, Page, int, Detail, str | None]] = []

    def add(self, kind: str, detail: Detail = None, url: str | None = None) -> None:
        """Add an action on the current page, at the current time, and let some time pass."""
        self.drafts.append((kind, self.at, self.page, self.position, detail, url))
        self.at += 1 + int(self.rng.random() ** 2 * 280)

    def see(self, page: Page) -> None:
        """Add a page view, and sometimes another action on the page."""
        rng = self.rng
        self.page = page
        self.position += 1
        loads = _loads()
        index = int(rng.random() * len(loads) * 1.35)
        self.add("action", loads[index] if index < len(loads) else None)
        chance = rng.random()
        if chance < 0.10:
            self.add("event", pools.EVENTS.draw(rng))
        elif chance < 0.135:
            self.add("search", pools.SEARCHES.draw(rng))
        elif chance < 0.16:
            self.add("download", url=self.site.main_url + rng.choice(pools.DOWNLOADS))
        elif chance < 0.185:
            self.add("outlink", url=rng.choice(pools.OUTLINKS))
        elif chance < 0.205:
            target = f"{self.site.main_url}/produits"
            self.add("content", pools.Content("Bannière été", "/img/banner.jpg", target))

    def convert(self, day: date, number: int) -> None:
        """Add a goal, an order or an abandoned cart to some visits."""
        rng, site = self.rng, self.site
        if site.goals and rng.random() < 0.08:
            self.add("goal", rng.choice(site.goals))
        if not site.ecommerce or len(self.drafts) < 2:
            return
        chance = rng.random()
        if chance < 0.06:
            self.order(day, number)
        elif chance < 0.10:
            self.add("ecommerceAbandonedCart", _order(rng, None))

    def order(self, day: date, number: int) -> None:
        """Add an order."""
        self.add("ecommerceOrder", _order(self.rng, f"CMD-{day:%y%m%d}-{number % _IDS_A_SITE}"))

    def visit(  # noqa: PLR0913 - each is a field of the visit that follows from none of the others
        self,
        number: int,
        visitor: Visitor,
        referrer: Referrer,
        day: date,
        *,
        visit_count: int,
        since_first: int,
        since_last: int,
        since_order: int | None,
    ) -> Visit:
        """Return the visit."""
        actions = with_time_spent(self.drafts)
        return assemble(
            number=number,
            site_id=self.site.id,
            visitor=visitor,
            referrer=referrer,
            actions=actions,
            day=day,
            visit_count=visit_count,
            since_first=since_first,
            since_last=since_last,
            since_order=since_order,
        )


def with_time_spent(
    drafts: Sequence[tuple[str, int, Page, int, Detail, str | None]],
) -> tuple[Action, ...]:
    """Return actions with the seconds until the next one; the last has 0."""
    ends = [draft[1] for draft in drafts[1:]] + [drafts[-1][1]]
    return tuple(
        Action(kind, at, page, position, end - at, detail, url)
        for (kind, at, page, position, detail, url), end in zip(drafts, ends, strict=True)
    )


def assemble(  # noqa: PLR0913 - each is a field of the visit that follows from none of the others
    *,
    number: int,
    site_id: int,
    visitor: Visitor,
    referrer: Referrer,
    actions: tuple[Action, ...],
    day: date,
    visit_count: int,
    since_first: int,
    since_last: int,
    since_order: int | None,
) -> Visit:
    """Return a visit with everything that follows from its actions."""
    first, last = actions[0].at, actions[-1].at
    return Visit(
        id=number,
        site_id=site_id,
        visitor=visitor,
        referrer=referrer,
        actions=actions,
        first_at=first,
        last_at=last,
        # Matomo adds a second to the duration of every visit of more than one action.
        duration=last - first + 1 if last > first else 0,
        total_actions=sum(1 for action in actions if action.kind in COUNTED),
        interactions=sum(1 for action in actions if action.kind in ("action", "search")),
        conversions=tuple(action for action in actions if action.kind in CONVERSIONS),
        visit_count=visit_count,
        since_first=since_first,
        since_last=since_last,
        since_order=since_order,
        day=day,
    )


def reassembled(visit: Visit, actions: tuple[Action, ...], day: date) -> Visit:
    """Return the visit with other actions."""
    return assemble(
        number=visit.id,
        site_id=visit.site_id,
        visitor=visit.visitor,
        referrer=visit.referrer,
        actions=actions,
        day=day,
        visit_count=visit.visit_count,
        since_first=visit.since_first,
        since_last=visit.since_last,
        since_order=visit.since_order,
    )


def moved(visit: Visit, seconds: int) -> Visit:
    """Return the visit shifted by that many seconds."""
    if seconds == 0:
        return visit
    actions = tuple(
        Action(one.kind, one.at + seconds, one.page, one.position, one.spent, one.detail, one.url)
        for one in visit.actions
    )
    return reassembled(visit, actions, visit.day)


def _order(rng: Random, order_id: str | None) -> Order:
    products = rng.sample(pools.PRODUCTS, rng.choice((1, 1, 2, 3)))
    items = tuple(Item(product, rng.randrange(1, 5)) for product in products)
    subtotal = round(sum(item.product.price * item.quantity for item in items), 2)
    if order_id is None:
        return Order(None, items, subtotal, 0.0, 0.0, 0.0, subtotal)
    shipping = rng.choice((0.0, 4.9))
    discount = rng.choice((0.0, 0.0, 5.0))
    revenue = round(subtotal + shipping - discount, 2)
    return Order(order_id, items, subtotal, round(subtotal * 0.2, 2), shipping, discount, revenue)
