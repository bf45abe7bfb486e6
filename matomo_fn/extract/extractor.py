"""Which way of extracting a task takes."""

from collections.abc import Iterator

from matomo_fn.extract.extracted import ExtractContext, Extracted
from matomo_fn.extract.reports import extract_reports
from matomo_fn.extract.schedule import Schedule, Task
from matomo_fn.extract.visits import extract_visits


def extract(context: ExtractContext, task: Task, schedule: Schedule) -> Iterator[Extracted]:
    """Yield each slice of a task; several threads may do tasks of one context at once."""
    if task.jobs[0].is_log:
        for chunk in task.chunks:
            yield from extract_visits(context, chunk.job)
    else:
        yield from extract_reports(context, task, schedule)
