"""Runs of longer periods: which are due, what the tables get, and what of it stays."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.errors import InputError
from tests.support.local import CREATED, TODAY, Local, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# 2026-11-20 is a Friday; site 1 was created on 2026-10-21, a Wednesday.
WEEKS = [date(2026, 10, 19) + timedelta(weeks=number) for number in range(5)]
REPORTS = ["visits_summary", "visitor_country", "referrers"]


@contextmanager
def connector(path: Path, **config: Any) -> Iterator[Local]:
    values = {"reports": REPORTS, "periods": ["week", "month", "year"], "backfill_days": 40} | config
    with FakeMatomo(small_world(1)) as matomo, local(matomo, path / "test.duckdb", **values) as opened:
        yield opened


def rows(opened: Local, table: str, *columns: str) -> list[tuple[Any, ...]]:
    query = f"select {', '.join(columns)} from `{opened.connector.dataset_name}.{table}` t order by {columns[0]}"
    return [tuple(row.values()) for row in opened.warehouse.query(query)]


def visits_between(matomo: FakeMatomo, first: date, last: date) -> int:
    days = [first + timedelta(days=offset) for offset in range((last - first).days + 1)]
    return sum(len(matomo.visits(1, day)) for day in days)


def test_each_table_has_a_row_set_of_every_period_that_overlaps_the_window(tmp_path: Path) -> None:
    """Keyed by the first day, the running periods too; the numbers are those of the whole period."""
    with connector(tmp_path) as opened:
        result = opened.sync()
        assert (result.verdict, result.missing, result.matomo_errors) == ("complete", [], [])
        matomo = opened.matomo
        assert rows(opened, "visits_summary_week", "date", "nb_visits") == [
            (monday, visits_between(matomo, monday, monday + timedelta(days=6))) for monday in WEEKS
        ]
        assert rows(opened, "visits_summary_month", "date", "nb_visits") == [
            (date(2026, 10, 1), visits_between(matomo, CREATED, date(2026, 10, 31))),
            (date(2026, 11, 1), visits_between(matomo, date(2026, 11, 1), TODAY)),
        ]
        assert [day for day, _ in rows(opened, "visits_summary_year", "date", "nb_visits")] == [date(2026, 1, 1)]
        weeks = {day for (day,) in rows(opened, "visitor_country_week", "date")}
        assert weeks == {day for day, visits in rows(opened, "visits_summary_week", "date", "nb_visits") if visits}
        assert {day for (day,) in rows(opened, "referrers_month", "date")} == {date(2026, 10, 1), date(2026, 11, 1)}
        assert opened.duplicates() == []


def test_unique_counts_are_null_where_matomo_has_none_and_the_daily_sums_stand_beside_them(tmp_path: Path) -> None:
    """0 would be a made-up number: rows of longer periods have no unique visitors, the summary of a year neither."""
    with connector(tmp_path) as opened:
        opened.sync()
        assert all(users is None for _, users in rows(opened, "visitor_country_week", "date", "users"))
        assert all(daily > 0 for _, daily in rows(opened, "visitor_country_week", "date", "sum_daily_users"))
        assert all(count > 0 for _, count in rows(opened, "visits_summary_month", "date", "nb_uniq_visitors"))
        assert rows(opened, "visits_summary_year", "date", "nb_uniq_visitors", "nb_users") == [
            (date(2026, 1, 1), None, None)
        ]


def test_a_second_run_refetches_the_periods_that_are_not_settled_and_writes_nothing(tmp_path: Path) -> None:
    """Closed weeks whose trailing days are over are not requested again; what is the same stays as it is."""
    with connector(tmp_path) as opened:
        opened.sync()
        before = opened.contents()
        opened.matomo.forget_calls()
        result = opened.sync()
        assert result.verdict == "complete"
        tables = result.tables
        assert [tables[f"visits_summary_{period}"].unchanged for period in ("week", "month", "year")] == [1, 1, 1]
        assert sum(table.written for table in tables.values()) == 0
        assert opened.contents() == before
        weeks = {call.params["date"] for call in opened.matomo.calls if call.params.get("period") == "week"}
        assert weeks == {"2026-11-16,2026-11-22", "2026-11-16"}  # in range form, and as the referrers are requested


def test_a_week_is_replaced_at_each_run_until_its_trailing_days_are_over(tmp_path: Path) -> None:
    """A visit that comes on Sunday is in the week that began on Monday, and stays there."""
    with connector(tmp_path, reports=["visits_summary"], periods=["week"]) as opened:
        opened.sync()
        counts = [rows(opened, "visits_summary_week", "date", "nb_visits")[-1]]
        for _ in range(9):  # up to Sunday 2026-11-29
            opened.matomo.advance(timedelta(days=1))
            opened.sync()
            found = dict(rows(opened, "visits_summary_week", "date", "nb_visits"))
            counts.append((WEEKS[-1], found[WEEKS[-1]]))
        assert counts[-1][1] == visits_between(opened.matomo, WEEKS[-1], WEEKS[-1] + timedelta(days=6))
        assert counts[0][1] < counts[-1][1]
        opened.matomo.forget_calls()
        opened.sync()
        requested = {call.params["date"] for call in opened.matomo.calls if call.params.get("period") == "week"}
        assert requested == {"2026-11-23,2026-11-29"}


def test_a_closed_week_without_an_archive_is_pending_until_it_has_one(tmp_path: Path) -> None:
    """Matomo answers [] for it, silently; its days have visits, and a week that really is empty is believed."""
    with connector(tmp_path) as opened:
        opened.matomo.unprocess_period(1, "week", WEEKS[2])
        for day in range(7):
            opened.matomo.change(1, WEEKS[1] + timedelta(days=day), to_empty=True)
        result = opened.sync()
        assert result.verdict == "partial"
        assert result.missing == [
            "referrers_week, visitor_country_week and visits_summary_week of site 1 in the week of 2026-11-02: Matomo "
            "has visits of that week but has not processed its reports yet"
        ]
        assert dict(rows(opened, "visits_summary_week", "date", "nb_visits")).keys() == {*WEEKS} - {WEEKS[2]}
        assert dict(rows(opened, "visits_summary_week", "date", "nb_visits"))[WEEKS[1]] == 0
        opened.matomo.process_period(1, "week", WEEKS[2])
        assert opened.sync().verdict == "complete"
        assert dict(rows(opened, "visits_summary_week", "date", "nb_visits"))[WEEKS[2]] > 0


def test_a_request_for_a_table_of_weeks_takes_the_weeks_that_overlap_its_days(tmp_path: Path) -> None:
    """A part of a week does not exist in Matomo, so it is requested whole."""
    with connector(tmp_path) as opened:
        result = opened.sync(tables=("visits_summary_week",), start_date="2026-11-04", end_date="2026-11-10")
        assert (result.verdict, list(result.tables)) == ("complete", ["visits_summary_week"])
        assert [day for (day,) in rows(opened, "visits_summary_week", "date")] == WEEKS[2:4]


def test_a_period_table_that_is_not_configured_is_refused_with_the_key_to_add(tmp_path: Path) -> None:
    """As a report is that the configuration does not have."""
    with connector(tmp_path, periods={"visits_summary": ["week"]}) as opened:
        with pytest.raises(InputError) as raised:
            opened.sync(tables=("visitor_country_week",))
        assert str(raised.value).endswith("add 'week' to \"periods\" in its configuration")


def test_periods_that_a_run_did_not_come_to_remain_and_are_named_as_weeks_and_months(tmp_path: Path) -> None:
    """The sentences count periods, not days."""
    with connector(tmp_path, reports=["visits_summary"], periods=["week", "month"], concurrency=1) as opened:
        result = opened.sync(calls=2)
        found = [sentence.partition(":")[0] for sentence in result.missing]
        assert all("_week" not in each or " in the week" in each for each in found)
        assert result.tables["visits_summary_month"].remaining == 2
        assert "visits_summary_month of site 1 in 2026-10 to 2026-11" in found
        assert opened.sync().verdict == "complete"
