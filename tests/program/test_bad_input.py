"""Bad input, as a table: what is wrong, and the exact words that the user reads.

Each case goes the whole way: the Functions Framework, a sample Matomo over HTTP, secrets in a folder, a DuckDB
file that an earlier run has filled.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Any
from unittest import mock

import duckdb
import pytest
from google.cloud import bigquery

from fake_matomo import (
    Fault,
    database_down,
    force_ssl,
    html_page,
    maintenance,
    out_of_memory,
    rate_limited,
    too_many_failed_logins,
    upgrade_required,
)
from tests.support import shop
from tests.support.canary import CANARY, assert_absent
from tests.support.shop import DATASET, Shop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from werkzeug.test import TestResponse

    from tests.support.emulator import Emulator

BEFORE, FIRST, SECOND = date(2024, 3, 4), date(2024, 3, 5), date(2024, 3, 6)
# What is asked for unless a case says otherwise.
REQUEST = {
    "connector": "shop",
    "start_date": str(FIRST),
    "end_date": str(SECOND),
    "tables": ["visits_summary", "visitor_country"],
}
COUNTRIES = "UserCountry.getCountry"
VERSION = "API.getMatomoVersion"
# The time for all of a run: no second try fits into it, since the first wait is longer.
NO_SECOND_TRY = {"MATOMO_FN_TIME_BUDGET": "1"}
AT_ONCE = {"Retry-After": "0"}
TABLES = "actions_summary, behaviour_event, behaviour_page, countries, landing_page, marketing_campaigns, referrers"

# A slice: table, site, day. Among what was logged: its status.
Piece = tuple[str, str, date]
GOOD = "written"


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is wrong.

    First what differs from a request that works: ``config`` (keys; None takes one out) or the whole secret as
    text, the ``token`` secret (None: no file), ``env`` (None: not set), ``request`` (keys) or the whole
    ``body``, ``method``, and ``wrong``, which does it to Matomo, files or the warehouse.

    Then what comes of it: HTTP status, the ``errors`` of the answer, the slices ``written``, and the slices
    ``logged`` as failed or pending. ``<url>``, ``<secrets>``, ``<file>`` and so on stand for what differs by run.
    """

    name: str
    status: int
    errors: tuple[str, ...]
    config: Mapping[str, Any] | str | bytes | None = field(default_factory=dict)
    token: str | bytes | None = CANARY
    env: Mapping[str, str | None] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None
    method: str = "POST"
    wrong: Callable[[Shop], object] | None = None
    written: tuple[Piece, ...] = ()
    logged: tuple[tuple[str, Piece], ...] = ()


def slices(table: str, *days: date, site: str = "1") -> tuple[Piece, ...]:
    return tuple((table, site, day) for day in days)


def failed(*slices: Piece) -> tuple[tuple[str, Piece], ...]:
    return tuple(("failed", slice_) for slice_ in slices)


SUMMARY_SLICES = slices("visits_summary", FIRST, SECOND)
COUNTRY_SLICES = slices("visitor_country", FIRST, SECOND)
EVERYTHING = SUMMARY_SLICES + COUNTRY_SLICES


def fault(it: Fault) -> Callable[[Shop], None]:
    return lambda place: place.matomo.faults.add(it)


def version_says(answer: str) -> Callable[[Shop], None]:
    return fault(Fault(method=VERSION, body=answer))


def change_rows(change: Callable[[dict[str, Any]], None], day: date) -> Callable[[object], object]:
    """A mutation of one day's rows in a range answer."""

    def mutate(answer: Any) -> object:
        change_one = answer[str(day)]
        change_one[0] = dict(change_one[0])
        change(change_one[0])
        return answer

    return mutate


def double_first_row(answer: Any) -> object:
    return {day: [rows[0], *rows] if day == str(FIRST) else rows for day, rows in answer.items()}


def without_second_day(answer: Any) -> object:
    return {day: rows for day, rows in answer.items() if day != str(SECOND)}


def site_with(**values: object) -> Callable[[object], object]:
    return lambda answer: [{**site, **values} for site in answer]  # type: ignore[attr-defined]  # a list of sites


def percent(row: dict[str, Any]) -> None:
    row["nb_visits"] = "21%"


def nonsense(row: dict[str, Any]) -> None:
    row["nb_visits"] = "many"


def sql(*statements: str) -> Callable[[Shop], None]:
    """What somebody else did to the warehouse."""

    def run(place: Shop) -> None:
        with duckdb.connect(str(place.warehouse)) as connection:
            for statement in statements:
                connection.execute(statement)

    return run


def no_database(place: Shop) -> None:
    place.warehouse.write_text("date,visits\n2024-03-05,3\n" * 1000)


def a_folder(place: Shop) -> None:
    place.warehouse.unlink()
    place.warehouse.mkdir()


def another_matomo(place: Shop) -> None:
    """A second connector: the same dataset, the same number of a site, but of another Matomo."""
    sql(f"update {DATASET}._sync_log set connector = 'blog', matomo_url = 'https://blog.example.org/'")(place)


def sees(*sites: int) -> Callable[[Shop], None]:
    return lambda place: place.matomo.tokens.add(CANARY, sites=sites)


def expired(place: Shop) -> None:
    place.matomo.tokens.add(CANARY, expired=True)


def nobody_listens(place: Shop) -> None:
    place.matomo.stop()


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
            f"{CONFIG}unknown key 'xyz': known are backfill_days, concurrency, dataset, kms_key, location, "
            "matomo_url, maximum_bytes_billed, page_rows, partition_by, reports, requests_per_minute, "
            "require_partition_filter, sites, timeout_seconds, trailing_days, visits",
        ),
        config={"xyz": 1},
    ),
    Case(
        "the token in the configuration",
        400,
        (
            f"{CONFIG}unknown key 'token_auth': known are backfill_days, concurrency, dataset, kms_key, location, "
            "matomo_url, maximum_bytes_billed, page_rows, partition_by, reports, requests_per_minute, "
            "require_partition_filter, sites, timeout_seconds, trailing_days, visits",
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
        (f"{CONFIG}reports: has to be a list of table names",),
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

EXAMPLE = 'it has to be a JSON object such as {"connector": "shop"}'
REQUESTS = (
    Case("no body", 400, (f"request body is empty: {EXAMPLE}",), body=b""),
    Case(
        "a form",
        400,
        ("request body is not valid JSON: Expecting value (line 1, column 1)",),
        body=b"connector=shop",
    ),
    Case("a string", 400, ("request body has to be a JSON object, not a string",), body=b'"shop"'),
    Case("null", 400, ("request body has to be a JSON object, not null",), body=b"null"),
    Case("a list", 400, ("request body has to be a JSON object, not a list",), body=b'["shop"]'),
    Case("not UTF-8", 400, ("request body is not UTF-8 text",), body=b'{"connector": "\xff\xfe"}'),
    Case(
        "a number of 5,000 digits",
        400,
        ("request body is not valid JSON: it has a number with too many digits",),
        body=b'{"connector": ' + b"1" * 5_000 + b"}",
    ),
    Case("no connector", 400, ("request: connector is missing",), body=b"{}"),
    Case(
        "a misspelt key",
        400,
        ("request: unknown key 'table': did you mean 'tables'?",),
        request={"table": "visitor_country"},
    ),
    Case(
        "a name that no connector can have",
        400,
        ("request: connector: '../shop' is not a connector name: lower-case letters, digits and hyphens",),
        request={"connector": "../shop"},
    ),
    Case(
        "a number for the connector", 400, ("request: connector has to be a string, not 7",), request={"connector": 7}
    ),
    Case(
        "a connector that is not there",
        400,
        (
            "there is no connector 'blog': there is shop (there is no file <secrets>/matomo-blog-config: write the "
            "secret matomo-blog-config into it)",
        ),
        request={"connector": "blog"},
    ),
    Case(
        "a date of another country",
        400,
        ("request: start_date: '05.03.2024' is not a day such as 2026-01-31",),
        request={"start_date": "05.03.2024"},
    ),
    Case(
        "a day that no calendar has",
        400,
        ("request: end_date: there is no day '2024-02-30'",),
        request={"end_date": "2024-02-30"},
    ),
    Case(
        "a moment for a day",
        400,
        ("request: start_date: 1709596800 is not a day such as 2026-01-31",),
        request={"start_date": 1709596800},
    ),
    Case(
        "an end before the start",
        400,
        ("request: start_date 2024-03-06 lies after end_date 2024-03-05",),
        request={"start_date": "2024-03-06", "end_date": "2024-03-05"},
    ),
    Case(
        "an end without a start",
        400,
        ("request: end_date is given without start_date: give both, or start_date alone",),
        request={"start_date": None},
    ),
    Case(
        "days to come",
        400,
        ("request: there is no day from 2999-01-01 to 2999-01-02 that a site has (site 1: 2021-01-01 to <today>)",),
        request={"start_date": "2999-01-01", "end_date": "2999-01-02"},
    ),
    Case(
        "days before the site",
        400,
        ("request: there is no day from 2019-01-01 to 2019-01-02 that a site has (site 1: 2021-01-01 to <today>)",),
        request={"start_date": "2019-01-01", "end_date": "2019-01-02"},
    ),
    Case(
        "a table that nobody has",
        400,
        ("request: connector 'shop' does not have table 'visit_summary': did you mean 'visits_summary'?",),
        request={"tables": ["visit_summary"]},
    ),
    Case(
        "a table that the connector does not have",
        400,
        (
            "request: connector 'shop' does not have table 'visitor_country': add it to \"reports\" in its "
            "configuration, which has visits_summary",
        ),
        config={"reports": ["visits_summary"]},
    ),
    Case(
        "no table",
        400,
        ("request: tables: names no table: list at least one, or leave it out",),
        request={"tables": []},
    ),
    Case(
        "a site that the connector does not have",
        400,
        ("request: connector 'shop' does not have site 2: it has 1",),
        request={"sites": ["2"]},
    ),
    Case(
        "a site of the connector that the token may not see",
        400,
        (
            "site 2 is not there or the token's user may not see it (it sees 1): give it view access in Matomo, or "
            "take the site out of the configuration",
        ),
        config={"sites": ["1", "2"]},
        request={"sites": ["2"]},
        wrong=sees(1),
    ),
    Case(
        "a site that is no list",
        400,
        ('request: sites: has to be a list of site ids, such as ["1", "2"]',),
        request={"sites": "1"},
    ),
    Case(
        "a mode that is none",
        400,
        ("request: mode has to be 'incremental', 'backfill', 'full_refresh' or 'audit', not \"full\"",),
        request={"mode": "full"},
    ),
    Case(
        "a text for true",
        400,
        ('request: dry_run has to be true or false, not "yes"',),
        request={"dry_run": "yes"},
    ),
    Case(
        "several problems at once",
        400,
        (
            "request: connector is missing",
            "request: mode has to be 'incremental', 'backfill', 'full_refresh' or 'audit', not null",
            "request: unknown key 'sites_': did you mean 'sites'?",
        ),
        body=b'{"mode": null, "sites_": []}',
    ),
    Case("GET", 405, ('POST a JSON object such as {"connector": "shop"}, not GET',), method="GET"),
    Case("PUT", 405, ('POST a JSON object such as {"connector": "shop"}, not PUT',), method="PUT"),
)

ENVIRONMENT = (
    Case(
        "a misspelt variable",
        400,
        ("environment: unknown variable MATOMO_FN_TIME_BUGDET: did you mean 'MATOMO_FN_TIME_BUDGET'?",),
        env={"MATOMO_FN_TIME_BUGDET": "60"},
    ),
    Case(
        "a warehouse that is none",
        400,
        ("environment: MATOMO_FN_WAREHOUSE: 'snowflake' is neither bigquery nor duckdb:PATH",),
        env={"MATOMO_FN_WAREHOUSE": "snowflake"},
    ),
    Case(
        "DuckDB without a file",
        400,
        ("environment: MATOMO_FN_WAREHOUSE: 'duckdb:' is neither bigquery nor duckdb:PATH",),
        env={"MATOMO_FN_WAREHOUSE": "duckdb:"},
    ),
    Case(
        "no folder for the secrets",
        400,
        ("environment: MATOMO_FN_SECRETS: '/no/such/folder' is neither secret-manager nor a folder that exists",),
        env={"MATOMO_FN_SECRETS": "/no/such/folder"},
    ),
    Case(
        "no project for Secret Manager",
        400,
        (
            "environment: GOOGLE_CLOUD_PROJECT is not set: it names the project of the secrets and the dataset "
            "(for a local run set MATOMO_FN_SECRETS to a folder and MATOMO_FN_WAREHOUSE to duckdb:PATH)",
        ),
        env={"MATOMO_FN_SECRETS": None},
    ),
    Case(
        "a time that is no number",
        400,
        ('environment: MATOMO_FN_TIME_BUDGET has to be a whole number, not "9m"',),
        env={"MATOMO_FN_TIME_BUDGET": "9m"},
    ),
    Case(
        "a time too long",
        400,
        ("environment: MATOMO_FN_TIME_BUDGET has to be 86400 or less, not 100000",),
        env={"MATOMO_FN_TIME_BUDGET": "100000"},
    ),
    Case(
        "a form of logs that is none",
        400,
        ("environment: MATOMO_FN_LOG_FORMAT has to be 'auto', 'json' or 'text', not \"xml\"",),
        env={"MATOMO_FN_LOG_FORMAT": "xml"},
    ),
    Case(
        "an address of the emulator that is none",
        400,
        ("environment: BIGQUERY_EMULATOR_HOST: 'ftp://x' is not an address such as 127.0.0.1:9050",),
        env={"BIGQUERY_EMULATOR_HOST": "ftp://x"},
    ),
    Case(
        "a pinned version that is no number",
        400,
        ("environment: MATOMO_FN_SECRET_VERSIONS: 'matomo-shop-token=latest' does not read like matomo-shop-token=3",),
        env={"MATOMO_FN_SECRET_VERSIONS": "matomo-shop-token=latest"},
    ),
    Case(
        "a pinned version of a file",
        400,
        ("environment: MATOMO_FN_SECRET_VERSIONS pins versions in Secret Manager; a folder has none",),
        env={"MATOMO_FN_SECRET_VERSIONS": "matomo-shop-token=3"},
    ),
    Case(
        "several problems at once",
        400,
        (
            "environment: unknown variable MATOMO_FN_SECRET: did you mean 'MATOMO_FN_SECRETS'?",
            "environment: MATOMO_FN_WAREHOUSE: 'postgres' is neither bigquery nor duckdb:PATH",
            "environment: MATOMO_FN_BUFFER_MEGABYTES has to be 1 or more, not 0",
        ),
        env={"MATOMO_FN_SECRET": "x", "MATOMO_FN_WAREHOUSE": "postgres", "MATOMO_FN_BUFFER_MEGABYTES": "0"},
    ),
)

SECRETS = (
    Case(
        "no configuration",
        400,
        ("there is no file <secrets>/matomo-shop-config: write the secret matomo-shop-config into it",),
        config=None,
    ),
    Case(
        "no token",
        400,
        ("there is no file <secrets>/matomo-shop-token: write the secret matomo-shop-token into it",),
        token=None,
    ),
    Case(
        "an empty token",
        400,
        ("the secret matomo-shop-token is empty: put the Matomo token into it",),
        token=" \n",
    ),
    Case(
        "two lines",
        400,
        ("the secret matomo-shop-token has more than one line: it has to be the token alone",),
        token=f"# of the user sync\n{CANARY}\n",
    ),
    Case(
        "bytes that are no text",
        400,
        ("the file <secrets>/matomo-shop-token is not UTF-8 text",),
        token=b"\xff\xfe" + CANARY.encode("utf-16-le"),
    ),
    Case(
        "a folder for a file",
        400,
        ("the file <secrets>/matomo-shop-token cannot be read: Is a directory",),
        token=None,
        wrong=lambda place: (place.secrets / "matomo-shop-token").mkdir(),
    ),
    Case(
        "a byte order mark, as editors on Windows write it, does no harm",
        200,
        (),
        token=b"\xef\xbb\xbf" + CANARY.encode(),
        written=EVERYTHING,
    ),
)

REFUSED = "Matomo refused the token: it is wrong, expired or revoked. Put a valid one into the token secret"
MATOMO = (
    Case("a wrong token", 400, (REFUSED,), token="f" * 32),
    Case("an expired token", 400, (REFUSED,), wrong=expired),
    Case(
        "a revoked token, in the middle of a run",
        400,
        (REFUSED,),
        wrong=fault(
            Fault(
                method="VisitsSummary.get|UserCountry.getCountry",
                status=401,
                message="Unable to authenticate with the provided token. It is either invalid or expired.",
            )
        ),
    ),
    Case(
        "a blocked address",
        400,
        (
            "Matomo has blocked this address after too many refused tokens: check the token secret, wait an hour, "
            "or have an administrator unblock the address",
        ),
        wrong=fault(too_many_failed_logins()),
    ),
    Case(
        "no site to see",
        502,
        (
            "Matomo says: You can't access this resource as it requires view access for at least one website. "
            "Give the token's user view access, or take the site out",
        ),
        wrong=sees(),
    ),
    Case(
        "no site at all",
        400,
        ("the token's user may see no site at all: give it view access to the sites in Matomo",),
        wrong=fault(Fault(method="SitesManager.*", body="[]")),
    ),
    Case(
        "a configured site that the token may not see: the others go on",
        502,
        (
            "site 9 is not there or the token's user may not see it (it sees 1, 2): give it view access in Matomo, "
            "or take the site out of the configuration",
        ),
        config={"sites": ["1", "9"]},
        written=EVERYTHING,
    ),
    Case(
        "only sites that the token may not see",
        400,
        (
            "site 2 is not there or the token's user may not see it (it sees 1): give it view access in Matomo, or "
            "take the site out of the configuration",
        ),
        config={"sites": ["2"]},
        wrong=sees(1),
    ),
    Case(
        "maintenance that does not end",
        502,
        (f"{VERSION}: Matomo is in maintenance or overloaded (HTTP 503)",),
        wrong=fault(replace(maintenance(), headers=AT_ONCE)),
    ),
    Case(
        "maintenance that ends: tried again",
        200,
        (),
        wrong=fault(replace(maintenance(Fault(times=2)), headers=AT_ONCE)),
        written=EVERYTHING,
    ),
    Case(
        "an upgrade that waits",
        502,
        (
            f"{VERSION}: Matomo says: Database Upgrade Required. Your Matomo database is out-of-date, and must be "
            "upgraded before you can continue. (HTTP 503)",
        ),
        wrong=fault(replace(upgrade_required(), headers=AT_ONCE)),
    ),
    Case(
        "no database for one report: the others go on",
        502,
        tuple(
            f"visitor_country of site 1 on {day}: {COUNTRIES}: Matomo says: SQLSTATE[HY000] [2002] Connection refused"
            for day in (FIRST, SECOND)
        ),
        wrong=fault(replace(database_down(Fault(method=COUNTRIES)), headers=AT_ONCE)),
        written=SUMMARY_SLICES,
        logged=failed(*COUNTRY_SLICES),
    ),
    Case(
        "no database at all",
        502,
        (f"{VERSION}: Matomo says: SQLSTATE[HY000] [2002] Connection refused (HTTP 500)",),
        wrong=fault(replace(database_down(), headers=AT_ONCE)),
    ),
    Case(
        "too little memory for a range: asked by days",
        200,
        (),
        wrong=fault(out_of_memory(Fault(method=COUNTRIES, in_bulk=False))),
        written=EVERYTHING,
    ),
    Case(
        "too little memory for one day: that slice fails",
        502,
        (
            f"visitor_country of site 1 on {SECOND}: {COUNTRIES}: Matomo says: Allowed memory size of 20971520 bytes "
            "exhausted (tried to allocate 2097152 bytes)",
        ),
        wrong=fault(out_of_memory(Fault(method=COUNTRIES, day=SECOND))),
        written=SUMMARY_SLICES + slices("visitor_country", FIRST),
        logged=failed(*slices("visitor_country", SECOND)),
    ),
    Case(
        "over the limit of requests, for a moment",
        200,
        (),
        wrong=fault(rate_limited(Fault(times=1), retry_after="0")),
        written=EVERYTHING,
    ),
    Case(
        "over the limit of requests, for longer than a run waits",
        502,
        (f"{VERSION}: Matomo limits how often it is asked (HTTP 429)",),
        wrong=fault(rate_limited(retry_after="3600")),
    ),
    Case(
        "a redirect to https",
        502,
        ("Matomo redirects to https://<host>/: set matomo_url to the address that it redirects to",),
        wrong=fault(force_ssl()),
    ),
    Case(
        "a proxy's page",
        502,
        (f"{VERSION}: the answer is an HTML page, not Matomo's API: check matomo_url",),
        env=NO_SECOND_TRY,
        wrong=fault(html_page()),
    ),
    Case(
        "a firewall",
        502,
        (
            "a firewall or the web server in front of Matomo refuses the call (HTTP 403): let this program's address "
            "or its User-Agent through, or check matomo_url",
        ),
        wrong=fault(Fault(status=403, body="<html>Forbidden</html>", content_type="text/html")),
    ),
    Case(
        "a wrong path",
        502,
        ("there is no Matomo at this address (HTTP 404): check matomo_url",),
        config={"matomo_url": "<url>analytics/"},
    ),
    Case(
        "nobody listens",
        502,
        ("<url>: the connection was refused: check that the server runs, and the port in matomo_url",),
        env=NO_SECOND_TRY,
        wrong=nobody_listens,
    ),
    Case(
        "a name that nobody knows",
        502,
        ("https://matomo.invalid/: its name is not known: check matomo_url",),
        config={"matomo_url": "https://matomo.invalid"},
        env=NO_SECOND_TRY,
    ),
    Case(
        "https where http is spoken",
        502,
        ("https://<host>/: there is no HTTPS at that address: check matomo_url and the server",),
        config={"matomo_url": "https://<host>/"},
        env=NO_SECOND_TRY,
    ),
    Case(
        "an answer that breaks off",
        502,
        (f"<url>: the answer to {VERSION} broke off",),
        env=NO_SECOND_TRY,
        wrong=fault(Fault(cut=5)),
    ),
    Case(
        "a connection that breaks off",
        502,
        ("<url>: the connection broke off",),
        env=NO_SECOND_TRY,
        wrong=fault(Fault(reset=True)),
    ),
    Case(
        "a PHP notice in front of the JSON does no harm",
        200,
        (),
        wrong=fault(Fault(notice=True)),
        written=EVERYTHING,
    ),
    Case(
        "a version that is none",
        502,
        (f"{VERSION} answers 'next', which is no version",),
        wrong=version_says('{"value": "next"}'),
    ),
    Case("no version at all", 502, (f"{VERSION} answers no version",), wrong=version_says("[]")),
    Case(
        "a time zone that nobody knows",
        400,
        ('site 1: Matomo\'s settings of the site cannot be read: there is no time zone "Mars/Olympus"',),
        wrong=fault(Fault(method="SitesManager.*", mutate=site_with(timezone="Mars/Olympus"))),
    ),
    Case(
        "an object for the list of sites",
        502,
        ("SitesManager.getSitesWithAtLeastViewAccess answers no list of sites",),
        wrong=fault(Fault(method="SitesManager.*", body="{}")),
    ),
    Case(
        "a text for a number in one row: that slice fails",
        502,
        (
            f'visitor_country of site 1 on {FIRST}: {COUNTRIES}: row 1 ("France"): nb_visits is "many", not a whole '
            "number",
        ),
        wrong=fault(Fault(method=COUNTRIES, mutate=change_rows(nonsense, FIRST))),
        written=SUMMARY_SLICES + slices("visitor_country", SECOND),
        logged=failed(*slices("visitor_country", FIRST)),
    ),
    Case(
        "a percentage for a count: that slice fails",
        502,
        (
            f'visitor_country of site 1 on {FIRST}: {COUNTRIES}: row 1 ("France"): nb_visits is "21%", not a whole '
            "number",
        ),
        wrong=fault(Fault(method=COUNTRIES, mutate=change_rows(percent, FIRST))),
        written=SUMMARY_SLICES + slices("visitor_country", SECOND),
        logged=failed(*slices("visitor_country", FIRST)),
    ),
    Case(
        "a row twice: that slice fails",
        502,
        (
            f'visitor_country of site 1 on {FIRST}: Matomo answers two rows for country="France", _is_others=false: '
            "table visitor_country can hold one",
        ),
        wrong=fault(Fault(method=COUNTRIES, mutate=double_first_row)),
        written=SUMMARY_SLICES + slices("visitor_country", SECOND),
        logged=failed(*slices("visitor_country", FIRST)),
    ),
    Case(
        "a day missing in a range: asked by days",
        200,
        (),
        wrong=fault(Fault(method=COUNTRIES, in_bulk=False, mutate=without_second_day)),
        written=EVERYTHING,
    ),
    Case(
        "a plugin that is switched off",
        502,
        tuple(
            f"visitor_country of site 1 on {day}: {COUNTRIES}: Matomo says: The plugin UserCountry is not enabled. "
            "You can activate the plugin on Settings > Plugins page in Matomo."
            for day in (FIRST, SECOND)
        ),
        wrong=lambda place: place.matomo.deactivate_plugin("UserCountry"),
        written=SUMMARY_SLICES,
        logged=failed(*COUNTRY_SLICES),
    ),
)

CLASH = "It was left as it is: rename or drop it, or give the connector another dataset"
TABLE = f"table {DATASET}.visitor_country exists and does not fit: "
WAREHOUSE = (
    Case(
        "a column of another type: the other tables are written",
        500,
        (f"{TABLE}column visits is STRING, not INT64. {CLASH}",),
        wrong=sql(f"alter table {DATASET}.visitor_country alter visits type varchar"),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a view in the table's place",
        500,
        (f"{TABLE}it is a view. {CLASH}",),
        wrong=sql(
            f"drop table {DATASET}.visitor_country",
            f"create view {DATASET}.visitor_country as select 1 as visits",
        ),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a column that has to have a value, and nothing gives it one",
        500,
        (f"{TABLE}column note is required and nothing fills it. {CLASH}",),
        wrong=sql(
            f"drop table {DATASET}.visitor_country",
            f"create table {DATASET}.visitor_country (date date not null, note varchar not null)",
        ),
        written=SUMMARY_SLICES,
    ),
    Case(
        "a table in place of the view of the log",
        500,
        (f"{DATASET}._sync_state is a table where a view belongs. It was left as it is: rename or drop it",),
        wrong=sql(f"drop view {DATASET}._sync_state", f"create table {DATASET}._sync_state (x integer)"),
    ),
    Case(
        "a log of another make",
        500,
        (f"table {DATASET}._sync_log exists and does not fit: column run_id is INT64, not STRING. {CLASH}",),
        wrong=sql(
            f"drop view {DATASET}._sync_state",
            f"drop table {DATASET}._sync_log",
            f"create table {DATASET}._sync_log (date date, run_id bigint)",
        ),
    ),
    Case(
        "another Matomo's sites in the dataset",
        400,
        (
            f"connector 'blog' fills site 1 of dataset {DATASET} from https://blog.example.org/: give connector "
            "'shop' a dataset of its own, since tables tell sites by number alone",
        ),
        request={"start_date": str(BEFORE)},
        wrong=another_matomo,
    ),
    Case(
        "a file that is no database",
        500,
        (
            'the DuckDB file <file> cannot be opened (IO Error: The file "<file>" exists, but it is not a valid DuckDB '
            "database file!): name another one in MATOMO_FN_WAREHOUSE",
        ),
        wrong=no_database,
    ),
    Case(
        "a folder for the file",
        500,
        (
            'the DuckDB file <file> cannot be opened (IO Error: Could not read from file "<file>": Is a directory): '
            "name another one in MATOMO_FN_WAREHOUSE",
        ),
        wrong=a_folder,
    ),
    Case(
        "a file for a folder on the way",
        500,
        (
            "the DuckDB file <file>/warehouse.duckdb cannot be opened ([Errno 17] File exists: '<file>'): name another "
            "one in MATOMO_FN_WAREHOUSE",
        ),
        env={"MATOMO_FN_WAREHOUSE": "duckdb:<file>/warehouse.duckdb"},
    ),
)

CASES = {
    "configuration": CONFIGURATION,
    "request": REQUESTS,
    "environment": ENVIRONMENT,
    "secrets": SECRETS,
    "Matomo": MATOMO,
    "warehouse": WAREHOUSE,
}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse that a run of the day before has filled."""
    with shop.running(tmp_path_factory.mktemp("filled")) as place, mock.patch.dict("os.environ", place.env):
        request = {**REQUEST, "start_date": str(BEFORE), "end_date": str(BEFORE)}
        assert shop.http().post("/", json=request).status_code == 200
    return place.warehouse


@pytest.fixture
def place(tmp_path: Path, filled: Path) -> Iterator[Shop]:
    """A sample Matomo and everything else that a run needs, with that day in the warehouse."""
    with shop.running(tmp_path) as running:
        shutil.copy(filled, running.warehouse)
        yield running


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{part}: {case.name}") for part, cases in CASES.items() for case in cases]
)
def test_bad_input_is_answered_in_sentences_and_leaves_nothing_half_written(
    case: Case, place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """Status and sentences are these very ones; the warehouse has what the case says in addition, else nothing."""
    url = place.matomo.url
    spoil(case, place, url)
    before = kept(place.warehouse)
    answer = post(case, place, url)
    output = "".join(capfd.readouterr())
    assert (answer.status_code, sentences(answer, place, url)) == (case.status, case.errors)
    assert "Traceback" not in output + answer.text
    assert_absent(answer=answer.text, output=output, warehouse=place.warehouse)
    assert changes(before, place.warehouse) == (set(case.written), sorted(case.logged))


def test_a_file_that_another_process_has_open_is_named_and_can_wait(
    place: Shop, capfd: pytest.CaptureFixture[str]
) -> None:
    """DuckDB lets one process write: 503, so that a scheduler tries again, and the file is as it was."""
    before = kept(place.warehouse)
    with another_process(place.warehouse):
        answer = post(Case("locked", 503, ()), place, place.matomo.url)
    output = "".join(capfd.readouterr())
    assert answer.status_code == 503
    assert sentences(answer, place, place.matomo.url) == (
        "the DuckDB file <file> is open in another process: close it there, then try again",
    )
    assert "Traceback" not in output + answer.text
    assert are_same(before, place.warehouse)
    assert post(Case("free again", 200, ()), place, place.matomo.url).status_code == 200


def test_a_dataset_of_bigquery_in_another_location_stays_empty(
    place: Shop, emulator: Emulator, dataset_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No job could reach it, and none is tried."""
    with emulator.client() as client:
        dataset = bigquery.Dataset(f"{emulator.project}.{dataset_name}")
        dataset.location = "US"
        client.create_dataset(dataset)
        case = on_bigquery(emulator, dataset_name)
        spoil(case, place, place.matomo.url)
        answer = post(case, place, place.matomo.url)
        assert (answer.status_code, sentences(answer, place, "-")) == (
            500,
            (
                f'dataset test.{dataset_name} is in US, but the connector\'s location is EU: set "location" to '
                '"US", or give the connector another dataset',
            ),
        )
        assert list(client.list_tables(dataset_name)) == []
    assert "Traceback" not in "".join(capfd.readouterr())


def test_a_table_of_bigquery_with_other_partitions_stays_as_it_is(
    place: Shop, emulator: Emulator, dataset_name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Partitions cannot be changed afterwards: the table is refused, the other one written."""
    with emulator.client() as client:
        dataset = bigquery.Dataset(f"{emulator.project}.{dataset_name}")
        dataset.location = "EU"
        client.create_dataset(dataset)
        name = f"{emulator.project}.{dataset_name}.visitor_country"
        table = bigquery.Table(name, schema=[bigquery.SchemaField("date", "DATE")])
        table.time_partitioning = bigquery.TimePartitioning(type_="MONTH", field="date")
        client.create_table(table)
        case = on_bigquery(emulator, dataset_name)
        spoil(case, place, place.matomo.url)
        answer = post(case, place, place.matomo.url)
        assert (answer.status_code, sentences(answer, place, "-")) == (
            500,
            (
                f"table {name} exists and does not fit: it is partitioned by month, not by day of the column date. "
                f"{CLASH}",
            ),
        )
        assert len(client.get_table(name).schema) == 1
        found = {each.table_id for each in client.list_tables(dataset_name)}
        assert found == {"_sync_log", "_sync_runs", "_sync_state", "visitor_country", "visits_summary"}
        rows = client.query_and_wait(f"select distinct table_name, status from `{dataset_name}._sync_log`")
        assert [tuple(row.values()) for row in rows] == [("visits_summary", "written")]
    output = "".join(capfd.readouterr())
    assert "Traceback" not in output
    assert_absent(answer=answer.text, output=output)


def on_bigquery(emulator: Emulator, dataset: str) -> Case:
    """A request that is right, for a dataset of the emulator."""
    env = {
        "MATOMO_FN_WAREHOUSE": "bigquery",
        "GOOGLE_CLOUD_PROJECT": emulator.project,
        "BIGQUERY_EMULATOR_HOST": emulator.address,
    }
    return Case("on BigQuery", 500, (), config={"dataset": dataset}, env=env)


def test_two_connectors_may_share_a_dataset_of_one_matomo(place: Shop) -> None:
    """The counter-check of the case with two Matomos: with one, both connectors' sites stand side by side."""
    config = json.dumps({"matomo_url": place.matomo.url, "sites": ["2"], "dataset": DATASET})
    (place.secrets / "matomo-docs-config").write_text(config)
    (place.secrets / "matomo-docs-token").write_text(CANARY)
    before = kept(place.warehouse)
    case = Case("both", 200, (), request={"connector": "docs"})
    assert post(case, place, place.matomo.url).status_code == 200
    written = {(table, "2", day) for table, _, day in EVERYTHING}
    assert changes(before, place.warehouse) == (written, [])


def test_a_request_without_anything_wrong_writes_what_it_asks_for(place: Shop) -> None:
    """The counter-check of all cases: 200, no errors, four slices."""
    before = kept(place.warehouse)
    answer = post(Case("right", 200, ()), place, place.matomo.url)
    assert (answer.status_code, sentences(answer, place, "")) == (200, ())
    assert changes(before, place.warehouse) == (set(EVERYTHING), [])


def test_the_table_has_more_than_forty_cases_and_each_says_what_the_user_reads() -> None:
    """The issue asks for forty, of six kinds; a case without a sentence is one that works all the same."""
    cases = [case for part in CASES.values() for case in part]
    assert len(cases) > 40
    assert all(bool(case.errors) == (case.status != 200) for case in cases)


@contextmanager
def another_process(file: Path) -> Iterator[None]:
    """A process that has a DuckDB file open."""
    program = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        process.communicate()


def spoil(case: Case, place: Shop, url: str) -> None:
    """Make everything as the case has it."""
    if isinstance(case.config, str | bytes):
        place.write("config", case.config)
    elif case.config is None:
        (place.secrets / "matomo-shop-config").unlink()
    else:
        values = {"matomo_url": url, "sites": ["1"], **case.config}
        text = json.dumps({key: value for key, value in values.items() if value is not None})
        place.write("config", filled_in(text, place, url))
    if case.token is None:
        (place.secrets / "matomo-shop-token").unlink()
    else:
        place.write("token", case.token)
    if case.wrong:
        case.wrong(place)


def post(case: Case, place: Shop, url: str) -> TestResponse:
    env = {**place.env, **{name: value for name, value in case.env.items() if value is not None}}
    for name, value in case.env.items():
        if value is None:
            del env[name]
    env = {name: filled_in(value, place, url) for name, value in env.items()}
    request = {key: value for key, value in {**REQUEST, **case.request}.items() if value is not None}
    body = json.dumps(request).encode() if case.body is None else case.body
    with mock.patch.dict("os.environ", env):
        return shop.http().open("/", method=case.method, data=body)


def markers(place: Shop, url: str) -> dict[str, str]:
    return {
        "<url>": url,
        "<host>": url.removeprefix("http://").rstrip("/"),
        "<secrets>": str(place.secrets),
        "<file>": str(place.warehouse),
    }


def filled_in(text: str, place: Shop, url: str) -> str:
    for marker, value in markers(place, url).items():
        text = text.replace(marker, value)
    return text


def sentences(answer: TestResponse, place: Shop, url: str) -> tuple[str, ...]:
    """The errors of an answer, with markers in place of what differs from run to run."""
    found = []
    for sentence in answer.get_json()["errors"]:
        text = sentence
        for marker, value in markers(place, url).items():
            text = text.replace(value, marker)
        found.append(re.sub(r"(?<=2021-01-01 to )\d{4}-\d\d-\d\d", "<today>", text))
    return tuple(found)


def kept(file: Path) -> Path:
    """Put a copy of the warehouse, or of what stands in its place, aside."""
    aside = file.with_name("before")
    if file.is_dir():
        shutil.copytree(file, aside)
    else:
        shutil.copy(file, aside)
    return aside


def are_same(one: Path, other: Path) -> bool:
    """Whether two warehouses do not differ in a byte."""
    if one.is_dir() and other.is_dir():
        return not list(one.iterdir()) + list(other.iterdir())
    return one.read_bytes() == other.read_bytes() and not other.with_name(f"{other.name}.wal").exists()


def changes(earlier: Path, later: Path) -> tuple[set[Piece], list[tuple[str, Piece]]]:
    """Return the slices whose rows are others than before, and those that were logged without being written.

    A table or view that has come or gone, a row of the log that changed, a stamp that moved: all are refused. Of the
    run itself, whatever became of it, there is one row more in the record of runs.
    """
    if are_same(earlier, later):
        return set(), []
    before, after = shop.contents(earlier), shop.contents(later)
    tables = (DATASET, "visits_summary"), (DATASET, "visitor_country")
    old, new = (by_slice({table: content.get(table, []) for table in tables}) for content in (before, after))
    others = [{key: rows for key, rows in content.items() if key not in tables} for content in (before, after)]
    log = [content.pop((DATASET, "_sync_log"), []) for content in others]
    runs = [content.pop((DATASET, "_sync_runs"), []) for content in others]
    for content in others:
        content.pop((DATASET, "_sync_state"), None)
    assert others[0] == others[1]
    assert set(before) == set(after)
    assert [row for row in log[1] if row in log[0]] == log[0]
    assert [row for row in runs[1] if row in runs[0]] == runs[0]
    assert len(runs[1]) == len(runs[0]) + 1
    added = [
        (row["status"], (row["table_name"], row["website_id"], row["date"])) for row in log[1] if row not in log[0]
    ]
    written = {slice_ for slice_ in old.keys() | new.keys() if old.get(slice_) != new.get(slice_)}
    assert {slice_ for status, slice_ in added if status == "written"} == written
    return written, sorted((status, slice_) for status, slice_ in added if status != "written")


def by_slice(content: shop.Contents) -> dict[Piece, list[dict[str, Any]]]:
    found: dict[Piece, list[dict[str, Any]]] = {}
    for (_, table), rows in content.items():
        for row in rows:
            found.setdefault((table, row.get("website_id", ""), row.get("date", BEFORE)), []).append(row)
    return found
