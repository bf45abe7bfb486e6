"""What the tables lack after a run, as sentences: tables, sites and days, each reason once."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from matomo_fn.days import Days
from matomo_fn.slices import Stream
from matomo_fn.sync.missing import REMAINING, sentences_of
from matomo_fn.verdict import Verdict
from tests.support.local import YESTERDAY, Local, ago, local

if TYPE_CHECKING:
    from pathlib import Path

    from fake_matomo import FakeMatomo

FIRST = date(2026, 1, 1)


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def test_a_complete_run_has_no_sentence(shop: Local) -> None:
    result = shop.sync()
    assert (result.verdict, result.missing) == (Verdict.COMPLETE, [])


def test_an_unprocessed_yesterday_is_partial_once_for_all_its_tables(matomo: FakeMatomo, shop: Local) -> None:
    """Until Matomo has processed it; a repetition at once would not do more."""
    matomo.unprocess(2, YESTERDAY)
    matomo.unprocess(2, ago(2))
    result = shop.sync()
    assert (result.verdict, result.http_status, result.may_succeed_later) == (Verdict.PARTIAL, 200, False)
    assert result.missing == [
        f"visitor_country and visits_summary of site 2 on {ago(2)} to {YESTERDAY}: Matomo has visits of that day but "
        "has not processed its reports yet"
    ]
    assert result.as_dict()["missing"] == result.missing
    matomo.process(2, YESTERDAY)
    matomo.process(2, ago(2))
    assert shop.sync().verdict is Verdict.COMPLETE


def test_what_a_run_did_not_come_to_is_named_with_its_days(matomo: FakeMatomo, tmp_path: Path) -> None:
    """And a repetition takes it. The first calls: version, sites, and of the first site both reports' newest days."""
    with local(matomo, tmp_path / "shop.duckdb", reports=["visits_summary", "visitor_country"], concurrency=1) as shop:
        result = shop.sync(calls=3)
        assert (result.verdict, result.may_succeed_later) == (Verdict.PARTIAL, True)
        assert result.missing == [
            f"visitor_country of site 1 on {ago(6)} to {ago(5)}: {REMAINING}",
            f"visitor_country and visits_summary of site 2 on {ago(6)} to {YESTERDAY}: {REMAINING}",
        ]
        assert shop.sync().missing == []


def test_the_log_names_table_site_and_day_of_what_is_pending(matomo: FakeMatomo, shop: Local) -> None:
    """`_sync_state` is read by itself, in the warehouse's own console."""
    matomo.unprocess(1, YESTERDAY)
    shop.sync()
    error = shop.states()["visits_summary", "1", YESTERDAY]["error"]
    assert error.startswith(f"visits_summary of site 1 on {YESTERDAY}: Matomo has visits of that day")


@pytest.mark.parametrize(
    ("tables", "sites", "days", "start"),
    [
        (["a"], ["1"], [0], "a of site 1 on 2026-01-01: "),
        (["b", "a"], ["2", "1"], [0, 1, 3], "a and b of sites 1 and 2 on 2026-01-01 to 2026-01-02, 2026-01-04: "),
        (["a", "b", "c", "d"], ["1"], [0], "a, b, c and d of site 1 on "),
        (["a", "b", "c", "d", "e"], ["1"], [0], "a, b, c and 2 more tables of site 1 on "),
        (["a"], [str(site) for site in range(1, 10)], [0], "a of sites 1, 2, 3, 4, 5, 6 and 3 more on "),
        (
            ["a"],
            ["1"],
            [0, 2, 4, 6, 8, 10],
            "a of site 1 on 2026-01-05, 2026-01-07, 2026-01-09, 2026-01-11 and 2 earlier days: ",
        ),
    ],
)
def test_a_sentence_stays_short_and_says_how_much_more_there_is(
    tables: list[str], sites: list[str], days: list[int], start: str
) -> None:
    """The newest days are the ones that are looked for."""
    streams = [Stream(table, site) for table in tables for site in sites]
    (sentence,) = sentences_of({(Days.of(map(day, days)), "why"): streams})
    assert sentence.startswith(start)
    assert sentence.endswith(": why")


def test_sites_that_lack_other_tables_are_sentences_of_their_own() -> None:
    """By day, the oldest first."""
    later, earlier = Days.of([day(9)]), Days.of([day(1)])
    groups = {
        (later, "why"): [Stream("a", "1"), Stream("b", "1"), Stream("a", "2")],
        (earlier, "else"): [Stream("a", "1")],
    }
    assert sentences_of(groups) == [
        "a of site 1 on 2026-01-02: else",
        "a and b of site 1 on 2026-01-10: why",
        "a of site 2 on 2026-01-10: why",
    ]


def test_there_are_at_most_twenty_sentences() -> None:
    """And one that says how many more."""
    groups = {(Days.of([day(number)]), "why"): [Stream("a", "1")] for number in range(23)}
    found = sentences_of(groups)
    assert (len(found), found[-1]) == (21, "and 3 more such sentences: see _sync_state")
