"""Visits of a day that Matomo had not processed are compared with the summary as soon as it has."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import fake_matomo
from fake_matomo import FakeMatomo, Fault, World
from matomo_fn.catalogue import VISITS, Catalogue
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.periods import Period
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.late_counts import LateCounts
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Run, Status
from matomo_fn.sync.plan import Plan
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import SyncState
from matomo_fn.warehouse.tables import Stamp
from tests.support.recordings import Scripted, client_of, read
from tests.support.visits import METHOD, LocalVisits
from tests.support.warehouses import Killed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
FIRST = NOW.date() - timedelta(days=5)
OLD = FIRST + timedelta(days=1)  # a day that one trailing day does not reach
SITE = Site("1", "Site 1", UTC, FIRST)
WORLD = World(
    tuple(
        fake_matomo.Site(number, f"Site {number}", "UTC", created=FIRST, visits_per_day=5, pages=3) for number in (1, 2)
    ),
    now=NOW,
)


@pytest.fixture
def matomo() -> Iterator[FakeMatomo]:
    """Two sites of five days, of which one has a day without an archive."""
    with FakeMatomo(WORLD) as running_matomo:
        running_matomo.unprocess(1, OLD)
        yield running_matomo


def opened(matomo: FakeMatomo, path: Path, **config: Any) -> LocalVisits:
    """A connector that refetches yesterday only."""
    return LocalVisits(matomo, path / "w.duckdb", page=None, trailing_days=1, **config)


def differences(local: LocalVisits) -> dict[tuple[str, date], int | None]:
    """What the log says of each day of visits."""
    return {
        (site, day): state["visits_difference"]
        for (table, site, day), state in local.states().items()
        if table == "visits"
    }


def entries(local: LocalVisits) -> list[Mapping[str, Any]]:
    """Every row of the log about the visits of the old day."""
    return list(
        local.warehouse.query(
            f"select l.run_id, l.status, l.row_count, l.content_hash, l.is_final, l.written_run_id, "
            f"l.visits_difference from {local.warehouse.dataset}._sync_log l "
            f"where l.table_name = 'visits' and l.website_id = '1' and l.date = '{OLD}' order by l.logged_at"
        )
    )


@pytest.mark.parametrize(
    ("reports", "tables"),
    [(["visits_summary"], None), (["visits_summary"], ("visits_summary",)), (["visitor_country"], None)],
    ids=["all tables", "a request without visits", "no table of visit counts"],
)
def test_a_day_is_judged_when_it_becomes_processed(
    matomo: FakeMatomo, tmp_path: Path, reports: list[str], tables: tuple[str, ...] | None
) -> None:
    """Without reading its visits again; the other days were judged at once, and nothing else in the row changes."""
    local = opened(matomo, tmp_path, reports=reports)
    local.sync()
    found = differences(local)
    assert found.pop(("1", OLD)) is None
    assert set(found.values()) == {0}
    matomo.process(1, OLD)
    matomo.forget_calls()
    result = local.sync(tables=tables) if tables else local.sync()
    read = [call for call in matomo.calls if call.method == METHOD and call.params.get("idSite") == "1"]
    assert not any(str(OLD) in call.params["date"] for call in read)
    assert set(differences(local).values()) == {0}
    before, after = entries(local)
    assert after == {**before, "run_id": "run0002", "status": "unchanged", "visits_difference": 0}
    assert result.http_status == 200
    assert "visits" not in result.tables or result.tables["visits"].unchanged <= 2  # of yesterday, at both sites
    local.sync()
    assert len(entries(local)) == 2
    local.close()


def test_a_day_that_differs_is_told(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The summary counts one visit more than the log has."""
    local = opened(matomo, tmp_path)
    local.sync()
    matomo.process(1, OLD)
    matomo.faults.add(Fault(method="VisitsSummary.get", site=1, mutate=_one_more))
    local.sync()
    assert differences(local)["1", OLD] == -1
    local.close()


def _one_more(answer: object) -> object:
    assert isinstance(answer, dict)
    return {day: value | {"nb_visits": value["nb_visits"] + 1} if value else value for day, value in answer.items()}


def test_a_day_that_stays_pending_stays_unjudged(matomo: FakeMatomo, tmp_path: Path) -> None:
    """However often it is looked at; nothing is added to the log of its visits."""
    local = opened(matomo, tmp_path)
    local.sync()
    local.sync()
    assert differences(local)["1", OLD] is None
    assert len(entries(local)) == 1
    local.close()


def test_a_run_that_dies_before_its_log_judges_the_day_the_next_time(matomo: FakeMatomo, tmp_path: Path) -> None:
    """The day's reports and the judgement are logged together, so the day still counts as pending."""
    local = opened(matomo, tmp_path)
    local.sync()
    matomo.process(1, OLD)

    def dies(name: str, what: str) -> None:
        if name in ("load", "run") and "_sync_log" in what:
            raise Killed

    with pytest.raises(Killed):
        local.sync(before=dies)
    local.sync()
    assert differences(local)["1", OLD] == 0
    local.close()


def test_a_run_that_may_request_nothing_more_judges_the_days_that_are_counted(
    matomo: FakeMatomo, tmp_path: Path
) -> None:
    """Of two days that became processed the other one is left to a later run; neither is lost by the first."""
    matomo.unprocess(1, FIRST)
    local = opened(matomo, tmp_path)
    local.sync()
    read_of_old = len(matomo.visits(1, OLD))
    refused = Scripted(lambda *_: read("error_bad_token_post_params_in_url.json").reply)
    checks = ArchiveChecks(client_of(refused), 3, local.now())
    checks.of(SITE).note({OLD: {"nb_visits": read_of_old + 2}})
    scope = Scope(Catalogue([]), (Window(SITE, OLD, OLD, OLD),), (5, 2), ())
    state, plan = SyncState(local.warehouse, local.connector), Plan(scope, (), {}, ())
    late_counts = LateCounts(state, [VISITS], plan, checks)
    pending = KnownSlice(Status.PENDING, 0, None, None, "", is_intact=False)
    for day in (FIRST, OLD):
        slice_ = Slice(Stream("visits_summary", "1"), day)
        written = LogEntry(slice_, Status.WRITTEN, 1, "h", has_others=False, is_final=True, written_run_id="run2")
        late_counts.note(written, pending)
    assert [(entry.slice.date, entry.visits_difference) for entry in late_counts.take()] == [(OLD, -2)]
    local.close()


def test_each_day_of_each_site_is_compared_with_its_own_count(tmp_path: Path) -> None:
    """Of several that became processed at once; a segment's day or a week says nothing of the visits."""
    with FakeMatomo(WORLD) as matomo:
        local = opened(matomo, tmp_path)
        state = SyncState(local.warehouse, local.connector)
        local.warehouse.ensure_dataset()
        state.prepare()
        sites = [replace(SITE, id=number) for number in ("1", "2")]
        days = [FIRST + timedelta(days=number) for number in range(4)]
        read = {(site.id, day): 3 * index + int(site.id) for site in sites for index, day in enumerate(days)}
        counted = {key: number + key[1].day % 3 - int(key[0]) + 5 for key, number in read.items()}
        written = [
            LogEntry(
                VISITS.stream(key[0]).slice(key[1]),
                Status.WRITTEN,
                number,
                "h",
                has_others=False,
                is_final=True,
                written_run_id="r",
            )
            for key, number in read.items()
        ]
        state.append(Run("r", "r", NOW), written, tmp_path, Stamp("r", 1, NOW))
        checks = ArchiveChecks(client_of(Scripted(lambda *_: [])), 3, NOW)
        for site in sites:
            checks.of(site).note({day: {"nb_visits": counted[site.id, day]} for day in days})
        scope = Scope(Catalogue([]), tuple(Window(site, FIRST, days[-1], FIRST) for site in sites), (5, 2), ())
        late_counts = LateCounts(state, [VISITS], Plan(scope, (), {}, ()), checks)
        pending = KnownSlice(Status.PENDING, 0, None, None, "", is_intact=False)
        for number, day in read:
            for stream in (
                Stream("visits_summary", number, "" if day != days[3] else "mobile"),
                Stream("visits_summary_week", number, period=Period.WEEK),
            ):
                slice_ = stream.slice(day)
                entry = LogEntry(slice_, Status.WRITTEN, 1, "h", has_others=False, is_final=True, written_run_id="r")
                late_counts.note(entry, pending)
        found = {(entry.slice.website_id, entry.slice.date): entry.visits_difference for entry in late_counts.take()}
        assert found == {key: visits - counted[key] for key, visits in read.items() if key[1] != days[3]}
        assert list(late_counts.take()) == []
        local.close()
