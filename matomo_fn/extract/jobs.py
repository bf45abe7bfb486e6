"""An extraction job: what one worker thread requests from Matomo in a row."""

from collections.abc import Iterator
from dataclasses import dataclass

from matomo_fn.catalogue import VISIT_COUNTS, Table
from matomo_fn.days import Days
from matomo_fn.periods import Period
from matomo_fn.segments import EVERY_VISIT, Segment
from matomo_fn.sites import Site
from matomo_fn.slices import Slice

# Days, or other periods, of the first call of a report with rows, of which nothing is known yet; later ones grow or
# shrink by the bytes that come back. A month of a large page report at once, in four threads, took more memory than a
# function has.
FIRST_CHUNK = 4
# Bytes that one answer should have: large enough that the call's own cost does not show, small enough that four of
# them, parsed, take less than 200 MB.
TARGET_ANSWER = 4 * 1024 * 1024
LONGEST_CHUNK = 366
# Days of which one job reads the visits, and of which one range is taken where the calls of a run are estimated.
MONTH = 31


@dataclass(frozen=True, slots=True)
class Job:
    """Days of one site and segment to request for a group of tables that share their calls.

    So the tables share their kind of period too, and ``days`` are those of whole periods.
    """

    site: Site
    tables: tuple[Table, ...]
    days: Days
    segment: Segment = EVERY_VISIT

    @property
    def period(self) -> Period:
        """What one slice of the job's tables covers."""
        return self.tables[0].period

    @property
    def slices(self) -> Iterator[Slice]:
        """The slices of all its tables, the newest days last."""
        for table in self.tables:
            yield from table.stream(self.site.id, self.segment.name).slices(self.days)

    @property
    def is_log(self) -> bool:
        """Whether it reads visits one by one, and not reports."""
        return self.tables[0].is_log

    def brings_visit_counts(self, version: tuple[int, int]) -> bool:
        """Return whether one of the job's reports, in a version of Matomo, is the one that counts visits.

        Those of rolling windows wait for the counts of single days, as all other reports do.
        """
        if self.period.is_rolling:
            return False
        return any(source.call == VISIT_COUNTS.call for table in self.tables for source in table.sources_of(version))
