"""A day of visits that changes while it is read: it is written completely or not at all, and no file remains."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.catalogue import VISITS
from matomo_fn.days import Days
from matomo_fn.errors import InvalidResponse
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visits import extract_visits
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from tests.support.recordings import Scripted, client_of
from tests.support.visits import DAY, LATER, NOON, a_visit, read_day, reader_of, server_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def moving(times: int) -> Scripted:
    """A server whose first visit gains an action, and moves to the end, after the first page of some readings."""
    readings = [0]

    def answer(method: str, form: Mapping[str, str]) -> object:
        is_first = "minTimestamp" not in form
        readings[0] += is_first
        moved = 5_000 if not is_first and readings[0] <= times else 0
        visits = [a_visit(1, NOON + moved), *(a_visit(number, NOON + number) for number in range(2, 9))]
        return server_of(visits).answer(method, form)

    return Scripted(answer)


def test_a_visit_that_moves_while_the_day_is_read_stands_once(tmp_path: Path) -> None:
    """The day is read again, into another buffer; the first one is deleted."""
    read = read_day(moving(2), tmp_path)
    lines = gzip.decompress(read.buffer.path.read_bytes()).splitlines()
    assert read.row_count == len(lines) == 8
    assert list(tmp_path.iterdir()) == [read.buffer.path]


def test_a_visit_that_keeps_moving_is_left_to_the_next_run(tmp_path: Path) -> None:
    """After three readings the slice fails with a sentence, and nothing remains on disk."""
    with pytest.raises(InvalidResponse, match="gained actions in each of 3 readings: the next run tries again"):
        read_day(moving(99), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_reading_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Out of time in the middle of a day: no slice, no file."""
    answers = iter([True] * 5)
    reader = reader_of(
        server_of([a_visit(number, NOON + number) for number in range(20)]),
        tmp_path,
        may_continue=lambda: next(answers, False),
    )
    assert reader.read([Slice(Stream("visits", "1"), DAY)], LATER) is None
    assert list(tmp_path.iterdir()) == []


def test_a_visit_that_cannot_be_read_fails_the_day_and_leaves_nothing(tmp_path: Path) -> None:
    """The sentence names the visit and the field."""
    visits = [a_visit(1, NOON), a_visit(2, NOON + 1, visitDuration="long")]
    with pytest.raises(InvalidResponse, match='visit 2: visitDuration is "long", not a whole number'):
        read_day(server_of(visits), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_hash_of_a_day_depends_on_its_visits_and_on_nothing_else(tmp_path: Path) -> None:
    """Neither on the order of visits of the same second, nor on the pages; but on every value of every visit."""
    visits = [a_visit(number, NOON, actions=number) for number in range(5)]
    hashes = [read_day(Scripted(_answering(order)), tmp_path).content_hash for order in (visits, visits[::-1])]
    assert hashes[0] == hashes[1]
    other = read_day(server_of([*visits[:-1], visits[-1] | {"actions": 9}]), tmp_path)
    fewer = read_day(server_of(visits[:-1]), tmp_path)
    assert len({hashes[0], other.content_hash, fewer.content_hash}) == 3


def _answering(visits: list[dict[str, Any]]) -> Any:
    return lambda _method, form: [] if int(form.get("minTimestamp", 0)) >= NOON else visits


@pytest.mark.parametrize("away", [-13 * 3600 - 1, 11 * 3600, 86_400, -86_400, 10**9])
@pytest.mark.parametrize("among", [0, 3])
def test_a_visit_of_another_day_is_refused(away: int, among: int, tmp_path: Path) -> None:
    """A server that ignores the date would have each visit stand on every day; midnight is the site's."""
    visits = [a_visit(number, NOON + number) for number in range(among)] + [a_visit(77, NOON + away)]
    with pytest.raises(InvalidResponse, match=rf"answers visit 77 of \d+-\d+-\d+ when asked for {DAY}"):
        read_day(server_of(visits), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_first_and_the_last_second_of_a_day_are_its_own(tmp_path: Path) -> None:
    """In Paris the day begins at 23:00 UTC of the one before."""
    visits = [a_visit(1, NOON - 13 * 3600), a_visit(2, NOON + 11 * 3600 - 1)]
    assert read_day(server_of(visits), tmp_path).row_count == 2


@pytest.mark.parametrize("site", [2, "2", "1 ", None, [1]])
def test_a_visit_of_another_site_is_refused(site: object, tmp_path: Path) -> None:
    """The rows say which site they are of by the call alone."""
    visits = [a_visit(1, NOON, idSite=1), a_visit(2, NOON + 1, idSite=site)]
    if site is None:  # Matomo always says it; a visit without it is no other site's
        assert read_day(server_of(visits), tmp_path).row_count == 2
        return
    with pytest.raises(InvalidResponse, match=r"answers a visit of site .* when asked for 1"):
        read_day(server_of(visits), tmp_path)


@pytest.mark.parametrize("name", ["dimension9999999999999999999", "dimension٣", "dimension"])
def test_a_dimension_that_fits_no_number_is_kept_as_it_came(name: str, tmp_path: Path) -> None:
    """Loaded as a number it would fail every day of the batch; in raw it is not lost either."""
    read = read_day(server_of([a_visit(1, NOON, **{name: "x", "dimension3": "y"})]), tmp_path)
    row = json.loads(gzip.decompress(read.buffer.path.read_bytes()))
    assert row["custom_dimensions"] == [{"index": 3, "value": "y"}]
    assert row["raw"] == {name: "x"}


# ---- a job of several days, which differ

SITE = Site("1", "Shop", UTC, date(2021, 1, 1))
TODAY = LATER.date()
SUMMARY = "VisitsSummary.get"


def spans(form: Mapping[str, str]) -> list[date]:
    first, last = form["date"].split(",")
    return list(Days.between(date.fromisoformat(first), date.fromisoformat(last)))


def one_visit_a_day(form: Mapping[str, str], **fields: object) -> object:
    """The visits log of a site with one visit at each nine o'clock, which ends the day in a page that is not full."""
    (day,) = spans(form)
    noon = int(datetime(day.year, day.month, day.day, 9, tzinfo=UTC).timestamp())
    return [] if int(form.get("minTimestamp", 0)) >= noon else [a_visit(day.toordinal(), noon, **fields)]


def extracted(transport: Scripted, folder: Path, *days: date) -> list[Extracted]:
    """What one job makes of some days, in the order in which they come."""
    client = client_of(transport)
    checks = ArchiveChecks(client, 3, LATER)
    context = ExtractContext(client, (5, 2), checks, lambda: True, OwnBuffers(folder, 10**12), LATER)
    return list(extract_visits(context, Job(SITE, (VISITS,), Days.of(days))))


def test_the_present_day_is_compared_with_no_summary(tmp_path: Path) -> None:
    """It goes on: what the summary has counted by now says nothing of what was read. The days before are compared."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == SUMMARY:
            return {str(day): {"nb_visits": 3} for day in spans(form)}
        return one_visit_a_day(form)

    transport = Scripted(answer)
    yesterday = TODAY - timedelta(days=1)
    found = {each.slice.date: each.visits_difference for each in extracted(transport, tmp_path, TODAY, yesterday)}
    assert found == {TODAY: None, yesterday: -2}
    assert [spans(form) for method, form in transport.asked if method == SUMMARY] == [[yesterday]]


def test_a_log_that_is_switched_off_in_between_costs_the_days_that_were_not_read(tmp_path: Path) -> None:
    """The day that was read before is written, and comes once."""
    days = [TODAY - timedelta(days=back) for back in (3, 2, 1)]

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == SUMMARY:
            return {str(day): {"nb_visits": 1} for day in spans(form)}
        if spans(form) == [days[-1]]:
            return one_visit_a_day(form)
        return {"result": "error", "message": "Visits log is deactivated"}

    found = extracted(Scripted(answer), tmp_path, *days)
    assert [(each.slice.date, each.content is not None, bool(each.skipped)) for each in found] == [
        (days[2], True, False),
        (days[1], False, True),
        (days[0], False, True),
    ]


def test_values_that_cannot_be_read_are_counted_by_day(tmp_path: Path) -> None:
    """Those of one day are not counted once more with the next."""
    days = [TODAY - timedelta(days=back) for back in (2, 1)]

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == SUMMARY:
            return {str(day): {"nb_visits": 1} for day in spans(form)}
        return one_visit_a_day(form, visitLocalTime="25:00:00")

    found = extracted(Scripted(answer), tmp_path, *days)
    assert [dict(each.unreadable) for each in found] == [{"visitLocalTime": 1}] * 2


def test_of_the_present_day_a_visit_is_read_from_the_very_second_an_hour_after_its_end(tmp_path: Path) -> None:
    """And none that may go on; a day that is over is read to its end."""
    server = server_of([a_visit(number, NOON + number) for number in range(-1, 3)])
    reader = reader_of(server, tmp_path)
    for after, expected in ((3599, 1), (3600, 2), (3601, 3), (24 * 3600, 4)):
        read = reader.read([Slice(Stream("visits", "1"), DAY)], datetime.fromtimestamp(NOON + after, UTC))
        assert read is not None
        assert read[0].content is not None
        assert read[0].content.row_count == expected
