"""A connector with everything it needs on this machine: a sample Matomo, a DuckDB file, and a clock."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from fake_matomo import TOKEN, Site, World
from matomo_fn.catalogue import SYNC_LOG, SYNC_RUNS
from matomo_fn.config.connector import read_connector
from matomo_fn.config.request import read_request
from matomo_fn.config.token import Token
from matomo_fn.deadline import Deadline
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.rate_limit import RateLimit
from matomo_fn.matomo.transport import HttpTransport
from matomo_fn.sync.outcome import Run
from matomo_fn.sync.run import plan_sync, sync
from matomo_fn.sync.session import Session
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.duckdb import DuckDBWarehouse
from tests.support.warehouses import Watched, contents, duplicates, states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from fake_matomo import FakeMatomo
    from matomo_fn.matomo.transport import Transport
    from matomo_fn.sync.hand_on import FanOut
    from matomo_fn.sync.plan import Plan
    from matomo_fn.sync.result import RunResult

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
YESTERDAY = TODAY - timedelta(days=1)
CREATED = TODAY - timedelta(days=30)
SPOOL_BYTES = 64 * 1024 * 1024
# One report that takes ranges, one that does not, one of several calls, and the one that judges empty days.
SOME_TABLES = ("visits_summary", "visitor_country", "acquisition_referrer", "referrers")


def small_world(sites: int = 2, *, now: datetime = NOW, seed: int = 0) -> World:
    """Sites with few visits a day, the second one ahead of UTC."""
    zones = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")
    return World(
        tuple(
            Site(
                number,
                f"Site {number}",
                timezone=zones[(number - 1) % len(zones)],
                created=CREATED,
                visits_per_day=4,
                pages=5,
            )
            for number in range(1, sites + 1)
        ),
        now=now,
        seed=seed,
    )


def days(first: date, last: date) -> list[date]:
    """Every day from the first to the last."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


def ago(count: int) -> date:
    """The day so many days before today."""
    return TODAY - timedelta(days=count)


class Local:
    """One connector; every ``sync`` is a run of its own with parts of its own, as in an instance of a function."""

    def __init__(self, matomo: FakeMatomo, path: Path, **config: Any) -> None:
        """Know where Matomo and the file are.

        Args:
            matomo: the sample, which serves.
            path: the DuckDB file; need not be there.
            config: over the configuration's defaults, which are small here.
        """
        name = config.pop("name", "shop")
        values: dict[str, Any] = {
            "matomo_url": matomo.url,
            "sites": "all",
            "reports": list(SOME_TABLES),
            "reference_tables": False,  # what tests count are the calls and statements of reports
            "quality_checks": False,
            "backfill_days": 6,
            "concurrency": 8,
            "requests_per_minute": 60_000,
        }
        self.matomo = matomo
        self.connector = read_connector(name, json.dumps(values | config))
        self.warehouse = DuckDBWarehouse(path, self.connector.dataset_name)
        self.watched = Watched(self.warehouse)
        self.clock: Callable[[], float] = time.monotonic
        self._path = path
        self._runs = itertools.count(1)
        self._ticks = itertools.count(1)

    def now(self) -> datetime:
        """The time in Matomo's world, a little later at each look."""
        return self.matomo.now() + timedelta(milliseconds=next(self._ticks))

    def sync(
        self,
        *,
        before: Callable[[str, str], None] | None = None,
        calls: int | None = None,
        buffer_bytes: int = SPOOL_BYTES,
        request_id: str = "",
        fan_out: FanOut | None = None,
        **request: Any,
    ) -> RunResult:
        """Run a request.

        Args:
            before: is told each call of the warehouse, and may raise.
            calls: the time budget is used up after so many calls of Matomo.
            buffer_bytes: when the buffer is full.
            request_id: of a request that is delivered again; a part brings its own.
            fan_out: how what is too much is handed on.
            request: its fields, days as dates.
        """
        values = {name: str(value) if isinstance(value, date) else value for name, value in request.items()}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        name = f"run{next(self._runs):04}"
        self.watched = warehouse = Watched(DuckDBWarehouse(self._path, self.connector.dataset_name), before)
        client, deadline = self.client(calls)
        session = Session(self.connector, client, warehouse, deadline, buffer_bytes, self.now, self.clock, fan_out)
        try:
            read = read_request({"connector": self.connector.name, **values})
            run = Run(name, read.part.request_id if read.part else request_id or name, self.now())
            return sync(session, read, run)
        finally:
            warehouse.close()

    def take_over(self) -> None:
        """Stand behind the one run that wrote the file, of the same configuration, as if this Matomo had been its own.

        Where many tests begin behind the same run: it takes ten times as long as a copy of the file.
        """
        for log in (SYNC_LOG, SYNC_RUNS):
            name = sql.table_name(self.warehouse.dataset, log.name)
            moved = f"update {name} t set matomo_url = {sql.literal(self.matomo.url)} where true"
            self.warehouse.run(moved, "move")
        next(self._runs)
        self.matomo.advance(timedelta(minutes=1))

    def plan(self, **request: Any) -> Plan:
        """Return what a run of a request would do."""
        client, deadline = self.client(None)
        warehouse = DuckDBWarehouse(self._path, self.connector.dataset_name)
        session = Session(self.connector, client, warehouse, deadline, SPOOL_BYTES, self.now, self.clock)
        try:
            return plan_sync(session, read_request({"connector": self.connector.name, **request}))
        finally:
            warehouse.close()

    def contents(self, tables: Iterable[str] | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """The rows of the tables."""
        return contents(self.warehouse, tables or self.connector.tables, self.connector.catalogue)

    def duplicates(self) -> list[Mapping[str, Any]]:
        """The keys that stand in a table more than once."""
        return duplicates(self.warehouse, self.connector.tables, self.connector.catalogue)

    def states(self) -> dict[tuple[str, str, date], Mapping[str, Any]]:
        """The newest row of the log for each (table, site, day)."""
        return states(self.warehouse)

    def staging(self) -> list[str]:
        """The staging tables that were left."""
        with duckdb.connect(self._path) as connection:
            rows = connection.execute("select table_name from information_schema.tables").fetchall()
        return [name for (name,) in rows if name.startswith("_staging_")]

    def asked(self) -> set[tuple[str, int, date]]:
        """What was asked of Matomo since ``matomo.forget_calls()``: (method, site, day) of the reports."""
        return asked(self.matomo)

    def transport(self, deadline: Deadline) -> Transport:
        """Make what a run reaches Matomo by."""
        return HttpTransport(self.connector.matomo_url, Token(TOKEN), timeout=30, deadline=deadline)

    def close(self) -> None:
        """Close the file."""
        self.warehouse.close()

    def client(self, calls: int | None = None) -> tuple[MatomoClient, Deadline]:
        """Return a client of Matomo whose time is up after so many calls, and that time."""
        deadline = Deadline()
        if calls is not None:
            # Time is kept for writing, so the asking ends at 340 of 400 seconds; what is asked then comes to its end.
            step, already = 340 / calls, self.matomo.http_requests
            deadline = Deadline(400, clock=lambda: min(360, step * (self.matomo.http_requests - already)))
        transport = self.transport(deadline)
        rate_limit = RateLimit(self.connector.requests_per_minute)
        return MatomoClient(transport, rate_limit, deadline, sleep=lambda _: None), deadline


AnyLocal = TypeVar("AnyLocal", bound=Local)


@contextmanager
def local(matomo: FakeMatomo, path: Path, **config: Any) -> Iterator[Local]:
    """Open a connector until the block ends."""
    opened = Local(matomo, path, **config)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def copied(synced: Path, kind: type[AnyLocal], matomo: FakeMatomo, path: Path, **config: Any) -> Iterator[AnyLocal]:
    """Open a connector of the class ``kind`` behind the one run that wrote the file ``synced``, with a copy of it."""
    shutil.copyfile(synced, path)
    opened = kind(matomo, path, **config)
    try:
        opened.take_over()
        yield opened
    finally:
        opened.close()


def asked(matomo: FakeMatomo) -> set[tuple[str, int, date]]:
    """The reports that were asked: (method, site, day)."""
    found = set()
    for call in matomo.calls:
        if "period" in call.params and call.method != "Live.getLastVisitsDetails":
            first, _, last = call.params["date"].partition(",")
            for day in days(date.fromisoformat(first), date.fromisoformat(last or first)):
                found.add((call.method, int(call.params["idSite"]), day))
    return found


def days_asked(matomo: FakeMatomo, method: str, site: int = 1) -> list[date]:
    """The days of one report that were asked, in order."""
    return sorted(day for name, number, day in asked(matomo) if (name, number) == (method, site))


def of_sites(rows: Mapping[str, Sequence[tuple[Any, ...]]], *sites: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of some sites; the second column says which."""
    return {table: [row for row in found if row[1] in sites] for table, found in rows.items()}
