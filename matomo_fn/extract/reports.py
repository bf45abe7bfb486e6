"""Extracting reports: requesting the days of a task from Matomo and parsing the answers, slice by slice."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial

from matomo_fn.catalogue import VISIT_COUNTS, Source, Table
from matomo_fn.errors import DiskFull, MatomoError, SegmentRefused
from matomo_fn.extract.archive_check import UNCOUNTED
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.first_chunk import first_chunk
from matomo_fn.extract.jobs import Job
from matomo_fn.extract.purged_reports import mark_purged
from matomo_fn.extract.report_rows import ParsedSlice, is_empty, parse_days, parse_slice
from matomo_fn.extract.schedule import Chunk, Schedule, Task
from matomo_fn.matomo.reports import MOST_CALLS_IN_BULK, Answered, ReportQuery
from matomo_fn.matomo.responses import PluginOff
from matomo_fn.periods import Period
from matomo_fn.slices import Slice
from matomo_fn.unforeseen import note_unforeseen
from matomo_fn.warehouse.buffer import BufferedSlice

# Characters of a slice's rows that wait in memory; as many slices wait as the worker pool lets.
_LARGEST_HELD = 512 * 1024


def make_schedule(context: ExtractContext, jobs: Iterable[Job]) -> Schedule:
    """Return the schedule of some jobs.

    Periods that are known to be pending are not requested: every report of one is as empty as its visit counts.
    """
    return Schedule(
        jobs,
        context.version,
        known_pending=partial(_known_pending, context),
        first_chunk=partial(first_chunk, context),
        may_continue=context.may_continue,
        together=MOST_CALLS_IN_BULK if context.client.joins_reports else 1,
    )


def extract_reports(context: ExtractContext, task: Task, schedule: Schedule) -> Iterator[Extracted]:
    """Yield each slice of a task, the newest first; none where the context says so."""
    for job, reasons in task.pending:
        for slice_ in Chunk(job, job.period.covered(reasons)).slices:
            yield _unrequested(slice_, reasons[slice_.date])
    if not task.chunks or not context.may_continue():
        return
    started = time.monotonic()
    context.buffers.wait_for_room(context.may_continue)
    slices: list[Extracted] = []
    with context.client.memory.holding():
        for chunk, answers in _request(context, task, schedule):
            slices += _of_chunk(context, chunk, answers)
            if isinstance(answers, dict):
                answers.clear()  # parsed they are large, and the slices may wait for their turn to be written
    seconds = (time.monotonic() - started) / max(1, len(slices))
    for extracted in slices:
        yield extracted.after(seconds)


def _of_chunk(context: ExtractContext, chunk: Chunk, answers: Mapping[object, Answered] | Exception) -> list[Extracted]:
    """Return the slices of a chunk; what nobody foresaw costs these and no others."""
    job = chunk.job
    failure: Exception
    if isinstance(answers, Exception):
        failure = answers
    else:
        try:
            return [_buffered(context, job, extracted) for extracted in _slices(context, chunk, answers)]
        except MatomoError:
            raise
        except Exception as error:  # noqa: BLE001 - it costs these days, and the task goes on
            failure = error
    if isinstance(failure, DiskFull):
        sentence = str(failure)
    else:
        sentence = note_unforeseen(failure, site=job.site.id, table=job.tables[0].name, days=str(chunk.days.ranges))
    return [Extracted.failed(slice_, sentence) for slice_ in chunk.slices]


def _known_pending(context: ExtractContext, job: Job) -> Mapping[date, str]:
    """Return why periods of a job are pending, or have nothing to be requested, of those of which that is known.

    Of a rolling window, whether its last day is: Matomo would answer it without that day.
    """
    if job.brings_visit_counts(context.version):
        return {}
    check = context.checks.of(job.site, job.segment, Period.DAY if job.period.is_rolling else job.period)
    return check.known_pending(job.period.dates(job.days))


def _unrequested(slice_: Slice, reason: str) -> Extracted:
    """Return a slice that is not requested, or whose answer says nothing, by the reason."""
    return Extracted(slice_, None, stands=True) if reason == UNCOUNTED else Extracted(slice_, None, pending=reason)


def _request(
    context: ExtractContext, task: Task, schedule: Schedule
) -> Iterator[tuple[Chunk, dict[object, Answered] | Exception]]:
    """Request each report of the task's tables once, and yield the answers of each chunk; visit counts are noted."""
    started = time.monotonic()
    answers = list(_answers(context, task.chunks))
    if all(isinstance(each, dict) for each in answers):
        sizes = [list(each.values()) for each in answers if isinstance(each, dict)]
        schedule.note(task, sizes, time.monotonic() - started)
    for chunk, each in zip(task.chunks, answers, strict=True):
        if isinstance(each, dict) and VISIT_COUNTS.call in each:
            context.checks.of(chunk.job.site, chunk.job.segment, chunk.job.period).note(each[VISIT_COUNTS.call].days)
    yield from zip(task.chunks, answers, strict=True)


def _answers(context: ExtractContext, chunks: Sequence[Chunk]) -> Iterator[dict[object, Answered] | Exception]:
    """Yield the answers of each chunk, requested together; what nobody foresaw costs the chunk that it comes from."""
    wanted = [
        {
            source.call: (_query(chunk.job, source), chunk.days)
            for table in chunk.job.tables
            for source in table.sources_of(context.version)
        }
        for chunk in chunks
    ]
    try:
        found = iter(context.client.reports([each for one in wanted for each in one.values()]))
    except MatomoError:
        raise
    except Exception as error:  # noqa: BLE001 - of several chunks, each is requested on its own
        if len(chunks) == 1:
            yield error
        else:
            for chunk in chunks:
                yield from _answers(context, [chunk])
        return
    for one in wanted:
        yield {call: next(found) for call in one}


def _query(job: Job, source: Source) -> ReportQuery:
    return ReportQuery(source, job.site.id, job.period, job.segment.at(job.site.id))


def _slices(context: ExtractContext, chunk: Chunk, answers: Mapping[object, Answered]) -> Iterator[Extracted]:
    job = chunk.job
    check = context.checks.of(job.site, job.segment, job.period)
    slices = []
    empty = set()
    for table in job.tables:
        sources = table.sources_of(context.version)
        usual = _usual(context, table, sources, answers)
        for day in job.period.dates(chunk.days):
            found = [(source, answers[source.call].days[day]) for source in sources]
            if day in usual:
                extracted = Extracted(table.stream(job.site.id, job.segment.name).slice(day), usual[day])
            else:
                extracted = _parse(context, job, table, day, found)
            slices.append(extracted)
            if extracted.content:
                context.parsed(extracted.slice, extracted.content.content_hash)
            if extracted.content and all(is_empty(table, answer) for _, answer in found):
                empty.add(extracted.slice)
    slices = mark_purged(context, job, slices, empty)
    empty -= {extracted.slice for extracted in slices if extracted.is_purged}
    reasons = check.pending_reasons({slice_.date for slice_ in empty})
    for extracted in slices:
        reason = reasons.get(extracted.slice.date) if extracted.slice in empty else None
        yield _unrequested(extracted.slice, reason) if reason else extracted


def _usual(
    context: ExtractContext, table: Table, sources: Sequence[Source], answers: Mapping[object, Answered]
) -> Mapping[date, ParsedSlice]:
    """Return the days of a chunk that can be read together; the others are read one by one."""
    if len(sources) != 1 or table.name in context.columns:
        return {}
    (source,) = sources
    try:
        return parse_days(table, source, answers[source.call].days)
    except Exception:  # noqa: BLE001 - the day that it comes from raises it again
        return {}


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
