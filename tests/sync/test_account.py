"""What a run says that it did, lacks and left out, against plain lists of what became of each slice."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matomo_fn.catalogue import PREBUILT, Catalogue
from matomo_fn.catalogue.periods import table_of
from matomo_fn.days import Days
from matomo_fn.extract.extracted import Extracted
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.sync.findings import Findings
from matomo_fn.sync.missing import REMAINING, Missing
from matomo_fn.sync.outcome import LogEntry, Status
from matomo_fn.sync.plan import Due, Plan, Reason
from matomo_fn.sync.purged import KeptDays, Purged
from matomo_fn.sync.reach import Reach, ReachTracker
from matomo_fn.sync.result import Tally
from matomo_fn.sync.scope import Scope, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matomo_fn.slices import Slice, Stream

COUNTRY = PREBUILT["visitor_country"]
TABLES = Catalogue(
    [COUNTRY, table_of(COUNTRY, Period.WEEK), table_of(COUNTRY, Period.MONTH), PREBUILT["visits_summary"]]
)
FIRST = date(2026, 1, 1)
MOBILE = Segment("mobile", "a==b")
# Two sites of different age, whose days end at different times.
WINDOWS = (
    Window(Site("1", "", UTC, FIRST), FIRST + timedelta(days=20), FIRST + timedelta(days=40), FIRST),
    Window(Site("2", "", UTC, FIRST), FIRST + timedelta(days=30), FIRST + timedelta(days=41), FIRST),
)
SCOPE = Scope(TABLES, WINDOWS, (5, 2), (), segments=(MOBILE,))
STREAMS = [stream for _, stream in SCOPE.streams()]
DATES = st.integers(18, 41).map(lambda number: FIRST + timedelta(days=number))
SLICES = st.builds(lambda stream, day: stream.slice(stream.period.first_day(day)), st.sampled_from(STREAMS), DATES)


def plan_of(*due: Due, scope: Scope = SCOPE) -> Plan:
    return Plan(scope, due, {}, ())


def entry(slice_: Slice, status: Status) -> LogEntry:
    return LogEntry(slice_, status, 2, None, has_others=False, is_final=False, written_run_id=None)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(STREAMS), st.integers(0, 45)), max_size=20),
    st.lists(st.tuples(SLICES, st.sampled_from(Status)), max_size=12),
    st.lists(SLICES, max_size=1),
)
def test_the_stream_that_is_furthest_behind_and_the_oldest_pending_day_are_told(
    days_known: list[tuple[Stream, int]], entries: list[tuple[Slice, Status]], left_out: list[Slice]
) -> None:
    """Each stream reaches to its newest good day within its site's window, whatever comes last."""
    newest: dict[Stream, date | None] = {}
    open_days = []
    for stream in STREAMS:
        window = next(each for each in WINDOWS if each.site.id == stream.website_id)
        known = [FIRST + timedelta(days=number) for each, number in days_known if each == stream]
        inside = [day for day in known if window.first <= day <= window.last]
        newest[stream] = max(inside, default=None)
        open_days.append(Due(stream, Reason.MISSING, window.days - Days.of(known)))
        open_days.append(Due(stream, Reason.REFETCH, Days.of(inside)))
    tracker = ReachTracker(SCOPE, plan_of(*open_days))
    pending: dict[str, date] = {}
    for slice_, status in entries:
        tracker.note([entry(slice_, status)])
        window = next(each for each in WINDOWS if each.site.id == slice_.website_id)
        if slice_.date > window.last:
            continue
        day = min(slice_.last_day, window.last)
        if status in (Status.WRITTEN, Status.UNCHANGED):
            newest[slice_.stream] = max(filter(None, [day, newest[slice_.stream]]))
        elif status is Status.PENDING:
            pending[slice_.website_id] = min(day, pending.get(slice_.website_id, day))
    for slice_ in left_out:
        tracker.leave_out(slice_)
        newest.pop(slice_.stream, None)
    lasts = {window.site.id: window for window in WINDOWS}
    late = {
        stream: (lasts[stream.website_id].last - (day or lasts[stream.website_id].first - timedelta(days=1))).days
        for stream, day in newest.items()
    }
    found = tracker.reach()
    assert found.days_late == max(late.values())
    assert found.newest_day in {newest[stream] for stream in late if late[stream] == found.days_late}
    waiting = {site: (lasts[site].last - day).days for site, day in pending.items()}
    assert found.days_pending == max(waiting.values(), default=None)
    assert (found.oldest_pending_day is None) == (not pending)
    if pending:
        assert found.oldest_pending_day in {day for site, day in pending.items() if waiting[site] == found.days_pending}


@pytest.mark.parametrize("period", [Period.WEEK, Period.MONTH])
def test_a_period_that_goes_on_reaches_up_to_the_last_day_that_has_ended(period: Period) -> None:
    """It has the days up to then, or lacks them; it does not wait for its own end."""
    table, window = table_of(COUNTRY, period), WINDOWS[0]
    scope = replace(SCOPE, tables=Catalogue([table]), windows=(window,), segments=())
    stream = table.stream("1")
    slice_ = stream.slice(period.first_day(window.last))
    assert slice_.last_day > window.last
    tracker = ReachTracker(scope, plan_of(Due(stream, Reason.MISSING, window.days), scope=scope))
    tracker.note([entry(slice_, Status.PENDING)])
    assert (tracker.reach().oldest_pending_day, tracker.reach().days_pending) == (window.last, 0)
    assert tracker.reach().days_late == 21
    tracker.note([entry(slice_, Status.WRITTEN)])
    assert (tracker.reach().newest_day, tracker.reach().days_late) == (window.last, 0)


def test_nothing_reaches_anywhere_where_everything_is_left_out() -> None:
    tracker = ReachTracker(SCOPE, plan_of())
    for stream in STREAMS:
        tracker.leave_out(stream.slice(FIRST))
    assert tracker.reach() == Reach()


def expanded(sentences: Iterable[str]) -> list[tuple[str, str, str, str, str]]:
    """Table, site, segment, days and reason of each stream that sentences name."""
    found = []
    for sentence in sentences:
        where, reason = sentence.split(": ", 1)
        tables, sites, segment, when = re.fullmatch(
            r"(.+) of sites? ([\d, and]+?)(?:, segment (\w+),)? ((?:on|in) .+)", where
        ).groups()  # type: ignore[union-attr]  # the next line would fail
        found += [
            (table, site, segment or "", when, reason)
            for table in re.split(r", | and ", tables)
            for site in re.split(r", | and ", sites)
        ]
    return found


# Stretches of days that cannot run into each other, so that a sentence names them as they are.
STRETCHES = [
    Days.between(FIRST + timedelta(days=first), FIRST + timedelta(days=last))
    for first, last in ((0, 3), (7, 7), (14, 20))
]
SOME_DAYS = st.sampled_from(STRETCHES)


@settings(max_examples=60)
@given(
    st.dictionaries(st.sampled_from(STREAMS[:4]), st.tuples(SOME_DAYS, SOME_DAYS, st.sampled_from(["late", "slow"])))
)
def test_every_stream_that_lacks_days_is_named_once_for_each_reason(
    lacking: dict[Stream, tuple[Days, Days, str]],
) -> None:
    """With its own site, segment and days; streams that lack the same may share a sentence."""
    streams = {stream: each for stream, each in lacking.items() if stream.period.is_day}
    missing = Missing()
    missing.expect(plan_of(*(Due(stream, Reason.MISSING, due) for stream, (due, _, _) in streams.items())))
    missing.expect(plan_of())
    expected = []
    for stream, (due, pending, reason) in streams.items():
        for day in sorted(pending, key=lambda each: each.day % 5):
            missing.extracted(Extracted(stream.slice(day), None, pending=reason))
        what = stream.table, stream.website_id, stream.segment
        expected.append((*what, when(pending), reason))
        if due != pending:
            expected.append((*what, when(due), REMAINING))
    assert sorted(expanded(missing.sentences())) == sorted(expected)


def when(days: Days) -> str:
    return f"on {days.first}" if days.first == days.last else f"on {days.first} to {days.last}"


@given(st.lists(st.tuples(SLICES, st.sampled_from(["fewer", "none"]), st.booleans()), max_size=10))
def test_days_that_are_kept_are_named_with_their_own_reason(kept: list[tuple[Slice, str, bool]]) -> None:
    """And only where the rows are whole."""
    days = KeptDays()
    expected: dict[tuple[str, str, str, str], set[date]] = {}
    for slice_, reason, is_whole in kept:
        if slice_.stream.period.is_day:
            days.note(slice_, Purged(reason, None, is_whole))
            if is_whole:
                key = slice_.table, slice_.website_id, slice_.segment, reason
                expected.setdefault(key, set()).add(slice_.date)
    found = {
        (table, site, segment, reason): dates for table, site, segment, dates, reason in expanded(days.sentences())
    }
    assert found.keys() == expected.keys()
    assert all(str(max(dates)) in found[key] for key, dates in expected.items())


def outcome(number: int, kind: str) -> Extracted:
    slice_ = STREAMS[0].slice(FIRST + timedelta(days=number))
    match kind:
        case "failed":
            return Extracted.failed(slice_, f"reason {number}")
        case "skipped":
            return Extracted(slice_, None, skipped=f"left out {number % 2}", unreadable={"a": 5})
        case "refused":
            return Extracted(slice_, None, error="no", refused_segment=f"segment {number % 2}")
        case _:
            return Extracted(slice_, None, unreadable={"b": number, "a": 1})


@given(st.lists(st.sampled_from(["failed", "failed", "skipped", "refused", "read"]), min_size=30, max_size=60))
def test_each_finding_is_told_as_what_it_is_and_once(kinds: Sequence[str]) -> None:
    """A refused segment is no failed slice, a table that is left out has no unreadable values."""
    findings = Findings()
    for number, kind in enumerate(kinds):
        findings.note(outcome(number, kind))

    def of(kind: str) -> list[int]:
        return [number for number, each in enumerate(kinds) if each == kind]

    assert findings.refused_segments == tuple(dict.fromkeys(f"segment {number % 2}" for number in of("refused")))
    assert findings.left_out == tuple(dict.fromkeys(f"left out {number % 2}" for number in of("skipped")))
    failed = of("failed")
    assert len(findings.failures) == min(len(failed), 20) + (len(failed) > 20)
    assert all(f"reason {number}" in sentence for number, sentence in zip(failed, findings.failures[:20], strict=False))
    if len(failed) > 20:
        assert findings.failures[-1].startswith(f"and {len(failed) - 20} more slices failed")
    counts = {"a": len(of("read")), "b": sum(of("read"))}
    assert [sentence.split(" times")[0] for sentence in findings.unreadable] == [
        f"{name} of visits had no readable value {count}" for name, count in counts.items() if of("read")
    ]


@given(st.lists(st.tuples(SLICES, st.sampled_from(Status)), unique_by=lambda each: each[0], max_size=20))
def test_each_table_counts_its_own_slices(entries: list[tuple[Slice, Status]]) -> None:
    """What was due of it, what became of that, and what remains; of a rebuild that is undone, all that was written."""
    tally = Tally(TABLES)
    due = [Due(stream, Reason.MISSING, stream.period.covered([FIRST + timedelta(days=40)])) for stream in STREAMS]
    tally.expect(plan_of(*due))
    for slice_, _ in entries:
        tally.extracted(Extracted(slice_, None, seconds=2.0))
    tally.logged(entry(slice_, status) for slice_, status in entries)
    tally.wrote({"visits_summary": 1.0})
    for name, table in tally.tables.items():
        counts = {
            status: sum(slice_.table == name and found is status for slice_, found in entries) for status in Status
        }
        own = [slice_ for slice_, _ in entries if slice_.table == name]
        assert [table.written, table.unchanged, table.pending, table.failed] == list(counts.values())
        assert table.rows == 2 * table.written
        assert table.remaining == sum(stream.table == name for stream in STREAMS) - len(own)
        assert table.handled == {slice_.date for slice_ in own}
        assert table.seconds == 2.0 * len(own) + (name == "visits_summary")
        before = table.written, table.remaining
        tally.undo(name, "broken")
        assert (table.written, table.rows, table.remaining, table.error) == (0, 0, sum(before), "broken")
