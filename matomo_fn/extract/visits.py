"""Extracting visits: each day of the visits log into a buffer on disk, so that memory does not grow with the day."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime

from matomo_fn.catalogue import Table
from matomo_fn.days import Days
from matomo_fn.errors import DiskFull, InvalidResponse, MatomoError, MatomoFatal
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.visit_rows import VisitParser, VisitRow
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.matomo.visits_log import METHOD, VisitsLogOff, read_visits
from matomo_fn.sites import Site
from matomo_fn.slices import Slice
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.values import shown, utf8
from matomo_fn.warehouse.buffer import Buffer, BufferedSlice

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
    """Yield each day of a job, the newest first; end early where the context says so."""
    (table,) = job.tables  # no other table is filled from the visits log, so none shares its calls
    reader = _reader(context, job.site)
    days = sorted(job.days, reverse=True)
    closed = Days.of(day for day in days if job.site.today(context.now) > day)
    check = context.checks.of(job.site)
    counts: Mapping[date, int | None] = check.known_visits(closed)
    counted = False
    if context.reads_visits:
        counts, counted = check.visits(closed), True
        slices = {day: table.stream(job.site.id).slice(day) for day in closed}
        standing = {day for day, slice_ in slices.items() if not context.reads_visits(slice_, counts[day])}
        yield from (Extracted(slices[day], None, stands=True) for day in sorted(standing))
        days = [day for day in days if day not in standing]
    for position, day in enumerate(days):
        if not context.may_continue():
            return
        slice_ = table.stream(job.site.id).slice(day)
        started = time.monotonic()
        try:
            read = _read_or_fail(reader, slice_, context.now, counts.get(day))
        except VisitsLogOff as error:
            yield from _skipped(job, table, days[position:], error)
            return
        if isinstance(read, Extracted):
            yield read
            continue
        if read is None:
            return
        stopped = None
        if not counted:  # once a job, as soon as the log is known to be readable
            try:
                counts, counted = check.visits(closed), True
            except MatomoFatal as error:  # the day is whole all the same
                stopped = error
        yield Extracted(
            slice_,
            read,
            seconds=time.monotonic() - started,
            visits_difference=difference(read.row_count, counts.get(day)),
            unreadable=dict(reader.unreadable),
        )
        if stopped:
            raise stopped


def _read_or_fail(
    reader: "VisitsOfDay", slice_: Slice, now: datetime, expected: int | None
) -> BufferedSlice | Extracted | None:
    """Return a day's visits, None where the reading was stopped, or the failed slice; raise what ends the job."""
    try:
        return reader.read(slice_, now, expected=expected)
    except (VisitsLogOff, MatomoFatal):
        raise
    except (MatomoError, DiskFull) as error:
        return Extracted.failed(slice_, str(error))
    except Exception as error:  # noqa: BLE001 - it costs this day, and the job goes on
        reason = note_unforeseen(error, site=slice_.website_id, table=slice_.table, day=str(slice_.date))
        return Extracted.failed(slice_, reason)


def difference(read: int, counted: int | None) -> int | None:
    """Return how many visits a day has in the log more than VisitsSummary.get counts.

    None where that cannot be judged: the summary could not be had, or it counts nothing although there are visits,
    so that Matomo has not processed the day yet.
    """
    if counted is None or (counted == 0 and read > 0):
        return None
    return read - counted


def _skipped(job: Job, table: Table, days: list[date], error: VisitsLogOff) -> Iterator[Extracted]:
    reason = f"{table.name} of site {job.site.id} are not synced: {error}"
    for day in days:
        yield Extracted(table.stream(job.site.id).slice(day), None, skipped=reason)


def _reader(context: ExtractContext, site: Site) -> "VisitsOfDay":
    parser = VisitParser(site.timezone, context.exclude)
    return VisitsOfDay(context.client, site, parser, context.buffers, context.may_continue)


class VisitsOfDay:
    """Reads days of the visits log of one site; ``may_continue`` is called between visits and stops it by False.

    ``unreadable``: how many values of the last day read are stored as if they were absent, by Matomo's field.
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
        self.unreadable: Counter[str] = Counter()

    def read(self, slice_: Slice, now: datetime, *, expected: int | None = None) -> BufferedSlice | None:
        """Return a day's visits, each once; None where the reading was stopped.

        Of a day that is not over, the visits that are. ``expected``: how many visits the summary counts; where the
        log has as many, the call that confirms its end is not needed. Raises InvalidResponse where visits move
        while the day is read.
        """
        day = slice_.date
        is_over = self._site.today(now) > day
        until = None if is_over else int(now.timestamp()) - _VISIT_IS_OVER
        for _ in range(_READINGS):
            self._buffers.wait_for_room(self._may_continue)
            buffer = self._buffers.create(slice_.table, has_segment=False)
            try:
                content_hash = self._fill(buffer, slice_, until, expected)
            except _MovedError:
                buffer.discard()
                continue
            except BaseException:
                buffer.discard()
                raise
            finally:
                self._buffers.finish(buffer)
            if content_hash is None:
                buffer.discard()
                return None
            buffer.close()
            return BufferedSlice(buffer, content_hash)
        raise InvalidResponse(
            f"visits of {day} gained actions in each of {_READINGS} readings: the next run tries again"
        )

    def _fill(self, buffer: Buffer, slice_: Slice, until: int | None, expected: int | None) -> str | None:
        """Write a day's visits to a buffer and return their hash, or None where the reading was stopped.

        The hash is the sum of the visits' own, so that it needs neither an order nor all of them at once.
        """
        seen = _IdSet()
        total = 0
        self.unreadable = Counter()
        for visit in read_visits(self._client, self._site.id, slice_.date, expected=expected):
            row = self._parser.parse(visit)
            self._check_place(visit, row, slice_.date)
            if until is not None and row.last_action > until:
                break
            if not seen.add(row.visit_id):
                raise _MovedError
            buffer.add(slice_, (row.line,))
            if buffer.rows % _LOOK_AT_ROOM == 0:
                self._buffers.wait_for_room(self._may_continue, buffer)
            self.unreadable.update(row.unreadable)
            total += int.from_bytes(hashlib.sha256(utf8(row.stable)).digest())
            if not self._may_continue():
                return None
        return f"{total % 2**_HASH_BITS:064x}"

    def _check_place(self, visit: object, row: VisitRow, day: date) -> None:
        """Raise InvalidResponse for a visit of another site, or whose last action was on another day."""
        site = visit.get("idSite") if isinstance(visit, Mapping) else None
        if site is not None and str(site) != self._site.id:
            raise InvalidResponse(f"{METHOD} answers a visit of site {shown(site)} when asked for {self._site.id}")
        try:
            found = datetime.fromtimestamp(row.last_action, self._site.timezone).date()
        except (ValueError, OverflowError, OSError):
            raise InvalidResponse(f"{METHOD} answers visit {row.visit_id} at a time that no calendar has") from None
        if found != day:
            raise InvalidResponse(f"{METHOD} answers visit {row.visit_id} of {found} when asked for {day}")


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
