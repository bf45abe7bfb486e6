"""A connector's configuration: what it may say, and what it means. What it may not say stands in test_bad_input."""

import json

import pytest

from matomo_fn.catalogue import PREBUILT, REFERENCE_TABLES
from matomo_fn.config.connector import CONNECTOR_NAME, Connector, read_connector
from matomo_fn.config.site_selection import EVERY_SITE
from matomo_fn.errors import InputError


def connector(**keys: object) -> Connector:
    return named("shop", **keys)


def named(connector: str, /, **keys: object) -> Connector:
    return read_connector(connector, json.dumps({"matomo_url": "https://matomo.example.com", "sites": "all"} | keys))


def test_a_url_and_sites_are_enough() -> None:
    """Everything else has the default that DESIGN.md and the README promise."""
    found = connector()
    assert dict(found) == {
        "name": "shop",
        "matomo_url": "https://matomo.example.com/",
        "sites": EVERY_SITE,
        "dataset": "",
        "location": "EU",
        "reports": tuple(PREBUILT),
        "reference_tables": tuple(REFERENCE_TABLES),
        "quality_checks": True,
        "custom_reports": (),
        "visits": None,
        "intraday": False,
        "periods": {},
        "segments": {},
        "events": None,
        "partition_by": "day",
        "require_partition_filter": None,
        "kms_key": "",
        "maximum_bytes_billed": None,
        "backfill_days": 365,
        "trailing_days": 3,
        "concurrency": 4,
        "requests_per_minute": 300,
        "live_requests_per_minute": None,
        "timeout_seconds": 120,
        "page_rows": None,
    }


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("https://matomo.example.com", "https://matomo.example.com/"),
        ("https://matomo.example.com/", "https://matomo.example.com/"),
        ("https://matomo.example.com/index.php", "https://matomo.example.com/"),
        (" https://matomo.example.com/ ", "https://matomo.example.com/"),
        ("http://example.com:8080/stats/matomo//", "http://example.com:8080/stats/matomo/"),
        ("https://example.com/matomo/index.php", "https://example.com/matomo/"),
        ("https://[::1]:8443", "https://[::1]:8443/"),
    ],
)
def test_the_url_is_matomos_folder_however_it_is_written(written: str, url: str) -> None:
    """With a slash at its end, so that index.php can be put behind it."""
    assert connector(matomo_url=written).matomo_url == url


@pytest.mark.parametrize(
    "url", ["", "https://", "http:///path", "//matomo.example.com", "https://[::1", "https://h:port", "javascript:x"]
)
def test_what_is_no_url_is_refused_with_the_key(url: str) -> None:
    """Whatever is wrong with it, the sentence begins with configuration and key."""
    with pytest.raises(InputError) as raised:
        connector(matomo_url=url)
    (sentence,) = raised.value.problems
    assert sentence.startswith("configuration of connector 'shop': matomo_url: ")


@pytest.mark.parametrize(
    "url",
    [
        "https://SECRET@matomo.example.com",
        "https://user:SECRET@matomo.example.com",
        "user:SECRET@matomo.example.com",
        "ftp://user:SECRET@matomo.example.com",
        "https://matomo.example.com/?token_auth=SECRET",
        "matomo.example.com/index.php?token_auth=SECRET",
        "https://matomo.example.com/#SECRET",
        "https://matomo.example.com:99999/?token_auth=SECRET",
        "https://u:SECRET@[::1",
    ],
)
def test_no_error_repeats_what_may_be_a_secret_in_the_url(url: str) -> None:
    """A password, a query or a fragment is refused before anything is said of the rest."""
    with pytest.raises(InputError) as raised:
        connector(matomo_url=url)
    assert "SECRET" not in str(raised.value)


PROBLEMS: dict[str, tuple[dict[str, object], list[str]]] = {
    "every misspelt report": (
        {"reports": ["visitor_countries", "visits", "visits_sumary", "countries"]},
        [
            "reports: there is no table 'visitor_countries': did you mean 'visitor_country'?",
            'reports: visits are no report: set "visits" to true',
            "reports: there is no table 'visits_sumary': did you mean 'visits_summary'?",
        ],
    ),
    "no report": ({"reports": []}, ['reports: names no table: list at least one, or set it to "prebuilt"']),
    "visits that are neither": (
        {"visits": "yes"},
        ['visits: has to be true, false or an object such as {"intraday": true}, not "yes"'],
    ),
    "a misspelt key of visits": (
        {"visits": {"intradya": True}},
        ["unknown key 'visits.intradya': did you mean 'intraday'?"],
    ),
    "a present day of nothing": (
        {"intraday": "yes"},
        ['intraday: has to be true, false or a list of tables such as ["visits_summary"], not "yes"'],
    ),
    "a present day of what has none": (
        {"intraday": ["visit_summary", "visits"], "periods": ["week"]},
        [
            "intraday: table 'visit_summary' is not synced: did you mean 'visits_summary'?",
            "intraday: table 'visits' is not synced: did you mean 'visits_summary'?",
        ],
    ),
    "every misspelt column": (
        {"visits": {"exclude": ["visit_ipp", "user_idd"]}},
        [
            "visits.exclude: 'visit_ipp' is no column of visits that can be left out: did you mean 'visit_ip'?",
            "visits.exclude: 'user_idd' is no column of visits that can be left out: did you mean 'user_id'?",
        ],
    ),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_problem_is_a_sentence_of_its_own(name: str) -> None:
    """All at once, each with its key, and with words that its object knows."""
    keys, sentences = PROBLEMS[name]
    with pytest.raises(InputError) as caught:
        connector(**keys)
    assert caught.value.problems == tuple(f"configuration of connector 'shop': {sentence}" for sentence in sentences)


def test_reports_are_the_prebuilt_ones_or_a_list() -> None:
    """Each once."""
    assert connector(reports="prebuilt").reports == tuple(PREBUILT)
    assert connector(reports=["countries", "countries"]).reports == ("countries",)


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("backfill_days", 1, 36_600),
        ("trailing_days", 1, 365),
        ("concurrency", 1, 32),
        ("requests_per_minute", 1, 60_000),
        ("live_requests_per_minute", 1, 60_000),
        ("timeout_seconds", 1, 1_800),
        ("page_rows", 1, 1_000_000),
    ],
)
def test_numbers_have_bounds(key: str, least: int, most: int) -> None:
    """Both ends are in; the sentence names the end that was passed."""
    for value in (least, most):
        assert getattr(connector(**{key: value}), key) == value
    for value, bound in ((least - 1, f"{least} or more"), (most + 1, f"{most} or less")):
        with pytest.raises(InputError) as raised:
            connector(**{key: value})
        assert raised.value.problems == (f"configuration of connector 'shop': {key} has to be {bound}, not {value}",)


@pytest.mark.parametrize("location", ["EU", "US", "europe-west1", "northamerica-northeast2", "eu"])
def test_a_location_is_a_multi_region_or_a_region(location: str) -> None:
    """As BigQuery writes them."""
    assert connector(location=location).location == location


def test_the_dataset_is_named_by_the_connector_unless_given() -> None:
    """A dataset's name has no hyphens, a connector's may."""
    assert named("shop-eu").dataset_name == "matomo_shop_eu"
    assert named("shop-eu", dataset="web").dataset_name == "web"


def test_the_name_is_the_secrets_and_no_key_of_the_configuration() -> None:
    """Two places for one name could differ."""
    with pytest.raises(InputError, match="unknown key 'name'"):
        read_connector("shop", '{"name": "blog"}')


@pytest.mark.parametrize("name", ["", "-shop", "1shop", "Shop", "shop_eu", "a" * 64, "../x", "shöp"])
def test_a_name_that_no_secret_can_have_is_no_connectors(name: str) -> None:
    """Lower-case letters, digits and hyphens, a letter first, 63 at most."""
    assert not CONNECTOR_NAME.fullmatch(name)
    assert CONNECTOR_NAME.fullmatch("a" + "b-1" * 20)
