"""True UTC from the site's wall clock, on the days on which that clock is set back or forward."""

from __future__ import annotations

import itertools
import json
from calendar import timegm
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.visit_rows import VisitParser
from tests.support.visits import NEW_YORK, PARIS, a_visit

# The night in which Paris has the hour from 2 to 3 twice, and the one in which New York has none.
LONG_DAY = int(datetime(2026, 10, 24, 22, tzinfo=UTC).timestamp()), 25 * 3600
SHORT_DAY = int(datetime(2026, 3, 8, 5, tzinfo=UTC).timestamp()), 23 * 3600
SET_BACK = int(datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp())


def wall(moment: int, zone: tzinfo) -> int:
    """What Matomo writes for a true time: the site's clock as if it were UTC."""
    return timegm(datetime.fromtimestamp(moment, zone).timetuple())


def shaped(moments: list[int], zone: tzinfo, *, first: int | None = None, last: int | None = None) -> list[int]:
    """The times that a visit's actions have in the row, from what Matomo would write of the true ones."""
    actions = [{"type": "action", "timestamp": wall(moment, zone)} for moment in moments]
    begun, ended = moments[0] if first is None else first, moments[-1] if last is None else last
    visit = a_visit(1, ended, actionDetails=actions) | {"firstActionTimestamp": begun}
    row: dict[str, Any] = json.loads(VisitParser(zone).parse(visit).line)
    return [int(datetime.fromisoformat(action["occurred_at"]).timestamp()) for action in row["actions"]]


def candidates(moment: int, zone: tzinfo) -> set[int]:
    """Every true time that has the wall clock of this one, found by trying the hours around."""
    shown = wall(moment, zone)
    return {each for shift in (-3600, 0, 3600) if wall(each := moment + shift, zone) == shown}


def possible(moments: list[int], zone: tzinfo) -> set[tuple[int, ...]]:
    """Every series of times that reads the same on the wall, never goes back, and begins and ends when it did."""
    choices = itertools.product(*(sorted(candidates(moment, zone)) for moment in moments))
    return {
        each for each in choices if list(each) == sorted(each) and each[0] == moments[0] and each[-1] == moments[-1]
    }


def days_of(start: int, length: int) -> st.SearchStrategy[list[int]]:
    """Times of the actions of a visit: up to seven, seconds to an hour and more apart."""
    steps = st.lists(st.one_of(st.integers(0, 60), st.integers(0, 1800), st.integers(0, 5400)), max_size=6)
    return st.builds(
        lambda begin, gaps: list(itertools.accumulate(gaps, initial=start + begin)),
        # Half of the visits begin around the change of the clock.
        st.one_of(st.integers(0, length - 1), st.integers(0, 4 * 3600)),
        steps,
    )


@given(moments=days_of(*LONG_DAY))
@example(moments=[SET_BACK - 600, SET_BACK, SET_BACK + 600])
@example(moments=[SET_BACK - 3600, SET_BACK, SET_BACK + 3599])
@example(moments=[SET_BACK, SET_BACK])
def test_on_the_day_of_25_hours_times_are_true_wherever_they_can_be_known(moments: list[int]) -> None:
    """Never back in time, within the visit, on the wall what Matomo said; and true where nothing else is possible."""
    _holds(moments, PARIS)


@given(moments=days_of(*SHORT_DAY))
def test_on_the_day_of_23_hours_every_time_is_true(moments: list[int]) -> None:
    """Where the clock is set forward no time on the wall has two meanings."""
    _holds(moments, NEW_YORK)
    assert shaped(moments, NEW_YORK) == moments


@given(moments=days_of(SET_BACK - 86400, 3 * 86400), offset=st.integers(-12 * 4, 14 * 4))
def test_fixed_offsets_are_taken_off(moments: list[int], offset: int) -> None:
    """A site whose zone is UTC+5.75 has no ambiguous hour at all."""
    assert shaped(moments, timezone(timedelta(minutes=15 * offset))) == moments


def _holds(moments: list[int], zone: tzinfo) -> None:
    found = shaped(moments, zone)
    assert found == sorted(found)
    assert all(moments[0] <= each <= moments[-1] for each in found)
    assert [wall(each, zone) for each in found] == [wall(each, zone) for each in moments]
    series = possible(moments, zone)
    assert tuple(found) in series
    for index, truth in enumerate(moments):
        if len({each[index] for each in series}) == 1:
            assert found[index] == truth


def test_the_hour_that_comes_twice() -> None:
    """Half past two, half past two again and ten to three: the order and the visit's end decide."""
    moments = [SET_BACK - 1800, SET_BACK + 1800, SET_BACK + 3000]
    assert wall(moments[0], PARIS) == wall(moments[1], PARIS)
    assert shaped(moments, PARIS)[::2] == moments[::2]
    assert shaped([SET_BACK - 600, SET_BACK + 60], PARIS) == [SET_BACK - 600, SET_BACK + 60]
    assert shaped([SET_BACK + 60, SET_BACK + 600], PARIS) == [SET_BACK + 60, SET_BACK + 600]
    assert shaped([SET_BACK - 3000, SET_BACK - 600], PARIS) == [SET_BACK - 3000, SET_BACK - 600]


def test_of_a_visit_cut_at_500_actions_the_last_known_one_is_not_its_end() -> None:
    """Where Matomo left actions out the end is later than all that are there, and moves none of them."""
    moments = [SET_BACK - 7200, SET_BACK - 7000]
    assert shaped(moments, PARIS, last=SET_BACK + 9000) == moments


def test_an_action_outside_its_visit_keeps_the_time_on_the_wall() -> None:
    """A visit whose first and last times do not fit (a changed zone, say) loses no action for that."""
    noon = int(datetime(2026, 6, 1, 10, tzinfo=UTC).timestamp())
    assert shaped([noon, noon + 60], PARIS, first=noon + 3600, last=noon + 7200) == [noon, noon + 60]


def test_an_action_out_of_order_does_not_set_the_clock_back_for_those_behind_it() -> None:
    """Behind an action of five past three, half past two is the second one, whatever stands between them."""
    moments = [SET_BACK + 3900, SET_BACK - 9000, SET_BACK + 1800]
    assert shaped(moments, PARIS, last=SET_BACK + 9000) == moments


def test_an_action_without_a_time_has_none() -> None:
    """Its neighbours have theirs all the same."""
    actions = [{"type": "action", "timestamp": 100}, {"type": "goal"}, {"type": "action", "timestamp": None}]
    row = json.loads(VisitParser(UTC).parse(a_visit(1, 100, actionDetails=actions)).line)
    assert [action.get("occurred_at") for action in row["actions"]] == ["1970-01-01T00:01:40Z", None, None]


@pytest.mark.parametrize("when", [2**62, -(2**62), 253402300799, -62135596800])
def test_a_time_that_no_calendar_has_fails_the_slice_by_the_visit(when: int) -> None:
    """Nonsense is an error of that answer with the visit's number, not one of the program."""
    visit = a_visit(17, 100, actionDetails=[{"type": "action", "timestamp": when}])
    zone = NEW_YORK if when > 0 else PARIS
    with pytest.raises(InvalidResponse, match="visit 17: "):
        VisitParser(zone).parse(visit)
