"""The checks that a sync makes of the trailing days by itself: of what it has fetched, and of what the tables have.

Matomo is not asked for anything more. So the checks cannot tell why something differs: `reconcile` can.
"""

from collections.abc import Iterable, Iterator, Mapping

from matomo_fn.catalogue import PREBUILT
from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.segments import EVERY_VISIT
from matomo_fn.slices import Slice, Stream
from matomo_fn.sync.custom_tables import tables_as_found
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Run, Status, is_news
from matomo_fn.sync.quality import Check, DayCounts, Logged, Look, Quality, Totals, judge, resolve
from matomo_fn.sync.quality_result import QualityResult, log_quality
from matomo_fn.sync.quality_table import write_quality
from matomo_fn.sync.reconcile import MOST_SITES, counted_table, read_totals
from matomo_fn.sync.scope import Scope
from matomo_fn.sync.session import Session
from matomo_fn.warehouse.tables import Stamp

# The table whose rows have the actions of a day.
_SUMMARY = PREBUILT["visits_summary"].name


class QualityOfRun:
    """Collects the slices of the trailing days of which a run has news, and checks them at its end.

    So it does with older days that Matomo has changed, as a sweep finds them.

    A quiet run has none, and costs nothing. ``result``: what was found; None where there was nothing to check.
    """

    def __init__(self, session: Session, scope: Scope, run: Run) -> None:
        self._session = session
        self._scope = scope
        self._run = run
        self._segments = {segment.name: segment for segment in (EVERY_VISIT, *scope.segments)}
        self.result: QualityResult | None = None
        self._with_visits: set[str] = set()
        trailing = session.connector.trailing_days
        now = session.now()
        self._sites = {window.site.id: window.site for window in scope.windows}
        self._first = {name: site.today(now).toordinal() - trailing for name, site in self._sites.items()}
        self._today = {name: site.today(now) for name, site in self._sites.items()}
        self._entries: dict[Slice, LogEntry] = {}

    def note(self, entries: Iterable[LogEntry], known: Mapping[Slice, KnownSlice]) -> None:
        """Take note of what became of slices, as it was logged; ``known``: what was known of them before the run."""
        for entry in entries:
            slice_ = entry.slice
            first = self._first.get(slice_.website_id)
            if first is None or not slice_.stream.period.is_day or slice_.date >= self._today[slice_.website_id]:
                continue
            # Of an older day only what Matomo has changed: what `reconcile` said of it holds no more.
            if slice_.date.toordinal() < first and entry.replaced_rows is None:
                continue
            # A run of a window also logs what is no news.
            if entry.status is Status.WRITTEN or is_news(entry, known.get(slice_, UNKNOWN)):
                self._entries[slice_] = entry

    def check(self, checks: ArchiveChecks) -> None:
        """Check the slices and write what is found.

        ``checks``: have the visits that VisitsSummary.get counted on the days of the run.
        """
        if not self._entries:
            return
        session, connector = self._session, self._session.connector
        result = QualityResult(connector.name, self._run.id)
        totals = self._totals()
        found = [quality for slice_ in self._entries for quality in self._judge(slice_, totals, checks)]
        stamp = Stamp(self._run.id, 0, session.now())
        write_quality(session.warehouse, connector.name, found, stamp, self._withdrawn())
        result.add(found)
        log_quality(result)
        self.result = result

    def _withdrawn(self) -> list[tuple[Slice, Check]]:
        """Return what only `reconcile` checks, of slices that have been written again: what it said holds no more."""
        return [
            (slice_, check)
            for slice_, entry in self._entries.items()
            if entry.status is Status.WRITTEN
            for check in (
                Check.REFETCHED_ROWS,
                *((Check.CONVERSIONS, Check.REVENUE) if self._scope.tables[slice_.table].is_log else ()),
            )
        ]

    def _totals(self) -> Mapping[Slice, Totals]:
        warehouse = self._session.warehouse
        names = {slice_.table for slice_ in self._entries} | ({_SUMMARY} & self._scope.tables.keys())
        there = [name for name in names if warehouse.find_table(name) is not None]
        tables = tables_as_found(warehouse, self._scope.tables.select(there))
        excluded = self._session.connector.excluded_columns
        days = [slice_.date for slice_ in self._entries]
        sites = sorted({slice_.website_id for slice_ in self._entries})
        counted = [counted_table(warehouse, table, excluded) for table in tables.values()]
        self._with_visits = {each.table.name for each in counted if each.visits_column}
        named = sites if len(sites) <= MOST_SITES else None
        return read_totals(warehouse, counted, (min(days), max(days)), named)

    def _judge(self, slice_: Slice, totals: Mapping[Slice, Totals], checks: ArchiveChecks) -> Iterator[Quality]:
        entry, table = self._entries[slice_], self._scope.tables[slice_.table]
        site = slice_.website_id
        visits = checks.of(self._sites[site], self._segments[slice_.segment]).known_visits([slice_.date])
        summary = totals.get(Stream(_SUMMARY, site, slice_.segment).slice(slice_.date))
        counted = DayCounts(visits.get(slice_.date), int(summary.actions) if summary and summary.actions else None)
        look = Look(
            table,
            slice_,
            Logged.of(entry),
            totals.get(slice_, Totals()),
            counted,
            has_visits_column=slice_.table in self._with_visits,
        )
        # The run itself has just fetched and written it.
        fetched = Quality(slice_, Check.REFETCHED_ROWS, entry.row_count, entry.row_count)
        for quality in judge(look):
            yield resolve(quality, fetched, table, is_final=entry.is_final)
