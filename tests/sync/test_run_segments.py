"""Runs with segments: rows of each beside those of all visits, archives of their own, definitions that change."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.sync.plan import Reason
from tests.support.local import TODAY, Local, ago, days, local, small_world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOBILE = "deviceType==smartphone"
SEGMENTS = {"mobile": MOBILE, "france": "countryCode==fr"}
REPORTS = ["visits_summary", "visitor_country", "referrers"]


@contextmanager
def connector(path: Path, sites: int = 1, **config: Any) -> Iterator[Local]:
    values = {"reports": REPORTS, "segments": SEGMENTS} | config
    with FakeMatomo(small_world(sites)) as matomo, local(matomo, path / "test.duckdb", **values) as opened:
        yield opened


def reopened(opened: Local, path: Path, **config: Any) -> Local:
    """The same connector and file with another configuration."""
    values = {"reports": REPORTS, "segments": SEGMENTS} | config
    opened.matomo.advance(timedelta(minutes=1))
    return Local(opened.matomo, path / "test.duckdb", **values)


def counts(opened: Local, table: str = "visits_summary") -> dict[tuple[str, date], int]:
    """Visits by segment and date."""
    column = "nb_visits" if table.startswith("visits_summary") else "visits"
    query = (
        f"select segment, date, sum({column}) as visits from `{opened.connector.dataset_name}.{table}` t group by 1, 2"
    )
    return {(row["segment"], row["date"]): int(row["visits"]) for row in opened.warehouse.query(query)}


def smartphones(opened: Local, day: date) -> int:
    return sum(visit.visitor.device.type == "smartphone" for visit in opened.matomo.visits(1, day))


def test_each_table_has_rows_of_all_visits_and_of_each_segment(tmp_path: Path) -> None:
    """By the segment's name; the numbers are those of its visits."""
    with connector(tmp_path, visits=True) as opened:
        result = opened.sync()
        assert (result.verdict, result.missing, result.matomo_errors) == ("complete", [], [])
        found = counts(opened)
        window = days(ago(6), ago(1))
        assert found.keys() == {(name, day) for name in ("", *SEGMENTS) for day in window}
        assert {day: found["mobile", day] for day in window} == {day: smartphones(opened, day) for day in window}
        assert {day: found["", day] for day in window} == {day: len(opened.matomo.visits(1, day)) for day in window}
        assert {segment for segment, _ in counts(opened, "visitor_country")} == {"", *SEGMENTS}
        assert opened.duplicates() == []
        assert opened.sync().tables["visits_summary"].written == 0


def test_a_segment_of_some_reports_is_in_no_other_table(tmp_path: Path) -> None:
    """A report's name stands for its tables of longer periods too."""
    segments = {"mobile": {"definition": MOBILE, "reports": ["visitor_country"]}}
    with connector(tmp_path, segments=segments, periods=["week"]) as opened:
        assert opened.sync().verdict == "complete"
        assert {segment for segment, _ in counts(opened)} == {""}
        assert {segment for segment, _ in counts(opened, "visitor_country")} == {"", "mobile"}
        assert {segment for segment, _ in counts(opened, "visitor_country_week")} == {"", "mobile"}
        assert {segment for segment, _ in counts(opened, "visits_summary_week")} == {""}


def test_a_segment_without_an_archive_is_pending_until_it_has_one(tmp_path: Path) -> None:
    """Matomo answers [] for each day, without an error; days without a visit of the segment are believed."""
    with connector(tmp_path) as opened:
        opened.matomo.unprocess_segment(MOBILE)
        with_visits = [day for day in days(ago(6), ago(1)) if smartphones(opened, day)]
        result = opened.sync()
        assert result.verdict == "partial"
        assert all(
            sentence.startswith("referrers, visitor_country and visits_summary of site 1, segment mobile, on ")
            for sentence in result.missing
        )
        assert "segment mobile may have no archive: `check` says how to have it archived" in result.missing[0]
        assert result.tables["visits_summary"].pending == len(with_visits) > 0
        found = counts(opened)
        assert all(("mobile", day) not in found for day in with_visits)
        assert all(("france", day) in found and ("", day) in found for day in with_visits)
        opened.matomo.process_segment(MOBILE)
        assert opened.sync().verdict == "complete"
        assert {day: counts(opened)["mobile", day] for day in with_visits} == {
            day: smartphones(opened, day) for day in with_visits
        }


def test_a_segment_whose_archive_is_not_made_is_not_requested_by_every_report(tmp_path: Path) -> None:
    """The visit counts of the segment tell that it is pending; only what came in the same call was requested."""
    with connector(tmp_path) as opened:
        opened.matomo.unprocess_segment(MOBILE)
        opened.sync()
        asked = [call for call in opened.matomo.calls if call.params.get("segment") == MOBILE]
        pending = {day for day in days(ago(6), ago(1)) if smartphones(opened, day)}
        countries = [call.params["date"].split(",") for call in asked if call.method == "UserCountry.getCountry"]
        requested = {
            day for first, last in countries for day in days(date.fromisoformat(first), date.fromisoformat(last))
        }
        older = set(days(ago(6), ago(5)))
        assert pending & older
        assert not requested & pending & older


def test_a_segment_that_matomo_refuses_fails_alone(tmp_path: Path) -> None:
    """One sentence names it; it is sent once a site, and everything else is written."""
    segments = SEGMENTS | {"typo": "deviceTipe==smartphone"}
    with connector(tmp_path, sites=2, segments=segments, concurrency=1) as opened:
        result = opened.sync()
        assert result.verdict == "failed"
        assert result.matomo_errors == [
            "segment typo: VisitsSummary.get: Matomo says: Segment 'deviceTipe' is not a supported segment: correct it "
            'in "segments" of the configuration'
        ]
        assert not result.may_succeed_later
        assert {segment for segment, _ in counts(opened)} == {"", *SEGMENTS}
        bulks = [call for call in opened.matomo.calls if "deviceTipe" in str(call.params.get("urls[0]"))]
        assert len(bulks) == 2
        assert result.tables["visitor_country"].failed == 12
        query = f"select error from `{opened.connector.dataset_name}._sync_state` t where segment = 'typo'"
        refusal = "VisitsSummary.get: Matomo says: Segment 'deviceTipe' is not a supported segment."
        sentence = f"visits_summary of site 1, segment typo, on {ago(1)}: {refusal}"
        assert sentence in {row["error"] for row in opened.warehouse.query(query)}


def test_a_segment_whose_calls_fail_keeps_no_other_from_being_synced(tmp_path: Path) -> None:
    """A server that makes the segment's archive on demand may take too long for it."""
    with connector(tmp_path, reports=["visits_summary"]) as opened:
        opened.matomo.faults.add(Fault(status=500, body="gone", segment=MOBILE))
        result = opened.sync()
        assert result.verdict == "failed"
        assert {segment for segment, _ in counts(opened)} == {"", "france"}


def test_a_definition_that_changes_under_its_name_is_refetched_over_all_time(tmp_path: Path) -> None:
    """Also before the window; until then the old rows stay, and the other segments are left alone."""
    with connector(tmp_path, reports=["visits_summary"]) as opened:
        opened.sync(start_date=ago(20), end_date=ago(1))
        before = counts(opened)
        changed = reopened(
            opened,
            tmp_path,
            reports=["visits_summary"],
            segments={"mobile": "countryCode==de", "france": SEGMENTS["france"]},
        )
        opened.matomo.forget_calls()
        result = changed.sync()
        assert result.verdict == "complete"
        germans = {
            day: sum(visit.visitor.place.code == "de" for visit in opened.matomo.visits(1, day))
            for day in days(ago(20), ago(1))
        }
        found = counts(changed)
        assert {day: found["mobile", day] for day in germans} == germans
        assert {key: value for key, value in found.items() if key[0] != "mobile"} == {
            key: value for key, value in before.items() if key[0] != "mobile"
        }
        assert {
            call.params["date"] for call in opened.matomo.calls if call.params.get("segment") == SEGMENTS["france"]
        } <= {f"{ago(3)},{ago(1)}"}
        opened.matomo.forget_calls()
        again = changed.sync()
        assert again.tables["visits_summary"].written == 0
        counted = [call for call in opened.matomo.calls if call.method == "VisitsSummary.get"]
        assert {call.params["date"] for call in counted} == {f"{ago(3)},{ago(1)}"}
        changed.close()


def test_a_dry_run_tells_that_a_changed_segment_is_due(tmp_path: Path) -> None:
    """It marks nothing, and plans what the run will do."""
    with connector(tmp_path, reports=["visits_summary"]) as opened:
        opened.sync()
        changed = reopened(opened, tmp_path, reports=["visits_summary"], segments={"mobile": "countryCode==de"})
        plan = changed.plan()
        due = {found.reason: found.days for found in plan.due if found.stream.segment == "mobile"}
        assert due.keys() == {Reason.PENDING}
        assert list(due[Reason.PENDING]) == days(ago(6), ago(1))
        changed.close()


def test_a_run_that_dies_while_it_marks_a_changed_segment_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    """The change is seen again as long as a slice of the window has the old definition."""
    with connector(tmp_path, reports=["visits_summary"]) as opened:
        opened.sync()

        def die(method: str, what: str) -> None:
            if method == "run" and what.startswith("invalidate_segment"):
                raise KeyboardInterrupt

        changed = reopened(opened, tmp_path, reports=["visits_summary"], segments={"mobile": "countryCode==de"})
        with pytest.raises(KeyboardInterrupt):
            changed.sync(before=die)
        assert changed.sync().verdict == "complete"
        germans = sum(
            visit.visitor.place.code == "de" for day in days(ago(6), ago(1)) for visit in opened.matomo.visits(1, day)
        )
        assert sum(value for (segment, _), value in counts(changed).items() if segment == "mobile") == germans
        changed.close()


def test_the_rows_of_a_segment_that_is_taken_out_stay(tmp_path: Path) -> None:
    """It is not requested any more."""
    with connector(tmp_path) as opened:
        opened.sync()
        before = counts(opened)
        fewer = reopened(opened, tmp_path, segments={"france": SEGMENTS["france"]})
        opened.matomo.forget_calls()
        assert fewer.sync().verdict == "complete"
        assert counts(fewer) == before
        assert all(call.params.get("segment") != MOBILE for call in opened.matomo.calls)
        fewer.close()


def test_a_segment_is_the_same_however_its_value_is_encoded(tmp_path: Path) -> None:
    """Once, twice or not at all, as was recorded; the conditions too, as a URL of Matomo's has them."""
    url = "https://shop.example.org/"
    spellings = [url, "https%3A%2F%2Fshop.example.org%2F", "https%253A%252F%252Fshop.example.org%252F"]
    segments = {f"page{number}": f"pageUrl=={spelling}" for number, spelling in enumerate(spellings)}
    segments["copied"] = "pageUrl%3D%3Dhttps%253A%252F%252Fshop.example.org%252F"
    with connector(tmp_path, segments=segments, reports=["visits_summary"]) as opened:
        assert opened.sync().verdict == "complete"
        found = counts(opened)
        for day in days(ago(6), ago(1)):
            assert len({found[name, day] for name in segments}) == 1


def test_saved_segments_are_found_by_their_names_at_the_start_of_a_run(tmp_path: Path) -> None:
    """Those of a single site are synced there only; an edit in Matomo is a change of definition."""
    segments = {"phones": "saved:Téléphones", "buyers": "saved:Buyers"}
    with connector(tmp_path, sites=2, segments=segments, reports=["visits_summary"]) as opened:
        opened.matomo.save_segment("Téléphones", MOBILE)
        opened.matomo.save_segment("Buyers", "visitConverted==1", only_site=2)
        assert opened.sync().verdict == "complete"
        query = (
            f"select distinct segment, website_id from `{opened.connector.dataset_name}.visits_summary` t order by 1, 2"
        )
        assert [tuple(row.values()) for row in opened.warehouse.query(query)] == [
            ("", "1"),
            ("", "2"),
            ("buyers", "2"),
            ("phones", "1"),
            ("phones", "2"),
        ]
        opened.matomo.save_segment("Téléphones", "deviceType==tablet")
        result = opened.sync()
        assert result.tables["visits_summary"].written > 0
        tablets = sum(visit.visitor.device.type == "tablet" for visit in opened.matomo.visits(1, ago(2)))
        query = (
            f"select nb_visits from `{opened.connector.dataset_name}.visits_summary` t "
            f"where segment = 'phones' and website_id = '1' and date = date '{ago(2)}'"
        )
        assert [row["nb_visits"] for row in opened.warehouse.query(query)] == [tablets]


@pytest.mark.parametrize(
    ("saved", "sentence"),
    [
        (
            [],
            "segment back: there is no saved segment 'Returning', and no other, that the token's user may see: "
            "write its definition",
        ),
        (
            ["Return"],
            "segment back: there is no saved segment 'Returning' that the token's user may see: did you mean 'Return'?",
        ),
        (
            ["Mobile", "France"],
            "segment back: there is no saved segment 'Returning' that the token's user may see: known are "
            "France, Mobile",
        ),
    ],
)
def test_a_saved_segment_that_is_not_there_is_named_and_costs_no_other(
    tmp_path: Path, saved: list[str], sentence: str
) -> None:
    """The run fails, so that somebody looks; what it could sync is there."""
    with connector(
        tmp_path, segments={"back": "saved:Returning", "mobile": MOBILE}, reports=["visits_summary"]
    ) as opened:
        for name in saved:
            opened.matomo.save_segment(name, "visitCount>1")
        result = opened.sync()
        assert (result.verdict, result.matomo_errors, result.may_succeed_later) == ("failed", [sentence], False)
        assert {segment for segment, _ in counts(opened)} == {"", "mobile"}


def test_segments_and_periods_go_together(tmp_path: Path) -> None:
    """A week of a segment has an archive of its own, and is judged by the visits log with the segment."""
    with connector(tmp_path, periods={"visits_summary": ["week"]}, backfill_days=20) as opened:
        assert opened.sync().verdict == "complete"
        monday = TODAY - timedelta(days=TODAY.weekday() + 7)
        expected = sum(smartphones(opened, monday + timedelta(days=offset)) for offset in range(7))
        assert counts(opened, "visits_summary_week")["mobile", monday] == expected
