"""behaviour_page.page_title: the title seen most under that URL on that day, from the visits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from fake_matomo import FakeMatomo, Fault
from matomo_fn.warehouse import sql
from tests.support.visits import DAYS, METHOD, WORLD, LocalVisits

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

Titles = dict[tuple[str, "date", str], str | None]

PAGES = "behaviour_page"


def titles(local: LocalVisits) -> Titles:
    """The title of each page in the table."""
    rows = local.warehouse.query(
        "select t.website_id, t.date, t.page_url, t.page_title "
        f"from {sql.table_name(local.warehouse.dataset, PAGES)} t where t.segment = ''"
    )
    return {(row["website_id"], row["date"], row["page_url"]): row["page_title"] for row in rows}


def expected(matomo: FakeMatomo, local: LocalVisits, changed: Any = lambda title: title) -> Titles:
    """The same from the server's own visits: most views first, of as many the title that sorts first."""
    seen: dict[tuple[str, date, str], Counter[str]] = {}
    for site in (1, 2):
        for day in DAYS:
            for visit in matomo.visits(site, day):
                for action in visit.actions:
                    if action.kind == "action":
                        key = (str(site), day, action.page.url)
                        seen.setdefault(key, Counter())[changed(action.page.title, visit.id)] += 1
    best = {key: min(counts, key=lambda title: (-counts[title], title)) for key, counts in seen.items()}
    return {key: best.get(key) for key in titles(local)}


def _renamed(title: str, visit: int) -> str:
    """Two thirds of the visits see another title, not the same ones; so several stand under one URL."""
    return f"{title} – {'AB'[visit % 3 - 1]}" if visit % 3 else title


def _rename(answer: object) -> object:
    assert isinstance(answer, list)
    for visit in answer:
        for action in visit.get("actionDetails", ()):
            if action["type"] == "action":
                action["pageTitle"] = _renamed(action["pageTitle"], visit["idVisit"])
    return answer


def _connector(matomo: FakeMatomo, path: Path, **config: Any) -> LocalVisits:
    return LocalVisits(matomo, path, **{"reports": ["visits_summary", PAGES]} | config)


def test_a_page_has_the_title_that_was_seen_most(tmp_path: Path) -> None:
    """Of several under one URL; where two were seen as often, the one that sorts first."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb")
        matomo.faults.add(Fault(method=METHOD, mutate=_rename))
        local.sync()
        found = titles(local)
        assert found == expected(matomo, local, _renamed)
        assert len(found) > 10
        assert {title[-3:] for title in found.values() if title} >= {"– A", "– B"}
        local.close()


def test_titles_are_renewed_when_only_the_visits_change_and_when_only_the_pages_do(tmp_path: Path) -> None:
    """The pages are not rewritten for a new title; and pages that are rewritten keep theirs."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb")
        local.sync()
        assert titles(local) == expected(matomo, local, lambda title, _: title)
        matomo.faults.add(Fault(method=METHOD, mutate=_rename))
        result = local.sync()
        assert (result.tables[PAGES].written, result.tables["visits"].written) == (0, 4)
        assert titles(local) == expected(matomo, local, _renamed)

        def busier(answer: object) -> object:
            assert isinstance(answer, dict)
            return {day: [{**row, "nb_hits": int(row["nb_hits"]) + 1} for row in rows] for day, rows in answer.items()}

        matomo.faults.add(Fault(method="Actions.getPageUrls", site=1, mutate=busier))
        result = local.sync()
        assert (result.tables[PAGES].written, result.tables["visits"].written) == (2, 0)
        assert titles(local) == expected(matomo, local, _renamed)
        local.close()


def test_a_title_goes_away_with_the_visits_that_saw_it(tmp_path: Path) -> None:
    """What the table says depends on what Matomo says now, not on what it said once."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb")
        local.sync()
        before = titles(local)
        matomo.faults.add(Fault(method=METHOD, site=1, day=DAYS[0], mutate=lambda _: []))
        local.sync(mode="full_refresh", tables=["visits"])  # nothing else writes fewer visits than the summary counts
        gone = {key for key in before if key[:2] == ("1", DAYS[0])}
        assert gone
        assert titles(local) == {key: None if key in gone else title for key, title in before.items()}
        local.close()


def test_without_visits_there_are_no_titles(tmp_path: Path) -> None:
    """NULL, and no statement runs for them."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb", visits=False)
        local.sync()
        assert set(titles(local).values()) == {None}
        assert local.watched.count("run", "find_staging_titles") == 0
        local.close()


def test_visits_of_a_connector_without_pages_fill_no_titles(tmp_path: Path) -> None:
    """The table of pages is another's business, or not there at all."""
    with FakeMatomo(WORLD) as matomo:
        local = LocalVisits(matomo, tmp_path / "w.duckdb")
        assert local.sync().http_status == 200
        assert local.warehouse.find_table(PAGES) is None
        local.close()


def test_only_one_of_the_two_tables_synced_still_fills_titles(tmp_path: Path) -> None:
    """A request for the visits alone gives the pages of an earlier run their titles."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb")
        local.sync(tables=(PAGES,))
        assert set(titles(local).values()) == {None}
        local.sync(tables=("visits",))
        assert titles(local) == expected(matomo, local, lambda title, _: title)
        local.close()


@pytest.mark.parametrize("excluded", ["actions", "actions.url", "actions.title"])
def test_excluding_what_titles_are_read_from_is_said(excluded: str, tmp_path: Path) -> None:
    """The run's notes name table and column, and no statement looks for titles that cannot be there."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb", visits={"exclude": ["visit_ip", excluded]})
        result = local.sync()
        assert result.http_status == 200
        assert list(result.notes) == [
            f'page_title of {PAGES} stays NULL: the configuration\'s "exclude" names {excluded}, and titles are read '
            "from the visits as they are stored"
        ]
        assert set(titles(local).values()) == {None}
        assert not [what for _, what in local.watched.calls if "titles" in what]
        local.close()


@pytest.mark.parametrize(
    ("reports", "exclude"), [([PAGES], ["visit_ip", "actions.pageview_id"]), (["visits_summary"], ["actions.url"])]
)
def test_excluding_anything_else_says_nothing(reports: list[str], exclude: list[str], tmp_path: Path) -> None:
    """Nor does it where the connector has no table of pages."""
    with FakeMatomo(WORLD) as matomo:
        local = _connector(matomo, tmp_path / "w.duckdb", reports=reports, visits={"exclude": exclude})
        assert list(local.sync().notes) == []
        local.close()
