"""What is on the page: read out of the page's own data, and compared with what the warehouse has."""

from __future__ import annotations

import base64
import json
import re
import zlib
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from matomo_fn.app.day_calendar import DAYS, STATES, gravest, run_lengths
from tests.app.cli.calling import call
from tests.support.canary import CANARY
from tests.support.shop import DATASET

if TYPE_CHECKING:
    from pathlib import Path

    from tests.app.report.conftest import Spoilt


def data_of(page: str) -> dict[str, Any]:
    """What the page's program reads."""
    (packed,) = re.findall(r'<script type="text/plain" id="data">([^<]*)</script>', page)
    data: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return data


def expanded(line: str) -> str:
    return "".join(code * int(length or 1) for length, code in re.findall(r"(\d*)(\D)", line))


@pytest.fixture(scope="module")
def data(page_file: Path) -> dict[str, Any]:
    return data_of(page_file.read_text())


def line_of(data: dict[str, Any], table: str, site: str) -> str:
    """The days of a table and site, the last one first."""
    streams = data["streams"]
    wanted = (data["tables"].index(table), [name for name, _ in data["sites"]].index(site))
    (index,) = [i for i, pair in enumerate(zip(streams["table"], streams["site"], strict=True)) if pair == wanted]
    return expanded(data["lines"][streams["line"][index]])


def state_on(data: dict[str, Any], table: str, site: str, day: date) -> str:
    return line_of(data, table, site)[(day - date.fromisoformat(data["first"])).days]


@pytest.mark.parametrize(
    ("table", "site", "ago", "state"),
    [
        ("visits_summary", "1", 1, "w"),
        ("visits_summary", "1", 5, "f"),
        ("visits_summary", "1", 4, "p"),
        ("visits_summary", "1", 3, "p"),
        ("visits_summary", "1", 11, "u"),
        ("visits_summary", "1", 20, "e"),
        ("visits_summary", "1", 0, "o"),
        ("visitor_country", "2", 8, "m"),
        ("visitor_country", "2", 9, "m"),
        ("visitor_country", "2", 2, "q"),
        ("visits_summary", "1", 39, "w"),
        ("visits_summary", "1", 40, "."),
        ("visits_summary", "1", 300, "."),
    ],
)
def test_each_day_has_the_state_that_log_and_checks_say(
    spoilt: Spoilt, data: dict[str, Any], table: str, site: str, ago: int, state: str
) -> None:
    """A check that is ok or explained changes nothing; a day before the backfill was not asked for."""
    assert state_on(data, table, site, spoilt.ago(ago)) == state


def test_an_explained_check_marks_no_day(spoilt: Spoilt, data: dict[str, Any]) -> None:
    assert state_on(data, "behaviour_page", "1", spoilt.ago(7)) in "wue"


def test_the_numbers_are_those_of_the_tables(spoilt: Spoilt, data: dict[str, Any]) -> None:
    """Visits by site and day, channels and Others of the last 28 days."""
    with duckdb.connect(str(spoilt.shop.warehouse), read_only=True) as connection:
        visits = connection.execute(f"select website_id, date, nb_visits from {DATASET}.visits_summary").fetchall()
        channels = connection.execute(
            f"select website_id, channel_type, sum(visits)::bigint, sum(conversions)::bigint "
            f"from {DATASET}.acquisition_channel_type where date > ? group by 1, 2 order by 1, 2",
            [spoilt.ago(28)],
        ).fetchall()
    first = date.fromisoformat(data["first"])
    assert data["visits"]["table"] == "visits_summary"
    shown = {
        (data["sites"][site][0], first + timedelta(days=day)): count
        for site, line in zip(data["visits"]["sites"], data["visits"]["counts"], strict=True)
        for day, count in enumerate(line)
        if count is not None
    }
    assert shown == {(site, day): count for site, day, count in visits}
    rows = sorted((data["sites"][site][0], *rest) for site, *rest in data["channels"])
    assert rows == [tuple(row) for row in channels]
    assert all(0 <= others <= total for _, _, others, total in data["others"])


def test_sites_have_their_names_and_checks_their_reasons(data: dict[str, Any]) -> None:
    """What holds of a report on every day is counted, and is no finding."""
    assert data["sites"] == [["1", "Shop <b>& Co</b>"], ["2", "Docs"]]
    assert {(row["check_name"], row["verdict"], row["reason"]) for row in data["checks"]["counts"]} == {
        ("dimension_visits", "differs", "rows_deleted"),
        ("dimension_visits", "ok", None),
        ("dimension_visits", "explained", "unique_counts"),
        ("others_share", "explained", "row_limit"),
    }
    assert [row["verdict"] for row in data["checks"]["found"]] == ["differs", "explained"]
    assert data["runs"][0]["status"] == "complete"
    assert data["runs"][0]["matomo_calls"] > 0


def test_a_dataset_without_checks_says_that_none_were_made(spoilt: Spoilt, tmp_path: Path) -> None:
    """As one of an older version has no such table."""
    with duckdb.connect(str(spoilt.shop.warehouse)) as connection:
        connection.execute(f"alter table {DATASET}._sync_quality rename to _kept")
    try:
        called = call(spoilt.shop.env, "report", "shop", "-o", str(tmp_path / "page.html"))
    finally:
        with duckdb.connect(str(spoilt.shop.warehouse)) as connection:
            connection.execute(f"alter table {DATASET}._kept rename to _sync_quality")
    assert called.code == 0
    found = data_of((tmp_path / "page.html").read_text())
    assert found["checks"] is None
    assert state_on(found, "visitor_country", "2", spoilt.ago(2)) == "w"


def test_the_page_has_no_token_no_address_and_no_markup_of_others(page_file: Path, data: dict[str, Any]) -> None:
    """Neither as text nor within the packed data; a site's name is text, whatever stands in it."""
    page = page_file.read_text()
    for text in (page, json.dumps(data, ensure_ascii=False)):
        assert CANARY not in text
        assert "visitor_id" not in text
    assert "Shop <b>" not in page
    assert page.count("<script") == 3


def test_a_page_goes_to_standard_output(spoilt: Spoilt) -> None:
    called = call(spoilt.shop.env, "report", "shop", "-o", "-")
    assert called.out.startswith("<!doctype html>")
    assert called.out.endswith("</html>\n")


def test_a_page_that_cannot_be_written_leaves_the_old_one(spoilt: Spoilt, tmp_path: Path) -> None:
    """A folder of that name, and a folder that is not there: a sentence, and nothing is left behind."""
    (tmp_path / "old").mkdir()
    for target in (tmp_path / "old", tmp_path / "missing" / "page.html"):
        called = call(spoilt.shop.env, "report", "shop", "-o", str(target))
        assert (called.code, called.out) == (2, "")
        (sentence,) = called.errors
        assert sentence.startswith(f"the page cannot be written to {target}: ")
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


def test_of_several_lines_the_gravest_state_of_each_day_is_shown() -> None:
    codes = "".join(state.code for state in STATES)
    assert len(set(codes)) == len(codes)
    assert gravest([]) == "." * DAYS
    assert gravest(["." + codes[:-1], codes]) == codes
    assert gravest(["wwww", "..fp", "umqw"]) == "wmfp"


@pytest.mark.parametrize(("line", "short"), [("www.ff", "3w.2f"), ("w", "w"), ("." * 365, "365.")])
def test_a_line_in_short_is_the_same_line(line: str, short: str) -> None:
    assert run_lengths(line) == short
    assert expanded(short) == line
