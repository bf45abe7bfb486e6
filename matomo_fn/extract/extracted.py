"""What extraction makes of one slice, and what a way of extracting works with."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from matomo_fn.extract.archive_check import ArchiveChecks
from matomo_fn.extract.open_rows import OpenColumns
from matomo_fn.extract.own_buffers import OwnBuffers
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.matomo.client import MatomoClient
from matomo_fn.slices import Slice
from matomo_fn.warehouse.buffer import BufferedSlice


@dataclass(frozen=True, slots=True)
class Extracted:
    """What Matomo's answer makes of one slice: rows, or the reason why there are none to be trusted.

    ``seconds`` is the slice's share of the time that its calls took. ``skipped``: the slice cannot be had and that
    is no failure, since the visits log is switched off. ``visits_difference``: visits read more than the summary
    counts. ``unreadable``: how many values of visits are stored as if they were absent, by Matomo's field.
    ``refused_segment``: a sentence on the segment that Matomo refuses, which is why the slice failed. ``is_purged``:
    Matomo has deleted the reports, and the content is not to replace the rows of the table. ``stands``: there is
    nothing to write, and nothing is missing; the table keeps what it has.
    """

    slice: Slice
    content: ParsedSlice | BufferedSlice | None
    pending: str | None = None
    error: str | None = None
    seconds: float = 0.0
    skipped: str | None = None
    visits_difference: int | None = None
    unreadable: Mapping[str, int] = field(default_factory=dict)
    refused_segment: str | None = None
    is_purged: bool = False
    stands: bool = False

    @classmethod
    def failed(cls, slice_: Slice, reason: str) -> "Extracted":
        """Return a slice that could not be had, with a sentence that says which one and why."""
        return cls(slice_, None, error=f"{slice_.described}: {reason}")

    def after(self, seconds: float) -> "Extracted":
        """Return the same with the time that it took."""
        return replace(self, seconds=seconds)


@dataclass(frozen=True, slots=True)
class KeptRows:
    """Rows that the table has of a slice; without ``content_hash`` nobody vouches for them."""

    content_hash: str | None


def no_rows(_slice: Slice) -> KeptRows | None:
    """Say that the table has no rows of a slice."""
    return None


def none_known(_slice: Slice) -> int | None:
    """Say that it is not known how many rows a slice has."""
    return None


@dataclass(frozen=True, slots=True)
class ExtractContext:
    """What jobs are extracted with.

    ``version``: Matomo's (major, minor). ``may_continue`` tells before each request
    whether a job goes on. ``exclude``: columns of visits to leave out. ``buffers`` take the rows of large slices.
    ``now``: the run's time of day. ``columns``: of the open tables, by name. ``kept_rows``: what the table has of a
    slice whose reports Matomo may have deleted. ``known_rows``: how many rows the log says that a slice has.
    ``reads_visits``: whether the visits of a day have to be read, by how many VisitsSummary.get counts (None where that
    is not known); where it is not None, the counts are looked at before anything is read.
    """

    client: MatomoClient
    version: tuple[int, int]
    checks: ArchiveChecks
    may_continue: Callable[[], bool]
    buffers: OwnBuffers
    now: datetime
    exclude: tuple[str, ...] = ()
    columns: Mapping[str, OpenColumns] = field(default_factory=dict)
    kept_rows: Callable[[Slice], KeptRows | None] = no_rows
    known_rows: Callable[[Slice], int | None] = none_known
    reads_visits: Callable[[Slice, int | None], bool] | None = None
