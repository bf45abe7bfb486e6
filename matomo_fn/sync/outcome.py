"""What becomes of an extracted slice: written, found unchanged, or kept as it is with a reason."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import structlog

from matomo_fn.extract.extracted import Extracted
from matomo_fn.slices import Slice

log = structlog.get_logger()


class Status(StrEnum):
    """What became of a slice in a run."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    PENDING = "pending"
    FAILED = "failed"

    @classmethod
    def _missing_(cls, value: object) -> "Status":
        """Take a status that another version wrote as failed: then the slice is refetched."""
        log.warning("unknown_status", status=repr(value)[:80])
        return cls.FAILED

    @property
    def is_good(self) -> bool:
        """Whether the table has what Matomo answered."""
        return self in (Status.WRITTEN, Status.UNCHANGED)


@dataclass(frozen=True, slots=True)
class KnownSlice:
    """What the log's newest row says of a slice.

    ``is_intact``: the table still has the very rows it speaks of. ``found_keys``: how many different keys the table has
    of a slice that was looked at, as far as the state looks at the table; 0 otherwise. ``is_open``: the day was not
    over when it was fetched.
    """

    status: Status
    row_count: int
    content_hash: str | None
    written_run_id: str | None
    request_id: str
    is_intact: bool
    is_final: bool = False
    has_others: bool = False
    visits_difference: int | None = None
    error: str | None = None
    found_keys: int = 0
    is_open: bool = False


UNKNOWN = KnownSlice(Status.FAILED, 0, None, None, "", is_intact=False)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One row of the log; ``row_count`` and ``content_hash`` describe the table, not the answer.

    ``is_news``: the row says something that the newest row of the slice does not. Other rows are counted, and not
    appended: a quiet run would otherwise add as many rows as it has slices, and every later run would read them.
    ``seen_at``: when the run looked at what the table has. Of the rows of several runs the newest look counts, and not
    the one that was logged last. None: when it is logged. ``is_open``: the day, or longer period, was not over.
    ``replaced_rows``: how many rows a final slice had that Matomo has changed; None for any other.
    """

    slice: Slice
    status: Status
    row_count: int
    content_hash: str | None
    has_others: bool
    is_final: bool
    written_run_id: str | None
    error: str | None = None
    visits_difference: int | None = None
    is_news: bool = True
    seen_at: datetime | None = None
    is_open: bool = False
    replaced_rows: int | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """One execution; ``request_id`` stays the same where the same request is delivered again.

    ``logs_everything``: rows without news are logged as well, with the request's id. A request for a whole window
    needs that: delivered again, it continues where it stopped.
    """

    id: str
    request_id: str
    started_at: datetime
    logs_everything: bool = False


def outcome_of(
    extracted: Extracted, known: KnownSlice, run: Run, *, is_final: bool, rewrite: bool, is_open: bool = False
) -> LogEntry:
    """Return the log entry of a slice as it will be once what it says is written.

    ``is_final``: the slice need not be refetched by itself. ``rewrite``: write also what has not changed. ``is_open``:
    its day, or longer period, is not over.
    """
    content = extracted.content
    kept = LogEntry(
        extracted.slice,
        Status.PENDING if extracted.pending else Status.FAILED,
        known.row_count,
        known.content_hash,
        has_others=False,
        is_final=is_final,
        written_run_id=known.written_run_id,
        # A failed slice's error names it already.
        error=f"{extracted.slice.described}: {extracted.pending}" if extracted.pending else extracted.error,
        is_open=is_open,
    )
    if extracted.stands:  # nothing is said of it that the log has to learn
        return replace(
            kept,
            status=Status.UNCHANGED,
            has_others=known.has_others,
            visits_difference=known.visits_difference,
            is_news=False,
        )
    if content is None:
        return replace(kept, is_news=run.logs_everything or is_news(kept, known))
    found = replace(
        kept,
        error=None,
        has_others=content.has_others,
        visits_difference=extracted.visits_difference,
    )
    if known.is_intact and known.content_hash == content.content_hash and not rewrite:
        unchanged = replace(found, status=Status.UNCHANGED)
        return replace(unchanged, is_news=run.logs_everything or is_news(unchanged, known))
    return replace(
        found,
        status=Status.WRITTEN,
        row_count=content.row_count,
        content_hash=content.content_hash,
        written_run_id=run.id,
        replaced_rows=known.row_count if _is_changed(known, content.content_hash) else None,
    )


def _is_changed(known: KnownSlice, content_hash: str) -> bool:
    """Return whether Matomo has changed a final slice; one that nobody vouches for is only written again."""
    is_settled = known.status.is_good and known.is_final
    return is_settled and known.content_hash is not None and known.content_hash != content_hash


def is_news(entry: LogEntry, known: KnownSlice) -> bool:
    """Return whether an entry that wrote nothing says something that is not known."""
    if known is UNKNOWN:
        return True
    same_status = known.status.is_good if entry.status.is_good else known.status is entry.status
    before = (known.is_final, known.is_open, known.has_others, known.visits_difference, known.error)
    now = (entry.is_final, entry.is_open, entry.has_others, entry.visits_difference, entry.error)
    return not same_status or before != now


def not_written(entry: LogEntry, known: KnownSlice, error: Exception) -> LogEntry:
    """Return the entry of a slice that could not be written, in the place of one that says that it was."""
    return LogEntry(
        entry.slice,
        Status.FAILED,
        known.row_count,
        known.content_hash,
        has_others=False,
        is_final=entry.is_final,
        written_run_id=known.written_run_id,
        error=f"{entry.slice.described}: {error}",
        is_open=entry.is_open,
    )
