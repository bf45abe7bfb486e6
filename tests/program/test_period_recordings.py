"""Every recording of weeks, months, years, windows and segments, from the bytes to the rows, cell for cell."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import PREBUILT, Source, Table, table_of
from matomo_fn.days import Days
from matomo_fn.extract.report_rows import parse_slice
from matomo_fn.periods import Period, period_of
from tests.program.test_report_recordings import EXPECTED, OF_PERIODS, cell, rows_of, typed
from tests.support.recordings import Recording, Replay, all_recordings, client_of, read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What of a row's columns is written down in another way where the slice is no day, for tables with dimensions: Matomo
# has no unique count of a longer period, and the sum of the days' counts in its place.
UNIQUE = ("nb_uniq_visitors", "nb_users")
RECORDED = [one for one in all_recordings() if one.name.startswith(OF_PERIODS) and one.method != "SegmentEditor.getAll"]
# Other methods: no table that is built in takes their rows.
OTHER_METHODS = {"Goals.get", "CustomDimensions.getCustomDimension", "SegmentEditor.add", "Live.getLastVisitsDetails"}


def period_of_recording(recording: Recording) -> Period:
    """The kind of period that was requested; a window has the length of its dates."""
    first, _, last = recording.params["date"].partition(",")
    if recording.params["period"] == "range":
        return Period.rolling((date.fromisoformat(last) - date.fromisoformat(first)).days + 1)
    return period_of(recording.params["period"])


def table_in(table: Table, period: Period) -> Table:
    """The table that has the rows."""
    return table if period.is_day else table_of(table, period)


def columns_of(table: Table, period: Period) -> list[tuple[str, str, str]]:
    """(column, Matomo's field, kind) as a reader of the recordings expects them in the table of a kind of period."""
    found = []
    for name, field, kind in EXPECTED[table.name]:
        if name == "page_title" and not period.is_day:
            continue
        if period.is_day or field not in UNIQUE:
            found.append((name, field, kind))
            continue
        found.append((name, field, "bound"))
        if table.dimensions:
            found.append((f"sum_daily_{name}", f"sum_daily_{field}", "count"))
    return found


def by_hand(table: Table, source: Source, period: Period, answer: Any) -> list[dict[str, Any]]:
    """The rows of one slice that a reader of the answer would write down."""
    columns = columns_of(table, period)
    if table.is_one_row and answer == []:
        answer = {field: 0 for _, field, _ in columns}
    rows = answer if isinstance(answer, list) else [answer]
    if (table.name, source.method) == ("acquisition_referrer", "Referrers.getReferrerType"):
        rows = [row for row in rows if row["label"] == "Direct Entry"]
    return [{name: cell(row, field, kind, source.method) for name, field, kind in columns} for row in rows]


def is_keyed(recording: Recording) -> bool:
    return "," in recording.params["date"] and recording.params["period"] != "range"


def through_the_client(recording: Recording, source: Source, period: Period) -> Mapping[date, object]:
    """What the client makes of a recording, by the date of each slice."""
    first, _, last = recording.params["date"].partition(",")
    days = period.whole(Days.between(date.fromisoformat(first), date.fromisoformat(last or first)))
    if is_keyed(recording):
        client = client_of(Replay(recording.reply))
    else:  # one period alone, in the way of reports that refuse ranges, with pages that hold it whole
        days = period.covered([period.first_day(days.last)])
        client, source = client_of(Replay(recording.reply), page_rows=10_000), replace(source, ranges=False)
    return client.report(source, "1", days, period, recording.params.get("segment", "")).days


def uses() -> Iterator[Any]:
    for recording in RECORDED:
        for table in PREBUILT.values():
            for source in table.sources:
                if source.method == recording.method and table.name in EXPECTED:
                    name = recording.name.removesuffix(".json")
                    yield pytest.param(recording, table, source, id=f"{name}-{table.name}")


@pytest.mark.parametrize(("recording", "table", "source"), list(uses()))
def test_cell_for_cell_a_recording_gives_the_rows_that_a_reader_would_write_down(
    recording: Recording, table: Table, source: Source
) -> None:
    """No value is dropped, invented or mistyped, whatever the period and the segment."""
    period = period_of_recording(recording)
    value = json.loads(recording.body, parse_float=Decimal)
    answers = list(value.values()) if is_keyed(recording) else [value]
    found = through_the_client(recording, source, period)
    assert [period.key(day) for day in found] == list(value) or not is_keyed(recording)
    for answer, expected in zip(found.values(), answers, strict=True):
        got = rows_of(parse_slice(table_in(table, period), [(source, answer)]))
        assert typed(got) == typed(by_hand(table, source, period, expected))


def test_every_recording_of_a_period_or_a_segment_is_compared() -> None:
    """None is left out in silence."""
    methods = {source.method for table in PREBUILT.values() for source in table.sources}
    assert {one.method for one in RECORDED} - methods <= OTHER_METHODS
    assert len(list(uses())) >= 25


# ---------------------------------------------------------------------------------------------------------------------
# Typed out by hand from the files.


def row(name: str, table: str, day: date, **key: object) -> dict[str, Any]:
    recording = read(f"{name}.json")
    period = period_of_recording(recording)
    source = next(source for source in PREBUILT[table].sources if source.method == recording.method)
    answer = through_the_client(recording, source, period)[day]
    found = [
        one
        for one in rows_of(parse_slice(table_in(PREBUILT[table], period), [(source, answer)]))
        if key.items() <= one.items()
    ]
    assert len(found) == 1
    return found[0]


def test_the_week_of_the_twelfth_of_october() -> None:
    """m53_weeks_VisitsSummary: the summary of a week counts its visitors once."""
    assert row("m53_weeks_VisitsSummary", "visits_summary", date(2026, 10, 12)) == {
        "nb_uniq_visitors": 280,
        "nb_visits": 380,
        "nb_actions": 1632,
        "nb_users": 46,
        "max_actions": 17,
        "sum_visit_length": 141026,
        "bounce_count": 72,
        "nb_visits_converted": 56,
        "bounce_rate": 0.19,
        "nb_actions_per_visit": 4.3,
        "avg_time_on_site": 371.0,
    }


def test_a_year_has_no_unique_visitors() -> None:
    """m53_years_VisitsSummary: NULL, and not 0; of 2025 everything is 0, since the site was not there."""
    found = row("m53_years_VisitsSummary", "visits_summary", date(2026, 1, 1))
    assert (found["nb_uniq_visitors"], found["nb_users"], found["nb_visits"]) == (None, None, 2287)
    assert set(row("m53_years_VisitsSummary", "visits_summary", date(2025, 1, 1)).values()) == {0}


def test_the_window_up_to_the_fifteenth_of_november() -> None:
    """m53_range_VisitsSummary: the ten days from the sixth, named by the last."""
    found = row("m53_range_VisitsSummary", "visits_summary", date(2026, 11, 15))
    assert (found["nb_visits"], found["nb_actions"], found["nb_uniq_visitors"]) == (573, 3720, None)


def test_france_in_the_week_of_the_second_of_november() -> None:
    """m53_weeks_Country: the days' unique visitors summed up, and none of the week."""
    found = row("m53_weeks_Country", "visitor_country", date(2026, 11, 2), country_code="fr")
    recorded = json.loads(read("m53_weeks_Country.json").body)["2026-11-02,2026-11-08"][0]
    assert (found["visits"], found["users"], found["sum_daily_users"]) == (
        72,
        None,
        recorded["sum_daily_nb_uniq_visitors"],
    )


def test_smartphones_on_the_third_and_the_fifth_of_november() -> None:
    """m53_seg_days_smartphone: a day of the segment, and one without visits."""
    found = row("m53_seg_days_smartphone", "visits_summary", date(2026, 11, 3))
    assert (found["nb_visits"], found["nb_uniq_visitors"], found["bounce_rate"]) == (19, 19, 0.16)
    assert row("m53_seg_days_smartphone", "visits_summary", date(2026, 11, 5))["nb_visits"] == 0


def test_france_by_weeks() -> None:
    """m53_seg_weeks: a segment and a period at once; of the week of 2026-11-02 as many visits as its country has."""
    assert row("m53_seg_weeks", "visits_summary", date(2026, 11, 2))["nb_visits"] == 72
    assert row("m53_seg_weeks", "visits_summary", date(2026, 10, 19) + timedelta(weeks=1))["nb_visits"] == 121
