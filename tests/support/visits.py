"""What the tests of the visits log share: servers that answer it, runs that are watched on their way, and readers."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import fake_matomo
from fake_matomo import World
from matomo_fn.catalogue import VISITS
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visit_rows import VisitParser
from matomo_fn.extract.visits import VisitsOfDays
from matomo_fn.sites import Site
from matomo_fn.slices import Slice, Stream
from matomo_fn.warehouse import sql
from tests.support.local import Local
from tests.support.recordings import Scripted, client_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from fake_matomo import FakeMatomo
    from matomo_fn.deadline import Deadline
    from matomo_fn.matomo.transport import Reply, Transport
    from matomo_fn.warehouse.buffer import BufferedSlice
    from matomo_fn.warehouse.protocol import Warehouse

METHOD = "Live.getLastVisitsDetails"
PARIS = ZoneInfo("Europe/Paris")
NEW_YORK = ZoneInfo("America/New_York")
# The time zone of a recording's site.
ZONES = {1: PARIS, 2: UTC, 3: NEW_YORK}
DAY = date(2026, 11, 12)
SLICE = Slice(Stream("visits", "1"), DAY)
NOON = int(datetime(2026, 11, 12, 12, tzinfo=UTC).timestamp())  # of that day
LATER = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Two sites with two days of visits, as the sample Matomo has them.
DAYS = [LATER.date() - timedelta(days=back) for back in range(1, 3)]
WORLD = World(
    (
        fake_matomo.Site(1, "Shop", "Europe/Paris", created=DAYS[-1], visits_per_day=14, pages=5, ecommerce=True),
        fake_matomo.Site(2, "Docs", "UTC", created=DAYS[-1], visits_per_day=9, pages=5),
    ),
    now=LATER,
)


def server_of(visits: Sequence[Mapping[str, Any]]) -> Scripted:
    """A transport that answers the visits log out of some visits, paged as Matomo pages it."""

    def answer(method: str, form: Mapping[str, str]) -> object:
        assert method == METHOD
        assert form["filter_sort_order"] == "asc"
        after = int(form.get("minTimestamp", 0))
        ordered = sorted(visits, key=lambda visit: (visit["lastActionTimestamp"], visit["idVisit"]))
        return [visit for visit in ordered if visit["lastActionTimestamp"] > after][: int(form["filter_limit"])]

    return Scripted(answer)


def reader_of(
    transport: Scripted,
    folder: Path,
    *,
    site: str = "1",
    zone: Any = PARIS,
    exclude: Collection[str] = (),
    may_continue: Callable[[], bool] = lambda: True,
) -> VisitsOfDays:
    """A reader of days of a site that buffers into a folder."""
    known = Site(site, "Site", zone, date(2021, 1, 1))
    buffers = OwnBuffers(folder, 10**12)
    return VisitsOfDays(client_of(transport), known, VisitParser(zone, exclude), buffers, may_continue)


def read_day(
    transport: Scripted,
    folder: Path,
    slice_: Slice = SLICE,
    *,
    zone: Any = PARIS,
    exclude: Collection[str] = (),
) -> BufferedSlice:
    """Read a closed day into a buffer."""
    reader = reader_of(transport, folder, site=slice_.website_id, zone=zone, exclude=exclude)
    read = reader.read([slice_], max(LATER, datetime.combine(slice_.date, LATER.timetz()) + timedelta(days=2)))
    assert read is not None
    assert read[0].content is not None
    return read[0].content


def a_visit(number: int, last: int, **fields: object) -> dict[str, Any]:
    """A visit with what every visit has."""
    return {"idVisit": number, "firstActionTimestamp": last, "lastActionTimestamp": last, "actionDetails": [], **fields}


class OnTheWay:
    """A transport that keeps the pages of the visits log small and lets things happen between them.

    Attributes:
        pages: how many pages were asked.
    """

    def __init__(
        self, transport: Transport, *, page: int | None = None, between: Callable[[int], None] = lambda _: None
    ) -> None:
        """Stand in front of another transport.

        Args:
            transport: the one that does the work.
            page: visits of a page at most.
            between: is told the number of a page, from 0, before that is asked, and may raise.
        """
        self.pages = 0
        self._transport = transport
        self._page = page
        self._between = between

    def post(self, method: str, form: Mapping[str, str]) -> Reply:
        """Pass a call on, pages of the visits log made small; the question for a first visit is none."""
        if method == METHOD and "doNotFetchActions" not in form:
            self._between(self.pages)
            self.pages += 1
            if self._page is not None:
                form = {**form, "filter_limit": str(min(self._page, int(form["filter_limit"])))}
        return self._transport.post(method, form)

    def redact(self, text: str) -> str:
        """As the transport has it."""
        return self._transport.redact(text)


class LocalVisits(Local):
    """A connector that syncs visits in pages of a few, and whose runs are told of each page.

    Attributes:
        page: visits of a page at most.
        between: is told the number of each page of a run before it is asked.
    """

    def __init__(self, matomo: FakeMatomo, path: Path, *, page: int | None = 7, **config: Any) -> None:
        """Know where Matomo and the file are; ``config`` goes over a connector with visits and no reports but one."""
        self.page = page
        self.between: Callable[[int], None] = lambda _: None
        super().__init__(matomo, path, **{"reports": ["visits_summary"], "visits": True} | config)

    def transport(self, deadline: Deadline) -> Transport:
        """Stand between the client and the network."""
        return OnTheWay(super().transport(deadline), page=self.page, between=lambda number: self.between(number))

    def rows(self) -> list[Mapping[str, Any]]:
        """The rows of the table."""
        return rows_of_visits(self.warehouse)

    def standing(self) -> list[tuple[str, date, int, datetime]]:
        """(site, day, visit, last action) of every row, sorted."""
        return sorted((row["website_id"], row["date"], row["visit_id"], row["last_action_at"]) for row in self.rows())


def rows_of_visits(warehouse: Warehouse) -> list[Mapping[str, Any]]:
    """All rows of the table of visits, each by column, in the order of their ids."""
    names = ", ".join(f"t.{column.name}" for column in VISITS.columns)
    table = sql.table_name(warehouse.dataset, VISITS.name)
    return list(warehouse.query(f"select {names} from {table} t order by t.visit_id"))


def truth(matomo: FakeMatomo, sites: Sequence[int], days: Sequence[date]) -> list[tuple[str, date, int, datetime]]:
    """What should stand in the table: (site, day, visit, last action) of every visit of those days."""
    return sorted(
        (str(site), day, visit.id, datetime.fromtimestamp(visit.last_at, UTC))
        for site in sites
        for day in days
        for visit in matomo.visits(site, day)
    )
