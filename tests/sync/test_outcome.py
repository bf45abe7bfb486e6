"""What becomes of an extracted slice, and whether that is news for the log."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from matomo_fn.extract.extracted import Extracted
from matomo_fn.extract.report_rows import ParsedSlice
from matomo_fn.slices import Stream
from matomo_fn.sync.outcome import UNKNOWN, KnownSlice, LogEntry, Run, Status, outcome_of

RUN = Run("run9", "message 9", datetime(2026, 11, 20, tzinfo=UTC))
SLICE = Stream("visitor_country", "1").slice(date(2026, 11, 12))
SAME = ParsedSlice(("{}",), "h", has_others=False)
KNOWN = KnownSlice(Status.WRITTEN, 1, "h", "run1", "message 1", is_intact=True, is_final=True)


def outcome(extracted: Extracted, known: KnownSlice = KNOWN, run: Run = RUN, *, is_final: bool = True) -> LogEntry:
    return outcome_of(extracted, known, run, is_final=is_final, rewrite=False)


def test_an_answer_that_is_known_is_no_news() -> None:
    """Written or unchanged before: the log has it, and a row more would be read by every later run."""
    for status in (Status.WRITTEN, Status.UNCHANGED):
        found = outcome(Extracted(SLICE, SAME), replace(KNOWN, status=status))
        assert (found.status, found.is_news) == (Status.UNCHANGED, False)


@pytest.mark.parametrize(
    "known",
    [
        replace(KNOWN, is_final=False),
        replace(KNOWN, has_others=True),
        replace(KNOWN, visits_difference=3),
        replace(KNOWN, status=Status.FAILED, error="no answer"),
        replace(KNOWN, status=Status.PENDING, error="not processed"),
    ],
    ids=["is final now", "no others any more", "no difference any more", "was failed", "was pending"],
)
def test_an_unchanged_answer_is_news_where_something_else_of_the_row_changes(known: KnownSlice) -> None:
    """That the day is settled, above all: otherwise every run would refetch it."""
    found = outcome(Extracted(SLICE, SAME), known)
    assert (found.status, found.is_news) == (Status.UNCHANGED, True)


def test_what_is_written_is_always_news() -> None:
    """Its run and its hash are other ones."""
    assert outcome(Extracted(SLICE, replace(SAME, content_hash="other"))).is_news
    assert outcome(Extracted(SLICE, SAME), replace(KNOWN, is_intact=False)).is_news
    assert outcome(Extracted(SLICE, SAME), UNKNOWN).is_news


@pytest.mark.parametrize(
    ("known", "error", "is_news"),
    [
        (UNKNOWN, "no", True),
        (KNOWN, "no", True),
        (replace(KNOWN, status=Status.FAILED, error="no"), "no", False),
        (replace(KNOWN, status=Status.FAILED, error="no"), "still no", True),
        (replace(KNOWN, status=Status.PENDING, error="no"), "no", True),
    ],
)
def test_a_failure_is_news_once(known: KnownSlice, error: str, *, is_news: bool) -> None:
    """The same sentence for the same slice is not logged run after run; another one is."""
    assert outcome(Extracted(SLICE, None, error=error), known).is_news is is_news


def test_a_request_for_a_whole_window_logs_everything() -> None:
    """Delivered again, it finds by its own id what it has done."""
    run = replace(RUN, logs_everything=True)
    assert outcome(Extracted(SLICE, SAME), run=run).is_news
    failed = replace(KNOWN, status=Status.FAILED, error="no")
    assert outcome(Extracted(SLICE, None, error="no"), failed, run).is_news


def test_a_day_that_no_run_has_written_is_pending_once() -> None:
    """There is no hash to compare; the same reason in each hourly run is no news all the same."""
    pending = Extracted(SLICE, None, pending="not processed")
    first = outcome(pending, UNKNOWN)
    assert first.is_news
    known = KnownSlice(Status.PENDING, 0, None, None, "message 1", is_intact=True, is_final=True, error=first.error)
    assert not outcome(pending, known).is_news


@pytest.mark.parametrize("extracted", [Extracted(SLICE, None, error="no"), Extracted(SLICE, None, pending="no")])
def test_what_was_not_written_leaves_what_the_log_says_of_the_table(extracted: Extracted) -> None:
    """Rows, hash and the run that wrote them: the table still has these."""
    found = outcome(extracted)
    assert (found.row_count, found.content_hash, found.written_run_id) == (1, "h", "run1")


@pytest.mark.parametrize("before", [0, 1, 5])
@pytest.mark.parametrize("now", [0, 1, 5])
def test_what_is_written_has_the_rows_of_the_answer_and_what_is_kept_those_of_the_table(before: int, now: int) -> None:
    """Whether a slice grows or shrinks."""
    known = replace(KNOWN, row_count=before)
    answer = ParsedSlice(("{}",) * now, "other", has_others=True)
    written = outcome(Extracted(SLICE, answer), known)
    assert (written.row_count, written.content_hash, written.written_run_id) == (now, "other", RUN.id)
    assert written.has_others
    for extracted in (Extracted(SLICE, None, pending="why"), Extracted.failed(SLICE, "why")):
        kept = outcome(extracted, known)
        assert (kept.row_count, kept.content_hash, kept.written_run_id) == (before, "h", "run1")
