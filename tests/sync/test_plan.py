"""Which slices a run asks for, and in which jobs."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Source, Table
from matomo_fn.config.connector import Connector, read_connector
from matomo_fn.config.request import read_request
from matomo_fn.extract.jobs import FIRST_CHUNK, Job
from matomo_fn.matomo.client import BULK_DAYS
from matomo_fn.sites import Site, read_timezone
from matomo_fn.slices import days_between, runs_of_days
from matomo_fn.sync.plan import estimated_calls, group_tables, is_final, jobs_for, window_of

NOW = datetime(2026, 11, 20, 23, 20, tzinfo=UTC)  # in Paris it is the 21st
OLD, NEW = (5, 2), (5, 5)
TABLES = tuple(PREBUILT.values())
DAYS = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 3, 1))


def connector(**values: object) -> Connector:
    return read_connector("shop", json.dumps({"matomo_url": "https://m.example.com", "sites": "all", **values}))


def site(zone: str = "UTC", created: date = date(2020, 1, 1), number: str = "1") -> Site:
    return Site(number, "", read_timezone(zone), created)


def window(where: Site | None = None, request: dict[str, Any] | None = None, **values: object) -> Any:
    found = window_of(where or site(), read_request({"connector": "shop", **(request or {})}), connector(**values), NOW)
    return found and (found.first, found.last, found.recheck_from)


# ---- windows


def test_the_default_window_is_the_last_backfill_days_up_to_yesterday() -> None:
    """The trailing days of it are asked again although they are known."""
    assert window(backfill_days=30, trailing_days=3) == (date(2026, 10, 21), date(2026, 11, 19), date(2026, 11, 17))


@pytest.mark.parametrize(
    ("zone", "yesterday"),
    [
        ("UTC", date(2026, 11, 19)),
        ("Europe/Paris", date(2026, 11, 20)),
        ("America/New_York", date(2026, 11, 19)),
        ("Pacific/Auckland", date(2026, 11, 20)),
    ],
)
def test_yesterday_is_that_of_the_site(zone: str, yesterday: date) -> None:
    """A run at one moment has different days for different sites."""
    first, last, recheck = window(site(zone), backfill_days=10, trailing_days=2)
    assert (first, last, recheck) == (yesterday - timedelta(9), yesterday, yesterday - timedelta(1))


def test_no_window_begins_before_the_site_was_created() -> None:
    """Matomo has nothing there, and empties would look like days without visits."""
    created = date(2026, 11, 15)
    assert window(site(created=created)) == (created, date(2026, 11, 19), date(2026, 11, 17))
    explicit = {"start_date": "2024-01-01", "end_date": "2026-11-16"}
    assert window(site(created=created), explicit) == (created, date(2026, 11, 16), created)


def test_trailing_days_never_reach_before_the_window() -> None:
    """More trailing days than days: all are asked again."""
    assert window(backfill_days=2, trailing_days=9) == (date(2026, 11, 18), date(2026, 11, 19), date(2026, 11, 18))


@pytest.mark.parametrize("created", [date(2026, 11, 20), date(2026, 11, 21), date(2030, 1, 1)])
def test_a_site_of_today_or_later_has_no_days_yet(created: date) -> None:
    """There is no yesterday."""
    assert window(site(created=created)) is None


def test_an_explicit_window_wins_and_all_of_it_is_asked_again() -> None:
    """Whatever backfill_days say."""
    explicit = {"start_date": "2026-01-05", "end_date": "2026-01-07"}
    assert window(None, explicit, backfill_days=1) == (date(2026, 1, 5), date(2026, 1, 7), date(2026, 1, 5))


def test_an_explicit_window_without_an_end_ends_with_yesterday() -> None:
    """As the default one does."""
    assert window(None, {"start_date": "2026-11-18"})[:2] == (date(2026, 11, 18), date(2026, 11, 19))


def test_today_is_asked_for_only_where_it_is_named() -> None:
    """It is not over; whoever names it wants it so."""
    assert window(None, {"start_date": "2026-11-20", "end_date": "2026-11-20"})[1] == date(2026, 11, 20)
    assert window(None, {"start_date": "2026-11-20"}) is None


def test_no_window_reaches_into_the_future() -> None:
    """Matomo would answer empties; the site's today is the last day."""
    assert window(None, {"start_date": "2026-11-18", "end_date": "2027-01-01"})[1] == date(2026, 11, 20)
    paris = window(site("Europe/Paris"), {"start_date": "2026-11-18", "end_date": "2027-01-01"})
    assert paris[1] == date(2026, 11, 21)
    assert window(None, {"start_date": "2026-11-21", "end_date": "2027-01-01"}) is None


@pytest.mark.parametrize("mode", ["backfill", "full_refresh"])
def test_other_modes_ask_for_every_day_again(mode: str) -> None:
    """KnownSlice or not."""
    assert window(None, {"mode": mode}, backfill_days=30) == (
        date(2026, 10, 21),
        date(2026, 11, 19),
        date(2026, 10, 21),
    )


@given(st.integers(1, 800), st.integers(1, 365), st.dates(date(2024, 1, 1), date(2026, 12, 31)))
def test_a_window_lies_within_the_life_of_the_site(backfill: int, trailing: int, created: date) -> None:
    """First, recheck and last in that order, none before the creation, none after yesterday."""
    found = window_of(
        site(created=created),
        read_request({"connector": "shop"}),
        connector(backfill_days=backfill, trailing_days=trailing),
        NOW,
    )
    if found is None:
        assert created > date(2026, 11, 19)
    else:
        assert created <= found.first <= found.last == date(2026, 11, 19)
        assert found.first <= found.recheck_from
        assert len(found.days) <= backfill
        assert found.days[0] == found.first


def test_a_day_is_final_when_no_later_run_would_ask_for_it_by_itself() -> None:
    """The trailing days of the next day's run begin behind it."""
    three = connector(trailing_days=3)
    assert is_final(site(), date(2026, 11, 17), three, NOW)
    assert not is_final(site(), date(2026, 11, 18), three, NOW)
    assert is_final(site("Europe/Paris"), date(2026, 11, 18), three, NOW)


# ---- runs of days


@given(st.lists(DAYS))
def test_runs_of_days_are_the_days_and_no_others(days: list[date]) -> None:
    """In order, consecutive within a run, with a gap between runs."""
    runs = runs_of_days(days)
    assert [day for first, last in runs for day in days_between(first, last)] == sorted(set(days))
    assert all(later[0] - earlier[1] > timedelta(days=1) for earlier, later in pairwise(runs))


def test_days_between_have_both_ends() -> None:
    """Also the leap day, and none where the ends are reversed."""
    assert list(days_between(date(2028, 2, 28), date(2028, 3, 1))) == [
        date(2028, 2, 28),
        date(2028, 2, 29),
        date(2028, 3, 1),
    ]
    assert list(days_between(date(2026, 1, 2), date(2026, 1, 1))) == []


# ---- groups and jobs


@given(st.lists(st.sampled_from(TABLES), unique=True), st.sampled_from([OLD, NEW]))
def test_groups_have_every_table_once_and_share_no_call(tables: list[Table], version: tuple[int, int]) -> None:
    """Two groups that shared a call would ask it twice; members stand in the order given."""
    groups = group_tables(tables, version)
    assert Counter(table.name for group in groups for table in group) == Counter(table.name for table in tables)
    calls = [{source.call for table in group for source in table.sources_of(version)} for group in groups]
    assert sum(map(len, calls)) == len(set().union(*calls))
    assert all([tables.index(table) for table in group] == sorted(map(tables.index, group)) for group in groups)


def test_the_prebuilt_tables_that_share_calls_are_grouped() -> None:
    """Countries twice, referrers three times; the others by themselves."""
    names = {tuple(table.name for table in group) for group in group_tables(TABLES, NEW) if len(group) > 1}
    assert names == {
        ("visitor_country", "countries"),
        ("acquisition_campaign", "acquisition_channel_type", "acquisition_referrer"),
    }


def test_tables_that_share_calls_by_a_third_one_are_one_group() -> None:
    """A calls 1, B calls 2, and C calls both."""
    one, two = Source("A.one"), Source("A.two")
    a, b, c = Table("a", "", (one,), ()), Table("b", "", (two,), ()), Table("c", "", (one, two), ())
    assert group_tables([a, b, c], OLD) == [(a, b, c)]
    assert group_tables([c, a, b], OLD) == [(c, a, b)]
    assert group_tables([a, b], OLD) == [(a,), (b,)]


@pytest.mark.parametrize(("version", "asked"), [((4, 16), False), ((5, 4), False), ((5, 5), True), ((6, 0), True)])
def test_ai_assistants_are_asked_of_a_matomo_that_has_them(version: tuple[int, int], *, asked: bool) -> None:
    """Older ones answer that there is no such method."""
    methods = {source.method for source in PREBUILT["acquisition_referrer"].sources_of(version)}
    assert ("Referrers.getAIAssistants" in methods) is asked
    assert len(methods) == 5 + asked


DUE = st.dictionaries(
    st.tuples(st.sampled_from([table.name for table in TABLES]), st.sampled_from(["1", "2"])),
    st.lists(DAYS, max_size=6),
    max_size=12,
)


@given(DUE, st.sampled_from([OLD, NEW]))
def test_every_due_slice_is_in_exactly_one_job(
    due: dict[tuple[str, str], list[date]], version: tuple[int, int]
) -> None:
    """None is forgotten, none asked that is not due."""
    sites = [site(number="1"), site(number="2")]
    jobs = jobs_for(due, sites, TABLES, version)
    found = Counter((table.name, job.site.id, day) for job in jobs for table in job.tables for day in job.days)
    assert found == Counter({(table, number, day) for (table, number), days in due.items() for day in set(days)})


@given(DUE, st.sampled_from([OLD, NEW]))
def test_no_call_is_asked_twice_for_the_same_day(
    due: dict[tuple[str, str], list[date]], version: tuple[int, int]
) -> None:
    """Tables that share a report share its answer."""
    sites = [site(number="1"), site(number="2")]
    asked = Counter(
        (job.site.id, call, day)
        for job in jobs_for(due, sites, TABLES, version)
        for call in {source.call for table in job.tables for source in table.sources_of(version)}
        for day in job.days
    )
    assert set(asked.values()) <= {1}


@given(DUE)
def test_the_days_of_a_job_are_in_order_and_without_repetition(due: dict[tuple[str, str], list[date]]) -> None:
    """Whatever order the state gives them in."""
    for job in jobs_for(due, [site(number="1"), site(number="2")], TABLES, OLD):
        assert list(job.days) == sorted(set(job.days))
        assert job.tables
        assert job.segment == ""


def test_days_that_only_some_tables_want_are_jobs_of_their_own() -> None:
    """The others are not asked, and not written, again."""
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    due = {("visitor_country", "1"): [first, second], ("countries", "1"): [second]}
    country, countries = PREBUILT["visitor_country"], PREBUILT["countries"]
    assert jobs_for(due, [site()], TABLES, OLD) == [
        Job(site(), "", (country,), (first,)),
        Job(site(), "", (country, countries), (second,)),
    ]


def test_a_site_or_a_table_that_is_not_in_the_run_gets_no_job() -> None:
    """Due or not."""
    due = {("visitor_country", "9"): [date(2026, 1, 1)], ("behaviour_page", "1"): [date(2026, 1, 1)]}
    assert jobs_for(due, [site()], [PREBUILT["visitor_country"]], OLD) == []


@pytest.mark.parametrize(
    ("table", "days", "calls"),
    [
        ("visitor_country", 1, 1),
        ("visitor_country", FIRST_CHUNK, 1),
        ("visitor_country", FIRST_CHUNK + 1, 2),
        ("referrers", BULK_DAYS, 1),
        ("referrers", BULK_DAYS + 1, 2),
        ("acquisition_referrer", 1, 5),
        ("acquisition_referrer", 100, 20),
    ],
)
def test_the_estimate_counts_the_calls_of_each_report(table: str, days: int, calls: int) -> None:
    """Ranges of a month, bulk calls of twenty days, and each distinct report once."""
    every = tuple(date(2026, 1, 1) + timedelta(days=index) for index in range(days))
    assert estimated_calls([Job(site(), "", (PREBUILT[table],), every)], OLD) == calls


def test_the_estimate_counts_days_that_are_apart_by_themselves() -> None:
    """A range has no gaps."""
    job = Job(site(), "", (PREBUILT["visitor_country"],), (date(2026, 1, 1), date(2026, 1, 3), date(2026, 1, 4)))
    assert estimated_calls([job], OLD) == 2
