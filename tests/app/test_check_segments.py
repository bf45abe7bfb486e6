"""What `check` and `status` say of segments: those without an archive, those that are not there, those taken out."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from matomo_fn.app.check import check_connector
from matomo_fn.app.status import read_status
from matomo_fn.config.settings import Settings
from tests.support.shop import Shop, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOBILE = "deviceType==smartphone"
HOW = (
    'Save the segment in Matomo\'s segment editor as "pre-processed" and let core:archive run (./console core:archive; '
    "for days before that with --force-date-range=START,END), or let Matomo process reports on demand (Administration, "
    "General settings, Archive reports when viewed from the browser)"
)


@contextmanager
def shop_with(path: Path, segments: dict[str, object], **keys: object) -> Iterator[tuple[Shop, Settings]]:
    with running(path) as shop:
        configured = {"reports": ["visits_summary"], "backfill_days": 8} | keys
        shop.configure(segments=segments, **configured)
        yield shop, Settings(secrets=str(shop.secrets), warehouse=f"duckdb:{shop.warehouse}")


def said(settings: Settings) -> list[tuple[bool, str]]:
    return [(check.is_good, check.detail) for check in check_connector(settings, "shop") if check.name == "segments"]


def test_a_segment_with_archives_is_named_with_its_visits(tmp_path: Path) -> None:
    """Of one site and the last seven days."""
    with shop_with(tmp_path, {"mobile": MOBILE}) as (_, settings):
        ((good, sentence),) = said(settings)
        assert good
        assert sentence.startswith("segment mobile has ")
        assert "visits (site 1, " in sentence


def test_a_segment_without_archives_is_named_with_how_to_have_it_archived(tmp_path: Path) -> None:
    """The visits log has visits of it where the reports have none; another one is not blamed."""
    with shop_with(tmp_path, {"mobile": MOBILE, "france": "countryCode==fr"}) as (shop, settings):
        shop.matomo.unprocess_segment(MOBILE)
        (is_good, sentence), (france, _) = said(settings)
        assert (is_good, france) == (False, True)
        assert sentence.startswith("segment mobile has visits and no archive on ")
        assert sentence.endswith(HOW)


def test_a_segment_that_no_visit_is_in_is_no_problem(tmp_path: Path) -> None:
    """The visits log has none either."""
    with shop_with(tmp_path, {"nobody": "countryCode==aq"}) as (_, settings):
        ((good, sentence),) = said(settings)
        assert (good, sentence.partition(" (")[0]) == (True, "segment nobody has 0 visits")


def test_segments_that_are_refused_or_not_there_are_problems(tmp_path: Path) -> None:
    """Each with a sentence of its own; saved ones of other sites too."""
    segments: dict[str, object] = {"typo": "deviceTipe==x", "back": "saved:Returning", "docs": "saved:Docs"}
    with shop_with(tmp_path, segments) as (shop, settings):
        shop.matomo.save_segment("Docs", "actions>1", only_site=2)
        assert said(settings) == [
            (
                False,
                "segment back: there is no saved segment 'Returning' that the token's user may see: known are Docs",
            ),
            (
                False,
                "segment typo: whether the day is empty is not known: VisitsSummary.get: Matomo says: Segment "
                "'deviceTipe' is not a supported segment.",
            ),
            (False, "segment docs: Matomo has it for none of the sites that are synced"),
        ]


def test_status_names_segments_and_periods_and_none_that_was_taken_out(tmp_path: Path) -> None:
    """Its rows stay; what is pending of another one is missing."""
    segments: dict[str, object] = {"mobile": MOBILE, "france": "countryCode==fr"}
    with shop_with(tmp_path, segments, periods=["week"]) as (shop, settings):
        assert shop.post({"connector": "shop"}).status_code == 200
        shop.configure(
            reports=["visits_summary"], backfill_days=8, periods=["week"], segments={"france": "countryCode==fr"}
        )
        found = read_status(settings, "shop")
        assert {(table.stream.table, table.stream.segment) for table in found.tables} == {
            (table, segment) for table in ("visits_summary", "visits_summary_week") for segment in ("", "france")
        }
        assert found.is_good
        week = next(table for table in found.tables if table.stream.table == "visits_summary_week")
        assert week.as_dict()["period"] == "week"
        assert (week.days, week.gaps) in ((2, 0), (3, 0))


def test_status_says_which_weeks_of_a_segment_are_missing(tmp_path: Path) -> None:
    """By their Mondays."""
    with shop_with(tmp_path, {"mobile": MOBILE}, periods=["week"]) as (shop, settings):
        shop.matomo.unprocess_segment(MOBILE)
        shop.post({"connector": "shop"})
        problems = read_status(settings, "shop").problems
        assert any(
            problem.startswith("visits_summary_week of site 1, segment mobile, in the week") for problem in problems
        )
