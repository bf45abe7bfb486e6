"""The plan: which slices are due and why, and in which jobs and phases they are extracted."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, VISITS, Catalogue, Source, Table
from matomo_fn.days import Days, Range
from matomo_fn.extract.jobs import MONTH, Job
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK
from matomo_fn.segments import EVERY_VISIT
from matomo_fn.sites import Site
from matomo_fn.slices import Stream
from matomo_fn.sync.outcome import KnownSlice, Status
from matomo_fn.sync.plan import Due, Reason, estimated_calls, group_tables, jobs_for, make_plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import Snapshot

OLD, NEW = (5, 2), (5, 5)
TABLES = tuple(PREBUILT.values())
DAYS = st.dates(min_value=date(2026, 1, 1), max_value=date(2026, 3, 1))


def site(number: str = "1") -> Site:
    return Site(number, "", UTC, date(2020, 1, 1))


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
    st.builds(Stream, st.sampled_from([table.name for table in TABLES]), st.sampled_from(["1", "2"])),
    st.builds(Days.of, st.lists(DAYS, max_size=6)),
    max_size=12,
)


@given(DUE, st.sampled_from([OLD, NEW]))
def test_every_due_slice_is_in_exactly_one_job(due: dict[Stream, Days], version: tuple[int, int]) -> None:
    """None is forgotten, none asked that is not due."""
    sites = [site(number="1"), site(number="2")]
    jobs = jobs_for(due, sites, TABLES, version)
    found = Counter((table.name, job.site.id, day) for job in jobs for table in job.tables for day in job.days)
    assert found == Counter((stream.table, stream.website_id, day) for stream, days in due.items() for day in days)


@given(DUE, st.sampled_from([OLD, NEW]))
def test_no_call_is_asked_twice_for_the_same_day(due: dict[Stream, Days], version: tuple[int, int]) -> None:
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
def test_the_days_of_a_job_are_in_order_and_without_repetition(due: dict[Stream, Days]) -> None:
    """Whatever order the state gives them in."""
    for job in jobs_for(due, [site(number="1"), site(number="2")], TABLES, OLD):
        assert list(job.days) == sorted(set(job.days))
        assert job.tables
        assert job.segment == EVERY_VISIT


def test_days_that_only_some_tables_want_are_jobs_of_their_own() -> None:
    """The others are not asked, and not written, again."""
    first, second = date(2026, 1, 1), date(2026, 1, 2)
    due = {Stream("visitor_country", "1"): Days.of([first, second]), Stream("countries", "1"): Days.of([second])}
    country, countries = PREBUILT["visitor_country"], PREBUILT["countries"]
    assert jobs_for(due, [site()], TABLES, OLD) == [
        Job(site(), (country,), Days.of([first])),
        Job(site(), (country, countries), Days.of([second])),
    ]


def test_a_site_or_a_table_that_is_not_in_the_run_gets_no_job() -> None:
    """Due or not."""
    day = Days.of([date(2026, 1, 1)])
    due = {Stream("visitor_country", "9"): day, Stream("behaviour_page", "1"): day}
    assert jobs_for(due, [site()], [PREBUILT["visitor_country"]], OLD) == []


@pytest.mark.parametrize(
    ("table", "days", "calls"),
    [
        ("visitor_country", 1, 1),
        ("visitor_country", MONTH, 1),
        ("visitor_country", MONTH + 1, 2),
        ("referrers", MOST_CALLS_IN_BULK, 1),
        ("referrers", MOST_CALLS_IN_BULK + 1, 2),
        ("acquisition_referrer", 1, 1),
        ("acquisition_referrer", 100, 20),
    ],
)
def test_the_estimate_counts_the_calls_of_each_report(table: str, days: int, calls: int) -> None:
    """Ranges of a month, bulk calls of sixty days, each distinct report once, and few days of all in one call."""
    every = Days.between(date(2026, 1, 1), date(2026, 1, 1) + timedelta(days=days - 1))
    assert estimated_calls([Job(site(), (PREBUILT[table],), every)], OLD) == calls


def test_the_estimate_counts_days_that_are_apart_by_themselves() -> None:
    """A range has no gaps."""
    days = Days.of([date(2026, 1, 1), date(2026, 1, 3), date(2026, 1, 4)])
    job = Job(site(), (PREBUILT["visitor_country"],), days)
    assert estimated_calls([job], OLD) == 2


# ---- the whole plan

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 10)
SUMMARY, COUNTRY = PREBUILT["visits_summary"], PREBUILT["visitor_country"]


def scope(*tables: Table, sites: int = 1, recheck_from: date = date(2026, 3, 8)) -> Scope:
    windows = tuple(Window(site(number=str(number)), FIRST, LAST, recheck_from) for number in range(1, sites + 1))
    return Scope(Catalogue(tables or (COUNTRY,)), windows, OLD, ())


def known(status: Status = Status.WRITTEN, request_id: str = "before") -> KnownSlice:
    return KnownSlice(status, 1, "h", "r", request_id, is_intact=True)


def test_a_slice_is_due_for_the_reason_that_the_state_gives() -> None:
    """Never handled, pending, failed, or known and to be refetched."""
    stream = COUNTRY.stream("1")
    snapshot = Snapshot(
        {stream: Days.between(FIRST, date(2026, 3, 5))},
        {
            stream.slice(date(2026, 3, 6)): known(Status.PENDING),
            stream.slice(date(2026, 3, 7)): known(Status.FAILED),
            stream.slice(date(2026, 3, 8)): known(Status.UNCHANGED),
        },
    )
    assert make_plan(scope(), snapshot).due == (
        Due(stream, Reason.MISSING, Days.between(date(2026, 3, 9), LAST)),
        Due(stream, Reason.PENDING, Days.of([date(2026, 3, 6)])),
        Due(stream, Reason.FAILED, Days.of([date(2026, 3, 7)])),
        Due(stream, Reason.REFETCH, Days.of([date(2026, 3, 8)])),
    )


def test_streams_of_different_sites_have_due_days_of_their_own() -> None:
    """What is settled for one site is not settled for another."""
    snapshot = Snapshot({COUNTRY.stream("2"): Days.between(FIRST, LAST)})
    due = make_plan(scope(sites=2), snapshot).due
    assert [(found.stream.website_id, found.reason, len(found.days)) for found in due] == [
        ("1", Reason.MISSING, 10),
        ("2", Reason.MISSING, 3),
    ]


def test_the_visit_counts_are_a_phase_of_their_own_before_everything_else() -> None:
    """They tell which empty days of the other tables are to be believed; without them there is one phase."""
    first, second = make_plan(scope(COUNTRY, SUMMARY, sites=2), Snapshot()).phases
    assert [job.tables for job in first] == [(SUMMARY,), (SUMMARY,)]
    assert [job.tables for job in second] == [(COUNTRY,), (COUNTRY,)]
    assert len(make_plan(scope(COUNTRY), Snapshot()).phases) == 1
    settled = Snapshot({COUNTRY.stream("1"): Days.between(FIRST, LAST)})
    assert make_plan(scope(COUNTRY, recheck_from=date(2026, 3, 11)), settled).phases == ()


def test_open_slices_stand_before_refetches_in_each_phase() -> None:
    """A run whose time is up has first what no table has yet."""
    stream = COUNTRY.stream("1")
    snapshot = Snapshot({}, {stream.slice(day): known() for day in Days.between(FIRST, date(2026, 3, 8))})
    (jobs,) = make_plan(scope(), snapshot).phases
    assert [job.days for job in jobs] == [Days.between(date(2026, 3, 9), LAST), Days.between(FIRST, date(2026, 3, 8))]


def test_a_short_refetch_comes_with_the_missing_day_that_follows_it() -> None:
    """One range and one call, as in each daily run; beyond a gap, or in a longer range, it is a job of its own."""
    stream = COUNTRY.stream("1")

    def planned(*ranges: tuple[date, date]) -> list[list[Range]]:
        refetched = [day for range_ in ranges for day in Days.between(*range_)]
        others = Days.between(FIRST, LAST) - Days.of(refetched) - Days.of([LAST])
        snapshot = Snapshot({stream: others}, {stream.slice(day): known() for day in refetched})
        (jobs,) = make_plan(scope(recheck_from=date(2026, 3, 10)), snapshot).phases
        return [list(job.days.ranges) for job in jobs]

    assert planned((date(2026, 3, 7), date(2026, 3, 9))) == [[(date(2026, 3, 7), LAST)]]
    assert planned((date(2026, 3, 6), date(2026, 3, 9))) == [[(LAST, LAST)], [(date(2026, 3, 6), date(2026, 3, 9))]]
    assert planned((date(2026, 3, 6), date(2026, 3, 8))) == [[(LAST, LAST)], [(date(2026, 3, 6), date(2026, 3, 8))]]
    assert planned((date(2026, 3, 3), date(2026, 3, 3)), (date(2026, 3, 9), date(2026, 3, 9))) == [
        [(date(2026, 3, 9), LAST)],
        [(date(2026, 3, 3), date(2026, 3, 3))],
    ]


def test_refetches_of_visits_are_jobs_of_their_own() -> None:
    """They take a call a day in any case, so what the table lacks comes first."""
    stream = VISITS.stream("1")
    snapshot = Snapshot({stream: Days.between(FIRST, date(2026, 3, 8))}, {stream.slice(date(2026, 3, 9)): known()})
    (jobs,) = make_plan(scope(VISITS, recheck_from=LAST), snapshot).phases
    assert [list(job.days) for job in jobs] == [[LAST], [date(2026, 3, 9)]]


def test_a_plan_knows_what_the_state_says_of_its_slices_and_of_no_others() -> None:
    """A slice of another table or day would only take memory."""
    stream, other = COUNTRY.stream("1"), SUMMARY.stream("1")
    snapshot = Snapshot({}, {stream.slice(LAST): known(), other.slice(LAST): known(), stream.slice(date.min): known()})
    assert make_plan(scope(), snapshot).known == {stream.slice(LAST): known()}


def test_what_the_same_request_has_handled_well_is_left_out() -> None:
    """It was cut off and is delivered again; what failed then is due again."""
    stream = COUNTRY.stream("1")
    snapshot = Snapshot(
        {stream: Days.between(FIRST, date(2026, 3, 8))},
        {stream.slice(date(2026, 3, 8)): known(request_id="r"), stream.slice(LAST): known(Status.FAILED, "r")},
    )
    due = make_plan(scope(), snapshot, request_id="r").due
    assert [(found.reason, list(found.days)) for found in due] == [
        (Reason.MISSING, [date(2026, 3, 9)]),
        (Reason.FAILED, [LAST]),
    ]


def test_a_plan_counts_its_slices_and_calls() -> None:
    """What a dry run prints."""
    plan = make_plan(scope(COUNTRY, SUMMARY, sites=2), Snapshot())
    assert (plan.slices, plan.calls) == (40, 4)
    assert [len(due.days) for due in plan.of_table("visitor_country")] == [10, 10]


def intraday_scope(*windows: Window) -> Scope:
    return Scope(Catalogue([VISITS, COUNTRY]), windows, OLD, ())


def test_a_known_open_day_is_refetched_and_only_for_intraday_tables() -> None:
    """The present day goes on: what an earlier run of the day wrote is no reason to leave it out."""
    today = date(2026, 3, 11)
    window = Window(site(), FIRST, LAST, date(2026, 3, 11), today)
    visits, country = VISITS.stream("1"), COUNTRY.stream("1")
    settled = {stream: Days.between(FIRST, LAST) for stream in (visits, country)}
    snapshot = Snapshot(settled, {visits.slice(today): known(), country.slice(today): known()})
    due = make_plan(intraday_scope(window), snapshot, intraday_tables=["visits"]).due
    assert due == (Due(visits, Reason.REFETCH, Days.of([today])),)


def test_open_days_before_the_window_are_due_from_the_creation_of_their_own_site() -> None:
    """Of two sites of different age, the younger one has no days before it was created."""
    old, young = site("1"), Site("2", "", UTC, date(2026, 2, 20))
    windows = [Window(each, FIRST, LAST, date(2026, 3, 11)) for each in (old, young)]
    early = date(2026, 2, 10)
    streams = [COUNTRY.stream(number) for number in ("1", "2")]
    snapshot = Snapshot(
        {stream: Days.between(FIRST, LAST) for stream in streams},
        {stream.slice(early): known(Status.FAILED) for stream in streams},
    )
    due = make_plan(Scope(Catalogue([COUNTRY]), tuple(windows), OLD, ()), snapshot).due
    assert due == (Due(streams[0], Reason.FAILED, Days.of([early])),)


def test_without_tables_an_intraday_plan_has_the_present_day_among_the_missing_ones() -> None:
    """As a dry run before the first sync shows it; each site has the present day of its own."""
    windows = [Window(site(str(n)), FIRST, LAST, FIRST, date(2026, 3, 10 + n)) for n in (1, 2)]
    due = make_plan(intraday_scope(*windows), Snapshot(), intraday_tables=["visits"]).due
    assert [(found.stream.table, found.stream.website_id, found.reason, found.days.last) for found in due] == [
        ("visits", "1", Reason.MISSING, date(2026, 3, 11)),
        ("visitor_country", "1", Reason.MISSING, LAST),
        ("visits", "2", Reason.MISSING, date(2026, 3, 12)),
        ("visitor_country", "2", Reason.MISSING, LAST),
    ]


def test_an_open_day_is_due_from_the_very_day_of_the_sites_creation() -> None:
    """The first day of a site can fail like any other, and is requested again for as long as it is open."""
    created = date(2026, 2, 20)
    window = Window(Site("1", "", UTC, created), FIRST, LAST, date(2026, 3, 11))
    stream = COUNTRY.stream("1")
    open_days = Snapshot(
        {stream: Days.between(FIRST, LAST)},
        {stream.slice(created - timedelta(days=back)): known(Status.PENDING) for back in (0, 1)},
    )
    due = make_plan(Scope(Catalogue([COUNTRY]), (window,), OLD, ()), open_days).due
    assert due == (Due(stream, Reason.PENDING, Days.of([created])),)


def test_days_of_one_stream_that_are_open_for_different_reasons_are_all_in_its_jobs() -> None:
    """Missing, pending and failed: whatever is due is extracted, each day once."""
    stream = COUNTRY.stream("1")
    snapshot = Snapshot(
        {stream: Days.between(FIRST, date(2026, 3, 5))},
        {stream.slice(date(2026, 3, 6)): known(Status.PENDING), stream.slice(date(2026, 3, 8)): known(Status.FAILED)},
    )
    (jobs,) = make_plan(scope(), snapshot).phases
    assert [job.days for job in jobs] == [Days.between(date(2026, 3, 6), LAST)]


def test_visits_are_due_from_the_first_day_that_the_table_keeps() -> None:
    """Those of the day before would be deleted at once; reports have no such day."""
    window = Window(site(), FIRST, LAST, FIRST, visits_from=date(2026, 3, 4))
    due = make_plan(intraday_scope(window), Snapshot()).due
    assert [(found.stream.table, found.days) for found in due] == [
        ("visits", Days.between(date(2026, 3, 4), LAST)),
        ("visitor_country", Days.between(FIRST, LAST)),
    ]
