"""The recordings of a real Matomo, and a fake instance configured like the recorded one."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl

from fake_matomo import (
    TRACKER,
    FakeMatomo,
    Fault,
    Goal,
    Site,
    World,
    database_down,
    force_ssl,
    maintenance,
    out_of_memory,
    upgrade_required,
)
from tests.fake_matomo.exchanges import Exchanged, exchange
from tests.fake_matomo.sending import hits_of_each_kind, post

FOLDER = Path(__file__).parents[1] / "data" / "recordings"

# What was recorded but is answered otherwise, or not at all, and why. Everything else is served.
NOT_SERVED: Mapping[str, str] = {
    "aggregate_rows_*": "include_aggregate_rows: the project never requests rows that stand for other rows",
    "bulk_inner_other_token.json": "two users' tokens, recorded under one word",
    "bulk_format_*": "the fake renders JSON only",
    "bulk_token_outer_only.json": "the recorded days had but new, and but returning visits: test_generic has the rule",
    "day_Contents.*": "nothing was recorded that day, the fake has content: test_generic holds it to the metadata",
    "error_wrong_path.json": "the 403 of the recorded nginx; the fake answers 404 outside its mount point",
    "expanded_*": "expanded=1: the project reads flat reports",
    "format_csv_*": "the fake renders JSON only",
    "format_html_*": "the fake renders JSON only",
    "format_original_*": "the fake renders JSON only",
    "format_tsv_*": "the fake renders JSON only",
    "format_xml_*": "the fake renders JSON only",
    "live_offset_bug_*": "how many visits are lost depends on how many there are: test_live holds the rule",
    "m53_bulk_ranges.json": "Matomo 5.3 has the field hits, the fake is 5.2",
    "m53_cols_titles_full.json": "Matomo 5.3 writes the counts after a search as texts in each row, the fake is 5.2",
    "m53_goals_getGoals.json": "Matomo 5.3 keys a site's goals by id, the fake is 5.2: test_reference_rows has both",
    "m53_goals_days_*": "another instance, with other quiet days: test_generic compares the days that both have",
    "m53_live_lifetime_*": "an order was placed between the two, on another instance: test_commerce has the rule",
    "m53_seg_add.json": "the project saves no segment",
    "m53_seg_days_*": "another instance, with other quiet days: test_segments holds the rule",
    "m53_weeks_Actions.json": "Matomo 5.3 has the field hits, the fake is 5.2",
    "no_format_*": "the fake renders JSON only",
}


@dataclass(frozen=True, slots=True)
class Recording:
    """An exchange; `params` are those of URL and body."""

    name: str
    http_method: str
    path: str
    query: Mapping[str, str]
    form: Mapping[str, str]
    raw_body: str | None
    headers: Mapping[str, str]
    status: int
    content_type: str
    location: str | None
    body: str

    @property
    def params(self) -> dict[str, str]:
        """All parameters."""
        return {**self.form, **self.query}

    @property
    def method(self) -> str:
        """The API's method."""
        return self.params.get("method", "")

    @property
    def is_of_tracker(self) -> bool:
        """Whether it is a call of the tracker."""
        return self.path.endswith(TRACKER)

    @property
    def is_json(self) -> bool:
        """Whether the answer is JSON."""
        return "json" in self.content_type

    @property
    def answer(self) -> object:
        """The decoded answer."""
        return json.loads(self.body)


def read(name: str) -> Recording:
    """Read a recording by its file name."""
    raw = json.loads((FOLDER / name).read_text("utf-8"))
    request = raw["request"]
    params = {key: str(value) for key, value in (request.get("params") or {}).items()}
    query = {key: str(value) for key, value in (request.get("query") or {}).items()}
    get = request["http_method"] == "GET"
    return Recording(
        name=name,
        http_method=request["http_method"],
        path=request["path"],
        query=params if get else query,
        form={} if get else params,
        raw_body=request.get("raw_body"),
        headers=request.get("headers") or {},
        status=raw["status"],
        content_type=raw["headers"]["content-type"],
        location=raw["headers"].get("location"),
        body=raw["body"],
    )


def reason_not_served(name: str) -> str | None:
    """Return why the fake does not answer like this recording, or None."""
    return next((reason for pattern, reason in NOT_SERVED.items() if fnmatch(name, pattern)), None)


@cache
def all_recordings() -> tuple[Recording, ...]:
    """Return every recording."""
    return tuple(read(path.name) for path in sorted(FOLDER.glob("*.json")))


@cache
def served() -> tuple[Recording, ...]:
    """Return the recordings that the fake must answer like."""
    return tuple(one for one in all_recordings() if reason_not_served(one.name) is None)


_DAY = date(2026, 11, 12)
_TODAY = date(2026, 11, 21)
VIEW, VIEW_ONE, SUPER, NOBODY, SECURE, EXPIRED = (f"{number:x}" * 32 for number in range(1, 7))


def recorded_world() -> World:
    """Return the recorded world, at 23:20 UTC, which is 00:20 of the next day in Paris."""
    quiet = frozenset({date(2026, 11, 3), date(2026, 11, 4)}) | frozenset(date(2026, 10, day) for day in range(6, 11))
    return World(
        sites=(
            Site(
                id=1,
                name="Boutique Été & Co",
                timezone="Europe/Paris",
                currency="EUR",
                created=date(2026, 10, 6),
                visits_per_day=62,
                pages=620,
                ecommerce=True,
                goals=(Goal(1, "Newsletter", 2.5), Goal(2, "Contact, “form”", 12.5)),
                no_visits_on=quiet,
                busy_on=frozenset({date(2026, 11, 13)}),
                main_url="https://shop.example.org",
            ),
            Site(
                id=2,
                name='Docs "UTC"',
                timezone="UTC",
                currency="USD",
                created=date(2026, 10, 6),
                visits_per_day=5,
                goals=(Goal(1, "Signup", 1.0),),
                no_visits_on=quiet,
                main_url="https://docs.example.net",
            ),
            Site(
                id=3,
                name="No visits, New York",
                timezone="America/New_York",
                currency="USD",
                created=date(2026, 11, 10),
                visits_per_day=0,
                main_url="https://empty.example.com",
            ),
        ),
        now=datetime(2026, 11, 20, 23, 20, tzinfo=UTC),
    )


@contextmanager
def recorded_instance() -> Iterator[FakeMatomo]:
    """Run a fake instance like the recorded one, with its users."""
    with FakeMatomo(recorded_world(), token=VIEW) as matomo:
        matomo.tokens.add(VIEW, sites={1, 2})
        matomo.add_token(VIEW_ONE, sites={1})
        matomo.add_token(SUPER, superuser=True)
        matomo.add_token(NOBODY, sites=())
        matomo.add_token(SECURE, sites={1, 2}, secure_only=True)
        matomo.add_token(EXPIRED, sites={1, 2}, expired=True)
        matomo.version = "5.2.0-b5"
        yield matomo


# Which user's token stands behind the word TOKEN; the first pattern that fits. All others are VIEW's.
_TOKENS: Mapping[str, str] = {
    "*_view1.json": VIEW_ONE,
    "error_no_access_site.json": VIEW_ONE,
    "track_cdt_old_view_token.json": VIEW,
    "trackbulk_view_token.json": VIEW,
    "track*": SUPER,
    "*_super.json": SUPER,
    "meta_Goals.getGoals_none.json": SUPER,
    "site3_*": SUPER,
    "sites_getSiteFromId_unknown.json": SUPER,
    "error_module_missing_token_only.json": SUPER,
    "sites_getSitesWithAtLeastViewAccess_none.json": NOBODY,
    "version_no_access_user.json": NOBODY,
    "*token_secure_*": SECURE,
    "bulk_secure_only_token.json": SECURE,
    "error_only_allow_secure_auth_tokens_get.json": SECURE,
    "error_expired_token.json": EXPIRED,
}


def token_of(name: str) -> str:
    """Return the token that a recording was made with."""
    return next((token for pattern, token in _TOKENS.items() if fnmatch(name, pattern)), VIEW)


Setup = Callable[[FakeMatomo], object]


def _unprocess(*days: date) -> Setup:
    def setup(matomo: FakeMatomo) -> None:
        for day in days:
            matomo.unprocess(1, day)

    return setup


def _block(matomo: FakeMatomo) -> None:
    for _ in range(21):
        exchange(matomo, "POST", {"module": "API", "method": "API.getMatomoVersion"}, {"token_auth": "bad"})


def _segments_without_archive(matomo: FakeMatomo) -> None:
    matomo.unprocess(1, _DAY)
    matomo.api.archives.enforced_for_segments = False


def _unprocess_segments(matomo: FakeMatomo) -> None:
    matomo.unprocess_segment("deviceType==smartphone")
    matomo.unprocess_segment("browserCode==FF")


def _save_segments(matomo: FakeMatomo) -> None:
    for name, definition in (("France", "countryCode==fr"), ("Not archived", "browserCode==FF")):
        matomo.save_segment(name, definition, auto_archive=name == "France")
    matomo.save_segment("Combined", "countryCode==fr;deviceType==smartphone")
    matomo.save_segment("Site 1 only", "visitConverted==1", only_site=1, auto_archive=False)
    matomo.save_segment("Téléphones", "deviceType==smartphone")


def _iceland(matomo: FakeMatomo) -> None:
    """Add a visit from Iceland, which the third change of a day brings."""
    for _ in range(3):
        matomo.change(1, date(2026, 10, 20))


def _order(matomo: FakeMatomo) -> None:
    """Send the recorded order, and then the cart with which the visit stood when it was sent again."""
    for name in ("track_order.json", "track_cart.json"):
        replay(matomo, read(name))


def _each_kind(matomo: FakeMatomo) -> None:
    """Send the hits of the recorded visit."""
    post(matomo, hits_of_each_kind(), SUPER)


def _fault(fault: Fault) -> Setup:
    return lambda matomo: matomo.faults.add(fault)


_WEEK = [date(2026, 11, 9) + timedelta(days=at) for at in range(7)]

# What the recorded instance went through before; every pattern that fits is applied.
_BEFORE: Mapping[str, Setup] = {
    "bruteforce_*": _block,
    "date_today_*": lambda matomo: matomo.arrive(1, 16),
    "down_database_*": _fault(database_down()),
    "down_database_unreachable_tracker.json": _fault(database_down(Fault(method=TRACKER))),
    "down_maintenance_*": _fault(maintenance()),
    "down_php_*": _fault(out_of_memory()),
    "down_upgrade_*": _fault(upgrade_required()),
    "late_2_live_*": _iceland,
    "last7_*": _unprocess(_TODAY),
    "late_[67]_*": lambda matomo: matomo.arrive(1, 16),
    "limit_default_config_5.json": lambda matomo: setattr(matomo, "default_limit", 5),
    "live_disabled.json": lambda matomo: matomo.disable_visitor_log(),
    "live_paging_*": lambda matomo: matomo.arrive(1, 16),
    "m53_live_pv_id.json": _each_kind,
    "m53_seg_*_not_archived.json": _unprocess_segments,
    "m53_seg_getAll.json": _save_segments,
    "live_today_*": lambda matomo: matomo.arrive(1, 13),
    "range_into_future.json": _unprocess(_TODAY),
    "redirect_*": _fault(force_ssl()),
    "track*": lambda _: None,
    "track_order_again.json": _order,
    "track_record_statistics_0.json": lambda matomo: setattr(matomo, "record_statistics", False),
    "unprocessed_no_archive_[drw]*": _unprocess(*_WEEK),
    "unprocessed_no_archive_segment_day.json": _segments_without_archive,
    "unprocessed_segment_*": _unprocess(*_WEEK),
    "unprocessed_today_*": _unprocess(_TODAY),
}


def needs_own_instance(recording: Recording) -> bool:
    """Whether the exchange changes the instance or needs it in a special state; failed logins add up."""
    return recording.status != 200 or any(fnmatch(recording.name, pattern) for pattern in _BEFORE)


def prepare(matomo: FakeMatomo, name: str) -> None:
    """Bring the fake into the state that the recorded instance was in."""
    for pattern, setup in _BEFORE.items():
        if fnmatch(name, pattern):
            setup(matomo)


def _visit_with(matomo: FakeMatomo, kind: str) -> int:
    """Return the id of a visit with such an action."""
    kind = "content" if kind == "13" else kind
    days = (date(2026, 10, 11) + timedelta(days=at) for at in range(40))
    return next(visit.id for day in days for visit in matomo.visits(1, day) if visit.count(kind))


def inner_params(recording: Recording) -> list[dict[str, str]]:
    """Return the parameters of the inner calls that have an entry in the answer of a bulk request."""
    outer = {key: value for key, value in recording.params.items() if not key.startswith("urls")}
    calls = [outer | dict(parse_qsl(url)) for key, url in recording.params.items() if key.startswith("urls[")]
    calls = [call for call in calls if call.get("method") != "API.getBulkRequest"]
    return calls[int(outer.get("filter_offset", 0)) :]


def replay(matomo: FakeMatomo, recording: Recording) -> Exchanged:
    """Send the recorded request to the fake, with the token that TOKEN stands for."""
    token = token_of(recording.name)

    def filled(text: str) -> str:
        return re.sub(r"\bTOKEN\b", token, text)

    form = {key: filled(value) for key, value in recording.form.items()}
    if kind := re.fullmatch(r"live_one_(?:visit_with_(\w+)|rich_visit)\.json", recording.name):
        form["segment"] = f"visitId=={_visit_with(matomo, kind[1] or 'action')}"
    return exchange(
        matomo,
        recording.http_method,
        {key: filled(value) for key, value in recording.query.items()},
        form if recording.raw_body is None else filled(recording.raw_body),
        {key: filled(value) for key, value in recording.headers.items()},
        recording.path,
    )
