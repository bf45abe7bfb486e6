"""Extracting visits: each day of the visits log into a buffer on disk, so that memory does not grow with the day."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from types import TracebackType
from typing import Self

import structlog

from matomo_fn.catalogue import Table
from matomo_fn.days import ONE_DAY, Days
from matomo_fn.errors import DiskFull, InvalidResponse, MatomoError, MatomoFatal
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visit_rows import VisitParser, VisitRow
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.visits_log import METHOD, PageSize, VisitsLogOff, read_visits
from matomo_fn.sites import Site
from matomo_fn.slices import Slice
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.values import shown, utf8
from matomo_fn.warehouse.buffer import Buffer, BufferedSlice

log = structlog.get_logger()

# Seconds after its last action at which a visit of the present day is read: Matomo ends a visit after 30 minutes
# without an action, so by then it is over.
_VISIT_IS_OVER = 3600
# Readings of a day whose visits keep gaining actions, before it fails until the next run.
_READINGS = 3
# Visits between two looks at how much waits to be written.
_LOOK_AT_ROOM = 1_000
_HASH_BITS = 256
_BITS = 1024  # of one part of the set of visits seen


def extract_visits(context: ExtractContext, job: Job) -> Iterator[Extracted]:
    """Yield each day of a job, the newest first; end early where the context says so.

    Days whose visits fit on one page are read together, as far as it is known how many they have.
    """
    (table,) = job.tables  # no other table is filled from the visits log, so none shares its calls
    reader = _reader(context, job.site)
    stream = table.stream(job.site.id)
    remaining = sorted(job.days)
    closed = Days.of(day for day in remaining if job.site.today(context.now) > day)
    check = context.checks.of(job.site)
    counts: Mapping[date, int | None] = check.known_visits(closed)
    counted = False
    if context.reads_visits:
        counts, counted = check.visits(closed), True
        slices = {day: stream.slice(day) for day in closed}
        standing = {day for day, slice_ in slices.items() if not context.reads_visits(slice_, counts[day])}
        yield from (Extracted(slices[day], None, stands=True) for day in sorted(standing))
        remaining = [day for day in remaining if day not in standing]
    while remaining and context.may_continue():
        days = _together(remaining, counts, reader.pages.most)
        del remaining[len(remaining) - len(days) :]
        started = time.monotonic()
        try:
            found = list(_read_or_fail(reader, [stream.slice(day) for day in days], context.now, counts))
        except VisitsLogOff as error:
            yield from _skipped(job, table, [*reversed(days), *reversed(remaining)], error)
            return
        stopped = None
        # Once a job, as soon as the log is known to be readable.
        if not counted and any(read.content for read in found):
            try:
                counts, counted = check.visits(closed), True
            except MatomoFatal as error:  # the days are whole all the same
                stopped = error
        seconds = (time.monotonic() - started) / max(1, len(found))
        for read in found:
            yield _extracted(read, counts, seconds)
        if stopped:
            raise stopped
        if len(found) < len(days):
            return


def _together(days: Sequence[date], counts: Mapping[date, int | None], most: int) -> list[date]:
    """Return the last of some days, and those before it, without a gap, whose visits fit on a page with its own."""
    together = [days[-1]]
    total = counts.get(days[-1])
    for day in reversed(days[:-1]):
        count = counts.get(day)
        if total is None or count is None or total + count >= most or day != together[0] - ONE_DAY:
            break
        together.insert(0, day)
        total += count
    return together


def _extracted(read: "DayRead", counts: Mapping[date, int | None], seconds: float) -> Extracted:
    if read.content is None:
        return Extracted.failed(read.slice, read.error)
    return Extracted(
        read.slice,
        read.content,
        seconds=seconds,
        visits_difference=difference(read.content.row_count, counts.get(read.slice.date)),
        unreadable=read.unreadable,
    )


def _read_or_fail(
    reader: "VisitsOfDays", slices: Sequence[Slice], now: datetime, counts: Mapping[date, int | None]
) -> Iterator["DayRead"]:
    """Yield the days that were read, the newest first, fewer where the reading was stopped; raise what ends the job.

    Days that cannot be read together are read one by one, so that each costs itself alone.
    """
    try:
        yield from reversed(reader.read(slices, now, counts) or ())
    except (VisitsLogOff, MatomoFatal):
        raise
    except (MatomoError, DiskFull) as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 - it costs this day, and the job goes on
        first = slices[0]
        reason = note_unforeseen(error, site=first.website_id, table=first.table, day=str(first.date))
    else:
        return
    if len(slices) == 1:
        yield DayRead(slices[0], None, error=reason)
        return
    log.info("visits_split_into_days", site=slices[0].website_id, days=len(slices), error=reason)
    for slice_ in reversed(slices):
        yield from _read_or_fail(reader, [slice_], now, counts)


def difference(read: int, counted: int | None) -> int | None:
    """Return how many visits a day has in the log more than VisitsSummary.get counts.

    None where that cannot be judged: the summary could not be had, or it counts nothing although there are visits,
    so that Matomo has not processed the day yet.
    """
    if counted is None or (counted == 0 and read > 0):
        return None
    return read - counted


def _skipped(job: Job, table: Table, days: Sequence[date], error: VisitsLogOff) -> Iterator[Extracted]:
    reason = f"{table.name} of site {job.site.id} are not synced: {error}"
    for day in days:
        yield Extracted(table.stream(job.site.id).slice(day), None, skipped=reason)


def _reader(context: ExtractContext, site: Site) -> "VisitsOfDays":
    parser = VisitParser(site.timezone, context.exclude)
    return VisitsOfDays(context.client, site, parser, context.buffers, context.may_continue)


@dataclass(frozen=True, slots=True)
class DayRead:
    """A day of the visits log: its visits, or the sentence that says why they could not be read.

    ``unreadable``: how many values are stored as if they were absent, by Matomo's field.
    """

    slice: Slice
    content: BufferedSlice | None
    unreadable: Mapping[str, int] = field(default_factory=dict)
    error: str = ""


class VisitsOfDays:
    """Reads days of the visits log of one site; ``may_continue`` is called between visits and stops it by False.

    ``pages``: what is known of the site's visits.
    """

    def __init__(
        self,
        client: MatomoClient,
        site: Site,
        parser: VisitParser,
        buffers: OwnBuffers,
        may_continue: Callable[[], bool],
    ) -> None:
        self._client = client
        self._site = site
        self._parser = parser
        self._buffers = buffers
        self._may_continue = may_continue
        self.pages = PageSize()

    def read(
        self, slices: Sequence[Slice], now: datetime, counts: Mapping[date, int | None] | None = None
    ) -> list[DayRead] | None:
        """Return the visits of some days that follow one another, each once; None where the reading was stopped.

        Of a day that is not over, the visits that are; it is read alone. ``counts``: how many visits the summary
        counts; where the log has as many of each day, the call that confirms its end is not needed. Raises
        InvalidResponse where visits move while the days are read.
        """
        is_over = self._site.today(now) > slices[-1].date
        until = None if is_over else int(now.timestamp()) - _VISIT_IS_OVER
        for _ in range(_READINGS):
            self._buffers.wait_for_room(self._may_continue)
            with _Reading(self._buffers, slices, counts or {}) as reading:
                try:
                    if not self._fill(reading, until):
                        return None
                except _MovedError:
                    continue
                return reading.keep()
        days = f"{slices[0].date} to {slices[-1].date}" if len(slices) > 1 else str(slices[0].date)
        raise InvalidResponse(
            f"visits of {days} gained actions in each of {_READINGS} readings: the next run tries again"
        )

    def _fill(self, reading: "_Reading", until: int | None) -> bool:
        """Write the visits of days to their buffers, and return False where the reading was stopped."""
        visits = read_visits(
            self._client,
            self._site.id,
            (reading.first, reading.last),
            expected=reading.expected,
            pages=self.pages,
            is_whole=reading.is_whole,
        )
        for rows, visit in enumerate(visits, 1):
            row = self._parser.parse(visit)
            day = self._day_of(visit, row, reading)
            if until is not None and row.last_action > until:
                break
            buffer = reading.add(day, row)
            if rows % _LOOK_AT_ROOM == 0:
                self._buffers.wait_for_room(self._may_continue, buffer)
            if not self._may_continue():
                return False
        return True

    def _day_of(self, visit: object, row: VisitRow, reading: "_Reading") -> date:
        """Return the day of a visit; raise InvalidResponse for one of another site or other days."""
        site = visit.get("idSite") if isinstance(visit, Mapping) else None
        if site is not None and str(site) != self._site.id:
            raise InvalidResponse(f"{METHOD} answers a visit of site {shown(site)} when asked for {self._site.id}")
        try:
            found = datetime.fromtimestamp(row.last_action, self._site.timezone).date()
        except (ValueError, OverflowError, OSError):
            raise InvalidResponse(f"{METHOD} answers visit {row.visit_id} at a time that no calendar has") from None
        if not reading.first <= found <= reading.last:
            days = f"{reading.first} to {reading.last}" if reading.first < reading.last else str(reading.first)
            raise InvalidResponse(f"{METHOD} answers visit {row.visit_id} of {found} when asked for {days}")
        return found


class _Reading:
    """One reading of days: a buffer for each, one after another, since visits come by the time of their last action.

    A block that ends before `keep` leaves no file.
    """

    def __init__(self, buffers: OwnBuffers, slices: Sequence[Slice], counts: Mapping[date, int | None]) -> None:
        self._buffers = buffers
        self._slices = slices
        self._counts = counts
        self._days: dict[date, _Day] = {}
        self._seen = _IdSet()
        self._kept = False
        self.first, self.last = slices[0].date, slices[-1].date

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for day in self._days.values():
            self._finish(day)
            if not self._kept:
                day.buffer.discard()

    @property
    def expected(self) -> int | None:
        """How many visits the summary counts on all days; None where it is not known of each."""
        counts = [count for slice_ in self._slices if (count := self._counts.get(slice_.date)) is not None]
        return sum(counts) if len(counts) == len(self._slices) else None

    def is_whole(self) -> bool:
        """Return whether each day has as many visits as the summary counts."""
        return all(
            self._counts.get(slice_.date) == (day.buffer.rows if (day := self._days.get(slice_.date)) else 0)
            for slice_ in self._slices
        )

    def add(self, date_: date, row: VisitRow) -> Buffer:
        """Write a visit to its day's buffer, and return that."""
        if not self._seen.add(row.visit_id):
            raise _MovedError
        day = self._of(date_)
        day.buffer.add(day.slice, (row.line,))
        day.unreadable.update(row.unreadable)
        day.total += int.from_bytes(hashlib.sha256(utf8(row.stable)).digest())
        return day.buffer

    def keep(self) -> list[DayRead]:
        """Return the days, all of them with a buffer that is closed; from then on they are the caller's."""
        found = []
        for slice_ in self._slices:
            day = self._of(slice_.date)
            self._finish(day)
            day.buffer.close()
            # The sum of the visits' own, so that it needs neither an order nor all of them at once.
            content_hash = f"{day.total % 2**_HASH_BITS:064x}"
            found.append(DayRead(slice_, BufferedSlice(day.buffer, content_hash), dict(day.unreadable)))
        self._kept = True
        return found

    def _of(self, date_: date) -> "_Day":
        if date_ not in self._days:
            for day in self._days.values():
                self._finish(day)
            slice_ = next(slice_ for slice_ in self._slices if slice_.date == date_)
            self._days[date_] = _Day(slice_, self._buffers.create(slice_.table, has_segment=False))
        return self._days[date_]

    def _finish(self, day: "_Day") -> None:
        if not day.is_finished:
            day.is_finished = True
            self._buffers.finish(day.buffer)


@dataclass(slots=True)
class _Day:
    """The visits of a day so far."""

    slice: Slice
    buffer: Buffer
    unreadable: Counter[str] = field(default_factory=Counter)
    total: int = 0
    is_finished: bool = False


class _MovedError(Exception):
    """A visit came twice: it gained an action while the day was read."""


class _IdSet:
    """A set of visit ids, which lie close together: a bit each, where a set of integers would take 60 bytes."""

    def __init__(self) -> None:
        self._parts: dict[int, int] = {}

    def add(self, number: int) -> bool:
        """Add an id and return whether it was new."""
        part, bit = divmod(number, _BITS)
        bits = self._parts.get(part, 0)
        self._parts[part] = bits | 1 << bit
        return not bits >> bit & 1
