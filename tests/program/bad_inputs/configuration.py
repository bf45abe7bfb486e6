"""What a user may write into a connector's configuration."""

from __future__ import annotations

from tests.program.bad_inputs.case import (
    Case,
)
from tests.support.canary import CANARY

CONFIG = "configuration of connector 'shop': "

CONFIGURATION = (
    Case("no Matomo", 400, (f"{CONFIG}matomo_url is missing",), config={"matomo_url": None}),
    Case("no sites", 400, (f"{CONFIG}sites is missing",), config={"sites": None}),
    Case(
        "a misspelt key",
        400,
        (f"{CONFIG}unknown key 'trailing_day': did you mean 'trailing_days'?",),
        config={"trailing_day": 3},
    ),
    Case(
        "a key that resembles none",
        400,
        (
            f"{CONFIG}unknown key 'xyz': known are backfill_days, concurrency, custom_reports, dataset, events, "
            "intraday, kms_key, live_requests_per_minute, location, matomo_url, maximum_bytes_billed, page_rows, "
            "partition_by, periods, quality_checks, reference_tables, reports, requests_per_minute, "
            "require_partition_filter, segments, sites, timeout_seconds, trailing_days, visits",
        ),
        config={"xyz": 1},
    ),
    Case(
        "the token in the configuration",
        400,
        (
            f"{CONFIG}unknown key 'token_auth': known are backfill_days, concurrency, custom_reports, dataset, events, "
            "intraday, kms_key, live_requests_per_minute, location, matomo_url, maximum_bytes_billed, page_rows, "
            "partition_by, periods, quality_checks, reference_tables, reports, requests_per_minute, "
            "require_partition_filter, segments, sites, timeout_seconds, trailing_days, visits",
        ),
        config={"token_auth": CANARY},
    ),
    Case(
        "a number as text",
        400,
        (f'{CONFIG}backfill_days has to be a whole number, not "30"',),
        config={"backfill_days": "30"},
    ),
    Case(
        "a number too small",
        400,
        (f"{CONFIG}concurrency has to be 1 or more, not 0",),
        config={"concurrency": 0},
    ),
    Case(
        "a number too large",
        400,
        (f"{CONFIG}concurrency has to be 32 or less, not 100",),
        config={"concurrency": 100},
    ),
    Case(
        "a broken number",
        400,
        (f"{CONFIG}trailing_days has to be a whole number, not 1.5",),
        config={"trailing_days": 1.5},
    ),
    Case(
        "true for a number",
        400,
        (f"{CONFIG}page_rows has to be a whole number, not true",),
        config={"page_rows": True},
    ),
    Case(
        "another unit of partitions",
        400,
        (f"{CONFIG}partition_by has to be 'day' or 'month', not \"week\"",),
        config={"partition_by": "week"},
    ),
    Case(
        "a URL without https://",
        400,
        (f"{CONFIG}matomo_url: 'matomo.example.com' is not a URL such as https://matomo.example.com",),
        config={"matomo_url": "matomo.example.com"},
    ),
    Case(
        "a URL of another kind",
        400,
        (f"{CONFIG}matomo_url: 'ftp://matomo.example.com' is not a URL such as https://matomo.example.com",),
        config={"matomo_url": "ftp://matomo.example.com"},
    ),
    Case(
        "a URL with a password",
        400,
        (f"{CONFIG}matomo_url: has a user name or password in it; the token belongs in the secret and nowhere else",),
        config={"matomo_url": f"https://user:{CANARY}@matomo.example.com"},
    ),
    Case(
        "a URL with a password and without https://",
        400,
        (f"{CONFIG}matomo_url: has a user name or password in it; the token belongs in the secret and nowhere else",),
        config={"matomo_url": f"user:{CANARY}@matomo.example.com"},
    ),
    Case(
        "a URL with the token in it",
        400,
        (f"{CONFIG}matomo_url: give the address of Matomo without what follows ?",),
        config={"matomo_url": f"https://matomo.example.com/index.php?module=API&token_auth={CANARY}"},
    ),
    Case(
        "a URL with the token in it and without https://",
        400,
        (f"{CONFIG}matomo_url: give the address of Matomo without what follows ?",),
        config={"matomo_url": f"matomo.example.com/?token_auth={CANARY}"},
    ),
    Case(
        "a URL with a fragment",
        400,
        (f"{CONFIG}matomo_url: give the address of Matomo without what follows #",),
        config={"matomo_url": "https://matomo.example.com/#/dashboard"},
    ),
    Case(
        "a URL with an impossible port",
        400,
        (f"{CONFIG}matomo_url: 'https://matomo.example.com:99999' has a port that is not a number from 0 to 65535",),
        config={"matomo_url": "https://matomo.example.com:99999"},
    ),
    Case(
        "an address that is no string",
        400,
        (f'{CONFIG}matomo_url has to be a string, not ["https://matomo.example.com"]',),
        config={"matomo_url": ["https://matomo.example.com"]},
    ),
    Case(
        "an empty list of sites",
        400,
        (f'{CONFIG}sites: names no site: list at least one, or set it to "all"',),
        config={"sites": []},
    ),
    Case(
        "a site's name for its number",
        400,
        (
            f"{CONFIG}sites: 'shop' is not a site id, which is a whole number such as 1, nor a pattern such as "
            '{"name": "Shop *"}',
        ),
        config={"sites": ["shop"]},
    ),
    Case(
        "a site that stands alone",
        400,
        (f'{CONFIG}sites: \'1\' is neither "all" nor a list of site ids, such as ["1", "2"]',),
        config={"sites": "1"},
    ),
    Case(
        "an empty list of reports",
        400,
        (f'{CONFIG}reports: names no table: list at least one, or set it to "prebuilt"',),
        config={"reports": []},
    ),
    Case(
        "a misspelt report",
        400,
        (f"{CONFIG}reports: there is no table 'visitor_contry': did you mean 'visitor_country'?",),
        config={"reports": ["visitor_contry"]},
    ),
    Case(
        "a report that is no list",
        400,
        (
            f'{CONFIG}reports: \'visitor_country\' is none of "prebuilt", "extended", "ecommerce", "all", nor a list, '
            'such as ["prebuilt", "visitor_city"]',
        ),
        config={"reports": "visitor_country"},
    ),
    Case(
        "a dataset with a hyphen",
        400,
        (f"{CONFIG}dataset: 'matomo-shop' is not a dataset name: letters, digits and underscores only",),
        config={"dataset": "matomo-shop"},
    ),
    Case(
        "a location that is none",
        400,
        (f"{CONFIG}location: 'in Europe' is not a BigQuery location such as EU or europe-west1",),
        config={"location": "in Europe"},
    ),
    Case(
        "no JSON",
        400,
        (
            "configuration of connector 'shop' is not valid JSON: Expecting property name enclosed in double quotes "
            "(line 1, column 2)",
        ),
        config="{matomo_url: https://matomo.example.com}",
    ),
    Case(
        "a list",
        400,
        ("configuration of connector 'shop' has to be a JSON object, not a list",),
        config='["https://matomo.example.com"]',
    ),
    Case(
        "nothing",
        400,
        ("configuration of connector 'shop' is empty: it has to be a JSON object",),
        config="\n",
    ),
    Case(
        "lists without end",
        400,
        ("configuration of connector 'shop' is not valid JSON: it is nested too deeply",),
        config="[" * 200_000,
    ),
    Case(
        "Latin-1",
        400,
        ("the file <secrets>/matomo-shop-config is not UTF-8 text",),
        config='{"matomo_url": "https://müsli.example"}'.encode("latin-1"),
    ),
    Case(
        "several problems at once, those of the token too",
        400,
        (
            f"{CONFIG}sites is missing",
            f"{CONFIG}location: '' is not a BigQuery location such as EU or europe-west1",
            f"{CONFIG}trailing_days has to be 1 or more, not -1",
            f"{CONFIG}unknown key 'datasett': did you mean 'dataset'?",
            "the secret matomo-shop-token is empty: put the Matomo token into it",
        ),
        config={"sites": None, "location": "", "trailing_days": -1, "datasett": "x"},
        token="",
    ),
)
