"""Who a hit is of, and where it comes from: what is left out, what Matomo fails at, and what it would cut."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from matomo_fn.config.events import EventsConfig
from matomo_fn.events.calls import read_call
from matomo_fn.events.mapping import map_call
from tests.events.mapping_examples import CALL, PAGE, Json


def parameters(call: Json, **config: Any) -> dict[str, str]:
    whole = {"type": "page", "name": "Home", **CALL, **call}
    (hit,) = map_call(read_call(whole), EventsConfig.model_validate({"site": "1", **config})).hits
    return dict(hit.parameters)


@pytest.mark.parametrize(
    ("address", "full", "masked"),
    [
        ("203.0.113.77", "203.0.113.77", "203.0.0.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("::ffff:203.0.113.77", "203.0.113.77", "203.0.0.0"),
        ("fe80::1%eth0", "fe80::1", "fe80::"),
        (" 203.0.113.77 ", "203.0.113.77", "203.0.0.0"),
        ("unknown", None, None),
        ("", None, None),
        ("203.0.113", None, None),
        ("203.0.113.77:8080", None, None),
        ("203.0.113.77, 10.0.0.1", None, None),
        (3405803853, None, None),
        (None, None, None),
        (["203.0.113.77"], None, None),
    ],
)
def test_an_address_is_sent_whole_masked_or_not_at_all(address: Any, full: str | None, masked: str | None) -> None:
    """What is masked has the last two bytes of IPv4, and all but 48 bits of IPv6, as zeros."""
    call = {"context": {"ip": address}}
    assert parameters(call).get("cip") == full
    assert parameters(call, ip="masked").get("cip") == masked
    assert "cip" not in parameters(call, ip="none")


def test_ids_that_matomo_would_cut_are_hashes() -> None:
    """Two tokens that begin alike stay two users; Matomo's column has 200 characters, of what is stored as HTML."""
    token = "x" * 300
    assert parameters({"userId": token})["uid"] == sha256(token.encode()).hexdigest()
    assert parameters({"userId": "&" * 41})["uid"] == sha256(b"&" * 41).hexdigest()
    assert parameters({"userId": "x" * 200})["uid"] == "x" * 200


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("Europe/Amsterdam", ("5", "8", "31")),
        ("UTC", ("4", "8", "31")),
        ("Asia/Kathmandu", ("9", "53", "31")),
        ("Europe", None),
        ("", None),
        ("Nowhere/Land", None),
        ("../../etc/passwd", None),
        ("/etc/localtime", None),
        ("x" * 5_000, None),
        ("Ä", None),
        (3, None),
    ],
)
def test_the_visitors_time_of_day_is_that_of_a_time_zone(zone: Any, expected: tuple[str, ...] | None) -> None:
    """A name that is none, or a way to a file, is left out."""
    found = parameters({"context": {"timezone": zone}})
    assert tuple(found[name] for name in ("h", "m", "s") if name in found) == (expected or ())


def test_a_time_near_the_end_of_the_calendar_has_no_local_time() -> None:
    """It has none in a zone that is ahead."""
    found = parameters({"timestamp": "9999-12-31T23:00:00Z", "context": {"timezone": "Asia/Tokyo"}})
    assert found["cdt"] == "9999-12-31 23:00:00"
    assert "h" not in found


@pytest.mark.parametrize(
    ("locale", "lang"),
    [("en-US", "en-US"), ("de", "de"), ("zh_Hant_TW", "zh-Hant-TW"), ("C", None), ("english", None), ("en US", None)],
)
def test_a_locale_is_a_language(locale: str, lang: str | None) -> None:
    """With hyphens, as browsers send it."""
    assert parameters({"context": {"locale": locale}}).get("lang") == lang


@pytest.mark.parametrize(
    ("screen", "res"),
    [
        ({"width": 320, "height": 568}, "320x568"),
        ({"width": "320", "height": 568.75}, "320x568"),
        ({"width": 320}, None),
        ({"width": 0, "height": 568}, None),
        ({"width": 320, "height": 10_000}, None),
        ([320, 568], None),
    ],
)
def test_a_resolution_has_two_sides(screen: Any, res: str | None) -> None:
    """Matomo keeps nine characters."""
    assert parameters({"context": {"screen": screen}}).get("res") == res


@pytest.mark.parametrize(
    "url",
    ["/path", "example.com/path", "https://", "http:///path", "https://exa mple.com/", "javascript:alert(1)", "https://[x/",
     "//example.com/path", "", 3, None],
)  # fmt: skip
def test_what_is_no_url_is_left_out(url: Any) -> None:
    """The page view stays."""
    found = parameters({"context": {"page": {"url": url, "referrer": url}}})
    assert not {"url", "urlref"} & set(found)
    assert found["action_name"] == "Home"


@pytest.mark.parametrize(
    ("url", "campaign", "expected"),
    [
        ("https://e.com/", {"name": "n"}, "https://e.com/?utm_campaign=n"),
        ("https://e.com", {"name": "n"}, "https://e.com?utm_campaign=n"),
        ("https://e.com/?utm_campaign=o", {"name": "n"}, "https://e.com/?utm_campaign=o"),
        # Matomo takes neither for a campaign.
        ("https://e.com/?utm_campaign=", {"name": "n"}, "https://e.com/?utm_campaign=&utm_campaign=n"),
        ("https://e.com/?PK_CPN=x", {"name": "n"}, "https://e.com/?PK_CPN=x&utm_campaign=n"),
        ("https://e.com/?pk_cpn=x", {"name": "n", "source": "s"}, "https://e.com/?pk_cpn=x&utm_source=s"),
        ("https://e.com/#a?b", {"term": "ä b"}, "https://e.com/?utm_term=%C3%A4+b#a?b"),
        ("https://e.com/?q=1", {"name": {}, "medium": " ", "content": 3}, "https://e.com/?q=1&utm_content=3"),
        ("https://e.com/?q=1", "Spring", "https://e.com/?q=1"),
    ],
)
def test_a_campaign_is_in_the_url_once(url: str, campaign: Any, expected: str) -> None:
    """That is where Matomo reads it for the visit."""
    assert parameters({"context": {"page": {"url": url}, "campaign": campaign}})["url"] == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://e.com/" + "p" * 2_000, "https://e.com/" + "p" * 1_010),
        ("https://e.com/" + "%C3%A4" * 500, "https://e.com/" + "%C3%A4" * 168),
        ("https://e.com/p?" + "q" * 1_009 + "#" + "f" * 10, "https://e.com/p"),
        ("https://e.com/p?" + "q" * 1_008 + "#" + "f" * 10, "https://e.com/p?" + "q" * 1_008),
    ],
)
def test_a_long_url_is_cut_between_characters(url: str, expected: str) -> None:
    """No half of an escaped byte is left."""
    found = parameters({"context": {"page": {"url": url}}})["url"]
    assert len(found.encode()) <= 1_024
    assert found == expected


@pytest.mark.parametrize(
    ("url", "search", "expected"),
    [
        ("https://e.com/#top", "?q=1", "https://e.com/?q=1#top"),
        ("https://e.com/", "q=1", "https://e.com/?q=1"),
        ("https://e.com/?a=1", "?q=1", "https://e.com/?a=1"),
        ("https://e.com/", "?", "https://e.com/"),
        ("https://e.com/", "?q=a b", "https://e.com/"),
        ("https://e.com/", {"q": 1}, "https://e.com/"),
    ],
)
def test_a_search_is_the_query_of_a_url_without_one(url: str, search: Any, expected: str) -> None:
    """A canonical URL has none, and Segment's library sends the query beside it."""
    assert parameters({"context": {"page": {"url": url, "search": search}}})["url"] == expected


def test_a_campaign_that_does_not_fit_is_left_out() -> None:
    """And not cut to another one; the shorter ones stay."""
    page = {**PAGE, "url": "https://e.com/?" + "q" * 950}
    found = parameters({"context": {"page": page, "campaign": {"name": "n" * 150, "source": "s"}}})["url"]
    assert found == f"{page['url']}&utm_source=s"
