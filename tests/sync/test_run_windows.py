"""Custom reports of rolling windows and of longer periods: one slice a day, of the days before it."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from fake_matomo import FakeMatomo
from tests.support.local import CREATED, TODAY, Local, ago, days, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WINDOW = {"name": "visitors_7_days", "report": "VisitsSummary.get", "period": "range", "days": 7}
COUNTRIES = {"name": "countries_7_days", "report": "UserCountry.getCountry", "period": "range", "days": 7}


@contextmanager
def connector(path: Path, **config: Any) -> Iterator[Local]:
    values = {"reports": ["visits_summary"], "custom_reports": [WINDOW, COUNTRIES]} | config
    with FakeMatomo(small_world(1)) as matomo, local(matomo, path / "test.duckdb", **values) as opened:
        yield opened


def rows(opened: Local, table: str, *columns: str) -> list[tuple[Any, ...]]:
    query = f"select {', '.join(columns)} from `{opened.connector.dataset_name}.{table}` t order by 1, 2"
    return [tuple(row.values()) for row in opened.warehouse.query(query)]


def visits_up_to(opened: Local, day: date, length: int = 7) -> int:
    first = max(CREATED, day - timedelta(days=length - 1))
    return sum(len(opened.matomo.visits(1, each)) for each in days(first, day))


def test_a_window_has_one_row_set_a_day_named_by_its_last_day(tmp_path: Path) -> None:
    """Requested as period=range in bulk, since Matomo answers no windows by keys; a second run writes nothing."""
    with connector(tmp_path) as opened:
        assert opened.sync().verdict == "complete"
        window = days(ago(6), ago(1))
        assert rows(opened, "visitors_7_days", "date", "nb_visits") == [
            (day, visits_up_to(opened, day)) for day in window
        ]
        assert {day for day, _ in rows(opened, "countries_7_days", "date", "nb_visits")} == set(window)
        countries = dict.fromkeys(window, 0)
        for day, visits in rows(opened, "countries_7_days", "date", "nb_visits"):
            countries[day] += visits
        assert countries == {day: visits_up_to(opened, day) for day in window}
        asked = [call.params for call in opened.matomo.calls if call.params.get("period") == "range"]
        summaries = [params["date"] for params in asked if params["method"] == "VisitsSummary.get"]
        assert f"{ago(7)},{ago(1)}" in summaries
        opened.matomo.forget_calls()
        again = opened.sync()
        assert (again.tables["visitors_7_days"].unchanged, again.tables["visitors_7_days"].written) == (3, 0)


def test_a_window_whose_last_day_is_not_archived_is_pending(tmp_path: Path) -> None:
    """Matomo would answer it without that day; the windows that end before it are written."""
    with connector(tmp_path) as opened:
        opened.matomo.unprocess(1, ago(1))
        result = opened.sync()
        assert result.verdict == "partial"
        assert [day for day, _ in rows(opened, "visitors_7_days", "date", "nb_visits")] == days(ago(6), ago(2))
        assert result.tables["visitors_7_days"].pending == 1
        opened.matomo.process(1, ago(1))
        assert opened.sync().verdict == "complete"
        assert rows(opened, "visitors_7_days", "date", "nb_visits")[-1] == (ago(1), visits_up_to(opened, ago(1)))


def test_an_empty_window_is_judged_by_the_visits_log(tmp_path: Path) -> None:
    """Zeros of seven days without visits are believed."""
    with connector(tmp_path, custom_reports=[WINDOW | {"days": 2}]) as opened:
        for day in (ago(3), ago(2)):
            opened.matomo.change(1, day, to_empty=True)
        assert opened.sync().verdict == "complete"
        found = dict(rows(opened, "visitors_7_days", "date", "nb_visits"))
        assert (found[ago(2)], found[ago(1)]) == (0, visits_up_to(opened, ago(1), 2))


def test_windows_have_segments(tmp_path: Path) -> None:
    """A window of a segment is of its visits alone."""
    segments = {"mobile": "deviceType==smartphone"}
    with connector(tmp_path, segments=segments, custom_reports=[WINDOW | {"segments": ["mobile"]}]) as opened:
        assert opened.sync().verdict == "complete"
        phones = sum(
            visit.visitor.device.type == "smartphone"
            for day in days(ago(7), ago(1))
            for visit in opened.matomo.visits(1, day)
        )
        found = rows(opened, "visitors_7_days", "segment", "date", "nb_visits")
        assert ("mobile", ago(1), phones) in found
        assert {segment for segment, _, _ in found} == {"", "mobile"}


def test_a_custom_report_of_weeks_and_one_of_days_with_weeks_have_the_same_rows(tmp_path: Path) -> None:
    """``period`` of the report makes a table of weeks alone, ``periods`` one beside the table of days."""
    custom = [
        {"name": "weekly", "report": "UserCountry.getCountry", "period": "week"},
        {"name": "daily", "report": "UserCountry.getCountry"},
    ]
    with connector(tmp_path, custom_reports=custom, periods={"daily": ["week"]}, backfill_days=12) as opened:
        assert opened.sync().verdict == "complete"
        columns = ("date", "label", "nb_visits", "sum_daily_nb_uniq_visitors")
        assert rows(opened, "weekly", *columns) == rows(opened, "daily_week", *columns) != []
        mondays = {day for day, *_ in rows(opened, "weekly", *columns)}
        assert mondays == {TODAY - timedelta(days=TODAY.weekday() + 7 * weeks) for weeks in range(3)}
        assert opened.sync(tables=("daily_week",)).verdict == "complete"
