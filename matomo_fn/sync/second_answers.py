"""Matomo's second answer for some slices, compared with the rows of the tables."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from matomo_fn.days import Days
from matomo_fn.extract.extracted import ExtractContext, Extracted, KeptRows
from matomo_fn.extract.extractor import extract
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.extract.reports import make_schedule
from matomo_fn.extract.worker_pool import WorkerPool
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.compare_rows import Content, RowComparison, compare_rows
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice
from matomo_fn.sync.plan import Due, Reason, phases_of
from matomo_fn.sync.purged import kept_rows
from matomo_fn.sync.quality import Refetched, Second
from matomo_fn.sync.scope import Scope
from matomo_fn.sync.session import Session
from matomo_fn.temporary_folders import temporary_folder
from matomo_fn.warehouse.buffer import BufferedSlice
from matomo_fn.warehouse.schemas import column_types

# Slices of one table whose answers wait to be compared by one query.
_TOGETHER = 200


class SecondAnswers:
    """Refetches slices and compares them; nothing of it is written."""

    def __init__(self, session: Session, scope: Scope, known: Mapping[Slice, KnownSlice], now: datetime) -> None:
        self._session = session
        self._scope = scope
        self._known = known
        self._now = now
        self._sites = {window.site.id: window.site for window in scope.windows}
        self._columns: dict[str, OpenColumns] = {}
        self._present: dict[str, set[str]] = {}
        self._waiting: dict[str, dict[Slice, Extracted]] = {}

    def request(self, wanted: Mapping[Stream, Days]) -> Iterator[tuple[Slice, Second]]:
        """Yield what the second answer says about each slice that there was time for; raise what is fatal."""
        session = self._session
        for name in {stream.table for stream in wanted}:
            table = self._scope.tables[name]
            found = session.warehouse.find_table(name) if table.open is not None else None
            if found is not None:
                self._columns[name] = OpenColumns(table, column_types(found))
                self._present[name] = {column.name for column in found.columns}
        phases = phases_of(self._scope, [Due(stream, Reason.REFETCH, days) for stream, days in wanted.items()])
        pool = WorkerPool(session.connector.concurrency, session.deadline)
        with temporary_folder() as folder:
            context = self._context(folder)
            schedule = make_schedule(context, (job for jobs in phases for job in jobs))
            with closing(pool.run(schedule, partial(extract, context))) as slices:
                for extracted in slices:
                    if extracted is not None:
                        yield from self._take(extracted)
            if pool.fatal:
                raise pool.fatal
            for name in list(self._waiting):
                yield from self._compare(name)

    def _context(self, folder: Path) -> ExtractContext:
        context = self._session.extract_context(folder, self._scope.version, self._now)
        return replace(context, columns=self._columns, kept_rows=self._kept_rows)

    def _kept_rows(self, slice_: Slice) -> KeptRows | None:
        return kept_rows(self._known, slice_, self._sites[slice_.website_id].today(self._now))

    def _take(self, extracted: Extracted) -> Iterator[tuple[Slice, Second]]:
        slice_, content = extracted.slice, extracted.content
        known = self._known.get(slice_, UNKNOWN)
        if extracted.skipped:
            yield slice_, Second(Refetched.SKIPPED, None, known.row_count, extracted.skipped)
        elif extracted.is_purged:
            detail = "Matomo has deleted the reports of that time: the table has the only copy"
            yield slice_, Second(Refetched.PURGED, content.row_count if content else 0, known.row_count, detail)
        elif extracted.pending:
            yield slice_, Second(Refetched.PENDING, None, known.row_count, extracted.pending)
        elif content is None:
            yield slice_, Second(Refetched.FAILED, None, known.row_count, extracted.error or "no answer")
        else:
            self._waiting.setdefault(slice_.table, {})[slice_] = extracted
            # The rows of a large slice are on a disk, which is memory: they are not kept waiting.
            if isinstance(content, BufferedSlice) or len(self._waiting[slice_.table]) >= _TOGETHER:
                yield from self._compare(slice_.table)

    def _compare(self, name: str) -> Iterator[tuple[Slice, Second]]:
        waiting = self._waiting.pop(name)
        columns = self._columns.get(name)
        table = columns.table if columns else self._scope.tables[name]
        contents: dict[Slice, Content] = {
            slice_: extracted.content for slice_, extracted in waiting.items() if extracted.content is not None
        }
        try:
            compared = compare_rows(self._session.warehouse, table, contents, self._present.get(name))
        finally:
            for content in contents.values():
                if isinstance(content, BufferedSlice):
                    content.buffer.discard()
        for slice_, comparison in compared.items():
            yield slice_, self._second(waiting[slice_], comparison)

    def _second(self, extracted: Extracted, comparison: RowComparison) -> Second:
        content = extracted.content
        known = self._known.get(extracted.slice, UNKNOWN)
        is_log = self._scope.tables[extracted.slice.table].is_log
        expected, found, detail = comparison.expected, comparison.found, comparison.detail
        is_as_then = content is not None and known.content_hash == content.content_hash
        # Of visits the hash knows more than what can be compared: nested actions. Of reports it knows no more, and
        # another version of the program may have made another one of the same rows.
        if comparison.is_same and (is_as_then or not is_log or isinstance(content, ParsedSlice)):
            return Second(Refetched.SAME, expected, found)
        if is_as_then:
            return Second(Refetched.TABLE, expected, found, detail, comparison.reason)
        if is_log and (extracted.visits_difference or 0) < 0 and expected < found and not comparison.missing:
            detail = "Matomo's visits log has fewer visits than the table, as where old ones are deleted: they are kept"
            return Second(Refetched.PURGED, expected, found, detail)
        return Second(Refetched.CHANGED, expected, found, detail)
