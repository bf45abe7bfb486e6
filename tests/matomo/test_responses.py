"""What each answer means: the error and the sentence for every recorded one, and for those that cannot be recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.errors import (
    InvalidResponse,
    MatomoError,
    MatomoFatal,
    MatomoUnavailable,
    ReportRefused,
    SegmentRefused,
    TokenRefused,
)
from matomo_fn.matomo import responses
from matomo_fn.matomo.responses import AccessRefused, PluginOff, VisitsLogOff, parse_response
from matomo_fn.matomo.transport import Reply
from tests.support.recordings import Replay, all_recordings, error_of, read

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTICE = (
    "<br />\n<b>Notice</b>:  Undefined index: a[0] in <b>/var/www/matomo/core/Db.php</b> on line <b>42</b><br />\n"
    "<br />\n<b>Warning</b>:  foreach() argument {closure} must be of type array<br />\n"
)
_HELP = "Give the token's user view access, or take the site out"
_DATE = (
    "Date format must be: YYYY-MM-DD, or 'today' or 'yesterday' or any keyword supported by the strtotime function "
    "(see http://php.net/strtotime for more information): false"
)
_PLUGIN_OFF = "is not enabled."
_PLUGIN = "is not enabled. You can activate the plugin on Settings {} Plugins page in Matomo."
_PAGE = """'<!DOCTYPE html> <html> <head> <meta charset="utf-8"> <meta name="robots" content'"""
_UPGRADE = (
    "VisitsSummary.get: Matomo says: Database Upgrade Required. Your Matomo database is out-of-date, and must be "
    "upgraded before you can continue. (HTTP 503)"
)
_HTML = "the answer is an HTML page, not Matomo's API: check matomo_url"
_NO_JSON = "the answer is not JSON; it may have been cut off: "

REFUSED = (
    TokenRefused,
    "Matomo refused the token: it is wrong, expired or revoked. Put a valid one into the token secret",
)
BLOCKED = (
    TokenRefused,
    "Matomo has blocked this address after too many refused tokens: check the token secret, wait an hour, or have an "
    "administrator unblock the address",
)
MAINTENANCE = (MatomoUnavailable, "VisitsSummary.get: Matomo is in maintenance or overloaded (HTTP 503)")
MEMORY = (
    ReportRefused,
    "Live.getLastVisitsDetails: Matomo says: Allowed memory size of 20971520 bytes exhausted (tried to allocate "
    "2097152 bytes)",
)


def no_view(site: int) -> tuple[type[MatomoError], str]:
    return AccessRefused, f"Matomo says: {view(site)} {_HELP}"


def view(site: int) -> str:
    return f"You can't access this resource as it requires 'view' access for the website id = {site}."


def says(text: str, method: str = "VisitsSummary.get") -> tuple[type[MatomoError], str]:
    return PluginOff if _PLUGIN_OFF in text else ReportRefused, f"{method}: Matomo says: {text}"


def no_json(name: str) -> tuple[type[MatomoError], str]:
    """The sentence ends with the first characters of the answer, of which it makes one line."""
    recording = read(name)
    line = recording.body[:80].replace("\t", " ")
    return MatomoUnavailable, f"{recording.method}: {_NO_JSON}{line!r}"


IDS = says("Website IDs could not be read from the request, ie. idSite=")

NO_SUPERUSER = (
    AccessRefused,
    "Matomo says: You can't access this resource as it requires a 'superuser' access. Give the token's user view "
    "access, or take the site out",
)
_COUNTRY_XML = (
    MatomoUnavailable,
    f"""UserCountry.getCountry: {_NO_JSON}'<?xml version="1.0" encoding="utf-8" ?> <result> <row> """
    "<label>France</label> <nb'",
)

# Every recording of trouble: the error that it is, or OK where the answer is a value.
OK = None
EXPECTED: dict[str, tuple[type[MatomoError], str] | None] = {
    "bruteforce_blocked_bad_token.json": BLOCKED,
    "bruteforce_blocked_bulk.json": BLOCKED,
    "bruteforce_blocked_good_token.json": BLOCKED,
    "bruteforce_blocked_good_token_all_post.json": BLOCKED,
    "bruteforce_blocked_no_token.json": no_view(1),
    "bulk_101_urls_cut_to_100.json": OK,
    "bulk_101_urls_filter_limit-1.json": OK,
    "bulk_20_urls.json": OK,
    "bulk_5_urls_outer_filter_limit-2.json": OK,
    "bulk_5_urls_outer_filter_offset-2.json": OK,
    "bulk_GET.json": OK,
    "bulk_all_errors.json": OK,
    "bulk_empty.json": says("Please specify a value for 'urls'.", "API.getBulkRequest"),
    "bulk_empty_and_objects.json": OK,
    "bulk_errors_inside.json": OK,
    "bulk_filter_limit_inner_-1_outer_none.json": OK,
    "bulk_format_csv.json": no_json("bulk_format_csv.json"),
    "bulk_format_xml.json": (
        MatomoUnavailable,
        f"""API.getBulkRequest: {_NO_JSON}'<?xml version="1.0" encoding="utf-8" ?> <result> <row> """
        "<nb_uniq_visitors>68</nb_'",
    ),
    "bulk_inner_bad_token.json": OK,
    "bulk_inner_other_token.json": OK,
    "bulk_leading_questionmark.json": OK,
    "bulk_live_and_sites.json": OK,
    "bulk_method_in_url.json": OK,
    "bulk_method_in_url_bad_token.json": REFUSED,
    "bulk_module_and_format_inside.json": OK,
    "bulk_nested_bulk.json": OK,
    "bulk_no_token.json": OK,
    "bulk_not_array.json": OK,
    "bulk_order_gap.json": OK,
    "bulk_outer_bad_token.json": REFUSED,
    "bulk_outer_filter_pattern.json": OK,
    "bulk_outer_params_leak.json": OK,
    "bulk_plus_and_amp.json": OK,
    "bulk_secure_only_token.json": OK,
    "bulk_segment_double_encoded.json": OK,
    "bulk_segment_single_encoded.json": OK,
    "bulk_segment_unencoded.json": OK,
    "bulk_token_outer_only.json": OK,
    "days_VisitTime.getByDayOfWeek.json": says(
        "VisitTime.getByDayOfWeek does not support multiple dates.", "VisitTime.getByDayOfWeek"
    ),
    "down_database_unreachable_params_in_url.json": (
        MatomoUnavailable,
        "VisitsSummary.get: Matomo says: SQLSTATE[HY000] [2002] Connection refused (HTTP 500)",
    ),
    "down_database_unreachable_post.json": (MatomoUnavailable, f"VisitsSummary.get: HTTP 500 {_PAGE}"),
    "down_maintenance_mode_params_in_url.json": MAINTENANCE,
    "down_maintenance_mode_post.json": MAINTENANCE,
    "down_php_out_of_memory_params_in_url.json": MEMORY,
    "down_php_out_of_memory_post.json": MEMORY,
    "down_upgrade_required_params_in_url.json": (MatomoUnavailable, _UPGRADE),
    "down_upgrade_required_post.json": (MatomoUnavailable, _UPGRADE),
    "date_before_1990s.json": says(
        "The date '1970-01-01' is a date before first website was online. Try date that's after Aug 6, 1991 "
        "(timestamp 681436800).: 0"
    ),
    "days_Referrers.getAll.json": says(
        "Referrers.getAll with multiple sites or dates is not supported (yet).", "Referrers.getAll"
    ),
    "error_bad_date.json": says(_DATE),
    "error_bad_date_feb30.json": OK,
    "error_bad_date_text.json": says(_DATE),
    "error_bad_format.json": (
        MatomoUnavailable,
        f"VisitsSummary.get: {_NO_JSON}\"Error: Renderer format 'nope' not valid. Try any of the following instead: "
        'conso"',
    ),
    "error_bad_period.json": says(
        "The period 'hour' is not supported. Try any of the following instead: day, week, month, year, range"
    ),
    "error_bad_segment_name.json": (SegmentRefused, says("Segment 'nope' is not a supported segment.")[1]),
    "error_bad_segment_syntax.json": (SegmentRefused, says("The segment condition 'countryCode' is not valid.")[1]),
    "error_bad_segment_view_denied.json": OK,
    "error_bad_token_format_xml_post.json": REFUSED,
    "error_bad_token_get.json": REFUSED,
    "error_bad_token_post.json": REFUSED,
    "error_bad_token_post_module_in_url.json": REFUSED,
    "error_bad_token_post_params_in_url.json": REFUSED,
    "error_bearer_header.json": no_view(1),
    "error_bearer_header_force_api_session.json": no_view(1),
    "error_custom_dimension_inactive.json": says(
        "Dimension 3 for website 1 is not active.", "CustomDimensions.getCustomDimension"
    ),
    "error_custom_dimension_missing.json": says(
        "Please specify a value for 'idDimension'.", "CustomDimensions.getCustomDimension"
    ),
    "error_custom_dimension_unknown.json": says(
        "Dimension 77 for website 1 does not exist.", "CustomDimensions.getCustomDimension"
    ),
    "error_ecommerce_site_without.json": OK,
    "error_empty_token.json": no_view(1),
    "error_expired_token.json": REFUSED,
    "error_filter_limit_-5.json": OK,
    "error_filter_limit_text.json": OK,
    "error_goal_unknown.json": OK,
    "error_idsite_text.json": IDS,
    "error_json_body.json": no_view(1),
    "error_method_malformed.json": says("The method name is invalid. Expected 'module.methodName'", "foo"),
    "error_missing_date.json": says("Please specify a value for 'date'."),
    "error_missing_idsite.json": says("Please specify a value for 'idSite'."),
    "error_missing_method.json": says(
        "The parameter 'method' isn't set in the Request, and a default value wasn't provided.", "none"
    ),
    "error_missing_period.json": says("Please specify a value for 'period'."),
    "error_module_missing.json": (
        MatomoFatal,
        "Matomo redirects to index.php?module=CoreHome&action=index&idSite=1&period=day&date=yesterday: set matomo_url "
        "to the address that it redirects to",
    ),
    "error_module_missing_token_only.json": (MatomoUnavailable, f"VisitsSummary.get: HTTP 500 {_PAGE}"),
    "error_multipart.json": OK,
    "error_no_access_site.json": no_view(2),
    "error_no_token.json": no_view(1),
    "error_only_allow_secure_auth_tokens_get.json": REFUSED,
    "error_period_range_single_date.json": says(
        "The date '2026-11-12' is not a correct date range. It should have the following format:  'lastN', "
        "'previousN', 'YYYY-MM-DD,YYYY-MM-DD'."
    ),
    "error_plugin_not_activated.json": says(
        f"The plugin DBStats {_PLUGIN.format('&gt;')}", "DBStats.getGeneralInformation"
    ),
    "error_put.json": (
        MatomoUnavailable,
        f"VisitsSummary.get: {_HTML}",
    ),
    "error_range_reversed.json": OK,
    "error_token_secure_get.json": REFUSED,
    "error_token_secure_url_of_post.json": REFUSED,
    "error_token_secure_url_of_post_params_url.json": REFUSED,
    "error_unknown_method.json": says(
        r"The method 'nope' does not exist or is not available in the module '\Piwik\Plugins\VisitsSummary\API'.",
        "VisitsSummary.nope",
    ),
    "error_unknown_plugin.json": says(f"The plugin Nope {_PLUGIN.format('&gt;')}", "Nope.get"),
    "error_unknown_site_0.json": IDS,
    "error_unknown_site_super.json": says(
        "An unexpected website was found in the request: website id was set to '99' ."
    ),
    "error_unknown_site_view.json": no_view(99),
    "error_wrong_path.json": (
        MatomoFatal,
        "a firewall or the web server in front of Matomo refuses the call (HTTP 403): let this program's address or "
        "its User-Agent through, or check matomo_url",
    ),
    "error_xml_format.json": REFUSED,
    "format_csv_getCountry.json": no_json("format_csv_getCountry.json"),
    "format_html_getCountry.json": (MatomoUnavailable, f"UserCountry.getCountry: {_HTML}"),
    "format_json2_getCountry.json": (
        MatomoUnavailable,
        f"UserCountry.getCountry: {_NO_JSON}\"Error: Renderer format 'json2' not valid. Try any of the following "
        'instead: cons"',
    ),
    "format_original_getCountry.json": (MatomoUnavailable, f"UserCountry.getCountry: {_HTML}"),
    "format_tsv_getCountry.json": no_json("format_tsv_getCountry.json"),
    "format_xml_getCountry.json": _COUNTRY_XML,
    "idSites_param_ignored.json": says("Please specify a value for 'idSite'."),
    "live_disabled.json": (
        VisitsLogOff,
        "Live.getLastVisitsDetails: Matomo says: Visits log is deactivated globally. A user with super user access can "
        "enable this feature in the general settings.",
    ),
    "no_format_getCountry.json": _COUNTRY_XML,
    "redirect_force_ssl_get.json": (
        MatomoFatal,
        "Matomo redirects to https://matomo.example.com/: set matomo_url to the address that it redirects to",
    ),
    "redirect_force_ssl_post.json": (
        MatomoFatal,
        "Matomo redirects to https://matomo.example.com/index.php: set matomo_url to the address that it redirects to",
    ),
    "sites_1-2_view1.json": no_view(2),
    "sites_getAllSites_view.json": NO_SUPERUSER,
    "sites_getSiteFromId_unknown.json": says(
        "An unexpected website was found in the request: website id was set to '99' .", "SitesManager.getSiteFromId"
    ),
    "token_get_ok.json": OK,
    "token_post_params_in_url.json": OK,
    "token_secure_both.json": REFUSED,
    "token_secure_post_ok.json": OK,
    "version_API.getPhpVersion_view.json": NO_SUPERUSER,
    "version_no_access_user.json": (
        AccessRefused,
        f"Matomo says: You can't access this resource as it requires view access for at least one website. {_HELP}",
    ),
}


def judged(reply: Reply, method: str = "VisitsSummary.get") -> Any:
    return parse_response(Replay(reply).redact, method, reply)


def reply(body: bytes | str, status: int = 200, content_type: str = "application/json", **more: Any) -> Reply:
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass")
    return Reply(status, content_type, more.get("retry_after"), more.get("location", ""), raw)


def test_every_recording_of_trouble_is_in_the_table() -> None:
    """Errors, outages, blocked addresses, tokens, redirects and bulk calls, and whatever else is an error.

    The answers of the tracker are read by another part of the program.
    """
    groups = {"error", "down", "bruteforce", "token", "redirect", "bulk"}
    of_the_api = [one for one in all_recordings() if not one.is_of_tracker]
    assert {one.name for one in of_the_api if one.name.split("_")[0] in groups or error_of(one)} == EXPECTED.keys()


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if expected])
def test_a_recorded_error_has_its_kind_and_its_sentence(name: str) -> None:
    """The kind says what the caller must do, the sentence what happened: both exactly so."""
    kind, sentence = EXPECTED[name] or (MatomoError, "")
    recording = read(name)
    with pytest.raises(MatomoError) as raised:
        judged(recording.reply, recording.method or "none")
    assert (type(raised.value), str(raised.value)) == (kind, sentence)


@pytest.mark.parametrize("name", [name for name, expected in EXPECTED.items() if not expected])
def test_a_recorded_value_is_given_back_as_it_is(name: str) -> None:
    """What Matomo accepted in silence, and errors inside of a bulk call, are no errors of the whole."""
    recording = read(name)
    assert judged(recording.reply, recording.method) == json.loads(recording.body)


def _inner(name: str) -> Iterable[str | None]:
    for entry in json.loads(read(name).body):
        error = responses.error_of(Replay(read(name).reply).redact, "X.y", entry)
        assert error is None or type(error) in (ReportRefused, PluginOff)
        yield None if error is None else str(error).removeprefix("X.y: Matomo says: ")


_BAD_TOKEN = (
    "Unable to authenticate with the provided token. It is either invalid, expired or is required to be sent as a "
    "POST parameter."
)


@pytest.mark.parametrize(
    ("name", "errors"),
    [
        ("bulk_all_errors.json", [view(3)]),
        (
            "bulk_errors_inside.json",
            [
                f"The plugin Nope {_PLUGIN.format('>')}",
                view(3),
                view(99),
                "The period 'dayy' is not supported. Try any of the following instead: day, week, month, year, range",
                None,
            ],
        ),
        ("bulk_inner_bad_token.json", [None, _BAD_TOKEN]),
        ("bulk_inner_other_token.json", [view(2), None]),
        ("bulk_method_in_url.json", [None, f"The plugin Nope {_PLUGIN.format('>')}"]),
        ("bulk_no_token.json", [view(1)]),
        ("bulk_20_urls.json", [None] * 20),
    ],
)
def test_an_entry_of_a_bulk_answer_is_judged_by_itself(name: str, errors: list[str | None]) -> None:
    """One call that fails says so in its entry, and the others stand."""
    found = list(_inner(name))
    assert found == errors


# ---- bodies that are not plain JSON


@pytest.mark.parametrize("value", [{"2026-11-01": [{"label": "a[1] {b}"}]}, [], {"value": 3}, [[], {"a": 1}]])
def test_notices_of_php_before_the_json_are_passed_over(value: object) -> None:
    """A notice may itself have brackets; the answer is the JSON that ends where the body ends."""
    assert judged(reply(NOTICE + json.dumps(value), content_type="text/html")) == value


@pytest.mark.parametrize("cut", [1, 2, 15, 30])
def test_a_notice_with_a_cut_json_behind_it_is_not_taken(cut: int) -> None:
    """What stands whole further inside a cut answer is not the answer: days and rows would be lost in silence."""
    whole = json.dumps({"2026-11-01": [{"label": "a", "nb_visits": 1}], "2026-11-02": [{"label": "b"}, []]})
    with pytest.raises(MatomoUnavailable):
        judged(reply(NOTICE + whole[:-cut]))


@given(st.integers(min_value=1, max_value=400))
def test_no_cut_of_a_recorded_answer_is_taken_for_an_answer(cut: int) -> None:
    """Wherever an answer is cut, with or without a notice before it, it is an error that is worth another try."""
    body = read("days_UserCountry.getCountry.json").body
    for text in (body[:-cut], NOTICE + body[:-cut], NOTICE + body[: cut + 1]):
        with pytest.raises(MatomoUnavailable):
            judged(reply(text))


def test_a_notice_behind_the_json_is_not_passed_over() -> None:
    """A fatal error after the answer has begun may have cost the rest of it."""
    with pytest.raises(MatomoUnavailable, match="the answer is not JSON"):
        judged(reply('[{"label":"a"}]<br />\n<b>Fatal error</b>'))


def test_an_error_behind_a_notice_is_an_error() -> None:
    """The notice does not hide what Matomo says."""
    with pytest.raises(ReportRefused, match=r"^VisitsSummary\.get: Matomo says: no$"):
        judged(reply(NOTICE + '{"result":"error","message":"no"}'))


def test_a_byte_order_mark_is_passed_over() -> None:
    """A plugin's file that was saved with one puts it before every answer."""
    assert judged(reply(b"\xef\xbb\xbf[1]")) == [1]
    assert judged(reply(b"\xef\xbb\xbf" + NOTICE.encode() + b"[1]")) == [1]


@pytest.mark.parametrize("body", ['{"nb_visits":NaN}', "[Infinity]", '{"a":[-Infinity]}'])
@pytest.mark.parametrize("before", ["", NOTICE], ids=["alone", "notice"])
def test_not_a_number_is_no_json(before: str, body: str) -> None:
    """PHP never writes it; a proxy that does cannot be trusted with the rest."""
    with pytest.raises(InvalidResponse, match="which is not JSON"):
        judged(reply(before + body))


@pytest.mark.parametrize("before", ["", NOTICE], ids=["alone", "notice"])
def test_an_answer_that_is_nested_past_measure_is_an_error(before: str) -> None:
    """It must not end the program with a RecursionError."""
    with pytest.raises(MatomoUnavailable, match="the answer is not JSON"):
        judged(reply(before + "[" * 200_000))
    with pytest.raises(InvalidResponse, match="nested more deeply than any of Matomo's"):
        judged(reply(before + "[" * 200_000 + "]" * 200_000))


@pytest.mark.parametrize("body", [b"", b" \n", b"\xff\xfe\x00", b"<", b"OK", b"<html>[1]</html>"])
def test_a_body_without_json_is_worth_another_try(body: bytes) -> None:
    """An empty body, a proxy's word or half a page: the next try may be answered by Matomo."""
    with pytest.raises(MatomoUnavailable):
        judged(reply(body))


@pytest.mark.parametrize("before", ["", NOTICE], ids=["alone", "notice"])
def test_a_digit_monster_is_an_error(before: str) -> None:
    """A number of more digits than Python reads is no answer and no crash."""
    with pytest.raises(MatomoError):
        judged(reply(before + "[" + "9" * 5_000 + "]"))


# ---- statuses


@pytest.mark.parametrize("status", [500, 403, 429])
def test_a_blocked_address_is_known_by_its_words(status: int) -> None:
    """Whatever the status, no other token helps and the run ends."""
    with pytest.raises(TokenRefused, match="blocked this address"):
        judged(reply("<p>Too many failed logins. Please wait</p>", status, "text/html"))


def test_a_page_title_about_failed_logins_is_no_error() -> None:
    """A good report may have any label."""
    rows = [{"label": "Too many failed logins", "nb_visits": 3}]
    assert judged(reply(json.dumps(rows))) == rows


def test_a_row_named_like_an_error_is_no_error() -> None:
    """Only an object with result=error is one, not a list with such a row."""
    rows = [{"result": "error", "message": "a label"}]
    assert judged(reply(json.dumps(rows))) == rows


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (404, MatomoFatal, "there is no Matomo at this address (HTTP 404): check matomo_url"),
        (410, MatomoFatal, "there is no Matomo at this address (HTTP 410): check matomo_url"),
        (429, MatomoUnavailable, "X.y: Matomo limits how often it is asked (HTTP 429)"),
        (503, MatomoUnavailable, "X.y: Matomo is in maintenance or overloaded (HTTP 503)"),
        (502, MatomoUnavailable, "X.y: HTTP 502 '<p>no</p>'"),
        (504, MatomoUnavailable, "X.y: HTTP 504 '<p>no</p>'"),
        (408, MatomoUnavailable, "X.y: HTTP 408 '<p>no</p>'"),
        (413, ReportRefused, "X.y: HTTP 413 '<p>no</p>'"),
        (401, TokenRefused, REFUSED[1]),
    ],
)
def test_a_page_of_whatever_stands_before_matomo_is_judged_by_its_status(
    status: int, kind: type[MatomoError], sentence: str
) -> None:
    """Proxies and web servers answer with pages of their own."""
    with pytest.raises(MatomoError) as raised:
        judged(reply("<p>no</p>", status, "text/html"), "X.y")
    assert (type(raised.value), str(raised.value)) == (kind, sentence)


@pytest.mark.parametrize("status", [429, 503, 500, 502])
def test_the_wait_that_the_server_asks_for_goes_with_the_error(status: int) -> None:
    """Whoever tries again knows when."""
    with pytest.raises(MatomoUnavailable) as raised:
        judged(reply("<p>later</p>", status, "text/html", retry_after=7.0))
    assert raised.value.retry_after == 7.0


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_error_of_matomos_own_has_the_wait_that_the_server_asks_for(status: int) -> None:
    """In JSON as in a page."""
    error = json.dumps({"result": "error", "message": "Too many connections"})
    with pytest.raises(MatomoUnavailable) as raised:
        judged(reply(error, status, "application/json", retry_after=7.0))
    assert raised.value.retry_after == 7.0


def test_an_http_error_with_an_unknown_json_is_no_answer() -> None:
    """A body that would pass for rows does not pass with a status that says no."""
    with pytest.raises(ReportRefused, match=r"^VisitsSummary\.get: HTTP 400 '\[\]'$"):
        judged(reply("[]", 400))


def test_a_long_message_is_cut() -> None:
    """An error of pages would fill the log."""
    with pytest.raises(ReportRefused) as raised:
        judged(reply(json.dumps({"result": "error", "message": "long " * 1000})))
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("message", [None, 3, ["a"], {"b": 1}])
def test_an_error_with_an_odd_message_is_an_error_all_the_same(message: object) -> None:
    """Its shape is not relied on."""
    with pytest.raises(ReportRefused):
        judged(reply(json.dumps({"result": "error", "message": message})))
    with pytest.raises(ReportRefused, match="an error without a message"):
        judged(reply('{"result":"error"}'))


@given(st.binary(max_size=200), st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500, 503]))
def test_no_body_ends_in_anything_but_a_value_or_an_error_of_the_tree(body: bytes, status: int) -> None:
    """Whatever comes, the run gets a sentence."""
    try:
        judged(reply(body, status))
    except MatomoError as error:
        assert str(error)  # noqa: PT017  # either outcome is fine
