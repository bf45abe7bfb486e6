"""The tracker: who may send what, and what it answers. test_recordings has the answers that were recorded."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any
from urllib.parse import urlencode

import pytest

from fake_matomo import TRACKER, FakeMatomo
from fake_matomo.hits import user_hash
from tests.fake_matomo.client import fetch_raw, row, small_world, visits, whole
from tests.fake_matomo.exchanges import Exchanged, exchange
from tests.fake_matomo.sending import VISITOR, hit, post, send

OLD = "2026-11-01 08:00:00"
SUPER, WRITE_OTHER, VIEW = "a" * 32, "b" * 32, "c" * 32


@pytest.fixture
def shop() -> Iterator[FakeMatomo]:
    """Run a shop without modelled traffic."""
    with FakeMatomo(small_world(visits_per_day=0)) as matomo:
        matomo.add_token(SUPER, superuser=True)
        matomo.add_token(WRITE_OTHER, sites={2}, writes=True)
        matomo.add_token(VIEW)
        yield matomo


def said(answer: Exchanged) -> Any:
    return json.loads(answer.body)


def alone(
    matomo: FakeMatomo,
    query: str,
    http_method: str = "POST",
    headers: dict[str, str] | None = None,
    name: str = TRACKER,
) -> Exchanged:
    """Send a single hit: in the URL of a GET, in the body of a POST."""
    path = f"{matomo.mount}/{name}"
    if http_method == "GET":
        return exchange(matomo, "GET", {}, "", headers, path + query)
    return exchange(matomo, "POST", {}, query.removeprefix("?"), headers, path)


@pytest.mark.parametrize(
    "restricted", [{"cip": "203.0.113.9"}, {"cip": None, "cdt": OLD}, {"cip": None, "country": "de"}]
)
def test_write_access_to_the_site_is_needed_for_ip_past_times_and_places(
    shop: FakeMatomo, restricted: dict[str, Any]
) -> None:
    """View access is not enough, nor is write access to another site; without any of these no token is needed."""
    for token in ("", "0" * 32, VIEW, WRITE_OTHER):
        assert said(post(shop, [hit(**restricted)], token)) == {"status": "success", "tracked": 0, "invalid": 1}
    assert said(post(shop, [hit(**restricted)], shop.token))["tracked"] == 1
    assert said(post(shop, [hit(cip=None)], ""))["tracked"] == 1
    assert [reason for _, reason in shop.refused_hits] == [shop.refused_hits[0][1]] * 4
    assert "needs a token with write access" in shop.refused_hits[0][1]


def test_only_a_super_user_is_told_which_hits_are_invalid(shop: FakeMatomo) -> None:
    """A token with write access has its hits tracked, but gets their number only (BulkTracking's Handler)."""
    hits = [hit(), hit(idsite=99), hit(idgoal=77), hit()]
    assert said(post(shop, hits)) == {"status": "success", "tracked": 2, "invalid": 2}
    assert said(post(shop, hits, SUPER))["invalid_indices"] == [1, 2]


def test_an_order_sent_again_is_named_by_its_place_in_the_request(shop: FakeMatomo) -> None:
    """Also behind hits that are invalid or not stored."""
    order = {"idgoal": 0, "ec_id": "A-1", "revenue": 5}
    hits = [hit(idsite=99), hit(rec=0), hit(**order), hit(), hit(**order)]
    assert said(post(shop, hits, SUPER))["invalid_indices"] == [0, 4]


def test_what_is_no_url_with_a_query_is_passed_over(shop: FakeMatomo) -> None:
    """Neither tracked nor invalid, and the places of the others are counted without it; an empty object is tracked."""
    hits: list[Any] = ["idsite=1&rec=1", "", hit(idsite=99), {}, "https://shop.example.org/matomo.php" + hit(), None]
    assert said(post(shop, hits, SUPER)) == {"status": "success", "tracked": 3, "invalid": 1, "invalid_indices": [0]}
    assert len(shop.hits) == 1


def test_each_hit_may_have_a_token_where_the_request_has_none(shop: FakeMatomo) -> None:
    """Indices are told to nobody then."""
    hits = [hit(token_auth=SUPER), hit(token_auth=VIEW), hit()]
    assert said(post(shop, hits, "")) == {"status": "success", "tracked": 1, "invalid": 2}
    assert "token_auth" not in str([shop.hits, shop.refused_hits])


def test_a_hit_for_a_plugin_that_is_not_active_fails_the_whole_request(shop: FakeMatomo) -> None:
    """Nothing of the transaction is stored, not even what came before it; alone it is a 400."""
    answer = post(shop, [hit(), hit(idsite=99), hit(ca=1), hit()], SUPER)
    assert (answer.status, said(answer)) == (500, {"status": "error", "tracked": 1, "invalid": 1})
    assert shop.hits == []
    assert alone(shop, hit(ca=1, token_auth=SUPER, send_image=0)).status == 400
    assert said(post(shop, [hit(ca=1, e_c="Cat", e_a="Act")]))["tracked"] == 1


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"idsite": "1x"}, "no site"),
        ({"cid": "12345"}, "has not 16 characters"),
        ({"e_c": " ", "e_a": "Act"}, "e_c is blank"),
        ({"e_c": "Cat", "e_a": "\t"}, "e_a is blank"),
        ({"c_n": "  "}, "c_n is blank"),
        ({"idgoal": 77}, "no goal 77"),
    ],
)
def test_what_matomo_cannot_use_is_invalid(shop: FakeMatomo, params: dict[str, Any], reason: str) -> None:
    """The reason can be read from the fake; Matomo does not tell it."""
    assert send(shop, hit(**params)) == [0, 1]
    assert reason in shop.refused_hits[0][1]
    assert shop.hits == []


@pytest.mark.parametrize(
    "params",
    [
        {"rec": None},
        {"rec": 0},
        {"ua": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
    ],
)
def test_excluded_hits_are_acknowledged_and_not_stored(shop: FakeMatomo, params: dict[str, Any]) -> None:
    """Without `rec=1`, and of bots unless `bots=1`."""
    assert send(shop, hit(**params)) == [1, 0]
    assert shop.hits == []
    assert send(shop, hit(**{**params, "rec": 1, "bots": 1})) == [1, 0]
    assert len(shop.hits) == 1


def test_without_record_statistics_nothing_is_stored(shop: FakeMatomo) -> None:
    """Single hits are acknowledged, a bulk request has tracked none."""
    shop.record_statistics = False
    assert alone(shop, hit(cip=None, send_image=0)).status == 204
    assert alone(shop, hit(cip=None)).status == 503
    assert send(shop, hit()) == [0, 0]
    assert shop.hits == []


def test_a_single_hit_is_answered_by_an_image_or_by_nothing(shop: FakeMatomo) -> None:
    """By GET and POST, under both names of the tracker, and under the path that the instance is mounted at."""
    for name in ("matomo.php", "piwik.php"):
        for http_method in ("GET", "POST"):
            answer = alone(shop, hit(cip=None), http_method, name=name)
            assert (answer.status, answer.content_type) == (200, "image/gif")
            assert answer.body.startswith("GIF89a")
    assert alone(shop, hit(send_image=0)).status == 400
    assert alone(shop, hit(idsite=99)).content_type == "image/gif"
    assert alone(shop, "", "GET").status == 200
    assert len(shop.hits) == 4
    with FakeMatomo(small_world(visits_per_day=0), mount="/analytics") as mounted:
        assert alone(mounted, hit(cip=None, send_image=0)).status == 204
        assert send(mounted, hit()) == [1, 0]


def test_a_bulk_request_may_want_no_answer(shop: FakeMatomo) -> None:
    """`send_image` beside the hits; that of a hit means nothing."""
    assert post(shop, [hit(send_image=0)]).status == 200
    for value in (0, "0"):
        assert post(shop, [hit()], send_image=value).status == 204
    assert post(shop, [hit()], send_image=1).status == 200


def test_refused_tokens_block_the_address_for_the_reports_and_for_bulk_requests(shop: FakeMatomo) -> None:
    """A token without the rights that a hit needs counts as a failed login, once a request."""
    for _ in range(20):
        post(shop, [hit(), hit()], VIEW)
    assert fetch_raw(shop, "API.getMatomoVersion").status == 200
    post(shop, [hit()], VIEW)
    assert fetch_raw(shop, "API.getMatomoVersion").status == 500
    answer = post(shop, [hit()], SUPER)
    assert (answer.status, said(answer)) == (500, {"status": "error", "tracked": 0, "invalid": 0})
    assert alone(shop, hit(cip=None, send_image=0)).status == 204


def test_times_in_the_future_or_without_sense_are_now(shop: FakeMatomo) -> None:
    """As are those of more than twenty years ago."""
    now = int(shop.now().timestamp())
    given = ("2027-01-01 00:00:00", "tomorrow-ish", "1999-01-01 00:00:00", "1e999", str(now + 5))
    assert send(shop, *(hit(cdt=text) for text in given)) == [len(given), 0]
    assert {one.at for one in shop.hits} == {now}


@pytest.mark.parametrize(
    ("params", "ago"),
    [
        ({"cdt": "2026-11-20 11:00:00"}, 3600),
        ({"cdt": "2026-11-20T11:00:00Z"}, 3600),
        ({"cdt": "2026-11-20 11:00:00 UTC"}, 3600),
        ({"cdt": "2026-11-20T12:00:00+01:00"}, 3600),
        ({"cdt": "1795172400"}, 3600),
        ({"cdo": 90}, 90),
        ({"cdt": "2026-11-20 11:00:00", "cdo": -60}, 3660),
    ],
)
def test_the_time_of_a_hit(shop: FakeMatomo, params: dict[str, Any], ago: int) -> None:
    """A date and time in UTC or with an offset, a Unix time, and seconds before it."""
    assert send(shop, hit(**params)) == [1, 0]
    assert shop.hits[0].at == int(shop.now().timestamp()) - ago


def test_calls_of_the_tracker_are_recorded_without_their_tokens(shop: FakeMatomo) -> None:
    """A bulk request with the number of its hits."""
    post(shop, [hit(), hit()])
    alone(shop, hit(token_auth=SUPER), "GET")
    bulk, single = shop.calls
    assert (bulk.method, bulk.in_bulk, bulk.params["requests"], bulk.token_in_url) == (TRACKER, True, "2", False)
    assert (single.method, single.in_bulk, single.params["_id"], single.token_in_url) == (TRACKER, False, VISITOR, True)
    assert SUPER not in str(shop.calls)


def test_hits_can_be_read_in_the_order_of_arrival(shop: FakeMatomo) -> None:
    """All of them, and those of a visitor."""
    send(shop, *(hit(_id=f"{at % 3:016x}", pv_id=f"p{at}") for at in range(9)))
    send(shop, hit(uid="zoe@example.com", pv_id="p9"))
    assert [one.page_view for one in shop.hits] == [f"p{at}" for at in range(10)]
    assert [one.page_view for one in shop.hits_of(f"{1:016x}")] == ["p1", "p4", "p7"]
    assert user_hash("zoe@example.com") == "c26c357d42b1c0f2"
    assert shop.hits[-1].visitor_id == user_hash("zoe@example.com")
    assert [one.params["pv_id"] for one in shop.hits_of(user_hash("zoe@example.com"))] == ["p9"]


def test_hits_can_be_sent_side_by_side_and_read_meanwhile(shop: FakeMatomo) -> None:
    """Nothing is lost or doubled, each visitor's hits stay in order, and reports and log agree at any time."""

    def deliver(worker: int) -> None:
        for batch in range(10):
            hits = [
                hit(cid=f"{worker:08x}{number % 5:08x}", pv_id=f"{batch:02}{number:02}", cip=f"81.2.{worker}.1")
                for number in range(20)
            ]
            assert send(shop, *hits) == [20, 0]

    def watch(_: int) -> None:
        for _ in range(15):
            found = visits(shop, period="range", date="2026-11-20,2026-11-20", filter_limit=-1)
            assert all(visit["actions"] == len(visit["actionDetails"]) for visit in found)
            assert whole(row(shop, "VisitsSummary.get", date="2026-11-20")["nb_visits"]) >= len(found)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(lambda number: watch(number) if number == 4 else deliver(number), range(5)))
    found = visits(shop, period="range", date="2026-11-20,2026-11-20", filter_limit=-1)
    assert len(shop.hits) == sum(visit["actions"] for visit in found) == 800
    for visit in found:
        sent = [action["idpageview"] for action in visit["actionDetails"]]
        assert sent == sorted(sent)
        assert len(sent) == 40


NAMES = (
    *(
        "idsite",
        "rec",
        "url",
        "cdt",
        "cip",
        "_id",
        "uid",
        "idgoal",
        "revenue",
        "ec_id",
        "ec_items",
        "_cvar",
        "e_v",
        "e_c",
    ),
    *("e_a", "search", "search_count", "_pkc", "_pkp", "uadata", "lang", "h", "urlref", "res", "dimension1", "e_c"),
)
VALUES: tuple[Any, ...] = (
    *(1, 0, -1, "", "x", None, True, 1e308, 1e17, "9" * 40, [], {}, {"mobile": True}, "🎌" * 400, "%zz"),
    *("[[", "[[1]]", '[["a",{},[1,[2]],"1,5",-3]]', '{"1": ["a", "b"], "x": 1, "2": [null, []]}', "[" * 9_000),
    *("fr-FR,en;q=0.9", "https://[::1", "http://é\x00/?q=1#a=b", "2026-11-20 10:00:00", "shop.example.org"),
)
BODIES = (
    *("", "null", '["requests"]', '{"requests": 5}', '{"requests": {"a": "?idsite=1"}}', "\xff", '{"requests'),
    *('{"requests": [{"url": "\\ud800"}]}', '{"requests": [NaN]}', '{"requests": ' + "[" * 99_000),
)


def test_no_body_makes_the_tracker_fail(shop: FakeMatomo) -> None:
    """Whatever is in it: it is answered, and the visits log can be read afterwards."""
    rng = Random(7)  # noqa: S311 - made-up requests
    for _ in range(300):
        hits = [{"idsite": 1, "rec": 1, **{rng.choice(NAMES): rng.choice(VALUES) for _ in range(6)}} for _ in range(5)]
        answer = said(post(shop, [*hits, *("?" + urlencode(one) for one in hits)]))
        assert answer["tracked"] + answer["invalid"] == 10
    for body in BODIES:
        answered = exchange(shop, "POST", {}, body, {"Content-Type": "application/json"}, "/matomo.php")
        assert answered.status in (200, 400)
    assert len(visits(shop, period="range", date="2006-12-01,2026-11-20", filter_limit=-1)) > 10
