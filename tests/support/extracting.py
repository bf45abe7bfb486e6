"""Extraction without a worker pool, and answers to calls that stand in one bulk call."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from matomo_fn.extract.extractor import extract
from matomo_fn.extract.reports import make_schedule
from matomo_fn.matomo.transport import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from matomo_fn.extract.extracted import ExtractContext, Extracted
    from matomo_fn.extract.jobs import Job

BULK = "API.getBulkRequest"


def extract_all(context: ExtractContext, *jobs: Job) -> Iterator[Extracted]:
    """Yield what comes of jobs, one task after another."""
    schedule = make_schedule(context, jobs)
    while (task := schedule.take()) is not None:
        try:
            yield from extract(context, task, schedule)
        finally:
            schedule.finish(task)


def calls_in(form: Mapping[str, str]) -> list[tuple[str, dict[str, str]]]:
    """Return the calls of a bulk request: their methods and forms."""
    forms = [dict(parse_qsl(value, keep_blank_values=True)) for name, value in form.items() if name.startswith("urls[")]
    return [(inner.pop("method"), inner) for inner in forms]


def in_bulk(answer: Callable[[str, Mapping[str, str]], object]) -> Callable[[str, Mapping[str, str]], object]:
    """Return the same Matomo, which answers bulk requests as well; what is no value is the answer to all of one."""

    def answer_all(method: str, form: Mapping[str, str]) -> object:
        if method != BULK:
            return answer(method, form)
        answers = [answer(method, inner) for method, inner in calls_in(form)]
        return next((each for each in answers if isinstance(each, Exception | Reply)), answers)

    return answer_all


def flat(asked: list[tuple[str, dict[str, str]]]) -> list[tuple[str, dict[str, str]]]:
    """Return the calls that a transport was asked for, those of bulk requests one by one."""
    return [call for method, form in asked for call in (calls_in(form) if method == BULK else [(method, form)])]
