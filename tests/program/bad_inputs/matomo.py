"""How a Matomo may answer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
from tests.program.bad_inputs.case import (
    COUNTRY_SLICES,
    EVERYTHING,
    FIRST,
    SECOND,
    SUMMARY_SLICES,
    Case,
    failed,
    sees,
    slices,
)
from tests.support.canary import CANARY

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from tests.support.shop import Shop

COUNTRIES = "UserCountry.getCountry"
VERSION = "API.getMatomoVersion"
# The time for all of a run: no second try fits into it, since the first wait is longer.
NO_SECOND_TRY = {"MATOMO_FN_TIME_BUDGET": "1"}
AT_ONCE = {"Retry-After": "0"}


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


def expired(place: Shop) -> None:
    place.matomo.tokens.add(CANARY, expired=True)


def nobody_listens(place: Shop) -> None:
    place.matomo.stop()


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
