"""What `check`, `discover`, `plan` and the audit say where sites, reports and tables differ."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from matomo_fn.app.audit import run_audit
from matomo_fn.app.check_reports import check_reports
from matomo_fn.app.check_segments import check_segments
from matomo_fn.app.discover import Discovery, site_count
from matomo_fn.catalogue import PREBUILT, VISITS, Catalogue
from matomo_fn.catalogue.periods import table_of
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.settings import Settings
from matomo_fn.errors import InputError, MatomoFatal
from matomo_fn.periods import Period
from matomo_fn.segments import Segment
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.audit import AuditResult, Difference
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Run
from matomo_fn.sync.outcome import Status as LogStatus
from matomo_fn.sync.plan import Reason, make_plan
from matomo_fn.sync.reference import ReferenceScope
from matomo_fn.sync.result import PlanResult
from matomo_fn.sync.scope import Scope, Window
from matomo_fn.sync.state import Snapshot, SyncState
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from matomo_fn.warehouse.tables import Stamp
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DAY = date(2026, 11, 12)
WINDOWS = tuple(Window(Site(number, "", UTC, DAY), DAY, DAY, DAY) for number in ("1", "2"))
NOW = datetime(2026, 11, 13, 12, tzinfo=UTC)
REFUSED = {"result": "error", "message": "no"}


class Noted:
    """Takes what was found."""

    def __init__(self) -> None:
        self.found: list[tuple[bool, str]] = []

    def __call__(self, name: str, detail: str, *, is_good: bool = True) -> None:
        """Write down one thing."""
        assert name
        self.found.append((is_good, detail))


@pytest.mark.parametrize("broken", ["day", "week", "month", "none"])
def test_each_period_of_a_report_is_looked_at_by_itself(broken: str) -> None:
    """A report that Matomo answers for days may be refused for weeks; those that it answers cost one call each."""
    daily = PREBUILT["visitor_country"]
    tables = [daily, table_of(daily, Period.WEEK), table_of(daily, Period.MONTH), PREBUILT["countries"]]

    def answer(_method: str, form: Mapping[str, str]) -> object:
        if form["period"] == broken:
            return REFUSED
        period = {"day": Period.DAY, "week": Period.WEEK, "month": Period.MONTH}[form["period"]]
        return {period.key(period.first_day(DAY)): []}

    transport, noted = Scripted(answer), Noted()
    check_reports(noted, client_of(transport), Scope(Catalogue(tables), WINDOWS, (5, 2), ()))
    refused = [table.name for table in tables if table.period.value == broken]
    assert [detail.split(":")[0] for is_good, detail in noted.found if not is_good] == [
        f"table {name}" for name in refused
    ]
    assert [form["period"] for _, form in transport.asked] == ["day", "week", "month"]
    assert [is_good for is_good, _ in noted.found].count(True) == (not refused)


@pytest.mark.parametrize("off", [(), ("1",), ("2",), ("1", "2")])
def test_each_visits_log_that_is_off_is_told_with_its_site(off: tuple[str, ...]) -> None:
    """Whichever site is looked at first."""

    def answer(_method: str, form: Mapping[str, str]) -> object:
        return {"result": "error", "message": "Visits log is deactivated"} if form["idSite"] in off else []

    noted = Noted()
    check_reports(noted, client_of(Scripted(answer)), Scope(Catalogue([VISITS]), WINDOWS, (5, 2), ()))
    assert [(is_good, detail[:6]) for is_good, detail in noted.found if not is_good] == [
        (False, f"site {number}") for number in off
    ]
    assert [is_good for is_good, _ in noted.found].count(True) == (not off)


def test_a_segment_is_looked_at_where_it_is() -> None:
    """At the first site that has it, by the definition of that site; one of no synced site is told as such."""
    asked: list[tuple[str, str]] = []

    def answer(method: str, form: Mapping[str, str]) -> object:
        asked.append((form["idSite"], form["segment"]))
        assert method == "VisitsSummary.get"
        return {str(DAY): {"nb_visits": 3}}

    segments = (
        Segment("everywhere", "a==1"),
        Segment("second", "", of_sites={"2": "b==2"}),
        Segment("nowhere", "", of_sites={"3": "c==3"}),
    )
    scope = Scope(Catalogue([]), WINDOWS, (5, 2), (), segments=segments, missing_segments=("segment x: none",))
    noted = Noted()
    check_segments(noted, client_of(Scripted(answer)), scope, NOW)
    assert asked == [("1", "a==1"), ("2", "b==2")]
    assert noted.found == [
        (False, "segment x: none"),
        (True, f"segment everywhere has 3 visits (site 1, {DAY} to {DAY})"),
        (True, f"segment second has 3 visits (site 2, {DAY} to {DAY})"),
        (False, "segment nowhere: Matomo has it for none of the sites that are synced"),
    ]


def a_site(number: str, **changes: str) -> dict[str, Any]:
    return {"idsite": number, "name": "", "timezone": "UTC", "ts_created": "2024-01-01 00:00:00", **changes}


def discovery(reports: Mapping[str, list[str]], answers: Mapping[str, object] | None = None) -> Discovery:
    """What is known of a Matomo whose sites have some reports."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        if method == "SitesManager.getSitesWithAtLeastViewAccess":
            return [a_site(number) for number in reports]
        if method == "API.getReportMetadata":
            return [
                {"module": "Thing", "action": action, "name": action, "category": "", "dimension": "D"}
                for action in reports[form["idSite"]]
            ]
        first, last = map(date.fromisoformat, form["date"].split(","))
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return {str(day): (answers or {}).get(form["idSite"], []) for day in days}

    config = {"matomo_url": "https://m.example.com", "sites": "all"}
    return Discovery(client_of(Scripted(answer)), read_connector("shop", json.dumps(config)), NOW)


def test_a_discovered_report_has_all_the_sites_that_have_it() -> None:
    """In Matomo's order; how many sites there are is counted over all reports."""
    found = discovery({"1": ["getOne"], "2": ["getTwo", "getOne"], "3": ["getTwo"]}).every()
    assert {each.spec.method: each.sites for each in found} == {
        "Thing.getOne": ("1", "2"),
        "Thing.getTwo": ("2", "3"),
    }
    assert site_count(found) == 3
    assert site_count(found[:1]) == 2


def test_the_columns_of_a_report_are_those_of_the_first_site_that_has_rows() -> None:
    """A site without any says nothing of them."""
    looked = discovery({"1": ["getOne"], "2": ["getOne"]}, {"2": [{"label": "a", "colour": "red"}]})
    (found,) = (looked.with_columns(each) for each in looked.every())
    assert [column.field for column in found.columns or ()] == ["label", "colour"]
    assert [row["colour"] for row in found.rows] == ["red"] * 3


def test_a_plan_names_everything_that_is_not_synced() -> None:
    """Sites, segments and tables that cannot be had, and sites that are lost, each with its own sentence."""
    scope = Scope(
        Catalogue([PREBUILT["visitor_country"]]),
        WINDOWS,
        (5, 2),
        ("site 7",),
        frozenset({"1", "2", "7"}),
        listed=frozenset({"1", "2"}),
        refused_tables=("table a",),
        missing_segments=("segment b",),
    )
    snapshot = Snapshot({Stream("visitor_country", "9"): Period.DAY.covered([DAY])})
    reference = ReferenceScope((), (), frozenset(), is_whole=True)
    found = PlanResult("shop", "d", "incremental", make_plan(scope, snapshot), reference)
    assert [problem.split(" (")[0] for problem in found.problems] == ["site 7", "segment b", "table a", "site 9"]
    assert found.sites == ["1", "2"]


def difference(day: int, site: str = "1", **changes: Any) -> Difference:
    values: dict[str, Any] = {
        "expected_rows": 2,
        "expected_run": "r1",
        "found_rows": 3,
        "found_keys": 3,
        "found_runs": ("r1",),
    }
    slice_ = Slice(Stream("visitor_country", site), DAY + timedelta(days=day))
    return Difference(slice_, is_due=False, **(values | changes))


def test_differences_of_one_kind_are_summed_up_by_site() -> None:
    """Rows and runs of all the days; other kinds and sites apart. What the log does not know is not counted as 0."""
    differences = [
        difference(0),
        difference(1, expected_rows=5, expected_run="r2", found_rows=1, found_keys=1, found_runs=("r3",)),
        difference(3, expected_rows=0, expected_run=None, found_rows=4),
        difference(0, site="2", expected_rows=None, expected_run=None, found_runs=("r1", "r4")),
        difference(1, site="2", expected_rows=3, found_keys=2),
        difference(2, site="2", expected_rows=3, found_runs=("r9",)),
        difference(3, site="2", expected_rows=4, found_rows=4, found_keys=4, found_runs=("r1", "r9")),
    ]
    found = AuditResult("shop", "run1", ["visitor_country"], differences, 1).findings
    assert [
        (each.website_id, each.kind, len(each.days), each.expected_rows, each.found_rows, each.found_keys)
        for each in found
    ] == [
        ("1", "another number of rows", 3, 7, 8, 7),
        ("2", "rows without a log row", 1, None, 3, 3),
        ("2", "rows that stand twice", 1, 3, 3, 2),
        ("2", "rows of another run", 1, 3, 3, 3),
        ("2", "rows of several runs", 1, 4, 4, 4),
    ]
    assert [(each.expected_runs, each.found_runs) for each in found[:2]] == [
        (("r1", "r2"), ("r1", "r3")),
        ((), ("r1", "r4")),
    ]
    assert f"{DAY} to {DAY + timedelta(days=1)}, {DAY + timedelta(days=3)}: another" in found[0].sentence


def test_a_fatal_error_ends_the_check_at_once() -> None:
    """A token that is refused must not be sent for the next report."""
    transport = Scripted(lambda *_: MatomoFatal("over"))
    tables = [PREBUILT["visitor_country"], PREBUILT["visits_summary"], VISITS]
    with pytest.raises(MatomoFatal):
        check_reports(Noted(), client_of(transport), Scope(Catalogue(tables), WINDOWS, (5, 2), ()))
    assert len(transport.asked) == 1


def test_a_plan_counts_the_slices_of_all_sites_and_segments_by_reason() -> None:
    """And the days from the first to the last of any."""
    country = PREBUILT["visitor_country"]
    windows = tuple(
        Window(Site(number, "", UTC, DAY), DAY - timedelta(days=length), DAY, DAY)
        for number, length in (("1", 4), ("2", 9), ("3", 1))
    )
    scope = Scope(Catalogue([country]), windows, (5, 2), (), segments=(Segment("m", "a==b", of_sites={"1": "a==b"}),))
    failed = KnownSlice(LogStatus.FAILED, 0, None, None, "", is_intact=False)
    known = {country.stream(number).slice(DAY): failed for number in ("1", "2")}
    reference = ReferenceScope((), (), frozenset(), is_whole=True)
    found = PlanResult("shop", "d", "incremental", make_plan(scope, Snapshot({}, known)), reference)
    table = found.tables["visitor_country"]
    assert table.by_reason == {Reason.MISSING: 4 + 5 + 9 + 2, Reason.FAILED: 2}
    assert (table.slices, table.open) == (22, 22)
    assert (table.first_day, table.last_day) == (DAY - timedelta(days=9), DAY)


def test_every_table_that_an_audit_cannot_have_is_told(tmp_path: Path) -> None:
    """Also where one before it is there."""
    config = {"matomo_url": "https://m.example.com", "sites": "all", "reports": ["visits_summary"]}
    (tmp_path / "matomo-shop-config").write_text(json.dumps(config))
    settings = Settings(secrets=str(tmp_path), warehouse=f"duckdb:{tmp_path / 'w.duckdb'}")
    tables = ["visits_sumary", "visits_summary", "visitor_country"]
    request = read_request({"connector": "shop", "mode": "audit", "tables": tables})
    with pytest.raises(InputError) as raised:
        run_audit(settings, request)
    assert [problem.split("'")[3] for problem in raised.value.problems] == ["visits_sumary", "visitor_country"]


@pytest.mark.parametrize(("reports", "is_all"), [("all", True), (["visits_summary"], False)])
def test_of_all_reports_every_table_that_the_log_knows_is_audited(
    tmp_path: Path, reports: object, *, is_all: bool
) -> None:
    """Matomo, which is not asked, alone knows the others; a table that the configuration no longer has is not."""
    config = json.dumps({"matomo_url": "https://m.example.com", "sites": "all", "reports": reports})
    (tmp_path / "matomo-shop-config").write_text(config)
    connector = read_connector("shop", config)
    names = ["events_category", "events_name", "visits_summary"]
    entries = [
        LogEntry(Stream(name, "1").slice(DAY), LogStatus.WRITTEN, 2, "h", has_others=False, is_final=True,
                 written_run_id="r") for name in names
    ]  # fmt: skip
    with closing(DuckDBWarehouse(tmp_path / "w.duckdb", connector.dataset_name)) as warehouse:
        warehouse.ensure_dataset()
        state = SyncState(warehouse, connector)
        state.prepare()
        state.append(Run("r", "r", NOW), entries, tmp_path, Stamp("r", 1, NOW))
    settings = Settings(secrets=str(tmp_path), warehouse=f"duckdb:{tmp_path / 'w.duckdb'}")
    found = run_audit(settings, read_request({"connector": "shop", "mode": "audit", "dry_run": True}))
    assert {each.slice.table for each in found.differences} == set(names if is_all else names[2:])
