"""What is said of a slice by what was counted: tolerances, and known reasons told apart from real ones."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

from matomo_fn.catalogue import EXTENDED, VISITS
from matomo_fn.sync.outcome import Status
from matomo_fn.sync.quality import (
    Check,
    Converted,
    DayCounts,
    Logged,
    Look,
    Quality,
    QualityVerdict,
    Reason,
    Totals,
    judge,
    resolve,
)
from tests.support import recordings

DAY = date(2026, 11, 12)
LOGGED = Logged(Status.WRITTEN, 2, is_final=True)
VISIT = Look(
    VISITS,
    VISITS.stream("1").slice(DAY),
    LOGGED,
    Totals(2, 2, visits=2, actions=9, truncated_actions=0, truncated_visits=0),
    DayCounts(2, 9, 3, 30.0),
    Converted((3, 30.0), (3, 30.0)),
)
OK = (QualityVerdict.OK, None)


def told(look: Look, check: Check) -> tuple[QualityVerdict, Reason | None]:
    """What a check says."""
    (found,) = [quality for quality in judge(look) if quality.check is check]
    return found.verdict, found.reason


def test_a_real_matomos_visits_log_has_what_its_summary_counts() -> None:
    """Of the recorded day: visits, and actions (live_day_limit-1, day_VisitsSummary.get)."""
    visits = json.loads(recordings.read("live_day_limit-1.json").body)
    summary = json.loads(recordings.read("day_VisitsSummary.get.json").body)
    assert len(visits) == summary["nb_visits"]
    assert sum(int(visit["actions"]) for visit in visits) == summary["nb_actions"]


def test_conversions_of_visits_past_midnight_are_of_the_day_before() -> None:
    """Matomo counts a conversion on its own day, and the visit stands on the day of its last action."""
    assert told(VISIT, Check.CONVERSIONS) == told(VISIT, Check.REVENUE) == OK
    late = replace(VISIT, converted=Converted((3, 30.0), (2, 20.0)))
    assert told(late, Check.CONVERSIONS) == told(late, Check.REVENUE) == OK
    fewer = replace(VISIT, converted=Converted((2, 20.0), (2, 20.0)))
    assert told(fewer, Check.CONVERSIONS) == (QualityVerdict.DIFFERS, Reason.UNKNOWN)
    unfinished = replace(VISIT, converted=Converted((2, 20.0), (2, 20.0), is_whole=False))
    assert told(unfinished, Check.CONVERSIONS) == (QualityVerdict.EXPLAINED, Reason.PENDING)
    more = replace(VISIT, converted=Converted((4, 40.0), (4, 40.0), is_whole=False))
    assert told(more, Check.CONVERSIONS) == (QualityVerdict.DIFFERS, Reason.UNKNOWN)


def test_revenue_may_be_off_by_a_cent_for_each_conversion() -> None:
    """Matomo rounds each amount; conversions are whole numbers."""
    assert told(replace(VISIT, converted=Converted((3, 30.03), (3, 30.03))), Check.REVENUE) == OK
    off = replace(VISIT, converted=Converted((3, 30.04), (3, 30.04)))
    assert told(off, Check.REVENUE) == (QualityVerdict.DIFFERS, Reason.UNKNOWN)


def test_conversions_may_be_among_actions_that_matomo_left_out() -> None:
    """A visit with more than 500 actions has the first ones only."""
    totals = replace(VISIT.totals, truncated_actions=40, truncated_visits=1)
    cut = replace(VISIT, totals=totals, converted=Converted((2, 20.0), (2, 20.0)))
    expected = (QualityVerdict.EXPLAINED, Reason.VISITS_TRUNCATED)
    assert {told(cut, check) for check in (Check.CONVERSIONS, Check.REVENUE, Check.TRUNCATED_VISITS)} == {expected}


def test_a_part_of_the_visits_is_at_most_all_of_them() -> None:
    """Campaigns of more visits than the day had are a difference."""
    table = EXTENDED["acquisition_campaign"]
    look = Look(
        table,
        table.stream("1").slice(DAY),
        LOGGED,
        Totals(2, 2, visits=6, others_visits=0, others_rows=0),
        DayCounts(70),
        has_visits_column=True,
    )
    assert told(look, Check.SUMMED_VISITS) == (QualityVerdict.EXPLAINED, Reason.PART_OF_VISITS)
    above = replace(look, totals=replace(look.totals, visits=71))
    assert told(above, Check.SUMMED_VISITS) == (QualityVerdict.DIFFERS, Reason.UNKNOWN)


def test_without_a_second_answer_the_cause_is_not_known() -> None:
    """With one that is the same, it is Matomo whose numbers disagree: known reasons first."""
    fewer = Quality(VISIT.slice, Check.EXPORTED_VISITS, 70, 60, QualityVerdict.DIFFERS, Reason.UNKNOWN)
    more, unprocessed = replace(fewer, found=80), replace(fewer, expected=0)
    same = Quality(VISIT.slice, Check.REFETCHED_ROWS, 60, 60)
    assert resolve(fewer, None, VISITS, is_final=True).reason is Reason.NOT_SAMPLED
    assert resolve(fewer, same, VISITS, is_final=True).reason is Reason.VISITS_PURGED
    assert resolve(unprocessed, same, VISITS, is_final=True).reason is Reason.PENDING
    assert resolve(more, same, VISITS, is_final=False).reason is Reason.LATE_ARCHIVE
    final = resolve(more, same, VISITS, is_final=True)
    assert (final.verdict, final.reason) == (QualityVerdict.DIFFERS, Reason.UNKNOWN)
