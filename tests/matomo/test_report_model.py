"""A report of many periods, of which some fail: each has its own answer, whatever the way in which it was requested."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import Source
from matomo_fn.days import Days
from matomo_fn.errors import MatomoError
from matomo_fn.periods import Period
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRST = date(2026, 1, 1)
REFUSED = {"result": "error", "message": "this one is broken"}
PERIODS = st.sampled_from([Period.DAY, Period.WEEK, Period.MONTH, Period.YEAR, Period.rolling(7)])


class Server:
    """Answers a report by its own rows for each period; a request for one that is broken fails."""

    def __init__(self, period: Period, rows: Mapping[date, int], broken: frozenset[date]) -> None:
        self.period = period
        self.rows = rows
        self.broken = broken
        self.transport = Scripted(self.answer)

    def answer(self, method: str, form: Mapping[str, str]) -> object:
        """Answer a call, or the calls within one."""
        if method != "API.getBulkRequest":
            return self._one(form)
        calls = [form[f"urls[{index}]"] for index in range(len(form) - 1) if f"urls[{index}]" in form]
        return [self._one({key: value[0] for key, value in parse_qs(call).items()}) for call in calls]

    def _one(self, form: Mapping[str, str]) -> object:
        first, _, last = form["date"].partition(",")
        begin, end = date.fromisoformat(first), date.fromisoformat(last or first)
        if self.period.is_rolling:
            wanted = [end]
            assert end - begin == timedelta(days=self.period.days - 1)
        else:
            wanted = sorted({self.period.first_day(day) for day in Days.between(begin, end)})
        if self.broken.intersection(wanted):
            return REFUSED
        if not last or self.period.is_rolling:
            return self._rows(wanted[0], form)
        return {self.period.key(day): self._rows(day, form) for day in wanted}

    def _rows(self, day: date, form: Mapping[str, str]) -> list[object]:
        rows: list[object] = [{"label": f"{day} {number}"} for number in range(self.rows[day])]
        limit, offset = int(form["filter_limit"]), int(form.get("filter_offset", 0))
        return rows[offset:] if limit < 0 else rows[offset : offset + limit]


@settings(max_examples=40)
@given(
    period=PERIODS,
    count=st.integers(1, 30),
    page_rows=st.sampled_from([None, 1, 3]),
    data=st.data(),
    ranges=st.booleans(),
)
def test_each_period_has_its_own_rows_or_its_own_error(
    period: Period, count: int, page_rows: int | None, data: st.DataObject, *, ranges: bool
) -> None:
    """By ranges, in bulk or one by one, with pages and without: nothing of one stands under another."""
    days = period.whole(Days.between(FIRST, FIRST + timedelta(days=count)))
    dates = list(period.dates(days))
    rows = {day: (day.toordinal() * 7 + count) % 6 for day in dates}
    broken = data.draw(st.frozensets(st.sampled_from(dates), max_size=2))
    server = Server(period, rows, broken)
    client = client_of(server.transport, page_rows=page_rows)
    answered = client.report(Source("A.get", ranges=ranges), "1", days, period)
    assert sorted(answered.days) == dates
    for day, answer in answered.days.items():
        if day in broken:
            assert isinstance(answer, MatomoError)
        else:
            assert answer == [{"label": f"{day} {number}"} for number in range(rows[day])]
    assert answered.split == (bool(broken) and len(dates) > 1 and ranges and not period.is_rolling)


@pytest.mark.parametrize("refused_at", ["1", "2"])
def test_a_segment_that_one_site_refuses_is_sent_to_the_other(refused_at: str) -> None:
    """And not to that one again; all visits of it are requested as ever."""
    sentence = "Segment 'x' is not a supported segment."

    def answer(_method: str, form: Mapping[str, str]) -> object:
        if form.get("segment") and form["idSite"] == refused_at:
            return {"result": "error", "message": sentence}
        return {str(FIRST): [{"label": form["idSite"]}]}

    transport = Scripted(answer)
    client = client_of(transport)
    for _ in range(2):
        for site in ("1", "2"):
            for segment in ("", "x==1"):
                found = client.report(Source("A.get"), site, Days.of([FIRST]), segment=segment).days[FIRST]
                assert isinstance(found, MatomoError) == (site == refused_at and bool(segment))
    asked = [(form["idSite"], form.get("segment", "")) for _, form in transport.asked]
    assert asked.count((refused_at, "x==1")) == 1
    assert len(asked) == 7


def test_sites_that_are_listed_twice_are_told_by_all_that_is_said_of_them() -> None:
    """The same twice is one site; with another time zone, creation, name or group, one of them is wrong."""
    first = {"idsite": "1", "name": "A", "timezone": "UTC", "ts_created": "2024-01-01 00:00:00", "group": "g"}
    changes = [
        {"timezone": "Europe/Paris"},
        {"ts_created": "2025-01-01 00:00:00"},
        {"name": "B"},
        {"group": "h"},
    ]
    other = {**first, "idsite": "2"}
    for change in ({}, *changes):
        sites = client_of(Scripted(lambda *_, c=change: [first, other, {**first, **c}])).sites()
        assert [(site.id, bool(site.problem)) for site in sites] == [("1", bool(change)), ("2", False)]


@pytest.mark.parametrize("count", [1, 20, 21, 45])
@pytest.mark.parametrize("page_rows", [None, 2])
def test_the_size_of_an_answer_is_that_of_all_its_parts(count: int, page_rows: int | None) -> None:
    """Of every bulk call and of every page: it decides how many days are requested next."""
    rows = {FIRST + timedelta(days=number): number % 4 for number in range(count)}
    server = Server(Period.DAY, rows, frozenset())
    sizes: list[int] = []

    def answer(method: str, form: Mapping[str, str]) -> object:
        found = server.answer(method, form)
        sizes.append(len(json.dumps(found)))
        return found

    client = client_of(Scripted(answer), page_rows=page_rows)
    for ranges in (True, False):
        sizes.clear()
        assert client.report(Source("A.get", ranges=ranges), "1", Days.of(rows)).size == sum(sizes)


@pytest.mark.parametrize("broken", [0, 1, 2])
def test_a_bulk_call_that_fails_costs_its_own_lists(broken: int) -> None:
    """Not those of the calls before and after it; each list has its own answer or its own error."""
    wanted = [("Goals.getGoals" if number % 2 else "CustomDimensions.get", str(number)) for number in range(1, 50)]
    calls = iter(range(3))

    def answer(_method: str, form: Mapping[str, str]) -> object:
        if next(calls) == broken:
            return REFUSED
        inner = [parse_qs(part) for key, part in form.items() if key.startswith("urls")]
        return [REFUSED if one["idSite"] == ["7"] else [f"{one['method'][0]} {one['idSite'][0]}"] for one in inner]

    found = client_of(Scripted(answer)).settings_lists(wanted)
    assert list(found) == wanted
    for number, (method, site) in enumerate(wanted):
        value = found[method, site]
        if number // 20 == broken:
            assert isinstance(value, MatomoError)
        elif site == "7":
            assert isinstance(value, MatomoError)
            assert str(value).startswith(method)
        else:
            assert value == [f"{method} {site}"]
