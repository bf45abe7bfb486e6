"""The sites of the fake instance, and the world that they are in."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from zoneinfo import ZoneInfo

CURRENCIES = {
    "EUR": ("€", "Euro"),
    "USD": ("$", "US Dollar"),
    "GBP": ("£", "British Pound"),
    "INR": ("₹", "Indian Rupee"),
    "NZD": ("NZ$", "New Zealand Dollar"),
    "JPY": ("¥", "Japanese Yen"),
}

TIMEZONE_NAMES = {
    "Europe/Paris": "France",
    "UTC": "UTC",
    "America/New_York": "United States - New York",
    "Asia/Kolkata": "India",
    "Pacific/Auckland": "New Zealand - Auckland",
}


# The answer of `CustomDimensions.getConfiguredCustomDimensions` for a site that has them.
CUSTOM_DIMENSIONS: tuple[dict[str, object], ...] = tuple(
    {
        "idcustomdimension": str(number),
        "idsite": "1",
        "name": name,
        "index": index,
        "scope": scope,
        "active": active,
        "extractions": [],
        "case_sensitive": True,
    }
    for number, name, index, scope, active in (
        (1, "Plan", "1", "visit", True),
        (2, "Author", "1", "action", True),
        (3, "Abo-Art", "2", "visit", False),
    )
)


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal of a site, with its revenue per conversion; a visit converts it once, unless it allows several."""

    id: int
    name: str
    revenue: float = 0.0
    allow_multiple: bool = False

    def described(self, site_id: int) -> dict[str, object]:
        """Return the goal as in `Goals.getGoals`."""
        return {
            "idsite": site_id,
            "idgoal": self.id,
            "name": self.name,
            "description": "",
            "match_attribute": "manually",
            "allow_multiple": int(self.allow_multiple),
            "revenue": int(self.revenue) if self.revenue == int(self.revenue) else self.revenue,
            "deleted": 0,
            "event_value_as_revenue": 0,
        }


@dataclass(frozen=True, slots=True)
class Site:
    """A site: its configuration, and how much traffic it has.

    `pages` is the number of distinct URLs. On a usual day about the first forty of them have views; on the days
    in `busy_on`, and every day with `every_page_daily`, all of them do. Pages past the fortieth are in folders of
    eighty, or without `folders` at the top level, where Matomo's limit of 500 rows cuts them.
    """

    id: int
    name: str
    timezone: str = "UTC"
    currency: str = "EUR"
    created: date = date(2021, 1, 1)
    visits_per_day: float = 20.0
    pages: int = 40
    ecommerce: bool = False
    goals: tuple[Goal, ...] = ()
    no_visits_on: frozenset[date] = field(default_factory=frozenset)
    busy_on: frozenset[date] = field(default_factory=frozenset)
    main_url: str = "https://www.example.org"
    every_page_daily: bool = False
    folders: bool = True

    def described(self) -> dict[str, object]:
        """Return the site as in `SitesManager.getSiteFromId`."""
        shop = self.ecommerce
        return {
            "idsite": self.id,
            "name": self.name,
            "main_url": self.main_url,
            "ts_created": f"{self.created} 00:00:00",
            "ecommerce": int(shop),
            "sitesearch": 1,
            "sitesearch_keyword_parameters": "q,s" if shop else "",
            "sitesearch_category_parameters": "cat" if shop else "",
            "timezone": self.timezone,
            "currency": self.currency,
            "exclude_unknown_urls": 0,
            "excluded_ips": "",
            "excluded_parameters": "",
            "excluded_user_agents": "",
            "excluded_referrers": "",
            "group": "",
            "type": "website",
            "keep_url_fragment": 0,
            "timezone_name": TIMEZONE_NAMES.get(self.timezone, self.timezone),
            "currency_name": self.currency_name,
        }

    @property
    def has_custom_dimensions(self) -> bool:
        """Whether custom dimensions are configured, which they are on site 1 only."""
        return self.id == 1

    @property
    def currency_symbol(self) -> str:
        """The symbol of the site's currency."""
        return CURRENCIES.get(self.currency, (self.currency, self.currency))[0]

    @property
    def currency_name(self) -> str:
        """The English name of the site's currency."""
        return CURRENCIES.get(self.currency, (self.currency, self.currency))[1]


@dataclass(frozen=True, slots=True)
class World:
    """The sites, and a fixed current time; `now=None` is the real clock."""

    sites: tuple[Site, ...]
    now: datetime | None = None
    seed: int = 0

    def site(self, site_id: int) -> Site | None:
        """Return the site with that id, or None."""
        return next((site for site in self.sites if site.id == site_id), None)


@lru_cache(maxsize=64)
def zone(name: str) -> ZoneInfo:
    """Return the time zone of that name."""
    return ZoneInfo(name)


@lru_cache(maxsize=8192)
def day_bounds(timezone: str, day: date) -> tuple[int, int]:
    """Return the Unix times at which a local day and the next one start, 23 to 25 hours apart."""
    tz = zone(timezone)
    following = day + timedelta(days=1)
    start = datetime(day.year, day.month, day.day, tzinfo=tz)
    end = datetime(following.year, following.month, following.day, tzinfo=tz)
    return int(start.timestamp()), int(end.timestamp())


def local_day(timezone: str, at: int) -> date:
    """Return the local calendar day of a Unix time."""
    return datetime.fromtimestamp(at, zone(timezone)).date()


def _days_of(years: Iterable[int], *, month_days: Iterable[tuple[int, int]]) -> frozenset[date]:
    pairs = tuple(month_days)
    return frozenset(date(year, month, day) for year in years for month, day in pairs)


def _quiet_days(seed: str, years: Iterable[int]) -> frozenset[date]:
    """Return about one day in forty, never a busy one."""
    rng = Random(seed)
    days = (date(year, 1, 1) + timedelta(days=offset) for year in years for offset in range(365))
    return frozenset(day for day in days if rng.random() < 0.025 and day.day != 13)


def default_world(now: datetime | None = None) -> World:
    """Return the demo's five sites, in five time zones; the third has no visits."""
    latest = (now or datetime.now(UTC)).year + 1
    years = range(2021, latest + 1)
    busy = _days_of(years, month_days=[(month, 13) for month in range(1, 13)])
    closed = _days_of(years, month_days=[(11, 3), (11, 4)])
    return World(
        sites=(
            Site(
                id=1,
                name="Boutique Été & Co",
                timezone="Europe/Paris",
                currency="EUR",
                created=date(2021, 10, 6),
                visits_per_day=60,
                pages=640,
                ecommerce=True,
                goals=(Goal(1, "Newsletter", 2.5), Goal(2, "Contact, “form”")),
                no_visits_on=closed,
                busy_on=busy,
                main_url="https://shop.example.org",
            ),
            Site(
                id=2,
                name='Docs "UTC"',
                timezone="UTC",
                currency="USD",
                created=date(2021, 10, 6),
                visits_per_day=12,
                pages=620,
                goals=(Goal(1, "Signup", 1.0),),
                no_visits_on=_quiet_days("docs", years),
                busy_on=_days_of(years, month_days=[(3, 13), (6, 13), (9, 13), (11, 13), (12, 13)]),
                main_url="https://docs.example.net",
                folders=False,
            ),
            Site(
                id=3,
                name="No visits, New York",
                timezone="America/New_York",
                currency="USD",
                created=date(2022, 11, 10),
                visits_per_day=0,
                pages=1,
                main_url="https://empty.example.com",
            ),
            Site(
                id=4,
                name="Bazaar",
                timezone="Asia/Kolkata",
                currency="INR",
                created=date(2022, 3, 1),
                visits_per_day=18,
                pages=40,
                ecommerce=True,
                goals=(Goal(1, "Call back", 50.0),),
                no_visits_on=_quiet_days("bazaar", years),
                main_url="https://bazaar.example.in",
            ),
            Site(
                id=5,
                name="Kiwi Journal",
                timezone="Pacific/Auckland",
                currency="NZD",
                created=date(2023, 5, 20),
                visits_per_day=9,
                pages=60,
                no_visits_on=_quiet_days("kiwi", years),
                main_url="https://journal.example.nz",
            ),
        ),
        now=now,
    )
