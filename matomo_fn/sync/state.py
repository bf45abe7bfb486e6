"""What is known of each slice: read from ``_sync_log`` before a run, appended to it afterwards."""

import gzip
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from matomo_fn.catalogue import SYNC_LOG, SYNC_STATE, SYNC_STATE_DESCRIPTION, Table
from matomo_fn.config.connector import Connector
from matomo_fn.errors import InputError
from matomo_fn.slices import Slice, days_between
from matomo_fn.sync.plan import Window
from matomo_fn.values import utf8
from matomo_fn.warehouse import sql
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.tables import append_rows, ensure_table, ensure_view


class Status(StrEnum):
    """What became of a slice in a run."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    FAILED = "failed"

    @property
    def is_good(self) -> bool:
        """Whether the table has what Matomo answered."""
        return self in (Status.WRITTEN, Status.UNCHANGED)


@dataclass(frozen=True, slots=True)
class KnownSlice:
    """What the log's newest row says of a slice; ``is_intact``: the table still has the very rows it speaks of."""

    status: Status
    row_count: int
    content_hash: str | None
    written_run_id: str | None
    request_id: str
    is_intact: bool


UNKNOWN = KnownSlice(Status.FAILED, 0, None, None, "", is_intact=False)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row to append to the log; ``row_count`` and ``content_hash`` tell of the table, not of the answer."""

    slice: Slice
    status: Status
    row_count: int
    content_hash: str | None
    has_others: bool
    is_final: bool
    written_run_id: str | None
    error: str | None = None
    visits_difference: int | None = None


@dataclass(frozen=True, slots=True)
class Due:
    """The days to ask by (table, site id), and what is known of the slices among them.

    ``open``: no good answer of these is in the table. ``recheck``: known, but asked again all the same.
    """

    open: Mapping[tuple[str, str], list[date]] = field(default_factory=dict)
    recheck: Mapping[tuple[str, str], list[date]] = field(default_factory=dict)
    known: Mapping[Slice, KnownSlice] = field(default_factory=dict)

    @property
    def slices(self) -> int:
        """How many slices there are to ask."""
        return sum(len(days) for part in (self.open, self.recheck) for days in part.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One execution; ``request_id`` stays the same where the same request is delivered again."""

    id: str
    request_id: str
    started_at: datetime


class SyncState:
    """The log of one connector in one warehouse."""

    def __init__(self, warehouse: Warehouse, connector: Connector) -> None:
        self._warehouse = warehouse
        self._connector = connector

    def exists(self) -> bool:
        """Return whether there is a log, without making one."""
        return self._warehouse.find_table(SYNC_LOG.name) is not None

    def prepare(self) -> bool:
        """Make log and view ready; return whether the log had to be created."""
        created = ensure_table(self._warehouse, SYNC_LOG, "day")
        query = sql.state_view(self._warehouse.dataset)
        ensure_view(self._warehouse, SYNC_STATE, SYNC_LOG.column_names, query, SYNC_STATE_DESCRIPTION)
        return created

    def void(self, table: str, *, run_id: str, at: datetime) -> None:
        """Mark every slice of a table as pending: the table is gone and will be made anew."""
        statement = sql.invalidate_slices(
            self._warehouse.dataset,
            table,
            run_id=run_id,
            at=at,
            reason="the table was gone and has been created anew",
        )
        self._warehouse.run(statement, f"void_{table}_{run_id}")

    def refuse_foreign(self, tables: Sequence[Table], windows: Sequence[Window]) -> None:
        """Raise InputError where another connector fills the same sites' tables from another Matomo."""
        rows = self._warehouse.query(
            sql.foreign_slices(
                self._warehouse.dataset,
                self._connector.name,
                self._connector.matomo_url,
                [table.name for table in tables],
                min(window.recheck_from for window in windows),
                max(window.last for window in windows),
            )
        )
        ours = {window.site.id for window in windows}
        for row in rows:
            if row["website_id"] in ours:
                raise InputError(
                    f"connector {row['connector']!r} fills site {row['website_id']} of dataset "
                    f"{self._warehouse.dataset} from {row['matomo_url']}: give connector "
                    f"{self._connector.name!r} a dataset of its own, since tables tell sites by number alone"
                )

    def due(
        self,
        tables: Sequence[Table],
        windows: Sequence[Window],
        *,
        incremental: bool,
        request_id: str,
        open_day_of: Collection[str] = (),
    ) -> Due:
        """Return what there is to ask.

        ``incremental``: of the windows only what is not settled and the days to recheck, and open slices of any
        age before them; otherwise every day of the windows. Slices that an earlier run of the same request handled
        well (it was cut off and is delivered again) are left out. ``open_day_of``: tables that are also asked for
        the sites' present day.
        """
        names = [table.name for table in tables]
        dataset, connector = self._warehouse.dataset, self._connector.name
        first = min(window.first for window in windows)
        last = max((window.open_day if open_day_of else None) or window.last for window in windows)
        recheck_from = min(window.recheck_from for window in windows)
        settled: dict[tuple[str, str], set[date]] = {}
        older: list[date] = []
        if incremental:
            older = [row["date"] for row in self._warehouse.query(sql.older_open_days(dataset, connector, first))]
            for row in self._warehouse.query(sql.settled_runs(dataset, connector, first, last)):
                days = settled.setdefault((row["table_name"], row["website_id"]), set())
                days.update(days_between(row["first_day"], row["last_day"]))
        rows = self._warehouse.query(sql.known_slices(dataset, connector, tables, first, last, recheck_from, older))
        known = {_slice(row): _known(row) for row in rows}
        return _due(names, windows, settled, known, request_id, open_day_of)

    def append(self, run: Run, entries: Iterable[LogEntry], folder: Path, *, batch: int, logged_at: datetime) -> None:
        """Append a row for each entry; ``folder`` takes the file that is loaded."""
        path = folder / f"log_{batch}.json.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            for entry in entries:
                file.write(utf8(self._line(run, entry, logged_at)))
        append_rows(self._warehouse, SYNC_LOG, [path], run_id=run.id, batch=batch)
        path.unlink()

    def _line(self, run: Run, entry: LogEntry, logged_at: datetime) -> str:
        row = {
            "date": str(entry.slice.date),
            "connector": self._connector.name,
            "matomo_url": self._connector.matomo_url,
            "table_name": entry.slice.table,
            "website_id": entry.slice.website_id,
            "segment": entry.slice.segment,
            "status": entry.status,
            "row_count": entry.row_count,
            "content_hash": entry.content_hash,
            "has_others": entry.has_others,
            "is_final": entry.is_final,
            "written_run_id": entry.written_run_id,
            "visits_difference": entry.visits_difference,
            "run_id": run.id,
            "request_id": run.request_id,
            "started_at": run.started_at.isoformat(),
            "logged_at": logged_at.isoformat(),
            "error": entry.error,
        }
        return json.dumps(row, ensure_ascii=False) + "\n"


def all_open(tables: Sequence[Table], windows: Sequence[Window], open_day_of: Collection[str] = ()) -> Due:
    """Return what there is to ask where nothing is known yet: every day of every window."""
    names = [table.name for table in tables]
    return _due(names, windows, {}, {}, "", open_day_of)


def _due(
    tables: Sequence[str],
    windows: Sequence[Window],
    settled: Mapping[tuple[str, str], set[date]],
    known: Mapping[Slice, KnownSlice],
    request_id: str,
    open_day_of: Collection[str],
) -> Due:
    """Sort the days of the windows into those that are open and those that are rechecked."""
    to_open: dict[tuple[str, str], list[date]] = {}
    to_recheck: dict[tuple[str, str], list[date]] = {}
    older: dict[tuple[str, str], list[date]] = {}
    for slice_, state in known.items():
        if not state.status.is_good:
            older.setdefault((slice_.table, slice_.website_id), []).append(slice_.date)
    for window in windows:
        for table in tables:
            target = (table, window.site.id)
            days = set(window.days) - {day for day in settled.get(target, ()) if day < window.recheck_from}
            if window.open_day and table in open_day_of:
                days.add(window.open_day)
            days.update(day for day in older.get(target, ()) if window.site.created <= day < window.first)
            for day in sorted(days):
                state = known.get(Slice(table, window.site.id, "", day), UNKNOWN)
                if not state.status.is_good:
                    to_open.setdefault(target, []).append(day)
                elif state.request_id != request_id:
                    to_recheck.setdefault(target, []).append(day)
    return Due(to_open, to_recheck, known)


def _slice(row: Mapping[str, Any]) -> Slice:
    return Slice(row["table_name"], row["website_id"], row["segment"], row["date"])


def _known(row: Mapping[str, Any]) -> KnownSlice:
    return KnownSlice(
        Status(row["status"]),
        row["row_count"],
        row["content_hash"],
        row["written_run_id"],
        row["request_id"],
        row["is_intact"],
    )
