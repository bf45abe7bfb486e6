"""What Matomo 5.3 to 6 answer otherwise than 5.2 does no harm to the prebuilt tables.

There are recordings of 5.2 and 5.3. What later versions answer is made from them, by what their changelog says.
Goals as list or object are in tests/extract/test_reference_rows.py, longer periods in test_period_recordings.py.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import PREBUILT, Source, Table
from matomo_fn.errors import MatomoFatal, ReportRefused
from matomo_fn.extract.report_rows import ParsedSlice, parse_slice
from matomo_fn.matomo.responses import parse_response
from matomo_fn.verdict import Verdict
from tests.support.local import local, small_world
from tests.support.recordings import Replay, as_json, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = (5, 5)
RECORDED = {
    "Actions.getPageUrls": "flat_Actions.getPageUrls.json",
    **{
        method: f"day_{method}.json"
        for method in (
            *("UserCountry.getCountry", "DevicesDetection.getType", "DevicesDetection.getBrowsers"),
            *("UserLanguage.getLanguage", "Events.getCategory", "Referrers.getCampaigns", "Referrers.getReferrerType"),
            *("Referrers.getSearchEngines", "Referrers.getWebsites", "Referrers.getSocials", "Referrers.getAll"),
            *("VisitsSummary.get", "Actions.get"),
        )
    },
}
# As an answer of 5.5 would have them, in the form of the channels and networks of the recordings.
AI_CHANNEL = {"label": "AI Assistants", "nb_visits": 4, "nb_actions": 9, "referrer_type": 8}
AI_ASSISTANTS = [{"label": "ChatGPT", "nb_visits": 3, "nb_actions": 7}, {"label": "Claude", "nb_visits": 1}]
Answers = list[tuple[Source, Any]]


def answers_of(table: Table, version: tuple[int, int] = (5, 2)) -> Answers:
    """A recorded answer for each source of a table."""
    return [(source, json.loads(read(RECORDED[source.method]).body)) for source in table.sources_of(version)]


def rows_of(parsed: ParsedSlice) -> list[dict[str, Any]]:
    """The rows of a slice."""
    return [json.loads(line) for line in parsed.lines]


def changed(answers: Answers, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Answers:
    """The same answers with every row changed."""
    return [
        (source, [change(row) for row in answer] if isinstance(answer, list) else change(answer))
        for source, answer in answers
    ]


def with_shares(row: dict[str, Any]) -> dict[str, Any]:
    """A row of Matomo 6, which has its share of the total beside every metric."""
    numbers = [name for name, value in row.items() if isinstance(value, int | float)]
    return row | {f"{name}_percent_of_total": "12.5%" for name in numbers}


def with_sums(row: dict[str, Any]) -> dict[str, Any]:
    """A row that also has the sums of the days' unique counts, as rows of longer periods have."""
    return row | {"sum_daily_nb_uniq_visitors": 987, "sum_daily_nb_users": 986, "sum_daily_entry_nb_uniq_visitors": 985}


def with_new_fields(row: dict[str, Any]) -> dict[str, Any]:
    """A row with metrics, texts and objects that no version has yet."""
    return row | {"nb_new": 7, "name_new": "x", "object_new": {"a": [1]}, "list_new": [], "null_new": None}


@pytest.mark.parametrize("table", PREBUILT.values(), ids=PREBUILT)
@pytest.mark.parametrize("change", [with_shares, with_sums, with_new_fields])
def test_what_a_later_version_adds_to_rows_changes_no_row(
    table: Table, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    """Shares of the total, sums of unique counts, new fields: same rows and same hash, so nothing is rewritten."""
    answers = answers_of(table)
    before = parse_slice(table, answers)
    assert before.row_count > 0
    assert parse_slice(table, changed(answers, change)) == before


def test_ai_assistants_are_one_more_channel() -> None:
    """By label and number; the other channels stay as they are."""
    table = PREBUILT["acquisition_channel_type"]
    ((source, answer),) = answers_of(table)
    before = parse_slice(table, [(source, answer)])
    after = parse_slice(table, [(source, [*answer, AI_CHANNEL])])
    (added,) = [row for row in rows_of(after) if row not in rows_of(before)]
    assert (added["channel_type"], added["channel_type_id"], added["visits"]) == ("AI Assistants", 8, 4)
    assert after.row_count == before.row_count + 1


def test_ai_assistants_are_referrers_where_matomo_has_their_report() -> None:
    """From 5.5 on, each with the channel's name; without it they would be missing from the sum of all referrers."""
    table = PREBUILT["acquisition_referrer"]
    older = answers_of(table)
    (report,) = [source for source in table.sources_of(NEW) if source not in [one for one, _ in older]]
    assert report.method == "Referrers.getAIAssistants"
    channels = [
        (one, [*rows, AI_CHANNEL] if one.method == "Referrers.getReferrerType" else rows) for one, rows in older
    ]
    before, after = parse_slice(table, older), parse_slice(table, [*channels, (report, AI_ASSISTANTS)])
    added = [row for row in rows_of(after) if row not in rows_of(before)]
    assert {(row["referrer_type"], row["referrer"], row["visits"]) for row in added} == {
        ("AI Assistants", "ChatGPT", 3),
        ("AI Assistants", "Claude", 1),
    }
    assert after.row_count == before.row_count + 2


def test_the_report_of_all_referrers_takes_a_new_kind() -> None:
    """Its number is a column, and belongs to the key."""
    table = PREBUILT["referrers"]
    ((source, answer),) = answers_of(table)
    row = answer[0] | {"label": "ChatGPT", "referer_type": 8}
    assert (
        parse_slice(table, [(source, [*answer, row])]).row_count == parse_slice(table, [(source, answer)]).row_count + 1
    )


@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_error_of_the_api_stays_one_whatever_its_status(status: int) -> None:
    """5.7 answers a deactivated plugin with 403 and a missing one with 404: a report is refused, the run goes on."""
    message = "The plugin Events is not enabled. You can activate the plugin on Settings > Plugins page in Matomo."
    reply = as_json({"result": "error", "message": message}, status)
    with pytest.raises(ReportRefused, match="not enabled"):
        parse_response(Replay(reply).redact, "Events.getCategory", reply)
    assert not issubclass(ReportRefused, MatomoFatal)


def test_every_parameter_is_a_plain_value_of_its_type(tmp_path: Path) -> None:
    """5.7 refuses an idSite that is no number, and 6 a value that a parameter's type cannot have, such as an array."""
    types = {
        **dict.fromkeys(("idSite", "minTimestamp", "filter_offset", "flat", "doNotFetchActions"), r"\d+"),
        **dict.fromkeys(("format_metrics", "percent_of_total", "expanded"), "[01]"),
        "filter_limit": r"-1|\d+",
        "period": "day|range|week|month|year",
        "date": r"\d{4}-\d\d-\d\d(,\d{4}-\d\d-\d\d)?",
    }
    with (
        FakeMatomo(small_world(2)) as matomo,
        local(matomo, tmp_path / "w.duckdb", reports=list(PREBUILT), visits=True) as opened,
    ):
        assert opened.sync().verdict is Verdict.COMPLETE
        sent = {(name, value) for call in matomo.calls for name, value in call.params.items()}
    assert {name for name, _ in sent} >= {"idSite", "date", "period", "filter_limit", "flat", "percent_of_total"}
    for name, value in sorted(sent):
        assert value != "", name
        assert "[" not in name.removeprefix("urls["), name
        assert re.fullmatch(types.get(name, ".*"), value, re.DOTALL), (name, value)
