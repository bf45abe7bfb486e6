"""Visits built from hits, as they stand in the visits log."""

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from fake_matomo import FakeMatomo, Goal, Visit
from fake_matomo.hits import user_hash
from fake_matomo.tracked_visits import TrackedVisit
from tests.fake_matomo.client import small_world, visits
from tests.fake_matomo.recorded import read
from tests.fake_matomo.sending import ITEM, VISITOR, hit, hits_of_each_kind, send

DAY = "2026-11-19"
ITEMS = json.dumps([ITEM])
# Of the recorded visit: ids, the icons of its instance, its goal's name, and what depends on the salt of the instance.
OF_THE_INSTANCE = {
    *("idVisit", "fingerprint", "siteName", "operatingSystemIcon", "browserIcon", "countryFlag", "pluginsIcons"),
    *("pageId", "pageIdAction"),
}


@pytest.fixture
def shop() -> Iterator[FakeMatomo]:
    """Run a shop without modelled traffic, with a goal that a visit converts once and one without that limit."""
    goals = (Goal(1, "Newsletter", 2.5), Goal(2, "Contact", 0.0, allow_multiple=True))
    with FakeMatomo(small_world(visits_per_day=0, goals=goals)) as matomo:
        yield matomo


def at(clock: str, day: str = DAY, **params: Any) -> str:
    """Return a hit at a time of the day in UTC; the site is an hour ahead."""
    return hit(cdt=f"{day} {clock}", **params)


def log(matomo: FakeMatomo, **params: Any) -> list[dict[str, Any]]:
    """Return all visits, oldest first."""
    wanted = {"period": "range", "date": "2026-11-01,2026-11-20", "filter_limit": -1, "filter_sort_order": "asc"}
    return visits(matomo, **{**wanted, **params})


def only(matomo: FakeMatomo) -> dict[str, Any]:
    (visit,) = log(matomo)
    return visit


def types(visit: dict[str, Any]) -> list[Any]:
    return [action["type"] for action in visit["actionDetails"]]


def test_a_visit_of_every_kind_of_hit_is_the_recorded_one(shop: FakeMatomo) -> None:
    """m53_live_pv_id, value by value, apart from what is the instance's own."""
    send(shop, *hits_of_each_kind("2026-11-20 11"))
    shift = 2 * 3600
    answer = read("m53_live_pv_id.json").answer
    assert isinstance(answer, list)
    recorded: dict[str, Any] = answer[0]
    got = only(shop)
    assert differing(recorded, got) == {
        "lastActionTimestamp": -shift,
        "serverTimestamp": -shift,
        "firstActionTimestamp": -shift,
        **dict.fromkeys(("lastActionDateTime", "serverTimePretty", "serverTimePrettyFirstAction"), None),
        **dict.fromkeys(("visitServerHour", "visitLocalTime", "visitLocalHour", "actionDetails"), None),
    }
    for one, other in zip(recorded["actionDetails"], got["actionDetails"], strict=True):
        assert differing(one, other) == {"timestamp": -shift, "serverTimePretty": None}


def differing(recorded: dict[str, Any], got: dict[str, Any]) -> dict[str, int | None]:
    """Return the fields that differ, with the difference where it is that of integers."""
    assert list(recorded) == list(got) or set(recorded) == set(got)
    names = [name for name in recorded if recorded[name] != got[name] and name not in OF_THE_INSTANCE]
    return {name: got[name] - recorded[name] if isinstance(got[name], int) else None for name in names}


def test_a_visit_ends_after_half_an_hour_without_an_action(shop: FakeMatomo) -> None:
    """Exactly half an hour is too long; the second visit knows of the first."""
    send(shop, at("08:00:00"), at("08:29:59"), at("08:59:59"), at("09:00:00"))
    first, second = log(shop)
    assert (first["actions"], second["actions"]) == (2, 2)
    assert (first["visitorType"], second["visitorType"]) == ("new", "returning")
    assert (second["visitCount"], second["secondsSinceLastVisit"]) == (2, 1800)
    assert second["secondsSinceFirstVisit"] == 3599
    assert (first["visitDuration"], second["visitDuration"]) == (1800, 2)


def test_a_visit_ends_at_midnight_of_the_site(shop: FakeMatomo) -> None:
    """Which is at 23:00 UTC in Paris; the next midnight, of UTC, is none."""
    send(shop, at("22:59:50"), at("23:00:10"))
    send(
        shop,
        at("23:59:50", _id="b" * 16, cip="81.2.69.143"),
        at("00:00:10", "2026-11-20", _id="b" * 16, cip="81.2.69.143"),
    )
    assert sorted(visit["actions"] for visit in log(shop)) == [1, 1, 2]


@pytest.mark.parametrize(
    ("second", "count", "campaign"),
    [
        ({}, 1, "spring"),
        ({"url": "https://shop.example.org/?utm_campaign=Spring"}, 1, "spring"),
        ({"url": "https://shop.example.org/?mtm_campaign=summer"}, 2, "summer"),
        ({"url": "https://shop.example.org/?utm_campaign=spring&utm_term=shoes"}, 2, "spring"),
        ({"utm_campaign": "autumn"}, 2, "autumn"),
        ({"urlref": "https://news.example.com/a"}, 1, "spring"),
        ({"new_visit": 1}, 2, ""),
    ],
)
def test_another_campaign_begins_a_visit(shop: FakeMatomo, second: dict[str, Any], count: int, campaign: str) -> None:
    """Another website does not (create_new_visit_when_website_referrer_changes=0); `new_visit` always does."""
    send(shop, at("08:00:00", url="https://shop.example.org/?utm_campaign=spring"), at("08:01:00", **second))
    found = log(shop)
    assert len(found) == count
    assert found[-1]["referrerName"] == campaign


def test_a_campaign_without_a_keyword_keeps_the_one_of_its_first_page(shop: FakeMatomo) -> None:
    """Which is the host that linked to it: the next page has another referrer, and is in the same visit."""
    url = "https://shop.example.org/?utm_campaign=spring"
    send(shop, at("08:00:00", url=url, urlref="https://news.example.com/a"), at("08:01:00", url=url))
    assert only(shop)["referrerKeyword"] == "news.example.com"


def test_a_direct_visit_takes_over_the_campaign_of_a_later_hit(shop: FakeMatomo) -> None:
    """It was sent late, says Matomo, and begins no visit."""
    send(shop, at("08:00:00"), at("08:01:00", url="https://shop.example.org/?pk_campaign=Late&pk_kwd=Key"))
    visit = only(shop)
    found = (visit["referrerType"], visit["referrerName"], visit["referrerKeyword"])
    assert found == ("campaign", "late", "key")
    assert visit["actionDetails"][1]["url"] == "https://shop.example.org/"


@pytest.mark.parametrize(
    ("urlref", "kind", "name", "keyword"),
    [
        ("https://www.google.com/", "search", "Google", "Keyword not defined"),
        ("https://www.bing.com/search?q=red+Shoes", "search", "Bing", "red shoes"),
        ("https://www.linkedin.com/feed", "social", "LinkedIn", ""),
        ("https://News.example.com/a?b=c", "website", "news.example.com", ""),
        ("https://shop.example.org/other", "direct", "", ""),
        ("no url", "direct", "", ""),
    ],
)
def test_where_a_visit_came_from(shop: FakeMatomo, urlref: str, kind: str, name: str, keyword: str) -> None:
    """By the host of `urlref`: search engine, network, another website, or the site itself."""
    send(shop, at("08:00:00", urlref=urlref))
    visit = only(shop)
    assert (visit["referrerType"], visit["referrerName"], visit["referrerKeyword"]) == (kind, name, keyword)
    assert visit["referrerUrl"] == (None if kind == "direct" else urlref)


def test_visitors_of_one_client_are_one_to_matomo_unless_their_id_is_forced(shop: FakeMatomo) -> None:
    """`_id` alone does not keep Matomo from finding the visit of another visitor of the same address and browser.

    Its default is `trust_visitors_cookies=0`. The visit has the id of the hit that came last.
    """
    send(shop, at("08:00:00", _id="a" * 16), at("08:01:00", _id="b" * 16), at("08:02:00", _id=None))
    assert (only(shop)["visitorId"], only(shop)["actions"]) == ("b" * 16, 3)
    send(shop, at("08:03:00", _id=None, cid="c" * 16), at("08:04:00", _id="d" * 16, cip="81.2.69.143"))
    assert [visit["visitorId"] for visit in log(shop)] == ["b" * 16, "c" * 16, "d" * 16]
    # A visit that begins all the same is one of the visitor that was recognised.
    send(shop, at("08:05:00", _id="e" * 16, cip="81.2.69.143", new_visit=1))
    assert [visit["visitorId"] for visit in log(shop)][3:] == ["d" * 16]


def test_a_user_id_makes_the_visitor_id(shop: FakeMatomo) -> None:
    """Matomo hashes it, and gives a visit that began without one the new id; users do not share visits."""
    send(shop, at("08:00:00"), at("08:01:00", uid="zoe@example.com"), at("08:02:00", uid="ali@example.com"))
    first, second = log(shop)
    assert (first["userId"], first["visitorId"]) == ("zoe@example.com", user_hash("zoe@example.com"))
    assert (second["userId"], second["visitorId"]) == ("ali@example.com", user_hash("ali@example.com"))
    assert (first["actions"], second["actions"]) == (2, 1)


def test_hits_are_in_the_log_by_their_time(shop: FakeMatomo) -> None:
    """One that comes late is put where it belongs, and neither moves the visit's end nor gets time spent before it."""
    send(shop, at("08:00:00", pv_id="first"), at("08:10:00", pv_id="third"), at("08:05:00", pv_id="second"))
    visit = only(shop)
    assert [action["idpageview"] for action in visit["actionDetails"]] == ["first", "second", "third"]
    assert visit["lastActionDateTime"] == f"{DAY} 08:10:00"
    assert [action["pageviewPosition"] for action in visit["actionDetails"]] == [1, 3, 2]


def test_of_one_second_conversions_come_first(shop: FakeMatomo) -> None:
    """Then the actions as they arrived."""
    send(
        shop,
        at("08:00:00"),
        at("08:00:00", e_c="c", e_a="a"),
        at("08:00:00", idgoal=2),
        at("08:00:00", ec_id="1", idgoal=0),
    )
    assert types(only(shop)) == ["ecommerceOrder", "goal", "action", "event"]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"pv_id": "abcdef0123"}, {"idpageview": "abcdef"}),
        ({"pv_id": None}, {"idpageview": ""}),
        ({"e_c": "Cat", "e_a": "Act"}, {"type": "event", "eventCategory": "Cat"}),
        ({"e_c": "Cat"}, {"type": "action"}),
        ({"e_c": "Cat", "e_a": "Act", "e_v": "1,5"}, {"eventValue": 1.5}),
        ({"e_c": "Cat", "e_a": "Act", "search": "shoes"}, {"type": "event"}),
        ({"e_c": "Cat", "e_a": "Act", "download": "https://shop.example.org/f.zip"}, {"type": "download"}),
        ({"e_c": " ", "e_a": "Act", "link": "https://other.example.com/"}, {"type": "outlink"}),
        ({"search": "shoes"}, {"type": "search", "siteSearchCategory": "", "siteSearchCount": None}),
        ({"search": "shoes", "search_count": 0}, {"siteSearchCount": 0}),
        ({"url": "https://shop.example.org/find?q=red+shoes&cat=women"}, {"siteSearchKeyword": "red shoes"}),
        ({"c_n": "Ad", "c_i": "click"}, {"type": 13, "contentInteraction": "click", "contentPiece": None}),
        ({"url": "https://Shop.example.org/a?x=1&utm_source=n&gclid=2#top"}, {"url": "https://shop.example.org/a?x=1"}),
        ({"url": None, "action_name": "No URL"}, {"type": "action", "url": None, "title": "No URL"}),
        ({"dimension2": " Zoé "}, {"dimension2": "Zoé"}),
        ({"_pkc": "Shoes"}, {"productViewCategories": ["Shoes"]}),
        ({"idgoal": 1}, {"type": "goal", "goalName": "Newsletter", "revenue": 2.5, "idpageview": None}),
        ({"idgoal": 1, "revenue": 7}, {"revenue": 7, "subtitle": "Newsletter (€7 revenue)"}),
        ({"idgoal": 2, "_rcn": "Mail", "_rck": "Top"}, {"referrerType": "campaign", "referrerName": "mail"}),
        ({"idgoal": 1, "e_c": "Cat", "e_a": "Act"}, {"type": "goal"}),
        ({"idgoal": 0, "ec_id": "0", "revenue": 5}, {"type": "ecommerceAbandonedCart", "revenue": 5}),
        (
            {"cvar": '{"2": ["Size", "XL"], "9": ["x", "y"]}'},
            {"customVariables": {"2": {"customVariablePageName2": "Size", "customVariablePageValue2": "XL"}}},
        ),
    ],
)
def test_the_action_of_a_hit(shop: FakeMatomo, params: dict[str, Any], expected: dict[str, Any]) -> None:
    """A hit has one action: of several, Matomo takes the goal, then download, outlink, event, content, search, page."""
    assert send(shop, at("08:00:00", **params)) == [1, 0]
    (action,) = only(shop)["actionDetails"]
    assert {name: action[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"dimension1": "pro"}, {"dimension1": "pro"}),
        ({"dimension1": ""}, {"dimension1": ""}),
        ({"lang": "de"}, {"languageCode": "de", "countryCode": "de", "country": "Germany"}),
        ({"lang": "en-GB,en;q=0.9"}, {"languageCode": "en-gb", "countryCode": "gb"}),
        ({"lang": None}, {"languageCode": "", "countryCode": "xx", "country": "Unknown"}),
        ({"country": "nl"}, {"countryCode": "nl", "country": "Netherlands", "continentCode": "eur"}),
        ({"cip": "2001:db8:85a3:8d3::1"}, {"visitIp": "2001:db8:85a3::"}),
        ({"res": None, "cookie": None}, {"resolution": "unknown", "plugins": "", "pluginsIcons": None}),
        ({"h": 23, "m": 5, "s": 9}, {"visitLocalTime": "23:05:09", "visitLocalHour": "23"}),
        ({"h": 99}, {"visitLocalTime": "00:00:00"}),
        (
            {"_cvar": '{"1": ["Type", "B2B"]}'},
            {"customVariables": {"1": {"customVariableName1": "Type", "customVariableValue1": "B2B"}}},
        ),
        ({"uid": "zoe@example.com"}, {"userId": "zoe@example.com"}),
        (
            {"ua": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1"},
            {"deviceType": "Smartphone", "operatingSystem": "iOS 17.5", "browser": "Mobile Safari 17.5"},
        ),
        (
            {"ua": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/126.0.0.0 Safari/537.36 Edg/125.0.0.0"},
            {"deviceType": "Desktop", "operatingSystem": "Windows 10", "browser": "Microsoft Edge 125.0"},
        ),
        (
            {
                "ua": "Mozilla/5.0 (Linux; Android 10; K) Chrome/126.0.0.0 Mobile Safari/537.36",
                "uadata": '{"platform": "Android", "platformVersion": "14.0.0", "model": "SM-S918B", "mobile": true}',
            },
            {"operatingSystem": "Android 14", "deviceModel": "SM-S918B", "browser": "Chrome Mobile 126.0"},
        ),
        ({"ua": "curl/8.0"}, {"deviceType": "Unknown", "browserName": "Unknown"}),
    ],
)
def test_what_a_visit_has_from_its_hits(shop: FakeMatomo, params: dict[str, Any], expected: dict[str, Any]) -> None:
    """Device, language, place, times and dimensions."""
    assert send(shop, at("08:00:00", **params)) == [1, 0]
    visit = only(shop)
    assert {name: visit[name] for name in expected} == expected


def test_dimensions_are_those_of_the_site(shop: FakeMatomo) -> None:
    """The visit's is overwritten by each hit that has one, the action's is its own, an inactive one is ignored."""
    send(shop, at("08:00:00", dimension1="free", dimension2="Zoé"), at("08:01:00", dimension1="pro", dimension3="x"))
    visit = only(shop)
    assert visit["dimension1"] == "pro"
    assert [action["dimension2"] for action in visit["actionDetails"]] == ["Zoé", None]
    assert "dimension3" not in visit


def test_a_visit_converts_a_goal_once_unless_it_allows_several(shop: FakeMatomo) -> None:
    """The second conversion is tracked, and is no conversion."""
    hits = [at(f"08:00:0{second}", idgoal=goal) for second, goal in enumerate((1, 1, 2, 2))]
    assert send(shop, *hits) == [4, 0]
    assert [action["goalId"] for action in only(shop)["actionDetails"]] == [1, 2, 2]
    assert send(shop, at("09:00:00", idgoal=1)) == [1, 0]
    assert [visit["goalConversions"] for visit in log(shop)] == [3, 1]


def test_an_order_is_stored_once(shop: FakeMatomo) -> None:
    """The second one is invalid, whosever it is; with a cart in the visit, Matomo tracks it and stores it no better."""
    order: dict[str, Any] = {"idgoal": 0, "ec_id": "A-1", "revenue": 5}
    assert send(shop, at("08:00:00", **order), at("08:00:01", **order)) == [1, 1]
    assert send(shop, at("08:00:02", _id="b" * 16, cip="81.2.69.143", **order)) == [0, 1]
    assert send(shop, at("08:00:03", idgoal=0, ec_items=ITEMS), at("08:00:04", **order)) == [2, 0]
    first, second = log(shop)
    assert [first["visitorId"], second["visitorId"]] == ["b" * 16, VISITOR]
    assert types(second) == ["ecommerceOrder", "ecommerceAbandonedCart"]
    # Matomo has the visit of a refused order all the same, and it counts as converted.
    assert (types(first), first["visitConverted"]) == ([], 1)
    assert [reason for _, reason in shop.refused_hits] == ["the order A-1 of site 1 is stored already"] * 2


def test_a_cart_takes_the_place_of_the_last_one_and_an_order_that_of_the_cart(shop: FakeMatomo) -> None:
    """Of a visit; a cart that is filled after an order is another one."""
    cart: dict[str, Any] = {"idgoal": 0, "ec_items": ITEMS}
    order: dict[str, Any] = {"idgoal": 0, "ec_id": "A-1", "revenue": 9}
    send(shop, at("08:00:00", revenue=5, **cart), at("08:01:00", revenue=6, **cart))
    assert [(one["type"], one["revenue"]) for one in only(shop)["actionDetails"]] == [("ecommerceAbandonedCart", 6)]
    assert only(shop)["visitEcommerceStatus"] == "abandonedCart"
    send(shop, at("08:02:00", **order))
    assert [(one["type"], one["revenue"]) for one in only(shop)["actionDetails"]] == [("ecommerceOrder", 9)]
    assert only(shop)["visitEcommerceStatus"] == "ordered"
    send(shop, at("08:03:00", revenue=7, **cart))
    assert types(only(shop)) == ["ecommerceOrder", "ecommerceAbandonedCart"]
    assert only(shop)["visitEcommerceStatus"] == "orderedThenAbandonedCart"


def test_the_amounts_and_items_of_an_order(shop: FakeMatomo) -> None:
    """Items without a SKU are dropped, the quantity is 1 unless given, and categories are at most five."""
    items = [ITEM, ["B", "Box", "Misc", "2,50", ""], ["", "no sku"], "text", ["C", None, list("abcdef"), 1, 3]]
    amounts: dict[str, Any] = {"revenue": "100.126", "ec_st": 80, "ec_tx": 12.5, "ec_sh": 4.9, "ec_dt": 3}
    send(shop, at("08:00:00", idgoal=0, ec_id="A-1", ec_items=json.dumps(items), **amounts))
    (order,) = only(shop)["actionDetails"]
    found = [order[name] for name in ("revenue", "revenueSubTotal", "revenueTax", "revenueShipping", "revenueDiscount")]
    assert found == [100.13, 80, 12.5, 4.9, 3]
    assert order["items"] == 6
    assert [(one["itemSKU"], one["itemName"], one["price"], one["quantity"]) for one in order["itemDetails"]] == [
        (ITEM[0], ITEM[1], 39.9, 2),
        ("B", "Box", 2.5, 1),
        ("C", None, 1, 3),
    ]
    assert order["itemDetails"][2]["categories"] == list("abcde")


def test_totals_of_commerce_are_those_of_the_visitor(shop: FakeMatomo) -> None:
    """In each of the visits, also in those of days before (m53_live_lifetime_*)."""
    send(shop, at("08:00:00", "2026-11-02"), at("08:00:00", idgoal=0, ec_id="A-1", revenue=5, ec_items=ITEMS))
    send(shop, at("10:00:00", idgoal=0, revenue=7, ec_items=ITEMS))
    for visit in log(shop):
        assert (visit["totalEcommerceRevenue"], visit["totalEcommerceConversions"]) == (5, 1)
        assert (visit["totalEcommerceItems"], visit["totalAbandonedCarts"]) == ("2", 1)
    assert [visit["visitorType"] for visit in log(shop)] == ["new", "returning", "returningCustomer"]


@pytest.mark.parametrize(
    ("last", "seconds", "name"),
    [
        ({"idgoal": 2}, 23, "live_one_visit_with_goal.json"),
        ({"idgoal": 0, "ec_id": "A-1"}, 239, "live_one_visit_with_ecommerceOrder.json"),
    ],
)
def test_a_conversion_makes_a_visit_longer_than_it_was(
    shop: FakeMatomo, last: dict[str, Any], seconds: int, name: str
) -> None:
    """By two seconds and the number of the goal, besides the second that each visit has: as recorded."""
    answer = read(name).answer
    assert isinstance(answer, list)
    assert answer[0]["lastActionTimestamp"] - answer[0]["firstActionTimestamp"] == seconds
    send(shop, at("08:00:00"), at(f"08:0{seconds // 60}:{seconds % 60:02}", **last))
    assert only(shop)["visitDuration"] == answer[0]["visitDuration"]


def test_a_ping_prolongs_a_visit_and_begins_none(shop: FakeMatomo) -> None:
    """It is no action, and does not count as the last one."""
    assert send(shop, at("08:00:00", ping=1)) == [1, 0]
    assert log(shop) == []
    send(shop, at("08:00:00"), at("08:00:40", ping=1))
    visit = only(shop)
    assert (visit["actions"], visit["visitDuration"]) == (1, 41)
    assert visit["lastActionDateTime"] == f"{DAY} 08:00:00"
    assert visit["actionDetails"][0]["timeSpent"] == 41


def test_visits_can_be_asked_for_by_visitor_and_user(shop: FakeMatomo) -> None:
    """By several at once, and by values encoded as Matomo wants it: twice, where they have a plus or a comma."""
    people = ("a" * 16, "b" * 16, "c" * 16)
    send(shop, *(at(f"0{number}:00:00", cid=one, cip=f"81.2.69.{number}") for number, one in enumerate(people)))
    send(shop, at("08:00:00", uid="Zoé+1,x@example.com"))
    found = log(shop, segment=f"visitorId=={people[0]},visitorId=={people[2].upper()}")
    assert [visit["visitorId"] for visit in found] == [people[0], people[2]]
    twice = "userId==Zo%25C3%25A9%252B1%252Cx%2540example.com"
    assert [visit["userId"] for visit in log(shop, segment=twice)] == ["Zoé+1,x@example.com"]
    assert [visit["userId"] for visit in log(shop, segment=f"visitorId=={people[0]},{twice}")] == [
        None,
        "Zoé+1,x@example.com",
    ]
    assert log(shop, segment=f"{twice};actions>1") == []
    once = "userId==Zo%C3%A9%2B1@example.com"
    assert log(shop, segment=once) == []


def test_the_visits_of_a_visitor_are_found_without_those_of_all_others(
    shop: FakeMatomo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that asks for a hundred visitors among thousands does not wait for all of them."""
    built: list[int] = []
    build = TrackedVisit._build

    def counted(visit: TrackedVisit) -> Visit:
        built.append(visit.id)
        return build(visit)

    monkeypatch.setattr(TrackedVisit, "_build", counted)
    people = [{"uid": f"u{number}"} if number % 2 else {"cid": f"{number:016x}"} for number in range(200)]
    send(shop, *(at("08:00:00", cip=f"81.2.{number}.1", **one) for number, one in enumerate(people)))
    assert len(log(shop, segment=f"visitorId=={4:016x},visitorId=={6:016x},userId==u7")) == 3
    assert len(built) == 3
    assert len(log(shop, segment="actions==1")) == 200
    assert len(built) == 200


def test_modelled_visits_and_those_of_hits_are_one_log() -> None:
    """In order, with one kind of keyset paging, and a segment by visitor finds both."""
    with FakeMatomo(small_world()) as matomo:
        before = log(matomo, date=f"{DAY},{DAY}")
        known = next(visit for visit in before if visit["visitorId"] not in {one["visitorId"] for one in before[:-1]})
        send(
            matomo,
            at("12:00:00", _id=known["visitorId"]),
            *(at(f"{hour:02}:30:00", "2026-11-19") for hour in range(5, 20)),
        )
        after = log(matomo, date=f"{DAY},{DAY}")
        assert len(after) == len(before) + 16
        stamps = [visit["lastActionTimestamp"] for visit in after]
        assert stamps == sorted(stamps)
        mine = log(matomo, date=f"{DAY},{DAY}", segment=f"visitorId=={known['visitorId']}")
        assert len(mine) == 2
        seen: dict[int, None] = {}
        last = stamps[0]
        for _ in range(40):
            page = log(matomo, date=f"{DAY},{DAY}", minTimestamp=last - 1, filter_limit=5)
            seen.update(dict.fromkeys(visit["idVisit"] for visit in page))
            last = page[-1]["lastActionTimestamp"]
        assert list(seen) == [visit["idVisit"] for visit in after]


def test_a_visit_of_hits_is_extended_by_hits_only(shop: FakeMatomo) -> None:
    """Not as the modelled ones are."""
    send(shop, at("08:00:00"))
    (visit,) = shop.visits(1, date.fromisoformat(DAY))
    with pytest.raises(LookupError, match="is one of hits"):
        shop.extend(1, visit)
