"""A sync of days whose visits were sent as hits: the tables have what was sent, and the counts agree."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from fake_matomo import FakeMatomo, Goal, Site, World
from tests.fake_matomo.sending import hit, hits_of_each_kind, send
from tests.support.visits import LocalVisits, truth

if TYPE_CHECKING:
    from pathlib import Path

DAYS = [date(2026, 11, 17), date(2026, 11, 18), date(2026, 11, 19)]
SHOP = Site(
    1,
    "Shop",
    "Europe/Paris",
    created=DAYS[0],
    visits_per_day=6,
    pages=5,
    ecommerce=True,
    goals=(Goal(1, "Newsletter"), Goal(2, "Contact")),
    main_url="https://shop.example.org",
)


def test_days_of_hits_are_synced_without_a_difference(tmp_path: Path) -> None:
    """Beside modelled visits, over midnight of the site, and with a visit that has no action."""
    with FakeMatomo(World((SHOP,), now=datetime(2026, 11, 20, 12, tzinfo=UTC))) as matomo:
        assert send(matomo, *hits_of_each_kind("2026-11-18 09")) == [12, 0]
        late = [
            hit(cid="a" * 16, cdt=f"2026-11-18 {clock}", pv_id=f"n{clock[:2]}") for clock in ("22:59:00", "23:01:00")
        ]
        again = hit(cid="b" * 16, cdt="2026-11-19 10:00:00", idgoal=0, ec_id="CMD-53-2")
        assert send(matomo, *late, again) == [2, 1]
        local = LocalVisits(matomo, tmp_path / "w.duckdb", reports="prebuilt", trailing_days=5)
        local.sync()
        assert {state["visits_difference"] for (table, _, _), state in local.states().items() if table == "visits"} == {
            0
        }
        assert local.standing() == truth(matomo, [1], DAYS)
        rows = {row["visitor_id"]: row for row in local.rows() if row["date"] == DAYS[1]}
        views = [action["pageview_id"] for action in rows["53a0000000000002"]["actions"]]
        assert views == [*["abc123"] * 5, None, "abc123", None, "abc123", "", None]
        assert [row["date"] for row in local.rows() if row["visitor_id"] == "a" * 16] == DAYS[1:]
        assert [row["action_count"] for row in local.rows() if row["visitor_id"] == "b" * 16] == [0]
