"""How many periods of a report to request at first, by the rows that the tables have of them."""

from collections.abc import Iterable

from matomo_fn.extract.extracted import ExtractContext
from matomo_fn.extract.jobs import FIRST_CHUNK, LONGEST_CHUNK, TARGET_ANSWER, Job
from matomo_fn.matomo.reports import BULK_DAYS

# Bytes of a row in an answer, as a guess on the high side: a page has 440 with its columns named (recordings m53_*), a
# country with two goals 700.
_ROW = 1_000


def first_chunk(context: ExtractContext, job: Job) -> int:
    """Return how many of a job's periods should fit into one answer, the newest of them.

    Of a report of which less is known than a few periods, a few: a month of a large one may be 100 MB. Of one that
    refuses ranges no more than one bulk call has, since more gain nothing and are lost together.
    """
    counts = [sum(known) for known in _known_counts(context, job)]
    if len(counts) < min(FIRST_CHUNK, job.period.count(job.days)):
        return FIRST_CHUNK
    fitting = TARGET_ANSWER // (_ROW * max(1, *counts)) if counts else 0
    sources = [source for table in job.tables for source in table.sources_of(context.version)]
    takes_ranges = all(source.ranges for source in sources) and not job.period.is_rolling
    return max(FIRST_CHUNK, min(fitting, LONGEST_CHUNK if takes_ranges else BULK_DAYS))


def _known_counts(context: ExtractContext, job: Job) -> Iterable[list[int]]:
    """Yield the rows of each period that the tables are known to have, by table."""
    streams = [table.stream(job.site.id, job.segment.name) for table in job.tables]
    for day in job.period.dates(job.days):
        rows = [context.known_rows(stream.slice(day)) for stream in streams]
        known = [count for count in rows if count is not None]
        if known:
            yield known
