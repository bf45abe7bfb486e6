"""Extracting reports: requesting the days of a job from Matomo and parsing the answers, slice by slice."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from matomo_fn.catalogue import VISIT_COUNTS, Source, Table
from matomo_fn.days import Days
from matomo_fn.errors import MatomoError
from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.jobs import FIRST_CHUNK, Job
from matomo_fn.extract.report_rows import is_empty, parse_slice
from matomo_fn.matomo.reports import Answered
from matomo_fn.unforeseen import note_unforeseen

# Bytes that one answer should have, from the second of a report on: large enough that the call's own cost does not
# show, small enough that four of them, parsed, take less than 200 MB.
_TARGET_ANSWER = 4 * 1024 * 1024
_LONGEST_CHUNK = 366


def extract_reports(context: ExtractContext, job: Job) -> Iterator[Extracted]:
    """Yield each slice of a job, the newest first; end early where the context says so.

    Days that are known to be pending are not requested: every report of such a day is as empty as its visit counts.
    """
    pending = {} if _brings_visit_counts(context, job) else context.checks[job.site.id].known_pending(job.days)
    yield from _pending(job, pending)
    remaining = job.days - Days.of(pending)
    chunk = FIRST_CHUNK
    while remaining and context.may_continue():
        days = remaining.newest(chunk)
        remaining = remaining - days
        started = time.monotonic()
        try:
            answers = _request(context, job, days)
            slices = list(_slices(context, job, days, answers))
        except MatomoError:
            raise
        except Exception as error:  # noqa: BLE001 - it costs these days, and the job goes on
            sentence = note_unforeseen(error, site=job.site.id, table=job.tables[0].name, days=str(days.ranges))
            yield from (Extracted.failed(slice_, sentence) for slice_ in replace(job, days=days).slices)
            continue
        seconds = (time.monotonic() - started) / len(slices)
        chunk = _next_chunk(len(days), answers.values())
        del answers  # parsed they are large, and the slices may wait for their turn to be written
        for extracted in slices:
            yield extracted.after(seconds)


def _brings_visit_counts(context: ExtractContext, job: Job) -> bool:
    return any(source.call == VISIT_COUNTS.call for table in job.tables for source in table.sources_of(context.version))


def _pending(job: Job, reasons: Mapping[date, str]) -> Iterator[Extracted]:
    for slice_ in replace(job, days=Days.of(reasons)).slices:
        yield Extracted(slice_, None, pending=reasons[slice_.date])


def _request(context: ExtractContext, job: Job, days: Days) -> dict[object, Answered]:
    """Request each report of the job's tables once."""
    answers: dict[object, Answered] = {}
    for table in job.tables:
        for source in table.sources_of(context.version):
            if source.call not in answers:
                answers[source.call] = context.client.report(source, job.site.id, days, job.period)
    return answers


def _slices(context: ExtractContext, job: Job, days: Days, answers: Mapping[object, Answered]) -> Iterator[Extracted]:
    check = context.checks[job.site.id]
    if VISIT_COUNTS.call in answers:
        check.note(answers[VISIT_COUNTS.call].days)
    slices = []
    empty = set()
    for table in job.tables:
        sources = table.sources_of(context.version)
        for day in days:
            found = [(source, answers[source.call].days[day]) for source in sources]
            extracted = _parse(job, table, day, found)
            slices.append(extracted)
            if extracted.content and all(is_empty(table, answer) for _, answer in found):
                empty.add(extracted.slice)
    reasons = check.pending_reasons({slice_.date for slice_ in empty})
    for extracted in slices:
        reason = reasons.get(extracted.slice.date) if extracted.slice in empty else None
        yield Extracted(extracted.slice, None, pending=reason) if reason else extracted


def _parse(job: Job, table: Table, day: date, found: Sequence[tuple[Source, object]]) -> Extracted:
    slice_ = table.stream(job.site.id, job.segment).slice(day)
    for _, answer in found:
        if isinstance(answer, MatomoError):
            return Extracted.failed(slice_, str(answer))
    try:
        return Extracted(slice_, parse_slice(table, found))
    except MatomoError as error:
        return Extracted.failed(slice_, str(error))
    except Exception as error:  # noqa: BLE001 - it costs this slice
        return Extracted.failed(slice_, note_unforeseen(error, site=job.site.id, table=table.name, day=str(day)))


def _next_chunk(days: int, answers: Collection[Answered]) -> int:
    """Return how many days to request next, by the bytes that the last answers had."""
    if any(answered.split for answered in answers):
        return max(1, days // 4)
    largest = max(answered.size for answered in answers)
    fitting = days * _TARGET_ANSWER // max(1, largest)
    return max(1, min(fitting, 2 * days, _LONGEST_CHUNK))
