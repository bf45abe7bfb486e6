"""Extracting reports: requesting the days of a job from Matomo and parsing the answers, slice by slice."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from matomo_fn.catalogue import VISIT_COUNTS, Source, Table
from matomo_fn.days import Days
from matomo_fn.errors import DiskFull, MatomoError, SegmentRefused
from matomo_fn.extract.archive_check import UNCOUNTED
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.first_chunk import first_chunk
from matomo_fn.extract.jobs import LONGEST_CHUNK, TARGET_ANSWER, Job
from matomo_fn.extract.purged_reports import mark_purged
from matomo_fn.extract.report_rows import ParsedSlice, is_empty, parse_slice
from matomo_fn.matomo.reports import Answered
from matomo_fn.matomo.responses import PluginOff
from matomo_fn.periods import Period
from matomo_fn.slices import Slice
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.warehouse.buffer import BufferedSlice

# How many times as many days are requested next at most: the rows of days differ. After a range that failed it is
# found out carefully how many days the server can do.
_GROWTH, _GROWTH_AFTER_FAILURE = 8, 2
# Characters of a slice's rows that wait in memory; as many slices wait as the worker pool lets.
_LARGEST_HELD = 512 * 1024


def extract_reports(context: ExtractContext, job: Job) -> Iterator[Extracted]:
    """Yield each slice of a job, the newest first; end early where the context says so.

    Periods that are known to be pending are not requested: every report of one is as empty as its visit counts.
    """
    period = job.period
    pending = _known_pending(context, job)
    yield from _pending(job, pending)
    remaining = job.days - period.covered(pending)
    chunk, growth = first_chunk(context, job), _GROWTH
    while remaining and context.may_continue():
        days = period.newest(remaining, chunk)
        remaining = remaining - days
        started = time.monotonic()
        context.buffers.wait_for_room(context.may_continue)
        try:
            with context.client.memory.holding():
                answers = _request(context, job, days)
                slices = [_buffered(context, job, extracted) for extracted in _slices(context, job, days, answers)]
                if any(answered.split for answered in answers.values()):
                    growth = _GROWTH_AFTER_FAILURE
                chunk = _next_chunk(period.count(days), answers.values(), growth)
                del answers  # parsed they are large, and the slices may wait for their turn to be written
        except MatomoError:
            raise
        except DiskFull as error:
            yield from (Extracted.failed(slice_, str(error)) for slice_ in replace(job, days=days).slices)
            continue
        except Exception as error:  # noqa: BLE001 - it costs these days, and the job goes on
            sentence = note_unforeseen(error, site=job.site.id, table=job.tables[0].name, days=str(days.ranges))
            yield from (Extracted.failed(slice_, sentence) for slice_ in replace(job, days=days).slices)
            continue
        seconds = (time.monotonic() - started) / len(slices)
        for extracted in slices:
            yield extracted.after(seconds)


def _known_pending(context: ExtractContext, job: Job) -> Mapping[date, str]:
    """Return why periods of a job are pending, or have nothing to be requested, of those of which that is known.

    Of a rolling window, whether its last day is: Matomo would answer it without that day.
    """
    if job.brings_visit_counts(context.version):
        return {}
    check = context.checks.of(job.site, job.segment, Period.DAY if job.period.is_rolling else job.period)
    return check.known_pending(job.period.dates(job.days))


def _pending(job: Job, reasons: Mapping[date, str]) -> Iterator[Extracted]:
    for slice_ in replace(job, days=job.period.covered(reasons)).slices:
        yield _unrequested(slice_, reasons[slice_.date])


def _unrequested(slice_: Slice, reason: str) -> Extracted:
    """Return a slice that is not requested, or whose answer says nothing, by the reason."""
    return Extracted(slice_, None, stands=True) if reason == UNCOUNTED else Extracted(slice_, None, pending=reason)


def _request(context: ExtractContext, job: Job, days: Days) -> dict[object, Answered]:
    """Request each report of the job's tables once."""
    answers: dict[object, Answered] = {}
    segment = job.segment.at(job.site.id)
    for table in job.tables:
        for source in table.sources_of(context.version):
            if source.call not in answers:
                answers[source.call] = context.client.report(source, job.site.id, days, job.period, segment)
    return answers


def _slices(context: ExtractContext, job: Job, days: Days, answers: Mapping[object, Answered]) -> Iterator[Extracted]:
    check = context.checks.of(job.site, job.segment, job.period)
    if VISIT_COUNTS.call in answers:
        check.note(answers[VISIT_COUNTS.call].days)
    slices = []
    empty = set()
    for table in job.tables:
        sources = table.sources_of(context.version)
        for day in job.period.dates(days):
            found = [(source, answers[source.call].days[day]) for source in sources]
            extracted = _parse(context, job, table, day, found)
            slices.append(extracted)
            if extracted.content and all(is_empty(table, answer) for _, answer in found):
                empty.add(extracted.slice)
    slices = mark_purged(context, job, slices, empty)
    empty -= {extracted.slice for extracted in slices if extracted.is_purged}
    reasons = check.pending_reasons({slice_.date for slice_ in empty})
    for extracted in slices:
        reason = reasons.get(extracted.slice.date) if extracted.slice in empty else None
        yield _unrequested(extracted.slice, reason) if reason else extracted


def _parse(
    context: ExtractContext, job: Job, table: Table, day: date, found: Sequence[tuple[Source, object]]
) -> Extracted:
    slice_ = table.stream(job.site.id, job.segment.name).slice(day)
    for _, answer in found:
        if isinstance(answer, SegmentRefused):
            what = str(answer).rstrip(".")
            sentence = f'segment {job.segment.name}: {what}: correct it in "segments" of the configuration'
            return replace(Extracted.failed(slice_, str(answer)), refused_segment=sentence)
        if isinstance(answer, PluginOff) and table.is_optional:
            return Extracted(slice_, None, skipped=f"table {table.name} is left out: {answer}")
        if isinstance(answer, MatomoError):
            return Extracted.failed(slice_, str(answer))
    columns = context.columns.get(table.name)
    try:
        return Extracted(slice_, columns.parse(found) if columns else parse_slice(table, found))
    except MatomoError as error:
        return Extracted.failed(slice_, str(error))
    except Exception as error:  # noqa: BLE001 - it costs this slice
        return Extracted.failed(slice_, note_unforeseen(error, site=job.site.id, table=table.name, day=str(day)))


def _buffered(context: ExtractContext, job: Job, extracted: Extracted) -> Extracted:
    """Return a slice that takes little memory while it waits: the rows of a large one go to a buffer of its own."""
    content = extracted.content
    if not isinstance(content, ParsedSlice) or sum(map(len, content.lines)) <= _LARGEST_HELD:
        return extracted
    table = next(table for table in job.tables if table.name == extracted.slice.table)
    buffer = context.buffers.create(table.name, has_segment=table.has_segment)
    try:
        buffer.add(extracted.slice, content.lines)
        buffer.close()
    except BaseException:
        buffer.discard()
        raise
    finally:
        context.buffers.finish(buffer)
    return replace(extracted, content=BufferedSlice(buffer, content.content_hash, content.has_others))


def _next_chunk(days: int, answers: Collection[Answered], growth: int) -> int:
    """Return how many days to request next, by the bytes that the last answers had."""
    if any(answered.split for answered in answers):
        return max(1, days // 4)
    largest = max(answered.size for answered in answers)
    fitting = days * TARGET_ANSWER // max(1, largest)
    return max(1, min(fitting, growth * days, LONGEST_CHUNK))
