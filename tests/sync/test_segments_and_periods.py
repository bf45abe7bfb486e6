"""Two connectors, three segments and two longer periods in one dataset: each slice is replaced alone."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo
from matomo_fn.catalogue import Catalogue
from matomo_fn.errors import InputError, SchemaMismatch
from matomo_fn.periods import Period
from matomo_fn.sync.audit import audit
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.state import SyncState
from tests.support.local import CREATED, TODAY, YESTERDAY, Local, ago, days, local, small_world
from tests.support.warehouses import duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fake_matomo.visits import Visit

SEGMENTS = {"mobile": "deviceType==smartphone", "france": "countryCode==fr", "converted": "visitConverted==1"}
TESTS: dict[str, Callable[[Visit], bool]] = {
    "": lambda _: True,
    "mobile": lambda visit: visit.visitor.device.type == "smartphone",
    "france": lambda visit: visit.visitor.place.code == "fr",
    "converted": lambda visit: visit.converted,
}
CONFIG = {
    "dataset": "both",
    "reports": ["visits_summary", "visitor_country"],
    "periods": ["week", "month"],
    "backfill_days": 20,
}
# Table, site, segment and date of a slice.
Key = tuple[str, str, str, date]


@contextmanager
def connectors(path: Path) -> Iterator[tuple[FakeMatomo, Local, Local]]:
    """Two connectors of one Matomo: both have France, and each another segment."""
    file = path / "test.duckdb"
    first = {name: SEGMENTS[name] for name in ("mobile", "france")}
    second = {name: SEGMENTS[name] for name in ("france", "converted")}
    with FakeMatomo(small_world(2)) as matomo, ExitStack() as stack:
        yield (
            matomo,
            stack.enter_context(local(matomo, file, name="one", segments=first, **CONFIG)),
            stack.enter_context(local(matomo, file, name="two", segments=second, **CONFIG)),
        )


def tables(*opened: Local) -> Catalogue:
    return Catalogue({table.name: table for each in opened for table in each.connector.catalogue.values()}.values())


def query(opened: Local, columns: str, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in opened.warehouse.query(f"select {columns} from `both.{table}` t")]


def visits_of(matomo: FakeMatomo, site: str, segment: str, period: Period, first: date) -> list[Visit]:
    last = min(period.last_day(first), TODAY)
    found = [visit for day in days(max(first, CREATED), last) for visit in matomo.visits(int(site), day)]
    return [visit for visit in found if TESTS[segment](visit)]


def check_rows(matomo: FakeMatomo, opened: Local) -> None:
    """Every slice has the numbers that Matomo's visits have, once."""
    for table in opened.connector.catalogue.values():
        if table.is_one_row:
            found = query(opened, "website_id, segment, date, nb_visits", table.name)
            assert len({(row["website_id"], row["segment"], row["date"]) for row in found}) == len(found)
            for row in found:
                expected = visits_of(matomo, row["website_id"], row["segment"], table.period, row["date"])
                assert row["nb_visits"] == len(expected), (table.name, row)
        else:
            groups: dict[tuple[str, str, date], Counter[str]] = {}
            for row in query(opened, "website_id, segment, date, country_code, visits", table.name):
                key = row["website_id"], row["segment"], row["date"]
                groups.setdefault(key, Counter())[row["country_code"]] += row["visits"]
            for (site, segment, day), countries in groups.items():
                expected = visits_of(matomo, site, segment, table.period, day)
                assert countries == Counter(visit.visitor.place.code or "xx" for visit in expected)


def stamps(opened: Local) -> dict[Key, str]:
    """The run that wrote each slice of a one-row table."""
    return {
        (name, row["website_id"], row["segment"], row["date"]): row["_run_id"]
        for name in ("visits_summary", "visits_summary_week", "visits_summary_month")
        for row in query(opened, "website_id, segment, date, _run_id", name)
    }


def check_audit(opened: Local) -> None:
    run = Run("audit", "audit", opened.now())
    state = SyncState(opened.warehouse, opened.connector)
    assert audit(opened.warehouse, state, opened.connector.catalogue, run, opened.now(), mark=False).is_consistent


def test_both_have_every_slice_of_theirs_in_the_same_tables(tmp_path: Path) -> None:
    """Days, weeks and months of all visits and three segments, at two sites."""
    with connectors(tmp_path) as (matomo, one, two):
        assert one.sync().verdict == two.sync().verdict == "complete"
        found = stamps(one)
        windows = {Period.DAY: days(ago(20), YESTERDAY)}
        windows |= {p: sorted({p.first_day(day) for day in windows[Period.DAY]}) for p in (Period.WEEK, Period.MONTH)}
        assert found.keys() == {
            ("visits_summary" if period.is_day else f"visits_summary_{period}", site, segment, day)
            for period, dates in windows.items()
            for site in "12"
            for segment in ("", *SEGMENTS)
            for day in dates
        }
        check_rows(matomo, one)
        assert duplicates(one.warehouse, tables(one, two), tables(one, two)) == []


def test_only_the_slices_that_changed_are_replaced(tmp_path: Path) -> None:
    """A day of one site that changes is in one day, one week and one month of each segment that has its visits."""
    with connectors(tmp_path) as (matomo, one, two):
        one.sync()
        two.sync()
        before, numbers = stamps(one), _numbers(one)
        matomo.advance(timedelta(minutes=1))
        matomo.change(1, ago(2))
        assert one.sync(request_id="changed").verdict == "complete"
        after = stamps(one)
        touched = {key for key in after if after[key] != before[key] or _numbers(one)[key] != numbers[key]}
        day = ago(2)
        possible = {
            (name, "1", segment, period.first_day(day))
            for name, period in (
                ("visits_summary", Period.DAY),
                ("visits_summary_week", Period.WEEK),
                ("visits_summary_month", Period.MONTH),
            )
            for segment in ("", "mobile", "france")
        }
        assert {(name, "1", "", date_) for name, _, segment, date_ in possible if not segment} <= touched <= possible
        assert two.sync().verdict == "complete"
        check_rows(matomo, two)


def _numbers(opened: Local) -> dict[Key, tuple[int, ...]]:
    return {
        (name, row["website_id"], row["segment"], row["date"]): (row["nb_visits"], row["nb_actions"])
        for name in ("visits_summary", "visits_summary_week", "visits_summary_month")
        for row in query(opened, "website_id, segment, date, nb_visits, nb_actions", name)
    }


@pytest.mark.parametrize("table", ["visits_summary", "visits_summary_week", "visitor_country_month"])
def test_a_run_within_another_leaves_each_slice_once(tmp_path: Path, table: str) -> None:
    """Both are first runs: they write the same slices of France and of all visits, and others beside them."""
    with connectors(tmp_path) as (matomo, one, two):
        nested: list[object] = []

        def other(method: str, what: str) -> None:
            if method == "load" and f"_staging_{table}_run" in what and not nested:
                nested.append(None)
                nested.append(two.sync().verdict)

        result = one.sync(before=other)
        assert nested == [None, "complete"]
        assert result.verdict in ("complete", "failed")  # a slice that the other wrote meanwhile is refetched
        matomo.advance(timedelta(minutes=1))
        assert (one.sync().verdict, two.sync().verdict) == ("complete", "complete")
        assert duplicates(one.warehouse, tables(one, two), tables(one, two)) == []
        check_rows(matomo, one)
        assert {segment for _, _, segment, _ in stamps(one)} == {"", *SEGMENTS}


def test_a_request_for_one_table_of_periods_leaves_all_else_alone(tmp_path: Path) -> None:
    """Also a full refresh: of weeks, of one site."""
    with connectors(tmp_path) as (_, one, two):
        one.sync()
        two.sync()
        before = stamps(one)
        two.matomo.advance(timedelta(minutes=1))
        result = two.sync(tables=("visits_summary_week",), sites=("2",), mode="full_refresh", request_id="again")
        assert result.verdict == "complete"
        changed = {key for key, run in stamps(one).items() if run != before[key]}
        assert {(table, site) for table, site, _, _ in changed} <= {("visits_summary_week", "2")}
        assert result.tables["visits_summary_week"].written == 4 * 3  # weeks, and France, converted and all visits


def test_two_definitions_of_one_segment_in_one_dataset_are_refused_until_both_are_the_same(tmp_path: Path) -> None:
    """They would replace each other's slices; whichever of the two is corrected, both can go on."""
    file = tmp_path / "test.duckdb"
    config = {key: value for key, value in CONFIG.items() if key != "periods"} | {"reports": ["visits_summary"]}
    with FakeMatomo(small_world(1)) as matomo, ExitStack() as stack:

        def opened(name: str, definition: str) -> Local:
            matomo.advance(timedelta(minutes=1))
            return stack.enter_context(local(matomo, file, name=name, segments={"part": definition}, **config))

        assert opened("one", "countryCode==fr").sync().verdict == "complete"
        with pytest.raises(InputError) as raised:
            opened("two", "countryCode==de").sync()
        assert str(raised.value) == (
            "connector 'one' fills segment part of site 1 in dataset both by another definition: give both connectors "
            "the same one, or call one of the segments otherwise"
        )
        assert opened("two", "countryCode==fr").sync().verdict == "complete"
        # Both are to have a new definition: the one that logged last goes first.
        with pytest.raises(InputError):
            opened("one", "countryCode==de").sync()
        assert opened("two", "countryCode==de").sync().verdict == "complete"
        one = opened("one", "countryCode==de")
        assert one.sync().verdict == "complete"
        germans = sum(
            visit.visitor.place.code == "de" for day in days(ago(20), YESTERDAY) for visit in matomo.visits(1, day)
        )
        found = query(one, "segment, nb_visits", "visits_summary")
        assert sum(row["nb_visits"] for row in found if row["segment"] == "part") == germans


def test_a_log_without_periods_and_hashes_is_brought_up_to_date_and_loses_nothing(tmp_path: Path) -> None:
    """That of an earlier version: what only looks says to sync first, and the sync takes every row as a day's."""
    with (
        FakeMatomo(small_world(1)) as matomo,
        local(matomo, tmp_path / "test.duckdb", segments=SEGMENTS, reports=["visits_summary"]) as opened,
    ):
        opened.sync()
        for column in ("period", "segment_hash"):
            opened.warehouse.run(
                f"alter table `{opened.connector.dataset_name}._sync_log` drop column {column}", column
            )
        with pytest.raises(SchemaMismatch) as raised:
            opened.plan()
        assert str(raised.value).endswith("lacks period, segment_hash: run a sync, which adds what is missing")
        matomo.forget_calls()
        result = opened.sync()
        assert (result.verdict, result.tables["visits_summary"].written) == ("complete", 0)
        assert {call.params["date"] for call in matomo.calls if call.method == "VisitsSummary.get"} == {
            f"{ago(3)},{ago(1)}"
        }
        assert {found.stream.segment for found in opened.plan().due} == {"", *SEGMENTS}
