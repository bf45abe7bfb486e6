"""What is known of each slice: read from ``_sync_log`` before a run, appended to it afterwards."""

import gzip
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from matomo_fn.catalogue import SYNC_LOG, SYNC_STATE, SYNC_STATE_DESCRIPTION, Catalogue, Schema
from matomo_fn.config.connector import Connector
from matomo_fn.days import Days, Range
from matomo_fn.errors import InputError, SchemaMismatch
from matomo_fn.redaction import redact
from matomo_fn.segments import Segment
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.outcome import KnownSlice, LogEntry, Run, Status
from matomo_fn.sync.scope import Window
from matomo_fn.values import utf8
from matomo_fn.warehouse import log_sql
from matomo_fn.warehouse.buffer import named_if_full
from matomo_fn.warehouse.partitions import split_days
from matomo_fn.warehouse.protocol import Warehouse
from matomo_fn.warehouse.schemas import missing_columns
from matomo_fn.warehouse.tables import Stamp, append_rows, ensure_table, ensure_view

# Characters of an error that a row keeps.
_LONGEST_ERROR = 2_000
# The view with the newest row of each slice.
_STATE = Schema(SYNC_STATE, SYNC_STATE_DESCRIPTION, SYNC_LOG.columns, partitioned=False)


class Snapshot:
    """What is known of some slices at one moment.

    ``settled``: by stream, the days that need not be refetched by themselves. ``known``: what the log's newest row
    says of each slice that may be extracted.
    """

    def __init__(
        self, settled: Mapping[Stream, Days] | None = None, known: Mapping[Slice, KnownSlice] | None = None
    ) -> None:
        self.settled = settled or {}
        self.known = known or {}
        by_stream: dict[Stream, list[date]] = {}
        for slice_ in self.known:
            by_stream.setdefault(slice_.stream, []).append(slice_.date)
        # Streams of one period share their days: in a daily run they are the same for most of thousands.
        shared: dict[tuple[object, tuple[date, ...]], Days] = {}
        self._known_days: dict[Stream, Days] = {}
        while by_stream:
            stream, dates = by_stream.popitem()
            key = stream.period, tuple(dates)
            if key not in shared:
                shared[key] = stream.period.covered(dates)
            self._known_days[stream] = shared[key]

    def newest_days(self) -> dict[str, date]:
        """Return the newest day of which something is known, by site, also of sites that are in no window."""
        newest: dict[str, date] = {}
        for by_stream in (self.settled, self._known_days):
            for stream, days in by_stream.items():
                if days:
                    last = stream.period.first_day(days.last)
                    newest[stream.website_id] = max(last, newest.get(stream.website_id, last))
        return newest

    def with_changed(self, segments: Collection[str]) -> "Snapshot":
        """Return the same where the slices of some segments are pending, since their definitions have changed."""
        if not segments:
            return self
        settled = {stream: days for stream, days in self.settled.items() if stream.segment not in segments}
        known = {
            slice_: replace(state, status=Status.PENDING) if slice_.segment in segments else state
            for slice_, state in self.known.items()
        }
        unknown = KnownSlice(Status.PENDING, 0, None, None, "", is_intact=False)
        for stream in self.settled.keys() - settled.keys():
            known |= {slice_: unknown for slice_ in stream.slices(self.settled[stream]) if slice_ not in known}
        return Snapshot(settled, known)

    def known_days(self, stream: Stream) -> Days:
        """Return the days of a stream of which something is known, those of whole periods."""
        return self._known_days.get(stream, Days())

    def open_days(self, stream: Stream) -> list[date]:
        """Return the dates of a stream's slices that are pending or failed, in order."""
        dates = stream.period.dates(self.known_days(stream))
        return [day for day in dates if not self.known[stream.slice(day)].status.is_good]


class SyncState:
    """The log of one connector in one warehouse.

    ``segments``: those that the entries may be of.
    """

    def __init__(self, warehouse: Warehouse, connector: Connector, segments: Iterable[Segment] = ()) -> None:
        self._warehouse = warehouse
        self._connector = connector
        self._segment_hashes = {segment.name: segment.hash for segment in segments}

    @property
    def connector(self) -> Connector:
        """Whose log it is."""
        return self._connector

    def exists(self) -> bool:
        """Return whether there is a log, without making one.

        Raises SchemaMismatch where it is that of an older version: it lacks columns, which a sync adds.
        """
        found = self._warehouse.find_table(SYNC_LOG.name)
        if found is None:
            return False
        missing = [column.name for column in missing_columns(SYNC_LOG.columns, found.columns)]
        if missing:
            raise SchemaMismatch(
                f"table {self._warehouse.dataset}.{SYNC_LOG.name} was made by an older version and lacks "
                f"{', '.join(missing)}: run a sync, which adds what is missing"
            )
        return True

    def prepare(self) -> bool:
        """Make log and view ready; return whether the log had to be created."""
        # By month, so that it never has too many partitions; a log of an older version is partitioned by day.
        created = ensure_table(self._warehouse, SYNC_LOG, "month", also=["day"])
        query = log_sql.state_view(self._warehouse.dataset)
        ensure_view(self._warehouse, _STATE, query)
        return created

    def invalidate(self, table: str, *, run_id: str, at: datetime) -> None:
        """Mark every slice of a table as pending: the table is gone and will be created again."""
        dataset, reason = self._warehouse.dataset, "the table was gone and has been created again"
        (logged,) = self._warehouse.query(log_sql.logged_days(dataset, table))
        if logged["first_day"] is None:
            return
        for part in split_days(list(Days.between(logged["first_day"], logged["last_day"]))):
            statement = log_sql.invalidate_slices(dataset, table, part, run_id=run_id, at=at, reason=reason)
            self._warehouse.run(statement, f"invalidate_{table}_{run_id}")

    def changed_segments(self, windows: Sequence[Window]) -> list[str]:
        """Return the names of the segments whose slices, in some windows, were written by another definition."""
        hashes = {name: hashed for name, hashed in self._segment_hashes.items() if hashed is not None}
        if not hashes:
            return []
        first, last = min(window.first for window in windows), max(window.last for window in windows)
        query = log_sql.changed_segments(self._warehouse.dataset, self._connector.name, hashes, (first, last))
        return [row["segment"] for row in self._warehouse.query(query)]

    def invalidate_segment(self, name: str, run: Run) -> None:
        """Mark every slice of a segment as pending that was written by another definition; the rows stay.

        Oldest first: of a run that dies here, the windows of the next one still show what is left.
        """
        dataset, connector = self._warehouse.dataset, self._connector.name
        (logged,) = self._warehouse.query(log_sql.logged_days_of_segment(dataset, connector, name))
        if logged["first_day"] is None:
            return
        change = log_sql.SegmentChange(connector, name, str(self._segment_hashes[name]))
        # A moment before the run: its own entries tell what the tables had when it began, and have to be newer.
        at = run.started_at - timedelta(microseconds=1)
        for number, part in enumerate(split_days(list(Days.between(logged["first_day"], logged["last_day"])))):
            statement = log_sql.invalidate_segment(dataset, change, part, run_id=run.id, at=at)
            self._warehouse.run(statement, f"invalidate_segment_{name}_{number}_{run.id}")

    def refuse_foreign(self, tables: Iterable[str], windows: Sequence[Window]) -> None:
        """Raise InputError where another connector fills the same sites' tables from another Matomo."""
        rows = self._warehouse.query(
            log_sql.foreign_slices(
                self._warehouse.dataset,
                self._connector.name,
                self._connector.matomo_url,
                list(tables),
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

    def refuse_other_definitions(self, windows: Sequence[Window]) -> None:
        """Raise InputError where another connector has since filled a segment of the same site by another definition.

        Both would replace each other's slices. Of two that disagree, the one that logged last may go on: so it does not
        matter which of them is corrected.
        """
        hashes = {name: hashed for name, hashed in self._segment_hashes.items() if hashed is not None}
        if not hashes:
            return
        first, last = min(window.first for window in windows), max(window.last for window in windows)
        query = log_sql.other_definitions(self._warehouse.dataset, self._connector.name, hashes, (first, last))
        ours = {window.site.id for window in windows}
        for row in self._warehouse.query(query):
            if row["website_id"] in ours:
                raise InputError(
                    f"connector {row['connector']!r} fills segment {row['segment']} of site {row['website_id']} in "
                    f"dataset {self._warehouse.dataset} by another definition: give both connectors the same one, or "
                    "call one of the segments otherwise"
                )

    def read(
        self, tables: Catalogue, windows: Sequence[Window], *, incremental: bool, only_sites: bool = False
    ) -> Snapshot:
        """Return what is known of the slices in the windows of some tables, which have to be there.

        ``incremental``: also what is settled, and what is open before the windows, of any age; otherwise every day
        of the windows is due in any case. ``only_sites``: there are windows of some of the sites only.
        """
        dataset, connector = self._warehouse.dataset, self._connector.name
        periods = {table.period for table in tables.values()}
        begin = min(window.first for window in windows)
        first = min(period.first_day(begin) for period in periods)
        last = max(window.open_day or window.last for window in windows)
        recheck_from = min(window.recheck_from for window in windows)
        streams = _Streams(tables)
        settled: dict[Stream, Days] = {}
        open_days = Days()
        if incremental:
            older = self._warehouse.query(log_sql.older_open_days(dataset, connector, first))
            settled, unsettled = streams.settled(
                self._warehouse.rows(log_sql.known_runs(dataset, connector, first, last))
            )
            open_days = Days.of(row["date"] for row in older) | unsettled.before(recheck_from)
        # What is settled is known by its ranges. Only the rest is read with its hashes, from few partitions of the log.
        sites = tuple(window.site.id for window in windows) if only_sites else ()
        span = log_sql.Span(recheck_from, last, open_days, sites)
        rows = self._warehouse.rows(log_sql.known_slices(dataset, connector, list(tables.values()), span))
        return Snapshot(settled, {streams.of(row).slice(row["date"]): _known(row) for row in rows if _has_key(row)})

    def unjudged(self, stream: Stream, days: Days) -> list[LogEntry]:
        """Return the newest entries of some days of visits that are in the table and compared with no summary."""
        query = log_sql.unjudged_slices(self._warehouse.dataset, self._connector.name, stream, days)
        return [
            LogEntry(
                stream.slice(row["date"]),
                Status(row["status"]),
                row["row_count"] or 0,
                row["content_hash"],
                bool(row["has_others"]),
                bool(row["is_final"]),
                row["written_run_id"],
                is_open=bool(row["is_open"]),
            )
            for row in self._warehouse.query(query)
        ]

    def append(self, run: Run, entries: Iterable[LogEntry], folder: Path, stamp: Stamp) -> None:
        """Append a row for each entry; ``folder`` takes the file that is loaded."""
        path = folder / f"log_{stamp.batch}.json.gz"
        days = set()
        with named_if_full(folder), gzip.open(path, "wb", compresslevel=1) as file:
            for entry in entries:
                days.add(entry.slice.date)
                file.write(utf8(self._line(run, entry, entry.seen_at or stamp.at)))
        append_rows(self._warehouse, SYNC_LOG, [path], days, stamp)
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
            "error": entry.error and redact(entry.error)[:_LONGEST_ERROR],
            "period": str(entry.slice.stream.period),
            "segment_hash": self._segment_hashes.get(entry.slice.segment),
            "is_open": entry.is_open,
            "replaced_rows": entry.replaced_rows,
        }
        return json.dumps(row, ensure_ascii=False) + "\n"


class _Streams:
    """The streams of some tables that rows are of; each is made once, since thousands of rows are of the same one."""

    def __init__(self, tables: Catalogue) -> None:
        self._tables = tables
        self._made: dict[tuple[str, str, str], Stream] = {}

    def of(self, row: Mapping[str, Any]) -> Stream:
        """Return the stream of a row."""
        key = row["table_name"], row["website_id"], row["segment"]
        if key not in self._made:
            self._made[key] = self._tables[key[0]].stream(*key[1:])
        return self._made[key]

    def settled(self, rows: Iterable[Mapping[str, Any]]) -> tuple[dict[Stream, Days], Days]:
        """Return the days that are settled, by stream, and those on which some stream is not, of runs of slices."""
        ranges: dict[Stream, tuple[Range, ...]] = {}
        unsettled: set[Range] = set()
        for row in rows:
            if not row["is_settled"]:
                unsettled.add((row["first_day"], row["last_day"]))
            elif row["table_name"] in self._tables and _has_key(row):
                stream = self.of(row)
                range_ = row["first_day"], stream.period.last_day(row["last_day"])
                ranges[stream] = (*ranges.get(stream, ()), range_)
        shared: dict[tuple[Range, ...], Days] = {}
        for found in ranges.values():
            if found not in shared:
                shared[found] = Days.joined(found)
        return {stream: shared[found] for stream, found in ranges.items()}, Days.joined(unsettled)


def _has_key(row: Mapping[str, Any]) -> bool:
    """Return whether a row says of which site and segment it is, as all rows of runs do."""
    return row["website_id"] is not None and row["segment"] is not None


def _known(row: Mapping[str, Any]) -> KnownSlice:
    """Return what a row says; a value that somebody has taken out of it makes the slice one that is refetched."""
    return KnownSlice(
        Status(row["status"]),
        row["row_count"] or 0,
        row["content_hash"],
        row["written_run_id"] and sys.intern(row["written_run_id"]),  # one object for thousands of rows
        sys.intern(row["request_id"] or ""),
        bool(row["is_intact"]),
        bool(row["is_final"]),
        bool(row["has_others"]),
        row["visits_difference"],
        row["error"],
        row["found_keys"],
        bool(row["is_open"]),
    )
