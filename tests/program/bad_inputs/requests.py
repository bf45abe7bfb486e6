"""What a caller may send."""

from __future__ import annotations

from tests.program.bad_inputs.case import (
    Case,
    sees,
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
        (
            "request: mode has to be 'incremental', 'intraday', 'sweep', 'backfill', 'full_refresh', 'audit', "
            "'reconcile' or 'deliver', not \"full\"",
        ),
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
            "request: mode has to be 'incremental', 'intraday', 'sweep', 'backfill', 'full_refresh', 'audit', "
            "'reconcile' or 'deliver', not null",
            "request: unknown key 'sites_': did you mean 'sites'?",
        ),
        body=b'{"mode": null, "sites_": []}',
    ),
    Case("PUT", 405, ('POST a JSON object such as {"connector": "shop"}, not PUT',), method="PUT"),
)
